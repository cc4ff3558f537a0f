"""Native API below ``/api/v0/multisource``: jobs, orders, sources, users."""
