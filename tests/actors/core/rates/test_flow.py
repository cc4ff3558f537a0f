"""Flow of a single transfer, report by report: when its rate can be said, and what it could use of a limit."""

import pytest

from actors.core.rates.rate_monitor import (
    CAP_HEADROOM,
    DEMAND_MIN_BYTES_S,
    FIRST_JUDGED_S,
    QUOTAS_S_MAX,
    REPORT_GAP_S,
    WINDOW_S,
    RateMonitor,
)
from protocol.messages import (
    CapRate,
    JobClosed,
    LimitTotal,
    MonitorJob,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    Ticked,
    TransferProgressed,
)
from protocol.messages.addresses import Post
from protocol.model.job_spec import TransferPolicy


class Flow:
    """Transfers of one job; their reports and the ticks come at the times that a test says."""

    def __init__(self, *, slow_rate: int = 0, slow_after_s: float = 15.0, stall_s: float = 1000.0) -> None:
        self.monitor = RateMonitor()
        policy = TransferPolicy(slow_rate_bytes_s=slow_rate, slow_after_s=slow_after_s)
        watched = MonitorJob(job=1, dispatcher="hub/dispatcher-1", policy=policy, stall_s=stall_s, limit_bytes_s=0)
        self.monitor.handle(watched, now_s=0.0)

    def report(self, now_s: float, received: int, source: int = 0) -> list[Post]:
        worker = f"fetch-1/worker-1-{source}"
        message = TransferProgressed(job=1, source=source, lease=1, received_bytes=received, worker=worker)
        return self.monitor.handle(message, now_s=now_s)

    def tick(self, now_s: float) -> list[Post]:
        return self.monitor.handle(Ticked(), now_s=now_s)

    def rates(self, now_s: float) -> list[float]:
        """What a tick says of the rate; nothing, -1 that it cannot be said, or bytes a second."""
        measured = [post.message for post in self.tick(now_s)]
        return [each.rate_bytes_s for each in measured if isinstance(each, SourceMeasured)]

    def caps(self, now_s: float) -> dict[int, float]:
        messages = [post.message for post in self.tick(now_s)]
        return {each.source: each.rate_bytes_s for each in messages if isinstance(each, CapRate)}


def test_a_rate_is_said_from_the_second_report_on_when_a_moment_has_passed() -> None:
    flow = Flow()
    flow.report(0.0, 0)
    assert flow.rates(0.0) == [-1.0], "nothing has come"
    flow.report(0.0, 100)
    assert flow.rates(0.1) == [-1.0], "one report has no length"
    flow.report(FIRST_JUDGED_S - 0.02, 200)
    flow.report(FIRST_JUDGED_S - 0.01, 300)
    assert flow.rates(FIRST_JUDGED_S - 0.01) == [-1.0]
    flow.report(FIRST_JUDGED_S, 320)
    assert flow.rates(FIRST_JUDGED_S) == [pytest.approx(220 / FIRST_JUDGED_S)]
    assert flow.rates(FIRST_JUDGED_S) == [], "and once"


def even(flow: Flow, seconds: float, step_bytes: int = 100) -> None:
    """Ten reports a second, each of as many bytes, from 0 s on."""
    for step in range(round(10 * seconds) + 1):
        flow.report(step / 10, step_bytes * (step + 1))


def test_a_rate_is_the_mean_of_the_window() -> None:
    flow = Flow()
    even(flow, 2.0, 1000)
    for step in range(1, 61):  # a tenth of it from then on
        flow.report(2.0 + step / 10, 21_000 + 100 * step)
        flow.tick(2.0 + step / 10)
    flow.report(8.1, 21_000 + 6100)
    assert flow.rates(8.1) == [pytest.approx(1000.0)]
    assert WINDOW_S < 6.0


@pytest.mark.parametrize(
    ("at_s", "rate"), [(2.0, 1000.0), (2.0 + REPORT_GAP_S, 1000.0), (3.0, 2000 / (3.0 - REPORT_GAP_S))]
)
def test_silence_longer_than_the_gap_between_two_reports_lowers_the_rate(at_s: float, rate: float) -> None:
    flow = Flow()
    even(flow, 2.0)
    assert flow.rates(at_s) == [pytest.approx(rate)]


@pytest.mark.parametrize(("silent", "even_flow"), [(1, True), (2, True), (3, False)])
def test_a_flow_with_one_silent_report_in_five_is_still_even(silent: int, *, even_flow: bool) -> None:
    flow, received = Flow(), 0
    for step in range(10):
        received += 0 if step in (3, 5, 7)[:silent] else 100
        flow.report(step / 10, received)
    (rate,) = flow.rates(1.0)  # not a moment at which the quotas of a limiter can be judged
    assert (rate > 0) == even_flow
    assert rate > 0 or rate == -1.0


@pytest.mark.parametrize(("burst", "even_flow"), [(1300, True), (1500, False)])
def test_a_flow_of_which_one_report_brought_most_is_not_even(burst: int, *, even_flow: bool) -> None:
    flow, received = Flow(), 0
    for step in range(10):
        received += burst if step == 4 else 100
        flow.report(step / 10, received)
    (rate,) = flow.rates(1.0)
    assert (rate > 0) == even_flow


@pytest.mark.parametrize(
    ("at_s", "rate"), [(0.5, -1.0), (0.6, 8000.0), (0.85, 8000.0), (0.95, -1.0), (1.6, 8000.0), (1.95, -1.0)]
)
def test_a_limiters_flow_is_judged_where_a_quota_has_come_and_the_next_has_not(at_s: float, rate: float) -> None:
    flow = Flow()
    for step in range(round(at_s * 20) + 1):  # a quota of a second at once
        flow.report(step / 20, 8000 * (1 + step // 20))
    assert flow.rates(at_s) == [rate]


def test_an_older_transfer_is_judged_by_its_mean_however_it_flows() -> None:
    flow = Flow()
    for step in range(round(20 * (QUOTAS_S_MAX + 2))):
        flow.report(step / 20, 8000 * (1 + step // 20))
        rates = flow.rates(step / 20)
        if step >= 20 * QUOTAS_S_MAX:
            assert rates != [-1.0]
        elif step % 20 == 0:
            assert rates == [-1.0], step


def test_a_limiter_that_reports_at_no_good_moment_is_judged_without_news_but_once() -> None:
    flow = Flow()
    flow.report(0.0, 8000)
    flow.report(0.2, 8000)
    assert flow.rates(0.3) == [-1.0]
    assert flow.rates(0.5) == []
    assert flow.rates(0.6) == [8000.0]
    assert flow.rates(0.7) == []


def test_the_time_to_the_first_byte_is_said_with_the_rate_without_what_came_with_it() -> None:
    flow = Flow()
    flow.report(0.0, 0)
    assert [post.message.setup_s for post in flow.tick(0.1)] == [0.0]  # type: ignore[attr-defined]
    for step in range(11):
        flow.report(2.0 + step / 10, 500 + 100 * step)
    (measured,) = [post.message for post in flow.tick(3.0)]
    assert isinstance(measured, SourceMeasured)
    assert measured.rate_bytes_s == pytest.approx(1000.0)
    assert measured.setup_s == pytest.approx(1.5)
    assert (measured.received_bytes, measured.lease) == (1500, 1)


def test_a_transfer_is_stalled_after_its_time_without_a_byte_and_said_once() -> None:
    flow = Flow(stall_s=5.0)
    flow.report(0.0, 0)
    flow.report(4.0, 0)
    assert not [post for post in flow.tick(4.9) if isinstance(post.message, SourceStalled)]
    (stalled,) = [post.message for post in flow.tick(5.0) if isinstance(post.message, SourceStalled)]
    assert (stalled.source, stalled.lease, stalled.silent_s) == (0, 1, 5.0)
    assert not [post for post in flow.tick(9.0) if isinstance(post.message, SourceStalled)]
    flow.report(10.0, 1)  # the first byte came after all; its silence counts from here
    assert not [post for post in flow.tick(14.9) if isinstance(post.message, SourceStalled)]
    assert [post for post in flow.tick(15.0) if isinstance(post.message, SourceStalled)]


@pytest.mark.parametrize(("rate", "slow"), [(99, True), (100, False), (101, False)])
def test_a_transfer_is_slow_below_the_rate_and_not_at_it(rate: int, *, slow: bool) -> None:
    flow = Flow(slow_rate=100, slow_after_s=5.0)
    said: list[Post] = []
    for step in range(51):
        flow.report(float(step), rate * (step + 1))
        said += [post for post in flow.tick(float(step)) if isinstance(post.message, SourceSlowed)]
        assert step >= 5 or not said
    assert len(said) == slow


# --- what it could use ---


def shared(wanted: dict[int, float], limit: int) -> dict[int, float]:
    """The caps of a limit after transfers have gone on for a while, each at what its source gives or at its cap."""
    flow, received = Flow(), dict.fromkeys(wanted, 0.0)
    flow.monitor.handle(LimitTotal(limit_bytes_s=limit), now_s=0.0)
    caps: dict[int, float] = {}
    for step in range(101):
        for source, rate in wanted.items():
            received[source] += min(rate, caps.get(source, limit)) / 10
            posts = flow.report(step / 10, round(received[source]), source)
            caps.update((post.message.source, post.message.rate_bytes_s) for post in posts)  # type: ignore[attr-defined]
        caps.update(flow.caps(step / 10))
    return caps


def test_a_transfer_at_its_cap_gets_all_that_the_others_leave() -> None:
    caps = shared({0: 1e9, 1: 100}, limit=10_000)
    assert caps[1] == pytest.approx(DEMAND_MIN_BYTES_S, rel=0.06)
    assert caps[0] == pytest.approx(10_000 - DEMAND_MIN_BYTES_S, rel=0.06)


def test_a_transfer_below_its_cap_may_grow_by_a_quarter() -> None:
    caps = shared({0: 1e9, 1: 2000}, limit=10_000)
    assert caps[1] == pytest.approx(2000 * CAP_HEADROOM, rel=0.06)
    assert caps[0] == pytest.approx(10_000 - 2000 * CAP_HEADROOM, rel=0.06)


def test_what_has_just_begun_gets_an_equal_share() -> None:
    flow = Flow()
    flow.monitor.handle(LimitTotal(limit_bytes_s=1000), now_s=0.0)
    flow.report(0.0, 0, 0)
    flow.report(0.0, 0, 1)
    assert flow.caps(0.1) == {0: 500.0}, "the second was capped when it began"


def test_two_reports_are_enough_for_a_rate_where_time_lies_between_them() -> None:
    flow = Flow()
    flow.report(0.0, 100)
    flow.report(0.2, 200)
    assert flow.rates(0.2) == [pytest.approx(500.0)]
    at_once = Flow()
    at_once.report(0.0, 100)
    at_once.report(0.0, 200)
    assert at_once.rates(0.3) == [-1.0]


def test_a_limiters_flow_that_was_not_judged_yet_is_judged_between_two_reports() -> None:
    flow = Flow()
    for at_s, received in ((0.0, 8000), (0.3, 8000), (1.0, 16_000), (1.3, 16_000)):
        flow.report(at_s, received)
        assert flow.rates(at_s) == [-1.0]
    assert flow.rates(1.5) == []
    assert flow.rates(1.7) == [8000.0]
    assert flow.rates(1.75) == [], "and once"


def test_what_a_slower_transfer_leaves_goes_to_one_that_is_held_back_by_its_cap() -> None:
    flow = Flow()
    flow.monitor.handle(LimitTotal(limit_bytes_s=100_000), now_s=0.0)
    for step in range(21):
        flow.report(step / 10, 4500 * (step + 1), source=0)
        flow.report(step / 10, 1000 * (step + 1), source=1)
        if step == 0:
            assert flow.caps(0.0)[0] == 50_000.0
    assert flow.caps(2.0) == {0: pytest.approx(87_500.0), 1: pytest.approx(12_500.0)}


def test_a_job_that_is_closed_takes_its_transfers_with_it_and_no_others() -> None:
    monitor = RateMonitor()
    for job in (1, 2, 3):
        policy = TransferPolicy(slow_rate_bytes_s=0, slow_after_s=15.0)
        monitor.handle(MonitorJob(job=job, dispatcher="d", policy=policy, stall_s=9.0, limit_bytes_s=0), now_s=0.0)
        for at_s in (0.0, 0.4):
            progress = TransferProgressed(job=job, source=0, lease=1, received_bytes=int(100 * at_s), worker="w")
            monitor.handle(progress, now_s=at_s)
    monitor.handle(JobClosed(job=2), now_s=0.5)
    said = [post.message for post in monitor.handle(Ticked(), now_s=9.0 + 0.4)]
    assert sorted(each.job for each in said if isinstance(each, SourceStalled)) == [1, 3]
