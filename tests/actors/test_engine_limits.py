"""Limits on real processes: shares of a total, changed while jobs run. Bounds are loose: machines are busy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.messages import LimitJob, LimitTotal, StopJob
from protocol.messages.addresses import POOL
from tests.actors.engine import Engine
from tests.http_mirrors.box import Box, Character, Content, mirrors

pytestmark = pytest.mark.long

MB = 1_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path) as engine:
        yield engine


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors([Character(rate_bytes_s=8 * MB)] * 4, Content(300 * MB)) as box:
        yield box


def gained(engine: Engine, seconds: float, *jobs: int) -> list[float]:
    """Bytes a second that each job stored over the next so many seconds."""
    before = [engine.stored(job) for job in jobs]
    engine.listen(seconds)
    return [(engine.stored(job) - start) / seconds for job, start in zip(jobs, before, strict=True)]


def test_two_jobs_share_a_total_and_hear_of_another_one_at_once(engine: Engine, box: Box) -> None:
    engine.tell_watchdog(LimitTotal(limit_bytes_s=2 * MB))
    engine.begin(1, box.urls[:1])
    engine.begin(2, box.urls[1:])
    engine.until_stored(1, MB // 4)
    engine.until_stored(2, MB // 4)
    one, two = gained(engine, 2.0, 1, 2)
    assert 1.2 * MB < one + two < 2.6 * MB
    assert 0.5 < one / two < 2.0, "equal shares, though one of them has three sources"
    engine.tell_watchdog(LimitTotal(limit_bytes_s=8 * MB))
    engine.listen(1.0)
    more = sum(gained(engine, 1.5, 1, 2))
    assert more > 4 * MB, "it holds within a second"
    engine.tell(POOL, LimitJob(job=2, limit_bytes_s=MB))
    engine.listen(1.0)
    one, two = gained(engine, 1.5, 1, 2)
    assert two < 1.8 * MB
    assert one > 3 * MB, "what the limited one may not use goes to the other"
    for job in (1, 2):
        engine.tell(POOL, StopJob(job=job))
        assert engine.ended(job).state == "interrupted"


def test_a_limit_that_is_lifted_is_gone_within_a_second(engine: Engine, box: Box) -> None:
    engine.begin(1, box.urls[:2], limit_bytes_s=MB // 2)
    engine.until_stored(1, MB // 8)
    (slow,) = gained(engine, 1.5, 1)
    assert slow < MB
    engine.tell(POOL, LimitJob(job=1, limit_bytes_s=0))
    engine.listen(1.0)
    (fast,) = gained(engine, 1.0, 1)
    assert fast > 5 * MB
