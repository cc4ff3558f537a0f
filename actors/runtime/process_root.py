"""Root actor of a process: answers the supervisor and makes the other actors."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    ActorDied,
    JobClosed,
    Ping,
    Pong,
    SetLogLevel,
    StartDispatcher,
    StartWorker,
    StopProcess,
    StopWorker,
)
from protocol.messages.addresses import FRONT, POOL, dispatcher_address, split_address, worker_address
from protocol.messages.codec import BadFrame, decode

RootInbox = StartDispatcher | StartWorker | StopWorker | JobClosed | Ping | StopProcess | ActorDied | SetLogLevel

_logger = logging.getLogger(__name__)

Makers = Mapping[type, Callable[[Any], None]]
"""Handlers of this process by message type of `_Made`; types it has no use for are missing."""
PING_BYTES_MAX: Final = 16
"""Length of a ping's frame at most; others are not looked into twice."""
_Made = StartDispatcher | StartWorker | StopWorker | JobClosed


class ProcessRoot(Actor):
    """Root actor, stateless. `whole`: see `ProcessSpec`; an actor's death is then reported to the supervisor only.

    `stop_wanted()` and `failed()` wake the main thread, which runs the stop sequence; they do not block.
    """

    def __init__(
        self,
        bus: MessageBus,
        makers: Makers,
        *,
        stop_wanted: Callable[[], None],
        failed: Callable[[], None],
        whole: bool = False,
    ) -> None:
        super().__init__("root", bus)
        self._whole = whole
        self._makers = makers
        self._stop_wanted = stop_wanted
        self._failed = failed

    def handle(self, message: RootInbox) -> None:
        match message:
            case Ping(serial=serial):
                self._answer(serial)
            case StopProcess():
                self._stop_wanted()
            case ActorDied():
                self._report(message)
            case SetLogLevel(level=level):
                logging.getLogger().setLevel(level)
            case StartDispatcher() | StartWorker() | StopWorker() | JobClosed():
                self._make(message)
            case _:
                assert_never(message)

    def died(self, report: ActorDied) -> None:
        """End the process: without its root nothing more can be asked of it."""
        self._report(report)
        self._failed()

    def _deliver(self, frame: bytes) -> None:
        """Answer a ping before what waits: hundreds of workers that are to be started take a busy machine seconds."""
        if len(frame) <= PING_BYTES_MAX:
            with contextlib.suppress(BadFrame):
                if isinstance(ping := decode(frame), Ping):
                    self.handle(ping)
                    return
        super()._deliver(frame)

    def _answer(self, serial: int) -> None:
        """Answer a ping unless an actor is stuck: then the process is as good as silent."""
        stuck = self.bus.stuck(time.monotonic())
        if stuck:
            _logger.error("%s: stuck: %s", self.address, ", ".join(stuck))
            return
        self.bus.post(FRONT, Pong(process=self.bus.process, serial=serial))

    def _make(self, message: _Made) -> None:
        maker = self._makers.get(type(message))
        if maker is None:
            _logger.warning("%s: no maker for %s", self.address, type(message).__name__)
            return
        try:
            maker(message)
        except Exception as error:
            # The wanted actor failed before it existed; the process and its other actors did not.
            _logger.exception("%s: %s failed", self.address, type(message).__name__)
            detail = f"{type(error).__name__}: {error}"[:500]
            self._report(ActorDied(process=self.bus.process, actor=_actor_wanted(message), detail=detail))

    def _report(self, report: ActorDied) -> None:
        self.bus.post(FRONT, report)
        if not self._whole:
            self.bus.post(POOL, report)


def _actor_wanted(message: _Made) -> str:
    match message:
        case StartDispatcher(start=start):
            return split_address(dispatcher_address(start.job))[1]
        case StartWorker(job=job, source=source) | StopWorker(job=job, source=source):
            return split_address(worker_address("", job, source))[1]
        case JobClosed():
            return "root"
        case _:
            assert_never(message)
