"""Output of whole lines to a stream that may go away: plain ones, JSON objects, tables.

A reader that leaves (``| head``) or a log on a full disk must not end a download: the first failed write makes the
writer silent. The stream's descriptor then leads to /dev/null, or Python would complain again when it exits.
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TextIO

from protocol.model.printable import cell_width, cut, printable
from protocol.model.units import show_rate, show_size

NAME_WIDTH_MAX: Final = 52


class LineWriter:
    """Writes and flushes line by line. One thread; the stream stays its giver's."""

    __slots__ = ("_gone", "_stream")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    @property
    def encodes_all(self) -> bool:
        """Whether signs beyond ASCII will arrive as they are."""
        return "utf" in (self._stream.encoding or "utf-8").lower()

    def write(self, line: str) -> None:
        """Write one line."""
        self.write_raw(line + "\n")

    def write_raw(self, text: str) -> None:
        r"""Write text that brings its own line ends. What the stream cannot encode is written as ``\xNN``."""
        if self._gone:
            return
        try:
            self._stream.write(self._encodable(text))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: closed
            self._gone = True
            _lead_nowhere(self._stream)

    def _encodable(self, text: str) -> str:
        if text.isascii():
            return text
        encoding = self._stream.encoding or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _lead_nowhere(stream: TextIO) -> None:
    # Streams without a descriptor (tests) have nothing to flush at exit.
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)


class JsonRows:
    """Writes one JSON object a line, and escapes everything beyond ASCII: a terminal is safe too."""

    def __init__(self, stdout: TextIO) -> None:
        self._lines = LineWriter(stdout)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one object."""
        self._lines.write(json.dumps(row, separators=(",", ":")))


def table_lines(rows: Sequence[tuple[str, ...]], *, left: frozenset[int] = frozenset()) -> list[str]:
    """Rows of printable cells in columns; the last is as wide as it is. `left`: columns that begin at the left."""
    widths = [max(cell_width(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(_padded(row[at], widths[at], at in left) for at in range(len(widths))), row[-1]]) for row in rows
    ]


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - cell_width(cell))
    return cell + space if left else space + cell


class TargetRow(Protocol):
    """One file of a search or of the saved pool."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def free(self) -> int: ...
    @property
    def speed_bytes_s(self) -> int: ...
    @property
    def shortest_queue(self) -> int: ...
    @property
    def sureness(self) -> str: ...
    @property
    def name(self) -> str: ...


SURENESS: Final = {"names": "name", "attributes": "name, sound"}
"""Equal beside the size, where several users' files count as one."""


def target_table(many: str, targets: Sequence[tuple[TargetRow, int]]) -> list[str]:
    """Return the files of a search as a table: a head and a line for each; nothing for none.

    Each comes with the number of users or sources, called `many`, that have it.
    """
    rows = [
        (
            f"{show_size(one.size_bytes)} ({one.size_bytes})",
            str(count),
            str(one.free),
            show_rate(one.speed_bytes_s) if one.speed_bytes_s > 0 else "-",
            str(one.shortest_queue),
            SURENESS.get(one.sureness, "-"),
            cut(printable(one.name), NAME_WIDTH_MAX),
        )
        for one, count in targets
    ]
    return table_lines([("size", many, "free", "speed", "queue", "sure by", "name"), *rows]) if rows else []
