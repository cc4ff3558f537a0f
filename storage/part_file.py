"""The part file of one job: the only place where bytes of a download reach the disk.

Used by one thread, the Assembler's. A chunk only ever goes from absent to present, and only after its bytes were
hashed here. What is on disk is a part file and claims about it; a resume believes what it has re-hashed (`opening`).
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.faults import PartFileFault
from storage.chunk_index import DIGEST_BYTES
from storage.digests import Checksum, digests_of, source_hash, validator_digest
from storage.durable import Committer, sync_data, write_all
from storage.finalize import ChecksumMismatch, Sealed, seal_steps
from storage.layout import Layout
from storage.part_file_open import Prepared, prepare
from storage.rehash import Heard, unheard

__all__ = ["ChecksumMismatch", "Opened", "PartFile", "Sealed", "Spoiled", "Written"]


class Spoiled(Exception):  # noqa: N818
    """The bytes handed over are not those that were hashed: our fault. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the chunks of one `write`, each in exactly one list.

    `stored`: new, written and recorded. `repeated`: were there, same digest. `disputed`: were there with another
    digest, as ``(chunk, hash of the source that sent the stored one)``; 0 where nobody in particular did.
    """

    stored: list[ChunkRange] = field(default_factory=list)
    repeated: list[ChunkRange] = field(default_factory=list)
    disputed: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Opened:
    """A target that stands. `verified` re-hashed to their records just now; `notes` are ``(source_hash,
    validator_digest)`` on record; `message` says to people what was found ("" for nothing)."""

    target: "PartFile"
    verified: RangeSet
    notes: list[tuple[int, bytes]]
    message: str


class PartFile:
    """Owns part file, records and lock from `open` to `close`; `close` is wanted after `seal` too, once somebody knows
    of it.

    Every method may raise PartFileFault; what was stored until then stays stored.
    """

    __slots__ = ("_committer", "_dirty", "_open", "_part", "_sealed", "_tail_bytes", "_touched")

    def __init__(self, part: Prepared) -> None:
        self._part = part
        self._open = True
        self._dirty = self._sealed = False
        self._touched = bool(part.ledger.runs())
        self._tail_bytes = 0  # while the size is unknown: where the bytes written so far end
        self._committer = _committer(part)

    @classmethod
    def open(
        cls,
        folder: str,
        name: str,
        *,
        size_bytes: int,
        chunk_size: int,
        preallocate: bool = False,
        sync: str = "full",
        again: bool = False,
        heard: Heard = unheard,
    ) -> Opened:
        """Open or create the part file of `name` (made safe by the caller) in `folder`.

        `size_bytes` -1: unknown, the part file grows and nothing is resumed. `sync` is "full" or "none".
        `again`: after `abandon`; the part file must be there, and there must be room and leave to write.
        `heard` is told how far the re-hash of what is there has come.
        PartFileFault of any kind; then no bytes are lost.
        """
        layout = Layout(size_bytes, chunk_size)
        part = prepare(folder, name, layout, preallocate=preallocate, sync=sync, again=again, heard=heard)
        return Opened(cls(part), part.ledger.runs(), list(part.notes.items()), part.message)

    @property
    def part_path(self) -> str:
        return self._part.part_path

    @property
    def size_bytes(self) -> int:
        """-1 while nobody knows."""
        return self._part.layout.size_bytes

    def write(self, first_chunk: int, view: memoryview, digests: bytes, source_hash: int) -> Written:
        """Store the consecutive chunks in `view`, 16 bytes of `digests` each, unless they are there.

        Raises Spoiled when the bytes are not those of the digests; ValueError when they do not fill whole chunks
        (the file's last one may be short) or lie beyond the file. Nothing is written in either case.
        """
        self._committer.check()
        part = self._part
        stop = part.layout.stop_of(first_chunk, len(view))
        if len(digests) != DIGEST_BYTES * (stop - first_chunk):
            raise ValueError(f"{len(digests)} bytes of digests for {stop - first_chunk} chunks")
        if digests_of(view, len(view), part.layout.chunk_size) != digests:
            raise Spoiled(f"{part.part_path}: chunks {first_chunk} to {stop - 1} changed on their way")
        part.ledger.reserve(stop)
        if not part.ledger.has_any(first_chunk, stop):
            self._store(first_chunk, view, digests, source_hash)
            return Written(stored=[(first_chunk, stop)])
        return self._write_sorted(first_chunk, stop, view, digests, source_hash)

    def note(self, source_name: str, validator: str) -> None:
        """Keep a source's validator with the part file. The same again costs nothing."""
        source, digest = source_hash(source_name), validator_digest(validator)
        if self._part.notes.get(source) != digest:
            self._part.journal.note(source, validator)
            self._part.notes[source] = digest
            self._dirty = True

    def commit(self) -> None:
        """Group commit: ask the device for what was written so far, in another thread. About once a second.

        A round still under way is not waited for; what came meanwhile is in the next one. Notices too when the part
        file was taken away: writing into it would go on without an error. Records that were are written anew.
        """
        if not self._part.linked_as:
            self._part.check_there()
            if not self._part.journal.check_there():
                self._write_records_anew()
        if self._dirty and self._part.folder.full:
            self._dirty = not self._committer.start()
        else:
            self._committer.check()

    def learn_size(self, size_bytes: int) -> None:
        """The size of a file nobody had announced. ValueError when what is stored does not fit it: our fault."""
        part, layout = self._part, Layout(size_bytes, self._part.layout.chunk_size)
        if part.layout.known or not layout.known:
            if size_bytes != part.layout.size_bytes or not layout.known:
                raise ValueError(f"{part.part_path} has {part.layout.size_bytes} bytes, not {size_bytes}")
            return
        last = part.ledger.runs().last_run()
        if last is not None and self._tail_bytes != layout.end_bytes(last[1]):
            raise ValueError(f"{part.part_path}: {self._tail_bytes} bytes stored do not fit {size_bytes}")
        part.ledger.reserve(layout.chunk_count)
        part.journal.learn_size(size_bytes)
        part.layout = layout
        self._dirty = True

    @property
    def stored(self) -> RangeSet:
        """Chunks that are written and recorded."""
        return RangeSet(self._part.ledger.runs())

    def claims(self) -> list[tuple[int, int, int]]:
        """The same as ``(first, stop, hash of the name of who sent them)``."""
        return list(self._part.ledger.claims())

    @property
    def resumable(self) -> bool:
        """Whether somebody who knows nothing of it can go on with it: its size is known."""
        return self._part.layout.known

    def missing(self) -> RangeSet:
        """Chunks not stored. ValueError while the size is unknown."""
        if not self._part.layout.known:
            raise ValueError(f"{self.part_path}: nobody knows what is missing from a file of unknown size")
        return RangeSet(self._part.ledger.runs().gaps(0, self._part.layout.chunk_count))

    def seal(self, checksum: Checksum | None = None) -> Sealed:
        """Everything is stored: check the whole, sync, take the final name (or the next free one). The records stay.

        Raises ChecksumMismatch, the part file kept; ValueError when something is missing. Reads the whole file once.
        """
        steps = self.sealing(checksum)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                sealed: Sealed = end.value
                return sealed

    def sealing(self, checksum: Checksum | None = None) -> Generator[str, None, Sealed]:
        """`seal`, halting after each step with its name: a crash may come at any of them."""
        part = self._part
        if not part.layout.known or not part.ledger.has_all(part.layout.chunk_count):
            raise ValueError(f"{part.part_path} is not complete")
        self._touched = True
        sealed = yield from seal_steps(part, checksum, self._committer)
        self._dirty, self._sealed = False, True
        return sealed

    def close(self) -> None:
        """Sync and give the lock back. A part file of this run goes when nothing was ever stored, and the records of a
        sealed file go: the caller has told of it, or nobody wants to know. Idempotent."""
        if not self._open:
            return
        self._open = False
        part = self._part
        with ExitStack() as end:  # last in, first done; every one is done whatever the others raise
            end.callback(part.folder.close)
            end.callback(part.journal.close)
            end.callback(os.close, part.part_fd)
            if self._sealed:
                end.callback(self._drop_records)
            elif part.part_created and not self._touched:
                end.callback(part.journal.remove)
                end.callback(part.folder.unlink, part.part_name)
            elif self._dirty and part.folder.full:
                end.callback(part.folder.sync)
                end.callback(sync_data, part.journal.fd, part.journal.path)
                end.callback(sync_data, part.part_fd, part.part_path)
            end.callback(self._committer.finish)

    def abandon(self) -> None:
        """Let go of a target whose disk failed, or of a sealed one that nobody has heard of: nothing is synced, nothing
        removed, no further fault raised."""
        if not self._open:
            return
        self._open = False
        part = self._part
        with ExitStack() as end:
            end.callback(part.folder.close)
            end.callback(part.journal.close)
            end.callback(os.close, part.part_fd)
            end.enter_context(suppress(PartFileFault))
            self._committer.finish()

    def _write_records_anew(self) -> None:
        """Somebody deleted them: without, the next run could believe nothing of the part file."""
        self._committer.finish()
        self._part.journal.renew(self._part.layout, self._part.ledger, self._part.notes)
        self._committer = _committer(self._part)

    def _drop_records(self) -> None:
        """The file stands under its name, whatever comes of this: the next run of the same command would tidy up."""
        with suppress(PartFileFault):
            self._part.journal.remove()
            self._part.folder.sync()

    def _store(self, first: int, view: memoryview, digests: bytes, source: int) -> None:
        part = self._part
        offset = first * part.layout.chunk_size
        write_all(part.part_fd, view, offset, part.part_path)
        part.journal.append(first, part.layout, len(view), digests, source)
        part.ledger.put(first, digests, source)
        part.front.take(offset, view)
        self._tail_bytes = max(self._tail_bytes, offset + len(view))
        self._dirty = self._touched = True

    def _write_sorted(self, first: int, stop: int, view: memoryview, digests: bytes, source: int) -> Written:
        """The rare case: some of these chunks are there."""
        done, ledger = Written(), self._part.ledger
        new, same = RangeSet(), RangeSet()
        for at, chunk in enumerate(range(first, stop)):
            if not ledger.has(chunk):
                new.add(chunk, chunk + 1)
            elif ledger.digest(chunk) == digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]:
                same.add(chunk, chunk + 1)
            else:
                done.disputed.append((chunk, ledger.sources[chunk]))
        done.repeated.extend(same)
        size = self._part.layout.chunk_size
        for begin, end in new:
            low, high = begin - first, end - first
            self._store(
                begin, view[low * size : high * size], digests[DIGEST_BYTES * low : DIGEST_BYTES * high], source
            )
            done.stored.append((begin, end))
        return done


def _committer(part: Prepared) -> Committer:
    return Committer(((part.part_fd, part.part_path), (part.journal.fd, part.journal.path)))
