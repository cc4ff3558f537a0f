"""A plain model of one PeerWorker with its source: speaks exactly the messages of `protocol`, holds no real bytes."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from protocol.messages import (
    CapRate,
    JobClosed,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    Message,
    ProbeSource,
    SlotFilled,
    SourceFailed,
    SourceProbed,
    TransferEnded,
    TransferProgressed,
)
from protocol.messages.addresses import ASSEMBLER, WATCHDOG, dispatcher_address
from protocol.model.faults import FaultKind
from tests.sim.script import RateCurve, SourceScript, marks, span_mark

SLOT_BYTES: Final = 1 << 20
SLICE_S: Final = 0.2
SILENT_S: Final = 20.0
"""A worker gives up a ride by itself when no byte came for so long."""


class Surroundings(Protocol):
    """What a worker model needs of its world."""

    now_s: float

    def at(self, when_s: float, action: Callable[[], None]) -> None: ...
    def send(self, sender: str, to: str, message: Message) -> None: ...


class WorkerModel:
    """One source's worker. `asked_stop` is where its running request ends; `position` the next byte of the body."""

    def __init__(self, world: Surroundings, script: SourceScript, *, address: str, source: int, seed: int) -> None:
        self.world, self.script, self.address, self.source = world, script, address, source
        self.rng = random.Random(seed)
        self.curve = RateCurve(script, seed)
        self.gone = False
        self.lease: LeaseGranted | None = None
        self.stop = 0
        self.handed = 0
        self.received = self.total_received = self.since_drop = 0
        self.position = 0.0
        self.asked_stop = 0
        self.body_open = False
        self.stands = False  # the open body is that of the probe's answer, to the end of the file
        self.requests = self.stops = 0
        self.chunk_size, self.file_bytes, self.file_name = 1, 0, "file.bin"
        self.cap_bytes_s = 0.0
        self.flowing_since_s = 0.0
        self.stopped_s = -1.0
        self._connected = False
        self._turn = 0
        self._reported_s = -1.0
        self._stepped_s = self._silent_since_s = 0.0

    # -- inbox

    def receive(self, message: Message) -> None:
        if self.gone:
            return
        match message:
            case ProbeSource(begin_at=begin_at):
                self._later(self.script.probe_s, lambda: self._answer_probe(begin_at))
            case LeaseGranted():
                self._begin(message)
            case LeaseExtended() | LeaseTrimmed():
                if self.lease is not None and message.lease == self.lease.lease:
                    if message.overlap > self.lease.overlap:
                        self.lease = self.lease.but(overlap=message.overlap)
                    self._move_end(message.stop)
            case LeaseRevoked():
                if self.lease is not None and message.lease == self.lease.lease:
                    self._advance()
                    self._hand_over()
                    self._release(FaultKind.REVOKED, "revoked")
            case CapRate():
                self.cap_bytes_s = message.rate_bytes_s
            case JobClosed():
                self.gone = True
            case _:
                raise AssertionError(f"no message for a worker: {message}")

    def vanish(self) -> None:
        """Its process dies: nothing more is heard of it."""
        self.gone = True

    # -- probing

    def _answer_probe(self, begin_at: int) -> None:
        job, script = 1, self.script
        if self.dead or self.rng.random() < script.busy_share:
            kind = FaultKind.REFUSED if self.dead else FaultKind.BUSY
            retry_s = 0.0 if self.dead else script.retry_after_s
            failed = SourceFailed(job=job, source=self.source, fault=int(kind), detail=kind.name, retry_after_s=retry_s)
            self._tell(failed)
            return
        begins = script.offset_ok and not script.refuses_offsets
        begin_at = begin_at if begins else min(begin_at, 0)
        if begin_at >= 0 and begins:
            self.position, self.asked_stop = float(begin_at), self.file_bytes
            self.body_open = self.stands = True
            self.requests += 1
        size = self.file_bytes + 7 if script.wrong_size else self.file_bytes
        self._tell(
            SourceProbed(
                job=job,
                source=self.source,
                size_bytes=size if script.says_size else -1,
                offset_ok=script.offset_ok,
                validator="",
                name=self.file_name,
                setup_s=script.setup_s,
                open_at=begin_at,
            )
        )

    # -- riding

    def _begin(self, granted: LeaseGranted) -> None:
        assert self.lease is None, "a second lease for a busy worker"
        self.lease = granted
        self.stop, self.handed, self.received = granted.stop, granted.first - granted.lead, 0
        self._turn += 1
        self._reported_s = -1.0
        self._silent_since_s = self.world.now_s
        self._report()
        if self.script.peer and not self._connected:
            self._await_connection()
            return
        self._start()

    def connect(self) -> None:
        """The connection of its turn is here: for the ride that waits for it, or one that comes in a moment."""
        if self.gone:
            return
        self._connected = True
        if self.lease is not None and not self.body_open:
            self._start()

    def _await_connection(self) -> None:
        self._report()
        self._later_riding(0.5, self._await_connection)

    def _start(self) -> None:
        assert self.lease is not None
        granted = self.lease
        start = (granted.first - granted.lead) * self.chunk_size + self._skipped()
        stands = self.script.reads_on and self.body_open and self.position <= start
        self.stands = self.stands and self.body_open and self.position == start and not granted.lead
        if self.stands:
            self._flow()
        elif self.script.offset_ok:
            self._ask(start)
        elif not stands:
            self._ask(0)
        else:
            self._flow()

    def _ask(self, start: int, setup_s: float = -1.0) -> None:
        self.requests += 1
        self.position = float(start)
        self.body_open = False
        self.asked_stop = self._stop_bytes() if self.script.bounded and self.script.offset_ok else self.file_bytes
        default_s = self.script.hop_s if self.script.peer else self.script.setup_s
        self._later_riding(default_s if setup_s < 0 else setup_s, self._answered)

    def _answered(self) -> None:
        script = self.script
        if self.dead:
            self._release(FaultKind.REFUSED, "refused")
        elif self.rng.random() < script.busy_share:
            self._release(FaultKind.BUSY, "503", retry_after_s=script.retry_after_s)
        elif script.refuses_offsets and self.position > 0:
            self._release(FaultKind.RANGE_REFUSED, "200 for a range")
            self.script = replace(script, offset_ok=False)
        else:
            self.body_open = True
            self._flow()

    def _flow(self) -> None:
        self._stepped_s = self.flowing_since_s = self.world.now_s
        self.curve.begin(self.world.now_s)
        self._step()

    def _step(self) -> None:
        """Plan the next moment at which something about this ride is to be done."""
        rate, until_s = self._rate()
        now_s = self.world.now_s
        wake_s = min(until_s, now_s + SLICE_S)
        goal = min(self._slot_end(), self.asked_stop)
        if rate > 0:
            wake_s = min(wake_s, now_s + max(goal - self.position, 0) / rate + 1e-6)
        self._later_riding(wake_s - now_s, self._woken)

    def _woken(self) -> None:
        self._advance()
        if self._misbehaved():
            return
        if self.position >= self._slot_end() or self.world.now_s - self._reported_s >= SLICE_S:
            self._hand_over()
        self._report()
        if self.world.now_s - self._silent_since_s > SILENT_S:
            self._release(FaultKind.STALLED, "silent")
        elif not self._over():
            self._step()

    def _over(self) -> bool:
        """End the ride when its last chunk was handed over; ask on when only the request has ended."""
        if self.handed >= self._end_chunk():
            if self._promised_more():
                self._release(FaultKind.SHORT_BODY, "ended early")
            else:
                self._finish()
            return True
        if self.position >= self.asked_stop:
            self._ask(int(self.position), self.script.request_s)
            return True
        return False

    def _advance(self) -> None:
        """Bytes that came since the last look."""
        if self.lease is None or not self.body_open:
            return
        rate, _ = self._rate(self._stepped_s)
        before = self.position
        limit = min(self.asked_stop, self._stop_bytes()) if self._stop_bytes() > before else before
        self.position = min(before + rate * (self.world.now_s - self._stepped_s), float(limit))
        if limit - self.position < 1e-3:
            self.position = float(limit)
        self._stepped_s = self.world.now_s
        gained = int(self.position) - int(before)
        self.received += gained
        self.total_received += gained
        self.since_drop += gained
        if gained:
            self._silent_since_s = self.world.now_s

    def _misbehaved(self) -> bool:
        script = self.script
        if self.dead:
            kind = FaultKind.RESET
        elif script.drops_every is not None and self.since_drop >= script.drops_every:
            self.since_drop = 0
            kind = FaultKind.SHORT_BODY
        else:
            return False
        self._hand_over()
        if self.handed >= self._end_chunk():
            self._finish()
        else:
            self._release(kind, kind.name)
        return True

    def _hand_over(self) -> None:
        """All whole chunks that were read go to the Assembler, a slot at a time."""
        lease, chunk = self.lease, self.chunk_size
        assert lease is not None
        if not self.body_open:
            return  # `position` is that of the body before
        end = self.stop + (0 if self._span() else lease.overlap)
        whole = min(
            end, -(-self.file_bytes // chunk) if self.position >= self.file_bytes else int(self.position) // chunk
        )
        if self._skipped() and self.position >= min((self.handed + 1) * chunk, self._stop_bytes()):
            self._hand_over_span(self._skipped(), min((self.handed + 1) * chunk, self._stop_bytes()))
            self.lease = lease = lease.but(lead=0, span_at=0)
        while self.handed < whole:
            until = min(whole, self.handed + max(1, SLOT_BYTES // chunk))
            length = min(until * chunk, self.file_bytes) - self.handed * chunk
            filled = SlotFilled(
                job=lease.job,
                source=self.source,
                lease=lease.lease,
                first=self.handed,
                slot=0,
                length_bytes=length,
                digests=marks(self.script, self.handed, until, chunk),
                source_hash=self.source + 1,
                shelf="fetch-1/shelf",
            )
            self.world.send(self.address, ASSEMBLER, filled)
            self.handed = until
        if self.handed == self.stop and self._span() and self.position >= self._stop_bytes():
            self._hand_over_span(0, self._stop_bytes())

    def _hand_over_span(self, at: int, stop_bytes: int) -> None:
        """What was read of one chunk to be compared, from its byte `at` on."""
        lease, begin = self.lease, self.handed * self.chunk_size + at
        assert lease is not None
        filled = SlotFilled(
            job=lease.job,
            source=self.source,
            lease=lease.lease,
            first=self.handed,
            slot=0,
            length_bytes=stop_bytes - begin,
            digests=span_mark(self.script, begin, stop_bytes),
            source_hash=self.source + 1,
            shelf="fetch-1/shelf",
            span_at=at,
        )
        self.world.send(self.address, ASSEMBLER, filled)
        self.handed += 1

    def _move_end(self, stop: int) -> None:
        assert self.lease is not None
        self._advance()
        self._hand_over()
        self.stop = stop
        if self.handed >= self._end_chunk():
            self._finish()
        elif self.body_open:
            self._step()

    # -- the end of a ride

    def _finish(self) -> None:
        lease = self.lease
        assert lease is not None
        stopped = self._hang_up(reads_on=self.script.reads_on or self.stands)
        self._ended(
            LeaseFinished(
                job=lease.job,
                source=self.source,
                lease=lease.lease,
                handed_stop=self.handed,
                received_bytes=self.received,
                size_bytes=self.file_bytes if lease.size_bytes < 0 else -1,
                stopped=stopped,
                flowing_s=self.world.now_s - self.flowing_since_s,
            )
        )

    def _release(self, kind: FaultKind, detail: str, *, retry_after_s: float = 0.0) -> None:
        lease = self.lease
        assert lease is not None
        stopped = self._hang_up()
        self._ended(
            LeaseReleased(
                job=lease.job,
                source=self.source,
                lease=lease.lease,
                handed_stop=self.handed,
                received_bytes=self.received,
                fault=int(kind),
                detail=detail,
                retry_after_s=retry_after_s,
                stopped=stopped,
            )
        )

    def _ended(self, message: LeaseFinished | LeaseReleased) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        self._turn += 1
        self._tell(message)
        self.world.send(self.address, WATCHDOG, TransferEnded(job=lease.job, source=self.source, lease=lease.lease))

    def _hang_up(self, *, reads_on: bool = False) -> bool:
        """Whether a body is cut off before the end of what was asked for."""
        stopped = self.body_open and int(self.position) < self.asked_stop
        if stopped and reads_on and (self.stands or not self.script.offset_ok):
            return False
        self.stands = False
        if stopped:
            self.stops += 1
            self.stopped_s = self.world.now_s
        self.body_open = self._connected = False
        return stopped

    # -- small things

    def _rate(self, when_s: float | None = None) -> tuple[float, float]:
        if self.script.stalls_after is not None and self.total_received >= self.script.stalls_after:
            return 0.0, self.world.now_s + 1.0
        rate, until_s = self.curve.at(self.world.now_s if when_s is None else when_s)
        return (min(rate, self.cap_bytes_s) if self.cap_bytes_s > 0 else rate), until_s

    @property
    def dead(self) -> bool:
        dies_at_s, dies_after = self.script.dies_at_s, self.script.dies_after
        if dies_after is not None and self.total_received >= dies_after:
            return True
        return dies_at_s is not None and dies_at_s <= self.world.now_s < self.script.back_at_s

    def _promised_more(self) -> bool:
        """The file is shorter than the source had announced."""
        assert self.lease is not None
        return self.lease.size_bytes >= 0 and min(self.stop * self.chunk_size, self.lease.size_bytes) > self.file_bytes

    def _end_chunk(self) -> int:
        """Where the run ends, or the file: leases on files of unknown size end nowhere."""
        overlap = self.lease.overlap if self.lease is not None else 0
        return min(self.stop + (1 if self._span() else overlap), -(-self.file_bytes // self.chunk_size))

    def _span(self) -> int:
        """Bytes of the chunk behind the end that are read, where that is not all of it."""
        lease = self.lease
        if lease is None or not lease.span_bytes or not (lease.overlap or lease.first == lease.stop):
            return 0
        return lease.span_bytes + (lease.span_at if lease.first == lease.stop else 0)

    def _skipped(self) -> int:
        """Bytes of the first chunk that are not read."""
        lease = self.lease
        if lease is None or not lease.span_bytes:
            return 0
        return self.chunk_size - lease.span_bytes if lease.lead == 1 else lease.span_at

    def _stop_bytes(self) -> int:
        overlap = self.lease.overlap * self.chunk_size if self.lease is not None else 0
        return min(self.stop * self.chunk_size + (self._span() or overlap), self.file_bytes)

    def _slot_end(self) -> int:
        return min((self.handed + max(1, SLOT_BYTES // self.chunk_size)) * self.chunk_size, self._stop_bytes())

    def _report(self) -> None:
        if self.lease is None or self.world.now_s - self._reported_s < SLICE_S - 1e-6:
            return
        self._reported_s = self.world.now_s
        progressed = TransferProgressed(
            job=self.lease.job,
            source=self.source,
            lease=self.lease.lease,
            received_bytes=self.received,
            worker=self.address,
        )
        self.world.send(self.address, WATCHDOG, progressed)

    def _tell(self, message: Message) -> None:
        """To the dispatcher; a source that echoes says some words twice, the second time late."""
        to = dispatcher_address(1)
        self.world.send(self.address, to, message)
        if self.rng.random() < self.script.echoes:
            self._later(self.rng.random() * 5, lambda: self.world.send(self.address, to, message))

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.world.at(self.world.now_s + delay_s + self.script.late_s, lambda: None if self.gone else action())

    def _later_riding(self, delay_s: float, action: Callable[[], None]) -> None:
        """Only if this ride is still on and nothing newer was planned for it."""
        self._turn += 1
        turn = self._turn
        self.world.at(
            self.world.now_s + max(delay_s, 0.0),
            lambda: action() if turn == self._turn and self.lease is not None and not self.gone else None,
        )
