"""Chunk dispatcher of one job, decisions only: which source fetches which chunks, and when the job ends.

The one mutating entrance is `DispatchState.handle`. Leases are managed in `leases`, a failing disk and a store that
died in `recovery`, what the watcher is sent in `progress`. The clock is passed in.
"""

from typing import Final, assert_never

from actors.core.dispatch import admission, recovery, stop_cost
from actors.core.dispatch.admission import Admission
from actors.core.dispatch.chunk_tracker import UNBOUNDED
from actors.core.dispatch.identity.content import ContentChecks
from actors.core.dispatch.leases import ContainerReport, Dispute, Leases, TransferReport
from actors.core.dispatch.progress import Ending, FatalNews, Phase, Reporter, VerifiedChunks, outcome_of
from actors.core.dispatch.remote_queue import RemoteQueue
from actors.core.dispatch.sealing import SealAnswer, Sealing
from actors.core.dispatch.sources import FEW, FailurePolicy, RetryRounds, Source
from actors.core.dispatch.watcher import ReportSchedule, WatcherRequest, WatcherRequests
from actors.core.outbox import Outbox
from protocol.messages import (
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    ContainerFound,
    DiskFailed,
    EnqueueRefused,
    FileSealed,
    JobClosed,
    LeaseFinished,
    LeaseReleased,
    ListContributors,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    PieceChecked,
    PiecesUnusable,
    ProcessReady,
    QueuePlaceChanged,
    SealRefused,
    SessionChanged,
    SlotSpoiled,
    SourceChanged,
    SourceDescribed,
    SourceFailed,
    SourceJoined,
    SourceLost,
    SourceProbed,
    SourceSlowed,
    SourceStalled,
    StartJob,
    StopJob,
    Ticked,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import ASSEMBLER, POOL, SESSION, WATCHDOG, Post, dispatcher_address, split_address
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import FaultKind
from protocol.model.value import replace

DispatcherInbox = (
    TransferReport
    | WatcherRequest
    | FatalNews
    | SourceJoined
    | SourceLost
    | SourceProbed
    | SourceDescribed
    | SourceFailed
    | SourceChanged
    | SealRefused
    | LeaseFinished
    | LeaseReleased
    | ChunksVerified
    | PartFileReady
    | PartFileRehashed
    | ContainerFound
    | FileSealed
    | PartFileClosed
    | UploadOffered
    | QueuePlaceChanged
    | EnqueueRefused
    | UploadFailed
    | SessionChanged
    | ProcessReady
    | PieceChecked
    | PiecesUnusable
    | Ticked
)

__all__ = ["CLOSING_S_MAX", "DispatchState", "Phase"]

CLOSING_S_MAX: Final = 3.0
"""A job that closes waits this long for the Assembler's answer, then it ends without one."""
TICK_S_MIN: Final = 0.05
"""A tick sooner than this after the last one is our own: the rest of a step that would have been too long."""
SESSION_PROCESS: Final = split_address(SESSION)[0]


class DispatchState:
    """State and decisions of one job. Owned by its ChunkDispatcher."""

    def __init__(self, wanted: StartJob, *, now_s: float) -> None:
        self.job = wanted
        self.phase = Phase.OPENING
        self.sources: dict[int, Source] = {}
        self.leases: Leases | None = None
        self.size_bytes = -1
        self.report = Reporter(wanted, now_s=now_s)
        self.rounds = RetryRounds()
        self.disk_pause = recovery.DiskPause(wanted, self.report)
        self.source_wait = recovery.SourceWait(self.report)
        self.renewals = recovery.Renewals()
        self._verified = VerifiedChunks()
        self._ticked_s = now_s - TICK_S_MIN
        self._first_lease = recovery.first_lease(wanted.attempt)
        self._ending = Ending("failed")
        self._out = Outbox()
        self._store_recovery = recovery.StoreRecovery(self._out)
        self._failures = FailurePolicy(wanted, self._out)
        self.content = ContentChecks(wanted, self.sources, self.report, self._out, failures=self._failures)
        self._sealing = Sealing(wanted, self.sources, self.report, self._out, self.content)
        self.remote_queue = RemoteQueue(wanted, self.sources, self._failures, self.report, self._out)
        self.admission = Admission(
            wanted, self.sources, self.report, self._out, failures=self._failures, remote_queue=self.remote_queue
        )
        self._reports = ReportSchedule(
            self.report, self.sources, self._out, disk_pause=self.disk_pause, waiting=self.source_wait
        )
        self._requests = WatcherRequests(wanted, self.report, self._out, self.admission, self.content.earlier)

    def handle(self, message: DispatcherInbox, *, now_s: float) -> list[Post]:
        """Take one message and return what is to be posted. One about something long over changes nothing."""
        if self.phase not in (Phase.ENDING, Phase.ENDED) or isinstance(message, ListContributors):
            self._route(message, now_s)
        elif self.phase is Phase.ENDING:
            self._on_last(message, now_s)
        return self._out.take()

    def start(self) -> list[Post]:
        return [Post(to=WATCHDOG, message=admission.monitor_request(self.job, self.job.spec.limit_bytes_s))]

    def _route(self, message: DispatcherInbox, now_s: float) -> None:
        if isinstance(message, TransferReport):
            self._on_transfer(message, now_s)
            return
        if isinstance(message, WatcherRequest):
            self._requests.handle(message, self.leases, now_s=now_s)
            self._reconsider(now_s)
            return
        match message:
            case Ticked():
                self._on_tick(now_s)
            case LeaseFinished() | LeaseReleased():
                self._on_lease_over(message, now_s)
            case SourceJoined():
                self._on_known(self.admission.joined(message, now_s=now_s), now_s)
            case SourceProbed():
                self._on_known(self.admission.probed(message, now_s=now_s), now_s)
            case SourceDescribed():
                self._on_described(message, now_s)
            case SourceFailed():
                self.admission.failed(message, now_s=now_s)
                self._reconsider(now_s)
            case SourceLost():
                self._on_lost(message, now_s)
            case ChunksVerified():
                if self.phase is not Phase.OPENING:
                    self._verified.add(message)
            case PartFileRehashed():
                if self.phase in (Phase.TARGET, Phase.PAUSED):
                    self._out.extend(self.report.verifying(message, self.size_bytes, now_s=now_s))
            case PartFileReady():
                self._on_part_file(message, now_s)
            case DiskFailed() | PartFileRefused():
                self._on_disk(message, now_s)
            case FileSealed():
                self._on_sealed(message, now_s)
            case SealRefused():
                self._on_seal_refused(message, now_s)
            case SourceChanged():
                self._on_source_changed(message, now_s)
            case ContainerFound(format=found):
                self.content.containers.found = found
            case PieceChecked() | PiecesUnusable():
                self._on_piece(message, now_s)
            case SlotSpoiled() | StopJob():
                self._close(*outcome_of(message), now_s)
            case PartFileClosed():
                if self.phase is Phase.CLOSING:
                    self._end(self._ending, now_s)
            case UploadOffered():
                self._on_known(self.remote_queue.offered(message, size_bytes=self.size_bytes, now_s=now_s), now_s)
            case QueuePlaceChanged():
                self.remote_queue.place_changed(message)
            case ProcessReady(process=process):
                self._on_process(process, now_s)
            case EnqueueRefused():
                self.remote_queue.enqueue_refused(message, now_s=now_s)
                self._reconsider(now_s)
            case UploadFailed():
                self._on_upload_failed(message, now_s)
            case SessionChanged():
                self.remote_queue.session_changed(message, now_s=now_s)
                self._reconsider(now_s)
            case _:
                assert_never(message)

    def _on_known(self, source: Source | None, now_s: float) -> None:
        """What a source holds is known now: it was probed, a search had it, or it offered an upload."""
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
        """Admit a source of which this is known only after the file was opened."""
        if source.size_bytes != self.size_bytes and (  # a vote for the size that stands changes nothing
            self._started_over(now_s)
            or (self.leases is None and self.admission.other_size(self.size_bytes, now_s=now_s) >= 0)
        ):
            return  # in the second case once the part file is open
        if self.admission.admit(source, self.size_bytes) and self.leases is not None:
            self.leases.joined(source)
            if self.phase is Phase.RIDING:
                self.leases.grants.serve(now_s)
            else:
                self.remote_queue.dequeue(source)

    def _consider_opening(self, now_s: float) -> None:
        decision = self.admission.consider_opening(now_s=now_s)
        if isinstance(decision, admission.Open) and (refusal := self.admission.refusal(decision.size_bytes)):
            self._close("disagreed", refusal, now_s)
        elif isinstance(decision, admission.Open):
            self._open_part_file(decision.size_bytes, decision.name)

    def _started_over(self, now_s: float, *, disagreed: bool = False) -> bool:
        """Begin from the start with another size, where most sources have that one, or this has another digest."""
        size_bytes, why = self.admission.other_file(self.size_bytes, disagreed=disagreed, now_s=now_s)
        if size_bytes < 0 or self.leases is None or self.phase is not Phase.RIDING:
            return False
        self.leases.revoke_all(now_s)
        self.remote_queue.dequeue_all()
        self._first_lease = self.leases.tracker.next_id
        self._out.extend(self.report.noted(f"{why}: starting over"))
        self.content.start_over(self.size_bytes, self.leases.tracker)
        self.leases = None
        self.admission.start_over(size_bytes)
        self._open_part_file(size_bytes, self.disk_pause.name, start_over=True)
        return True

    def _open_part_file(self, size_bytes: int, name: str, *, start_over: bool = False) -> None:
        self.phase, self.size_bytes = Phase.TARGET, size_bytes
        self.report.part_path = "?"
        self.disk_pause.name = name
        self.content.containers.name = name
        validators = tuple({source.validator for source in self.sources.values() if source.validator})
        request = admission.open_request(self.job, size_bytes, name, validators=validators, start_over=start_over)
        self._store_recovery.ask(request)

    def _on_process(self, process: str, now_s: float) -> None:
        """A process was started again; whatever the one before knew of this job is gone."""
        if process == SESSION_PROCESS:
            self._on_session_restarted(now_s)
        elif process == recovery.STORE_PROCESS:
            self._verified = VerifiedChunks()
            if self.phase is Phase.PAUSED:
                self.disk_pause.ask_now(now_s)
            else:
                self._store_recovery.begin(self.size_bytes, closing=self.phase is Phase.CLOSING)

    def _on_session_restarted(self, now_s: float) -> None:
        """Queue places and offers were the dead session's; transfers that have bytes go on without one."""
        if self.leases is not None:
            self.leases.session_lost(now_s)
        self.remote_queue.enqueue_again(now_s)
        self._go_on(now_s)

    def _on_upload_failed(self, message: UploadFailed, now_s: float) -> None:
        source = self.remote_queue.upload_failed(message, now_s=now_s)
        if source is not None and self.leases is not None:
            self.leases.grant_failed(source, FaultKind(message.fault), message.detail, now_s=now_s)
        self._reconsider(now_s)

    def _on_sealed(self, message: FileSealed, now_s: float) -> None:
        """The file is there: sealed, also when the job was stopped meanwhile, or by an earlier job."""
        if message.already and self.phase is Phase.TARGET:
            self.report.size_bytes = self.size_bytes if self.job.spec.existing != "skip" else -1
        elif self._sealing.under_way or self.phase is Phase.CLOSING:
            self.remote_queue.finished(message.path)
        else:
            return
        if message.note:
            self._out.extend(self.report.noted(message.note))
        self._end(Ending.sealed(message), now_s)

    def _on_part_file(self, message: PartFileReady, now_s: float) -> None:
        leases = self.leases
        if self.phase is Phase.PAUSED:
            self._on_disk_back(message, now_s)
        elif self.phase is Phase.TARGET:
            self._begin_leases(message, now_s)
        elif leases is not None and self._store_recovery.awaits(self.phase, leases, message.store):
            self._sealing.under_way, self.phase = False, Phase.RIDING
            self.content.pieces.again()
            self._store_recovery.opened(leases, message.store, self._verified.ranges, now_s=now_s)
            self.content.containers.forget_requests()
            self._admit_all(now_s)
        self._verified = VerifiedChunks()

    def _begin_leases(self, message: PartFileReady, now_s: float) -> None:
        self.phase, self._store_recovery.under_way = Phase.RIDING, False
        self.report.chunk_size = size = self.admission.chunk_size(message.chunk_size, self.size_bytes)
        tracker = recovery.tracker_for(self.size_bytes, size, self._verified.ranges, first_lease=self._first_lease)
        self.leases = Leases(
            self.job.but(spec=self.job.spec.but(chunk_size=size)),
            tracker,
            self.sources,
            self.report,
            self._out,
            failures=self._failures,
            remote_queue=self.remote_queue,
            content=self.content,
        )
        self.leases.grants.size_bytes, self.leases.grants.store = self.size_bytes, message.store
        self._out.extend(self.report.opened(message, self.size_bytes, self._verified))
        self.content.containers.opened(tracker, now_s=now_s)
        self.content.opened(self._verified, tracker)
        if not self._started_over(now_s):
            self._admit_all(now_s)

    def _admit_all(self, now_s: float) -> None:
        for source in self.sources.values():
            if source.probed:
                self.admission.admit(source, self.size_bytes)
        if len(self.sources) > FEW:  # that took its time: the first leases are for the next step
            self._out.post(dispatcher_address(self.job.job), Ticked())
        else:
            self._go_on(now_s)

    def _on_disk(self, message: DiskFailed | PartFileRefused, now_s: float) -> None:
        """Pause a job that has leases when the fault may pass by itself; anything else ends it."""
        begun = (Phase.RIDING, Phase.WAITING, Phase.SEALING, Phase.PAUSED)
        may_pause = self.phase in begun and recovery.may_pass(message)
        if self.leases is None or not may_pause:
            self._close(*outcome_of(message), now_s)
            return
        if self.phase is not Phase.PAUSED:
            self.phase, self._sealing.under_way, self._store_recovery.under_way = Phase.PAUSED, False, False
            self.remote_queue.dequeue_all()
            self.leases.pause(now_s)
        self._verified = VerifiedChunks()
        self._out.extend(self.disk_pause.failed(message.detail, self.leases.tracker.stored.count, now_s=now_s))

    def _on_disk_back(self, message: PartFileReady, now_s: float) -> None:
        """The disk works again. Stored is what was found in the part file just now, nothing else."""
        assert self.leases is not None, "paused before it had leases"
        self.phase, self.leases.grants.store = Phase.RIDING, message.store
        self.content.pieces.again()
        self.report.lost(self.leases.restore(RangeSet(self._verified.ranges)), self.size_bytes, self.sources)
        self._out.extend(self.disk_pause.over(message.message))
        self._go_on(now_s)

    def _on_transfer(self, message: TransferReport, now_s: float) -> None:
        leases = self.leases
        if leases is None or (self.phase is not Phase.RIDING and not isinstance(message, ChunksStored)):
            return
        if not self._store_recovery.under_way or not isinstance(message, SourceSlowed | SourceStalled):
            leases.handle(message, now_s=now_s)  # while nothing can be stored, every transfer is slow
        if isinstance(message, ChunksStored):
            self.content.containers.stored(message.first, message.first + message.count, leases.tracker, now_s=now_s)
        if isinstance(message, Dispute | ContainerReport | SourceSlowed | SourceStalled):
            self._go_on(now_s)
        elif isinstance(message, ChunksStored | ChunksRepeated):
            if leases.tracker.complete:
                self._go_on(now_s)  # seal it, or ask for the checks that are lacking
            if not self._reports.defer(now_s):
                self._reports.report_if_due(self.phase, self.leases, now_s)

    def _on_lease_over(self, message: LeaseFinished | LeaseReleased, now_s: float) -> None:
        leases, source = self.leases, self.sources.get(message.source)
        if source is not None and leases is None:
            stop_cost.count_stop(source, self.job, message)
        elif source is not None and leases is not None and leases.lease_over(message, now_s=now_s):
            if isinstance(message, LeaseReleased):
                self.admission.bind_host(source, message.retry_after_s, now_s=now_s)
            else:
                self._learn_size(message.size_bytes, now_s)
            self._go_on(now_s)

    def _learn_size(self, size_bytes: int, now_s: float) -> None:
        """Take the size from the end of a body of unknown length, unless more is stored already."""
        leases = self.leases
        if leases is None or size_bytes < 0 or self.phase is not Phase.RIDING or leases.tracker.total != UNBOUNDED:
            return
        if clash := leases.learn_size(size_bytes):
            self._close("disagreed", clash, now_s)
        else:
            self.size_bytes = size_bytes

    def _on_lost(self, message: SourceLost, now_s: float) -> None:
        source = self.admission.lost(message, now_s=now_s)
        if source is not None and self.leases is not None:
            self.leases.drop(source)
        self._go_on(now_s)

    def _reconsider(self, now_s: float) -> None:
        """Go on after anything that may have changed which sources can be used."""
        self._wake(now_s)
        if self.phase is Phase.OPENING:
            self._consider_opening(now_s)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        """Seal, grant or end, after anything that may have freed a source or a chunk."""
        if self.leases is not None and self.content.in_doubt and self.phase is Phase.RIDING:
            self.leases.settle_disputes(now_s)
        self._seal_if_complete(now_s)
        if self.phase is Phase.RIDING and self.leases is not None:
            self.leases.grants.serve(now_s)
        self._end_if_starved(now_s)

    def _on_tick(self, now_s: float) -> None:
        if now_s - self._ticked_s < TICK_S_MIN:
            if self._reports.is_large(now_s):
                self._reports.report_if_due(self.phase, self.leases, now_s)
            else:
                self._go_on(now_s)
            return
        self._ticked_s = now_s
        if self.phase is Phase.CLOSING and now_s - self._ending.decided_s > CLOSING_S_MAX:
            self._end(self._ending, now_s)
            return
        if self.leases is not None and not self._store_recovery.under_way:
            self.leases.expire(now_s)
        if self.phase is Phase.PAUSED:
            self._out.extend(self.disk_pause.tick(self.size_bytes, now_s=now_s))
        self.remote_queue.expire(now_s)
        self.admission.revisit(now_s=now_s)
        self._reconsider(now_s)
        self.content.report_claim(now_s=now_s)
        if not self._reports.defer(now_s):
            self._reports.report_if_due(self.phase, self.leases, now_s)

    def tick_s(self, now_s: float) -> float:
        return self._reports.tick_s(self.phase, self.leases, in_doubt=self.content.in_doubt, now_s=now_s)

    def _end_if_starved(self, now_s: float) -> None:
        """End, wait or begin a round of retries when no source has a lease, waits or may try again."""
        if self.phase not in (Phase.OPENING, Phase.RIDING, Phase.WAITING) or self.admission.awaited > 0:
            return
        if not admission.all_out(self.sources, now_s=now_s) or (self.leases is not None and self.leases.draining()):
            return
        if self.content.containers.awaited:
            return
        stored = self.leases.tracker.stored.count if self.leases is not None else 0
        waits = self.job.waits and not self.source_wait.in_vain(self.job, self.sources, stored)
        if self.phase is Phase.WAITING and waits:
            return
        count = self.rounds.begin(self.sources, stored, now_s=now_s) if self.phase is not Phase.WAITING else 0
        if count:
            self._out.extend(self.report.noted(f"round {self.rounds.count} with {count} proven sources"))
        elif self.leases is not None and (changed := self.renewals.due(self.sources, waits=self.job.waits)):
            self._fetch_new_version(self.leases, changed, now_s)
        elif waits:
            self.phase, self.rounds = Phase.WAITING, RetryRounds()
            self._out.extend(self.source_wait.begin(self.sources, stored, now_s=now_s))
        elif self.leases is not None and (lost := self.content.exclusion.other_group(self.leases.tracker)):
            self.leases.expelled(lost, now_s)
            self._go_on(now_s)
        else:
            self._close("starved", admission.why_no_source(self.sources), now_s)

    def _fetch_new_version(self, leases: Leases, changed: list[Source], now_s: float) -> None:
        """All sources that are left have another version of the file: fetch that one, from the start."""
        reason = admission.why_no_source(self.sources)
        self.content.start_over(None, leases.tracker)
        leases.changed()
        self._out.extend(self.report.progress(self.phase.value, self.sources, None, -1.0, now_s=now_s))
        if self.renewals.begin():
            self.phase, self.rounds = Phase.RIDING, RetryRounds()
            self._out.extend(self.report.noted(f"{reason}: starting over with that one"))
            self.admission.ask_again(changed, now_s=now_s)
        else:
            self._close("starved", f"{reason}, for the third time", now_s)

    def _wake(self, now_s: float) -> None:
        """End the wait for sources as soon as one can be used."""
        tracker = None if self.leases is None else self.leases.tracker
        if self.phase is Phase.WAITING and self.source_wait.over(self.sources, tracker, now_s=now_s):
            self.phase = Phase.OPENING if tracker is None else Phase.RIDING

    def _seal_if_complete(self, now_s: float) -> None:
        """Seal the complete file, once every source has said its size: that sizes differ should still be noticed."""
        if self.leases is None or not self._store_recovery.may_seal(self.leases) or self.phase is not Phase.RIDING:
            return
        if self.admission.awaits_sizes(now_s=now_s):
            return
        answer = self._sealing.prepare(self.leases.tracker, now_s=now_s)
        self._apply_seal_answer(answer, now_s)
        if not answer.ready or self.leases.riding_out(now_s):
            return
        self.phase = Phase.SEALING
        self.leases.revoke_all(now_s)
        self.remote_queue.dequeue_all()
        self._sealing.request()

    def _apply_seal_answer(self, answer: SealAnswer, now_s: float) -> None:
        if self.leases is not None:
            self.leases.expelled(answer.lost, now_s)
        if answer.reason and not self._started_over(now_s, disagreed=True):
            self._close("disagreed", answer.reason, now_s)

    def _on_seal_refused(self, message: SealRefused, now_s: float) -> None:
        """The digest of the whole did not come out: find the source that spoiled it, else say that all agree."""
        if self.leases is None or self.phase is not Phase.SEALING:
            self._close("disagreed", message.detail, now_s)
            return
        answer = self._sealing.refused(message.detail, self.leases.tracker)
        self.phase = Phase.RIDING
        self._apply_seal_answer(answer, now_s)
        if not answer.reason:
            self._out.extend(self.report.noted("the digest differs: looking for the source that spoiled it"))
            self._go_on(now_s)

    def _on_described(self, message: SourceDescribed, now_s: float) -> None:
        """A source names digests of the whole, or mirrors: evidence, and more sources."""
        if self.phase not in (Phase.OPENING, Phase.TARGET, Phase.RIDING) or not self.admission.described(message):
            return
        tracker = self.leases.tracker if self.leases is not None else None
        lost = self.content.described(message, tracker)
        if self.leases is not None:
            self.leases.expelled(lost, now_s)
        self._reconsider(now_s)

    def _on_piece(self, message: PieceChecked | PiecesUnusable, now_s: float) -> None:
        """A piece was compared with its hash: proof, or a sender with other content. Or none can be compared."""
        leases = self.leases
        if isinstance(message, PiecesUnusable):
            self.content.pieces.awaited = False
            self._out.extend(self.report.noted(f"{message.detail}: pieces are not compared"))
            self._go_on(now_s)
            return
        if leases is None or self.phase is not Phase.RIDING or self._store_recovery.under_way:
            return
        if message.good:
            self.content.pieces.good(message.first, message.stop)
        else:
            leases.expelled(self.content.piece_bad(message.first, message.stop, leases.tracker), now_s)
        if not message.good or leases.tracker.complete:
            self._go_on(now_s)

    def _on_source_changed(self, message: SourceChanged, now_s: float) -> None:
        if self.leases is not None:
            self.leases.source_changed(message, now_s=now_s)
        self._go_on(now_s)

    def _close(self, state: str, reason: str, now_s: float) -> None:
        """Stop everything, keep what is safe, then end with this state. The first reason stays."""
        if self.phase in (Phase.CLOSING, Phase.ENDED):
            return
        self.remote_queue.dequeue_all()
        if self.phase is Phase.PAUSED and state == "interrupted":
            reason = f"paused, {self.disk_pause.reason}"
        opened = self.phase is Phase.TARGET or self.leases is not None
        self._ending = Ending(state, reason, self.report.part_path, decided_s=now_s)
        if self.leases is not None:
            self.leases.revoke_all(now_s)
        self.phase = Phase.CLOSING
        if opened:
            self._out.post(ASSEMBLER, ClosePartFile(job=self.job.job))
        else:
            self._end(self._ending, now_s)

    def _end(self, ending: Ending, now_s: float) -> None:
        self.phase, self._ending = Phase.ENDING, replace(ending, decided_s=now_s)
        self._end_if_reported(now_s)

    def _on_last(self, message: DispatcherInbox, now_s: float) -> None:
        """Take how the last transfers ended: nothing else changes a job that is over."""
        if self.leases is not None and isinstance(message, LeaseFinished | LeaseReleased):
            self.leases.lease_over(message, now_s=now_s)
        self._end_if_reported(now_s)

    def _end_if_reported(self, now_s: float) -> None:
        if self._ending.waits(self.sources, now_s=now_s):
            return
        self.phase = Phase.ENDED
        tracker = self.leases.tracker if self.leases is not None else None
        claim = self.content.sealing.claim(compared=self._ending.compared)
        self._out.extend(self.report.ended(self._ending, self.sources, tracker, claim=claim))
        for to in (ASSEMBLER, WATCHDOG, POOL):  # the pool has this actor stopped: it may say nothing after that
            self._out.post(to, JobClosed(job=self.job.job))
