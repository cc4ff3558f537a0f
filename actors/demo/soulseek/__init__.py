"""A simulated Soulseek network: server and uploaders."""
