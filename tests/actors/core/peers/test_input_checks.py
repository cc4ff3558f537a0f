"""Sizes and names that peers send."""

import pytest

from actors.core.peers.input_checks import is_possible_file, is_possible_peer, printable, true_size
from protocol.model.source_url import URL_BYTES_MAX


@pytest.mark.parametrize("size", [0, 1, (1 << 31) - 1, 1 << 31, 3 << 30, (1 << 32) - 1, 1 << 32, 5 << 40])
def test_an_honest_size_is_what_it_says(size: int) -> None:
    assert true_size(size) == size


@pytest.mark.parametrize("size", [1 << 31, 3 << 30, (1 << 32) - 1])
def test_a_size_between_2_and_4_gib_may_come_sign_extended(size: int) -> None:
    extended = size | 0xFFFF_FFFF_0000_0000
    assert true_size(extended) == size
    assert not is_possible_file("ann", "m\\song.flac", extended)
    assert is_possible_file("ann", "m\\song.flac", true_size(extended))


@pytest.mark.parametrize(
    ("name", "possible"), [("", False), ("a", True), ("a" * 30, True), ("a" * 31, False), ("a\n", False), ("ä b", True)]
)
def test_a_user_has_a_printable_name_of_at_most_thirty_characters(name: str, *, possible: bool) -> None:
    assert is_possible_peer(name) == possible
    assert is_possible_file(name, "m\\song.flac", 1) == possible


@pytest.mark.parametrize(
    ("path", "size", "possible"),
    [
        ("m\\song.flac", 1, True),
        ("m\\song.flac", 0, False),
        ("m\\song.flac", 1 << 50, True),
        ("m\\song.flac", (1 << 50) + 1, False),
        ("m/song.flac", 1, True),
        ("song.flac", 1, True),
        ("m\\..\\song.flac", 1, False),
        ("m\\..song.flac", 1, True),
        ("m\\", 1, False),
        ("m\\. .", 1, False),
        ("m\\a\u200eb", 1, True),  # a mark of writing direction
        ("m\\a\x00b", 1, False),
        ("m\\a\x85b", 1, False),
        ("m\\a\udc80b", 1, False),
        ("m\\" + "a" * URL_BYTES_MAX, 1, False),
        ("m\\" + "\u00e4" * (URL_BYTES_MAX // 6), 1, False),  # six bytes each in an address
    ],
)
def test_a_file_has_a_name_that_can_be_asked_for_and_a_size(path: str, size: int, *, possible: bool) -> None:
    assert is_possible_file("ann", path, size) == possible


@pytest.mark.parametrize(
    ("code", "possible"),
    [(0xD7FF, True), (0xD800, False), (0xDFFF, False), (0xE000, True), (0x9F, False), (0xA0, True)],
)
def test_a_name_holds_no_half_of_a_character_and_no_control(code: int, *, possible: bool) -> None:
    assert is_possible_file("ann", f"m\\a{chr(code)}b", 1) == possible


def test_text_of_peers_is_shortened_and_shown_without_what_terminals_obey() -> None:
    assert printable("a\x1b[31mb") == "a\ufffd[31mb"
    assert printable("abc", 2) == "ab"
    assert len(printable("a" * 999)) == 200
