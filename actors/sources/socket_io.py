"""Time-sliced reads from a connected socket: plain TCP here, TLS in `actors.sources.http.tls`."""

import select
import socket
import struct
import sys
import time
from typing import Final, Protocol

from actors.runtime.network_interface import InterfaceGuard
from actors.sources.reader import SLICE_S

SEND_S_MAX: Final = 10.0
UNREAD_BYTES: Final = 2 << 20
"""Bytes of a fast body (a slot) that may lie unread before the kernel wakes the reader.

Else Linux holds the acknowledgement back while the reader is busy with what it has. An uploader that fills its send
buffer now and then, as Nicotine+ does every 4 ms, gets less into it: 2.3 MB a time instead of 4.3 were measured.
"""
FAST_S: Final = 0.05
"""A body of which `UNREAD_BYTES` came within this time is fast: the next ones will hardly be waited for."""
SLOW_BYTES_S: Final = 64 << 10
"""A body that brings less is slow: hundreds of them at once would else keep a core busy with a wake-up for each segment
and five returns a second, for which nothing is decided sooner."""
SLOW_WINDOW_S: Final = 5.0
"""Judged in windows as long as this, so not while limiters' first quotas still say little."""
SLOW_SLICE_S: Final = 0.5
SLOW_UNREAD_BYTES: Final = 8 << 10


class Stream(Protocol):
    """Byte stream of one connection. `eof`: the other side has ended it; `torn`: not in good order (TLS only)."""

    eof: bool
    torn: bool

    def send(self, data: bytes) -> None:
        """Send all of `data`, or raise `OSError`."""

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        """Read into a view that is not empty; 0: nothing in time, or `eof`. Not `whole`: return with the first bytes.

        `more`: number of bytes of the same body that are sure to follow the view.
        """

    def drain(self, count: int) -> bool:
        """Discard `count` bytes if they are all here already."""

    def idle(self) -> bool:
        """Whether a request may be sent: nothing is unread and the other side has not closed."""

    def guard(self, interface: str) -> InterfaceGuard:
        """Return the guard of this connection, which is bound to an interface."""

    def close(self) -> None: ...


def readable(sock: socket.socket, wait_s: float = 0.0) -> bool:
    """Whether a read would return at once. `select.select` refuses descriptors above 1023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def set_slices(sock: socket.socket) -> None:
    """Have the kernel end reads after a slice, and sends after `SEND_S_MAX`."""
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(SLICE_S))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SEND_S_MAX))


class PlainStream:
    """Plain TCP stream of HTTP or of a Soulseek peer; owns its blocking socket.

    The kernel ends a read after the slice, a longer one of a slow body, and returns what it has: one call for each
    slot.
    """

    __slots__ = (
        "_fast",
        "_guarded",
        "_slice_s",
        "_slow",
        "_sock",
        "_wakes_at",
        "_window_bytes",
        "_window_s",
        "eof",
        "torn",
    )

    def __init__(self, sock: socket.socket) -> None:
        set_slices(sock)
        self._sock = sock
        self._wakes_at = 1
        self._fast = self._slow = False
        self._slice_s = SLICE_S
        self._window_s, self._window_bytes = time.monotonic(), 0
        self._guarded = False  # bound to an interface, at which is looked between two reads
        self.eof = False
        self.torn = False

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        slow = self._slow and whole and not self._guarded
        unread = UNREAD_BYTES if self._fast else SLOW_UNREAD_BYTES if slow else 1
        # So much must come behind the view too, or its last bytes would lie there until the slice ends.
        self._wake_at(unread if more >= unread else 1)
        self._end_after(SLOW_SLICE_S if slow else SLICE_S)
        begun_s = time.monotonic()
        try:
            count = self._sock.recv_into(view, 0, socket.MSG_WAITALL if whole else 0)
        except BlockingIOError:
            count = -1
        ended_s = time.monotonic()
        self._fast = count >= UNREAD_BYTES and ended_s - begun_s <= FAST_S
        self.eof = count == 0
        self._window_bytes += max(count, 0)
        window_s = ended_s - self._window_s
        if window_s >= SLOW_WINDOW_S:
            self._slow = self._window_bytes < SLOW_BYTES_S * window_s
            self._window_s, self._window_bytes = ended_s, 0
        return max(count, 0)

    def _end_after(self, slice_s: float) -> None:
        if slice_s != self._slice_s:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(slice_s))
            self._slice_s = slice_s

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

    def guard(self, interface: str) -> InterfaceGuard:
        self._guarded = True
        return InterfaceGuard(self._sock, interface)

    def idle(self) -> bool:
        self._wake_at(1)
        return not readable(self._sock)

    def close(self) -> None:
        self._sock.close()
