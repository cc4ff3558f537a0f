"""Reports of slow transfers go together, never older after newer."""

import queue
import tempfile
import time
from collections.abc import Iterator

import pytest

from actors.progress_reports import TOGETHER_MAX, ProgressReports
from actors.runtime.message_bus import MessageBus
from protocol.messages import Message, TransferEnded, TransferProgressed, TransfersProgressed
from protocol.messages.codec import decode

WAIT_S = 30.0


class World:
    def __init__(self, run_dir: str) -> None:
        self.said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.hub, self.here = MessageBus("hub", run_dir), MessageBus("fetch-1", run_dir)
        self.hub.register("watchdog", lambda frame: self.said.put(decode(frame)))
        for bus in (self.hub, self.here):
            bus.start()
        self.reports = ProgressReports(self.here)

    def heard(self) -> Message:
        return self.said.get(timeout=WAIT_S)


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="p-") as run_dir:
        made = World(run_dir)
        yield made
        made.here.close()
        made.hub.close()


def so_far(source: int, received_bytes: int) -> TransferProgressed:
    worker = f"fetch-1/worker-1-{source}"
    return TransferProgressed(job=1, source=source, lease=source + 10, received_bytes=received_bytes, worker=worker)


def test_the_last_report_of_each_slow_one_comes_in_one_message_with_its_age(world: World) -> None:
    begun_s = time.monotonic()
    for source in range(3):
        world.reports.report(so_far(source, 1), together=True)
    world.reports.report(so_far(1, 2), together=True)
    message = world.heard()
    assert isinstance(message, TransfersProgressed)
    assert (message.process, message.jobs) == ("fetch-1", (1, 1, 1))
    rows = zip(message.sources, message.leases, message.received_bytes, strict=True)
    assert sorted(rows) == [(0, 10, 1), (1, 11, 2), (2, 12, 1)]
    assert all(0 <= ago_s <= time.monotonic() - begun_s for ago_s in message.ago_s)


def test_what_comes_at_once_takes_the_place_of_what_waits(world: World) -> None:
    world.reports.report(so_far(0, 1), together=True)
    world.reports.report(so_far(1, 1), together=True)
    world.reports.report(so_far(0, 2), together=False)
    assert world.heard() == so_far(0, 2)
    rest = world.heard()
    assert isinstance(rest, TransfersProgressed)
    assert rest.sources == (1,)


def test_nothing_is_said_of_a_transfer_after_its_end(world: World) -> None:
    ended = TransferEnded(job=1, source=0, lease=10)
    world.reports.report(so_far(0, 1), together=True)
    world.reports.ended(ended)
    assert world.heard() == ended
    world.reports.report(so_far(1, 1), together=True)
    rest = world.heard()
    assert isinstance(rest, TransfersProgressed)
    assert rest.sources == (1,)


def test_more_than_fit_come_in_several_messages(world: World) -> None:
    count = 2 * TOGETHER_MAX + 1
    for source in range(count):
        world.reports.report(so_far(source, 1), together=True)
    heard: set[int] = set()
    while len(heard) < count:
        message = world.heard()
        assert isinstance(message, TransfersProgressed)
        heard.update(message.sources)
