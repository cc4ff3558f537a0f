"""Fleet: what many machines that share one job list have in common."""
