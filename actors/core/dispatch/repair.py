"""Search for the contributor that spoiled the digest of a complete file: which stored chunks are read again, by whom.

Sampling without replacement: each contributor in turn has the middle of its longest range that was not read again read
by another source, so that a difference anywhere in a contributor's share is met soon and the share of the file that is
read stays small. A source whose aborts are counted by strangers reads one long stretch instead of single chunks, and
only where no other source can. Pure; owned by `ContentChecks`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from actors.core.dispatch.checks import Check, Owned
from actors.core.dispatch.sources import Source
from protocol.model.chunk_ranges import RangeSet

ROUNDS_MAX: Final = 8
SHARE_MAX: Final = 0.25
"""Share of the file that is read again before it is said that the sources agree with each other."""
WHOLE_BYTES_MAX: Final = 256 << 20
"""A file up to this size is read again to its end before it is given up: a rare flipped byte is found only so."""
REQUESTS_MAX: Final = 512
"""About this many requests read a whole large file again: its checks are several chunks each."""


@dataclass(slots=True)
class Repair:
    """One search. `active`: chunks are being read again now; not while an excluded source's chunks are fetched again.

    `unread`: chunks that no other source was asked for yet. `asked`: what is on its way, by lease.
    """

    total: int
    budget: int
    unread: RangeSet
    active: bool = True
    rounds: int = 1
    spent: int = 0
    asked: dict[int, RangeSet] = field(default_factory=dict)
    _reads: dict[int, int] = field(default_factory=dict)
    _costly: int = 0

    @classmethod
    def of(cls, total: int, chunk_size: int) -> "Repair":
        budget = total if total * chunk_size <= WHOLE_BYTES_MAX else int(total * SHARE_MAX)
        return cls(total, budget, RangeSet([(0, total)]))

    def check(self, source: Source, owned: Iterable[Owned]) -> Check | None:
        """Return what this source is to read again, None where nothing is left for it."""
        if self.spent >= self.budget or not source.usable or not source.probed or not source.traits.offset_ok:
            return None
        best: tuple[int, int, int] | None = None
        for first, stop, owner in owned:
            if owner == source.id:
                continue
            reads = self._reads.get(owner, 0)
            for begin, end in self.unread.overlap(first, stop):
                key = (reads, begin - end, begin)
                best = key if best is None or key < best else best
        if best is None:
            return None
        _, length, begin = best
        count = max(1, self.total // REQUESTS_MAX)
        if source.traits.abort_is_costly:
            count = max(1, int(self.total * SHARE_MAX) // max(len(self._owners(owned)), 1)) << self._costly
        first = begin + max(-length - count, 0) // 2
        return Check(source.id, first, min(count, begin - length - first, self.budget - self.spent))

    def granted(self, check: Check, lease: int, owner: int, *, costly: bool) -> None:
        """The check became a lease."""
        chunks = RangeSet([(check.chunk, check.chunk + check.count)])
        self.unread.discard(check.chunk, check.chunk + check.count)
        self.asked[lease] = chunks
        self.spent += check.count
        self._reads[owner] = self._reads.get(owner, 0) + check.count
        # A transfer of a user is dear: each further one reads twice as much.
        self._costly = min(self._costly + costly, 8)

    def answered(self, lease: int, first: int, stop: int) -> None:
        """What was read was compared."""
        chunks = self.asked.get(lease)
        if chunks is not None:
            chunks.discard(first, stop)
            if not chunks:
                del self.asked[lease]

    def over(self, lease: int) -> None:
        """The transfer ended; what it did not bring may be asked of others."""
        for first, stop in self.asked.pop(lease, ()):
            self.unread.add(first, stop)
            self.spent -= stop - first

    @staticmethod
    def _owners(owned: Iterable[Owned]) -> set[int]:
        return {owner for _, _, owner in owned}
