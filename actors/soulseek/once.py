"""Says the same kind of trouble once, however often a hostile peer makes it."""

import logging
from collections import Counter

_logger = logging.getLogger("actors.soulseek")

KINDS_MAX = 256


class Once:
    """Counts troubles by kind; the first of each kind is logged. Owned by the session's loop."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, kind: str, detail: str = "") -> None:
        """`kind` is one of ours, never a peer's words."""
        assert kind in self.counts or len(self.counts) < KINDS_MAX
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _logger.warning("%s%s (said once, counted from now on)", kind, f": {detail}" if detail else "")
