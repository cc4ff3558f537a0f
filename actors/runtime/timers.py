"""Timers of a process: frames to be posted later.

Actors never sleep. One that wants to be woken (a tick, the end of a back-off, the next read under a rate cap) leaves a
frame here and gets it back as an ordinary message when it is due. One daemon thread and one heap a process.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger(__name__)

CANCELLED_MAX: Final = 256
"""The heap is swept when more than these, and more than half of it, are cancelled timers."""


class TimerHandle:
    """One timer, owned by `Timers`; the holder of the handle may only cancel it."""

    __slots__ = ("_timers", "due_s", "frame", "serial", "to")

    def __init__(self, timers: "Timers", due_s: float, serial: int, to: str, frame: bytes) -> None:
        self._timers = timers
        self.due_s = due_s
        self.serial = serial
        self.to = to
        self.frame: bytes | None = frame

    def __lt__(self, other: "TimerHandle") -> bool:
        return (self.due_s, self.serial) < (other.due_s, other.serial)

    def cancel(self) -> None:
        """Do not post it. A frame that was due already may still come; cancelling twice or too late is harmless."""
        self._timers.cancel(self)


class Timers:
    """Timer heap that hands `(address, frame)` to `post` when due, ties in the order of asking. Thread-safe.

    `post` runs in the timer thread and should not block: timers are meant for actors of the same process. Times are
    seconds of the monotonic clock.
    """

    def __init__(self, post: Callable[[str, bytes], None]) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._heap: list[TimerHandle] = []
        self._serial = 0
        self._cancelled = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)

    def start(self) -> None:
        """Start posting due frames; timers set before wait for this."""
        self._thread.start()

    def close(self) -> None:
        """Drop every timer that is not yet due and end the thread. Idempotent."""
        with self._changed:
            self._closing = True
            self._heap.clear()
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=1.0)

    def post_at(self, due_s: float, to: str, frame: bytes) -> TimerHandle:
        """Post the frame to `to` once `time.monotonic()` has reached `due_s`."""
        with self._changed:
            handle = TimerHandle(self, due_s, self._serial, to, frame)
            self._serial += 1
            if not self._closing:
                heapq.heappush(self._heap, handle)
                if self._heap[0] is handle:
                    self._changed.notify()
        return handle

    def post_later(self, delay_s: float, to: str, frame: bytes) -> TimerHandle:
        """Post the frame to `to` in `delay_s` seconds; at once when that is not positive."""
        return self.post_at(time.monotonic() + delay_s, to, frame)

    def cancel(self, handle: TimerHandle) -> None:
        with self._changed:
            if handle.frame is None:
                return
            handle.frame = None
            self._cancelled += 1
            if self._cancelled > max(CANCELLED_MAX, len(self._heap) // 2):
                self._sweep()

    def __len__(self) -> int:
        """Return the number of timers, cancelled ones not yet swept included."""
        return len(self._heap)

    def _sweep(self) -> None:
        self._heap = [handle for handle in self._heap if handle.frame is not None]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def _run(self) -> None:
        while (due := self._next_due()) is not None:
            to, frame = due
            try:
                self._post(to, frame)
            except Exception:
                _logger.exception("timer for %s could not be posted", to)

    def _next_due(self) -> tuple[str, bytes] | None:
        """Wait for the next frame that is due; None when closing."""
        with self._changed:
            while not self._closing:
                wait_s = self._heap[0].due_s - time.monotonic() if self._heap else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                handle = heapq.heappop(self._heap)
                frame, handle.frame = handle.frame, None
                if frame is not None:
                    return handle.to, frame
                self._cancelled = max(0, self._cancelled - 1)
        return None
