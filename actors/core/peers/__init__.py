"""Decisions about Soulseek peers: negotiations of downloads, refusals, validity of what they send."""
