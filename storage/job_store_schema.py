"""Schema of the job store: tables derived from the classes of their rows, additions to older stores, refusals.

A new field of a row is a new column; a store without it gets it when it is opened, with the field's default. An older
program can still open such a store. `VERSION` rises only where it must not.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import xxhash

from protocol.model.job_records import (
    AttemptRecord,
    EventEntry,
    JobFiles,
    JobRecord,
    ManifestRange,
    ScheduleRecord,
    SourceRecord,
    Wish,
)
from protocol.model.value import Column, RowFormat, Value
from storage.durable import make_private, open_plain

APPLICATION_ID: Final = 0x53686F61
"""``Shoa``: says in the file's head whose it is."""
VERSION: Final = 2
_MAGIC: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 100

REPORTED_MAX: Final = 1000
CHECK: Final = "row_check"
"""Column with a digest of its row."""
_TYPES: Final = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", tuple: "TEXT"}
Row = TypeVar("Row", bound=Value)


class Table(Generic[Row]):
    """Table whose columns are the fields of a class, those of embedded values among them, and a digest of each row.

    `keys` are the columns that are more than not null, and how; `primary` is a key of several columns; `owner` is one
    more column, the first, that the class does not have.
    """

    def __init__(
        self, name: str, cls: type[Row], *, keys: Mapping[str, str] | None = None, primary: str = "", owner: str = ""
    ) -> None:
        rows = RowFormat(cls)
        self.name = name
        cast: dict[type, Callable[[Any], Any]] = {float: float, bool: int}
        self._numbers = [(at, cast[each.kind]) for at, each in enumerate(rows.columns) if each.kind in cast]
        self._row: Callable[[Row], tuple[Any, ...]] = rows.row
        self._value: Callable[[Sequence[Any]], Row] = rows.value
        self._declared = {column.name: _declared(column, (keys or {}).get(column.name)) for column in rows.columns}
        self._declared[CHECK] = f'"{CHECK}" INTEGER NOT NULL DEFAULT 0'
        self._keys = () if owner else tuple(primary.split(", ")) if primary else tuple(keys or ())[:1]
        names = [f'"{column}"' for column in self._declared]
        written = [owner, *names] if owner else names
        self.select = f"SELECT {', '.join(names)} FROM {name} "
        self.put = f"INSERT OR REPLACE INTO {name} ({', '.join(written)}) VALUES ({', '.join('?' * len(written))})"
        parts = [*([f"{owner} TEXT NOT NULL"] if owner else []), *self._declared.values()]
        constraint = f", PRIMARY KEY ({primary})) STRICT, WITHOUT ROWID" if primary else ") STRICT"
        self.create = f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)}{constraint}"

    def values(self, row: Row) -> tuple[Any, ...]:
        """Return what `put` takes of a row."""
        values = list(self._row(row))
        for at, kind in self._numbers:
            values[at] = kind(values[at])  # as SQLite gives them back
        return (*values, _digest(values))

    def row(self, values: Sequence[Any]) -> Row:
        """Return the value of a selected row. Raises `DamagedRow`."""
        with suppress(TypeError, ValueError):
            if self.is_whole(values):
                return self._value(values[:-1])
        raise DamagedRow(self.damage(values))

    def is_whole(self, values: Sequence[Any]) -> bool:
        """Return whether a selected row is as it was written."""
        *held, check = values
        return check in (0, _digest(held))  # 0: written by an older program

    def damage(self, values: Sequence[Any]) -> str:
        """Return a line that names a damaged row."""
        return f"a row of {self.name} is damaged: {list(values[:2])!a:.200}"

    def rows(self, found: Iterable[Sequence[Any]], stub: Callable[[Sequence[Any]], Row] | None = None) -> list[Row]:
        """Return the values of these rows; a damaged one is reported, and left out or replaced by its `stub`."""
        rows = []
        for values in found:
            try:
                rows.append(self.row(values))
            except DamagedRow as error:
                report_once(str(error))
                if stub is not None:
                    with suppress(TypeError, ValueError):
                        rows.append(stub(values))
        return rows

    def complete(self, db: sqlite3.Connection) -> None:
        """Add the columns that a store of an older program lacks; rows that were whole are whole afterwards."""
        there = {name for _, name, *_ in db.execute(f"PRAGMA table_info({self.name})")}
        for statement in self.missing(db):
            db.execute(statement)
        if not there or set(self._declared) <= there:
            return
        names, renewed = list(self._declared), []
        for row in db.execute(self.select).fetchall() if self._keys else ():
            *held, check = row
            before = [value for name, value in zip(names, held, strict=False) if name in there]
            if CHECK not in there or check == _digest(before):
                renewed.append((_digest(held), *(row[names.index(key)] for key in self._keys)))
        where = " AND ".join(f'"{key}" = ?' for key in self._keys)
        if renewed:
            db.executemany(f'UPDATE {self.name} SET "{CHECK}" = ? WHERE {where}', renewed)

    def missing(self, db: sqlite3.Connection) -> list[str]:
        """Return what adds the table or the columns that a store of an older program lacks."""
        there = {name for _, name, *_ in db.execute(f"PRAGMA table_info({self.name})")}
        if not there:
            return [self.create]
        lacking = [declared for column, declared in self._declared.items() if column not in there]
        return [f"ALTER TABLE {self.name} ADD COLUMN {declared}" for declared in lacking]


def _digest(values: list[Any]) -> int:
    """Return a digest of a row's values, never 0."""
    return (xxhash.xxh3_64_intdigest(repr(values).encode("utf-8", "surrogatepass")) - (1 << 63)) or 1


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
WISHES: Final = Table("wishes", Wish, primary="id")
SCHEDULE: Final = Table("schedule", ScheduleRecord, keys={"number": "PRIMARY KEY"})
TABLES: Final = (JOBS, SOURCES, ATTEMPTS, MANIFEST, EVENTS, FILES, WISHES, SCHEDULE)
_REST: Final = (
    "CREATE TABLE IF NOT EXISTS notes"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS kept_values (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, removed, origin, user)",
    "CREATE INDEX IF NOT EXISTS jobs_by_user ON jobs (user, origin, removed, state)",
    "CREATE INDEX IF NOT EXISTS jobs_by_key ON jobs (order_key) WHERE order_key != ''",
    "CREATE INDEX IF NOT EXISTS jobs_by_folder ON jobs (folder_id) WHERE folder_id != ''",
    "CREATE INDEX IF NOT EXISTS runs_by_job ON runs (id)",
    "CREATE INDEX IF NOT EXISTS events_by_job ON events (id, serial)",
    "CREATE INDEX IF NOT EXISTS notes_by_job ON notes (id, number)",
)


_logger = logging.getLogger(__name__)
_reported: set[str] = set()


def report_once(damage: str) -> None:
    """Log damage of a store, the same only once."""
    if damage not in _reported and len(_reported) < REPORTED_MAX:
        _reported.add(damage)
        _logger.error("job store: %s", damage)


class DamagedRow(Exception):  # noqa: N818
    """A row that is not as it was written. One line that names it."""


class StoreFault(Exception):  # noqa: N818  (says whose fault, like the other faults)
    """The job store cannot be used. One line for people that names the file; nothing was changed in it."""


def open_store(path: str) -> sqlite3.Connection:
    """Open the one connection to the job store at `path`, made or brought to this version where it has to be.

    Readable by its owner alone. What was committed is on the device, as far as that keeps
    its promises: one sync a commit, in a write-ahead log that no other connection can share.
    Raises `StoreFault` for a file that is damaged, foreign, of a newer version or in use.
    """
    try:
        _look_at_head(path)
        make_private(path)
        db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    except OSError as error:
        raise StoreFault(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreFault(f"{path} cannot be opened: {error}") from error
    try:
        _settle(db, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        db.close()
        raise StoreFault(_in_words(path, error)) from error
    except StoreFault:
        db.close()
        raise
    return db


def _look_at_head(path: str) -> None:
    """Refuse what can be refused without SQL: even opening a database may change it."""
    try:
        with open(open_plain(path, os.O_RDONLY), "rb") as file:
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
    # Damaged text must not keep the rows beside it from being read.
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA secure_delete = ON")
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
    if version == VERSION and not any(table.missing(db) for table in TABLES):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for table in TABLES:
            table.complete(db)
        for statement in (*_REST, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}"):
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    # So that the head of the file says it, too, to a version that comes to read it.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_words(path: str, error: sqlite3.Error | UnicodeDecodeError) -> str:
    """`UnicodeDecodeError`: SQLite quotes damaged bytes of the schema in its error, which Python cannot read."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return f"{path} is in use by another program"
    if isinstance(error, sqlite3.OperationalError):
        return f"{path} cannot be used: {error}"
    return f"{path} is damaged ({error}); move it away to begin with an empty one"


def check_rows(path: str) -> list[str]:
    """Check the store at `path`, made if there is none; return its damaged rows, a line each.

    Events are left out: there are many, and nothing depends on one. Raises `StoreFault` where the store cannot be used.
    It is closed again when this returns.
    """
    db = open_store(path)
    damaged = []
    try:
        for table in (JOBS, SOURCES, ATTEMPTS, MANIFEST, FILES):
            damaged += [table.damage(row) for row in db.execute(table.select) if not table.is_whole(row)]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StoreFault(_in_words(path, error)) from error
    finally:
        db.close()
    return damaged
