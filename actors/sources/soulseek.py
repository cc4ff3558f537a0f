"""Reader of a Soulseek file connection (type F), from the offset on.

The session process has negotiated the transfer; the connection is ready and no byte has flowed. The offset is sent
first. The body has no end mark: the uploader sends up to the file's size and then waits for us to close.
"""

import socket
import struct
import time
from typing import Final

from actors.runtime.network_interface import InterfaceGone, InterfaceGuard
from actors.sources.reader import Probed
from actors.sources.socket_io import PlainStream
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import name_from_url, slsk_address, window_of

_OFFSET: Final = struct.Struct("<Q")
REFUSED_S_MAX: Final = 5.0
"""A peer that closes without a byte within this time of an offset above 0 does not take offsets; later: it failed."""


class SlskReader:
    """`Reader` that is given its connection: `connected` says whether `open` may be called.

    Of an address with a window it reads that range of the peer's file, to everything else a file of its own.

    One connection carries one body; `hang_up` closes it, and the next body needs another negotiation. Owned and used
    by one thread. Every failure is a `SourceFault` and leaves the reader without connection.
    """

    def __init__(self, url: str, *, interface: str = "") -> None:
        """`interface`: what the session's connections are bound to, empty: nothing."""
        try:
            self.peer, self.path = slsk_address(url)
        except ValueError as error:
            raise SourceFault(FaultKind.UNSUPPORTED_URL, str(error)) from None
        self._name = name_from_url(url)
        self._window = window_of(url)
        self._interface = interface
        self._guard: InterfaceGuard | None = None
        self._stream: PlainStream | None = None
        self._start = 0
        self._position = 0
        self._stop = self._size_bytes = -1
        self._opened_s: float | None = None

    @property
    def connected(self) -> bool:
        """Whether a fresh connection is here, or a body is open."""
        return self._stream is not None

    def connect(self, fd: int) -> None:
        """Take over the descriptor of a negotiated connection; an earlier one is closed."""
        self.close()
        self._stream = PlainStream(socket.socket(fileno=fd))
        self._guard = self._stream.guard(self._interface) if self._interface else None

    def probe(self, *, begin_at: int = -1) -> Probed:
        """Return what is known without asking; the size comes with the negotiation."""
        return Probed(size_bytes=-1, offset_ok=True, validator="", name=self._name, setup_s=0.0)

    def open(self, start: int, stop: int | None, *, size_bytes: int, from_start: bool = False) -> None:
        """Send the offset on a fresh connection. `stop` is not sent: the protocol has no field for it."""
        if self._opened_s is not None:
            self.close()
        if self._stream is None:
            raise SourceFault(FaultKind.TURN_LOST, f"{self.peer}: the connection is gone")
        start = 0 if from_start else start + self._first
        if start < self._first:
            self.close()
            raise SourceFault(FaultKind.RANGE_REFUSED, f"{self.peer} sends from the beginning only")
        self._start = self._position = start
        self._stop = self._size_bytes = size_bytes
        if self._window is not None:
            self._stop, self._size_bytes = self._window.stop, self._window.size_bytes
        self._opened_s = time.monotonic()
        try:
            self._stream.send(_OFFSET.pack(start))
        except OSError as error:
            self.close()
            raise SourceFault(FaultKind.RESET, f"{self.peer} closed the connection before the offset") from error

    def read_into(self, view: memoryview) -> int:
        if self._stream is None or self._opened_s is None:
            return 0
        if self._stop >= 0:
            view = view[: self._stop - self._position]
        if not view:
            return 0
        self._check_interface()
        more = max(self._stop - self._position - len(view), 0)
        try:
            count = self._stream.fill(view, whole=True, more=more)
        except OSError as error:
            raise self._broken(FaultKind.RESET, "broke the connection") from error
        if count == 0 and self._stream.eof:
            raise self._broken(FaultKind.SHORT_BODY, "hung up")
        self._position += count
        return count

    def _check_interface(self) -> None:
        try:
            if self._guard is not None:
                self._guard.check()
        except InterfaceGone as gone:
            self.close()
            raise SourceFault(FaultKind.INTERFACE_GONE, gone.words) from gone

    def _broken(self, kind: FaultKind, how: str) -> SourceFault:
        got = self._position - self._start
        soon = self._opened_s is not None and time.monotonic() - self._opened_s < REFUSED_S_MAX
        self.close()
        if got == 0 and self._start > 0 and soon:
            return SourceFault(FaultKind.RANGE_REFUSED, f"{self.peer} {how} at the offset {self._start}")
        if got == 0:
            return SourceFault(FaultKind.UPLOAD_FAILED, f"{self.peer} {how} without a byte")
        return SourceFault(kind, f"{self.peer} {how} after {got} bytes")

    @property
    def ended(self) -> bool:
        return self._opened_s is not None and self._position == self._size_bytes

    @property
    def position(self) -> int:
        return self._position - self._first

    @property
    def _first(self) -> int:
        return self._window.first if self._window is not None else 0

    def hang_up(self) -> bool:
        """Close. True: the peer had not sent everything, and shows a failed upload.

        So does a connection on which no offset was sent: the peer is waiting for it.
        """
        stopped = self._stream is not None and not self.ended
        self.close()
        return stopped

    def close(self) -> None:
        self._opened_s = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None
