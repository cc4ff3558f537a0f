"""A worker that fails with our fault costs its process nothing: the slot it held or was to get goes to others."""

import queue
import tempfile
import threading
from typing import Any

from actors.peer_worker import PeerWorker
from actors.progress_reports import ProgressReports
from actors.runtime.message_bus import MessageBus
from actors.slot_returns import SlotReturns
from protocol.messages import ActorDied, LeaseGranted, Message, StartWorker
from protocol.messages.codec import decode
from storage.shared_memory import Arena

CHUNK = 4096


class Broken:
    """A reader with a fault of ours: it fails in the middle of its body."""

    ended, position = False, 0

    def __init__(self) -> None:
        self.fails = threading.Event()

    def open(self, start: int, stop: int | None, *, size_bytes: int) -> None: ...

    def read_into(self, view: memoryview) -> int:
        self.fails.wait(10)
        raise RuntimeError("ours")

    def probe(self) -> Any:
        raise NotImplementedError

    def hang_up(self) -> bool:
        return True

    def close(self) -> None: ...


def test_the_slot_of_a_worker_that_failed_is_the_next_one_s_in_line() -> None:
    arena = Arena.create(1)
    with tempfile.TemporaryDirectory(prefix="w-") as run_dir:
        room, said = MessageBus("fetch-1", run_dir), queue.SimpleQueue[Message]()
        room.register("root", lambda frame: said.put(decode(frame)))
        room.start()
        handing, reports = SlotReturns(room, range(1)), ProgressReports(room)
        readers = [Broken(), Broken()]
        for source, reader in enumerate(readers):
            wanted = StartWorker(job=1, source=source, url="http://a/f")
            PeerWorker.start(room, wanted, reader=reader, arena=arena, slot_returns=handing, reports=reports)
            granted = LeaseGranted(
                job=1, source=source, lease=1, first=0, stop=9, size_bytes=9 * CHUNK, chunk_size=CHUNK
            )
            room.post(f"fetch-1/worker-1-{source}", granted)
        for reader in readers:
            reader.fails.set()
        died = [said.get(timeout=10) for _ in readers]
        assert {each.actor for each in died if isinstance(each, ActorDied)} == {"worker-1-0", "worker-1-1"}
        assert len(handing.shelf) == 1
        assert not handing.shelf.has_waiters
        room.close()
    arena.close()
