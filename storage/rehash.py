"""Re-hashing a part file: in parallel, because xxhash and reads release the GIL, and in bounded memory."""

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

Progress = Callable[[int], None]
"""Called with the bytes re-hashed so far."""


def no_progress(_done_bytes: int) -> None:
    """Ignore the progress."""


def matching(fd: int, layout: Layout, index: ChunkIndex, progress: Progress = no_progress) -> RangeSet:
    """Return the chunks whose bytes match the index. Only claimed chunks are read; an unreadable one does not match.

    `progress` is called piece by piece, in the caller's thread.
    """
    good, claimed = RangeSet(), index.ranges()
    done_bytes = 0
    for first, digests in hashed_ranges(fd, layout, claimed):
        stop = first + len(digests) // DIGEST_BYTES
        done_bytes += layout.length_bytes(first, stop)
        progress(done_bytes)
        if index.digests[DIGEST_BYTES * first : DIGEST_BYTES * stop] == digests:
            good.add(first, stop)
            continue
        for at, chunk in enumerate(range(first, stop)):
            if index.digest(chunk) == digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]:
                good.add(chunk, chunk + 1)
    return good


def hashed_ranges(fd: int, layout: Layout, ranges: Iterable[ChunkRange]) -> Iterator[tuple[int, bytes]]:
    """Yield ``(first, digests)`` of pieces of the ranges, in order. `NO_DIGEST` for a chunk that cannot be read."""
    pieces: Iterator[ChunkRange] = _pieces(ranges, max(1, _PIECE_BYTES // layout.chunk_size))
    one = list(islice(pieces, 2))
    if len(one) < 2:  # a small file is hashed before a thread has started
        yield from ((run[0], _digests_at(fd, layout, run)) for run in one)
        return
    pieces = chain(one, pieces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="rehash") as pool:
        # A window at a time: a file of a million ranges must not become a million waiting futures.
        while window := list(islice(pieces, 64)):
            yield from pool.map(lambda run: (run[0], _digests_at(fd, layout, run)), window)


def _pieces(ranges: Iterable[ChunkRange], chunks_max: int) -> Iterator[ChunkRange]:
    for first, stop in ranges:
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
            return got  # a bad sector: these chunks do not match and are fetched again
        if count == 0:
            return got
        got += count
    return got


def rechunked(fd: int, old: Layout, new: Layout, verified: ChunkIndex) -> ChunkIndex:
    """Return the index for another chunk size; `verified` holds exactly the old chunks that were just verified.

    Only new chunks that they cover whole are in it. One made of chunks of several sources has source hash 0.
    """
    fresh = ChunkIndex(new.chunk_count)
    for first, digests in hashed_ranges(fd, new, _whole_ranges(old, new, verified.ranges())):
        for at in range(len(digests) // DIGEST_BYTES):
            chunk = first + at
            digest = digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]
            if digest != NO_DIGEST:
                fresh.put(chunk, digest, _sender(old, new, verified, chunk))
    return fresh


def _whole_ranges(old: Layout, new: Layout, ranges: Iterable[ChunkRange]) -> Iterator[ChunkRange]:
    for first, stop in ranges:
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
