"""One Soulseek peer's file: rides the plain socket that a turn brought, from the offset on.

The session process negotiated; here the connection is ready and not a byte has flowed. The first thing said on it is
the offset. The body has no end of its own: the uploader sends up to the file's size and then waits for us to close.
"""

import socket
import struct
import time
from typing import Final

from actors.sources.reader import Probed
from actors.sources.socket_io import PlainWire
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import name_from_url, slsk_address

_OFFSET: Final = struct.Struct("<Q")
REFUSED_S_MAX: Final = 5.0
"""A peer that closes without a byte so soon after an offset that is not 0 does not take offsets; later: it failed."""


class SlskReader:
    """A `Reader` that is given its connection: `connected` says whether `open` may be called.

    One connection carries one body; `hang_up` closes it, and the next body needs another turn. Owned and used by one
    thread. Every failure is a `SourceFault` and leaves the reader without connection.
    """

    def __init__(self, url: str) -> None:
        try:
            self._peer, _path = slsk_address(url)
        except ValueError as error:
            raise SourceFault(FaultKind.UNSUPPORTED_URL, str(error)) from None
        self._name = name_from_url(url)
        self._wire: PlainWire | None = None
        self._start = 0
        self._position = 0
        self._size_bytes = -1
        self._opened_s: float | None = None

    @property
    def connected(self) -> bool:
        """A fresh connection is here, or a body is open."""
        return self._wire is not None

    def connect(self, fd: int) -> None:
        """Take over the descriptor of a turn's connection; one that was there before is closed."""
        self.close()
        self._wire = PlainWire(socket.socket(fileno=fd))

    def probe(self) -> Probed:
        """What is known without asking: only a turn tells the size."""
        return Probed(size_bytes=-1, offset_ok=True, validator="", name=self._name, setup_s=0.0)

    def open(self, start: int, stop: int | None, *, size_bytes: int) -> None:
        """Say the offset. `stop` is not said: the protocol has no word for it. The connection must be fresh."""
        if self._opened_s is not None:
            self.close()
        if self._wire is None:
            raise SourceFault(FaultKind.TURN_LOST, f"{self._peer}: the connection is gone")
        self._start = self._position = start
        self._size_bytes = size_bytes
        self._opened_s = time.monotonic()
        try:
            self._wire.send(_OFFSET.pack(start))
        except OSError as error:
            self.close()
            raise SourceFault(FaultKind.RESET, f"{self._peer} closed the connection before the offset") from error

    def read_into(self, view: memoryview) -> int:
        if self._wire is None or self._opened_s is None:
            return 0
        if self._size_bytes >= 0:
            view = view[: self._size_bytes - self._position]
        if not view:
            return 0
        more = max(self._size_bytes - self._position - len(view), 0)
        try:
            count = self._wire.fill(view, whole=True, more=more)
        except OSError as error:
            raise self._broken(FaultKind.RESET, "broke the connection") from error
        if count == 0 and self._wire.eof:
            raise self._broken(FaultKind.SHORT_BODY, "hung up")
        self._position += count
        return count

    def _broken(self, kind: FaultKind, how: str) -> SourceFault:
        got = self._position - self._start
        soon = self._opened_s is not None and time.monotonic() - self._opened_s < REFUSED_S_MAX
        self.close()
        if got == 0 and self._start > 0 and soon:
            return SourceFault(FaultKind.RANGE_REFUSED, f"{self._peer} {how} at the offset {self._start}")
        if got == 0:
            return SourceFault(FaultKind.UPLOAD_FAILED, f"{self._peer} {how} without a byte")
        return SourceFault(kind, f"{self._peer} {how} after {got} bytes")

    @property
    def ended(self) -> bool:
        return self._opened_s is not None and self._position == self._size_bytes

    @property
    def position(self) -> int:
        return self._position

    def hang_up(self) -> bool:
        """Close. True: the peer had not sent everything, and will call this a failed upload.

        A connection that was never opened counts as such too: the peer is waiting for its offset.
        """
        stopped = self._wire is not None and not self.ended
        self.close()
        return stopped

    def close(self) -> None:
        self._opened_s = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
