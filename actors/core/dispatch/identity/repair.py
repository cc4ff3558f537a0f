"""Digests of a file against its contributors: the search for who spoiled one, and digests that sources name.

The search decides which stored chunks of a complete file are read again, and by whom.

The first chunk and the last, where tags live, then sampling without replacement: each contributor in turn has the
middle of its longest range that was not read again read by another source, so that a difference anywhere in a
contributor's share is met soon and the share of the file that is read stays small. Sources whose aborts are counted by
strangers read only where no other source can: both sides of each place where two contributors meet first, since what
differs from there on may be a single chunk of a long range, then stretches instead of single chunks, each further one
of a contributor's twice as long; it ends where a difference is found. Pure; owned by `ContentChecks`.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from actors.core.dispatch.chunk_tracker import Owned
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.evidence import Identity, Resolution
from actors.core.dispatch.sources import Source
from protocol.messages import SourceDescribed
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.integrity.checksums import STRENGTH, STRONG, strongest
from protocol.model.value import Struct, field

ROUNDS_MAX: Final = 8
SHARE_MAX: Final = 0.25
"""Share of the file that is read again before it is said that the sources agree with each other."""
WHOLE_BYTES_MAX: Final = 256 << 20
"""A file up to this size is read again to its end before it is given up: a rare flipped byte is found only so."""
LOOK_SHARE: Final = 128
"""Part of the file that a user reads at a first look at a contributor (1/128); each further look is twice as long.

With a quarter of it for all, doubled with every transfer, 45 of 294 worlds of users with an odd middle third read more
than a quarter of the file, up to all of it."""
LOOKS_MAX: Final = 8
REQUESTS_MAX: Final = 512
"""About this many requests read a whole large file again: its checks are several chunks each."""


class Repair(Struct):
    """Search of one job, begun or not.

    `active`: chunks are being read again now; not while an excluded source's chunks are fetched again. `unread`: chunks
    that no other source was asked for yet. `asked`: what is on its way, by lease.
    """

    total: int = 0
    budget: int = 0
    unread: RangeSet = field(default_factory=RangeSet)
    active: bool = False
    rounds: int = 0
    spent: int = 0
    asked: dict[int, RangeSet] = field(default_factory=dict)
    _reads: dict[int, int] = field(default_factory=dict)
    _looks: dict[int, int] = field(default_factory=dict)  # transfers of users that read of a contributor
    _ranks: "_Ranks | None" = None

    def forget(self) -> None:
        """Nothing of the file is stored any more, and it may have another size."""
        self.active, self.rounds, self.spent, self._ranks = False, 0, 0, None
        for each in (self.asked, self._reads, self._looks):
            each.clear()

    def begin(self, total: int, chunk_size: int) -> bool:
        """Begin the search in this number of chunks, or a further round of it. False: there were enough."""
        if not self.rounds:
            self.total, self.unread = total, RangeSet([(0, total)])
            self.budget = total if total * chunk_size <= WHOLE_BYTES_MAX else int(total * SHARE_MAX)
        self.rounds += 1
        self.active = self.rounds <= ROUNDS_MAX
        return self.active

    def check(self, source: Source, owned: Sequence[Owned]) -> Check | None:
        """Return what this source is to read again, None where nothing is left for it."""
        if self.spent >= self.budget or not source.usable or not source.probed or not source.traits.offset_ok:
            return None
        for chunk, owner in ((self.total - 1, owned[-1][2]), (0, owned[0][2])) if owned else ():
            if chunk in self.unread and owner != source.id and not source.traits.abort_is_costly:
                return Check(source.id, chunk)
        ranks = self._ranked(owned)
        if source.traits.abort_is_costly and (edge := ranks.edge(source.id)) is not None:
            return edge
        best = next((each for each in ranks.order if each[-1] != source.id), None)
        if best is None:
            return None
        reads, length, begin, owner = best
        # A first look, one chunk of each, finds a source with another file; rare differences are looked for after that.
        count = max(1, self.total // REQUESTS_MAX) if reads else 1
        if source.traits.abort_is_costly:
            count = max(1, self.total // LOOK_SHARE) << self._looks.get(owner, 0)
        first = begin + max(-length - count, 0) // 2
        return Check(source.id, first, min(count, begin - length - first, self.budget - self.spent))

    def _ranked(self, owned: Sequence[Owned]) -> "_Ranks":
        if self._ranks is None or self._ranks.owned is not owned:
            self._ranks = _Ranks(owned, self.unread, self._reads)
        return self._ranks

    def search_within(self, chunks: ChunkRange) -> None:
        """What is wrong lies in these chunks."""
        self._ranks = None
        self.unread = RangeSet([chunks])

    def granted(self, check: Check, lease: int, owner: int, *, costly: bool) -> None:
        """The check became a lease."""
        chunks = RangeSet([(check.chunk, check.chunk + check.count)])
        self.unread.discard(check.chunk, check.chunk + check.count)
        self.asked[lease] = chunks
        self.spent += check.count
        self._reads[owner] = self._reads.get(owner, 0) + check.count
        edge = self._ranks is not None and check.chunk in self._ranks.edges
        if self._ranks is not None:
            self._ranks.rank(owner)
        if costly and not edge:
            self._looks[owner] = min(self._looks.get(owner, 0) + 1, LOOKS_MAX)

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
            self.unread_again(first, stop)
            self.spent -= stop - first

    def unread_again(self, first: int, stop: int) -> None:
        """These chunks count as unread again: nothing came, or they are other ones now."""
        self._ranks = None
        self.unread.add(first, stop)


class _Ranks:
    """Order in which contributors are read: `order` is of their longest unread ranges, those read least first.

    Each is ``(reads, -length, first, contributor)``. `edges`: first and last chunk of each contributor's ranges, with
    the contributor. Derived once for each state of the file, then one by one.
    """

    def __init__(self, owned: Sequence[Owned], unread: RangeSet, reads: Mapping[int, int]) -> None:
        self.owned = owned
        self.order: list[tuple[int, int, int, int]] = []
        self._unread = unread
        self._reads = reads
        self._rows: dict[int, list[Owned]] = {}
        self._key: dict[int, tuple[int, int, int, int]] = {}
        self.edges: dict[int, int] = {}
        for row in owned:
            self._rows.setdefault(row[2], []).append(row)
            self.edges |= {row[0]: row[2], row[1] - 1: row[2]}
        for owner in self._rows:
            self.rank(owner)

    def edge(self, source: int) -> Check | None:
        """Return an unread edge that this source did not send, with the one behind it where two ranges meet there."""
        for chunk, owner in self.edges.items():
            if owner != source and chunk in self._unread:
                meets = chunk + 1 in self._unread and self.edges.get(chunk + 1, owner) not in (owner, source)
                return Check(source, chunk, 2 if meets else 1)
        return None

    def rank(self, owner: int) -> None:
        """Rank this contributor again: less of its chunks is unread."""
        if owner in self._key:
            del self.order[bisect_left(self.order, self._key.pop(owner))]
        reads = self._reads.get(owner, 0)
        left = [
            (reads, begin - end, begin, owner)
            for first, stop, _ in self._rows.get(owner, ())
            for begin, end in self._unread.overlap(first, stop)
        ]
        if left:
            self._key[owner] = key = min(left)
            insort(self.order, key)


class Odd(Struct, frozen=True):
    """Sources that name another digest of this algorithm than those whose digest counts."""

    losers: frozenset[int]
    winners: frozenset[int]
    algorithm: str


class NamedDigests:
    """Digests by source. `documents`: sources that are no mirrors but documents about the file.

    `compared`: the digest that the finished file is compared with, `namer`: the source that names it.
    """

    def __init__(self) -> None:
        self._named: dict[int, dict[str, str]] = {}
        self.documents: set[int] = set()
        self.compared, self.namer = "", -1

    def settle(
        self,
        message: SourceDescribed,
        sources: Mapping[int, Source],
        identity: Identity,
        wanted: str,
        rank: Callable[[int], int],
    ) -> Resolution | None:
        """Take what a source names, and tie it to those that name the same. Returns which sources are odd by it."""
        self.take(message.source, message.checksums, document=message.document)
        able = [each for each, source in sources.items() if source.usable or each in identity.excluded]
        odd = self.odd(able, wanted, anchor=identity.anchor, rank=rank)
        for other in self.agreeing(message.source, able):
            identity.vouch(message.source, other)
        if odd is None or odd.losers <= identity.excluded.keys():
            return None
        return Resolution(-1, odd.losers, odd.winners, f"its {odd.algorithm} is another one")

    def take(self, source: int, checksums: Collection[str], *, document: bool = False) -> None:
        """Note the digests that a source names; what it named first of an algorithm stays."""
        own = self._named.setdefault(source, {})
        for checksum in checksums:
            own.setdefault(checksum.partition(":")[0], checksum)
        if document:
            self.documents.add(source)

    def forget(self, source: int) -> None:
        """Its file is another one now. What a document says of the file stands."""
        if source not in self.documents:
            self._named.pop(source, None)

    def agreeing(self, source: int, among: Collection[int]) -> list[int]:
        """Return the others that name a strong digest which this source names too."""
        own = {each for each in self._named.get(source, {}).values() if each.partition(":")[0] in STRONG}
        return [each for each in among if each != source and own & set(self._named.get(each, {}).values())]

    def odd(self, able: Collection[int], wanted: str, *, anchor: int | None, rank: Callable[[int], int]) -> Odd | None:
        """Return the sources of `able` whose strong digest is another one than what counts; None: there are none.

        `wanted`, the user's checksum, goes first; then a document's digest, that of the order's own source, what most
        sources name, and the user's order. All of them are never odd.
        """
        able = [each for each in able if each not in self.documents]
        for algorithm in (each for each in reversed(STRENGTH) if each in STRONG):
            sides: dict[str, set[int]] = {}
            for source in (*able, *self.documents):
                if algorithm in self._named.get(source, {}):
                    sides.setdefault(self._named[source][algorithm], set()).add(source)
            if wanted.startswith(f"{algorithm}:"):
                best = wanted
            elif len(sides) > 1:
                best = max(
                    sides,
                    key=lambda digest: (
                        bool(sides[digest] & self.documents),
                        anchor in sides[digest],
                        len(sides[digest]),
                        -min(rank(member) for member in sides[digest]),
                    ),
                )
            else:
                continue
            losers = {each for digest, members in sides.items() if digest != best for each in members} & set(able)
            if losers and set(able) - losers:
                return Odd(frozenset(losers), frozenset(sides.get(best, set(able) - losers)), algorithm)
        return None

    def compare(self, contributors: Collection[int]) -> None:
        """Choose `compared`, the strongest digest that these, or a document, name, and `namer`; empty without one.

        An algorithm for which they name different ones does not count.
        """
        by_checksum: dict[str, int] = {}
        for source in (*self.documents, *contributors):
            for checksum in self._named.get(source, {}).values():
                by_checksum.setdefault(checksum, source)
        algorithms = [each.partition(":")[0] for each in by_checksum]
        self.compared = strongest(each for each in by_checksum if algorithms.count(each.partition(":")[0]) == 1)
        self.namer = by_checksum.get(self.compared, -1)
