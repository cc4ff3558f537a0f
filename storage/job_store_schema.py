"""The job store's file: its tables, how older ones become newer ones, and what is refused untouched."""

import os
import sqlite3
from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x53686F61
"""``Shoa``: says in the file's head whose it is."""
VERSION: Final = 2
_MAGIC: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 100

_FIRST: Final = """
CREATE TABLE jobs (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    folder TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    chunk_size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    mode TEXT NOT NULL,
    limit_bytes_s INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    term TEXT NOT NULL,
    search_s REAL NOT NULL,
    origin TEXT NOT NULL,
    user TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    widen INTEGER NOT NULL,
    private_ok INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL,
    removed INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    active_s REAL NOT NULL,
    attempts INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    retry_at_ms INTEGER NOT NULL,
    number INTEGER NOT NULL,
    file_name TEXT NOT NULL,
    path TEXT NOT NULL,
    found_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL,
    refetched_bytes INTEGER NOT NULL,
    resumed_bytes INTEGER NOT NULL,
    digest_hex TEXT NOT NULL,
    source_count INTEGER NOT NULL,
    stops INTEGER NOT NULL,
    waited_s REAL NOT NULL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, removed, origin, user);
CREATE INDEX jobs_by_user ON jobs (user, origin, removed, state);
CREATE TABLE sources (
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    url TEXT NOT NULL,
    peer TEXT NOT NULL,
    path TEXT NOT NULL,
    "left" TEXT NOT NULL,
    found INTEGER NOT NULL,
    standing TEXT NOT NULL,
    reason TEXT NOT NULL,
    bytes_stored INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    leases INTEGER NOT NULL,
    stops INTEGER NOT NULL,
    PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    resumed_bytes INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL,
    refetched_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_job ON runs (id);
CREATE TABLE manifest (
    id TEXT NOT NULL,
    first INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    source INTEGER NOT NULL,
    url TEXT NOT NULL,
    PRIMARY KEY (id, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events (id, serial);
CREATE TABLE notes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX notes_by_job ON notes (id, number);
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE kept_values (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_KEYS: Final = """
ALTER TABLE jobs ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN order_digest TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_key ON jobs (order_key) WHERE order_key != '';
"""
MIGRATIONS: Final = (_FIRST, _KEYS)
"""`MIGRATIONS[v]` makes version ``v + 1`` of version ``v``. Only ever appended to."""


class StoreFault(Exception):  # noqa: N818  (says whose fault, like the other faults)
    """The job store cannot be used. One line for people that names the file; nothing was changed in it."""


def open_store(path: str) -> sqlite3.Connection:
    """The one connection to the job store at `path`, made or brought to this version where it has to be.

    Readable by its owner alone: addresses may hold passwords. What was committed is on the device, as far as that keeps
    its promises: one sync a commit, in a write-ahead log that no other connection can share.
    Raises `StoreFault` for a file that is damaged, foreign, of a newer version or in use.
    """
    try:
        _look_at_head(path)
        _make_private(path)
        db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    except OSError as error:
        raise StoreFault(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreFault(f"{path} cannot be opened: {error}") from error
    try:
        _settle(db, path)
    except sqlite3.Error as error:
        db.close()
        raise StoreFault(_in_words(path, error)) from error
    except StoreFault:
        db.close()
        raise
    return db


def _make_private(path: str) -> None:
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _look_at_head(path: str) -> None:
    """Refuse what can be refused without a word of SQL: even opening a database may change it."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    if not head:
        return
    if not head.startswith(_MAGIC) or len(head) < _HEAD_BYTES:
        raise StoreFault(f"{path} is damaged or no job store; move it away to begin with an empty one")
    _check(path, application=int.from_bytes(head[68:72], "big"), version=int.from_bytes(head[60:64], "big"))


def _check(path: str, *, application: int, version: int) -> None:
    if application not in (0, APPLICATION_ID) or (application == 0 and version):
        raise StoreFault(f"{path} belongs to another program; move it away to begin with an empty job store")
    if version > VERSION:
        raise StoreFault(f"{path} was written by a newer version of this program (job store {version}, not {VERSION})")


def _settle(db: sqlite3.Connection, path: str) -> None:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA trusted_schema = OFF")
    # The first statement that reads takes the lock; what is in a log left behind by a crash counts from here on.
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    _check(path, application=application, version=version)
    tables = db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    if application == 0 and tables:
        raise StoreFault(f"{path} belongs to another program; move it away to begin with an empty job store")
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreFault(f"{path} is damaged ({found}); move it away to begin with an empty one")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    if version < VERSION:
        migrate(db, version)


def migrate(db: sqlite3.Connection, version: int) -> None:
    """From this version to ours, whole or not at all."""
    steps = "".join(MIGRATIONS[version:VERSION])
    db.executescript(
        f"BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )
    # So that the head of the file says it, too, to a version that comes to read it.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_words(path: str, error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return f"{path} is in use by another program"
    if isinstance(error, sqlite3.OperationalError):
        return f"{path} cannot be used: {error}"
    return f"{path} is damaged ({error}); move it away to begin with an empty one"


def check_store(path: str) -> None:
    """Raise `StoreFault` where the store at `path` cannot be used; one that is not there is made. For whoever has to
    say
    so before anything is started: it is closed again when this returns."""
    open_store(path).close()
