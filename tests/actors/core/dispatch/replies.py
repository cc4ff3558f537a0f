"""What workers, watchdog and store say, with the fields a test does not care about filled in."""

from typing import Any

from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    LeaseFinished,
    LeaseReleased,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
)
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import CHUNK


def stored(source: int, lease: int, first: int, count: int) -> ChunksStored:
    return ChunksStored(job=1, source=source, lease=lease, first=first, count=count, length_bytes=count * CHUNK)


def disputed(source: int, lease: int, chunk: int, digest: bytes = b"b", stored_digest: bytes = b"a") -> ChunkDisputed:
    return ChunkDisputed(
        job=1,
        source=source,
        lease=lease,
        chunk=chunk,
        other_source_hash=0,
        digest=digest,
        stored_digest=stored_digest,
    )


def repeated(source: int, lease: int, first: int, count: int) -> ChunksRepeated:
    return ChunksRepeated(job=1, source=source, lease=lease, first=first, count=count, length_bytes=count * CHUNK)


def finished(source: int, lease: int, handed_stop: int, **changes: Any) -> LeaseFinished:
    fields: dict[str, Any] = {
        "job": 1,
        "source": source,
        "lease": lease,
        "handed_stop": handed_stop,
        "received_bytes": 0,
        "size_bytes": -1,
        "stopped": False,
    }
    return LeaseFinished(**{**fields, **changes})


def released(source: int, lease: int, handed_stop: int, fault: FaultKind, **changes: Any) -> LeaseReleased:
    fields: dict[str, Any] = {
        "job": 1,
        "source": source,
        "lease": lease,
        "handed_stop": handed_stop,
        "received_bytes": 0,
        "fault": int(fault),
        "detail": fault.name.lower(),
        "retry_after_s": 0.0,
        "stopped": True,
    }
    return LeaseReleased(**{**fields, **changes})


def measured(source: int, lease: int, received_chunks: float, rate: float, setup_s: float = 0.0) -> SourceMeasured:
    return SourceMeasured(
        job=1,
        source=source,
        lease=lease,
        received_bytes=int(received_chunks * CHUNK),
        rate_bytes_s=rate * CHUNK,
        setup_s=setup_s,
    )


def slowed(source: int, lease: int, rate_bytes_s: float = 1000.0) -> SourceSlowed:
    return SourceSlowed(job=1, source=source, lease=lease, rate_bytes_s=rate_bytes_s)


def stalled(source: int, lease: int) -> SourceStalled:
    return SourceStalled(job=1, source=source, lease=lease, silent_s=10.0)
