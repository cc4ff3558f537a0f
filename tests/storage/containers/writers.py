"""Small writers of FLAC, Ogg, MP3 and zstd files, so that the checks have real files where no encoder is installed."""

import array
import functools
import hashlib
import random
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

BLOCK: Final = 1152
RATE: Final = 44100


def reader(data: bytes):  # type: ignore[no-untyped-def]
    return lambda offset, length: data[offset : offset + length]


class Bits:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def put(self, value: int, width: int) -> None:
        self._parts.append(f"{value & ((1 << width) - 1):0{width}b}")

    def text(self, digits: str) -> None:
        self._parts.append(digits)

    def bytes(self) -> bytes:
        text = "".join(self._parts)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def crc(data: bytes, polynomial: int, width: int) -> int:
    """Bit by bit, most significant first."""
    value, top = 0, 1 << (width - 1)
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = ((value << 1) ^ (polynomial if value & top else 0)) & ((1 << width) - 1)
    return value


def fast_crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _TABLE16[value >> 8 ^ byte]
    return value


_TABLE16: Final = [crc(bytes([byte]), 0x8005, 16) for byte in range(256)]


def crc32_of_ogg(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE32[value >> 24 ^ byte]
    return value


_TABLE32: Final = [crc(bytes([byte]), 0x04C11DB7, 32) for byte in range(256)]


@functools.cache
def audio(seconds: float, seed: int) -> Sequence[int]:
    """16-bit samples of one channel: a tone that wanders, with noise."""
    noise = memoryview(random.Random(seed).randbytes(2 * int(seconds * RATE))).cast("h")
    value, samples = 0.0, array.array("h")
    for each in noise:
        value = 0.98 * value + each / 64  # at most 25 600
        samples.append(int(value))
    return samples


def raw(samples: Sequence[int]) -> bytes:
    """Little endian, without a head."""
    return struct.pack(f"<{len(samples)}h", *samples)


def coded_number(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def flac_frame(samples: Sequence[int], number: int, *, variable: bool = False) -> bytes:
    """One channel, first-order prediction, one Rice partition."""
    head = b"\xff" + (b"\xf9" if variable else b"\xf8") + bytes((7 << 4 | 9, 4 << 1)) + coded_number(number)
    head += struct.pack(">H", len(samples) - 1)
    bits = Bits()
    residual = [now - before for before, now in pairwise(samples)]
    rice = max(sum(map(abs, residual)) // max(len(residual), 1), 1).bit_length()
    bits.put(0b0001001 << 1, 8)  # fixed predictor of order 1
    bits.put(samples[0], 16)
    bits.put(0, 6)
    bits.put(rice, 4)
    folded = [each << 1 if each >= 0 else (-each << 1) - 1 for each in residual]
    stop, mask = 1 << rice, (1 << rice) - 1
    bits.text("".join(["0" * (each >> rice) + f"{stop | each & mask:b}" for each in folded]))
    frame = head + bytes([crc(head, 7, 8)]) + bits.bytes()
    return frame + struct.pack(">H", fast_crc16(frame))


def flac(
    samples: Sequence[int], *, padding: int = 64, md5: bool = True, total: bool = True, variable: bool = False
) -> bytes:
    digest = hashlib.md5(raw(samples)).digest() if md5 else bytes(16)
    packed = RATE << 44 | 15 << 36 | (len(samples) if total else 0)
    info = struct.pack(">HH", BLOCK, BLOCK) + bytes(6) + struct.pack(">Q", packed) + digest
    out = [b"fLaC", b"\x00\x00\x00\x22", info, bytes([0x81]) + padding.to_bytes(3, "big"), bytes(padding)]
    for number, at in enumerate(range(0, len(samples), BLOCK)):
        out.append(flac_frame(samples[at : at + BLOCK], at if variable else number, variable=variable))
    return b"".join(out)


def ogg(pages: int, seed: int, *, serial: int = 77) -> bytes:
    """A logical stream with bodies of random bytes."""
    chance, out = random.Random(seed), []
    for number in range(pages):
        segments = bytes([255] * chance.randrange(4, 12) + [chance.randrange(255)])
        flags = (2 if number == 0 else 0) | (4 if number == pages - 1 else 0)
        head = b"OggS\0" + bytes([flags]) + struct.pack("<QIII", number * 960, serial, number, 0)
        page = head + bytes([len(segments)]) + segments + chance.randbytes(sum(segments))
        out.append(page[:22] + struct.pack("<I", crc32_of_ogg(page)) + page[26:])
    return b"".join(out)


def mp3(frames: int, seed: int) -> bytes:
    """128 kbit/s, joint stereo, no reservoir, no data but random bytes where the music would be."""
    chance = random.Random(seed)
    return b"".join(b"\xff\xfb\x90\x64" + bytes(32) + chance.randbytes(417 - 36) for _ in range(frames))


def zstd(content: bytes, *, block: int = 50_000) -> bytes:
    """A frame of raw blocks, with its size, without checksum."""
    out = [b"\x28\xb5\x2f\xfd", b"\xa0", struct.pack("<I", len(content))]
    for at in range(0, len(content), block):
        part = content[at : at + block]
        out += [(len(part) << 3 | (at + block >= len(content))).to_bytes(3, "little"), part]
    return b"".join(out)
