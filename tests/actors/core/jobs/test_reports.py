"""Reports of an attempt under way: what they become in the record, in the views and in the events, field by field."""

import json
from typing import Any

import pytest

from actors.core.jobs.job import Job, ended, size_of, snapshot, source_snapshot, stops_of
from protocol.messages import (
    ClaimChanged,
    DropSource,
    EventOccurred,
    JobNoted,
    JobOpened,
    ProcessReady,
    StopJob,
    Ticked,
    WatchEvents,
)
from protocol.model.identity import Claim
from protocol.model.job_records import SaveJob, SaveNote, SaveSource, SourceRecord
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, order, progressed, row
from tests.specs import job_record

OTHER = "http://b.example/f.bin"


def living(rig: Rig, id: str) -> Job:
    job = rig.manager.find(id)
    assert job is not None
    return job


def data_of(rig: Rig, kind: str) -> list[dict[str, Any]]:
    return [json.loads(each.data) for each in rig.all_heard(EventOccurred) if each.kind == kind]


def test_progress_is_an_event_with_rounded_numbers() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    rig.order()
    rig.hear(progressed(1, 40, state="target", rate=10.6).but(left_s=5.26))
    assert data_of(rig, "job.progressed") == [
        {"state": "active", "phase": "opening", "storedBytes": 40, "sizeBytes": 1000, "rateBytesS": 11, "leftS": 5.3}
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("target", "opening"),
        ("closing", "riding"),
        ("riding", "riding"),
        ("waiting", "waiting"),
        ("sealing", "sealing"),
    ],
)
def test_phases_that_a_user_need_not_tell_apart_are_one(said: str, shown: str) -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state=said)
    assert snapshot(living(rig, id), rig.now).phase == shown


@pytest.mark.parametrize(("sizes", "found"), [([1000], 1000), ([1000, -1], 1000), ([0], 0), ([-1], -1), ([7, 9], 9)])
@pytest.mark.parametrize("grows", [False, True])
def test_a_size_that_was_found_stays_until_another_one_is(sizes: list[int], found: int, grows: bool) -> None:
    rig = Rig()
    id = rig.order().id
    for stored, size in enumerate(sizes, 1):
        rig.hear(progressed(1, stored * grows, state="riding", rate=1.0).but(size_bytes=size))
    assert living(rig, id).record.found_bytes == found
    rig.store.apply(rig.manager.unwritten().writes)
    assert rig.record(id).found_bytes == found


def test_what_is_verified_is_not_stored_again_and_bytes_that_come_end_the_wait() -> None:
    rig = Rig(retry_first_s=0.0)
    id = rig.order().id
    rig.ended(1, "starved")
    rig.progressed(2, 500, state="verifying")
    assert (living(rig, id).record.stored_bytes, living(rig, id).record.retries) == (0, 1)
    rig.progressed(2, 0, state="waiting")
    rig.hear(Ticked())
    rig.s += 3
    rig.hear(Ticked())
    assert living(rig, id).record.waited_s == 3.0
    rig.progressed(2, 1)
    record = living(rig, id).record
    assert (record.stored_bytes, record.retries, record.waited_s) == (1, 0, 0.0)


def test_the_view_of_an_active_job_is_what_its_attempt_says_and_of_a_paused_one_it_is_not() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER, "http://c.example/f.bin")).id
    claim = Claim(kind="overlap", contributors=2)
    rig.hear(progressed(1, 40, state="riding", rate=12.5, reason="slow").but(left_s=7.0, estimate="long"))
    rig.hear(ClaimChanged(job=1, claim=claim))
    rig.hear(row(1, 0, lease_first=0, lease_stop=4, queue_place=-1, stops=2))
    rig.hear(row(1, 1, lease_first=-1, queue_place=7, stops=1))
    rig.hear(row(1, 2, lease_first=-1, queue_place=0))
    rig.s += 4
    view = snapshot(living(rig, id), rig.now)
    assert (view.name, view.size_bytes, view.phase, view.estimate, view.reason) == (
        "f.bin",
        1000,
        "riding",
        "long",
        "slow",
    )
    assert (view.rate_bytes_s, view.left_s, view.sources_active, view.queue_place) == (12.5, 7.0, 1, 0)
    assert (view.active_s, view.stops, view.claim) == (4.0, 3, claim)
    rig.pause(id)
    rig.s += 1
    view = snapshot(living(rig, id), rig.now)
    assert (view.phase, view.estimate, view.reason, view.claim) == ("", "", "", Claim())
    assert (view.rate_bytes_s, view.left_s, view.sources_active, view.queue_place) == (0.0, -1.0, 0, -1)
    assert (view.active_s, view.stops) == (5.0, 3)


def test_a_job_without_a_name_is_shown_as_it_was_ordered_and_as_large() -> None:
    rig = Rig(jobs_active_max=0)
    id = rig.order(name="", size_bytes=77).id
    view = snapshot(living(rig, id), rig.now)
    assert (view.name, view.size_bytes, view.left_s) == ("", 77, -1.0)
    assert snapshot(Job(job_record(id="x", folder="/box", name="as/ordered")), rig.now).name == "as/ordered"


@pytest.mark.parametrize(("found", "size"), [(-1, 5), (0, 0), (1, 1), (7, 7)])
def test_the_size_of_a_job_is_the_one_that_was_found(found: int, size: int) -> None:
    assert size_of(job_record(id="x", size_bytes=5, found_bytes=found)) == size


def test_the_stops_of_a_row_without_its_sources_are_those_of_the_record() -> None:
    record = job_record(id="x", stops=9)
    source = SourceRecord(id="x", number=0, url=WEB, peer="", path="", stops=4)
    assert stops_of(Job(record)) == 9
    assert stops_of(Job(record, [source, source.but(number=1, stops=3)])) == 7


def test_the_view_of_a_source_is_its_record_beside_its_latest_report() -> None:
    url = "http://ann:secret@a.example/f.bin"
    record = SourceRecord(
        id="x", number=4, url=url, peer="ann", path="p", standing="cooling", reason="404", chunks=3, preferred=True
    )
    report = row(1, 0, standing="active", rate_bytes_s=9.0, queue_place=5, phase="queued", trims=2, chunks=1)
    view = source_snapshot(record, report)
    assert (view.number, view.url, view.path, view.preferred) == (4, "http://a.example/f.bin", "p", True)
    assert (view.standing, view.reason, view.chunks, view.peer) == ("cooling", "404", 3, "ann")
    assert (view.rate_bytes_s, view.queue_place, view.phase, view.trims) == (9.0, 5, "queued", 2)
    alone = source_snapshot(record.but(left="dropped"), None)
    assert (alone.standing, alone.rate_bytes_s, alone.queue_place, alone.phase) == ("dropped", 0.0, -1, "")


def test_each_field_of_a_sources_report_is_kept_in_its_row_and_written_once() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.store.apply(rig.manager.unwritten().writes)
    report = row(1, 1, standing="cooling", reason="4" * 1500, bytes_stored=5, chunks=4, leases=3, stops=2)
    rig.hear(report)
    wanted = rig.store.sources[id, 1].but(
        standing="cooling", reason="4" * 1000, bytes_stored=5, chunks=4, leases=3, stops=2
    )
    assert [each for each in rig.manager.unwritten().writes if isinstance(each, SaveSource)] == [SaveSource(wanted)]
    rig.hear(report)
    assert [each for each in rig.manager.unwritten().writes if isinstance(each, SaveSource)] == []
    rig.hear(row(1, 7, chunks=9))  # no source of this job
    rig.hear(row(1, -1, chunks=9))
    assert not rig.manager.unwritten().writes


def test_each_change_of_a_sources_standing_is_an_event_and_there_are_not_more_than_two_hundred() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    rig.order(urls=("http://ann:secret@a.example/f.bin",))
    seen = []
    for number in range(203):
        rig.hear(row(1, 0, standing="cooling" if number % 2 == 0 else "active", reason="404"))
        seen += data_of(rig, "source.changed")
        rig.hear(row(1, 0, standing="cooling" if number % 2 == 0 else "active", reason="other"))
        assert data_of(rig, "source.changed") == [], "only its reason has changed"
    assert len(seen) == 200
    assert seen[0] == {"source": 0, "url": "http://a.example/f.bin", "standing": "cooling", "reason": "404"}


def test_a_job_is_written_when_it_has_changed_and_once() -> None:
    rig = Rig(flush_s=5.0)
    id = rig.order().id
    rig.hear(Ticked())
    rig.progressed(1, 10)
    assert rig.record(id).stored_bytes == 0
    rig.s += 4.999
    rig.hear(Ticked())
    assert rig.record(id).stored_bytes == 0
    rig.s += 0.001
    rig.hear(Ticked())
    assert rig.record(id).stored_bytes == 10
    rig.progressed(1, 10)
    assert not [each for each in rig.manager.unwritten().writes if isinstance(each, SaveJob)]


def test_a_part_file_that_is_open_is_written_down_once_with_its_message() -> None:
    rig = Rig()
    id = rig.order().id
    opened = JobOpened(
        job=1, part_path="/box/f.bin.part", size_bytes=900, chunk_size=8192, resumed_bytes=300, message="resumed"
    )
    rig.hear(opened)
    record = rig.record(id)
    assert (record.file_name, record.path, record.spec.chunk_size) == ("f.bin", "/box/f.bin.part", 8192)
    assert (record.found_bytes, record.stored_bytes, record.resumed_bytes) == (900, 300, 300)
    assert rig.store.attempts[1].resumed_bytes == 300
    assert rig.store.notes == [(id, "resumed")]
    rig.hear(opened.but(size_bytes=-1, resumed_bytes=200, message="again"))  # another hub looked
    record = rig.record(id)
    assert (record.found_bytes, record.stored_bytes, record.resumed_bytes) == (900, 300, 300)
    assert (rig.store.attempts[1].resumed_bytes, len(rig.store.notes)) == (300, 1)


@pytest.mark.parametrize(
    ("ordered", "found", "state"),
    [(-1, 5, "active"), (5, 5, "active"), (5, -1, "active"), (0, 0, "active"), (5, 0, "failed"), (0, 5, "failed")],
)
def test_only_a_size_that_is_known_on_both_sides_can_differ(ordered: int, found: int, state: str) -> None:
    rig = Rig()
    id = rig.order(size_bytes=ordered).id
    rig.opened(1, size=found)
    assert rig.state(id) == state
    assert rig.all_heard(StopJob) == ([] if state == "active" else [StopJob(job=1)])


def test_a_note_is_kept_up_to_a_thousand_characters_and_with_as_many_as_are_configured() -> None:
    rig = Rig(notes_max=7)
    rig.hear(WatchEvents(reply_to=GATEWAY))
    id = rig.order().id
    transaction = rig.manager.handle(JobNoted(job=1, text="n" * 1001), now=rig.now)
    assert [each for each in transaction.writes if isinstance(each, SaveNote)] == [SaveNote(id, "n" * 1000, 7)]
    (event,) = [post.message for post in transaction.posts if isinstance(post.message, EventOccurred)]
    assert (event.kind, json.loads(event.data)) == ("job.noted", {"text": "n" * 1000})


def test_the_text_of_an_event_has_at_most_two_thousand_characters() -> None:
    rig = Rig(retries_max=0)
    rig.hear(WatchEvents(reply_to=GATEWAY))
    rig.order()
    rig.hear(row(1, 0, standing="cooling", reason="é" * 2500))
    assert [len(each["reason"]) for each in data_of(rig, "source.changed")] == [2000]
    rig.hear(row(1, 0, standing="active", reason="é" * 2000))
    assert [len(each["reason"]) for each in data_of(rig, "source.changed")] == [2000]


def test_a_new_hub_gives_a_job_its_patience_again_and_no_old_rows() -> None:
    rig = Rig(jobs_active_max=1, yield_s=600.0, starve_s=1e6)
    id = rig.order().id
    rig.order(name="2")
    rig.hear(row(1, 0, lease_first=0, lease_stop=3))
    rig.s += 599
    rig.hear(ProcessReady(process="hub", pid=2))
    assert snapshot(living(rig, id), rig.now).sources_active == 0
    for passed_s, state in ((599, "active"), (1, "queued")):
        rig.s += passed_s
        rig.hear(Ticked())
        assert rig.state(id) == state
    assert rig.record(id).reason == "nothing came for long: others go first"
    assert rig.record(id).queued_ms == rig.now.ms
    assert rig.store.notes[-1] == (id, "nothing came for long: others go first")


@pytest.mark.parametrize(("room", "given"), [(1, 1), (2, 2), (3, 0)])
def test_of_the_stalled_as_many_give_way_as_wait_those_that_got_nothing_for_longest_first(
    room: int, given: int
) -> None:
    rig = Rig(jobs_active_max=room, yield_s=600.0, starve_s=1e6)
    ids = []
    for name in ["a", "b", "c", "d"][: room + 2 if room < 3 else 3]:
        ids.append(rig.order(name=name).id)
        rig.s += 1
    rig.progressed(1, 5)
    rig.s += 700
    rig.hear(Ticked())
    stopped = [each.job for each in rig.all_heard(StopJob)]
    assert stopped == {0: [], 1: [1], 2: [2, 1]}[given]
    rig.hear(Ticked())
    assert rig.all_heard(StopJob) == [], "those that leave make the room"


def test_a_job_has_ended_when_its_attempt_has_too() -> None:
    rig = Rig()
    id = rig.order().id
    job = living(rig, id)
    rig.cancel(id)
    assert (job.record.state, ended(job), id in rig.manager.jobs.living) == ("cancelled", False, True)
    rig.ended(1, "interrupted")
    assert (ended(job), id in rig.manager.jobs.living) == (True, False)


def test_what_is_enqueued_again_while_its_cancelled_attempt_still_stops_is_a_new_job() -> None:
    rig = Rig()
    enqueued: dict[str, Any] = {"origin": "slskd", "user": "ann", "remote_path": "a.flac", "sources": ()}
    first = rig.order(**enqueued)
    rig.cancel(first.id)
    second = rig.order(**enqueued)
    assert second.id != first.id
    rig.ended(1, "interrupted")
    assert rig.order(**enqueued).id == second.id, "the end of the first is not the end of the second"


def test_a_dropped_source_offers_no_name_and_is_not_usable() -> None:
    rig = Rig(jobs_active_max=1)
    first = rig.order(name="f.bin").id
    second = rig.order(name="", urls=(WEB, "http://b.example/g.bin")).id
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=second, source=0, banned=False))
    rig.ended(rig.number(first), "disagreed")
    assert rig.record(second).file_name == ""
    assert living(rig, second).usable() == 1


def test_an_order_too_many_says_how_many_there_are() -> None:
    rig = Rig(jobs_max=2)
    for name in "12":
        rig.order(name=name)
    rig.hear(order(9, (WEB,), name="3"))
    assert rig.refusal().detail == "there are 2 jobs already that have not ended"
