"""One source's worker: rides its leases, fills slots, hands them over.

It never waits longer than one short read, so trimmed and revoked leases are obeyed in time: after each read it posts
itself `ContinueTransfer`. No free slot: it stops reading and TCP holds the source back.

A Soulseek source's connection comes by mail: its lease is granted when its turn is taken, and the ride waits until the
session hands the connection over. It reads nothing and holds no slot meanwhile, and says every `HEARTBEAT_S` that it
lives.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Final, assert_never

from actors.core.worker.token_bucket import TokenBucket
from actors.core.worker.transfer import Handover, Transfer
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from actors.runtime.timers import TimerHandle
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
    WATCHDOG,
    dispatcher_address,
    split_address,
    worker_address,
)
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.filenames import unhidden_name
from protocol.model.source_url import public_url
from storage.digests import digests_of, source_hash
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

PROGRESS_S: Final = 0.2
HEARTBEAT_S: Final = 0.5
UNASKED_S_MAX: Final = 2.0
"""A connection without a lease is kept for so long: the lease's own message may be a moment behind it."""
SLOT_S_MAX: Final = 0.5
"""While others wait a slot is kept for no longer than this."""
_NO_LEASE: Final = -1


class PeerWorker(Actor):
    """One a source, in a fetch process. Owns the reader and at most one slot; a slot handed over is the Assembler's."""

    message_s_max = 180.0  # a probe may be redirected again and again, each time within its own limits

    def __init__(
        self, bus: MessageBus, wanted: StartWorker, *, reader: Reader, arena: Arena, handing: SlotReturns
    ) -> None:
        super().__init__(split_address(worker_address("", wanted.job, wanted.source))[1], bus)
        self._wanted = wanted
        self._dispatcher = dispatcher_address(wanted.job)
        self._source_hash = source_hash(public_url(wanted.url))
        self._reader = reader
        self._turns = reader if isinstance(reader, SlskReader) else None  # the reader, when its connections are handed
        self._ticket: int | None = None  # of the connection the reader has; the session is told of its end
        self._unwanted = False  # the lease was taken back while its connection was on the way
        self._waiting: TimerHandle | None = None
        self._arena = arena
        self._handing = handing
        self._shelf = handing.shelf
        self._pace = TokenBucket()
        self._ride: Transfer | None = None
        self._slot: int | None = None
        self._slot_s = 0.0
        self._aside = b""  # of a chunk that is not whole yet, while others have the slots
        self._reading = False
        self._offset_ok = True
        self._progressed_s = 0.0
        self._wake: Callable[[], None] = self._continue

    def starting(self) -> None:
        ready = WorkerReady(job=self._wanted.job, source=self._wanted.source, worker=self.address)
        self.bus.post(POOL, ready)

    def stopping(self) -> None:
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        self._hang_up()
        self._reader.close()

    def handle(self, message: WorkerInbox) -> None:
        match message:
            case ContinueTransfer():
                if self._ride is not None and self._ride.lease == message.lease:
                    self._step(self._ride)
                elif message.lease == _NO_LEASE and self._ride is None:
                    self._hang_up()
            case ConnectionReady():
                self._connect(message)
            case LeaseGranted():
                self._begin(message)
            case LeaseExtended(lease=lease, stop=stop):
                if self._ride is not None and self._ride.lease == lease:
                    self._ride.extend(stop)
            case LeaseTrimmed(lease=lease, stop=stop):
                if self._ride is not None and self._ride.lease == lease:
                    self._ride.trim(stop)
            case LeaseRevoked(lease=lease):
                if self._ride is not None and self._ride.lease == lease:
                    self._release(self._ride, SourceFault(FaultKind.REVOKED, ""))
            case CapRate(rate_bytes_s=rate):
                self._pace.cap(rate, now_s=time.monotonic())
            case ProbeSource():
                self._probe()
            case JobClosed():
                self.actor_ref.stop(block=False)
            case _:
                assert_never(message)

    def _probe(self) -> None:
        job, source = self._wanted.job, self._wanted.source
        try:
            probed = self._reader.probe()
        except SourceFault as fault:
            failed = SourceFailed(
                job=job, source=source, fault=fault.kind, detail=fault.detail, retry_after_s=fault.retry_after_s
            )
            self.bus.post(self._dispatcher, failed)
            return
        self._offset_ok = probed.offset_ok
        answer = SourceProbed(
            job=job,
            source=source,
            size_bytes=probed.size_bytes,
            offset_ok=probed.offset_ok,
            validator=probed.validator,
            name=unhidden_name(probed.name),
            setup_s=probed.setup_s,
        )
        self.bus.post(self._dispatcher, answer)

    def _begin(self, granted: LeaseGranted) -> None:
        if self._ride is not None:
            self._release(self._ride, SourceFault(FaultKind.REVOKED, "another lease was granted"))
        self._ride = Transfer(
            granted.lease,
            granted.first,
            granted.stop,
            size_bytes=granted.size_bytes,
            chunk_size=self._wanted.chunk_size,
            slot_bytes=SLOT_BYTES,
        )
        self._handing.learn(self._wanted.job, granted.store)
        self._progressed_s = 0.0
        self._unwanted = False
        self._progress(self._ride)
        self._continue()

    def _connect(self, handed: ConnectionReady) -> None:
        """The turn's connection: for the ride that waits for it, or for a lease that must come in a moment."""
        fd = self.bus.fds.take(handed.fd_token)
        if fd is None or self._turns is None:
            _logger.warning("%s: a connection without descriptor, or not awaited", self.address)
            return
        opened = PeerUploadOpened(peer=self._turns.peer, ticket=handed.ticket, pid=os.getpid())
        self.bus.post(PEER_HISTORY, opened)
        if self._ride is not None and self._ride.began:
            os.close(fd)
            self._part_with(handed.ticket, stopped=True)
            return
        self._hang_up()
        self._turns.connect(fd)
        self._ticket = handed.ticket
        if self._ride is not None:
            if self._waiting is not None:
                self._waiting.cancel()
            self._continue()
        elif self._unwanted:
            self._hang_up()
        else:
            self.bus.post_later(UNASKED_S_MAX, self.address, ContinueTransfer(lease=_NO_LEASE))

    def _hang_up(self) -> bool:
        """End the body; the session hears of it when the connection was its."""
        stopped = self._reader.hang_up()
        if self._ticket is not None:
            self._part_with(self._ticket, stopped=stopped)
            self._ticket = None
        return stopped

    def _part_with(self, ticket: int, *, stopped: bool) -> None:
        assert self._turns is not None
        peer = self._turns.peer
        closed = ConnectionClosed(
            job=self._wanted.job,
            source=self._wanted.source,
            ticket=ticket,
            stopped=stopped,
            peer=peer,
            path=self._turns.path,
        )
        self.bus.post(SESSION, closed)
        self.bus.post(PEER_HISTORY, PeerUploadClosed(peer=peer, ticket=ticket, stopped=stopped))

    def _step(self, ride: Transfer) -> None:
        """One short read and what follows from it."""
        if self._turns is not None and not self._turns.connected and not ride.began:
            self._progress(ride)
            self._waiting = self.bus.post_later(HEARTBEAT_S, self.address, ContinueTransfer(lease=ride.lease))
            return
        try:
            if self._slot is None and not self._take_slot():
                self._progress(ride)
                return
            if not ride.began or (self._reader.ended and not ride.done):
                self._open(ride)
            assert self._slot is not None
            self._read(ride, self._slot)
        except SourceFault as fault:
            self._release(ride, fault)
            return
        self._progress(ride)
        if ride.done:
            self._finish(ride)

    def _open(self, ride: Transfer) -> None:
        """Ask for what the ride still lacks. Where offsets are refused the body is the whole file: read on in it if it
        is not past the run, else from 0."""
        if self._offset_ok:
            self._reader.open(ride.position, ride.stop_byte, size_bytes=ride.size_bytes)
            ride.began = True
        elif ride.began:
            raise SourceFault(FaultKind.SHORT_BODY, f"its body ended at byte {self._reader.position}")
        else:
            if not self._reading or self._reader.ended or self._reader.position > ride.position:
                self._reader.open(0, None, size_bytes=ride.size_bytes)
            ride.begin(self._reader.position)
        self._reading = True

    def _read(self, ride: Transfer, slot: int) -> None:
        now_s = time.monotonic()
        want = self._pace.allowance(ride.want, now_s=now_s)
        if want <= 0 and not ride.done:
            self.bus.post_later(self._pace.wait_s, self.address, ContinueTransfer(lease=ride.lease))
            return
        if want > 0:
            offset = ride.slot_offset
            count = self._reader.read_into(self._arena.view(slot)[offset : offset + want])
            self._pace.spend(count)
            ride.took(count, now_s=time.monotonic())
            if self._reader.ended and ride.stop_byte is None:
                ride.body_ended()
        handover = ride.handover(now_s=time.monotonic())
        if handover is not None:
            self._hand_over(ride, slot, handover)
        if not ride.done:
            self._make_way(ride)
            self._continue()

    def _take_slot(self) -> bool:
        """A slot, with what was set aside in it; False: we stand in line for one."""
        self._slot = self._shelf.take_or_wait(self._wake)
        if self._slot is None:
            return False
        self._slot_s = time.monotonic()
        self._arena.view(self._slot)[: len(self._aside)] = self._aside
        self._aside = b""
        return True

    def _make_way(self, ride: Transfer) -> None:
        """Others wait for a slot: a source that fills its own slowly lets them have it now and then."""
        slot = self._slot
        if slot is None or not self._shelf.has_waiters or time.monotonic() - self._slot_s < SLOT_S_MAX:
            return
        handover, start, stop = ride.set_aside()
        self._aside = bytes(self._arena.view(slot)[start:stop])
        if handover is not None:
            self._hand_over(ride, slot, handover)
        self._put_slot_back()

    def _hand_over(self, ride: Transfer, slot: int, handover: Handover) -> None:
        self._slot = None
        view = self._arena.view(slot)
        filled = SlotFilled(
            job=self._wanted.job,
            source=self._wanted.source,
            lease=ride.lease,
            first=handover.first,
            slot=slot,
            length_bytes=handover.length_bytes,
            digests=digests_of(view, handover.length_bytes, self._wanted.chunk_size),
            source_hash=self._source_hash,
            shelf=self._handing.address,
        )
        self._handing.hand_over(filled)

    def _finish(self, ride: Transfer) -> None:
        finished = LeaseFinished(
            job=self._wanted.job,
            source=self._wanted.source,
            lease=ride.lease,
            handed_stop=ride.handed_stop,
            received_bytes=ride.received_bytes,
            size_bytes=ride.size_bytes,
            stopped=self._pause(),
        )
        self._part(ride)
        self.bus.post(self._dispatcher, finished)

    def _release(self, ride: Transfer, fault: SourceFault) -> None:
        if fault.kind is FaultKind.RANGE_REFUSED:
            self._offset_ok = False
        self._unwanted = self._turns is not None and not self._turns.connected and not ride.began
        stopped = self._hang_up()
        self._reading = False
        kept = ride.surrender()
        if kept is not None and self._slot is not None:
            self._hand_over(ride, self._slot, kept)
        released = LeaseReleased(
            job=self._wanted.job,
            source=self._wanted.source,
            lease=ride.lease,
            handed_stop=ride.handed_stop,
            received_bytes=ride.received_bytes,
            fault=fault.kind,
            detail=fault.detail,
            retry_after_s=fault.retry_after_s,
            stopped=stopped,
        )
        self._part(ride)
        self.bus.post(self._dispatcher, released)

    def _pause(self) -> bool:
        """The ride is over. A body that cannot be begun elsewhere stays open: the next run may lie ahead of it. Not a
        handed one: its peer's slot is not ours to keep."""
        if not self._offset_ok and not self._reader.ended and self._turns is None:
            return False
        self._reading = False
        return self._hang_up()

    def _part(self, ride: Transfer) -> None:
        self._ride, self._aside = None, b""
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        ended = TransferEnded(job=self._wanted.job, source=self._wanted.source, lease=ride.lease)
        self.bus.post(WATCHDOG, ended)

    def died(self, report: ActorDied) -> None:
        """Its slot is not lost with it."""
        self._put_slot_back()
        self._shelf.stop_waiting(self._wake)
        super().died(report)

    def _put_slot_back(self) -> None:
        if self._slot is not None:
            self._shelf.put(self._slot)
            self._slot = None

    def _progress(self, ride: Transfer) -> None:
        now_s = time.monotonic()
        if now_s - self._progressed_s < PROGRESS_S:
            return
        self._progressed_s = now_s
        progressed = TransferProgressed(
            job=self._wanted.job,
            source=self._wanted.source,
            lease=ride.lease,
            received_bytes=ride.received_bytes,
            worker=self.address,
        )
        self.bus.post(WATCHDOG, progressed)

    def _continue(self) -> None:
        if self._ride is not None:
            self.bus.post(self.address, ContinueTransfer(lease=self._ride.lease))
