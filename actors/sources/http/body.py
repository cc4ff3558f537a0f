"""Response body framing: by Content-Length, by chunks, or by the end of the connection.

A body is a view of its stream and dies with it.
"""

import time
from typing import Final, Protocol

import h11

from actors.sources.http.settings import DRAIN_BYTES_MAX
from actors.sources.reader import SLICE_S
from actors.sources.socket_io import Stream

SCRATCH_BYTES: Final = 64 * 1024
FRAMING_BYTES_MAX: Final = 1 << 20
FRAMING_SHARE_MAX: Final = 8
"""Chunk sizes, extensions and trailers may be this many times as long as the data, and `FRAMING_BYTES_MAX` more."""


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


class CountedBody:
    """Body of `length` bytes: first those that came along with the head, then straight from the socket."""

    def __init__(self, stream: Stream, early: bytes, length: int) -> None:
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


class ChunkedBody:
    """Chunked body, decoded by h11. Copies, and may: servers of large files announce their length."""

    def __init__(self, stream: Stream, early: bytes) -> None:
        self._stream = stream
        self._h11 = _chunk_parser(early)
        self._scratch = bytearray(SCRATCH_BYTES)
        self._ready = memoryview(b"")
        self._ended = False
        self._framing_bytes = len(early)

    @property
    def left(self) -> int | None:
        return 0 if self._ended and not self._ready else None

    @property
    def ended(self) -> bool:
        return self._ended and not self._ready

    @property
    def cut(self) -> bool:
        return self._stream.eof and not self._ended and not self._ready

    def read_into(self, view: memoryview) -> int:
        filled = self._take(view)
        if filled or self._ended or self._stream.eof:
            return filled
        until_s = time.monotonic() + SLICE_S
        while filled < len(view) and not self._ended and self._receive():
            filled += self._take(view[filled:])
            if time.monotonic() >= until_s or self._stream.idle():
                break
        return filled

    def _receive(self) -> bool:
        count = self._stream.fill(memoryview(self._scratch), whole=False)
        if count:
            self._framing_bytes += count
            if self._framing_bytes > FRAMING_BYTES_MAX:
                raise BrokenBody("more chunk framing than file")
            self._h11.receive_data(bytes(self._scratch[:count]))
        return count > 0

    def _take(self, view: memoryview) -> int:
        """Copy what h11 has decoded so far."""
        filled = 0
        while filled < len(view):
            if not self._ready and not self._next():
                break
            count, self._ready = _copy_out(self._ready, view[filled:])
            filled += count
        if not self._ready:
            self._next()  # the end may be here already
        return filled

    def _next(self) -> bool:
        """Get the next decoded data. False: there is none now."""
        if self._ended:
            return False
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise BrokenBody("broken chunks") from error
        if isinstance(event, h11.Data):
            self._ready = memoryview(event.data)
            self._framing_bytes = max(0, self._framing_bytes - FRAMING_SHARE_MAX * len(event.data))
            return True
        self._ended = isinstance(event, h11.EndOfMessage)
        return False

    def settle(self) -> bool:
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        room = DRAIN_BYTES_MAX
        while room > 0 and not self.ended:
            taken = self._take(scratch[:room])
            room -= taken
            if not taken and not self.ended and (self._stream.eof or self._stream.idle() or not self._receive()):
                return False
        return self.ended and not self._h11.trailing_data[0] and self._stream.idle()


def _chunk_parser(early: bytes) -> h11.Connection:
    """Return a parser that stands at the start of a chunked body, behind a head of our own making."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + early)
    parser.next_event()
    return parser


def _copy_out(early: memoryview, view: memoryview) -> tuple[int, memoryview]:
    count = min(len(early), len(view))
    view[:count] = early[:count]
    return count, early[count:]
