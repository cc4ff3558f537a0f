"""Command line: options, commands, views."""
