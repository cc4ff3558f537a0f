"""Outcome of a job as people and scripts see it: the exit code, who sent what, and the last line."""

from enum import IntEnum, unique
from typing import Final

from protocol.cli.views.progress_state import ProgressState, state_word
from protocol.messages import JobEnded
from protocol.model.identity import strength
from protocol.model.printable import cell_width, count_of, cut, printable
from protocol.model.source_url import host_of
from protocol.model.units import show_percent, show_rate, show_size, show_time


@unique
class ExitCode(IntEnum):
    """Exit codes of the program. Scripts test for these numbers: they stay as they are."""

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
    ExitCode.USAGE: "usage: the command cannot be understood, or not run under these limits (ulimit)",
    ExitCode.NO_SOURCE: "no source can deliver, or not by --max-time (the same command goes on later)",
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
    "late": ExitCode.NO_SOURCE,
    "disagreed": ExitCode.DISAGREED,
    "disk": ExitCode.DISK,
    "interrupted": ExitCode.INTERRUPTED,
    "cancelled": ExitCode.CANCELLED,
    "limited": ExitCode.USAGE,
    "failed": ExitCode.OUR_FAULT,
}


def exit_code_of(state: str) -> ExitCode:
    """The exit code for `JobEnded.state`. An unknown state is our fault."""
    return _OF_STATE.get(state, ExitCode.OUR_FAULT)


ROWS_MAX: Final = 40
NAME_WIDTH_MAX: Final = 40


def summary_lines(board: ProgressState) -> list[str]:
    """Return the bytes of each source, most first; without any, why. A single cause is in the last line."""
    rows = sorted(board.sorted_rows, key=lambda row: -row.bytes_stored)
    total = board.stored_by_sources
    if not total:
        return cause_lines(board)
    shown, rest = rows[:ROWS_MAX], rows[ROWS_MAX:]
    width = min(NAME_WIDTH_MAX, max(cell_width(board.label(row.name)) for row in shown))
    lines = ["who sent what:"]
    for row in shown:
        name = cut(board.label(row.name), width)
        rate = show_rate(row.rate_bytes_s) if row.rate_bytes_s > 0 else "-"
        counts = f"{count_of(row.chunks, 'chunk'):>12}  {rate:>12}  {count_of(row.leases, 'lease'):>9}"
        facts = f"{show_size(row.bytes_stored):>10}  {share_text(row.bytes_stored, total):>7}  {counts}"
        stops = f"{count_of(row.stops, 'stop'):>8}  {printable(row.reason)}"
        lines.append(f"  {name}{' ' * (width - cell_width(name))}  {facts}  {stops}".rstrip())
    if rest:
        lines.append(f"  and {len(rest)} more: {show_size(sum(row.bytes_stored for row in rest))}")
    return lines


def cause_lines(board: ProgressState) -> list[str]:
    """Why no source sent anything: a line for each cause, where there are several."""
    names: dict[str, list[str]] = {}
    for row in board.sorted_rows:
        reason = printable(row.reason).removeprefix(f"{host_of(row.name)} says ") or state_word(row)
        names.setdefault(reason, []).append(board.label(row.name))
    return [f"  {cause}: {_named(labels)}" for cause, labels in names.items()] if len(names) > 1 else []


def _named(labels: list[str]) -> str:
    shown = ", ".join(labels[:3])
    return shown if len(labels) <= 3 else f"{shown} and {len(labels) - 3} more"


def share_text(bytes_stored: int, total_bytes: int) -> str:
    """Part of everything that was stored, ``12.5 %``."""
    return f"{100 * bytes_stored / total_bytes:.1f} %" if total_bytes > 0 else "-"


def identity_lines(ended: JobEnded) -> list[str]:
    """Return what is claimed of a sealed file's content; nothing where all is from one source, unchecked."""
    claim = ended.claim
    known = claim.contributors > 1 or claim.excluded or claim.container or strength(claim.kind) > 0
    return [f"identity: {claim.text}"] if ended.state == "sealed" and known else []


def last_line(board: ProgressState, ended: JobEnded) -> str:
    """One printable line, no line end. The word before the first colon never depends on anything but the state."""
    match ended.state:
        case "sealed":
            return _sealed_line(board, ended)
        case "starved":
            return f"no source can deliver: {_reason(ended)}{_login_hint(ended.reason)}{_goes_on(board)}"
        case "late":
            return f"time is up: {_reason(ended)}{_goes_on(board)}"
        case "disagreed":
            if not board.again:
                return f"content disagrees: {_reason(ended).partition('; kept ')[0]}"
            kept = f"; what came is kept in {printable(ended.path)}" if ended.path else ""
            return f"content disagrees: {_reason(ended)}{kept}"
        case "disk":
            return f"disk or folder: {_reason(ended)}{_goes_on(board)}"
        case "interrupted":
            return f"interrupted{_why(ended)}{_goes_on(board) or '; nothing was stored yet'}"
        case "limited":
            return f"error: {_reason(ended)}{_goes_on(board)}"
        case "cancelled":
            return f"cancelled{_goes_on(board)}"
        case _:
            return f"our fault: {_reason(ended)}{_goes_on(board)}"


def _sealed_line(board: ProgressState, ended: JobEnded) -> str:
    if ended.reason:
        size = f"{show_size(ended.size_bytes)}; " if ended.size_bytes >= 0 else ""
        return f"already there: {printable(ended.path)} ({size}{_reason(ended)})"
    facts = [f"{show_size(ended.size_bytes)} in {show_time(ended.seconds)}"]
    new_bytes = ended.size_bytes - ended.bytes_resumed
    if ended.seconds > 0 and new_bytes > 0:
        facts.append(show_rate(new_bytes / ended.seconds))
    facts.append(count_of(board.giver_count, "source"))
    if ended.bytes_resumed > 0:
        facts.append(f"{show_size(ended.bytes_resumed)} were here before")
    return f"sealed: {printable(ended.path)} ({', '.join(facts)})"


def _login_hint(reason: str) -> str:
    """Return how to give a login, where a server wants one."""
    if "401 Unauthorized" in reason:
        return "; give a login with http://NAME:PASSWORD@HOST/..., --netrc or --header 'Authorization: ...'"
    if "407 Proxy" in reason:
        return "; give a login with --proxy http://NAME:PASSWORD@HOST:PORT"
    return ""


def _reason(ended: JobEnded) -> str:
    return printable(ended.reason).rstrip(". ") or "no reason was given"


def _why(ended: JobEnded) -> str:
    return f": {_reason(ended)}" if ended.reason not in ("", ended.state) else ""


def _goes_on(board: ProgressState) -> str:
    stored, size = board.stored_bytes, board.size_bytes
    if stored <= 0:
        return ""
    if not board.again:
        return "; nothing is kept of what goes to stdout, a pipe or a device"
    begun_bytes = board.opened.size_bytes if board.opened is not None else size
    if begun_bytes < 0 or size < 0:  # nothing is resumed of a file whose size was not known when it began
        return f"; the file's size is unknown, so {board.again} starts over"
    return f"; {board.again} goes on from {show_percent(stored, size)}"
