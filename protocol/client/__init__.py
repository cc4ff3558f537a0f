"""Client of a running daemon: HTTP requests, server-sent events, credentials, the saved pool of search results."""
