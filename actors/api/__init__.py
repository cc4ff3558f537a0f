"""The api process: the desk's mailbox, and the HTTP server in a thread of its own."""
