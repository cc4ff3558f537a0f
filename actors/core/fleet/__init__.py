"""Fleet: decisions of one node among many machines that share a job list. Pure; the clock is passed in."""
