"""View of a folder download: a line for each file that ends, and a status line of all of them.

``--json`` writes ``folder``, ``progress``, ``file`` and, last, ``folder_ended`` objects to stdout.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TextIO

from protocol.cli.views.base import can_draw
from protocol.cli.views.json_lines import ended_fields
from protocol.cli.views.lines import JsonRows, LineWriter
from protocol.cli.views.outcome import last_line
from protocol.cli.views.plain import Notes
from protocol.cli.views.progress_state import ProgressState
from protocol.messages import FrontInbox, JobEnded
from protocol.model.printable import count_of, cut, printable
from protocol.model.remote_paths import FolderFile
from protocol.model.units import show_percent, show_rate, show_size

PROGRESS_EVERY_S: Final = 5.0
DRAW_EVERY_S: Final = 0.5
WIDTH: Final = 100
_CLEAR: Final = "\r\x1b[K"


class FolderView:
    """One folder download, its jobs numbered as its files from 1. With `quiet` only files that are missing are named.

    `now_s` is monotonic and passed in.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, *, json: bool, quiet: bool) -> None:
        self._rows = JsonRows(stdout) if json else None
        self._lines = LineWriter(stderr)
        self._quiet = quiet
        self._draws = not json and not quiet and can_draw(stderr)
        self._drawn = False
        self._notes = Notes()
        self._files: Sequence[FolderFile] = ()
        self._boards: dict[int, ProgressState] = {}
        self._states = Counter[str]()
        self._due_s = -math.inf
        self._place = ""

    def listed(self, user: str, folder: str, files: Sequence[FolderFile], place: str) -> None:
        """The files of the folder are known."""
        self._files, self._place = files, place
        size = sum(file.size_bytes for file in files)
        if self._rows is not None:
            self._rows.write(
                {"event": "folder", "user": user, "folder": folder, "files": len(files), "size_bytes": size,
                 "path": place}
            )  # fmt: skip
        else:
            words = f"{printable(folder)} of {printable(user)}: {count_of(len(files), 'file')}, {show_size(size)}"
            self._say(f"{words}, into {printable(place)}")

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        """Take one message."""
        number = getattr(message, "job", 0)
        if 0 < number <= len(self._files):
            name = printable(self._files[number - 1].name)
            self._boards.setdefault(number, ProgressState(name)).take(message)
        elif self._rows is None and (line := self._notes.line(message)):
            self._say(line)
        self._due_s = now_s + PROGRESS_EVERY_S if self._due_s == -math.inf and self._boards else self._due_s

    def refresh(self, *, now_s: float) -> None:
        """Write or redraw the status of all files when that is due."""
        if not self._boards or now_s < self._due_s:
            return
        self._due_s = now_s + (DRAW_EVERY_S if self._draws else PROGRESS_EVERY_S)
        if self._rows is not None:
            self._rows.write({"event": "progress", **self._status()})
        elif self._draws:
            self._drawn = True
            self._lines.write_raw(_CLEAR + cut(self._status_line(), WIDTH))
        else:
            self._say(self._status_line())

    def ended(self, ended: JobEnded) -> None:
        """One file is over."""
        board = self._boards.setdefault(ended.job, ProgressState(printable(self._files[ended.job - 1].name)))
        self._states[ended.state] += 1
        if self._rows is not None:
            self._rows.write({"event": "file", "number": ended.job, "name": board.title, **ended_fields(board, ended)})
            return
        which = f"{ended.job}/{len(self._files)}"
        name = "" if ended.state == "sealed" else f" {board.title}:"
        self._say(f"{which}{name} {last_line(board, ended)}", always=ended.state != "sealed")

    def finish(self) -> None:
        """Every file is over."""
        sealed, count = self._states["sealed"], len(self._files)
        if self._rows is not None:
            self._rows.write(
                {"event": "folder_ended", "files": count, "sealed": sealed, "states": dict(self._states),
                 "path": self._place}
            )  # fmt: skip
            return
        words = f"{sealed} of {count_of(count, 'file')} sealed in {printable(self._place)}"
        self._say(words if sealed == count else f"{words}; the same command goes on", always=sealed < count)

    def refuse(self, detail: str) -> None:
        """There is no folder to fetch."""
        if self._rows is not None:
            self._rows.write({"event": "folder_ended", "files": 0, "sealed": 0, "states": {}, "reason": detail})
        self._say(f"error: {printable(detail)}", always=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._drawn:
            self._drawn = False
            self._lines.write_raw(_CLEAR)

    def _say(self, line: str, *, always: bool = False) -> None:
        if (self._quiet and not always) or (self._rows is not None and not always):
            return
        self.close()
        self._lines.write(line)

    def _status(self) -> dict[str, Any]:
        stored = sum(board.stored_bytes for board in self._boards.values())
        rate = sum(
            board.progress.rate_bytes_s
            for board in self._boards.values()
            if board.progress is not None and board.ended is None
        )
        size = sum(file.size_bytes for file in self._files)
        return {"sealed": self._states["sealed"], "stored_bytes": stored, "size_bytes": size, "rate_bytes_s": rate}

    def _status_line(self) -> str:
        status = self._status()
        rows = [row for board in self._boards.values() if board.ended is None for row in board.rows.values()]
        users = len({row.peer or row.name for row in rows if row.standing == "active"})
        places = [row.queue_place for row in rows if row.queue_place > 0]
        waits = f", best place in a queue {min(places)}" if places and not users else ""
        done = show_percent(status["stored_bytes"], status["size_bytes"])
        return (
            f"{status['sealed']} of {len(self._files)} files, {done}, "
            f"{show_rate(status['rate_bytes_s'])} from {count_of(users, 'user')}{waits}"
        )
