"""Compressed streams by their standards: frames of zstd without a decompressor, several members, numbers of xz."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from storage.containers import streams
from storage.containers.reading import Outcome, Read, WholeCheck
from tests.storage.containers.writers import reader

MAGIC = b"\x28\xb5\x2f\xfd"
walked = pytest.mark.skipif(find_spec("compression") is not None, reason="this Python decompresses the stream instead")


def block(content: bytes, *, last: bool = True, kind: int = 0, length: int = -1) -> bytes:
    size = len(content) if length < 0 else length
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content


def zstd(data: bytes) -> WholeCheck:
    return streams.check_zstd(reader(data), len(data))


@walked
@pytest.mark.parametrize("dictionary", range(4))
@pytest.mark.parametrize("size_code", range(4))
@pytest.mark.parametrize("single", [0, 1])
@pytest.mark.parametrize("checksum", [0, 1])
def test_a_zstd_header_is_as_long_as_its_descriptor_says(
    dictionary: int, size_code: int, single: int, checksum: int
) -> None:
    """RFC 8878, 3.1.1.1: a window byte unless it is a single segment, a dictionary's id, the size of the content."""
    length = (1 - single) + (0, 1, 2, 4)[dictionary] + ((1 if single else 0), 2, 4, 8)[size_code]
    head = MAGIC + bytes([size_code << 6 | single << 5 | checksum << 2 | dictionary]) + bytes(length)
    data = head + block(b"ab", last=False) + block(b"c" * 9) + bytes(4 * checksum)
    assert zstd(data) == WholeCheck(Outcome.WEAK, "2 zstd blocks follow each other: weak evidence")
    assert zstd(data + data).detail.startswith("4 zstd blocks")
    assert zstd(data[:-1]).outcome is Outcome.BROKEN


@walked
def test_a_run_of_one_byte_is_a_block_of_one_byte() -> None:
    head = MAGIC + b"\x20\x09"
    assert zstd(head + block(b"x", kind=1, length=100_000)).outcome is Outcome.WEAK
    assert zstd(head + block(b"x" * 9, kind=2)).outcome is Outcome.WEAK


@walked
def test_frames_that_are_to_be_skipped_hold_no_blocks() -> None:
    skipped = b"\x53\x2a\x4d\x18" + struct.pack("<I", 11) + b"x" * 11
    frame = MAGIC + b"\x20\x01" + block(b"x")
    assert zstd(skipped + frame + skipped).detail.startswith("1 zstd block")
    assert zstd(skipped).outcome is Outcome.BROKEN
    assert zstd(frame + skipped[:-1]).outcome is Outcome.BROKEN


@walked
@pytest.mark.parametrize(
    ("data", "detail", "stop"),
    [
        (MAGIC + b"\x28\x01" + block(b"x"), "no zstd frame at byte 0", 1),  # a bit that is reserved
        (MAGIC + b"\x20\x01" + block(b"x", kind=3), "no zstd block at byte 6", 9),
        (MAGIC + b"\x20\x01" + block(bytes(3), length=(128 << 10) + 1), "no zstd block at byte 6", 9),
        (MAGIC + b"\x20\x01" + block(b"x", last=False), "the zstd stream is cut off", 10),
        (MAGIC + b"\x20\x01" + block(b"x") + b"more bytes", "no zstd frame at byte 10", 11),
    ],
)
def test_what_is_no_frame_or_block_is_named(data: bytes, detail: str, stop: int) -> None:
    found = zstd(data)
    assert (found.outcome, found.detail, found.stop) == (Outcome.BROKEN, detail, stop)


@walked
def test_the_largest_block_is_one() -> None:
    size = 128 << 10
    assert zstd(MAGIC + b"\xa0" + struct.pack("<I", size) + block(bytes(size))).outcome is Outcome.WEAK


PACK: dict[str, tuple[Callable[[bytes], bytes], Callable[[Read, int], WholeCheck]]] = {
    "gzip": (gzip.compress, streams.check_gzip),
    "bzip2": (bz2.compress, streams.check_bzip2),
    "xz": (lzma.compress, streams.check_xz),
}


@pytest.mark.parametrize("name", PACK)
def test_members_and_zeros_may_follow_other_bytes_are_said_and_a_cut_or_empty_file_is_broken(name: str) -> None:
    pack, check = PACK[name]

    def whole(data: bytes) -> WholeCheck:
        return check(reader(data), len(data))

    one, two = pack(b"text " * 99), pack(b"more " * 5)
    right = WholeCheck(Outcome.PROVEN, f"the {name} stream has the digest of its content")
    assert [whole(data) for data in (one, one + two, one + bytes(8))] == [right] * 3
    assert whole(one + b"else").detail == f"the {name} stream is right, other bytes follow it: they have no checks"
    assert whole(one + b"else").outcome is Outcome.WEAK
    for cut in (one[:-1], one + two[:-1], one[:20]):
        found = whole(cut)
        assert (found.outcome, found.detail, found.stop) == (Outcome.BROKEN, f"the {name} stream is cut off", len(cut))
    assert whole(one + two[:-1]).first == len(one)
    assert whole(b"").outcome is Outcome.BROKEN


def test_an_xz_stream_without_checks_is_weak_evidence() -> None:
    data = lzma.compress(b"text " * 99, check=lzma.CHECK_NONE)
    assert streams.check_xz(reader(data), len(data)) == WholeCheck(
        Outcome.WEAK, "the xz stream has no checks of its content"
    )


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 20, (1 << 56) - 1])
def test_numbers_of_xz_are_seven_bits_a_byte(value: int) -> None:
    raw = streams._number(value)
    assert len(raw) == max(1, -(-value.bit_length() // 7))
    assert streams._numbers(b"x" + raw + raw, 1, 2) == ([value, value], 1 + 2 * len(raw))
    with pytest.raises(ValueError, match="malformed"):
        streams._numbers(raw[:-1] + (b"" if len(raw) > 1 else b"\x80"), 0, 1)


@pytest.mark.parametrize("at", [0, 5, -1, -2, -4, -5, -13])
def test_an_xz_file_whose_ends_are_not_those_of_one_stream_shows_no_blocks(at: int) -> None:
    data = bytearray(lzma.compress(b"text " * 99))
    assert streams.check_xz_boundary(reader(bytes(data)), len(data), 20).outcome is Outcome.PROVEN
    data[at] += 1
    assert streams.check_xz_boundary(reader(bytes(data)), len(data), 20).outcome is Outcome.UNDECIDED
    longer = bytes(data) + b"x"
    assert streams.check_xz_boundary(reader(longer), len(longer), 20).outcome is Outcome.UNDECIDED
