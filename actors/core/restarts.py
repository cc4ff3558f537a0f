"""When a dead process is started anew, and when it has died too often for that to help.

Pure: the clock is passed in. Owned by the supervisor, which does what is said here.
"""

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
RESTARTS_MAX: Final = 10
"""Of one process within `WINDOW_S`. One that dies more often dies of something that a restart does not mend."""
FAILURES_SAME_MAX: Final = 3
FAILURES_S: Final = 3600.0
"""What fails again in the same words, having been started anew so often within so long, fails whatever is done: each
restart may have a large part file hashed first, so this is rarely within `WINDOW_S`."""
BACK_OFF_FIRST_S: Final = 0.1
BACK_OFF_MAX_S: Final = 2.0


class Restarts:
    """Invariant: no process is started anew more than `restarts_max` times within any `window_s`, nor more than
    `FAILURES_SAME_MAX` times within `FAILURES_S` after the same failure. `given_up` tells people why the last was not.

    The first death within a window costs no waiting, so that bytes flow again at once; the next ones wait twice as long
    each, up to `BACK_OFF_MAX_S`.
    """

    def __init__(self, *, restarts_max: int = RESTARTS_MAX, window_s: float = WINDOW_S) -> None:
        self.restarts_max = restarts_max
        self.window_s = window_s
        self.given_up = ""
        self._begun: dict[str, deque[float]] = {}  # when restarts are due, oldest first
        self._failed: dict[tuple[str, str], deque[float]] = {}

    def died(self, process: str, *, failure: str = "", now_s: float) -> float | None:
        """In how many seconds it is to be started anew; None: not any more. `failure`: the exception it died of, empty
        when it was none."""
        begun = _recent(self._begun.setdefault(process, deque()), now_s - self.window_s)
        if len(begun) >= self.restarts_max:
            self.given_up = f"it was started anew {self.restarts_max} times within {self.window_s:.0f} s"
            return None
        if failure:
            failed = _recent(self._failed.setdefault((process, failure), deque()), now_s - FAILURES_S)
            if len(failed) >= FAILURES_SAME_MAX:
                self.given_up = f"it was started anew {FAILURES_SAME_MAX} times after the same failure"
                return None
            failed.append(now_s)
        wait_s = min(BACK_OFF_FIRST_S * 2 ** (len(begun) - 1), BACK_OFF_MAX_S) if begun else 0.0
        begun.append(now_s + wait_s)
        return wait_s


def _recent(times_s: deque[float], since_s: float) -> deque[float]:
    """The same, without what is as old as `since_s`."""
    while times_s and times_s[0] <= since_s:
        times_s.popleft()
    return times_s
