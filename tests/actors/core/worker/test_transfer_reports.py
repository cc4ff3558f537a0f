"""Reports of a transfer's progress: often at first and while it is fast, less often while it is slow."""

import itertools

from actors.core.worker.transfer import REPORT_BYTES, REPORT_FIRST_S, REPORT_S, REPORT_SLOW_S, Transfer


def reports(rate_bytes_s: float, *, seconds: float, step_s: float = 0.05) -> list[float]:
    transfer = Transfer(1, 0, 100_000, size_bytes=1 << 40, chunk_size=1 << 17, slot_bytes=2 << 20)
    times: list[float] = []
    for step in range(int(seconds / step_s)):
        now_s = 100.0 + step * step_s
        transfer.received_bytes = int(rate_bytes_s * step * step_s)
        if transfer.report_due(now_s=now_s):
            times.append(now_s - 100.0)
    return times


def gaps(times: list[float], after_s: float) -> list[float]:
    late = [each for each in times if each > after_s + REPORT_SLOW_S]
    return [second - first for first, second in itertools.pairwise(late)]


def test_the_first_is_due_at_once_and_the_next_ones_soon() -> None:
    times = reports(1000.0, seconds=REPORT_FIRST_S)
    assert times[0] == 0.0
    assert len(times) >= 0.8 * REPORT_FIRST_S / (REPORT_S + 0.05)


def test_a_slow_transfer_reports_less_often_later() -> None:
    assert min(gaps(reports(20_000.0, seconds=8.0), REPORT_FIRST_S)) >= REPORT_SLOW_S - 1e-9


def test_a_fast_transfer_goes_on_reporting_often() -> None:
    assert max(gaps(reports(REPORT_BYTES / REPORT_S * 2, seconds=8.0), REPORT_FIRST_S)) <= REPORT_S + 0.05 + 1e-9


def one() -> Transfer:
    return Transfer(1, 0, 100, size_bytes=1 << 40, chunk_size=1 << 17, slot_bytes=2 << 20)


def test_reports_are_a_fifth_of_a_second_apart_and_half_a_second_from_two_seconds_on_where_little_comes() -> None:
    transfer = one()
    due = [at for at in (0.0, 0.19, 0.21, 0.4, 0.42, 1.9, 2.09) if transfer.report_due(now_s=100.0 + at)]
    assert due == [0.0, 0.21, 0.42, 1.9], "what is slow after two seconds waits longer"
    assert [at for at in (2.39, 2.41, 2.9, 2.92) if transfer.report_due(now_s=100.0 + at)] == [2.41, 2.92]
    transfer.received_bytes += (64 << 10) - 1
    assert not transfer.report_due(now_s=103.15)
    transfer.received_bytes += 1
    assert transfer.report_due(now_s=103.15)


def test_up_to_two_seconds_after_the_first_report_none_is_slow() -> None:
    transfer = one()
    assert [at for at in (0.0, 1.75, 2.0, 2.25) if transfer.report_due(now_s=100.0 + at)] == [0.0, 1.75, 2.0]


def test_a_report_may_wait_for_others_from_six_seconds_after_the_first_byte_while_little_comes() -> None:
    transfer, slow = one(), []
    assert not transfer.slow
    assert transfer.report_due(now_s=100.0)
    transfer.took(1, now_s=101.0)
    for at in (101.0, 103.0, 107.0, 107.6):
        assert transfer.report_due(now_s=at)
        slow.append(transfer.slow)
    assert slow == [False, False, False, True]
    transfer.received_bytes += 64 << 10
    assert transfer.report_due(now_s=108.0)
    assert not transfer.slow
    assert transfer.report_due(now_s=109.0)
    assert transfer.slow


def test_a_report_of_nothing_yet_does_not_wait() -> None:
    transfer = one()
    for at in (100.0, 120.0):
        assert transfer.report_due(now_s=at)
        assert not transfer.slow
