"""Rules of placement, each on drawn boards: what is extended, given back or taken over, duels, modes, stop budgets."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.core.dispatch import placement, placement_view, stop_cost
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import compared_bytes
from actors.core.dispatch.placement import FreeRange, Shared, extension, gap_ahead, given_back, overtaken, rides_out
from actors.core.dispatch.placement_view import PlacementView, PlacementViewCache, estimate_now
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages.leases import NO_LEASE
from protocol.model.faults import FaultKind
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, SETUP_S, add, as_peer, board, drawn, lease_of, serve
from tests.actors.core.dispatch.replies import released
from tests.specs import start_job

RATES = st.floats(0.05, 20.0)
ENOUGH_S = placement.GAIN_MIN_S + placement.GAIN_MIN_SETUPS * SETUP_S


def ridden(picture: str, users: str = "", **rates: float) -> DispatchState:
    state = board(picture, rates=rates)
    for letter in users:
        as_peer(state, letter)
    return state


def view_of(state: DispatchState) -> PlacementView:
    assert state.leases is not None
    return PlacementViewCache(state.job, state.leases.tracker, state.sources).view(NOW_S)


def until_s(view: PlacementView) -> float:
    return view.rates.finish_with(0.0, 0.0, now_s=NOW_S) - NOW_S


# -- the end of a lease that touches free chunks


@given(st.integers(1, 8), st.integers(1, 40), RATES, RATES, st.booleans())
def test_a_lease_goes_on_by_what_it_can_send_until_the_common_finish_and_a_users_by_some_seconds(
    held: int, free: int, rate: float, other: float, user: bool
) -> None:
    state = ridden("a" * held + "." * free + "c" * 8, "ac" if user else "", a=rate, c=other)
    view = view_of(state)
    estimate = estimate_now(view, lease_of(state, "a"))
    overlap = placement_view.overlap_bytes(view, state.sources[0])
    more = max(rate * CHUNK * until_s(view) - overlap - estimate.left_bytes, 0.0) / CHUNK
    more = min(more, placement.EXTENSION_S_MAX * rate) if user else more
    chunks = max(1, math.ceil(max(more, placement.EXTENSION_S_MIN * rate) - 1e-9))
    assert extension(view, estimate) in {held + min(free, chunks), held + min(free, chunks + 1)}


@pytest.mark.parametrize("change", ["shared", "rival", "rate", "taken"])
def test_a_lease_of_a_race_or_a_duel_and_one_that_stands_still_go_no_further(change: str) -> None:
    state = ridden("aaaa....", a=1.0)
    lease = lease_of(state, "a")
    view = view_of(state)
    assert extension(view, estimate_now(view, lease)) is not None
    if change == "taken":
        state = ridden("aaaabbbb", a=1.0, b=1.0)
        lease = lease_of(state, "a")
    else:
        setattr(lease, {"rate": "rate_bytes_s"}.get(change, change), {"shared": True, "rival": 9, "rate": 0.0}[change])
    view = view_of(state)
    assert extension(view, estimate_now(view, lease)) is None


@given(st.integers(4, 40), st.integers(1, 40), RATES, RATES, st.floats(0.0, 3.5))
def test_a_late_lease_gives_back_what_it_cannot_send_in_time(
    held: int, free: int, rate: float, other: float, came: float
) -> None:
    state = ridden("a" * held + "." * free + "c" * 8, "ac", a=rate, c=other)
    lease = lease_of(state, "a")
    lease.received_bytes = max(int(came * CHUNK), 1)
    view = view_of(state)
    came, left_s = lease.received_bytes / CHUNK, until_s(view)
    needs_s = (held - came) / rate
    assume(abs(needs_s - stop_cost.LATE_SHARE * left_s) > 1e-6)
    stop = given_back(view, estimate_now(view, lease))
    if needs_s < stop_cost.LATE_SHARE * left_s or int(came) + 1 >= held:
        assert stop is None
        return
    assert stop is not None
    assert int(came) < stop < held
    assert stop == max(int(came) + 1, 1) or (stop - came) / rate <= left_s + 1e-6
    assert (stop + 1 - came) / rate > left_s - 1e-6, "it keeps all that it has done by then"


@pytest.mark.parametrize("change", ["none", "shared", "rival", "mirror", "unknown", "touches nothing"])
def test_only_a_user_that_touches_free_chunks_gives_back_once_the_finish_is_known(change: str) -> None:
    touches = change != "touches nothing"
    state = ridden("a" * 30 + ("." * 10 if touches else "#" * 10) + "c" * 8, "ac", a=0.05, c=1.0)
    lease = lease_of(state, "a")
    if change in ("shared", "rival"):
        setattr(lease, change, 9)
    if change == "mirror":
        state.sources[0].traits = replace(state.sources[0].traits, abort_is_costly=False)
    if change == "unknown":  # most of what is counted on is a guess
        state.sources[2].rate_bytes_s, lease_of(state, "c").rate_bytes_s = 0.0, -1.0
    view = view_of(state)
    assert (given_back(view, estimate_now(view, lease)) is not None) is (change == "none")


@given(st.integers(1, 12), st.sampled_from([0, 1, 3, 20]), RATES, st.booleans(), st.booleans())
def test_free_chunks_are_reached_over_stored_ones_where_a_start_costs_a_stop(
    held: int, stored: int, rate: float, user: bool, offset_ok: bool
) -> None:
    """Over few of them; a transfer that could only begin again goes over as many as the time allows."""
    state = ridden("a" * held + "#" * stored + "." * 6, "a" if user else "", a=rate)
    state.sources[0].traits = replace(state.sources[0].traits, offset_ok=offset_ok)
    view = view_of(state)
    crossed_s = placement.CROSSED_S_MAX if offset_ok else max(placement.CROSSED_S_MAX, until_s(view))
    assume(abs(stored - crossed_s * rate) > 1e-6)
    gap = gap_ahead(view, estimate_now(view, lease_of(state, "a")))
    reached = not stored or (user and stored < crossed_s * rate)
    assert gap == ((held + stored, held + stored + 6) if reached else None)


@given(st.integers(0, 9), RATES, st.booleans(), st.sampled_from(["#", "."]))
def test_a_user_sends_on_to_the_end_of_the_file_over_a_few_stored_chunks(
    stored: int, rate: float, user: bool, before: str
) -> None:
    state = board("...." + before + "#" * stored)
    source = add(state, "b", rate)
    if user:
        as_peer(state, "b")
    stop = 5 if before == "." else 4
    sent = 4 + 1 + stored - stop
    assume(abs(sent - placement.CROSSED_S_MAX * rate) > 1e-6)
    rides = rides_out(view_of(state), source, stop)
    assert rides is (user and 0 < sent <= placement.CROSSED_S_MAX * rate)
    assert not rides_out(view_of(state), source, 3), "there are free chunks behind it"


# -- two that meet


@given(RATES, RATES, RATES, st.integers(1, 30), st.integers(0, 8), st.booleans())
def test_a_lease_ahead_is_taken_over_where_its_source_is_late_and_much_slower(
    rate: float, slow: float, other: float, chunks: int, came: int, swarm: bool
) -> None:
    """Without a swarm where one alone is done sooner. What the other has stored is read again, for some seconds."""
    came = min(came, chunks - 1)
    state = ridden("a" + "b" * chunks + "c" * 20, "abc", a=rate, b=slow, c=other)
    lease = lease_of(state, "b")
    lease.next, lease.received_bytes = lease.first + came, max(came * CHUNK, 1)
    view = view_of(state)
    theirs_s, left_s = (chunks - came) / slow, until_s(view)
    alone_s = (1 + chunks) / rate
    margins = (
        theirs_s - stop_cost.LATE_SHARE * left_s,
        theirs_s - alone_s - stop_cost.GAIN_FELT_S,
        placement.CROSSED_S_MAX * rate - came,
        rate - placement.OVERTAKEN_FASTER * slow,
    )
    assume(all(abs(margin) > 1e-4 for margin in margins))
    late, sooner, near, faster = (margin > 0 for margin in margins)
    found = overtaken(view, estimate_now(view, lease_of(state, "a")), swarm=swarm)
    assert (found is lease) is (sooner and near and (not swarm or (late and faster)))
    assert found in (lease, None)


@pytest.mark.parametrize("change", ["none", "mirror", "mirror ahead", "duel", "duel ahead", "still", "done", "apart"])
def test_only_a_user_takes_over_only_from_a_user_right_ahead(change: str) -> None:
    state = ridden(("a#" if change == "apart" else "a") + "b" * 20, "ab", a=9.0, b=0.1)
    mine, ahead = lease_of(state, "a"), lease_of(state, "b")
    for letter, name in ((0, "mirror"), (1, "mirror ahead")):
        if change == name:
            state.sources[letter].traits = replace(state.sources[letter].traits, abort_is_costly=False)
    if change == "duel":
        mine.rival = 9
    elif change == "duel ahead":
        ahead.rival = 9
    elif change == "still":
        ahead.rate_bytes_s = 0.0
    elif change == "done":
        ahead.next = ahead.stop
    view = view_of(state)
    assert overtaken(view, estimate_now(view, mine), swarm=False) is (ahead if change == "none" else None)


@given(RATES, RATES, RATES)
def test_a_third_source_takes_the_place_of_the_slower_of_two_that_fetch_the_last_chunk(
    first: float, second: float, third: float
) -> None:
    state = board("###a", rates={"a": first})
    add(state, "b", second)
    assert state.leases is not None
    tracker = state.leases.tracker
    duel = tracker.grant_duplicate(lease_of(state, "a"), 1, now_s=NOW_S - 3)
    duel.rate_bytes_s, duel.received_bytes, duel.measured_s, state.sources[1].busy = second * CHUNK, 1, NOW_S, duel.id
    serve(state, "c", third)
    lefts_s, mine_s = (1 / first, 1 / second), SETUP_S + 1 / third
    margins = [left_s - (mine_s + ENOUGH_S + placement.GAIN_MIN_SHARE * left_s) for left_s in lefts_s]
    assume(all(abs(margin) > 1e-3 for margin in margins) and abs(first - second) > 1e-6)
    comes = min(margins) > 0 and min(lefts_s) > placement.GAIN_MIN_S
    riding = {lease.source for lease in tracker.leases.values()}
    assert riding == ({2, 0 if first > second else 1} if comes else {0, 1})


# -- modes


def test_one_source_at_a_time_goes_on_where_the_last_one_ended() -> None:
    state = ridden("##aa....", a=1.0)
    source = add(state, "b", 1.0)
    assert placement.failover(view_of(state), source) is None
    lease_of(state, "a").draining = True
    assert placement.failover(view_of(state), source) == FreeRange(4, 8)
    assert placement.failover(view_of(ridden("####")), source) is None


def test_a_shared_queue_gives_a_chunk_at_a_time_from_the_front() -> None:
    state = ridden("##aa....", a=1.0)
    assert placement.queue(view_of(state), add(state, "b", 1.0)) == FreeRange(4, 5)


@pytest.mark.parametrize(
    ("draining", "position", "race_users", "races"),
    [(False, 0, 2, True), (False, 0, 1, False), (True, 0, 1, True), (True, 8, 2, False), (False, 8, 2, True)],
)
def test_a_race_is_joined_from_the_first_missing_chunk_to_the_end(
    draining: bool, position: int, race_users: int, races: bool
) -> None:
    state = ridden("##......", "")
    assert state.leases is not None
    source = add(state, "a", 1.0)
    lease = state.leases.tracker.grant(0, 2, 8, now_s=NOW_S, shared=True)
    as_peer(state, "a")
    lease.draining = draining
    other = add(state, "b", 1.0)
    as_peer(state, "b").position = position
    placed = placement.race(replace(view_of(state), race_users=race_users), other)
    assert placed == (Shared(2, 8) if races else None)
    assert source.traits.abort_is_costly


# -- views


@pytest.mark.parametrize(("leases", "reused"), [(placement_view.SURVEY_FRESH_MAX, False), (80, True)])
def test_one_survey_of_many_leases_serves_for_a_moment_and_of_few_until_one_changes(leases: int, reused: bool) -> None:
    state = board("." * 200)
    assert state.leases is not None
    tracker = state.leases.tracker
    for number in range(leases):
        add(state, "a", 1.0)
        tracker.grant(0, number, number + 1, now_s=NOW_S)
    cache = PlacementViewCache(state.job, tracker, state.sources)
    first = cache.view(NOW_S).rates
    assert cache.view(NOW_S + 0.05).rates is first
    cache.changed()
    changed = cache.view(NOW_S + 0.06).rates
    assert (changed is first) is reused
    assert cache.view(NOW_S + 0.2).rates is not changed


@pytest.mark.parametrize(
    ("spent", "leased", "draining", "able", "binds"),
    [
        (True, True, False, False, True),
        (True, True, True, False, False),
        (True, False, False, False, False),
        (True, False, False, True, True),
        (False, False, False, False, True),
    ],
)
def test_stop_budgets_bind_while_another_source_can_go_on(
    spent: bool, leased: bool, draining: bool, able: bool, binds: bool
) -> None:
    state = ridden("aaaa...." if leased else "........", "a" if leased else "", **({"a": 1.0} if leased else {}))
    add(state, "b", 1.0)
    as_peer(state, "b", stops=9 if spent else 0)
    if leased:
        state.sources[0].budget_spent = True
        lease_of(state, "a").draining = draining
    if able:
        add(state, "c", 1.0)
    assert view_of(state).budgets_bind is binds


# -- what a stop costs


@given(st.floats(0.0, 1e4), st.integers(0, 5))
def test_a_stop_must_gain_a_share_of_the_rest_and_twice_as_much_of_one_who_was_stopped_often(
    left_s: float, stops: int
) -> None:
    enough_s = min(stop_cost.GAIN_ENOUGH_SHARE * left_s, stop_cost.GAIN_ENOUGH_S)
    often_s = max(2 * enough_s, stop_cost.GAIN_FELT_S)
    assert stop_cost.gain_min_s(left_s, stops) == (often_s if stops >= stop_cost.STOPS_USUAL else enough_s)


ENDS = st.lists(st.tuples(st.one_of(st.just(NO_LEASE), st.integers(1, 6)), st.booleans()), max_size=10)


@given(
    ENDS, st.integers(0, 4), st.integers(1, 4), st.integers(1, 6), st.booleans(), st.sampled_from(["swarm", "queue"])
)
def test_each_transfer_that_was_broken_off_counts_once_against_the_budgets_of_job_and_day(
    ends: list[tuple[int, bool]], before: int, per_job: int, per_day: int, costly: bool, mode: str
) -> None:
    """Also one whose lease is forgotten; a report that comes again, or after that of a later lease, counts nothing."""
    job = start_job(folder="/box", mode=mode, stops_per_job=per_job, stops_per_day=per_day)
    source = Source(0, "s", "h", "", "")
    source.traits, source.stops_before = replace(source.traits, abort_is_costly=costly), before
    stop_cost.update_stop_budget(source, job)
    counted, latest = 0, -1
    for lease, stopped in ends:
        message = released(0, lease, 0, FaultKind.RESET, stopped=stopped)
        spent = source.budget_spent
        changed = stop_cost.count_stop(source, job, message)
        counted += stopped and (lease > latest or lease == NO_LEASE)
        latest = max(latest, lease)
        assert changed is (source.budget_spent is not spent)
    binds = costly and mode != "queue"
    assert source.stops == counted
    assert source.budget_spent_today is (binds and before + counted >= per_day)
    assert source.budget_spent is (binds and (counted >= per_job or before + counted >= per_day))
    assert source.last_stop is (binds and (counted + 1 >= per_job or before + counted + 1 >= per_day))


@pytest.mark.parametrize(
    ("changes", "mute"),
    [
        ({}, True),
        ({"budget_spent": False}, False),
        ({"budget_spent_today": True}, False),
        ({"rate_bytes_s": 1.0}, False),
        ({"stops": 0, "stops_beside": 2}, False),
    ],
)
def test_one_of_whom_no_byte_came_before_its_stops_were_spent_is_left_out(changes: dict[str, Any], mute: bool) -> None:
    source = Source(0, "s", "h", "", "", state=SourceState.CANDIDATE)
    source.budget_spent, source.stops = True, 2
    for name, value in changes.items():
        setattr(source, name, value)
    assert stop_cost.mute(source) is mute


@given(RATES, RATES, st.integers(2, 40), st.booleans(), st.booleans())
def test_who_comes_gets_what_it_can_send_until_the_common_finish_rounded_by_what_a_start_costs(
    held: float, comes: float, free: int, user: bool, to_end: bool
) -> None:
    state = ridden("aaaa" + "." * free, "a" if user else "", a=held)
    source = add(state, "b", comes)
    if user:
        as_peer(state, "b")
    view = view_of(state)
    could = placement_view.could_bytes(view, source, 4) / CHUNK
    start_s = source.start_cost_s
    total_s = (4 + free + comes * start_s) / (held + comes)
    if not user:
        assert could == pytest.approx(comes * (total_s - start_s), rel=1e-3, abs=1e-3)
        assert stop_cost.placed_chunks(view, source, 4) == math.ceil(could)
        return
    placed = stop_cost.placed_chunks(view, source, 4, to_end=to_end)
    compared = 0.0 if to_end else compared_bytes(source, CHUNK) / CHUNK
    exact = stop_cost.AMPLE * could - compared
    quick = comes > 1 / stop_cost.SHORT_CHUNK_S  # a chunk is a moment: to the nearest, else whole ones only
    assert placed <= exact + (0.5 if quick else 0.0) + 1e-6 < placed + 1 + 2e-6


@given(st.integers(1, 9), st.integers(20, 64), st.booleans(), st.booleans())
def test_the_first_lease_of_an_unknown_source_measures_it_with_a_share_of_the_file(
    count: int, chunks: int, user: bool, offset_ok: bool
) -> None:
    state = board("." * chunks)
    for letter in "abcdefghi"[:count]:
        add(state, letter, offset_ok=offset_ok)
    if user:
        as_peer(state, "a")
    share = stop_cost.MEASURING_SHARE_COSTLY if user else stop_cost.MEASURING_SHARE
    measured = chunks // ((share if offset_ok else 1) * count)
    if user and offset_ok:
        measured = max(measured, min(stop_cost.MEASURING_BYTES // CHUNK, chunks // stop_cost.MEASURING_SHARE_MAX))
    assert stop_cost.measuring_chunks(view_of(state), state.sources[0]) == measured
    assert drawn(state) == "." * chunks
