"""Decisions about the pool: jobs, their sources and the fetch processes of these."""
