"""Chunk map of a job: the whole file as ranges of chunks that share state and source, run-length encoded."""

from collections.abc import Iterable, Iterator
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
    leases = sorted(leased)
    runs: list[MapRange] = []
    for run in _laid(sorted(stored), leases, chunk_count):
        last = runs[-1] if runs else None
        if last is not None and last[2:] == run[2:]:
            runs[-1] = last._replace(length=last.length + run.length)
        else:
            runs.append(run)
    return runs


def _laid(stored: list[Owned], leases: list[Owned], chunk_count: int) -> Iterator[MapRange]:
    at = 0
    over = 0  # leases before this index end before `at`
    for first, stop, source in (*stored, (chunk_count, chunk_count, UNKNOWN)):
        first, stop = max(at, min(first, chunk_count)), min(stop, chunk_count)
        if at < first:
            while over < len(leases) and leases[over][1] <= at:
                over += 1
            yield from _gap(at, first, leases, over)
        if first < stop:
            yield MapRange(first, stop - first, "stored", source)
        at = max(first, stop)


def _gap(at: int, end: int, leases: list[Owned], begin: int) -> Iterator[MapRange]:
    for index in range(begin, len(leases)):
        first, stop, source = leases[index]
        if first >= end:
            break
        first, stop = max(at, first), min(stop, end)
        if first >= stop:
            continue
        if at < first:
            yield MapRange(at, first - at, "missing", UNKNOWN)
        yield MapRange(first, stop - first, "leased", source)
        at = stop
    if at < end:
        yield MapRange(at, end - at, "missing", UNKNOWN)
