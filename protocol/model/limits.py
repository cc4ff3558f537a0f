"""Bounds and choices of a job, the same for command line, configuration and API."""

from typing import Final

STOPS_PER_JOB: Final = 2
STOPS_PER_DAY: Final = 8
"""How often one Soulseek user is hung up on before the end of its file, unless the user's settings say otherwise."""
LIMITER_QUOTA_S: Final = 1.0
"""Rate limiters of real clients send a second's quota at once and are then silent: a rate is judged over no less."""
RACE_USERS: Final = 2
"""Soulseek users that a race disturbs at a time: all but the winner are hung up on."""
PATIENCE_S: Final = 15.0
"""Seconds that disturbing one more user must save, unless the user's settings say otherwise."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days of the week in schedules; a schedule counts them from 0."""
MODES: Final = ("swarm", "queue", "failover", "race")
SYNCS: Final = ("full", "none")
EXISTING: Final = ("auto", "skip", "rename", "overwrite", "resume")
"""What becomes of a file that has a download's name: ``auto`` skips one that is proven to be the same, else renames."""
TIMEOUT_S_MAX: Final = 120.0
RETRIES_MAX: Final = 1000
CHUNK_SIZE_MIN: Final = 4 * 1024
CHUNK_SIZE_MAX: Final = 1024 * 1024
TERM_CHARS_MAX: Final = 250
PATH_BYTES_MAX: Final = 4096
MEMORY_LIMIT_MIN: Final = 8 << 20
"""A process that has just begun has about twice as much."""
HEX_DIGITS: Final = {
    "sha256": 64,
    "sha1": 40,
    "sha512": 128,
    "sha384": 96,
    "sha224": 56,
    "md5": 32,
    "blake2b": 128,
    "blake2s": 64,
    "xxh3_128": 32,
}
"""Algorithms of ``--checksum`` and the length of their digests."""
SOURCES_MAX: Final = 2000
"""Far above any list of mirrors; everything about a job grows with its sources."""
