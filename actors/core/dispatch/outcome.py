"""News that ends a job or a ride, and how it ends by it."""

from typing import assert_never

from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source
from protocol.messages import (
    ChunkDisputed,
    DiskFailed,
    PartFileRefused,
    SealRefused,
    SlotSpoiled,
    SourceChanged,
    SourceSlowed,
    SourceStalled,
    StopJob,
)
from protocol.model.faults import FaultKind, PartFileFaultKind

Fatal = PartFileRefused | DiskFailed | SourceChanged | ChunkDisputed | SlotSpoiled | SealRefused | StopJob


def outcome_of(news: Fatal, sources: dict[int, Source], report: Reporter) -> tuple[str, str]:
    """``(state, reason)`` as in `JobEnded`."""
    match news:
        case PartFileRefused(fault=PartFileFaultKind.OTHER_JOB, detail=detail):
            return "disagreed", detail
        case PartFileRefused(detail=detail) | DiskFailed(detail=detail):
            return "disk", detail
        case SourceChanged(detail=detail) | SealRefused(detail=detail):
            return "disagreed", detail
        case ChunkDisputed(chunk=chunk):
            source, other = sources.get(news.source), report.contributor_name(chunk, sources)
            name = source.name if source is not None else "a source"
            return "disagreed", f"content differs: {name} and {other} disagree about chunk {chunk}"
        case SlotSpoiled():
            return "failed", "bytes changed between reading and writing: a memory fault or ours"
        case StopJob():
            return "interrupted", "interrupted"
        case _:
            assert_never(news)


def rate_fault(news: SourceSlowed | SourceStalled, *, received_bytes: int) -> tuple[FaultKind, str]:
    """What the watchdog says of a ride of which so much has come, as its source's fault."""
    match news:
        case SourceSlowed(rate_bytes_s=rate):
            return FaultKind.SLOW, f"slow: {rate / 1024:.1f} KB/s"
        case SourceStalled(silent_s=silent_s) if received_bytes == 0:
            return FaultKind.SILENT, f"silent: no first byte for {silent_s:.0f} s"
        case SourceStalled(silent_s=silent_s):
            return FaultKind.STALLED, f"stalled: no byte for {silent_s:.0f} s"
        case _:
            assert_never(news)
