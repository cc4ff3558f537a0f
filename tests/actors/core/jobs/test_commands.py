"""Commands and what becomes of jobs, step by step: who is started, what is refused."""

from typing import Any

import pytest

from protocol.messages import (
    AddSources,
    LimitJob,
    OfferSource,
    RetryJob,
    StartJob,
    StopJob,
    UpdateJob,
)
from protocol.model.identity import Claim
from protocol.model.job_views import JobView
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, order

OTHER = "http://b.example/f.bin"


def test_an_order_is_written_down_answered_and_begun() -> None:
    rig = Rig()
    answer = rig.order(urls=(WEB, OTHER))
    assert (answer.state, answer.source_count) == ("queued", 2)
    (asked,) = rig.all_heard(StartJob)
    assert (asked.job, asked.attempt, asked.watcher, asked.source_count) == (1, 0, "jobs/manager", 2)
    assert asked.resumed_bytes == -1, "not known"
    assert not any(source.found for source in rig.store.sources_of(answer.id))
    assert [offered.url for offered in rig.all_heard(OfferSource)] == [WEB, OTHER]
    assert rig.state(answer.id) == "active"
    assert rig.kinds(answer.id) == ["job.queued", "job.started"]


def test_the_highest_priority_goes_first_then_the_oldest() -> None:
    rig = Rig(jobs_active_max=1)
    first = rig.order(name="1")
    ids = [rig.order(name=str(at), priority=priority).id for at, priority in enumerate([0, 5, 0, 5], 2)]
    order = []
    running = first.id
    for _ in ids:
        rig.ended(rig.number(running), "sealed")
        (running,) = [id for id in ids if rig.number(id)]
        order.append(ids.index(running))
    assert order == [1, 3, 0, 2]


def test_who_has_waited_for_very_long_goes_before_all_priorities() -> None:
    rig = Rig(jobs_active_max=1, starve_s=3600.0)
    running = rig.order(name="1")
    patient = rig.order(name="2")
    rig.s += 4000
    pushy = rig.order(name="3", priority=9)
    rig.ended(rig.number(running.id), "sealed")
    assert (rig.state(patient.id), rig.state(pushy.id)) == ("active", "queued")


def test_a_paused_run_keeps_its_number_and_its_place_until_it_has_ended() -> None:
    rig = Rig(jobs_active_max=1)
    job, waiting = rig.order(), rig.order(name="2")
    number = rig.number(job.id)
    rig.pause(job.id)
    assert rig.answer(JobView)[0].state == "paused"
    assert rig.all_heard(StopJob) == [StopJob(job=number)]
    assert rig.state(waiting.id) == "queued", "the stopped run may still write"
    rig.s += 1
    rig.resume(job.id)
    assert not rig.started(), "two runs of one job"
    rig.ended(number, "interrupted")
    assert rig.state(waiting.id) == "active", "it has waited for longer"
    rig.ended(rig.number(waiting.id), "sealed")
    assert rig.number(job.id) == 3


def test_what_was_sealed_before_the_pause_reached_it_is_sealed() -> None:
    rig = Rig()
    job = rig.order()
    rig.cancel(job.id)
    rig.ended(1, "sealed", path="/box/f.bin")
    assert (rig.record(job.id).state, rig.record(job.id).path) == ("sealed", "/box/f.bin")


TRANSITIONS = ("pause", "resume", "retry", "delete", "cancel")
ALLOWED = {
    "queued": {"pause", "cancel"},
    "active": {"pause", "cancel"},
    "paused": {"resume", "cancel"},
    "sealed": {"delete"},
    "failed": {"retry", "delete"},
    "cancelled": {"retry", "delete"},
}


def in_state(rig: Rig, state: str) -> str:
    if state == "queued":
        rig.order(name="before")
    id = rig.order().id
    match state:
        case "paused":
            rig.pause(id)
            rig.ended(1, "interrupted")
        case "cancelled":
            rig.cancel(id)
            rig.ended(1, "interrupted")
        case "sealed":
            rig.ended(1, "sealed")
        case "failed":
            rig.ended(1, "disagreed")
    assert rig.state(id) == state
    return id


@pytest.mark.parametrize("state", ALLOWED)
@pytest.mark.parametrize("order", TRANSITIONS)
def test_an_order_in_the_wrong_state_is_refused_and_changes_nothing(state: str, order: str) -> None:
    rig = Rig(jobs_active_max=1)
    id = in_state(rig, state)
    before, events = rig.store.jobs.copy(), len(rig.store.events)
    getattr(rig, order)(id)
    if order in ALLOWED[state]:
        assert rig.answer(JobView)[0].id == id
        assert rig.store.jobs != before
    else:
        assert rig.refusal().kind == "conflict"
        assert (rig.store.jobs, len(rig.store.events)) == (before, events)


@pytest.mark.parametrize("order", TRANSITIONS)
def test_an_order_about_an_unknown_job_is_refused(order: str) -> None:
    rig = Rig()
    getattr(rig, order)("nobody")
    assert rig.refusal().kind == "unknown"


def test_cancelling_what_has_ended_takes_it_off_the_list() -> None:
    rig = Rig()
    id = in_state(rig, "sealed")
    rig.cancel(id, removed=True)
    assert rig.answer(JobView)[0].removed
    assert rig.state(id) == "sealed"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("folder", {"folder": "relative"}),
        ("name", {"name": "///"}),
        ("size_bytes", {"size_bytes": -2}),
        ("chunk_size", {"chunk_size": 1}),
        ("checksum", {"checksum": "sha256:abc"}),
        ("checksum", {"checksum": "crc:00"}),
        ("mode", {"mode": "fast"}),
        ("limit_bytes_s", {"limit_bytes_s": -1}),
        ("sources", {"sources": ()}),
        ("sources", {"sources": ("ftp://a.example/f",)}),
        ("sources", {"sources": tuple(f"http://a.example/{at}" for at in range(257))}),
    ],
)
def test_a_wrong_order_is_refused_by_the_name_of_its_field(field: str, changes: dict[str, object]) -> None:
    rig = Rig()
    rig.hear(order(7, (WEB,), **changes))
    refused = rig.refusal()
    assert (refused.request, refused.kind, refused.field) == (7, "invalid", field)
    assert not rig.store.jobs


def test_more_jobs_than_may_wait_are_refused() -> None:
    rig = Rig(jobs_max=2)
    rig.order(name="1")
    rig.order(name="2")
    rig.hear(order(9, (WEB,), name="3"))
    assert rig.refusal().kind == "full"


def test_what_is_enqueued_twice_is_one_job_until_it_has_ended() -> None:
    rig = Rig()
    enqueued: dict[str, Any] = {"origin": "slskd", "user": "peer one", "remote_path": "music\\a.flac", "sources": ()}
    first, second = rig.order(**enqueued), rig.order(**enqueued)
    assert first.id == second.id
    assert [offered.url for offered in rig.all_said(OfferSource)] == ["slsk://peer%20one/music%5Ca.flac"]
    rig.ended(1, "sealed")
    assert rig.order(**enqueued).id != first.id


def test_only_what_came_through_slskds_api_is_enqueued_as_a_file_of_a_user() -> None:
    rig = Rig()
    first = rig.order(user="peer one", remote_path="music\\a.flac")
    assert rig.order(origin="slskd", user="peer one", remote_path="music\\a.flac", sources=()).id != first.id


def test_the_same_key_and_order_are_one_job_for_as_long_as_it_is_known() -> None:
    rig = Rig()
    first = rig.order(key="k", digest="d")
    assert rig.order(key="k", digest="d").id == first.id
    rig.ended(rig.number(first.id), "sealed", path="/box/f.bin")
    again = rig.order(key="k", digest="d")
    assert (again.id, again.state) == (first.id, "sealed")
    assert len(rig.all_said(StartJob)) == 1
    rig.delete(first.id)
    assert rig.order(key="k", digest="d").id != first.id


def test_another_order_with_the_same_key_is_refused() -> None:
    rig = Rig()
    rig.order(key="k", digest="d")
    rig.hear(order(99, (WEB,), key="k", digest="e"))
    assert (rig.refusal().kind, rig.refusal().field) == ("conflict", "key")
    assert rig.order(key="l", digest="e").id != rig.order().id != rig.order(key="", digest="").id


@pytest.mark.parametrize(("widen", "size", "searched"), [(True, 1000, True), (True, -1, False), (False, 1000, False)])
def test_more_users_are_searched_for_only_where_that_was_ordered_and_the_size_is_known(
    widen: bool, size: int, searched: bool
) -> None:
    rig = Rig()
    id = rig.order(urls=("slsk://ann/f.bin",), widen=widen, size_bytes=size).id
    assert rig.record(id).spec.widen is searched


# The group that lost a dispute.

DISPUTED = Claim(
    kind="overlap",
    contributors=1,
    groups=1,
    excluded=(OTHER,),
    excluded_chunks=(3,),
    excluded_why=("overlap check of chunk 7, 2 against 1",),
)


def disputed(outcome: str = "sealed", **changes: Any) -> tuple[Rig, str]:
    """A job that has ended, with one of its two sources left out."""
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER), **changes).id
    rig.ended(rig.number(id), outcome, claim=DISPUTED)
    return rig, id


def take_other(rig: Rig, id: str) -> None:
    rig.hear(RetryJob(request=99, reply_to=GATEWAY, id=id, other_group=True))


@pytest.mark.parametrize("outcome", ["sealed", "disagreed"])
def test_the_other_group_is_fetched_alone_and_beside_the_file_that_is_there(outcome: str) -> None:
    rig, id = disputed(outcome, existing="overwrite")
    take_other(rig, id)
    assert rig.state(id) == "active"
    start = rig.all_heard(StartJob)[-1]
    assert (start.spec.existing, start.begun, start.source_count) == ("rename", False, 1)
    assert [(each.url, each.disabled) for each in rig.all_heard(OfferSource)[-2:]] == [(WEB, True), (OTHER, False)]
    job = rig.store.jobs[id]
    assert (job.path, job.digest_hex, job.claim) == ("", "", Claim())


def test_why_names_the_other_group_of_a_sealed_job() -> None:
    rig, id = disputed()
    claim = rig.store.jobs[id].claim
    assert claim.other_files == [f"{OTHER} (3 chunks; overlap check of chunk 7, 2 against 1)"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": "ann", "remote_path": "a\\f.bin"}, "for the file of ann"),
        ({"checksum": "md5:" + "0" * 32}, "digests"),
    ],
)
def test_what_an_order_decides_stays_decided(changes: dict[str, Any], words: str) -> None:
    rig, id = disputed(**changes)
    take_other(rig, id)
    assert rig.refusal().kind == "conflict"
    assert words in rig.refusal().detail
    assert rig.store.jobs[id].state == "sealed"


def test_without_another_group_there_is_none_to_take() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB,)).id
    take_other(rig, id)
    assert "while the job is active" in rig.refusal().detail
    rig.ended(rig.number(id), "sealed")
    take_other(rig, id)
    assert "no source of this job" in rig.refusal().detail


def test_a_limit_below_nothing_and_addresses_that_are_none_are_refused_and_change_nothing() -> None:
    rig = Rig()
    id = rig.order().id
    before = rig.record(id)
    rig.hear(UpdateJob(request=1, reply_to=GATEWAY, id=id, limit_bytes_s=-2, priority=3))
    assert (rig.refusal().kind, rig.refusal().field) == ("invalid", "limit_bytes_s")
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(OTHER, "http://[")))
    assert (rig.refusal().kind, rig.refusal().field) == ("invalid", "urls")
    assert rig.record(id) == before
    assert not rig.all_heard(OfferSource)


def test_an_update_that_changes_nothing_is_answered_and_is_no_event() -> None:
    rig = Rig()
    id = rig.order(limit_bytes_s=5, priority=1).id
    happened = rig.kinds(id)
    rig.hear(UpdateJob(request=1, reply_to=GATEWAY, id=id, limit_bytes_s=5, priority=1))
    assert rig.answer(JobView)[0].id == id
    rig.hear(UpdateJob(request=2, reply_to=GATEWAY, id=id, limit_bytes_s=-1, priority=2))
    assert (rig.record(id).spec.limit_bytes_s, rig.record(id).spec.priority) == (5, 2)
    assert not rig.all_heard(LimitJob)
    assert rig.kinds(id) == [*happened, "job.changed"]
