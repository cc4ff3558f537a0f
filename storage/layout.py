"""Chunk layout of a file: arithmetic of sizes, counts and lengths, and the names of its companion files."""

from typing import Final

from protocol.model.filenames import NAME_BYTES_MAX
from protocol.model.value import Struct

UNKNOWN: Final = -1
"""Size of a file whose size is not known."""

CHUNKS_MAX: Final = 1 << 25
"""Most chunks of one file. 21 bytes of memory each; 4 TiB in chunks of 128 KiB, 32 TiB in chunks of 1 MiB."""


class Layout(Struct, frozen=True):
    """File of `size_bytes` (`UNKNOWN` allowed) in chunks of `chunk_size` bytes; the last one may be shorter."""

    size_bytes: int
    chunk_size: int

    def __post_init__(self) -> None:
        if self.chunk_size < 1 or self.size_bytes < UNKNOWN:
            raise ValueError(f"no layout: {self.size_bytes} bytes in chunks of {self.chunk_size}")

    @property
    def known(self) -> bool:
        return self.size_bytes != UNKNOWN

    @property
    def chunk_count(self) -> int:
        """Number of chunks of the file; 0 while the size is unknown."""
        return -(-self.size_bytes // self.chunk_size) if self.known else 0

    def end_bytes(self, stop: int) -> int:
        """Return the offset in the file where the range that ends before chunk `stop` ends."""
        end = stop * self.chunk_size
        return min(end, self.size_bytes) if self.known else end

    def length_bytes(self, first: int, stop: int) -> int:
        return self.end_bytes(stop) - first * self.chunk_size

    def stop_of(self, first: int, length_bytes: int) -> int:
        """Return the end of the range from `first` that `length_bytes` bytes fill exactly; ValueError if they do not.

        While the size is unknown any length is valid: a short chunk is the end of the file.
        """
        stop = first + -(-length_bytes // self.chunk_size)
        if first < 0 or length_bytes < 1 or stop > CHUNKS_MAX:
            raise ValueError(f"no chunks: {length_bytes} bytes from chunk {first}")
        if self.known and (stop > self.chunk_count or length_bytes != self.length_bytes(first, stop)):
            raise ValueError(f"{length_bytes} bytes from chunk {first} do not fill chunks of {self}")
        return stop


PART_SUFFIX: Final = ".part"
RECORDS_SUFFIX: Final = ".part.records"
REWRITTEN_SUFFIX: Final = ".part.records.new"
"""A journal being rewritten; renamed over the old one when complete."""

assert NAME_BYTES_MAX + len(REWRITTEN_SUFFIX) <= 255  # " (1)" up to " (9999)" is shorter than that suffix
