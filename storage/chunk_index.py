"""In-memory index of a file's chunks: presence, digest and sender of each.

Owned by one thread. 21 bytes a chunk whatever the order of arrival, so a file of a million chunks costs 21 MB
and a look at a range of chunks is one scan in C.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from protocol.model.chunk_ranges import ChunkRange, RangeSet

DIGEST_BYTES: Final = 16
NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""Digest of a chunk that could not be read; no record may claim it."""


class ChunkIndex:
    """Presence, digest (16 bytes) and source hash by chunk number.

    Invariant: `digests` and `sources` mean something exactly where the chunk is present.
    """

    __slots__ = ("_present", "digests", "sources")

    def __init__(self, chunk_count: int = 0) -> None:
        self._present = bytearray(chunk_count)
        self.digests = bytearray(DIGEST_BYTES * chunk_count)
        self.sources = array("I", bytes(array("I").itemsize * chunk_count))

    def reserve(self, stop: int) -> None:
        """Make room for chunks before `stop`; doubling, so growing chunk by chunk stays cheap."""
        have = len(self._present)
        if stop <= have:
            return
        more = max(stop, 2 * have) - have
        self._present.extend(bytes(more))
        self.digests.extend(bytes(DIGEST_BYTES * more))
        self.sources.frombytes(bytes(self.sources.itemsize * more))

    def put(self, first: int, digests: bytes, source_hash: int) -> None:
        """Add consecutive chunks, 16 bytes of digest each. Room must be reserved."""
        count = len(digests) // DIGEST_BYTES
        self._present[first : first + count] = b"\1" * count
        self.digests[DIGEST_BYTES * first : DIGEST_BYTES * (first + count)] = digests
        self.sources[first : first + count] = array("I", (source_hash,)) * count

    def drop(self, ranges: Iterable[ChunkRange]) -> None:
        for first, stop in ranges:
            self._present[first:stop] = bytes(stop - first)

    def has(self, chunk: int) -> bool:
        return chunk < len(self._present) and self._present[chunk] == 1

    def has_any(self, first: int, stop: int) -> bool:
        return self._present.find(1, first, stop) >= 0

    def has_all(self, count: int) -> bool:
        return len(self._present) >= count and self._present.find(0, 0, count) < 0

    def has_range(self, first: int, stop: int) -> bool:
        return len(self._present) >= stop and self._present.find(0, first, stop) < 0

    def digest(self, chunk: int) -> bytes:
        return bytes(self.digests[DIGEST_BYTES * chunk : DIGEST_BYTES * (chunk + 1)])

    def claims(self) -> Iterator[tuple[int, int, int]]:
        """Yield ``(first, stop, source hash)`` of the present chunks, in order; neighbours differ."""
        for first, stop in self.ranges():
            at = first
            for source, same in groupby(self.sources[first:stop]):
                begin, at = at, at + sum(1 for _ in same)
                yield begin, at, source

    def ranges_of(self, first: int, stop: int, source_hash: int) -> list[ChunkRange]:
        """Return the present chunks of ``[first, stop)`` that this source sent (-1: any)."""
        wanted = RangeSet(
            (chunk, chunk + 1)
            for chunk in range(first, min(stop, len(self._present)))
            if self._present[chunk] and source_hash in (-1, self.sources[chunk])
        )
        return list(wanted)

    def ranges(self) -> RangeSet:
        """Return the present chunks."""
        found = RangeSet()
        at = self._present.find(1)
        while at >= 0:
            stop = self._present.find(0, at)
            stop = len(self._present) if stop < 0 else stop
            found.add(at, stop)
            at = self._present.find(1, stop)
        return found
