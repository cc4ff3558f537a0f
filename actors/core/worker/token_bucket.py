"""Token bucket that caps the rate of one transfer."""

from typing import Final


class TokenBucket:
    """Bucket of one worker's cap. `allowance` bytes may be read now, else wait `wait_s`."""

    BURST_S: Final = 0.2
    """The bucket holds what the cap allows in this time: a worker that wakes late loses nothing, bursts are short."""
    READ_S: Final = 0.05
    """Nothing is read before the bucket holds what the cap allows in this time, or all that is wanted: a reader that
    takes each few hundred bytes as they are allowed keeps a core busy."""

    def __init__(self) -> None:
        self._rate_bytes_s = 0.0
        self._tokens = 0.0
        self._at_s = 0.0

    def cap(self, rate_bytes_s: float, *, now_s: float) -> None:
        """Set the cap, 0 lifts it."""
        self._refill(now_s)
        self._rate_bytes_s = rate_bytes_s

    def allowance(self, wanted: int, *, now_s: float) -> int:
        if self._rate_bytes_s <= 0:
            return wanted
        self._refill(now_s)
        return min(wanted, int(self._tokens)) if self._tokens >= min(wanted, self._least) else 0

    def spend(self, count: int) -> None:
        self._tokens -= count

    @property
    def wait_s(self) -> float:
        """Time until a useful amount may be read."""
        return min(max((self._least - self._tokens) / max(self._rate_bytes_s, 1.0), 0.01), 1.0)

    @property
    def _burst(self) -> float:
        return max(self._rate_bytes_s * self.BURST_S, 2048.0)

    @property
    def _least(self) -> float:
        return max(self._rate_bytes_s * self.READ_S, 1024.0)

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._tokens + (now_s - self._at_s) * self._rate_bytes_s, self._burst)
        self._at_s = now_s
