"""Damage of an SQLite file, told from want of disk or rights, and the way such a file is put aside."""

import contextlib
import os
import sqlite3
from typing import Final

ASIDE: Final = ".damaged"
"""What is appended to the name of a file that was put aside; one that was before it is replaced."""


def is_damage(error: Exception) -> bool:
    """Return whether a statement failed for what the file holds: no database, damaged pages, words or schema."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.DatabaseError | ValueError | TypeError)


def put_aside(path: str) -> str:
    """Rename a database that nobody in this process has open, with its log. Returns the new name. Raises OSError."""
    aside = path + ASIDE
    os.replace(path, aside)
    for companion in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + companion, aside + companion)
    return aside
