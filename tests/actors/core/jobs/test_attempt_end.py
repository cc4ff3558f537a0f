"""The end of an attempt: what each field of it becomes in the job, the attempt's row, the totals and the event."""

import json
from typing import Any

import pytest

from actors.core.jobs.lifecycle import ADD_SOURCES, CANCEL, DELETE, PAUSE, RESUME, RETRY, UPDATE, refusal
from protocol.messages import EventOccurred, JobEnded, Ticked, WatchEvents
from protocol.model.identity import Claim
from protocol.model.job_records import STATES, AttemptRecord, Totals
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, row

OTHER = "http://b.example/f.bin"
CLAIM = Claim(kind="overlap", contributors=2, groups=1, checks_agreed=3)


def end(rig: Rig, number: int, state: str, **changes: Any) -> None:
    fields: dict[str, Any] = {"job": number, "state": state, "reason": state}
    rig.hear(JobEnded(**fields | changes))


def event_data(rig: Rig, kind: str) -> dict[str, Any]:
    (data,) = [json.loads(each.data) for each in rig.all_heard(EventOccurred) if each.kind == kind]
    return dict(data)


def test_each_field_of_the_row_of_an_attempt_is_written_at_its_end() -> None:
    rig = Rig(retries_max=0)
    id = rig.order().id
    begun_ms = rig.now.ms
    rig.opened(1, resumed=300)
    rig.s += 7
    end(rig, 1, "starved", reason="x" * 3000, bytes_received=11, bytes_refetched=4)
    assert rig.store.attempts[1] == AttemptRecord(
        number=1,
        id=id,
        attempt=0,
        begun_ms=begun_ms,
        ended_ms=rig.now.ms,
        outcome="starved",
        reason="x" * 2000,
        resumed_bytes=300,
        received_bytes=11,
        refetched_bytes=4,
    )
    assert rig.record(id).reason == "x" * 2000


def test_bytes_and_time_of_a_job_are_those_of_all_its_attempts() -> None:
    rig = Rig()
    id = rig.order().id
    for number, received, refetched in ((1, 100, 7), (2, 30, 5)):
        rig.s += 10
        end(rig, number, "disagreed", bytes_received=received, bytes_refetched=refetched)
        rig.s += 100
        rig.retry(id)
    record = rig.record(id)
    assert (record.received_bytes, record.refetched_bytes, record.active_s, record.attempts) == (130, 12, 20.0, 3)
    assert rig.store.totals == Totals(received_bytes=130, refetched_bytes=12, stored_bytes=118)


@pytest.mark.parametrize(("size", "found"), [(-1, 1000), (0, 0), (5, 5)])
def test_the_size_of_a_file_is_what_the_end_says_of_it_where_it_knows(size: int, found: int) -> None:
    rig = Rig()
    id = rig.order().id
    rig.opened(1, size=1000)
    rig.progressed(1, 40)
    end(rig, 1, "disagreed", size_bytes=size)
    assert (rig.record(id).found_bytes, rig.record(id).stored_bytes) == (found, 40)


def test_a_sealed_job_has_what_its_end_says() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    id = rig.order(urls=(WEB, OTHER, "http://c.example/f.bin")).id
    rig.opened(1)
    rig.hear(row(1, 0, chunks=2, stops=1))
    rig.hear(row(1, 1, chunks=1, stops=2))
    rig.s += 1.2345
    end(rig, 1, "sealed", path="/box/f (1).bin", size_bytes=77, digest_hex="ab", claim=CLAIM)
    record = rig.record(id)
    assert (record.state, record.outcome, record.reason, record.number) == ("sealed", "sealed", "", 0)
    assert (record.path, record.found_bytes, record.stored_bytes, record.digest_hex) == ("/box/f (1).bin", 77, 77, "ab")
    assert (record.claim, record.stops, record.ended_ms, record.retry_at_ms) == (CLAIM, 3, rig.now.ms, 0)
    assert event_data(rig, "job.sealed") == {
        "path": "/box/f (1).bin",
        "sizeBytes": 77,
        "digest": "ab",
        "seconds": 1.234,
        "sources": 2,
        "identity": CLAIM.summary(),
    }


def test_a_failed_job_keeps_its_part_file_and_says_why() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    id = rig.order().id
    rig.opened(1)
    rig.progressed(1, 40)
    rig.s += 3
    end(rig, 1, "disagreed", reason="two files", claim=CLAIM)
    record = rig.record(id)
    assert (record.state, record.outcome, record.reason) == ("failed", "disagreed", "two files")
    assert (record.path, record.digest_hex, record.ended_ms) == ("/box/f.bin.part", "", rig.now.ms)
    assert event_data(rig, "job.failed") == {
        "outcome": "disagreed",
        "reason": "two files",
        "storedBytes": 40,
        "identity": CLAIM.summary(),
    }
    rig.retry(id)
    end(rig, 2, "disagreed", path="/elsewhere/f.bin.part")
    assert rig.record(id).path == "/elsewhere/f.bin.part"


@pytest.mark.parametrize("state", ["disagreed", "starved", "interrupted", "limited"])
def test_a_claim_is_kept_until_an_attempt_that_stored_something_or_a_sealed_file_has_another(state: str) -> None:
    rig = Rig()
    id = rig.order().id
    end(rig, 1, "disagreed", claim=CLAIM)
    rig.retry(id)
    end(rig, 2, state)
    assert rig.record(id).claim == CLAIM, "that attempt stored nothing"
    rig.s += 1000
    rig.hear(Ticked())
    rig.retry(id)
    end(rig, 3, "sealed", path="/box/f.bin")
    assert rig.record(id).claim == Claim()


def test_an_attempt_that_is_tried_again_says_when_and_waits_behind_others() -> None:
    rig = Rig(retry_first_s=30.0, retry_s_max=100.0, retries_max=3)
    id = rig.order().id
    for number, wait_s in ((1, 30), (2, 60), (3, 100)):
        end(rig, number, "disk", reason="no space")
        record = rig.record(id)
        assert (record.state, record.outcome, record.retries, record.ended_ms) == ("queued", "disk", number, 0)
        assert record.reason == f"no space; tried again in {wait_s} s"
        assert (record.queued_ms, record.retry_at_ms) == (rig.now.ms, rig.now.ms + 1000 * wait_s)
        assert rig.store.totals.retries == number
        rig.s += wait_s - 0.001
        rig.hear(Ticked())
        assert rig.state(id) == "queued"
        rig.s += 0.001
        rig.hear(Ticked())
        assert (rig.state(id), rig.record(id).reason, rig.record(id).retry_at_ms) == ("active", "", 0)
    end(rig, 4, "failed", reason="our fault")
    record = rig.record(id)
    assert (record.state, record.reason, record.retries, record.retry_at_ms) == ("failed", "our fault", 3, 0)
    assert rig.store.totals.retries == 3


@pytest.mark.parametrize(("limit_s", "state"), [(29.9, "failed"), (30.0, "failed"), (30.1, "queued"), (0.0, "queued")])
def test_no_retry_is_begun_at_the_moment_at_which_the_time_of_the_order_is_up(limit_s: float, state: str) -> None:
    rig = Rig(retry_first_s=20.0)
    id = rig.order(max_time_s=limit_s).id
    rig.s += 10
    end(rig, 1, "starved")
    assert rig.state(id) == state


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("starved", "queued"),
        ("disk", "queued"),
        ("failed", "queued"),
        ("disagreed", "failed"),
        ("late", "failed"),
        ("limited", "failed"),
    ],
)
def test_what_may_do_better_by_itself_is_queued_again(outcome: str, state: str) -> None:
    rig = Rig(jobs_active_max=1)
    id = rig.order().id
    rig.order(name="other")  # it takes the room
    end(rig, 1, outcome, reason="why")
    assert rig.state(id) == state
    assert rig.record(id).retries == (outcome in ("starved", "disk", "failed"))
    assert rig.store.totals.retries == rig.record(id).retries


def test_an_interruption_of_an_active_job_is_no_reason_and_takes_no_place_in_the_queue() -> None:
    rig = Rig(jobs_active_max=1)
    id = rig.order().id
    queued_ms = rig.record(id).queued_ms
    rig.s += 5
    end(rig, 1, "interrupted", reason="stopped")
    record = rig.record(id)
    assert (record.state, record.reason, record.queued_ms, record.retry_at_ms) == ("active", "", queued_ms, 0)


def test_an_interruption_keeps_the_reason_and_the_outcome_of_a_job_that_had_failed() -> None:
    rig = Rig(wait_s_max=50.0)
    id = rig.order().id
    rig.progressed(1, 0, state="waiting")
    rig.hear(Ticked())
    rig.s += 50
    rig.hear(Ticked())
    failed_ms = rig.now.ms
    assert rig.record(id).reason == "no source could deliver for too long"
    rig.s += 1
    end(rig, 1, "interrupted", reason="stopped")
    record = rig.record(id)
    assert (record.state, record.outcome, record.reason) == (
        "failed",
        "starved",
        "no source could deliver for too long",
    )
    assert record.ended_ms == failed_ms + 1000


def test_a_paused_job_keeps_no_time_of_an_end() -> None:
    rig = Rig()
    id = rig.order().id
    rig.pause(id)
    end(rig, 1, "interrupted", reason="stopped")
    record = rig.record(id)
    assert (record.state, record.reason, record.ended_ms, record.outcome) == ("paused", "", 0, "interrupted")


@pytest.mark.parametrize(
    ("command", "states"),
    [
        (PAUSE, "queued active"),
        (RESUME, "paused"),
        (CANCEL, "queued active paused"),
        (RETRY, "failed cancelled"),
        (DELETE, "sealed failed cancelled"),
        (UPDATE, "queued active paused"),
        (ADD_SOURCES, "queued active paused"),
    ],
)
def test_a_refusal_names_the_command_and_the_state(command: str, states: str) -> None:
    for state in STATES:
        living = state in ("queued", "active", "paused")
        why = f"cannot {command} a job that {f'is {state}' if living else f'has ended: it is {state}'}"
        assert refusal(command, state) == ("" if state in states.split() else why)


def test_the_death_of_the_daemon_ends_the_attempt_as_lost_and_keeps_what_its_sources_did() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(row(1, 0, chunks=2, stops=3))
    rig.store.apply(rig.manager.unwritten().writes)
    rig.s += 5
    rig.begin(fresh=True)
    lost = rig.store.attempts[1]
    assert (lost.outcome, lost.reason, lost.ended_ms) == ("lost", "the daemon ended", rig.now.ms)
    assert (rig.record(id).stops, rig.number(id)) == (3, 2)
