"""Exclusion of contributors that have other content: their chunks count as missing and are fetched from others.

A contributor that is excluded loses its place in the job. Pure; owned by `ContentChecks`.
"""

from collections.abc import Collection
from typing import Final

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.identity.checks import CheckPlan
from actors.core.dispatch.identity.evidence import Identity, Resolution
from actors.core.dispatch.identity.pieces import PieceChecks
from actors.core.dispatch.identity.repair import Repair
from actors.core.dispatch.identity.seal_gate import SealGate
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import FailurePolicy, Source
from actors.core.outbox import Outbox
from protocol.messages import DropChunks, SourcesJudged, StartJob
from protocol.messages.addresses import ASSEMBLER
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import FaultKind

RANGES_PER_MESSAGE: Final = 2000


class Exclusion:
    """Excluded contributors of one job.

    `dropped`: chunks that are missing because of them, until they are stored again.
    """

    def __init__(
        self,
        job: StartJob,
        sources: dict[int, Source],
        report: Reporter,
        out: Outbox,
        *,
        failures: FailurePolicy,
        identity: Identity,
        plan: CheckPlan,
        pieces: PieceChecks,
        search: Repair,
        gate: SealGate,
    ) -> None:
        self._job = job
        self._sources = sources
        self._report = report
        self._out = out
        self._failures = failures
        self._identity = identity
        self._plan = plan
        self._pieces = pieces
        self._search = search
        self._gate = gate
        self._rejected: set[int] = set()
        self.dropped = RangeSet()

    def apply(self, resolution: Resolution, tracker: ChunkTracker | None) -> list[Source]:
        """Take the place of the losers. Returns those of them that are sources."""
        out: list[Source] = []
        names = " and ".join(sorted(self._report.name_of(each, self._sources) for each in resolution.losers))
        chunks = self._report.chunks_of(set(resolution.losers))
        for first, stop in self._identity.proven_chunks:
            chunks.discard(first, stop)
        sent, why = self._report.chunks_of, resolution.why
        back = self._identity.exclude(resolution.losers, resolution.winners, sent=sent, why=why)
        self._record(resolution.losers, back)
        for loser in sorted(resolution.losers):
            source = self._sources.get(loser)
            if source is not None:
                where = f" at chunk {resolution.chunk}" if resolution.chunk >= 0 else ""
                others = self._names_of(resolution.winners)
                text = f"other content than {others}{where}" if others else f"its content changed{where}"
                self._failures.ban(source, FaultKind.DISPUTED, f"{text} ({resolution.votes})")
                out.append(source)
        if tracker is not None:
            self.drop(chunks, tracker)
        self._search.active = False  # what came instead decides whether the search goes on
        for first, stop in chunks:
            self._search.unread_again(first, stop)
        for member in back:
            source = self._sources.get(member)
            if source is not None and member not in self._rejected:
                self._failures.reinstate(source)
        self._plan.restart()
        if chunks.count:
            self._out.extend(self._report.noted(f"{chunks.count} chunks from {names} are fetched again"))
        return out

    def _record(self, excluded: Collection[int], readmitted: Collection[int]) -> None:
        """Have the records keep who has another file: a later attempt begins with that."""
        odd, back = (
            tuple(sorted({self._report.hash_of(each) for each in members} - {-1, 0}))
            for members in (excluded, readmitted)
        )
        if odd or back:
            self._out.post(ASSEMBLER, SourcesJudged(job=self._job.job, excluded=odd, readmitted=back))

    def drop(self, chunks: RangeSet, tracker: ChunkTracker, *, sent_by: int | None = None) -> None:
        """Count chunks as missing. `sent_by`: hash of the sender's name, where the chunk is no contributor's here."""
        owners = [
            (begin, end, self._report.hash_of(owner) if sent_by is None else sent_by)
            for first, stop in chunks
            for begin, end, owner in (self._report.owned_within(first, stop) if sent_by is None else [(first, stop, 0)])
        ]
        gone = RangeSet([each for first, stop in chunks for each in tracker.stored.overlap(first, stop)])
        for first, stop in gone:
            tracker.lose(first, stop)
            self._identity.proven_chunks.discard(first, stop)
            self._pieces.bad.discard(first, stop)
        for first, stop in chunks:
            self.dropped.add(first, stop)
            self._gate.freed.add(first, stop)
        self._report.lost(gone, self._report.size_bytes, self._sources)
        self._gate.incomplete()
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

    def reject(
        self, owners: Collection[int], detail: str, tracker: ChunkTracker, chunk: int = -1
    ) -> tuple[bool, list[Source]]:
        """What these contributors agree in has another digest: their content is not what is wanted."""
        others = self._replacements(owners)
        if not others:
            return False, []
        self._rejected |= set(owners)
        resolution = Resolution(chunk, frozenset(owners), frozenset(each.id for each in others), detail)
        lost = self.apply(resolution, tracker)
        return True, lost

    def _replacements(self, owners: Collection[int]) -> list[Source]:
        """Sources that could send what these contributors sent."""
        return [
            each
            for each in self._sources.values()
            if each.id not in owners
            and each.id not in self._rejected
            and each.lost_s is None
            and (each.usable or each.id in self._identity.excluded)
        ]

    def other_group(self, tracker: ChunkTracker) -> list[Source]:
        """The group that went on has no source left: one that was left out for other content takes its place.

        Never where the order names the source. Returns the sources that lose their place; empty: there is none.
        """
        owners = {owner for _, _, owner in self._report.owned()} - self._identity.excluded.keys()
        others = frozenset(each.id for each in self._replacements(owners) if each.id in self._identity.excluded)
        if self._identity.anchor is not None or not others:
            return []
        gone = owners.union(*(self._identity.excluded[each] for each in others)) - others
        self._rejected |= gone
        return self.apply(Resolution(-1, frozenset(gone), others, "no source of its file is left"), tracker)

    def agree_on_bad_piece(self, tracker: ChunkTracker) -> tuple[str, list[Source]]:
        """Every chunk of a bad piece was confirmed, or none can be asked: who sent it has other content."""
        (first, stop), owners = self._pieces.agreed_on()
        others = [each for each in self._replacements(owners) if each.id not in self._identity.excluded]
        if not others:
            return "the sources agree with each other and not with the piece hashes", []
        words = f"chunks {first} to {stop - 1} have another piece hash"
        return "", self.apply(Resolution(first, owners, frozenset(each.id for each in others), words), tracker)

    def free_untied(self, tracker: ChunkTracker) -> str:
        """Drop what nothing ties to the group that goes on, if it can be fetched again. Returns why it cannot be."""
        main = self._plan.ties.main()
        owners = {owner for _, _, owner in self._plan.holdings.longest}
        untied = {owner for owner in owners if main is None or not self._identity.tied(owner, main)}
        names = " and ".join(sorted({self._report.name_of(owner, self._sources) for owner in untied}))
        able = [each for each in self._sources.values() if each.usable and each.probed and self._may_finish(each, main)]
        if not able:
            return f"nothing shows that {names} has the same file as the others: equal size is not enough"
        chunks = self._report.chunks_of(untied)
        self.drop(chunks, tracker)
        for owner in untied:
            self._identity.forget(owner)
        self._plan.restart()
        self._out.extend(
            self._report.noted(f"nothing shows that {names} has the same file: {chunks.count} chunks are fetched again")
        )
        return ""

    def _may_finish(self, source: Source, main: int | None) -> bool:
        return main is None or self._identity.tied(source.id, main) or source.leases == 0

    def _names_of(self, members: frozenset[int]) -> str:
        return " and ".join(sorted(self._report.name_of(each, self._sources) for each in members))

    def late(self, source: int, ranges: RangeSet, tracker: ChunkTracker) -> None:
        """Chunks of an excluded source were stored after it was excluded."""
        self.drop(ranges, tracker, sent_by=self._report.hash_of(source))

    def changed(self, source: Source, tracker: ChunkTracker | None, detail: str) -> None:
        """Its file is another one than when this download began: what it sent before is not of this file."""
        if tracker is None:
            return
        chunks = self._report.chunks_of({source.id})
        self.drop(chunks, tracker)
        self._identity.forget(source.id)
        self._plan.restart()
        text = f"{detail}: {chunks.count} chunks that it had sent are fetched again" if chunks.count else detail
        self._out.extend(self._report.noted(text))
