"""Files with digests of their own, from mirrors of which one has something else: what is sealed, and what is said."""

from __future__ import annotations

import hashlib
import random
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.program import Done, Shoal
from tests.http_mirrors.box import Character, mirrors
from tests.storage.containers import writers

CHUNK = "16K"
LENGTH_S = 8


@cache
def song() -> bytes:
    return writers.flac(writers.audio(LENGTH_S, 1), padding=5000)


@cache
def other_song() -> bytes:
    """Of the same size, with other audio from a third on."""
    first, second = writers.audio(LENGTH_S, 1), writers.audio(LENGTH_S, 2)
    mixed = [*first[: len(first) // 3], *second[len(first) // 3 :]]
    return writers.flac(mixed, padding=5000 + len(song()) - len(writers.flac(mixed, padding=5000)))


@contextmanager
def served(folder: Path, *contents: bytes, **behavior: object) -> Iterator[list[str]]:
    """Addresses of mirrors, one for each content."""
    boxes = []
    try:
        for number, content in enumerate(contents):
            path = folder / f"m{number}" / "song.flac"
            path.parent.mkdir()
            path.write_bytes(content)
            boxes.append(mirrors([Character(rate_bytes_s=400e3, **behavior)], path, file_name="song.flac"))  # type: ignore[arg-type]
        yield [box.urls[0] for box in boxes]
    finally:
        for box in boxes:
            box.close()


def get(shoal: Shoal, urls: list[str]) -> tuple[Done, bytes]:
    done = shoal.get(*urls, "--chunk-size", CHUNK)
    assert done.code == 0, done.stderr
    return done, (shoal.folder / "song.flac").read_bytes()


def text_of(done: Done) -> str:
    return str(done.ended["identity"]["text"])


@pytest.mark.parametrize("odd", [0, *(pytest.param(odd, marks=pytest.mark.long) for odd in (1, 3))])
def test_of_four_mirrors_one_with_other_audio_spoils_nothing(shoal: Shoal, tmp_path: Path, odd: int) -> None:
    assert len(song()) == len(other_song())
    contents = [other_song() if number == odd else song() for number in range(4)]
    with served(tmp_path, *contents) as urls:
        done, found = get(shoal, urls)
    assert found == song()
    assert done.ended["identity"]["kind"] in ("frames", "decoded")


def test_a_mirror_that_flips_bytes_is_found_by_the_frames(shoal: Shoal, tmp_path: Path) -> None:
    bad = bytearray(song())
    for at in range(20_000, len(bad), 20_000):
        bad[at] ^= 1
    with served(tmp_path, song(), bytes(bad), song(), song()) as urls:
        done, found = get(shoal, urls)
    assert found == song()
    assert done.ended["identity"]["kind"] in ("frames", "decoded")


@pytest.mark.long
def test_a_damaged_file_of_one_source_is_sealed_and_said(shoal: Shoal, tmp_path: Path) -> None:
    bad = bytearray(song())
    bad[len(bad) // 2] ^= 1
    with served(tmp_path, bytes(bad)) as urls:
        done, found = get(shoal, urls)
    assert found == bytes(bad), "it is what this source has"
    assert "wrong frame" in text_of(done)


def test_a_damage_that_all_have_is_sealed_and_said(shoal: Shoal, tmp_path: Path) -> None:
    bad = bytearray(song())
    bad[len(bad) // 2] ^= 1
    with served(tmp_path, *[bytes(bad)] * 3) as urls:
        done, found = get(shoal, urls)
    assert found == bytes(bad)
    assert "wrong frame" in text_of(done)
    assert not done.ended["identity"]["excluded"]


@pytest.mark.long
def test_a_file_that_is_cut_off_is_said_to_be(shoal: Shoal, tmp_path: Path) -> None:
    with served(tmp_path, song()[:-3000], song()[:-3000]) as urls:
        done, found = get(shoal, urls)
    assert found == song()[:-3000]
    assert "cut off" in text_of(done)


@pytest.mark.long
def test_text_that_is_called_flac_is_said_to_be_none(shoal: Shoal, tmp_path: Path) -> None:
    text = b"".join(b"line %d of a login page\n" % number for number in range(12_000))
    with served(tmp_path, text, text) as urls:
        done, found = get(shoal, urls)
    assert found == text
    assert "it only claims to be FLAC: the content is plain text" in text_of(done)


REQUIRED = ("--require", "decoded", "--chunk-size", CHUNK)


def test_the_required_check_of_the_whole_is_passed_by_a_right_file_alone(shoal: Shoal, tmp_path: Path) -> None:
    with served(tmp_path, song(), song()) as urls:
        done = shoal.get(*urls, *REQUIRED, "--checksum", f"sha256:{hashlib.sha256(song()).hexdigest()}")
    assert done.code == 0, done.stderr
    assert "FLAC" in text_of(done)
    page = b"<!DOCTYPE html><html>" + b"<p>sign in, please</p>" * 12_000
    (tmp_path / "page").mkdir()
    with served(tmp_path / "page", page) as urls:
        done = shoal.get(*urls, *REQUIRED, "-o", "page.flac")
    assert done.code == 4
    assert "it only claims to be FLAC: the content is an HTML page" in done.ended["reason"]
    assert {"page.flac.part", "page.flac.part.records"} <= set(shoal.files)


def test_a_damage_fails_the_required_check_and_names_its_bytes(shoal: Shoal, tmp_path: Path) -> None:
    bad = bytearray(song())
    bad[len(bad) // 2] ^= 1
    with served(tmp_path, bytes(bad), bytes(bad)) as urls:
        done = shoal.get(*urls, *REQUIRED)
    assert done.code == 4
    assert re.search(r"wrong frame, number \d+: bytes \d+ to \d+", done.ended["reason"])


def test_an_archive_under_another_name_is_checked_as_such(shoal: Shoal, tmp_path: Path) -> None:
    path = tmp_path / "disk.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(6):
            made.writestr(f"{number}.jpg", random.Random(number).randbytes(100_000))
    with mirrors([Character(rate_bytes_s=400e3)] * 2, path, file_name="disk.bin") as box:
        done = shoal.get(*box.urls, *REQUIRED)
    assert done.code == 0, done.stderr
    assert "all 6 zip members have their CRC-32" in text_of(done)


@pytest.mark.long
def test_a_flac_file_without_md5_is_checked_by_its_frames(shoal: Shoal, tmp_path: Path) -> None:
    plain = writers.flac(writers.audio(LENGTH_S, 1), md5=False)
    with served(tmp_path, plain, plain, plain) as urls:
        done, found = get(shoal, urls)
    assert found == plain
    assert done.ended["identity"]["kind"] == "frames"


@pytest.mark.long
def test_a_checksum_makes_the_check_of_the_container_needless(shoal: Shoal, tmp_path: Path) -> None:

    with served(tmp_path, song(), song()) as urls:
        done = shoal.get(*urls, "--chunk-size", CHUNK, "--checksum", f"sha256:{hashlib.sha256(song()).hexdigest()}")
    assert done.code == 0
    assert done.ended["identity"]["kind"] == "digest"
    assert "FLAC" not in text_of(done)
