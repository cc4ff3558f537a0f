"""Silence, except for the reason why there is no file, or none yet: a job that waits for its disk needs somebody."""

from typing import TextIO

from protocol.messages import FrontInbox, JobEnded, JobProgressed
from protocol.terminal.board import SAME_COMMAND, Board
from protocol.terminal.ending import last_line
from protocol.terminal.lines import LineWriter
from protocol.terminal.words import printable


class QuietView:
    """`FrontView` for ``--quiet``: one line on stderr for the end, and one for each reason to wait for the disk."""

    def __init__(self, stderr: TextIO, title: str, *, again: str = SAME_COMMAND) -> None:
        self._lines = LineWriter(stderr)
        self._board = Board(title, again)
        self._reason = ""

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        self._board.take(message)
        if isinstance(message, JobEnded) and message.state != "sealed":
            self._lines.write(last_line(self._board, message))
        if isinstance(message, JobProgressed) and message.reason != self._reason:
            self._reason = message.reason
            if message.reason:
                self._lines.write(f"{printable(message.state)}: {printable(message.reason)}")

    def refresh(self, *, now_s: float) -> None:
        """Nothing changes with time."""

    def close(self) -> None:
        """Nothing is held."""
