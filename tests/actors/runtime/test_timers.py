"""Timers fire in order of time, once, unless cancelled."""

import queue
import time
from collections.abc import Iterator

import pytest

from actors.runtime.message_bus import CANCELLED_MAX, Timers

Rung = queue.SimpleQueue[tuple[str, bytes]]


@pytest.fixture
def rung() -> Rung:
    return queue.SimpleQueue()


@pytest.fixture
def timers(rung: Rung) -> Iterator[Timers]:
    def post(to: str, frame: bytes) -> None:
        if frame == b"bad":
            raise RuntimeError("no such addressee")
        rung.put((to, frame))

    timers = Timers(post)
    yield timers
    timers.close()


def take(rung: Rung, count: int) -> list[bytes]:
    return [rung.get(timeout=30)[1] for _ in range(count)]


def test_frames_come_in_the_order_of_their_time_then_of_asking(timers: Timers, rung: Rung) -> None:
    now_s = time.monotonic()
    for due_s, frame in ((0.03, b"4"), (0.01, b"2"), (0.02, b"3"), (0.01, b"2b"), (-1.0, b"1")):
        timers.post_at(now_s + due_s, "a/b", frame)
    timers.start()
    assert take(rung, 5) == [b"1", b"2", b"2b", b"3", b"4"]


def test_none_fires_before_its_time(timers: Timers, rung: Rung) -> None:
    timers.start()
    due_s = time.monotonic() + 0.05
    timers.post_at(due_s, "a/b", b"x")
    rung.get(timeout=30)
    assert time.monotonic() >= due_s


def test_a_sooner_timer_overtakes_one_that_is_waited_for(timers: Timers, rung: Rung) -> None:
    timers.start()
    timers.post_later(60, "a/b", b"late")
    timers.post_later(0.01, "a/b", b"soon")
    assert take(rung, 1) == [b"soon"]


def test_a_cancelled_timer_does_not_fire(timers: Timers, rung: Rung) -> None:
    timers.start()
    handle = timers.post_later(0.02, "a/b", b"never")
    timers.post_later(0.04, "a/b", b"after")
    handle.cancel()
    handle.cancel()
    assert take(rung, 1) == [b"after"]
    assert rung.empty()


def test_cancelled_timers_do_not_pile_up(timers: Timers, rung: Rung) -> None:
    timers.start()
    for _ in range(20 * CANCELLED_MAX):
        timers.post_later(3600, "a/b", b"x").cancel()
    assert len(timers) <= CANCELLED_MAX + 1


def test_a_timer_that_cannot_be_posted_does_not_silence_the_next(timers: Timers, rung: Rung) -> None:
    timers.start()
    timers.post_later(0, "a/b", b"bad")
    timers.post_later(0, "a/b", b"good")
    assert take(rung, 1) == [b"good"]


def test_nothing_rings_after_closing(timers: Timers, rung: Rung) -> None:
    timers.start()
    timers.post_later(0.02, "a/b", b"x")
    timers.close()  # the thread has ended when this returns
    timers.post_later(0, "a/b", b"y")
    timers.close()
    with pytest.raises(queue.Empty):
        rung.get(timeout=0.05)
