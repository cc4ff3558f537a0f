"""Answers in parts, watchers of events and the counts of sources: what one step of the job manager writes and posts."""

import pytest

from actors.core.jobs.transaction import WATCHERS_MAX, answers
from protocol.messages import EventOccurred, ProcessLost, StartJob, WatchEvents
from protocol.model.job_views import StopCount, unpack
from tests.actors.core.jobs.rig import Rig, row


@pytest.mark.parametrize("count", [0, 1, 7, 20_000])
def test_an_answer_comes_in_parts_of_which_the_last_says_so(count: int) -> None:
    rows = [StopCount(peer=f"user{number}", day="2026-11-25", count=number) for number in range(count)]
    parts = answers(5, rows)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [each for part in parts for each in unpack(part.body, StopCount)] == rows
    assert {(part.request, part.total) for part in parts} == {(5, count)}
    assert (len(parts) > 1) == (count > 7)
    assert {part.total for part in answers(5, rows[:1], total=99)} == {99}


def test_a_bounded_number_of_watchers_hears_of_events() -> None:
    rig = Rig()
    for number in range(WATCHERS_MAX + 3):
        for _ in range(2):
            rig.hear(WatchEvents(reply_to=f"api-{number}/gateway"))
    rig.order()
    heard = [post.to for post in rig.heard if isinstance(post.message, EventOccurred)]
    assert len(set(heard)) == WATCHERS_MAX
    assert len(heard) % WATCHERS_MAX == 0
    rig.hear(ProcessLost(process="api-0", detail="killed", restart_s=1.0))
    rig.order(name="2")
    assert "api-0/gateway" not in {post.to for post in rig.heard}


def test_an_attempt_is_said_to_have_begun_from_the_first_stored_byte_on() -> None:
    for stored, begun in ((0, False), (1, True)):
        rig = Rig()
        id = rig.order().id
        rig.opened(1)
        rig.progressed(1, stored)
        rig.pause(id)
        rig.ended(1, "interrupted")
        rig.resume(id)
        assert [asked.begun for asked in rig.all_heard(StartJob)] == [begun]


def test_what_sources_did_is_added_to_the_totals_and_nothing_is_taken_away() -> None:
    rig = Rig()
    rig.order()
    rig.opened(1)
    rig.hear(row(1, chunks=5, stops=1, trims=2))
    rig.hear(row(1, chunks=7, stops=1, trims=2))
    rig.hear(row(1, chunks=3, stops=1, trims=2))  # a failing disk lost some
    rig.hear(row(1, chunks=3, stops=2, trims=2))
    rig.ended(1, "starved")
    totals = rig.store.totals
    assert (totals.chunks, totals.stops, totals.trims) == (7, 2, 2)
