"""Serializers from view rows to response models, where attributes alone do not say it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from msgspec.structs import asdict, replace

from protocol.http_api.native import job_schemas as jobs
from protocol.http_api.native import peer_schemas as peers
from protocol.http_api.schema_base import CHUNKS_MAX, COUNT_MAX, PAGE_MAX
from protocol.model.faults import FaultKind
from protocol.model.file_matches import FileMatch
from protocol.model.job_records import SEALED, EventEntry
from protocol.model.job_views import Bottleneck, Counts, JobDetail, JobView, PeerView, SourceView

# Chunk map of a job: the whole file as ranges of chunks that share state and source, run-length encoded.

UNKNOWN: Final = -1

Owned = tuple[int, int, int]
"""``(first, stop, source)``: chunks ``[first, stop)`` of one source, `UNKNOWN` when it is no longer known."""


class MapRange(NamedTuple):
    """Run of `length` chunks from `first` on that are alike.

    `state`: ``missing``, ``leased`` (not yet stored), ``stored``.
    """

    first: int
    length: int
    state: jobs.ChunkState
    source: int


def chunk_map(stored: Iterable[Owned], leased: Iterable[Owned], chunk_count: int) -> list[MapRange]:
    """Return ranges that cover ``[0, chunk_count)`` in order, neighbours unlike; what is stored hides what is leased.

    Of two leases of the same chunks (an endgame duplicate) the one that begins first is shown. What lies
    beyond the file is cut off.
    """
    out: list[_Laid] = []
    begun, length, before, sender = 0, 0, "", UNKNOWN
    for each in _laid(sorted(stored), sorted(leased), chunk_count):
        _, count, state, source = each
        if state == before and source == sender:
            length += count
            out[-1] = (begun, length, state, source)
        else:
            begun, length, before, sender = each
            out.append(each)
    return list(map(_named, out))


_Laid = tuple[int, int, jobs.ChunkState, int]
_named: Final[Callable[[_Laid], MapRange]] = partial(tuple.__new__, MapRange)


def _laid(stored: list[Owned], leases: list[Owned], chunk_count: int) -> list[_Laid]:
    """Return ranges without the merge of neighbours. Plain tuples and no generator: a map may have 10 000 of them."""
    out: list[_Laid] = []
    at = 0
    over = 0  # leases before this index end before `at`
    for first, stop, source in (*stored, (chunk_count, chunk_count, UNKNOWN)):
        first, stop = max(at, min(first, chunk_count)), min(stop, chunk_count)
        if at < first:
            while over < len(leases) and leases[over][1] <= at:
                over += 1
            if over == len(leases) or leases[over][0] >= first:
                out.append((at, first - at, "missing", UNKNOWN))
            else:
                out += _gap(at, first, leases, over)
        if first < stop:
            out.append((first, stop - first, "stored", source))
        at = max(first, stop)
    return out


def _gap(at: int, end: int, leases: list[Owned], begin: int) -> Iterator[_Laid]:
    for index in range(begin, len(leases)):
        first, stop, source = leases[index]
        if first >= end:
            break
        first, stop = max(at, first), min(stop, end)
        if first >= stop:
            continue
        if at < first:
            yield (at, first - at, "missing", UNKNOWN)
        yield (first, stop - first, "leased", source)
        at = stop
    if at < end:
        yield (at, end - at, "missing", UNKNOWN)


# Rows.

_NONE: Final = "Nothing holds it back."


def job(row: JobView) -> jobs.Job:
    """Return one job as a list shows it."""
    return jobs.Job.model_validate(_members(row))


def _members(row: JobView) -> dict[str, Any]:
    members = row.spec.fields() | row.fields()
    members["percent"] = percent(row.state, row.stored_bytes, row.size_bytes)
    members["stop_budget"] = row.spec.policy.stops_per_job
    members["resumed_bytes"] = max(0, row.resumed_bytes)
    members["claim"], members["identity"] = row.claim.kind, row.claim
    return members


def job_detail(row: JobDetail, drawn: jobs.ChunkMap | None) -> jobs.JobDetail:
    """Return one job with its sources and its chunk map, if `drawn`."""
    sources, notes = [_source(one) for one in row.sources[: jobs.SOURCES_TOLD_MAX]], row.notes[-PAGE_MAX:]
    return jobs.JobDetail.model_validate(
        {**_members(row.job), "sources": sources, "chunk_map": drawn, "notes": list(notes)}
    )


def _source(row: SourceView) -> SourceView:
    """Return a source's row without a lease that is empty, and without the end of one that has none yet."""
    if row.lease_stop > CHUNKS_MAX:  # the file's size is not known
        return replace(row, lease_stop=-1)
    return row if row.lease_first < row.lease_stop else replace(row, lease_first=-1, lease_stop=-1)


def chunks_of(row: JobDetail, stored: Iterable[Owned]) -> jobs.ChunkMap | None:
    """Return a job's chunk map: `stored` as the dispatcher or the manifest says, leases from its sources' rows."""
    if row.job.size_bytes < 0 or row.job.spec.chunk_size <= 0:
        return None
    count = -(-row.job.size_bytes // row.job.spec.chunk_size)
    leased = [(one.lease_first, one.lease_stop, one.number) for one in row.sources if one.lease_first >= 0]
    runs = chunk_map(stored, leased, count)
    return jobs.ChunkMap(
        chunk_size=row.job.spec.chunk_size,
        chunk_count=count,
        runs=[
            jobs.ChunkRange(first=first, count=length, state=state, source=owner)
            for first, length, state, owner in runs[: jobs.MAP_RUNS_MAX]
        ],
        truncated=len(runs) > jobs.MAP_RUNS_MAX,
    )


def manifest(row: JobDetail, runs: Sequence[Owned]) -> jobs.Manifest:
    """Return one page of a manifest: `runs` are those of the page."""
    urls = {one.number: one.url for one in row.sources}
    return jobs.Manifest.model_validate(
        {**_members(row.job), "runs": [_manifest_range(run, row.job, urls) for run in runs]}
    )


def _manifest_range(run: Owned, row: JobView, urls: dict[int, str]) -> jobs.ManifestRange:
    first, stop, number = run
    end = row.size_bytes if row.size_bytes >= 0 else stop * row.spec.chunk_size
    return jobs.ManifestRange(
        first=first,
        count=stop - first,
        start_byte=first * row.spec.chunk_size,
        stop_byte=min(stop * row.spec.chunk_size, end),
        source=number,
        url=urls.get(number, ""),
    )


def why(id: str, rows: Sequence[Bottleneck]) -> jobs.Why:
    """Return the bottlenecks of a job, tightest first."""
    bindings = [jobs.Bottleneck.model_validate(row) for row in rows]
    return jobs.Why(id=id, text=bindings[0].text if bindings else _NONE, bindings=bindings)


def happening(row: EventEntry) -> jobs.Happening:
    """Return one entry of a timeline."""
    return jobs.Happening.model_validate({**asdict(row), "data": json.loads(row.data) if row.data else {}})


def file_match(found: FileMatch) -> peers.FileMatch:
    """Return one file that a search found."""
    return peers.FileMatch(
        name=found.name,
        size=found.size_bytes,
        extension=found.extension,
        users=len(found.hits),
        free=found.free,
        speed_bytes_s=min(found.speed_bytes_s, COUNT_MAX),
        shortest_queue=min(found.shortest_queue, COUNT_MAX),
        sureness=found.sureness,  # type: ignore[arg-type]
        agreeing=found.agreeing,
        sources=holders(found),
    )


def holders(found: FileMatch) -> list[peers.Holder]:
    """Return who has a file, the soonest and fastest to send first."""
    return [
        peers.Holder(
            username=hit.peer,
            full_path=hit.path,
            size=hit.size_bytes,
            slots_free=hit.slots_free,
            queue_length=min(hit.queue_length, COUNT_MAX),
            speed_bytes_s=min(hit.speed_bytes_s, COUNT_MAX),
            bit_rate=hit.bit_rate_kbit_s,
            duration=hit.duration_s,
            sample_rate=hit.sample_rate_hz,
            bit_depth=hit.bit_depth,
        )
        for hit in found.ranked()[: peers.HITS_TOLD_MAX]
    ]


def known_user(row: PeerView) -> peers.KnownUser:
    """Return what is remembered of a user."""
    last_fault = _fault_name(row.last_fault) if row.failures else None
    return peers.KnownUser.model_validate({**asdict(row), "last_fault": last_fault})


def limit(row: Counts) -> peers.Limit:
    """Return the total limit and rate."""
    schedule = [peers.LimitWindow.model_validate(window) for window in row.schedule]
    return peers.Limit(limit=max(0, row.limit_bytes_s), rate_bytes_s=row.rate_bytes_s, schedule=schedule)


def percent(state: str, stored_bytes: int, size_bytes: int) -> float:
    """Return the stored part of a file; of an unfinished job never quite 100."""
    if state == SEALED:
        return 100.0
    return min(99.99, round(100 * stored_bytes / size_bytes, 2)) if size_bytes > 0 else 0.0


def _fault_name(number: int) -> str:
    try:
        return FaultKind(number).name.lower().replace("_", " ")
    except ValueError:
        return f"fault {number}"
