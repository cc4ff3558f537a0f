"""HTTP API: REST, server-sent events and metrics. Knows messages and one `Gateway`, no actor."""
