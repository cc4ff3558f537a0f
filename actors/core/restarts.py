"""When a dead process is started anew, and when it has died too often for that to help.

Pure: the clock is passed in. Owned by the supervisor, which does what is said here.
"""

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
RESTARTS_MAX: Final = 10
"""Of one process within `WINDOW_S`. One that dies more often dies of something that a restart does not mend."""
BACK_OFF_FIRST_S: Final = 0.1
BACK_OFF_MAX_S: Final = 2.0


class Restarts:
    """Invariant: no process is started anew more than `restarts_max` times within any `window_s`.

    The first death within a window costs no waiting, so that bytes flow again at once; the next ones wait twice as long
    each, up to `BACK_OFF_MAX_S`.
    """

    def __init__(self, *, restarts_max: int = RESTARTS_MAX, window_s: float = WINDOW_S) -> None:
        self.restarts_max = restarts_max
        self.window_s = window_s
        self._begun: dict[str, deque[float]] = {}  # when restarts are due, oldest first

    def died(self, process: str, *, now_s: float) -> float | None:
        """In how many seconds it is to be started anew; None: not any more."""
        begun = self._begun.setdefault(process, deque())
        while begun and begun[0] <= now_s - self.window_s:
            begun.popleft()
        if len(begun) >= self.restarts_max:
            return None
        wait_s = min(BACK_OFF_FIRST_S * 2 ** (len(begun) - 1), BACK_OFF_MAX_S) if begun else 0.0
        begun.append(now_s + wait_s)
        return wait_s

    @property
    def given_up(self) -> str:
        """Why there is no restart any more, for people."""
        return f"it was started anew {self.restarts_max} times within {self.window_s:.0f} s"
