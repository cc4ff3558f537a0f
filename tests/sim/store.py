"""A plain model of the Assembler: remembers one digest a chunk and answers as the real one does."""

from typing import Final

from protocol.messages import (
    BoundariesChecked,
    CheckBoundaries,
    CheckContainer,
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    ContainerBroken,
    ContainerChecked,
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
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.faults import PartFileFaultKind
from tests.sim.script import TRUE, SourceScript, span_mark
from tests.sim.worker import Surroundings

WRITE_S: Final = 0.0004


class StoreModel:
    """`digests` is the truth of the world: chunk -> what was stored first. `resumed` is there at the start."""

    def __init__(
        self,
        world: Surroundings,
        *,
        resumed: tuple[ChunkRange, ...] = (),
        fails_after_chunks: int | None = None,
        back_after_s: float = 0.0,
        refuses: bool = False,
        checks_content: bool = False,
        files: tuple[bytes, ...] = (),
        decodes: bool = False,
        scripts: tuple[SourceScript, ...] = (),
    ) -> None:
        """`scripts`: the sources, whose hashes count from 1.

        `files`: the marks of every chunk of each file that is whole by its container's checks.
        `decodes`: the digest of the whole is compared too, so that only one of them passes, not a mix of them.
        """
        self.world = world
        self.senders: dict[int, int] = {}
        self._early: dict[int, list[SlotFilled]] = {}
        self.digests = {chunk: TRUE for first, stop in resumed for chunk in range(first, stop)}
        self.resumed = resumed
        self.fails_after_chunks = fails_after_chunks
        self.back_after_s = back_after_s
        self.failed_s: float | None = None
        self.refuses = refuses
        self.checks_content = checks_content
        self.files, self.decodes = files, decodes
        self.scripts = scripts
        self.chunk_count = -1
        self.chunk_size = 1
        self.sealed_s: float | None = None
        self.stored_s = 0.0  # when the last new chunk came
        self.refetched_chunks = 0.0
        self.dropped_chunks = 0
        self.closed = False

    def receive(self, message: Message) -> None:
        match message:
            case OpenPartFile():
                self._open(message)
            case SlotFilled():
                self.world.at(self.world.now_s + WRITE_S, lambda: self._store(message))
            case SizeLearned():
                self.chunk_count = -(-message.size_bytes // self.chunk_size)
            case SealFile():
                self._seal()
            case ClosePartFile():
                self.closed = True
                self._tell(PartFileClosed(job=message.job))
            case JobClosed():
                self.closed = True
            case ValidatorSeen() | SourcesJudged():
                pass
            case CheckBoundaries(chunks=chunks):
                self._check_boundaries(chunks)
            case CheckContainer(request=request):
                self._check_container(request)
            case DropChunks(firsts=firsts, stops=stops, source_hashes=hashes):
                for first, stop, sender in zip(firsts, stops, hashes, strict=True):
                    for chunk in range(first, stop):
                        if sender in (-1, self.senders.get(chunk, 0)):
                            self.dropped_chunks += self.digests.pop(chunk, None) is not None
            case _:
                raise AssertionError(f"no message for the Assembler: {message}")

    def _fits(self, chunk: int) -> bool:
        """Whether the frame that spans the beginning of this chunk is whole: a file has both sides as they are."""
        pair = self.digests.get(chunk - 1, b"") + self.digests.get(chunk, b"")
        return any(marks[3 * chunk - 3 : 3 * chunk + 3] == pair for marks in self.files)

    def _check_boundaries(self, chunks: tuple[int, ...]) -> None:
        broken = tuple(chunk for chunk in chunks if not self._fits(chunk))
        self._tell(
            BoundariesChecked(
                job=1,
                chunks=chunks,
                format="FLAC",
                proven=tuple(chunk for chunk in chunks if self._fits(chunk)),
                broken=broken,
                broken_firsts=tuple(chunk - 1 for chunk in broken),
                broken_stops=tuple(chunk + 1 for chunk in broken),
            )
        )

    def _check_container(self, request: int) -> None:
        broken = next((chunk for chunk in range(1, self.chunk_count) if not self._fits(chunk)), None)
        first, stop = (0, self.chunk_count) if broken is None else (broken - 1, broken + 1)
        whole = b"".join(self.digests[chunk] for chunk in range(self.chunk_count)) in self.files
        if broken is None and (whole or not self.decodes):
            kind = "decoded" if self.decodes else "frames"
            self._tell(
                ContainerChecked(
                    job=1, request=request, kind=kind, detail="all frames are right", digest_open=not self.decodes
                )
            )
        else:
            self._tell(ContainerBroken(job=1, request=request, first=first, stop=stop, detail="a wrong frame"))

    def _open(self, wanted: OpenPartFile) -> None:
        self.chunk_size = wanted.spec.chunk_size
        if self.refuses:
            self._tell(PartFileRefused(job=wanted.job, fault=int(PartFileFaultKind.NO_SPACE), detail="no space"))
            return
        if wanted.again and self._still_fails(wanted):
            return
        if wanted.spec.size_bytes >= 0:
            self.chunk_count = -(-wanted.spec.size_bytes // wanted.spec.chunk_size)
        elif wanted.again:
            self.digests.clear()  # of unknown size nothing is resumed
        for first, stop in RangeSet((chunk, chunk + 1) for chunk in self.digests):
            self._tell(ChunksVerified(job=wanted.job, ranges=(first, stop)))
        self._tell(PartFileReady(job=wanted.job, part_path="/box/file.bin.part", message=""))

    def _still_fails(self, wanted: OpenPartFile) -> bool:
        assert self.failed_s is not None, "opened again though nothing had failed"
        if self.world.now_s - self.failed_s < self.back_after_s:
            self._tell(PartFileRefused(job=wanted.job, fault=int(PartFileFaultKind.NO_SPACE), detail="no space"))
            return True
        self.failed_s = self.fails_after_chunks = None
        return False

    def _store(self, filled: SlotFilled) -> None:
        if self.closed or self.failed_s is not None:
            return
        count = -(-filled.length_bytes // self.chunk_size)
        if filled.span_at >= 0:
            self._compare(filled)
            return
        if self.fails_after_chunks is not None and len(self.digests) >= self.fails_after_chunks:
            self.failed_s = self.world.now_s
            self._tell(DiskFailed(job=filled.job, fault=int(PartFileFaultKind.NO_SPACE), detail="no space"))
            return
        first, stop = filled.first, filled.first + count
        marks = [filled.digests[3 * index : 3 * index + 3] for index in range(count)]
        for chunk, mark in zip(range(first, stop), marks, strict=True):
            if self.digests.get(chunk, mark) != mark:
                self._tell(
                    ChunkDisputed(
                        job=filled.job,
                        source=filled.source,
                        lease=filled.lease,
                        chunk=chunk,
                        other_source_hash=self.senders.get(chunk, 0),
                        digest=mark,
                        stored_digest=self.digests[chunk],
                    )
                )
        self._answer_runs(filled, marks)

    def _compare(self, filled: SlotFilled, *, early: bool = False) -> None:
        """Compare a span; one that came before its chunk is compared once more, `early`, when that is stored."""
        chunk, sender = filled.first, self.senders.get(filled.first, 0)
        begin = chunk * self.chunk_size + filled.span_at
        has = span_mark(self.scripts[sender - 1], begin, begin + filled.length_bytes) if sender else TRUE
        stored = chunk in self.digests
        agrees = stored and has == filled.digests
        self.refetched_chunks += 0 if early else filled.length_bytes / self.chunk_size
        if not stored:
            self._early.setdefault(chunk, []).append(filled)
        who = {"job": filled.job, "source": filled.source, "lease": 0 if early else filled.lease}
        self._tell(SpanCompared(**who, chunk=chunk, stored=stored, agrees=agrees))

    def _answer_runs(self, filled: SlotFilled, marks: list[bytes]) -> None:
        """One word for each stretch of new chunks and each stretch of chunks that were there."""
        begin = filled.first
        stop = begin + len(marks)
        while begin < stop:
            known = self._known(begin, marks[begin - filled.first])
            end = begin
            while end < stop and self._known(end, marks[end - filled.first]) == known:
                end += 1
            if known is None:
                begin = end
                continue
            length = min(end * self.chunk_size, filled.first * self.chunk_size + filled.length_bytes)
            word = ChunksRepeated if known else ChunksStored
            self._tell(
                word(
                    job=filled.job,
                    source=filled.source,
                    lease=filled.lease,
                    first=begin,
                    count=end - begin,
                    length_bytes=length - begin * self.chunk_size,
                )
            )
            if known:
                self.refetched_chunks += end - begin
            for chunk in range(begin, end):
                self.digests[chunk] = marks[chunk - filled.first]
                if not known:
                    self.senders[chunk], self.stored_s = filled.source_hash, self.world.now_s
                for span in self._early.pop(chunk, ()):
                    self._compare(span, early=True)
            begin = end

    def _known(self, chunk: int, mark: bytes) -> bool | None:
        """Stored with this digest, not stored, or (None) stored with another one."""
        stored = self.digests.get(chunk)
        return None if stored not in (None, mark) else stored is not None

    def _seal(self) -> None:
        assert len(self.digests) == self.chunk_count, "asked to seal with chunks missing"
        if self.checks_content and any(mark != TRUE for mark in self.digests.values()):
            self._tell(SealRefused(job=1, detail="checksum differs"))
            return
        self.sealed_s = self.world.now_s
        self._tell(FileSealed(job=1, path="/box/file.bin", digest_hex="00"))

    def _tell(self, message: Message) -> None:
        self.world.send(ASSEMBLER, dispatcher_address(1), message)
