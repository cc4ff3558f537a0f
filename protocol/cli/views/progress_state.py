"""What a front knows of its job: the last of each kind of message, and nothing computed that could be stale."""

import struct
from typing import Final

from protocol.messages import ChunkMapDrawn, FrontInbox, JobEnded, JobOpened, JobProgressed, SourceProgressed
from protocol.model.printable import printable, short_names

ACTIVE: Final = "active"
SAME_COMMAND: Final = "the same command"
SAID_STATES: Final = ("paused", "verifying", "queued", "searching", "waiting")
"""States of a job in which nothing comes, and that is no wonder: they stand where the time left would."""


class ProgressState:
    """Owned by one view. `rows` by source number; `cells` as in `ChunkMapDrawn`; sizes are -1 while unknown.
    `again`: what goes on with a job that ended too early."""

    __slots__ = ("_labels", "_names", "again", "cells", "ended", "opened", "progress", "rows", "title")

    def __init__(self, title: str, again: str = SAME_COMMAND) -> None:
        self.title = title
        self.again = again
        self.opened: JobOpened | None = None
        self.progress: JobProgressed | None = None
        self.ended: JobEnded | None = None
        self.rows: dict[int, SourceProgressed] = {}
        self.cells: tuple[int, ...] = ()
        self._names: dict[str, None] = {}
        self._labels: dict[str, str] = {}

    def take(self, message: FrontInbox) -> None:
        """Remember what this message says; messages that say nothing of the job's state change nothing."""
        match message:
            case JobOpened():
                self.opened = message
                name = message.part_path.rpartition("/")[2].removesuffix(".part")
                self.title = printable(name) or self.title
            case JobProgressed():
                self.progress = message
            case SourceProgressed():
                self._names[message.name] = None
                self.rows[message.source] = message
            case ChunkMapDrawn():
                self.cells = read_cells(message.cells)
            case JobEnded():
                self.ended = message
            case _:
                pass

    @property
    def size_bytes(self) -> int:
        for message in (self.ended, self.progress, self.opened):
            if message is not None and message.size_bytes >= 0:
                return message.size_bytes
        return -1

    @property
    def stored_bytes(self) -> int:
        if self.ended is not None and self.ended.state == "sealed":
            return max(self.ended.size_bytes, 0)
        resumed = self.opened.resumed_bytes if self.opened is not None else 0
        told = self.progress.stored_bytes if self.progress is not None else 0
        if self.ended is None:
            return max(told, resumed)
        # The last rows are newer than the last progress.
        return max(told, resumed + sum(row.bytes_stored for row in self.rows.values()))

    def label(self, name: str) -> str:
        """What people see for a source's name: printable, and as short as the names known so far allow."""
        if len(self._labels) != len(self._names):
            names = list(self._names)
            self._labels = dict(zip(names, short_names(names), strict=True))
        return self._labels.get(name) or self._unknown_label(name)

    @staticmethod
    def _unknown_label(name: str) -> str:
        # A peer's first chunk may be told before its row; one user is rarely two sources.
        return short_names([name])[0] if name.startswith("slsk://") else printable(name)

    @property
    def sorted_rows(self) -> list[SourceProgressed]:
        return [self.rows[source] for source in sorted(self.rows)]

    @property
    def active_count(self) -> int:
        return sum(row.standing == ACTIVE for row in self.rows.values())

    @property
    def giver_count(self) -> int:
        """Sources whose bytes were kept."""
        return sum(row.bytes_stored > 0 for row in self.rows.values())


def read_cells(packed: bytes) -> tuple[int, ...]:
    """The numbers of `ChunkMapDrawn.cells`; a half cell at the end is dropped."""
    count = len(packed) // 2
    return struct.unpack(f"<{count}H", packed[: 2 * count])
