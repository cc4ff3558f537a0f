"""Thresholds that people set, rates of rides that fall silent, and caps that are said again only when they change."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.max_min import max_min_shares
from actors.core.rates.rate_monitor import RateMonitor
from protocol.messages import (
    CapRate,
    Message,
    MonitorJob,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    Ticked,
    TransferEnded,
    TransferProgressed,
)
from protocol.messages.addresses import Post
from protocol.model.job_spec import TransferPolicy

KB = 1024.0


class Watched:
    """One watchdog, one job; `transfer` lets sources send at rates (bytes/s) for a while, five words a second."""

    def __init__(
        self, *, limit: float = 0, slow_rate: float = 5 * KB, slow_after_s: float = 15.0, stall_s: float = 10.0
    ) -> None:
        self.state, self.now_s, self.sent = RateMonitor(), 10.0, dict[int, float]()
        self.posts: list[Post] = []
        self.tell(
            MonitorJob(
                job=1,
                dispatcher="hub/dispatcher-1",
                policy=TransferPolicy(slow_rate_bytes_s=int(slow_rate), slow_after_s=slow_after_s),
                stall_s=stall_s,
                limit_bytes_s=int(limit),
            )
        )

    def tell(self, message: Message) -> None:
        self.posts += self.state.handle(message, now_s=self.now_s)  # type: ignore[arg-type]

    def progress(self, source: int) -> None:
        received = int(self.sent.setdefault(source, 0.0))
        worker = f"fetch-1/worker-1-{source}"
        self.tell(TransferProgressed(job=1, source=source, lease=source, received_bytes=received, worker=worker))

    def transfer(self, seconds: float, rates: dict[int, float], *, burst: bool = False) -> None:
        for step in range(round(seconds * 5)):
            self.now_s += 0.2
            for source, rate in rates.items():
                gained = (rate if step % 5 == 0 else 0.0) if burst else rate * 0.2
                self.sent[source] = self.sent.get(source, 0.0) + gained
                self.progress(source)
            self.tell(Ticked())

    def caps(self) -> list[tuple[int, float]]:
        """What was said since the last look."""
        caps = [(m.source, m.rate_bytes_s) for m in self.of(CapRate) if isinstance(m, CapRate)]
        self.posts.clear()
        return caps

    def of(self, kind: type) -> list[Message]:
        return [post.message for post in self.posts if isinstance(post.message, kind)]

    def rates(self) -> list[float]:
        return [message.rate_bytes_s for message in self.of(SourceMeasured) if isinstance(message, SourceMeasured)]


def test_a_limiter_that_sends_a_seconds_quota_at_once_is_neither_slow_nor_stalled_and_rated_fairly() -> None:
    job = Watched()
    job.transfer(40, {0: 6 * KB}, burst=True)
    assert job.of(SourceSlowed) + job.of(SourceStalled) == []
    judged = [rate for rate in job.rates()[20:] if rate >= 0]  # -1: it cannot be said while a quota comes
    assert len(judged) > 150
    assert min(judged) >= 4 * KB
    assert max(judged) <= 9 * KB


@pytest.mark.parametrize(("rate", "floor", "slow"), [(4, 5, True), (6, 5, False), (40, 50, True), (4, 2, False)])
def test_the_floor_is_what_the_job_says(rate: float, floor: float, slow: bool) -> None:
    job = Watched(slow_rate=floor * KB)
    job.transfer(20, {0: rate * KB})
    assert bool(job.of(SourceSlowed)) is slow


@pytest.mark.parametrize("after_s", [3.0, 15.0, 60.0])
def test_the_patience_is_what_the_job_says(after_s: float) -> None:
    job = Watched(slow_after_s=after_s)
    job.transfer(0.9 * after_s, {0: KB})
    assert job.of(SourceSlowed) == []
    job.transfer(0.3 * after_s + 0.4, {0: KB})
    assert len(job.of(SourceSlowed)) == 1


@pytest.mark.parametrize("stall_s", [2.0, 10.0])
def test_so_is_the_patience_with_silence(stall_s: float) -> None:
    job = Watched(stall_s=stall_s)
    job.transfer(1, {0: 100 * KB})
    job.transfer(0.9 * stall_s, {0: 0})
    assert job.of(SourceStalled) == []
    job.transfer(0.3 * stall_s, {0: 0})
    assert len(job.of(SourceStalled)) == 1


def test_the_rate_of_a_ride_that_fell_silent_goes_to_nothing() -> None:
    job = Watched()
    job.transfer(5, {0: 100 * KB})
    assert job.rates()[-1] == pytest.approx(100 * KB, rel=0.1)
    job.transfer(4, {0: 0})
    assert job.rates()[-1] == 0.0


def test_a_ride_of_which_nothing_is_heard_is_not_spoken_of() -> None:
    job = Watched()
    job.transfer(5, {0: 100 * KB})
    job.posts.clear()
    job.transfer(5, {})
    assert job.of(SourceMeasured) == []


# -- caps


def test_without_a_limit_no_one_is_capped() -> None:
    job = Watched()
    job.transfer(5, {0: 100 * KB, 1: KB})
    assert job.caps() == []


def test_caps_are_said_again_only_when_they_change() -> None:
    job = Watched(limit=200 * KB)
    job.transfer(10, {0: 100 * KB, 1: 100 * KB})
    job.caps()
    job.transfer(10, {0: 100 * KB, 1: 100 * KB})
    assert job.caps() == []
    job.transfer(1, {0: 100 * KB, 1: 100 * KB, 2: 0})
    assert {source for source, _ in job.caps()} == {0, 1, 2}


def test_caps_go_to_the_worker_that_rides() -> None:
    job = Watched(limit=100 * KB)
    job.progress(3)
    job.tell(Ticked())
    assert [post.to for post in job.posts if isinstance(post.message, CapRate)] == ["fetch-1/worker-1-3"]


def test_the_share_of_a_ride_that_ended_goes_to_the_others() -> None:
    job = Watched(limit=200 * KB)
    job.transfer(3, {0: 100 * KB, 1: 100 * KB})
    job.caps()
    job.tell(TransferEnded(job=1, source=1, lease=1))
    job.transfer(1, {0: 100 * KB})
    assert job.caps()[-1] == (0, 200 * KB)


# -- filling


WANTS = st.lists(st.floats(0, 1e6) | st.just(float("inf")), min_size=1, max_size=12)


@given(wants=WANTS, limit=st.floats(1, 1e6))
def test_who_asks_for_more_never_gets_less(wants: list[float], limit: float) -> None:
    shares = max_min_shares(wants, limit)
    ranked = sorted(zip(wants, shares, strict=True))
    assert all(low[1] <= high[1] + 1e-6 for low, high in pairwise(ranked))
    assert sum(shares) == pytest.approx(limit)


def test_small_wishes_are_granted_whole_and_the_rest_is_shared_equally() -> None:
    assert max_min_shares([10, float("inf"), float("inf")], 110) == [10, 50, 50]


def test_a_transfer_that_stands_still_leaves_the_limit_to_the_other() -> None:
    watched = Watched(limit=100 * KB, stall_s=1000)
    watched.transfer(5, {1: 50 * KB, 2: 50 * KB})
    watched.caps()
    watched.transfer(30, {1: 100 * KB, 2: 0.0})
    assert dict(watched.caps())[1] > 90 * KB
