"""Dispatcher of one job: leases, placement, sources, recovery and progress."""
