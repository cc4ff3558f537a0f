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
