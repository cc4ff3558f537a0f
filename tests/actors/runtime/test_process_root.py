"""The root of a process answers for it, however much it has to make."""

import queue
import tempfile
import threading

from actors.runtime.message_bus import MessageBus
from actors.runtime.process_root import PING_BYTES_MAX, ProcessRoot
from protocol.messages import Message, Ping, Pong, StartWorker
from protocol.messages.codec import decode, encode

WAIT_S = 30.0


def test_a_ping_is_answered_while_workers_wait_to_be_started() -> None:
    making, go_on, made = threading.Event(), threading.Event(), queue.SimpleQueue[int]()

    def make(wanted: StartWorker) -> None:
        making.set()
        go_on.wait(WAIT_S)
        made.put(wanted.source)

    with tempfile.TemporaryDirectory(prefix="r-") as run_dir:
        front, here = MessageBus("front", run_dir), MessageBus("fetch-1", run_dir)
        said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        front.register("front", lambda frame: said.put(decode(frame)))
        for bus in (front, here):
            bus.start()
        root = ProcessRoot.start(here, {StartWorker: make}, stop_wanted=lambda: None, failed=lambda: None)
        try:
            for source in range(3):
                front.post("fetch-1/root", StartWorker(job=1, source=source, url="http://a/f"))
            assert making.wait(WAIT_S)
            front.post("fetch-1/root", Ping(serial=1 << 60))
            assert said.get(timeout=WAIT_S) == Pong(process="fetch-1", serial=1 << 60)
            assert made.empty()
        finally:
            go_on.set()
            root.stop(timeout=WAIT_S)
            front.close()
            here.close()
        assert [made.get(timeout=WAIT_S) for _ in range(3)] == [0, 1, 2]


def test_every_ping_is_short_enough_to_be_seen_as_one() -> None:
    assert len(encode(Ping(serial=(1 << 63) - 1))) <= PING_BYTES_MAX
