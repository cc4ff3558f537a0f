"""Piece hashes of a part file: which are due, and what a result proves."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.job_spec import PieceHashes
from storage.layout import Layout
from storage.part_file import PartFile
from storage.pieces import BadPieceList, Pieces, write_pieces

CHUNK = 4096


def pieces_of(folder: Path, data: bytes, piece_bytes: int, *, chunk: int = CHUNK) -> Pieces:
    digests = b"".join(hashlib.sha1(data[at : at + piece_bytes]).digest() for at in range(0, len(data), piece_bytes))
    write_pieces(str(folder / "pieces"), digests)
    (folder / "data").write_bytes(data)
    fd = os.open(folder / "data", os.O_RDONLY)
    hashes = PieceHashes(piece_algorithm="sha1", piece_bytes=piece_bytes, piece_file=str(folder / "pieces"))
    return Pieces(hashes, Layout(len(data), chunk), fd)


def all_there(_first: int, _stop: int) -> bool:
    return True


@given(
    size=st.integers(1, 40_000),
    piece_bytes=st.integers(500, 20_000),
    chunk=st.sampled_from([512, 1024, 4096, 5000]),
    spoilt=st.integers(0, 39_999),
)
def test_every_chunk_but_those_of_the_bad_piece_is_proven(
    tmp_path_factory: pytest.TempPathFactory, size: int, piece_bytes: int, chunk: int, spoilt: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    data = os.urandom(size)
    pieces = pieces_of(folder, data, piece_bytes, chunk=chunk)
    at = spoilt % size
    with (folder / "data").open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    proven: set[int] = set()
    bad: set[int] = set()
    for check in pieces.due(0, -(-size // chunk), all_there):
        good = check()
        for first, stop in pieces.take(check.number, check.serial, good=good) or ():
            (proven if good else bad).update(range(first, stop))
    os.close(pieces.fd)
    start, stop = at // piece_bytes * piece_bytes, min((at // piece_bytes + 1) * piece_bytes, size)
    assert bad == set(range(start // chunk, -(-stop // chunk)))
    assert proven == set(range(-(-size // chunk))) - bad


def test_a_piece_is_due_once_and_when_all_of_it_is_there(tmp_path: Path) -> None:
    pieces = pieces_of(tmp_path, os.urandom(4 * CHUNK), 2 * CHUNK)
    there = {0}
    has_all = lambda first, stop: set(range(first, stop)) <= there  # noqa: E731
    assert not pieces.due(0, 1, has_all)
    there.add(1)
    (check,) = pieces.due(1, 2, has_all)
    assert not pieces.due(0, 2, has_all)
    assert check()
    os.close(pieces.fd)


def test_a_result_about_chunks_that_were_dropped_meanwhile_says_nothing(tmp_path: Path) -> None:
    pieces = pieces_of(tmp_path, os.urandom(4 * CHUNK), 2 * CHUNK)
    (check,) = pieces.due(0, 1, all_there)
    pieces.forget(1, 2)
    assert pieces.take(check.number, check.serial, good=check()) is None
    (again,) = pieces.due(0, 2, all_there)
    assert list(pieces.take(again.number, again.serial, good=again()) or ()) == [(0, 2)]
    os.close(pieces.fd)


@pytest.mark.parametrize("length", [0, 19, 21, 60])
def test_a_list_of_another_length_is_not_this_files(tmp_path: Path, length: int) -> None:
    write_pieces(str(tmp_path / "list"), bytes(length))
    hashes = PieceHashes(piece_algorithm="sha1", piece_bytes=2 * CHUNK, piece_file=str(tmp_path / "list"))
    with pytest.raises(BadPieceList, match="not that of 16384 bytes"):
        Pieces(hashes, Layout(4 * CHUNK, CHUNK), -1)
    gone = hashes.but(piece_file=str(tmp_path / "gone"))
    with pytest.raises(BadPieceList, match="cannot be read"):
        Pieces(gone, Layout(4 * CHUNK, CHUNK), -1)


def test_a_part_file_gives_its_pieces_a_descriptor_of_their_own(tmp_path: Path) -> None:
    data = os.urandom(2 * CHUNK)
    write_pieces(str(tmp_path / "list"), hashlib.sha1(data).digest())
    hashes = PieceHashes(piece_algorithm="sha1", piece_bytes=2 * CHUNK, piece_file=str(tmp_path / "list"))
    part = PartFile.open(str(tmp_path), "x", size_bytes=len(data), chunk_size=CHUNK).part
    pieces = part.pieces(hashes)
    part.close()
    assert not pieces.due(0, 2, lambda first, stop: False)
    os.close(pieces.fd)
    unknown = PartFile.open(str(tmp_path), "y", size_bytes=-1, chunk_size=CHUNK).part
    with pytest.raises(ValueError, match="unknown size"):
        unknown.pieces(hashes)
    unknown.close()
