"""Pacing of a sender: small quanta on time, never a big first burst."""

from __future__ import annotations

import math

TICK_S = 0.02
LONG_TICK_S = 0.1
# Below 1 MB/s a longer tick keeps hundreds of slow mirrors cheap without making any of them visibly bursty.
SMALL_QUANTUM_BYTES = 20_000
UNLIMITED_QUANTUM_BYTES = 256 * 1024
# What a sender held up for a moment may catch up; an idle mirror saves nothing.
CREDIT_S = 0.1
# Wake-ups fall on a grid, so one pass of the loop serves many mirrors.
GRID_S = 0.005


class Pacer:
    """The rate limiter of one mirror or uploader, shared by its connections. Times are `loop.time()` seconds."""

    def __init__(self, rate_bytes_s: float | None, burst_s: float = 0.0) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._burst = burst_s > 0
        self.quantum_bytes = _quantum_bytes(rate_bytes_s, burst_s)
        self._next_s = 0.0
        self._senders = 0

    @property
    def send_buffer_bytes(self) -> int | None:
        """A kernel buffer that holds about a quantum and hides no more; None leaves the system's."""
        if self._rate_bytes_s is None:
            return None
        return max(16 * 1024, min(self.quantum_bytes, 1 << 20))

    def begin(self, now_s: float) -> None:
        """An answer starts; when it is the only one, time spent idle is forgotten."""
        if self._senders == 0:
            self._next_s = max(self._next_s, now_s)
        self._senders += 1

    def end(self) -> None:
        self._senders -= 1

    def due_s(self, count: int, now_s: float) -> float:
        """Reserve `count` bytes; the time at which they may go, which may already be over."""
        if self._rate_bytes_s is None:
            return now_s
        begin_s = max(self._next_s, now_s - CREDIT_S)
        self._next_s = begin_s + count / self._rate_bytes_s
        due_s = begin_s if self._burst else self._next_s
        return math.ceil(due_s / GRID_S) * GRID_S


def _quantum_bytes(rate_bytes_s: float | None, burst_s: float) -> int:
    if rate_bytes_s is None:
        return UNLIMITED_QUANTUM_BYTES
    if burst_s > 0:
        return max(1, int(rate_bytes_s * burst_s))
    return max(1, int(rate_bytes_s * TICK_S), min(int(rate_bytes_s * LONG_TICK_S), SMALL_QUANTUM_BYTES))
