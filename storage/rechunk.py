"""Another chunk size than last time: carry over what was verified wherever it covers whole new chunks."""

from collections.abc import Iterable, Iterator

from protocol.runs import Run
from storage.layout import Layout
from storage.ledger import DIGEST_BYTES, NO_DIGEST, Ledger
from storage.rehash import hashed_runs


def carried_over(fd: int, old: Layout, new: Layout, verified: Ledger) -> Ledger:
    """The ledger in new chunks. `verified` holds old chunks whose bytes were just seen to match, nothing else.

    A new chunk made of chunks from several sources is nobody's in particular (source hash 0).
    """
    fresh = Ledger(new.chunk_count)
    for first, digests in hashed_runs(fd, new, _whole_runs(old, new, verified.runs())):
        for at in range(len(digests) // DIGEST_BYTES):
            chunk = first + at
            digest = digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]
            if digest != NO_DIGEST:
                fresh.put(chunk, digest, _sender(old, new, verified, chunk))
    return fresh


def _whole_runs(old: Layout, new: Layout, runs: Iterable[Run]) -> Iterator[Run]:
    for first, stop in runs:
        end = old.end_bytes(stop)
        new_first = -(-first * old.chunk_size // new.chunk_size)
        new_stop = new.chunk_count if end == new.size_bytes else end // new.chunk_size
        if new_first < new_stop:
            yield new_first, new_stop


def _sender(old: Layout, new: Layout, verified: Ledger, chunk: int) -> int:
    first = chunk * new.chunk_size // old.chunk_size
    stop = -(-new.end_bytes(chunk + 1) // old.chunk_size)
    senders = set(verified.sources[first:stop])
    return senders.pop() if len(senders) == 1 else 0
