"""Queue of jobs: order of starting by priority, then by age, without starvation."""

import heapq
from collections.abc import Iterable

from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import JobRecord

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
