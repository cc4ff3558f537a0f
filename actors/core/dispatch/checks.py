"""Content check planning: which chunk a source reads once more to prove that it has the same file.

`Overlaps`: where two transfers meet, a lease reads one chunk of its neighbour's range, without a request of its own.
`CheckPlan`: the checks that need one, so sources whose aborts are counted by strangers do them only where the file
cannot be finished otherwise. In order of urgency:

1. answers to an open dispute, and suspect chunks: the container's checks or a piece hash failed there;
2. a tie between a contributor and the group that goes on;
3. the first and the last chunk, where tags live, and edges that were never compared;
4. spots: the middle of each range that one contributor sent, within 1 % of the chunks.

A check is asked of each source once. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.contributors import MISSING
from actors.core.dispatch.identity import Identity
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source
from protocol.messages import StartJob

SPOT_SHARE: Final = 0.01
"""Share of the file that spot checks may read again."""
SPOTS_MAX: Final = 2
"""Of one contributor: with its overlap checks they exclude a difference in a fifth of the file."""
LAST_S: Final = 0.25
LAST_SHARE: Final = 0.03
"""A complete file waits for checks that take no longer than this and this share of the time so far,"""
LAST_QUICK: Final = 3
"""and no longer than this multiple of what the quickest takes."""
LAST_ROUNDS: Final = 2
EDGE_CHUNKS_MIN: Final = 8
"""The edge of a shorter range is compared as a spot."""
SMALL_FILE_BYTES: Final = 64 << 20
SMALL_FILE_CHECKS: Final = 4
"""Planned checks, of a file below `SMALL_FILE_BYTES`, beside ties and answers to disputes."""

LEAD_CHUNKS_MIN: Final = 8
OVERLAP_CHUNKS_MIN: Final = 16
"""A shorter lease of a mirror reads no chunk of its neighbour's: the share would be too large."""
TIE_S_MAX: Final = 0.5
"""A source that needs longer for a chunk does not prove by a request of its own that it belongs to the job."""

Owned = tuple[int, int, int]
"""``(first, stop, contributor)`` of consecutive stored chunks."""


@unique
class Gate(Enum):
    """Whether a complete file may be sealed."""

    OPEN = "open"
    CHECKING = "checking"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class Check:
    """`count` stored chunks from `chunk` on that a source is to read once more.

    `optional`: a spot. `last`: the complete file waits for it.
    """

    source: int
    chunk: int
    count: int = 1
    optional: bool = False
    last: bool = False


def check_s(source: Source, chunk_size: int) -> float:
    """Return the seconds that one chunk of this source takes, with its set-up."""
    rate = source.rate_bytes_s
    return source.traits.restart_cost_s + chunk_size / rate if rate > 0 else float("inf")


class Overlaps:
    """Chunks that leases read beside their own, so that two sources send one wherever two leases meet.

    `own`: sources that are to compare a chunk of their own from an earlier attempt, see `resumption`; not a copy.
    """

    def __init__(self, job: StartJob, identity: Identity, report: Reporter, *, own: Set[int]) -> None:
        self._own = own
        self._job = job
        self._identity = identity
        self._report = report

    def lead_of(self, source: Source, lease: Lease, tracker: ChunkTracker) -> int:
        """Chunks to read before the lease: one of another contributor's, where none was compared at that place."""
        before = lease.first - 1
        if lease.shared or lease.rival is not None or before < 0 or before not in tracker.stored:
            return 0
        owner = self._report.owner_of(before)
        if owner == source.id and source.id in self._own and source.traits.offset_ok and source.must_compare:
            return 1
        if owner in (MISSING, source.id):
            return 0
        tied = self._identity.tied(owner, source.id)
        if tied and (self._identity.confirmed(before) or lease.open_chunks < LEAD_CHUNKS_MIN):
            return 0
        if source.traits.offset_ok:
            return 1
        return lease.first - (source.position if source.position <= lease.first else 0)  # it reads all of it anyway

    def overlap_of(self, source: Source, lease: Lease, tracker: ChunkTracker) -> int:
        """Chunks to read behind the lease's end: one, always of a user, whose transfer is hung up there anyway."""
        if self._job.spec.mode != "swarm" or lease.shared or lease.rival is not None or tracker.total == UNBOUNDED:
            return 0
        tied = self._identity.checks_of(source.id) > 0
        if not source.traits.abort_is_costly:
            short = lease.open_chunks < OVERLAP_CHUNKS_MIN
            if short and (tied or check_s(source, self._job.spec.chunk_size) > TIE_S_MAX):
                return 0
        return 1

    def under_way(self, tracker: ChunkTracker) -> bool:
        """Return whether a transfer that has all its chunks still reads one that another contributor sent."""
        for lease in tracker.leases.values():
            if lease.overlap and not lease.draining and lease.stop < tracker.total:
                owner = self._report.owner_of(lease.stop)
                if owner not in (MISSING, lease.source) and not self._identity.confirmed(lease.stop):
                    return True
        return False


class CheckPlan:
    """`asked` keeps every check that was given to a source, answered or not, so that none is given twice.

    `suspects`: stored chunks that another source must confirm, in the order in which they came under suspicion.
    """

    def __init__(self, identity: Identity, sources: Mapping[int, Source], *, chunk_size: int) -> None:
        self._identity = identity
        self._sources = sources
        self._chunk_size = chunk_size
        self._asked: set[tuple[int, int]] = set()
        self._given: set[int] = set()
        self._spots = 0
        self._spots_of: dict[int, int] = {}
        self.optional_max: int | None = None  # None: by the size of the file
        self._pairs: set[frozenset[int]] = set()
        self.suspects: dict[int, None] = {}

    def restart(self) -> None:
        """What was stored is not any more: checks may be asked again."""
        self._asked.clear()
        self._given.clear()
        self._pairs.clear()

    def given(self, check: Check, owner: int) -> None:
        """This check was granted; `owner` sent the stored chunk."""
        self._asked.add((check.source, check.chunk))
        if check.optional:
            self._spots += 1
            self._spots_of[owner] = self._spots_of.get(owner, 0) + 1
        self._given.add(check.chunk)
        self._pairs.add(frozenset((check.source, owner)))
        dispute = self._identity.disputes.get(check.chunk)
        if dispute is not None:
            dispute.asked.add(check.source)

    def may_answer(self, chunk: int) -> list[int]:
        """Sources that could answer a dispute about this chunk: those whose aborts are counted where no others are."""
        dispute = self._identity.disputes[chunk]
        able = [
            source
            for source in self._sources.values()
            if self._may_check(source, chunk) and source.id not in dispute.answers and source.id not in dispute.asked
        ]
        cheap = [source.id for source in able if not source.traits.abort_is_costly]
        return cheap or [source.id for source in able]

    def urgent(self, source: Source, owned: Iterable[Owned], total: int, *, now_s: float) -> Check | None:
        """What this source is to check before anything else: an answer to a dispute, or that it belongs to the job."""
        costly = source.traits.abort_is_costly
        for chunk, dispute in self._identity.disputes.items():
            outsiders = self.may_answer(chunk)
            asked_again = not (outsiders or costly) and source.id in dispute.answers and source.id not in dispute.asked
            invited = not costly or dispute.invites(source.id, now_s)
            if self._may_check(source, chunk) and ((source.id in outsiders and invited) or asked_again):
                return Check(source.id, chunk)
        if source.traits.abort_is_costly:
            return None
        return self.suspect(source, owned) or self._tie(source, list(owned), total)

    def suspect(self, source: Source, owned: Iterable[Owned]) -> Check | None:
        """A suspect chunk that this source did not send."""
        if not self.suspects:
            return None
        for chunk in self.open_suspects(owned := list(owned)):
            mine = any(first <= chunk < stop and owner == source.id for first, stop, owner in owned)
            if not mine and self._may_check(source, chunk):
                return Check(source.id, chunk)
        return None

    def open_suspects(self, owned: Iterable[Owned]) -> list[int]:
        """Suspect chunks that are stored, not disputed and not confirmed; others are suspect no more."""
        if self.suspects:
            rows = list(owned)
            for chunk in list(self.suspects):
                stored = any(first <= chunk < stop for first, stop, _ in rows)
                if not stored or self._identity.confirmed(chunk):
                    del self.suspects[chunk]
        return [chunk for chunk in self.suspects if chunk not in self._identity.disputes]

    def optional(
        self, source: Source, owned: Iterable[Owned], total: int, *, last: bool, spots_max: int = SPOTS_MAX
    ) -> Check | None:
        """What this source may check when it has nothing else to do: head, tail, edges and spots.

        `last`: the file is complete.
        """
        if source.traits.abort_is_costly:
            return None
        rows = list(owned)
        if len({owner for _, _, owner in rows}) < 2:
            return None  # one contributor: nothing was spliced
        for chunk, owner, spot in self._places(rows, total, last=last):
            if spot and (self._spots >= self._spots_max(total) or self._spots_of.get(owner, 0) >= spots_max):
                continue
            if owner == source.id or chunk in self._given or self._identity.confirmed(chunk):
                continue
            if self._may_check(source, chunk):
                return Check(source.id, chunk, optional=spot, last=last)
        return None

    def missing_ties(self, owned: Iterable[Owned]) -> list[Owned]:
        """The longest range of every contributor that is not tied to the group which goes on."""
        rows = sorted(owned, key=lambda row: row[0] - row[1])
        main = self.main_of(rows)
        longest: dict[int, Owned] = {}
        for row in rows:
            if main is not None and not self._identity.tied(row[2], main):
                longest.setdefault(row[2], row)
        return list(longest.values())

    def main_of(self, owned: Iterable[Owned]) -> int | None:
        """Return the contributor whose group goes on.

        The anchor's, else, of the groups that still have a source, the one with most chunks stored.
        """
        if self._identity.anchor is not None:
            return self._identity.anchor
        counts: dict[int, int] = {}
        for first, stop, owner in owned:
            counts[owner] = counts.get(owner, 0) + stop - first
        find = self._identity.root_of
        totals: dict[int, int] = {}
        for owner, count in counts.items():
            totals[find(owner)] = totals.get(find(owner), 0) + count
        living = {find(source.id) for source in self._sources.values() if source.usable}
        return max(counts, key=lambda owner: (find(owner) in living, totals[find(owner)], -owner), default=None)

    def forced_tie(self, source: Source, owned: Iterable[Owned], total: int) -> Check | None:
        """A tie that the file cannot be finished without, also from a source whose aborts are counted."""
        return self._tie(source, list(owned), total)

    def _tie(self, source: Source, rows: list[Owned], total: int) -> Check | None:
        main = self.main_of(rows)
        if main is None or (len({owner for _, _, owner in rows} | {source.id}) < 2):
            return None
        mine = self._identity.tied(source.id, main)
        for first, stop, owner in sorted(rows, key=lambda row: row[0] - row[1]):
            wanted = self._identity.tied(owner, main) != mine
            chunk = min((first + stop) // 2, total - 1) if source.traits.offset_ok else first
            new = frozenset((source.id, owner)) not in self._pairs
            if wanted and new and owner != source.id and self._may_check(source, chunk):
                return Check(source.id, chunk)
        return None

    def _may_check(self, source: Source, chunk: int) -> bool:
        return (
            source.usable
            and source.probed
            and source.id not in self._identity.excluded
            and (source.id, chunk) not in self._asked
            and (source.traits.offset_ok or chunk == 0)
        )

    def _places(self, rows: list[Owned], total: int, *, last: bool) -> Iterator[tuple[int, int, bool]]:
        """``(chunk, contributor, whether it is a spot)``, in the order of their worth.

        Head and tail; edges that were never compared, because one of the two that met there was gone; then spots: the
        middle of the longest range of each contributor.
        """
        if self.optional_max is not None:
            return
        yield 0, rows[0][2], False
        yield total - 1, rows[-1][2], False
        confirmed = self._identity.confirmed
        longest = sorted(rows, key=lambda row: row[0] - row[1])
        for first, stop, owner in longest:
            if first > 0 and not confirmed(first) and not self._identity.confirmed_by(owner, first - 1):
                yield first, owner, not last or stop - first < EDGE_CHUNKS_MIN
        seen: set[int] = set()
        for first, stop, owner in longest:
            if owner not in seen:
                seen.add(owner)
                yield (first + stop) // 2, owner, True

    def _spots_max(self, total: int) -> int:
        if total * self._chunk_size < SMALL_FILE_BYTES:
            return SMALL_FILE_CHECKS
        return 2 + int(total * SPOT_SHARE)


class ResumeChecks:
    """Resume checks: one chunk of what a source sent to an earlier attempt, compared with what it has now.

    A server may change a file and say nothing that tells the versions apart. So each source without a validator whose
    chunks were found at the start reads one of them again: the chunk before its first lease where that is its own,
    else the last of its longest range once it has nothing else to do, and a complete file waits for that. If the
    bytes differ, all that it sent before is of another file. Users, whose aborts are counted, do only the first.
    A source whose ETag alone is another one than before compares two, the first chunk that it sent and the last.

    `open`: sources of resumed chunks that were not compared with their file of today yet.
    """

    def __init__(self) -> None:
        self.open: set[int] = set()
        self._asked: set[int] = set()
        self._lacking: dict[int, int] = {}

    def doubt(self, source: Source, owned: Iterable[Owned]) -> None:
        """The validator of a source has changed and nothing else: what it sent is compared, complete or not."""
        own = [(first, stop) for first, stop, owner in owned if owner == source.id]
        if own:
            source.doubted = True
            self.open.add(source.id)
            self._lacking[source.id] = 1 if sum(stop - first for first, stop in own) == 1 else 2

    def opened(self, owned: Iterable[Owned], *, complete: bool) -> None:
        """These chunks were found when the job began or its hub was replaced; what is complete gets no other bytes."""
        self.open.clear()
        self.open.update(owner for _, _, owner in owned if owner >= 0 and not complete)
        self._asked.clear()
        self._lacking.clear()

    def check(self, source: Source, owned: Iterable[Owned]) -> Check | None:
        """Return the chunk that this source is to read again; None: nothing, or it was asked already."""
        able = source.usable and source.probed and source.traits.offset_ok and not source.traits.abort_is_costly
        if source.id not in self.open or source.id in self._asked or not source.must_compare or not able:
            return None
        own = [(stop - first, first, stop - 1) for first, stop, owner in owned if owner == source.id]
        if own and self._lacking.get(source.id, 1) > 1:
            return Check(source.id, min(first for _, first, _ in own))
        return Check(source.id, max(own)[2]) if own else None

    def granted(self, check: Check, owner: int) -> None:
        """This check became a lease."""
        if check.source == owner:
            self._asked.add(owner)

    def is_awaited(self, sources: Iterable[Source], checking: Iterable[Check], owned: Iterable[Owned]) -> bool:
        """Whether a source is still to say of its own earlier chunks that they are those of its file."""
        if not self.open:
            return False
        under_way = any(check.source in self.open & self._asked for check in checking)
        rows = list(owned)
        return under_way or any(self.check(source, rows) is not None for source in sources)

    def answered(self, source: int, owner: int) -> bool:
        """A chunk of `owner` came again from `source`. Returns whether that says something of an earlier attempt."""
        said = source == owner and source in self.open
        if said:
            self._lacking[source] = self._lacking.get(source, 1) - 1
            self._asked.discard(source)
            if self._lacking[source] <= 0:
                self.open.discard(source)
        return said

    def settled(self, source: Source) -> bool:
        """Whether a doubted source has just shown all that was wanted: its validator of today counts from now on."""
        settled = source.doubted and source.id not in self.open
        source.doubted = source.doubted and not settled
        return settled


class LastChecks:
    """Checks of a complete file before it is sealed: `LAST_ROUNDS` of each of the quickest sources."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self.quickest_s: float | None = None
        self._rounds: Counter[int] = Counter()

    @property
    def begun(self) -> bool:
        """Whether the file is complete."""
        return self._since_s is not None

    def waited_s(self, now_s: float, *, begin: bool = True) -> float:
        """How long the file has been complete; it is since now, where `begin` says so."""
        if self._since_s is None and begin:
            self._since_s = now_s
        return 0.0 if self._since_s is None else now_s - self._since_s

    def granted(self, check: Check) -> None:
        """This check became a lease."""
        self._rounds[check.source] += check.last

    def may_ask(self, source: Source, cost_s: float, quickest_s: float, *, elapsed_s: float) -> bool:
        """Whether the complete file waits for a check of this source."""
        if self._since_s is None or self._rounds[source.id] >= LAST_ROUNDS:
            return False
        return cost_s <= min(LAST_S + LAST_SHARE * elapsed_s, LAST_QUICK * quickest_s)
