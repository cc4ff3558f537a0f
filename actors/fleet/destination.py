"""Destinations of finished files as a fleet's node uses them: calls, pieces of files, and faults.

Blocking; called in threads. Every failure is a `StoreError` with the fault that the core decides by and one line that
says whose it is.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from actors.core.fleet.vocabulary import StoreFault
from protocol.model.fleet.rows import PartRow

BLOCK_BYTES: Final = 1 << 20


class StoreError(Exception):
    """The destination did not do it. `fault` as the core knows it; the text is one line for people."""

    def __init__(self, fault: StoreFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class Seen(NamedTuple):
    """An object that stands at the destination."""

    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a part in a local file: ``[offset, offset + length)`` of `path`, and their MD5 in hexadecimal.

    `at`: where they belong in the finished file.
    """

    path: str
    offset: int
    length: int
    at: int
    md5: str


class Destination(Protocol):
    """Destination of finished files. `name` is the finished file's, parts count from 0."""

    def create(self, name: str, size_bytes: int) -> str:
        """Begin an upload; return its id."""

    def address(self, name: str, upload: str, part: int, md5: str) -> str:
        """Return where one part with this MD5 may be PUT for a while; the folder: the path of its file."""

    def complete(self, name: str, upload: str, parts: Sequence[PartRow]) -> str:
        """Let the finished file appear, unless one of its name is there; return its ETag."""

    def seen(self, name: str) -> Seen | None:
        """Return the finished file, None where there is none."""

    def abort(self, name: str, upload: str) -> None:
        """Forget an upload with its parts; no error when it is gone."""

    def reading(self, name: str) -> str:
        """Return where the finished file can be read for a while, by anyone; the folder: its path."""

    def remove(self, name: str, etag: str) -> None:
        """Delete the finished file if it still has this ETag; no error when it is gone."""

    def parts(self, name: str, upload: str) -> list[tuple[int, str]] | None:
        """Return number and ETag of the parts that are there; None where the destination cannot list them."""


def blocks(path: str, offset: int, length: int) -> Iterator[bytes]:
    """Yield bytes of a file, block by block. Raises OSError, also when it is too short."""
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        while length:
            block = file.read(min(BLOCK_BYTES, length))
            if not block:
                raise OSError(errno.EIO, f"{path} is shorter than expected")
            length -= len(block)
            yield block


def one_line(text: str) -> str:
    """Return the first 200 characters of a text, in one line."""
    return " ".join(text.split())[:200]
