"""Outcome of a job as people and scripts see it: the exit code and the last line."""

from enum import IntEnum, unique
from typing import Final

from protocol.cli.views.progress_state import ProgressState
from protocol.messages import JobEnded
from protocol.model.printable import count_of, printable
from protocol.model.units import show_percent, show_rate, show_size, show_time


@unique
class ExitCode(IntEnum):
    """How the program ends. Scripts test for these numbers: they stay as they are."""

    SEALED = 0
    OUR_FAULT = 1
    USAGE = 2
    NO_SOURCE = 3
    DISAGREED = 4
    DISK = 5
    CANCELLED = 6
    NO_DAEMON = 7
    REFUSED = 8
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.SEALED: "sealed: the file is complete under its name",
    ExitCode.OUR_FAULT: "our fault: a bug, please report it",
    ExitCode.USAGE: "usage: the command cannot be understood",
    ExitCode.NO_SOURCE: "no source can deliver (the same command goes on later)",
    ExitCode.DISAGREED: "content disagrees (checksum, sizes, sources)",
    ExitCode.DISK: "disk or folder: not writable, full, in use",
    ExitCode.CANCELLED: "cancelled: the daemon's job was ended",
    ExitCode.NO_DAEMON: "no daemon answers, or the key does not open it",
    ExitCode.REFUSED: "the daemon refuses: unknown id, wrong state, wrong folder",
    ExitCode.INTERRUPTED: "interrupted (the same command goes on from there)",
}

_OF_STATE: Final = {
    "sealed": ExitCode.SEALED,
    "starved": ExitCode.NO_SOURCE,
    "disagreed": ExitCode.DISAGREED,
    "disk": ExitCode.DISK,
    "interrupted": ExitCode.INTERRUPTED,
    "cancelled": ExitCode.CANCELLED,
    "failed": ExitCode.OUR_FAULT,
}


def exit_code_of(state: str) -> ExitCode:
    """The exit code for `JobEnded.state`. An unknown state is our fault."""
    return _OF_STATE.get(state, ExitCode.OUR_FAULT)


def last_line(board: ProgressState, ended: JobEnded) -> str:
    """One printable line, no line end. The word before the first colon never depends on anything but the state."""
    match ended.state:
        case "sealed":
            return _sealed_line(board, ended)
        case "starved":
            return f"no source can deliver: {_reason(ended)}{_goes_on(board)}"
        case "disagreed":
            kept = f"; what came is kept in {printable(ended.path)}" if ended.path else ""
            return f"content disagrees: {_reason(ended)}{kept}"
        case "disk":
            return f"disk or folder: {_reason(ended)}{_goes_on(board)}"
        case "interrupted":
            return f"interrupted{_why(ended)}{_goes_on(board) or '; nothing was stored yet'}"
        case "cancelled":
            return f"cancelled{_goes_on(board)}"
        case _:
            return f"our fault: {_reason(ended)}{_goes_on(board)}"


def _sealed_line(board: ProgressState, ended: JobEnded) -> str:
    facts = [f"{show_size(ended.size_bytes)} in {show_time(ended.seconds)}"]
    new_bytes = ended.size_bytes - ended.bytes_resumed
    if ended.seconds > 0 and new_bytes > 0:
        facts.append(show_rate(new_bytes / ended.seconds))
    facts.append(count_of(board.giver_count, "source"))
    if ended.bytes_resumed > 0:
        facts.append(f"{show_size(ended.bytes_resumed)} were here before")
    return f"sealed: {printable(ended.path)} ({', '.join(facts)})"


def _reason(ended: JobEnded) -> str:
    return printable(ended.reason).rstrip(". ") or "no reason was given"


def _why(ended: JobEnded) -> str:
    return f": {_reason(ended)}" if ended.reason not in ("", ended.state) else ""


def _goes_on(board: ProgressState) -> str:
    stored, size = board.stored_bytes, board.size_bytes
    if stored <= 0:
        return ""
    share = show_percent(stored, size) if size > 0 else show_size(stored)
    return f"; {board.again} goes on from {share}"
