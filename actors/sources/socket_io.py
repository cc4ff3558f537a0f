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

    The kernel ends a read after the slice and returns what it has: one call for each slot.
    """

    __slots__ = ("_fast", "_sock", "_wakes_at", "eof", "torn")

    def __init__(self, sock: socket.socket) -> None:
        set_slices(sock)
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

    def guard(self, interface: str) -> InterfaceGuard:
        return InterfaceGuard(self._sock, interface)

    def idle(self) -> bool:
        self._wake_at(1)
        return not readable(self._sock)

    def close(self) -> None:
        self._sock.close()
