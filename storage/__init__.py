"""Bytes at rest and on their way: shared memory, part files, chunk journals, job and peer stores."""
