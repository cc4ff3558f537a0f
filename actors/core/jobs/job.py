"""Job of the job manager while it lives: its rows of the job store, and the latest reports of its attempt."""

from typing import Final

from actors.core.jobs.transaction import Now
from protocol.messages import SourceProgressed
from protocol.model.identity import Claim
from protocol.model.job_records import (
    ACTIVE,
    ENDED,
    AttemptRecord,
    JobRecord,
    ManifestRange,
    SaveJob,
    SaveSource,
    SourceRecord,
    Write,
)
from protocol.model.job_views import JobView, SourceReport, SourceView
from protocol.model.source_url import is_slsk, public_url, same_url_key, slsk_address
from protocol.model.value import Struct, field

SOURCE_EVENTS_MAX: Final = 200
"""Changes of sources' states that become events, in one attempt."""
TRIED_AGAIN: Final = "; tried again in "
"""Between the reason of a failure and the time until the next attempt."""
WAITING: Final = "waiting"
"""The phase of an attempt that no source can deliver to."""
PHASES: Final = {"target": "opening", "closing": "riding"}
"""Phases of a dispatcher that a user need not tell apart."""


class Attempt(Struct):
    """One run of a job's processes, while it is under way."""

    record: AttemptRecord
    begun_s: float
    """When it began, by the clock that is never set."""
    grew_s: float
    """When bytes came last."""
    phase: str = "opening"
    reason: str = ""
    estimate: str = ""
    rate_bytes_s: float = 0.0
    left_s: float = -1.0
    claim: Claim = field(default_factory=Claim)
    stop_s: float = float("-inf")
    """When it was last sent a stop."""
    source_events: int = 0
    contributors: dict[int, list[ManifestRange]] = field(default_factory=dict)
    """Parts of manifests that have come so far, by request."""
    numbers: dict[int, int] = field(default_factory=dict)
    """From the hub's numbers of sources to the job's, where they differ; -1: a source that the job does not use."""


class Job(Struct):
    """Owned by the `JobIndex`. Invariant: there is an `attempt` exactly while `record.number` is not 0."""

    record: JobRecord
    sources: list[SourceRecord] = field(default_factory=list)
    attempt: Attempt | None = None
    progress: dict[int, SourceProgressed] = field(default_factory=dict)
    """The latest report of each source, by the job's number of it."""
    changed: bool = False
    """`record` is newer than the store's row."""
    changed_sources: set[int] = field(default_factory=set)
    """Sources that are."""

    @property
    def id(self) -> str:
        return self.record.id

    def known(self, url: str) -> SourceRecord | None:
        key = same_url_key(url)
        return next((source for source in self.sources if same_url_key(source.url) == key), None)

    def usable(self) -> int:
        """Return the number of sources that were not dropped."""
        return sum(not source.left for source in self.sources)

    def number_of(self, hub_number: int) -> int:
        """Return the job's number of a source of the hub; -1: none of the job's."""
        number = hub_number if self.attempt is None else self.attempt.numbers.get(hub_number, hub_number)
        return number if 0 <= number < len(self.sources) else -1

    def hub_number_of(self, number: int) -> int:
        """Return the inverse of `number_of`."""
        numbers = {} if self.attempt is None else self.attempt.numbers
        return next((hub for hub, ours in numbers.items() if ours == number), number)

    def unwritten(self) -> list[Write]:
        """Return the writes for what changed since the last ones; it counts as written from now on."""
        writes: list[Write] = [SaveSource(self.sources[number]) for number in sorted(self.changed_sources)]
        if self.changed:
            writes.append(SaveJob(self.record))
        self.changed = False
        self.changed_sources.clear()
        return writes


def new_source(id: str, number: int, url: str, *, found: bool = False) -> SourceRecord:
    """`url` was checked."""
    peer, path = slsk_address(url) if is_slsk(url) else ("", "")
    return SourceRecord(id=id, number=number, url=url, peer=peer, path=path, found=found)


def new_attempt(record: AttemptRecord, now: Now, *, searching: bool) -> Attempt:
    """Return an attempt of which nothing was reported yet.

    One that was stored began by the wall clock, which may have been set since; but not before the machine was started.
    """
    age_s = min(max(0, now.ms - record.begun_ms) / 1000, now.s)
    return Attempt(record, begun_s=now.s - age_s, grew_s=now.s, phase="searching" if searching else "opening")


def ended(job: Job) -> bool:
    """Whether nothing of it is under way any more."""
    return job.record.state in ENDED and job.attempt is None


def active_s(job: Job, now: Now) -> float:
    """Return the time of all its attempts together, whatever the wall clock was set to meanwhile."""
    attempt = job.attempt
    return job.record.active_s + (max(0.0, now.s - attempt.begun_s) if attempt is not None else 0.0)


def ended_ms(record: JobRecord, now: Now) -> int:
    """Return the wall time of its end, which is never before its start."""
    return max(now.ms, record.started_ms, record.created_ms)


def size_of(record: JobRecord) -> int:
    """Return the file's size as sources have it, else as it was ordered; -1: unknown."""
    return record.found_bytes if record.found_bytes >= 0 else record.spec.size_bytes


def stops_of(job: Job) -> int:
    """Return the stops of all its sources in all attempts; a row of a list has no sources at hand."""
    return sum(source.stops for source in job.sources) if job.sources else job.record.stops


def snapshot(job: Job, now: Now) -> JobView:
    """Return the job as lists show it."""
    record = job.record
    live = job.attempt if record.state == ACTIVE else None
    places = [report.queue_place for report in job.progress.values() if report.queue_place >= 0]
    fresh = {
        "reason": (live.reason if live is not None else "") or record.reason,
        "active_s": active_s(job, now),
        "stops": stops_of(job),
        "claim": live.claim if live is not None and live.claim.contributors else record.claim,
    }
    return JobView(
        **record.fields() | fresh,
        name=record.file_name or record.spec.name,
        size_bytes=size_of(record),
        phase=live.phase if live is not None else "",
        estimate=live.estimate if live is not None else "",
        rate_bytes_s=live.rate_bytes_s if live is not None else 0.0,
        left_s=live.left_s if live is not None else -1.0,
        sources_active=sum(report.lease_first >= 0 for report in job.progress.values()) if live is not None else 0,
        queue_place=min(places, default=-1) if live is not None else -1,
    )


def source_snapshot(source: SourceRecord, report: SourceProgressed | None) -> SourceView:
    """`report`: the latest of its attempt, None without one."""
    live = {} if report is None else {name: getattr(report, name) for name in SourceReport.__struct_fields__}
    stored = {name: getattr(source, name) for name in SourceReport.__struct_fields__ if hasattr(source, name)}
    return SourceView(
        **live | stored | {"standing": source.left or source.standing},
        number=source.number,
        url=public_url(source.url),
        path=source.path,
        preferred=source.preferred,
    )
