"""Transfer rates and bandwidth shares of all jobs."""
