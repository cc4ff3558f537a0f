"""The demonstration: simulated users and mirrors on this machine."""
