"""View of the check of a part file or a finished file, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.cli.views.outcome import ExitCode
from protocol.model.chunk_ranges import ChunkRange
from protocol.model.printable import count_of, printable
from protocol.model.units import show_percent, show_size

RUNS_SHOWN_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Verified file.

    `size_bytes` -1: not known. Runs are ``(first, stop)`` chunk numbers; `damaged` do not match their records.
    """

    path: str
    size_bytes: int
    chunk_size: int
    held_chunks: int
    damaged: Sequence[ChunkRange]
    missing: Sequence[ChunkRange]
    being_written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Check of a finished file. Digests are ``algorithm:hex``; `expected` is empty when none is known."""

    path: str
    size_bytes: int
    expected: str
    found: str


def finished_text(found: Finished) -> str:
    """Return one line, without line end."""
    path = printable(found.path)
    if not found.expected:
        return f"error: {path} is a finished file, and nothing says what should be in it: give --checksum"
    if found.expected != found.found:
        return f"{path}: differs: wanted {found.expected}, the file has {found.found}"
    return f"{path}: finished, {show_size(found.size_bytes)}, holds: {found.found}"


def finished_json(found: Finished) -> str:
    """Return one line; `holds` is null when nothing is known of its content."""
    fields = {
        "event": "verified",
        "path": found.path,
        "size": found.size_bytes,
        "finished": True,
        "holds": found.expected == found.found if found.expected else None,
        "expected": found.expected or None,
        "digest": found.found or None,
    }
    return json.dumps(fields, separators=(",", ":"))


def finished_exit_code(found: Finished) -> ExitCode:
    """Return success only for a file that is proven to hold."""
    if not found.expected:
        return ExitCode.DISK
    return ExitCode.SEALED if found.expected == found.found else ExitCode.DISAGREED


def verify_text(found: Verified) -> str:
    """A few lines, no line end after the last."""
    damaged, missing = _count(found.damaged), _count(found.missing)
    total = found.held_chunks + damaged + missing
    size = show_size(found.size_bytes) if found.size_bytes >= 0 else "size unknown"
    lines = [f"{printable(found.path)}: {size}, {count_of(total, 'chunk')} of {show_size(found.chunk_size)}"]
    lines.append(f"  holds    {count_of(found.held_chunks, 'chunk')} ({show_percent(found.held_chunks, total)})")
    if damaged:
        lines.append(f"  damaged  {count_of(damaged, 'chunk')}: {_runs_text(found.damaged)}; will be fetched again")
    if missing:
        lines.append(f"  missing  {count_of(missing, 'chunk')}: {_runs_text(found.missing)}")
    if found.being_written:
        lines.append("  being written by another process right now: this was true a moment ago")
    return "\n".join(lines)


def verify_json(found: Verified) -> str:
    """One line; runs as ``[first, stop]``, stop not included."""
    fields = {
        "event": "verified",
        "path": found.path,
        "size": found.size_bytes if found.size_bytes >= 0 else None,
        "chunk_size": found.chunk_size,
        "chunks_held": found.held_chunks,
        "chunks_damaged": _count(found.damaged),
        "chunks_missing": _count(found.missing),
        "damaged": [list(run) for run in found.damaged],
        "missing": [list(run) for run in found.missing],
        "being_written": found.being_written,
    }
    return json.dumps(fields, separators=(",", ":"))


def verify_exit_code(found: Verified) -> ExitCode:
    """Damage is content that disagrees; chunks that are not there yet are no fault."""
    return ExitCode.DISAGREED if _count(found.damaged) else ExitCode.SEALED


def _count(runs: Sequence[ChunkRange]) -> int:
    return sum(stop - first for first, stop in runs)


def _runs_text(runs: Sequence[ChunkRange]) -> str:
    shown = [str(first) if stop == first + 1 else f"{first}-{stop - 1}" for first, stop in runs[:RUNS_SHOWN_MAX]]
    rest = len(runs) - len(shown)
    return ", ".join(shown) + (f" and {count_of(rest, 'more run')}" if rest else "")
