"""Bridge between the message bus and the event loop of the API, both ways."""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.http_api.gateway import GatewayInbox, RefusedError
from protocol.messages import Message
from protocol.messages.addresses import GATEWAY, split_address
from protocol.messages.codec import BadFrame, encode


class GatewayActor(Actor):
    """Actor ``gateway`` of the api process: hands every message to the loop, in order, without waiting.

    The loop is woken once for all that came since it last looked: a stream of progress costs it little.
    """

    def __init__(
        self, bus: MessageBus, loop: asyncio.AbstractEventLoop, arrived: Callable[[GatewayInbox], None]
    ) -> None:
        super().__init__(split_address(GATEWAY)[1], bus)
        self._loop = loop
        self._arrived = arrived
        self._waiting: deque[GatewayInbox] = deque()
        self._woken = False

    def handle(self, message: GatewayInbox) -> None:
        self._waiting.append(message)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False  # first: a message that comes from here on wakes the loop again, or is taken below
        while self._waiting:
            self._arrived(self._waiting.popleft())


class Outbox:
    """Sender in a thread of its own: a post to a process that does not drain blocks, and the loop must not."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus: Final = bus
        self._frames: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread: Final = threading.Thread(target=self._send, name="api-out", daemon=True)
        self._thread.start()

    def post(self, to: str, message: Message) -> None:
        """Queue a message. Raises `RefusedError` when it is too long for a frame."""
        try:
            self._frames.put((to, encode(message)))
        except BadFrame as error:
            raise RefusedError("too large", "", str(error)) from None

    def close(self) -> None:
        """End the thread, after what was posted before, within a second."""
        self._frames.put(None)
        self._thread.join(timeout=1.0)

    def _send(self) -> None:
        while (one := self._frames.get()) is not None:
            self._bus.post_frame(*one)
