"""Who is started next: by priority, then by age; but nobody waits for ever."""

import heapq
from collections.abc import Iterable

from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import JobRecord

Place = tuple[bool, int, int, int]


def place(job: JobRecord, *, starved_ms: int) -> Place:
    """Smaller goes first. Who waits since before `starved_ms` goes before all priorities, the oldest first.
    The job store sorts its pages by the same rule (`storage.job_store`)."""
    starved = job.queued_ms <= starved_ms
    return (not starved, 0 if starved else -job.priority, job.queued_ms, job.serial)


def next_to_start(
    queued: Iterable[JobRecord], settings: JobPolicy, *, room: int, hunts: int, now_ms: int
) -> list[JobRecord]:
    """At most `room` jobs, in order. `hunts`: so many of the running ones search for users; who would be one too many
    is passed over."""
    if room <= 0:
        return []
    starved_ms = starved_since_ms(settings, now_ms)
    heap = [(place(job, starved_ms=starved_ms), job) for job in queued if not job.number and due(job, settings, now_ms)]
    heapq.heapify(heap)
    chosen: list[JobRecord] = []
    while heap and len(chosen) < room:
        _, job = heapq.heappop(heap)
        if searches(job):
            if hunts >= settings.hunts_max:
                continue
            hunts += 1
        chosen.append(job)
    return chosen


def due(job: JobRecord, settings: JobPolicy, now_ms: int) -> bool:
    """Whether it may be tried again; a clock that was set back by hours keeps nobody waiting for hours."""
    return not 0 < job.retry_at_ms - now_ms <= 1000 * settings.retry_s_max


def starved_since_ms(settings: JobPolicy, now_ms: int) -> int:
    return now_ms - int(1000 * settings.starve_s)


def searches(job: JobRecord) -> bool:
    """Whether a run of it has users searched for."""
    return bool(job.term) or job.widen


def retry_wait_s(settings: JobPolicy, retries: int) -> float:
    """So long until the next try by itself, after so many."""
    return float(min(settings.retry_first_s * 2.0 ** min(retries, 30), settings.retry_s_max))
