"""Whatever a source proposes, the file lands in the folder."""

import os
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.model.filenames import NAME_BYTES_MAX, numbered, proposed_name, safe_name
from storage.layout import REWRITTEN_SUFFIX

hostile = st.text(
    st.one_of(st.sampled_from("/\\.: \0\n\t~$\u202eä語CON1"), st.characters()), max_size=400
)  # surrogates included


@given(hostile, hostile)
@example("..", "")
@example("C:", "..\\..")
@example("x" * 300 + ".gz", "")
def test_a_safe_name_never_leaves_the_folder(name: str, fallback: str) -> None:
    safe = safe_name(name, fallback)
    assert safe not in ("", ".", "..")
    assert not set(safe) & {"/", "\\", "\0", "\n"}
    assert os.path.dirname(os.path.normpath(os.path.join("/folder", safe))) == "/folder"
    assert len(os.fsencode(safe + REWRITTEN_SUFFIX)) <= 255
    assert len(os.fsencode(list(zip(range(9999), numbered(safe), strict=False))[-1][1])) <= 255
    assert not safe.endswith((".", " "))


@given(hostile)
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    safe = safe_name(name, "")
    assert safe_name(safe, "other") == safe


@given(hostile)
def test_a_proposed_name_is_safe_and_never_hidden(name: str) -> None:
    proposed = proposed_name(name, "")
    assert not proposed.startswith(".")
    assert safe_name(proposed, "other") == proposed


@pytest.mark.parametrize(
    ("outside", "safe"),
    [
        ("song.mp3", "song.mp3"),
        ("Die Ärzte, Männer.flac", "Die Ärzte, Männer.flac"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("@@abc\\Music\\Artist\\01 Song.flac", "01 Song.flac"),
        ("C:\\autoexec.bat", "autoexec.bat"),
        ("C:autoexec.bat", "autoexec.bat"),
        ("folder/", "folder"),
        ("a/..", "a"),
        ("..", "fallback.bin"),
        ("...", "fallback.bin"),
        ("", "fallback.bin"),
        ("  ", "fallback.bin"),
        ("\0\n", "fallback.bin"),
        ("a\0b\nc", "abc"),
        ("name. . .", "name"),
        (".hidden", ".hidden"),
        ("con", "_con"),
        ("COM1.txt", "_COM1.txt"),
        ("aux .txt", "_aux .txt"),
        ("console.txt", "console.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("ab:c?.txt", "ab:c?.txt"),
    ],
)
def test_names_become_what_people_expect(outside: str, safe: str) -> None:
    assert safe_name(outside, "fallback.bin") == safe


def test_the_last_resort_is_a_name_too() -> None:
    assert safe_name("..", "../..") == "download"


def test_a_name_too_long_keeps_its_extension_and_whole_characters() -> None:
    safe = safe_name("語" * 200 + ".tar.gz", "")
    assert safe.endswith("語.tar.gz")
    assert NAME_BYTES_MAX - 3 < len(safe.encode()) <= NAME_BYTES_MAX


def test_a_server_cannot_plant_a_hidden_file() -> None:
    assert proposed_name("../.profile", "x") == "profile"
    assert proposed_name("...", ".bashrc") == "bashrc"


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("a.txt", "a (1).txt"),
        ("a.tar.gz", "a (1).tar.gz"),
        ("a", "a (1)"),
        (".hidden", ".hidden (1)"),
        ("Mr. Big - Long title", "Mr. Big - Long title (1)"),
        ("v1.2.iso", "v1.2 (1).iso"),
    ],
)
def test_the_second_of_a_name_keeps_the_extension(name: str, second: str) -> None:
    assert list(islice(numbered(name), 2)) == [name, second]
