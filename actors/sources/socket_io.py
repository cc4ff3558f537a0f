"""A connected socket read in slices of at most `SLICE_S`: plain here, TLS in `http_tls`."""

import select
import socket
import struct
import sys
import time
from typing import Final, Protocol

from actors.sources.reader import SLICE_S

SEND_S_MAX: Final = 10.0
UNREAD_BYTES: Final = 2 << 20
"""So much of a fast body, a slot, may lie unread before the kernel wakes the reader; it is acknowledged at once.

Else Linux holds the acknowledgement back while the reader is busy with what it has. An uploader that fills its send
buffer now and then, as Nicotine+ does every 4 ms, gets less into it: 2.3 MB a time instead of 4.3 were measured.
"""
FAST_S: Final = 0.05
"""A body of which `UNREAD_BYTES` came within so long is fast: the next ones will hardly be waited for."""


class Wire(Protocol):
    """One connection. `eof`: the other side has ended it; `torn`: and not in good order (TLS only can tell)."""

    eof: bool
    torn: bool

    def send(self, data: bytes) -> None:
        """All of `data`, or `OSError`."""

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        """Bytes into a view that is not empty; 0: none in time, or `eof`. Not `whole`: the first that come.

        `more`: so many bytes of the same body are sure to come behind the view.
        """

    def drain(self, count: int) -> bool:
        """Throw `count` bytes away if they are all here already."""

    def idle(self) -> bool:
        """Nothing has come and nothing has ended: a request may be sent."""

    def close(self) -> None: ...


def readable(sock: socket.socket, wait_s: float = 0.0) -> bool:
    """Whether a read would not wait. `select.select` would refuse descriptors above 1023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


class PlainWire:
    """One blocking socket, of HTTP or of a Soulseek peer, owned from here on. The kernel ends a read after the slice
    and hands over what it has: one call a slot."""

    __slots__ = ("_fast", "_sock", "_wakes_at", "eof", "torn")

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(SLICE_S))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SEND_S_MAX))
        self._sock = sock
        self._wakes_at = 1
        self._fast = False
        self.eof = False
        self.torn = False

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        # So much must come behind the view too, or its last bytes would lie there until the slice ends.
        self._wake_at(UNREAD_BYTES if self._fast and more >= UNREAD_BYTES else 1)
        begun_s = time.monotonic()
        try:
            count = self._sock.recv_into(view, 0, socket.MSG_WAITALL if whole else 0)
        except BlockingIOError:
            count = -1
        self._fast = count >= UNREAD_BYTES and time.monotonic() - begun_s <= FAST_S
        self.eof = count == 0
        return max(count, 0)

    def _wake_at(self, count: int) -> None:
        if count != self._wakes_at and sys.platform == "linux":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._wakes_at = count

    def drain(self, count: int) -> bool:
        scratch = bytearray(count)
        while count:
            try:
                got = self._sock.recv_into(scratch, count, socket.MSG_DONTWAIT)
            except OSError:
                return False
            if got == 0:
                return False
            count -= got
        return True

    def idle(self) -> bool:
        self._wake_at(1)
        return not readable(self._sock)

    def close(self) -> None:
        self._sock.close()
