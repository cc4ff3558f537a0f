"""Surveys of very many leases: a slice at a time, and none that was only unknown counts as dead."""

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.finish_time import SURVEYED_WHOLE_MAX, estimate_rates
from actors.core.dispatch.sources import Source

CHUNK = 1000
LENGTH = 10


def test_the_first_rate_that_is_known_is_the_guess_for_all_that_were_surveyed_before() -> None:
    count = SURVEYED_WHOLE_MAX + 50
    tracker, sources = ChunkTracker(count * LENGTH), {number: Source(number, "", "", "", "") for number in range(count)}
    leases = [tracker.grant(each, each * LENGTH, (each + 1) * LENGTH, now_s=0.0) for each in sources]
    unknown = estimate_rates(tracker, sources, CHUNK, now_s=0.0)
    assert {each.rate_bytes_s for each in unknown.estimates} == {0.0}
    leases[0].rate_bytes_s, leases[0].received_bytes, leases[0].measured_s = 500.0, 100, 0.1
    known = estimate_rates(tracker, sources, CHUNK, now_s=0.1, before=unknown)
    assert {each.rate_bytes_s for each in known.estimates} == {500.0}
    assert all(each.finish_s < 30.0 for each in known.estimates)


def test_a_lease_that_holds_but_the_chunk_it_reads_is_not_to_be_cut() -> None:
    tracker, sources = (
        ChunkTracker(2 * SURVEYED_WHOLE_MAX),
        {n: Source(n, "", "", "", "") for n in range(SURVEYED_WHOLE_MAX + 1)},
    )
    for each in range(SURVEYED_WHOLE_MAX):
        tracker.grant(each, each, each + 1, now_s=0.0)
    long = tracker.grant(SURVEYED_WHOLE_MAX, SURVEYED_WHOLE_MAX, 2 * SURVEYED_WHOLE_MAX, now_s=0.0)
    surveyed = estimate_rates(tracker, sources, CHUNK, now_s=0.0)
    assert [each.lease for each in surveyed.cuttable] == [long]
    assert len(surveyed.estimates) == SURVEYED_WHOLE_MAX + 1
