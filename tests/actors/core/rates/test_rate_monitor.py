"""Which ride is how fast, which is slow, which is silent, and who may send how much."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.max_min import max_min_shares
from actors.core.rates.rate_monitor import RateMonitor
from protocol.messages import (
    CapRate,
    JobClosed,
    Message,
    MonitorJob,
    SourceMeasured,
    SourceSlowed,
    SourcesMeasured,
    SourceStalled,
    Ticked,
    TransferEnded,
    TransferProgressed,
    TransfersProgressed,
)
from protocol.messages.addresses import Post
from protocol.model.job_spec import TransferPolicy

DISPATCHER = "hub/dispatcher-1"
KB = 1024


class Stage:
    """A watchdog with one job; `play` feeds one ride per source and collects what is said."""

    def __init__(self, *, limit_bytes_s: int = 0, slow_after_s: float = 15.0) -> None:
        self.state = RateMonitor()
        self.now_s = 0.0
        self.said: list[Post] = []
        watched = MonitorJob(
            job=1,
            dispatcher=DISPATCHER,
            policy=TransferPolicy(slow_rate_bytes_s=5 * KB, slow_after_s=slow_after_s),
            stall_s=10.0,
            limit_bytes_s=limit_bytes_s,
        )
        self.hear(watched)

    def hear(self, message: Message) -> None:
        self.said += self.state.handle(message, now_s=self.now_s)  # type: ignore[arg-type]

    def progress(self, received_bytes: float, *, source: int = 0, lease: int = 1) -> None:
        self.hear(
            TransferProgressed(
                job=1,
                source=source,
                lease=lease,
                received_bytes=int(received_bytes),
                worker=f"fetch-1/worker-1-{source}",
            )
        )

    def play(self, seconds: float, received: object) -> None:
        """`received`: a function from seconds since the beginning to bytes."""
        begin_s = self.now_s
        steps = round(seconds / 0.1)
        for step in range(1, steps + 1):
            self.now_s = begin_s + 0.1 * step
            if step % 2 == 0:
                self.progress(received(self.now_s))  # type: ignore[operator]
            self.hear(Ticked())

    def of(self, kind: type) -> list[Message]:
        return [post.message for post in self.said if isinstance(post.message, kind)]


def last_rate(stage: Stage) -> float:
    message = stage.of(SourceMeasured)[-1]
    assert isinstance(message, SourceMeasured)
    return message.rate_bytes_s


def test_a_steady_ride_is_measured_at_its_rate() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(5.0, lambda now_s: 1000 * KB * now_s)
    assert last_rate(stage) == pytest.approx(1000 * KB, rel=0.02)


def test_a_young_ride_is_not_measured_too_low_because_its_last_word_is_old() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(0.7, lambda now_s: 1000 * KB * now_s)
    assert last_rate(stage) == pytest.approx(1000 * KB, rel=0.02)


def test_the_setup_time_is_reported_apart_from_the_first_report() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(3.0, lambda now_s: 1000 * KB * max(0.0, now_s - 0.13))
    message = stage.of(SourceMeasured)[-1]
    assert isinstance(message, SourceMeasured)
    assert message.setup_s == pytest.approx(0.13, abs=0.02)


def test_a_burst_at_the_beginning_was_not_sent_before_it_was_asked_for() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(5.0, lambda now_s: 5000 * KB + 10 * KB * now_s)
    setups_s = [measured.setup_s for measured in stage.of(SourceMeasured) if isinstance(measured, SourceMeasured)]
    assert min(setups_s) >= 0.0
    assert setups_s[-1] > 0.0, "0 says that it is not known"


def test_reports_that_come_together_and_late_give_the_same_rates_in_one_message() -> None:
    stage = Stage()
    for source in range(3):
        stage.progress(0, source=source)
    late = random.Random(7)
    for half in range(1, 21):
        stage.now_s = 0.5 * half
        ago_s = tuple(late.uniform(0, 0.5) for _ in range(3))
        stage.hear(
            TransfersProgressed(
                process="fetch-1",
                jobs=(1, 1, 1),
                sources=(0, 1, 2),
                leases=(1, 1, 1),
                received_bytes=tuple(
                    int(20 * KB * (source + 1) * (stage.now_s - ago_s[source])) for source in range(3)
                ),
                ago_s=ago_s,
            )
        )
        stage.said.clear()
        stage.hear(Ticked())
    (message,) = stage.of(SourceMeasured) + stage.of(SourcesMeasured)
    assert isinstance(message, SourcesMeasured)
    rates = {each.source: each.rate_bytes_s for each in message.each()}
    for source in range(3):
        assert rates[source] == pytest.approx(20 * KB * (source + 1), rel=0.05)


def test_a_ride_under_the_floor_for_the_whole_time_is_slow_and_said_so_once() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(14.0, lambda now_s: 2 * KB * now_s)
    assert not stage.of(SourceSlowed)
    stage.play(10.0, lambda now_s: 2 * KB * now_s)
    assert len(stage.of(SourceSlowed)) == 1


def test_a_limiter_that_sends_in_bursts_is_not_slow() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(60.0, lambda now_s: 30 * KB * (now_s // 5 + 1))  # every five seconds 30 KB at once: 6 KB/s
    assert not stage.of(SourceSlowed)
    assert not stage.of(SourceStalled)


def test_a_ride_that_was_fast_and_crawls_now_is_slow() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(5.0, lambda now_s: 1000 * KB * now_s)
    stage.play(30.0, lambda now_s: 5000 * KB + 1 * KB * now_s)
    assert len(stage.of(SourceSlowed)) == 1


def test_silence_is_a_stall_not_slowness() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(2.0, lambda now_s: 100 * KB * now_s)
    stage.play(9.0, lambda _now_s: 200 * KB)
    assert not stage.of(SourceStalled)
    stage.play(5.0, lambda _now_s: 200 * KB)
    assert len(stage.of(SourceStalled)) == 1


def test_a_ride_whose_first_byte_never_comes_stalls_too() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(11.0, lambda _now_s: 0)
    assert len(stage.of(SourceStalled)) == 1


def test_a_new_lease_begins_a_new_judgement() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(8.0, lambda _now_s: 0)
    stage.progress(0, lease=2)
    stage.now_s += 5.0
    stage.hear(Ticked())
    assert not stage.of(SourceStalled)


def test_a_late_word_about_an_ended_ride_changes_nothing() -> None:
    stage = Stage()
    stage.progress(0, lease=2)
    stage.hear(TransferEnded(job=1, source=0, lease=1))
    stage.now_s += 11.0
    stage.hear(Ticked())
    assert len(stage.of(SourceStalled)) == 1


def test_an_ended_ride_and_a_forgotten_job_are_silent() -> None:
    for last in (TransferEnded(job=1, source=0, lease=1), JobClosed(job=1)):
        stage = Stage()
        stage.progress(0)
        stage.hear(last)
        stage.now_s += 60.0
        stage.hear(Ticked())
        assert not stage.said


def test_what_no_one_asked_to_watch_is_not_watched() -> None:
    state = RateMonitor()
    lost = TransferProgressed(job=7, source=0, lease=1, received_bytes=0, worker="fetch-1/worker-7-0")
    assert state.handle(lost, now_s=0.0) == []
    assert state.handle(Ticked(), now_s=60.0) == []


def test_the_caps_of_a_limited_job_sum_to_its_limit() -> None:
    stage = Stage(limit_bytes_s=900 * KB)
    for source in range(3):
        stage.progress(0, source=source)
    stage.hear(Ticked())
    caps = {cap.source: cap.rate_bytes_s for cap in stage.of(CapRate)}  # type: ignore[attr-defined]
    assert caps == {0: 300 * KB, 1: 300 * KB, 2: 300 * KB}


def test_what_a_slow_source_leaves_goes_to_the_fast_ones() -> None:
    stage = Stage(limit_bytes_s=900 * KB)
    for source in range(2):
        stage.progress(0, source=source)
    for step in range(1, 100):
        stage.now_s = 0.1 * step
        if step % 2 == 0:
            stage.progress(50 * KB * stage.now_s, source=0)
            stage.progress(800 * KB * stage.now_s, source=1)
        stage.hear(Ticked())
    caps = {cap.source: cap.rate_bytes_s for cap in stage.of(CapRate)}  # type: ignore[attr-defined]
    assert caps[1] > 700 * KB
    assert sum(caps.values()) <= 900 * KB * 1.1


@given(wants=st.lists(st.floats(0, 1e9) | st.just(float("inf")), min_size=1, max_size=20), limit=st.floats(1, 1e9))
def test_filling_sums_to_the_limit_and_gives_small_wishes_whole(wants: list[float], limit: float) -> None:
    shares = max_min_shares(wants, limit)
    assert sum(shares) == pytest.approx(limit)
    fair = limit / len(wants)
    assert all(share >= min(want, fair) * (1 - 1e-9) for share, want in zip(shares, wants, strict=True))


def test_no_one_shares_nothing() -> None:
    assert max_min_shares([], 100.0) == []


def test_a_young_ride_behind_a_limiter_is_measured_by_its_quotas() -> None:
    """Nicotine+ sends a second's quota at once: the first one alone would look like the speed of the machine."""
    stage = Stage()
    stage.progress(0)
    stage.play(2.0, lambda now_s: 8000 * KB * (1 + int(max(now_s - 0.2, 0.0))))
    measured = [message for message in stage.of(SourceMeasured) if isinstance(message, SourceMeasured)]
    rates = [message.rate_bytes_s for message in measured if message.rate_bytes_s > 0]
    assert rates, "it is known before the window is full"
    assert max(rates) <= 8000 * KB * 1.05


def test_a_young_even_ride_is_measured_at_once() -> None:
    stage = Stage()
    stage.progress(0)
    stage.play(0.8, lambda now_s: 1000 * KB * now_s)
    assert last_rate(stage) == pytest.approx(1000 * KB, rel=0.35)


def test_two_quotas_in_little_more_than_a_second_are_not_taken_for_twice_the_rate() -> None:
    """A ramp's first bytes, then a quota, silence, and the next quota: what a real limiter's ride begins with."""
    stage = Stage()
    stage.progress(0)
    stage.play(3.0, lambda now_s: 100 * KB + 8000 * KB * (1 + int(max(now_s - 0.4, 0.0))) if now_s > 0.4 else 100 * KB)
    measured = [message for message in stage.of(SourceMeasured) if isinstance(message, SourceMeasured)]
    rates = [message.rate_bytes_s for message in measured if message.rate_bytes_s > 0]
    assert rates
    assert max(rates) <= 8000 * KB * 1.1
