"""The chunk map: every chunk once, in order, with the source that has it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from protocol.http_api.native.serializers import UNKNOWN, Owned, chunk_map

LETTERS = "abcdefgh"


def runs_of(drawing: str) -> list[Owned]:
    """``aa.b`` as runs of sources 0 and 1; ``?`` is no one who is known."""
    owner = {**{letter: number for number, letter in enumerate(LETTERS)}, "?": UNKNOWN}
    return [(at, at + 1, owner[mark]) for at, mark in enumerate(drawing) if mark != "."]


def drawn(stored: str, leased: str) -> str:
    """Stored in capitals, leased in small letters, missing as dots."""
    assert len(stored) == len(leased)
    text = ""
    for first, length, state, source in chunk_map(runs_of(stored), runs_of(leased), len(stored)):
        assert first == len(text)
        letter = LETTERS[source] if source != UNKNOWN else "?"
        text += {"missing": ".", "leased": letter, "stored": letter.upper()}[state] * length
    return text


def test_what_is_stored_hides_what_is_leased() -> None:
    assert drawn("aab...b.", ".......c") == "AAB...Bc"
    assert drawn("..aa....", ".bbbbb..") == ".bAAbb.."
    assert drawn("????", "aaaa") == "????"
    assert drawn("....", "....") == "...."


def test_of_a_duel_the_lease_that_begins_first_is_shown() -> None:
    assert [run[2:] for run in chunk_map([], [(2, 6, 1), (0, 6, 0)], 6)] == [("leased", 0)]


def test_neighbours_that_are_alike_are_one_run() -> None:
    assert chunk_map([(0, 1, 3), (1, 4, 3), (4, 5, 2)], [], 5) == [(0, 4, "stored", 3), (4, 1, "stored", 2)]


def test_a_chunk_that_two_are_said_to_have_sent_is_shown_once() -> None:
    assert chunk_map([(0, 5, 0), (1, 3, 1)], [(0, 7, 2)], 7) == [(0, 5, "stored", 0), (5, 2, "leased", 2)]


def test_what_lies_beyond_the_file_is_cut_off() -> None:
    assert chunk_map([(3, 900, 0)], [(0, 900, 1)], 5) == [(0, 3, "leased", 1), (3, 2, "stored", 0)]
    assert chunk_map([(0, 5, 0)], [], 0) == []


boards = st.integers(0, 40).flatmap(
    lambda size: st.tuples(
        st.text(LETTERS + "?.", min_size=size, max_size=size), st.text(LETTERS + ".", min_size=size, max_size=size)
    )
)


@given(boards)
def test_every_chunk_is_shown_once_as_it_is(board: tuple[str, str]) -> None:
    stored, leased = board
    expected = "".join(have.upper() if have != "." else want for have, want in zip(stored, leased, strict=True))
    assert drawn(stored, leased) == expected
    runs = chunk_map(runs_of(stored), runs_of(leased), len(stored))
    assert all(one[2:] != two[2:] for one, two in itertools.pairwise(runs))
