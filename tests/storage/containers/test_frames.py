"""Single frames, pages and members: headers as the formats' standards have them, and which bytes are named."""

import io
import lzma
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.containers import flac, mp3, ogg, streams, zip_archive
from storage.containers.reading import (
    BLOCK_BYTES,
    UNDECIDED,
    WINDOW_BYTES,
    WINDOW_BYTES_MIN,
    BoundaryCheck,
    NotStored,
    Outcome,
    crc32_ogg,
    window_before,
    window_behind,
)
from tests.storage.containers import writers
from tests.storage.containers.writers import reader

KBIT_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBIT_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
SECOND = {"1": (0x1B, (44100, 48000, 32000)), "2": (0x13, (22050, 24000, 16000)), "2.5": (0x03, (11025, 12000, 8000))}


def header(
    version: str = "1", rate: int = 9, sample: int = 0, *, padding: int = 0, private: int = 0, mode: int = 1
) -> bytes:
    """A header of layer III without CRC; `rate` and `sample` are numbers of the standard's tables."""
    return bytes((0xFF, 0xE0 | SECOND[version][0], rate << 4 | sample << 2 | padding << 1 | private, mode << 6))


def frame(head: bytes, side: bytes = b"") -> mp3.Frame | None:
    return mp3.frame_at(head + side + bytes(3000 - len(side)), 0)


@pytest.mark.parametrize("version", SECOND)
def test_the_length_of_a_frame_is_that_of_its_bit_rate_and_sample_rate(version: str) -> None:
    samples = 1152 if version == "1" else 576
    for rate, kbit in enumerate(KBIT_1 if version == "1" else KBIT_2, 1):
        for sample, hertz in enumerate(SECOND[version][1]):
            found = frame(header(version, rate, sample, mode=3))
            length = samples * kbit * 125 // hertz
            if length > 4 + (17 if version == "1" else 9):
                assert found is not None
                assert found.length == length, (kbit, hertz)


def test_a_padded_frame_is_a_byte_longer_and_the_private_bit_changes_nothing() -> None:
    plain, padded, private = frame(header()), frame(header(padding=1)), frame(header(private=1))
    assert plain is not None
    assert padded is not None
    assert (plain.length, padded.length) == (417, 418)
    assert private == plain


@pytest.mark.parametrize(
    "head",
    [
        header(rate=0),
        header(rate=15),
        header(sample=3),
        b"\xff\xeb\x90\x64",  # a version that does not exist
        b"\xff\xfd\x90\x64",  # layer II
        b"\xfe\xfb\x90\x64",
        b"\xff\x1b\x90\x64",
    ],
)
def test_what_the_standard_reserves_is_no_frame(head: bytes) -> None:
    assert frame(head) is None


def test_a_frame_needs_its_side_information() -> None:
    for mode, side in ((1, 32), (3, 17)):
        assert mp3.frame_at(header(mode=mode) + bytes(side), 0) is not None
        assert mp3.frame_at(header(mode=mode) + bytes(side - 1), 0) is None
    assert mp3.frame_at(b"xx" + header() + bytes(32), 2) is not None
    assert mp3.frame_at(header()[:3], 0) is None


@pytest.mark.parametrize(
    ("version", "mode", "back_bits", "lengths"),
    [("1", 1, 9, (20, 79, 138, 197)), ("1", 3, 9, (18, 77)), ("2", 1, 8, (10, 73)), ("2", 3, 8, (9,))],
)
def test_the_bit_reservoir_is_read_out_of_the_side_information(
    version: str, mode: int, back_bits: int, lengths: tuple[int, ...]
) -> None:
    """`lengths`: the bits at which the lengths of granules stand, 12 bits each."""
    side_bytes = (17 if mode == 3 else 32) if version == "1" else (9 if mode == 3 else 17)
    bits = 100 << 8 * side_bytes - back_bits
    for at in lengths:
        bits |= 401 << 8 * side_bytes - at - 12
    found = frame(header(version, mode=mode), bits.to_bytes(side_bytes, "big"))
    assert found is not None
    assert found.back == 100
    used = -(-401 * len(lengths) // 8)
    assert found.reserve == 100 + found.length - 4 - side_bytes - used


def test_a_crc_before_the_side_information_is_skipped() -> None:
    head = bytearray(header())
    head[1] &= 0xFE
    bits = (100 << 8 * 32 - 9).to_bytes(32, "big")
    found = frame(bytes(head) + b"\xaa\xbb", bits)
    assert found is not None
    assert (found.back, found.reserve) == (100, 100 + 417 - 6 - 32)


def crc16_arc(data: bytes) -> int:
    """Bit by bit, least significant first."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def tagged(word: bytes = b"Info", *, music: bytes = b"") -> tuple[bytes, bytes]:
    """A first frame with LAME's tag of the music behind it, and that music."""
    music = music or writers.mp3(5, 3)
    first = bytearray(header() + bytes(32) + word + bytes(417 - 40))
    at = 36 + 120
    first[at + 28 : at + 34] = struct.pack(">IH", len(first) + len(music), crc16_arc(music))
    first[at + 34 : at + 36] = struct.pack(">H", crc16_arc(bytes(first[: at + 34])))
    return bytes(first), music


@pytest.mark.parametrize("word", [b"Info", b"Xing"])
@pytest.mark.parametrize("before", [b"", b"ID3\4\0\0\0\0\1\2" + bytes(130)])
def test_the_music_is_proven_by_lames_tag(word: bytes, before: bytes) -> None:
    first, music = tagged(word)
    data = before + first + music
    assert mp3.check_whole(reader(data), len(data)).outcome is Outcome.PROVEN
    behind = data + b"TAG" + bytes(125)
    assert mp3.check_whole(reader(behind), len(behind)).outcome is Outcome.PROVEN


def test_music_that_is_not_that_of_the_tag_is_weak_evidence_as_gain_may_have_been_changed() -> None:
    first, music = tagged()
    for data in (
        first + music[:-1] + bytes([music[-1] ^ 1]),
        first + music[:-1],
        first[:60] + b"\1" + first[61:] + music,
        first.replace(b"Info", b"Inko") + music,
    ):
        assert mp3.check_whole(reader(data), len(data)).outcome is Outcome.WEAK


def page(serial: int, body: bytes, *, number: int = 0, flags: int = 0) -> bytes:
    segments = bytes([255] * (len(body) // 255) + [len(body) % 255])
    head = b"OggS\0" + bytes([flags]) + struct.pack("<QIII", 0, serial, number, 0) + bytes([len(segments)])
    made = head + segments + body
    return made[:22] + struct.pack("<I", writers.crc32_of_ogg(made)) + made[26:]


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 3000])
def test_a_page_of_any_length_is_found_where_it_is_whole_and_nowhere_else(length: int) -> None:
    for serial in range(40):  # the CRC, in front of the number of segments, is another one each time
        made = page(serial, bytes(length), number=7, flags=4)
        found = ogg.page_at(b"x" + made, 1)
        assert found == ogg.Page(1, 1 + len(made), 4, serial, 7)
    for stop in range(len(made)):
        assert ogg.page_at(made[:stop], 0) is None
    assert ogg.page_at(made, 1) is None
    assert ogg.page_at(made.replace(b"OggS\0", b"OggS\1"), 0) is None


def whole(*pages: bytes) -> tuple[Outcome, str]:
    data = b"".join(pages)
    found = ogg.check_whole(reader(data), len(data))
    return found.outcome, found.detail


def test_a_stream_is_proven_by_its_pages_and_the_missing_mark_of_its_last_is_said() -> None:
    first, last = page(1, b"a", flags=2), page(1, b"b", number=1, flags=4)
    assert whole(first, last) == (Outcome.PROVEN, "all 2 Ogg pages are right")
    middle = page(1, b"b", number=1)
    said = "all 2 Ogg pages are right, though no page is marked as the last"
    assert whole(first, middle) == (Outcome.PROVEN, said)
    assert whole(first, page(2, b"c", flags=2), last, page(2, b"d", number=1, flags=4))[0] is Outcome.PROVEN
    assert whole() == (Outcome.BROKEN, "the Ogg stream is empty")


def test_numbers_begin_where_the_first_page_does_and_go_on_after_their_largest() -> None:
    assert whole(page(1, b"a", number=0xFFFFFFFF, flags=2), page(1, b"b", flags=4))[0] is Outcome.PROVEN
    assert whole(page(1, b"a", number=5))[0] is Outcome.BROKEN
    outcome, detail = whole(page(1, b"a", flags=2), page(1, b"b", number=2, flags=4))
    assert (outcome, "page 1 has not the next number" in detail) == (Outcome.BROKEN, True)
    ended = whole(page(1, b"a", flags=6), page(1, b"b", number=1))
    assert ended[0] is Outcome.BROKEN, "nothing follows the last page of a stream"


def test_damage_is_named_from_the_last_right_page_to_the_next() -> None:
    first, middle, last = page(1, b"a", flags=2), page(1, b"b" * 300, number=1), page(1, b"c", number=2, flags=4)
    spoilt = middle[:-1] + b"x"
    data = first + spoilt + last
    found = ogg.check_whole(reader(data), len(data))
    assert (found.first, found.stop) == (len(first), len(first) + len(middle))
    assert found.detail == f"Ogg page 1 is not right: bytes {found.first} to {found.stop - 1}"
    cut = first + middle[:-1]
    found = ogg.check_whole(reader(cut), len(cut))
    assert (found.first, found.stop) == (len(first), len(cut))
    assert "perhaps because the file is cut off" in found.detail


def test_a_page_with_another_number_is_named_itself() -> None:
    first, odd, last = page(1, b"a", flags=2), page(1, b"b" * 99, number=7), page(1, b"c", number=2, flags=4)
    found = ogg.check_whole(reader(first + odd + last), len(first + odd + last))
    assert (found.first, found.stop) == (len(first), len(first + odd))


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(0, 1 << 20),
    st.sampled_from([0, WINDOW_BYTES]),
    st.sampled_from([0, WINDOW_BYTES]),
)
def test_a_boundary_in_a_wrong_page_is_broken_where_both_sides_are_known(
    bodies: list[int], wrong: int, place: int, before: int, behind: int
) -> None:
    """A side is known by a right page, by the file's beginning, or by being long enough to have one."""
    pages = [
        page(1, bytes(length), number=number, flags=2 if not number else 0) for number, length in enumerate(bodies)
    ]
    wrong %= len(pages)
    pages[wrong] = pages[wrong][:-1] + b"x"
    parts = [bytes(before), *pages, bytes(behind)]
    data, first = b"".join(parts), sum(map(len, parts[: wrong + 1]))
    stop = first + len(pages[wrong])
    offset = first + 1 + place % (len(pages[wrong]) - 1)
    found = ogg.check_boundary(reader(data), len(data), offset)
    left_known = wrong > 0 or not before or offset >= before >= WINDOW_BYTES
    if left_known and wrong < len(pages) - 1:
        begins = first if wrong > 0 else max(0, offset - WINDOW_BYTES)
        assert found == BoundaryCheck(Outcome.BROKEN, begins, stop)
    elif wrong > 0 and len(data) - offset >= WINDOW_BYTES:
        assert found == BoundaryCheck(Outcome.BROKEN, first, offset + WINDOW_BYTES)
    else:
        assert found.outcome is Outcome.UNDECIDED


def test_a_page_of_the_largest_size_is_read_to_its_end_over_two_reads() -> None:
    def largest(number: int) -> bytes:
        made = (
            b"OggS\0\0" + struct.pack("<QIII", 0, 1, number, 0) + bytes([255]) + bytes([255]) * 255 + bytes(255 * 255)
        )
        return made[:22] + struct.pack("<I", crc32_ogg(made)) + made[26:]

    first = page(1, bytes(3780), flags=2)
    pages = [first, *(largest(number) for number in range(1, 18))]
    assert (BLOCK_BYTES - len(first)) % len(pages[1]) > len(pages[1]) - 200, "the first read ends just inside a page"
    assert whole(*pages)[0] is Outcome.PROVEN


# --- FLAC, by RFC 9639 ---


def flac_header(
    size_code: int = 12,
    rate_code: int = 9,
    number: bytes = b"\0",
    extra: bytes = b"",
    *,
    last: int = 0x08,
    sync: int = 0xF8,
) -> bytes:
    head = bytes((0xFF, sync, size_code << 4 | rate_code, last)) + number + extra
    return head + bytes([writers.crc(head, 7, 8)])


def parsed(head: bytes) -> flac.Header | None:
    return flac.header_at(b"x" + head + b"\xff\xff", 1)


BLOCK_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608, 8: 256, 9: 512, 12: 4096, 15: 32768}


@pytest.mark.parametrize("code", BLOCK_SIZES)
def test_the_usual_block_sizes_of_flac_are_known_by_their_codes(code: int) -> None:
    assert parsed(flac_header(code)) == flac.Header(b"\xff\xf8", 6, 0, BLOCK_SIZES[code])


def test_unusual_block_sizes_and_rates_stand_behind_the_number() -> None:
    assert parsed(flac_header(6, extra=b"\x07")) == flac.Header(b"\xff\xf8", 7, 0, 8)
    assert parsed(flac_header(7, extra=b"\x12\x34")) == flac.Header(b"\xff\xf8", 8, 0, 0x1235)
    for rate_code, length in ((12, 1), (13, 2), (14, 2)):
        found = parsed(flac_header(rate_code=rate_code, extra=bytes(length)))
        assert found is not None
        assert found.length == 6 + length
    found = parsed(flac_header(7, 14, extra=b"\x12\x34\0\0"))
    assert found is not None
    assert (found.length, found.samples) == (10, 0x1235)


@pytest.mark.parametrize("number", [0, 1, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000])
def test_numbers_of_frames_are_coded_like_characters(number: int) -> None:
    found = parsed(flac_header(number=writers.coded_number(number)))
    assert found is not None
    assert (found.number, found.next_number) == (number, number + 1)
    found = parsed(flac_header(number=writers.coded_number(number), sync=0xF9))
    assert found is not None
    assert (found.number, found.next_number) == (number, number + 4096)


def test_numbers_of_samples_are_longer_than_numbers_of_frames() -> None:
    longest = b"\xfe" + b"\xbf" * 6
    found = parsed(flac_header(number=longest, sync=0xF9))
    assert found is not None
    assert found.number == (1 << 36) - 1
    assert parsed(flac_header(number=longest)) is None
    five = b"\xfc" + b"\xbf" * 5
    found = parsed(flac_header(number=five))
    assert found is not None
    assert found.number == (1 << 30) - 1


@pytest.mark.parametrize(
    "head",
    [
        flac_header(0),
        flac_header(rate_code=15),
        flac_header(last=0xB8),  # eleven channels
        flac_header(last=0x06),  # a sample size that is reserved
        flac_header(last=0x09),
        flac_header(sync=0xFA),
        flac_header(number=b"\x80"),
        flac_header(number=b"\xff"),
        flac_header(number=b"\xc2\xc0"),
        flac_header()[:-1] + b"\0",
        flac_header()[:5],
    ],
)
def test_what_the_flac_format_reserves_or_has_another_crc_is_no_header(head: bytes) -> None:
    assert flac.header_at(head, 0) is None


def metadata(*blocks: tuple[int, int], magic: bytes = b"fLaC", audio: int = 10) -> bytes:
    """Blocks of these kinds and lengths; the last one is marked."""
    out = magic
    for at, (kind, length) in enumerate(blocks):
        out += bytes([kind | (0x80 if at == len(blocks) - 1 else 0)]) + length.to_bytes(3, "big")
        out += (
            (bytes(10) + struct.pack(">Q", 44100 << 44 | 1 << 41 | 15 << 36 | 7) + bytes(range(1, 17)))[:length]
            if not at
            else bytes(length)
        )
    return out + bytes(audio)


def info_of(data: bytes) -> flac.StreamInfo | None:
    return flac.stream_info(reader(data), len(data))


def test_the_parameters_of_a_flac_stream_stand_in_its_first_block() -> None:
    data = metadata((0, 34), (4, 70_000), (1, 0))
    wanted = flac.StreamInfo(len(data) - 10, 44100, 2, 16, 7, bytes(range(1, 17)).hex())
    assert info_of(data) == wanted
    tag = b"ID3\4\0\0\0\0\1\2" + bytes(130)
    assert info_of(tag + data) == flac.StreamInfo(wanted.audio_at + 140, 44100, 2, 16, 7, wanted.md5)
    assert info_of(metadata((0, 34), audio=0)) == flac.StreamInfo(42, 44100, 2, 16, 7, wanted.md5)


@pytest.mark.parametrize(
    "data",
    [
        metadata((0, 34), magic=b"fLaX"),
        metadata((1, 34)),
        metadata((0, 33)),
        metadata((0, 34), audio=0)[:-1],
        metadata((0, 34), (4, 100), audio=0)[:-1],
        metadata((0, 34), (4, 100), audio=0)[:42],
        b"",
    ],
)
def test_metadata_that_is_malformed_or_cut_off_says_nothing(data: bytes) -> None:
    assert info_of(data) is None


# --- zip and xz: exactly which bytes ---


def test_a_damaged_member_of_an_archive_is_named_with_its_bytes() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in ("one.txt", "two.txt"):
            made.writestr(zipfile.ZipInfo(name), name.encode() * 50)
    data = bytearray(out.getvalue())
    begin = data.find(b"PK\3\4", 1)
    assert zip_archive.check_whole(reader(bytes(data)), len(data)).detail == "all 2 zip members have their CRC-32"
    data[begin + 60] ^= 1
    found = zip_archive.check_whole(reader(bytes(data)), len(data))
    assert (found.outcome, found.first, found.stop) == (Outcome.BROKEN, begin, begin + 30 + 7 + 350)
    assert found.detail == f"zip member 'two.txt' is damaged: bytes {begin} to {found.stop - 1}"


def test_members_that_cannot_be_read_are_counted_and_folders_are_not() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(zipfile.ZipInfo("folder/"), b"")
        made.writestr(zipfile.ZipInfo("one.txt"), b"text")
    data = bytearray(out.getvalue())
    assert zip_archive.check_whole(reader(bytes(data)), len(data)).outcome is Outcome.PROVEN
    data[data.rfind(b"PK\1\2") + 8] |= 1  # encrypted, says the directory
    found = zip_archive.check_whole(reader(bytes(data)), len(data))
    assert found.outcome is Outcome.UNDECIDED
    assert found.detail == "1 of 2 zip members are encrypted or packed unusually"
    data[data.find(b"one.txt") - 24] |= 1  # and its own header
    offset = data.find(b"text") + 1
    assert zip_archive.check_boundary(reader(bytes(data)), len(data), offset).outcome is Outcome.UNDECIDED


def test_a_page_proves_a_boundary_where_enough_of_it_lies_on_both_sides() -> None:
    pages = [page(1, bytes(3000), number=number, flags=2 if not number else 0) for number in range(4)]
    data, first, stop = b"".join(pages), len(pages[0]), len(pages[0]) + len(pages[1])
    for offset, outcome in (
        (first + ogg.HEAD_BYTES - 1, Outcome.UNDECIDED),
        (first + ogg.HEAD_BYTES, Outcome.PROVEN),
        (stop - ogg.TAIL_BYTES_MIN, Outcome.PROVEN),
        (stop - ogg.TAIL_BYTES_MIN + 1, Outcome.UNDECIDED),
        (stop, Outcome.UNDECIDED),
    ):
        assert ogg.check_boundary(reader(data), len(data), offset).outcome is outcome, offset
    found = ogg.check_boundary(reader(data), len(data), first + 1000)
    assert (found.first, found.stop) == (first, stop)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=1, max_size=5),
    st.integers(0, 1 << 20),
    st.booleans(),
    st.booleans(),
)
def test_a_boundary_in_a_member_of_an_archive_is_proven_by_its_crc_and_broken_without(
    members: list[tuple[int, bool]], place: int, damaged: bool, directory: bool
) -> None:
    """Without the directory, which comes last, the local header alone can prove and not break."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for number, (length, packed) in enumerate(members):
            content = bytes((number * 7 + at * at) % 251 for at in range(length))
            kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            made.writestr(zipfile.ZipInfo(f"{number}.txt"), content, kind)
        rows = made.infolist()
        end = made.start_dir
    data = bytearray(out.getvalue())
    stops = [*(row.header_offset for row in rows[1:]), end]
    offset = 1 + place % (end - 1)
    first, stop = next((row.header_offset, stop) for row, stop in zip(rows, stops, strict=True) if offset <= stop)
    body = first + 30 + 5
    if damaged:
        data[body] ^= 0x55
    stored = bytes(data) if directory else bytes(data[:end])

    def read(at: int, length: int) -> bytes:
        if at + length > len(stored):
            raise NotStored
        return stored[at : at + length]

    found = zip_archive.check_boundary(read, len(data), offset)
    if offset == stop:
        assert found.outcome is Outcome.UNDECIDED
    elif damaged:
        assert found == (BoundaryCheck(Outcome.BROKEN, first, stop) if directory else UNDECIDED)
    elif directory or offset > body:
        assert found == BoundaryCheck(Outcome.PROVEN, first, stop)
    else:
        assert found.outcome is Outcome.UNDECIDED


@given(st.integers(0, 9000), st.integers(0, 9000), st.integers(1, 9000))
def test_a_window_holds_as_much_before_a_place_as_is_stored_halved_as_often_as_needed(
    begins: int, place: int, length: int
) -> None:
    data = bytes(at % 251 for at in range(10_000))

    def read(at: int, count: int) -> bytes:
        if at < begins:
            raise NotStored
        return data[at : at + count]

    count = min(length, place)
    while count and place - count < begins:
        count = count // 2 if count >= 2 * WINDOW_BYTES_MIN else 0
    assert window_before(read, place, length) == data[place - count : place]
    behind = min(length, 10_000 - place) if place >= begins else 0
    assert window_behind(read, place, 10_000, length) == data[place : place + behind]


def test_a_block_of_xz_that_is_a_whole_stream_is_no_block() -> None:
    stream = lzma.compress(b"text " * 50, lzma.FORMAT_XZ)
    inner = stream[12:]
    index = b"\0\1" + streams._number(len(inner)) + streams._number(250)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    foot = (len(index) // 4 - 1).to_bytes(4, "little") + stream[6:8]
    data = stream[:12] + inner + index + zlib.crc32(foot).to_bytes(4, "little") + foot + b"YZ"
    found = streams.check_xz_boundary(reader(data), len(data), 20)
    assert (found.outcome, found.first, found.stop) == (Outcome.BROKEN, 12, 12 + len(inner))
