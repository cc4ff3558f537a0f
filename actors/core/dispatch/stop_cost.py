"""Stop costs: whether a lease is worth a start and an abort of its source, and the budget of aborts.

A transfer broken off before the end of the file is a failed upload in the peer's list, and its owner sees it. So stops
are counted, in this job and this day, with a budget for each. A source whose budget is *spent* only gets a lease that
ends where the file ends, which needs no stop, or it waits.

The free part of the file shrinks until the leases left over are smaller than what a start costs. There a lease that
touches the free part is extended without a stop, so a source that would fetch less than `SMALL_SHARE` of a measuring
lease is left out: it would bring the finish nearer by a blink.
"""

import math
from typing import Final

from actors.core.dispatch.identity.checks import compared_bytes
from actors.core.dispatch.placement_view import (
    PlacementView,
    could_bytes,
    lease_ending_at,
    small_bytes,
)
from actors.core.dispatch.sources import Source
from protocol.messages import LeaseFinished, LeaseReleased, StartJob
from protocol.messages.leases import NO_LEASE

MEASURING_SHARE: Final = 16
MEASURING_SHARE_COSTLY: Final = 10
"""The first, measuring leases of all sources together take 1/16 of the file; where aborts are costly, 1/10."""
MEASURING_BYTES: Final = 4 << 20
MEASURING_SHARE_MAX: Final = 16
"""But at least so much, and at most this part of the file, where aborts are costly: a quick user sends a small lease
before its rate is known, and is then stopped once more."""
SHORT_SHARE: Final = 0.3
"""A costly lease that takes less of what its source could send until the common finish time is wasted."""
AMPLE: Final = 1.005
"""Starts still to come take a little longer than computed: sources that are placed early get this much more."""
SHORT_CHUNK_S: Final = 0.5
"""Where a chunk takes longer than this, half a chunk too many is time that the whole job waits."""
GAIN_ENOUGH_S: Final = 10.0
GAIN_ENOUGH_SHARE: Final = 0.1
"""A second source is disturbed only for a gain of this many seconds, or this share of what it still needs."""
STOPS_USUAL: Final = 2
"""One stop after measuring, one at the end. A source that is stopped more often must gain twice as much by it, and
something that can be felt: towards the end a tenth of what is left is a blink that every source could still gain."""
GAIN_FELT_S: Final = 0.5
LATE_SHARE: Final = 1.05
"""A lease that takes this much longer than until the common finish time is too long, or its source is slow."""
SPENT_TODAY: Final = "its stops of this day are spent: it is left alone"


def costly(source: Source) -> bool:
    """Return whether a lease of this source is to be weighed at all: its stops count and its rate is known."""
    return source.traits.abort_is_costly and source.rate_bytes_s > 0


def mute(source: Source) -> bool:
    """Return whether each of its stops in this job ended a transfer of which no byte came: another one would too.

    Its rate is still unknown after all of them, so nothing says that it would send the end of the file by itself.
    """
    return source.budget_spent and not source.budget_spent_today and source.rate_bytes_s <= 0 and source.stops > 0


def measuring_chunks(view: PlacementView, source: Source) -> int:
    """Return the length of the first lease of a source of unknown rate.

    One that is not to be stopped lightly gets more: others may take the end, and it goes on if they do not. What
    begins at 0 begins best only once: it gets an equal part.
    """
    share = MEASURING_SHARE_COSTLY if source.traits.abort_is_costly else MEASURING_SHARE
    share = share if source.traits.offset_ok else 1
    chunks = view.opened_chunks // (share * view.counts.source_count)
    if not source.traits.abort_is_costly or not source.traits.offset_ok:
        return chunks
    return max(chunks, min(MEASURING_BYTES // view.chunk_size, view.opened_chunks // MEASURING_SHARE_MAX))


def placed_chunks(view: PlacementView, source: Source, first: int, *, to_end: bool = False) -> int:
    """Return what a source of known rate can send until the common finish time, in chunks.

    Rounded up where a start costs next to nothing. Else down, or a slow source would be at its last chunk long after
    the others are done, and others would be stopped to help; what is left over goes to a lease that touches it.
    """
    chunks = could_bytes(view, source, first) / view.chunk_size
    if not source.traits.abort_is_costly:
        return math.ceil(chunks)
    short = view.chunk_size < SHORT_CHUNK_S * source.rate_bytes_s
    none = to_end or (source.rides > 0 and not source.compares_again(view.chunk_size))
    overlap = 0.0 if none else compared_bytes(source, view.chunk_size) / view.chunk_size
    return math.floor(AMPLE * chunks - overlap + (0.5 if short else 0.0))


def too_short(view: PlacementView, source: Source, first: int, stop: int, *, share: float = SHORT_SHARE) -> bool:
    """Return whether ``[first, stop)`` is not worth a start and a stop of a source that has few."""
    return costly(source) and (stop - first) * view.chunk_size < share * could_bytes(view, source, first)


def left_to_neighbour(view: PlacementView, source: Source, first: int, stop: int) -> bool:
    """Return whether few free chunks are better left to the faster lease that touches them and goes on without a stop.

    Not where it would be late with them, and this source saves enough of that.
    """
    moved_bytes = (stop - first) * view.chunk_size
    if not costly(source) or not view.budgets_bind or moved_bytes >= small_bytes(view, source):
        return False
    gap = view.tracker.free.range_at(first)
    neighbour = lease_ending_at(view, gap[0]) if gap is not None else None
    if gap is None or neighbour is None or neighbour.rate_bytes_s <= source.rate_bytes_s:
        return False
    left_s = (neighbour.left_bytes + (gap[1] - gap[0]) * view.chunk_size) / neighbour.rate_bytes_s
    until_s = view.rates.finish_with(0.0, 0.0, now_s=view.now_s) - view.now_s
    return left_s <= LATE_SHARE * until_s or moved_bytes / neighbour.rate_bytes_s < gain_min_s(left_s, source.stops)


def gain_min_s(left_s: float, stops: int = 0) -> float:
    """Return the gain that justifies disturbing a source which would need `left_s` more seconds by itself.

    `stops`: how often the one that would send instead was stopped in this job.
    """
    enough_s = min(GAIN_ENOUGH_S, GAIN_ENOUGH_SHARE * left_s)
    return max(2 * enough_s, GAIN_FELT_S) if stops >= STOPS_USUAL else enough_s


def count_stop(source: Source, job: StartJob, message: LeaseFinished | LeaseReleased) -> bool:
    """Count how a transfer ended, once, also where its lease is forgotten. Return whether the budget changed."""
    new = message.lease > source.lease_ended
    source.lease_ended = max(source.lease_ended, message.lease)
    source.stops += message.stopped and (new or message.lease == NO_LEASE)
    before = source.budget_spent
    update_stop_budget(source, job)
    return source.budget_spent != before


def update_stop_budget(source: Source, job: StartJob) -> None:
    """Note on the source whether one more stop would be too many, for this job or for this day.

    Only sources whose aborts are costly have a budget, and none where the user asked for chunk by chunk.
    """
    policy, counts = job.spec.policy, source.traits.abort_is_costly and job.spec.mode != "queue"
    left_today = policy.stops_per_day - source.stops_before - source.stops
    left = min(policy.stops_per_job - source.stops - source.stops_beside, left_today)
    source.budget_spent_today, source.budget_spent = counts and left_today <= 0, counts and left <= 0
    source.last_stop = counts and left <= 1
