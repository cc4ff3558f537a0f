"""Second chances of sources: after a pause, in a last round, in a new session; and when a wait would be in vain."""

from typing import Any

import pytest

from actors.core.dispatch.placement import overtaken
from actors.core.dispatch.placement_view import PlacementView
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.recovery import FINAL_WAITS_MAX, PAUSE_S_MAX, PAUSE_S_MIN, SourceWait
from actors.core.dispatch.sources import (
    BUSY_ANSWERS_MAX,
    ROUND_PAUSE_S,
    ROUNDS_MAX,
    RetryRounds,
    Source,
    SourceState,
    end_cooldown,
    record_failure,
)
from actors.core.dispatch.stop_cost import left_to_neighbour
from protocol.messages import LeaseReleased, LeaseRevoked, ProcessReady
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import NOW_S, add, as_peer, board, deliver, drawn, said, wanted

BANNED, COOLING, CANDIDATE = SourceState.BANNED, SourceState.COOLING, SourceState.CANDIDATE


def source(state: SourceState = CANDIDATE, **fields: Any) -> Source:
    made = Source(0, "a", "host", "fetch-1/worker-1-0", "f")
    made.state = state
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def numbered(*sources: Source) -> dict[int, Source]:
    return dict(enumerate(sources))


# --- waiting ---


@pytest.mark.parametrize(
    ("sources", "in_vain"),
    [
        ([source(BANNED)], True),
        ([source(BANNED, failed_finally=True), source(BANNED)], True),
        ([source(BANNED), source(COOLING, failed_finally=True)], False),
        ([source(BANNED), source()], False),
        ([source(BANNED), source(BANNED, lost_s=1.0)], False),
        ([source(BANNED), source(dropped=True)], True),
        ([source(BANNED, dropped=True)], False),
        ([], False),
    ],
)
def test_a_job_waits_unless_every_source_that_is_left_is_out(sources: list[Source], *, in_vain: bool) -> None:
    assert SourceWait(Reporter(wanted(), now_s=0.0)).in_vain(wanted(), numbered(*sources), 0) == in_vain


def test_a_search_may_always_bring_sources() -> None:
    assert not SourceWait(Reporter(wanted(), now_s=0.0)).in_vain(wanted(term="words"), numbered(source(BANNED)), 0)


@pytest.mark.parametrize(("finally_failed", "in_vain"), [(True, True), (False, False)])
def test_a_source_that_rests_is_given_up_after_waits_without_a_chunk_where_time_hardly_mends_its_fault(
    *, finally_failed: bool, in_vain: bool
) -> None:
    wait, sources = SourceWait(Reporter(wanted(), now_s=0.0)), numbered(source(COOLING, failed_finally=finally_failed))
    for _ in range(FINAL_WAITS_MAX + 1):
        assert not wait.in_vain(wanted(), sources, 5)
        wait.begin(sources, 5, now_s=0.0)
    assert wait.in_vain(wanted(), sources, 5) == in_vain
    assert not wait.in_vain(wanted(), sources, 6), "a chunk has come"


def test_pauses_double_while_nothing_comes_and_are_said() -> None:
    wait, sources, pauses = SourceWait(Reporter(wanted(), now_s=0.0)), numbered(source(COOLING)), []
    for at in range(12):
        wait.begin(sources, 5, now_s=10.0 * at)
        pauses.append(sources[0].not_before_s - 10.0 * at)
        assert wait.reason.endswith(f"tries again in {pauses[-1]:.0f} s")
    assert pauses[:3] == [PAUSE_S_MIN, 2 * PAUSE_S_MIN, 4 * PAUSE_S_MIN]
    assert pauses[-1] == PAUSE_S_MAX
    sources[0].not_before_s = 0.0
    wait.begin(sources, 6, now_s=500.0)
    assert sources[0].not_before_s == 500.0 + PAUSE_S_MIN, "a chunk has come"


def test_a_source_that_asked_for_a_longer_pause_gets_it_within_bounds() -> None:
    wait, patient, tired = SourceWait(Reporter(wanted(), now_s=0.0)), source(COOLING), source(COOLING)
    patient.not_before_s, tired.not_before_s = PAUSE_S_MAX - 1, 10 * PAUSE_S_MAX
    wait.begin(numbered(patient, tired), 0, now_s=0.0)
    assert (patient.not_before_s, tired.not_before_s) == (PAUSE_S_MAX - 1, PAUSE_S_MAX)


# --- after a rest ---


def test_after_a_rest_one_failure_is_one_too_many_but_all_busy_answers_are_forgiven() -> None:
    rested = source(COOLING, failures=3, failures_max=3, busy_answers=BUSY_ANSWERS_MAX, not_before_s=99.0)
    end_cooldown(rested)
    assert (rested.state, rested.not_before_s) == (CANDIDATE, 0.0)
    for _ in range(BUSY_ANSWERS_MAX - 1):
        record_failure(rested, FaultKind.BUSY, "busy", retry_after_s=0.0, progressed=False, now_s=0.0)
        assert rested.state is CANDIDATE
    record_failure(rested, FaultKind.LOST, "lost", retry_after_s=0.0, progressed=False, now_s=0.0)
    assert rested.state is COOLING


def test_in_a_last_round_proven_sources_have_all_their_tries_again() -> None:
    rounds, proven, other = RetryRounds(), source(COOLING, proven=True, failures_max=3), source(COOLING)
    assert rounds.begin(numbered(proven, other), 0, now_s=10.0) == 1
    assert (proven.state, other.state, proven.not_before_s) == (CANDIDATE, COOLING, 10.0 + ROUND_PAUSE_S)
    for left in (2, 1, 0):
        assert proven.state is CANDIDATE
        record_failure(proven, FaultKind.LOST, "lost", retry_after_s=0.0, progressed=False, now_s=10.0)
        assert (proven.state is COOLING) == (left == 0)


def test_each_further_round_needs_a_chunk_more_and_a_longer_pause() -> None:
    rounds, proven = RetryRounds(), source(COOLING, proven=True)
    begun = []
    for stored in (0, 0, 1, 2, 3, 4):
        proven.state = COOLING
        if rounds.begin(numbered(proven), stored, now_s=0.0):
            begun.append((stored, proven.not_before_s))
    assert begun == [(stored, (at + 1) * ROUND_PAUSE_S) for at, stored in enumerate((0, 1, 2, 3)[:ROUNDS_MAX])]


# --- a new session ---


def test_a_new_session_takes_back_what_users_had_granted_and_leaves_mirrors_alone() -> None:
    state = board("aaaabbbbcccc....", rates={"a": 0.0, "b": 0.0, "c": 1.0})
    for letter in "bc":
        as_peer(state, letter)
    posts = deliver(state, ProcessReady(process="soulseek", pid=2))
    assert [revoked.source for revoked in said(posts, LeaseRevoked)] == [1]
    assert drawn(state)[:4] == "aaaa", "of the mirror no byte has come yet either"
    assert drawn(state)[8:12] == "cccc", "and this user is sending"
    assert not said(posts, LeaseReleased)
    assert (state.sources[0].failures, state.sources[2].failures) == (0, 0)


# --- neighbours ---


def view_of(picture: str, rates: dict[str, float], peers: str) -> tuple[PlacementView, dict[str, Source]]:
    state = board(picture, rates=rates)
    for letter in peers:
        if ord(letter) - ord("a") not in state.sources:
            add(state, letter, rates[letter])
        as_peer(state, letter)
    assert state.leases is not None
    return state.leases._views.view(NOW_S), {chr(ord("a") + number): each for number, each in state.sources.items()}


def overtakes(rates: dict[str, float], peers: str = "ab", *, ahead: int = 40, swarm: bool = True) -> bool:
    """Whether a, which is near its end, takes over the lease of b right ahead."""
    view, sources = view_of("a" + "b" * ahead, rates, peers)
    estimate = view.rates.by_lease.get(sources["a"].busy or 0)
    estimate = estimate or next(each for each in view.rates.estimates if each.lease.source == 0)
    lease = overtaken(view, estimate, swarm=swarm)
    return lease is not None and lease.source == 1


def test_a_user_takes_over_the_late_lease_ahead_of_one_that_is_three_times_slower() -> None:
    assert overtakes({"a": 4.0, "b": 1.0})
    assert not overtakes({"a": 2.9, "b": 1.0})
    assert overtakes({"a": 2.9, "b": 1.0}, swarm=False), "of two that are all there are the slower ends"
    assert not overtakes({"a": 0.9, "b": 1.0}, swarm=False)


@pytest.mark.parametrize(("rate", "ahead"), [(1.1, 4), (2.9, 1)])
def test_of_two_that_would_be_done_together_none_is_stopped_for_the_other(rate: float, ahead: int) -> None:
    """One was, where two had shared a file by their rates: the other sent the second half alone."""
    assert not overtakes({"a": rate, "b": 1.0}, ahead=ahead, swarm=False)
    assert not overtakes({"a": 3.1, "b": 1.0}, ahead=1)


@pytest.mark.parametrize(
    ("rates", "peers"), [({"a": 4.0, "b": 1.0}, "a"), ({"a": 4.0, "b": 1.0}, "b"), ({"a": 4.0, "b": 0.0}, "ab")]
)
def test_a_mirror_is_not_overtaken_nor_a_user_of_whom_nothing_is_known(rates: dict[str, float], peers: str) -> None:
    assert not overtakes(rates, peers)


def left(picture: str, rates: dict[str, float], first: int, stop: int, *, stops: int = 0) -> bool:
    """Whether the chunks are left to the lease that touches them; b is who would send them else."""
    view, sources = view_of(picture, rates, "".join(rates))
    sources["b"].stops = stops
    return left_to_neighbour(view, sources["b"], first, stop)


def test_few_chunks_are_left_to_a_faster_lease_that_has_time_for_them() -> None:
    few = "a" + "." * 4 + "c" * 600
    assert left(few, {"a": 1.0, "b": 0.5, "c": 1.0}, 1, 5), "c needs much longer anyway, whatever it saves"
    assert not left(few, {"a": 1.0, "b": 1.5, "c": 1.0}, 1, 5), "b is the faster one"
