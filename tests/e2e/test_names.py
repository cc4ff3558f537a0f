"""Where the file goes and what it is called, whatever people and servers say."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.program import Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

CONTENT = Content(50_000, seed=31)

NAMED = {
    "plain": ('attachment; filename="song.flac"', "song.flac"),
    "utf8": ("attachment; filename*=UTF-8''fl%C3%B6te.flac", "flöte.flac"),
    "climber": ('attachment; filename="../../climbed.bin"', "climbed.bin"),
    "absolute": ('attachment; filename="/etc/absolute.bin"', "absolute.bin"),
    "windows": ('attachment; filename="C:\\\\Windows\\\\system.ini"', "system.ini"),
    "nul": ("attachment; filename*=UTF-8''a%00b.bin", "ab.bin"),
    "encoded": ("attachment; filename*=UTF-8''..%2F..%2Fup.bin", "up.bin"),
    "escape": ("attachment; filename*=UTF-8''red%1B%5B31m.bin", "red[31m.bin"),
    "dots": ('attachment; filename=".."', "content.bin"),
    "hidden": ('attachment; filename=".bashrc"', "bashrc"),
    "empty": ('attachment; filename=""', "content.bin"),
    "inline": ("inline", "content.bin"),
}


TELLING = ("climber", "escape", "hidden")
"""These are in the fast suite."""


def as_long(value: object, is_long: bool) -> object:
    return pytest.param(value, marks=pytest.mark.long) if is_long else value


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    characters = {name: Character(disposition=value) for name, (value, _) in NAMED.items()}
    with mirrors({**characters, "bare": Character(), "locked": Character(auth="mia:s3cr3t-word")}, CONTENT) as made:
        yield made


@pytest.mark.parametrize("name", [as_long(name, name not in TELLING) for name in NAMED])
def test_a_name_from_a_server_stays_in_the_folder(shoal: Shoal, box: Box, name: str) -> None:
    around = sorted(os.listdir(shoal.folder.parent))
    done = shoal.get(box.url(name))
    assert done.code == 0, done
    assert shoal.files == [NAMED[name][1]]
    assert done.ended["path"] == str(shoal.folder / NAMED[name][1])
    assert sorted(os.listdir(shoal.folder.parent)) == around
    assert CONTENT.matches(shoal.folder / NAMED[name][1])


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (None, "content.bin"),
        pytest.param("mine.bin", "mine.bin", marks=pytest.mark.long),
        pytest.param("./mine.bin", "mine.bin", marks=pytest.mark.long),
        pytest.param("sub", "sub/content.bin", marks=pytest.mark.long),
        pytest.param("sub/", "sub/content.bin", marks=pytest.mark.long),
        ("sub/mine.bin", "sub/mine.bin"),
        pytest.param("sub/../mine.bin", "mine.bin", marks=pytest.mark.long),
        pytest.param("ein Lied, 歌.flac", "ein Lied, 歌.flac", marks=pytest.mark.long),
        pytest.param("-.bin", "-.bin", marks=pytest.mark.long),
    ],
)
def test_output_names_a_file_or_a_folder(shoal: Shoal, box: Box, output: str | None, path: str) -> None:
    (shoal.folder / "sub").mkdir()
    done = shoal.get(box.url("bare"), *([] if output is None else ["-o", output]))
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / path)
    assert os.path.realpath(done.ended["path"]) == str(shoal.folder / path)


@pytest.mark.long
def test_an_absolute_output_is_used_as_it_is(shoal: Shoal, box: Box) -> None:
    target = shoal.folder / "deep" / "er"
    target.mkdir(parents=True)
    assert shoal.get(box.url("bare"), "-o", target / "file").code == 0
    assert CONTENT.matches(target / "file")


@pytest.mark.long
def test_what_people_ask_for_beats_what_a_server_proposes(shoal: Shoal, box: Box) -> None:
    assert shoal.get(box.url("plain"), "-o", "mine.bin").code == 0
    assert shoal.files == ["mine.bin"]


def test_a_taken_name_gets_a_number_and_the_old_file_stays(shoal: Shoal, box: Box) -> None:
    (shoal.folder / "file.bin").write_bytes(b"mine")
    for number in (1, 2):
        done = shoal.get(box.url("bare"), "-o", "file.bin")
        assert done.ended["path"] == str(shoal.folder / f"file ({number}).bin")
        assert CONTENT.matches(shoal.folder / f"file ({number}).bin")
    assert (shoal.folder / "file.bin").read_bytes() == b"mine"
    assert shoal.files == ["file (1).bin", "file (2).bin", "file.bin"]


def test_a_link_in_the_place_of_the_part_file_is_not_followed(shoal: Shoal, box: Box) -> None:
    victim = shoal.folder / "victim"
    victim.write_bytes(b"mine")
    (shoal.folder / "file.bin.part").symlink_to(victim)
    done = shoal.refused(box.url("bare"), "-o", "file.bin")
    assert done.code in (4, 5)
    assert "file.bin.part" in done.the_line
    assert victim.read_bytes() == b"mine"


@pytest.mark.long
def test_a_very_long_name_is_cut(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("bare").replace("content.bin", "n" * 400 + ".flac"))
    assert done.code == 0, done
    (name,) = shoal.files
    assert name.startswith("nnn")
    assert name.endswith(".flac")
    assert len(name) < 256


def test_a_password_in_an_address_is_never_shown_or_kept(shoal: Shoal, box: Box) -> None:
    address = box.url("locked")
    assert "mia:s3cr3t-word@" in address
    for words in (["--json", "--verbose"], ["--verbose"]):
        done = shoal.run("get", address, "-o", "file.bin", *words)
        assert done.code == 0
        assert "s3cr3t-word" not in done.stdout + done.stderr
        assert "mia" not in done.stdout + done.stderr


@pytest.mark.long
def test_a_wrong_password_is_not_shown_either(shoal: Shoal, box: Box) -> None:
    address = box.url("locked").replace("s3cr3t-word", "wr0ng-word")
    done = shoal.run("get", address, "-o", "file.bin")
    assert done.code == 3
    assert "401" in done.stderr
    assert "wr0ng-word" not in done.stderr
    assert shoal.files == []


@pytest.mark.long
def test_a_password_is_not_kept_beside_a_part_file(shoal: Shoal) -> None:
    with mirrors({"a": Character(auth="mia:s3cr3t-word", die_after_bytes=30_000)}, CONTENT) as own:
        done = shoal.get(own.url("a"), "-o", "file.bin", "--chunk-size", "4K")
    assert done.code == 3
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]
    assert "s3cr3t-word" not in done.stdout + done.stderr
    assert all(b"s3cr3t-word" not in (shoal.folder / name).read_bytes() for name in shoal.files)


def test_redirects_are_followed_and_named_after_what_was_asked_for(shoal: Shoal) -> None:
    with mirrors({"first": Character(redirect_to="second"), "second": Character()}, CONTENT) as own:
        done = shoal.get(own.url("first").replace("content.bin", "asked.bin"))
    assert done.code == 0
    assert shoal.files == ["asked.bin"]
    assert CONTENT.matches(shoal.folder / "asked.bin")


def test_the_proxy_of_the_environment_is_asked_instead(shoal: Shoal, box: Box) -> None:
    # A mirror answers any path, so it can play the proxy of a host that does not exist.
    proxy = f"http://127.0.0.1:{box.port('bare')}"
    done = shoal.get("http://no-such-host.invalid/via.bin", http_proxy=proxy, no_proxy="")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "via.bin")


@pytest.mark.long
def test_a_proxy_that_is_not_there_is_named_without_its_password(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("bare"), http_proxy="http://mia:s3cr3t-word@127.0.0.1:9", no_proxy="")
    assert done.code == 3
    assert "127.0.0.1:9" in done.the_line
    assert "s3cr3t-word" not in done.the_line
