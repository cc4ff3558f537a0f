"""What is stored, against plain models: an index of chunks beside a dictionary, chunks of another size beside bytes."""

import os
import random
from collections.abc import Iterator
from itertools import groupby, pairwise

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.chunk_index import DIGEST_BYTES, NO_DIGEST, ChunkIndex
from storage.layout import Layout
from storage.rehash import hashed_ranges, rechunked

OPS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6), st.sampled_from([-1, 3, 4])), max_size=12)


def digest(chunk: int, source: int) -> bytes:
    return bytes([chunk, source]) * (DIGEST_BYTES // 2)


def runs(chunks: list[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as ``(first, stop)``."""
    rows = [list(group) for _, group in groupby(enumerate(chunks), lambda each: each[1] - each[0])]
    return [(row[0][1], row[-1][1] + 1) for row in rows]


@given(OPS, st.integers(0, 8), st.integers(0, 40), st.integers(1, 9))
def test_an_index_is_what_a_dictionary_of_its_chunks_is(
    ops: list[tuple[int, int, int]], room: int, first: int, length: int
) -> None:
    """Source -1: its chunks are dropped."""
    index, plain = ChunkIndex(room), dict[int, int]()
    for at, count, source in ops:
        index.reserve(at + count)
        if source < 0:
            index.drop([(at, at + count)])
            plain = {chunk: each for chunk, each in plain.items() if not at <= chunk < at + count}
        else:
            index.put(at, b"".join(digest(chunk, source) for chunk in range(at, at + count)), source)
            plain.update(dict.fromkeys(range(at, at + count), source))
    stop, chunks = first + length, sorted(plain)
    assert [chunk for chunk in range(60) if index.has(chunk)] == chunks
    assert all(index.digest(chunk) == digest(chunk, source) for chunk, source in plain.items())
    assert index.has_any(first, stop) is any(chunk in plain for chunk in range(first, stop))
    assert index.has_range(first, stop) is all(chunk in plain for chunk in range(first, stop))
    assert index.has_all(length) is all(chunk in plain for chunk in range(length))
    assert list(index.ranges()) == runs(chunks)
    claims = list(index.claims())
    assert {chunk: source for begin, end, source in claims for chunk in range(begin, end)} == plain
    assert all(before[1] < after[0] or before[2] != after[2] for before, after in pairwise(claims))
    for source in (-1, 3):
        sent = [chunk for chunk in chunks if first <= chunk < stop and source in (-1, plain[chunk])]
        assert index.ranges_of(first, stop, source) == runs(sent)


@pytest.fixture(scope="module")
def bytes_of() -> Iterator[tuple[int, bytes]]:
    data = random.Random(1).randbytes(500)
    fd = os.memfd_create("rehash")
    os.write(fd, data)
    yield fd, data
    os.close(fd)


@given(
    st.integers(1, 500),
    st.integers(20, 99),
    st.integers(20, 99),
    st.sets(st.integers(0, 24)),
    st.sets(st.integers(0, 24)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_chunks_of_another_size_those_are_there_that_are_covered_whole(
    bytes_of: tuple[int, bytes], size: int, old_size: int, new_size: int, stored: set[int], of_another: set[int]
) -> None:
    """Of one source where all that covers them is that one's."""
    fd, data = bytes_of
    old, new, index = Layout(size, old_size), Layout(size, new_size), ChunkIndex(30)
    owners: list[int | None] = [None] * size
    for chunk in stored:
        if chunk < old.chunk_count:
            index.put(chunk, bytes(DIGEST_BYTES), 9 if chunk in of_another else 8)
            for at in range(chunk * old_size, min((chunk + 1) * old_size, size)):
                owners[at] = 9 if chunk in of_another else 8
    found = rechunked(fd, old, new, index)
    for chunk in range(new.chunk_count):
        begin, end = chunk * new_size, min((chunk + 1) * new_size, size)
        senders = set(owners[begin:end])
        assert found.has(chunk) is (None not in senders)
        if found.has(chunk):
            assert found.digest(chunk) == xxhash.xxh3_128_digest(data[begin:end])
            assert found.sources[chunk] == (senders.pop() if len(senders) == 1 else 0)


@given(st.integers(1, 700), st.integers(20, 99), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_that_cannot_be_read_have_no_digest(
    bytes_of: tuple[int, bytes], size: int, chunk_size: int, wanted: list[tuple[int, int]]
) -> None:
    """The file has 500 bytes, whatever its layout says."""
    fd, data = bytes_of
    layout = Layout(size, chunk_size)
    ranges = [(first, min(first + count, layout.chunk_count)) for first, count in wanted if first < layout.chunk_count]
    found = {
        first + at // DIGEST_BYTES: digests[at : at + DIGEST_BYTES]
        for first, digests in hashed_ranges(fd, layout, ranges)
        for at in range(0, len(digests), DIGEST_BYTES)
    }
    assert set(found) == {chunk for first, stop in ranges for chunk in range(first, stop)}
    for chunk, seen in found.items():
        begin, end = chunk * chunk_size, min((chunk + 1) * chunk_size, size)
        whole = data[begin:end] if end <= len(data) else None
        assert seen == (xxhash.xxh3_128_digest(whole) if whole else NO_DIGEST)
