import bz2
import gzip
import io
import lzma
import random
import shutil
import subprocess
import zipfile
import zlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.containers import BEGINNING_BYTES, flac, formats, may_be_container, mp3
from storage.containers.reading import WINDOW_BYTES, BoundaryCheck, NotStored, Outcome
from tests.storage.containers import writers
from tests.storage.containers.writers import reader

CHUNK = 16 << 10


def text(length: int, seed: int) -> bytes:
    """Bytes that can be compressed, but not to nothing."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(2, 9)) for _ in range(500)]
    return b" ".join(chance.choice(words) for _ in range(length // 6))[:length]


def archive(seed: int, *, streamed: bool = False) -> bytes:
    out = io.BytesIO()
    target: io.BytesIO = _Pipe(out) if streamed else out  # type: ignore[assignment]
    with zipfile.ZipFile(target, "w") as made:
        for number in range(6):
            kind = zipfile.ZIP_STORED if number % 2 else zipfile.ZIP_DEFLATED
            made.writestr(zipfile.ZipInfo(f"page{number}.jpg"), text(60_000, seed + number), kind)
    return out.getvalue()


class _Pipe:
    """A target that cannot seek, so that sizes come behind the members."""

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        return self._out.write(data)

    def flush(self) -> None:
        pass


def blocks_of_xz(seed: int) -> bytes:
    """One xz stream of four blocks, put together from streams of one."""
    streams = [lzma.compress(text(60_000, seed + number), lzma.FORMAT_XZ) for number in range(4)]
    blocks, rows = b"", b""
    for stream in streams:
        length = 4 * (int.from_bytes(stream[-8:-4], "little") + 1)
        blocks += stream[12 : -12 - length]
        rows += stream[-12 - length + 2 : -12 - 4].rstrip(b"\0")
    index = b"\0\4" + rows
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    foot = (len(index) // 4 - 1).to_bytes(4, "little") + streams[0][6:8]
    return streams[0][:12] + blocks + index + zlib.crc32(foot).to_bytes(4, "little") + foot + b"YZ"


@cache
def sample(name: str, seed: int = 1) -> bytes:
    match name:
        case "a.flac":
            return writers.flac(writers.audio(4, seed))
        case "a.ogg":
            return writers.ogg(80, seed)
        case "a.cbz":
            return archive(seed)
        case "streamed.zip":
            return archive(seed, streamed=True)
        case "a.gz":
            return gzip.compress(text(200_000, seed)) + gzip.compress(text(50_000, seed))
        case "a.bz2":
            return bz2.compress(text(250_000, seed))
        case "a.xz":
            return lzma.compress(text(250_000, seed))
        case "blocks.xz":
            return blocks_of_xz(seed)
        case "a.mp3":
            return writers.mp3(400, seed)
        case "a.zst":
            return writers.zstd(text(200_000, seed))
    raise AssertionError(name)


STRONG = ("a.flac", "a.ogg", "a.cbz", "streamed.zip", "a.gz", "a.bz2", "a.xz", "blocks.xz")
WEAK = ("a.mp3", "a.zst")
REACH = ("a.flac", "a.ogg", "a.cbz", "streamed.zip", "a.xz", "blocks.xz")
"""Formats whose checks reach over a boundary by themselves."""


def boundaries(data: bytes, name: str, offsets: list[int]) -> dict[int, BoundaryCheck]:
    return formats.check_boundaries(reader(data), len(data), offsets, name)[1]


@pytest.mark.parametrize("name", STRONG)
def test_an_honest_file_is_proven(name: str) -> None:
    data = sample(name)
    kind, whole = formats.check_whole(reader(data), len(data), name)
    assert whole.outcome is Outcome.PROVEN, whole
    assert kind


@pytest.mark.parametrize("name", WEAK)
def test_a_format_without_checks_of_its_content_is_weak(name: str) -> None:
    data = sample(name)
    assert formats.check_whole(reader(data), len(data), name)[1].outcome is Outcome.WEAK


@pytest.mark.parametrize("name", STRONG)
def test_a_flipped_bit_is_found_and_lies_in_the_range_that_is_named(name: str) -> None:
    data = bytearray(sample(name))
    place = len(data) * 2 // 5
    data[place] ^= 4
    whole = formats.check_whole(reader(bytes(data)), len(data), name)[1]
    assert whole.outcome is Outcome.BROKEN, whole
    assert whole.first <= place < whole.stop <= len(data)


def test_where_no_right_frame_follows_all_that_was_looked_at_is_named() -> None:
    data = sample("a.flac")
    offset = len(data) * 3 // 5
    cut = data[:offset] + bytes(WINDOW_BYTES + 99)
    found = boundaries(cut, "a.flac", [offset])[offset]
    assert found.outcome is Outcome.BROKEN
    assert offset - flac.FRAME_BYTES_MAX < found.first < offset
    assert found.stop == offset + WINDOW_BYTES


def test_the_damage_between_two_frames_of_mp3_is_named_to_the_byte() -> None:
    frames = writers.mp3(12, 5)
    at = 6 * (len(frames) // 12)
    damaged = frames[:at] + bytes(30) + frames[at:]
    found = formats.check_whole(reader(damaged), len(damaged), "a.mp3")[1]
    assert (found.outcome, found.first, found.stop) == (Outcome.BROKEN, at, at + 30)
    assert found.detail == f"no MP3 frame at bytes {at} to {at + 29}"


def test_the_damage_of_a_page_is_said_to_end_where_the_next_begins() -> None:
    data = bytearray(sample("a.ogg"))
    begins = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    for first, stop in ((begins[0], begins[1]), (begins[3], begins[4]), (begins[-1], len(data))):
        data[stop - 1] ^= 1
        whole = formats.check_whole(reader(bytes(data)), len(data), "a.ogg")[1]
        assert (whole.outcome, whole.first, whole.stop) == (Outcome.BROKEN, first, stop)
        data[stop - 1] ^= 1


@pytest.mark.skipif(find_spec("compression") is not None, reason="this Python decompresses the stream instead")
def test_what_follows_a_zstd_frame_must_be_another_one() -> None:
    frame = writers.zstd(text(30_000, 1))
    skipped = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    for data in (frame + frame, frame + skipped + frame):
        assert formats.check_whole(reader(data), len(data), "a.zst")[1].outcome is Outcome.WEAK
    data = frame + skipped + b"nothing known"
    whole = formats.check_whole(reader(data), len(data), "a.zst")[1]
    assert (whole.outcome, whole.first, whole.stop) == (Outcome.BROKEN, 0, len(frame + skipped) + 1)


@pytest.mark.parametrize("name", [*STRONG, "a.zst"])
def test_a_file_that_is_cut_off_is_broken(name: str) -> None:
    data = sample(name)[:-700]
    assert formats.check_whole(reader(data), len(data), name)[1].outcome is Outcome.BROKEN


@pytest.mark.parametrize("name", REACH)
def test_honest_boundaries_are_proven(name: str) -> None:
    data = sample(name)
    found = [each.outcome for each in boundaries(data, name, list(range(CHUNK, len(data), CHUNK))).values()]
    assert found.count(Outcome.PROVEN) >= len(found) - 2, found
    assert Outcome.BROKEN not in found


@pytest.mark.parametrize("name", REACH)
def test_splices_are_never_accepted(name: str) -> None:
    data, other = sample(name), sample(name, 50)
    for at in range(CHUNK, min(len(data), len(other)) - CHUNK, CHUNK):
        mixed = data[:at] + other[at:]
        assert boundaries(mixed, name, [at])[at].outcome is not Outcome.PROVEN


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.cbz", "streamed.zip", "blocks.xz"])
def test_other_bytes_right_of_a_boundary_break_it(name: str) -> None:
    data = sample(name)
    broken = 0
    for at in range(CHUNK, len(data) - 3 * CHUNK, CHUNK):
        mixed = data[:at] + random.Random(at).randbytes(500) + data[at + 500 :]
        broken += boundaries(mixed, name, [at])[at].outcome is Outcome.BROKEN
    assert broken >= (len(data) - 4 * CHUNK) // CHUNK - 2


def test_a_member_of_an_archive_is_checked_before_its_directory_is_there() -> None:
    data = sample("a.cbz")
    end = zipfile.ZipFile(io.BytesIO(data)).infolist()[2].header_offset

    def read(offset: int, length: int) -> bytes:
        if offset + length > end:
            raise NotStored
        return data[offset : offset + length]

    _, found = formats.check_boundaries(read, len(data), [CHUNK, end - 100, end + 100], "a.cbz")
    assert [each.outcome for each in found.values()] == [Outcome.PROVEN, Outcome.PROVEN, Outcome.UNDECIDED]


def test_what_spans_several_boundaries_is_read_once() -> None:
    data, reads = sample("a.xz"), []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    offsets = list(range(CHUNK // 4, len(data) - CHUNK, CHUNK // 4))
    assert len(offsets) > 3
    _, found = formats.check_boundaries(read, len(data), offsets, "a.xz")
    assert {each.outcome for each in found.values()} == {Outcome.PROVEN}
    assert sum(reads) < 1.2 * len(data)


def test_frames_of_mp3_go_on_over_a_boundary_as_weak_evidence() -> None:
    data = sample("a.mp3")
    found = boundaries(data, "a.mp3", [4 * CHUNK])[4 * CHUNK]
    assert found.outcome is Outcome.WEAK
    shifted = data[: 4 * CHUNK] + data[4 * CHUNK + 5 :]
    assert boundaries(shifted, "a.mp3", [4 * CHUNK])[4 * CHUNK].outcome is Outcome.BROKEN


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.zip", "a.txt"])
def test_text_is_no_container_whatever_it_is_called(name: str) -> None:
    data = b"<html>this is a login page</html>\n" * 300
    kind, whole = formats.check_whole(reader(data), len(data), name)
    assert (kind, whole.outcome) == ("", Outcome.UNDECIDED)
    assert (whole.detail != "") is (name != "a.txt")


def test_the_name_counts_while_the_first_bytes_are_not_stored() -> None:
    def nothing(_offset: int, _length: int) -> bytes:
        raise NotStored

    for name, kind in (("x.FLAC", "FLAC"), ("a.opus", "Ogg"), ("b.bin", "")):
        found, checks = formats.check_boundaries(nothing, 10 * CHUNK, [CHUNK], name)
        assert (found, checks[CHUNK].outcome) == (kind, Outcome.UNDECIDED)


def test_a_flac_stream_inside_an_id3_tag_is_no_mp3() -> None:
    data = b"ID3\4\0\0\0\0\0\x10" + bytes(16) + sample("a.flac")
    assert formats.check_whole(reader(data), len(data), "a.flac")[0] == "FLAC"


def test_a_byte_too_many_in_the_frame_at_a_boundary_is_said_to_lie_there() -> None:
    content = sample("a.mp3")
    first = next(at for at in range(len(content)) if mp3.frame_at(content, at))
    starts = [first]
    while len(starts) < 8:
        frame = mp3.frame_at(content, starts[-1])
        assert frame is not None
        starts.append(starts[-1] + frame.length)
    longer = content[: starts[5] + 50] + b"\0" + content[starts[5] + 50 :]
    offset = starts[5] + 100
    found = mp3.check_boundary(reader(longer), len(longer), offset)
    assert (found.outcome, found.first, found.stop) == (Outcome.BROKEN, offset, starts[6] + 1)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_content_makes_a_check_raise(data: st.DataObject) -> None:
    """Damaged files of every format, cut anywhere, with anything written into them."""
    name = data.draw(st.sampled_from([*STRONG, *WEAK]))
    content = bytearray(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 120), st.integers(0, len(content)), st.integers(-200, -1)))
        content[at : at + data.draw(st.sampled_from((0, 1, 4, 40)))] = data.draw(st.binary(max_size=40))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    read = reader(bytes(content))
    _, whole = formats.check_whole(read, len(content), name)
    assert 0 <= whole.first <= whole.stop <= max(len(content), whole.first)
    offset = data.draw(st.integers(0, len(content)))
    _, found = formats.check_boundaries(read, len(content), [offset], name)
    assert all(each.first <= offset <= each.stop for each in found.values() if each.stop)


@settings(max_examples=200, deadline=None)
@given(magic=st.sampled_from([each for form in formats.FORMATS for each in form.magics]), rest=st.binary(max_size=400))
def test_a_beginning_alone_makes_no_check_raise(magic: bytes, rest: bytes) -> None:
    data = magic + rest
    assert formats.check_whole(reader(data), len(data), "x")[1].outcome is not Outcome.PROVEN or rest


ENCODERS = {
    "a.ogg": ["oggenc", "-Q", "-r", "-o", "OUT", "IN"],
    "a.mp3": ["lame", "--quiet", "-r", "-s", "44.1", "IN", "OUT"],
    "a.zst": ["zstd", "-q", "-o", "OUT", "IN"],
}


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_files_of_the_usual_encoders(tmp_path: Path, name: str) -> None:
    command = ENCODERS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    raw = tmp_path / "in.raw"
    raw.write_bytes(writers.raw(writers.audio(8, 9)))
    names = {"IN": str(raw), "OUT": str(tmp_path / name)}
    subprocess.run([names.get(each, each) for each in command], check=True, capture_output=True)
    data = (tmp_path / name).read_bytes()
    whole = formats.check_whole(reader(data), len(data), name)[1]
    assert whole.outcome is (Outcome.WEAK if name == "a.zst" else Outcome.PROVEN)
    if name == "a.mp3":
        data = data[:-3000] + bytes([data[-3000] ^ 1]) + data[-2999:]
        assert formats.check_whole(reader(data), len(data), name)[1].outcome is not Outcome.PROVEN


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.flac", b"<!DOCTYPE html><html>", "it only claims to be FLAC: the content is an HTML page"),
        ("a.flac", b"\xef\xbb\xbf\r\n<HTML>", "it only claims to be FLAC: the content is an HTML page"),
        ("a.zip", b"{}", "it only claims to be zip: the content is XML or JSON"),
        ("a.ogg", bytes(5000), "it only claims to be Ogg: the content is zeros"),
        ("a.xz", b"no such page\n", "it only claims to be xz: the content is plain text"),
        ("a.xz", b"caf\xe9", "it only claims to be xz: the content is something else"),
        ("a.xz", b"~ \x7f", "it only claims to be xz: the content is something else"),
        ("a.xz", b"\x01\x02\x03\xff", "it only claims to be xz: the content is something else"),
    ],
)
def test_a_file_that_only_claims_to_be_a_container_is_said_to(name: str, content: bytes, words: str) -> None:
    kind, check = formats.check_whole(reader(content), len(content), name)
    assert (kind, check.outcome, check.detail) == ("", Outcome.UNDECIDED, words)


def test_a_container_of_another_kind_than_its_name_says_both() -> None:
    content = sample("a.cbz")
    kind, check = formats.check_whole(reader(content), len(content), "a.flac")
    assert (kind, check.outcome) == ("zip", Outcome.PROVEN)
    assert check.detail == "the name says FLAC, the content is zip: all 6 zip members have their CRC-32"


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.cbz", "a.gz", "a.bz2", "a.xz"])
def test_first_bytes_tell_a_container(name: str) -> None:
    content = sample(name)
    found = formats.recognised(reader(content), len(content))
    assert found is not None
    assert found is formats.claimed_format(name)


def test_no_beginning_that_a_format_knows_is_passed_over() -> None:
    beginnings = [magic for each in formats.FORMATS for magic in each.magics] + [b"ID3\x04\x00"]
    assert all(may_be_container(beginning[:BEGINNING_BYTES]) for beginning in beginnings)
    assert not may_be_container(b"plain")


@pytest.mark.parametrize("head", [b"", b"\x1f\x8b\x00\x00", b"BZhello", b"plain", bytes(100), b"\xff\xfb\x90\x64" * 9])
def test_a_few_bytes_by_chance_tell_none(head: bytes) -> None:
    assert formats.recognised(reader(head), len(head)) is None


def test_bytes_behind_a_stream_are_not_proven_by_it() -> None:
    content = gzip.compress(b"x" * 5000) + b"what no check reaches"
    _, check = formats.check_whole(reader(content), len(content), "a.gz")
    assert check.outcome is Outcome.WEAK
