"""A connected socket read in slices of at most `SLICE_S`: plain here, TLS in `http_tls`."""

import select
import socket
import struct
from typing import Final, Protocol

from actors.sources.reader import SLICE_S

SEND_S_MAX: Final = 10.0


class Wire(Protocol):
    """One connection. `eof`: the other side has ended it; `torn`: and not in good order (TLS only can tell)."""

    eof: bool
    torn: bool

    def send(self, data: bytes) -> None:
        """All of `data`, or `OSError`."""

    def fill(self, view: memoryview, *, whole: bool) -> int:
        """Bytes into a view that is not empty; 0: none in time, or `eof`. Not `whole`: the first that come."""

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

    __slots__ = ("_sock", "eof", "torn")

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(SLICE_S))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SEND_S_MAX))
        self._sock = sock
        self.eof = False
        self.torn = False

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def fill(self, view: memoryview, *, whole: bool) -> int:
        try:
            count = self._sock.recv_into(view, 0, socket.MSG_WAITALL if whole else 0)
        except BlockingIOError:
            return 0
        self.eof = count == 0
        return count

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
        return not readable(self._sock)

    def close(self) -> None:
        self._sock.close()
