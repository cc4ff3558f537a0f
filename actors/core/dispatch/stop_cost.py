"""How long a ride must be to be worth a start, and a stop in the peer's list. Matters where stops are dear only.

The free part of the file shrinks until the rides that are left over are smaller than what a start costs. There a rider
that touches the free part goes on into it without a stop, so whoever would fetch less than `SMALL_SHARE` of a
measuring ride is left out: it would bring everybody's end nearer by a blink.
"""

import math
from typing import Final

from actors.core.dispatch.finish_time import PlacementView, could_bytes, lease_ending_at
from actors.core.dispatch.sources import Source
from protocol.messages import StartDispatcher

MEASURING_SHARE: Final = 16
"""The first, measuring rides of n sources take 1/16 of the file together."""
MEASURING_SHARE_COSTLY: Final = 10
SMALL_SHARE: Final = 0.3
SHORT_SHARE: Final = 0.3
"""A dear ride that takes less of what its source could do until the common finish time is a ride wasted."""
AMPLE: Final = 1.005
"""Starts still to come take a little longer than is reckoned with: who is placed early gets so much more."""
SHORT_CHUNK_S: Final = 0.5
"""Where a chunk takes longer than this, half a chunk too many is time that everybody waits."""


def costly(source: Source) -> bool:
    """Whether a ride of this source is to be weighed at all: its stops count and its rate is known."""
    return source.traits.abort_is_costly and source.rate_bytes_s > 0


def measuring_chunks(view: PlacementView, source: Source) -> int:
    """The first ride of a source that nobody has measured.

    Who is not to be stopped lightly gets more: others may take the end, and it goes on if they do not. What begins at 0
    begins best only once: it gets an equal part.
    """
    share = MEASURING_SHARE_COSTLY if source.traits.abort_is_costly else MEASURING_SHARE
    share = share if source.traits.offset_ok else 1
    return view.opened_chunks // (share * view.counts.source_count)


def placed_chunks(view: PlacementView, source: Source, first: int) -> int:
    """What a source of known rate can send until the common finish time, in chunks.

    Rounded up where a start costs next to nothing. Else down, or a slow source would be at its last chunk long after
    everybody else is done, and others would be stopped to help; what is left over goes to a rider that touches it.
    """
    chunks = could_bytes(view, source, first) / view.chunk_size
    if not source.traits.abort_is_costly:
        return math.ceil(chunks)
    short = view.chunk_size < SHORT_CHUNK_S * source.rate_bytes_s
    return math.floor(AMPLE * chunks + (0.5 if short else 0.0))


def too_short(view: PlacementView, source: Source, first: int, stop: int, *, share: float = SHORT_SHARE) -> bool:
    """Whether a ride on ``[first, stop)`` is not worth one of the starts and stops of a source that has few."""
    return costly(source) and (stop - first) * view.chunk_size < share * could_bytes(view, source, first)


def left_to_neighbour(view: PlacementView, source: Source, first: int, stop: int) -> bool:
    """Whether free chunks are better left to the faster ride that touches them and goes on without a stop."""
    if not costly(source) or not view.budgets_bind or (stop - first) * view.chunk_size >= small_bytes(view):
        return False
    gap = view.tracker.free.run_at(first)
    estimate = lease_ending_at(view, gap[0]) if gap is not None else None
    return estimate is not None and estimate.rate_bytes_s > source.rate_bytes_s


def small_bytes(view: PlacementView) -> float:
    return small_ride_bytes(view.opened_chunks * view.chunk_size, view.counts.source_count)


def small_ride_bytes(opened_bytes: int, source_count: int) -> float:
    """Less than this is too little for one more start, where somebody else rides on into it."""
    return SMALL_SHARE * opened_bytes / (MEASURING_SHARE_COSTLY * source_count)


# What we may do to a Soulseek peer: how often we hang up on it, and what a disturbance must gain.
# A ride broken off before the end of the file stands as a failed upload in the peer's list, and the peer's owner sees
# it. So stops are counted, in this job and this day, and there is a budget for each. A source whose budget is *spent*
# may only ride a lease that ends where the file ends, which needs no stop, or it waits.

GAIN_ENOUGH_S: Final = 10.0
GAIN_ENOUGH_SHARE: Final = 0.1
"""A second source is only disturbed for a gain of so many seconds, or of this share of what it still needs."""
STOPS_USUAL: Final = 2
"""One stop after measuring, one at the end. Whoever is stopped more often must gain twice as much by it, and something
that can be felt: towards the end a tenth of what is left is a blink, and everybody could still gain that."""
GAIN_FELT_S: Final = 0.5
SPENT_TODAY: Final = "its stops of this day are spent: it is left alone"


def update_stop_budget(source: Source, job: StartDispatcher) -> None:
    """Note on the source whether one more stop would be too many, for this job or for this day.

    Only sources whose stops are dear have a budget, and none where the user asked for chunk by chunk.
    """
    counts = source.traits.abort_is_costly and job.mode != "queue"
    source.budget_spent_today = counts and source.stops_before + source.stops >= job.stops_per_day
    source.budget_spent = source.budget_spent_today or (counts and source.stops >= job.stops_per_job)


def gain_min_s(left_s: float, stops: int = 0) -> float:
    """What disturbing a source must gain that would need `left_s` more seconds by itself. `stops`: how often the one
    who would ride instead was stopped in this job."""
    enough_s = min(GAIN_ENOUGH_S, GAIN_ENOUGH_SHARE * left_s)
    return max(2 * enough_s, GAIN_FELT_S) if stops >= STOPS_USUAL else enough_s
