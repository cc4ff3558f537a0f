"""Ogg (Vorbis, Opus, FLAC, video): pages with a CRC-32 of their own and consecutive numbers (RFC 3533)."""

from collections.abc import Iterator
from typing import Final

from protocol.model.value import Struct
from storage.containers.reading import (
    BLOCK_BYTES,
    UNDECIDED,
    WINDOW_BYTES,
    BoundaryCheck,
    Lookahead,
    Outcome,
    Read,
    WholeCheck,
    crc32_ogg,
    window_before,
    window_behind,
)

MAGIC: Final = b"OggS"
PAGE_BYTES_MAX: Final = 27 + 255 + 255 * 255
HEAD_BYTES: Final = 18
"""Of a page, these reach to the end of the stream's serial number."""
TAIL_BYTES_MIN: Final = 4
TRIED_MAX: Final = 32
_FIRST: Final = 2
_LAST: Final = 4


class Page(Struct, frozen=True):
    """Page ``[first, stop)`` with a right CRC. `flags`: 2 the first, 4 the last of the logical stream `serial`."""

    first: int
    stop: int
    flags: int
    serial: int
    number: int


def _stop_of(data: bytes, at: int) -> int | None:
    """Return where the page at this place would end; None where there is none, or its head is cut off."""
    if data[at : at + 5] != MAGIC + b"\0" or len(data) < at + 27 or len(data) < at + 27 + data[at + 26]:
        return None
    return at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])


def page_at(data: bytes, at: int) -> Page | None:
    """Return the whole page at this place, None where it is none or its CRC is wrong."""
    stop = _stop_of(data, at)
    if (
        stop is None
        or stop > len(data)
        or crc32_ogg(data[at:stop]) != int.from_bytes(data[at + 22 : at + 26], "little")
    ):
        return None
    serial, number = (int.from_bytes(data[at + shift : at + shift + 4], "little") for shift in (14, 18))
    return Page(at, stop, data[at + 5], serial, number)


def _pages(data: bytes, at: int) -> Iterator[Page]:
    """Yield right pages from `at` on, what lies between them skipped."""
    tried = 0
    while tried < TRIED_MAX and (at := data.find(MAGIC, at)) >= 0:
        page = page_at(data, at)
        tried = 0 if page is not None else tried + 1
        if page is not None:
            yield page
        at = page.stop if page is not None else at + len(MAGIC)


def check_boundary(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Check the page that spans `offset`. BROKEN where both sides have right pages and the one between is wrong."""
    left, right = window_before(read, offset), window_behind(read, offset, size)
    data, base, edge = left + right, offset - len(left), len(left)
    spanning = next((page for page in _pages(data, 0) if page.stop > edge), None)
    last = max((page.stop for page in _pages(left, 0)), default=None)
    if spanning is not None and spanning.first < edge:
        enough = spanning.first + HEAD_BYTES <= edge <= spanning.stop - TAIL_BYTES_MIN
        return BoundaryCheck(Outcome.PROVEN, base + spanning.first, base + spanning.stop) if enough else UNDECIDED
    if last == edge:
        return UNDECIDED  # it lies between two pages
    full = len(left) >= WINDOW_BYTES or base == 0
    behind = None if spanning is None else spanning.first
    if behind is not None and (last is not None or full):
        return BoundaryCheck(Outcome.BROKEN, base + (last or 0), base + behind)
    if last is not None and behind is None and len(right) >= WINDOW_BYTES:
        return BoundaryCheck(Outcome.BROKEN, base + last, base + len(data))
    return UNDECIDED


def check_whole(read: Read, size: int) -> WholeCheck:
    """Walk every page: CRC, and consecutive numbers in each logical stream."""
    ahead = Lookahead(read, size)
    ahead.more()
    numbers: dict[int, int] = {}
    at = count = 0
    while ahead.has(at + 1):
        ahead.has(at + PAGE_BYTES_MAX)
        page = page_at(ahead.data, at)
        if page is None:
            return _damaged(ahead, at, f"page {count} is not right")
        wanted = numbers.get(page.serial, page.number if page.flags & _FIRST else -1)
        if page.number != wanted:
            return _damaged(ahead, at, f"page {count} has not the next number")
        numbers[page.serial] = page.number + 1 & 0xFFFFFFFF
        if page.flags & _LAST:
            del numbers[page.serial]
        at, count = page.stop, count + 1
        if at > BLOCK_BYTES:
            ahead.drop(at)
            at = 0
    if not count:
        return WholeCheck(Outcome.BROKEN, "the Ogg stream is empty", 0, size)
    note = "" if not numbers else ", though no page is marked as the last"
    return WholeCheck(Outcome.PROVEN, f"all {count} Ogg pages are right{note}")


def _damaged(ahead: Lookahead, at: int, what: str) -> WholeCheck:
    """Name the range from the last right page to the next one."""
    ahead.drop(at)
    ahead.has(BLOCK_BYTES)
    behind = next(_pages(ahead.data, 1), None)
    stop = ahead.at + (len(ahead.data) if behind is None else behind.first)
    if stop == ahead.size:
        what += ", perhaps because the file is cut off"
    return WholeCheck(Outcome.BROKEN, f"Ogg {what}: bytes {ahead.at} to {stop - 1}", ahead.at, stop)
