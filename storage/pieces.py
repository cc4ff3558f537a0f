"""Piece hashes of an open part file: which pieces are complete, under check and found right.

Piece *n* is the bytes ``[n * piece_bytes, (n + 1) * piece_bytes)``. Pieces and chunks need not be aligned: a piece can
be checked when all chunks that it touches are stored, and a chunk is proven when all pieces that it touches are right.
The list of digests lies in a file, since it may be longer than a message (`PieceHashes` in the job's specification).
"""

import os
from array import array
from collections.abc import Callable
from typing import Final

from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.job_spec import PieceHashes
from protocol.model.limits import HEX_DIGITS
from storage.digests import range_digest
from storage.layout import Layout

_OPEN: Final = 0
_PENDING: Final = 1
_GOOD: Final = 2


class BadPieceList(Exception):  # noqa: N818
    """The list of piece digests cannot be read, or is not that of a file of this size. One line for people."""


class PieceCheck:
    """Check of one piece, to be run in any thread. `number`: of the piece, `serial`: of this check of it."""

    __slots__ = ("_algorithm", "_fd", "_start", "_stop", "_wanted", "number", "serial")

    def __init__(self, number: int, serial: int, fd: int, span: tuple[int, int], algorithm: str, wanted: bytes) -> None:
        self.number = number
        self.serial = serial
        self._fd = fd
        self._start, self._stop = span
        self._algorithm = algorithm
        self._wanted = wanted

    def __call__(self) -> bool:
        """Return whether the bytes have the digest. Raises OSError."""
        return range_digest(self._fd, self._start, self._stop, self._algorithm) == self._wanted


class Pieces:
    """State of the pieces of one part file. Owned by one thread, which starts the checks and takes their results.

    `fd` is a descriptor of its own, closed by the owner after the last check.
    """

    def __init__(self, hashes: PieceHashes, layout: Layout, fd: int) -> None:
        self.fd = fd
        self._hashes = hashes
        self._layout = layout
        self._width = HEX_DIGITS[hashes.algorithm] // 2
        self._count = -(-layout.size_bytes // hashes.piece_bytes)
        try:
            with open(hashes.piece_file, "rb") as file:
                self._digests = file.read(self._count * self._width + 1)
        except OSError as error:
            raise BadPieceList(f"the list of piece hashes cannot be read: {error.strerror}") from None
        if len(self._digests) != self._count * self._width:
            raise BadPieceList(f"the list of piece hashes is not that of {layout.size_bytes} bytes")
        self._state = bytearray(self._count)
        self._serials = array("I", bytes(4 * self._count))

    def due(self, first: int, stop: int, has_all: Callable[[int, int], bool]) -> list[PieceCheck]:
        """Return the checks that can begin now that chunks ``[first, stop)`` are stored.

        `has_all`: whether all chunks of a range are.
        """
        size, hashes = self._layout.chunk_size, self._hashes
        begin = first * size // hashes.piece_bytes
        end = min(self._count, -(-self._layout.end_bytes(stop) // hashes.piece_bytes))
        found = []
        for number in range(begin, end):
            if self._state[number] == _OPEN and has_all(*self.chunks_of(number)):
                self._state[number] = _PENDING
                span = (number * hashes.piece_bytes, min((number + 1) * hashes.piece_bytes, self._layout.size_bytes))
                wanted = self._digests[number * self._width : (number + 1) * self._width]
                found.append(PieceCheck(number, self._serials[number], self.fd, span, hashes.algorithm, wanted))
        return found

    def take(self, number: int, serial: int, *, good: bool) -> RangeSet | None:
        """Take a result; return the chunks that are proven by it, or, when it is bad, all that the piece touches.

        None: chunks of the piece were dropped meanwhile, so that it says nothing.
        """
        if self._serials[number] != serial or self._state[number] != _PENDING:
            return None
        self._state[number] = _GOOD if good else _OPEN
        first, stop = self.chunks_of(number)
        if not good:
            self._serials[number] += 1
            return RangeSet([(first, stop)])
        proven = RangeSet()
        while first < stop and not self._all_good(first):
            first += 1
        while first < stop and not self._all_good(stop - 1):
            stop -= 1
        if first < stop:
            proven.add(first, stop)
        return proven

    def forget(self, first: int, stop: int) -> None:
        """Chunks ``[first, stop)`` are missing again: the pieces that they touch are to be checked once more."""
        size, piece = self._layout.chunk_size, self._hashes.piece_bytes
        for number in range(first * size // piece, min(self._count, -(-self._layout.end_bytes(stop) // piece))):
            self._state[number] = _OPEN
            self._serials[number] += 1

    def chunks_of(self, number: int) -> ChunkRange:
        """Return the chunks that a piece touches."""
        size, piece = self._layout.chunk_size, self._hashes.piece_bytes
        end = min((number + 1) * piece, self._layout.size_bytes)
        return number * piece // size, -(-end // size)

    def _all_good(self, chunk: int) -> bool:
        size, piece = self._layout.chunk_size, self._hashes.piece_bytes
        begin, end = chunk * size // piece, -(-min((chunk + 1) * size, self._layout.size_bytes) // piece)
        return all(self._state[number] == _GOOD for number in range(begin, end))


def write_pieces(path: str, digests: bytes) -> None:
    """Write a list of piece digests, raw, one after another, readable by its owner alone. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(digests)
