"""Chunk map of a job: the whole file as ranges of chunks that share state and source, run-length encoded."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, Literal, NamedTuple

UNKNOWN: Final = -1

ChunkState = Literal["missing", "leased", "stored"]

Owned = tuple[int, int, int]
"""``(first, stop, source)``: chunks ``[first, stop)`` of one source, `UNKNOWN` when it is no longer known."""


class MapRange(NamedTuple):
    """`length` chunks from `first` on are alike. `state`: ``missing``, ``leased`` (not yet stored), ``stored``."""

    first: int
    length: int
    state: ChunkState
    source: int


def chunk_map(stored: Iterable[Owned], leased: Iterable[Owned], chunk_count: int) -> list[MapRange]:
    """Return ranges that cover ``[0, chunk_count)`` in order, neighbours unlike; what is stored hides what is leased.

    Of two leases of the same chunks (an endgame duplicate) the one that begins first is shown. What lies
    beyond the file is cut off.
    """
    out: list[_Laid] = []
    begun, length, before, sender = 0, 0, "", UNKNOWN
    for each in _laid(sorted(stored), sorted(leased), chunk_count):
        _, count, state, source = each
        if state == before and source == sender:
            length += count
            out[-1] = (begun, length, state, source)
        else:
            begun, length, before, sender = each
            out.append(each)
    return list(map(_named, out))


_Laid = tuple[int, int, ChunkState, int]
_named: Final[Callable[[_Laid], MapRange]] = partial(tuple.__new__, MapRange)


def _laid(stored: list[Owned], leases: list[Owned], chunk_count: int) -> list[_Laid]:
    """Return ranges without the merge of neighbours. Plain tuples and no generator: a map may have 10 000 of them."""
    out: list[_Laid] = []
    at = 0
    over = 0  # leases before this index end before `at`
    for first, stop, source in (*stored, (chunk_count, chunk_count, UNKNOWN)):
        first, stop = max(at, min(first, chunk_count)), min(stop, chunk_count)
        if at < first:
            while over < len(leases) and leases[over][1] <= at:
                over += 1
            if over == len(leases) or leases[over][0] >= first:
                out.append((at, first - at, "missing", UNKNOWN))
            else:
                out += _gap(at, first, leases, over)
        if first < stop:
            out.append((first, stop - first, "stored", source))
        at = max(first, stop)
    return out


def _gap(at: int, end: int, leases: list[Owned], begin: int) -> Iterator[_Laid]:
    for index in range(begin, len(leases)):
        first, stop, source = leases[index]
        if first >= end:
            break
        first, stop = max(at, first), min(stop, end)
        if first >= stop:
            continue
        if at < first:
            yield (at, first - at, "missing", UNKNOWN)
        yield (first, stop - first, "leased", source)
        at = stop
    if at < end:
        yield (at, end - at, "missing", UNKNOWN)
