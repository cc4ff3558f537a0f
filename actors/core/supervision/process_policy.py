"""Restart and health policy of processes: back-off, restart limits, and what makes a living process as good as dead.

Pure: the clock is passed in. Owned by the supervisor, which does what is decided here.
"""

from collections import deque
from typing import Final

from protocol.model.value import Struct

WINDOW_S: Final = 60.0
RESTARTS_MAX: Final = 10
"""Of one process within `WINDOW_S`. One that dies more often dies of something that a restart does not mend."""
FAILURES_SAME_MAX: Final = 3
FAILURES_S: Final = 3600.0
"""A process that dies of the same failure after this number of restarts within this time fails whatever is done: each
restart may have a large part file hashed first, so this is rarely within `WINDOW_S`."""
BACK_OFF_FIRST_S: Final = 0.1
BACK_OFF_MAX_S: Final = 2.0
MEMORY_BYTES_MAX: Final = 1 << 30
"""Of its own, what it shares with others (the arena, modules loaded before the fork) not counted."""
START_S_MAX: Final = 60.0
"""Loading takes a second on a quiet machine, twenty on one with twenty times the work it can do."""
PINGS_UNANSWERED_MAX: Final = 5
"""Counted in pings, not in seconds: when everything was suspended together, no process was silent."""


class RestartPolicy:
    """Restarts of processes, with back-off and limits.

    Invariant: no process is restarted more than `restarts_max` times within any `window_s`, nor more than
    `FAILURES_SAME_MAX` times within `FAILURES_S` after the same failure. `given_up`: why the last was not, for people.

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
        """Return in how many seconds to restart it; None: not any more. `failure`: the exception it died of, if any."""
        begun = _recent(self._begun.setdefault(process, deque()), now_s - self.window_s)
        if len(begun) >= self.restarts_max:
            self.given_up = f"it was restarted {self.restarts_max} times within {self.window_s:.0f} s"
            return None
        if failure:
            failed = _recent(self._failed.setdefault((process, failure), deque()), now_s - FAILURES_S)
            if len(failed) >= FAILURES_SAME_MAX:
                self.given_up = f"it was restarted {FAILURES_SAME_MAX} times after the same failure"
                return None
            failed.append(now_s)
        wait_s = min(BACK_OFF_FIRST_S * 2 ** (len(begun) - 1), BACK_OFF_MAX_S) if begun else 0.0
        begun.append(now_s + wait_s)
        return wait_s


def _recent(times_s: deque[float], since_s: float) -> deque[float]:
    """Drop what is as old as `since_s`; return the same deque."""
    while times_s and times_s[0] <= since_s:
        times_s.popleft()
    return times_s


class HealthPolicy(Struct, frozen=True, kw_only=True):
    """Limits of a living process: it comes up, answers, and does not eat the memory. Owned by the supervisor."""

    pings_unanswered_max: int = PINGS_UNANSWERED_MAX
    memory_bytes_max: int = MEMORY_BYTES_MAX
    start_s_max: float = START_S_MAX

    def kill_reason(self, *, ready: bool, age_s: float, unanswered: int, memory_bytes: int) -> str:
        """Return why this process is to be killed, empty while it is well. `memory_bytes` -1: not measured."""
        if not ready:
            return f"not ready after {self.start_s_max:.0f} s, killed" if age_s > self.start_s_max else ""
        if unanswered >= self.pings_unanswered_max:
            return f"silent: {self.pings_unanswered_max} pings without an answer, killed"
        if memory_bytes > self.memory_bytes_max:
            return f"too large: {memory_bytes >> 20} MiB of memory, at most {self.memory_bytes_max >> 20}, killed"
        return ""
