"""The job store: what was applied is kept after each kill; what is not ours or not whole is refused untouched."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import (
    AttemptRecord,
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
    SourceRecord,
    Totals,
    TrimEvents,
)
from storage.job_store import JobStore, StoreFault
from storage.job_store_schema import APPLICATION_ID, VERSION
from tests.specs import job_record

ROOT = Path(__file__).parents[2]


WINDOW = LimitWindow(days=(0, 6), begin_minute=60, end_minute=1440, limit_bytes_s=5)


def job(at: int, **changes: object) -> JobRecord:
    fields: dict[str, object] = {
        "id": f"id-{at}",
        "serial": at,
        "name": f"f{at}.bin",
        "folder": "/box",
        "size_bytes": -1,
        "chunk_size": 4096,
        "checksum": "",
        "mode": "swarm",
        "limit_bytes_s": 0,
        "priority": 0,
        "term": "",
        "search_s": 0.0,
        "origin": "multisource",
        "user": "",
        "remote_path": "",
        "widen": False,
        "private_ok": True,
        "created_ms": at,
        "queued_ms": at,
    }
    return job_record(**(fields | changes))


def event(serial: int, id: str = "", at_ms: int = 0) -> EventEntry:
    return EventEntry(serial=serial, at_ms=at_ms, kind="job.noted", id=id, data=b"{}")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "jobs.sqlite")


def test_everything_comes_back_as_it_went_in(path: str) -> None:
    kept = job(1, state="active", number=7, active_s=1.5, widen=True, reason="ü", digest_hex="ab")
    source = SourceRecord(id="id-1", number=0, url="http://u:p@a/f", peer="", path="", found=True, stops=3)
    run = AttemptRecord(number=7, id="id-1", attempt=2, begun_ms=5)
    files = JobFiles(id="id-0", folder="/box", name="x")
    manifest = (
        ManifestRange(first=0, stop=4, source=0, url="http://a/f"),
        ManifestRange(first=4, stop=9, source=-1, url=""),
    )
    book = JobStore(path)
    book.apply([SaveJob(kept), SaveSource(source), SaveAttempt(run), SaveEvent(event(3, "id-1")), SaveFiles(files)])
    book.apply([SaveManifest("id-1", manifest), SaveTotals(Totals(stops=4)), SaveLimit(1000), SaveNote("id-1", "a", 2)])
    book.apply([SaveNote("id-1", "b", 2), SaveNote("id-1", "c", 2)])
    book.close()
    book = JobStore(path)
    assert list(book.living()) == [(kept, [source], run)]
    assert (book.job("id-1"), book.sources("id-1"), book.runs("id-1")) == (kept, [source], [run])
    assert (book.manifest("id-1"), book.notes("id-1")) == (list(manifest), ["b", "c"])
    assert (book.totals(), book.limit(), book.files()) == (Totals(stops=4), 1000, [files])
    assert (book.last_run(), book.last_serial(), book.last_job()) == (7, 3, 1)
    assert book.timeline("id-1", offset=0, limit=9) == ([event(3, "id-1")], 1)


def test_a_schedule_is_kept_replaced_and_forgotten_also_in_a_store_without_its_table(path: str) -> None:
    JobStore(path).close()
    db = sqlite3.connect(path)
    db.execute("DROP TABLE schedule")
    db.close()
    for windows in ((WINDOW,), (WINDOW, WINDOW.but(days=(3,))), (), None):
        book = JobStore(path)
        book.apply([SaveSchedule(windows)])
        book.close()
        book = JobStore(path)
        assert book.schedule() == windows
        book.close()


def test_numbers_are_never_given_again(path: str) -> None:
    book = JobStore(path)
    book.apply(
        [SaveJob(job(1)), SaveAttempt(AttemptRecord(number=9, id="id-1", attempt=0, begun_ms=1)), SaveEvent(event(5))]
    )
    book.apply([DropJob("id-1"), TrimEvents(0, 0)])
    book.close()
    book = JobStore(path)
    assert (book.job("id-1"), book.runs("id-1"), book.events(after=0, offset=0, limit=9)) == (None, [], ([], 0))
    assert (book.last_run(), book.last_serial()) == (9, 5)


def test_a_batch_is_kept_whole_or_not_at_all(path: str) -> None:
    book = JobStore(path)
    book.apply([SaveJob(job(1))])
    with pytest.raises(sqlite3.Error):
        book.apply([SaveJob(job(2)), SaveLimit("many")])  # type: ignore[arg-type]
    assert book.jobs(limit=9) == ([job(1)], 1)
    book.apply([SaveJob(job(2))])


def test_only_its_owner_can_read_it(path: str) -> None:
    JobStore(path)
    for name in os.listdir(os.path.dirname(path)):
        assert stat.S_IMODE(os.stat(os.path.join(os.path.dirname(path), name)).st_mode) & 0o077 == 0


# -- pages


@pytest.fixture
def shelf(path: str) -> JobStore:
    book = JobStore(path)
    book.apply(
        [
            SaveJob(job(1, state="sealed", user="ann", origin="slskd", remote_path="Music\\Blue.flac")),
            SaveJob(job(2, priority=1)),
            SaveJob(job(3, priority=5)),
            SaveJob(job(4, state="failed", removed=True, origin="slskd")),
            SaveJob(job(5, priority=5, state="paused", number=3)),
        ]
    )
    return book


def ids(found: tuple[list[JobRecord], int]) -> list[str]:
    return [job.id.removeprefix("id-") for job in found[0]]


def test_a_page_holds_what_matches_newest_first(shelf: JobStore) -> None:
    assert ids(shelf.jobs(limit=9)) == ["5", "3", "2", "1"]
    assert ids(shelf.jobs(limit=9, removed=True)) == ["5", "4", "3", "2", "1"]
    assert shelf.jobs(limit=1, offset=1) == ([job(3, priority=5)], 4)
    assert ids(shelf.jobs(limit=9, states=("sealed", "failed"), removed=True)) == ["4", "1"]
    assert ids(shelf.jobs(limit=9, origin="slskd")) == ["1"]
    assert ids(shelf.jobs(limit=9, user="ann")) == ["1"]
    assert ids(shelf.jobs(limit=9, text="BLUE")) == ["1"]
    assert ids(shelf.jobs(limit=9, text="f3.")) == ["3"]
    assert ids(shelf.jobs(limit=9, text="%")) == []


def test_the_queue_is_listed_as_it_will_be_started(shelf: JobStore) -> None:
    assert ids(shelf.jobs(limit=9, states=("queued",), queue_first_ms=0)) == ["3", "2"]
    assert ids(shelf.jobs(limit=9, states=("queued",), queue_first_ms=2)) == ["2", "3"], "it has waited for too long"


def test_ended_jobs_of_one_door_leave_the_list(shelf: JobStore) -> None:
    assert shelf.remove_ended("slskd") == 1
    assert ids(shelf.jobs(limit=9)) == ["5", "3", "2"]
    assert shelf.remove_ended("slskd") == 0
    assert shelf.counts() == {"sealed": 1, "queued": 2, "failed": 1, "paused": 1}


def test_events_are_paged_from_both_ends_and_trimmed_by_count_and_age(path: str) -> None:
    book = JobStore(path)
    book.apply([SaveEvent(event(serial, at_ms=100 * serial)) for serial in range(1, 11)])
    assert [each.serial for each in book.events(after=3, offset=0, limit=2)[0]] == [4, 5]
    assert [each.serial for each in book.events(after=-1, offset=1, limit=2)[0]] == [9, 8]
    book.apply([TrimEvents(8, 0)])
    assert book.events(after=-1, offset=0, limit=0)[1] == 8
    book.apply([TrimEvents(8, 500)])
    assert [each.serial for each in book.events(after=0, offset=0, limit=9)[0]] == [5, 6, 7, 8, 9, 10]


# -- what is refused


def tree(path: str) -> dict[str, bytes]:
    folder = Path(path).parent
    return {name: (folder / name).read_bytes() for name in os.listdir(folder)}


def made(path: str, *statements: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_newer_store_is_refused_and_not_touched(path: str) -> None:
    JobStore(path).close()
    made(path, f"PRAGMA user_version = {VERSION + 1}")
    before = tree(path)
    with pytest.raises(StoreFault, match="newer version"):
        JobStore(path)
    assert tree(path) == before


def test_another_programs_database_is_refused_and_not_touched(path: str) -> None:
    made(path, "CREATE TABLE theirs (x)")
    before = tree(path)
    with pytest.raises(StoreFault, match="another program"):
        JobStore(path)
    assert tree(path) == before


@pytest.mark.parametrize("damage", ["head", "text", "middle", "cut"])
def test_a_damaged_store_is_refused_and_not_touched(path: str, damage: str) -> None:
    book = JobStore(path)
    book.apply([SaveJob(job(number)) for number in range(1, 300)])
    book.close()
    whole = Path(path).read_bytes()
    half = len(whole) // 2 // 4096 * 4096
    Path(path).write_bytes(
        {
            "head": b"SQLite format 3\x00",
            "text": b"[section]\nkey = 1\n" * 100,
            "middle": whole[:4096] + b"\xa5" * (len(whole) - 4096),
            "cut": whole[:half],
        }[damage]
    )
    before = tree(path)
    with pytest.raises(StoreFault, match=r"jobs\.sqlite is damaged"):
        JobStore(path)
    assert tree(path) == before


def test_a_store_that_is_in_use_is_refused(path: str) -> None:
    book = JobStore(path)
    book.apply([SaveLimit(1)])
    look = "import sys; from storage.job_store import JobStore; JobStore(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", look, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "in use by another program" in done.stderr
    book.apply([SaveLimit(2)])


def test_a_folder_that_cannot_be_made_is_a_fault_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFault, match="file"):
        JobStore(str(tmp_path / "file" / "jobs.sqlite"))


def test_a_job_is_found_by_the_key_of_its_order(path: str) -> None:
    book = JobStore(path)
    book.apply([SaveJob(job(1, order_key="k", order_digest="d")), SaveJob(job(2)), SaveJob(job(3))])
    assert book.job_of_key("k") == job(1, order_key="k", order_digest="d")
    assert book.job_of_key("l") is None
    assert book.job_of_key("") is None
    book.close()


# -- stores of older programs

VERSION_1 = """
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
VERSION_2 = """
ALTER TABLE jobs ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN order_digest TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_key ON jobs (order_key) WHERE order_key != '';
"""


def older(path: str, version: int) -> sqlite3.Connection:
    """A store as a program of that version made it, with a job and a source."""
    Path(path).parent.mkdir(exist_ok=True)
    db = sqlite3.connect(path)
    db.executescript("".join([VERSION_1, VERSION_2][:version]))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")
    names = [name for _, name, *_ in db.execute("PRAGMA table_info(jobs)")]
    row = {"id": "id-1", "serial": 1, "name": "f1.bin", "folder": "/box", "chunk_size": 4096, "mode": "race",
           "private_ok": 1, "state": "paused", "size_bytes": 7, "found_bytes": -1, "active_s": 2.5}  # fmt: skip
    kinds = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info(jobs)")}
    values = [row.get(name, {"TEXT": "", "REAL": 0.0}.get(kinds[name], 0)) for name in names]
    db.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
    db.execute(
        "INSERT INTO sources VALUES ('id-1', 0, 'http://a/f', '', '', 'dropped', 1, 'candidate', '', 1, 2, 3, 4)"
    )
    db.execute("INSERT INTO manifest VALUES ('id-1', 0, 2, 0, 'http://a/f')")
    db.commit()
    return db


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_program_is_completed_and_keeps_what_it_holds(path: str, version: int) -> None:
    older(path, version).close()
    book = JobStore(path)
    kept = book.job("id-1")
    assert kept is not None
    spec = kept.spec
    assert (spec.name, spec.mode, spec.private_ok, kept.state, kept.active_s) == ("f1.bin", "race", True, "paused", 2.5)
    assert (kept.order_key, kept.spec.size_bytes) == ("", 7)
    (source,) = book.sources("id-1")
    assert (source.url, source.left, source.found, source.stops) == ("http://a/f", "dropped", True, 4)
    assert book.manifest("id-1") == [ManifestRange(first=0, stop=2, source=0, url="http://a/f")]
    book.apply([SaveJob(kept.but(order_key="k")), SaveJob(job(2))])
    book.close()
    book = JobStore(path)
    assert (book.job_of_key("k"), book.job("id-2")) == (kept.but(order_key="k"), job(2))
    book.close()
    assert columns(path) == columns(new(path + ".new"))


def test_a_field_that_the_store_does_not_know_yet_gets_its_default(path: str) -> None:
    older(path, 2).executescript("ALTER TABLE jobs DROP COLUMN waited_s; ALTER TABLE sources DROP COLUMN stops")
    book = JobStore(path)
    kept = book.job("id-1")
    assert kept is not None
    assert (kept.waited_s, book.sources("id-1")[0].stops) == (0.0, 0)


def new(path: str) -> str:
    JobStore(path).close()
    return path


def columns(path: str) -> dict[str, set[str]]:
    """The columns of every table, with what else the schema consists of."""
    db = sqlite3.connect(path)
    things = db.execute("SELECT name FROM sqlite_schema").fetchall()
    found = {name: {column for _, column, *_ in db.execute(f"PRAGMA table_info({name})")} for (name,) in things}
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()
    return found


# -- kill -9

WRITER = """
import sys
from storage.job_store import JobStore
from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import SaveJob, SaveEvent
from tests.storage.test_job_store import job, event
book = JobStore(sys.argv[1])
at = book.last_job()
while True:
    at += 1
    book.apply([SaveJob(job(at)), SaveEvent(event(at, f"id-{at}"))])
    sys.stdout.write(f"{at}\\n")
    sys.stdout.flush()
"""


def test_whatever_was_reported_is_kept_when_the_writer_is_killed_in_the_middle(path: str) -> None:
    for round_ in range(4):
        child = subprocess.Popen([sys.executable, "-c", WRITER, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(20 + 7 * round_):
            shown = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        shown = int(([str(shown), *child.stdout.read().splitlines()])[-1])
        child.wait()
        child.stdout.close()
        book = JobStore(path)
        found = book.last_job()
        assert shown <= found <= shown + 1
        assert book.jobs(limit=10_000)[1] == book.last_serial() == found, "a job without its event, or the reverse"
        book.close()


def test_a_bookmark_is_found_again_by_its_name_and_is_no_total(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.sqlite")
    book = JobStore(path)
    assert book.bookmark("webhook a") == -1
    book.set_bookmark("webhook a", 7)
    book.set_bookmark("webhook b", 9)
    book.set_bookmark("webhook a", 8)
    book.close()
    book = JobStore(path)
    assert (book.bookmark("webhook a"), book.bookmark("webhook b"), book.bookmark("webhook c")) == (8, 9, -1)
    assert book.totals() == Totals()
    assert book.limit() == -1
    book.close()


def test_jobs_of_a_folder_are_found_and_folders_listed_the_newest_first(path: str) -> None:
    book = JobStore(path)
    book.apply([SaveJob(job(at, folder_id=folder)) for at, folder in enumerate(("", "a", "b", "a"), 1)])
    assert ids(book.jobs(folder_id="a", order="oldest", limit=9)) == ["2", "4"]
    found, total = book.folders(offset=0, limit=1)
    assert (total, [(each.id, each.jobs) for each in found]) == (2, [("b", 1)])
    assert [each.id for each in book.folders(offset=1, limit=9)[0]] == ["a"]
    book.close()
