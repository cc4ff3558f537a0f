"""Spread starts: users that advertise to be fast begin apart from each other, unsampled.

A sample (see `gate`) costs a user a second start. Where users say how fast they are, those that are said to send half
of the sum begin at once instead, each where a part of the file begins that is as large as its speed says. So each has
about twice the room ahead that it needs, and that it says half or twice of what it sends does no harm: its lease is
extended as it goes. The others send their samples. By the time they are asked again all rates are known, and they get
the ends of those parts, as much as lets all finish together.

Nothing here changes anything but `begins_at` of the sources.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from actors.core.dispatch import stop_cost
from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.finish_time import LeaseEstimate
from actors.core.dispatch.placement_view import (
    PlacementView,
    claim_bytes,
    expected_rate,
    finish_with,
    lease_ending_at,
)
from actors.core.dispatch.sources import Source
from protocol.model.chunk_ranges import ChunkRange, RangeSet

APART_SHARE: Final = 0.5
"""Those that begin apart send at most this share of all that is advertised: the rest must fill what they leave over."""
APART_MIN: Final = 2
APART_OF: Final = 12
"""With fewer users half of the sum is one or two of them, and the ends of their parts do not fit the others."""
FIRST_S: Final = 4.0
"""Their first leases are as long as they need for this, as they say; they are extended once they are measured."""
UNSURE: Final = 1.6
"""This many times what an unmeasured user is expected to send is left free before it."""
GAPS_MAX: Final = 8


def begin_apart(sources: Iterable[Source], tracker: ChunkTracker) -> bool:
    """Note where the fastest of these sources begin, as they advertise. False: too few say it, or they say too little.

    The free part of the file is divided among them by their speeds.
    """
    users = [each for each in sources if _may_begin_apart(each)]
    if len(users) < APART_OF:
        return False
    said_bytes_s = sum(each.advertised_bytes_s for each in users)
    apart: list[Source] = []
    apart_bytes_s = 0.0
    for each in sorted(users, key=lambda user: (-user.advertised_bytes_s, user.id)):
        fast = each.advertised_bytes_s * len(users) >= said_bytes_s
        if fast and apart_bytes_s + each.advertised_bytes_s <= APART_SHARE * said_bytes_s:
            apart.append(each)
            apart_bytes_s += each.advertised_bytes_s
    if len(apart) < APART_MIN:
        return False
    before_bytes_s = 0.0
    for each in apart:
        each.begins_at = _nth(tracker.free, int(before_bytes_s / apart_bytes_s * tracker.free.count))
        before_bytes_s += each.advertised_bytes_s
    return True


def _may_begin_apart(source: Source) -> bool:
    new = source.rate_bytes_s <= 0 and not source.leases and source.advertised_bytes_s > 0
    return new and source.traits.abort_is_costly and source.traits.offset_ok and source.usable and not source.odd


def _nth(free: RangeSet, count: int) -> int:
    """Return the chunk before which `count` others are free. Raises IndexError where there are fewer."""
    for first, stop in free:
        if count < stop - first:
            return first + count
        count -= stop - first
    raise IndexError(count)


def start(view: PlacementView, source: Source) -> ChunkRange | None:
    """Return the first lease of a source that begins apart; None: it does not, or what was kept for it is taken."""
    gap = view.tracker.free.range_at(source.begins_at) if is_start(view, source.begins_at) else None
    if gap is None:
        return None
    chunks = int(FIRST_S * expected_rate(view, source) / view.chunk_size) + 1
    return source.begins_at, min(source.begins_at + chunks, gap[1])


def is_start(view: PlacementView, chunk: int) -> bool:
    """Return whether this chunk is kept for a source that is to begin there."""
    return view.starts is not None and chunk in view.starts


def parted(view: PlacementView, gaps: list[ChunkRange]) -> list[ChunkRange]:
    """Return these gaps, each parted where a source is to begin."""
    if not view.starts:
        return gaps
    cuts = [[first, *sorted(at for at in view.starts if first < at < stop), stop] for first, stop in gaps]
    return [piece for cut in cuts for piece in pairwise(cut)]


def best_fit(view: PlacementView, source: Source, gaps: list[ChunkRange]) -> list[ChunkRange]:
    """Return the gaps in which this source fits, the tightest first, then those with less room, the largest first.

    Room is what is left over by who goes on into a gap. Put where most room is, slow sources leave no place in which a
    fast one is busy to the end.
    """
    wanted = stop_cost.placed_chunks(view, source, 0)
    rooms = [(stop - first - kept_chunks(view, first), (first, stop)) for first, stop in gaps]
    rooms.sort(key=lambda each: (each[0] < wanted, abs(each[0] - wanted)))
    return [gap for _, gap in rooms[:GAPS_MAX]]


def kept_chunks(view: PlacementView, first: int, *, joining: Source | None = None) -> int:
    """Return what is left of the gap beginning at `first` to the lease that touches it, or to who begins there."""
    estimate = lease_ending_at(view, first)
    if estimate is not None:
        unsure = view.starts is not None and not _is_measured(view, estimate)
        return _chunks(view, claim_bytes(view, estimate, joining=joining), unsure=unsure)
    source = view.starts.get(first) if view.starts else None
    if source is None:
        return 0
    until_s = finish_with(view, joining, 0.0) if joining else view.rates.finish_with(0.0, 0.0, now_s=view.now_s)
    begins_s = max(source.enqueued_s + source.traits.restart_cost_s, view.now_s)
    return _chunks(view, expected_rate(view, source) * max(until_s - begins_s, 0.0), unsure=True)


def _is_measured(view: PlacementView, estimate: LeaseEstimate) -> bool:
    return estimate.lease.rate_bytes_s > 0 or view.sources[estimate.lease.source].rate_bytes_s > 0


def _chunks(view: PlacementView, claim: float, *, unsure: bool) -> int:
    return math.floor((UNSURE if unsure else 1.0) * claim / view.chunk_size)
