"""Jobs of the job manager while they live: their rows and latest reports, the index of all, the order of starting."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from actors.core.jobs.transaction import Now
from protocol.messages import SourceProgressed
from protocol.model.filenames import numbered, unhidden_name
from protocol.model.identity import Claim
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import (
    ACTIVE,
    ENDED,
    QUEUED,
    AttemptRecord,
    JobRecord,
    ManifestRange,
    SaveJob,
    SaveSource,
    SourceRecord,
    Write,
)
from protocol.model.job_views import JobView, RateSample, SourceReport, SourceView
from protocol.model.source_url import is_slsk, name_from_url, public_url, same_url_key, slsk_address
from protocol.model.value import Struct, field

SOURCE_EVENTS_MAX: Final = 200
"""Changes of sources' states that become events, in one attempt."""
TRIED_AGAIN: Final = "; tried again in "
"""Between the reason of a failure and the time until the next attempt."""
SLSKD: Final = "slskd"
"""The origin of jobs that end, once they were tried again often enough: those tools ask another user then."""
WAITING: Final = "waiting"
"""The phase of an attempt that no source can deliver to."""
PHASES: Final = {"target": "opening", "closing": "riding"}
"""Phases of a dispatcher that a user need not tell apart."""


SAMPLE_S: Final = 5.0
SAMPLES_MAX: Final = 60
SAMPLED_SOURCES_MAX: Final = 16
"""Rates of that many sources are kept, every 5 s for 5 minutes: the page's chart begins with them."""


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
    rates: deque[tuple[float, tuple[int, ...], tuple[int, ...]]] = field(
        default_factory=lambda: deque(maxlen=SAMPLES_MAX)
    )
    """When a sample was taken, the sources that sent then, and how fast."""


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

    def sample_rates(self, now_s: float) -> None:
        """Keep the rates of this moment, when the last ones are old enough."""
        kept = self.attempt.rates if self.attempt is not None else None
        if kept is None or (kept and now_s - kept[-1][0] < SAMPLE_S):
            return
        sending = [(number, round(row.rate_bytes_s)) for number, row in self.progress.items() if row.rate_bytes_s >= 1]
        fastest = heapq.nlargest(SAMPLED_SOURCES_MAX, sending, key=lambda each: each[1])
        kept.append((now_s, tuple(each[0] for each in fastest), tuple(each[1] for each in fastest)))

    def rates(self, now_s: float) -> tuple[RateSample, ...]:
        """Return the rates that were kept, the oldest first."""
        kept = self.attempt.rates if self.attempt is not None else ()
        return tuple(RateSample(ago_s=round(now_s - at_s, 1), sources=who, rates=rates) for at_s, who, rates in kept)

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


def taken_s(job: Job, now: Now) -> float:
    """Return the time that counts for `max_time_s`: of its attempts, and between them."""
    return active_s(job, now) + job.record.between_s - job.record.timed_from_s


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


NameKey = tuple[str, str]


class JobIndex:
    """The living jobs by id, by attempt number and by file name, and which of them are queued.

    Owned by one `JobManagerState`. Every change of a job's `record` or `attempt` is followed by `update`. Invariants: a
    job is in `running` exactly while it has an attempt; in `queued` exactly while its state is queued; no two living
    jobs have the same file name in the same folder.
    """

    def __init__(self) -> None:
        self.living: dict[str, Job] = {}
        self.running: dict[int, Job] = {}
        self.queued: dict[str, Job] = {}
        self._names: dict[NameKey, str] = {}
        self._name_of: dict[str, NameKey] = {}
        self._enqueued: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self.living.values()))

    def by_number(self, number: int) -> Job | None:
        """Return the job whose attempt has this number; None for a late message about one that is over."""
        return self.running.get(number)

    def enqueued(self, user: str, remote_path: str) -> Job | None:
        """Return the job that was enqueued as this file of this user; one that only has still to be stopped is none."""
        job = self.living.get(self._enqueued.get((user, remote_path), ""))
        return job if job is not None and job.record.state not in ENDED else None

    def update(self, job: Job) -> None:
        """Index a job by its present state; one that has ended is dropped."""
        record = job.record
        if ended(job):
            self._drop(job)
            return
        self.living[record.id] = job
        if job.attempt is not None:
            self.running[record.number] = job
        if record.state == QUEUED:
            self.queued[record.id] = job
        else:
            self.queued.pop(record.id, None)
        if record.spec.origin == SLSKD and record.state not in ENDED:
            self._enqueued[record.spec.user, record.spec.remote_path] = record.id
        self._reserve_name(record)

    def attempt_ended(self, job: Job, number: int) -> None:
        """Attempt `number` of the job is over."""
        self.running.pop(number, None)
        job.attempt = None
        job.progress.clear()

    def free_name(self, folder: str, name: str, id: str) -> str:
        """Return `name`, which is safe, or the first of "name (1)" ... that no other living job of this folder has."""
        for proposal in numbered(name):
            if self._names.get(_key(folder, proposal), id) == id:
                return proposal
        return name

    def name_taken(self, folder: str, name: str, id: str) -> bool:
        return self._names.get(_key(folder, name), id) != id

    def _reserve_name(self, record: JobRecord) -> None:
        wanted = _key(record.spec.folder, record.file_name) if record.file_name else None
        before = self._name_of.get(record.id)
        if before == wanted:
            return
        if before is not None:
            del self._names[before], self._name_of[record.id]
        if wanted is not None and wanted not in self._names:
            self._names[wanted], self._name_of[record.id] = record.id, wanted

    def _drop(self, job: Job) -> None:
        self.living.pop(job.id, None)
        self.queued.pop(job.id, None)
        enqueued = (job.record.spec.user, job.record.spec.remote_path)
        if self._enqueued.get(enqueued) == job.id:
            del self._enqueued[enqueued]
        name = self._name_of.pop(job.id, None)
        if name is not None:
            del self._names[name]


def likely_name(record: JobRecord, urls: list[str]) -> str:
    """Return what the file will probably be called where the user gave no name; empty: not known yet."""
    return (
        next((name for url in urls if (name := unhidden_name(name_from_url(url)))), "") if not record.spec.term else ""
    )


def _key(folder: str, name: str) -> NameKey:
    """Some file systems ignore case."""
    return folder.rstrip("/"), name.casefold()


# Queue: order of starting by priority, then by age, without starvation.


QueueKey = tuple[bool, int, int, int]


def queue_key(job: JobRecord, *, starved_ms: int) -> QueueKey:
    """Return the sort key of a queued job; the smallest is started first.

    Jobs queued since before `starved_ms` precede all priorities, the oldest first. The job store sorts its pages by
    the same rule (`storage.job_store`).
    """
    starved = job.queued_ms <= starved_ms
    return (not starved, 0 if starved else -job.spec.priority, job.queued_ms, job.serial)


def next_to_start(
    queued: Iterable[JobRecord], policy: JobPolicy, *, room: int, searching: int, now_ms: int
) -> list[JobRecord]:
    """Return at most `room` jobs to start, in order.

    `searching` of the running ones search for users; a job that would be one too many is passed over.
    """
    if room <= 0:
        return []
    starved_ms = starved_since_ms(policy, now_ms)
    heap = [
        (queue_key(job, starved_ms=starved_ms), job) for job in queued if not job.number and due(job, policy, now_ms)
    ]
    heapq.heapify(heap)
    chosen: list[JobRecord] = []
    while heap and len(chosen) < room:
        _, job = heapq.heappop(heap)
        if searches(job):
            if searching >= policy.searching_max:
                continue
            searching += 1
        chosen.append(job)
    return chosen


def due(job: JobRecord, policy: JobPolicy, now_ms: int) -> bool:
    """Whether it may be tried again; a wall clock that was set back by hours delays no job by hours."""
    return not 0 < job.retry_at_ms - now_ms <= 1000 * policy.retry_s_max


def starved_since_ms(policy: JobPolicy, now_ms: int) -> int:
    """Return the time since which a job has to be queued to precede all priorities."""
    return now_ms - int(1000 * policy.starve_s)


def searches(job: JobRecord) -> bool:
    """Whether an attempt at it searches for users."""
    return bool(job.spec.term) or job.spec.widen


def retry_wait_s(policy: JobPolicy, retries: int) -> float:
    """Return the time until the next automatic retry, after this number of them."""
    return float(min(policy.retry_first_s * 2.0 ** min(retries, 30), policy.retry_s_max))
