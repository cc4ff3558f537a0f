"""Several hundred sources of one job: no step hands over much, and what was put off to a later one comes then."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.core.dispatch.finish_time import SURVEYED_WHOLE_MAX
from actors.core.dispatch.granting import CHECKS_PER_STEP, LOOKED_AT_MIN, REFUSED_MAX, SERVED_PER_STEP
from actors.core.dispatch.identity.checks import (
    PLACES_ROWS_MAX,
    PLACES_USED_SHARE,
    TIES_KEPT_S,
    TIES_MANY,
    Check,
    CheckPlan,
)
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.sources import Source
from protocol.messages import LeaseGranted, LeaseReleased, Ticked
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch import boards
from tests.bench.decision_cost import Driver

SOURCES = 400
CHUNKS = 100_000


class Counted(Driver):
    """The bench's driver until some seconds of the job are over, with the most leases that one step granted."""

    granted_max = 0
    until_s = 3.0
    until_idle = 0

    def idle_count(self) -> int:
        """Return how many sources found no place, beside leases that are very many."""
        leases = self.state.leases
        many = leases is not None and len(leases.tracker.leases) > SURVEYED_WHOLE_MAX
        flowing = many and self.now_s > 0.2
        return sum(each.is_ready(self.now_s) for each in self.state.sources.values()) if flowing else 0

    def say(self, message: Any) -> None:
        posts = self.state.handle(message, now_s=self.now_s)
        self.granted_max = max(self.granted_max, sum(isinstance(post.message, LeaseGranted) for post in posts))
        for post in posts:
            self.hear(post.message)
        if self.now_s > self.until_s or (self.until_idle and self.idle_count() >= self.until_idle):
            self.events.clear()
            self.sealed = True
        self.said = [post.message for post in posts]


def test_one_step_hands_over_few_leases_among_very_many_and_the_rest_follow() -> None:
    driver = Counted(SOURCES, CHUNKS)
    driver.run()
    assert 1 <= driver.granted_max <= CHECKS_PER_STEP + SERVED_PER_STEP
    leased = {lease.source for lease in driver.state.leases.tracker.leases.values()} if driver.state.leases else set()
    assert len(leased) > 0.8 * SOURCES


def test_chunks_that_become_free_bring_work_to_sources_that_found_none_a_moment_ago() -> None:
    driver = Counted(700, 9000)
    driver.until_idle = 2 * REFUSED_MAX
    driver.run()
    leases = driver.state.leases
    assert leases is not None
    driver.say(Ticked())
    assert driver.idle_count() >= REFUSED_MAX, "a further look finds them no place either"
    assert not leases.tracker.free
    idle = {each.id for each in driver.state.sources.values() if each.busy is None}
    lease = max(leases.tracker.leases.values(), key=lambda each: each.open_chunks)
    released = LeaseReleased(
        job=1,
        source=lease.source,
        lease=lease.id,
        handed_stop=lease.next,
        received_bytes=0,
        fault=FaultKind.DISPUTED,
        detail="",
        retry_after_s=0.0,
        stopped=False,
    )
    driver.say(released)
    granted = [each for each in driver.said if isinstance(each, LeaseGranted)]
    assert granted, "at first checks, of sources that have to show what they have"
    assert {each.source for each in granted} <= idle


def test_a_job_of_more_sources_than_it_needs_ends_with_its_file() -> None:
    driver = Driver(150, 900)
    driver.run()
    assert driver.sealed
    assert driver.stored.count == 900


@pytest.mark.parametrize(("count", "steps"), [(LOOKED_AT_MIN, 1), (LOOKED_AT_MIN + 1, 2), (2 * LOOKED_AT_MIN + 5, 3)])
def test_beside_a_complete_file_each_of_very_many_idle_sources_is_looked_at_in_turn(count: int, steps: int) -> None:
    """The slowest is the only one that was not asked for the suspect chunk yet."""
    state = boards.board("####")
    for number in range(count + 1):  # the first sent all of it, and comes last
        boards.add(state, chr(ord("a") + number), 0.5 if number == 0 else float(2 * count - number))
    state.report.stored(state.sources[0], ((0, 4),), 4 * boards.CHUNK)
    state.content.plan.suspects[2] = None
    state.content.plan._asked |= {(number, 2) for number in range(count)}
    assert state.leases is not None
    for step in range(1, steps + 1):
        state.leases.grants.serve(boards.NOW_S)
        assert [each.source for each in boards.said(state._out.take(), LeaseGranted)] == [count] * (step == steps)


@pytest.mark.parametrize(("ranges", "waits"), [(PLACES_ROWS_MAX, False), (PLACES_ROWS_MAX + 1, True)])
def test_of_very_many_ranges_what_to_check_is_looked_for_in_the_step_after_the_file_is_complete(
    ranges: int, waits: bool
) -> None:
    """That step is asked for at once; so it is when the file lacks something and is complete again."""
    state = boards.board("#" * ranges)
    for name in "abcdefghijklmnop":
        boards.add(state, name, 100.0)
    state.content.plan.suspects[2] = None
    for chunk in range(ranges):
        state.report.stored(state.sources[chunk % 3], ((chunk, chunk + 1),), boards.CHUNK)
    assert state.leases is not None
    for again in (False, True):
        if waits:
            state.leases.grants.serve(boards.NOW_S)
            posts = state._out.take()
            assert boards.said(posts, Ticked)
            assert not boards.said(posts, LeaseGranted)
        state.leases.grants.serve(boards.NOW_S)
        posts = state._out.take()
        assert not boards.said(posts, Ticked)
        assert boards.said(posts, LeaseGranted) or again
        state.leases.tracker.lose(0, 1)
        state.leases.grants.serve(boards.NOW_S)
        state._out.take()
        state.leases.tracker.store(99, 0, 1)
        assert state.leases.tracker.complete


def of_contributors(count: int, ranges: int) -> tuple[CheckPlan, Identity, Callable[[int, int], None]]:
    """The plan of a complete file of which `count` sources sent a chunk in turn, and how a chunk is stored again."""
    state, identity = boards.board("#" * ranges), Identity()
    sources = {number: Source(number, f"s{number}", f"host-{number}", "fetch-1/w", "f") for number in range(count + 2)}

    def store(chunk: int, source: int) -> None:
        state.report.lost(RangeSet([(chunk, chunk + 1)]), -1, sources)
        state.report.stored(sources[source], ((chunk, chunk + 1),), boards.CHUNK)

    for chunk in range(ranges):
        state.report.stored(sources[chunk % count], ((chunk, chunk + 1),), boards.CHUNK)
    plan = CheckPlan(identity, sources, state.report)
    return plan, identity, store


@pytest.mark.parametrize(("count", "late"), [(TIES_MANY, False), (TIES_MANY + 1, True)])
def test_a_missing_tie_of_very_many_may_be_seen_a_moment_later_and_never_overlooked(count: int, late: bool) -> None:
    plan, identity, store = of_contributors(count, count)
    now_s = boards.NOW_S
    for number in range(2, count):
        identity.agree(0, number, number)
    assert plan.untied(now_s), "the second contributor"
    identity.agree(0, 1, 1)
    assert plan.untied(now_s + TIES_KEPT_S - 0.001) == late
    for _ in range(2):
        assert not plan.untied(now_s + TIES_KEPT_S + 0.001), "and that holds"
    identity.exclude([5], [0])
    assert plan.untied(now_s + 1.0), "but for groups that are taken apart"
    store(5, 0)
    identity.forget(5)
    assert not plan.untied(now_s + 2.0)
    store(7, count)
    assert plan.untied(now_s + 2.001), "and for what was stored since"


def test_places_of_a_complete_file_of_very_many_ranges_are_looked_for_again_after_some_evidence() -> None:
    """Meanwhile what was confirmed or asked for is passed over, and what is stored again is seen at once."""
    ranges = PLACES_ROWS_MAX + PLACES_USED_SHARE
    plan, identity, store = of_contributors(3, ranges)

    def places() -> list[int]:
        return [chunk for chunk, _, _ in plan._open_places(ranges, last=True)]

    first = places()
    kept = plan._places
    for chunk in first[: ranges // PLACES_USED_SHARE - 1]:
        identity.agree(chunk % 3, 4, chunk)
        assert chunk not in places()
        assert plan._places is kept
    identity.agree(3, 4, 1)
    places()
    assert plan._places is not kept, "a 64th of the ranges"
    store(700, 4)
    assert 700 in places()
    assert plan._places is not None
    assert (700, 4) in {(chunk, owner) for chunk, owner, _ in plan._places[-1]}


def test_a_place_that_is_not_settled_stays_whatever_is_settled_behind_it() -> None:
    plan, _, _ = of_contributors(3, 30)
    plan.optional_max = None

    def places() -> list[int]:
        return [chunk for chunk, _, _ in plan._open_places(30, last=True)]

    every = places()
    taken = {every[1]}
    for number in (1, 0, 5, 3):
        taken.add(every[number])
        plan.given(Check(4, every[number]), every[number] % 3)
        assert places() == [chunk for chunk in every if chunk not in taken] != []
    plan.restart()
    assert places() == every
