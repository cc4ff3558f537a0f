"""Reader of a window of a remote file: a range of its bytes, to everything else a file of its own.

A fleet divides one large file so among its machines: each downloads its windows with sources, chunks, records and
checks as for any file. The window stands in the address, as a fragment, which no server sees.
"""

from typing import Final

from actors.sources.reader import Probed, Reader
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import Window


class WindowReader:
    """`Reader` of bytes ``[window.first, window.stop)`` of what `inner` reads. Used by one thread, as `inner` is.

    What a source says of the whole file (digests, other addresses) is left out: it is not about the window.
    """

    def __init__(self, inner: Reader, window: Window) -> None:
        self._inner: Final = inner
        self._window: Final = window

    def probe(self, *, begin_at: int = -1) -> Probed:
        """Ask for the file's size, which must be the one that was divided. Never by a request for more."""
        probed = self._inner.probe()
        if probed.size_bytes not in (-1, self._window.size_bytes):
            words = f"the file has {probed.size_bytes} bytes there, not {self._window.size_bytes}"
            raise SourceFault(FaultKind.CHANGED, words)
        if not probed.offset_ok and self._window.first:
            raise SourceFault(FaultKind.RANGE_REFUSED, "it sends from the beginning only, and a later part is wanted")
        return Probed(
            size_bytes=self._window.length,
            offset_ok=probed.offset_ok,
            validator=probed.validator,
            name=probed.name,
            setup_s=probed.setup_s,
        )

    def open(self, start: int, stop: int | None, *, size_bytes: int, from_start: bool = False) -> None:
        window = self._window
        end = window.stop if stop is None else min(window.first + stop, window.stop)
        self._inner.open(
            window.first + start, end, size_bytes=window.size_bytes, from_start=from_start and not window.first
        )

    def read_into(self, view: memoryview) -> int:
        return self._inner.read_into(view)

    @property
    def ended(self) -> bool:
        return self._inner.ended

    @property
    def position(self) -> int:
        return self._inner.position - self._window.first

    def hang_up(self) -> bool:
        return self._inner.hang_up()

    def close(self) -> None:
        self._inner.close()
