"""Actors that share a thread take frames in order, one at a time; one that fails or stops leaves the others going."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from actors.runtime.shared_thread import SharedActor, SharedThread
from protocol.messages import ActorDied, JobClosed, Message, Ping, Ticked
from protocol.messages.codec import decode

WAIT_S = 30.0


class Listener(SharedActor):
    """Says who got what, in which thread; fails at `Ticked`, leaves the interpreter at `JobClosed`."""

    def __init__(self, name: str, bus: MessageBus, thread: SharedThread, said: "queue.SimpleQueue[Any]") -> None:
        super().__init__(name, bus, thread)
        self.said = said

    def starting(self) -> None:
        self.said.put((self.name, "starting"))

    def stopping(self) -> None:
        self.said.put((self.name, "stopping"))

    def handle(self, message: Any) -> None:
        match message:
            case Ping(serial=serial):
                self.said.put((self.name, serial))
            case Ticked():
                raise ValueError("cannot stand ticks")
            case JobClosed():
                raise SystemExit("leaving")


class Stage:
    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Message] = queue.SimpleQueue()
        bus.register("root", lambda frame: self.reports.put(decode(frame)))
        self.thread = SharedThread("shared")
        self.refs = [Listener.start(name, bus, self.thread, self.said) for name in ("left", "right")]

    def heard(self, count: int) -> list[Any]:
        return [self.said.get(timeout=WAIT_S) for _ in range(count)]


@pytest.fixture
def stage() -> Iterator[Stage]:
    bus = MessageBus("here", "/nonexistent")
    yield Stage(bus)
    pykka.ActorRegistry.stop_all()
    bus.close()


def test_frames_come_in_the_order_in_which_they_were_posted_to_all_of_them(stage: Stage) -> None:
    for serial in range(500):
        stage.bus.post("here/left", Ping(serial=serial))
        stage.bus.post("here/right", Ping(serial=serial))
    both = [(name, serial) for serial in range(500) for name in ("left", "right")]
    assert stage.heard(1002) == [("left", "starting"), ("right", "starting"), *both]


@pytest.mark.parametrize(
    ("fatal", "detail"), [(Ticked(), "ValueError: cannot stand ticks"), (JobClosed(job=1), "SystemExit: leaving")]
)
def test_one_that_fails_is_reported_and_handles_nothing_more_while_the_other_goes_on(
    stage: Stage, fatal: Message, detail: str
) -> None:
    for message in (fatal, Ping(serial=1), fatal):
        stage.bus.post("here/left", message)
    stage.bus.post("here/right", Ping(serial=2))
    assert stage.heard(3) == [("left", "starting"), ("right", "starting"), ("right", 2)]
    assert stage.reports.get(timeout=WAIT_S) == ActorDied(process="here", actor="left", detail=detail)
    assert stage.reports.empty()


def test_stopping_works_the_inbox_off_first_and_leaves_the_other(stage: Stage) -> None:
    left, right = stage.refs
    for serial in range(100):
        stage.bus.post("here/left", Ping(serial=serial))
    assert stop_actors([left], timeout_s=WAIT_S) == []
    stage.bus.post("here/left", Ping(serial=0))
    assert stage.bus.dropped == 1
    stage.bus.post("here/right", Ping(serial=7))
    assert stage.heard(104)[2:] == [*(("left", serial) for serial in range(100)), ("left", "stopping"), ("right", 7)]
    assert stop_actors([left, right], timeout_s=WAIT_S) == []


def test_two_stops_at_once_are_both_answered(stage: Stage) -> None:
    left = stage.refs[0]
    answers = [left.stop(block=False) for _ in range(2)]
    assert [answer.get(timeout=WAIT_S) for answer in answers]


def test_one_thread_runs_them_all(stage: Stage) -> None:
    before = threading.active_count()
    more = [Listener.start(f"more-{number}", stage.bus, stage.thread, stage.said) for number in range(20)]
    stage.heard(22)
    assert threading.active_count() <= before
    assert stop_actors(more, timeout_s=WAIT_S) == []
