"""One limit for all jobs, one for each: fair shares, at once, and lifted again from everybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.rates.bandwidth_shares import UNLIMITED, Limits, Wish, fill
from actors.core.rates.rate_monitor import SpeedState
from protocol.messages import CapRate, JobClosed, LimitTotal, Message, MonitorJob, Ticked, TransferProgressed
from protocol.messages.addresses import Post


def wish(job: int, source: int, rate: float = UNLIMITED) -> Wish:
    return Wish(job, source, f"fetch-1/worker-{job}-{source}", rate)


def caps(posts: list[Post]) -> dict[tuple[int, int], float]:
    messages = [post.message for post in posts if isinstance(post.message, CapRate)]
    return {(each.job, each.source): each.rate_bytes_s for each in messages}


def test_jobs_share_a_total_equally_however_many_rides_they_have() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    told = caps(limits.share_out([wish(1, 0), wish(2, 0), wish(2, 1), wish(2, 2), wish(2, 3)]))
    assert told == {(1, 0): 500.0, (2, 0): 125.0, (2, 1): 125.0, (2, 2): 125.0, (2, 3): 125.0}


def test_what_one_job_does_not_use_goes_to_the_other() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    told = caps(limits.share_out([wish(1, 0, 100.0), wish(2, 0)]))
    assert told == {(1, 0): pytest.approx(100.0), (2, 0): pytest.approx(900.0)}


def test_a_jobs_own_limit_holds_under_the_total() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    limits.limit(1, 200)
    told = caps(limits.share_out([wish(1, 0), wish(1, 1), wish(2, 0)]))
    assert told[1, 0] + told[1, 1] == pytest.approx(200.0)
    assert told[2, 0] == pytest.approx(800.0)


def test_a_job_without_a_limit_beside_one_with_a_limit_has_no_cap() -> None:
    limits = Limits()
    limits.limit(1, 200)
    assert caps(limits.share_out([wish(1, 0), wish(2, 0)])) == {(1, 0): 200.0}


def test_a_limit_that_is_gone_is_lifted_also_from_those_that_do_not_ride() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    limits.share_out([wish(1, 0), wish(2, 0)])
    limits.total_bytes_s = 0
    assert caps(limits.share_out([wish(1, 0)])) == {(1, 0): 0.0, (2, 0): 0.0}
    assert limits.share_out([wish(1, 0)]) == []


def test_a_cap_is_said_again_only_when_it_moves() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    limits.share_out([wish(1, 0)])
    assert limits.share_out([wish(1, 0)]) == []
    limits.total_bytes_s = 1020
    assert limits.share_out([wish(1, 0)]) == []
    limits.total_bytes_s = 2000
    assert caps(limits.share_out([wish(1, 0)])) == {(1, 0): 2000.0}


def test_a_new_worker_of_a_source_hears_its_cap() -> None:
    limits = Limits()
    limits.total_bytes_s = 1000
    limits.share_out([wish(1, 0)])
    (post,) = limits.share_out([Wish(1, 0, "fetch-2/worker-1-0", UNLIMITED)])
    assert post.to == "fetch-2/worker-1-0"


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.0, 1e6) | st.just(UNLIMITED)), min_size=1, max_size=20),
    st.integers(1, 10**6),
    st.lists(st.integers(0, 10**5), min_size=4, max_size=4),
)
def test_caps_never_sum_to_more_than_any_limit(rides: list[tuple[int, float]], total: int, own: list[int]) -> None:
    limits = Limits()
    limits.total_bytes_s = total
    for job, limit in enumerate(own, 1):
        limits.limit(job, limit)
    told = caps(limits.share_out([wish(job, source, rate) for source, (job, rate) in enumerate(rides)]))
    assert len(told) == len(rides)
    assert all(cap > 0 for cap in told.values()), "nobody is shut out, and 0 would mean no cap"
    assert sum(told.values()) <= total * 1.000001 + len(rides)
    for job, limit in enumerate(own, 1):
        if limit:
            assert sum(cap for key, cap in told.items() if key[0] == job) <= limit * 1.000001 + len(rides)


def test_water_fills_small_wishes_first() -> None:
    assert fill([1.0, 10.0, 10.0], 11.0) == [1.0, 5.0, 5.0]
    assert fill([1.0, 2.0], 9.0) == [4.0, 5.0]
    assert fill([], 9.0) == []


# -- in the watchdog


class Watch:
    """A watchdog with jobs whose rides all get what they may."""

    def __init__(self, *jobs: int) -> None:
        self.state, self.now_s = SpeedState(), 10.0
        self.caps: dict[tuple[int, int], float] = {}
        for job in jobs:
            self.limit(job, 0)

    def tell(self, message: Message) -> dict[tuple[int, int], float]:
        told = caps(self.state.handle(message, now_s=self.now_s))  # type: ignore[arg-type]
        self.caps.update(told)
        return told

    def limit(self, job: int, limit: int) -> None:
        self.tell(
            MonitorJob(
                job=job,
                dispatcher=f"hub/dispatcher-{job}",
                slow_rate_bytes_s=5120,
                slow_after_s=15.0,
                stall_s=10.0,
                limit_bytes_s=limit,
            )
        )

    def ride(self, job: int, source: int = 0, received: int = 0) -> dict[tuple[int, int], float]:
        worker = f"fetch-1/worker-{job}-{source}"
        return self.tell(TransferProgressed(job=job, source=source, lease=1, received_bytes=received, worker=worker))


def test_a_limit_set_while_jobs_ride_holds_at_the_next_tick() -> None:
    watch = Watch(1, 2)
    watch.ride(1)
    watch.ride(2)
    assert watch.tell(Ticked()) == {}
    watch.tell(LimitTotal(limit_bytes_s=1000))
    assert watch.tell(Ticked()) == {(1, 0): 500.0, (2, 0): 500.0}
    watch.limit(1, 100)
    assert watch.tell(Ticked()) == {(1, 0): 100.0, (2, 0): 900.0}
    watch.tell(LimitTotal(limit_bytes_s=0))
    watch.limit(1, 0)
    assert watch.tell(Ticked()) == {(1, 0): 0.0, (2, 0): 0.0}


def test_a_ride_that_begins_under_a_limit_is_held_before_the_next_tick() -> None:
    watch = Watch(1, 2)
    watch.tell(LimitTotal(limit_bytes_s=1000))
    watch.ride(1)
    watch.tell(Ticked())
    assert watch.caps == {(1, 0): 1000.0}
    assert watch.ride(2) == {(2, 0): 500.0}


def test_the_share_of_a_job_that_ended_goes_to_the_others() -> None:
    watch = Watch(1, 2)
    watch.tell(LimitTotal(limit_bytes_s=1000))
    watch.ride(1)
    watch.ride(2)
    watch.tell(Ticked())
    watch.tell(JobClosed(job=1))
    assert watch.tell(Ticked()) == {(2, 0): 1000.0}
