"""How the program ends, as numbers for scripts. Record stable: people test for them."""

from enum import IntEnum, unique
from typing import Final


@unique
class ExitCode(IntEnum):
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
    ExitCode.CANCELLED: "cancelled: somebody ended the daemon's job",
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
    """The exit code for `JobEnded.state`. A state that nobody knows is our fault."""
    return _OF_STATE.get(state, ExitCode.OUR_FAULT)
