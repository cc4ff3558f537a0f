"""Silence, except for the reason why there is no file."""

from typing import TextIO

from protocol.messages import FrontInbox, JobEnded
from protocol.terminal.board import Board
from protocol.terminal.ending import last_line
from protocol.terminal.lines import LineWriter


class QuietView:
    """`FrontView` for ``--quiet``: at most one line on stderr."""

    def __init__(self, stderr: TextIO, title: str) -> None:
        self._lines = LineWriter(stderr)
        self._board = Board(title)

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        self._board.take(message)
        if isinstance(message, JobEnded) and message.state != "sealed":
            self._lines.write(last_line(self._board, message))

    def refresh(self, *, now_s: float) -> None:
        """Nothing changes with time."""

    def close(self) -> None:
        """Nothing is held."""
