"""Thread that several actors share: one message of one of them at a time, in the order in which they came.

For actors that only decide. A thread of its own for each of a hundred cost a third of their process's CPU: a message
woke one, for some microseconds of work, and each wake-up waited for the interpreter.
"""

import queue
import threading
from typing import Any, Final

from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus

_BEGIN: Final = object()


class SharedThread:
    """Inbox and thread of several actors. The thread is a daemon and ends with the process."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.SimpleQueue[tuple[SharedActor, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, actor: "SharedActor", item: Any) -> None:
        """Have the actor take the item after all that was put before."""
        self._inbox.put((actor, item))

    def _run(self) -> None:
        while True:
            actor, item = self._inbox.get()
            actor.take(item)


class SharedActor(Actor):
    """Actor that is run by a thread which it shares. It must not wait for anything in `handle`, and asks no other."""

    def __init__(self, name: str, bus: MessageBus, thread: SharedThread) -> None:
        super().__init__(name, bus)
        self._thread: Final = thread
        self.actor_inbox = self.actor_ref.actor_inbox = _Inbox(self)

    def take(self, item: Any) -> None:
        """Handle a frame, or begin or stop. Called by the shared thread only; raises nothing."""
        if item is _BEGIN:
            self._guarded(self.starting)
        elif isinstance(item, bytes):
            if not self.actor_stopped.is_set():
                self.on_receive(item)
        else:
            if not self.actor_stopped.is_set():
                self._handle_receive(item.message)
            if item.reply_to is not None:
                item.reply_to.set(None)

    def put(self, item: Any) -> None:
        self._thread.put(self, item)

    def _deliver(self, frame: bytes) -> None:
        self._thread.put(self, frame)

    def _run_loop(self) -> None:
        self._thread.put(self, _BEGIN)


class _Inbox:
    """Inbox of one actor as Pykka wants it, which stops actors through it."""

    def __init__(self, actor: SharedActor) -> None:
        self.put: Final = actor.put

    def get(self) -> Any:
        raise NotImplementedError("its thread takes everything")

    def empty(self) -> bool:
        return True
