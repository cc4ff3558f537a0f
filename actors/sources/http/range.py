"""HTTP byte ranges: Range and Content-Range, and which bytes of a file the answer to a request brings."""

import re
from typing import Final

from actors.sources.http.encoding import coding_of
from actors.sources.http.head import Head, refusal
from actors.sources.http.settings import SIZE_BYTES_MAX
from actors.sources.http.validators import UNSEEN, Change, Version, version_of
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.value import Struct

_CONTENT_RANGE: Final = re.compile(
    r"(?:bytes[\s=:]*)?(?:(\d{1,19})\s*-\s*(\d{1,19})|\*)\s*(?:/\s*(\d{1,19}|\*))?", re.ASCII | re.IGNORECASE
)
_NO_FILE: Final = frozenset({202, 204, 205, 206, 207, 208})
"""Statuses of success that do not come with the file. Any other does: a proxy may say 203, others what they like."""


class ContentRange(Struct, frozen=True, kw_only=True):
    """Bytes ``[start, stop)`` of a file of `total` (-1 unknown). A 416 gives `total` only: start = stop = 0."""

    start: int
    stop: int
    total: int


class Asked(Struct, frozen=True, kw_only=True):
    """Request for one body: bytes ``[start, stop)`` of a file; `stop` None: to the end.

    `size_bytes`: the file's size, -1 unknown. `version`: what was seen of the file before. `ranged`: by a Range field,
    else the whole file is asked for. `from_start`: an answer that begins before `start` is welcome.
    """

    start: int = 0
    stop: int | None = None
    size_bytes: int = -1
    version: Version = UNSEEN
    ranged: bool = True
    from_start: bool = False

    @property
    def end(self) -> int | None:
        """Offset at which the body must end, None while unknown."""
        if self.size_bytes < 0:
            return self.stop
        return self.size_bytes if self.stop is None else min(self.stop, self.size_bytes)


class Brought(Struct, frozen=True, kw_only=True):
    """Bytes that a body brings: the file's from `start`, which may lie before those asked for, up to `stop`.

    `stop` None: to the end of the body. `total`: the file's size, -1 unknown. `coding`: what the body is to be decoded
    from, empty when it is the file itself.
    """

    start: int
    stop: int | None
    total: int
    version: Version
    coding: str = ""


def range_field(start: int, stop: int | None) -> str:
    """Return the value of a Range field; HTTP's last byte is inclusive."""
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def content_range(head: Head) -> ContentRange | None:
    """Parse the Content-Range field; None when there is none, or one that makes no sense.

    A range that ends a little behind the file is cut there: some count its end exclusively.
    """
    match = _CONTENT_RANGE.fullmatch(head.fields.get("content-range", "").strip())
    if match is None:
        return None
    total = -1 if match[3] in ("*", None) else int(match[3])
    start, stop = (0, 0) if match[1] is None else (int(match[1]), int(match[2]) + 1)
    if stop == total + 1 > 1 and total >= 0:
        stop = total
    if (match[1] is not None and start >= stop) or stop > (total if total >= 0 else SIZE_BYTES_MAX):
        return None
    return None if total > SIZE_BYTES_MAX else ContentRange(start=start, stop=stop, total=total)


def brought(head: Head, asked: Asked, host: str, paths: tuple[str, ...]) -> Brought:
    """Return what an answer brings of what was asked for, which may be less, or begin earlier.

    `paths`: that were asked for on the way. Raises the `SourceFault` of an answer that cannot be used.
    """
    got = content_range(head)
    if head.status == 206 or (head.status == 200 and _is_part(head, got)):
        if got is None and not asked.ranged and "content-range" not in head.fields:
            return _whole(head, asked, host, paths)
        if got is None or got.stop == 0:
            raise SourceFault(FaultKind.RANGE_REFUSED, f"{host} does not say which bytes it sends")
        return _part(head, got, asked, host, paths)
    if 200 <= head.status < 300 and head.status not in _NO_FILE:
        return _whole(head, asked, host, paths)
    if head.status == 416:
        raise _unsatisfied(got, asked, host)
    raise refusal(head, host)


def _is_part(head: Head, got: ContentRange | None) -> bool:
    """Whether a 200 is a 206 in truth: it says a range, and its length is that range's."""
    return got is not None and got.stop > 0 and head.length in (None, got.stop - got.start)


def _part(head: Head, got: ContentRange, asked: Asked, host: str, paths: tuple[str, ...]) -> Brought:
    coding = coding_of(head, host, paths)
    version = version_of(head, got.total)
    _refuse_changed(version, asked, host)
    if coding:
        if got.start > 0 or asked.start > 0:
            raise SourceFault(FaultKind.RANGE_REFUSED, f"{host} encodes the file as {coding}: from the beginning only")
        return Brought(start=0, stop=None, total=-1, version=version, coding=coding)
    stop = got.stop if head.length is None else min(got.stop, got.start + head.length)
    if not got.start <= asked.start < stop:
        wanted = f"{asked.start} to {'the end' if asked.end is None else asked.end}"
        raise SourceFault(FaultKind.WRONG_RANGE, f"{host} sends bytes {got.start} to {stop}, asked for {wanted}")
    return Brought(start=got.start, stop=stop, total=got.total, version=version)


def _whole(head: Head, asked: Asked, host: str, paths: tuple[str, ...]) -> Brought:
    coding = coding_of(head, host, paths)
    total = -1 if head.length is None or coding else head.length
    version = version_of(head, total)
    _refuse_changed(version, asked, host)
    if asked.start > 0 and not asked.from_start:
        raise SourceFault(FaultKind.RANGE_REFUSED, f"{host} sends from the beginning only")
    return Brought(start=0, stop=total if total >= 0 else None, total=total, version=version, coding=coding)


def _refuse_changed(version: Version, asked: Asked, host: str) -> None:
    if version.size_bytes >= 0 and 0 <= asked.size_bytes != version.size_bytes:
        raise _other_size(version.size_bytes, asked, host)
    if version.compare(asked.version) is Change.OTHER:
        raise SourceFault(FaultKind.CHANGED, f"the file at {host} is another version than before")


def _other_size(size_bytes: int, asked: Asked, host: str) -> SourceFault:
    words = f"the file at {host} has {size_bytes} bytes now, not {asked.size_bytes} as before"
    return SourceFault(FaultKind.CHANGED, words)


def _unsatisfied(got: ContentRange | None, asked: Asked, host: str) -> SourceFault:
    if got is not None and got.total >= 0 and 0 <= asked.size_bytes != got.total:
        return _other_size(got.total, asked, host)
    return SourceFault(FaultKind.RANGE_REFUSED, f"{host} refuses to begin at byte {asked.start}")


SPANS: Final = (1 << 20, 128 << 10)
"""Lengths of ranges that are tried where a longer one was refused."""
SPAN_RETRY: Final = 64
"""Number of granted ranges after which a longer one is tried again."""


class SpanLimit:
    """Longest range that a server grants, None while no long one was refused.

    It doubles with every range that is granted, up to what was refused: that may have had another reason.
    """

    def __init__(self) -> None:
        self._max: int | None = None
        self._refused: int | None = None
        self._granted = 0
        self._given_up = False

    def stop(self, start: int, end: int | None) -> int | None:
        """Return where a request for ``[start, end)`` should stop."""
        if self._max is None:
            return end
        return start + self._max if end is None else min(end, start + self._max)

    def shrink(self, span: int | None) -> bool:
        """A range of `span` bytes (None: to the end) was refused. False: a shorter one is of no use."""
        for shorter in SPANS:
            if not self._given_up and (span is None or span > shorter):
                self._refused, self._max, self._granted = span, shorter, 0
                return True
        self._given_up, self._max = True, None
        return False

    def grant(self) -> None:
        """A range was granted."""
        self._given_up = False
        if self._max is None:
            return
        self._granted += 1
        if self._granted >= SPAN_RETRY:
            self._max = self._refused = None
        elif self._refused is None or 2 * self._max < self._refused:
            self._max *= 2
