"""Sets of chunks as sorted, disjoint, non-touching ranges ``[first, stop)``.

Each set has one owner; nothing is shared. Adding and discarding commute with themselves: the set depends on what was
added, not on the order. Costs: look-ups O(log ranges); changes O(log ranges) plus moving the tail of a list, so a set
of a million chunks in a thousand ranges changes in about a microsecond.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

ChunkRange = tuple[int, int]
"""``(first, stop)``, ``first < stop``."""


class RangeSet:
    """A set of chunk numbers >= 0. Invariant: ``starts[i] < stops[i] < starts[i+1]``, `count` is their sum."""

    __slots__ = ("_count", "_starts", "_stops")

    def __init__(self, ranges: Iterable[ChunkRange] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._count = 0
        for first, stop in ranges:
            self.add(first, stop)

    @property
    def count(self) -> int:
        """Number of chunks in the set."""
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __len__(self) -> int:
        """Return the number of ranges, not chunks."""
        return len(self._starts)

    def __iter__(self) -> Iterator[ChunkRange]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._starts == other._starts and self._stops == other._stops

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    def __contains__(self, chunk: int) -> bool:
        index = bisect_right(self._starts, chunk) - 1
        return index >= 0 and chunk < self._stops[index]

    def range_at(self, chunk: int) -> ChunkRange | None:
        """Return the range that holds this chunk, None without one."""
        index = bisect_right(self._starts, chunk) - 1
        if index >= 0 and chunk < self._stops[index]:
            return self._starts[index], self._stops[index]
        return None

    def first_range(self) -> ChunkRange | None:
        return (self._starts[0], self._stops[0]) if self._starts else None

    def last_range(self) -> ChunkRange | None:
        return (self._starts[-1], self._stops[-1]) if self._starts else None

    def covers(self, first: int, stop: int) -> bool:
        """Whether every chunk of the range is in the set. True for an empty range."""
        if first >= stop:
            return True
        found = self.range_at(first)
        return found is not None and found[1] >= stop

    def overlap(self, first: int, stop: int) -> Iterator[ChunkRange]:
        """Yield the parts of ``[first, stop)`` that are in the set, in order."""
        index = bisect_right(self._stops, first)
        while index < len(self._starts) and self._starts[index] < stop:
            yield max(first, self._starts[index]), min(stop, self._stops[index])
            index += 1

    def gaps(self, first: int, stop: int) -> Iterator[ChunkRange]:
        """Yield the parts of ``[first, stop)`` that are not in the set, in order."""
        at = first
        for begin, end in self.overlap(first, stop):
            if at < begin:
                yield at, begin
            at = end
        if at < stop:
            yield at, stop

    def add(self, first: int, stop: int) -> int:
        """Add the range; return the number of chunks that were new."""
        if first >= stop:
            return 0
        low = bisect_left(self._stops, first)  # the first range that touches or follows
        high = bisect_right(self._starts, stop)  # behind the last range that touches
        if low < high:
            held = sum(self._stops[i] - self._starts[i] for i in range(low, high))
            first, stop = min(first, self._starts[low]), max(stop, self._stops[high - 1])
        else:
            held = 0
        self._starts[low:high] = [first]
        self._stops[low:high] = [stop]
        self._count += stop - first - held
        return stop - first - held

    def discard(self, first: int, stop: int) -> int:
        """Remove the range; return the number of chunks that were removed."""
        if first >= stop:
            return 0
        low = bisect_right(self._stops, first)
        high = bisect_left(self._starts, stop)
        if low >= high:
            return 0
        held = sum(self._stops[i] - self._starts[i] for i in range(low, high))
        rest: list[ChunkRange] = []
        if self._starts[low] < first:
            rest.append((self._starts[low], first))
        if self._stops[high - 1] > stop:
            rest.append((stop, self._stops[high - 1]))
        self._starts[low:high] = [begin for begin, _ in rest]
        self._stops[low:high] = [end for _, end in rest]
        gone = held - sum(end - begin for begin, end in rest)
        self._count -= gone
        return gone
