"""Order in which queued jobs start, against the rule in words."""

from hypothesis import given
from hypothesis import strategies as st

from actors.core.jobs.job import queue_key
from tests.specs import job_record

JOBS = st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 9)), max_size=8)


@given(JOBS, st.integers(-1, 10))
def test_who_has_waited_too_long_starts_first_then_the_highest_priority_then_the_oldest(
    drawn: list[tuple[int, int]], starved_ms: int
) -> None:
    """Of the same age, in the order in which they came."""
    jobs = [
        job_record(id=f"{serial}", serial=serial, priority=priority, queued_ms=queued_ms)
        for serial, (priority, queued_ms) in enumerate(drawn)
    ]
    shuffled = jobs[1::2] + jobs[::2]
    found = sorted(shuffled, key=lambda job: queue_key(job, starved_ms=starved_ms))
    starved = [job for job in jobs if job.queued_ms <= starved_ms]
    others = [job for job in jobs if job.queued_ms > starved_ms]
    by_age = sorted(others, key=lambda job: job.queued_ms)
    expected = sorted(starved, key=lambda job: job.queued_ms)
    for priority in range(3, -3, -1):
        expected += [job for job in by_age if job.spec.priority == priority]
    assert [job.serial for job in found] == [job.serial for job in expected]
