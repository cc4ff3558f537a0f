"""Sizes and names that peers send."""

import pytest

from actors.core.peers.input_checks import is_possible_file, true_size


@pytest.mark.parametrize("size", [0, 1, (1 << 31) - 1, 1 << 31, 3 << 30, (1 << 32) - 1, 1 << 32, 5 << 40])
def test_an_honest_size_is_what_it_says(size: int) -> None:
    assert true_size(size) == size


@pytest.mark.parametrize("size", [1 << 31, 3 << 30, (1 << 32) - 1])
def test_a_size_between_2_and_4_gib_may_come_sign_extended(size: int) -> None:
    extended = size | 0xFFFF_FFFF_0000_0000
    assert true_size(extended) == size
    assert not is_possible_file("ann", "m\\song.flac", extended)
    assert is_possible_file("ann", "m\\song.flac", true_size(extended))
