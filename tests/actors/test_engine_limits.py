"""Limits on real processes: shares of a total, changed while jobs run.

A busy machine sends less than a limit allows and reports in bursts, so no single second is judged: each claim must come
to hold, and none of them holds where the message before it was not heard.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.messages import LimitJob, LimitTotal, StopJob
from protocol.messages.addresses import POOL
from tests.actors.engine import Engine
from tests.http_mirrors.box import Box, Character, Content, mirrors

pytestmark = pytest.mark.long

MB = 1_000_000
WINDOW_S, WINDOWS_MAX = 2.0, 25


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path) as engine:
        yield engine


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors([Character(rate_bytes_s=8 * MB)] * 4, Content(300 * MB)) as box:
        yield box


def until_rates(engine: Engine, jobs: tuple[int, ...], hold: Callable[..., bool]) -> None:
    """Wait for a window in which the jobs store at rates (bytes a second) of which this holds."""
    seen: list[list[float]] = []
    while len(seen) < WINDOWS_MAX:
        before = [engine.stored(job) for job in jobs]
        engine.listen(WINDOW_S)
        seen.append([(engine.stored(job) - start) / WINDOW_S for job, start in zip(jobs, before, strict=True)])
        if hold(*seen[-1]):
            return
    raise AssertionError(f"in no window; rates {seen}")


def test_two_jobs_share_a_total_and_hear_of_another_one(engine: Engine, box: Box) -> None:
    engine.tell_watchdog(LimitTotal(limit_bytes_s=MB))
    engine.begin(1, box.urls[:1])
    engine.begin(2, box.urls[1:])
    engine.until_stored(1, MB // 8)
    engine.until_stored(2, MB // 8)
    # equal shares, though one of them has three sources
    until_rates(engine, (1, 2), lambda one, two: one + two < 1.3 * MB and 0 < one < 2 * two < 4 * one)
    engine.tell_watchdog(LimitTotal(limit_bytes_s=4 * MB))
    until_rates(engine, (1, 2), lambda one, two: 2 * MB < one + two < 5 * MB)
    engine.tell(POOL, LimitJob(job=2, limit_bytes_s=MB // 4))
    # what the limited one may not use goes to the other, more than its half of the total
    until_rates(engine, (1, 2), lambda one, two: two < MB / 2 and one > 2.4 * MB)
    for job in (1, 2):
        engine.tell(POOL, StopJob(job=job))
        assert engine.ended(job).state == "interrupted"


def test_a_limit_that_is_lifted_is_gone(engine: Engine, box: Box) -> None:
    engine.begin(1, box.urls[:2], limit_bytes_s=MB // 2)
    engine.until_stored(1, MB // 8)
    until_rates(engine, (1,), lambda slow: 0 < slow < 0.7 * MB)
    engine.tell(POOL, LimitJob(job=1, limit_bytes_s=0))
    until_rates(engine, (1,), lambda fast: fast > 1.5 * MB)
