"""Contributors of a file: which source sent which chunks, consecutive chunks of one sender being one entry.

A sender is a source's number, or what the records of an earlier attempt keep of a name.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

from protocol.messages import ContributorsListed

MISSING: Final = -1
UNNAMED: Final = -2
"""Stored by a sender that is not known."""
RUNS_PER_MESSAGE: Final = 2500
"""Ranges of one message, so that its frame stays below the limit."""


def recorded(name_hash: int) -> int:
    """Return the owner of chunks whose records name this hash; 0 names none."""
    return UNNAMED - name_hash


class Contributors:
    """Run-length map from chunk to sender. Owned by the Reporter.

    Invariant: `_firsts` rises from 0, neighbours differ; what lies behind the last entry has its owner.
    """

    __slots__ = ("_firsts", "_who")

    def __init__(self) -> None:
        self._firsts = [0]
        self._who = [MISSING]

    def __getitem__(self, chunk: int) -> int:
        return self._who[bisect_right(self._firsts, chunk) - 1]

    def put(self, first: int, stop: int, owner: int) -> None:
        """Set the owner of chunks ``[first, stop)``."""
        if first >= stop:
            return
        low, high = bisect_right(self._firsts, first) - 1, bisect_right(self._firsts, stop) - 1
        entries = [(first, owner), (stop, self._who[high])]
        if self._firsts[low] < first:
            entries.insert(0, (self._firsts[low], self._who[low]))
        last = self._who[low - 1] if low > 0 else None
        kept: list[tuple[int, int]] = []
        for at, who in entries:
            if who != last:
                kept.append((at, who))
            last = who
        self._firsts[low : high + 1] = [at for at, _ in kept]
        self._who[low : high + 1] = [who for _, who in kept]

    def end_of(self, chunk: int) -> int:
        """Where the run of this chunk's owner ends; far behind the file where nothing follows."""
        at = bisect_right(self._firsts, chunk)
        return self._firsts[at] if at < len(self._firsts) else 1 << 62

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield ``(first, stop, owner)`` of what is there, in order."""
        for first, stop, owner in zip(self._firsts, self._firsts[1:], self._who, strict=False):
            if owner != MISSING:
                yield first, stop, owner

    def messages(self, job: int, request: int, known: Mapping[int, int]) -> list[ContributorsListed]:
        """Return everything that is there, in messages of bounded length. `known`: which source has a recorded name."""
        rows: list[tuple[int, int, int]] = []
        for first, stop, owner in self.runs():
            source = owner if owner >= 0 else known.get(UNNAMED - owner, -1)
            if rows and rows[-1][1:] == (first, source):
                first = rows.pop()[0]
            rows.append((first, stop, source))
        parts = [rows[at : at + RUNS_PER_MESSAGE] for at in range(0, len(rows), RUNS_PER_MESSAGE)] or [[]]
        return [
            ContributorsListed(
                job=job,
                request=request,
                firsts=tuple(row[0] for row in part),
                stops=tuple(row[1] for row in part),
                owners=tuple(row[2] for row in part),
                last=part is parts[-1],
            )
            for part in parts
        ]
