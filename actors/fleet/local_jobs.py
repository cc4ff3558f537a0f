"""Local jobs of a fleet node: windows of files, fetched by this daemon as jobs of its own, segment by segment.

A *segment* is a run of whole parts that is one job of the job manager: its sources are the file's with a window in
their address, so that scheduling, checks, records and resuming are those of any job. It is as long as what a few
seconds bring, one part at a slow line, so that a death costs little. A part is said to be ready once the segment is
sealed, its bytes were read again and hashed. Used in the event loop's thread only.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.fleet.destination import Piece
from actors.fleet.job_client import JobClient, JobRefused
from actors.fleet.segments import (
    ORIGIN,
    LocalJob,
    Segment,
    hashed,
    next_segments,
    probed,
    recalled,
    segment_name,
    segment_spec,
    segment_window,
)
from actors.sources import HttpSettings
from protocol.messages import CancelJob, CreateJob, DeleteJob, GetJob, GetManifest, ListJobs, RetryJob
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.fleet.names import HEAD_BYTES, part_span, source_host
from protocol.model.job_records import ENDED, SEALED, ManifestRange
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import JobDetail, JobView, whole
from protocol.model.source_url import Window, is_slsk, slsk_address

SEGMENTS_MAX: Final = 2
"""Segments of one job at a time. The next begins in the last second of one, so that the line is never idle, and little
is lost when the rest of the window goes to another node."""
LOOK_S: Final = 5.0
"""A segment is looked after this often, should the news of its end be lost."""
LOOK_AHEAD_S: Final = 1.0
"""... or this often for parts that users have sent whole: they are stored before the rest of the segment."""
SILENT_S: Final = 60.0
"""A segment without a byte for so long cannot be fetched here."""
USERS_ASKED_MAX: Final = 8
"""Users whose lists are looked at for the size of a file that no order and no server says."""
UNREACHABLE_S: Final = 300.0
_NO_CONNECTION: Final = (FaultKind.NO_SUCH_HOST, FaultKind.REFUSED, FaultKind.CONNECT_TIMEOUT)
RETRY_S: Final = 1.0
RECALL_S: Final = 2.0
_logger = logging.getLogger(__name__)


class LocalJobs:
    """Local jobs of fleet jobs.

    `give` takes the events that come of it. `folder` is this node's own, for bytes on their way.
    """

    def __init__(self, client: JobClient, folder: str, give: Callable[[v.Event], None], *, private_ok: bool) -> None:
        self._client = client
        self._folder = folder
        self._give = give
        self._private_ok = private_ok
        self._jobs: dict[str, LocalJob] = {}
        self._kept: dict[str, list[Segment]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unreachable: dict[str, float] = {}

    # -- commands of the core

    async def recall(self) -> None:
        """Find segments that an earlier process of this node has left; those that are granted again are used.

        Raises `JobRefused` while the job manager is not there yet.
        """
        for job in await self._client.ask(_every_segment(), JobView, wait_s=RECALL_S):
            found = recalled(job.spec.name, job.id, job.spec)
            if found is not None:
                self._kept.setdefault(found[0], []).append(found[1])

    def sweep(self, living: set[str]) -> None:
        """Delete what an earlier process has left of jobs that have ended meanwhile."""
        for id in set(self._kept) - living:
            for segment in self._kept.pop(id):
                self._drop(segment)

    def start(self, command: v.StartLocalJob) -> None:
        job = self._jobs.get(command.job)
        if job is None:
            job = self._jobs[command.job] = LocalJob(command.spec, command.sources)
        changed = job.sources != command.sources
        job.spec, job.sources = command.spec, command.sources
        job.numbers, job.digests = command.numbers, command.pieces
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
            self._give(job.pieces[part][1])
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
            as_one=window.as_one,
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
        if job is None:
            self._give(v.PartChecked(job=command.job, part=command.part, digest=""))
        elif command.head and command.part in job.heads:
            digest, sources = job.heads[command.part]
            self._give(v.PartChecked(job=command.job, part=command.part, digest=digest, sources=sources))
        else:
            self._run(self._check(command, job))

    def piece(self, job: str, part: int) -> Piece | None:
        """Return where a part's bytes are; None when they are not here."""
        local = self._jobs.get(job)
        found = local.pieces.get(part) if local is not None else None
        return found[0] if found is not None else None

    def unreachable(self) -> tuple[str, ...]:
        """Return the hosts that could not be connected to lately, the latest first."""
        since_s = asyncio.get_running_loop().time() - UNREACHABLE_S
        self._unreachable = {host: at for host, at in self._unreachable.items() if at > since_s}
        return tuple(sorted(self._unreachable, key=self._unreachable.__getitem__, reverse=True))

    def lines(self, job: str) -> list[str]:
        """Return what this node does for a job, in words."""
        local = self._jobs.get(job)
        if local is None:
            return []
        lines = [f"fetches parts {each.first} to {each.stop - 1}" for each in local.running()]
        waiting = sum(not ready.ahead for _, ready in local.pieces.values())
        if waiting:
            lines.append(f"has {waiting} parts that are not at the destination yet")
        return lines

    async def close(self) -> None:
        """End all tasks; what is stored stays for the next process."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- the file

    async def _describe(self, id: str, job: LocalJob) -> None:
        """Ask the sources for the size. The first that says it is believed: the others are compared part by part.

        Users take offsets; one that does not is left out of windows by the local jobs.
        """
        size, words = job.spec.size_bytes, "no source says how large the file is"
        servers = [url for url in job.sources if not is_slsk(url)]
        divisible = bool(job.sources) and not servers
        settings = HttpSettings(private_ok=self._private_ok, options=job.spec.http)
        asked = [asyncio.ensure_future(self._probed(url, settings)) for url in servers]
        try:
            for done in asyncio.as_completed(asked):
                try:
                    said, offsets = await done
                except SourceFault as fault:
                    words = str(fault)
                    continue
                if said >= 0 and size in (-1, said):
                    size, divisible = said, offsets
                    break
                words = f"a source has {said} bytes, not {size}" if said >= 0 else words
        finally:
            for each in asked:
                each.cancel()
        if size < 0:
            users = [slsk_address(url) for url in job.sources if is_slsk(url)][:USERS_ASKED_MAX]
            for said_by in asyncio.as_completed([self._client.size_at_user(*user) for user in users]):
                if (size := await said_by) >= 0:
                    divisible = True
                    break
        if size >= 0:
            self._give(v.FileDescribed(job=id, size_bytes=size, divisible=divisible))
        else:
            self._give(v.LocalJobFailed(job=id, detail=words[:200]))

    async def _probed(self, url: str, settings: HttpSettings) -> tuple[int, bool]:
        """Ask one server, and note whether it could be connected to. Raises `SourceFault`."""
        host = source_host(url)
        try:
            said = await asyncio.to_thread(probed, url, settings)
        except SourceFault as fault:
            if fault.kind in _NO_CONNECTION:
                self._unreachable[host] = asyncio.get_running_loop().time()
            raise
        self._unreachable.pop(host, None)
        return said

    # -- segments

    def _stop_outside(self, job: LocalJob, inside: range) -> None:
        """Stop what is not complete and not granted any more. What is complete stays until it is dropped by part."""
        for segment in job.running():
            segment.wanted &= set(inside)
            if not segment.wanted:
                self._forget(job, segment)

    def _take_kept(self, command: v.GrantWindow, job: LocalJob, inside: range) -> None:
        """Use what an earlier start has fetched of these parts."""
        for segment in self._kept.pop(command.job, []):
            overlaps = any(set(segment.parts) & set(each.parts) for each in job.segments)
            if overlaps or segment.part_bytes != command.part_bytes:
                self._drop(segment)
            elif not set(segment.parts) & set(inside):  # another window of this node may have them
                self._kept.setdefault(command.job, []).append(segment)
            else:
                self._begin(command.job, job, segment)

    def _fill(self, id: str, job: LocalJob) -> None:
        """Begin segments for what is granted and not begun, in order."""
        window = job.window
        if window is None:
            return
        taken = job.done | {part for segment in job.segments for part in segment.parts}
        for segment in next_segments(job, window, taken):
            running = job.running()
            if len(running) >= SEGMENTS_MAX or not all(each.ending and not window.as_one for each in running):
                return
            self._begin(id, job, segment)

    def _begin(self, id: str, job: LocalJob, segment: Segment, again: int = 0) -> None:
        window = job.window
        assert window is not None
        segment.wanted = set(segment.parts) & set(range(window.first, window.stop))
        job.segments.append(segment)
        segment.task = self._run(self._fetch(id, job, segment, window, again))

    async def _fetch(self, id: str, job: LocalJob, segment: Segment, window: v.GrantWindow, again: int) -> None:
        begun_s = asyncio.get_running_loop().time()
        beyond = window.as_one and not job.digests
        span = segment_window(segment, window.size_bytes, beyond=beyond)
        sources = job.windowed(span, users=window.as_one)
        if not sources and job.sources:
            self._give(v.LocalJobFailed(job=id, detail="no source that can send from the middle of the file"))
            return
        try:
            name = segment_name(id, segment, again)
            spec = segment_spec(job, self._folder, name, span, private_ok=self._private_ok)
            segment.pieces = spec.pieces.piece_file
            by_users = window.as_one and any(map(is_slsk, sources))
            ahead = (lambda detail: self._look_ahead(id, job, segment, window, detail)) if by_users else None
            detail = await self._sealed(segment, spec, sources, lambda: self._ending(id, job, segment), ahead)
        except JobRefused as refused:
            self._forget(job, segment)
            self._give(v.LocalJobFailed(job=id, detail=str(refused)[:200]))
            return
        except OSError as error:
            self._give(v.LocalJobFailed(job=id, detail=f"this node's disk: {error.strerror or error}"))
            return
        segment.path, segment.sources = detail.job.path, job.senders(detail.sources)
        took_s = asyncio.get_running_loop().time() - begun_s
        job.rate_bytes_s = span.length / max(took_s, 0.001)
        self._fill(id, job)  # the line is free for the next one while this one is hashed
        try:
            await self._hash(id, job, segment, window)
        except OSError as error:
            self._give(v.LocalJobFailed(job=id, detail=f"this node's disk: {error.strerror or error}"))

    async def _hash(self, id: str, job: LocalJob, segment: Segment, window: v.GrantWindow) -> None:
        """Read the parts of a complete segment again and say them. Raises OSError."""
        start, end = segment_window(segment, window.size_bytes, beyond=False)[:2]
        beyond = min(HEAD_BYTES, window.size_bytes - end)
        if beyond and await asyncio.to_thread(os.path.getsize, segment.path) >= end - start + beyond:
            _, _, head = await asyncio.to_thread(hashed, segment.path, end - start, beyond)
            job.heads[segment.stop] = head, segment.sources
        for part in segment.parts:
            if part not in segment.wanted:
                continue
            first, stop = part_span(part, window.size_bytes, window.part_bytes)
            md5, digest, head = await asyncio.to_thread(hashed, segment.path, first - start, stop - first)
            if part in segment.wanted:
                piece = Piece(path=segment.path, offset=first - start, length=stop - first, at=first, md5=md5)
                ready = v.PartReady(job=id, part=part, digest=digest, head=head, sources=segment.sources)
                job.pieces[part] = piece, ready
                self._give(ready)

    async def _look_ahead(
        self, id: str, job: LocalJob, segment: Segment, window: v.GrantWindow, detail: JobDetail
    ) -> None:
        """Say the parts that one user each has sent whole while the segment is still being fetched."""
        stored = detail.job.stored_bytes
        if not detail.job.path or stored - segment.looked_bytes < window.part_bytes:
            return
        segment.looked_bytes = stored
        segment.part_path, segment.chunk_bytes = detail.job.path, detail.job.spec.chunk_size
        start = segment_window(segment, window.size_bytes, beyond=False).first
        with contextlib.suppress(JobRefused, OSError):  # it is looked again, or the segment is complete by then
            before = await self._whole_parts(job, segment, window)
            found: list[tuple[Piece, v.PartReady]] = []
            for part, number in before.items():
                if part in segment.wanted and part not in job.pieces:
                    first, stop = part_span(part, window.size_bytes, window.part_bytes)
                    md5, digest, head = await asyncio.to_thread(hashed, segment.part_path, first - start, stop - first)
                    piece = Piece(path=segment.part_path, offset=first - start, length=stop - first, at=first, md5=md5)
                    found.append((piece, v.PartReady(id, part, digest, head, (number,), ahead=True)))
            after = await self._whole_parts(job, segment, window) if found else {}
            for piece, ready in found:
                if after.get(ready.part) == ready.sources[0]:  # else it was freed while it was read
                    job.pieces[ready.part] = piece, ready
                    self._give(ready)

    async def _whole_parts(self, job: LocalJob, segment: Segment, window: v.GrantWindow) -> dict[int, int]:
        ranges = await self._client.ask(GetManifest(id=segment.id), ManifestRange)
        return job.whole_parts(segment, ranges, window.size_bytes)

    def _ending(self, id: str, job: LocalJob, segment: Segment) -> None:
        segment.ending = True
        self._fill(id, job)

    async def _sealed(
        self,
        segment: Segment,
        spec: JobSpec,
        sources: tuple[str, ...],
        ending: Callable[[], None] = lambda: None,
        looked: Callable[[JobDetail], Awaitable[None]] | None = None,
    ) -> JobDetail:
        """Return the finished local job. Raises `JobRefused` when the segment cannot be fetched here."""
        key = f"{ORIGIN}:{spec.name}"
        while True:
            try:
                if not segment.id:
                    order = CreateJob(spec=spec, sources=sources, key=key, digest=spec.name)
                    made = whole(await self._client.ask(order, JobDetail)).job
                    segment.id = made.id
                self._client.near_end(segment.id, ending)
                return await self._awaited(segment.id, looked)
            except JobRefused as refused:
                if refused.kind == "unknown":
                    segment.id = ""
                elif refused.kind not in ("unavailable", "full"):
                    raise
            await asyncio.sleep(RETRY_S)

    async def _awaited(self, id: str, looked: Callable[[JobDetail], Awaitable[None]] | None) -> JobDetail:
        loop = asyncio.get_running_loop()
        ended = self._client.end_of(id)
        stored, moved_s, retried = -1, loop.time(), False
        while True:
            ended.clear()
            detail = whole(await self._client.ask(GetJob(id=id), JobDetail))
            job = detail.job
            if job.state == SEALED and await asyncio.to_thread(os.path.exists, job.path):
                return detail
            if job.state in ENDED:
                if retried:
                    raise JobRefused("failed", job.reason or "its sources do not deliver")
                retried = True
                with contextlib.suppress(JobRefused):
                    await self._client.ask(RetryJob(id=id), JobView)
            if looked is not None:
                await looked(detail)
            if job.stored_bytes != stored:
                stored, moved_s = job.stored_bytes, loop.time()
            elif loop.time() - moved_s > SILENT_S:
                raise JobRefused(
                    "failed", f"no byte for {SILENT_S:.0f} s: {job.reason or 'its sources do not deliver'}"
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if looked is None else LOOK_AHEAD_S):
                    await ended.wait()

    async def _check(self, command: v.CheckPart, job: LocalJob) -> None:
        """Read a part, or its head, from the sources; from users only without a mirror, and when they are free."""
        segment = Segment(command.part, command.part + 1, command.part_bytes)
        start, stop, size = segment_window(segment, command.size_bytes, beyond=False)
        span = Window(start, min(stop, start + HEAD_BYTES) if command.head else stop, size)
        digest, sources = "", tuple[int, ...]()
        urls = job.windowed(span, users=False) or job.windowed(span, users=True)
        try:
            running = [each.task for each in job.running() if each.task]
            if running and any(map(is_slsk, urls)):  # a user sends a file once at a time
                await asyncio.wait(running)
            name = f"{command.job}.check-{command.part}"
            own = segment_spec(job, self._folder, name, span, private_ok=self._private_ok)
            segment.pieces = own.pieces.piece_file
            detail = await self._sealed(segment, own, urls)
            segment.path, sources = detail.job.path, job.senders(detail.sources)
            digest = (await asyncio.to_thread(hashed, segment.path, 0, span.length))[1]
        except (JobRefused, OSError) as failure:
            _logger.info("part %d of %s was not read again: %s", command.part, command.job, failure)
        self._give(v.PartChecked(job=command.job, part=command.part, digest=digest, sources=sources))
        segment.task = None
        self._drop(segment)

    # -- ends

    def _forget(self, job: LocalJob, segment: Segment) -> None:
        if segment in job.segments:
            job.segments.remove(segment)
        for part in segment.parts:
            found = job.pieces.get(part)
            if found is not None and found[0].path in (segment.path, segment.part_path):
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
        for path in filter(None, (segment.path, segment.pieces)):
            with contextlib.suppress(OSError):
                os.unlink(path)

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
