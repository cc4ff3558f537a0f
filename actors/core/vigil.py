"""What makes a living process as good as dead: it does not come up, does not answer, or eats the memory."""

from dataclasses import dataclass
from typing import Final

MEMORY_BYTES_MAX: Final = 1 << 30
"""Of its own, what it shares with others (the arena, modules loaded before the fork) not counted."""
START_S_MAX: Final = 15.0
PINGS_UNANSWERED_MAX: Final = 5
"""Counted in pings, not in seconds: when everything was suspended together, nobody was silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigil:
    """The limits. Owned by the supervisor."""

    pings_unanswered_max: int = PINGS_UNANSWERED_MAX
    memory_bytes_max: int = MEMORY_BYTES_MAX
    start_s_max: float = START_S_MAX

    def verdict(self, *, ready: bool, age_s: float, unanswered: int, memory_bytes: int) -> str:
        """Why this process is to be killed, empty while it is well. `memory_bytes` -1: nobody looked."""
        if not ready:
            return f"not ready after {self.start_s_max:.0f} s, killed" if age_s > self.start_s_max else ""
        if unanswered >= self.pings_unanswered_max:
            return f"silent: {self.pings_unanswered_max} pings without an answer, killed"
        if memory_bytes > self.memory_bytes_max:
            return f"too large: {memory_bytes >> 20} MiB of memory, at most {self.memory_bytes_max >> 20}, killed"
        return ""
