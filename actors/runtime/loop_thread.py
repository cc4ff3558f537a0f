"""Asyncio event loop in a thread of its own, with an inbox that any thread may post to."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

STOP_S_MAX: Final = 5.0
_logger = logging.getLogger(__name__)
M = TypeVar("M")


class LoopThread(Generic[M]):
    """Base of what an actor runs over an asyncio library; the actor owns it.

    A subclass has `_main`, which opens the inbox when it is ready and returns soon after the event that it gets for
    that is set, and `_handle`, called in the loop's thread with each message. What ends `_main` with an exception is
    logged and given to `failed`, in that thread, as its last act.
    """

    def __init__(self, name: str, *, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._early: list[M] = []
        self._early_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, message: M) -> None:
        """From any thread. What comes before the inbox is open waits for it."""
        with self._early_lock:
            if self._loop is None:
                self._early.append(message)
                return
        self._call(self._handle, message)

    def stop(self) -> None:
        """From any thread. Returns when the loop has ended, or is late."""
        with self._early_lock:
            self._stopping = True
            stop = self._stop
        if stop is not None:
            self._call(stop.set)
        self._thread.join(timeout=STOP_S_MAX)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function, *arguments)

    # In the loop's thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            _logger.exception("the event loop of %s failed", self._thread.name)
            self._failed(error)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    async def _main(self) -> None:
        raise NotImplementedError

    def _handle(self, message: M) -> None:
        raise NotImplementedError

    def _open_inbox(self) -> asyncio.Event:
        """Take what came early, in order, then everything as it comes. The event is set when this is to end."""
        with self._early_lock:
            self._stop = asyncio.Event()
            if self._stopping:
                self._stop.set()
            self._loop = asyncio.get_running_loop()
            early, self._early = self._early, []
        for message in early:
            self._handle(message)
        return self._stop
