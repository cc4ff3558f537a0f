"""Base class of actors: frames in, `handle`, one report of a failure.

Pykka stops an actor after an exception, but reports it in two ways and not at all when `on_start` fails. So no
exception reaches Pykka: every failure is logged once here and becomes one `ActorDied` to the root of the process.
"""

import abc
import contextlib
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import pykka

from actors.runtime.message_bus import MessageBus
from protocol.messages import ActorDied
from protocol.messages.addresses import root_address
from protocol.messages.codec import BadFrame, decode

_logger = logging.getLogger(__name__)

DETAIL_CHARS_MAX: Final = 500


class Actor(pykka.ThreadingActor):
    """Actor with one thread, reached over the message bus under `name`, handling one message at a time.

    ``Class.start(name, bus, ...)`` returns when the name is registered: whatever is posted from then on is in
    the inbox. Subclasses narrow `handle` to their closed inbox union. Threads are daemons, so that a stuck actor
    cannot keep its process alive.
    """

    use_daemon_thread: ClassVar[bool] = True
    message_s_max: ClassVar[float] = 60.0
    """An actor that handles one message for longer is stuck: its process stops answering pings and is replaced."""

    def __init__(self, name: str, bus: MessageBus) -> None:
        super().__init__()
        self.name: Final = name
        self.bus: Final = bus
        self.address: Final = f"{bus.process}/{name}"

    @abc.abstractmethod
    def handle(self, message: Any) -> None:
        """Act on one message. An exception is our fault and ends the actor."""

    def starting(self) -> None:
        """Hook, called in the actor's thread before the first message."""

    def stopping(self) -> None:
        """Hook, called in the actor's thread after the last message when it was asked to stop (not when it failed)."""

    def died(self, report: ActorDied) -> None:
        """Report a failure to the root, which overrides this."""
        self.bus.post(root_address(self.bus.process), report)

    def on_start(self) -> None:
        threading.current_thread().name = self.name
        self._guarded(self.starting)

    def on_stop(self) -> None:
        self.bus.unregister(self.name, self._deliver)
        self._guarded(self.stopping)

    def on_receive(self, message: bytes) -> None:
        try:
            decoded = decode(message)
        except BadFrame as error:
            _logger.error("%s: frame dropped: %s", self.address, error)
            return
        self.bus.overdue_s[self.name] = time.monotonic() + self.message_s_max
        try:
            self.handle(decoded)
        except BaseException as error:
            # BaseException too: Pykka answers one by stopping every actor of the process.
            _logger.exception("%s failed at %s", self.address, type(decoded).__name__)
            self._fail(error)
        finally:
            self.bus.overdue_s.pop(self.name, None)

    def _guarded(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except BaseException as error:
            _logger.exception("%s failed", self.address)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.bus.unregister(self.name, self._deliver)
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        detail = traceback.format_exception_only(error)[-1].strip()[:DETAIL_CHARS_MAX]
        self.died(ActorDied(process=self.bus.process, actor=self.name, detail=detail))

    def _deliver(self, frame: bytes) -> None:
        # Stopped between the look-up of its name and here: a late message like any other.
        with contextlib.suppress(pykka.ActorDeadError):
            self.actor_ref.tell(frame)

    def _start_actor_loop(self) -> None:
        # The one place between "fully constructed" and "running": no frame is missed, no half-made actor is found.
        try:
            self.bus.register(self.name, self._deliver)
        except ValueError:
            pykka.ActorRegistry.unregister(self.actor_ref)
            raise
        self._run_loop()

    def _run_loop(self) -> None:
        super()._start_actor_loop()

    @staticmethod
    def _create_actor_inbox() -> "queue.SimpleQueue[Any]":
        return queue.SimpleQueue()  # written in C: a third of the cost of Pykka's queue.Queue


def stop_actors(refs: Iterable[pykka.ActorRef[Any]], *, timeout_s: float) -> list[str]:
    """Stop actors one after the other, each after it has emptied its inbox; all within `timeout_s`.

    For a process's end, never from inside an actor. Returns the class names of those that did not end in time.
    """
    deadline_s = time.monotonic() + timeout_s
    late: list[str] = []
    for ref in refs:
        try:
            ref.stop(block=True, timeout=max(0.0, deadline_s - time.monotonic()))
        except pykka.Timeout:
            late.append(ref.actor_class.__name__)
    return late
