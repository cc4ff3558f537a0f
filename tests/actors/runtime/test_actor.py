"""Actors take frames in order; a failure is one report and the end of that actor alone."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.runtime.actor import Actor, stop_actors
from actors.runtime.message_bus import MessageBus
from protocol.messages import ActorDied, JobClosed, Message, Ping, Ticked
from protocol.messages.codec import decode

Words = queue.SimpleQueue[object]


class Listener(Actor):
    """Says what it gets; fails at `Ticked`, leaves the interpreter at `JobClosed`."""

    def __init__(self, name: str, bus: MessageBus, words: Words, *, fails: str = "") -> None:
        super().__init__(name, bus)
        self.words = words
        self.fails = fails

    def starting(self) -> None:
        if self.fails == "starting":
            raise KeyError("starting")
        self.words.put("starting")

    def stopping(self) -> None:
        self.words.put("stopping")
        if self.fails == "stopping":
            raise KeyError("stopping")

    def handle(self, message: Any) -> None:
        match message:
            case Ping(serial=serial):
                self.words.put(serial)
            case Ticked():
                raise ValueError("cannot stand ticks")
            case JobClosed():
                raise SystemExit("leaving")


@pytest.fixture
def bus() -> Iterator[MessageBus]:
    bus = MessageBus("here", "/nonexistent")
    yield bus
    pykka.ActorRegistry.stop_all()
    bus.close()


@pytest.fixture
def reports(bus: MessageBus) -> "queue.SimpleQueue[Message]":
    """The inbox of ``here/root``."""
    reports: queue.SimpleQueue[Message] = queue.SimpleQueue()
    bus.register("root", lambda frame: reports.put(decode(frame)))
    return reports


@pytest.fixture
def words() -> Words:
    return queue.SimpleQueue()


def heard(words: Words, count: int) -> list[object]:
    return [words.get(timeout=30) for _ in range(count)]


def test_what_is_posted_right_after_the_start_is_handled_in_order_after_starting(bus: MessageBus, words: Words) -> None:
    Listener.start("ear", bus, words)
    for serial in range(1000):
        bus.post("here/ear", Ping(serial=serial))
    assert heard(words, 1001) == ["starting", *range(1000)]


def test_an_actor_that_fails_at_a_message_is_reported_once_and_handles_nothing_more(
    bus: MessageBus, words: Words, reports: "queue.SimpleQueue[Message]", caplog: pytest.LogCaptureFixture
) -> None:
    ref = Listener.start("ear", bus, words)
    for message in (Ping(serial=1), Ticked(), Ping(serial=2), Ticked()):
        bus.post("here/ear", message)
    died = ActorDied(process="here", actor="ear", detail="ValueError: cannot stand ticks")
    assert reports.get(timeout=30) == died
    assert ref.actor_stopped.wait(5)
    assert heard(words, 2) == ["starting", 1]
    bus.post("here/ear", Ticked())
    assert reports.empty()
    assert words.empty()
    assert [record.name for record in caplog.records] == ["actors.runtime.actor"]


def test_an_actor_that_fails_while_starting_is_reported_once_and_its_name_is_free(
    bus: MessageBus, words: Words, reports: "queue.SimpleQueue[Message]"
) -> None:
    Listener.start("ear", bus, words, fails="starting")
    assert reports.get(timeout=30) == ActorDied(process="here", actor="ear", detail="KeyError: 'starting'")
    Listener.start("ear", bus, words)
    bus.post("here/ear", Ping(serial=7))
    assert heard(words, 2) == ["starting", 7]
    assert reports.empty()


def test_an_actor_that_fails_while_stopping_is_reported_once(
    bus: MessageBus, words: Words, reports: "queue.SimpleQueue[Message]"
) -> None:
    ref = Listener.start("ear", bus, words, fails="stopping")
    assert stop_actors([ref], timeout_s=5) == []
    assert reports.get(timeout=30) == ActorDied(process="here", actor="ear", detail="KeyError: 'stopping'")
    assert reports.empty()


def test_even_an_exit_inside_an_actor_ends_only_that_actor(
    bus: MessageBus, words: Words, reports: "queue.SimpleQueue[Message]"
) -> None:
    Listener.start("leaver", bus, queue.SimpleQueue())
    Listener.start("ear", bus, words)
    bus.post("here/leaver", JobClosed(job=1))
    assert reports.get(timeout=30) == ActorDied(process="here", actor="leaver", detail="SystemExit: leaving")
    bus.post("here/ear", Ping(serial=1))
    assert heard(words, 2) == ["starting", 1]


def test_a_frame_that_is_no_message_is_dropped_and_the_actor_lives(
    bus: MessageBus, words: Words, reports: "queue.SimpleQueue[Message]"
) -> None:
    Listener.start("ear", bus, words)
    bus.post_frame("here/ear", b"\x93not a message")
    bus.post("here/ear", Ping(serial=1))
    assert heard(words, 2) == ["starting", 1]
    assert reports.empty()


def test_stopping_works_the_inbox_off_first(bus: MessageBus, words: Words) -> None:
    ref = Listener.start("ear", bus, words)
    for serial in range(100):
        bus.post("here/ear", Ping(serial=serial))
    assert stop_actors([ref], timeout_s=5) == []
    assert heard(words, 102) == ["starting", *range(100), "stopping"]
    bus.post("here/ear", Ping(serial=0))
    assert bus.dropped == 1


def test_an_actor_that_does_not_end_in_time_is_named(bus: MessageBus) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Stuck(Actor):
        def handle(self, message: Any) -> None:
            entered.set()
            leave.wait(10)

    ref = Stuck.start("stuck", bus)
    bus.post("here/stuck", Ticked())
    assert entered.wait(5)
    assert stop_actors([ref], timeout_s=0.05) == ["Stuck"]
    leave.set()
    assert stop_actors([ref], timeout_s=5) == []


def test_a_name_is_given_only_once(bus: MessageBus, words: Words) -> None:
    Listener.start("ear", bus, words)
    with pytest.raises(ValueError, match="here/ear is taken"):
        Listener.start("ear", bus, words)
    assert len(pykka.ActorRegistry.get_all()) == 1


def test_actors_never_keep_the_process_alive(bus: MessageBus, words: Words) -> None:
    Listener.start("ear", bus, words)
    heard(words, 1)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "ear")
    assert thread.daemon
