"""Received file descriptors (SCM_RIGHTS) waiting for the actor they were sent to.

A descriptor travels beside a frame; the frame names it by `fd_token` and an actor takes it with that. One that is not
taken in time is closed here, so that a dead or forgetful actor leaks none.
"""

import os
import threading
import time
from collections import OrderedDict
from typing import Final

WAITING_MAX: Final = 64
AGE_S_MAX: Final = 30.0


class FdTransfer:
    """Descriptors by token, one table a process; thread-safe. Owns them until they are taken.

    The oldest is closed beyond `waiting_max` entries and, by a timer, at the age of `age_s_max`. A token that comes
    again replaces the first.
    """

    def __init__(self, *, waiting_max: int = WAITING_MAX, age_s_max: float = AGE_S_MAX) -> None:
        self._waiting_max = waiting_max
        self._age_s_max = age_s_max
        self._waiting: OrderedDict[int, tuple[float, int]] = OrderedDict()  # token -> (due, fd), oldest first
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, token: int, fd: int) -> None:
        """Store a descriptor, owned by this table from here on."""
        with self._lock:
            if self._closed:
                os.close(fd)
                return
            self._discard(token)
            self._waiting[token] = (time.monotonic() + self._age_s_max, fd)
            while len(self._waiting) > self._waiting_max:
                self._discard(next(iter(self._waiting)))
            self._set_timer()

    def take(self, token: int) -> int | None:
        """Return the descriptor, the caller's from here on; None when it is not, or no longer, here."""
        with self._lock:
            found = self._waiting.pop(token, None)
        return None if found is None else found[1]

    def close(self) -> None:
        """Close all descriptors, also those that still come. Idempotent."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            while self._waiting:
                self._discard(next(iter(self._waiting)))

    def _discard(self, token: int) -> None:
        found = self._waiting.pop(token, None)
        if found is not None:
            os.close(found[1])

    def _set_timer(self) -> None:
        """Run one timer while anything waits; it finds nothing when all was taken in time."""
        if self._timer is None and self._waiting and not self._closed:
            due_s = next(iter(self._waiting.values()))[0]
            self._timer = threading.Timer(max(0.0, due_s - time.monotonic()), self._sweep)
            self._timer.name = "fd-transfer"
            self._timer.daemon = True
            self._timer.start()

    def _sweep(self) -> None:
        with self._lock:
            self._timer = None
            now_s = time.monotonic()
            while self._waiting and next(iter(self._waiting.values()))[0] <= now_s:
                self._discard(next(iter(self._waiting)))
            self._set_timer()
