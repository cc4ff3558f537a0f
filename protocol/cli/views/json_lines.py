"""JSON lines for programs, one object a line.

They are ``job_opened``, ``progress``, ``note``, ``session``, ``chunk`` and, last, ``job_ended``. Keys are the program's
own words. What is unknown is null. Text from outside is given as it is: JSON escapes every control character and
everything beyond ASCII, so a terminal is safe too.
"""

import math
from typing import Any, Final, TextIO

from protocol.cli.views.lines import JsonRows
from protocol.cli.views.progress_state import ProgressState
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
    SourceProgressed,
)

PROGRESS_EVERY_S: Final = 0.5


class JsonView:
    """`FrontView` for ``--json``. With `quiet` only the last object is written, with `verbose` one for each chunk."""

    def __init__(self, stdout: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._rows = JsonRows(stdout)
        self._quiet = quiet
        self._verbose = verbose
        self._board = ProgressState("")
        self._progress_due_s = -math.inf
        self._unwritten: JobProgressed | None = None

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        self._board.take(message)
        if isinstance(message, JobEnded):
            self._write("job_ended", ended_fields(self._board, message))
        elif not self._quiet and self._board.ended is None:
            self._show_event(message, now_s)

    def refresh(self, *, now_s: float) -> None:
        """Write the progress that came too soon after another: what stays as it is then is not reported again."""
        if self._unwritten is not None and now_s >= self._progress_due_s and self._board.ended is None:
            self._progress_due_s = now_s + PROGRESS_EVERY_S
            self._write("progress", _progress_fields(self._board, self._unwritten))
            self._unwritten = None

    def close(self) -> None:
        """Every line was flushed."""

    def _show_event(self, message: FrontInbox, now_s: float) -> None:
        match message:
            case JobOpened():
                self._write("job_opened", _opened_fields(message))
            case JobProgressed():
                self._unwritten = message
                self.refresh(now_s=now_s)
            case SessionChanged():
                self._write("session", session_fields(message))
            case JobNoted():
                self._write("note", {"text": message.text})
            case ProcessLost():
                self._write("note", {"text": f"process {message.process} ended: {message.detail}"})
            case ActorDied():
                self._write("note", {"text": f"{message.process}/{message.actor} failed: {message.detail}"})
            case ChunkArrived() if self._verbose:
                self._write("chunk", _chunk_fields(message))
            case _:
                pass

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        self._rows.write({"event": event, **fields})


def ended_fields(board: ProgressState, ended: JobEnded) -> dict[str, Any]:
    """Return the last object, in the documented order.

    It has a `reason` only where no file was sealed by this job: there is none, or it was there already.
    """
    reason = {} if ended.state == "sealed" and not ended.reason else {"reason": ended.reason}
    return {
        "state": ended.state,
        **reason,
        "path": ended.path,
        "size": _known(ended.size_bytes),
        "seconds": _number(ended.seconds),
        "bytes_received": ended.bytes_received,
        "bytes_resumed": ended.bytes_resumed,
        "bytes_refetched": ended.bytes_refetched,
        "xxh3_128": ended.digest_hex,
        "identity": {
            "kind": ended.claim.kind,
            "checks_agreed": ended.claim.checks_agreed,
            "checks_disagreed": ended.claim.checks_disagreed,
            "groups": ended.claim.groups,
            "contributors": ended.claim.contributors,
            "excluded_share": round(ended.claim.excluded_share, 4),
            "excluded": list(ended.claim.excluded),
            "text": ended.claim.text,
        },
        "sources": [_source_fields(row) for row in board.sorted_rows],
    }


def _source_fields(row: SourceProgressed) -> dict[str, Any]:
    return {
        "source": row.name,
        "bytes": row.bytes_stored,
        "chunks": row.chunks,
        "leases": row.leases,
        "stops": row.stops,
        "rate_bytes_s": _number(row.rate_bytes_s),
        "standing": row.standing,
        "reason": row.reason,
        "phase": row.phase,
        "peer": row.peer or None,
        "queue_place": row.queue_place if row.queue_place > 0 else None,
    }


def _opened_fields(message: JobOpened) -> dict[str, Any]:
    return {
        "part_path": message.part_path,
        "size": _known(message.size_bytes),
        "chunk_size": message.chunk_size,
        "bytes_resumed": message.resumed_bytes,
        "message": message.message,
    }


def session_fields(message: SessionChanged) -> dict[str, Any]:
    """Return the object of a login's state."""
    return {"state": message.state, "detail": message.detail, "final": message.final}


def _progress_fields(board: ProgressState, message: JobProgressed) -> dict[str, Any]:
    words = {"reason": message.reason, "estimate": message.estimate}
    return {
        "state": message.state,
        **{key: text for key, text in words.items() if text},
        "bytes_stored": message.stored_bytes,
        "size": _known(message.size_bytes),
        "rate_bytes_s": _number(message.rate_bytes_s),
        "left_s": _number(message.left_s) if message.left_s >= 0 else None,
        "sources": [_source_fields(row) for row in board.sorted_rows],
    }


def _chunk_fields(message: ChunkArrived) -> dict[str, Any]:
    return {
        "source": message.name,
        "chunk": message.chunk,
        "rate_bytes_s": _number(message.rate_bytes_s),
        "chunks_stored": message.stored_chunks,
        "chunk_count": message.chunk_count or None,
    }


def _known(size_bytes: int) -> int | None:
    return size_bytes if size_bytes >= 0 else None


def _number(value: float) -> float | None:
    """JSON has no infinity."""
    return round(float(value), 3) if math.isfinite(value) else None
