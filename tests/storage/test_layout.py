"""Sizes, counts and lengths of chunks, at their edges."""

import pytest

from storage.chunk_index import ChunkIndex
from storage.layout import CHUNKS_MAX, UNKNOWN, Layout


@pytest.mark.parametrize(("size", "chunk"), [(10, 0), (-2, 16), (0, -1), (-2, 0)])
def test_what_is_no_layout_is_refused(size: int, chunk: int) -> None:
    with pytest.raises(ValueError, match="no layout"):
        Layout(size, chunk)


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (15, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_the_last_chunk_may_be_short(size: int, count: int) -> None:
    layout = Layout(size, 16)
    assert layout.known
    assert layout.chunk_count == count
    assert layout.end_bytes(count) == size
    assert sum(layout.length_bytes(chunk, chunk + 1) for chunk in range(count)) == size


def test_a_file_of_unknown_size_has_no_count_and_whole_chunks() -> None:
    layout = Layout(UNKNOWN, 16)
    assert (layout.known, layout.chunk_count) == (False, 0)
    assert (layout.end_bytes(3), layout.length_bytes(1, 3)) == (48, 32)
    assert (layout.stop_of(2, 1), layout.stop_of(2, 16), layout.stop_of(2, 17)) == (3, 3, 4)


@pytest.mark.parametrize(("first", "length", "stop"), [(0, 16, 1), (0, 40, 3), (1, 24, 3), (2, 8, 3), (0, 32, 2)])
def test_bytes_that_fill_chunks_exactly_end_where_these_end(first: int, length: int, stop: int) -> None:
    assert Layout(40, 16).stop_of(first, length) == stop


@pytest.mark.parametrize(
    ("first", "length"),
    [(0, 15), (0, 17), (2, 7), (2, 9), (2, 16), (3, 1), (3, 16), (0, 0), (0, -1), (-1, 16), (0, 41)],
)
def test_bytes_that_do_not_are_refused(first: int, length: int) -> None:
    with pytest.raises(ValueError, match="chunk"):
        Layout(40, 16).stop_of(first, length)


def test_files_may_be_as_large_as_is_promised() -> None:
    assert CHUNKS_MAX * (128 << 10) == 4 << 40


def test_no_chunk_lies_beyond_the_most_there_may_be() -> None:
    layout = Layout(UNKNOWN, 16)
    assert layout.stop_of(CHUNKS_MAX - 1, 16) == CHUNKS_MAX
    with pytest.raises(ValueError, match="no chunks"):
        layout.stop_of(CHUNKS_MAX, 1)


def test_an_index_grows_keeps_what_it_has_and_is_right_at_its_edges() -> None:
    index = ChunkIndex(2)
    index.put(0, b"a" * 16, 7)
    for stop in (2, 3, 100):
        index.reserve(stop)
        assert index.has(0)
        assert not index.has(1)
    assert not index.has(10_000)
    index.put(5, b"b" * 16 + b"c" * 16, 8)
    index.put(7, b"d" * 16, 9)
    assert list(index.ranges()) == [(0, 1), (5, 8)]
    assert list(index.claims()) == [(0, 1, 7), (5, 7, 8), (7, 8, 9)]
    assert [index.digest(chunk) for chunk in (0, 5, 6, 7)] == [letter * 16 for letter in (b"a", b"b", b"c", b"d")]
    assert [index.has_any(*edges) for edges in ((1, 5), (1, 6), (7, 9), (8, 100), (5, 5))] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert (index.has_all(1), index.has_all(2), ChunkIndex(3).has_all(0)) == (True, False, True)
    index.drop([(5, 7)])
    assert list(index.ranges()) == [(0, 1), (7, 8)]


def test_an_index_that_is_full_to_its_end_has_all() -> None:
    index = ChunkIndex(3)
    index.put(0, bytes(range(48)), 1)
    assert index.has_all(3)
    assert not index.has_all(4)
    assert list(index.ranges()) == [(0, 3)]
