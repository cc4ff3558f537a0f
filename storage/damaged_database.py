"""Damage of an SQLite file, as against want of disk or rights, and the other name that such a file gets."""

import contextlib
import os
import sqlite3
from typing import Final

SUFFIX: Final = ".damaged"
"""What is appended to the name of a damaged file; an earlier one of that name is replaced."""


def is_damage(error: Exception) -> bool:
    """Return whether a statement failed for what the file holds: no database, damaged pages, words or schema."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.DatabaseError | ValueError | TypeError)


def rename_damaged(path: str) -> str:
    """Rename a database that is not open in this process, and its log. Return the new name. Raises OSError."""
    renamed = path + SUFFIX
    os.replace(path, renamed)
    for companion in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + companion, renamed + companion)
    return renamed
