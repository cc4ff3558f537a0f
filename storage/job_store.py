"""Job store: every job, its sources, attempts and provenance, and the events, in one SQLite file.

Exactly one connection, used by one thread. Nothing is decided here. What `apply` has returned from is durable, through
`kill -9` and a power failure alike. A damaged row is reported once; a job or source that it was is shown as failed or
dropped, all else of it is left out, and no row beside it suffers. Passwords are kept apart, in a `LoginStore`.
"""

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, assert_never

from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import (
    ENDED,
    FAILED,
    STATES,
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
    SaveSchedule,
    SaveSource,
    SaveTotals,
    ScheduleRecord,
    SourceRecord,
    Totals,
    TrimEvents,
    Wish,
    Write,
)
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import FolderView
from protocol.model.source_url import public_url, without_login
from storage.damaged_database import is_damage
from storage.durable import make_private
from storage.job_store_schema import (
    ATTEMPTS,
    EVENTS,
    FILES,
    JOBS,
    MANIFEST,
    SCHEDULE,
    SOURCES,
    WISHES,
    DamagedRow,
    StoreFault,
    check_rows,
    open_store,
    report_once,
)

__all__ = ["JobStore", "StoreFault", "check_store"]

VARIABLES_MAX: Final = 500
"""Most values in one statement."""
_LIMIT: Final = "limit_bytes_s"
_BOOKMARK: Final = "bookmark "
ORDERS: Final = {
    "newest": "serial DESC",
    "oldest": "serial",
    "name": "CASE file_name WHEN '' THEN name ELSE file_name END COLLATE NOCASE, serial",
    "largest": "CASE WHEN found_bytes < 0 THEN size_bytes ELSE found_bytes END DESC, serial DESC",
    "folder": "folder, CASE file_name WHEN '' THEN name ELSE file_name END COLLATE NOCASE, serial",
}
"""Orders of a list of jobs."""
_BY_SERIAL: Final = ("newest", "oldest")
_TEXTS: Final = ("file_name", "name", "remote_path", "path")
"""Columns that a text is searched in; letters of a to z match in both cases."""
_DAMAGED: Final = "its row in the job store is damaged: order it again"
_LIVING: Final = "(state IN ('queued', 'active', 'paused') OR number > 0)"
_LIKE: Final = re.compile("[!%_]")
LOGINS_NAME: Final = "logins.sqlite"
HTTP: Final = -1
"""In the place of a source's number: the HTTP options of a job."""
_LOGINS: Final = (
    "CREATE TABLE IF NOT EXISTS logins"
    " (id TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (id, number)) STRICT"
)


class LoginStore:
    """Passwords and signatures of addresses, and request headers, apart from the job store and while their jobs live.

    The job store has the addresses as they are shown and no headers, so a copy, a backup or a report of it holds no
    secret. This file beside it, readable by its owner alone, has them whole and overwrites what is deleted.
    Keys are a job and the number of a source, `HTTP` for the job's HTTP options. Used by one thread.

    Written before the job store's rows and cleared after them: a crash in between leaves an entry too many, which
    `keep_only` removes. A damaged file costs the logins and nothing else: it is begun again.
    """

    def __init__(self, beside: str) -> None:
        path = os.path.join(os.path.dirname(beside), LOGINS_NAME)
        try:
            self._open(path)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:  # the latter of damaged words and rows
            self._db.close()
            if not is_damage(error):
                raise
            os.unlink(path)
            self._open(path)

    def _open(self, path: str) -> None:
        make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_LOGINS)
        self._texts = {
            (str(id), int(number)): str(text) for id, number, text in self._db.execute("SELECT * FROM logins")
        }

    def close(self) -> None:
        self._db.close()

    def http(self, id: str) -> str:
        """Return the HTTP options of a job that were kept, as JSON; empty when there are none."""
        return self._texts.get((id, HTTP), "")

    def url(self, id: str, number: int, shown: str) -> str:
        """Return the address that was kept, else what the job store has in its place: where the two differ, too."""
        kept = self._texts.get((id, number), shown)
        return kept if public_url(kept) == shown else shown

    def put(self, id: str, number: int, text: str) -> None:
        """Keep a text; the same again costs nothing."""
        if self._texts.get((id, number)) != text:
            self._db.execute("INSERT OR REPLACE INTO logins VALUES (?, ?, ?)", (id, number, text))
            self._texts[id, number] = text

    def put_url(self, id: str, number: int, url: str) -> str:
        """Keep the address if it holds a secret; return it without."""
        shown = public_url(url)
        if shown != url:
            self.put(id, number, url)
        return shown

    def drop(self, id: str, *, signed: bool = False) -> None:
        """Forget the logins of a job that has ended. `signed`: not its signed addresses, which a retry needs."""
        held = {key: text for key, text in self._texts.items() if key[0] == id}
        kept = {key: without_login(text) for key, text in held.items() if signed and key[1] != HTTP}
        kept = {key: url for key, url in kept.items() if url != public_url(url)}
        if held == kept:
            return
        self._db.execute("DELETE FROM logins WHERE id = ?", (id,))
        for key in held:
            del self._texts[key]
        for (_, number), url in kept.items():
            self.put(id, number, url)

    def keep_only(self, living: Container[str], signed: Container[str]) -> None:
        """Forget the logins of all other jobs, of these `signed` all but their signed addresses."""
        for id in {id for id, _ in self._texts if id not in living}:
            self.drop(id, signed=id in signed)


def check_store(path: str) -> list[str]:
    """Check the store at `path` as `check_rows` does, and the logins beside it. Raises `StoreFault`."""
    damaged = check_rows(path)
    _opened_logins(path).close()
    return damaged


def _opened_logins(path: str) -> LoginStore:
    try:
        return LoginStore(path)
    except OSError as error:
        raise StoreFault(f"{error.filename or path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreFault(f"{path}: the logins beside it cannot be used: {error}") from error


class JobStore:
    """Owner of the connection. `StoreFault` when the file cannot be used, see `open_store`; `sqlite3.Error` later."""

    def __init__(self, path: str) -> None:
        self._db = open_store(path)
        try:
            self._logins = _opened_logins(path)
            self._settle_logins()
        except (sqlite3.Error, StoreFault):
            self._db.close()
            raise

    def close(self) -> None:
        self._logins.close()
        self._db.close()

    def _settle_logins(self) -> None:
        """Forget the logins of jobs that live no more; move those that an older program left in the store."""
        living = {id for (id,) in self._db.execute(f"SELECT id FROM jobs WHERE {_LIVING}")}
        unsealed = {id for (id,) in self._db.execute("SELECT id FROM jobs WHERE state != 'sealed'")}
        self._logins.keep_only(living, unsealed)
        for row in self._db.execute(SOURCES.select + "WHERE url LIKE '%@%' OR url LIKE '%=%'").fetchall():
            with suppress(DamagedRow):
                source = SOURCES.row(row)
                shown = self._logins.put_url(source.id, source.number, source.url)
                if shown != source.url:
                    self._db.execute(SOURCES.put, SOURCES.values(source.but(url=shown)))
        self._logins.keep_only(living, unsealed)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- writing

    def apply(self, writes: Collection[Write]) -> None:
        """Write all of it or, raising `sqlite3.Error`, nothing. The logins of ended jobs go."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for write in writes:
                self._write(write)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        for write in writes:
            match write:
                case SaveJob(job) if job.state in ENDED and not job.number:
                    self._logins.drop(job.id, signed=job.state != "sealed")
                case DropJob(id):
                    self._logins.drop(id)

    def remove_ended(self, origin: str) -> int:
        """Take the ended jobs of this origin off the default list; return their number."""
        ended = "state IN ('sealed', 'failed', 'cancelled') AND number = 0"
        found = self._db.execute(JOBS.select + f"WHERE origin = ? AND removed = 0 AND {ended}", (origin,)).fetchall()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            JOBS.put, [JOBS.values(self._without_secrets(job.but(removed=True))) for job in self._jobs(found)]
        )
        self._db.execute("COMMIT")
        return len(found)

    def set_bookmark(self, name: str, serial: int) -> None:
        """Store how far the reader of this name has come with the events; durable when this returns."""
        self._db.execute("INSERT OR REPLACE INTO kept_values VALUES (?, ?)", (_BOOKMARK + name, serial))

    def wishes(self) -> list[Wish]:
        """Return the wishlist, the oldest first, without rows that are damaged."""
        found = self._db.execute(WISHES.select + "ORDER BY created_ms, id")
        return [WISHES.row(values) for values in found if WISHES.is_whole(values)]

    def put_wish(self, wish: Wish) -> None:
        """Store a wish; safe when this returns."""
        self._db.execute(WISHES.put, WISHES.values(wish))

    def delete_wish(self, id: str) -> int:
        """Drop a wish; returns how many there were."""
        return self._db.execute("DELETE FROM wishes WHERE id = ?", (id,)).rowcount

    def bookmark(self, name: str) -> int:
        """Return the value; -1 when there is none."""
        return self._kept_value(_BOOKMARK + name)

    def _write(self, write: Write) -> None:
        put = self._db.execute
        match write:
            case SaveJob(job):
                put(JOBS.put, JOBS.values(self._without_secrets(job)))
            case SaveSource(source):
                shown = self._logins.put_url(source.id, source.number, source.url)
                put(SOURCES.put, SOURCES.values(source.but(url=shown)))
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
            case SaveSchedule(windows):
                put("DELETE FROM schedule", ())
                if windows is not None:
                    put(SCHEDULE.put, SCHEDULE.values(ScheduleRecord(number=0, windows=windows)))
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

    # -- reading at the start

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
        """Return the value of the last `SaveLimit`; -1: none."""
        return self._kept_value(_LIMIT)

    def schedule(self) -> tuple[LimitWindow, ...] | None:
        """Return the windows of the last `SaveSchedule`; None: the configuration's hold."""
        rows = SCHEDULE.rows(self._db.execute(SCHEDULE.select).fetchall())
        return rows[0].windows if rows else None

    def _kept_value(self, key: str) -> int:
        """Return the value; -1 when there is none."""
        row = self._db.execute("SELECT value FROM kept_values WHERE key = ?", (key,)).fetchone()
        return -1 if row is None else int(row[0])

    def living(self) -> Iterator[tuple[JobRecord, list[SourceRecord], AttemptRecord | None]]:
        """Yield every job that has not ended, or whose last attempt has not; its sources; that attempt.

        A job whose row is damaged is none of them.
        """
        found = JOBS.rows(self._db.execute(JOBS.select + f"WHERE {_LIVING} ORDER BY serial"))
        jobs = [self._with_secrets(job) for job in found]
        rows: dict[str, list[Any]] = {job.id: [] for job in jobs}
        for row in self._db.execute(
            SOURCES.select + f"WHERE id IN (SELECT id FROM jobs WHERE {_LIVING}) ORDER BY id, number"
        ):
            if row[0] in rows:
                rows[row[0]].append(row)
        open_runs = self._db.execute(ATTEMPTS.select + f"WHERE number IN (SELECT number FROM jobs WHERE {_LIVING})")
        runs = {run.number: run for run in ATTEMPTS.rows(open_runs)}
        for job in jobs:
            lost = AttemptRecord(number=job.number, id=job.id, attempt=0, begun_ms=job.started_ms)
            yield job, self._sources(job.id, rows[job.id]), runs.get(job.number, lost) if job.number else None

    def _sources(self, id: str, rows: Iterable[Sequence[Any]]) -> list[SourceRecord]:
        """Return a job's sources, the one of number n at place n; a damaged or missing one is dropped from the job."""
        rows = list(rows)
        found = {source.number: source for source in SOURCES.rows(rows)}
        return [
            found[number].but(url=self._logins.url(id, number, found[number].url))
            if number in found
            else SourceRecord(id=id, number=number, url="", peer="", path="", left="dropped", reason=_DAMAGED)
            for number in range(max([len(rows) - 1, *found]) + 1)
        ]

    def _jobs(self, rows: Iterable[Sequence[Any]]) -> list[JobRecord]:
        """Return jobs, a failed one in the place of each whose row is damaged."""
        return [self._with_secrets(job) for job in JOBS.rows(rows, stub=_damaged_job)]

    def _without_secrets(self, job: JobRecord) -> JobRecord:
        """Keep headers, cookies, logins and those of proxy and referring page apart; return the row without."""
        http = job.spec.http
        proxy, referer = public_url(http.proxy), public_url(http.referer)
        shown = http.but(headers=(), proxy=proxy, cookies=(), logins=(), referer=referer)
        if shown == http:
            return job
        secrets = [http.headers, http.proxy, http.cookies, http.logins, http.referer]
        self._logins.put(job.id, HTTP, json.dumps(secrets))
        return job.but(spec=job.spec.but(http=shown))

    def _with_secrets(self, job: JobRecord) -> JobRecord:
        kept = self._logins.http(job.id)
        if not kept:
            return job
        try:
            headers, proxy, *more = json.loads(kept)
            more += [(), (), job.spec.http.referer][len(more) :]  # older programs knew fewer
            cookies, logins, referer = more
            http = job.spec.http.but(headers=tuple(headers), proxy=proxy, cookies=tuple(cookies), logins=tuple(logins))
        except (ValueError, TypeError):
            report_once(f"the logins of job {job.id} are damaged")
            return job
        return job.but(spec=job.spec.but(http=http.but(referer=referer)))

    def files(self) -> list[JobFiles]:
        return FILES.rows(self._db.execute(FILES.select))

    # -- queries

    def job(self, id: str) -> JobRecord | None:
        found = self._db.execute(JOBS.select + "WHERE id = ?", (id,)).fetchone()
        return next(iter(self._jobs([found] if found is not None else [])), None)

    def job_of_key(self, key: str) -> JobRecord | None:
        """Return the job that was ordered with this key, which is not empty."""
        found = self._db.execute(JOBS.select + "WHERE order_key = ? AND order_key != ''", (key,))
        return next(iter(self._jobs(found)), None)

    def sources(self, id: str) -> list[SourceRecord]:
        return self._sources(id, self._db.execute(SOURCES.select + "WHERE id = ? ORDER BY number", (id,)))

    def runs(self, id: str) -> list[AttemptRecord]:
        return ATTEMPTS.rows(self._db.execute(ATTEMPTS.select + "WHERE id = ? ORDER BY number", (id,)))

    def manifest(self, id: str) -> list[ManifestRange]:
        return MANIFEST.rows(self._db.execute(MANIFEST.select + "WHERE id = ? ORDER BY first", (id,)))

    def notes(self, id: str) -> list[str]:
        """Return the latest notes, newest last."""
        return [text for (text,) in self._db.execute("SELECT text FROM notes WHERE id = ? ORDER BY number", (id,))]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by state."""
        counts = Counter[str]()
        for state, count in self._db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state"):
            counts[state if state in STATES else FAILED] += count
        return counts

    def timeline(self, id: str, *, offset: int, limit: int) -> tuple[list[EventEntry], int]:
        """Return events of a job, oldest first, and their total."""
        total = int(self._db.execute("SELECT COUNT(*) FROM events WHERE id = ?", (id,)).fetchone()[0])
        found = self._db.execute(EVENTS.select + "WHERE id = ? ORDER BY serial LIMIT ? OFFSET ?", (id, limit, offset))
        return EVENTS.rows(found), total

    def events(self, *, after: int, offset: int, limit: int) -> tuple[list[EventEntry], int]:
        """Return the page of a `ListEvents`, and the number of matches."""
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
        order: str = "newest",
        queue_first_ms: int = -1,
        folder_id: str = "",
        offset: int = 0,
        limit: int,
    ) -> tuple[list[JobRecord], int]:
        """Return a page of the matches (empty: all match), and their number.

        In one of the `ORDERS`; with `queue_first_ms` >= 0 as they will be started: those that wait since before that
        time, oldest first, then by priority and age, then those that do not wait.
        """
        where, values = _matching(states, origin, user, text, removed, folder_id)
        by = ORDERS.get(order, ORDERS["newest"])
        if queue_first_ms >= 0:
            # The same order as `actors.core.jobs.job.queue_key` takes them in.
            values["first"] = queue_first_ms
            starved = "state = 'queued' AND queued_ms <= :first"
            by = f"state <> 'queued', NOT ({starved}), CASE WHEN {starved} THEN 0 ELSE -priority END, queued_ms, serial"
        if text or queue_first_ms >= 0 or order not in _BY_SERIAL:
            # Every row has to be read: once for both the page and the total.
            found = self._db.execute(f"SELECT serial FROM jobs {where} ORDER BY {by}", values).fetchall()
            total, page = len(found), [serial for (serial,) in found[offset : offset + limit]]
        else:
            total = int(self._db.execute(f"SELECT COUNT(*) FROM jobs {where}", values).fetchone()[0])
            values |= {"limit": limit, "offset": offset}
            newest = f"SELECT serial FROM jobs {where} ORDER BY {by} LIMIT :limit OFFSET :offset"
            page = [serial for (serial,) in self._db.execute(newest, values)]
        rows = {job.serial: job for job in self._of_serials(page)}
        return [rows[serial] for serial in page if serial in rows], total

    def folders(self, *, offset: int, limit: int) -> tuple[list[FolderView], int]:
        """Return a page of folder downloads, the newest first, and their number."""
        total = self._db.execute("SELECT COUNT(DISTINCT folder_id) FROM jobs WHERE folder_id != ''").fetchone()[0]
        found = self._db.execute(
            "SELECT folder_id, COUNT(*) FROM jobs WHERE folder_id != '' GROUP BY folder_id"
            " ORDER BY MIN(serial) DESC LIMIT ? OFFSET ?",
            (limit, offset),
        )
        return [FolderView(id=id, jobs=jobs) for id, jobs in found], int(total)

    def piece_files(self) -> set[str]:
        """Return the paths of the lists of piece digests of all jobs that may still download."""
        found = self._db.execute("SELECT piece_file FROM jobs WHERE piece_file != '' AND state != 'sealed'")
        return {path for (path,) in found}

    def _of_serials(self, serials: list[int]) -> Iterator[JobRecord]:
        for at in range(0, len(serials), VARIABLES_MAX):
            part = serials[at : at + VARIABLES_MAX]
            marks = ", ".join("?" * len(part))
            yield from self._jobs(self._db.execute(f"{JOBS.select} WHERE serial IN ({marks})", part))

    def _last(self, table: str) -> int:
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(found[0]) if found is not None else 0


def _damaged_job(row: Sequence[Any]) -> JobRecord:
    """Return what is shown in the place of a job whose row is damaged; nothing of it can be used."""
    nowhere = JobSpec(folder=os.devnull)
    return JobRecord(
        id=str(row[0]), serial=int(row[1]), spec=nowhere, created_ms=0, queued_ms=0, state=FAILED, reason=_DAMAGED
    )


def _matching(
    states: tuple[str, ...], origin: str, user: str, text: str, removed: bool, folder_id: str
) -> tuple[str, dict[str, Any]]:
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
    if folder_id:
        clauses.append("folder_id = :folder_id")
        values["folder_id"] = folder_id
    if text:
        looked = " OR ".join(f"{column} LIKE :text ESCAPE '!'" for column in _TEXTS)
        clauses.append(f"({looked})")
        values["text"] = "%" + _LIKE.sub(r"!\g<0>", text) + "%"
    return f"WHERE {' AND '.join(clauses)}" if clauses else "", values
