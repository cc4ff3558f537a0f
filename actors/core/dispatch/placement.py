"""Lease placement: which chunks a free source gets next. The rule of the swarm, and the plainer modes beside it.

*Swarm*: a source with nothing to do gets what it can send until the common finish time: from the free part of the
file while there is one, else the tail of the lease that would finish last, else (nothing left to cut) a duplicate of
the last chunks of a slow one. A source of unknown rate first gets a short lease that measures it.

Where in a free gap: the lease that touches the gap's start may be extended into it, and what its source can still send
until the common finish time is left to it; a newcomer is put at the gap's *end*. So the front stays open for the one
lease that can use it without stopping, and for sources that can only begin at byte 0. Of those only the fastest is of
use: they fetch the same chunks from the front until the first one is in.

Where every lease costs a stop: the one that may go on into the gap is to be the fastest, so a faster newcomer begins
right behind what that one can still do; and tails that would be late are taken before free chunks (see `stop_cost`).
"""

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Final

from actors.core.dispatch import spread, stop_cost
from actors.core.dispatch.chunk_tracker import UNBOUNDED, Lease
from actors.core.dispatch.finish_time import LeaseEstimate
from actors.core.dispatch.placement_view import (
    HOPELESS_S,
    PlacementView,
    bound_to_end,
    claim_bytes,
    claim_chunks,
    estimate_now,
    expected_rate,
    finish_with,
    is_open,
    keeps_end,
    lead_in_chunks,
    lease_ending_at,
    small_bytes,
    start_cost_s,
)
from actors.core.dispatch.sources import PRIOR_BYTES_S, Source
from protocol.model.chunk_ranges import ChunkRange
from protocol.model.value import Struct

GAIN_MIN_S: Final = 0.02
GAIN_MIN_SETUPS: Final = 0.3
"""Disturbing a lease, or fetching a chunk twice, must save at least this much time, and this share of a new start."""
GAIN_ONCE_S: Final = 1.0
"""What a source that answered once must save by taking from another's first answer: it may not answer again, and while
so much is left the other goes on there when it is refused."""
GAIN_MIN_SHARE: Final = 0.1
"""A duplicate must also save this share of what the lease still needs."""
LATE_SHORT_SHARE: Final = 0.5
"""A late tail goes before free chunks only if it keeps its new source busy for this share of the time left."""
EXTENSION_S_MAX: Final = 4.0
"""A lease whose stop is costly is extended by this much at a time. Moving its end again costs nothing, and while few
rates are known the common finish time is far off."""
EXTENSION_S_MIN: Final = 2.0
"""And by at least this much, so that its worker never waits for the next extension."""
CROSSED_S_MAX: Final = 3.0
"""Stored chunks are read again for this long at most where that spares a stop; a new start takes about as long."""
AGAIN_S_MAX: Final = 600.0
"""And for this long by one that is all there is, and not to be stopped once more today."""
OVERTAKEN_FASTER: Final = 3.0
"""A lease is taken over by one this many times as fast."""
TAIL_FASTER: Final = 2.0
"""A small tail is taken only by a source this many times as fast: else it costs a stop and saves a blink."""
GUESSED_MAX: Final = 0.1
"""While more of all that is to be sent is guessed, the common finish time is not known."""
GAPS_MAX: Final = 4
VICTIMS_MAX: Final = 8
"""Only leases that finish last are worth shortening; looking at more would make a step long and gain nothing."""


class FreeRange(Struct, frozen=True):
    """Lease of a free range."""

    first: int
    stop: int


class Tail(Struct, frozen=True):
    """Lease of the tail ``[first, stop)`` of a running one."""

    victim: Lease
    first: int


class Duplicate(Struct, frozen=True):
    """Second lease of all that is open of a running one: the first chunk in wins. `replaced`: the duplicate so far."""

    victim: Lease
    replaced: Lease | None = None


class Shared(Struct, frozen=True):
    """Lease of a race: from `first` to the end, whatever others fetch."""

    first: int
    stop: int


Placement = FreeRange | Tail | Duplicate | Shared


def goes_on(source: Source, placement: Placement) -> bool:
    """Return whether a placement begins where the source's first answer stands open: that costs no request."""
    return source.stands and not isinstance(placement, Duplicate) and placement.first == source.position


def swarm(view: PlacementView, source: Source) -> Placement | None:
    """Place by the rule of the module's head."""
    start = spread.start(view, source)
    if start is not None:
        return FreeRange(*start)
    if stop_cost.mute(source) and bound_to_end(view, source):
        return None
    if not source.traits.offset_ok:
        front = _front_lease(view)
        if front is not None:
            return _contest(view, source, front)
    short: Placement | None = None
    for placement, first, stop in _candidates(view, source):
        if not stop_cost.too_short(view, source, first, stop):
            return placement
        short = short or placement
    return short or (None if view.tracker.free else _duplicate(view, source))


def queue(view: PlacementView, source: Source) -> Placement | None:
    """Place one chunk a lease from a shared queue; the last ones are duplicated."""
    run = view.tracker.free.first_range()
    if run is None:
        return _duplicate(view, source)
    return FreeRange(run[0], run[0] + 1)


def failover(view: PlacementView, source: Source) -> Placement | None:
    """Place one source at a time, from the first missing byte on; the next goes on where it failed."""
    run = view.tracker.free.first_range()
    if run is None or any(not lease.draining for lease in view.tracker.leases.values()):
        return None
    return FreeRange(*run)


def race(view: PlacementView, source: Source) -> Placement | None:
    """Let every source fetch everything that is missing; of those whose aborts are costly only a few at a time."""
    run = view.tracker.free.first_range()
    if run is None or (source.traits.abort_is_costly and _users_racing(view) >= view.race_users):
        return None
    if source.position >= view.tracker.total and any(lease.draining for lease in view.tracker.leases.values()):
        return None  # it has fetched all; its last chunks are on their way, unless a failing disk lost them
    return Shared(run[0], view.tracker.total)


def _users_racing(view: PlacementView) -> int:
    leases = view.tracker.leases.values()
    return sum(not lease.draining and view.sources[lease.source].traits.abort_is_costly for lease in leases)


PLACERS: Final[dict[str, Callable[[PlacementView, Source], Placement | None]]] = {
    "swarm": swarm,
    "queue": queue,
    "failover": failover,
    "race": race,
}


def place(mode: str, view: PlacementView, source: Source) -> Placement | None:
    """Return what the mode's rule gives this source.

    Of a file of unknown size the chunks are unknown too: then one source at a time reads on, except in a race.
    """
    if view.tracker.total == UNBOUNDED and mode != "race":
        return failover(view, source)
    return PLACERS[mode](view, source)


def extension(view: PlacementView, estimate: LeaseEstimate) -> int | None:
    """Return how far a lease that touches free chunks should go on, or None when its end is well placed."""
    lease = estimate.lease
    gap = gap_ahead(view, estimate)
    if gap is None or lease.shared or lease.rival is not None or estimate.rate_bytes_s <= 0:
        return None
    more = claim_bytes(view, estimate)
    if view.sources[lease.source].traits.abort_is_costly:
        more = min(more, EXTENSION_S_MAX * estimate.rate_bytes_s)
    more = max(more, EXTENSION_S_MIN * estimate.rate_bytes_s)
    return min(gap[1], max(lease.stop, gap[0]) + max(1, math.ceil(more / view.chunk_size)))


def given_back(view: PlacementView, estimate: LeaseEstimate) -> int | None:
    """Return where a late lease that touches free chunks should end instead; None: it is well placed.

    To move its end costs nothing: its source is hung up on there in any case, and others can take what is free.
    """
    lease = estimate.lease
    if lease.shared or lease.rival is not None or lease.stop not in view.tracker.free:
        return None
    if not view.sources[lease.source].traits.abort_is_costly or view.rates.guessed_share > GUESSED_MAX:
        return None
    return _late_from(view, estimate, view.rates.finish_with(0.0, 0.0, now_s=view.now_s) - view.now_s)


def _late_from(view: PlacementView, estimate: LeaseEstimate, left_s: float) -> int | None:
    """Return the chunk from which on a lease is late, where the common finish is `left_s` away; None: it is not."""
    lease = estimate.lease
    if lease.rate_bytes_s <= 0 or estimate.finish_s - view.now_s <= stop_cost.LATE_SHARE * left_s:
        return None
    in_time = estimate.position_bytes + estimate.rate_bytes_s * left_s - lease.overlap_bytes
    reading = int(estimate.position_bytes // view.chunk_size) + 1
    stop = max(int(in_time // view.chunk_size), reading, lease.next + 1)
    return stop if stop < lease.stop else None


def gap_ahead(view: PlacementView, estimate: LeaseEstimate) -> ChunkRange | None:
    """Return the free chunks that a lease can be extended into: right behind it, or behind a few stored ones.

    Where a new start costs a stop, to read some chunks that are there already costs less.
    """
    tracker, stop = view.tracker, estimate.lease.stop
    gap = tracker.free.range_at(stop)
    if gap is not None or not view.sources[estimate.lease.source].traits.abort_is_costly:
        return gap
    stored = tracker.stored.range_at(stop)
    crossed_s = CROSSED_S_MAX
    if estimate.is_front:  # begun again, it would read all that lies before once more
        crossed_s = max(crossed_s, view.rates.finish_with(0.0, 0.0, now_s=view.now_s) - view.now_s)
    if stored is None or (stored[1] - stop) * view.chunk_size > crossed_s * estimate.rate_bytes_s:
        return None
    return tracker.free.range_at(stored[1])


def rides_out(view: PlacementView, source: Source, stop: int) -> bool:
    """Return whether a lease up to `stop` goes on to the end of the file, over what is stored: that is no stop.

    Not where it is long: the stranger would send it for nothing, and the source is wanted elsewhere.
    """
    if last_resort(view, source):
        return stop < view.tracker.total and _sends_to_end(view, source, stop)
    if not source.traits.abort_is_costly or not stop < view.tracker.total or not view.tracker.reaches_end(stop):
        return False
    return (view.tracker.total - stop) * view.chunk_size <= CROSSED_S_MAX * expected_rate(view, source)


def last_resort(view: PlacementView, source: Source) -> bool:
    """Return whether only such sources are left as this one: its stops of the day are spent, and none sends."""
    if not source.budget_spent_today or view.budgets_bind or not source.traits.offset_ok:
        return False
    return not any(not lease.draining for lease in view.tracker.leases.values())


def _sends_to_end(view: PlacementView, source: Source, stop: int) -> bool:
    """Return whether a source that is not to be stopped may go on from here to the end, over what is stored."""
    stored = view.tracker.stored.overlap(stop, view.tracker.total)
    again_bytes = sum(end - begin for begin, end in stored) * view.chunk_size
    in_time = again_bytes <= AGAIN_S_MAX * (expected_rate(view, source) or PRIOR_BYTES_S)
    return in_time and view.tracker.reaches_end(stop, free=True)


def overtaken(view: PlacementView, estimate: LeaseEstimate, *, swarm: bool = True) -> Lease | None:
    """Return the lease right ahead that this one should take over: much slower, and late.

    Its source would need a stop of another for its tail. It is stopped a little earlier than it would be anyway.
    Without a swarm one of the two ends here: that one where this one alone would be done sooner. Two that share the
    file by their rates are done together.
    """
    lease = estimate.lease
    if not view.sources[lease.source].traits.abort_is_costly or lease.rival is not None:
        return None
    for ahead in view.tracker.leases.values():
        if ahead.first == lease.stop and ahead.rival is None and ahead is not lease and is_open(view, ahead):
            unknown = not view.sources[ahead.source].traits.abort_is_costly or ahead.rate_bytes_s <= 0
            if unknown or keeps_end(view, ahead):
                return None
            until_s = view.rates.finish_with(0.0, 0.0, now_s=view.now_s) - view.now_s
            slow = estimate_now(view, ahead)
            crossed_bytes = (ahead.next - ahead.first) * view.chunk_size
            late = slow.finish_s - view.now_s > stop_cost.LATE_SHARE * until_s
            crossed = crossed_bytes <= CROSSED_S_MAX * estimate.rate_bytes_s
            alone_s = (crossed_bytes + slow.left_bytes) / estimate.rate_bytes_s
            if not crossed or estimate.finish_s + alone_s + stop_cost.GAIN_FELT_S >= slow.finish_s:
                return None
            slower = estimate.rate_bytes_s > OVERTAKEN_FASTER * slow.rate_bytes_s
            return ahead if not swarm or (late and slower) else None
    return None


def _from_free(view: PlacementView, source: Source) -> FreeRange | None:
    for gap in _gaps(view, source):
        run = _from_gap(view, source, gap)
        if run is not None:
            return run
    return None


def _late_neighbour(view: PlacementView, source: Source, first: int) -> Tail | None:
    """Return what the slower lease that ends at `first` will not have done in time.

    The newcomer begins there and goes on into the free chunks. Once it is past, that tail costs a start of some source.
    """
    estimate = lease_ending_at(view, first) if stop_cost.costly(source) and source.traits.offset_ok else None
    if estimate is None or estimate.rate_bytes_s >= source.rate_bytes_s:
        return None
    cut = _late_from(view, estimate, finish_with(view, source, source.start_cost_s) - view.now_s)
    return Tail(estimate.lease, cut) if cut is not None else None


def _candidates(view: PlacementView, source: Source) -> Iterator[tuple[Placement, int, int]]:
    """Yield what this source could be given, the best first, with the range of each: free chunks, then tails.

    Where stops are costly, tails that some source must take anyway go before free chunks: those can be reached by an
    extension, without a stop. Only the end of the file is better, for it costs none either.
    """
    tail = _at_its_answer(view, source)
    if tail is not None:
        yield tail, tail.first, tail.victim.stop
    run = _from_free(view, source) if view.tracker.free else None
    if run is not None:
        if stop_cost.costly(source) and run.stop < view.tracker.total:
            yield from _late_tails(view, source)
        if stop_cost.left_to_neighbour(view, source, run.first, run.stop):
            return
        late = _late_neighbour(view, source, run.first)
        if late is not None:
            yield late, late.first, run.stop
        yield run, run.first, run.stop
    for estimate in _victims(view, source):
        first = _cut_point(view, source, estimate)
        if first is not None:
            yield Tail(estimate.lease, first), first, estimate.lease.stop


def _at_its_answer(view: PlacementView, source: Source) -> Tail | None:
    """Return the tail of another's lease that begins where the source's first and only answer stands open."""
    if not (source.stands and source.answered_once) or source.leases:
        return None
    for lease in view.tracker.leases.values():
        if lease.next < source.position < lease.stop and lease.rival is None and is_open(view, lease):
            read = int(estimate_now(view, lease).position_bytes // view.chunk_size) + 1
            return Tail(lease, source.position) if read <= source.position else None
    return None


def _late_tails(view: PlacementView, source: Source) -> Iterator[tuple[Placement, int, int]]:
    """Yield tails of leases that would end long after the common finish time, where they keep this source busy."""
    until_s = finish_with(view, source, source.start_cost_s) - view.now_s
    for estimate in _victims(view, source):
        if estimate.finish_s - view.now_s < stop_cost.LATE_SHARE * until_s:
            return
        first, stop = _cut_point(view, source, estimate, late_only=True), estimate.lease.stop
        if first is not None and not stop_cost.too_short(view, source, first, stop, share=LATE_SHORT_SHARE):
            yield Tail(estimate.lease, first), first, stop


def _from_gap(view: PlacementView, source: Source, gap: ChunkRange) -> FreeRange | None:
    first, stop = gap
    if last_resort(view, source):
        return FreeRange(first, stop)
    estimate = None if first == source.position else lease_ending_at(view, first)
    start = spread.is_start(view, first)
    at_end = source.traits.offset_ok and (estimate is not None or start or _front_kept(view, first))
    at_end = (at_end and not (source.stands and first == source.position)) or bound_to_end(view, source)
    again = view.tracker.total - stop if at_end and rides_out(view, source, stop) else 0  # stored, and sent once more
    to_end = at_end and stop + again == view.tracker.total
    wanted = _chunks_wanted(view, source, first, touched=estimate is not None, to_end=to_end)
    if estimate is not None and wanted > 0 and _takes_over(view, source, estimate, first):
        begin = first + claim_chunks(view, estimate, joining=source)
        if begin < stop:
            return FreeRange(begin, min(begin + wanted, stop))
    if (estimate is not None or start) and source.rate_bytes_s > 0:
        wanted = min(wanted, stop - first - spread.kept_chunks(view, first, joining=source))
    wanted -= again if source.rate_bytes_s > 0 else 0
    if wanted <= 0:
        return None
    count = min(wanted, stop - first)
    if at_end:
        return FreeRange(stop - count, stop)
    return FreeRange(first, first + count)


def _takes_over(view: PlacementView, source: Source, estimate: LeaseEstimate, first: int) -> bool:
    """Return whether this source is a better neighbour of the free chunks than the lease that touches them.

    That one keeps what it can still send. The fastest neighbour makes good what all the others leave over, unstopped.
    """
    if not stop_cost.costly(source) or bound_to_end(view, source) or _front_kept(view, first):
        return False
    return source.traits.offset_ok and source.rate_bytes_s > estimate.rate_bytes_s > 0


def _front_kept(view: PlacementView, first: int) -> bool:
    """Return whether this gap is the one that a source without offsets can use, and that it would reach in time."""
    if (
        not view.counts.front_kept
        or view.tracker.total == UNBOUNDED
        or any(gap[0] < first for gap in view.tracker.free)
    ):
        return False
    until_s = view.rates.finish_with(0.0, 0.0, now_s=view.now_s) - view.now_s
    for front in view.rates.fronts:
        if (first - front.lease.stop) * view.chunk_size <= until_s * front.rate_bytes_s:
            return True
    if view.rates.fronts:
        return False
    return first * view.chunk_size <= until_s * view.rates.mean_bytes_s or view.rates.rate_bytes_s <= 0


def _gaps(view: PlacementView, source: Source) -> list[ChunkRange]:
    """Return the gaps where this source could begin, the best first."""
    gaps = spread.parted(view, list(view.tracker.free))
    if last_resort(view, source):
        return [gap for gap in gaps if _sends_to_end(view, source, gap[1])][:1]
    if bound_to_end(view, source):
        return gaps[-1:] if gaps[-1][1] == view.tracker.total else []
    if view.tracker.total == UNBOUNDED or not source.traits.offset_ok:
        return [min(gaps, key=lambda gap: lead_in_chunks(source, gap[0]))]
    # For a source whose every lease may cost a stop, only a large gap is worth one.
    proven = source.proven and not source.traits.abort_is_costly
    behind = view.tracker.free.range_at(source.position) if proven or source.stands else None
    if behind is not None and (source.stands or behind[0] == source.position):
        return [(source.position, behind[1])]  # it goes on where it stands
    if view.starts is not None and stop_cost.costly(source):
        return spread.best_fit(view, source, gaps)
    largest = heapq.nlargest(GAPS_MAX, gaps, key=lambda gap: gap[1] - gap[0])
    if not stop_cost.costly(source):
        return largest
    # One that no lease can be extended into needs a new start in any case; later no source may have a stop left.
    return sorted(largest, key=lambda gap: stop_cost.too_short(view, source, *gap) or _touched(view, gap[0]))


def _touched(view: PlacementView, first: int) -> bool:
    return lease_ending_at(view, first) is not None


def _chunks_wanted(view: PlacementView, source: Source, first: int, *, touched: bool, to_end: bool) -> int:
    """Return what the source can send until the common finish time, in chunks; a measuring lease while unknown.

    `to_end`: to the end of the file, where there is no neighbour to compare with.
    """
    if view.counts.source_count == 1 or view.tracker.total == UNBOUNDED:
        return view.tracker.total
    if (touched or not source.traits.offset_ok) and _too_late(view, source, first):
        return 0
    known = source.rate_bytes_s > 0
    chunks = (
        stop_cost.placed_chunks(view, source, first, to_end=to_end)
        if known
        else stop_cost.measuring_chunks(view, source)
    )
    return max(source.traits.run_chunks_min, chunks)


def _too_late(view: PlacementView, source: Source, first: int) -> bool:
    """Return whether the others are done before this source could begin at `first`."""
    setup_s = start_cost_s(view, source, first)
    return view.rates.rate_bytes_s > 0 and finish_with(view, source, setup_s) - view.now_s <= setup_s


def _victims(view: PlacementView, source: Source) -> Iterator[LeaseEstimate]:
    """Yield leases that this source could shorten, estimated again: the latest finish first, preferred sources last."""
    seen_count = 0
    latest = view.rates.cuttable
    if view.counts.any_preferred:
        latest = sorted(latest, key=lambda each: view.sources[each.lease.source].preferred)
    for seen in latest:
        lease = seen.lease
        over = seen.finish_s - view.now_s <= GAIN_MIN_S
        if seen_count == VICTIMS_MAX or (over and not view.counts.any_preferred):
            return
        if over or lease.rival is not None or not is_open(view, lease) or not may_disturb(view, source, lease):
            continue
        seen_count += 1
        estimate = estimate_now(view, lease)
        if estimate.finish_s - view.now_s > GAIN_MIN_S:
            yield estimate


def may_disturb(view: PlacementView, source: Source, lease: Lease) -> bool:
    """Return whether budgets allow it: without a stop left a victim keeps the file's end, a taker gets only that."""
    if keeps_end(view, lease):
        return False
    return lease.stop == view.tracker.total or not bound_to_end(view, source)


def _cut_point(view: PlacementView, source: Source, estimate: LeaseEstimate, *, late_only: bool = False) -> int | None:
    """Return where to cut so that both finish together, the victim keeping at least the chunk it is reading.

    `late_only`: take only what the victim would not have done until the common finish time.
    """
    rate = expected_rate(view, source)
    if not source.traits.offset_ok and (source.rate_bytes_s <= 0 or _too_late(view, source, estimate.lease.next)):
        return None  # it would read and drop what lies before for longer than all the rest takes
    reading = int(estimate.position_bytes // view.chunk_size) + 1
    taken = _cut_chunks(view, source, estimate, late_only=late_only)
    first = max(estimate.lease.stop - taken, reading, estimate.lease.next + 1)
    if first >= estimate.lease.stop or rate <= 0:
        return first if first < estimate.lease.stop else None
    moved = (estimate.lease.stop - first) * view.chunk_size
    if _not_worth_a_stop(view, source, estimate, moved):
        return None
    mine_s = view.now_s + start_cost_s(view, source, first) + moved / rate
    theirs_s = estimate.finish_s - moved / max(estimate.rate_bytes_s, 1.0)
    return first if estimate.finish_s - max(mine_s, theirs_s) >= _gain_min_s(view, source, estimate) else None


def _not_worth_a_stop(view: PlacementView, source: Source, estimate: LeaseEstimate, moved_bytes: int) -> bool:
    """Return whether this is too small a part of a lease for a source that is not much faster."""
    slow = expected_rate(view, source) < TAIL_FASTER * estimate.rate_bytes_s
    return slow and stop_cost.costly(source) and moved_bytes < small_bytes(view, source)


def _cut_chunks(view: PlacementView, source: Source, estimate: LeaseEstimate, *, late_only: bool) -> int:
    """Return how many chunks this source should take, rounded in favour of the faster where stops are costly."""
    rate, left_bytes = expected_rate(view, source), estimate.left_bytes
    if rate <= 0:
        return math.floor(left_bytes / 2 / view.chunk_size)
    setup_s = start_cost_s(view, source, int(estimate.position_bytes // view.chunk_size))
    balanced = rate * (left_bytes - setup_s * estimate.rate_bytes_s) / (rate + estimate.rate_bytes_s)
    common_s = finish_with(view, source, setup_s) - view.now_s - setup_s
    # Never less than half of what balances the two: shares shrink to nothing as the end comes near.
    taken = min(balanced, max(rate * common_s, balanced / 2))
    faster = rate > estimate.rate_bytes_s
    if not source.traits.abort_is_costly:
        return math.floor(taken / view.chunk_size)
    if late_only or faster:  # a victim that keeps less than it can send needs a start and a stop more
        in_time = estimate.rate_bytes_s * (common_s + setup_s)
        taken = min(taken, max(left_bytes - in_time, view.chunk_size))
    return math.ceil(taken / view.chunk_size) if faster else math.floor(taken / view.chunk_size)


def _gain_min_s(view: PlacementView, source: Source, estimate: LeaseEstimate) -> float:
    enough_s = GAIN_MIN_S + GAIN_MIN_SETUPS * source.start_cost_s
    if source.traits.abort_is_costly or view.sources[estimate.lease.source].traits.abort_is_costly:
        enough_s = max(enough_s, stop_cost.gain_min_s(estimate.finish_s - view.now_s, source.stops))
    if source.answered_once and view.sources[estimate.lease.source].stands:
        enough_s = max(enough_s, GAIN_ONCE_S)
    return enough_s


def _front_lease(view: PlacementView) -> LeaseEstimate | None:
    """Return the lease of a source that began at byte 0, if there is one."""
    return next((estimate for estimate in view.rates.fronts if is_open(view, estimate.lease)), None)


def _contest(view: PlacementView, source: Source, front: LeaseEstimate) -> Duplicate | None:
    """Duplicate the front: of the sources that begin at byte 0 only the fastest is of use."""
    lease = front.lease
    if lease.rival is not None:
        return None
    unknown = source.rate_bytes_s <= 0 and lease.next == lease.first
    return Duplicate(lease) if unknown or (source.rate_bytes_s > 0 and _gains(view, source, front)) else None


def _duplicate(view: PlacementView, source: Source) -> Duplicate | None:
    """Duplicate the lease that finishes last of those that this source would finish sooner, from the same chunk on.

    Where there is a duplicate already and both are hopeless, the newcomer takes the place of the worse.
    """
    for estimate in view.rates.estimates[:VICTIMS_MAX]:
        lease = estimate.lease
        if not is_open(view, lease) or not _gains(view, source, estimate) or _loses(view, source, estimate):
            continue
        if not may_disturb(view, source, lease) and not _hopeless(view, source, estimate):
            continue
        if lease.rival is None:
            return Duplicate(lease)
        rival = estimate_now(view, view.tracker.leases[lease.rival])
        if _gains(view, source, rival):
            worse, better = (estimate, rival) if estimate.finish_s >= rival.finish_s else (rival, estimate)
            return Duplicate(better.lease, worse.lease)
    return None


def _loses(view: PlacementView, source: Source, estimate: LeaseEstimate) -> bool:
    """Return whether a duplicate would cost a source without a stop left one more: who loses is hung up on.

    Not beside one that sends nothing, if it has the rest in time.
    """
    lost = estimate.rate_bytes_s > 0 or (not source.traits.offset_ok and _too_late(view, source, estimate.lease.next))
    return lost and bound_to_end(view, source)


def _hopeless(view: PlacementView, source: Source, estimate: LeaseEstimate) -> bool:
    """Return whether a lease that may not be disturbed takes so long that it is duplicated all the same.

    Not by a source that has no stop left itself.
    """
    return estimate.finish_s - view.now_s > HOPELESS_S and not bound_to_end(view, source)


def _gains(view: PlacementView, source: Source, estimate: LeaseEstimate) -> bool:
    """Return whether this source would have all that is open of a lease clearly before the one that holds it."""
    lease, left_s = estimate.lease, estimate.finish_s - view.now_s
    rate = expected_rate(view, source)
    if rate <= 0 or _not_worth_a_stop(view, source, estimate, lease.open_chunks * view.chunk_size):
        return False
    mine_s = start_cost_s(view, source, lease.next) + lease.open_chunks * view.chunk_size / rate
    return mine_s + _gain_min_s(view, source, estimate) + GAIN_MIN_SHARE * left_s < left_s
