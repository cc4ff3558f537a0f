"""The lower lines of a terminal, drawn over and over; what is written above them stays.

Only relative moves and erasing are used and no state of the terminal is changed, so a killed program leaves nothing
to repair. Width is read anew for every draw: a narrower terminal has folded the old lines, and they are counted so.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from protocol.terminal.lines import LineWriter


class LiveRegion:
    """Owns the lines it drew last, upward from the cursor. One thread; nobody else writes there meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._writer = LineWriter(console.file)  # type: ignore[arg-type]  # rich says IO[str]
        self._widths: list[int] = []

    def draw(self, lines: Sequence[Text], above: Iterable[Text] = ()) -> None:
        """Replace the region. `above` goes over it for good and may be longer than the terminal is wide."""
        kept = [self._rendered(line, whole=True) for line in above]
        drawn = [self._rendered(line, whole=False) for line in lines]
        body = "".join(f"{line}\x1b[K\n" for line in (*kept, *drawn))
        self._writer.write_raw(f"{self._back_to_top()}{body}\x1b[J")
        self._widths = [min(line.cell_len, self._console.width) for line in lines]

    def release(self) -> None:
        """What was drawn stays as it is; the next draw begins below."""
        self._widths = []

    def _back_to_top(self) -> str:
        width = max(1, self._console.width)
        rows = sum(max(1, -(-length // width)) for length in self._widths)
        return f"\r\x1b[{rows}A" if rows else "\r"

    def _rendered(self, line: Text, *, whole: bool) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=whole, no_wrap=True, overflow="ignore", crop=not whole)
        return captured.get()
