"""Job store: every job, its sources, attempts and provenance, and the events that are stored.

One SQLite file, exactly one connection, used by one thread. Nothing is decided here. Whatever `apply` has returned from
is kept, through `kill -9` and a power failure alike.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, assert_never

from protocol.model.job_records import (
    AttemptRecord,
    DropFiles,
    DropJob,
    EventEntry,
    JobFiles,
    JobRecord,
    ManifestRange,
    SaveAttempt,
    SaveEvent,
    SaveFiles,
    SaveJob,
    SaveLimit,
    SaveManifest,
    SaveNote,
    SaveSource,
    SaveTotals,
    SourceRecord,
    Totals,
    TrimEvents,
    Write,
)
from storage.job_store_schema import (
    ATTEMPTS,
    EVENTS,
    FILES,
    JOBS,
    MANIFEST,
    SOURCES,
    StoreFault,
    check_store,
    open_store,
)

__all__ = ["JobStore", "StoreFault", "check_store"]

VARIABLES_MAX: Final = 500
"""Number of values in one statement."""
_LIMIT: Final = "limit_bytes_s"
_BOOKMARK: Final = "bookmark "
_TEXTS: Final = ("file_name", "name", "remote_path", "path")
"""Columns that a text is looked for in; capitals of a to z match small letters."""
_LIKE: Final = re.compile("[!%_]")


class JobStore:
    """The job store, owner of its connection.

    Raises `StoreFault` when the file cannot be used, see `open_store`; `sqlite3.Error` later.
    """

    def __init__(self, path: str) -> None:
        self._db = open_store(path)

    def close(self) -> None:
        self._db.close()

    # -- writing

    def apply(self, writes: Iterable[Write]) -> None:
        """Write all of it or, raising `sqlite3.Error`, nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for write in writes:
                self._write(write)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def remove_ended(self, origin: str) -> int:
        """List the ended jobs of this origin no longer by default; return how many there were."""
        done = self._db.execute(
            "UPDATE jobs SET removed = 1"
            " WHERE origin = ? AND removed = 0 AND state IN ('sealed', 'failed', 'cancelled') AND number = 0",
            (origin,),
        )
        return done.rowcount

    def set_bookmark(self, name: str, serial: int) -> None:
        """Store the serial of the last event that the client of this name has handled; safe when this returns."""
        self._db.execute("INSERT OR REPLACE INTO kept_values VALUES (?, ?)", (_BOOKMARK + name, serial))

    def bookmark(self, name: str) -> int:
        """Return it; -1 when there is none."""
        return self._kept_value(_BOOKMARK + name)

    def _write(self, write: Write) -> None:
        put = self._db.execute
        match write:
            case SaveJob(job):
                put(JOBS.put, JOBS.values(job))
            case SaveSource(source):
                put(SOURCES.put, SOURCES.values(source))
            case SaveAttempt(run):
                put(ATTEMPTS.put, ATTEMPTS.values(run))
            case SaveEvent(event):
                put(EVENTS.put, EVENTS.values(event))
            case SaveNote():
                self._note(write)
            case SaveManifest():
                self._put_manifest(write)
            case SaveTotals(totals):
                for key in Totals.__struct_fields__:
                    put("INSERT OR REPLACE INTO kept_values VALUES (?, ?)", (key, getattr(totals, key)))
            case SaveLimit(limit):
                put("INSERT OR REPLACE INTO kept_values VALUES (?, ?)", (_LIMIT, limit))
            case DropJob(id):
                for table in ("jobs", "sources", "runs", "manifest", "notes"):
                    put(f"DELETE FROM {table} WHERE id = ?", (id,))
            case SaveFiles(files):
                put(FILES.put, FILES.values(files))
            case DropFiles(id):
                put("DELETE FROM files WHERE id = ?", (id,))
            case TrimEvents(keep, since_ms):
                last = self.last_serial()
                put("DELETE FROM events WHERE serial <= ? OR at_ms < ?", (last - keep, since_ms))
            case _:
                assert_never(write)

    def _note(self, note: SaveNote) -> None:
        self._db.execute("INSERT INTO notes (id, text) VALUES (?, ?)", (note.id, note.text))
        self._db.execute(
            "DELETE FROM notes WHERE id = ?1 AND number NOT IN"
            " (SELECT number FROM notes WHERE id = ?1 ORDER BY number DESC LIMIT ?2)",
            (note.id, note.keep),
        )

    def _put_manifest(self, manifest: SaveManifest) -> None:
        self._db.execute("DELETE FROM manifest WHERE id = ?", (manifest.id,))
        self._db.executemany(MANIFEST.put, ((manifest.id, *MANIFEST.values(run)) for run in manifest.ranges))

    # -- reading what there is to go on with

    def last_run(self) -> int:
        """Return the highest number that an attempt ever had; 0 before the first."""
        return self._last("runs")

    def last_serial(self) -> int:
        """Return the highest serial that an event ever had; 0 before the first."""
        return self._last("events")

    def last_job(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MAX(serial), 0) FROM jobs").fetchone()[0])

    def totals(self) -> Totals:
        kept = dict(self._db.execute("SELECT key, value FROM kept_values"))
        return Totals(**{key: kept[key] for key in Totals.__struct_fields__ if key in kept})

    def limit(self) -> int:
        """Return the limit as `SaveLimit` wrote it."""
        return self._kept_value(_LIMIT)

    def _kept_value(self, key: str) -> int:
        """Return it; -1 when there is none."""
        row = self._db.execute("SELECT value FROM kept_values WHERE key = ?", (key,)).fetchone()
        return -1 if row is None else int(row[0])

    def living(self) -> Iterator[tuple[JobRecord, list[SourceRecord], AttemptRecord | None]]:
        """Yield every job that has not ended, or whose last attempt has not, with its sources and that attempt."""
        where = "(state IN ('queued', 'active', 'paused') OR number > 0)"
        jobs = JOBS.rows(self._db.execute(JOBS.select + f"WHERE {where} ORDER BY serial"))
        sources: dict[str, list[SourceRecord]] = {job.id: [] for job in jobs}
        found = f"WHERE id IN (SELECT id FROM jobs WHERE {where}) ORDER BY id, number"
        for source in map(SOURCES.row, self._db.execute(SOURCES.select + found)):
            sources[source.id].append(source)
        open_runs = self._db.execute(ATTEMPTS.select + f"WHERE number IN (SELECT number FROM jobs WHERE {where})")
        runs = {run.number: run for run in ATTEMPTS.rows(open_runs)}
        for job in jobs:
            yield job, sources[job.id], runs.get(job.number) if job.number else None

    def files(self) -> list[JobFiles]:
        return FILES.rows(self._db.execute(FILES.select))

    # -- reading what people ask for

    def job(self, id: str) -> JobRecord | None:
        found = self._db.execute(JOBS.select + "WHERE id = ?", (id,)).fetchone()
        return JOBS.row(found) if found is not None else None

    def job_of_key(self, key: str) -> JobRecord | None:
        """Return the job that was ordered with this key, which is not empty."""
        found = self._db.execute(JOBS.select + "WHERE order_key = ? AND order_key != ''", (key,))
        return next(iter(JOBS.rows(found)), None)

    def sources(self, id: str) -> list[SourceRecord]:
        return SOURCES.rows(self._db.execute(SOURCES.select + "WHERE id = ? ORDER BY number", (id,)))

    def runs(self, id: str) -> list[AttemptRecord]:
        return ATTEMPTS.rows(self._db.execute(ATTEMPTS.select + "WHERE id = ? ORDER BY number", (id,)))

    def manifest(self, id: str) -> list[ManifestRange]:
        return MANIFEST.rows(self._db.execute(MANIFEST.select + "WHERE id = ? ORDER BY first", (id,)))

    def notes(self, id: str) -> list[str]:
        """Return the latest notes, newest last."""
        return [text for (text,) in self._db.execute("SELECT text FROM notes WHERE id = ? ORDER BY number", (id,))]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state that any is in."""
        return dict(self._db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state"))

    def timeline(self, id: str, *, offset: int, limit: int) -> tuple[list[EventEntry], int]:
        """Return events of a job, oldest first, and how many there are."""
        total = int(self._db.execute("SELECT COUNT(*) FROM events WHERE id = ?", (id,)).fetchone()[0])
        found = self._db.execute(EVENTS.select + "WHERE id = ? ORDER BY serial LIMIT ? OFFSET ?", (id, limit, offset))
        return EVENTS.rows(found), total

    def events(self, *, after: int, offset: int, limit: int) -> tuple[list[EventEntry], int]:
        """Return the page that `ListEvents` names, and how many match."""
        if after >= 0:
            total = self._db.execute("SELECT COUNT(*) FROM events WHERE serial > ?", (after,)).fetchone()[0]
            found = self._db.execute(
                EVENTS.select + "WHERE serial > ? ORDER BY serial LIMIT ? OFFSET ?", (after, limit, offset)
            )
        else:
            total = self._db.execute("SELECT COUNT(*) FROM events").fetchone()[0]
            found = self._db.execute(EVENTS.select + "ORDER BY serial DESC LIMIT ? OFFSET ?", (limit, offset))
        return EVENTS.rows(found), int(total)

    def jobs(
        self,
        *,
        states: tuple[str, ...] = (),
        origin: str = "",
        user: str = "",
        text: str = "",
        removed: bool = False,
        queue_first_ms: int = -1,
        offset: int = 0,
        limit: int,
    ) -> tuple[list[JobRecord], int]:
        """Return a page of those that match (empty: everything does), and how many match in all.

        Newest first; with `queue_first_ms` >= 0 as they will be started: who waits since before that time, oldest
        first, then by priority and age, then what does not wait.
        """
        where, values = _matching(states, origin, user, text, removed)
        order = "serial DESC"
        if queue_first_ms >= 0:
            # The same order as `actors.core.jobs.queue` takes them in.
            values["first"] = queue_first_ms
            starved = "state = 'queued' AND queued_ms <= :first"
            order = (
                f"state <> 'queued', NOT ({starved}), CASE WHEN {starved} THEN 0 ELSE -priority END, queued_ms, serial"
            )
        if text or queue_first_ms >= 0:
            # What has to be looked at is looked at once, for both the page and the total.
            found = self._db.execute(f"SELECT serial FROM jobs {where} ORDER BY {order}", values).fetchall()
            total, page = len(found), [serial for (serial,) in found[offset : offset + limit]]
        else:
            total = int(self._db.execute(f"SELECT COUNT(*) FROM jobs {where}", values).fetchone()[0])
            values |= {"limit": limit, "offset": offset}
            newest = f"SELECT serial FROM jobs {where} ORDER BY {order} LIMIT :limit OFFSET :offset"
            page = [serial for (serial,) in self._db.execute(newest, values)]
        rows = {job.serial: job for job in self._of_serials(page)}
        return [rows[serial] for serial in page], total

    def _of_serials(self, serials: list[int]) -> Iterator[JobRecord]:
        for at in range(0, len(serials), VARIABLES_MAX):
            part = serials[at : at + VARIABLES_MAX]
            marks = ", ".join("?" * len(part))
            yield from map(JOBS.row, self._db.execute(f"{JOBS.select} WHERE serial IN ({marks})", part))

    def _last(self, table: str) -> int:
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(found[0]) if found is not None else 0


def _matching(states: tuple[str, ...], origin: str, user: str, text: str, removed: bool) -> tuple[str, dict[str, Any]]:
    """Return a WHERE clause, empty when everything matches, and its values."""
    clauses: list[str] = []
    values: dict[str, Any] = {f"state{at}": state for at, state in enumerate(states)}
    if states:
        clauses.append(f"state IN ({', '.join(f':state{at}' for at in range(len(states)))})")
    if not removed:
        clauses.append("removed = 0")
    if origin:
        clauses.append("origin = :origin")
        values["origin"] = origin
    if user:
        clauses.append("user = :user")
        values["user"] = user
    if text:
        looked = " OR ".join(f"{column} LIKE :text ESCAPE '!'" for column in _TEXTS)
        clauses.append(f"({looked})")
        values["text"] = "%" + _LIKE.sub(r"!\g<0>", text) + "%"
    return f"WHERE {' AND '.join(clauses)}" if clauses else "", values
