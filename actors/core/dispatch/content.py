"""Content checks of a job: overlap checks, exclusion of sources with other content, the gate before sealing, repair.

Couples the evidence (`identity`) and the planned checks (`checks`) with leases and stored chunks. Every stored chunk
has a contributor; only chunks of one group are sealed together. A contributor that is excluded loses its place in the
job, its chunks count as missing and are fetched from others. Owned by one `DispatchState`.
"""

from collections.abc import Collection, Iterable
from typing import Final, cast

from actors.core.dispatch.checks import (
    ANSWER_S_MAX,
    Check,
    CheckPlan,
    Gate,
    LastChecks,
    Overlaps,
    ResumeChecks,
)
from actors.core.dispatch.chunk_tracker import MISSING, UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.container_requests import ContainerRequests
from actors.core.dispatch.identity import Dispute, Identity, Resolution, Standpoint, claim_of, shortfall
from actors.core.dispatch.pieces import PieceChecks
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.repair import ROUNDS_MAX, NamedDigests, Repair
from actors.core.dispatch.sources import FailurePolicy, Source, validator_seen
from actors.core.outbox import Outbox
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ContainerBroken,
    DropChunks,
    SourceDescribed,
    StartJob,
)
from protocol.messages.addresses import ASSEMBLER
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.faults import FaultKind
from protocol.model.identity import Claim

CHUNKS_NOTED_MAX: Final = 4
"""Chunks of one repeated range that count as separate checks; in a race a source repeats the whole file."""
LACKING_S: Final = 1.0
TIES_S_MAX: Final = 30.0
"""A source that could give a missing tie is waited for no longer, unless it has us in its queue."""
RANGES_PER_MESSAGE: Final = 2000
PREFERRED_RANK: Final = -1
UNNAMED_RANK: Final = 1 << 30
CLAIM_S: Final = 1.0
"""Between two reports of the claim, which takes a look at all contributors."""


class ContentChecks:
    """`identity` is the evidence; `claim` says in numbers what it proves. `sources` is shared with the owner."""

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
        self._failures = failures
        self.identity = Identity(anchor=0 if job.spec.user else None)
        self._broken: dict[int, frozenset[int]] = {}  # boundary -> the contributors whose bytes do not fit there
        self.named = NamedDigests()
        self._outsiders: set[int] = set()  # sources of a file of another size, which the job began with
        self.containers = ContainerRequests(job, self.identity, report, out)
        self.plan = CheckPlan(self.identity, sources, report, chunk_size=job.spec.chunk_size)
        self.pieces = PieceChecks(self.identity, self.plan, report, awaited=bool(job.spec.pieces.algorithm))
        self.resume = ResumeChecks()
        self.overlaps = Overlaps(job, self.identity, report, own=self.resume.open)
        self._standpoint = Standpoint(named_rank=self._named_rank, rate_bytes_s=self._rate)
        self._answered_by_s: dict[int, float] = {}
        self.dropped = RangeSet()
        self.freed = RangeSet()
        self._claimed_s = float("-inf")
        self._last = LastChecks(sources, report, chunk_size=job.spec.chunk_size)
        self._main: int | None = None
        self._claim: tuple[object, ...] = ()
        self._repair: Repair | None = None
        self._rejected: set[int] = set()
        self._unsettled = ""  # why the complete file is not to be sealed, whatever comes

    # -- checks that need a request of their own

    def next_check(self, source: Source, tracker: ChunkTracker, *, urgent: bool, now_s: float) -> Check | None:
        """What this source is to check now. `urgent`: before it rides on."""
        if tracker.total == UNBOUNDED or self._job.spec.mode == "race":
            return None
        if urgent:
            calm = not self.identity.disputes and not self.plan.suspects
            if calm and source.stands and source.position in tracker.free:
                return None  # its body goes on there, and shows by itself where it meets another's
            tied = not (source.leases == 0 and source.odd) and (source.leases == 0 or self._tied_to_main(source))
            first, early = source.id in self.overlaps.first, not self._proven
            return self.plan.urgent(source, tracker, tied=tied, first=first, early=early, now_s=now_s)
        if self.resume.open and (check := self.resume.check(source, self._report.owned())) is not None:
            return check
        if self._repairing:
            return self._repair_check(source)
        if self._job.spec.checksum or not self._last.may_ask(source, now_s):
            return None
        without = self.overlaps.under_way(tracker) if self._last.waits_for_overlaps(now_s) else ()
        return self.plan.optional(source, tracker.total, last=self._last.begun, without=without)

    def may_ask(self, tracker: ChunkTracker) -> bool:
        """Whether any source may be asked to check something of the complete file: a look at all of them costs."""
        if self.identity.disputes or self.plan.suspects or self.resume.open or self._repairing:
            return True
        if tracker.total == UNBOUNDED:
            return False
        if self.plan.ties.any_open():  # a race too goes on from what an earlier attempt stored
            return True
        return self._job.spec.mode != "race" and self.plan.any_optional(tracker.total)

    def granted(self, check: Check, lease: Lease, *, urgent: bool) -> None:
        """This check became a lease."""
        owner = self._report.owner_of(check.chunk)
        self.plan.checking[lease.id] = check
        self._last.granted(check)
        if self._repair is not None and self._repair.active and not urgent:
            costly = self._sources[check.source].traits.abort_is_costly
            self._repair.granted(check, lease.id, owner, costly=costly)
            return
        self.resume.granted(check, owner)
        self.plan.given(check, owner)

    def invited(self, check: Check) -> None:
        """The source of this check was asked for a place in its queue."""
        if (dispute := self.identity.disputes.get(check.chunk)) is not None:
            dispute.invited.add(check.source)

    def lease_over(self, lease_id: int, *, now_s: float) -> None:
        """The worker is done with a check; what the Assembler says of it may still be on its way."""
        if lease_id in self.plan.checking:
            self._answered_by_s[lease_id] = now_s + ANSWER_S_MAX

    def stored(self, ranges: Iterable[ChunkRange]) -> None:
        """Chunks are there, perhaps for the second time."""
        if self.dropped:
            for first, stop in ranges:
                self.dropped.discard(first, stop)

    def still_stored(self, first: int, stop: int) -> list[ChunkRange]:
        """Those of ``[first, stop)`` that were not dropped since they were compared."""
        return list(self.dropped.gaps(first, stop))

    # -- evidence

    def repeated(self, message: ChunksRepeated) -> None:
        """Chunks came once more with the digests that are stored."""
        first, stop = message.first, message.first + message.count
        self._compared(message.lease, first, stop)
        for chunk in [each for each in self.identity.disputes if first <= each < stop]:
            self.identity.repeat(message.source, self._report.owner_of(chunk), None, chunk)
        for begin, end, owner in self._report.owned_within(first, stop):
            if self.resume.answered(message.source, owner) and self.resume.settled(self._sources[owner]):
                self._out.post(ASSEMBLER, validator_seen(self._job, self._sources[owner], agreed=True))
            for chunk in range(begin, min(end, begin + CHUNKS_NOTED_MAX)):
                self.identity.agree(message.source, owner, chunk)

    def disputed(self, message: ChunkDisputed, leases_tracker: ChunkTracker, *, now_s: float) -> bool:
        """Take a chunk that came with another digest than the stored one.

        Returns whether it was kept out for nothing: the contributor of the stored one is excluded, so it is missing.
        """
        self._compared(message.lease, message.chunk, message.chunk + 1)
        owner = self._report.owner_of(message.chunk)
        if owner in self.identity.excluded or message.chunk not in leases_tracker.stored:
            chunk = RangeSet([(message.chunk, message.chunk + 1)])
            self._drop(chunk, leases_tracker, sent_by=message.other_source_hash)
            return True
        if self.resume.answered(message.source, owner):
            self.changed(self._sources[owner], leases_tracker, f"{self._sources[owner].name} has another file now")
            return True
        if message.source not in self.identity.excluded:
            self.identity.dispute(
                owner, message.stored_digest, message.source, message.digest, message.chunk, now_s=now_s
            )
        return False

    def described(self, message: SourceDescribed, tracker: ChunkTracker | None) -> list[Source]:
        """Take the digests that a source names. Returns the sources that lose their place: they name other ones."""
        found = self.named.settle(message, self._sources, self.identity, self._job.spec.checksum, self._named_rank)
        return self._apply(found, tracker) if found is not None else []

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
            replaced, lost = self._reject({bad.owner}, bad.words, tracker, first)
            if replaced:
                return lost
        if self.pieces.refetch(first):
            self._drop(RangeSet([(first, stop)]), tracker)
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
        if self._report.contributor_count > 1:
            again, lost = self.repair(message.detail, tracker, (message.first, message.stop))
            note = "looking for the source that sent it" if again else "the search for its sender is given up"
            if not again and self.identity.excluded:
                self._unsettled = (
                    f"the file is damaged: {message.detail}; its sources differ, and no mix of them is right"
                )
        self._out.extend(self._report.noted(f"the file is damaged: {message.detail}; {note}"))
        return lost

    def _damage_accepted(self) -> bool:
        """Whether a damage that the container shows is the file's own: those that were asked have it too."""
        repair = self._repair
        if repair is None or not self.containers.damage or not self.repair_over():
            return False
        if repair.unread and (self.identity.excluded or repair.spent < repair.budget):
            return False
        repair.active = False
        self._out.extend(self._report.noted("the sources agree: the file itself is damaged"))
        return True

    def is_excluded(self, source: int) -> bool:
        return source in self.identity.excluded or source in self._outsiders

    def start_over(self, size_bytes: int | None, tracker: ChunkTracker) -> None:
        """The job begins from the start: nothing that is stored, or comes from sources of this size, is of its file."""
        self._drop(RangeSet(tracker.stored), tracker)
        self._outsiders |= {each.id for each in self._sources.values() if each.size_bytes == size_bytes}
        self.identity.disputes.clear()
        for source in self._sources:
            self.identity.forget(source)
            self.named.forget(source)
        self.plan.restart()
        self.plan.checking.clear()
        self._answered_by_s.clear()
        self._main = None
        self.containers.forget_requests()
        self.incomplete()

    def resolve(self, tracker: ChunkTracker, *, now_s: float) -> list[Source]:
        """Decide every dispute that can be decided. Returns the sources that lost their place just now."""
        out: list[Source] = []
        for dispute in list(self.identity.disputes.values()):
            able = self._may_answer(dispute)
            resolution = self.identity.resolve(dispute, self._standpoint, may_answer=able, now_s=now_s)
            if resolution is not None:
                out += self._apply(resolution, tracker)
        return out

    def late(self, source: int, ranges: RangeSet, tracker: ChunkTracker) -> None:
        """Chunks of an excluded source were stored after it was excluded."""
        self._drop(ranges, tracker, sent_by=self._report.hash_of(source))

    def changed(self, source: Source, tracker: ChunkTracker | None, detail: str) -> None:
        """Its file is another one than when this download began: what it sent before is not of this file."""
        if tracker is None:
            return
        chunks = self._report.chunks_of({source.id})
        self._drop(chunks, tracker)
        self.identity.forget(source.id)
        self.plan.restart()
        text = f"{detail}: {chunks.count} chunks that it had sent are fetched again" if chunks.count else detail
        self._out.extend(self._report.noted(text))

    # -- sealing

    def gate(self, tracker: ChunkTracker, *, now_s: float) -> Gate:
        """Whether this complete file may be sealed, is still checked, or lacks evidence that no source can give."""
        self._last.begin(now_s)
        waited_s = self._last.waited_s(now_s)
        for lease_id in [each for each, until_s in self._answered_by_s.items() if until_s <= now_s]:
            self._answered(lease_id)
        if self.identity.disputes or (self._repairing and not self._damage_accepted()):
            return Gate.CHECKING
        if self._unsettled:
            return Gate.LACKING
        if waited_s < TIES_S_MAX and self.resume.is_awaited(self._sources, self.plan):
            return Gate.CHECKING
        settled = not (self.pieces.bad or self.plan.open_suspects())
        if settled and self.pieces.awaited and not self.pieces.all_proven(tracker.total):
            return Gate.CHECKING
        if settled and self._proven and not self.shortfall():
            return Gate.OPEN
        rows = self._report.owned()
        if self.containers.complete(rows, tracker, now_s=now_s) or self.overlaps.awaited(now_s=now_s):
            return Gate.CHECKING
        untied = not self._proven and self.plan.ties.missing()
        if settled and not untied and self.containers.whole(rows, self._report.elapsed_s(now_s), now_s=now_s):
            return Gate.CHECKING
        if settled and not untied and self.containers.required and self.shortfall():
            return Gate.LACKING  # no source can help
        if not settled or untied or self.shortfall():
            return Gate.CHECKING if self._may_settle(waited_s, now_s=now_s) else Gate.LACKING
        if self._last.waits_for_overlaps(now_s) and self.overlaps.under_way(tracker):
            return Gate.CHECKING
        left = self._last.awaited(self.plan.checking.values(), lambda: self._optional_left(tracker, now_s), now_s)
        return Gate.CHECKING if left else Gate.OPEN

    def _may_settle(self, waited_s: float, *, now_s: float) -> bool:
        """Whether evidence that is lacking is on its way, or there is a source that could give it in time."""
        if waited_s < LACKING_S or self.plan.checking or any(each.busy is not None for each in self._sources.values()):
            return True
        able = next((each for each in self._sources.values() if self.plan.forced(each, now_s=now_s) is not None), None)
        return able is not None and (able.enqueued or waited_s < TIES_S_MAX)

    def forced_check(self, source: Source, tracker: ChunkTracker, *, now_s: float) -> Check | None:
        """A tie that the complete file waits for."""
        if not tracker.complete or tracker.total == UNBOUNDED or self.containers.awaited:
            return None
        lacking = self.plan.open_suspects() or (not self._proven and self.plan.ties.missing()) or self.shortfall()
        return self.plan.forced(source, now_s=now_s) if lacking else None

    def shortfall(self) -> str:
        """Return what the complete file lacks of the evidence that the user requires; a checksum is compared later."""
        if self.containers.required:
            return self.containers.shortfall()
        required = self._job.spec.require or self._job.spec.policy.required
        return shortfall(required, self.claim()) if required and not self._job.spec.checksum else ""

    def incomplete(self) -> None:
        """Chunks are missing again."""
        self._last.restart()
        self._unsettled = ""
        self.containers.incomplete()

    def lacking(self, tracker: ChunkTracker, *, now_s: float) -> tuple[str, list[Source]]:
        """Fetch again what some contributors sent and nothing can tie to the rest, or what no source could confirm.

        Returns why the job must end, empty where it goes on, and the sources that lost their place.
        """
        if self._unsettled:
            return self._unsettled, []
        suspects = self.plan.open_suspects()
        if not suspects and self.pieces.bad:
            return self._agree_on_bad_piece(tracker)
        short = self.shortfall()
        if short and not suspects and (self._proven or not self.plan.ties.missing()):
            return short, []
        if not suspects:
            reason = self._free_untied(tracker)
            return (reason if all(source.is_out(now_s) for source in self._sources.values()) else ""), []
        lost: list[Source] = []
        for chunk, pair in self._broken.items():
            one, other = pair
            loser = self.identity.lighter(one, other, self._standpoint)
            if {chunk - 1, chunk} & set(suspects) and loser not in self.identity.excluded:
                resolution = Resolution(chunk, frozenset((loser,)), pair - {loser}, "frames do not meet")
                lost += self._apply(resolution, tracker)
        self._broken.clear()
        self.plan.suspects.clear()
        return "", lost

    def _agree_on_bad_piece(self, tracker: ChunkTracker) -> tuple[str, list[Source]]:
        """Every chunk of a bad piece was confirmed, or none can be asked: who sent it has other content."""
        (first, stop), owners = self.pieces.agreed_on()
        others = [each for each in self._replacements(owners) if each.id not in self.identity.excluded]
        if not others:
            return "the sources agree with each other and not with the piece hashes", []
        words = f"chunks {first} to {stop - 1} have another piece hash"
        return "", self._apply(Resolution(first, owners, frozenset(each.id for each in others), words), tracker)

    def _free_untied(self, tracker: ChunkTracker) -> str:
        main = self.plan.ties.main()
        owners = {owner for _, _, owner in self.plan.ties.longest}
        untied = {owner for owner in owners if main is None or not self.identity.tied(owner, main)}
        names = " and ".join(sorted({self._report.name_of(owner, self._sources) for owner in untied}))
        able = [each for each in self._sources.values() if each.usable and each.probed and self._may_finish(each, main)]
        if not able:
            return f"nothing shows that {names} has the same file as the others: equal size is not enough"
        chunks = self._report.chunks_of(untied)
        self._drop(chunks, tracker)
        for owner in untied:
            self.identity.forget(owner)
        self.plan.restart()
        self._out.extend(
            self._report.noted(f"nothing shows that {names} has the same file: {chunks.count} chunks are fetched again")
        )
        return ""

    def claim(self, *, compared: bool = False) -> Claim:
        """Return what is known of the content, in numbers. `compared`: its digest is the one that was wanted."""
        rows, identity = self._report.owned(), self.identity
        whole = ("digest" if compared else self.containers.kind), self.containers.detail
        state = (identity.revision, identity.checks_disagreed, identity.proven_chunks.count, self.freed.count, whole)
        if not self._claim or self._claim[0] is not rows or self._claim[1] != state:
            names = {owner: self._report.name_of(owner, self._sources) for owner in identity.excluded}
            self._claim = rows, state, claim_of(identity, rows, names, self.freed, whole)
        return cast(Claim, self._claim[2])

    def report_claim(self, *, now_s: float) -> None:
        """Report the claim where it has changed; call it now and then."""
        if now_s - self._claimed_s >= CLAIM_S:
            self._claimed_s = now_s
            self._out.extend(self._report.claimed(self.claim()))

    # -- a digest of the whole file that did not come out

    def repair(self, detail: str, tracker: ChunkTracker, within: ChunkRange | None = None) -> tuple[bool, list[Source]]:
        """Look for the contributor that spoiled the whole, or these chunks of it.

        Returns whether there is anything to try, and the sources that lost their place by it.
        """
        owners = {owner for _, _, owner in self._report.owned()}
        if tracker.total == UNBOUNDED:
            return False, []
        if self._repair is None:
            self._repair = Repair.of(tracker.total, self._job.spec.chunk_size)
        else:
            self._repair.rounds, self._repair.active = self._repair.rounds + 1, True
        if self._repair.rounds > ROUNDS_MAX:
            self._repair.active = False
            return False, []
        if within is not None:
            self._repair.search_within(within)
        if len(owners) == 1:
            return self._reject(owners, detail, tracker)
        self.plan.restart()
        return True, []

    def repair_over(self) -> bool:
        """Whether everything that could be read again was, and agreed."""
        if self._repair is None or not self._repair.active or self.plan.checking or self.identity.disputes:
            return False
        return all(self._repair_check(source) is None for source in self._sources.values())

    def other_group(self, tracker: ChunkTracker) -> list[Source]:
        """The group that went on has no source left: one that was left out for other content takes its place.

        Never where the order names the source. Returns the sources that lose their place; empty: there is none.
        """
        owners = {owner for _, _, owner in self._report.owned()} - self.identity.excluded.keys()
        others = frozenset(each.id for each in self._replacements(owners) if each.id in self.identity.excluded)
        if self.identity.anchor is not None or not others:
            return []
        gone = owners.union(*(self.identity.excluded[each] for each in others)) - others
        self._rejected |= gone
        return self._apply(Resolution(-1, frozenset(gone), others, "no source of its file is left"), tracker)

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
        others, lost = self._reject(agreed - unread or agreed, agree, tracker)
        return ("" if others else agree), lost

    # -- small things

    def check_lost(self, lease_id: int) -> None:
        """Its worker is gone: no answer is to be expected."""
        self._answered(lease_id)

    def _answered(self, lease_id: int) -> None:
        self.plan.over(lease_id)
        self._answered_by_s.pop(lease_id, None)
        if self._repair is not None:
            self._repair.over(lease_id)

    def _compared(self, lease_id: int, first: int, stop: int) -> None:
        """Chunks of this lease were compared with what is stored; a check ends with the last of them."""
        self.overlaps.answered(lease_id, first, stop)
        if self._repair is not None:
            self._repair.answered(lease_id, first, stop)
        if (check := self.plan.checking.get(lease_id)) is not None and stop >= check.chunk + check.count:
            self._answered(lease_id)

    @property
    def _proven(self) -> bool:  # ties are not needed then
        return bool(self._job.spec.checksum) or self.pieces.awaited

    @property
    def _repairing(self) -> bool:
        return self._repair is not None and self._repair.active

    def _repair_check(self, source: Source) -> Check | None:
        assert self._repair is not None
        rows = self._report.owned()
        if source.traits.abort_is_costly and any(
            not each.traits.abort_is_costly and self._repair.check(each, rows) for each in self._sources.values()
        ):
            return None
        return self._repair.check(source, rows)

    def _reject(
        self, owners: Collection[int], detail: str, tracker: ChunkTracker, chunk: int = -1
    ) -> tuple[bool, list[Source]]:
        """What these contributors agree in has another digest: their content is not what is wanted."""
        others = self._replacements(owners)
        if not others:
            return False, []
        self._rejected |= set(owners)
        resolution = Resolution(chunk, frozenset(owners), frozenset(each.id for each in others), detail)
        lost = self._apply(resolution, tracker)
        return True, lost

    def _replacements(self, owners: Collection[int]) -> list[Source]:
        """Sources that could send what these contributors sent."""
        return [
            each
            for each in self._sources.values()
            if each.id not in owners
            and each.id not in self._rejected
            and each.lost_s is None
            and (each.usable or each.id in self.identity.excluded)
        ]

    def _may_answer(self, dispute: Dispute) -> list[int]:
        if outsiders := self.plan.may_answer(dispute.chunk):
            return outsiders
        return [
            member
            for member in dispute.answers
            if member in self._sources
            and member not in dispute.asked
            and self._sources[member].usable
            and not self._sources[member].traits.abort_is_costly
        ]

    def _apply(self, resolution: Resolution, tracker: ChunkTracker | None) -> list[Source]:
        out: list[Source] = []
        names = " and ".join(sorted(self._report.name_of(each, self._sources) for each in resolution.losers))
        chunks = self._report.chunks_of(set(resolution.losers))
        for first, stop in self.identity.proven_chunks:
            chunks.discard(first, stop)
        sent, why = self._report.chunks_of, resolution.why
        back = self.identity.exclude(resolution.losers, resolution.winners, sent=sent, why=why)
        for loser in sorted(resolution.losers):
            source = self._sources.get(loser)
            if source is not None:
                where = f" at chunk {resolution.chunk}" if resolution.chunk >= 0 else ""
                text = f"other content than {self._names_of(resolution.winners)}{where}"
                self._failures.ban(source, FaultKind.DISPUTED, f"{text} ({resolution.votes})")
                out.append(source)
        if tracker is not None:
            self._drop(chunks, tracker)
        if self._repair is not None:  # what came instead decides whether the search goes on
            self._repair.active = False
            for first, stop in chunks:
                self._repair.unread_again(first, stop)
        for member in back:
            source = self._sources.get(member)
            if source is not None and member not in self._rejected:
                self._failures.reinstate(source)
        self.plan.restart()
        if chunks.count:
            self._out.extend(self._report.noted(f"{chunks.count} chunks from {names} are fetched again"))
        return out

    def _drop(self, chunks: RangeSet, tracker: ChunkTracker, *, sent_by: int | None = None) -> None:
        """Count chunks as missing. `sent_by`: hash of the sender's name, where the chunk is no contributor's here."""
        owners = [
            (begin, end, self._report.hash_of(owner) if sent_by is None else sent_by)
            for first, stop in chunks
            for begin, end, owner in (self._report.owned_within(first, stop) if sent_by is None else [(first, stop, 0)])
        ]
        gone = RangeSet([each for first, stop in chunks for each in tracker.stored.overlap(first, stop)])
        for first, stop in gone:
            tracker.lose(first, stop)
            self.identity.proven_chunks.discard(first, stop)
            self.pieces.bad.discard(first, stop)
        for first, stop in chunks:
            self.dropped.add(first, stop)
            self.freed.add(first, stop)
        self._report.lost(gone, self._report.size_bytes, self._sources)
        self.incomplete()
        for at in range(0, len(owners), RANGES_PER_MESSAGE):
            part = owners[at : at + RANGES_PER_MESSAGE]
            self._out.post(
                ASSEMBLER,
                DropChunks(
                    job=self._job.job,
                    firsts=tuple(row[0] for row in part),
                    stops=tuple(row[1] for row in part),
                    source_hashes=tuple(row[2] for row in part),
                ),
            )

    def _optional_left(self, tracker: ChunkTracker, now_s: float) -> bool:
        return any(
            source.usable
            and self._last.may_ask(source, now_s)
            and self.plan.optional(source, tracker.total, last=True, spots_max=1) is not None
            for source in self._sources.values()
        )

    def _may_finish(self, source: Source, main: int | None) -> bool:
        return main is None or source.id == main or self.identity.tied(source.id, main) or source.leases == 0

    def _tied_to_main(self, source: Source) -> bool:
        if self._main is None or self._main in self.identity.excluded:
            self._main = self.plan.ties.main()
        return self._main is None or self.identity.tied(source.id, self._main)

    def _names_of(self, members: frozenset[int]) -> str:
        return " and ".join(sorted(self._report.name_of(each, self._sources) for each in members))

    def _named_rank(self, member: int) -> int:
        if member in self._sources and self._sources[member].preferred:
            return PREFERRED_RANK
        return member if 0 <= member < self._job.source_count else UNNAMED_RANK

    def _rate(self, member: int) -> float:
        source = self._sources.get(member)
        return source.rate_bytes_s if source is not None and source.usable else 0.0
