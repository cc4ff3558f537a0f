"""How long a ride must be to be worth a start, and a stop in the peer's list. Matters where stops are dear only.

The free part of the file shrinks until the rides that are left over are smaller than what a start costs. There a rider
that touches the free part goes on into it without a stop, so whoever would fetch less than `SMALL_SHARE` of a
measuring ride is left out: it would bring everybody's end nearer by a blink.
"""

import math
from typing import Final

from actors.core.standing import Source
from actors.core.view import View, could_bytes, toucher

MEASURING_SHARE: Final = 16
"""The first, measuring rides of n sources take 1/16 of the file together."""
MEASURING_SHARE_DEAR: Final = 10
SMALL_SHARE: Final = 0.3
MEAGRE_SHARE: Final = 0.3
"""A dear ride that takes less of what its source could do until the common finish time is a ride wasted."""
AMPLE: Final = 1.005
"""Starts still to come take a little longer than is reckoned with: who is placed early gets so much more."""
SHORT_CHUNK_S: Final = 0.5
"""Where a chunk takes longer than this, half a chunk too many is time that everybody waits."""


def dear(source: Source) -> bool:
    """Whether a ride of this source is to be weighed at all: its stops count and its rate is known."""
    return source.traits.dear_stops and source.rate_bytes_s > 0


def measuring_chunks(view: View, source: Source) -> int:
    """The first ride of a source that nobody has measured.

    Who is not to be stopped lightly gets more: others may take the end, and it goes on if they do not. What begins at 0
    begins best only once: it gets an equal part.
    """
    share = MEASURING_SHARE_DEAR if source.traits.dear_stops else MEASURING_SHARE
    share = share if source.traits.offset_ok else 1
    return view.opened_chunks // (share * view.census.source_count)


def placed_chunks(view: View, source: Source, first: int) -> int:
    """What a source of known rate can send until the common finish time, in chunks.

    Rounded up where a start costs next to nothing. Else down, or a slow source would be at its last chunk long after
    everybody else is done, and others would be stopped to help; what is left over goes to a rider that touches it.
    """
    chunks = could_bytes(view, source, first) / view.chunk_size
    if not source.traits.dear_stops:
        return math.ceil(chunks)
    short = view.chunk_size < SHORT_CHUNK_S * source.rate_bytes_s
    return math.floor(AMPLE * chunks + (0.5 if short else 0.0))


def meagre(view: View, source: Source, first: int, stop: int, *, share: float = MEAGRE_SHARE) -> bool:
    """Whether a ride on ``[first, stop)`` is not worth one of the starts and stops of a source that has few."""
    return dear(source) and (stop - first) * view.chunk_size < share * could_bytes(view, source, first)


def too_small(view: View, source: Source, first: int, stop: int) -> bool:
    """Whether free chunks are better left to the faster ride that touches them and goes on without a stop."""
    if not dear(source) or not view.patient or (stop - first) * view.chunk_size >= small_bytes(view):
        return False
    gap = view.board.free.run_at(first)
    rider = toucher(view, gap[0]) if gap is not None else None
    return rider is not None and rider.rate_bytes_s > source.rate_bytes_s


def small_bytes(view: View) -> float:
    return small_ride_bytes(view.opened_chunks * view.chunk_size, view.census.source_count)


def small_ride_bytes(opened_bytes: int, source_count: int) -> float:
    """Less than this is too little for one more start, where somebody else rides on into it."""
    return SMALL_SHARE * opened_bytes / (MEASURING_SHARE_DEAR * source_count)
