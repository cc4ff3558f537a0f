"""Many sources and few slots, one job's long work and the others' bytes: none holds another one up."""

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.runtime.background_work import THREADS_MAX
from protocol.messages import JobEnded, JobProgressed, SourceProgressed
from tests.actors.engine import Engine
from tests.http_mirrors.box import Character, Content, mirrors

pytestmark = pytest.mark.long

MB = 1_000_000
LINKS = 10
"""Connections between processes are made when the first message is to be sent."""


@pytest.fixture
def few_slots(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path, slots=2) as engine:
        yield engine


def test_sources_that_fall_silent_do_not_keep_the_slots_from_the_others(few_slots: Engine, tmp_path: Path) -> None:
    """Their leases end after ten seconds; until then the others would have nothing to write to."""
    silent, good = Character(stall_after_bytes=20_000), Character(rate_bytes_s=MB)
    content = Content(12 * MB)
    with mirrors([silent] * 4 + [good] * 4, content) as box:
        few_slots.begin(1, box.urls)
        few_slots.hear(JobProgressed, lambda report: report.stored_bytes >= 3 * MB, wait_s=9.0)
        few_slots.listen(0.3)
        rows = {each.source: each.bytes_stored for _, each in few_slots.heard if isinstance(each, SourceProgressed)}
        assert all(rows[source] > MB // 8 for source in range(4, 8)), "and each of them gets its turn"
        assert few_slots.ended(1).state == "sealed"
    assert content.matches(tmp_path / "file-1.bin")


def test_slow_sources_take_turns_with_few_slots_and_nothing_is_mixed_up(few_slots: Engine, tmp_path: Path) -> None:
    content = Content(3 * MB, seed=8)
    with mirrors([Character(rate_bytes_s=60_000 + 20_000 * n) for n in range(8)], content) as box:
        few_slots.begin(1, box.urls, chunk_size=1 << 17)
        few_slots.begin(2, box.urls, chunk_size=1 << 14)
        assert few_slots.ended(1).state == few_slots.ended(2).state == "sealed"
    for job in (1, 2):
        assert content.matches(tmp_path / f"file-{job}.bin")


def test_threads_and_descriptors_go_with_the_jobs(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine, mirrors([Character(rate_bytes_s=2 * MB)] * 3, Content(MB)) as box:
        names = ("hub", "store", "fetch-1")
        before = {name: _size_of(engine, name) for name in names}
        for job in range(1, 13):
            engine.begin(job, box.urls)
        left = set(range(1, 13))
        while left:
            left.discard(engine.hear(JobEnded).job)
        for name in names:
            threads, fds = before[name]
            threads += THREADS_MAX if name == "store" else 0  # these stay
            for _ in range(50):
                now = _size_of(engine, name)
                if now[0] <= threads and now[1] <= fds + LINKS:
                    break
                engine.listen(0.1)
            assert now[0] <= threads, name
            assert now[1] <= fds + LINKS, name


def _size_of(engine: Engine, process: str) -> tuple[int, int]:
    found = psutil.Process(engine.supervisor.pid_of(process))
    return found.num_threads(), found.num_fds()
