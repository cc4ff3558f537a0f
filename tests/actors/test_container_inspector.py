"""The container checks beside the Assembler: asked by message, answered by message, while the part file is open."""

import queue
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from actors.container_inspector import ContainerInspector
from protocol.messages import (
    BoundariesChecked,
    CheckBoundaries,
    CheckContainer,
    ContainerBroken,
    ContainerChecked,
    Message,
)
from storage.digests import digests_of
from storage.part_file import PartFile
from tests.storage.containers import writers

CHUNK = 16 << 10
Answered = "queue.SimpleQueue[tuple[str, Message]]"


@cache
def song() -> bytes:
    return writers.flac(writers.audio(5, 1), padding=100)


def chunk_count() -> int:
    return -(-len(song()) // CHUNK)


def write(part: PartFile, content: bytes, chunks: range, sender: int = 1) -> None:
    for chunk in chunks:
        data = content[chunk * CHUNK : (chunk + 1) * CHUNK]
        part.write(chunk, memoryview(data), digests_of(memoryview(data), len(data), CHUNK), sender)


@pytest.fixture
def part(tmp_path: Path) -> Iterator[PartFile]:
    made = PartFile.open(str(tmp_path), "song.flac", size_bytes=len(song()), chunk_size=CHUNK, sync="none").part
    yield made
    made.close()


@pytest.fixture
def ask(part: PartFile) -> Iterator[Callable[[CheckBoundaries | CheckContainer], Message]]:
    answers: queue.SimpleQueue[tuple[str, Message]] = queue.SimpleQueue()
    inspector = ContainerInspector(lambda to, message: answers.put((to, message)))

    def asked(request: CheckBoundaries | CheckContainer) -> Message:
        inspector.check(request, part, "song.flac", "hub/dispatcher-1")
        to, message = answers.get(timeout=20)
        assert to == "hub/dispatcher-1"
        return message

    yield asked
    inspector.close()


Ask = Callable[[CheckBoundaries | CheckContainer], Message]


def whole(seconds: float = 10.0, request: int = 3) -> CheckContainer:
    return CheckContainer(job=1, request=request, seconds_max=seconds)


def test_boundaries_are_proven_broken_or_undecided_by_what_is_stored(part: PartFile, ask: Ask) -> None:
    write(part, song(), range(2, 8))
    write(part, song()[:-500][::-1], range(8, 9))
    found = ask(CheckBoundaries(job=1, chunks=(3, 4, 8, 12)))
    assert isinstance(found, BoundariesChecked)
    assert (found.format, found.proven, found.broken) == ("FLAC", (3, 4), ())
    write(part, song(), range(9, 14))
    found = ask(CheckBoundaries(job=1, chunks=(8, 9)))
    assert isinstance(found, BoundariesChecked)
    assert found.broken, "frames on both sides, and what lies between is none"
    assert all(
        first < chunk < stop
        for first, chunk, stop in zip(found.broken_firsts, found.broken, found.broken_stops, strict=True)
    )


def only(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be one decoder: the program "flac", the "library", or "none"."""
    if decoder == "flac" and shutil.which("flac") is None:
        pytest.skip("flac is not installed")
    if decoder != "flac":
        monkeypatch.setenv("PATH", "/nowhere")
    if decoder != "library":
        monkeypatch.setattr("storage.container_checks.find_spec", lambda _name: None)


DECODERS = pytest.mark.parametrize("decoder", ["flac", "library", "none"])


@DECODERS
def test_a_damage_is_named_by_its_chunks(
    part: PartFile, ask: Ask, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    only(decoder, monkeypatch)
    place = 5 * CHUNK + 100
    bad = song()[:place] + bytes([song()[place] ^ 1]) + song()[place + 1 :]
    write(part, bad, range(chunk_count()))
    found = ask(whole())
    assert isinstance(found, ContainerBroken)
    assert found.first <= 5 < found.stop <= found.first + 2


@DECODERS
def test_audio_with_another_md5_is_found_only_by_decoding(
    part: PartFile, ask: Ask, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    only(decoder, monkeypatch)
    bad = song()[:26] + bytes(16 * [1]) + song()[42:]
    write(part, bad, range(chunk_count()))
    found = ask(whole())
    if decoder == "none":
        assert isinstance(found, ContainerChecked)
        assert (found.kind, found.digest_open) == ("frames", True)
    else:
        assert isinstance(found, ContainerBroken)
        assert (found.first, found.stop) == (0, chunk_count())


@DECODERS
@pytest.mark.parametrize("md5", [True, False])
def test_a_right_file_has_the_digest_that_it_names_if_any(
    part: PartFile, ask: Ask, monkeypatch: pytest.MonkeyPatch, decoder: str, md5: bool
) -> None:
    only(decoder, monkeypatch)
    write(part, song() if md5 else song()[:26] + bytes(16) + song()[42:], range(chunk_count()))
    found = ask(whole())
    assert isinstance(found, ContainerChecked)
    assert found.kind == ("decoded" if md5 and decoder != "none" else "frames")
    assert found.digest_open is (md5 and decoder == "none")


def test_a_check_ends_when_its_time_is_over(part: PartFile, ask: Ask) -> None:
    write(part, song(), range(chunk_count()))
    found = ask(whole(seconds=0.0))
    assert isinstance(found, ContainerChecked)
    assert (found.kind, "not finished" in found.detail) == ("", True)


def test_a_part_file_that_is_closed_meanwhile_disturbs_no_check(part: PartFile, ask: Ask) -> None:
    write(part, song(), range(chunk_count()))
    content = part.content(lambda: False)
    part.abandon()
    assert content.read(0, 4) == b"fLaC"
    content.close()
