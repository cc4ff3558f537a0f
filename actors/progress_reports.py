"""Progress reports of the transfers of a fetch process: those of slow ones go together.

500 sources of 20 KB/s that each reported by themselves kept half a core busy with messages of which none changed a
decision. They go together at whole half seconds of the clock that all processes share, so that those of one job from
several processes are judged at once too.
"""

import threading
import time
from typing import Final

from actors.runtime.message_bus import MessageBus
from protocol.messages import Ticked, TransferEnded, TransferProgressed, TransfersProgressed
from protocol.messages.addresses import WATCHDOG

TOGETHER_S: Final = 0.5
TOGETHER_MAX: Final = 500
"""Transfers in one message."""
_NAME: Final = "progress"


class ProgressReports:
    """Reports to the SpeedWatchdog. One in each fetch process, for its workers' threads and the timers' thread."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._waiting: dict[tuple[int, int], tuple[float, TransferProgressed]] = {}
        self._lock = threading.Lock()
        bus.register(_NAME, self._due)

    def report(self, progressed: TransferProgressed, *, together: bool) -> None:
        """Post it, or have it go with others within `TOGETHER_S`. A newer one of the same source takes its place."""
        key = (progressed.job, progressed.source)
        with self._lock:
            first = together and not self._waiting
            self._waiting.pop(key, None)
            if together:
                self._waiting[key] = (time.monotonic(), progressed)
        if not together:
            self._bus.post(WATCHDOG, progressed)
        elif first:
            wait_s = TOGETHER_S - time.monotonic() % TOGETHER_S
            self._bus.post_later(wait_s, f"{self._bus.process}/{_NAME}", Ticked())

    def ended(self, ended: TransferEnded) -> None:
        """Post it; what waited of that source is not posted after it."""
        with self._lock:
            self._waiting.pop((ended.job, ended.source), None)
        self._bus.post(WATCHDOG, ended)

    def _due(self, _frame: bytes) -> None:
        with self._lock:  # also while posting: nothing newer overtakes it
            waiting, self._waiting = [*self._waiting.values()], {}
            now_s = time.monotonic()
            for at in range(0, len(waiting), TOGETHER_MAX):
                part = waiting[at : at + TOGETHER_MAX]
                together = TransfersProgressed(
                    process=self._bus.process,
                    jobs=tuple(each.job for _, each in part),
                    sources=tuple(each.source for _, each in part),
                    leases=tuple(each.lease for _, each in part),
                    received_bytes=tuple(each.received_bytes for _, each in part),
                    ago_s=tuple(now_s - at_s for at_s, _ in part),
                )
                self._bus.post(WATCHDOG, together)
