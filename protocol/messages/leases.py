"""What a ChunkDispatcher and a PeerWorker say to each other about one source's rides.

A lease is a source's expiring right to the run ``[first, stop)`` of chunks. Chunk numbers count from 0.
Every message carries job, source and (where there is one) lease, so a late word about an ended lease is
recognised and dropped.
"""

from protocol.messages.base import Message
from protocol.model.job_spec import TransferPolicy


class ProbeSource(Message, tag=7):
    """Find out size, name, validator and whether offsets work."""

    job: int
    source: int


class SourceProbed(Message, tag=8):
    """The probe's answer. `size_bytes` -1: the source does not say. `validator` empty: it gave none.

    `setup_s` is what a request costs before its first byte, as just measured. `name` is the file name the
    source itself proposes (may be empty, not yet made safe).
    """

    job: int
    source: int
    size_bytes: int
    offset_ok: bool
    validator: str
    name: str
    setup_s: float


class SourceFailed(Message, tag=9):
    """A probe came to nothing. `fault` is a `FaultKind` number; `retry_after_s` 0: the source named no time."""

    job: int
    source: int
    fault: int
    detail: str
    retry_after_s: float


class LeaseGranted(Message, tag=10):
    """Ride the run ``[first, stop)``. `size_bytes` is the file's size, -1 unknown: ride to the end of the body.
    `store`: which store process has the target open, see `SlotFilled`."""

    job: int
    source: int
    lease: int
    first: int
    stop: int
    size_bytes: int
    store: int = 0


class LeaseExtended(Message, tag=11):
    """The end of the ride moved away: go on to `stop` without asking anew where the source allows it."""

    job: int
    source: int
    lease: int
    stop: int


class LeaseTrimmed(Message, tag=12):
    """The end of the ride moved nearer; chunks from `stop` on belong to somebody else."""

    job: int
    source: int
    lease: int
    stop: int


class LeaseRevoked(Message, tag=13):
    """Hang up; the run is no longer this source's. Answered by `LeaseReleased` like any other end."""

    job: int
    source: int
    lease: int


class LeaseFinished(Message, tag=14):
    """The ride reached its end; everything before `handed_stop` was handed to the Assembler.

    `received_bytes` counts the body bytes of this lease, kept or not. `size_bytes` is the size learned at the
    end of a body of unknown length, else -1. `stopped`: the worker had to hang up before the end of the body.
    """

    job: int
    source: int
    lease: int
    handed_stop: int
    received_bytes: int
    size_bytes: int
    stopped: bool


class LeaseReleased(Message, tag=15):
    """The worker gives the lease back. Chunks before `handed_stop` are on their way to the Assembler.

    `fault` is a `FaultKind` number (`FaultKind.REVOKED` when it only obeys).
    """

    job: int
    source: int
    lease: int
    handed_stop: int
    received_bytes: int
    fault: int
    detail: str
    retry_after_s: float
    stopped: bool


class TransferProgressed(Message, tag=16):
    """How far a ride is: bytes of body received in this lease. From the worker to the SpeedWatchdog, <= 5 Hz.

    `worker` is the sender's address: caps go there.
    """

    job: int
    source: int
    lease: int
    received_bytes: int
    worker: str


class TransferEnded(Message, tag=17):
    """The watchdog may forget this ride. From the worker."""

    job: int
    source: int
    lease: int


class SourceMeasured(Message, tag=18):
    """The watchdog's judgement of a running ride: bytes received so far and rate over the last seconds.

    `setup_s` is the time from grant to first byte (0 while nothing has come).
    """

    job: int
    source: int
    lease: int
    received_bytes: int
    rate_bytes_s: float
    setup_s: float


class SourceSlowed(Message, tag=19):
    """Under the floor rate for as long as the job tolerates."""

    job: int
    source: int
    lease: int
    rate_bytes_s: float


class SourceStalled(Message, tag=20):
    """No byte at all for the stall limit."""

    job: int
    source: int
    lease: int
    silent_s: float


class CapRate(Message, tag=21):
    """This source may send at most so much; 0 lifts the cap. From the watchdog to the worker."""

    job: int
    source: int
    rate_bytes_s: float


class MonitorJob(Message, tag=22):
    """The watchdog learns a job's thresholds and its limit. From the dispatcher."""

    job: int
    dispatcher: str
    policy: TransferPolicy
    stall_s: float
    limit_bytes_s: int


class ContinueTransfer(Message, tag=23):
    """A worker's note to itself: read on. It never blocks its inbox for longer than one short read."""

    lease: int
