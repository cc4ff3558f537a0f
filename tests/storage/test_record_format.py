"""Format of the records on disk, byte by byte as it is documented, and the chunk index against a plain model."""

import struct
from itertools import pairwise
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from storage.chunk_index import ChunkIndex
from storage.chunk_journal import JournalContents, packed_record, read_journal
from tests.storage.parts import NAME, content, opened, put

ID = bytes(range(16))
SEED = int.from_bytes(ID[:8], "little")
ONE, TWO = bytes(range(16)), bytes(range(16, 32))
CHUNK = 4096


def header(size: int, *, flags: int = 0, version: int = 1, chunk_size: int = CHUNK, magic: str = "SHOALREC") -> bytes:
    body = struct.pack("<8sHHIq16s", magic.encode(), version, flags, chunk_size, size, ID)
    return (body + xxhash.xxh3_128_digest(body)).ljust(64, b"\0")


def record(chunk: int, length: int, digest: bytes = ONE, source: int = 7) -> bytes:
    body = struct.pack("<II16sI", chunk, length, digest, source)
    return body + struct.pack("<I", xxhash.xxh3_64_intdigest(body, SEED) & 0xFFFFFFFF)


def read(tmp_path: Path, *records: bytes, head: bytes = b"") -> JournalContents:
    path = tmp_path / "f.part.records"
    path.write_bytes((head or 2 * header(3 * CHUNK + 5)) + b"".join(records))
    with path.open("rb") as file:
        return read_journal(file.fileno(), str(path))


def claims(contents: JournalContents) -> list[tuple[int, int, int]]:
    return list(contents.index.claims())


def test_a_record_is_packed_as_documented() -> None:
    assert packed_record(3, 99, TWO, 8, SEED) == record(3, 99, TWO, 8)


def test_chunks_notes_repeats_and_verdicts_are_read_as_documented(tmp_path: Path) -> None:
    contents = read(
        tmp_path,
        record(0, CHUNK, ONE, 7),
        record(3, 5, TWO, 8),
        record(0, 0, TWO, 9),
        record(0, 0xFFFFFFFF, ONE, 8),
        record(1, 0xFFFFFFFE, b"another content.", 5),
        record(1, 0xFFFFFFFE, b"another content.", 6),
        record(0, 0xFFFFFFFE, b"another content.", 6),
    )
    assert claims(contents) == [(0, 1, 7), (3, 4, 8)]
    assert (contents.index.digest(0), contents.index.digest(3)) == (ONE, TWO)
    assert (contents.notes, contents.excluded, contents.repeated) == ({9: TWO}, {5}, {(0, 8): ONE})
    assert (contents.end_bytes, contents.damaged_records) == (3 * CHUNK + 5, 0)
    assert contents.evidence(contents.index).repeats == {0: {8}}
    assert (contents.intact, contents.newer, contents.ours) == (True, False, True)


def test_a_chunk_is_taken_back_by_a_record_without_a_digest_also_before_it_came(tmp_path: Path) -> None:
    gone = [record(chunk, CHUNK, bytes(16)) for chunk in (0, 2)]
    contents = read(tmp_path, *gone, record(1, CHUNK), record(2, CHUNK), record(1, CHUNK, bytes(16)))
    assert claims(contents) == [(2, 3, 7)]
    growing = read(tmp_path, gone[0], record(0, CHUNK), head=2 * header(-1))
    assert claims(growing) == [(0, 1, 7)]


@pytest.mark.parametrize(
    "wrong",
    [
        record(4, 5),
        record(3, 6),
        record(3, CHUNK),
        record(0, CHUNK - 1),
        record(0, CHUNK + 1),
        record(0, CHUNK)[:-1] + b"\0",
    ],
)
def test_a_record_that_cannot_be_of_this_file_is_counted_as_damaged(tmp_path: Path, wrong: bytes) -> None:
    contents = read(tmp_path, wrong, record(1, CHUNK))
    assert claims(contents) == [(1, 2, 7)]
    assert contents.damaged_records == 1


def test_while_the_size_is_unknown_any_chunk_may_be_short(tmp_path: Path) -> None:
    contents = read(tmp_path, record(0, CHUNK), record(5, 9), record(6, CHUNK + 1), head=2 * header(-1, flags=1))
    assert claims(contents) == [(0, 1, 7), (5, 6, 7)]
    assert (contents.end_bytes, contents.damaged_records) == (5 * CHUNK + 9, 1)
    assert contents.header is not None
    assert (contents.header.learned, contents.header.unmarked) == (True, False)


@pytest.mark.parametrize(
    ("head", "ours", "newer"),
    [
        (header(5, version=2), True, True),
        (header(5, magic="SHOALREX"), False, False),
        (header(5, chunk_size=0), True, False),
        (header(5, chunk_size=(64 << 20) + 1), True, False),
        (header(-2), True, False),
        (header(5)[:40] + b"x" + header(5)[41:], True, False),
    ],
)
def test_a_header_that_is_not_understood_hides_all(tmp_path: Path, head: bytes, *, ours: bool, newer: bool) -> None:
    contents = read(tmp_path, record(0, 5), head=2 * head)
    assert contents.header is None
    assert (contents.ours, contents.newer, claims(contents)) == (ours, newer, [])


@pytest.mark.parametrize("spoilt", [0, 1])
def test_one_copy_of_the_header_is_enough(tmp_path: Path, spoilt: int) -> None:
    copies = [header(5, flags=2), header(5, flags=2)]
    copies[spoilt] = bytes(64)
    contents = read(tmp_path, record(0, 5), head=b"".join(copies))
    assert claims(contents) == [(0, 1, 7)]
    assert contents.header is not None
    assert (contents.intact, contents.ours, contents.header.unmarked) == (False, True, True)


def test_what_is_written_is_the_documented_format(tmp_path: Path) -> None:
    data = content(3)
    part = opened(tmp_path, len(data)).part
    put(part, data, 0, 1)
    part.close()
    raw = (tmp_path / f"{NAME}.part.records").read_bytes()
    magic, version, _, chunk_size, size, seed = struct.unpack("<8sHHIq16s", raw[:40])
    assert (magic, version, size, raw[64:128]) == (b"SHOALREC", 1, 3, raw[:64])
    assert chunk_size > 0
    chunk, length, digest, _, check = struct.unpack("<II16sII", raw[128:160])
    assert (chunk, length, digest) == (0, 3, xxhash.xxh3_128_digest(data))
    assert check == xxhash.xxh3_64_intdigest(raw[128:156], int.from_bytes(seed[:8], "little")) & 0xFFFFFFFF


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop"]), st.integers(0, 40), st.integers(1, 6), st.integers(0, 2)), max_size=30
)


@given(steps=STEPS, first=st.integers(0, 50), length=st.integers(0, 50), source=st.integers(-1, 2))
def test_the_index_is_what_was_put_and_not_dropped(
    steps: list[tuple[str, int, int, int]], first: int, length: int, source: int
) -> None:
    index, model = ChunkIndex(), dict[int, tuple[bytes, int]]()
    for kind, at, count, sender in steps:
        stop = at + count
        index.reserve(stop)
        if kind == "put":
            digests = [bytes([sender, chunk]) * 8 for chunk in range(at, stop)]
            index.put(at, b"".join(digests), sender)
            model |= {chunk: (digest, sender) for chunk, digest in zip(range(at, stop), digests, strict=True)}
        else:
            index.drop([(at, stop)])
            model = {chunk: row for chunk, row in model.items() if not at <= chunk < stop}
    stop = first + length
    inside = range(first, stop)
    assert {chunk for begin, end in index.ranges() for chunk in range(begin, end)} == set(model)
    assert [index.has(chunk) for chunk in range(60)] == [chunk in model for chunk in range(60)]
    assert index.has_any(first, stop) == any(chunk in model for chunk in inside)
    assert not length or index.has_range(first, stop) == all(chunk in model for chunk in inside)
    assert index.has_all(first) == all(chunk in model for chunk in range(first))
    assert all(index.digest(chunk) == digest for chunk, (digest, _) in model.items())
    found = [chunk for begin, end in index.ranges_of(first, stop, source) for chunk in range(begin, end)]
    assert found == [chunk for chunk in inside if chunk in model and source in (-1, model[chunk][1])]
    claimed = [(chunk, sender) for begin, end, sender in index.claims() for chunk in range(begin, end)]
    assert claimed == [(chunk, model[chunk][1]) for chunk in sorted(model)]
    assert all(one[1] != other[0] or one[2] != other[2] for one, other in pairwise(index.claims()))
