"""The api process: gateway actor, and HTTP server in a thread of its own."""
