"""Messages between a ChunkDispatcher, the PeerWorkers of its sources, and the SpeedWatchdog.

A lease is a source's expiring right to the chunks ``[first, stop)``, counted from 0. Every message carries job, source
and, where there is one, lease, so that a late message about an ended lease is recognised and dropped.
"""

from typing import Final

from protocol.messages.base import Message
from protocol.model.job_spec import PieceHashes, TransferPolicy


class ProbeSource(Message, tag=7):
    """Find out size, name, validator and whether offsets work.

    `begin_at`: by a request for everything from this byte on, whose answer can be the download from there; -1: by the
    smallest request that tells all of it.
    """

    job: int
    source: int
    begin_at: int = -1


class SourceProbed(Message, tag=8):
    """Answer to `ProbeSource`."""

    job: int
    source: int
    size_bytes: int
    """-1: the source does not say."""
    offset_ok: bool
    validator: str
    """Empty: it gave none."""
    name: str
    """File name that the source proposes; may be empty, not yet made safe."""
    setup_s: float
    """Measured time from a request to its first byte."""
    modified: str = ""
    """Date of the last change, as sent."""
    open_at: int = -1
    """Byte at which the body stands open and unread, -1: none does."""


class SourceDescribed(Message, tag=157):
    """Description of the whole file by a source. Worker to dispatcher, before `SourceProbed` or after it.

    `document`: the source is no mirror but a Metalink document, which was read.
    """

    job: int
    source: int
    checksums: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    """Other addresses of the file, the best first."""
    notes: tuple[str, ...] = ()
    """Lines for people: what was malformed and left out."""
    document: bool = False
    name: str = ""
    """Of the file, as the document has it; not yet made safe."""
    size_bytes: int = -1
    """Of the file, as the document has it; -1: it does not say."""
    pieces: PieceHashes = PieceHashes()
    """Of the document; their list lies in a folder of the program that sends this."""


class SourceFailed(Message, tag=9):
    """A probe failed. `fault` is a `FaultKind` number; `retry_after_s` 0: the source named no time."""

    job: int
    source: int
    fault: int
    detail: str
    retry_after_s: float


NO_LEASE: Final = -1


class LeaseGranted(Message, tag=10):
    """Transfer the chunks ``[first, stop)``."""

    job: int
    source: int
    lease: int
    first: int
    stop: int
    size_bytes: int
    """Of the file; -1: unknown, transfer to the end of the body."""
    store: int = 0
    """Number of the store process that has the part file open, see `SlotFilled`."""
    from_start: bool = False
    """The source takes no offsets: its body may begin before the range."""
    lead: int = 0
    """Chunks to read before `first` ..."""
    overlap: int = 0
    """... and from the end on, wherever that moves: others send them too, so that both can be compared."""
    chunk_size: int
    """Of the job's part file."""
    span_bytes: int = 0
    """Bytes that are read of each of these chunks, next to the range; 0: all of it."""
    span_at: int = 0
    """Where the only span begins in the chunk `first`, of a lease without chunks of its own (`first` == `stop`)."""


class LeaseExtended(Message, tag=11):
    """The end of the lease moved away: go on to `stop`, without another request where the source allows it.

    `overlap`: chunks from `stop` on that are read to be compared, at least.
    """

    job: int
    source: int
    lease: int
    stop: int
    overlap: int = 0


class LeaseTrimmed(Message, tag=12):
    """The end of the lease moved nearer; chunks from `stop` on belong to another source.

    `overlap`: as many of them are read to be compared, at least.
    """

    job: int
    source: int
    lease: int
    stop: int
    overlap: int = 0


class LeaseRevoked(Message, tag=13):
    """Hang up; the chunks are no longer this source's. Answered by `LeaseReleased` like any other end."""

    job: int
    source: int
    lease: int


class LeaseFinished(Message, tag=14):
    """The transfer reached the end of its lease."""

    job: int
    source: int
    lease: int
    handed_stop: int
    """Chunks before it were handed to the Assembler."""
    received_bytes: int
    """Bytes of body in this lease, stored or not."""
    size_bytes: int
    """Size learned at the end of a body of unknown length, else -1."""
    stopped: bool
    """The worker had to hang up before the end of the body."""
    flowing_s: float = 0.0
    """From the first byte to the last."""


class LeaseReleased(Message, tag=15):
    """The worker gives the lease back, or, `NO_LEASE`, hung up on an upload that no lease waited for any more."""

    job: int
    source: int
    lease: int
    handed_stop: int
    """Chunks before it are on their way to the Assembler."""
    received_bytes: int
    fault: int
    """A `FaultKind` number, `FaultKind.REVOKED` when the worker only obeys."""
    detail: str
    retry_after_s: float
    stopped: bool


class TransferProgressed(Message, tag=16):
    """Progress of a transfer: bytes of body received in this lease. From the worker to the SpeedWatchdog, <= 5 Hz.

    `worker` is the sender's address, where caps go.
    """

    job: int
    source: int
    lease: int
    received_bytes: int
    worker: str


class TransfersProgressed(Message, tag=176):
    """Progress of slow transfers of a fetch process, one of each, as many `TransferProgressed` would say it.

    `ago_s`: seconds since each was so far, so that waiting for the others changes no rate.
    """

    process: str
    jobs: tuple[int, ...]
    sources: tuple[int, ...]
    leases: tuple[int, ...]
    received_bytes: tuple[int, ...]
    ago_s: tuple[float, ...]


class TransferEnded(Message, tag=17):
    """The SpeedWatchdog may forget this transfer. From the worker."""

    job: int
    source: int
    lease: int


class SourceMeasured(Message, tag=18):
    """Measurement of a running transfer, from the SpeedWatchdog to the dispatcher."""

    job: int
    source: int
    lease: int
    received_bytes: int
    rate_bytes_s: float
    """Over the last seconds; -1: not known yet."""
    setup_s: float
    """From grant to first byte, 0 before it."""


class SourcesMeasured(Message, tag=177):
    """Measurements of several transfers of one job, as many `SourceMeasured` would say them."""

    job: int
    sources: tuple[int, ...]
    leases: tuple[int, ...]
    received_bytes: tuple[int, ...]
    rates_bytes_s: tuple[float, ...]
    setups_s: tuple[float, ...]

    def each(self) -> list[SourceMeasured]:
        rows = zip(self.sources, self.leases, self.received_bytes, self.rates_bytes_s, self.setups_s, strict=True)
        return [
            SourceMeasured(
                job=self.job,
                source=source,
                lease=lease,
                received_bytes=received_bytes,
                rate_bytes_s=rate_bytes_s,
                setup_s=setup_s,
            )
            for source, lease, received_bytes, rate_bytes_s, setup_s in rows
        ]


class SourceSlowed(Message, tag=19):
    """A transfer was slower than the policy's rate for as long as it tolerates."""

    job: int
    source: int
    lease: int
    rate_bytes_s: float


class SourceStalled(Message, tag=20):
    """No byte came within the stall limit."""

    job: int
    source: int
    lease: int
    silent_s: float


class CapRate(Message, tag=21):
    """Receive at most this much from the source; 0 lifts the cap. From the SpeedWatchdog to the worker."""

    job: int
    source: int
    rate_bytes_s: float


class MonitorJob(Message, tag=22):
    """Thresholds and limit of a job for the SpeedWatchdog. From the dispatcher."""

    job: int
    dispatcher: str
    policy: TransferPolicy
    stall_s: float
    limit_bytes_s: int


class ContinueTransfer(Message, tag=23):
    """Read on: a worker's message to itself. It never blocks its inbox for longer than one short read."""

    lease: int
