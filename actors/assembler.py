"""The one writer: takes filled slots, checks them once more, writes and records them, seals the file.

Every part file of the program is open here and nowhere else. Slots belong to it from `SlotFilled` to `SlotFreed`.
Where this process is not the first of its name, its predecessors' slots are handed over again (`actors.slot_returns`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

from actors.runtime.actor import Actor
from actors.runtime.background_work import BackgroundWork, Cancelled
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    BackgroundWorkEnded,
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClaimSlots,
    ClosePartFile,
    CommitRecords,
    DiskFailed,
    FileSealed,
    JobClosed,
    Message,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    PartFileRemoved,
    RemovePartFile,
    SealFile,
    SealRefused,
    SizeLearned,
    SlotFilled,
    SlotFreed,
    SlotsGranted,
    SlotSpoiled,
    SourceChanged,
    ValidatorSeen,
)
from protocol.messages.addresses import ASSEMBLER, dispatcher_address, split_address
from protocol.model.faults import PartFileFault
from protocol.model.filenames import safe_name
from storage.chunk_index import DIGEST_BYTES
from storage.digests import Checksum, source_hash, validator_digest
from storage.durable import make_folder
from storage.part_file import ChecksumMismatch, Opened, PartFile, Sealed, Spoiled, discard
from storage.shared_memory import Arena

AssemblerInbox = (
    OpenPartFile
    | ValidatorSeen
    | SlotFilled
    | ClaimSlots
    | SizeLearned
    | SealFile
    | ClosePartFile
    | JobClosed
    | CommitRecords
    | BackgroundWorkEnded
    | RemovePartFile
)

AboutTarget = OpenPartFile | ValidatorSeen | SizeLearned | SealFile | ClosePartFile | JobClosed
COMMIT_S: Final = 1.0
RUNS_PER_MESSAGE: Final = 2000
READ_TOLD_S: Final = 0.25


@dataclass(slots=True)
class _Job:
    """An open target, as `wanted`; `sealed` once it is, for a hub that has not heard of it (then nothing of it changes
    any more). `recorded` are validators from an earlier run whose chunks were believed."""

    wanted: OpenPartFile
    part: PartFile
    dispatcher: str
    checksum: Checksum | None
    chunk_size: int
    recorded: dict[int, bytes]
    sealed: FileSealed | None = None


class Assembler(Actor):
    """One a program, in the store process."""

    message_s_max = 600.0  # a device may take long to write; reading whole files is done beside

    def __init__(self, bus: MessageBus, arena: Arena, *, generation: int = 0, roots: tuple[str, ...] = ()) -> None:
        super().__init__(split_address(ASSEMBLER)[1], bus)
        self._arena = arena
        self._generation = generation
        self._roots = roots  # folders outside these are refused; empty: none is
        self._held: dict[int, str] = {}  # our slots, and the shelves they go back to
        self._jobs: dict[int, _Job] = {}
        self._opening: dict[int, OpenPartFile] = {}
        self._leaving: dict[tuple[str, str], int] = {}  # parts that are being let go of, and by which job
        self._long = BackgroundWork("store", lambda job: bus.post(self.address, BackgroundWorkEnded(job=job)))

    def starting(self) -> None:
        self.bus.post_later(COMMIT_S, self.address, CommitRecords())

    def stopping(self) -> None:
        """A sealed target that its dispatcher has not forgotten may be news to the next one: its records stay."""
        self._long.close()
        for job in self._jobs.values():
            job.part.abandon() if job.sealed is not None else job.part.close()
        self._jobs.clear()

    def handle(self, message: AssemblerInbox) -> None:
        match message:
            case SlotFilled():
                self._write(message)
            case ClaimSlots():
                self._grant_slots(message)
            case CommitRecords():
                self.bus.post_later(COMMIT_S, self.address, CommitRecords())
                for number in [each for each in self._jobs if not self._long.busy(each)]:
                    self._with_disk(number, lambda job: job.part.commit())
            case BackgroundWorkEnded(job=number):
                for deferred in self._long.finish(number):
                    self.handle(deferred)  # type: ignore[arg-type]  # it was one of ours before
            case RemovePartFile(id=id):
                detail = discard(message.folder, safe_name(message.name, "download"), self._roots)
                self.bus.post(message.reply_to, PartFileRemoved(id=id, detail=detail))
            case _:
                self._about_target(message)

    def _about_target(self, message: AboutTarget) -> None:
        """What is said about a target that is worked on waits. An opening that nobody wants any more is called off."""
        if self._long.busy(message.job):
            if isinstance(message, ClosePartFile | JobClosed) and message.job in self._opening:
                self._long.cancel(message.job)
                self._leaving[_place(self._opening[message.job])] = message.job
            self._long.defer(message.job, message)
            return
        if isinstance(message, OpenPartFile) and (leaving := self._leaving.get(_place(message))) is not None:
            self._long.defer(leaving, message)  # its lock is about to be given back
            return
        match message:
            case OpenPartFile():
                if not self._is_open(message):
                    self._open(message)
            case ValidatorSeen():
                self._with_disk(message.job, lambda job: self._note(message, job))
            case SizeLearned(size_bytes=size_bytes):
                self._with_disk(message.job, lambda job: job.part.learn_size(size_bytes))
            case SealFile():
                self._seal(message.job)
            case ClosePartFile():
                self._close(message.job)
            case JobClosed():
                self._forget(message.job)
            case _:
                assert_never(message)

    def _is_open(self, wanted: OpenPartFile) -> bool:
        """Another hub asks for what stands already: it is told what is stored. A target of other terms is let go."""
        job = self._jobs.get(wanted.job)
        if job is None:
            return False
        if not _suits(job, wanted):
            self._jobs.pop(wanted.job).part.close()
            return False
        self._tell_opened(wanted, job.part, "")
        return True

    def _tell_opened(self, wanted: OpenPartFile, target: PartFile, message: str) -> None:
        for runs, sources in _in_messages(target.claims()):
            self.bus.post(wanted.dispatcher, ChunksVerified(job=wanted.job, runs=runs, sources=sources))
        told = PartFileReady(job=wanted.job, part_path=target.part_path, message=message, store=self._generation)
        self.bus.post(wanted.dispatcher, told)

    def _grant_slots(self, asked: ClaimSlots) -> None:
        """A fetch process was started anew. All its predecessor ever said was heard before this, see
        `actors.runtime.unix_links`."""
        slots = range(asked.first, asked.stop)
        for slot in self._held:
            if slot in slots:
                self._held[slot] = asked.shelf
        free = tuple(slot for slot in slots if slot not in self._held)
        self.bus.post(asked.shelf, SlotsGranted(slots=free))

    def _open(self, wanted: OpenPartFile) -> None:
        spec = wanted.spec
        stale = self._jobs.pop(wanted.job, None)
        if stale is not None:  # asked for once more: who asks has forgotten that it is open
            stale.part.abandon()

        def opened(off: threading.Event) -> Opened:
            if wanted.make_folder and not wanted.again:
                make_folder(spec.folder, spec.policy.sync, self._roots)
            return PartFile.open(
                spec.folder,
                safe_name(spec.name, "download"),
                size_bytes=spec.size_bytes,
                chunk_size=spec.chunk_size,
                preallocate=spec.policy.preallocate,
                sync=spec.policy.sync,
                again=wanted.again,
                progress=self._reader(wanted, off),
                roots=self._roots,
            )

        self._opening[wanted.job] = wanted
        self._long.begin(wanted.job, opened, lambda future: self._opened(wanted, future))

    def _opened(self, wanted: OpenPartFile, future: "Future[Opened]") -> None:
        del self._opening[wanted.job]
        self._leaving.pop(_place(wanted), None)
        try:
            opened = future.result()
        except Cancelled:
            return
        except PartFileFault as fault:
            refused = PartFileRefused(job=wanted.job, fault=fault.kind, detail=fault.detail)
            self.bus.post(wanted.dispatcher, refused)
            return
        spec = wanted.spec
        checksum = Checksum.parse(spec.checksum) if spec.checksum else None
        recorded = dict(opened.notes) if opened.verified else {}
        self._jobs[wanted.job] = _Job(wanted, opened.part, wanted.dispatcher, checksum, spec.chunk_size, recorded)
        self._tell_opened(wanted, opened.part, opened.message)

    def _reader(self, wanted: OpenPartFile, off: threading.Event) -> Callable[[int, int], None]:
        """Tells how far the re-hash is, now and then: a large file takes a while. Ends it when it is called off."""
        told_s = time.monotonic()

        def heard(read_bytes: int, total_bytes: int) -> None:
            nonlocal told_s
            if off.is_set():
                raise Cancelled
            if time.monotonic() - told_s >= READ_TOLD_S:
                told_s = time.monotonic()
                read = PartFileRehashed(job=wanted.job, read_bytes=read_bytes, total_bytes=total_bytes)
                self.bus.post(wanted.dispatcher, read)

        return heard

    def _write(self, filled: SlotFilled) -> None:
        if filled.store != self._generation:
            return  # not for us: it comes again when its fetch process knows that the target stands here
        job = self._jobs.get(filled.job)
        self._held[filled.slot] = filled.shelf
        try:
            if job is not None and not self._long.busy(filled.job):  # being sealed it lacks nothing
                self._store(filled, job)
        finally:
            self.bus.post(self._held.pop(filled.slot), SlotFreed(slot=filled.slot))

    def _store(self, filled: SlotFilled, job: _Job) -> None:
        view = self._arena.view(filled.slot)[: filled.length_bytes]
        try:
            written = job.part.write(filled.first, view, filled.digests, filled.source_hash)
        except PartFileFault as fault:
            self._let_go(filled.job, job, fault)
            return
        except Spoiled:
            count = len(filled.digests) // DIGEST_BYTES
            self._tell(
                job,
                SlotSpoiled(job=filled.job, source=filled.source, lease=filled.lease, first=filled.first, count=count),
            )
            return
        for kind, runs in ((ChunksStored, written.stored), (ChunksRepeated, written.repeated)):
            for first, stop in runs:
                begin = (first - filled.first) * job.chunk_size
                length = min((stop - filled.first) * job.chunk_size, filled.length_bytes) - begin
                self._tell(
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
        for chunk, other in written.disputed:
            self._tell(
                job,
                ChunkDisputed(
                    job=filled.job, source=filled.source, lease=filled.lease, chunk=chunk, other_source_hash=other
                ),
            )

    def _note(self, seen: ValidatorSeen, job: _Job) -> None:
        """A source whose content is not what the stored chunks came from must not go on with them."""
        before = job.recorded.get(source_hash(seen.source_name))
        if before is not None and before != validator_digest(seen.validator):
            detail = (
                f"{seen.source_name} has changed since this download began; "
                f"remove {job.part.part_path} to fetch it anew"
            )
            self._tell(job, SourceChanged(job=seen.job, source_name=seen.source_name, detail=detail))
            return
        job.part.note(seen.source_name, seen.validator)

    def _seal(self, number: int) -> None:
        job = self._jobs.get(number)
        if job is None:
            return
        if job.sealed is not None:
            self._tell(job, job.sealed)
            return
        part, checksum = job.part, job.checksum
        self._long.begin(number, lambda _off: part.seal(checksum), lambda future: self._sealed(number, job, future))

    def _sealed(self, number: int, job: _Job, future: "Future[Sealed]") -> None:
        try:
            sealed = future.result()
        except ChecksumMismatch as mismatch:
            detail = f"{mismatch}; kept {job.part.part_path}: remove it to fetch anew"
            self._tell(job, SealRefused(job=number, detail=detail))
            return
        except PartFileFault as fault:
            self._let_go(number, job, fault)
            return
        job.sealed = FileSealed(job=number, path=sealed.path, digest_hex=sealed.digest_hex, digest_s=sealed.digest_s)
        self._tell(job, job.sealed)

    def _close(self, number: int) -> None:
        """What is sealed stays open, and so recorded, until its dispatcher has heard that it is (`_forget`)."""
        job = self._jobs.get(number)
        if job is not None and job.sealed is not None:
            self._tell(job, job.sealed)
            return
        self._jobs.pop(number, None)
        if job is None:  # it was refused: nothing is open, and that is the answer too
            self.bus.post(dispatcher_address(number), PartFileClosed(job=number))
            return
        self._let_close(number, job, lambda future: self._closed(number, job, future))

    def _let_close(self, number: int, job: _Job, then: Callable[["Future[None]"], None]) -> None:
        def closed(future: "Future[None]") -> None:
            self._leaving.pop(_place(job.wanted), None)
            then(future)

        self._leaving[_place(job.wanted)] = number
        self._long.begin(number, lambda _off: job.part.close(), closed)

    def _closed(self, number: int, job: _Job, future: "Future[None]") -> None:
        try:
            future.result()
        except PartFileFault as fault:
            self._tell(job, DiskFailed(job=number, fault=fault.kind, detail=fault.detail))
        self._tell(job, PartFileClosed(job=number))

    def _forget(self, number: int) -> None:
        job = self._jobs.pop(number, None)
        if job is not None:  # nobody is left who could be told how it went
            self._let_close(number, job, _only_disk_faults)

    def _with_disk(self, number: int, act: Callable[[_Job], None]) -> None:
        """Run something that touches the disk; its fault is the job's, not ours."""
        job = self._jobs.get(number)
        if job is None:
            return
        try:
            act(job)
        except PartFileFault as fault:
            self._let_go(number, job, fault)

    def _let_go(self, number: int, job: _Job, fault: PartFileFault) -> None:
        """Its disk failed. Nothing of it stays open, so that the disk can be unmounted or put back; slots that still
        come for it are dropped, and its dispatcher knows that they are."""
        del self._jobs[number]
        job.part.abandon()
        self._tell(job, DiskFailed(job=number, fault=fault.kind, detail=fault.detail))

    def _tell(self, job: _Job, message: Message) -> None:
        self.bus.post(job.dispatcher, message)


def _place(wanted: OpenPartFile) -> tuple[str, str]:
    """What two targets cannot share."""
    return wanted.spec.folder, safe_name(wanted.spec.name, "download")


def _only_disk_faults(future: "Future[None]") -> None:
    """Raises what is our fault."""
    with suppress(PartFileFault):
        future.result()


def _suits(job: _Job, wanted: OpenPartFile) -> bool:
    """Whether who asks with these terms can go on with what is open. What is sealed is done, by whatever name."""
    if job.sealed is not None:
        same_size = wanted.spec.size_bytes in (-1, job.part.size_bytes)
        return same_size and job.chunk_size == wanted.spec.chunk_size
    return _terms(job.wanted) == _terms(wanted) and job.part.resumable


def _terms(wanted: OpenPartFile) -> tuple[object, ...]:
    """All that matters for an open part file; the rest of the job, like its limit, may change meanwhile."""
    spec, policy = wanted.spec, wanted.spec.policy
    place = (spec.folder, spec.name, wanted.make_folder, policy.preallocate, policy.sync)
    return (*place, spec.size_bytes, spec.chunk_size, spec.checksum, wanted.dispatcher, wanted.again)


def _in_messages(claims: list[tuple[int, int, int]]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Runs as flat tuples and who sent each, short enough for one frame."""
    for at in range(0, len(claims), RUNS_PER_MESSAGE):
        part = claims[at : at + RUNS_PER_MESSAGE]
        yield tuple(edge for first, stop, _ in part for edge in (first, stop)), tuple(source for _, _, source in part)
