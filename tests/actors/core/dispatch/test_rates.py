"""Rates and set-up times that are learned of sources, and the rate of a job over its last seconds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.chunk_tracker import Lease
from actors.core.dispatch.finish_time import _typical_rate
from actors.core.dispatch.progress import RATE_WINDOW_S, Reporter
from actors.core.dispatch.sources import (
    QUICKEST_BYTES_S,
    SAMPLE_S_MIN,
    YOUNG_S,
    Source,
    SourceTraits,
    learn_rate,
    learn_setup,
    note_received,
    tempered,
)
from protocol.messages import JobProgressed
from protocol.model.limits import LIMITER_QUOTA_S
from tests.actors.core.dispatch.boards import said, wanted

MIB = 1 << 20


def source(number: int = 0, *, user: bool = False, rate: float = 0.0) -> Source:
    made = Source(number, "s", "host", "fetch-1/worker-1-0", "f", peer="ann" if user else "")
    made.traits = SourceTraits(restart_cost_s=1.0, grant_cost_s=3.0, abort_is_costly=user)
    made.rate_bytes_s = rate
    return made


def lease(received: int = 0, *, flowing_s: float = 0.0, sample: bool = False, rate: float = -1.0) -> Lease:
    made = Lease(id=1, source=0, first=0, next=0, stop=10, granted_s=10.0, heard_s=10.0, grown_s=10.0)
    made.received_bytes, made.flowing_s, made.sample, made.rate_bytes_s = received, flowing_s, sample, rate
    return made


def learned(one: Source, of: Lease, now_s: float, flowing_s: float = -1.0) -> float:
    learn_rate(one, of, now_s, flowing_s=flowing_s)
    return one.rate_bytes_s


def test_a_lease_that_is_over_before_it_was_measured_says_the_rate_without_the_set_up() -> None:
    assert learned(source(), lease(8 * MIB), 15.0) == 2 * MIB, "1 of 5 seconds was set-up"
    assert learned(source(), lease(8 * MIB, flowing_s=13.0), 15.0) == 2 * MIB, "of a mirror that was learned"
    assert learned(source(user=True), lease(8 * MIB), 15.0) == 4 * MIB, "3 of 5 seconds were set-up"
    assert learned(source(user=True), lease(8 * MIB, flowing_s=11.0), 15.0) == 2 * MIB, "its first byte was seen"


def test_what_a_limiter_lends_to_a_user_is_no_rate() -> None:
    short_s = LIMITER_QUOTA_S / 10
    got = learned(source(user=True), lease(MIB, flowing_s=10.0), 10.0 + short_s)
    assert got == pytest.approx(MIB / LIMITER_QUOTA_S)
    assert learned(source(), lease(MIB), 11.0 + short_s) == pytest.approx(MIB / short_s)


def test_a_rate_that_is_known_stays_and_nothing_is_learned_of_nothing() -> None:
    assert learned(source(rate=5.0), lease(8 * MIB), 15.0) == 5.0
    assert learned(source(), lease(0), 15.0) == 0.0
    read_again = lease(8 * MIB)
    read_again.lead_in_bytes = 8 * MIB
    assert learned(source(), read_again, 15.0) == 0.0
    guessed = source(rate=5.0)
    guessed.rate_guessed = True
    assert learned(guessed, lease(8 * MIB), 15.0) == 2 * MIB


def test_a_sample_is_measured_by_its_worker_and_a_quick_one_is_a_guess() -> None:
    user = source(user=True, rate=5.0)
    assert (learned(user, lease(MIB, sample=True), 15.0, 2.0), user.rate_guessed) == (MIB / 2, False)
    assert learned(user, lease(MIB, sample=True), 15.0, SAMPLE_S_MIN / 2) == MIB / 2, "too short to replace it"
    for flowing_s in (0.0, SAMPLE_S_MIN / 2, MIB / QUICKEST_BYTES_S / 2):
        user = source(user=True)
        assert 0 < learned(user, lease(MIB, sample=True), 15.0, flowing_s) <= MIB / SAMPLE_S_MIN
        assert user.rate_guessed


def test_what_a_start_costs_is_learned_by_halves_of_a_new_user_at_once() -> None:
    mirror = source()
    learn_setup(mirror, 3.0)
    assert mirror.traits.restart_cost_s == 2.0
    user = source(user=True)
    user.enqueued_s, user.offered_s = 100.0, 104.0
    learn_setup(user, 1.0)
    assert (user.traits.grant_cost_s, user.traits.restart_cost_s) == (1.0, 5.0), "its queue is part of a start"
    learn_setup(user, 2.0)
    assert (user.traits.grant_cost_s, user.traits.restart_cost_s) == (1.5, 5.5)


def test_bytes_count_as_growth_only_where_more_have_come() -> None:
    young = lease()
    note_received(young, 100, 20.0)
    first_s = young.flowing_s
    assert 10.0 < first_s <= 20.0
    note_received(young, 100, 30.0)
    assert (young.grown_s, young.received_bytes, young.flowing_s) == (20.0, 100, first_s)
    assert young.measured_s > 20.0
    note_received(young, 200, 40.0)
    assert (young.grown_s, young.received_bytes, young.flowing_s) == (40.0, 200, first_s)


@given(st.integers(0, 300))
def test_the_rate_of_a_young_transfer_leans_on_that_of_the_one_before(percent: int) -> None:
    age_s = YOUNG_S * percent / 100
    young = lease()
    assert tempered(young, 50.0, 1.0, young.granted_s + 1.0 + age_s) == 50.0, "there was none"
    young.prior_rate_bytes_s = 10.0
    now = [tempered(young, 50.0, 1.0, young.granted_s + 1.0 + each) for each in (age_s, age_s + 0.01)]
    assert 10.0 <= now[0] <= now[1] <= 50.0
    assert (now[0] == 10.0) == (percent == 0)
    assert (now[0] == 50.0) == (percent >= 100)


def test_an_unknown_user_is_reckoned_with_the_mean_and_an_unknown_mirror_with_the_median() -> None:
    rates = (0.0, 1.0, 2.0, 9.0)
    sources = {number: source(number, rate=rate) for number, rate in enumerate(rates)}
    assert _typical_rate([], sources, None) == 2.0
    assert _typical_rate([], sources, []) == 4.0
    assert _typical_rate([lease(rate=3.0), lease(rate=0.0), lease(rate=5.0)], sources, None) == 5.0
    assert _typical_rate([lease(rate=3.0), lease(rate=0.0), lease(rate=5.0)], sources, []) == 4.0
    assert _typical_rate([], sources, [*sources.values()][:3]) == 1.5, "those that send, where any does"
    assert _typical_rate([], {}, []) == 0.0


@given(st.lists(st.tuples(st.floats(0.2, 2.0), st.integers(1, 1000)), min_size=2, max_size=30))
def test_the_rate_of_a_job_is_the_mean_over_a_little_more_than_its_last_seconds(steps: list[tuple[float, int]]) -> None:
    reporter, one, now_s, stored = Reporter(wanted(watcher="front"), now_s=0.0), source(), 0.0, 0
    history = list[tuple[float, int]]()
    for wait_s, length in steps:
        now_s, stored = now_s + wait_s, stored + length
        reporter.stored(one, (), length)
        (report,) = said(reporter.progress("riding", {}, None, 0.0, now_s=now_s), JobProgressed)
        history.append((now_s, stored))
        begin_s, begin = next(
            (each for each, after in pairwise(history) if after[0] >= now_s - RATE_WINDOW_S),
            history[0],
        )
        expected = (stored - begin) / (now_s - begin_s) if now_s > begin_s else 0.0
        assert report.rate_bytes_s == pytest.approx(expected)
    assert report.size_bytes == -1
