"""Worker of one source: transfers the ranges of its leases into slots and hands them over.

It never waits longer than one short read, so trimmed and revoked leases are obeyed in time: after each read it posts
itself `ContinueTransfer`. No free slot: it stops reading and TCP holds the source back.

A Soulseek source's connection comes as a message: its lease is granted when its queue turn is taken, and the transfer
waits until the session hands the connection over. It reads nothing and holds no slot meanwhile, and reports every
`HEARTBEAT_S` that it lives.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final, assert_never

from actors.core.worker.token_bucket import TokenBucket
from actors.core.worker.transfer import Handover, Transfer
from actors.document_fetch import describe
from actors.progress_reports import ProgressReports
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus, TimerHandle
from actors.slot_returns import SlotReturns
from actors.sources.reader import Reader
from actors.sources.soulseek import SlskReader
from protocol.messages import (
    ActorDied,
    CapRate,
    ConnectionClosed,
    ConnectionReady,
    ContinueTransfer,
    JobClosed,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    PeerUploadClosed,
    PeerUploadOpened,
    ProbeSource,
    SlotFilled,
    SourceDescribed,
    SourceFailed,
    SourceProbed,
    StartWorker,
    TransferEnded,
    TransferProgressed,
    WorkerReady,
)
from protocol.messages.addresses import (
    PEER_HISTORY,
    POOL,
    SESSION,
    dispatcher_address,
    split_address,
    worker_address,
)
from protocol.messages.leases import NO_LEASE
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.filenames import unhidden_name
from protocol.model.source_url import public_url
from storage.digests import digests_of, source_hash
from storage.piece_lists import drop_lists, list_of_worker
from storage.shared_memory import SLOT_BYTES, Arena

WorkerInbox = (
    ProbeSource
    | LeaseGranted
    | LeaseExtended
    | LeaseTrimmed
    | LeaseRevoked
    | CapRate
    | ContinueTransfer
    | ConnectionReady
    | JobClosed
)

_logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 0.5
UNASKED_S_MAX: Final = 2.0
"""Time that a connection without a lease is kept: the lease's own message may be a moment behind it."""
SLOT_S_MAX: Final = 0.5
"""Time that a slot is kept while others wait for one."""


class PeerWorker(Actor):
    """Actor of one source, in a fetch process. Owns the reader and at most one slot.

    A slot that was handed over is the Assembler's.
    """

    message_s_max = 180.0  # a probe may be redirected again and again, each time within its own limits

    def __init__(
        self,
        bus: MessageBus,
        request: StartWorker,
        *,
        reader: Reader,
        arena: Arena,
        slot_returns: SlotReturns,
        reports: ProgressReports,
    ) -> None:
        super().__init__(split_address(worker_address("", request.job, request.source))[1], bus)
        self._request = request
        self._dispatcher = dispatcher_address(request.job)
        self._source_hash = source_hash(public_url(request.url))
        self._reader = reader
        self._handed = reader if isinstance(reader, SlskReader) else None  # the reader, when its connections are handed
        self._ticket: int | None = None  # of the reader's connection; its end is reported to the session
        self._revoked = False  # the lease was taken back while its connection was on the way
        self._heartbeat: TimerHandle | None = None
        self._arena = arena
        self._slot_returns = slot_returns
        self._shelf = slot_returns.shelf
        self._reports = reports
        self._bucket = TokenBucket()
        self._transfer: Transfer | None = None
        self._slot: int | None = None
        self._slot_s = 0.0
        self._aside = b""  # of a chunk that is not whole yet, while others have the slots
        self._from_start = False
        self._stands = False  # the body of the probe's answer, which goes to the file's end, is open
        self._lists: list[str] = []  # of the piece hashes of documents that this source named
        self._over = False
        self._wake: Callable[[], None] = self._continue

    def starting(self) -> None:
        ready = WorkerReady(job=self._request.job, source=self._request.source, worker=self.address)
        self.bus.post(POOL, ready)

    def stopping(self) -> None:
        self._drop_lists()
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        self._hang_up()
        self._reader.close()

    def handle(self, message: WorkerInbox) -> None:
        match message:
            case ContinueTransfer():
                if self._transfer is not None and self._transfer.lease == message.lease:
                    self._step(self._transfer)
                elif message.lease == NO_LEASE and self._transfer is None:
                    self._report_unasked(stopped=self._hang_up())
            case ConnectionReady():
                self._connect(message)
            case LeaseGranted():
                self._grant(message)
            case LeaseExtended(lease=lease, stop=stop, overlap=overlap):
                if self._transfer is not None and self._transfer.lease == lease:
                    self._transfer.extend(stop, overlap)
            case LeaseTrimmed(lease=lease, stop=stop, overlap=overlap):
                if self._transfer is not None and self._transfer.lease == lease:
                    self._transfer.trim(stop, overlap)
            case LeaseRevoked(lease=lease):
                if self._transfer is not None and self._transfer.lease == lease:
                    self._release(self._transfer, SourceFault(FaultKind.REVOKED, ""))
            case CapRate(rate_bytes_s=rate):
                self._bucket.cap(rate, now_s=time.monotonic())
            case ProbeSource():
                self._probe(message)
            case JobClosed():
                self.actor_ref.stop(block=False)
            case _:
                assert_never(message)

    def _probe(self, asked: ProbeSource) -> None:
        job, source = self._request.job, self._request.source
        try:
            probed = self._reader.probe(begin_at=asked.begin_at)
        except SourceFault as fault:
            failed = SourceFailed(
                job=job, source=source, fault=fault.kind, detail=fault.detail, retry_after_s=fault.retry_after_s
            )
            self.bus.post(self._dispatcher, failed)
            return
        said = probed.described
        if said.checksums or said.mirrors or said.notes:
            self.bus.post(
                self._dispatcher,
                SourceDescribed(
                    job=job, source=source, checksums=said.checksums, mirrors=said.mirrors, notes=said.notes
                ),
            )
        if said.is_document or said.described_at:
            self._read_document(said.described_at, is_source=said.is_document)
        if said.is_document:
            return  # the answer follows when it was read
        answer = SourceProbed(
            job=job,
            source=source,
            size_bytes=probed.size_bytes,
            offset_ok=probed.offset_ok,
            validator=probed.validator,
            name=unhidden_name(probed.name),
            setup_s=probed.setup_s,
            modified=probed.modified,
            open_at=probed.open_at,
        )
        self._stands = probed.open_at >= 0
        self.bus.post(self._dispatcher, answer)

    def _read_document(self, url: str, *, is_source: bool) -> None:
        """Have a Metalink document read beside this actor: one about the file, or the one that the source is."""
        request = self._request
        http = request.http if is_source else request.http.for_strangers()
        url = request.url if is_source else url

        path = list_of_worker(self.bus.run_dir, self.bus.process)
        self._lists.append(path)

        def read() -> None:
            found, why = describe(
                url, request.url, http, private_ok=request.private_ok, is_source=is_source, list_path=path
            )
            if self._over:
                drop_lists([path])
            described = found.but(job=request.job, source=request.source)
            if described.checksums or described.mirrors or described.notes or described.pieces.algorithm:
                self.bus.post(self._dispatcher, described)
            if is_source:
                fault = FaultKind.UNSUPPORTED_URL
                failed = SourceFailed(
                    job=request.job, source=request.source, fault=fault, detail=why, retry_after_s=0.0
                )
                self.bus.post(self._dispatcher, failed)

        threading.Thread(target=read, name="document", daemon=True).start()

    def _grant(self, granted: LeaseGranted) -> None:
        if self._transfer is not None:
            self._release(self._transfer, SourceFault(FaultKind.REVOKED, "another lease was granted"))
        self._transfer = Transfer(
            granted.lease,
            granted.first,
            granted.stop,
            size_bytes=granted.size_bytes,
            chunk_size=granted.chunk_size,
            slot_bytes=SLOT_BYTES,
            lead=granted.lead,
            overlap=granted.overlap,
            span_bytes=granted.span_bytes,
            span_at=granted.span_at,
        )
        self._from_start = granted.from_start
        self._slot_returns.learn(self._request.job, granted.store)
        self._revoked = False
        self._progress(self._transfer)
        self._continue()

    def _connect(self, handed: ConnectionReady) -> None:
        """Take the turn's connection, for the transfer that waits for it or for a lease that must come in a moment."""
        fd = self.bus.fds.take(handed.fd_token)
        if fd is None or self._handed is None:
            _logger.warning("%s: a connection without descriptor, or not awaited", self.address)
            return
        opened = PeerUploadOpened(peer=self._handed.peer, ticket=handed.ticket, pid=os.getpid())
        self.bus.post(PEER_HISTORY, opened)
        if self._transfer is not None and self._transfer.began:
            os.close(fd)
            self._part_with(handed.ticket, stopped=True)
            self._report_unasked(stopped=True)
            return
        self._report_unasked(stopped=self._hang_up())
        self._handed.connect(fd)
        self._ticket = handed.ticket
        if self._transfer is not None:
            if self._heartbeat is not None:
                self._heartbeat.cancel()
            self._continue()
        elif self._revoked:
            self._report_unasked(stopped=self._hang_up())
        else:
            self.bus.post_later(UNASKED_S_MAX, self.address, ContinueTransfer(lease=NO_LEASE))

    def _hang_up(self) -> bool:
        """End the body, and report that to the session when the connection came from it."""
        self._stands = False
        stopped = self._reader.hang_up()
        if self._ticket is not None:
            self._part_with(self._ticket, stopped=stopped)
            self._ticket = None
        return stopped

    def _report_unasked(self, *, stopped: bool) -> None:
        """Report a hang-up that no lease's end reports: the user has a failed upload all the same."""
        if stopped:
            job, source = self._request.job, self._request.source
            report = LeaseReleased(
                job=job,
                source=source,
                lease=NO_LEASE,
                handed_stop=0,
                received_bytes=0,
                fault=FaultKind.REVOKED,
                detail="",
                retry_after_s=0.0,
                stopped=True,
            )
            self.bus.post(self._dispatcher, report)

    def _part_with(self, ticket: int, *, stopped: bool) -> None:
        assert self._handed is not None
        peer = self._handed.peer
        closed = ConnectionClosed(
            job=self._request.job,
            source=self._request.source,
            ticket=ticket,
            stopped=stopped,
            peer=peer,
            path=self._handed.path,
        )
        self.bus.post(SESSION, closed)
        self.bus.post(PEER_HISTORY, PeerUploadClosed(peer=peer, ticket=ticket, stopped=stopped))

    def _step(self, transfer: Transfer) -> None:
        """One short read and what follows from it."""
        if self._handed is not None and not self._handed.connected and not transfer.began:
            self._progress(transfer)
            self._heartbeat = self.bus.post_later(HEARTBEAT_S, self.address, ContinueTransfer(lease=transfer.lease))
            return
        try:
            if self._slot is None and not self._take_slot():
                self._progress(transfer)
                return
            if not transfer.began or (self._reader.ended and not transfer.done):
                self._open(transfer)
            assert self._slot is not None
            self._read(transfer, self._slot)
        except SourceFault as fault:
            self._release(transfer, fault)
            return
        self._progress(transfer)
        if transfer.done:
            self._finish(transfer)

    def _open(self, transfer: Transfer) -> None:
        """Ask for what the transfer still lacks. Where offsets are refused the body may begin before it."""
        if self._from_start and transfer.began:
            raise SourceFault(FaultKind.SHORT_BODY, f"its body ended at byte {self._reader.position}")
        self._stands = self._stands and self._reader.position == transfer.position
        stop, size = None if self._from_start or self._stands else transfer.stop_byte, transfer.size_bytes
        self._reader.open(transfer.position, stop, size_bytes=size, from_start=self._from_start)
        transfer.began = True
        self._step_back(transfer)

    def _step_back(self, transfer: Transfer) -> None:
        """Where the body begins before the range, read up to it first."""
        if self._from_start and self._reader.position < transfer.position:
            transfer.begin(self._reader.position)

    def _read(self, transfer: Transfer, slot: int) -> None:
        now_s = time.monotonic()
        want = self._bucket.allowance(transfer.want, now_s=now_s)
        if want <= 0 and not transfer.done:
            self.bus.post_later(self._bucket.wait_s, self.address, ContinueTransfer(lease=transfer.lease))
            return
        if want > 0:
            offset = transfer.slot_offset
            count = self._reader.read_into(self._arena.view(slot)[offset : offset + want])
            self._bucket.spend(count)
            transfer.took(count, now_s=time.monotonic())
            self._step_back(transfer)
            if self._reader.ended and transfer.stop_byte is None:
                transfer.body_ended()
        handover = transfer.handover(now_s=time.monotonic())
        if handover is not None:
            self._hand_over(transfer, slot, handover)
        if not transfer.done:
            self._make_way(transfer)
            self._continue()

    def _take_slot(self) -> bool:
        """Take a slot and put what was set aside into it; False: this worker stands in line for one."""
        self._slot = self._shelf.take_or_wait(self._wake)
        if self._slot is None:
            return False
        self._slot_s = time.monotonic()
        self._arena.view(self._slot)[: len(self._aside)] = self._aside
        self._aside = b""
        return True

    def _make_way(self, transfer: Transfer) -> None:
        """Give up a slot that is filled slowly while others wait for one."""
        slot = self._slot
        if slot is None or not self._shelf.has_waiters or time.monotonic() - self._slot_s < SLOT_S_MAX:
            return
        handover, start, stop = transfer.set_aside()
        self._aside = bytes(self._arena.view(slot)[start:stop])
        if handover is not None:
            self._hand_over(transfer, slot, handover)
        self._put_slot_back()

    def _hand_over(self, transfer: Transfer, slot: int, handover: Handover) -> None:
        self._slot = None
        view = self._arena.view(slot)
        filled = SlotFilled(
            job=self._request.job,
            source=self._request.source,
            lease=transfer.lease,
            first=handover.first,
            slot=slot,
            length_bytes=handover.length_bytes,
            digests=digests_of(view, handover.length_bytes, transfer.chunk_size),
            source_hash=self._source_hash,
            shelf=self._slot_returns.address,
            span_at=handover.span_at,
        )
        self._slot_returns.hand_over(filled)

    def _finish(self, transfer: Transfer) -> None:
        finished = LeaseFinished(
            job=self._request.job,
            source=self._request.source,
            lease=transfer.lease,
            handed_stop=transfer.handed_stop,
            received_bytes=transfer.received_bytes,
            size_bytes=transfer.size_bytes,
            stopped=self._pause(),
            flowing_s=transfer.flowing_s,
        )
        self._end(transfer)
        self.bus.post(self._dispatcher, finished)

    def _release(self, transfer: Transfer, fault: SourceFault) -> None:
        self._revoked = self._handed is not None and not self._handed.connected and not transfer.began
        stopped = self._hang_up()
        kept = transfer.surrender()
        if kept is not None and self._slot is not None:
            self._hand_over(transfer, self._slot, kept)
        released = LeaseReleased(
            job=self._request.job,
            source=self._request.source,
            lease=transfer.lease,
            handed_stop=transfer.handed_stop,
            received_bytes=transfer.received_bytes,
            fault=fault.kind,
            detail=fault.detail,
            retry_after_s=fault.retry_after_s,
            stopped=stopped,
        )
        self._end(transfer)
        self.bus.post(self._dispatcher, released)

    def _pause(self) -> bool:
        """Leave the body after a transfer; return whether that aborted it.

        A body that cannot begin elsewhere, or that goes on to the file's end, stays open: the next range may lie ahead.
        Not that of a connection that was handed over: its peer's upload slot is not ours to keep.
        """
        if (self._from_start or self._stands) and not self._reader.ended and self._handed is None:
            return False
        return self._hang_up()

    def _end(self, transfer: Transfer) -> None:
        self._transfer, self._aside = None, b""
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        ended = TransferEnded(job=self._request.job, source=self._request.source, lease=transfer.lease)
        self._reports.ended(ended)

    def died(self, report: ActorDied) -> None:
        """Its slot is not lost with it."""
        self._drop_lists()
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        super().died(report)

    def _drop_lists(self) -> None:
        """Remove the lists of piece hashes; a document that is being read now leaves none either."""
        self._over = True
        drop_lists(self._lists)

    def _put_slot_back(self) -> None:
        if self._slot is not None:
            self._shelf.put(self._slot)
            self._slot = None

    def _progress(self, transfer: Transfer) -> None:
        if not transfer.report_due(now_s=time.monotonic()):
            return
        progressed = TransferProgressed(
            job=self._request.job,
            source=self._request.source,
            lease=transfer.lease,
            received_bytes=transfer.received_bytes,
            worker=self.address,
        )
        self._reports.report(progressed, together=transfer.slow)

    def _continue(self) -> None:
        if self._transfer is not None:
            self.bus.post(self.address, ContinueTransfer(lease=self._transfer.lease))
