"""A job as the job manager holds it while it lives: its rows in the book, and what was told last of its run."""

from dataclasses import dataclass, field
from typing import Final

from protocol.messages import SourceProgressed
from protocol.model.job_records import AttemptRecord, JobRecord, SaveJob, SaveSource, SourceRecord, Write
from protocol.model.job_views import ACTIVE, ENDED, SEALED, JobView, ManifestRange, SourceView
from protocol.model.source_url import is_slsk, public_url, same_url_key, slsk_address

SOURCE_EVENTS_MAX: Final = 200
"""So many changes of sources' standings are events in one run."""
WAITING: Final = "waiting"
"""The phase of a run that no source can deliver to."""
PHASES: Final = {"target": "opening", "closing": "riding"}
"""Phases of a dispatcher that people need not tell apart."""


@dataclass(slots=True)
class Attempt:
    """The run under way. `told`: runs of chunks and their owners, for each request, as they come in parts. `grew_s`:
    when bytes came last. `stop_s`: when it was last asked to stop. `numbers`: from the numbers that the hub gives
    sources to ours, where they differ."""

    kept: AttemptRecord
    grew_s: float
    phase: str = "opening"
    reason: str = ""
    rate_bytes_s: float = 0.0
    left_s: float = -1.0
    stop_s: float = float("-inf")
    source_events: int = 0
    told: dict[int, list[ManifestRange]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """Owned by `Jobs`. `run` is there exactly while `kept.number` is not 0. `rows`: what was told last of each source,
    by our number. `changed` and `changed_sources` are not written down yet."""

    kept: JobRecord
    sources: list[SourceRecord] = field(default_factory=list)
    run: Attempt | None = None
    rows: dict[int, SourceProgressed] = field(default_factory=dict)
    changed: bool = False
    changed_sources: set[int] = field(default_factory=set)

    @property
    def id(self) -> str:
        return self.kept.id

    def known(self, url: str) -> SourceRecord | None:
        key = same_url_key(url)
        return next((source for source in self.sources if same_url_key(source.url) == key), None)

    def usable(self) -> int:
        """How many sources nobody has taken out."""
        return sum(not source.left for source in self.sources)

    def number_of(self, hub_number: int) -> int:
        """Our number of a source that the hub calls so; -1: none of ours."""
        number = hub_number if self.run is None else self.run.numbers.get(hub_number, hub_number)
        return number if 0 <= number < len(self.sources) else -1

    def hub_number_of(self, number: int) -> int:
        """The inverse of `number_of`."""
        numbers = {} if self.run is None else self.run.numbers
        return next((hub for hub, ours in numbers.items() if ours == number), number)

    def unwritten(self) -> list[Write]:
        """What changed since it was written down last, which from now on it is."""
        writes: list[Write] = [SaveSource(self.sources[number]) for number in sorted(self.changed_sources)]
        if self.changed:
            writes.append(SaveJob(self.kept))
        self.changed = False
        self.changed_sources.clear()
        return writes


def new_source(id: str, number: int, url: str, *, found: bool = False) -> SourceRecord:
    """`url` was checked."""
    peer, path = slsk_address(url) if is_slsk(url) else ("", "")
    return SourceRecord(id=id, number=number, url=url, peer=peer, path=path, found=found)


def active_s(job: Job, now_ms: int) -> float:
    """All its runs together; the wall clock may have been set back."""
    run = job.run
    return job.kept.active_s + (max(0, now_ms - run.kept.begun_ms) / 1000 if run is not None else 0.0)


def claim(kept: JobRecord) -> str:
    """How strong is the proof of the content: equal sizes alone, or a digest that a person gave."""
    return "digest" if kept.checksum and kept.state == SEALED else "size"


def snapshot(job: Job, now_ms: int) -> JobView:
    kept, run = job.kept, job.run
    live = run if kept.state == ACTIVE else None
    places = [row.queue_place for row in job.rows.values() if row.queue_place >= 0]
    return JobView(
        id=kept.id,
        number=kept.number,
        name=kept.file_name or kept.name,
        folder=kept.folder,
        path=kept.path,
        size_bytes=size_of(kept),
        chunk_size=kept.chunk_size,
        mode=kept.mode,
        checksum=kept.checksum,
        state=kept.state,
        phase=live.phase if live is not None else "",
        reason=(live.reason if live is not None else "") or kept.reason,
        outcome=kept.outcome,
        priority=kept.priority,
        limit_bytes_s=kept.limit_bytes_s,
        origin=kept.origin,
        user=kept.user,
        remote_path=kept.remote_path,
        term=kept.term,
        removed=kept.removed,
        created_ms=kept.created_ms,
        started_ms=kept.started_ms,
        ended_ms=kept.ended_ms,
        active_s=active_s(job, now_ms),
        attempts=kept.attempts,
        stored_bytes=kept.stored_bytes,
        received_bytes=kept.received_bytes,
        refetched_bytes=kept.refetched_bytes,
        resumed_bytes=kept.resumed_bytes,
        rate_bytes_s=live.rate_bytes_s if live is not None else 0.0,
        left_s=live.left_s if live is not None else -1.0,
        digest_hex=kept.digest_hex,
        claim=claim(kept),
        source_count=kept.source_count,
        sources_active=sum(row.lease_first >= 0 for row in job.rows.values()) if live is not None else 0,
        stops=stops_of(job),
        queue_place=min(places, default=-1) if live is not None else -1,
    )


def stops_of(job: Job) -> int:
    """Of all its sources in all its runs; a row of a list has no sources at hand."""
    return sum(source.stops for source in job.sources) if job.sources else job.kept.stops


def size_of(kept: JobRecord) -> int:
    return kept.found_bytes if kept.found_bytes >= 0 else kept.size_bytes


def source_snapshot(source: SourceRecord, row: SourceProgressed | None) -> SourceView:
    """`row`: what its run told last, None without one."""
    return SourceView(
        number=source.number,
        url=public_url(source.url),
        peer=source.peer,
        path=source.path,
        standing=source.left or source.standing,
        phase=row.phase if row is not None else "",
        reason=source.reason,
        rate_bytes_s=row.rate_bytes_s if row is not None else 0.0,
        bytes_stored=source.bytes_stored,
        chunks=source.chunks,
        leases=source.leases,
        stops=source.stops,
        lease_first=row.lease_first if row is not None else -1,
        lease_stop=row.lease_stop if row is not None else -1,
        queue_place=row.queue_place if row is not None else -1,
    )


def ended(job: Job) -> bool:
    """Nothing of it is under way any more."""
    return job.kept.state in ENDED and job.run is None


def new_run(kept: AttemptRecord, *, now_s: float, searching: bool) -> Attempt:
    return Attempt(kept, grew_s=now_s, phase="searching" if searching else "opening")
