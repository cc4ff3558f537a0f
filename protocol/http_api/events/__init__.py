"""Events for tools: pages, a live stream, webhooks and scripts."""
