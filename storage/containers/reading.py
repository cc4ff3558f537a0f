"""Shared parts of the container checks: results, byte windows and the CRCs that the standard library lacks.

All bytes come through a `Read`; what it cannot or may not read it raises: `NotStored`, `TimeUp`. Nothing here or in the
formats' modules opens, waits or measures time, and no content, however malformed, makes them raise anything else.
"""

import zlib
from collections.abc import Callable
from enum import Enum, unique
from typing import Final

from protocol.model.value import Struct

Read = Callable[[int, int], bytes]
"""``(offset, length)`` -> exactly those bytes. Raises `NotStored`, or what its owner lets pass, like `TimeUp`."""

BLOCK_BYTES: Final = 1 << 20
"""One read of a pass over the whole file."""
WINDOW_BYTES: Final = 128 << 10
"""Bytes looked at on each side of a boundary: holds several frames or pages of every usual encoder."""
WINDOW_BYTES_MIN: Final = 1 << 10


class NotStored(Exception):  # noqa: N818
    """Some of these bytes are not there yet."""


class TimeUp(Exception):  # noqa: N818
    """The time given to a check is over."""


@unique
class Outcome(Enum):
    """Outcome of a check: the content agrees with its own checks, contradicts them, or they do not reach so far.

    WEAK: it agrees, as other content would have by chance in one case of a hundred or more.
    """

    PROVEN = "proven"
    WEAK = "weak"
    BROKEN = "broken"
    UNDECIDED = "undecided"


class BoundaryCheck(Struct, frozen=True):
    """Check of one boundary. ``[first, stop)``: bytes of the frame, page or member that spans it, as far as known."""

    outcome: Outcome
    first: int = 0
    stop: int = 0


UNDECIDED: Final = BoundaryCheck(Outcome.UNDECIDED)


class WholeCheck(Struct, frozen=True):
    """Check of a whole file.

    `outcome`: PROVEN only where the format's checks cover all of the content that people hear or see.
    `first`, `stop`: bytes that hold the first damage, where it is BROKEN; as narrow as the format allows.
    `detail`: what was found, in a line for people.
    """

    outcome: Outcome
    detail: str
    first: int = 0
    stop: int = 0


def window_before(read: Read, stop: int, length: int = WINDOW_BYTES) -> bytes:
    """Return up to `length` stored bytes that end at `stop`; fewer where the file or what is stored begins."""
    return _window(length, stop, lambda count: read(stop - count, count))


def window_behind(read: Read, first: int, size: int, length: int = WINDOW_BYTES) -> bytes:
    """Return up to `length` stored bytes from `first` on."""
    return _window(length, size - first, lambda count: read(first, count))


def _window(length: int, most: int, read: Callable[[int], bytes]) -> bytes:
    count = max(min(length, most), 0)
    while count:
        try:
            return read(count)
        except NotStored:
            count = count // 2 if count >= 2 * WINDOW_BYTES_MIN else 0
    return b""


class Lookahead:
    """Sliding buffer over a file that is read from its front. `at`: offset of `data`'s first byte."""

    __slots__ = ("_read", "at", "data", "size")

    def __init__(self, read: Read, size: int, at: int = 0) -> None:
        self._read, self.size, self.at = read, size, at
        self.data = b""

    def more(self) -> bool:
        """Read another block behind the buffer. False at the end of the file."""
        begin = self.at + len(self.data)
        count = min(BLOCK_BYTES, self.size - begin)
        if count <= 0:
            return False
        self.data += self._read(begin, count)
        return True

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        self.data = self.data[count:]
        self.at += count

    def has(self, count: int) -> bool:
        """Whether the buffer holds this many bytes, after reading more where it does not."""
        while len(self.data) < count:
            if not self.more():
                return False
        return True


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32_ogg(page: bytes) -> int:
    """CRC-32 of an Ogg page (polynomial 04C11DB7, not reflected, starting from 0), its own field counted as zeros.

    zlib computes the same polynomial on reflected bits, in C.
    """
    data = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    return int(f"{zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _crc8_table() -> bytes:
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1) ^ (0x107 if byte & 0x80 else 0)
        rows.append(byte)
    return bytes(rows)


_CRC8: Final = _crc8_table()


def crc8(data: bytes) -> int:
    """CRC-8 of a FLAC frame header (polynomial 07)."""
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 of a FLAC frame (polynomial 8005, not reflected), going on from `crc`; 0 for a frame with its footer.

    The polynomial is ``(x + 1) (x^15 + x + 1)``, and in characteristic 2 ``x^(15 * 2^k) = x^(2^k) + 1`` modulo the
    second factor for every `k`. So a message of any length is folded in half by two XORs of long integers, about 100
    MB/s instead of the 15 of a table in plain Python; its remainder by the first factor is its parity.
    """
    value = (int.from_bytes(data, "big") << 16) ^ (crc << (8 * len(data)))
    odd = value.bit_count() & 1
    for level in range((value.bit_length() // 15).bit_length(), -1, -1):
        width = 15 << level
        while high := value >> width:
            value ^= (high << width) ^ high ^ (high << (1 << level))
    return value ^ 0x8003 if value.bit_count() & 1 != odd else value


def crc16_reflected(data: bytes, crc: int = 0) -> int:
    """CRC-16 of LAME's tag: the same polynomial on reflected bits."""
    return int(f"{crc16(data.translate(_REVERSED), int(f'{crc:016b}'[::-1], 2)):016b}"[::-1], 2)
