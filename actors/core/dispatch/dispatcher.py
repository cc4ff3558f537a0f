"""Decides who fetches which chunks of one job. The one mutating entrance is `DispatchState.handle`.

The phases of a job are in `phase`, riding itself is in `leases`, what a failing disk means is in `disk_pause`.

The clock is passed in; nothing here reads, writes, sleeps or draws lots.
"""

from typing import Final, assert_never

from actors.core.dispatch import admission
from actors.core.dispatch.admission import Admission, learn_size
from actors.core.dispatch.chunk_tracker import UNBOUNDED
from actors.core.dispatch.leases import SESSION_PROCESS, Leases, TransferReport, handle_peer_event, session_restarted
from actors.core.dispatch.outcome import outcome_of
from actors.core.dispatch.phase import Phase
from actors.core.dispatch.progress import Reporter, VerifiedChunks
from actors.core.dispatch.recovery import STORE_PROCESS, DiskPause, SourceWait, StoreRecovery, may_pass, tracker_for
from actors.core.dispatch.remote_queue import RemoteQueue
from actors.core.dispatch.sources import FailurePolicy, RetryRounds, Source
from actors.core.dispatch.watcher import ReportSchedule, WatcherRequests
from actors.core.outbox import Outbox
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    DiskFailed,
    EnqueueRefused,
    FileSealed,
    JobClosed,
    LeaseFinished,
    LeaseReleased,
    LimitJob,
    ListContributors,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    ProcessReady,
    QueuePlaceChanged,
    ResendState,
    SealFile,
    SealRefused,
    SessionChanged,
    SlotSpoiled,
    SourceChanged,
    SourceDisabled,
    SourceFailed,
    SourceJoined,
    SourceLost,
    SourceMeasured,
    SourceNamed,
    SourceProbed,
    SourcesExpected,
    SourceSlowed,
    SourceStalled,
    StartDispatcher,
    StopJob,
    Ticked,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import ASSEMBLER, POOL, WATCHDOG, Post
from protocol.model.chunk_ranges import RangeSet

DispatcherInbox = (
    SourceJoined
    | SourceLost
    | StopJob
    | SourceProbed
    | SourceFailed
    | LeaseFinished
    | LeaseReleased
    | SourceMeasured
    | SourceSlowed
    | SourceStalled
    | ChunksVerified
    | SourceChanged
    | PartFileReady
    | PartFileRehashed
    | PartFileRefused
    | ChunksStored
    | ChunksRepeated
    | ChunkDisputed
    | SlotSpoiled
    | DiskFailed
    | FileSealed
    | SealRefused
    | PartFileClosed
    | UploadOffered
    | QueuePlaceChanged
    | EnqueueRefused
    | UploadFailed
    | SessionChanged
    | ProcessReady
    | ResendState
    | SourceNamed
    | SourcesExpected
    | SourceDisabled
    | LimitJob
    | ListContributors
    | Ticked
)

__all__ = ["CLOSING_S_MAX", "DispatchState", "Phase"]

CLOSING_S_MAX: Final = 3.0
TICK_S_MIN: Final = 0.05


class DispatchState:
    """All that is decided about one job. Owned by its ChunkDispatcher."""

    def __init__(self, wanted: StartDispatcher, *, now_s: float) -> None:
        self.job = wanted
        self.phase = Phase.OPENING
        self.sources: dict[int, Source] = {}
        self.leases: Leases | None = None
        self.size_bytes = -1
        self.report = Reporter(wanted, now_s=now_s)
        self.rounds = RetryRounds()
        self.disk_pause = DiskPause(wanted, self.report)
        self.source_wait = SourceWait(self.report)
        self._verified = VerifiedChunks()
        self._closing_since_s = 0.0
        self._ticked_s = now_s - TICK_S_MIN
        self._sealing = False
        self._ending = ("failed", "")
        self._out = Outbox()
        self._store_recovery = StoreRecovery(self._out)
        self._failures = FailurePolicy(wanted, self._out)
        self.remote_queue = RemoteQueue(wanted, self.sources, self._failures, self.report, self._out)
        self.admission = Admission(
            wanted, self.sources, self.report, self._out, failures=self._failures, remote_queue=self.remote_queue
        )
        self._reports = ReportSchedule(
            self.report, self.sources, self._out, disk_pause=self.disk_pause, waiting=self.source_wait
        )
        self._requests = WatcherRequests(wanted, self.report, self._out, self.admission)

    def handle(self, message: DispatcherInbox, *, now_s: float) -> list[Post]:
        """Take one message, return what is to be posted. A word about something long over changes nothing."""
        if self.phase is not Phase.ENDED or isinstance(message, ListContributors):
            self._route(message, now_s)
        return self._out.take()

    def start(self) -> list[Post]:
        return [Post(to=WATCHDOG, message=admission.monitor_request(self.job, self.job.limit_bytes_s))]

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
                self.admission.failed(message, now_s=now_s)
                self._reconsider(now_s)
            case SourceLost():
                self._on_lost(message, now_s)
            case ChunksStored() | ChunksRepeated() | SourceMeasured() | SourceSlowed() | SourceStalled():
                self._on_transfer(message, now_s)
            case ChunksVerified():
                if self.phase is not Phase.OPENING:
                    self._verified.hear(message)
            case PartFileRehashed():
                if self.phase in (Phase.TARGET, Phase.PAUSED):
                    self._out.extend(self.report.verifying(message, self.size_bytes, now_s=now_s))
            case PartFileReady():
                self._on_target(message, now_s)
            case DiskFailed() | PartFileRefused():
                self._on_disk(message, now_s)
            case FileSealed():
                if self._sealing or self.phase is Phase.CLOSING:  # it was stopped meanwhile, but the file stands
                    self.remote_queue.finished(message.path)
                    self._end("sealed", "", message.path, message.digest_hex, now_s - message.digest_s)
            case SourceChanged() | ChunkDisputed() | SlotSpoiled() | SealRefused() | StopJob():
                self._close(*outcome_of(message, self.sources, self.report), now_s)
            case PartFileClosed():
                if self.phase is Phase.CLOSING:
                    self._end(*self._ending, self.report.part_path, "", now_s)
            case UploadOffered():
                self._on_known(self.remote_queue.offered(message, size_bytes=self.size_bytes, now_s=now_s), now_s)
            case QueuePlaceChanged():
                self.remote_queue.place_changed(message)
            case ProcessReady(process=process):
                self._on_process(process, now_s)
            case EnqueueRefused() | UploadFailed() | SessionChanged():
                handle_peer_event(message, self.remote_queue, self.leases, now_s=now_s)
                self._reconsider(now_s)
            case ResendState() | SourceNamed() | SourceDisabled() | LimitJob() | ListContributors() | SourcesExpected():
                self._requests.take(message, self.leases)
                self._reconsider(now_s)
            case _:
                assert_never(message)

    def _on_known(self, source: Source | None, now_s: float) -> None:
        """What a source holds is known now: it was probed, a search had told it, or its turn came."""
        self._wake(now_s)
        if source is None or not source.probed:
            pass
        elif self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        elif self.phase in (Phase.TARGET, Phase.RIDING, Phase.PAUSED):
            self._admit_late(source, now_s)
        else:
            self.remote_queue.dequeue(source)

    def _admit_late(self, source: Source, now_s: float) -> None:
        """A source of which this is known only after the file was opened."""
        clash = admission.size_clash(self.sources)
        if clash:
            self._close("disagreed", clash, now_s)
        elif self.admission.admit(source, self.size_bytes) and self.leases is not None:
            self.leases.joined(source)
            if self.phase is Phase.RIDING:
                self.leases.serve(now_s)
            else:
                self.remote_queue.dequeue(source)

    def _consider_opening(self, now_s: float) -> None:
        match self.admission.consider_opening(now_s=now_s):
            case admission.Disagree(reason):
                self._close("disagreed", reason, now_s)
            case admission.Open(size_bytes, name):
                self._want_target(size_bytes, name)
            case admission.Wait():
                pass

    def _want_target(self, size_bytes: int, name: str) -> None:
        self.phase, self.size_bytes = Phase.TARGET, size_bytes
        self.report.part_path = "?"
        self.disk_pause.name = name
        self._store_recovery.ask(admission.open_request(self.job, size_bytes, name))

    def _on_process(self, process: str, now_s: float) -> None:
        """A process was started anew; whatever its predecessor knew of this job is gone."""
        if process == SESSION_PROCESS:
            session_restarted(self.remote_queue, self.leases, self.sources, now_s=now_s)
            self._go_on(now_s)
        elif process == STORE_PROCESS:
            self._verified = VerifiedChunks()
            if self.phase is Phase.PAUSED:
                self.disk_pause.ask_now(now_s)
            else:
                self._store_recovery.begin(self.size_bytes, closing=self.phase is Phase.CLOSING)

    def _on_target(self, message: PartFileReady, now_s: float) -> None:
        leases = self.leases
        if self.phase is Phase.PAUSED:
            self._on_mended(message, now_s)
        elif self.phase is Phase.TARGET:
            self._begin_leases(message, now_s)
        elif leases is not None and self._store_recovery.awaits(self.phase, leases, message.store):
            self._sealing, self.phase = False, Phase.RIDING
            self._store_recovery.opened(leases, message.store, self._verified.runs, now_s=now_s)
            self._admit_all(now_s)
        self._verified = VerifiedChunks()

    def _begin_leases(self, message: PartFileReady, now_s: float) -> None:
        self.phase, self._store_recovery.under_way = Phase.RIDING, False
        size, tracker = self.size_bytes, tracker_for(self.job, self.size_bytes, self._verified.runs)
        self.leases = Leases(
            self.job,
            tracker,
            self.sources,
            self.report,
            self._out,
            failures=self._failures,
            remote_queue=self.remote_queue,
        )
        self.leases.size_bytes, self.leases.store = size, message.store
        self._out.extend(self.report.opened(message, size, self._verified))
        self._admit_all(now_s)

    def _admit_all(self, now_s: float) -> None:
        for source in self.sources.values():
            if source.probed:
                self.admission.admit(source, self.size_bytes)
        self._go_on(now_s)

    def _on_disk(self, message: DiskFailed | PartFileRefused, now_s: float) -> None:
        """Once the job rides, a fault that may pass by itself pauses it; anything else ends it."""
        may_pause = self.phase in (Phase.RIDING, Phase.WAITING, Phase.SEALING, Phase.PAUSED) and may_pass(message)
        if self.leases is None or not may_pause:
            self._close(*outcome_of(message, self.sources, self.report), now_s)
            return
        if self.phase is not Phase.PAUSED:
            self.phase, self._sealing, self._store_recovery.under_way = Phase.PAUSED, False, False
            self.remote_queue.dequeue_all()
            self.leases.pause(now_s)
        self._verified = VerifiedChunks()
        self._out.extend(self.disk_pause.failed(message.detail, self.leases.tracker.stored.count, now_s=now_s))

    def _on_mended(self, message: PartFileReady, now_s: float) -> None:
        """The disk works again. Stored is what was found in the part file just now, nothing else."""
        assert self.leases is not None, "paused before it rode"
        self.phase, self.leases.store = Phase.RIDING, message.store
        self.report.lost(self.leases.restore(RangeSet(self._verified.runs)), self.size_bytes, self.sources)
        self._out.extend(self.disk_pause.over(message.message))
        self._go_on(now_s)

    def _on_transfer(self, message: TransferReport, now_s: float) -> None:
        leases = self.leases
        if leases is None or (self.phase is not Phase.RIDING and not isinstance(message, ChunksStored)):
            return
        if not self._store_recovery.under_way or not isinstance(message, SourceSlowed | SourceStalled):
            leases.hear(message, now_s=now_s)  # while nobody stores, it is no wonder that a ride is slow
        if isinstance(message, ChunksStored):
            self._seal_if_complete(now_s)
            if not self._reports.defer(now_s):
                self._reports.report_if_due(self.phase, self.leases, now_s)
        elif isinstance(message, SourceSlowed | SourceStalled):
            self._go_on(now_s)

    def _on_lease_over(self, message: LeaseFinished | LeaseReleased, now_s: float) -> None:
        leases, source = self.leases, self.sources.get(message.source)
        if leases is None or source is None or not leases.lease_over(message, now_s=now_s):
            return
        if isinstance(message, LeaseReleased):
            self.admission.bind_host(source, message.retry_after_s, now_s=now_s)
        if isinstance(message, LeaseFinished):
            self._learn_size(message.size_bytes, now_s)
        self._go_on(now_s)

    def _learn_size(self, size_bytes: int, now_s: float) -> None:
        """A body of unknown length ended: now the size is known, unless more is stored already."""
        leases = self.leases
        if leases is None or size_bytes < 0 or self.phase is not Phase.RIDING or leases.tracker.total != UNBOUNDED:
            return
        clash = learn_size(leases, size_bytes, self._out)
        if clash:
            self._close("disagreed", clash, now_s)
        else:
            self.size_bytes = size_bytes

    def _on_lost(self, message: SourceLost, now_s: float) -> None:
        source = self.admission.lost(message, now_s=now_s)
        if source is not None and self.leases is not None:
            self.leases.drop(source)
        self._go_on(now_s)

    def _reconsider(self, now_s: float) -> None:
        """After anything that may have changed who can be hoped for."""
        self._wake(now_s)
        if self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        """After anything that may have freed a source or a chunk: seal, grant or end."""
        self._seal_if_complete(now_s)
        if self.phase is Phase.RIDING and self.leases is not None:
            self.leases.serve(now_s)
        self._end_if_starved(now_s)

    def _on_tick(self, now_s: float) -> None:
        if now_s - self._ticked_s < TICK_S_MIN:  # our own word: what was too much for one step
            self._reports.report_if_due(self.phase, self.leases, now_s) if self._reports.is_large(
                now_s
            ) else self._go_on(now_s)
            return
        self._ticked_s = now_s
        if self.phase is Phase.CLOSING and now_s - self._closing_since_s > CLOSING_S_MAX:
            self._end(*self._ending, self.report.part_path, "", now_s)
            return
        if self.leases is not None and not self._store_recovery.under_way:
            self.leases.expire(now_s)
        if self.phase is Phase.PAUSED:
            self._out.extend(self.disk_pause.tick(self.size_bytes, now_s=now_s))
        self.remote_queue.expire(now_s)
        self.admission.revisit(now_s=now_s)
        self._reconsider(now_s)
        if not self._reports.defer(now_s):
            self._reports.report_if_due(self.phase, self.leases, now_s)

    @property
    def tick_s(self) -> float:
        return self._reports.tick_s(self.phase, self.leases)

    def _end_if_starved(self, now_s: float) -> None:
        """Nobody rides, waits or may try again: up to three rounds with proven sources, then a reasoned end."""
        if self.phase not in (Phase.OPENING, Phase.RIDING) or self.admission.awaited > 0:
            return
        if not admission.all_out(self.sources, now_s=now_s) or (self.leases is not None and self.leases.draining()):
            return
        stored = self.leases.tracker.stored.count if self.leases is not None else 0
        count = self.rounds.begin(self.sources, stored, now_s=now_s)
        if count:
            self._out.extend(self.report.noted(f"round {self.rounds.count} with {count} proven sources"))
        elif self.job.waits:
            self.phase, self.rounds = Phase.WAITING, RetryRounds()
            self._out.extend(self.source_wait.begin(self.sources, stored, now_s=now_s))
        else:
            self._close("starved", admission.why_no_source(self.sources), now_s)

    def _wake(self, now_s: float) -> None:
        """A job that waits does so no longer than it must."""
        tracker = None if self.leases is None else self.leases.tracker
        if self.phase is Phase.WAITING and self.source_wait.over(self.sources, tracker, now_s=now_s):
            self.phase = Phase.OPENING if tracker is None else Phase.RIDING

    def _seal_if_complete(self, now_s: float) -> None:
        """A small file may be there before every source was heard: sizes that differ should still be news."""
        if self.leases is None or not self._store_recovery.may_seal(self.leases) or self.phase is not Phase.RIDING:
            return
        if self.admission.awaits_sizes(now_s=now_s):
            return
        self.phase, self._sealing = Phase.SEALING, True
        self.leases.revoke_all(now_s)
        self.remote_queue.dequeue_all()
        self._out.post(ASSEMBLER, SealFile(job=self.job.job))

    def _close(self, state: str, reason: str, now_s: float) -> None:
        """Stop everything, keep what is safe, then end with this state. The first reason stays."""
        if self.phase in (Phase.CLOSING, Phase.ENDED):
            return
        self.remote_queue.dequeue_all()
        if self.phase is Phase.PAUSED and state == "interrupted":
            reason = f"paused, {self.disk_pause.reason}"
        opened = self.phase is Phase.TARGET or self.leases is not None
        self._ending = (state, reason)
        if self.leases is not None:
            self.leases.revoke_all(now_s)
        self.phase, self._closing_since_s = Phase.CLOSING, now_s
        if opened:
            self._out.post(ASSEMBLER, ClosePartFile(job=self.job.job))
        else:
            self._end(state, reason, "", "", now_s)

    def _end(self, state: str, reason: str, path: str, digest_hex: str, now_s: float) -> None:
        self.phase = Phase.ENDED
        path = "" if path == "?" else path
        tracker = self.leases.tracker if self.leases is not None else None
        self._out.extend(self.report.ended(state, reason, path, digest_hex, self.sources, tracker, now_s=now_s))
        for to in (ASSEMBLER, WATCHDOG, POOL):  # the pool has this actor stopped: it may say nothing after that
            self._out.post(to, JobClosed(job=self.job.job))
