"""The live display on a terminal: who sends which part, drawn at most five times a second.

Everything known is on the `ProgressState`; a draw makes all lines anew for the terminal's size of that moment. Notes
and ``--verbose`` lines are collected and go above the region with the next draw.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from protocol.cli.views.lines import LineWriter
from protocol.cli.views.live_table import Shape, final_lines, live_lines
from protocol.cli.views.outcome import last_line
from protocol.cli.views.plain import Notes, chunk_line
from protocol.cli.views.progress_state import SAME_COMMAND, ProgressState
from protocol.messages import ChunkArrived, FrontInbox, JobEnded, JobOpened
from protocol.model.printable import printable

# The lower lines of a terminal, drawn over and over; what is written above them stays.
# Only relative moves and erasing are used and no state of the terminal is changed, so a killed program leaves nothing
# to repair. Width is read anew for every draw: a narrower terminal has folded the old lines, and they are counted so.


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


DRAW_EVERY_S: Final = 0.2
ROWS_MAX: Final = 40
LINES_BESIDE_ROWS: Final = 5
"""Title, bar, strip, an empty one, and the line that the cursor stands on."""

_END_STYLES: Final = {"sealed": "bold green", "interrupted": "bold yellow"}


def console_on(stderr: TextIO) -> Console:
    """A console that draws on this terminal and changes nothing of what it is told to print."""
    return Console(file=stderr, highlight=False, markup=False, emoji=False, force_terminal=True, legacy_windows=False)


class DisplayView:
    """`FrontView` on a terminal. Owns the lower lines of it until `JobEnded` or `close`."""

    def __init__(self, console: Console, title: str, *, verbose: bool, again: str = SAME_COMMAND) -> None:
        self._console = console
        self._region = LiveRegion(console)
        self._board = ProgressState(title, again)
        self._notes = Notes()
        self._verbose = verbose
        self._above: list[Text] = []
        self._draw_due_s = -math.inf

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        if self._board.ended is not None:
            return
        self._board.take(message)
        match message:
            case JobEnded():
                self._finish(message)
                return
            case ChunkArrived() if self._verbose:
                self._above.append(Text(chunk_line(message, self._board.label(message.name), "✓")))
            case JobOpened() if message.message:
                self._above.append(Text(printable(message.message)))
            case _:
                note = self._notes.line(message)
                if note:
                    self._above.append(Text(note, "yellow"))
        self.refresh(now_s=now_s)

    def refresh(self, *, now_s: float) -> None:
        """Draw when a draw is due; cheap when not."""
        if now_s < self._draw_due_s or self._board.ended is not None:
            return
        self._draw_due_s = now_s + DRAW_EVERY_S
        above, self._above = self._above, []
        self._region.draw(live_lines(self._board, self._shape()), above)

    def close(self) -> None:
        """What was drawn last stays; lines that were waiting are written."""
        if self._above:
            self._region.draw(live_lines(self._board, self._shape()), self._above)
            self._above = []
        self._region.release()

    def _finish(self, ended: JobEnded) -> None:
        above, self._above = self._above, []
        last = Text(last_line(self._board, ended), _END_STYLES.get(ended.state, "bold red"))
        self._region.draw((), [*above, *final_lines(self._board, self._shape()), last])
        self._region.release()

    def _shape(self) -> Shape:
        console = self._console
        rows = max(0, min(ROWS_MAX, console.height - LINES_BESIDE_ROWS))
        colours = console.color_system is not None and not console.no_color
        # The last column stays free: a terminal may or may not go to the next line when it is filled.
        return Shape(width=console.width - 1, rows=rows, colours=colours)
