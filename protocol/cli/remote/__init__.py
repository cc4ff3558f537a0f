"""Commands that drive a running daemon over HTTP."""
