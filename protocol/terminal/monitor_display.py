"""The monitor on a terminal: a row for each active job in the lower lines, drawn at most five times a second."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.text import Text

from protocol.terminal.amounts import show_rate
from protocol.terminal.display import DRAW_EVERY_S, console_on
from protocol.terminal.monitor import job_row
from protocol.terminal.region import LiveRegion
from protocol.terminal.table import DIM
from protocol.terminal.words import count_of

LINES_BESIDE_ROWS = 3
"""The sum, one that says what is not shown, and the line that the cursor stands on."""


class DrawnMonitor:
    """Owns the lower lines until `close`."""

    def __init__(self, stderr: TextIO) -> None:
        self._console = console_on(stderr)
        self._region = LiveRegion(self._console)
        self._above: list[Text] = []
        self._due_s = -math.inf

    def happened(self, line: str) -> None:
        self._above.append(Text(line))

    def jobs(self, jobs: Sequence[Mapping[str, Any]], *, now_s: float) -> None:
        if now_s < self._due_s:
            return
        self._due_s = now_s + DRAW_EVERY_S
        above, self._above = self._above, []
        self._region.draw(monitor_lines(jobs, self._console.width - 1, self._console.height), above)

    def close(self) -> None:
        """What was drawn last stays."""
        self._region.draw((), self._above)
        self._region.release()


def monitor_lines(jobs: Sequence[Mapping[str, Any]], width: int, height: int) -> list[Text]:
    """Every line fits."""
    shown = jobs[: max(0, height - LINES_BESIDE_ROWS)]
    rate = show_rate(sum(job["rateBytesS"] for job in jobs))
    lines = [Text(f"{count_of(len(jobs), 'active job')}, {rate} together", "bold")]
    lines += [Text(job_row(job)) for job in shown]
    if len(shown) < len(jobs):
        lines.append(Text(f"... and {len(jobs) - len(shown)} more", DIM))
    for line in lines:
        line.truncate(width)
    return lines
