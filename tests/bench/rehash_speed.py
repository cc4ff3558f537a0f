"""How fast a resume looks at what is there: ``python -m tests.bench.rehash_speed [--mib 1024] [--runs 5]``.

A part file with whole records is opened; the figure is its size over the seconds of `matching`, the page cache warm.
The claim is 1.5 GB/s. `--cold` drops the file from the page cache first: then it is the disk that is measured.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from storage.chunk_index import ChunkIndex
from storage.digests import digests_of
from storage.layout import Layout
from storage.rehash import THREADS, matching

CHUNK_BYTES = 128 << 10
PIECE_BYTES = 8 << 20


def made(path: Path, size_bytes: int) -> tuple[Layout, ChunkIndex]:
    """A file of chance and the ledger that is true of it."""
    layout = Layout(size_bytes, CHUNK_BYTES)
    ledger = ChunkIndex(layout.chunk_count)
    with path.open("wb") as file:
        for first in range(0, layout.chunk_count, PIECE_BYTES // CHUNK_BYTES):
            stop = min(first + PIECE_BYTES // CHUNK_BYTES, layout.chunk_count)
            piece = os.urandom(layout.length_bytes(first, stop))
            file.write(piece)
            ledger.put(first, digests_of(memoryview(piece), len(piece), CHUNK_BYTES), 1)
        file.flush()
        os.fsync(file.fileno())
    return layout, ledger


def measured(path: Path, layout: Layout, ledger: ChunkIndex, *, cold: bool) -> float:
    """Bytes a second of one look; every chunk must hold."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if cold:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        begun_s = time.perf_counter()
        good = matching(fd, layout, ledger)
        took_s = time.perf_counter() - begun_s
    finally:
        os.close(fd)
    assert good.count == layout.chunk_count
    return layout.size_bytes / took_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rehash_speed")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--cold", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rehash-", dir=asked.folder) as folder:
        path = Path(folder, "file.bin")
        layout, ledger = made(path, asked.mib << 20)
        rates = [measured(path, layout, ledger, cold=asked.cold) for _ in range(asked.runs)]
    shown = " ".join(f"{rate / 1e9:.2f}" for rate in rates)
    sys.stdout.write(
        f"{asked.mib} MiB, {THREADS} threads: {statistics.median(rates) / 1e9:.2f} GB/s median ({shown})\n"
    )


if __name__ == "__main__":
    main()
