"""Restart and health policies of processes."""
