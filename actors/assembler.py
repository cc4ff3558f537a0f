"""Assembler: the one writer of part files. Checks filled slots once more, writes and records them, seals the file.

Every part file of the program is open here and nowhere else. Slots belong to it from `SlotFilled` to `SlotFreed`.
Where this process is not the first of its name, its predecessors' slots are handed over again (`actors.slot_returns`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, assert_never

from actors.container_inspector import ContainerInspector
from actors.core.jobs.transaction import answers
from actors.piece_checks import PieceChecker
from actors.runtime.actor import Actor
from actors.runtime.background_work import BackgroundWork, Cancelled
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    BackgroundWorkEnded,
    CheckBoundaries,
    CheckContainer,
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClaimSlots,
    ClosePartFile,
    CommitRecords,
    ComparePieces,
    DiskFailed,
    DropChunks,
    FileSealed,
    GetChunkDigest,
    JobClosed,
    Message,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    PartFileRemoved,
    PieceHashed,
    RemovePartFile,
    SealFile,
    SealRefused,
    SizeLearned,
    SlotFilled,
    SlotFreed,
    SlotsGranted,
    SlotSpoiled,
    SourceChanged,
    SourcesJudged,
    ValidatorSeen,
)
from protocol.messages.addresses import ASSEMBLER, dispatcher_address, split_address
from protocol.model.faults import PartFileFault
from protocol.model.filenames import safe_name
from protocol.model.job_views import ChunkDigest
from protocol.model.value import Struct, field
from storage.chunk_index import DIGEST_BYTES
from storage.chunk_journal import Evidence
from storage.digests import Checksum, date_name, date_slots, source_hash, validator_digest
from storage.durable import make_folder
from storage.early_spans import EarlySpans, compared
from storage.existing import Existing, find_existing
from storage.part_file import ChecksumMismatch, Opened, PartFile, Sealed, Spoiled, discard
from storage.placing.placement import Origin, PlacedFile, place
from storage.shared_memory import Arena

AboutPartFile = (
    OpenPartFile
    | ValidatorSeen
    | SizeLearned
    | DropChunks
    | SourcesJudged
    | CheckBoundaries
    | CheckContainer
    | ComparePieces
    | SealFile
    | ClosePartFile
    | JobClosed
)
AssemblerInbox = (
    AboutPartFile
    | SlotFilled
    | ClaimSlots
    | CommitRecords
    | BackgroundWorkEnded
    | RemovePartFile
    | PieceHashed
    | GetChunkDigest
)
COMMIT_S: Final = 1.0
RANGES_PER_MESSAGE: Final = 2000
REHASH_REPORT_S: Final = 0.25


class _Job(Struct):
    """An open part file."""

    request: OpenPartFile
    part: PartFile
    dispatcher: str
    checksum: Checksum | None
    recorded: dict[int, bytes]
    """Validators, by source hash, from an earlier attempt whose chunks were believed."""
    sealed: FileSealed | None = None
    """Kept for a hub that has not heard it; the file changes no more."""
    placed: PlacedFile | None = None
    """Where the sealed file was put."""
    early: EarlySpans = field(default_factory=EarlySpans)


class Assembler(Actor):
    """Actor that owns all open part files. One in each program, in the store process."""

    message_s_max = 600.0  # a device may take long to write; reading whole files is done beside

    def __init__(self, bus: MessageBus, arena: Arena, *, generation: int = 0, roots: tuple[str, ...] = ()) -> None:
        super().__init__(split_address(ASSEMBLER)[1], bus)
        self._arena = arena
        self._generation = generation
        self._roots = roots  # folders outside these are refused; empty: none is
        self._held: dict[int, str] = {}  # slots being written, and the shelves they go back to
        self._jobs: dict[int, _Job] = {}
        self._opening: dict[int, OpenPartFile] = {}
        self._closing: dict[tuple[str, str], int] = {}  # parts that are being closed, and by which job
        self._pieces = PieceChecker(bus)
        self._background = BackgroundWork("store", lambda job: bus.post(self.address, BackgroundWorkEnded(job=job)))

        self._inspector = ContainerInspector(bus.post)

    def starting(self) -> None:
        self.bus.post_later(COMMIT_S, self.address, CommitRecords())

    def stopping(self) -> None:
        """A sealed file that its dispatcher has not closed may be news to the next one: its records stay."""
        self._inspector.close()
        self._background.close()
        self._pieces.close()
        for job in self._jobs.values():
            job.part.abandon() if job.sealed is not None else job.part.close()
        self._jobs.clear()

    def handle(self, message: AssemblerInbox) -> None:
        match message:
            case SlotFilled():
                self._write(message)
            case ClaimSlots():
                self._return_slots(message)
            case CommitRecords():
                self.bus.post_later(COMMIT_S, self.address, CommitRecords())
                for number in [each for each in self._jobs if not self._background.busy(each)]:
                    self._use_disk(number, lambda job: job.part.commit())
            case BackgroundWorkEnded(job=number):
                for deferred in self._background.finish(number):
                    self.handle(deferred)  # type: ignore[arg-type]  # it was one of ours before
            case PieceHashed():
                self._pieces.take(message)
            case GetChunkDigest(job=number, chunk=chunk):
                job = self._jobs.get(number)
                digest = job.part.digest(chunk) if job is not None else b""
                for part in answers(message.request, [ChunkDigest(digest=digest)] if digest else []):
                    self.bus.post(message.reply_to, part)
            case RemovePartFile(id=id):
                detail = discard(message.folder, safe_name(message.name, "download"), self._roots)
                self.bus.post(message.reply_to, PartFileRemoved(id=id, detail=detail))
            case _:
                self._about_part_file(message)

    def _about_part_file(self, message: AboutPartFile) -> None:
        """Defer what is about a part file in background work; cancel an opening whose job is over."""
        if self._background.busy(message.job):
            if isinstance(message, ClosePartFile | JobClosed) and message.job in self._opening:
                self._background.cancel(message.job)
                self._closing[_path_key(self._opening[message.job])] = message.job
            self._background.defer(message.job, message)
            return
        if isinstance(message, OpenPartFile) and (closing := self._closing.get(_path_key(message))) is not None:
            self._background.defer(closing, message)  # its lock is about to be given back
            return
        match message:
            case OpenPartFile():
                if not self._is_open(message):
                    self._open(message)
            case ValidatorSeen():
                self._use_disk(message.job, lambda job: self._note_validator(message, job))
            case DropChunks(firsts=firsts, stops=stops, source_hashes=hashes):
                ranges = tuple(zip(firsts, stops, hashes, strict=True))
                self._use_disk(message.job, lambda job: job.part.drop(ranges))
                self._pieces.dropped(message.job, zip(firsts, stops, strict=True))
            case SourcesJudged(excluded=odd, readmitted=back):
                self._use_disk(message.job, lambda job: job.part.judge(odd, back))
            case SizeLearned(size_bytes=size_bytes):
                self._use_disk(message.job, lambda job: job.part.learn_size(size_bytes))
            case CheckBoundaries() | CheckContainer():
                if (job := self._jobs.get(message.job)) is not None:
                    self._inspector.check(message, job.part, _file_name(job.request), job.dispatcher)
            case ComparePieces(pieces=pieces):
                if (job := self._jobs.get(message.job)) is not None:
                    self._pieces.begin(message.job, job.dispatcher, job.part, pieces)
            case SealFile():
                self._seal(message)
            case ClosePartFile():
                self._close(message.job)
            case JobClosed():
                self._forget(message.job)
            case _:
                assert_never(message)

    def _is_open(self, request: OpenPartFile) -> bool:
        """Report an open part file to another hub that requests it; one of other terms is closed."""
        job = self._jobs.get(request.job)
        if job is None:
            return False
        if not _matches(job, request):
            self._jobs.pop(request.job).part.close()
            return False
        self._report_open(request, job.part, "")
        self._pieces.begin(request.job, request.dispatcher, job.part, request.spec.pieces)
        return True

    def _report_open(self, request: OpenPartFile, part: PartFile, note: str) -> None:
        for runs, sources in _parts(part.claims()):
            self.bus.post(request.dispatcher, ChunksVerified(job=request.job, ranges=runs, sources=sources))
        for chunks, sources, excluded in _evidence_parts(part.evidence):
            self.bus.post(
                request.dispatcher,
                ChunksVerified(job=request.job, ranges=(), repeated=chunks, repeated_by=sources, excluded=excluded),
            )
        if part.has_all(0, 1):
            self._inspector.recognise(request.job, part, _file_name(request), request.dispatcher)
        ready = PartFileReady(
            job=request.job,
            part_path=part.part_path,
            message=note,
            store=self._generation,
            chunk_size=part.chunk_size,
        )
        self.bus.post(request.dispatcher, ready)

    def _return_slots(self, claim: ClaimSlots) -> None:
        """Give a restarted fetch process its slots.

        Everything its predecessor posted has come before this, see `actors.runtime.unix_links`.
        """
        slots = range(claim.first, claim.stop)
        for slot in self._held:
            if slot in slots:
                self._held[slot] = claim.shelf
        free = tuple(slot for slot in slots if slot not in self._held)
        self.bus.post(claim.shelf, SlotsGranted(slots=free))

    def _open(self, request: OpenPartFile) -> None:
        spec = request.spec
        stale = self._jobs.pop(request.job, None)
        if stale is not None:  # requested once more: its dispatcher has forgotten that it is open
            stale.part.abandon()

        def opened(cancelled: threading.Event) -> Opened | Existing:
            if request.make_folder and not request.again:
                make_folder(spec.folder, spec.policy.sync, self._roots)
            name = _file_name(request)
            if not request.again and (there := self._existing(request, name)) is not None:
                return there
            return PartFile.open(
                spec.folder,
                name,
                size_bytes=spec.size_bytes,
                chunk_size=spec.chunk_size,
                any_chunk_size=request.any_chunk_size,
                preallocate=spec.policy.preallocate,
                sync=spec.policy.sync,
                again=request.again,
                progress=self._rehash_progress(request, cancelled),
                roots=self._roots,
                existing=spec.existing,
                start_over=request.start_over,
            )

        self._opening[request.job] = request
        self._background.begin(request.job, opened, lambda future: self._opened(request, future))

    def _existing(self, request: OpenPartFile, name: str) -> Existing | None:
        spec = request.spec
        return find_existing(
            spec.folder,
            name,
            policy=spec.existing,
            size_bytes=spec.size_bytes,
            checksum=Checksum.parse(spec.checksum) if spec.checksum else None,
            validators=request.validators,
            roots=self._roots,
        )

    def _opened(self, request: OpenPartFile, future: "Future[Opened | Existing]") -> None:
        del self._opening[request.job]
        self._closing.pop(_path_key(request), None)
        try:
            opened = future.result()
        except Cancelled:
            return
        except PartFileFault as fault:
            refused = PartFileRefused(job=request.job, fault=fault.kind, detail=fault.detail)
            self.bus.post(request.dispatcher, refused)
            return
        if isinstance(opened, Existing):
            there = FileSealed(
                job=request.job,
                path=opened.path,
                digest_hex=opened.digest_hex,
                already=opened.why,
                compared=opened.compared,
            )
            self.bus.post(request.dispatcher, there)
            return
        spec = request.spec
        checksum = Checksum.parse(spec.checksum) if spec.checksum else None
        recorded = dict(opened.notes) if opened.verified else {}
        self._jobs[request.job] = _Job(request, opened.part, request.dispatcher, checksum, recorded)
        self._report_open(request, opened.part, opened.message)
        self._pieces.begin(request.job, request.dispatcher, opened.part, spec.pieces)

    def _rehash_progress(self, request: OpenPartFile, cancelled: threading.Event) -> Callable[[int], None]:
        """Return a callback that reports how far the re-hash is now and then, and ends it when it is cancelled."""
        reported_s = time.monotonic()

        def progress(read_bytes: int) -> None:
            nonlocal reported_s
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() - reported_s >= REHASH_REPORT_S:
                reported_s = time.monotonic()
                read = PartFileRehashed(job=request.job, read_bytes=read_bytes)
                self.bus.post(request.dispatcher, read)

        return progress

    def _write(self, filled: SlotFilled) -> None:
        if filled.store != self._generation:
            return  # not for us: it comes again when its fetch process knows that the part file is open here
        job = self._jobs.get(filled.job)
        self._held[filled.slot] = filled.shelf
        try:
            if job is not None and not self._background.busy(filled.job):  # a file being sealed lacks nothing
                self._store(filled, job)
        finally:
            self.bus.post(self._held.pop(filled.slot), SlotFreed(slot=filled.slot))

    def _store(self, filled: SlotFilled, job: _Job) -> None:
        view = self._arena.view(filled.slot)[: filled.length_bytes]
        if filled.span_at >= 0:
            self._compare(filled, job, view)
            return
        try:
            written = job.part.write(filled.first, view, filled.digests, filled.source_hash)
        except PartFileFault as fault:
            self._disk_failed(filled.job, job, fault)
            return
        except Spoiled:
            self._spoiled(filled, job)
            return
        if any(first == 0 for first, _ in written.stored):  # before the news that may complete the file
            self._inspector.recognise(filled.job, job.part, _file_name(job.request), job.dispatcher)
        for kind, runs in ((ChunksStored, written.stored), (ChunksRepeated, written.repeated)):
            for first, stop in runs:
                begin = (first - filled.first) * job.part.chunk_size
                length = min((stop - filled.first) * job.part.chunk_size, filled.length_bytes) - begin
                self._report(
                    job,
                    kind(
                        job=filled.job,
                        source=filled.source,
                        lease=filled.lease,
                        first=first,
                        count=stop - first,
                        length_bytes=length,
                    ),
                )
        self._pieces.stored(filled.job, written.stored)
        try:
            for early in job.early.compare(job.part, written.stored):
                self._report(job, early)
        except PartFileFault as fault:
            self._disk_failed(filled.job, job, fault)
            return
        for chunk, other, stored_digest in written.disputed:
            at = DIGEST_BYTES * (chunk - filled.first)
            self._report(
                job,
                ChunkDisputed(
                    job=filled.job,
                    source=filled.source,
                    lease=filled.lease,
                    chunk=chunk,
                    other_source_hash=other,
                    digest=filled.digests[at : at + DIGEST_BYTES],
                    stored_digest=stored_digest,
                ),
            )

    def _spoiled(self, filled: SlotFilled, job: _Job) -> None:
        who = {"job": filled.job, "source": filled.source, "lease": filled.lease, "first": filled.first}
        self._report(job, SlotSpoiled(**who, count=len(filled.digests) // DIGEST_BYTES))

    def _compare(self, filled: SlotFilled, job: _Job, view: memoryview) -> None:
        """Compare a span of a chunk with what is stored; nothing is written."""
        try:
            agrees = job.part.compare(filled.first, filled.span_at, view, filled.digests, filled.source_hash)
        except PartFileFault as fault:
            self._disk_failed(filled.job, job, fault)
        except Spoiled:
            self._spoiled(filled, job)
        else:
            if agrees is None:
                job.early.keep(filled)
            self._report(job, compared(filled, agrees, lease=filled.lease))

    def _note_validator(self, seen: ValidatorSeen, job: _Job) -> None:
        """A source whose content is not what the stored chunks came from must not go on with them."""
        name, dated = seen.source_name, date_name(seen.source_name)
        before, date = job.recorded.get(source_hash(name)), job.recorded.get(source_hash(dated))
        dates = date_slots(seen.modified)
        if before is not None and before != validator_digest(seen.validator) and not seen.agreed:
            detail = f"{seen.source_name} has another file than when this download began"
            changed = SourceChanged(
                job=seen.job, source_name=name, detail=detail, unclear=date in [validator_digest(one) for one in dates]
            )
            self._report(job, changed)
            return
        job.part.note(name, seen.validator)
        if dates:
            job.part.note(dated, dates[0])

    def _seal(self, seal: SealFile) -> None:
        number, named = seal.job, seal.checksum
        job = self._jobs.get(number)
        if job is None:
            return
        if job.sealed is not None:
            self._report(job, job.sealed)
            return
        part, checksum = job.part, job.checksum or (Checksum.parse(named) if named else None)
        spec, origin = job.request.spec, Origin(user=seal.user, path=seal.path, host=seal.host)

        def steps(_cancelled: threading.Event) -> tuple[Sealed, PlacedFile]:
            sealed = part.seal(checksum)
            policy = spec.policy if spec.template_root else spec.policy.but(output_template="")
            root = spec.template_root or spec.folder
            name = _file_name(job.request)
            return sealed, place(sealed.path, root, policy, origin, existing=spec.existing, wanted=name)

        self._background.begin(number, steps, lambda future: self._sealed(number, job, future))

    def _sealed(self, number: int, job: _Job, future: "Future[tuple[Sealed, PlacedFile]]") -> None:
        try:
            sealed, job.placed = future.result()
        except ChecksumMismatch as mismatch:
            detail = f"{mismatch}; kept {job.part.part_path}: remove it to fetch again"
            self._report(job, SealRefused(job=number, detail=detail))
            return
        except PartFileFault as fault:
            self._disk_failed(number, job, fault)
            return
        job.sealed = FileSealed(
            job=number,
            path=job.placed.path,
            digest_hex=sealed.digest_hex,
            digest_s=sealed.digest_s,
            compared=sealed.compared,
            note=job.placed.note,
        )
        self._report(job, job.sealed)

    def _close(self, number: int) -> None:
        """What is sealed stays open, and so recorded, until its dispatcher has heard that it is (`_forget`)."""
        job = self._jobs.get(number)
        if job is not None and job.sealed is not None:
            self._report(job, job.sealed)
            return
        self._jobs.pop(number, None)
        if job is None:  # it was refused: nothing is open, and that is the answer too
            self.bus.post(dispatcher_address(number), PartFileClosed(job=number))
            return
        self._begin_close(number, job, lambda future: self._closed(number, job, future))

    def _begin_close(self, number: int, job: _Job, then: Callable[["Future[None]"], None]) -> None:
        self._pieces.end(number)

        def closed(future: "Future[None]") -> None:
            self._closing.pop(_path_key(job.request), None)
            then(future)

        def close(_cancelled: threading.Event) -> None:
            job.part.close()
            if job.placed is not None:
                job.placed.settle()

        self._closing[_path_key(job.request)] = number
        self._background.begin(number, close, closed)

    def _closed(self, number: int, job: _Job, future: "Future[None]") -> None:
        try:
            future.result()
        except PartFileFault as fault:
            self._report(job, DiskFailed(job=number, fault=fault.kind, detail=fault.detail))
        self._report(job, PartFileClosed(job=number))

    def _forget(self, number: int) -> None:
        job = self._jobs.pop(number, None)
        if job is not None:  # its dispatcher is gone: the outcome is not reported
            self._begin_close(number, job, _only_disk_faults)

    def _use_disk(self, number: int, act: Callable[[_Job], None]) -> None:
        """Run something that touches the disk; its fault is the job's, not ours."""
        job = self._jobs.get(number)
        if job is None:
            return
        try:
            act(job)
        except PartFileFault as fault:
            self._disk_failed(number, job, fault)

    def _disk_failed(self, number: int, job: _Job, fault: PartFileFault) -> None:
        """Leave nothing of it open, so that the disk can be unmounted or put back.

        Slots that still come for it are dropped, and its dispatcher knows that they are.
        """
        del self._jobs[number]
        self._pieces.end(number)
        job.part.abandon()
        self._report(job, DiskFailed(job=number, fault=fault.kind, detail=fault.detail))

    def _report(self, job: _Job, message: Message) -> None:
        self.bus.post(job.dispatcher, message)


def _path_key(request: OpenPartFile) -> tuple[str, str]:
    """Return what two part files cannot share."""
    return request.spec.folder, _file_name(request)


def _file_name(request: OpenPartFile) -> str:
    return request.spec.name if request.exact_name else safe_name(request.spec.name, "download")


def _only_disk_faults(future: "Future[None]") -> None:
    """Raise what is our fault."""
    with suppress(PartFileFault):
        future.result()


def _matches(job: _Job, request: OpenPartFile) -> bool:
    """Whether the request can go on with what is open. A sealed file is done, by whatever name."""
    if job.sealed is not None:
        same_size = request.spec.size_bytes in (-1, job.part.size_bytes)
        return same_size and (request.any_chunk_size or job.part.chunk_size == request.spec.chunk_size)
    return _terms(job.request) == _terms(request) and job.part.resumable


def _terms(request: OpenPartFile) -> tuple[object, ...]:
    """Return all that matters for an open part file; the rest of the job, like its limit, may change meanwhile."""
    spec, policy = request.spec, request.spec.policy
    place = (spec.folder, spec.name, request.make_folder, policy.preallocate, policy.sync)
    return (*place, spec.size_bytes, spec.chunk_size, spec.checksum, spec.pieces, request.dispatcher, request.again)


def _parts(claims: list[tuple[int, int, int]]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield ranges as flat tuples, and the source of each, short enough for one frame."""
    for at in range(0, len(claims), RANGES_PER_MESSAGE):
        part = claims[at : at + RANGES_PER_MESSAGE]
        yield tuple(edge for first, stop, _ in part for edge in (first, stop)), tuple(source for _, _, source in part)


def _evidence_parts(evidence: Evidence) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Yield chunks with the sources that repeated them, and odd sources, short enough for one frame."""
    rows = [(chunk, source) for chunk, sources in sorted(evidence.repeats.items()) for source in sorted(sources)]
    odd = sorted(evidence.excluded)
    for at in range(0, max(len(rows), len(odd)), RANGES_PER_MESSAGE):
        part = rows[at : at + RANGES_PER_MESSAGE]
        yield (
            tuple(chunk for chunk, _ in part),
            tuple(source for _, source in part),
            tuple(odd[at : at + RANGES_PER_MESSAGE]),
        )
