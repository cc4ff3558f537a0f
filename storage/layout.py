"""How a file falls into chunks: the only arithmetic of sizes, counts and lengths in this room."""

import os
from dataclasses import dataclass
from typing import Final

from protocol.model.filenames import NAME_BYTES_MAX, numbered, proposed_name, safe_name, unhidden_name

UNKNOWN: Final = -1
"""The size of a file nobody has announced."""

CHUNKS_MAX: Final = 1 << 25
"""Chunks of one file. 21 bytes of memory each; 4 TiB in chunks of 128 KiB, 32 TiB in chunks of 1 MiB."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A file of `size_bytes` (`UNKNOWN` allowed) in chunks of `chunk_size` bytes, the last one may be shorter."""

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
        """Chunks of the whole file; 0 while the size is unknown."""
        return -(-self.size_bytes // self.chunk_size) if self.known else 0

    def end_bytes(self, stop: int) -> int:
        """Where the run that ends before chunk `stop` ends in the file."""
        end = stop * self.chunk_size
        return min(end, self.size_bytes) if self.known else end

    def length_bytes(self, first: int, stop: int) -> int:
        return self.end_bytes(stop) - first * self.chunk_size

    def stop_of(self, first: int, length_bytes: int) -> int:
        """The run from `first` that `length_bytes` bytes fill exactly; ValueError when they do not.

        While the size is unknown any length will do: what is short is the end of the file.
        """
        stop = first + -(-length_bytes // self.chunk_size)
        if first < 0 or length_bytes < 1 or stop > CHUNKS_MAX:
            raise ValueError(f"no chunks: {length_bytes} bytes from chunk {first}")
        if self.known and (stop > self.chunk_count or length_bytes != self.length_bytes(first, stop)):
            raise ValueError(f"{length_bytes} bytes from chunk {first} do not fill chunks of {self}")
        return stop


# Names of the files that belong to a target, all in one folder. What makes a name safe is in
# `protocol.model.filenames`.

__all__ = [
    "NAME_BYTES_MAX",
    "PART_SUFFIX",
    "RECORDS_SUFFIX",
    "RENEWED_SUFFIX",
    "free_name",
    "numbered",
    "proposed_name",
    "safe_name",
    "unhidden_name",
]

PART_SUFFIX: Final = ".part"
RECORDS_SUFFIX: Final = ".part.records"
RENEWED_SUFFIX: Final = ".part.records.new"
"""Records being rewritten; renamed over the old ones when complete."""

assert NAME_BYTES_MAX + len(RENEWED_SUFFIX) <= 255
# " (1)" up to " (9999)" is shorter than that suffix.


def free_name(folder: str, name: str) -> str:
    """The first of `numbered` that nothing in the folder has now; FileExistsError when all are taken.

    Somebody may take it a moment later: whoever creates the file must still do it without overwriting.
    """
    for candidate in numbered(name):
        if not os.path.lexists(os.path.join(folder, candidate)):
            return candidate
    raise FileExistsError(f"{name}: every name up to (9999) is taken in {folder}")
