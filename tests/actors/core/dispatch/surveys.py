"""Drawn surveys: sources and leases in any state that they can have, and the plain arithmetic of what they send."""

from hypothesis import strategies as st

from actors.core.dispatch import finish_time
from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.sources import Source, SourceState, SourceTraits

CHUNK = 100_000
NOW_S = 100.0
LENGTH = 40
RATES = st.one_of(st.just(0.0), st.floats(1e3, 1e7))
AGES = st.floats(0.0, 10.0)


@st.composite
def sources(draw: st.DrawFn, number: int) -> Source:
    source = Source(number, f"s{number}", "", "", "")
    source.rate_bytes_s = draw(RATES)
    source.probed, source.preferred = draw(st.booleans()), draw(st.integers(0, 9)) == 0
    source.state = draw(st.sampled_from(SourceState))
    costly = draw(st.booleans())
    source.traits = SourceTraits(
        restart_cost_s=draw(st.floats(0.0, 5.0)),
        offset_ok=draw(st.integers(0, 3)) > 0,
        abort_is_costly=costly,
        grant_cost_s=draw(st.floats(0.0, 2.0)),
    )
    if costly:
        source.peer = f"user-{number}"
        source.stops = draw(st.integers(0, 2))
        source.budget_spent = draw(st.booleans())
        source.last_stop = source.budget_spent or draw(st.booleans())
        source.enqueued, source.enqueued_s = draw(st.booleans()), NOW_S - draw(AGES)
    return source


def move(draw: st.DrawFn, lease: Lease) -> None:
    """Let a lease have gone on for a while, or not yet."""
    lease.next = draw(st.integers(lease.first, lease.stop))
    lease.granted_s, lease.grown_s = NOW_S - draw(AGES), NOW_S - draw(st.floats(0.0, 4.0))
    lease.overlap_bytes = draw(st.sampled_from([0, 32768]))
    if draw(st.booleans()):
        lease.received_bytes = draw(st.integers(1, 2 * LENGTH * CHUNK))
        lease.measured_s = NOW_S - draw(st.floats(0.0, 1.0))
        lease.rate_bytes_s = draw(st.one_of(st.just(-1.0), st.just(0.0), st.floats(1e3, 1e7)))
        lease.flowing_s = NOW_S - draw(AGES)
        lease.prior_rate_bytes_s = draw(st.sampled_from([0.0, 0.0, 1e5]))
    lease.lead_in_bytes = draw(st.sampled_from([0, 0, 3 * CHUNK]))


@st.composite
def leased(draw: st.DrawFn) -> tuple[Lease, Source]:
    lease = ChunkTracker(LENGTH).grant(0, draw(st.integers(0, LENGTH - 1)), LENGTH, now_s=NOW_S)
    move(draw, lease)
    return lease, draw(sources(0))


@st.composite
def surveys(draw: st.DrawFn) -> tuple[ChunkTracker, dict[int, Source]]:
    """A file of some sources, of which a part has leases, one of them perhaps a duplicate."""
    count = draw(st.integers(1, 5))
    tracker = ChunkTracker(count * LENGTH)
    found = {number: draw(sources(number)) for number in range(count)}
    for number in range(draw(st.integers(0, count))):
        first = number * LENGTH
        lease = tracker.grant(number, first, first + draw(st.sampled_from([1, 10, LENGTH])), now_s=NOW_S)
        move(draw, lease)
        if lease.open_chunks and draw(st.integers(0, 3)) == 0:
            found[count + number] = draw(sources(count + number))
            move(draw, tracker.grant_duplicate(lease, count + number, now_s=NOW_S))
    return tracker, found


def plain_estimate(lease: Lease, source: Source, guess: float) -> dict[str, float]:
    traits, known = source.traits, source.rate_bytes_s or guess
    begin_s, read = NOW_S, 0.0
    if lease.received_bytes:
        rate = lease.rate_bytes_s if lease.rate_bytes_s >= 0 else known
        read = lease.received_bytes + rate * min(NOW_S - lease.measured_s, finish_time.EXTRAPOLATED_S_MAX)
    else:
        expected_s = traits.grant_cost_s if traits.abort_is_costly else traits.restart_cost_s
        silent = NOW_S - lease.granted_s > 2 * expected_s + finish_time.FIRST_BYTE_GRACE_S
        rate, begin_s = 0.0 if silent else known, max(NOW_S, lease.granted_s + expected_s)
    dropped = max(lease.lead_in_bytes - read, 0.0)
    begin, stored, end = lease.first * CHUNK, lease.next * CHUNK, lease.stop * CHUNK
    on_the_way = finish_time.UNSTORED_BYTES_MAX + CHUNK + finish_time.UNSTORED_S_MAX * rate
    position = max(stored, min(begin + max(read - lease.lead_in_bytes, 0.0), stored + on_the_way))
    if position >= end:
        lost = stored < end and NOW_S - lease.grown_s > finish_time.UNSTORED_S_MAX
        position = stored if lost else end
    left = end - position + dropped
    return {
        "rate_bytes_s": rate,
        "position_bytes": position,
        "left_bytes": left,
        "finish_s": begin_s + (left + lease.overlap_bytes) / max(rate, finish_time.CRAWL_BYTES_S),
        "is_front": not traits.offset_ok,
    }
