"""Deterministic file content from a seed: both ends know each byte without sending it twice."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

BLOCK_BYTES = 1 << 20
# Odd, so block k begins k times this far into the same random block and no two blocks within 1 TiB are equal;
# nor are two equally aligned chunks of 1 KiB or more within 1 GiB: a chunk in the wrong place never goes unnoticed.
ROTATION_BYTES = 613_651


@dataclass(frozen=True)
class Content:
    """Drawn content: `size` bytes that follow from `seed`. Two seeds, or two places in one, never look alike."""

    size: int
    seed: int = 1

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the whole, computed when first asked for."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self) -> Iterator[memoryview]:
        """The whole in order, in pieces of at most BLOCK_BYTES; each view is good until the process ends."""
        base = random.Random(self.seed).randbytes(BLOCK_BYTES)
        doubled = memoryview(base + base)
        for index in range(-(-self.size // BLOCK_BYTES)):
            turn = index * ROTATION_BYTES % BLOCK_BYTES
            yield doubled[turn : turn + min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)]

    def whole(self) -> bytes:
        """All of it in memory: for small contents in tests."""
        return b"".join(self.blocks())

    def write_to(self, file: IO[bytes]) -> None:
        """Write the whole at the file's position and flush it to the kernel."""
        for block in self.blocks():
            file.write(block)
        file.flush()

    def matches(self, path: Path) -> bool:
        """Compare a file byte by byte; False too when it is missing or has another size."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return all(file.read(len(block)) == block for block in self.blocks())
