"""Kill storms: whatever signals hit whichever child whenever, the download ends sealed and right without help."""

from __future__ import annotations

import random
import signal

import pytest

from tests.e2e.program import Shoal
from tests.e2e.storm import Storm
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(24_000_000, seed=77)
NEW = 0
"""Stands for a seed that no one knows before the test runs: all processes of a test run must see the same tests."""


def drawn(seed: int) -> int:
    seed = seed if seed != NEW else random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed {seed}")  # noqa: T201 - a storm that fails must be known again
    return seed


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, NEW])
def test_a_storm_of_kills_leaves_a_right_file_and_nothing_else(shoal: Shoal, seed: int) -> None:
    seed = drawn(seed)
    with mirrors([Character(rate_bytes_s=1.5e6)] * 3, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin")
        running.until_stored(1)
        with Storm(running, seed, 12, 0.4, (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)) as storm:
            done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed"), (seed, storm.hits, done.ended)
    assert storm.hits
    assert CONTENT.matches(shoal.folder / "file.bin"), (seed, storm.hits)
    assert shoal.files == ["file.bin"]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, NEW])
def test_a_storm_with_processes_that_stand_still_is_survived_too(shoal: Shoal, seed: int) -> None:
    seed = drawn(seed)
    with mirrors([Character(rate_bytes_s=1.2e6)] * 3, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin")
        running.until_stored(1)
        with Storm(running, seed, 4, 1.0, (signal.SIGSTOP, signal.SIGKILL)) as storm:
            done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed"), (seed, storm.hits, done.ended)
    assert CONTENT.matches(shoal.folder / "file.bin"), (seed, storm.hits)
    assert shoal.files == ["file.bin"]


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [
        ("hub", "store"),
        ("store", "fetch-1"),
        ("hub", "fetch-2"),
        ("fetch-1", "fetch-2"),
        ("hub", "store", "fetch-1", "fetch-2"),
    ],
    ids="+".join,
)
def test_several_that_die_at_once_are_all_replaced(shoal: Shoal, names: tuple[str, ...]) -> None:
    content = Content(9_000_000, seed=78)
    with mirrors([Character(rate_bytes_s=1.5e6)] * 3, content) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin")
        running.until_stored(10)
        for child in [running.child(name) for name in names]:
            child.kill()
        done = running.finish()
        sent = sum(count.bytes_sent for count in box.counts().values())
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert sent - content.size <= 4 << 20
    assert content.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]
