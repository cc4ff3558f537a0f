"""Decisions, pure: no thread, socket, file, clock or chance; messages in, posts out."""
