"""Chunk journal of a part file, ``NAME.part.records``: which chunks were written, with which digest, from whom.

A record is a *claim*. Resuming re-hashes the part file and believes a claim only where the bytes match. So neither the
order in which data and records reach the disk matters, nor a torn tail, nor a lost or damaged record: the worst is
that a chunk is fetched again. That is why appending needs no sync of its own, and one group commit a second will do.

Layout, little endian: the header twice (64 bytes each; one readable copy is enough), then records of 32 bytes each::

    header  magic 8 · version u16 · flags u16 · chunk_size u32 · size i64 (-1 unknown) · journal id 16 · xxh3_128 · 0s
    chunk   chunk u32 · length u32 (> 0)  · xxh3_128 of the chunk 16 · source_hash u32 · check u32
    note    0 u32     · 0 u32             · validator digest 16      · source_hash u32 · check u32
    repeat  chunk u32 · 2^32 - 1          · xxh3_128 of the chunk 16 · source_hash u32 · check u32
    verdict 0 or 1    · 2^32 - 2          · constant 16              · source_hash u32 · check u32

`check` is xxh3_64 of the first 28 bytes, seeded by the journal id, cut to 32 bits: a record of another file's journal
never passes. The later record of a chunk wins. Damaged records are skipped at 32-byte steps. A repeat says that this
source has the chunk too, with that digest; a verdict, that it has another file (1), or after all not (0). Versions
that do not know them take them for damaged records.

The exclusive flock on this file means "another process writes this part file".
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import xxhash

from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.value import Struct, field, replace
from storage.chunk_index import DIGEST_BYTES, NO_DIGEST, ChunkIndex
from storage.digests import validator_digest
from storage.durable import Folder, disk_faults, has_mark, part_file_fault, set_mark, sync_data, write_all
from storage.layout import CHUNKS_MAX, RECORDS_SUFFIX, REWRITTEN_SUFFIX, UNKNOWN, Layout

RECORD_BYTES: Final = 32
HEADER_BYTES: Final = 64
START: Final = 2 * HEADER_BYTES
"""Where the records begin."""

CHUNK_SIZE_MAX: Final = 64 << 20
"""A larger chunk size in a header is damage that its check missed, or forged."""

REPEATED: Final = 0xFFFFFFFF
VERDICT: Final = 0xFFFFFFFE
REPEATS_MAX: Final = 1 << 16
"""Repeats of one file that are kept: with a hundred of a source more say nothing new."""
_VERDICT_FILLER: Final = b"another content."

_MAGIC: Final = b"SHOALREC"
_VERSION: Final = 1
_LEARNED: Final = 1
_UNMARKED: Final = 2
_HEAD: Final = struct.Struct("<8sHHIq16s")
_BODY: Final = struct.Struct("<II16sI")
_CHECK: Final = struct.Struct("<I")
_BLOCK_BYTES: Final = 1 << 20


class Header(Struct, frozen=True):
    """Header of a journal."""

    layout: Layout
    learned: bool = False
    """The size was not known at first."""
    unmarked: bool = False
    """The file system keeps no marks, so the part file's name alone says that it is ours."""
    journal_id: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def seed(self) -> int:
        return int.from_bytes(self.journal_id[:8], "little")

    def packed(self) -> bytes:
        """Return one packed copy, `HEADER_BYTES` long."""
        layout, flags = self.layout, _LEARNED * self.learned | _UNMARKED * self.unmarked
        body = _HEAD.pack(_MAGIC, _VERSION, flags, layout.chunk_size, layout.size_bytes, self.journal_id)
        return (body + xxhash.xxh3_128_digest(body)).ljust(HEADER_BYTES, b"\0")


class Evidence(Struct):
    """Evidence about the sources of a file. `repeats`: for a chunk the sources that had it too; `excluded`: odd ones.

    Sources are hashes of their names.
    """

    repeats: dict[int, set[int]] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)

    def repeat(self, chunk: int, source_hash: int) -> bool:
        """Note that a source has this chunk too. False: that is known, or too much is."""
        known = self.repeats.setdefault(chunk, set())
        if source_hash in known or len(self.repeats) > REPEATS_MAX:
            return False
        known.add(source_hash)
        return True

    def judge(self, source_hash: int, *, odd: bool) -> bool:
        """Note whether a source has another file. False: that is known."""
        if odd == (source_hash in self.excluded):
            return False
        (self.excluded.add if odd else self.excluded.discard)(source_hash)
        return True


class JournalContents(Struct):
    """Contents of a journal; `header` None: none could be read, and `index` and `notes` are empty.

    `repeated`: digests by chunk and source; they say something of the chunks that are stored with that digest.

    `index` holds claims, not truths. `end_bytes` is where the last claimed chunk ends. `intact`: both copies of the
    header agree. `newer`: written by a newer version of this program. `ours`: written by this program at all.
    """

    header: Header | None = None
    index: ChunkIndex = field(default_factory=ChunkIndex)
    notes: dict[int, bytes] = field(default_factory=dict)
    repeated: dict[tuple[int, int], bytes] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    end_bytes: int = 0
    damaged_records: int = 0
    intact: bool = False
    newer: bool = False
    ours: bool = False

    def evidence(self, index: ChunkIndex) -> Evidence:
        """Return what the records say of the file that has just these chunks; nothing of a file without any."""
        found = Evidence(excluded=set(self.excluded) if index.ranges().count else set())
        for (chunk, source_hash), digest in self.repeated.items():
            if index.has(chunk) and index.digest(chunk) == digest and index.sources[chunk] != source_hash:
                found.repeat(chunk, source_hash)
        return found


def packed_record(chunk: int, length: int, digest: bytes, source_hash: int, seed: int) -> bytes:
    """Return one packed record; `length` 0 makes it a note with the digest of a validator."""
    body = _BODY.pack(chunk, length, digest, source_hash)
    return body + _CHECK.pack(xxhash.xxh3_64_intdigest(body, seed) & 0xFFFFFFFF)


def read_journal(fd: int, path: str) -> JournalContents:
    """Read a journal through any descriptor, locked or not. Raises PartFileFault."""
    with disk_faults(path):
        head = os.pread(fd, START, 0)
        contents = JournalContents()
        copies = [_header(head[at : at + HEADER_BYTES], contents) for at in (0, HEADER_BYTES)]
        contents.header = copies[0] or copies[1]
        contents.intact = copies[0] is not None and copies[0] == copies[1]
        contents.ours = _MAGIC in (head[:8], head[HEADER_BYTES:][:8]) or has_mark(fd)
        if contents.header is not None:
            contents.index = ChunkIndex(contents.header.layout.chunk_count)
            for block in _blocks(fd):
                _take_block(block, contents, contents.header)
        return contents


def _header(copy: bytes, contents: JournalContents) -> Header | None:
    body, check = copy[: _HEAD.size], copy[_HEAD.size : _HEAD.size + 16]
    if len(copy) < HEADER_BYTES or xxhash.xxh3_128_digest(body) != check:
        return None
    magic, version, flags, chunk_size, size_bytes, journal_id = _HEAD.unpack(body)
    if magic != _MAGIC or version != _VERSION:
        contents.newer = contents.newer or magic == _MAGIC
        return None
    if not 1 <= chunk_size <= CHUNK_SIZE_MAX or size_bytes < UNKNOWN:
        return None
    layout = Layout(size_bytes, chunk_size)
    return (
        Header(layout, bool(flags & _LEARNED), bool(flags & _UNMARKED), journal_id)
        if layout.chunk_count <= CHUNKS_MAX
        else None
    )


def _blocks(fd: int) -> Iterator[bytes]:
    at = START
    while block := os.pread(fd, _BLOCK_BYTES, at):
        whole = block[: len(block) // RECORD_BYTES * RECORD_BYTES]
        yield whole
        at += len(whole)
        if not whole:
            return  # a torn tail


def _take_block(block: bytes, contents: JournalContents, header: Header) -> None:
    seed, hashed = header.seed, xxhash.xxh3_64_intdigest
    for at in range(0, len(block), RECORD_BYTES):
        body = block[at : at + _BODY.size]
        if _CHECK.unpack_from(block, at + _BODY.size)[0] == hashed(body, seed) & 0xFFFFFFFF:
            _take(contents, header.layout, *_BODY.unpack(body))
        else:
            contents.damaged_records += 1


def _take(contents: JournalContents, layout: Layout, chunk: int, length: int, digest: bytes, source_hash: int) -> None:
    if length == 0:
        contents.notes[source_hash] = digest
        return
    if length == REPEATED:
        if len(contents.repeated) < REPEATS_MAX:
            contents.repeated[chunk, source_hash] = digest
        return
    if length == VERDICT:
        (contents.excluded.add if chunk else contents.excluded.discard)(source_hash)
        return
    limit = layout.chunk_count if layout.known else CHUNKS_MAX
    if digest == NO_DIGEST and chunk < limit:
        contents.index.reserve(chunk + 1)
        contents.index.drop([(chunk, chunk + 1)])
        return
    fits = chunk < limit and length <= layout.chunk_size
    if not fits or (layout.known and length != layout.length_bytes(chunk, chunk + 1)):
        contents.damaged_records += 1
        return
    contents.index.reserve(chunk + 1)
    contents.index.put(chunk, digest, source_hash)
    contents.end_bytes = max(contents.end_bytes, chunk * layout.chunk_size + length)


class Journal:
    """Locked, writable journal of one part file. Used by one thread; `close` releases the lock."""

    __slots__ = ("_at", "_fd", "_folder", "_name", "_rewritten", "created", "header", "locked", "path")

    def __init__(self, folder: Folder, name: str, fd: int, *, created: bool, locked: bool) -> None:
        self._folder = folder
        self._name = name + RECORDS_SUFFIX
        self._rewritten = name + REWRITTEN_SUFFIX
        self._fd = fd
        self._at = START
        self.path = folder.path_of(self._name)
        self.header: Header | None = None
        self.created = created
        """By this object."""
        self.locked = locked
        """False where the file system knows no locks."""

    @classmethod
    def lock(cls, folder: Folder, name: str, layout: Layout | None = None) -> "Journal":
        """Open the journal of a part file exclusively; with a `layout`, create it where there is none.

        PartFileFault BUSY when another process has it, NO_FOLDER when there is none. A foreign file is not changed.
        """
        while True:
            if layout is not None and folder.lstat(name + RECORDS_SUFFIX) is None:
                journal = cls._create(folder, name, layout)
                if journal is not None:
                    return journal
                continue
            fd = folder.open_file(name + RECORDS_SUFFIX, os.O_RDWR)
            try:
                locked = _flock(fd, folder.path_of(name))
                if folder.is_file(name + RECORDS_SUFFIX, fd):
                    journal = cls(folder, name, fd, created=False, locked=locked)
                    journal._remove_stale()
                    return journal
            except PartFileFault:
                os.close(fd)
                raise
            os.close(fd)  # sealed or rewritten by its owner between our open and our lock: look again

    @classmethod
    def _create(cls, folder: Folder, name: str, layout: Layout) -> "Journal | None":
        """Create it, locked and with a header, in one step. None when it is there meanwhile."""
        locks: list[bool] = []

        def fill(fd: int) -> None:
            locks.append(_flock(fd, folder.path_of(name)))
            write_all(fd, _new_header(fd, layout).packed() * 2, 0, folder.path_of(name + RECORDS_SUFFIX))

        fd = folder.create_file(name + RECORDS_SUFFIX, fill)
        return None if fd is None else cls(folder, name, fd, created=True, locked=locks[-1])

    @property
    def fd(self) -> int:
        """For syncing."""
        return self._fd

    def read(self) -> JournalContents:
        """Read it; the next `append` goes behind the last whole record. Repairs a damaged header copy."""
        contents = read_journal(self._fd, self.path)
        if contents.header is None:
            return contents
        self.header = contents.header
        with disk_faults(self.path):
            size = os.fstat(self._fd).st_size
        # A torn tail is overwritten: records stay at 32-byte steps whatever was cut off.
        self._at = START + max(0, size - START) // RECORD_BYTES * RECORD_BYTES
        if not contents.intact:
            self._write_header(contents.header)
        return contents

    def begin(self, layout: Layout) -> None:
        """Start with no records. The new id alone makes old records void, should a crash leave them behind."""
        self.header = _new_header(self._fd, layout)
        self._write_header(self.header)
        with disk_faults(self.path):
            os.ftruncate(self._fd, START)
        self._at = START

    def append(self, first: int, layout: Layout, length_bytes: int, digests: bytes, source_hash: int) -> None:
        """Append records of consecutive chunks, `length_bytes` in all, in one write."""
        seed, size = self._known_header().seed, layout.chunk_size
        count = len(digests) // DIGEST_BYTES
        lengths = [size] * (count - 1) + [length_bytes - (count - 1) * size]
        self._append(
            b"".join(
                packed_record(first + i, length, digests[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES], source_hash, seed)
                for i, length in enumerate(lengths)
            )
        )

    def drop(self, first: int, stop: int, layout: Layout) -> None:
        """Records that take back all earlier ones of these chunks."""
        seed, size = self._known_header().seed, layout.chunk_size
        self._append(b"".join(packed_record(chunk, size, NO_DIGEST, 0, seed) for chunk in range(first, stop)))

    def note(self, source_hash: int, validator: str) -> None:
        """Append a source's validator, hashed, so that a resume notices a changed origin."""
        self._append(packed_record(0, 0, validator_digest(validator), source_hash, self._known_header().seed))

    def repeats(self, chunk: int, digest: bytes, source_hash: int) -> None:
        """Record that this source gave the stored digest of a chunk that another one sent."""
        self._append(packed_record(chunk, REPEATED, digest, source_hash, self._known_header().seed))

    def verdict(self, source_hash: int, *, odd: bool) -> None:
        """Record that this source has another file, or after all not."""
        self._append(packed_record(int(odd), VERDICT, _VERDICT_FILLER, source_hash, self._known_header().seed))

    def learn_size(self, size_bytes: int) -> None:
        """Write the size into the header, one copy after the other."""
        header = self._known_header()
        self.header = replace(header, layout=Layout(size_bytes, header.layout.chunk_size), learned=True)
        self._write_header(self.header)

    def rewrite(self, layout: Layout, index: ChunkIndex, notes: dict[int, bytes], evidence: Evidence) -> None:
        """Replace the journal atomically by one with just this, without losing the lock.

        PartFileFault OTHER_JOB when a foreign file has the name that this takes meanwhile.
        """
        header = replace(self._known_header(), layout=layout)
        data = _rendered(header, index, notes, evidence)

        def fill(fd: int) -> None:
            _flock(fd, self.path)
            set_mark(fd)
            write_all(fd, data, 0, self.path)
            if self._folder.full:
                sync_data(fd, self.path)

        there = self.check_there()
        self._remove_stale()
        fd = self._folder.create_file(self._rewritten if there else self._name, fill)
        if fd is None:
            detail = f"{self._folder.path_of(self._rewritten if there else self._name)} is not ours; move it away"
            raise PartFileFault(PartFileFaultKind.OTHER_JOB, detail)
        if there:
            try:
                self._folder.replace(self._name, self._rewritten)
            except PartFileFault:
                self._folder.unlink_own(self._rewritten, fd)
                os.close(fd)
                raise
        os.close(self._fd)
        self._fd, self._at, self.header = fd, len(data), header
        self._folder.sync()

    def _remove_stale(self) -> None:
        """Remove the half-made journal of a process that died while rewriting; a foreign file of that name stays."""
        if self._folder.lstat(self._rewritten) is None:
            return
        with suppress(PartFileFault):
            fd = self._folder.open_file(self._rewritten, os.O_RDONLY)
            try:
                if read_journal(fd, self.path).ours:
                    self._folder.unlink_own(self._rewritten, fd)
            finally:
                os.close(fd)

    def check_there(self) -> bool:
        """Return whether the journal still has its name. PartFileFault when another file has it.

        Then another process may write this part file too, and we must write no more into it.
        """
        there = self._folder.lstat(self._name) is not None
        if there and not self._folder.is_file(self._name, self._fd):
            detail = f"{self.path} was replaced: the part file may be written by another process"
            raise PartFileFault(PartFileFaultKind.BUSY, detail)
        return there

    def remove(self) -> None:
        """Remove the journal. The lock stays until `close`."""
        self._folder.unlink_own(self._name, self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _known_header(self) -> Header:
        if self.header is None:
            raise ValueError("this journal was neither read nor begun")
        return self.header

    def _append(self, data: bytes) -> None:
        # Only a write that succeeded moves on: a torn one is overwritten by the next.
        write_all(self._fd, data, self._at, self.path)
        self._at += len(data)

    def _write_header(self, header: Header) -> None:
        for at in (0, HEADER_BYTES):
            write_all(self._fd, header.packed(), at, self.path)


def _rendered(header: Header, index: ChunkIndex, notes: dict[int, bytes], evidence: Evidence) -> bytes:
    layout, seed = header.layout, header.seed
    parts = [header.packed(), header.packed()]
    parts += [packed_record(0, 0, digest, source, seed) for source, digest in notes.items()]
    parts += [packed_record(1, VERDICT, _VERDICT_FILLER, source, seed) for source in evidence.excluded]
    parts += [
        packed_record(chunk, REPEATED, index.digest(chunk), source, seed)
        for chunk, sources in evidence.repeats.items()
        for source in sources
    ]
    for first, stop in index.ranges():
        for chunk in range(first, stop):
            length = layout.length_bytes(chunk, chunk + 1)
            parts.append(packed_record(chunk, length, index.digest(chunk), index.sources[chunk], seed))
    return b"".join(parts)


def _new_header(fd: int, layout: Layout) -> Header:
    """Return the header of a journal that is begun in this file, which is marked as ours."""
    header = Header(layout)
    return replace(header, unmarked=not set_mark(fd))


def _flock(fd: int, target: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PartFileFault(PartFileFaultKind.BUSY, f"{target} is being written by another process") from error
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            return False
        raise part_file_fault(error, target) from error
    return True
