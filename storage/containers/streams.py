"""Compressed streams: gzip (CRC-32 and size), bzip2 (CRC of each block), xz (check of each block, index), zstd (xxh64).

gzip, bzip2 and most xz files are one piece, so their checks reach over a boundary only when all is there; a damage lies
before the place where decompression fails. Xz files of several blocks are checked block by block. Zstd has no
decompressor in the standard library before Python 3.14: without it only the chain of its blocks is followed.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from protocol.model.value import Struct
from storage.containers.reading import BLOCK_BYTES, UNDECIDED, BoundaryCheck, NotStored, Outcome, Read, WholeCheck

GZIP_MAGIC: Final = b"\x1f\x8b"
BZIP2_MAGIC: Final = b"BZh"
XZ_MAGIC: Final = b"\xfd7zXZ\0"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
MEMORY_BYTES_MAX: Final = 256 << 20
"""Of one decompressor: an xz header may ask for 4 GiB."""
INPUT_BYTES: Final = 256 << 10
XZ_BLOCKS_MAX: Final = 1_000_000
BOUNDARY_BLOCK_BYTES_MAX: Final = 64 << 20
_FAULTS: Final = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def _drain(stream: Any, data: bytes) -> None:
    """Decompress `data` in pieces of bounded size, and forget what comes out."""
    if hasattr(stream, "unconsumed_tail"):  # zlib
        while data:
            stream.decompress(data, BLOCK_BYTES)
            if stream.eof:
                return
            data = stream.unconsumed_tail
        return
    stream.decompress(data, BLOCK_BYTES)
    while not stream.eof and not stream.needs_input:
        stream.decompress(b"", BLOCK_BYTES)


def _check_stream(read: Read, size: int, name: str, magic: bytes, make: Callable[[], Any]) -> WholeCheck:
    """Decompress every stream of the file; what follows the last one may be zeros."""
    at = streams = 0
    carried = b""
    stream = None
    begin = 0
    try:
        while at < size or carried:
            data = carried
            if not data:
                data = read(at, min(INPUT_BYTES, size - at))
                at += len(data)
            if stream is None:
                data = data.lstrip(b"\0") if streams else data
                if not data:
                    carried = b""
                    continue
                if len(data) < len(magic) and at < size:
                    carried = data + read(at, min(INPUT_BYTES, size - at))
                    at += len(carried) - len(data)
                    continue
                if streams and not data.startswith(magic):
                    return WholeCheck(Outcome.WEAK, f"{name} is right, other bytes follow it: they have no checks")
                stream, begin = make(), at - len(data)
            _drain(stream, data)
            carried = b""
            if stream.eof:
                carried, stream, streams = stream.unused_data, None, streams + 1
    except _FAULTS as fault:
        return WholeCheck(Outcome.BROKEN, f"{name} is damaged before byte {at} ({fault})", begin, at)
    except MemoryError:
        return WholeCheck(Outcome.UNDECIDED, f"{name} needs more memory than a check may take")
    if stream is not None or not streams:
        return WholeCheck(Outcome.BROKEN, f"{name} is cut off", begin, size)
    return WholeCheck(Outcome.PROVEN, f"{name} has the digest of its content")


def check_gzip(read: Read, size: int) -> WholeCheck:
    """Compare CRC-32 and size of every gzip member."""
    return _check_stream(read, size, "the gzip stream", GZIP_MAGIC, lambda: zlib.decompressobj(31))


def check_bzip2(read: Read, size: int) -> WholeCheck:
    """Compare the CRC of every bzip2 block."""
    return _check_stream(read, size, "the bzip2 stream", BZIP2_MAGIC, bz2.BZ2Decompressor)


# -- xz


class _Block(Struct, frozen=True):
    """Block of an xz stream at `first`, `unpadded` bytes long without its padding, `plain` when decompressed."""

    first: int
    unpadded: int
    plain: int

    @property
    def stop(self) -> int:
        return self.first + (self.unpadded + 3 & ~3)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _numbers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Read numbers of 7 bits a byte. ValueError where they are too long or cut off."""
    found = []
    for _ in range(count):
        value = shift = 0
        while True:
            if at >= len(data) or shift > 56:
                raise ValueError("malformed number")
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                break
        found.append(value)
    return found, at


def _xz_blocks(read: Read, size: int) -> tuple[bytes, list[_Block]]:
    """Return ``(stream header, blocks)`` of a file of one xz stream, from its index.

    ValueError where the index does not fit the file, as in one of several streams.
    """
    head, foot = read(0, 12), read(size - 12, 12)
    if size % 4 or foot[10:] != b"YZ" or head[:6] != XZ_MAGIC or head[6:8] != foot[8:10]:
        raise ValueError("no single xz stream")
    length = 4 * (int.from_bytes(foot[4:8], "little") + 1)
    if length > min(size - 24, 16 * XZ_BLOCKS_MAX):
        raise ValueError("index too long")
    index = read(size - 12 - length, length)
    if zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little") or index[0] != 0:
        raise ValueError("index damaged")
    (count,), at = _numbers(index, 1, 1)
    numbers, _ = _numbers(index, at, 2 * min(count, XZ_BLOCKS_MAX))
    blocks, first = [], 12
    for unpadded, plain in zip(numbers[::2], numbers[1::2], strict=True):
        blocks.append(_Block(first, unpadded, plain))
        first = blocks[-1].stop
    if first != size - 12 - length:
        raise ValueError("index does not fit")
    return head, blocks


def _block_is_right(read: Read, head: bytes, block: _Block) -> bool:
    """Decompress one block, as a stream that has no other."""
    index = b"\0\1" + _number(block.unpadded) + _number(block.plain)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    foot = (len(index) // 4 - 1).to_bytes(4, "little") + head[6:8]
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY_BYTES_MAX)
    try:
        _drain(stream, head)
        for at in range(block.first, block.stop, INPUT_BYTES):
            _drain(stream, read(at, min(INPUT_BYTES, block.stop - at)))
        _drain(stream, index + zlib.crc32(foot).to_bytes(4, "little") + foot + b"YZ")
    except lzma.LZMAError as fault:
        if "limit" in str(fault).lower():
            raise MemoryError from fault
        return False
    except EOFError:
        return False
    return stream.eof


def check_xz_boundary(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Check the block that spans `offset`, once it and the index at the end are stored."""
    try:
        head, blocks = _xz_blocks(read, size)
        block = next((each for each in blocks if each.first < offset < each.stop), None)
        if block is None or block.stop - block.first > BOUNDARY_BLOCK_BYTES_MAX:
            return UNDECIDED
        right = _block_is_right(read, head, block)
    except (NotStored, ValueError, MemoryError):
        return UNDECIDED
    return BoundaryCheck(Outcome.PROVEN if right else Outcome.BROKEN, block.first, block.stop)


def check_xz(read: Read, size: int) -> WholeCheck:
    """Compare the check of every block, and the index with what is there."""
    try:
        head, blocks = _xz_blocks(read, size) if size >= 32 else (b"", [])
    except ValueError:
        blocks = []
    if len(blocks) < 2 or head[7] & 15 == 0:
        whole = _check_stream(
            read, size, "the xz stream", XZ_MAGIC, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY_BYTES_MAX)
        )
        if "limit" in whole.detail.lower():
            return WholeCheck(Outcome.UNDECIDED, "the xz stream needs more memory than a check may take")
        if whole.outcome is Outcome.PROVEN and read(7, 1)[0] & 15 == 0:
            return WholeCheck(Outcome.WEAK, "the xz stream has no checks of its content")
        return whole
    for number, block in enumerate(blocks):
        try:
            right = _block_is_right(read, head, block)
        except MemoryError:
            return WholeCheck(Outcome.UNDECIDED, "the xz stream needs more memory than a check may take")
        if not right:
            detail = f"xz block {number} is damaged: bytes {block.first} to {block.stop - 1}"
            return WholeCheck(Outcome.BROKEN, detail, block.first, block.stop)
    return WholeCheck(Outcome.PROVEN, f"all {len(blocks)} xz blocks have their digests")


# -- zstd


def check_zstd(read: Read, size: int) -> WholeCheck:
    """Decompress where Python can; else follow the blocks of each frame to the end of the file, which is weak."""
    try:
        zstd = import_module("compression.zstd")
    except ImportError:
        return _walk_zstd(read, size)
    return _check_stream(read, size, "the zstd stream", ZSTD_MAGIC, zstd.ZstdDecompressor)


def _walk_zstd(read: Read, size: int) -> WholeCheck:
    at = blocks = 0
    while at < size:
        begin = at
        head = read(at, min(18, size - at))
        if len(head) >= 8 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18":  # a skippable frame
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if len(head) < 9 or head[:4] != ZSTD_MAGIC or head[4] & 8:
            return WholeCheck(Outcome.BROKEN, f"no zstd frame at byte {at}", 0, min(at + 1, size))
        single = head[4] >> 5 & 1
        at += 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3] + (single, 2, 4, 8)[head[4] >> 6]
        last = False
        while not last:
            if at + 3 > size:
                return WholeCheck(Outcome.BROKEN, "the zstd stream is cut off", begin, size)
            block = int.from_bytes(read(at, 3), "little")
            last, kind, length = bool(block & 1), block >> 1 & 3, block >> 3
            if kind == 3 or length > 128 << 10:
                return WholeCheck(Outcome.BROKEN, f"no zstd block at byte {at}", begin, at + 3)
            at, blocks = at + 3 + (1 if kind == 1 else length), blocks + 1
        at += 4 * (head[4] >> 2 & 1)
    if at > size or not blocks:
        return WholeCheck(Outcome.BROKEN, "the zstd stream is cut off", 0, size)
    return WholeCheck(Outcome.WEAK, f"{blocks} zstd blocks follow each other: weak evidence")
