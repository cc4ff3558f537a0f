"""Re-reading a part file: in parallel, because xxhash and reads let go of the GIL, and in bounded memory."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Final

from protocol.model.chunk_ranges import ChunkRange, RangeSet
from storage.chunk_index import DIGEST_BYTES, NO_DIGEST, ChunkIndex
from storage.digests import digests_of
from storage.layout import Layout

THREADS: Final = max(2, min(4, os.cpu_count() or 1))
_READ_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 8 << 20

Heard = Callable[[int, int], None]
"""``(bytes re-hashed so far, bytes to re-hash)``."""


def unheard(_done_bytes: int, _total_bytes: int) -> None:
    """For those who need not know how far it is."""


def holding(fd: int, layout: Layout, ledger: ChunkIndex, heard: Heard = unheard) -> RangeSet:
    """The chunks whose bytes match the ledger. Only claimed chunks are read; what cannot be read does not hold.

    `heard` is told as it goes on, piece by piece, in the caller's thread.
    """
    good, claimed = RangeSet(), ledger.runs()
    done_bytes, total_bytes = 0, sum(layout.length_bytes(*run) for run in claimed)
    for first, digests in hashed_runs(fd, layout, claimed):
        stop = first + len(digests) // DIGEST_BYTES
        done_bytes += layout.length_bytes(first, stop)
        heard(done_bytes, total_bytes)
        if ledger.digests[DIGEST_BYTES * first : DIGEST_BYTES * stop] == digests:
            good.add(first, stop)
            continue
        for at, chunk in enumerate(range(first, stop)):
            if ledger.digest(chunk) == digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]:
                good.add(chunk, chunk + 1)
    return good


def hashed_runs(fd: int, layout: Layout, runs: Iterable[ChunkRange]) -> Iterator[tuple[int, bytes]]:
    """``(first, digests)`` of pieces of the runs, in order. `NO_DIGEST` for a chunk that cannot be read."""
    pieces: Iterator[ChunkRange] = _pieces(runs, max(1, _PIECE_BYTES // layout.chunk_size))
    one = list(islice(pieces, 2))
    if len(one) < 2:  # a small file is hashed before a thread has started
        yield from ((run[0], _digests_at(fd, layout, run)) for run in one)
        return
    pieces = chain(one, pieces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="rehash") as pool:
        # A window at a time: a file of a million runs must not become a million waiting futures.
        while window := list(islice(pieces, 64)):
            yield from pool.map(lambda run: (run[0], _digests_at(fd, layout, run)), window)


def _pieces(runs: Iterable[ChunkRange], chunks_max: int) -> Iterator[ChunkRange]:
    for first, stop in runs:
        for at in range(first, stop, chunks_max):
            yield at, min(at + chunks_max, stop)


def _digests_at(fd: int, layout: Layout, run: ChunkRange) -> bytes:
    step = max(1, _READ_BYTES // layout.chunk_size)
    buffer = memoryview(bytearray(min(step, run[1] - run[0]) * layout.chunk_size))
    parts = []
    for first in range(run[0], run[1], step):
        stop = min(first + step, run[1])
        length = layout.length_bytes(first, stop)
        got = _read(fd, buffer[:length], first * layout.chunk_size)
        whole = got if got == length else got // layout.chunk_size * layout.chunk_size
        digests = digests_of(buffer, whole, layout.chunk_size)
        parts.append(digests.ljust((stop - first) * DIGEST_BYTES, NO_DIGEST[:1]))
    return b"".join(parts)


def _read(fd: int, buffer: memoryview, offset: int) -> int:
    got = 0
    while got < len(buffer):
        try:
            count = os.preadv(fd, [buffer[got:]], offset + got)
        except OSError:
            return got  # a bad sector: these chunks do not hold and are fetched again
        if count == 0:
            return got
        got += count
    return got


# Another chunk size than last time: carry over what was verified wherever it covers whole new chunks.


def carried_over(fd: int, old: Layout, new: Layout, verified: ChunkIndex) -> ChunkIndex:
    """The ledger in new chunks. `verified` holds old chunks whose bytes were just seen to match, nothing else.

    A new chunk made of chunks from several sources is nobody's in particular (source hash 0).
    """
    fresh = ChunkIndex(new.chunk_count)
    for first, digests in hashed_runs(fd, new, _whole_runs(old, new, verified.runs())):
        for at in range(len(digests) // DIGEST_BYTES):
            chunk = first + at
            digest = digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]
            if digest != NO_DIGEST:
                fresh.put(chunk, digest, _sender(old, new, verified, chunk))
    return fresh


def _whole_runs(old: Layout, new: Layout, runs: Iterable[ChunkRange]) -> Iterator[ChunkRange]:
    for first, stop in runs:
        end = old.end_bytes(stop)
        new_first = -(-first * old.chunk_size // new.chunk_size)
        new_stop = new.chunk_count if end == new.size_bytes else end // new.chunk_size
        if new_first < new_stop:
            yield new_first, new_stop


def _sender(old: Layout, new: Layout, verified: ChunkIndex, chunk: int) -> int:
    first = chunk * new.chunk_size // old.chunk_size
    stop = -(-new.end_bytes(chunk + 1) // old.chunk_size)
    senders = set(verified.sources[first:stop])
    return senders.pop() if len(senders) == 1 else 0
