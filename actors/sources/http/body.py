"""Response body framing: by Content-Length, by chunks, or by the end of the connection.

A body is a view of its stream and dies with it.
"""

import re
import time
from enum import Enum, auto
from typing import Final, Protocol

from actors.sources.http.settings import DRAIN_BYTES_MAX
from actors.sources.reader import SLICE_S
from actors.sources.socket_io import Stream
from protocol.model.value import late_pattern

SCRATCH_BYTES: Final = 64 * 1024
FRAMING_BYTES_MAX: Final = 1 << 20
FRAMING_SHARE_MAX: Final = 8
"""Chunk sizes, extensions and trailers may be this many times as long as the data, and `FRAMING_BYTES_MAX` more."""
_CHUNK_SIZE: Final = late_pattern(rb"0*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)


class BrokenBody(Exception):  # noqa: N818  (named as the faults are)
    """The body is not of its framing or its coding; the text says of which."""


class Body(Protocol):
    """Body of one answer. `left`: bytes that are still to come, None unknown; `cut`: the connection ended first."""

    @property
    def left(self) -> int | None: ...
    @property
    def ended(self) -> bool: ...
    @property
    def cut(self) -> bool: ...

    def read_into(self, view: memoryview) -> int:
        """Read the bytes that come within a slice. Raises `OSError` or `BrokenBody`."""

    def settle(self) -> bool:
        """Discard a small rest that is here already; return whether the stream may carry the next request."""


class Bytes(Protocol):
    """Stream as a counted body needs it."""

    @property
    def eof(self) -> bool: ...
    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int: ...
    def drain(self, count: int) -> bool: ...
    def idle(self) -> bool: ...


class CountedBody:
    """Body of `length` bytes: first those that came along with the head, then straight from the socket."""

    def __init__(self, stream: Bytes, early: bytes, length: int) -> None:
        self._stream = stream
        self._early = memoryview(early)
        self._left = length

    @property
    def left(self) -> int | None:
        return self._left

    @property
    def ended(self) -> bool:
        return self._left == 0

    @property
    def cut(self) -> bool:
        return self._left > 0 and self._stream.eof

    def read_into(self, view: memoryview) -> int:
        view = view[: self._left]
        if not view:
            return 0
        if self._early:
            count, self._early = _copy_out(self._early, view)
        else:
            count = self._stream.fill(view, whole=True, more=self._left - len(view))
        self._left -= count
        return count

    def settle(self) -> bool:
        if self._left > DRAIN_BYTES_MAX:
            return False
        early = min(self._left, len(self._early))
        self._early, self._left = self._early[early:], self._left - early
        if self._left and not self._stream.drain(self._left):
            return False
        self._left = 0
        return not self._early and self._stream.idle()  # more than was announced: it would be taken for the next answer


class OpenBody:
    """Body of no announced length: it ends when the connection does."""

    def __init__(self, stream: Stream, early: bytes) -> None:
        self._stream = stream
        self._early = memoryview(early)

    @property
    def left(self) -> int | None:
        return None

    @property
    def ended(self) -> bool:
        return self._stream.eof and not self._stream.torn and not self._early

    @property
    def cut(self) -> bool:
        return self._stream.torn and not self._early

    def read_into(self, view: memoryview) -> int:
        if self._early:
            count, self._early = _copy_out(self._early, view)
            return count
        return 0 if self._stream.eof else self._stream.fill(view, whole=True)

    def settle(self) -> bool:
        return False


class _Part(Enum):
    """Part of the framing that the next line belongs to."""

    SIZE = auto()
    DATA_END = auto()
    TRAILER = auto()
    END = auto()


class ChunkedBody:
    """Chunked body. Copies, and may: servers of large files announce their length.

    Read by rules of its own, because those of h11 are stricter than what browsers and curl take: blanks before an
    extension, bare line feeds, odd trailers, a connection that ends behind the last chunk, where RFC 9112 has the body
    complete.
    """

    def __init__(self, stream: Stream, early: bytes) -> None:
        self._stream = stream
        self._data = bytearray(early)
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._part = _Part.SIZE
        self._chunk_left = 0
        self._framing_bytes = 0

    @property
    def left(self) -> int | None:
        return 0 if self.ended else None

    @property
    def ended(self) -> bool:
        return self._part in (_Part.TRAILER, _Part.END)  # some never send the empty line behind the last chunk

    @property
    def _framed(self) -> bool:
        """Whether all of its framing was read."""
        return self._part is _Part.END

    @property
    def cut(self) -> bool:
        return self._stream.eof and not self.ended and not (self._chunk_left and self._data)

    def read_into(self, view: memoryview) -> int:
        filled = self._take(view)
        if filled or self.ended or self._stream.eof:
            return filled
        until_s = time.monotonic() + SLICE_S
        while filled < len(view) and not self.ended and self._receive():
            filled += self._take(view[filled:])
            if time.monotonic() >= until_s or self._stream.idle():
                break
        return filled

    def _receive(self) -> bool:
        count = self._stream.fill(self._scratch, whole=False)
        self._data += self._scratch[:count]
        self._parse()
        return count > 0

    def _take(self, view: memoryview) -> int:
        """Copy what is here of the file."""
        self._parse()
        filled = 0
        while self._chunk_left and (count := min(self._chunk_left, len(view) - filled, len(self._data))):
            view[filled : filled + count] = self._data[:count]
            del self._data[:count]
            filled += count
            self._chunk_left -= count
            self._framing_bytes = max(0, self._framing_bytes - FRAMING_SHARE_MAX * count)
            self._parse()
        return filled

    def _parse(self) -> None:
        """Read framing up to the next bytes of the file, or as far as it is here."""
        while not self._chunk_left and not self._framed:
            end = self._data.find(b"\n") + 1
            if self._framing_bytes + (end or len(self._data)) > FRAMING_BYTES_MAX:
                raise BrokenBody("more chunk framing than file")
            if not end:
                return
            line = bytes(self._data[:end]).rstrip(b"\r\n")
            del self._data[:end]
            self._framing_bytes += end
            self._frame(line)

    def _frame(self, line: bytes) -> None:
        match self._part:
            case _Part.SIZE:
                size = _CHUNK_SIZE.fullmatch(line)
                if size is None:
                    raise BrokenBody("broken chunks")
                self._chunk_left = int(size[1], 16)
                self._part = _Part.DATA_END if self._chunk_left else _Part.TRAILER
            case _Part.DATA_END:
                if line:
                    raise BrokenBody("broken chunks")
                self._part = _Part.SIZE
            case _ if not line:
                self._part = _Part.END

    def settle(self) -> bool:
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        room = DRAIN_BYTES_MAX
        while room > 0 and not self._framed:
            taken = self._take(scratch[:room])
            room -= taken
            if (
                not taken
                and self._part is not _Part.END
                and (self._stream.eof or self._stream.idle() or not self._receive())
            ):
                return False
        return self._framed and not self._data and self._stream.idle()


def _copy_out(early: memoryview, view: memoryview) -> tuple[int, memoryview]:
    count = min(len(early), len(view))
    view[:count] = early[:count]
    return count, early[count:]
