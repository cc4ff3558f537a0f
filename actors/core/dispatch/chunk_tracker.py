"""Chunk tracker of a job: which chunks are free, leased or stored, and by whom the stored ones were sent.

The only place where chunks change hands.

Invariant (`check` asserts it; tests call it after every step), for `total` chunks:

* every chunk is in exactly one of: `free`, `stored`, or the open part ``[next, stop)`` of a lease, but that an open
  part also holds the stored chunks over which its lease was extended;
* open parts are disjoint, except for a lease and its endgame duplicate (the same chunks, the first one in wins);
* in a race leases hold nothing: whatever is not stored is free, and every lease may store it;
* chunks only go from absent to stored, but for `lose` and `restore`: a disk may not have what was written to it.

Chunk numbers count from 0, ranges are ``[first, stop)``. Pure: no clock, no input or output.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from typing import Final

from protocol.messages import ContributorsListed
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.job_spec import JobSpec
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN
from protocol.model.value import Struct

UNBOUNDED: Final = 1 << 40
"""`total` while the size of the file is unknown: more chunks than any file has."""
MISSING: Final = -1
UNNAMED: Final = -2
"""Stored by a sender that is not known."""
Owned = tuple[int, int, int]
"""``(first, stop, contributor)`` of consecutive stored chunks."""
RUNS_PER_MESSAGE: Final = 2500
"""Ranges of one message, so that its frame stays below the limit."""
CHUNK_SIZE_LEAST: Final = 8 << 10
"""Of a small file: a mirror of 20 KB/s takes .4 s for it. With less, records and messages cost more than they gain."""
CHUNK_SIZE_USUAL: Final = 128 << 10
CHUNKS_AIM: Final = 512
"""Chunks that a file too small for usual ones is cut into, about: its end is shared, and checked, chunk by chunk."""
CHUNKS_MOST: Final = 1 << 21
"""A file of more gets larger ones: each costs 26 bytes of memory and 44 of records."""


def chunk_size_of(spec: JobSpec, size_bytes: int) -> int:
    """Return the chunk size of a new part file of this size (-1: unknown): as ordered, else by the size of the file.

    Chunks end where pieces do, if they can, so that none is in two of them.
    """
    if spec.chunk_size > 0:
        return spec.chunk_size
    size = CHUNK_SIZE_LEAST if size_bytes >= 0 else CHUNK_SIZE_USUAL
    while size < CHUNK_SIZE_MAX and size * (CHUNKS_AIM if size < CHUNK_SIZE_USUAL else CHUNKS_MOST) < size_bytes:
        size *= 2
    aligned = size
    while spec.pieces.piece_bytes % aligned and aligned > CHUNK_SIZE_MIN:
        aligned //= 2
    return aligned if spec.pieces.piece_bytes % aligned == 0 else size


class Lease(Struct):
    """Expiring right of one source to the chunks ``[first, stop)``."""

    id: int
    source: int
    first: int
    next: int  # the first chunk that is not stored yet
    stop: int
    granted_s: float
    heard_s: float  # when anything was reported of it
    grown_s: float  # when bytes came or were stored
    draining: bool = False  # the transfer is over, its last chunks are on their way to the Assembler
    shared: bool = False  # of a race or a check: it holds nothing
    overlap: int = 0  # chunks behind its end that are read to be compared
    overlap_bytes: int = 0  # what is read of them
    check: bool = False  # stored chunks are read once more
    sample: bool = False  # a check of the end of the file that measures its source; the end need not be stored yet
    rival: int | None = None  # the lease that duplicates it, or that it duplicates
    received_bytes: int = 0  # as of `measured_s`
    flowing_s: float = 0.0  # about when its first byte came, 0 while none has
    lead_in_bytes: int = 0  # read and dropped before `first`
    measured_s: float = 0.0
    rate_bytes_s: float = -1.0  # measured, mixed with the one below while the transfer is young; -1: not measured
    prior_rate_bytes_s: float = 0.0  # what its source showed before

    @property
    def open_chunks(self) -> int:
        return self.stop - self.next


class Change(Struct, frozen=True):
    """Effect of storing chunks on the leases of others: ends that moved nearer, leases with nothing left."""

    new: tuple[ChunkRange, ...]
    trimmed: tuple[Lease, ...] = ()
    lost: tuple[Lease, ...] = ()


class _Ends:
    """Index of leases that hold chunks by where they end, among which ten thousand are not to be looked through."""

    def __init__(self) -> None:
        self._leases: dict[int, list[Lease]] = {}
        self._stops: list[int] = []

    def add(self, lease: Lease) -> None:
        if lease.stop not in self._leases:
            insort(self._stops, lease.stop)
        self._leases.setdefault(lease.stop, []).append(lease)

    def discard(self, lease: Lease) -> None:
        at = self._leases[lease.stop]
        at.remove(lease)
        if not at:
            del self._leases[lease.stop], self._stops[bisect_left(self._stops, lease.stop)]

    def entries(self) -> list[tuple[int, int]]:
        """Return the end and the number of each lease, in order."""
        return sorted((stop, lease.id) for stop in self._stops for lease in self._leases[stop])

    def at(self, stop: int) -> list[Lease]:
        return self._leases.get(stop, [])

    def holding(self, first: int, stop: int) -> list[Lease]:
        """Return those that hold chunks of a range open, the oldest first. Their open parts are disjoint, or equal."""
        found: list[Lease] = []
        for at in range(bisect_right(self._stops, first), len(self._stops)):
            ending = self._leases[self._stops[at]]
            found += [lease for lease in ending if lease.next < stop]
            if ending[0].next >= stop:
                break
        return sorted(found, key=lambda lease: lease.id)


class ChunkTracker:
    """Owner of every chunk's state. Owned by one `DispatchState`; `leases` by id, also those that drain."""

    def __init__(self, total: int, stored: RangeSet | None = None, *, first_lease: int = 1) -> None:
        self.total = total
        self.stored = stored if stored is not None else RangeSet()
        self.free = RangeSet([(0, total)])
        for first, stop in self.stored:
            self.free.discard(first, stop)
        self.leases: dict[int, Lease] = {}
        self._ends = _Ends()
        self.next_id = first_lease

    @property
    def missing(self) -> int:
        """Chunks not stored yet, leased or not."""
        return self.total - self.stored.count

    @property
    def complete(self) -> bool:
        return self.stored.count == self.total

    def is_missing(self, chunk: int) -> bool:
        """Return whether a chunk of the file is not stored."""
        return 0 <= chunk < self.total and chunk not in self.stored

    def grant(self, source: int, first: int, stop: int, *, now_s: float, shared: bool = False) -> Lease:
        """Lease a free range. In a race (`shared`) it stays free."""
        assert first < stop <= self.total, "an empty lease"
        if not shared:
            assert self.free.covers(first, stop), f"[{first}, {stop}) is not free"
            self.free.discard(first, stop)
        return self._new_lease(source, first, stop, now_s=now_s, shared=shared)

    def grant_tail(self, victim: Lease, source: int, first: int, *, now_s: float) -> Lease:
        """Move the tail ``[first, stop)`` of a lease to another source."""
        assert victim.next < first < victim.stop, "the victim keeps at least one chunk"
        assert victim.rival is None, "a duplicate is not cut"
        stop = victim.stop
        self._end_at(victim, first)
        return self._new_lease(source, first, stop, now_s=now_s)

    def grant_duplicate(self, victim: Lease, source: int, *, now_s: float) -> Lease:
        """Let a second source fetch all that is open of a lease: first one in wins."""
        assert victim.rival is None
        assert victim.open_chunks > 0
        lease = self._new_lease(source, victim.next, victim.stop, now_s=now_s)
        lease.rival, victim.rival = victim.id, lease.id
        return lease

    def extend(self, lease: Lease, stop: int) -> None:
        """Extend a lease into the free range behind it, over stored chunks in between: those are fetched again."""
        assert lease.stop < stop
        assert all(self.stored.covers(*gap) for gap in self.free.gaps(lease.stop, stop)), "leased to another"
        self.free.discard(lease.stop, stop)
        self._end_at(lease, stop)

    def shrink(self, lease: Lease, stop: int) -> None:
        """Free the tail of a lease from `stop` on."""
        assert lease.next < stop < lease.stop
        assert lease.rival is None
        self._give_back(lease, stop)
        self._end_at(lease, stop)

    def drain(self, lease: Lease, handed_stop: int) -> None:
        """End the transfer: chunks before `handed_stop` are still coming, the rest is free again."""
        if lease.rival is not None:  # the rival holds the same range; what still comes in cuts it short
            self._forget(lease)
            return
        handed_stop = min(max(handed_stop, lease.next), lease.stop)
        lease.draining = True
        self._give_back(lease, handed_stop)
        self._end_at(lease, handed_stop)
        if lease.open_chunks <= 0:
            self._forget(lease)

    def end(self, lease: Lease) -> None:
        """End the lease: nothing more is expected from it."""
        self._give_back(lease, lease.next)
        self._forget(lease)

    def store(self, lease_id: int, first: int, stop: int) -> Change:
        """Store chunks ``[first, stop)`` of this lease (which may have ended long ago)."""
        stop = min(stop, self.total)
        new = tuple(self.stored.gaps(first, stop))
        self.stored.add(first, stop)
        self.free.discard(first, stop)
        lease = self.leases.get(lease_id)
        mine = lease is not None and lease.next <= first and stop <= lease.stop
        change = Change(new)
        again = not new and lease is not None and lease.check and not lease.sample
        if not again and (lease is None or not mine or lease.rival is not None or lease.shared):
            change = self._settle(lease, first, stop, new)
        if lease is not None:
            if first < lease.stop and lease.next < stop:
                if not lease.shared:  # stored in order; should it ever skip chunks, they are free again
                    for begin, end in list(self.stored.gaps(lease.next, first)):
                        self.free.add(begin, end)
                lease.next = min(stop, lease.stop)
            if lease.draining and lease.open_chunks <= 0 and lease.id in self.leases:
                self._forget(lease)
        return change

    def grant_check(self, source: int, chunk: int, count: int, *, now_s: float) -> Lease:
        """Lease stored chunks to be read once more. It holds nothing."""
        lease = self._new_lease(source, chunk, chunk + count, now_s=now_s, shared=True)
        lease.check = True
        return lease

    def grant_sample(self, source: int, first: int, *, now_s: float) -> Lease:
        """Lease the end of the file to be read by one more source, stored or not. It holds nothing."""
        lease = self.grant_check(source, first, self.total - first, now_s=now_s)
        lease.sample = True
        return lease

    def ending_at(self, stop: int) -> list[Lease]:
        """Return the leases whose range ends there and holds chunks; not to be changed."""
        return self._ends.at(stop)

    def reaches_end(self, stop: int, *, free: bool = False) -> bool:
        """Return whether all from `stop` to the end of the file is stored, or `free`."""
        return all(free and self.free.covers(*gap) for gap in self.stored.gaps(stop, self.total))

    def skip(self, lease_id: int, first: int, stop: int) -> None:
        """A transfer has passed these chunks and nothing of them was kept: they are free, unless they are stored."""
        lease = self.leases.get(lease_id)
        if lease is None or lease.shared or lease.rival is not None or not lease.next <= first < lease.stop:
            return
        stop = min(stop, lease.stop)
        for begin, end in list(self.stored.gaps(lease.next, stop)):
            self.free.add(begin, end)
        lease.next = stop
        if lease.draining and lease.open_chunks <= 0:
            self._forget(lease)

    def lose(self, first: int, stop: int) -> None:
        """Free stored chunks that do not count any more, but for those that a lease is about to pass anyway."""
        assert self.stored.covers(first, stop)
        self.stored.discard(first, stop)
        held = RangeSet((lease.next, lease.stop) for lease in self.leases.values() if not lease.shared)
        for begin, end in list(held.gaps(first, stop)):
            self.free.add(begin, end)

    def restore(self, stored: RangeSet) -> RangeSet:
        """Take over what a failed disk still holds, every lease having ended. Return the chunks it lost."""
        assert not self.leases, "a lease outlived a failing disk"
        lost = RangeSet(gap for first, stop in self.stored for gap in stored.gaps(first, stop))
        self.stored, self.free = RangeSet(stored), RangeSet(stored.gaps(0, self.total))
        return lost

    def learn_total(self, total: int) -> None:
        """Take the size that became known: nothing lies behind `total`, nothing stored there either."""
        assert self.total == UNBOUNDED
        last = self.stored.last_range()
        assert last is None or last[1] <= total, "stored behind the end of the file"
        self.free.discard(total, self.total)
        self.total = total
        for lease in list(self.leases.values()):
            self._end_at(lease, min(lease.stop, total))
            if lease.open_chunks <= 0:
                self._forget(lease)

    def check(self) -> None:
        """Assert the invariant. O(runs + leases)."""
        seen = RangeSet(self.stored)
        for first, stop in self.free:
            assert seen.add(first, stop) == stop - first, "free and stored overlap"
        for lease in self.leases.values():
            assert lease.first <= lease.next <= lease.stop <= self.total, lease
            if lease.shared:
                continue
            rival = self.leases.get(lease.rival) if lease.rival is not None else None
            if rival is None or lease.id < rival.id:
                again = sum(stop - first for first, stop in self.stored.overlap(lease.next, lease.stop))
                added = seen.add(lease.next, lease.stop)
                assert added == lease.open_chunks - again, f"{lease} overlaps"
            else:
                seen.add(lease.next, lease.stop)
                assert (rival.next, rival.stop) == (lease.next, lease.stop), "duplicates hold the same range"
        assert seen.count == self.total, "a chunk is nowhere"
        holders = {(lease.stop, lease.id) for lease in self.leases.values() if not lease.shared}
        assert self._ends.entries() == sorted(holders), "the index of ends is another"

    def _new_lease(self, source: int, first: int, stop: int, *, now_s: float, shared: bool = False) -> Lease:
        lease = Lease(self.next_id, source, first, first, stop, now_s, now_s, now_s, shared=shared)
        self.next_id += 1
        self.leases[lease.id] = lease
        if not shared:
            self._ends.add(lease)
        return lease

    def _end_at(self, lease: Lease, stop: int) -> None:
        """Move the end of a lease."""
        if lease.shared or lease.id not in self.leases:
            lease.stop = stop
            return
        self._ends.discard(lease)
        lease.stop = stop
        self._ends.add(lease)

    def _give_back(self, lease: Lease, first: int) -> None:
        """Free ``[first, stop)`` of a lease, unless its rival still holds it."""
        if lease.shared or lease.rival is not None:
            return
        for begin, end in list(self.stored.gaps(first, lease.stop)):
            self.free.add(begin, end)

    def _forget(self, lease: Lease) -> None:
        if self.leases.pop(lease.id, None) is not None and not lease.shared:
            self._ends.discard(lease)
        self._end_duplicate(lease)

    def _end_duplicate(self, lease: Lease) -> None:
        """End the duplication of this lease, if any; the other stays as the only holder."""
        rival = self.leases.get(lease.rival) if lease.rival is not None else None
        lease.rival = None
        if rival is not None:
            rival.rival = None

    def _settle(self, winner: Lease | None, first: int, stop: int, new: tuple[ChunkRange, ...]) -> Change:
        """Cut short the leases of others that hold these chunks open: the first one in keeps the rest."""
        trimmed: list[Lease] = []
        lost: list[Lease] = []
        for lease in self._ends.holding(first, stop):
            if lease is winner:
                continue
            if winner is not None and winner.sample and lease.next < first:
                continue  # it goes on to the end of the file: cut short before it, it would have to be stopped
            if winner is not None and lease.rival == winner.id:
                # Both were to fetch the same range from its start: the first chunk in decides.
                self._end_duplicate(lease)
                self._end_at(lease, lease.next)
            elif first <= lease.next:
                lease.next = min(stop, lease.stop)
            else:
                for begin, end in list(self.stored.gaps(stop, lease.stop)):
                    self.free.add(begin, end)
                self._end_at(lease, first)
            if lease.open_chunks > 0:
                trimmed.append(lease)
            else:
                self._forget(lease)
                lost.append(lease)
        return Change(new, tuple(trimmed), tuple(lost))


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

    def runs(self) -> list[tuple[int, int, int]]:
        """Return ``(first, stop, owner)`` of what is there, in order."""
        every = zip(self._firsts, self._firsts[1:], self._who, strict=False)
        return [row for row in every if row[2] != MISSING]

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
