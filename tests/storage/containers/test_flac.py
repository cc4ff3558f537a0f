import random
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.containers import flac
from storage.containers.reading import WINDOW_BYTES, NotStored, Outcome, Read
from tests.storage.containers import writers
from tests.storage.containers.writers import reader

CHUNK = 16 << 10


@pytest.fixture(scope="module")
def song() -> bytes:
    return writers.flac(writers.audio(8, 1))


@pytest.fixture(scope="module")
def other() -> bytes:
    """Of the same length, other audio."""
    return writers.flac(writers.audio(8, 2))


def check(data: bytes, at: int) -> Outcome:
    return flac.check_boundary(reader(data), len(data), at).outcome


def stored_only(data: bytes, first: int, stop: int) -> Read:
    def read(offset: int, length: int) -> bytes:
        if offset < first or offset + length > stop:
            raise NotStored
        return data[offset : offset + length]

    return read


@pytest.mark.skipif(shutil.which("flac") is None, reason="flac is not installed")
@pytest.mark.parametrize("variable", [False, True])
def test_the_files_of_the_test_are_right_for_the_reference_decoder(tmp_path: Path, variable: bool) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(writers.flac(writers.audio(1, 3), variable=variable))
    subprocess.run(["flac", "-t", "-s", path], check=True)


def test_honest_boundaries_are_proven_and_none_is_broken(song: bytes) -> None:
    places = range(CHUNK, len(song), CHUNK)
    found = [check(song, at) for at in places]
    assert found.count(Outcome.PROVEN) >= len(found) - 2  # a frame may end or begin just there
    assert Outcome.BROKEN not in found


def test_the_span_of_a_proven_boundary_is_one_frame(song: bytes) -> None:
    at = 5 * CHUNK
    found = flac.check_boundary(reader(song), len(song), at)
    assert found.first < at < found.stop
    first, behind = flac.header_at(song, found.first), flac.header_at(song, found.stop)
    assert first is not None
    assert behind is not None
    assert behind.number == first.number + 1


def test_a_splice_of_other_audio_is_never_accepted(song: bytes, other: bytes) -> None:
    for at in range(CHUNK, min(len(song), len(other)) - CHUNK, CHUNK):
        assert check(song[:at] + other[at:], at) is Outcome.BROKEN


@pytest.mark.parametrize("shift", [1, -1, 2, 300, -5000])
def test_a_file_that_is_shifted_is_never_accepted(song: bytes, shift: int) -> None:
    for at in range(2 * CHUNK, len(song) - 2 * CHUNK, CHUNK):
        assert check(song[:at] + song[at + shift :], at) is Outcome.BROKEN


def test_a_bit_in_the_frame_that_spans_the_boundary_breaks_it(song: bytes) -> None:
    at = 4 * CHUNK
    found = flac.check_boundary(reader(song), len(song), at)
    chance = random.Random(5)
    for place in {at - 1, at, *(chance.randrange(found.first + 16, found.stop) for _ in range(30))}:
        data = bytearray(song)
        data[place] ^= 1 << chance.randrange(8)
        assert check(bytes(data), at) is Outcome.BROKEN


def test_damage_further_left_says_nothing_of_the_frame_that_spans_the_boundary(song: bytes) -> None:
    at = 5 * CHUNK
    spanning = flac.check_boundary(reader(song), len(song), at)
    assert spanning.outcome is Outcome.PROVEN
    for distance in (3000, 9000, 20_000):
        damaged = bytearray(song)
        damaged[spanning.first - distance] ^= 1
        assert flac.check_boundary(reader(bytes(damaged)), len(song), at) == spanning


def test_the_chunks_around_a_boundary_are_enough(song: bytes) -> None:
    at = 3 * CHUNK
    read = stored_only(song, at - CHUNK, at + CHUNK)
    assert flac.check_boundary(read, len(song), at).outcome is Outcome.PROVEN


def test_a_side_without_any_frame_is_broken_only_behind_the_metadata(song: bytes, other: bytes) -> None:
    noise = random.Random(7).randbytes(len(song))
    at = len(song) // 2
    assert len(song) - at > WINDOW_BYTES, "long enough to say that there is no frame"
    assert check(noise[:at] + song[at:], at) is Outcome.UNDECIDED, "where the metadata ends is not known"
    assert check(song[:1000] + noise[1000:at] + song[at:], at) is Outcome.BROKEN
    assert check(song[:at] + noise[at:], at) is Outcome.BROKEN
    assert check(noise, at) is Outcome.UNDECIDED


def test_a_boundary_in_the_metadata_is_undecided() -> None:
    data = writers.flac(writers.audio(2, 1), padding=5 * CHUNK)
    assert check(data, 2 * CHUNK) is Outcome.UNDECIDED


def test_a_boundary_between_two_frames_proves_nothing(song: bytes) -> None:
    found = flac.check_boundary(reader(song), len(song), 4 * CHUNK)
    for at in (found.first, found.first + 5, found.stop - 1, found.stop):
        assert check(song, at) is Outcome.UNDECIDED


def test_variable_block_sizes_are_followed() -> None:
    data = writers.flac(writers.audio(3, 1), variable=True)
    assert check(data, 4 * CHUNK) is Outcome.PROVEN
    assert flac.check_whole(reader(data), len(data)).outcome is Outcome.PROVEN


@pytest.mark.parametrize("md5", [True, False])
@pytest.mark.parametrize("total", [True, False])
def test_a_whole_file_is_right_also_without_md5_or_length(md5: bool, total: bool) -> None:
    data = writers.flac(writers.audio(2, 4), md5=md5, total=total)
    whole = flac.check_whole(reader(data), len(data))
    assert (whole.outcome, whole.detail) == (Outcome.PROVEN, "all 77 FLAC frames are right")
    info = flac.stream_info(reader(data), len(data))
    assert info is not None
    assert bool(info.md5) is md5


@pytest.mark.parametrize("length", [4095, 4096, 8193])
def test_the_parameters_of_the_stream_are_read(length: int) -> None:
    data = writers.flac(writers.audio(1, 4)[:length], padding=7)
    info = flac.stream_info(reader(data), len(data))
    assert info is not None
    assert (info.rate, info.channels, info.bits, info.samples) == (writers.RATE, 1, 16, length)
    assert data[info.audio_at : info.audio_at + 2] == b"\xff\xf8"
    assert flac.stream_info(reader(data), info.audio_at) == info
    assert flac.stream_info(reader(data[: info.audio_at - 1]), info.audio_at - 1) is None


def test_tags_before_and_behind_the_stream_do_not_disturb(song: bytes) -> None:
    data = b"ID3\4\0\0\0\0\2\1" + bytes(257) + song + b"TAG" + bytes(125)
    assert flac.check_whole(reader(data), len(data)).outcome is Outcome.PROVEN


def test_the_first_damage_of_a_whole_file_is_named(song: bytes) -> None:
    for place in (len(song) // 3, len(song) // 2):
        data = bytearray(song)
        data[place] ^= 8
        data[-3000] ^= 8
        whole = flac.check_whole(reader(bytes(data)), len(data))
        assert whole.outcome is Outcome.BROKEN
        assert whole.first <= place < whole.stop <= place + 8000


def test_a_file_that_is_cut_off_is_broken_at_its_end(song: bytes) -> None:
    for cut in (1, 500, 40_000):
        data = song[:-cut]
        whole = flac.check_whole(reader(data), len(data))
        assert whole.outcome is Outcome.BROKEN
        assert whole.stop == len(data)
        assert "cut off" in whole.detail


def test_a_file_cut_off_between_two_frames_lacks_samples(song: bytes) -> None:
    found = flac.check_boundary(reader(song), len(song), 5 * CHUNK)
    data = song[: found.stop]
    whole = flac.check_whole(reader(data), len(data))
    assert (whole.outcome, whole.first, whole.stop) == (Outcome.BROKEN, len(data), len(data))
    assert "cut off" in whole.detail


@pytest.mark.skipif(shutil.which("flac") is None, reason="flac is not installed")
@pytest.mark.parametrize("options", [["-8"], ["-0"], ["--lax", "-b", "16384"], ["-5", "--no-padding"]])
def test_files_of_the_reference_encoder(tmp_path: Path, options: list[str]) -> None:
    raw = tmp_path / "a.raw"
    raw.write_bytes(writers.raw(writers.audio(8, 9)))
    form = ["--force-raw-format", "--endian=little", "--sign=signed", "--channels=2", "--bps=16", "--sample-rate=44100"]
    subprocess.run(["flac", "-s", *options, *form, "-o", tmp_path / "a.flac", raw], check=True)
    data = (tmp_path / "a.flac").read_bytes()
    assert flac.check_whole(reader(data), len(data)).outcome is Outcome.PROVEN
    found = [check(data, at) for at in range(CHUNK, len(data), CHUNK)]
    assert found.count(Outcome.PROVEN) >= len(found) - 2
    assert Outcome.BROKEN not in found
