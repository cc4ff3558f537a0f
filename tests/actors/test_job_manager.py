"""JobIndex kept by real processes: ordered, paused, resumed, cancelled; sealed whichever process dies."""

import hashlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.messages import (
    AddSources,
    CancelJob,
    DeleteJob,
    DropSource,
    ExplainJob,
    GetManifest,
    ListEvents,
    ListJobs,
    PauseJob,
    ResumeJob,
    RetryJob,
)
from protocol.model.job_records import EventEntry, ManifestRange
from protocol.model.job_views import Bottleneck, JobView
from tests.actors.job_manager_daemon import JobManagerDaemon, Refusal
from tests.http_mirrors.box import Box, Character, Content, mirrors

SIZE = 4 << 20
CONTENT = Content(SIZE)
CHUNK = 64 * 1024
NOT_LISTENING = "http://127.0.0.1:9/nothing"
EVERY: dict[str, Any] = {
    "states": (), "origin": "", "user": "", "text": "", "removed": False, "order": "newest", "offset": 0, "limit": 50
}  # fmt: skip


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors({"a": Character(rate_bytes_s=3e6), "b": Character(rate_bytes_s=3e6)}, CONTENT) as box:
        yield box


def same(path: str) -> bool:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() == CONTENT.sha256


def test_an_ordered_file_is_sealed_and_its_job_is_readable_afterwards(tmp_path: Path, box: Box) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(*box.urls, name="got.bin", chunk_size=CHUNK).id
        job = daemon.wait_for(id, lambda job: job.state == "sealed")
        assert same(job.path)
        assert (job.stored_bytes, job.size_bytes, job.number) == (SIZE, SIZE, 0)
        detail = daemon.job(id)
        assert sum(source.bytes_stored for source in detail.sources) == SIZE
        assert daemon.kinds(id)[:2] == ["job.queued", "job.started"]
        assert daemon.kinds(id)[-1] == "job.sealed"
    with JobManagerDaemon(tmp_path) as daemon:
        assert daemon.job(id).job == job


def test_a_paused_job_stops_and_goes_on_from_what_it_has(tmp_path: Path, box: Box) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(*box.urls, name="got.bin", chunk_size=CHUNK).id
        daemon.wait_for(id, lambda job: job.stored_bytes > SIZE // 8)
        assert daemon.ask(PauseJob, JobView, id=id)[0].state == "paused"
        paused = daemon.wait_for(id, lambda job: job.number == 0)
        assert paused.state == "paused"
        assert 0 < paused.stored_bytes < SIZE
        daemon.ask(ResumeJob, JobView, id=id)
        job = daemon.wait_for(id, lambda job: job.state == "sealed")
        assert same(job.path)
        assert job.attempts == 2
        assert job.resumed_bytes >= SIZE // 8
        assert job.received_bytes < SIZE + (2 << 20)
        manifest = daemon.ask(GetManifest, ManifestRange, id=id)
        assert [run.first for run in manifest] == [0, *(run.stop for run in manifest[:-1])]
        assert manifest[-1].stop == SIZE // CHUNK
        assert {run.url for run in manifest} == set(box.urls)


def test_a_cancelled_job_can_be_retried_and_a_deleted_one_leaves_nothing(tmp_path: Path, box: Box) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(*box.urls, name="got.bin", chunk_size=CHUNK).id
        daemon.wait_for(id, lambda job: job.stored_bytes > 0)
        daemon.ask(CancelJob, JobView, id=id, removed=False)
        daemon.wait_for(id, lambda job: job.number == 0)
        assert (daemon.downloads / "got.bin.part").exists()
        with pytest.raises(Refusal):
            daemon.ask(PauseJob, JobView, id=id)
        daemon.ask(RetryJob, JobView, id=id)
        daemon.wait_for(id, lambda job: job.stored_bytes > 0 and job.phase == "riding")
        daemon.ask(CancelJob, JobView, id=id, removed=False)
        daemon.ask(DeleteJob, JobView, id=id)
        with pytest.raises(Refusal):
            daemon.job(id)
        assert daemon.ask(ListJobs, JobView, **EVERYTHING) == []
    assert not list(daemon.downloads.iterdir())


EVERYTHING = {
    "states": (), "origin": "", "user": "", "text": "", "removed": True, "order": "newest", "offset": 0, "limit": 100,
}  # fmt: skip


LONG = [pytest.param(victim, marks=pytest.mark.long) for victim in ("store", "fetch-1")]


@pytest.mark.parametrize("victim", ["jobs", "hub", *LONG])
def test_whichever_process_dies_the_job_is_sealed_with_the_same_id(tmp_path: Path, box: Box, victim: str) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(*box.urls, name="got.bin", chunk_size=CHUNK).id
        before = daemon.wait_for(id, lambda job: job.stored_bytes > SIZE // 8)
        daemon.kill(victim)
        job = daemon.wait_for(id, lambda job: job.state == "sealed")
        assert same(job.path)
        assert (job.id, job.attempts, job.created_ms) == (id, 1, before.created_ms)


def test_a_job_whose_only_source_is_dead_waits_and_goes_on_with_another(tmp_path: Path, box: Box) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(NOT_LISTENING, name="got.bin", chunk_size=CHUNK).id
        job = daemon.wait_for(id, lambda job: job.phase == "waiting")
        assert job.state == "active"
        (why,) = daemon.ask(ExplainJob, Bottleneck, id=id)
        assert why.kind == "sources"
        assert "127.0.0.1:9" in why.text
        daemon.ask(AddSources, JobView, id=id, urls=tuple(box.urls))
        daemon.ask(DropSource, JobView, id=id, source=0, banned=True)
        job = daemon.wait_for(id, lambda job: job.state == "sealed")
        assert same(job.path)
        sources = daemon.job(id).sources
        assert [source.url for source in sources] == [NOT_LISTENING, *box.urls]
        assert sources[0].standing == "banned"
        assert sum(source.bytes_stored for source in sources[1:]) == SIZE


def test_while_the_store_cannot_be_written_orders_are_refused_and_runs_go_on(tmp_path: Path, box: Box) -> None:
    with JobManagerDaemon(tmp_path) as daemon:
        id = daemon.order(*box.urls, name="got.bin", chunk_size=CHUNK).id
        daemon.wait_for(id, lambda job: job.stored_bytes > SIZE // 8)
        pid = daemon.supervisor.pid_of("jobs")
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        with pytest.raises(Refusal) as refusal:
            daemon.order(*box.urls, name="more.bin", chunk_size=CHUNK)
        assert refusal.value.refused.kind == "unavailable"
        assert "cannot be written" in refusal.value.refused.detail
        while not (daemon.downloads / "got.bin").exists():
            assert daemon.job(id).job.state == "active"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        job = daemon.wait_for(id, lambda job: job.state == "sealed")
        assert same(job.path)
        assert job.attempts == 1
        assert daemon.supervisor.pid_of("jobs") == pid
        more = daemon.order(*box.urls, name="more.bin", chunk_size=CHUNK)
        daemon.wait_for(more.id, lambda job: job.state == "sealed")


def test_after_the_death_of_everything_jobs_go_on_from_their_part_files(tmp_path: Path, box: Box) -> None:
    daemon = JobManagerDaemon(tmp_path)
    with daemon:
        ids = [daemon.order(*box.urls, name=name, chunk_size=CHUNK).id for name in ("1.bin", "2.bin")]
        for id in ids:
            daemon.wait_for(id, lambda job: job.stored_bytes > SIZE // 8)
        last = max(event.serial for event in daemon.events)
        daemon.kill_everything()
    with JobManagerDaemon(tmp_path) as daemon:
        for id in ids:
            job = daemon.wait_for(id, lambda job: job.state == "sealed")
            assert same(job.path)
            assert job.resumed_bytes >= SIZE // 8
            assert job.attempts == 2
        events = daemon.ask(ListEvents, EventEntry, after=0, offset=0, limit=1000)
        assert [event.serial for event in events] == list(range(1, len(events) + 1))
        assert len(events) > last


def test_every_order_that_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    with JobManagerDaemon(tmp_path, jobs_active_max=1, retries_max=0) as daemon:
        answered = daemon.order_until_killed(NOT_LISTENING, count=150)
        assert answered, "killed before the first answer"
        found = daemon.ask(ListJobs, JobView, **EVERYTHING | {"limit": 1000})
        assert set(answered) <= {job.id for job in found}
        assert len({job.name for job in found}) == len(found)


def test_a_damaged_row_stops_neither_the_start_nor_a_page(tmp_path: Path) -> None:
    with JobManagerDaemon(tmp_path, alone=True, jobs_active_max=0) as daemon:
        ordered = [daemon.order(f"http://a.example/{at}", name=f"{at}.bin").id for at in range(3)]
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("UPDATE jobs SET state = CAST(X'FFFE' AS TEXT) WHERE id = ?", (ordered[1],))
        db.execute("UPDATE sources SET url = 'http://evil.example/' WHERE id = ?", (ordered[2],))
    db.close()
    with JobManagerDaemon(tmp_path, alone=True, jobs_active_max=0) as daemon:
        shown = {row.id: row for row in daemon.ask(ListJobs, JobView, **EVERY)}
        assert [shown[id].state for id in ordered] == ["queued", "failed", "queued"]
        assert "damaged" in shown[ordered[1]].reason
        detail = daemon.job(ordered[2])
        assert [(source.url, source.standing) for source in detail.sources] == [("", "dropped")]
        assert daemon.ask(PauseJob, JobView, id=ordered[0])[0].state == "paused"
        daemon.ask(DeleteJob, JobView, id=ordered[1])
        assert len(daemon.ask(ListJobs, JobView, **EVERY)) == 2
