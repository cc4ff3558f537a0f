"""Flipped bytes in the job store: reported, and no row beside the damaged one suffers."""

import logging
import sqlite3
from pathlib import Path

import pytest

from protocol.model.job_records import (
    AttemptRecord,
    JobRecord,
    ManifestRange,
    SaveAttempt,
    SaveEvent,
    SaveJob,
    SaveManifest,
    SaveSource,
    SourceRecord,
    Wish,
)
from storage import job_store_schema
from storage.job_store import JobStore, StoreFault, check_store
from tests.storage.test_job_store import event, job


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of three living jobs, each with two sources and an attempt, and an ended one."""
    monkeypatch.setattr(job_store_schema, "_reported", set())
    place = str(tmp_path / "jobs.sqlite")
    store = JobStore(place)
    for at in (1, 2, 3):
        sources = [SourceRecord(id=f"id-{at}", number=n, url=f"http://host-{n}/f", peer="", path="") for n in (0, 1)]
        run = AttemptRecord(number=at, id=f"id-{at}", attempt=0, begun_ms=5)
        store.apply([SaveJob(job(at, state="active", number=at, reason="marker-job")), SaveAttempt(run)])
        store.apply([SaveSource(source) for source in sources])
        store.apply([SaveEvent(event(at, f"id-{at}"))])
        store.apply([SaveManifest(f"id-{at}", (ManifestRange(first=0, stop=4, source=0, url="http://host-0/f"),))])
    store.apply([SaveJob(job(4, state="sealed"))])
    store.close()
    return place


def damage(path: str, statement: str, *values: object) -> None:
    """Change a row behind the back of the program: as a flipped bit does, its digest stays."""
    with sqlite3.connect(path) as db:
        changed = db.execute(statement, values).rowcount
    db.close()
    assert changed == 1


def ids(jobs: list[JobRecord]) -> list[str]:
    return [each.id for each in jobs]


@pytest.mark.parametrize(
    "column", ["size_bytes", "chunk_size", "created_ms", "number", "active_s", "priority", "row_check", "removed"]
)
def test_a_changed_number_of_a_job_is_damage(path: str, column: str) -> None:
    damage(path, f"UPDATE jobs SET {column} = {column} + 1 WHERE id = 'id-2'")
    store = JobStore(path)
    assert ids([record for record, *_ in store.living()]) == ["id-1", "id-3"]
    found, total = store.jobs(limit=9, removed=True)
    assert (ids(found), total) == (["id-4", "id-3", "id-2", "id-1"], 4)
    shown = found[2]
    assert (shown.state, shown.number, shown.path) == ("failed", 0, "")
    assert "damaged" in shown.reason
    assert store.job("id-2") == shown
    assert store.job("id-1") == job(1, state="active", number=1, reason="marker-job")
    store.close()


@pytest.mark.parametrize("column", ["name", "folder", "state", "reason", "mode", "checksum", "path", "headers"])
@pytest.mark.parametrize("text", ["x", b"\xff\xfe"])
def test_a_changed_text_of_a_job_is_damage_whatever_its_bytes(path: str, column: str, text: object) -> None:
    damage(path, f"UPDATE jobs SET {column} = CAST(? AS TEXT) WHERE id = 'id-2'", text)
    store = JobStore(path)
    assert ids([record for record, *_ in store.living()]) == ["id-1", "id-3"]
    assert len(store.jobs(limit=9)[0]) == 4
    assert sum(store.counts().values()) == 4
    assert set(store.counts()) <= {"active", "sealed", "failed"}
    store.close()


def test_a_damaged_source_is_dropped_and_the_others_keep_their_numbers(path: str) -> None:
    damage(path, "UPDATE sources SET url = 'http://evil/f' WHERE id = 'id-1' AND number = 0")
    store = JobStore(path)
    living = {record.id: sources for record, sources, _ in store.living()}
    assert [(each.url, each.left) for each in living["id-1"]] == [("", "dropped"), ("http://host-1/f", "")]
    assert [each.url for each in living["id-2"]] == ["http://host-0/f", "http://host-1/f"]
    store.close()


def test_a_damaged_attempt_is_one_of_which_nothing_is_known(path: str) -> None:
    damage(path, "UPDATE runs SET begun_ms = 1 << 60 WHERE number = 3")
    store = JobStore(path)
    runs = {record.id: run for record, _, run in store.living()}
    assert runs["id-3"] == AttemptRecord(number=3, id="id-3", attempt=0, begun_ms=0)
    assert runs["id-1"] == AttemptRecord(number=1, id="id-1", attempt=0, begun_ms=5)
    store.close()


def test_damaged_events_and_provenance_are_left_out(path: str) -> None:
    damage(path, "UPDATE events SET kind = 'x' WHERE serial = 2")
    damage(path, "UPDATE manifest SET stop = 5 WHERE id = 'id-1'")
    store = JobStore(path)
    assert [each.serial for each in store.events(after=0, offset=0, limit=9)[0]] == [1, 3]
    assert store.manifest("id-1") == []
    assert len(store.manifest("id-2")) == 1
    store.close()


def test_damage_is_reported_once_by_name(path: str, caplog: pytest.LogCaptureFixture) -> None:
    damage(path, "UPDATE jobs SET size_bytes = 7 WHERE id = 'id-2'")
    store = JobStore(path)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            store.jobs(limit=9)
            store.job("id-2")
    store.close()
    assert [record.getMessage() for record in caplog.records] == [
        "job store: a row of jobs is damaged: ['id-2', 2]",
    ]


def test_the_check_before_a_start_names_every_damaged_row(path: str) -> None:
    assert check_store(path) == []
    damage(path, "UPDATE jobs SET size_bytes = 7 WHERE id = 'id-4'")
    damage(path, "UPDATE sources SET chunks = 7 WHERE id = 'id-1' AND number = 1")
    assert check_store(path) == ["a row of jobs is damaged: ['id-4', 4]", "a row of sources is damaged: ['id-1', 1]"]
    assert JobStore(path).job("id-1") is not None


def test_a_damaged_job_can_be_deleted_and_ordered_again(path: str) -> None:
    from protocol.model.job_records import DropJob

    damage(path, "UPDATE jobs SET size_bytes = 7 WHERE id = 'id-2'")
    store = JobStore(path)
    store.apply([DropJob("id-2"), SaveJob(job(2))])
    assert store.job("id-2") == job(2)
    store.close()


def test_every_flipped_byte_of_the_file_is_refused_reported_or_harmless(path: str) -> None:
    """Structure that is broken refuses the store; what can be read is either as it was or reported."""
    whole = Path(path).read_bytes()
    first = JobStore(path)
    want = {record.id: record for record in first.jobs(limit=9)[0]}
    first.close()
    refused, reported = list[str](), 0
    for at in (*range(100, len(whole), 409), whole.index(b"marker-job")):
        Path(path).write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        for left in ("-wal", "-journal"):
            Path(path + left).unlink(missing_ok=True)
        try:
            damaged = check_store(path)
            store = JobStore(path)
        except StoreFault as fault:
            refused.append(str(fault))
            continue
        try:
            found = store.jobs(limit=9)[0]
        except sqlite3.Error:
            refused.append("cannot be used: an index leads nowhere")
        else:
            reported += bool(damaged)
            for record in found:
                assert record == want.get(record.id) or "damaged" in record.reason, at
        store.close()
    assert refused
    assert all("move it away" in each or "cannot be used" in each for each in refused)
    assert reported > 0


def test_a_store_of_an_older_program_without_digests_gets_them(path: str) -> None:
    with sqlite3.connect(path) as db:
        for table in ("jobs", "sources", "runs", "manifest", "events", "files"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN row_check")
    db.close()
    JobStore(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM jobs WHERE row_check = 0").fetchone() == (0,)
    db.close()
    damage(path, "UPDATE jobs SET size_bytes = 7 WHERE id = 'id-2'")
    assert len(check_store(path)) == 1


def test_a_new_column_leaves_whole_rows_whole_and_damaged_ones_damaged(path: str) -> None:
    damage(path, "UPDATE jobs SET size_bytes = 7 WHERE id = 'id-2'")
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT * FROM jobs").fetchall()
        names = [name for _, name, *_ in db.execute("PRAGMA table_info(jobs)")]
        assert len(rows) == 4
        # As if a program had written it that did not know the last field yet.
        for row in rows:
            held = [value for name, value in zip(names, row, strict=True) if name not in ("order_digest", "row_check")]
            if row[names.index("id")] != "id-2":
                digest = job_store_schema._digest(held)
                db.execute("UPDATE jobs SET row_check = ? WHERE id = ?", (digest, row[names.index("id")]))
        db.execute("ALTER TABLE jobs DROP COLUMN order_digest")
    db.close()
    assert check_store(path) == ["a row of jobs is damaged: ['id-2', 2]"]


def test_the_wishlist_comes_back_oldest_first_without_what_is_damaged_or_was_dropped(path: str) -> None:
    store = JobStore(path)
    wishes = [Wish(id=f"w{at}", term=f"words {at}", download=at == 1, created_ms=100 - at) for at in range(4)]
    for wish in wishes:
        store.put_wish(wish)
    found = wishes[2].but(searched_ms=200, found_ms=201, found=3, job="id-9")
    store.put_wish(found)
    assert store.wishes() == [wishes[3], found, wishes[1], wishes[0]]
    assert (store.delete_wish("w3"), store.delete_wish("w3")) == (1, 0)
    store.close()
    damage(path, "UPDATE wishes SET term = 'other words' WHERE id = 'w1'")
    store = JobStore(path)
    assert store.wishes() == [found, wishes[0]]
    store.close()


def test_a_timeline_is_cut_in_pages_with_its_whole_length(path: str) -> None:
    store = JobStore(path)
    store.apply([SaveEvent(event(at, "id-1")) for at in (4, 5, 6)])
    page, total = store.timeline("id-1", offset=1, limit=2)
    assert ([each.serial for each in page], total) == ([4, 5], 4)
    store.close()


def damage_schema(path: str) -> None:
    """Make a type of the schema bytes that are no text, which SQLite quotes."""
    file = Path(path)
    held = file.read_bytes()
    assert b" INTEGER NOT NULL" in held
    file.write_bytes(held.replace(b" INTEGER NOT NULL", b" \xccNTEGER NOT NULL"))


def test_a_damaged_schema_is_said(path: str) -> None:
    damage_schema(path)
    with pytest.raises(StoreFault, match=r"jobs\.sqlite"):
        check_store(path)


@pytest.mark.parametrize("statement", ["", "DROP TABLE logins", "ALTER TABLE logins DROP COLUMN text"])
def test_a_damaged_schema_of_the_logins_costs_them_alone(path: str, statement: str) -> None:
    logins = path.replace("jobs", "logins")
    if statement:
        with sqlite3.connect(logins) as db:
            db.execute(statement)
            if statement.startswith("DROP"):
                db.execute("CREATE TABLE logins (number INTEGER)")
                db.execute("INSERT INTO logins VALUES (NULL)")
        db.close()
    else:
        damage_schema(logins)
    assert check_store(path) == []
    JobStore(path).close()
