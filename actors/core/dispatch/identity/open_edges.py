"""Open edges: places where the ranges of two contributors meet in the file and were never compared.

Owned by `CheckPlan`. Pure.
"""

from collections.abc import Mapping, Sequence, Set
from itertools import pairwise

from actors.core.dispatch.chunk_tracker import Owned

Side = tuple[int, int, int, int, int]
"""One side of an edge: confirmed chunks of its contributor, length of its range below 0, chunk beside the edge,
contributor, first chunk behind the edge."""
_NOTHING: Set[int] = frozenset()


class OpenEdges:
    """Open sides of edges, first those of contributors of which least is known, then those of the longest ranges.

    Each side of an edge counts for itself: what a third contributor confirms of one says nothing of the other. While
    the ranges are the same only sides of contributors of which more is known by now are looked at again: each answer
    to a check of a complete file asks for all, and there can be thousands.
    """

    def __init__(self) -> None:
        self._rows: Sequence[Owned] | None = None
        self._sides: list[Side] = []
        self._known: dict[int, tuple[Set[int], int]] = {}  # what was confirmed of each, and how much

    def of(self, rows: Sequence[Owned], confirmed_of: Mapping[int, Set[int]]) -> list[Side]:
        """Return the open sides within these ranges; not to be changed."""
        if rows is not self._rows:
            self._rows, self._known = rows, {}
            for _, _, owner in rows:
                chunks = confirmed_of.get(owner, _NOTHING)
                self._known[owner] = chunks, len(chunks)
            self._sides = _sides(rows, confirmed_of)
            return self._sides
        fresh: dict[int, Set[int]] = {}
        for owner, (before, count) in self._known.items():
            chunks = confirmed_of.get(owner, _NOTHING)
            if chunks is not before and count:
                self._rows = None  # it was excluded meanwhile: its sides are open again
                return self.of(rows, confirmed_of)
            if len(chunks) != count:
                fresh[owner] = chunks
        if fresh:
            self._known.update((owner, (chunks, len(chunks))) for owner, chunks in fresh.items())
            kept = [side for side in self._sides if side[3] not in fresh]
            for _, length, chunk, owner, at in self._sides:
                if owner in fresh and at not in fresh[owner] and at - 1 not in fresh[owner]:
                    kept.append((len(fresh[owner]), length, chunk, owner, at))
            self._sides = sorted(kept)
        return self._sides


def _sides(rows: Sequence[Owned], confirmed_of: Mapping[int, Set[int]]) -> list[Side]:
    found: list[Side] = []
    for left, right in pairwise(rows):
        at = right[0]
        if left[1] != at:
            continue
        for chunk, length, owner in ((at - 1, at - left[0], left[2]), (at, right[1] - at, right[2])):
            known = confirmed_of.get(owner, _NOTHING)
            if at not in known and at - 1 not in known:
                found.append((len(known), -length, chunk, owner, at))
    return sorted(found)
