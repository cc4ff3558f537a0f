"""Schema of the job store: tables derived from the classes of their rows, additions to older stores, refusals.

A new field of a row is a new column; a store without it gets it when it is opened, with the field's default. An older
program can still open such a store. `VERSION` rises only where it must not.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from protocol.model.job_records import AttemptRecord, EventEntry, JobFiles, JobRecord, ManifestRange, SourceRecord
from protocol.model.value import Column, RowFormat, Value

APPLICATION_ID: Final = 0x53686F61
"""``Shoa``: says in the file's head whose it is."""
VERSION: Final = 2
_MAGIC: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 100

_TYPES: Final = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", tuple: "TEXT"}
Row = TypeVar("Row", bound=Value)


class Table(Generic[Row]):
    """A table whose columns are the fields of a class, those of embedded values among them.

    `keys` are the columns that are more than not null, and how; `primary` is a key of several columns; `owner` is one
    more column, the first, that the class does not have.
    """

    def __init__(
        self, name: str, cls: type[Row], *, keys: Mapping[str, str] | None = None, primary: str = "", owner: str = ""
    ) -> None:
        rows = RowFormat(cls)
        self.name = name
        self.values: Callable[[Row], tuple[Any, ...]] = rows.row
        self.row: Callable[[Sequence[Any]], Row] = rows.value
        self._declared = {column.name: _declared(column, (keys or {}).get(column.name)) for column in rows.columns}
        names = [f'"{column}"' for column in self._declared]
        written = [owner, *names] if owner else names
        self.select = f"SELECT {', '.join(names)} FROM {name} "
        self.put = f"INSERT OR REPLACE INTO {name} ({', '.join(written)}) VALUES ({', '.join('?' * len(written))})"
        parts = [*([f"{owner} TEXT NOT NULL"] if owner else []), *self._declared.values()]
        constraint = f", PRIMARY KEY ({primary})) STRICT, WITHOUT ROWID" if primary else ") STRICT"
        self.create = f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)}{constraint}"

    def rows(self, found: Iterable[tuple[Any, ...]]) -> list[Row]:
        """Return the values of these rows."""
        return [self.row(values) for values in found]

    def missing(self, db: sqlite3.Connection) -> list[str]:
        """Return what adds the columns that a store of an older program lacks."""
        there = {name for _, name, *_ in db.execute(f"PRAGMA table_info({self.name})")}
        lacking = [declared for column, declared in self._declared.items() if there and column not in there]
        return [f"ALTER TABLE {self.name} ADD COLUMN {declared}" for declared in lacking]


def _declared(column: Column, key: str | None) -> str:
    kind = _TYPES[column.kind]
    if key is not None:
        return f'"{column.name}" {kind} {key}'
    default = column.kind() if column.default is None else column.default
    written = {"TEXT": f"'{default if isinstance(default, str) else '[]'}'", "BLOB": "X''"}.get(kind, repr(default))
    return f'"{column.name}" {kind} NOT NULL DEFAULT {written}'


JOBS: Final = Table("jobs", JobRecord, keys={"serial": "PRIMARY KEY", "id": "NOT NULL UNIQUE"})
SOURCES: Final = Table("sources", SourceRecord, primary="id, number")
ATTEMPTS: Final = Table("runs", AttemptRecord, keys={"number": "PRIMARY KEY AUTOINCREMENT"})
MANIFEST: Final = Table("manifest", ManifestRange, primary="id, first", owner="id")
EVENTS: Final = Table("events", EventEntry, keys={"serial": "PRIMARY KEY AUTOINCREMENT"})
FILES: Final = Table("files", JobFiles, primary="id")
TABLES: Final = (JOBS, SOURCES, ATTEMPTS, MANIFEST, EVENTS, FILES)
_REST: Final = (
    "CREATE TABLE IF NOT EXISTS notes"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS kept_values (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, removed, origin, user)",
    "CREATE INDEX IF NOT EXISTS jobs_by_user ON jobs (user, origin, removed, state)",
    "CREATE INDEX IF NOT EXISTS jobs_by_key ON jobs (order_key) WHERE order_key != ''",
    "CREATE INDEX IF NOT EXISTS runs_by_job ON runs (id)",
    "CREATE INDEX IF NOT EXISTS events_by_job ON events (id, serial)",
    "CREATE INDEX IF NOT EXISTS notes_by_job ON notes (id, number)",
)


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
    migrate(db)


def migrate(db: sqlite3.Connection) -> None:
    """Add the tables, columns and indices that the store lacks, all or none."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    added = [statement for table in TABLES for statement in table.missing(db)]
    if version == VERSION and not added:
        return
    head = (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}")
    steps = (*(table.create for table in TABLES), *added, *_REST, *head)
    db.executescript(f"BEGIN IMMEDIATE; {'; '.join(steps)}; COMMIT;")
    # So that the head of the file says it, too, to a version that comes to read it.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_words(path: str, error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return f"{path} is in use by another program"
    if isinstance(error, sqlite3.OperationalError):
        return f"{path} cannot be used: {error}"
    return f"{path} is damaged ({error}); move it away to begin with an empty one"


def check_store(path: str) -> None:
    """Raise `StoreFault` where the store at `path` cannot be used; one that is not there is made, and closed again."""
    open_store(path).close()
