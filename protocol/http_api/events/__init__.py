"""What happened, for tools: pages, a stream, webhooks and scripts."""
