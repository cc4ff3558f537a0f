"""Zip and what is a zip inside (CBZ, EPUB, JAR): members with a CRC-32 of their content, listed at the end of the file.

Read by `zipfile`; encrypted members and methods that it lacks are left out and said to be.
"""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Final

from storage.containers.reading import (
    BLOCK_BYTES,
    UNDECIDED,
    BoundaryCheck,
    NotStored,
    Outcome,
    Read,
    WholeCheck,
    window_before,
)

MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
LOCAL: Final = MAGICS[0]
BOUNDARY_MEMBER_BYTES_MAX: Final = 64 << 20
"""A larger member is not read for one boundary: the check of the whole file reads it once."""
LOOK_BACK_BYTES: Final = 4 << 20
_FAULTS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    OverflowError,
    struct.error,
    IndexError,
    KeyError,
)
"""All that `zipfile` raises for malformed or unusual archives."""


class _File(io.RawIOBase):
    """File object over a `Read`, for `zipfile`."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise ValueError(f"seek to {at}")
        self._at = at
        return at

    def read(self, count: int | None = -1) -> bytes:
        left = max(self._size - self._at, 0)
        count = left if count is None or count < 0 else min(count, left)
        data = self._read(self._at, count) if count else b""
        self._at += len(data)
        return data


def check_boundary(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Check the member that spans `offset`: by its local header while the directory is not stored."""
    near = _by_local_header(read, size, offset)
    if near.outcome is Outcome.PROVEN:
        return near
    try:
        archive = zipfile.ZipFile(_File(read, size))
        found = next((row for row in _spans(archive, size) if row[0] < offset < row[1]), None)
        if found is None or found[1] - found[0] > BOUNDARY_MEMBER_BYTES_MAX or found[2].flag_bits & 1:
            return UNDECIDED
        first, stop, member = found
        read(first, stop - first)  # NotStored before any work
        return BoundaryCheck(Outcome.PROVEN if _is_right(archive, member) else Outcome.BROKEN, first, stop)
    except NotStored:
        return UNDECIDED
    except _FAULTS:
        return UNDECIDED


def _by_local_header(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Find the member by the last local header before `offset`, which is believed only if the CRC-32 comes out."""
    left = window_before(read, offset, LOOK_BACK_BYTES)
    at = left.rfind(LOCAL)
    head = left[at : at + 30]
    if at < 0 or len(head) < 30:
        return UNDECIDED
    _, flags, method, _, _, crc, packed, _, name, extra = struct.unpack("<HHHHHIIIHH", head[4:])
    first = offset - len(left) + at
    begin, stop = first + 30 + name + extra, first + 30 + name + extra + packed
    if flags & 9 or method not in (0, 8) or not offset < stop <= size:
        return UNDECIDED  # encrypted, or its sizes stand behind it
    if begin >= offset or packed > BOUNDARY_MEMBER_BYTES_MAX:
        return UNDECIDED
    try:
        got = _crc_of(lambda at, count: read(begin + at, count), packed, deflated=method == 8)
    except (NotStored, zlib.error):
        return UNDECIDED
    return BoundaryCheck(Outcome.PROVEN, first, stop) if got == crc else UNDECIDED


def _crc_of(read: Read, packed: int, *, deflated: bool) -> int:
    inflate = zlib.decompressobj(-15) if deflated else None
    crc = at = 0
    while at < packed:
        data = read(at, min(BLOCK_BYTES, packed - at))
        at += len(data)
        while data:
            plain = inflate.decompress(data, BLOCK_BYTES) if inflate is not None else data
            crc = zlib.crc32(plain, crc)
            data = inflate.unconsumed_tail if inflate is not None else b""
    return crc


def _spans(archive: zipfile.ZipFile, size: int) -> Iterable[tuple[int, int, zipfile.ZipInfo]]:
    """Yield ``(first byte, behind its last byte, member)``, the headers included."""
    for member in archive.infolist():
        first = max(member.header_offset, 0)  # a damaged directory may point before the file
        stop = first + 30 + len(member.orig_filename.encode("utf-8", "replace")) + member.compress_size
        yield first, max(first, min(stop, size)), member


def _is_right(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as content:
            while content.read(BLOCK_BYTES):
                pass
    except NotImplementedError:
        raise
    except _FAULTS:
        return False
    return True


def check_whole(read: Read, size: int) -> WholeCheck:
    """Compare the CRC-32 of every member."""
    try:
        archive = zipfile.ZipFile(_File(read, size))
    except _FAULTS as fault:
        return WholeCheck(Outcome.BROKEN, f"the zip directory at the end cannot be read ({fault})", 0, size)
    left_out = 0
    for first, stop, member in sorted(_spans(archive, size), key=lambda row: row[0]):
        if member.is_dir():
            continue
        if member.flag_bits & 1:
            left_out += 1
            continue
        try:
            right = _is_right(archive, member)
        except NotImplementedError:
            left_out += 1
            continue
        if not right:
            detail = f"zip member {member.filename[:80]!r} is damaged: bytes {first} to {stop - 1}"
            return WholeCheck(Outcome.BROKEN, detail, first, stop)
    count = len(archive.infolist())
    if left_out:
        return WholeCheck(Outcome.UNDECIDED, f"{left_out} of {count} zip members are encrypted or packed unusually")
    return WholeCheck(Outcome.PROVEN, f"all {count} zip members have their CRC-32")
