"""The Assembler's place in the world, with the real storage code on a disk that misbehaves.

Everything is played at a scale: a chunk of the world is one of `REAL_CHUNK` bytes in the part file, made of the chunk's
number and the mark its source sent. What the real Assembler would answer is answered.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import xxhash

from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    DiskFailed,
    DropChunks,
    FileSealed,
    JobClosed,
    Message,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    SealFile,
    SealRefused,
    SizeLearned,
    SlotFilled,
    SourcesJudged,
    SpanCompared,
    ValidatorSeen,
)
from protocol.messages.addresses import ASSEMBLER, dispatcher_address
from protocol.model.chunk_ranges import ChunkRange
from protocol.model.faults import PartFileFault
from storage.chunk_index import DIGEST_BYTES
from storage.digests import Checksum, digests_of
from storage.layout import Layout
from storage.part_file import ChecksumMismatch, PartFile, Sealed
from tests.sim.disk import Disk, MachineDied
from tests.sim.script import TRUE
from tests.sim.store import WRITE_S
from tests.sim.worker import Surroundings

REAL_CHUNK: Final = 16
COMMIT_S: Final = 1.0
NAME: Final = "file.bin"


def real_bytes(length: int, chunk_size: int) -> int:
    """The scale: whole chunks stay whole, what is left over stays a short chunk."""
    whole, rest = divmod(length, chunk_size)
    return whole * REAL_CHUNK + -(-rest * REAL_CHUNK // chunk_size)


def chunk_bytes(chunk: int, mark: bytes, length: int = REAL_CHUNK) -> bytes:
    return xxhash.xxh3_128_digest(b"%d %s" % (chunk, mark))[:length]


class StoreOnDisk:
    """`digests`: chunk -> mark of what must be in the part file, as far as a message has said so."""

    def __init__(
        self, world: Surroundings, disk: Disk, *, layout: Layout, resumed: tuple[ChunkRange, ...], checks_content: bool
    ) -> None:
        """`layout` is the world's; `resumed` is what an earlier run had stored."""
        self.world, self.disk, self.checks_content = world, disk, checks_content
        self.digests: dict[int, bytes] = {}
        self.taken_back: dict[int, bytes] = {}
        self.chunk_count, self.chunk_size = -1, 1
        self.sealed_s: float | None = None
        self.closed = False
        self._target: PartFile | None = None
        self._sealed: FileSealed | None = None
        self._announced = self._sealing = False
        self._leave_behind(real_bytes(layout.size_bytes, layout.chunk_size), resumed)
        self.world.at(COMMIT_S, self._commit)

    def receive(self, message: Message) -> None:
        self.disk.now_s = self.world.now_s
        with self.disk.mounted():
            match message:
                case OpenPartFile():
                    self._open(message)
                case SlotFilled():
                    self.world.at(self.world.now_s + WRITE_S, lambda: self._later(message))
                case SizeLearned(size_bytes=size):
                    self.chunk_count = -(-size // self.chunk_size)
                    self._try(lambda target: target.learn_size(real_bytes(size, self.chunk_size)))
                case SealFile():
                    self._try(self._seal)
                case ClosePartFile() if self._sealed is not None:
                    self._tell(self._sealed)
                case ClosePartFile():
                    self._close()
                    self._tell(PartFileClosed(job=1))
                case JobClosed():
                    self._close()
                case DropChunks(firsts=firsts, stops=stops, source_hashes=hashes):
                    ranges = tuple(zip(firsts, stops, hashes, strict=True))
                    self._try(lambda target: target.drop(ranges))
                    if self._target is not None:
                        kept = {each for first, stop, _ in self._target.claims() for each in range(first, stop)}
                        self.taken_back |= {chunk: mark for chunk, mark in self.digests.items() if chunk not in kept}
                        self.digests = {chunk: mark for chunk, mark in self.digests.items() if chunk in kept}
                case SourcesJudged(excluded=odd, readmitted=back):
                    self._try(lambda target: target.judge(odd, back))
                case ValidatorSeen():
                    self._try(lambda target: target.note(message.source_name, message.validator))
                case _:
                    raise AssertionError(f"no message for the Assembler: {message}")

    def die(self) -> None:
        """The machine dies: descriptors close by themselves, what was not synced may be gone."""
        if self._target is not None:
            self._target.abandon()
        self._target, self.closed = None, True
        self.disk.die()

    def inherit(self, dead: "StoreOnDisk") -> None:
        """The same folder after the machine died."""
        self.digests, self.taken_back = dict(dead.digests), dict(dead.taken_back)

    @property
    def whole(self) -> bool:
        """Whether all of a file of announced size is there: sealing had begun, and nothing of it is to be fetched."""
        return self._announced and self._sealing

    # -- opening

    def _open(self, wanted: OpenPartFile) -> None:
        assert self._target is None, "opened twice"
        self.chunk_size = wanted.spec.chunk_size
        size = real_bytes(wanted.spec.size_bytes, wanted.spec.chunk_size) if wanted.spec.size_bytes >= 0 else -1
        try:
            run = PartFile.open(
                str(self.disk.folder), NAME, size_bytes=size, chunk_size=REAL_CHUNK, sync="none", again=wanted.again
            )
        except PartFileFault as fault:
            self._tell(PartFileRefused(job=1, fault=int(fault.kind), detail=fault.detail))
            return
        self._announced, self._sealing = size >= 0, False
        if size >= 0:
            self.chunk_count = -(-wanted.spec.size_bytes // wanted.spec.chunk_size)
        self._target = run.part
        held = os.pread(run.part._part.part_fd, 1 << 30, 0)  # the part file, or what it became
        self._check_verified([chunk for first, stop in run.verified for chunk in range(first, stop)], held)
        for first, stop in run.verified:
            self._tell(ChunksVerified(job=1, ranges=(first, stop)))
        self._tell(PartFileReady(job=1, part_path=run.part.part_path, message=run.message))

    def _leave_behind(self, size: int, resumed: tuple[ChunkRange, ...]) -> None:
        if not resumed:
            return
        target = PartFile.open(str(self.disk.folder), NAME, size_bytes=size, chunk_size=REAL_CHUNK, sync="none").part
        for first, stop in resumed:
            for chunk in range(first, stop):
                data = chunk_bytes(chunk, TRUE, min(REAL_CHUNK, size - chunk * REAL_CHUNK))
                target.write(chunk, memoryview(data), digests_of(memoryview(data), len(data), REAL_CHUNK), 1)
                self.digests[chunk] = TRUE
        target.abandon()

    def _check_verified(self, chunks: list[int], held: bytes) -> None:
        """Nothing is believed but what was handed over, bit by bit; what the disk lost is not missed by anybody."""
        for chunk in chunks:
            if chunk not in self.digests and chunk in self.taken_back:
                # The record that took it back was lost with the disk's cache. Its sender has to be tied again.
                self.digests[chunk] = self.taken_back[chunk]
            assert chunk in self.digests, f"chunk {chunk} is believed and was never stored: wrong"
            data = held[chunk * REAL_CHUNK : (chunk + 1) * REAL_CHUNK]
            assert data == chunk_bytes(chunk, self.digests[chunk], len(data)), f"chunk {chunk} is believed and wrong"
        self.digests = {chunk: self.digests[chunk] for chunk in chunks}

    # -- writing

    def _later(self, filled: SlotFilled) -> None:
        self.disk.now_s = self.world.now_s
        with self.disk.mounted():
            self._try(lambda target: self._store(target, filled))

    def _compare(self, target: PartFile, filled: SlotFilled) -> None:
        at, length = (real_bytes(each, self.chunk_size) for each in (filled.span_at, filled.length_bytes))
        data = chunk_bytes(filled.first, filled.digests)[at : at + length]
        view = memoryview(data)
        agrees = target.compare(filled.first, at, view, digests_of(view, len(data), REAL_CHUNK), filled.source_hash)
        who = {"job": 1, "source": filled.source, "lease": filled.lease}
        self._tell(SpanCompared(**who, chunk=filled.first, stored=agrees is not None, agrees=agrees is True))

    def _store(self, target: PartFile, filled: SlotFilled) -> None:
        if filled.span_at >= 0:
            self._compare(target, filled)
            return
        count = -(-filled.length_bytes // self.chunk_size)
        length = real_bytes(filled.length_bytes, self.chunk_size)
        if target.size_bytes >= 0:  # a source that announced a few bytes too many is played as if it had sent them
            length = min(count * REAL_CHUNK, target.size_bytes - filled.first * REAL_CHUNK)
        marks = [filled.digests[3 * at : 3 * at + 3] for at in range(count)]
        data = b"".join(chunk_bytes(filled.first + at, mark) for at, mark in enumerate(marks))[:length]
        for at, mark in enumerate(marks):  # before the write: a fault in the middle may leave some of them recorded
            self.digests.setdefault(filled.first + at, mark)
        view = memoryview(data)
        written = target.write(filled.first, view, digests_of(view, length, REAL_CHUNK), filled.source_hash)
        for word, runs in ((ChunksStored, written.stored), (ChunksRepeated, written.repeated)):
            for first, stop in runs:
                end = min((stop - filled.first) * self.chunk_size, filled.length_bytes)
                self._tell(
                    word(
                        job=1,
                        source=filled.source,
                        lease=filled.lease,
                        first=first,
                        count=stop - first,
                        length_bytes=end - (first - filled.first) * self.chunk_size,
                    )
                )
        for chunk, other, stored_digest in written.disputed:
            at = DIGEST_BYTES * (chunk - filled.first)
            self._tell(
                ChunkDisputed(
                    job=1,
                    source=filled.source,
                    lease=filled.lease,
                    chunk=chunk,
                    other_source_hash=other,
                    digest=digests_of(view, length, REAL_CHUNK)[at : at + DIGEST_BYTES],
                    stored_digest=stored_digest,
                )
            )

    def _commit(self) -> None:
        self.disk.now_s = self.world.now_s
        with self.disk.mounted():
            self._try(lambda target: target.commit())
        self.disk.synced()
        if not self.closed:
            self.world.at(self.world.now_s + COMMIT_S, self._commit)

    def _try(self, act: Callable[[PartFile], object]) -> None:
        """As the Assembler: a fault lets go of the target, and whatever comes for it then is dropped."""
        target = self._target
        if target is None:
            return
        try:
            act(target)
        except PartFileFault as fault:
            self._target = None
            target.abandon()
            self._tell(DiskFailed(job=1, fault=int(fault.kind), detail=fault.detail))

    # -- the end

    def _seal(self, target: PartFile) -> None:
        self._sealing = True
        size = target.size_bytes
        wanted = b"".join(chunk_bytes(chunk, TRUE) for chunk in range(self.chunk_count))[:size]
        checksum = Checksum.parse(f"xxh3_128:{xxhash.xxh3_128_digest(wanted).hex()}") if self.checks_content else None
        try:
            sealed = self._sealed_by_steps(target, checksum)
        except ChecksumMismatch as mismatch:
            self._tell(SealRefused(job=1, detail=str(mismatch)))
            return
        stored = b"".join(chunk_bytes(chunk, self.digests[chunk]) for chunk in range(self.chunk_count))[:size]
        assert Path(sealed.path).read_bytes() == stored, "wrong: the sealed file is not what was handed over"
        assert not self.checks_content or stored == wanted, "wrong: sealed against its checksum"
        self.sealed_s = self.world.now_s
        if self.disk.dies_behind("sealed"):
            raise MachineDied
        self._sealed = FileSealed(job=1, path=sealed.path, digest_hex=sealed.digest_hex)
        self._tell(self._sealed)

    def _sealed_by_steps(self, target: PartFile, checksum: Checksum | None) -> Sealed:
        steps = target.sealing(checksum)
        while True:
            try:
                if self.disk.dies_behind(next(steps)):
                    raise MachineDied
            except StopIteration as end:
                sealed: Sealed = end.value
                return sealed

    def _close(self) -> None:
        target, self._target, self.closed = self._target, None, True
        if target is not None:
            try:
                target.close()
            except PartFileFault as fault:
                self._tell(DiskFailed(job=1, fault=int(fault.kind), detail=fault.detail))

    def _tell(self, message: Message) -> None:
        self.world.send(ASSEMBLER, dispatcher_address(1), message)
