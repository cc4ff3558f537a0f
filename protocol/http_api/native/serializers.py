"""Rows of the job manager and the memory as the models that people's tools get."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final, cast

from protocol.http_api.native import job_schemas as jobs
from protocol.http_api.native import peer_schemas as peers
from protocol.http_api.native.chunk_map import NOBODY, Owned, chunk_map
from protocol.http_api.native.schema_base import COUNT_MAX, PAGE_MAX, shortened
from protocol.model.faults import FaultKind
from protocol.model.file_matches import FileMatch
from protocol.model.job_views import (
    SEALED,
    Bottleneck,
    Counts,
    EventEntry,
    JobDetail,
    JobView,
    ManifestRange,
    PeerView,
    SourceView,
    StopCount,
)

_UNTIL_MS: Final = 4_102_444_800_000
"""The year 2100: a clock that says more is wrong."""


def job(row: JobView) -> jobs.Job:
    return jobs.Job.model_validate(_job_members(row))


def _job_members(row: JobView) -> dict[str, object]:
    return {
        "id": row.id,
        "state": row.state,
        "phase": _text(row.phase),
        "reason": _text(row.reason),
        "outcome": _text(row.outcome),
        "percent": percent(row.state, row.stored_bytes, row.size_bytes),
        "name": shortened(row.name),
        "folder": shortened(row.folder),
        "path": _text(row.path),
        "size_bytes": _known(row.size_bytes),
        "stored_bytes": row.stored_bytes,
        "received_bytes": row.received_bytes,
        "refetched_bytes": row.refetched_bytes,
        "resumed_bytes": max(0, row.resumed_bytes),
        "rate_bytes_s": _number(row.rate_bytes_s),
        "left_s": _number(row.left_s) if row.left_s >= 0 else None,
        "active_s": _number(row.active_s),
        "chunk_size": row.chunk_size,
        "mode": row.mode,
        "checksum": _text(row.checksum),
        "digest_hex": _text(row.digest_hex),
        "claim": _text(row.claim),
        "priority": row.priority,
        "limit": row.limit_bytes_s,
        "origin": row.origin,
        "user": _text(row.user),
        "remote_path": _text(row.remote_path),
        "term": _text(row.term),
        "removed": row.removed,
        "created_at": moment(row.created_ms),
        "started_at": moment(row.started_ms) if row.started_ms else None,
        "ended_at": moment(row.ended_ms) if row.ended_ms else None,
        "attempts": row.attempts,
        "source_count": row.source_count,
        "sources_active": row.sources_active,
        "stops": row.stops,
        "queue_place": _known(row.queue_place),
    }


def job_detail(row: JobDetail, drawn: jobs.ChunkMap | None) -> jobs.JobDetail:
    return jobs.JobDetail.model_validate(
        {
            **_job_members(row.job),
            "sources": [source(one) for one in row.sources[: jobs.SOURCES_TOLD_MAX]],
            "chunk_map": drawn,
            "notes": [shortened(note) for note in row.notes[-PAGE_MAX:]],
        }
    )


def source(row: SourceView) -> jobs.JobSource:
    leased = 0 <= row.lease_first < row.lease_stop
    return jobs.JobSource(
        number=row.number,
        url=shortened(row.url),
        username=_text(row.peer),
        full_path=_text(row.path),
        standing=row.standing,
        phase=_text(row.phase),
        reason=_text(row.reason),
        rate_bytes_s=_number(row.rate_bytes_s),
        bytes_stored=row.bytes_stored,
        chunks=row.chunks,
        leases=row.leases,
        stops=row.stops,
        lease_first=row.lease_first if leased else None,
        lease_stop=row.lease_stop if leased else None,
        queue_place=_known(row.queue_place),
    )


def chunks_of(row: JobDetail, stored: Iterable[Owned]) -> jobs.ChunkMap | None:
    """The chunk map of a job: `stored` as the dispatcher or the manifest says, leases from its sources' rows."""
    if row.job.size_bytes < 0 or row.job.chunk_size <= 0:
        return None
    count = -(-row.job.size_bytes // row.job.chunk_size)
    leased = [(one.lease_first, one.lease_stop, one.number) for one in row.sources if one.lease_first >= 0]
    runs = chunk_map(stored, leased, count)
    return jobs.ChunkMap(
        chunk_size=row.job.chunk_size,
        chunk_count=count,
        runs=[
            jobs.ChunkRange(first=first, count=length, state=state, source=_known(owner))
            for first, length, state, owner in runs[: jobs.MAP_RUNS_MAX]
        ],
        truncated=len(runs) > jobs.MAP_RUNS_MAX,
    )


def owned(rows: Iterable[ManifestRange]) -> list[Owned]:
    return [(row.first, row.stop, row.source) for row in rows]


def manifest(row: JobDetail, runs: Sequence[Owned]) -> jobs.Manifest:
    """`runs`: those of this page."""
    urls = {one.number: one.url for one in row.sources}
    return jobs.Manifest(
        id=row.job.id,
        name=shortened(row.job.name),
        path=_text(row.job.path),
        state=cast(jobs.State, row.job.state),
        size_bytes=_known(row.job.size_bytes),
        chunk_size=row.job.chunk_size,
        stored_bytes=row.job.stored_bytes,
        checksum=_text(row.job.checksum),
        digest_hex=_text(row.job.digest_hex),
        claim=_text(row.job.claim),
        runs=[_manifest_run(run, row.job, urls) for run in runs],
    )


def _manifest_run(run: Owned, row: JobView, urls: dict[int, str]) -> jobs.ManifestRange:
    first, stop, number = run
    end = row.size_bytes if row.size_bytes >= 0 else stop * row.chunk_size
    return jobs.ManifestRange(
        first=first,
        count=stop - first,
        start_byte=first * row.chunk_size,
        stop_byte=min(stop * row.chunk_size, end),
        source=_known(number),
        url=_text(urls.get(number, "")),
    )


def why(id: str, rows: Sequence[Bottleneck]) -> jobs.Why:
    bindings = [jobs.Bottleneck(kind=row.kind, text=shortened(row.text)) for row in rows]
    return jobs.Why(id=id, text=bindings[0].text if bindings else "Nothing holds it back.", bindings=bindings)


def happening(row: EventEntry) -> jobs.Happening:
    data = json.loads(row.data) if row.data else {}
    return jobs.Happening(serial=row.serial, at=moment(row.at_ms), kind=row.kind, data=data)


def target(found: FileMatch) -> peers.FileMatch:
    return peers.FileMatch(
        name=shortened(found.name),
        size=found.size_bytes,
        extension=shortened(found.extension),
        users=len(found.hits),
        free=found.free,
        speed_bytes_s=min(found.speed_bytes_s, COUNT_MAX),
        shortest_queue=min(found.shortest_queue, COUNT_MAX),
        sources=holders(found),
    )


def holders(found: FileMatch) -> list[peers.Holder]:
    return [
        peers.Holder(
            username=hit.peer,
            full_path=hit.path,
            size=hit.size_bytes,
            slots_free=hit.slots_free,
            queue_length=min(hit.queue_length, COUNT_MAX),
            speed_bytes_s=min(hit.speed_bytes_s, COUNT_MAX),
        )
        for hit in found.ranked()[: peers.HITS_TOLD_MAX]
    ]


def known_user(row: PeerView) -> peers.KnownUser:
    return peers.KnownUser(
        username=row.peer,
        rate_bytes_s=_number(row.rate_bytes_s),
        setup_s=_number(row.setup_s),
        offset_ok=row.offset_ok,
        failures=row.failures,
        last_fault=_fault(row.last_fault) if row.failures else None,
        stops_today=row.stops_today,
        seen_at=moment(row.seen_ms) if row.seen_ms else None,
    )


def stops_of_day(row: StopCount) -> peers.StopsOfDay:
    return peers.StopsOfDay(username=row.peer, day=date.fromisoformat(row.day), count=row.count)


def limit(row: Counts) -> peers.Limit:
    return peers.Limit(limit=max(0, row.limit_bytes_s), rate_bytes_s=_number(row.rate_bytes_s))


def percent(state: str, stored_bytes: int, size_bytes: int) -> float:
    """Of an unfinished job never quite 100."""
    if state == SEALED:
        return 100.0
    return min(99.99, round(100 * stored_bytes / size_bytes, 2)) if size_bytes > 0 else 0.0


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(at_ms, 0), _UNTIL_MS) / 1000, UTC)


def _fault(number: int) -> str:
    try:
        return FaultKind(number).name.lower().replace("_", " ")
    except ValueError:
        return f"fault {number}"


def _known(number: int) -> int | None:
    return number if number > NOBODY else None


def _number(value: float) -> float:
    """As a float that JSON can say."""
    return min(max(value, 0.0), float(COUNT_MAX)) if value == value else 0.0


def _text(text: str) -> str | None:
    return shortened(text) or None
