"""Part file of one job: the only place where bytes of a download reach the disk.

Used by one thread, the Assembler's. A chunk only ever goes from absent to present, and only after its bytes were
hashed here. On disk are a part file and claims about it; a resume believes what it has re-hashed
(`storage.part_file_open`).
"""

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.job_spec import PieceHashes
from protocol.model.value import Struct, field
from storage.chunk_index import DIGEST_BYTES
from storage.chunk_journal import Evidence, Journal
from storage.digests import Checksum, digests_of, source_hash, validator_digest
from storage.durable import Committer, Folder, disk_faults, sync_data, write_all
from storage.finalize import ChecksumMismatch, Sealed, seal_steps
from storage.layout import PART_SUFFIX, RECORDS_SUFFIX, Layout
from storage.part_file_open import FoundPart, PreparedPart, is_ours, prepare, seen_layout
from storage.pieces import Pieces
from storage.rehash import Progress, matching, no_progress

if TYPE_CHECKING:
    from storage.container_checks import StoredContent

__all__ = ["ChecksumMismatch", "Opened", "PartFile", "Sealed", "Spoiled", "Written"]


_COPY_BYTES: Final = 1 << 20
REPEATS_NOTED: Final = 4
"""Of consecutive chunks that a source sent again; in a race it repeats the whole file."""


class Spoiled(Exception):  # noqa: N818
    """The bytes handed over do not match their digests: our fault. Nothing was written."""


class Written(Struct, frozen=True):
    """Result of one `write`, each chunk in exactly one list.

    `stored`: new, written and recorded. `repeated`: were there, same digest. `disputed`: were there with another
    digest, as ``(chunk, hash of the source that sent the stored one)``; 0 where no single source did.
    """

    stored: list[ChunkRange] = field(default_factory=list)
    repeated: list[ChunkRange] = field(default_factory=list)
    disputed: list[tuple[int, int, bytes]] = field(default_factory=list)


class Opened(Struct, frozen=True):
    """Opened part file."""

    part: "PartFile"
    verified: RangeSet  # chunks whose bytes match their records, re-hashed just now
    notes: list[tuple[int, bytes]]  # ``(source_hash, validator_digest)`` on record
    message: str  # for people: what was found, empty for nothing


class PartFile:
    """Owner of part file, journal and lock from `open` to `close`, which is needed after `seal` too.

    Every method may raise PartFileFault; what was stored until then stays stored.
    """

    __slots__ = ("_committer", "_dirty", "_open", "_part", "_sealed", "_tail_bytes", "_touched")

    def __init__(self, part: PreparedPart) -> None:
        self._part = part
        self._open = True
        self._dirty = self._sealed = False
        self._touched = bool(part.index.ranges())
        self._tail_bytes = 0  # while the size is unknown: where the bytes written so far end
        self._committer = _committer(part)
        if part.part_created and part.folder.full:
            self._committer.start(names=True)

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
        progress: Progress = no_progress,
        roots: tuple[str, ...] = (),
        existing: str = "rename",
        start_over: bool = False,
        any_chunk_size: bool = False,
    ) -> Opened:
        """Open or create the part file of `name` (made safe by the caller) in `folder`.

        `size_bytes` -1: unknown, the part file grows and nothing is resumed. `sync` is "full" or "none".
        `again`: after `abandon`; the part file must be there, and there must be room and leave to write.
        `start_over`: a part file of ours of another size is replaced.
        `any_chunk_size`: one that goes on keeps the chunk size that its records have.
        `progress` is called with the state of the re-hash. `folder` must lie inside one of `roots`, if any.
        `existing`: one of `EXISTING`; the seal replaces a file that has the name when it is to be overwritten, or
        resumed: then the part file begins with what that holds.
        PartFileFault of any kind; then no bytes are lost.
        """
        layout = Layout(size_bytes, chunk_size)
        part = prepare(
            folder,
            name,
            layout,
            preallocate=preallocate,
            sync=sync,
            again=again,
            progress=progress,
            roots=roots,
            start_over=start_over,
            any_chunk_size=any_chunk_size,
        )
        part.replaces = existing in ("overwrite", "resume")
        opened = cls(part)
        if existing == "resume" and not again:
            try:
                kept = opened._take_over()
            except PartFileFault:
                opened.close()
                raise
            part.message = f"begins with {kept} bytes of the file that was there" if kept else part.message
        return Opened(opened, part.index.ranges(), list(part.notes.items()), part.message)

    @property
    def part_path(self) -> str:
        return self._part.part_path

    @property
    def size_bytes(self) -> int:
        """-1 while it is not known."""
        return self._part.layout.size_bytes

    @property
    def chunk_size(self) -> int:
        return self._part.layout.chunk_size

    def pieces(self, hashes: PieceHashes) -> Pieces:
        """Return the state of its pieces, none checked yet. Raises BadPieceList, OSError; ValueError without a size."""
        if not self._part.layout.known:
            raise ValueError(f"{self.part_path}: pieces of a file of unknown size are unknown")
        fd = os.dup(self._part.part_fd)
        try:
            return Pieces(hashes, self._part.layout, fd)
        except BaseException:
            os.close(fd)
            raise

    def has_all(self, first: int, stop: int) -> bool:
        """Whether all these chunks are stored."""
        return self._part.index.has_range(first, stop)

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
        part.index.reserve(stop)
        if not part.index.has_any(first_chunk, stop):
            self._store(first_chunk, view, digests, source_hash)
            return Written(stored=[(first_chunk, stop)])
        return self._write_sorted(first_chunk, stop, view, digests, source_hash)

    def compare(self, chunk: int, at: int, view: memoryview, digest: bytes, source_hash: int) -> bool | None:
        """Whether the bytes of a chunk from its byte `at` on are those that are stored; None: the chunk is not.

        Raises Spoiled when they are not those of `digest`; PartFileFault when the part file cannot be read.
        """
        part = self._part
        if digests_of(view, len(view), part.layout.chunk_size) != digest:
            raise Spoiled(f"{part.part_path}: a span of chunk {chunk} changed on its way")
        return self.same(chunk, at, len(view), digest, source_hash)

    def same(self, chunk: int, at: int, length: int, digest: bytes, source_hash: int) -> bool | None:
        """Whether the `length` bytes of a chunk from its byte `at` on have this digest; None: the chunk is not stored.

        Raises PartFileFault when the part file cannot be read.
        """
        part = self._part
        part.index.reserve(chunk + 1)
        if not part.index.has(chunk):
            return None
        with disk_faults(part.part_path):
            held = memoryview(os.pread(part.part_fd, length, chunk * part.layout.chunk_size + at))
        agrees = digests_of(held, len(held), part.layout.chunk_size) == digest
        if agrees:
            self._repeated(chunk, chunk + 1, source_hash)
        return agrees

    def _take_over(self) -> int:
        """Store what a file that has the final name holds, as the beginning of this one; return the bytes stored.

        Only into a part file that is empty. The file itself is left as it is until the seal replaces it.
        """
        part = self._part
        status = part.folder.lstat(part.name)
        if status is None or not part.layout.known or part.index.ranges().count:
            return 0
        size, step = part.layout.chunk_size, max(1, _COPY_BYTES // part.layout.chunk_size)
        if status.st_size > part.layout.size_bytes:
            detail = (
                f"{part.folder.path_of(part.name)} has more bytes than the file to be downloaded: it is another one"
            )
            raise PartFileFault(PartFileFaultKind.OTHER_JOB, detail)
        fd = part.folder.open_file(part.name, os.O_RDONLY)
        try:
            whole = min(status.st_size, part.layout.size_bytes) // size
            for first in range(0, whole, step):
                data = os.pread(fd, min(step, whole - first) * size, first * size)
                data = data[: len(data) // size * size]
                if not data:
                    return first * size
                self.write(first, memoryview(data), digests_of(memoryview(data), len(data), size), 0)
        finally:
            os.close(fd)
        return whole * size

    def drop(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """Count chunks as missing from now on, also when the part file is opened again.

        `ranges`: ``(first, stop, hash of the source that sent them)``; -1: whichever source did.
        """
        part = self._part
        for first, stop, source in ranges:
            part.index.reserve(stop)
            for begin, end in part.index.ranges_of(first, stop, source):
                part.journal.drop(begin, end, part.layout)
                part.index.drop([(begin, end)])
                part.front.forget(begin * part.layout.chunk_size)
                for chunk in range(begin, end):
                    part.evidence.repeats.pop(chunk, None)
                self._dirty = self._touched = True

    def note(self, source_name: str, validator: str) -> None:
        """Record a source's validator. The same again costs nothing."""
        source, digest = source_hash(source_name), validator_digest(validator)
        if self._part.notes.get(source) != digest:
            self._part.journal.note(source, validator)
            self._part.notes[source] = digest
            self._dirty = True

    def judge(self, excluded: Iterable[int], readmitted: Iterable[int] = ()) -> None:
        """Record which sources have another file, and which after all have not."""
        for sources, odd in ((excluded, True), (readmitted, False)):
            for source in sources:
                if self._part.evidence.judge(source, odd=odd):
                    self._part.journal.verdict(source, odd=odd)
                    self._dirty = True

    def _repeated(self, first: int, stop: int, source: int) -> None:
        """Record that a source sent the stored content of these chunks too; of many the first are enough."""
        part = self._part
        for chunk in range(first, min(stop, first + REPEATS_NOTED)):
            if source not in (0, part.index.sources[chunk]) and part.evidence.repeat(chunk, source):
                part.journal.repeats(chunk, part.index.digest(chunk), source)
                self._dirty = True

    def commit(self) -> None:
        """Group commit: sync what was written so far, in another thread. To be called about once a second.

        A round still under way is not waited for; what came meanwhile is in the next one. Raises when the part file
        was taken away: writing into it would go on without an error. A journal that was removed is written again.
        """
        if not self._part.linked_as:
            self._part.check_there()
            if not self._part.journal.check_there():
                self._rewrite_journal()
        if self._dirty and self._part.folder.full:
            self._dirty = not self._committer.start()
        else:
            self._committer.check()

    def learn_size(self, size_bytes: int) -> None:
        """Set the size, unknown until now. ValueError when what is stored does not fit it: our fault."""
        part, layout = self._part, Layout(size_bytes, self._part.layout.chunk_size)
        if part.layout.known or not layout.known:
            if size_bytes != part.layout.size_bytes or not layout.known:
                raise ValueError(f"{part.part_path} has {part.layout.size_bytes} bytes, not {size_bytes}")
            return
        last = part.index.ranges().last_range()
        if last is not None and self._tail_bytes != layout.end_bytes(last[1]):
            raise ValueError(f"{part.part_path}: {self._tail_bytes} bytes stored do not fit {size_bytes}")
        part.index.reserve(layout.chunk_count)
        part.journal.learn_size(size_bytes)
        part.layout = layout
        self._dirty = True

    @property
    def stored(self) -> RangeSet:
        """The chunks that are written and recorded."""
        return RangeSet(self._part.index.ranges())

    def digest(self, chunk: int) -> bytes:
        """Return the recorded digest of a chunk, empty while it is not stored."""
        return self._part.index.digest(chunk) if self.has_all(chunk, chunk + 1) else b""

    def claims(self) -> list[tuple[int, int, int]]:
        """Return `stored` as ``(first, stop, hash of the sender's name)``."""
        return list(self._part.index.claims())

    @property
    def evidence(self) -> Evidence:
        """What is recorded of its sources besides `claims`."""
        return self._part.evidence

    @property
    def resumable(self) -> bool:
        """Whether another attempt can go on with it: its size is known."""
        return self._part.layout.known

    def beginning(self, count: int) -> bytes:
        """Return the first bytes, which are stored; empty when they cannot be read."""
        with suppress(OSError):
            return os.pread(self._part.part_fd, count, 0)
        return b""

    def content(self, cancelled: Callable[[], bool]) -> "StoredContent":
        """Return the bytes stored by now, for checks in another thread; to be closed there."""
        from storage.container_checks import StoredContent

        return StoredContent(self._part.part_fd, self._part.layout, self.stored, cancelled)

    def missing(self) -> RangeSet:
        """Return the chunks not stored. ValueError while the size is unknown."""
        if not self._part.layout.known:
            raise ValueError(f"{self.part_path}: what is missing from a file of unknown size is unknown")
        return RangeSet(self._part.index.ranges().gaps(0, self._part.layout.chunk_count))

    def seal(self, checksum: Checksum | None = None) -> Sealed:
        """Check the complete file, sync, take the final name (or the next free one). The journal stays.

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
        """Do as `seal`, yielding the name of each step: a crash may come at any of them."""
        part = self._part
        if not part.layout.known or not part.index.has_all(part.layout.chunk_count):
            raise ValueError(f"{part.part_path} is not complete")
        self._touched = True
        sealed = yield from seal_steps(part, checksum, self._committer)
        self._sealed = True
        return sealed

    def close(self) -> None:
        """Sync and release the lock. Idempotent.

        A part file created by this attempt is removed when nothing was ever stored, and so is the journal of a sealed
        file: its result is known by now.
        """
        if not self._open:
            return
        self._open = False
        part = self._part
        with ExitStack() as end:  # last in, first done; each is done whatever the others raise
            end.callback(part.folder.close)
            end.callback(part.journal.close)
            end.callback(os.close, part.part_fd)
            if self._sealed:
                end.callback(self._remove_journal)
            elif part.part_created and not self._touched:
                end.callback(part.journal.remove)
                end.callback(part.folder.unlink_own, part.part_name, part.part_fd)
            elif self._dirty and part.folder.full:
                end.callback(part.folder.sync)
                end.callback(sync_data, part.journal.fd, part.journal.path)
                end.callback(sync_data, part.part_fd, part.part_path)
            end.callback(self._committer.finish)

    def abandon(self) -> None:
        """Close without syncing, removing or raising.

        For a disk that failed, and for a sealed file whose result is not known to its dispatcher yet.
        """
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

    def _rewrite_journal(self) -> None:
        """Replace a deleted journal: without it the next attempt could believe nothing of the part file."""
        self._committer.finish()
        self._part.journal.rewrite(self._part.layout, self._part.index, self._part.notes, self._part.evidence)
        self._committer = _committer(self._part)

    def _remove_journal(self) -> None:
        """Remove the journal of a sealed file; should this fail, the next attempt tidies up."""
        with suppress(PartFileFault):
            self._part.journal.remove()
            self._part.folder.sync()

    def _store(self, first: int, view: memoryview, digests: bytes, source: int) -> None:
        part = self._part
        offset = first * part.layout.chunk_size
        part.check_size(self._tail_bytes)
        write_all(part.part_fd, view, offset, part.part_path)
        part.journal.append(first, part.layout, len(view), digests, source)
        part.index.put(first, digests, source)
        part.front.take(offset, view)
        self._tail_bytes = max(self._tail_bytes, offset + len(view))
        self._dirty = self._touched = True

    def _write_sorted(self, first: int, stop: int, view: memoryview, digests: bytes, source: int) -> Written:
        """Write where some of these chunks are there, the rare case."""
        done, index = Written(), self._part.index
        new, same = RangeSet(), RangeSet()
        for at, chunk in enumerate(range(first, stop)):
            if not index.has(chunk):
                new.add(chunk, chunk + 1)
            elif index.digest(chunk) == digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]:
                same.add(chunk, chunk + 1)
            else:
                done.disputed.append((chunk, index.sources[chunk], index.digest(chunk)))
        done.repeated.extend(same)
        for begin, end in same:
            self._repeated(begin, end, source)
        size = self._part.layout.chunk_size
        for begin, end in new:
            low, high = begin - first, end - first
            self._store(
                begin, view[low * size : high * size], digests[DIGEST_BYTES * low : DIGEST_BYTES * high], source
            )
            done.stored.append((begin, end))
        return done


def _committer(part: PreparedPart) -> Committer:
    return Committer(((part.part_fd, part.part_path), (part.journal.fd, part.journal.path)), part.folder)


def discard(folder_path: str, name: str, roots: tuple[str, ...] = ()) -> str:
    """Remove the part file of `name` and its journal. Return why something stays, in a line for people, or "".

    Only a part file with a journal of ours is ours. One that another process has open is left alone, and so is the file
    under the final name: should the part file be another name of the finished file, only that other name goes.
    """
    try:
        folder = Folder(folder_path, "full", roots)
    except PartFileFault as fault:
        return "" if fault.kind is PartFileFaultKind.NO_FOLDER else fault.detail
    try:
        if folder.lstat(name + RECORDS_SUFFIX) is None:
            return _left(folder, name)
        return _discard(folder, name)
    except PartFileFault as fault:
        return fault.detail
    finally:
        folder.close()


def _discard(folder: Folder, name: str) -> str:
    with ExitStack() as end:
        journal = Journal.lock(folder, name)
        end.callback(journal.close)
        contents = journal.read()
        if contents.header is None:
            return f"{journal.path} cannot be read as records of ours: left alone"
        part = FoundPart.open(folder, name + PART_SUFFIX)
        if part is not None:
            end.callback(part.close)
            layout = seen_layout(contents, contents.header)
            if not is_ours(part, contents, lambda: bool(matching(part.fd, layout, contents.index))):
                return f"{folder.path_of(part.name)} is not the file that its records are about: left alone"
            folder.unlink_own(part.name, part.fd)
        journal.remove()
    with suppress(PartFileFault):  # at worst it is there again after a power failure
        folder.sync()
    return ""


def _left(folder: Folder, name: str) -> str:
    part = name + PART_SUFFIX
    return "" if folder.lstat(part) is None else f"{folder.path_of(part)} has no records of ours: left alone"
