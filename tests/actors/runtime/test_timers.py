"""Alarms ring in order of time, once, unless cancelled."""

import queue
import time
from collections.abc import Iterator

import pytest

from actors.runtime.timers import CANCELLED_MAX, Timers

Rung = queue.SimpleQueue[tuple[str, bytes]]


@pytest.fixture
def rung() -> Rung:
    return queue.SimpleQueue()


@pytest.fixture
def alarm(rung: Rung) -> Iterator[Timers]:
    def post(to: str, frame: bytes) -> None:
        if frame == b"bad":
            raise RuntimeError("no such addressee")
        rung.put((to, frame))

    alarm = Timers(post)
    yield alarm
    alarm.close()


def take(rung: Rung, count: int) -> list[bytes]:
    return [rung.get(timeout=5)[1] for _ in range(count)]


def test_frames_come_in_the_order_of_their_time_then_of_asking(alarm: Timers, rung: Rung) -> None:
    now_s = time.monotonic()
    for due_s, frame in ((0.03, b"4"), (0.01, b"2"), (0.02, b"3"), (0.01, b"2b"), (-1.0, b"1")):
        alarm.post_at(now_s + due_s, "a/b", frame)
    alarm.start()
    assert take(rung, 5) == [b"1", b"2", b"2b", b"3", b"4"]


def test_none_rings_before_its_time(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    due_s = time.monotonic() + 0.05
    alarm.post_at(due_s, "a/b", b"x")
    rung.get(timeout=5)
    assert time.monotonic() >= due_s


def test_a_sooner_alarm_overtakes_one_that_is_waited_for(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    alarm.post_later(60, "a/b", b"late")
    alarm.post_later(0.01, "a/b", b"soon")
    assert take(rung, 1) == [b"soon"]


def test_a_cancelled_alarm_does_not_ring(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    handle = alarm.post_later(0.02, "a/b", b"never")
    alarm.post_later(0.04, "a/b", b"after")
    handle.cancel()
    handle.cancel()
    assert take(rung, 1) == [b"after"]
    assert rung.empty()


def test_cancelled_alarms_do_not_pile_up(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    for _ in range(20 * CANCELLED_MAX):
        alarm.post_later(3600, "a/b", b"x").cancel()
    assert len(alarm) <= CANCELLED_MAX + 1


def test_an_alarm_that_cannot_be_posted_does_not_silence_the_next(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    alarm.post_later(0, "a/b", b"bad")
    alarm.post_later(0, "a/b", b"good")
    assert take(rung, 1) == [b"good"]


def test_nothing_rings_after_closing(alarm: Timers, rung: Rung) -> None:
    alarm.start()
    alarm.post_later(0.02, "a/b", b"x")
    alarm.close()  # the thread has ended when this returns
    alarm.post_later(0, "a/b", b"y")
    alarm.close()
    with pytest.raises(queue.Empty):
        rung.get(timeout=0.05)
