"""Content identity of a job's sources: evidence, checks, exclusion, the gate before sealing."""
