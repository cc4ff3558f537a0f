"""Decisions about jobs: commands, queue, attempts, life cycle; one job manager owns them all."""
