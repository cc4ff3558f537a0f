"""State of a job as its views know it: the last of each kind of message, and nothing computed that could be stale."""

import struct
from typing import Final

from protocol.messages import ChunkMapDrawn, FrontInbox, JobEnded, JobOpened, JobProgressed, SourceProgressed
from protocol.model.printable import printable, short_names

LEASED: Final = 0x8000
MISSING: Final = 0
RESUMED: Final = 1
FIRST_SOURCE: Final = 2
"""Values of a cell of `ChunkMapDrawn`: missing, here before, or a source's number above these, with or without
`LEASED`."""
ACTIVE: Final = "active"
SAME_COMMAND: Final = "the same command"
SAID_STATES: Final = ("paused", "verifying", "queued", "searching", "waiting")
"""States of a job in which nothing comes and nothing is wrong: they are shown in place of the time left."""


class ProgressState:
    """State of a job that a view draws; owned by one view.

    `rows` by source number; `cells` as in `ChunkMapDrawn`; sizes are -1 while unknown. `again`: the command that goes
    on with a job that ended too early.
    """

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
        """Remember what this message says of the job's state, if anything."""
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
        """Size of the file, -1 while unknown."""
        for message in (self.ended, self.progress, self.opened):
            if message is not None and message.size_bytes >= 0:
                return message.size_bytes
        return -1

    @property
    def stored_bytes(self) -> int:
        """Bytes of the file that are here."""
        if self.ended is not None and self.ended.state == "sealed":
            return max(self.ended.size_bytes, 0)
        resumed = self.opened.resumed_bytes if self.opened is not None else 0
        stored = max(resumed, self.progress.stored_bytes if self.progress is not None else 0)
        # At the end the last rows are newer than the last progress.
        return stored if self.ended is None else max(stored, resumed + self.stored_by_sources)

    def label(self, name: str) -> str:
        """A source's name as it is shown: printable, and as short as the names known so far allow."""
        if len(self._labels) != len(self._names):
            names = list(self._names)
            self._labels = dict(zip(names, short_names(names), strict=True))
        return self._labels.get(name) or self._unknown_label(name)

    @staticmethod
    def _unknown_label(name: str) -> str:
        # A peer's first chunk may be reported before its row; one user is rarely two sources.
        return short_names([name])[0] if name.startswith("slsk://") else printable(name)

    @property
    def sorted_rows(self) -> list[SourceProgressed]:
        """A row for each source, by number."""
        return [self.rows[source] for source in sorted(self.rows)]

    @property
    def active_count(self) -> int:
        """Number of active sources."""
        return sum(row.standing == ACTIVE for row in self.rows.values())

    @property
    def giver_count(self) -> int:
        """Number of sources whose bytes were stored."""
        return sum(row.bytes_stored > 0 for row in self.rows.values())

    @property
    def stored_by_sources(self) -> int:
        """Bytes of all sources, shown or not."""
        return sum(row.bytes_stored for row in self.rows.values())

    @property
    def most_of_one(self) -> int:
        """Bytes of the source that sent most."""
        return max((row.bytes_stored for row in self.rows.values()), default=0)


def phase_words(progress: JobProgressed) -> str:
    """Return what a job without bytes is doing: its state, but of a search how far it is."""
    if progress.state != "searching" or not progress.reason:
        return progress.state
    return progress.reason if progress.reason == "logging in" else f"searching: {progress.reason}"


def state_word(row: SourceProgressed) -> str:
    """Return a source's activity, printable: its phase or its standing, and its place in a queue."""
    if row.standing == "banned":
        return "given up"
    word = row.phase if row.phase and row.standing != "cooling" else row.standing
    return printable(f"{word}, place {row.queue_place}" if row.queue_place > 0 else word)


def read_cells(packed: bytes) -> tuple[int, ...]:
    """The numbers of `ChunkMapDrawn.cells`; a half cell at the end is dropped."""
    count = len(packed) // 2
    return struct.unpack(f"<{count}H", packed[: 2 * count])
