"""The language of people's tools: HTTP, JSON, events. Knows messages and one `Gateway`, no actor."""
