"""Local jobs of a fleet node: windows of files, fetched by this daemon as jobs of its own, segment by segment.

A *segment* is a run of whole parts that is one job of the job manager: its sources are the file's with a window in
their address, so that scheduling, checks, records and resuming are those of any job. It is as long as what a few
seconds bring, one part at a slow line, so that a death costs little. A part is said to be ready once the segment is
sealed, its bytes were read again and hashed. Used in the event loop's thread only.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.fleet.destination import Piece, blocks
from actors.fleet.job_client import JobClient, JobRefused
from actors.sources import HttpSettings, open_reader
from protocol.messages import CancelJob, CreateJob, DeleteJob, GetJob, ListJobs, RetryJob
from protocol.model.faults import SourceFault
from protocol.model.fleet.names import part_span
from protocol.model.job_records import ENDED, SEALED
from protocol.model.job_spec import JobSpec, PieceHashes
from protocol.model.job_views import JobDetail, JobView, whole
from protocol.model.source_url import Window, is_slsk, windowed
from storage.digests import stream_hasher

ORIGIN: Final = "fleet"
SEGMENTS_MAX: Final = 2
"""Segments of one job at a time. The next begins in the last second of one, so that the line is never idle, and little
is lost when the rest of the window goes to another node."""
SEGMENT_S: Final = 3.0
SEGMENT_PARTS_MAX: Final = 8
LOOK_S: Final = 5.0
"""A segment is looked after this often, should the news of its end be lost."""
SILENT_S: Final = 60.0
"""A segment without a byte for so long cannot be fetched here."""
RETRY_S: Final = 1.0
RECALL_S: Final = 2.0
_NAME: Final = re.compile(r"([0-9a-f]+)\.([0-9]+)-([0-9]+)-([0-9]+)(?:\.[0-9]+)?")
_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Segment:
    """Parts ``[first, stop)`` of a job, fetched as one local file."""

    first: int
    stop: int
    part_bytes: int
    task: "asyncio.Task[None] | None" = None
    id: str = ""
    """Of the job manager's job."""
    path: str = ""
    """Of the finished file."""
    wanted: set[int] = field(default_factory=set)
    """Parts whose bytes are still needed."""
    ending: bool = False
    """It is in its last second."""

    @property
    def parts(self) -> range:
        """Parts that it holds."""
        return range(self.first, self.stop)


@dataclass(slots=True)
class _Local:
    """A job of the fleet that this node works on."""

    spec: JobSpec
    sources: tuple[str, ...]
    described: "asyncio.Task[None] | None" = None
    window: v.GrantWindow | None = None
    segments: list[Segment] = field(default_factory=list)
    pieces: dict[int, tuple[Piece, str]] = field(default_factory=dict)
    """Parts that are ready: where they are, and their digest."""
    done: set[int] = field(default_factory=set)
    """Parts of the window that were ready and have been dropped: the destination has them."""
    rate_bytes_s: float = 0.0
    tries: int = 0
    """Number of the next name of a segment that is fetched again."""


class LocalJobs:
    """`give` takes the events that come of it. `folder` is this node's own, for bytes on their way."""

    def __init__(self, client: JobClient, folder: str, give: Callable[[v.Event], None], *, private_ok: bool) -> None:
        self._client = client
        self._folder = folder
        self._give = give
        self._private_ok = private_ok
        self._jobs: dict[str, _Local] = {}
        self._kept: dict[str, list[Segment]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- commands of the core

    async def recall(self) -> None:
        """Find segments that an earlier process of this node has left; those that are granted again are used.

        Raises `JobRefused` while the job manager is not there yet.
        """
        for job in await self._client.ask(_every_segment(), JobView, wait_s=RECALL_S):
            found = _NAME.fullmatch(job.spec.name)
            if found is None:
                continue
            segment = Segment(int(found[2]), int(found[3]), int(found[4]), id=job.id)
            self._kept.setdefault(found[1], []).append(segment)

    def sweep(self, living: set[str]) -> None:
        """Delete what an earlier process has left of jobs that have ended meanwhile."""
        for id in set(self._kept) - living:
            for segment in self._kept.pop(id):
                self._drop(segment)

    def start(self, command: v.StartLocalJob) -> None:
        job = self._jobs.get(command.job)
        if job is None:
            job = self._jobs[command.job] = _Local(command.spec, command.sources)
        changed = job.sources != command.sources
        job.spec, job.sources = command.spec, command.sources
        if job.described is None or (changed and job.described.done()):
            job.described = self._run(self._describe(command.job, job))

    def stop(self, command: v.StopLocalJob) -> None:
        job = self._jobs.pop(command.job, None)
        if job is None:
            if not command.keep:
                for segment in self._kept.pop(command.job, ()):
                    self._drop(segment)
            return
        if job.described is not None:
            job.described.cancel()
        for segment in job.segments:
            if command.keep:
                self._leave(segment)
                self._kept.setdefault(command.job, []).append(segment)
            else:
                self._drop(segment)
        if not command.keep:
            for segment in self._kept.pop(command.job, ()):
                self._drop(segment)

    def grant(self, command: v.GrantWindow) -> None:
        job = self._jobs.get(command.job)
        if job is None:
            return
        job.window = command
        inside = range(command.first, command.stop)
        job.done &= set(inside)
        self._stop_outside(job, inside)
        for part in sorted(set(job.pieces) & set(inside)):
            self._give(v.PartReady(job=command.job, part=part, digest=job.pieces[part][1]))
        self._take_kept(command, job, inside)
        self._fill(command.job, job)

    def trim(self, command: v.TrimWindow) -> None:
        job = self._jobs.get(command.job)
        if job is None or job.window is None:
            return
        window = job.window
        job.window = v.GrantWindow(
            job=command.job,
            first=window.first,
            stop=min(window.stop, command.stop),
            size_bytes=window.size_bytes,
            part_bytes=window.part_bytes,
        )
        self._stop_outside(job, range(window.first, command.stop))
        self._fill(command.job, job)  # those that were stopped may have kept others from being begun

    def drop_part(self, command: v.DropPart) -> None:
        job = self._jobs.get(command.job)
        if job is None:
            return
        job.pieces.pop(command.part, None)
        job.done.add(command.part)
        for segment in [each for each in job.segments if command.part in each.wanted]:
            segment.wanted.discard(command.part)
            if not segment.wanted:
                self._forget(job, segment)
        if command.refetch and job.window is not None:
            job.tries += 1
            job.done.discard(command.part)
            self._begin(command.job, job, Segment(command.part, command.part + 1, job.window.part_bytes), job.tries)

    def check(self, command: v.CheckPart) -> None:
        job = self._jobs.get(command.job)
        spec, sources = (job.spec, job.sources) if job is not None else (None, ())
        if spec is None:
            self._give(v.PartChecked(job=command.job, part=command.part, digest=""))
            return
        self._run(self._check(command, spec, sources))

    def piece(self, job: str, part: int) -> Piece | None:
        """Return where a part's bytes are; None when they are not here."""
        local = self._jobs.get(job)
        found = local.pieces.get(part) if local is not None else None
        return found[0] if found is not None else None

    def lines(self, job: str) -> list[str]:
        """Return what this node does for a job, in words."""
        local = self._jobs.get(job)
        if local is None:
            return []
        lines = [f"fetches parts {each.first} to {each.stop - 1}" for each in local.segments if not each.path]
        if local.pieces:
            lines.append(f"has {len(local.pieces)} parts that are not at the destination yet")
        return lines

    async def close(self) -> None:
        """End all tasks; what is stored stays for the next process."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- the file

    async def _describe(self, id: str, job: _Local) -> None:
        """Ask the sources for the size. The first that says it is believed: the others are compared part by part."""
        size, divisible, words = job.spec.size_bytes, False, "no source says how large the file is"
        servers = [url for url in job.sources if not is_slsk(url)]
        settings = HttpSettings(private_ok=self._private_ok, options=job.spec.http)
        asked = [asyncio.ensure_future(asyncio.to_thread(_probed, url, settings)) for url in servers]
        try:
            for done in asyncio.as_completed(asked):
                try:
                    said, offsets = await done
                except SourceFault as fault:
                    words = str(fault)
                    continue
                if said >= 0 and size in (-1, said):
                    size, divisible = said, offsets and len(servers) == len(job.sources)
                    break
                words = f"a source has {said} bytes, not {size}" if said >= 0 else words
        finally:
            for each in asked:
                each.cancel()
        if size >= 0:
            self._give(v.FileDescribed(job=id, size_bytes=size, divisible=divisible))
        else:
            self._give(v.LocalJobFailed(job=id, detail=words[:200]))

    # -- segments

    def _stop_outside(self, job: _Local, inside: range) -> None:
        """Stop what is not complete and not granted any more. What is complete stays until it is dropped by part."""
        for segment in [each for each in job.segments if not each.path]:
            segment.wanted &= set(inside)
            if not segment.wanted:
                self._forget(job, segment)

    def _take_kept(self, command: v.GrantWindow, job: _Local, inside: range) -> None:
        """Use what an earlier start has fetched of these parts."""
        for segment in self._kept.pop(command.job, []):
            overlaps = any(set(segment.parts) & set(each.parts) for each in job.segments)
            if overlaps or segment.part_bytes != command.part_bytes:
                self._drop(segment)
            elif not set(segment.parts) & set(inside):  # another window of this node may have them
                self._kept.setdefault(command.job, []).append(segment)
            else:
                self._begin(command.job, job, segment)

    def _fill(self, id: str, job: _Local) -> None:
        """Begin segments for what is granted and not begun, in order."""
        window = job.window
        if window is None:
            return
        taken = job.done | {part for segment in job.segments for part in segment.parts}
        for segment in _segments(job, window, taken):
            running = [each for each in job.segments if not each.path]
            if len(running) >= SEGMENTS_MAX or not all(each.ending for each in running):
                return
            self._begin(id, job, segment)

    def _begin(self, id: str, job: _Local, segment: Segment, again: int = 0) -> None:
        window = job.window
        assert window is not None
        segment.wanted = set(segment.parts) & set(range(window.first, window.stop))
        job.segments.append(segment)
        segment.task = self._run(self._fetch(id, job, segment, window, again))

    async def _fetch(self, id: str, job: _Local, segment: Segment, window: v.GrantWindow, again: int) -> None:
        begun_s = asyncio.get_running_loop().time()
        start, stop = _span(segment, window.size_bytes)
        whole_file = start == 0 and stop == window.size_bytes
        name = f"{id}.{segment.first}-{segment.stop}-{window.part_bytes}" + (f".{again}" if again else "")
        spec = _segment_spec(job.spec, self._folder, name, stop - start, whole_file, private_ok=self._private_ok)
        sources = job.sources
        if not whole_file:
            servers = [url for url in sources if not is_slsk(url)]
            sources = tuple(windowed(url, Window(start, stop, window.size_bytes)) for url in servers)
        if not sources:
            self._give(v.LocalJobFailed(job=id, detail="no source that can send from the middle of the file"))
            return
        try:
            segment.path = await self._sealed(segment, spec, sources, lambda: self._ending(id, job, segment))
        except JobRefused as refused:
            self._forget(job, segment)
            self._give(v.LocalJobFailed(job=id, detail=str(refused)[:200]))
            return
        took_s = asyncio.get_running_loop().time() - begun_s
        job.rate_bytes_s = (stop - start) / max(took_s, 0.001)
        self._fill(id, job)  # the line is free for the next one while this one is hashed
        for part in segment.parts:
            if part not in segment.wanted:
                continue
            first, end = part_span(part, window.size_bytes, window.part_bytes)
            try:
                md5, digest = await asyncio.to_thread(_hashed, segment.path, first - start, end - first)
            except OSError as error:
                self._give(v.LocalJobFailed(job=id, detail=f"this node's disk: {error.strerror or error}"))
                return
            if part in segment.wanted:
                piece = Piece(path=segment.path, offset=first - start, length=end - first, at=first, md5=md5)
                job.pieces[part] = (piece, digest)
                self._give(v.PartReady(job=id, part=part, digest=digest))

    def _ending(self, id: str, job: _Local, segment: Segment) -> None:
        segment.ending = True
        self._fill(id, job)

    async def _sealed(
        self, segment: Segment, spec: JobSpec, sources: tuple[str, ...], ending: Callable[[], None] = lambda: None
    ) -> str:
        """Return the path of the finished segment. Raises `JobRefused` when it cannot be fetched here."""
        key = f"{ORIGIN}:{spec.name}"
        while True:
            try:
                if not segment.id:
                    order = CreateJob(spec=spec, sources=sources, key=key, digest=spec.name)
                    made = whole(await self._client.ask(order, JobDetail)).job
                    segment.id = made.id
                self._client.near_end(segment.id, ending)
                return await self._awaited(segment.id)
            except JobRefused as refused:
                if refused.kind == "unknown":
                    segment.id = ""
                elif refused.kind not in ("unavailable", "full"):
                    raise
            await asyncio.sleep(RETRY_S)

    async def _awaited(self, id: str) -> str:
        loop = asyncio.get_running_loop()
        ended = self._client.end_of(id)
        stored, moved_s, retried = -1, loop.time(), False
        while True:
            ended.clear()
            job = whole(await self._client.ask(GetJob(id=id), JobDetail)).job
            if job.state == SEALED and await asyncio.to_thread(os.path.exists, job.path):
                return job.path
            if job.state in ENDED:
                if retried:
                    raise JobRefused("failed", job.reason or "its sources do not deliver")
                retried = True
                with contextlib.suppress(JobRefused):
                    await self._client.ask(RetryJob(id=id), JobView)
            if job.stored_bytes != stored:
                stored, moved_s = job.stored_bytes, loop.time()
            elif loop.time() - moved_s > SILENT_S:
                raise JobRefused(
                    "failed", f"no byte for {SILENT_S:.0f} s: {job.reason or 'its sources do not deliver'}"
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await ended.wait()

    async def _check(self, command: v.CheckPart, spec: JobSpec, sources: tuple[str, ...]) -> None:
        segment = Segment(command.part, command.part + 1, command.part_bytes)
        start, stop = part_span(command.part, command.size_bytes, command.part_bytes)
        name = f"{command.job}.check-{command.part}"
        own = _segment_spec(spec, self._folder, name, stop - start, False, private_ok=self._private_ok)
        servers = [url for url in sources if not is_slsk(url)]
        digest = ""
        try:
            urls = tuple(windowed(url, Window(start, stop, command.size_bytes)) for url in servers)
            segment.path = await self._sealed(segment, own, urls)
            digest = (await asyncio.to_thread(_hashed, segment.path, 0, stop - start))[1]
        except (JobRefused, OSError) as failure:
            _logger.info("part %d of %s was not read again: %s", command.part, command.job, failure)
        self._give(v.PartChecked(job=command.job, part=command.part, digest=digest))
        segment.task = None
        self._drop(segment)

    # -- ends

    def _forget(self, job: _Local, segment: Segment) -> None:
        if segment in job.segments:
            job.segments.remove(segment)
        for part in segment.parts:
            found = job.pieces.get(part)
            if found is not None and found[0].path == segment.path:
                del job.pieces[part]
        self._drop(segment)

    def _leave(self, segment: Segment) -> None:
        """Stop work on a segment, and keep it."""
        if segment.task is not None and segment.task is not asyncio.current_task():
            segment.task.cancel()
        segment.task = None
        if segment.id:
            self._run(self._cancelled(segment.id))

    def _drop(self, segment: Segment) -> None:
        """Delete a segment with its bytes."""
        self._leave(segment)
        self._run(self._deleted(segment))

    async def _cancelled(self, id: str) -> None:
        with contextlib.suppress(JobRefused):  # it has ended
            await self._client.ask(CancelJob(id=id, removed=True), JobView)

    async def _deleted(self, segment: Segment) -> None:
        if segment.id:
            await self._cancelled(segment.id)
            with contextlib.suppress(JobRefused):
                gone = await self._client.ask(DeleteJob(id=segment.id), JobView)
                segment.path = segment.path or next((each.path for each in gone if each.state == SEALED), "")
            self._client.forget(segment.id)
        if segment.path:
            with contextlib.suppress(OSError):
                os.unlink(segment.path)

    def _run(self, doing: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("a segment failed", exc_info=task.exception())


def _every_segment() -> ListJobs:
    return ListJobs(states=(), origin=ORIGIN, user="", text="", removed=True, order="oldest", offset=0, limit=10_000)


def _segments(job: _Local, window: v.GrantWindow, taken: set[int]) -> Iterator[Segment]:
    """Yield the runs of parts that are granted and not begun, each as long as a few seconds bring."""
    undivided = any(map(is_slsk, job.sources)) and _covers(window)
    many = max(1, min(SEGMENT_PARTS_MAX, int(job.rate_bytes_s * SEGMENT_S / window.part_bytes)))
    many = window.stop - window.first if undivided else many
    first = window.first
    while first < window.stop:
        if first in taken:
            first += 1
            continue
        stop = first + 1
        while stop < window.stop and stop not in taken and stop - first < many:
            stop += 1
        yield Segment(first, stop, window.part_bytes)
        first = stop


def _covers(window: v.GrantWindow) -> bool:
    return window.first == 0 and window.stop * window.part_bytes >= window.size_bytes


def _span(segment: Segment, size_bytes: int) -> tuple[int, int]:
    start, _ = part_span(segment.first, size_bytes, segment.part_bytes)
    _, stop = part_span(segment.stop - 1, size_bytes, segment.part_bytes)
    return start, stop


def _segment_spec(
    spec: JobSpec, folder: str, name: str, size_bytes: int, whole_file: bool, *, private_ok: bool
) -> JobSpec:
    """Return the order of a segment: the job's, without what is said of the whole file."""
    own = spec.but(
        folder=folder,
        name=name,
        size_bytes=size_bytes,
        origin=ORIGIN,
        private_ok=private_ok,
        existing="overwrite",
        folder_id="",
        user="",
        remote_path="",
    )
    return own if whole_file else own.but(checksum="", pieces=PieceHashes(), term="", widen=False, require="")


def _probed(url: str, settings: HttpSettings) -> tuple[int, bool]:
    """Return ``(size, whether it sends from anywhere)``. Blocks; raises `SourceFault`."""
    reader = open_reader(url, settings=settings)
    try:
        probed = reader.probe()
        return probed.size_bytes, probed.offset_ok
    finally:
        reader.close()


def _hashed(path: str, offset: int, length: int) -> tuple[str, str]:
    """Return MD5 and xxh3-128 of bytes of a file, read once. Raises OSError."""
    slow, fast = hashlib.md5(usedforsecurity=False), stream_hasher("xxh3_128")
    for block in blocks(path, offset, length):
        slow.update(block)
        fast.update(memoryview(block))
    return slow.hexdigest(), fast.hexdigest()
