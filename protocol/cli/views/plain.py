"""Views of a job without a live terminal: plain lines now and then, or only why it failed. stdout is for results."""

import math
from typing import Final, TextIO

from protocol.cli.views.lines import LineWriter
from protocol.cli.views.outcome import identity_lines, last_line, summary_lines
from protocol.cli.views.progress_state import SAID_STATES, SAME_COMMAND, ProgressState
from protocol.messages import (
    ActorDied,
    ChunkArrived,
    FrontInbox,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    ProcessLost,
    SessionChanged,
)
from protocol.model.printable import count_of, printable
from protocol.model.units import show_percent, show_rate, show_size, show_whole_time


class Notes:
    """Lines that should be read whatever is shown of the progress.

    Remembers what it said of the login, which is tried again and again.
    """

    def __init__(self) -> None:
        self._session = ""

    def line(self, message: FrontInbox) -> str:
        """One printable line; empty for a message that is no note, or says again what is known."""
        match message:
            case JobNoted():
                return f"note: {printable(message.text)}"
            case SessionChanged():
                return self._session_line(message)
            case ProcessLost():
                return f"note: process {message.process} ended: {printable(message.detail)}"
            case ActorDied():
                return f"note: {message.process}/{message.actor} failed: {printable(message.detail)}"
            case _:
                return ""

    def _session_line(self, changed: SessionChanged) -> str:
        if changed.state == "connecting" or (changed.state == self._session and not changed.final):
            return ""
        self._session = changed.state
        words = "logged in" if changed.state == "online" else printable(changed.state)
        detail = f", {printable(changed.detail)}" if changed.detail else ""
        return f"note: Soulseek: {words}{detail}"


PROGRESS_EVERY_S: Final = 5.0


class PlainView:
    """`FrontView` where nothing can be drawn over. The first progress line comes after a full interval."""

    def __init__(self, stderr: TextIO, title: str, *, verbose: bool, again: str = SAME_COMMAND) -> None:
        self._lines = LineWriter(stderr)
        self._board = ProgressState(title, again)
        self._notes = Notes()
        self._verbose = verbose
        self._progress_due_s = -math.inf

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        self._board.take(message)
        if self._progress_due_s == -math.inf:
            self._progress_due_s = now_s + PROGRESS_EVERY_S
        if isinstance(message, JobProgressed):
            self.refresh(now_s=now_s)
            return
        for line in self._lines_for(message):
            self._lines.write(line)

    def refresh(self, *, now_s: float) -> None:
        """Write a progress line when one is due and there is something to say."""
        progress = self._board.progress
        if now_s < self._progress_due_s or progress is None or self._board.ended is not None:
            return
        self._progress_due_s = now_s + PROGRESS_EVERY_S
        self._lines.write(progress_line(self._board, progress))

    def close(self) -> None:
        """Every line was flushed."""

    def _lines_for(self, message: FrontInbox) -> list[str]:
        match message:
            case JobOpened():
                return [opened_line(message)]
            case ChunkArrived() if self._verbose:
                return [chunk_line(message, self._board.label(message.name), "✓" if self._lines.encodes_all else "+")]
            case JobEnded():
                return [*summary_lines(self._board), *identity_lines(message), last_line(self._board, message)]
            case _:
                note = self._notes.line(message)
                return [note] if note else []


def opened_line(message: JobOpened) -> str:
    """Return the line of a part file that was opened."""
    size = show_size(message.size_bytes) if message.size_bytes >= 0 else "size unknown"
    facts = [f"{printable(message.part_path)}: {size}, chunks of {show_size(message.chunk_size)}"]
    if message.message:
        facts.append(printable(message.message))
    elif message.resumed_bytes > 0:
        facts.append(f"{show_size(message.resumed_bytes)} here already")
    return ", ".join(facts)


def chunk_line(message: ChunkArrived, label: str, mark: str) -> str:
    """``✓ user1 chunk 0 @ 2847 KB/s [1/512]``."""
    rate = round(message.rate_bytes_s / 1024) if math.isfinite(message.rate_bytes_s) else 0
    count = message.chunk_count or "?"
    return f"{mark} {label} chunk {message.chunk} @ {rate} KB/s [{message.stored_chunks}/{count}]"


def progress_line(board: ProgressState, progress: JobProgressed) -> str:
    """Return a line of progress."""
    stored, size = board.stored_bytes, board.size_bytes
    if size >= 0:
        facts = [show_percent(stored, size), f"{show_size(stored)} of {show_size(size)}"]
    else:
        facts = [show_size(stored)]
    if progress.state in SAID_STATES:
        return ", ".join([*facts, f"{progress.state}: {printable(progress.reason)}".removesuffix(": ")])
    facts.append(show_rate(progress.rate_bytes_s))
    if progress.left_s >= 0:
        facts.append(f"{show_whole_time(progress.left_s)} left")
    facts.append(f"{board.active_count} of {count_of(len(board.rows), 'source')} active")
    return ", ".join(facts)


class QuietView:
    """`FrontView` for ``--quiet``: a line for an end without the file.

    And for each reason to wait for the disk, which waits for the user.
    """

    def __init__(self, stderr: TextIO, title: str, *, again: str = SAME_COMMAND) -> None:
        self._lines = LineWriter(stderr)
        self._board = ProgressState(title, again)
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
