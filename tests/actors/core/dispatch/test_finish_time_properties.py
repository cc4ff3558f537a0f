"""Finish-time estimates of drawn leases and sources, compared with the plain arithmetic that they stand for.

The estimates are written to be quick, a thousand of them a step; here they are written to be read.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch import finish_time
from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.finish_time import (
    SourceRates,
    count_sources,
    estimate_lease,
    estimate_rates,
)
from actors.core.dispatch.sources import Source, SourceState
from tests.actors.core.dispatch.surveys import CHUNK, NOW_S, RATES, leased, plain_estimate, sources, surveys


@given(leased(), RATES)
def test_a_lease_is_estimated_from_what_has_come_at_its_rate_and_from_nothing_that_cannot_be_stored(
    drawn: tuple[Lease, Source], guess: float
) -> None:
    lease, source = drawn
    estimate = estimate_lease(lease, source, guess, CHUNK, now_s=NOW_S)
    plain = plain_estimate(lease, source, guess)
    assert {name: getattr(estimate, name) for name in plain} == pytest.approx(plain)


@given(surveys())
def test_the_guess_is_the_mean_of_the_users_else_of_what_is_measured_and_among_mirrors_the_middle_one(
    drawn: tuple[ChunkTracker, dict[int, Source]],
) -> None:
    tracker, found = drawn
    peers = [each for each in found.values() if each.peer]
    surveyed = estimate_rates(tracker, found, CHUNK, now_s=NOW_S, peers=peers)
    leases = tracker.leases.values()
    measured = sorted(each.rate_bytes_s for each in leases if each.rate_bytes_s > 0)
    known = measured or sorted(each.rate_bytes_s for each in found.values() if each.rate_bytes_s > 0)
    with_users = any(found[each.source].traits.abort_is_costly for each in leases)
    of_users = [each.rate_bytes_s for each in peers if each.rate_bytes_s > 0] if with_users else []
    if of_users or (known and with_users):
        mean_of = of_users or known
        assert surveyed.guess_bytes_s == pytest.approx(sum(mean_of) / len(mean_of))
    else:
        assert surveyed.guess_bytes_s == (known[len(known) // 2] if known else 0.0)


@given(surveys(), st.sampled_from([(0.0, 0.0), (0.0, 1e12), (1e12, 1e12), (3e5, 3e6)]))
def test_a_survey_adds_up_what_sends_and_what_is_left_with_those_that_come_and_what_is_not_sent_meanwhile(
    drawn: tuple[ChunkTracker, dict[int, Source]], small: tuple[float, float]
) -> None:
    tracker, found = drawn
    peers = [each for each in found.values() if each.peer]
    surveyed = estimate_rates(tracker, found, CHUNK, now_s=NOW_S, peers=peers, small_bytes=small)
    guess, leases = surveyed.guess_bytes_s, list(tracker.leases.values())
    each = {lease.id: plain_estimate(lease, found[lease.source], guess) for lease in leases}
    rate = sum(one["rate_bytes_s"] for one in each.values())
    # A duplicate holds the same chunks as the lease that was there before it.
    later = [lease for lease in leases if lease.rival is None or lease.id < lease.rival]
    left = tracker.free.count * CHUNK + sum(each[lease.id]["left_bytes"] + lease.overlap_bytes for lease in later)
    guessed = sum(
        each[lease.id]["rate_bytes_s"]
        for lease in leases
        if lease.rate_bytes_s <= 0 and not found[lease.source].rate_bytes_s
    )
    coming = {}
    for peer in peers:
        due_s = peer.enqueued_s + peer.traits.restart_cost_s - NOW_S
        if peer.enqueued and peer.traits.offset_ok and due_s > -finish_time.COUNTED_ON_S:
            coming[peer.id] = max(due_s, 0.0)
            expected = peer.rate_bytes_s or guess
            rate, left = rate + expected, left + expected * coming[peer.id]
            guessed += 0.0 if peer.rate_bytes_s else expected
    assert surveyed.coming == pytest.approx(coming)
    assert surveyed.rate_bytes_s == pytest.approx(rate)
    assert surveyed.guessed_share == pytest.approx(guessed / rate if rate else 1.0)
    assert surveyed.mean_bytes_s == pytest.approx(rate / max(len(leases) + len(coming), 1))
    latest_first = sorted((one["finish_s"] for one in each.values()), reverse=True)
    assert [one.finish_s for one in surveyed.estimates] == pytest.approx(latest_first)
    assert {one.lease.id for one in surveyed.fronts} == {
        lease.id for lease in leases if not found[lease.source].traits.offset_ok
    }
    if rate:
        left += not_sent(tracker, found, each, rate, left, small)
    assert surveyed.left_bytes == pytest.approx(left)


def not_sent(
    tracker: ChunkTracker,
    found: dict[int, Source],
    each: dict[int, dict[str, float]],
    rate: float,
    left: float,
    small: tuple[float, float],
) -> float:
    """Bytes that users do not send who are done before all is: while they start again, or to the end, if for little."""
    lost = 0.0
    for _ in range(2):
        until_s = NOW_S + (left + lost) / max(rate, finish_time.CRAWL_BYTES_S)
        lost = 0.0
        for lease in tracker.leases.values():
            source, one = found[lease.source], each[lease.id]
            idle_s = until_s - one["finish_s"]
            if not source.traits.abort_is_costly or idle_s <= 0 or lease.stop in tracker.free:
                continue
            with_a_stop = lease.stop < tracker.total
            little = small[source.stops > 0 or with_a_stop] + CHUNK / 2
            restart_s = source.traits.restart_cost_s
            last = source.last_stop and (source.budget_spent or with_a_stop)
            again = not last and one["rate_bytes_s"] * (idle_s - restart_s) > little
            lost += one["rate_bytes_s"] * (restart_s if again else idle_s)
    return lost


def rates(**changes: Any) -> SourceRates:
    nothing: dict[str, Any] = {
        "estimates": [],
        "cuttable": [],
        "by_lease": {},
        "slice_at": 0,
        "fronts": [],
        "seen_s": NOW_S,
        "rate_bytes_s": 0.0,
        "left_bytes": 0.0,
        "guess_bytes_s": 0.0,
        "advertised_share": 0.0,
        "guessed_share": 0.0,
        "coming": {},
    }
    return SourceRates(**{**nothing, **changes})


@given(st.floats(1e3, 1e7), RATES, st.floats(0.0, 1e9), st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_until_the_common_finish_all_rates_send_just_what_is_left(
    rate: float, joins: float, left: float, setup_s: float, coming_s: float
) -> None:
    """Also where the one that joins was expected already: it is not counted twice."""
    without = rates(rate_bytes_s=rate, left_bytes=left)
    took_s = without.finish_with(joins, setup_s, now_s=NOW_S, joining=1) - NOW_S
    assert rate * took_s + joins * (took_s - setup_s) == pytest.approx(left, rel=1e-6, abs=1.0)
    expected = rates(rate_bytes_s=rate + joins, left_bytes=left + joins * coming_s, coming={1: coming_s})
    assert expected.finish_with(joins, setup_s, now_s=NOW_S, joining=1) - NOW_S == pytest.approx(took_s, abs=1e-6)


@given(st.floats(0.0, 1e9), st.floats(0.0, 5.0))
def test_where_no_one_sends_the_finish_is_a_start_away(left: float, setup_s: float) -> None:
    assert rates(left_bytes=left).finish_with(0.0, setup_s, now_s=NOW_S) == NOW_S + setup_s


@given(st.lists(sources(0), max_size=4))
def test_sources_are_counted_by_what_matters_to_placements(drawn: list[Source]) -> None:
    counts = count_sources(dict(enumerate(drawn)), now_s=NOW_S)
    assert counts.source_count == max(1, len([each for each in drawn if each.state is not SourceState.BANNED]))
    assert counts.budget_spent_count == len([each for each in drawn if each.budget_spent])
    assert counts.any_preferred is any(each.preferred for each in drawn)
    may_be_front = [each for each in drawn if each.usable and (not each.probed or not each.traits.offset_ok)]
    assert counts.front_kept is bool(may_be_front)
    assert counts.seen_s == NOW_S
