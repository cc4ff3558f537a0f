"""Content check planning: which chunk a source reads once more to prove that it has the same file.

`Overlaps`: where two transfers meet, a lease reads a span of its neighbour's chunk there, without a request of its own;
all of that chunk follows where the span differs from what is stored.
`CheckPlan`: the checks that need one, so sources whose aborts are counted by strangers do them only where the file
cannot be finished otherwise. In order of urgency:

1. answers to an open dispute, and suspect chunks: the container's checks or a piece hash failed there;
2. a tie between a contributor and the group that goes on;
3. the first and the last chunk, where tags live, and edges that were never compared;
4. spots: the middle of each range that one contributor sent, within 1 % of the chunks.

A check is asked of each source once. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Final

from actors.core.dispatch.chunk_tracker import MISSING, UNBOUNDED, ChunkTracker, Lease, Owned
from actors.core.dispatch.identity.evidence import DISPUTE_S_MAX, Identity
from actors.core.dispatch.identity.open_edges import OpenEdges
from actors.core.dispatch.identity.ties import ASKED_MAX, Holdings, Ties
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source
from protocol.messages import StartJob
from protocol.model.value import Struct, replace

SPOT_SHARE: Final = 0.01
"""Share of the file that spot checks may read again."""
SPOTS_MAX: Final = 2
"""Of one contributor: with its overlap checks they exclude a difference in a fifth of the file."""
SMALL_FILE_BYTES: Final = 64 << 20
SMALL_FILE_CHECKS: Final = 4
"""Planned checks, of a file below `SMALL_FILE_BYTES`, beside ties and answers to disputes."""

SPAN_BYTES: Final = 32 << 10
"""Bytes of a chunk that are read to be compared: where they differ the whole chunk is read."""
SCATTER: Final = 7
"""Odd, so that in chunks after one another, and for sources of one chunk, another span is read."""
LEAD_CHUNKS_MIN: Final = 8
EARLY_CHUNKS_MIN: Final = 64
"""While half a file of at least this number of chunks is missing, head and tail are checked: nothing waits for them."""
FIRST_CHUNKS_MIN: Final = 4
OVERLAP_CHUNKS_MIN: Final = 16
"""A shorter lease of a mirror, or first lease, reads no chunk of its neighbour's: the share would be too large."""
TIE_S_MAX: Final = 0.5
"""A source that needs longer for a chunk does not prove by a request of its own that it belongs to the job."""

ANSWER_S_MAX: Final = 1.0
"""The Assembler answers so long after a transfer has ended, or not at all."""
TIES_USED_SHARE: Final = 64
"""Missing ties are derived again when this share of the contributors (1/64) has asked, below 64 of them each time."""
TIES_MANY: Final = 1000
TIES_KEPT_S: Final = 0.1
"""Beside a complete file of more contributors than `TIES_MANY` missing ties are derived once in this time."""
PLACES_USED_SHARE: Final = 64
"""The same of the places to check and the ranges of the file."""
PLACES_ROWS_MAX: Final = 1024
"""Ranges of an incomplete file among which places are looked for at a time, the next ones after them."""
FORCED_QUICK: Final = 2.0
"""Of several that could give what a complete file lacks, those that take this multiple of the quickest one's time."""


class Check(Struct, frozen=True):
    """Order to read `count` stored chunks from `chunk` on once more.

    `optional`: a spot. `last`: the complete file waits for it. `span_bytes`: length of the span to read, from the
    chunk's byte `span_at` on; 0: all of the chunk.
    """

    source: int
    chunk: int
    count: int = 1
    optional: bool = False
    last: bool = False
    span_at: int = 0
    span_bytes: int = 0


class Difference(Struct, frozen=True):
    """A span that `source` sent of a chunk is not what `owner` had sent; the whole chunk tells what it has."""

    source: int
    owner: int
    since_s: float


def span_bytes(source: Source, chunk_size: int) -> int:
    """Return how many bytes of a chunk this source reads to be compared; 0: all of them."""
    return SPAN_BYTES if chunk_size > SPAN_BYTES and source.traits.offset_ok else 0


def compared_bytes(source: Source, chunk_size: int) -> int:
    """Return the same, where all of them are `chunk_size`."""
    return span_bytes(source, chunk_size) or chunk_size


def check_s(source: Source, chunk_size: int) -> float:
    """Return the seconds that one check by this source takes, with its set-up."""
    rate = source.rate_bytes_s
    return source.traits.restart_cost_s + compared_bytes(source, chunk_size) / rate if rate > 0 else float("inf")


class Overlaps:
    """Chunks that leases read beside their own, so that two sources send one wherever two leases meet.

    `own`: sources that are to compare a chunk of their own from an earlier attempt, see `resumption`; not a copy.
    `first`: those whose first lease, which measures them, reads such a chunk: no request is needed to tie them.
    """

    def __init__(self, job: StartJob, identity: Identity, report: Reporter, *, own: Set[int]) -> None:
        self._own = own
        self._awaited: dict[int, tuple[int, float]] = {}  # lease -> its last chunk, and until when
        self._answered: dict[int, int] = {}  # lease -> behind the last chunk that the Assembler has taken
        self._sampled_from = UNBOUNDED
        self.first: set[int] = set()
        self._job = job
        self._identity = identity
        self._report = report

    def lead_of(self, source: Source, lease: Lease, tracker: ChunkTracker) -> int:
        """Chunks to read before the lease: one of another contributor's, where none was compared at that place."""
        before = lease.first - 1
        if lease.shared or lease.rival is not None or before < 0 or before not in tracker.stored:
            return 0
        if source.stands and lease.first == source.position:
            return 0  # what stands open begins behind it
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

    def overlap_of(self, source: Source, lease: Lease, tracker: ChunkTracker, *, moved: bool = False) -> int:
        """Chunks to read behind the lease's end: one of a user, who is hung up on there anyway, if quick.

        `moved`: the lease is under way; another one may begin at its end later, without a message to its worker.
        That the samples agree, which all are of the end of the file, says nothing of the rest.
        """
        if lease.sample:
            self._sampled_from = min(self._sampled_from, lease.first)
        if self._job.spec.mode != "swarm" or lease.shared or tracker.total == UNBOUNDED:
            return 0
        if lease.rival is not None:  # where it wins, the other one's overlap is not read
            behind = self._report.owner_of(lease.stop) if lease.stop < tracker.total else MISSING
            return int(behind not in (MISSING, source.id) and not source.traits.abort_is_costly)
        if source.traits.abort_is_costly:
            compared = self._identity.compared_before(source.id, self._sampled_from)
            return 0 if compared and not source.compares_again(self._report.chunk_size) else 1
        if source.stands and lease.stop in tracker.free and not moved:
            return 0  # it will go on there
        if source.stands and source.answered_once and not lease.check:
            return 1  # it may not answer again: what its open answer brings is all that ties it
        if source.rides == 1 and lease.stop < tracker.total and lease.open_chunks >= FIRST_CHUNKS_MIN:
            self.first.add(source.id)
            return 1
        tied = self._identity.checks_of(source.id) > 0
        short, first = lease.open_chunks < OVERLAP_CHUNKS_MIN, source.stands and source.rate_bytes_s <= 0
        slow = check_s(source, self._report.chunk_size) > TIE_S_MAX and not first
        return 0 if short and (tied or slow) else 1

    def lease_over(self, lease: Lease, handed_stop: int, *, now_s: float) -> None:
        """Its transfer has ended. What the Assembler says of the chunk behind its end is still on its way."""
        answered_stop = self._answered.pop(lease.id, 0)  # the answer may have overtaken the end of the transfer
        if not lease.check and handed_stop > max(lease.stop, answered_stop):
            self._awaited[lease.id] = handed_stop - 1, now_s + ANSWER_S_MAX

    def answered(self, lease_id: int, first: int, stop: int) -> None:
        """The Assembler has taken chunks ``[first, stop)`` of this lease."""
        if lease_id not in self._awaited:
            self._answered[lease_id] = stop
        elif first <= self._awaited[lease_id][0] < stop:
            del self._awaited[lease_id]

    def awaited(self, *, now_s: float) -> bool:
        """Whether a chunk that was read from two sources is being compared."""
        self._awaited = {lease: each for lease, each in self._awaited.items() if now_s < each[1]}
        return bool(self._awaited)

    def under_way(self, tracker: ChunkTracker) -> set[int]:
        """Return the chunks of other contributors that transfers which have all of theirs still read."""
        return {lease.stop for lease in tracker.leases.values() if lease.overlap and self.is_read(lease.stop, tracker)}

    def is_read(self, chunk: int, tracker: ChunkTracker) -> bool:
        """Return whether a transfer that ends before this chunk of another contributor is to read it too."""
        owner = self._report.owner_of(chunk) if chunk < tracker.total else MISSING
        return (
            owner != MISSING
            and any(each.overlap and not each.draining and each.source != owner for each in tracker.ending_at(chunk))
            and not self._identity.confirmed(chunk)
        )


class CheckPlan:
    """Planned checks of one job. `checking`: those on their way, by lease.

    `asked` keeps every check that was given to a source, answered or not, so that none is given twice. `suspects`:
    stored chunks that another source must confirm, in the order in which they came under suspicion.
    """

    def __init__(self, identity: Identity, sources: Mapping[int, Source], report: Reporter) -> None:
        self._identity = identity
        self._sources = sources
        self._report = report
        self._asked: set[tuple[int, int]] = set()
        self._asked_spans: set[tuple[int, int]] = set()
        self._given: set[int] = set()
        self._spots = 0
        self._spots_of: dict[int, int] = {}
        self.optional_max: int | None = None  # None: by the size of the file
        self._pairs: set[frozenset[int]] = set()
        self.suspects: dict[int, None] = {}
        self.differences: dict[int, Difference] = {}
        self.checking: dict[int, Check] = {}
        self._ties: tuple[object, int, int, Ties] | None = None
        self._ties_over, self._ties_used, self._ties_s = False, 0, float("-inf")
        self._holdings: tuple[object, Holdings] | None = None
        self._all_tied: tuple[object, object] | None = None  # the state in which nothing was missing
        self._places: tuple[Sequence[Owned], int, bool, list[tuple[int, int, bool]]] | None = None
        self._places_used = self._places_at = self._places_front = 0
        self._edges = OpenEdges()
        self._quick: tuple[float, float, bool] = (float("-inf"), 0.0, False)

    def restart(self) -> None:
        """What was stored is not any more: checks may be asked again."""
        self._asked.clear()
        self._asked_spans.clear()
        self._given.clear()
        self._pairs.clear()
        self._places = None

    def given(self, check: Check, owner: int) -> None:
        """This check was granted; `owner` sent the stored chunk."""
        (self._asked_spans if check.span_bytes else self._asked).add((check.source, check.chunk))
        if check.optional:
            self._spots += 1
            self._spots_of[owner] = self._spots_of.get(owner, 0) + 1
        # Where it reads a neighbour's chunk at the edge of its own range, both sides are compared.
        edges = (each for each in (check.chunk - 1, check.chunk + 1) if self._report.owner_of(each) == check.source)
        self._given |= {check.chunk, *edges}
        self._pairs.add(frozenset((check.source, owner)))
        if self._ties is not None:
            self._ties[-1].given(check.source, owner)
        dispute = self._identity.disputes.get(check.chunk)
        if dispute is not None:
            dispute.asked.add(check.source)

    def over(self, lease_id: int) -> None:
        """No answer to this check is awaited any more."""
        self._ties_over = self.checking.pop(lease_id, None) is not None or self._ties_over

    def _recent_ties(self) -> Ties:
        """Missing ties as they stood a moment ago, where contributors are many: deriving them takes its time.

        A newcomer goes on untied meanwhile; where its transfers meet those of others is shown without a request.
        """
        if self._ties is not None and self._ties_used < len(self._ties[-1].holdings.longest) // TIES_USED_SHARE:
            self._ties_used += 1
            return self._ties[-1]
        return self.ties

    def untied(self, now_s: float) -> bool:
        """Whether a contributor is not tied to the group that goes on.

        What was missing a moment ago may only delay the seal. That nothing is missing is seen as things stand, and
        holds until other bytes are stored or groups are taken apart.
        """
        rows, groups = self._report.owned(), self._identity.groups
        if self._all_tied is not None and self._all_tied[0] is rows and self._all_tied[1] is groups:
            return False
        missing = self.late_ties(now_s).missing() or self.ties.missing()
        self._all_tied = None if missing else (rows, groups)
        return missing

    def late_ties(self, now_s: float) -> Ties:
        """Missing ties, of very many contributors as they stood up to `TIES_KEPT_S` ago."""
        known = self._ties
        many = known is not None and len(known[-1].holdings.longest) > TIES_MANY
        if known is not None and many and 0 <= now_s - self._ties_s < TIES_KEPT_S:
            return known[-1]
        self._ties_s = now_s
        return self.ties

    @property
    def holdings(self) -> Holdings:
        """Ranges and chunks of each contributor, as things stand."""
        rows = self._report.owned()
        if self._holdings is None or self._holdings[0] is not rows:
            self._holdings = rows, Holdings(rows)
        return self._holdings[1]

    @property
    def ties(self) -> Ties:
        """Missing ties, as things stand."""
        rows, revision, count = self._report.owned(), self._identity.revision, len(self._sources)
        known = self._ties
        if known is None or self._ties_over or known[0] is not rows or known[1:3] != (revision, count):
            self._ties_over, self._ties_used = False, 0
            ties = Ties(self.holdings, self._identity, self._sources)
            for check in self.checking.values():
                owner = self._report.owner_of(check.chunk)
                if owner != MISSING:
                    ties.given(check.source, owner)
            self._ties = known = (rows, revision, count, ties)
        return known[-1]

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

    def may_repeat(self, chunk: int) -> list[int]:
        """Sources that could answer once more where no other can, at no cost to strangers."""
        dispute = self._identity.disputes[chunk]
        able = (self._sources[each] for each in dispute.answers if each in self._sources and each not in dispute.asked)
        return [each.id for each in able if not each.traits.abort_is_costly and self._may_check(each, chunk)]

    def urgent(
        self, source: Source, tracker: ChunkTracker, *, tied: bool, first: bool, early: bool, now_s: float
    ) -> Check | None:
        """What this source is to check before anything else: an answer to a dispute, or that it belongs to the job.

        `tied`: it does, or has sent nothing. `first`: its first lease shows it. `early`: head and tail are wanted.
        """
        if not (self._identity.disputes or self.suspects or self.differences):
            first = first and source.rides == 1
            # Of one that needs long a faster source reads a chunk, which ties it too.
            if (tied and not first) or check_s(source, self._report.chunk_size) > TIE_S_MAX:
                return None
            if first:
                many = tracker.missing > tracker.total // 2 >= EARLY_CHUNKS_MIN
                return self.ends(source, tracker.total) if early and many else None
            if any(check.source == source.id for check in self.checking.values()):
                return None  # what it read is being compared
        costly = source.traits.abort_is_costly
        for chunk, found in self.differences.items():
            if found.source == source.id and self._may_check(source, chunk):
                return Check(source.id, chunk)
        for chunk, dispute in self._identity.disputes.items():
            if not self._may_check(source, chunk) or source.id in dispute.asked:
                continue
            if source.id not in dispute.answers:
                if not costly or (dispute.invites(source.id, now_s) and source.id in self.may_answer(chunk)):
                    return Check(source.id, chunk)
            elif not costly and not self.may_answer(chunk):
                return Check(source.id, chunk)  # there is no third one: it answers once more
        if costly:
            return None
        return self.suspect(source) or self.tie(source, self._recent_ties())

    def settle_differences(self, *, now_s: float) -> None:
        """Have others read a chunk of which a span differed, where its source does not send it whole in time."""
        for chunk, found in list(self.differences.items()):
            source = self._sources.get(found.source)
            asked = any(each.source == found.source and each.chunk == chunk for each in self.checking.values())
            able = asked or (source is not None and self._may_check(source, chunk))
            if self._report.owner_of(chunk) != found.owner or found.source in self._identity.excluded:
                del self.differences[chunk]
            elif not able or now_s - found.since_s > DISPUTE_S_MAX:
                del self.differences[chunk]
                self.suspects[chunk] = None

    def suspect(self, source: Source) -> Check | None:
        """A suspect chunk that this source did not send."""
        if not self.suspects:
            return None
        asked = Counter(check.chunk for check in self.checking.values())
        for chunk in self.open_suspects():
            mine = self._report.owner_of(chunk) == source.id
            if not mine and asked[chunk] < ASKED_MAX and self._may_check(source, chunk):
                return Check(source.id, chunk)
        return None

    def open_suspects(self) -> list[int]:
        """Suspect chunks that are stored, not disputed and not confirmed; others are suspect no more."""
        for chunk in list(self.suspects):
            if self._report.owner_of(chunk) == MISSING or self._identity.confirmed(chunk, whole=True):
                del self.suspects[chunk]
        return [chunk for chunk in self.suspects if chunk not in self._identity.disputes]

    def forced(self, source: Source, *, now_s: float) -> Check | None:
        """What the complete file cannot be sealed without, also from a source whose aborts are counted.

        Slow sources are asked only where there is no quick one; users, to whom each is a stop, one at a time, and one
        without a stop left if there is no other.
        """
        if source.traits.abort_is_costly and self.checking:
            return None
        if self._quick[0] != now_s:
            self._quick = now_s, *self._who_is_asked()
        _, longest_s, any_spared = self._quick
        if (any_spared and source.budget_spent) or check_s(source, self._report.chunk_size) > longest_s:
            return None
        return self._lacking_from(source)

    def _who_is_asked(self) -> tuple[float, bool]:
        """Return how long a check may take that a complete file waits for, and whether one with stops left can give it.

        That one may be slow: another one would be hung up on beyond its budget.
        """
        usable = [each for each in self._sources.values() if each.usable and each.probed]
        if any(not each.peer and check_s(each, self._report.chunk_size) <= TIE_S_MAX for each in usable):
            return TIE_S_MAX, any(each.budget_spent for each in usable)
        able = [each for each in usable if self._lacking_from(each)]
        spared = [each for each in able if not each.budget_spent]
        quickest_s = min((check_s(each, self._report.chunk_size) for each in spared or able), default=0.0)
        return max(TIE_S_MAX, FORCED_QUICK * quickest_s), bool(spared)

    def _lacking_from(self, source: Source) -> Check | None:
        return self.suspect(source) or self.tie(source, self.ties)

    def tie(self, source: Source, ties: Ties) -> Check | None:
        """A chunk by which this source ties a group to the one that goes on: the middle of a long range."""
        for first, stop, owner in ties.rows_for(source):
            chunk = (first + stop) // 2 if source.traits.offset_ok else first
            new = frozenset((source.id, owner)) not in self._pairs and self._report.owner_of(chunk) == owner
            if new and owner != source.id and self._may_check(source, chunk, whole=False):
                return self._spanned(Check(source.id, chunk))
        return None

    def optional(
        self,
        source: Source,
        total: int,
        *,
        last: bool,
        spots_max: int = SPOTS_MAX,
        without: Callable[[int], bool] | None = None,
    ) -> Check | None:
        """What an idle source may check. `last`: the file is complete. `without`: chunks that are read soon anyway."""
        if source.traits.abort_is_costly or self.optional_max is not None:
            return None
        spots = self._spots < self._spots_max(total)
        for chunk, owner, spot in self._open_places(total, last=last):
            if spot and (not spots or self._spots_of.get(owner, 0) >= spots_max):
                continue
            if owner == source.id or (without is not None and without(chunk)):
                continue
            if self._may_check(source, chunk, whole=False):
                return self._spanned(Check(source.id, chunk, optional=spot, last=last))
        return None

    def ends(self, source: Source, total: int) -> Check | None:
        """The first or the last chunk, where another one sent it and none has confirmed it yet."""
        for chunk in (total - 1, 0):
            owner = self._report.owner_of(chunk)
            is_open = chunk not in self._given and not self._identity.confirmed(chunk)
            if is_open and owner not in (MISSING, source.id) and self._may_check(source, chunk, whole=False):
                return self._spanned(Check(source.id, chunk))
        return None

    def _spanned(self, check: Check) -> Check:
        """Return the same check of a span: the bytes at the edge of the file, or of its contributor's range.

        Elsewhere of bytes that are not always in the same place of a chunk. Whole where its source cannot begin there,
        and of a user: such a request disturbs a stranger, so it is to say what it can.
        """
        chunk, owner = check.chunk, self._report.owner_of(check.chunk)
        source, size_bytes = self._sources[check.source], self._report.size_bytes
        span = 0 if source.peer else span_bytes(source, self._report.chunk_size)
        length = min(self._report.chunk_size, size_bytes - chunk * self._report.chunk_size)
        if not 0 < span < length:
            return check
        begins, ends = (self._report.owner_of(each) != owner for each in (chunk - 1, chunk + 1))
        if chunk == 0 or begins > ends:
            at = 0
        elif ends > begins:
            at = length - span
        else:
            at = (chunk * SCATTER + check.source) % (length // span) * span
        return replace(check, span_at=at, span_bytes=span)

    def head(self, source: Source) -> Check | None:
        """The first chunk, from a contributor that was not compared there, where it names the content's own digest.

        A source that had another file only between two places where it was compared is found by nothing else.
        """
        owner = self._report.owner_of(0)
        sent = any(each == source.id for _, _, each in self.holdings.longest)
        if not sent or owner in (MISSING, source.id) or self._identity.confirmed_by(source.id, 0):
            return None
        return Check(source.id, 0) if self._may_check(source, 0) else None

    def _may_check(self, source: Source, chunk: int, *, whole: bool = True) -> bool:
        return (whole or (source.id, chunk) not in self._asked_spans) and (
            source.usable
            and source.probed
            and source.id not in self._identity.excluded
            and (source.id, chunk) not in self._asked
            and (source.traits.offset_ok or chunk == 0)
        )

    @property
    def has_many_ranges(self) -> bool:
        """Whether a look at all that is stored is work for a step of its own."""
        return len(self._report.owned()) > PLACES_ROWS_MAX

    def any_optional(self, total: int) -> bool:
        """Whether something of the complete file may be checked that needs not be."""
        return self.optional_max is None and any(True for _ in self._open_places(total, last=True))

    def _open_places(self, total: int, *, last: bool) -> Iterator[tuple[int, int, bool]]:
        """Yield those of `_every_place` that are neither confirmed nor asked for.

        Of an incomplete file of very many ranges as they stood a moment ago: what became one since then comes later.
        Those of a complete one only become fewer, and are passed over then.
        """
        known = self._places
        if known is None or known[2] != last:
            kept = False
        elif last:  # of an incomplete one, to list all that is stored would cost each step milliseconds
            rows, gained = self._report.owned(), self._identity.revision - known[1]
            kept = known[0] is rows and self.has_many_ranges and gained < len(rows) // PLACES_USED_SHARE
        else:
            kept = self._places_used < len(known[0]) // PLACES_USED_SHARE
            self._places_used += kept
        places = known[-1] if known is not None and kept else self._derived_places(total, last=last)
        passed = last
        for at in range(self._places_front if last else 0, len(places)):
            chunk, owner, spot = places[at]
            if chunk in self._given or self._identity.confirmed(chunk):
                if passed:  # for good: the next look begins behind it
                    self._places_front = at + 1
                continue
            passed = False
            if self._report.owner_of(chunk) == owner:
                yield chunk, owner, spot

    def _derived_places(self, total: int, *, last: bool) -> list[tuple[int, int, bool]]:
        """Return the places as things stand, derived once for each state; spots while more may be asked for."""
        rows, revision = self._report.owned(), self._identity.revision
        known = self._places
        if known is None or known[0] is not rows or known[1:3] != (revision, last):
            spots, part = self._spots < self._spots_max(total), rows
            if self.has_many_ranges and not last:
                first = self._places_at if self._places_at < len(rows) else 0
                self._places_at = first + PLACES_ROWS_MAX
                part = rows[first : self._places_at + 1]
            given, confirmed = self._given, self._identity.confirmed
            places = [
                place
                for place in self._every_place(rows, part, total, last=last)
                if place[0] not in given
                and (not place[2] or (spots and self._spots_of.get(place[1], 0) < SPOTS_MAX))
                and not confirmed(place[0])
            ]
            self._places_used = self._places_front = 0
            self._places = known = (rows, revision, last, places)
        return known[-1]

    def _every_place(
        self, rows: Sequence[Owned], part: Sequence[Owned], total: int, *, last: bool
    ) -> Iterator[tuple[int, int, bool]]:
        """Yield ``(chunk, contributor, whether it is a spot)`` of a part of all ranges, in the order of their worth.

        Head and tail; edges that were never compared, because one of the two that met there was gone or cannot begin
        there; then spots: the middle of the longest range of each contributor. None of one contributor alone: nothing
        was spliced.
        """
        if all(owner == rows[0][2] for _, _, owner in rows):
            return
        yield 0, rows[0][2], False
        yield total - 1, rows[-1][2], False
        edges = self._edges if part is rows else OpenEdges()
        for _, _, chunk, owner, _ in edges.of(part, self._identity.confirmed_of):
            yield chunk, owner, not last
        for first, stop, owner in (self.holdings if part is rows else Holdings(part)).longest:
            if stop - first >= OVERLAP_CHUNKS_MIN:  # of a shorter one the edges say the same
                yield (first + stop) // 2, owner, True

    def _spots_max(self, total: int) -> int:
        if total * self._report.chunk_size < SMALL_FILE_BYTES:
            return SMALL_FILE_CHECKS
        return 2 + int(total * SPOT_SHARE)
