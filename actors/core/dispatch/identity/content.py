"""Content checks of a job: evidence taken in, checks given to sources, the search for who spoiled a file.

Couples the evidence (`evidence`) and the planned checks (`checks`) with leases and stored chunks. Every stored chunk
has a contributor; only chunks of one group are sealed together, see `seal_gate`. A contributor with other content is
excluded, see `exclusion`. Owned by one `DispatchState`.
"""

from collections.abc import Iterable
from typing import Final

from actors.core.dispatch.chunk_tracker import MISSING, UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.identity.checks import ANSWER_S_MAX, Check, CheckPlan, Difference, Overlaps
from actors.core.dispatch.identity.container_requests import ContainerRequests
from actors.core.dispatch.identity.evidence import Identity, Resolution, Standpoint
from actors.core.dispatch.identity.exclusion import Exclusion
from actors.core.dispatch.identity.pieces import PieceChecks
from actors.core.dispatch.identity.repair import NamedDigests, Repair
from actors.core.dispatch.identity.resumption import EarlierEvidence, ResumeChecks
from actors.core.dispatch.identity.seal_gate import Gate, SealGate
from actors.core.dispatch.progress import Reporter, VerifiedChunks
from actors.core.dispatch.sources import FailurePolicy, Source, validator_seen
from actors.core.outbox import Outbox
from protocol.messages import ChunkDisputed, ChunksRepeated, ContainerBroken, SourceDescribed, SpanCompared, StartJob
from protocol.messages.addresses import ASSEMBLER
from protocol.model.chunk_ranges import ChunkRange, RangeSet

CHUNKS_NOTED_MAX: Final = 4
"""Chunks of one repeated range that count as separate checks; in a race a source repeats the whole file."""
PREFERRED_RANK: Final = -1
UNNAMED_RANK: Final = 1 << 30
CLAIM_S: Final = 1.0
"""Between two reports of the claim, which takes a look at all contributors."""


class ContentChecks:
    """Checks of one job's content.

    `identity` is the evidence; `claim` says in numbers what it proves. `sources` is shared with the owner.
    """

    def __init__(
        self,
        job: StartJob,
        sources: dict[int, Source],
        report: Reporter,
        out: Outbox,
        *,
        failures: FailurePolicy,
    ) -> None:
        self._job = job
        self._sources = sources
        self._report = report
        self._out = out
        self.identity = Identity(anchor=0 if job.spec.user else None)
        self.named = NamedDigests()
        self.containers = ContainerRequests(job, self.identity, report, out)
        self.plan = CheckPlan(self.identity, sources, report)
        self.pieces = PieceChecks(job, self.identity, self.plan, report, out)
        self.resume = ResumeChecks()
        self.earlier = EarlierEvidence(self.identity, sources, report, failures)
        self.overlaps = Overlaps(job, self.identity, report, own=self.resume.open)
        self.search = Repair()
        self.sealing = SealGate(
            job,
            sources,
            report,
            identity=self.identity,
            plan=self.plan,
            pieces=self.pieces,
            containers=self.containers,
            overlaps=self.overlaps,
            resume=self.resume,
        )
        self.exclusion = Exclusion(
            job,
            sources,
            report,
            out,
            failures=failures,
            identity=self.identity,
            plan=self.plan,
            pieces=self.pieces,
            search=self.search,
            gate=self.sealing,
        )
        self._standpoint = Standpoint(named_rank=self._named_rank, rate_bytes_s=self._rate)
        self._outsiders: set[int] = set()  # sources of a file of another size, which the job began with
        self._broken: dict[int, frozenset[int]] = {}  # boundary -> the contributors whose bytes do not fit there
        self._answered_by_s: dict[int, float] = {}
        self._claimed_s = float("-inf")
        self._main: int | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether two sources gave other bytes for one chunk, and nothing has decided yet who is right."""
        return bool(self.identity.disputes or self.plan.differences)

    def opened(self, found: VerifiedChunks, tracker: ChunkTracker) -> None:
        """Take what the part file holds, and what its records say of the sources."""
        self.resume.opened(self._report.owned(), complete=tracker.complete)
        self.earlier.opened(found)
        self.pieces.compare()

    # -- checks that need a request of their own

    def next_check(self, source: Source, tracker: ChunkTracker, *, urgent: bool, now_s: float) -> Check | None:
        """What this source is to check now. `urgent`: before it rides on."""
        if tracker.total == UNBOUNDED or self._job.spec.mode == "race":
            return None
        if urgent:
            if source.doubted and (check := self.resume.check(source, self._report.owned())) is not None:
                return check
            calm = not (self.in_doubt or self.plan.suspects)
            if calm and source.stands and source.position in tracker.free:
                return None  # its body goes on there, and shows by itself where it meets another's
            tied = not (source.leases == 0 and source.odd) and (source.leases == 0 or self._tied_to_main(source))
            first, early = source.id in self.overlaps.first, not self.sealing.proven
            return self.plan.urgent(source, tracker, tied=tied, first=first, early=early, now_s=now_s)
        if self.resume.open and (check := self.resume.check(source, self._report.owned())) is not None:
            return check
        if self.search.active:
            # A user is not asked for a further stretch while it may be wanted for an answer.
            waits = self.identity.disputes and source.traits.abort_is_costly
            return None if waits else self._repair_check(source)
        if self._job.spec.checksum or not self.sealing.last.may_ask(source, now_s):
            return None
        waits = self.sealing.last.waits_for_overlaps(now_s)
        without = (lambda chunk: self.overlaps.is_read(chunk, tracker)) if waits else None
        return self.plan.optional(source, tracker.total, last=self.sealing.last.begun, without=without)

    def may_ask(self, tracker: ChunkTracker, *, now_s: float) -> bool:
        """Whether any source may be asked to check something of the complete file: a look at all of them costs."""
        if self.in_doubt or self.plan.suspects or self.resume.open or self.search.active:
            return True
        if self.containers.digest_open:
            return True
        if tracker.total == UNBOUNDED:
            return False
        if self.plan.late_ties(now_s).any_open():  # a race too goes on from what an earlier attempt stored
            return True
        return self._job.spec.mode != "race" and self.plan.any_optional(tracker.total)

    def granted(self, check: Check, lease: Lease, *, urgent: bool) -> None:
        """This check became a lease."""
        owner = self._report.owner_of(check.chunk)
        self.plan.checking[lease.id] = check
        self.sealing.last.granted(check)
        if self.search.active and not urgent:
            costly = self._sources[check.source].traits.abort_is_costly
            self.search.granted(check, lease.id, owner, costly=costly)
            return
        self.resume.granted(check, owner)
        self.plan.given(check, owner)

    def invited(self, check: Check) -> None:
        """The source of this check was asked for a place in its queue."""
        if (dispute := self.identity.disputes.get(check.chunk)) is not None:
            dispute.invited.add(check.source)

    def lease_over(self, lease_id: int, *, read: bool, now_s: float) -> None:
        """The worker is done with a check; what the Assembler says of what it `read` is still on its way."""
        if lease_id in self.plan.checking and read:
            self._answered_by_s[lease_id] = now_s + ANSWER_S_MAX
        else:
            self.check_lost(lease_id)

    def stored(self, ranges: Iterable[ChunkRange]) -> None:
        """Chunks are there, perhaps for the second time."""
        if self.exclusion.dropped:
            for first, stop in ranges:
                self.exclusion.dropped.discard(first, stop)

    # -- evidence

    def repeated(self, message: ChunksRepeated, tracker: ChunkTracker) -> list[Source]:
        """Chunks came once more with the digests that are stored. Returns the sources that lose their place."""
        first, stop = message.first, message.first + message.count
        self._compared(message.lease, first, stop)
        lost = self._answered_differently(message, tracker)
        for chunk in [each for each in self.identity.disputes if first <= each < stop]:
            self.identity.repeat(message.source, self._report.owner_of(chunk), None, chunk)
        for begin, end, owner in self._report.owned_within(first, stop):
            if self.resume.answered(message.source, owner) and self.resume.settled(self._sources[owner]):
                self._out.post(ASSEMBLER, validator_seen(self._job, self._sources[owner], agreed=True))
            for chunk in range(begin, min(end, begin + CHUNKS_NOTED_MAX)):
                self.identity.agree(message.source, owner, chunk)
        return lost

    def _answered_differently(self, message: ChunksRepeated, tracker: ChunkTracker) -> list[Source]:
        """Take the place of a source of which a span differed, and that now sends the whole chunk as it is stored."""
        lost: list[Source] = []
        for chunk in range(message.first, message.first + message.count):
            found = self.plan.differences.get(chunk)
            if found is None or found.source != message.source:
                continue
            del self.plan.differences[chunk]
            if found.owner == self._report.owner_of(chunk):
                why = "answered differently when asked again"
                self.identity.checks_disagreed += 1
                odd = frozenset((found.source,))
                lost += self.exclusion.apply(Resolution(chunk, odd, frozenset((found.owner,)) - odd, why), tracker)
        return lost

    def compared(self, message: SpanCompared, *, now_s: float) -> None:
        """Take the answer about a span of a chunk: evidence, or a difference that the whole chunk is to show."""
        chunk, source, owner = message.chunk, message.source, self._report.owner_of(message.chunk)
        self._compared(message.lease, chunk, chunk + 1)
        if not message.stored or owner in (MISSING, source) or {source, owner} & self.identity.excluded.keys():
            return
        if message.agrees:
            self.identity.agree(source, owner, chunk, whole=False)
        else:
            self.plan.differences.setdefault(chunk, Difference(source, owner, now_s))

    def disputed(self, message: ChunkDisputed, leases_tracker: ChunkTracker, *, now_s: float) -> bool:
        """Take a chunk that came with another digest than the stored one.

        Returns whether it was kept out for nothing: the contributor of the stored one is excluded, so it is missing.
        """
        self._compared(message.lease, message.chunk, message.chunk + 1)
        owner = self._report.owner_of(message.chunk)
        found = self.plan.differences.get(message.chunk)
        if found is not None and found.source == message.source:
            del self.plan.differences[message.chunk]
        if owner in self.identity.excluded or message.chunk not in leases_tracker.stored:
            chunk = RangeSet([(message.chunk, message.chunk + 1)])
            self.exclusion.drop(chunk, leases_tracker, sent_by=message.other_source_hash)
            return True
        if self.resume.answered(message.source, owner):
            self._has_other_file(self._sources[owner], leases_tracker)
            return True
        if message.source not in self.identity.excluded:
            self.identity.dispute(
                owner, message.stored_digest, message.source, message.digest, message.chunk, now_s=now_s
            )
        return False

    def _has_other_file(self, source: Source, tracker: ChunkTracker) -> None:
        """Drop what a source sent that contradicts itself."""
        self.exclusion.changed(source, tracker, f"{source.name} has another file now")

    def described(self, message: SourceDescribed, tracker: ChunkTracker | None) -> list[Source]:
        """Take the digests that a source names. Returns the sources that lose their place: they name other ones."""
        found = self.named.settle(message, self._sources, self.identity, self._job.spec.checksum, self._named_rank)
        first_named = message.source == 0 < self._job.source_count and message.source not in self.identity.excluded
        if message.document or first_named:  # of the others only the digest of the whole counts, as one voice
            self.pieces.adopt(message.pieces, opened=tracker is not None)
        return self.exclusion.apply(found, tracker) if found is not None else []

    def to_compare(self) -> str:
        """Return the digest, named by sources, that the finished file is compared with; empty: the user's or none."""
        if not self._job.spec.checksum:
            self.named.compare({owner for _, _, owner in self._report.owned()})
        return self.named.compared

    # -- what the store finds in the bytes themselves

    def boundary_proven(self, chunk: int, *, kind: str = "frames") -> None:
        """The container's own checks close where chunks `chunk` - 1 and `chunk` of two contributors meet."""
        one, other = self._report.owner_of(chunk - 1), self._report.owner_of(chunk)
        if MISSING not in (one, other):
            self.identity.agree(one, other, chunk, kind=kind)

    def boundary_broken(self, chunk: int) -> None:
        """The container's checks fail there: both chunks are read again from others before anything is sealed."""
        one, other = self._report.owner_of(chunk - 1), self._report.owner_of(chunk)
        if MISSING in (one, other) or one == other:
            return
        self.identity.checks_disagreed += 1
        self._broken[chunk] = frozenset((one, other))
        self.plan.suspects |= {chunk - 1: None, chunk: None}

    def piece_bad(self, first: int, stop: int, tracker: ChunkTracker) -> list[Source]:
        """The piece that chunks ``[first, stop)`` touch has another hash. Returns the sources that lose their place."""
        bad = self.pieces.found_bad(first, stop)
        if bad is None:
            return []
        if bad.repeats:
            replaced, lost = self.exclusion.reject({bad.owner}, bad.words, tracker, first)
            if replaced:
                return lost
        if self.pieces.refetch(first):
            self.exclusion.drop(RangeSet([(first, stop)]), tracker)
            sender = self._report.name_of(bad.owner, self._sources)
            self._out.extend(self._report.noted(f"{bad.words}: fetched again, {sender} sent them"))
        return []

    def damaged(self, message: ContainerBroken, tracker: ChunkTracker) -> list[Source]:
        """The container's own checks found a damage in these chunks. Returns the sources that lose their place.

        The source that sent them is looked for. What one source alone sent is as it has it. Where the searches are
        used up, the file is sealed, and the damage said, only if no source ever differed.
        """
        lost: list[Source] = []
        note = "it is what its source has"
        owners = {owner for _, _, owner in self._report.owned()}
        if len(owners) == 1 and self.identity.excluded and self.identity.anchor not in owners:
            replaced, lost = self.exclusion.reject(owners, message.detail, tracker)
            note = "trying what another source has" if replaced else "so is that of the other sources"
        elif len(owners) > 1:
            again, lost = self.repair(message.detail, tracker, (message.first, message.stop))
            note = "looking for the source that sent it" if again else "the search for its sender is given up"
            if not again and self.identity.excluded:
                self.sealing.unsettled = (
                    f"the file is damaged: {message.detail}; its sources differ, and no mix of them is right"
                )
        self._out.extend(self._report.noted(f"the file is damaged: {message.detail}; {note}"))
        return lost

    def _damage_accepted(self) -> bool:
        """Whether a damage that the container shows is the file's own: those that were asked have it too."""
        search = self.search
        if not self.containers.damage or not self.repair_over():
            return False
        if search.unread and (self.identity.excluded or search.spent < search.budget):
            return False
        search.active = False
        self._out.extend(self._report.noted("the sources agree: the file itself is damaged"))
        return True

    def is_excluded(self, source: int) -> bool:
        return source in self.identity.excluded or source in self._outsiders

    def start_over(self, size_bytes: int | None, tracker: ChunkTracker) -> None:
        """The job begins from the start: nothing that is stored, or comes from sources of this size, is of its file."""
        self.exclusion.drop(RangeSet(tracker.stored), tracker)
        self._outsiders |= {each.id for each in self._sources.values() if each.size_bytes == size_bytes}
        self.identity.disputes.clear()
        self.plan.differences.clear()
        for source in self._sources:
            self.identity.forget(source)
            self.named.forget(source)
        self.plan.restart()
        self.plan.checking.clear()
        self._answered_by_s.clear()
        self._main = None
        self.search.forget()
        self.containers.forget_requests()
        self.sealing.incomplete()

    def resolve(self, tracker: ChunkTracker, *, now_s: float) -> list[Source]:
        """Decide every dispute that can be decided. Returns the sources that lost their place just now."""
        out: list[Source] = []
        self.plan.settle_differences(now_s=now_s)
        for dispute in list(self.identity.disputes.values()):
            able = self.plan.may_answer(dispute.chunk) or self.plan.may_repeat(dispute.chunk)
            searching = self.search.rounds > 0
            resolution = self.identity.resolve(
                dispute, self._standpoint, may_answer=able, now_s=now_s, searching=searching
            )
            if resolution is not None:
                out += self.exclusion.apply(resolution, tracker)
        return out

    # -- sealing

    def gate(self, tracker: ChunkTracker, *, now_s: float) -> Gate:
        """Whether this complete file may be sealed, is still checked, or lacks evidence that no source can give."""
        self.sealing.last.begin(now_s)
        for lease_id in [each for each, until_s in self._answered_by_s.items() if until_s <= now_s]:
            self._answered(lease_id)
        if self._answered_by_s:  # read already, and compared in a moment
            return Gate.CHECKING
        if (other := self.resume.contradicted(self.plan, self._sources)) is not None:
            self._has_other_file(other, tracker)
            return Gate.CHECKING
        if self.in_doubt or (self.search.active and not self._damage_accepted()):
            return Gate.CHECKING
        return self.sealing.decide(tracker, now_s=now_s)

    def lacking(self, tracker: ChunkTracker, *, now_s: float) -> tuple[str, list[Source]]:
        """Fetch again what some contributors sent and nothing can tie to the rest, or what no source could confirm.

        Returns why the job must end, empty where it goes on, and the sources that lost their place.
        """
        if self.sealing.unsettled:
            return self.sealing.unsettled, []
        suspects = self.plan.open_suspects()
        if not suspects and self.pieces.bad and self.pieces.adopted.algorithm:
            if not self.pieces.question():
                self.pieces.give_up()
                text = "the sources agree with each other and not with the document: its piece hashes are not used"
                self._out.extend(self._report.noted(text))
            return "", []
        if not suspects and self.pieces.bad:
            return self.exclusion.agree_on_bad_piece(tracker)
        short = self.sealing.shortfall()
        if short and not suspects and (self.sealing.proven or not self.plan.ties.missing()):
            return short, []
        if not suspects:
            reason = self.exclusion.free_untied(tracker)
            return (reason if all(source.is_out(now_s) for source in self._sources.values()) else ""), []
        lost: list[Source] = []
        for chunk, pair in self._broken.items():
            one, other = pair
            loser = self.identity.lighter(one, other, self._standpoint)
            if {chunk - 1, chunk} & set(suspects) and loser not in self.identity.excluded:
                resolution = Resolution(chunk, frozenset((loser,)), pair - {loser}, "frames do not meet")
                lost += self.exclusion.apply(resolution, tracker)
        self._broken.clear()
        self.plan.suspects.clear()
        return "", lost

    def report_claim(self, *, now_s: float) -> None:
        """Report the claim where it has changed; call it now and then."""
        if now_s - self._claimed_s >= CLAIM_S:
            self._claimed_s = now_s
            self._out.extend(self._report.claimed(self.sealing.claim()))

    # -- a digest of the whole file that did not come out

    def repair(self, detail: str, tracker: ChunkTracker, within: ChunkRange | None = None) -> tuple[bool, list[Source]]:
        """Look for the contributor that spoiled the whole, or these chunks of it.

        Returns whether there is anything to try, and the sources that lost their place by it.
        """
        owners = {owner for _, _, owner in self._report.owned()}
        if tracker.total == UNBOUNDED:
            return False, []
        if not self.search.begin(tracker.total, self._report.chunk_size):
            return False, []
        if within is not None:
            self.search.search_within(within)
        if len(owners) == 1:
            return self.exclusion.reject(owners, detail, tracker)
        self.plan.restart()
        return True, []

    def repair_over(self) -> bool:
        """Whether everything that could be read again was, and agreed."""
        if not self.search.active or self.plan.checking or self.in_doubt:
            return False
        return all(self._repair_check(source) is None for source in self._sources.values())

    def search_over(self, differs: str, tracker: ChunkTracker) -> tuple[str, list[Source]]:
        """End a search in which everything that was read again agreed: sources of other content come in.

        `differs`: what the digest of the whole was. Returns why the job must end, empty where it goes on, and the
        sources that lost their place.
        """
        if not self.repair_over():
            return "", []
        agree = f"{differs or self.containers.detail}; the sources agree with each other and not with the digest"
        owners = {owner for _, _, owner in self._report.owned()}
        agreed = owners | {each for each in self._sources if any(self.identity.tied(each, owner) for owner in owners)}
        # A source without offsets could be asked for none of the chunks that others sent: its rest may differ.
        unread = {each.id for each in self._sources.values() if differs and not each.traits.offset_ok} & agreed
        if len(unread) > 1 and unread == agreed:
            unread.remove(max(unread, key=lambda each: self._report.chunks_of({each}).count))
        others, lost = self.exclusion.reject(agreed - unread or agreed, agree, tracker)
        return ("" if others else agree), lost

    # -- small things

    def check_lost(self, lease_id: int) -> None:
        """Its worker is gone: no answer is to be expected."""
        self._answered(lease_id)

    def _answered(self, lease_id: int) -> None:
        self.plan.over(lease_id)
        self._answered_by_s.pop(lease_id, None)
        self.search.over(lease_id)

    def _compared(self, lease_id: int, first: int, stop: int) -> None:
        """Chunks of this lease were compared with what is stored; a check ends with the last of them."""
        self.overlaps.answered(lease_id, first, stop)
        self.search.answered(lease_id, first, stop)
        if (check := self.plan.checking.get(lease_id)) is not None and stop >= check.chunk + check.count:
            self._answered(lease_id)

    def _repair_check(self, source: Source) -> Check | None:
        rows = self._report.owned()
        if source.traits.abort_is_costly and any(
            not each.traits.abort_is_costly and self.search.check(each, rows) for each in self._sources.values()
        ):
            return None
        return self.search.check(source, rows)

    def _tied_to_main(self, source: Source) -> bool:
        if self._main is None or self._main in self.identity.excluded:
            self._main = self.plan.ties.main()
        return self._main is None or self.identity.tied(source.id, self._main)

    def _named_rank(self, member: int) -> int:
        if member in self._sources and self._sources[member].preferred:
            return PREFERRED_RANK
        return member if 0 <= member < self._job.source_count else UNNAMED_RANK

    def _rate(self, member: int) -> float:
        source = self._sources.get(member)
        return source.rate_bytes_s if source is not None and source.usable else 0.0
