"""One limit for all jobs, one for each: fair shares, at once, and lifted again from everybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.max_min import max_min_shares
from actors.core.rates.bandwidth_shares import UNLIMITED, BandwidthShares, Demand
from actors.core.rates.rate_monitor import RateMonitor
from protocol.messages import CapRate, JobClosed, LimitTotal, Message, MonitorJob, Ticked, TransferProgressed
from protocol.messages.addresses import Post
from protocol.model.job_spec import TransferPolicy


def demand(job: int, source: int, rate: float = UNLIMITED) -> Demand:
    return Demand(job, source, f"fetch-1/worker-{job}-{source}", rate)


def caps(posts: list[Post]) -> dict[tuple[int, int], float]:
    messages = [post.message for post in posts if isinstance(post.message, CapRate)]
    return {(each.job, each.source): each.rate_bytes_s for each in messages}


def test_jobs_share_a_total_equally_however_many_rides_they_have() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    reported = caps(shares.share_out([demand(1, 0), demand(2, 0), demand(2, 1), demand(2, 2), demand(2, 3)]))
    assert reported == {(1, 0): 500.0, (2, 0): 125.0, (2, 1): 125.0, (2, 2): 125.0, (2, 3): 125.0}


def test_what_one_job_does_not_use_goes_to_the_other() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    reported = caps(shares.share_out([demand(1, 0, 100.0), demand(2, 0)]))
    assert reported == {(1, 0): pytest.approx(100.0), (2, 0): pytest.approx(900.0)}


def test_a_jobs_own_limit_holds_under_the_total() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    shares.limit(1, 200)
    reported = caps(shares.share_out([demand(1, 0), demand(1, 1), demand(2, 0)]))
    assert reported[1, 0] + reported[1, 1] == pytest.approx(200.0)
    assert reported[2, 0] == pytest.approx(800.0)


def test_a_job_without_a_limit_beside_one_with_a_limit_has_no_cap() -> None:
    shares = BandwidthShares()
    shares.limit(1, 200)
    assert caps(shares.share_out([demand(1, 0), demand(2, 0)])) == {(1, 0): 200.0}


def test_a_limit_that_is_gone_is_lifted_also_from_those_that_do_not_ride() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    shares.share_out([demand(1, 0), demand(2, 0)])
    shares.total_bytes_s = 0
    assert caps(shares.share_out([demand(1, 0)])) == {(1, 0): 0.0, (2, 0): 0.0}
    assert shares.share_out([demand(1, 0)]) == []


def test_a_cap_is_said_again_only_when_it_moves() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    shares.share_out([demand(1, 0)])
    assert shares.share_out([demand(1, 0)]) == []
    shares.total_bytes_s = 1020
    assert shares.share_out([demand(1, 0)]) == []
    shares.total_bytes_s = 2000
    assert caps(shares.share_out([demand(1, 0)])) == {(1, 0): 2000.0}


def test_a_new_worker_of_a_source_hears_its_cap() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    shares.share_out([demand(1, 0)])
    (post,) = shares.share_out([Demand(1, 0, "fetch-2/worker-1-0", UNLIMITED)])
    assert post.to == "fetch-2/worker-1-0"


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.0, 1e6) | st.just(UNLIMITED)), min_size=1, max_size=20),
    st.integers(1, 10**6),
    st.lists(st.integers(0, 10**5), min_size=4, max_size=4),
)
def test_caps_never_sum_to_more_than_any_limit(transfers: list[tuple[int, float]], total: int, own: list[int]) -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = total
    for job, limit in enumerate(own, 1):
        shares.limit(job, limit)
    reported = caps(shares.share_out([demand(job, source, rate) for source, (job, rate) in enumerate(transfers)]))
    assert len(reported) == len(transfers)
    assert all(cap > 0 for cap in reported.values()), "no one is shut out, and 0 would mean no cap"
    assert sum(reported.values()) <= total * 1.000001 + len(transfers)
    for job, limit in enumerate(own, 1):
        if limit:
            assert sum(cap for key, cap in reported.items() if key[0] == job) <= limit * 1.000001 + len(transfers)


def test_water_fills_small_wishes_first() -> None:
    assert max_min_shares([1.0, 10.0, 10.0], 11.0) == [1.0, 5.0, 5.0]
    assert max_min_shares([1.0, 2.0], 9.0) == [4.0, 5.0]
    assert max_min_shares([], 9.0) == []


# -- in the watchdog


class Watch:
    """A watchdog with jobs whose rides all get what they may."""

    def __init__(self, *jobs: int) -> None:
        self.state, self.now_s = RateMonitor(), 10.0
        self.caps: dict[tuple[int, int], float] = {}
        for job in jobs:
            self.limit(job, 0)

    def tell(self, message: Message) -> dict[tuple[int, int], float]:
        reported = caps(self.state.handle(message, now_s=self.now_s))  # type: ignore[arg-type]
        self.caps.update(reported)
        return reported

    def limit(self, job: int, limit: int) -> None:
        self.tell(
            MonitorJob(
                job=job,
                dispatcher=f"hub/dispatcher-{job}",
                policy=TransferPolicy(slow_rate_bytes_s=5120, slow_after_s=15.0),
                stall_s=10.0,
                limit_bytes_s=limit,
            )
        )

    def transfer(self, job: int, source: int = 0, received: int = 0) -> dict[tuple[int, int], float]:
        worker = f"fetch-1/worker-{job}-{source}"
        return self.tell(TransferProgressed(job=job, source=source, lease=1, received_bytes=received, worker=worker))


def test_a_limit_set_while_jobs_ride_holds_at_the_next_tick() -> None:
    watch = Watch(1, 2)
    watch.transfer(1)
    watch.transfer(2)
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
    watch.transfer(1)
    watch.tell(Ticked())
    assert watch.caps == {(1, 0): 1000.0}
    assert watch.transfer(2) == {(2, 0): 500.0}


def test_the_share_of_a_job_that_ended_goes_to_the_others() -> None:
    watch = Watch(1, 2)
    watch.tell(LimitTotal(limit_bytes_s=1000))
    watch.transfer(1)
    watch.transfer(2)
    watch.tell(Ticked())
    watch.tell(JobClosed(job=1))
    assert watch.tell(Ticked()) == {(2, 0): 1000.0}


def test_a_newcomer_has_no_cap_where_neither_its_job_nor_all_have_a_limit() -> None:
    shares = BandwidthShares()
    shares.limit(2, 500)
    assert shares.newcomer(demand(1, 0), 1) == []
    assert caps(shares.newcomer(demand(2, 0), 2)) == {(2, 0): 250.0}


def test_the_caps_of_a_job_are_forgotten_with_it_and_no_others() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1000
    shares.limit(1, 5)
    shares.share_out([demand(1, 2), demand(2, 1)])
    shares.forget(1)
    assert shares.cap_of(1, 2) == 0
    assert shares.cap_of(2, 1) == pytest.approx(995.0)
    assert shares.newcomer(demand(1, 2), 4) == [
        Post(to="fetch-1/worker-1-2", message=CapRate(job=1, source=2, rate_bytes_s=250.0))
    ]


def test_the_smallest_cap_is_lifted_like_any_other() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 1
    assert caps(shares.share_out([demand(1, 0), demand(1, 1)])) == {(1, 0): 1.0, (1, 1): 1.0}
    shares.total_bytes_s = 0
    assert caps(shares.share_out([demand(1, 0)])) == {(1, 0): 0.0, (1, 1): 0.0}


def test_a_job_that_ends_takes_its_caps_with_it_and_no_others() -> None:
    shares = BandwidthShares()
    shares.total_bytes_s = 900
    for job in (1, 2, 3):
        shares.newcomer(Demand(job, 0, f"w{job}", UNLIMITED), 3)
    shares.forget(2)
    assert [shares.cap_of(job, 0) for job in (1, 2, 3)] == [300.0, 0.0, 300.0]
