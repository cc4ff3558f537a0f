"""Container checks of what is stored of a file: which bytes are read, which chunks are named, when time is up."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.model.chunk_ranges import RangeSet
from storage.container_checks import (
    BROKEN_CHUNKS_MAX,
    StoredContent,
    Whole,
    check_boundaries,
    check_whole,
    recognised_format,
)
from storage.containers import formats
from storage.containers.reading import NotStored, Outcome, TimeUp
from storage.layout import Layout
from tests.storage.containers import writers

CHUNK = 4096
Open = Callable[..., StoredContent]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """A function that makes the stored content of a file of these bytes, of which only `chunks` are stored."""
    made: list[StoredContent] = []

    def make(
        data: bytes,
        chunks: RangeSet | None = None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        size: int | None = None,
        chunk: int = CHUNK,
    ) -> StoredContent:
        path = tmp_path / "f.part"
        path.write_bytes(data)
        layout = Layout(len(data) if size is None else size, chunk)
        stored = RangeSet([(0, layout.chunk_count)]) if chunks is None else chunks
        with path.open("rb") as file:
            made.append(StoredContent(file.fileno(), layout, stored, cancelled))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_only_bytes_of_stored_chunks_are_read(opened: Open) -> None:
    data = bytes(range(256)) * 64
    content = opened(data, RangeSet([(1, 3)]))
    assert content.read(CHUNK, 2 * CHUNK) == data[CHUNK : 3 * CHUNK]
    assert content.read(CHUNK + 5, 7) == data[CHUNK + 5 : CHUNK + 12]
    assert content.read(0, 0) == b""
    for offset, length in ((CHUNK - 1, 2), (CHUNK, 2 * CHUNK + 1), (0, 1), (-1, 1), (3 * CHUNK, 1)):
        with pytest.raises(NotStored):
            content.read(offset, length)


def test_bytes_that_were_cut_off_behind_our_back_are_not_stored(opened: Open, tmp_path: Path) -> None:
    content = opened(bytes(3 * CHUNK))
    (tmp_path / "f.part").write_bytes(bytes(CHUNK))
    assert content.read(0, CHUNK) == bytes(CHUNK)
    with pytest.raises(NotStored):
        content.read(0, CHUNK + 1)


def test_a_check_ends_when_it_is_cancelled_or_its_time_is_up(opened: Open) -> None:
    stopped = False
    content = opened(writers.ogg(30, 1), cancelled=lambda: stopped)
    assert content.left_s == float("inf")
    content.limit_s(0.0)
    with pytest.raises(TimeUp):
        content.read(0, 1)
    assert "not finished" in check_whole(content, "a.ogg").detail
    content.limit_s(1000.0)
    assert check_whole(content, "a.ogg").kind == "frames"
    stopped = True
    assert check_boundaries(content, "a.ogg", [1]).format == ""
    assert recognised_format(content) == ""


def spliced(chunk: int) -> bytes:
    """Two Ogg streams that meet where this chunk begins."""
    one, other = writers.ogg(40, 1), writers.ogg(40, 2)
    return one[: chunk * CHUNK] + other[chunk * CHUNK :]


def test_boundaries_are_named_by_the_chunk_that_begins_there(opened: Open) -> None:
    found = check_boundaries(opened(spliced(5)), "a.ogg", [3, 5, 7])
    assert (found.format, found.proven) == ("Ogg", (3, 7))
    ((chunk, first, stop),) = found.broken
    assert chunk == 5
    assert first < 5 < stop <= 7
    assert check_boundaries(opened(spliced(5), RangeSet([(0, 5)])), "a.ogg", [3, 5]).broken == ()


def test_a_damage_is_named_by_its_chunks(opened: Open) -> None:
    data = bytearray(writers.ogg(40, 1))
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    first = next(at for at in pages if at > 3 * CHUNK)
    stop = pages[pages.index(first) + 1]
    data[first + 40] ^= 1
    found = check_whole(opened(bytes(data)), "a.ogg")
    assert (found.kind, found.first, found.stop) == ("", first // CHUNK, -(-stop // CHUNK))
    assert f"bytes {first} to {stop - 1}" in found.detail


def test_a_whole_file_that_is_right_weak_or_no_container(opened: Open) -> None:
    right = check_whole(opened(writers.ogg(9, 1)), "a.ogg")
    assert right == Whole("frames", "all 9 Ogg pages are right")
    weak = check_whole(opened(writers.mp3(30, 1)), "a.mp3")
    assert (weak.kind, weak.first, weak.stop, "weak evidence" in weak.detail) == ("", 0, 0, True)
    assert check_whole(opened(b"plain text"), "a.bin") == Whole()
    assert check_whole(opened(writers.ogg(9, 1), RangeSet()), "a.ogg").detail.startswith(
        "its own checks could not be read"
    )


def test_the_first_bytes_tell_the_format_where_they_are_stored(opened: Open) -> None:
    assert recognised_format(opened(writers.ogg(9, 1))) == "Ogg"
    assert recognised_format(opened(writers.ogg(9, 1), RangeSet([(1, 2)]))) == ""
    assert recognised_format(opened(b"plain text")) == ""


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_a_zstd_file_is_proven_only_where_it_has_a_digest_of_its_content(opened: Open) -> None:
    for option, kind in (("--check", "frames"), ("--no-check", "")):
        done = subprocess.run(["zstd", option, "-q", "-c"], input=b"text" * 5000, capture_output=True, check=True)
        assert check_whole(opened(done.stdout), "a.zst").kind == kind


def test_a_file_of_unknown_size_has_the_format_of_its_first_chunk(opened: Open) -> None:
    data = writers.ogg(9, 1)
    assert recognised_format(opened(data, RangeSet([(0, 1)]), size=-1)) == "Ogg"
    assert recognised_format(opened(data, RangeSet(), size=-1)) == ""


@pytest.mark.parametrize("chunk", [112, 120, 126, 140, 420, 5040, 20160])
def test_a_frame_of_too_many_chunks_accuses_none(opened: Open, chunk: int) -> None:
    place = 20160
    one, other = writers.ogg(20, 1), writers.ogg(20, 2)
    data = one[:place] + other[place:]
    _, direct = formats.check_boundaries(writers.reader(data), len(data), [place], "a.ogg")
    assert direct[place].outcome is Outcome.BROKEN
    first, stop = direct[place].first // chunk, -(-direct[place].stop // chunk)
    found = check_boundaries(opened(data, RangeSet([(0, len(data))]), chunk=chunk), "a.ogg", [place // chunk])
    assert found.broken == (((place // chunk, first, stop),) if stop - first <= BROKEN_CHUNKS_MAX else ())
    assert found.proven == ()


SONG = writers.flac(writers.audio(0.5, 7))
DECODERS = pytest.mark.parametrize("decoder", ["program", "library", "none"])


def only(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one of the decoders of FLAC, or none."""
    if decoder == "program" and shutil.which("flac") is None:
        pytest.skip("flac is not installed")
    if decoder != "program":
        monkeypatch.setenv("PATH", "")
    if decoder == "none":
        monkeypatch.setattr("storage.container_checks.find_spec", lambda _name: None)


@DECODERS
@pytest.mark.parametrize("md5", [True, False])
def test_right_audio_is_decoded_or_its_digest_stays_open(
    opened: Open, monkeypatch: pytest.MonkeyPatch, decoder: str, md5: bool
) -> None:
    only(decoder, monkeypatch)
    found = check_whole(opened(SONG if md5 else writers.flac(writers.audio(0.5, 7), md5=False)), "a.flac")
    frames = "all 20 FLAC frames are right"
    if decoder == "none":
        assert found == Whole("frames", frames, digest_open=md5)
    elif md5:
        assert found == Whole("decoded", "the decoded FLAC audio has its MD5")
    else:
        assert found == Whole("frames", "all FLAC frames are right; the file does not say the MD5 of its audio")


@DECODERS
def test_audio_with_another_md5_is_damaged_somewhere(
    opened: Open, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    only(decoder, monkeypatch)
    bad = SONG[:26] + bytes(16 * [1]) + SONG[42:]
    found = check_whole(opened(bad), "a.flac")
    if decoder == "none":
        assert (found.kind, found.digest_open) == ("frames", True)
    else:
        said = f"the FLAC content has another digest: bytes 0 to {len(bad) - 1}"
        assert found == Whole("", said, 0, -(-len(bad) // CHUNK))


@DECODERS
def test_a_tag_behind_the_stream_is_no_damage(opened: Open, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    only(decoder, monkeypatch)
    found = check_whole(opened(SONG + b"TAG" + bytes(125)), "a.flac")
    assert found.kind in ("frames", "decoded")
    assert (found.first, found.stop) == (0, 0)


def test_only_a_format_with_a_digest_of_its_content_leaves_it_open(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("none", monkeypatch)
    assert check_whole(opened(writers.ogg(9, 1)), "a.ogg").digest_open is False
    assert check_whole(opened(SONG), "a.ogg").digest_open is True


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_a_zstd_file_with_another_digest_is_damaged(opened: Open) -> None:
    packed = subprocess.run(["zstd", "--check", "-q", "-c"], input=b"text" * 5000, capture_output=True, check=True)
    right = check_whole(opened(packed.stdout), "a.zst")
    assert right == Whole("frames", "the zstd stream has the digest of its content")
    bad = packed.stdout[:-1] + bytes([packed.stdout[-1] ^ 1])
    found = check_whole(opened(bad), "a.zst")
    assert found == Whole("", f"the zstd content has another digest: bytes 0 to {len(bad) - 1}", 0, 1)


def test_a_check_that_is_cancelled_while_it_decodes_is_not_finished(opened: Open) -> None:
    if shutil.which("flac") is None:
        pytest.skip("flac is not installed")
    calls = iter(range(1000))
    cancelled_at = 3
    found = check_whole(opened(SONG, cancelled=lambda: next(calls) >= cancelled_at), "a.flac")
    assert found == Whole(detail="its own checks need more time than the download took: not finished")
