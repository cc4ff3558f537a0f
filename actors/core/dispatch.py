"""Decides who fetches which chunks of one job. The one mutating entrance is `DispatchState.handle`.

This file knows the phases of a job: *opening* (probes), *target* (the part file is being opened), *riding*, *sealing*,
*closing*, *ended*. In every phase but the last something is awaited that has a limit. Riding itself is in `riding`.

The clock is passed in; nothing here reads, writes, sleeps or draws lots.
"""

from typing import Final, assert_never

from actors.core import opening
from actors.core.admission import Admission
from actors.core.board import UNBOUNDED, Board
from actors.core.faults import Faults
from actors.core.outbox import Outbox
from actors.core.peers import SESSION_PROCESS, peer_news, session_anew
from actors.core.phase import Phase
from actors.core.reopening import STORE_PROCESS, Reopening, first_lease
from actors.core.report import Reporter
from actors.core.riding import Riding
from actors.core.rounds import Rounds
from actors.core.standing import Source
from actors.core.turns import Turns
from actors.core.verdict import verdict
from protocol.faults import FaultKind
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    DiskFailed,
    DispatcherInbox,
    DispatcherWanted,
    JobForgotten,
    JobNoted,
    JobStopAsked,
    LeaseFinished,
    LeaseReleased,
    PeerFailed,
    PlaceRefused,
    PlaceTaken,
    ProcessReady,
    SealRefused,
    SealWanted,
    SessionChanged,
    SizeLearned,
    SlotSpoiled,
    SourceChanged,
    SourceFailed,
    SourceJoined,
    SourceLost,
    SourceMeasured,
    SourceProbed,
    SourceSlowed,
    SourceStalled,
    TargetCloseAsked,
    TargetClosed,
    TargetNamed,
    TargetOpened,
    TargetRefused,
    TargetSealed,
    Ticked,
    TurnCame,
    ValidatorSeen,
)
from protocol.post import ASSEMBLER, POOL, WATCHDOG, Post, dispatcher_address
from protocol.runs import RunSet

__all__ = ["DispatchState", "Phase"]

CLOSING_S_MAX: Final = 3.0
HEARING_S: Final = 1.0
"""So long after the first request nothing is sealed while a source has not said how large the file is."""
TICK_S_MIN: Final = 0.05
REPORTED_AT_ONCE_MAX: Final = 100
"""With more sources a report is a step of its own."""


class DispatchState:
    """All that is decided about one job. Owned by its ChunkDispatcher."""

    def __init__(self, wanted: DispatcherWanted, *, now_s: float) -> None:
        self.job = wanted
        self.phase = Phase.OPENING
        self.sources: dict[int, Source] = {}
        self.riding: Riding | None = None
        self.size_bytes = -1
        self.report = Reporter(wanted, now_s=now_s)
        self.rounds = Rounds()
        self._verified = RunSet()
        self._closing_since_s = 0.0
        self._ticked_s = now_s - TICK_S_MIN
        self._sealing = False
        self._ending = ("failed", "")
        self._out = Outbox()
        self._reopening = Reopening(self._out)
        self._faults = Faults(wanted, self._out)
        self.turns = Turns(wanted, self.sources, self._faults, self.report, self._out)
        self.admission = Admission(wanted, self.sources, self.report, self._out, faults=self._faults, turns=self.turns)

    def handle(self, message: DispatcherInbox, *, now_s: float) -> list[Post]:
        """Take one message, return what is to be posted. A word about something long over changes nothing."""
        if self.phase is not Phase.ENDED:
            self._route(message, now_s)
        return self._out.take()

    def start(self) -> list[Post]:
        """The posts that begin the job."""
        return [Post(to=WATCHDOG, message=opening.watching(self.job))]

    def _route(self, message: DispatcherInbox, now_s: float) -> None:
        match message:
            case Ticked():
                self._on_tick(now_s)
            case LeaseFinished() | LeaseReleased():
                self._on_lease_over(message, now_s)
            case SourceJoined():
                self._on_known(self.admission.joined(message, now_s=now_s), now_s)
            case SourceProbed():
                self._on_known(self.admission.probed(message, now_s=now_s), now_s)
            case SourceFailed():
                self._on_probe_failed(message, now_s)
            case SourceLost():
                self._on_lost(message, now_s)
            case ChunksStored() | ChunksRepeated() | SourceMeasured() | SourceSlowed() | SourceStalled():
                self._on_ride(message, now_s)
            case ChunksVerified():
                if self.phase is not Phase.OPENING:
                    for first, stop in RunSet.from_flat(message.runs):
                        self._verified.add(first, stop)
            case TargetOpened():
                self._on_target(message, now_s)
            case TargetSealed():
                if self._sealing:  # also when it was stopped meanwhile: the file stands
                    self._end("sealed", "", message.path, message.digest_hex, now_s - message.digest_s)
            case (
                TargetRefused()
                | DiskFailed()
                | SourceChanged()
                | ChunkDisputed()
                | SlotSpoiled()
                | SealRefused()
                | JobStopAsked()
            ):
                self._close(*verdict(message, self.sources, self.report), now_s)
            case TargetClosed():
                if self.phase is Phase.CLOSING:
                    self._end(*self._ending, self.report.part_path, "", now_s)
            case TurnCame():
                self._on_known(self.turns.came(message, size_bytes=self.size_bytes, now_s=now_s), now_s)
            case PlaceTaken():
                self.turns.told(message)
            case TargetNamed(path=path):
                self._reopening.named_path = path
            case ProcessReady(process=process):
                self._on_process(process, now_s)
            case PlaceRefused() | PeerFailed() | SessionChanged():
                self._on_peer(message, now_s)
            case _:
                assert_never(message)

    # -- opening

    def _on_known(self, source: Source | None, now_s: float) -> None:
        """What a source holds is known now: it was probed, a search had told it, or its turn came."""
        if source is None or not source.probed:
            pass
        elif self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        elif self.phase in (Phase.TARGET, Phase.RIDING):
            self._admit_late(source, now_s)
        else:
            self.turns.leave(source)

    def _admit_late(self, source: Source, now_s: float) -> None:
        """A source of which this is known only after the file was opened."""
        clash = opening.size_clash(self.sources)
        if clash:
            self._close("disagreed", clash, now_s)
        elif self._fits(source) and self.riding is not None:
            self._note_validator(source)
            self.riding.joined(source)
            self.riding.serve(now_s)

    def _fits(self, source: Source) -> bool:
        """Whether what it holds can be the job's file; if not, it is out."""
        unfit = opening.unfit(source, self.size_bytes)
        if unfit:
            self.turns.leave(source)
            self._faults.ban(source, FaultKind.SIZE_DIFFERS, unfit)
        return not unfit

    def _on_probe_failed(self, message: SourceFailed, now_s: float) -> None:
        self.admission.failed(message, now_s=now_s)
        if self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        self._end_if_nobody(now_s)

    def _consider_opening(self, now_s: float) -> None:
        match self.admission.consider_opening(now_s=now_s):
            case opening.Disagree(reason):
                self._close("disagreed", reason, now_s)
            case opening.Open(size_bytes, name):
                self._want_target(size_bytes, name)
            case opening.Wait():
                pass

    def _want_target(self, size_bytes: int, name: str) -> None:
        self.phase, self.size_bytes = Phase.TARGET, size_bytes
        self.report.part_path = "?"
        self._reopening.ask(opening.target_wanted(self.job, size_bytes, name))

    def _on_process(self, process: str, now_s: float) -> None:
        """A process was started anew; whatever its predecessor knew of this job is gone."""
        if process == SESSION_PROCESS:
            session_anew(self.turns, self.riding, self.sources, now_s=now_s)
            self._go_on(now_s)
        elif process == STORE_PROCESS and self._sealing and self._reopening.named_path:
            self._end("sealed", "", self._reopening.named_path, "", now_s)
        elif process == STORE_PROCESS:
            self._verified = RunSet()
            self._reopening.begin(closing=self.phase is Phase.CLOSING)

    def _on_target(self, message: TargetOpened, now_s: float) -> None:
        riding = self.riding
        if riding is not None and self._reopening.awaits(self.phase, riding, message.store):
            self._sealing, self.phase = False, Phase.RIDING
            self._reopening.opened(riding, message.store, self._verified, now_s=now_s)
            self._verified = RunSet()
            self._admit_all(now_s)
        if self.phase is not Phase.TARGET:
            return
        self._reopening.under_way = False
        self.phase, size = Phase.RIDING, self.size_bytes
        total = UNBOUNDED if size < 0 else -(-size // self.job.chunk_size)
        board = Board(total, RunSet(self._verified), first_lease=first_lease(self.job.attempt))
        self.riding = Riding(
            self.job, board, self.sources, self.report, self._out, faults=self._faults, turns=self.turns
        )
        self.riding.size_bytes, self.riding.store = size, message.store
        resumed = self.report.bytes_of(self._verified, size)
        self._out.extend(self.report.opened(message, size, board, resumed))
        self._admit_all(now_s)

    def _admit_all(self, now_s: float) -> None:
        for source in self.sources.values():
            if source.probed and self._fits(source):
                self._note_validator(source)
        self._go_on(now_s)

    def _note_validator(self, source: Source) -> None:
        if source.validator:
            seen = ValidatorSeen(job=self.job.job, source_name=source.name, validator=source.validator)
            self._out.post(ASSEMBLER, seen)

    # -- riding

    def _on_ride(
        self,
        message: ChunksStored | ChunksRepeated | SourceMeasured | SourceSlowed | SourceStalled,
        now_s: float,
    ) -> None:
        riding = self.riding
        if riding is None or (self.phase is not Phase.RIDING and not isinstance(message, ChunksStored)):
            return
        match message:
            case ChunksStored():
                riding.stored(message, now_s=now_s)
                self._seal_if_complete(now_s)
            case SourceMeasured():
                riding.measured(message, now_s=now_s)
            case ChunksRepeated():
                riding.repeated(message, now_s=now_s)
            case SourceSlowed() | SourceStalled():
                if not self._reopening.under_way:  # nobody stores: no wonder
                    riding.slow(message, now_s=now_s)
                self._go_on(now_s)

    def _on_lease_over(self, message: LeaseFinished | LeaseReleased, now_s: float) -> None:
        riding, source = self.riding, self.sources.get(message.source)
        if riding is None or source is None or not riding.lease_over(message, now_s=now_s):
            return
        if isinstance(message, LeaseReleased):
            self.admission.bind_host(source, message.retry_after_s, now_s=now_s)
        if isinstance(message, LeaseFinished):
            self._learn_size(message.size_bytes, now_s)
        self._go_on(now_s)

    def _learn_size(self, size_bytes: int, now_s: float) -> None:
        """A body of unknown length ended: now the size is known, unless more is stored already."""
        if self.riding is None or size_bytes < 0 or self.phase is not Phase.RIDING or not self.riding.size_unknown:
            return
        last = self.riding.board.stored.last_run()
        if last is not None and last[1] > -(-size_bytes // self.job.chunk_size):
            self._close("disagreed", f"sizes differ: a body ended after {size_bytes} bytes, another went on", now_s)
            return
        self.riding.learn_size(size_bytes)
        self.size_bytes = self.report.size_bytes = size_bytes
        self._out.post(ASSEMBLER, SizeLearned(job=self.job.job, size_bytes=size_bytes))

    def _on_lost(self, message: SourceLost, now_s: float) -> None:
        source = self.sources.get(message.source)
        if source is None:
            return
        source.asked, source.lost_s = False, now_s
        if self.riding is not None:
            self.riding.lost(source, message.detail, now_s=now_s)
        else:
            self.turns.leave(source)
            self._faults.blame(source, FaultKind.LOST, message.detail, progressed=True, now_s=now_s)
        self._go_on(now_s)

    def _on_peer(self, message: PlaceRefused | PeerFailed | SessionChanged, now_s: float) -> None:
        peer_news(message, self.turns, self.riding, now_s=now_s)
        if self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        """After anything that may have freed a source or a chunk: seal, grant or end."""
        self._seal_if_complete(now_s)
        if self.phase is Phase.RIDING and self.riding is not None:
            self.riding.serve(now_s)
        self._end_if_nobody(now_s)

    # -- time

    def _on_tick(self, now_s: float) -> None:
        if now_s - self._ticked_s < TICK_S_MIN:  # our own word: what was too much for one step
            apart = len(self.sources) > REPORTED_AT_ONCE_MAX and self.report.due(now_s)
            self._report(now_s) if apart else self._go_on(now_s)
            return
        self._ticked_s = now_s
        if self.phase is Phase.OPENING and self.admission.first_probed_s:
            self._consider_opening(now_s)
        if self.phase is Phase.CLOSING and now_s - self._closing_since_s > CLOSING_S_MAX:
            self._end(*self._ending, self.report.part_path, "", now_s)
            return
        if self.riding is not None and not self._reopening.under_way:
            self.riding.expire(now_s)
        self.turns.expire(now_s)
        self.admission.revisit(now_s=now_s)
        self._go_on(now_s)
        if self.report.due(now_s) and len(self.sources) > REPORTED_AT_ONCE_MAX:
            self._out.post(dispatcher_address(self.job.job), Ticked())
        elif self.report.due(now_s):
            self._report(now_s)

    def _report(self, now_s: float) -> None:
        if self.phase is not Phase.ENDED:
            board, left_s = (None, -1.0) if self.riding is None else (self.riding.board, self.riding.left_s(now_s))
            self._out.extend(self.report.progress(self.phase.value, self.sources, board, left_s, now_s=now_s))

    def _end_if_nobody(self, now_s: float) -> None:
        """Nobody rides, waits or may try again: up to three rounds with proven sources, then a reasoned end."""
        if self.phase not in (Phase.OPENING, Phase.RIDING) or len(self.sources) < self.job.sources_expected:
            return
        if not opening.all_out(self.sources, now_s=now_s) or (self.riding is not None and self.riding.draining()):
            return
        stored = self.riding.board.stored.count if self.riding is not None else 0
        count = self.rounds.begin(self.sources, stored, now_s=now_s)
        if count == 0:
            self._close("starved", opening.why_nobody(self.sources), now_s)
        elif self.job.watcher:
            text = f"round {self.rounds.count} with {count} proven sources"
            self._out.post(self.job.watcher, JobNoted(job=self.job.job, text=text))

    def _seal_if_complete(self, now_s: float) -> None:
        """A small file may be there before every source was heard: sizes that differ should still be news."""
        if self.riding is None or not self._reopening.may_seal(self.riding) or self.phase is not Phase.RIDING:
            return
        if self.admission.unheard() and self.report.elapsed_s(now_s) < HEARING_S:
            return
        self.phase, self._sealing = Phase.SEALING, True
        self.riding.revoke_all(now_s)
        self.turns.leave_all()
        self._out.post(ASSEMBLER, SealWanted(job=self.job.job))

    def _close(self, state: str, reason: str, now_s: float) -> None:
        """Stop everything, keep what is safe, then end with this state. The first reason stays."""
        if self.phase in (Phase.CLOSING, Phase.ENDED):
            return
        self.turns.leave_all()
        opened = self.phase in (Phase.TARGET, Phase.RIDING, Phase.SEALING)
        self._ending = (state, reason)
        if self.riding is not None:
            self.riding.revoke_all(now_s)
        self.phase, self._closing_since_s = Phase.CLOSING, now_s
        if opened:
            self._out.post(ASSEMBLER, TargetCloseAsked(job=self.job.job))
        else:
            self._end(state, reason, "", "", now_s)

    def _end(self, state: str, reason: str, path: str, digest_hex: str, now_s: float) -> None:
        self.phase = Phase.ENDED
        path = "" if path == "?" else path
        board = self.riding.board if self.riding is not None else None
        self._out.extend(self.report.ended(state, reason, path, digest_hex, self.sources, board, now_s=now_s))
        for to in (POOL, WATCHDOG, ASSEMBLER):
            self._out.post(to, JobForgotten(job=self.job.job))
