"""Progress reports of a job: derived from the state when they are due, never kept beside the truth.

Kept here is only what no other place knows: which source sent each chunk, bytes of leases that are over, the time of
the first request, and what the watcher was sent last, so that nothing is sent twice.
"""

from array import array
from collections.abc import Mapping
from enum import Enum, unique
from typing import Final, assert_never

from actors.core.dispatch.chunk_tracker import (
    MISSING,
    UNBOUNDED,
    UNNAMED,
    ChunkTracker,
    Contributors,
    Lease,
    Owned,
    recorded,
)
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages import (
    ChunkArrived,
    ChunkMapDrawn,
    ChunksVerified,
    ClaimChanged,
    ContributorsListed,
    DiskFailed,
    FileSealed,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    Message,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    SlotSpoiled,
    SourceProgressed,
    StartJob,
    StopJob,
)
from protocol.messages.addresses import POOL, Post
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.faults import PartFileFaultKind
from protocol.model.identity import Claim
from protocol.model.value import Struct

REPORT_S: Final = 0.2
"""Progress is sent at once after a silence, and no sooner than this after the last time."""
VERIFYING_S: Final = 1.0
"""While a part file is re-hashed its progress is all that is sent, this long after each report of it."""
ROWS_PER_REPORT: Final = 32
"""Of more sources this many rows are sent at a time, so that no step is long."""
RATE_WINDOW_S: Final = 3.0
QUIET_S: Final = 3.0
"""A transfer without a byte for this long is shown as stalled; real limiters pause for a second."""
CELLS_MAX: Final = 240
"""Cells of a chunk map: what fits into a line of a terminal, and into a message."""
_MISSING: Final = 0
_RESUMED: Final = 1
_FIRST_SOURCE: Final = 2
_LEASED: Final = 0x8000


@unique
class Phase(Enum):
    """Phases of a job, as its progress shows them. In all but the last, something with a limit is awaited."""

    OPENING = "opening"  # probes
    TARGET = "target"  # the part file is being opened
    RIDING = "riding"  # leases are granted
    PAUSED = "paused"  # the disk failed; it is asked again and again whether it works by now
    WAITING = "waiting"  # no source can deliver at present, and the job is one that may wait
    SEALING = "sealing"
    CLOSING = "closing"
    ENDING = "ending"  # how the last transfers of users end
    ENDED = "ended"


HANG_UPS_S_MAX: Final = 2.0
"""A job that is over waits this long for how the last transfers of users ended: its rows count each hang-up."""


class Ending(Struct, frozen=True):
    """End of a job: in which state, with which file, and since when.

    `digest_s`: how long the digest of the whole took, which is no time of the download. `compared`: with one that was
    known. `decided_s`: since when only the reports of the last transfers are awaited.
    """

    state: str
    reason: str = ""
    path: str = ""
    digest_hex: str = ""
    digest_s: float = 0.0
    compared: bool = False
    decided_s: float = 0.0

    @classmethod
    def sealed(cls, made: FileSealed) -> "Ending":
        return cls("sealed", made.already, made.path, made.digest_hex, made.digest_s, made.compared)

    def waits(self, sources: dict[int, Source], *, now_s: float) -> bool:
        """Return whether a user's worker has not said yet how its transfer ended: a hang-up counts."""
        open_ones = any(each.busy is not None and each.traits.abort_is_costly for each in sources.values())
        return open_ones and 0 <= now_s - self.decided_s < HANG_UPS_S_MAX


FatalNews = PartFileRefused | DiskFailed | SlotSpoiled | StopJob


class VerifiedChunks:
    """Chunks that the Assembler found in a part file before it is ready.

    `ranges` match their records; `claims` are ``(first, stop, hash of a source's name)`` of the same chunks.
    `repeats`: ``(chunk, hash)`` where another source had it too; `excluded`: hashes of sources with another file.
    """

    def __init__(self) -> None:
        self.ranges = RangeSet()
        self.claims: list[tuple[int, int, int]] = []
        self.repeats: list[tuple[int, int]] = []
        self.excluded: set[int] = set()

    def add(self, message: ChunksVerified) -> None:
        names = message.sources or (0,) * (len(message.ranges) // 2)
        for first, stop, name_hash in zip(message.ranges[::2], message.ranges[1::2], names, strict=True):
            self.ranges.add(first, stop)
            self.claims.append((first, stop, name_hash))
        self.repeats += zip(message.repeated, message.repeated_by, strict=True)
        self.excluded.update(message.excluded)


class Reporter:
    """Reports of one job to its watcher. Owned by one `DispatchState`.

    Set by the owner: `reason`, why nothing comes at present, empty when something does; `estimate`, see `gate`.
    """

    def __init__(self, wanted: StartJob, *, now_s: float) -> None:
        self.job = wanted
        self.reason = self.estimate = ""
        self.part_path = ""
        self.size_bytes = -1
        self.chunk_size = wanted.spec.chunk_size
        self.resumed_bytes = 0
        self._owners = Contributors()
        self._names: dict[int, int] = {}
        self._owned: tuple[Owned, ...] | None = None
        self._started_s = now_s - wanted.elapsed_s
        self._requested = wanted.attempt > 0
        self._over_bytes = 0
        self._stored_bytes = 0
        self._unsaved_bytes = 0  # of those that were found at the start: their loss costs as much as a second fetch
        self._reported_s = self._rows_s = 0.0
        self._row_at = 0
        self._history: list[tuple[float, int]] = []
        self._opened: JobOpened | None = None
        self._progressed: tuple[str, int, int, float, str] | None = None
        self._drawn: ChunkMapDrawn | None = None
        self._rows: dict[int, SourceProgressed] = {}
        self._claim = Claim()

    def first_request(self, now_s: float) -> None:
        if not self._requested:
            self._requested, self._started_s = True, now_s

    def elapsed_s(self, now_s: float) -> float:
        """Since the first request; 0 before it."""
        return now_s - self._started_s if self._requested else 0.0

    def name_source(self, name_hash: int, source: int) -> None:
        """Note that records with this hash mean this source."""
        if name_hash:
            self._names.setdefault(name_hash, source)
            self._owned = None

    @property
    def names(self) -> Mapping[int, int]:
        """Sources by the hash of their name, of those that were named so far."""
        return self._names

    def opened(self, target: PartFileReady, size_bytes: int, found: VerifiedChunks) -> list[Post]:
        """Report that the part file is open, with what was in it already."""
        resumed_bytes = self.bytes_of(found.ranges, size_bytes)
        self.part_path, self.size_bytes, self.resumed_bytes = target.part_path, size_bytes, resumed_bytes
        if 0 <= self.job.resumed_bytes < resumed_bytes:  # what came since then came by this job, before the hub died
            self.resumed_bytes = self.job.resumed_bytes
            self._stored_bytes = self._over_bytes = resumed_bytes - self.job.resumed_bytes
        for first, stop, name_hash in found.claims:
            self._owners.put(first, stop, recorded(name_hash))
        self._owned = None
        self._opened = JobOpened(
            job=self.job.job,
            part_path=target.part_path,
            size_bytes=size_bytes,
            chunk_size=self.chunk_size,
            resumed_bytes=self.resumed_bytes,
            message=target.message,
        )
        return self._to_watcher(self._opened)

    def resend(self) -> list[Post]:
        """Send everything again: rows, map and progress follow when they are due, which is now."""
        self._reported_s = self._rows_s = 0.0
        self._progressed = self._drawn = None
        self._claim = Claim()
        self._rows.clear()
        return self._to_watcher(self._opened) if self._opened is not None else []

    def contributors(self, request: int) -> list[ContributorsListed]:
        """Return which source sent which chunks so far, as far as that is known."""
        return self._owners.messages(self.job.job, request, self._names)

    def bytes_of(self, chunks: RangeSet, size_bytes: int) -> int:
        """Return how many bytes of a file of this size (-1: unknown) these chunks are."""
        size = self.chunk_size
        return sum(min(stop * size, max(size_bytes, 0)) - first * size for first, stop in chunks)

    def stored(self, source: Source, new: tuple[ChunkRange, ...], length_bytes: int) -> None:
        self._stored_bytes += length_bytes
        for first, stop in new:
            self._owners.put(first, stop, source.id)
        self._owned = None

    def lost(self, chunks: RangeSet, size_bytes: int, sources: dict[int, Source]) -> None:
        """Take back chunks that were stored: a failing disk has lost them, or their sender has another file."""
        self._owned = None
        for first, stop in chunks:
            for chunk in range(first, stop):
                length_bytes = self._length_bytes(chunk, size_bytes)
                source = sources.get(self._owners[chunk])
                if source is not None:
                    source.chunks -= 1
                    source.bytes_stored -= length_bytes
                if self._owners[chunk] < MISSING and self.resumed_bytes >= length_bytes:
                    self.resumed_bytes -= length_bytes
                    self._unsaved_bytes += length_bytes
                else:
                    self._stored_bytes -= length_bytes
            self._owners.put(first, stop, MISSING)

    def _length_bytes(self, chunk: int, size_bytes: int) -> int:
        begin = chunk * self.chunk_size
        return min(self.chunk_size, size_bytes - begin) if size_bytes >= 0 else self.chunk_size

    def lease_over(self, received_bytes: int) -> None:
        """Note the bytes that an ended lease had received."""
        self._over_bytes += received_bytes

    def owner_of(self, chunk: int) -> int:
        """Return the contributor of a stored chunk: a source, or below 0 a recorded name without one; `MISSING`."""
        owner = self._owners[chunk]
        return owner if owner >= MISSING else self._names.get(UNNAMED - owner, owner)

    def hash_of(self, contributor: int) -> int:
        """Return what the records keep of a contributor's name, -1 where that is not known."""
        if contributor < MISSING:
            return UNNAMED - contributor
        return next((name_hash for name_hash, source in self._names.items() if source == contributor), -1)

    def owned(self) -> tuple[Owned, ...]:
        """Return everything that is stored, in order; the same object until something of it changes."""
        if self._owned is None:
            found = self._owners.runs()
            if all(owner > MISSING for _, _, owner in found):
                self._owned = tuple(found)
                return self._owned
            rows: list[Owned] = []
            end, sender = MISSING, MISSING
            for first, stop, owner in found:
                if owner < MISSING:
                    owner = self._names.get(UNNAMED - owner, owner)
                if end == first and sender == owner:
                    first = rows.pop()[0]
                rows.append((first, stop, owner))
                end, sender = stop, owner
            self._owned = tuple(rows)
        return self._owned

    def owned_within(self, first: int, stop: int) -> list[tuple[int, int, int]]:
        """Return the part of `owned` that lies in ``[first, stop)``; short ranges only."""
        rows: list[tuple[int, int, int]] = []
        at = first
        while at < stop:
            end = min(self._owners.end_of(at), stop)
            owner = self.owner_of(at)
            if owner != MISSING:
                rows.append((at, end, owner))
            at = end
        return rows

    def chunks_of(self, contributors: set[int]) -> RangeSet:
        """Return the stored chunks of these contributors."""
        return RangeSet((first, stop) for first, stop, owner in self.owned() if owner in contributors)

    def name_of(self, contributor: int, sources: dict[int, Source]) -> str:
        source = sources.get(contributor)
        return source.name if source is not None else "an earlier attempt"

    def arrivals(
        self, source: Source, new: tuple[ChunkRange, ...], tracker: ChunkTracker, lease: Lease | None
    ) -> list[Post]:
        """Return one `ChunkArrived` for each new chunk, the count rising to what is stored now."""
        rate = lease.rate_bytes_s if lease is not None and lease.rate_bytes_s > 0 else source.rate_bytes_s
        chunks = [chunk for first, stop in new for chunk in range(first, stop)]
        before = tracker.stored.count - len(chunks)
        total = 0 if tracker.total == UNBOUNDED else tracker.total
        return [
            self._post(
                ChunkArrived(
                    job=self.job.job,
                    name=source.name,
                    chunk=chunk,
                    rate_bytes_s=rate,
                    stored_chunks=before + number,
                    chunk_count=total,
                )
            )
            for number, chunk in enumerate(chunks, 1)
        ]

    def noted(self, text: str) -> list[Post]:
        """Return a note for people."""
        return self._to_watcher(JobNoted(job=self.job.job, text=text))

    def claimed(self, claim: Claim) -> list[Post]:
        """Return the report of a claim that is another than the one reported last."""
        if claim == self._claim:
            return []
        self._claim = claim
        return self._to_watcher(ClaimChanged(job=self.job.job, claim=claim))

    def due(self, now_s: float) -> bool:
        """Return whether a report is due."""
        return bool(self.job.watcher) and now_s - self._reported_s >= REPORT_S

    def progress(
        self, state: str, sources: dict[int, Source], tracker: ChunkTracker | None, left_s: float, *, now_s: float
    ) -> list[Post]:
        """Report how far the job is, after rows and map where those are due: it ends a consistent picture.

        What did not change is not sent again.
        """
        self._reported_s = now_s
        self._remember(now_s)
        progressed = JobProgressed(
            job=self.job.job,
            state=state,
            stored_bytes=self.resumed_bytes + self._stored_bytes,
            size_bytes=self.size_bytes,
            rate_bytes_s=self._rate(),
            left_s=left_s,
            reason=self.reason,
            estimate=self.estimate,
        )
        news = (state, progressed.stored_bytes, progressed.size_bytes, progressed.rate_bytes_s, self.reason)
        out: list[Post] = []
        if now_s - self._rows_s >= self.job.rows_s:
            self._rows_s = now_s
            out = self._changed_map(tracker) + self._changed_rows(sources, tracker)
        changed, self._progressed = news != self._progressed, news
        return out + (self._to_watcher(progressed) if out or changed else [])

    def _changed_map(self, tracker: ChunkTracker | None) -> list[Post]:
        if tracker is None or tracker.total == UNBOUNDED:
            return []
        before, self._drawn = self._drawn, chunk_map(self.job.job, tracker, self._owners)
        return self._to_watcher(self._drawn) if self._drawn != before else []

    def _changed_rows(self, sources: dict[int, Source], tracker: ChunkTracker | None) -> list[Post]:
        """Return rows that changed; of many sources some at a time."""
        numbers = sorted(sources)
        if len(numbers) > ROWS_PER_REPORT:
            at = self._row_at % len(numbers)
            self._row_at = at + ROWS_PER_REPORT
            numbers = (numbers + numbers)[at : at + ROWS_PER_REPORT]
        out: list[Post] = []
        for number in numbers:
            now = row(self.job.job, sources[number], tracker)
            if self._rows.get(number) != now:
                self._rows[number] = now
                out += self._to_watcher(now)
        return out

    def verifying(self, read: PartFileRehashed, size_bytes: int, *, now_s: float) -> list[Post]:
        """Report how far the re-hash of what is there has come."""
        self._reported_s, self._progressed = now_s + VERIFYING_S, None
        progressed = JobProgressed(
            job=self.job.job,
            state="verifying",
            stored_bytes=read.read_bytes,
            size_bytes=size_bytes,
            rate_bytes_s=0.0,
            left_s=-1.0,
        )
        return self._to_watcher(progressed)

    def ended(
        self,
        ending: Ending,
        sources: dict[int, Source],
        tracker: ChunkTracker | None,
        *,
        claim: Claim,
    ) -> list[Post]:
        """Return a last row for every source, the contributors, then the end."""
        if not self.job.watcher:
            return []
        unanswered = [source.busy for source in sources.values() if source.busy is not None]
        open_leases = (
            [tracker.leases[busy] for busy in unanswered if busy in tracker.leases] if tracker is not None else []
        )
        received = self._over_bytes + sum(lease.received_bytes for lease in open_leases)
        received = max(received, self._stored_bytes)
        seconds = ending.decided_s - ending.digest_s - self._started_s if self._requested else 0.0
        ended = JobEnded(
            job=self.job.job,
            state=ending.state,
            reason=ending.reason,
            path="" if ending.path == "?" else ending.path,
            size_bytes=self.size_bytes,
            seconds=seconds,
            bytes_received=received,
            bytes_resumed=self.resumed_bytes,
            bytes_refetched=received - self._stored_bytes + self._unsaved_bytes,
            digest_hex=ending.digest_hex,
            claim=claim,
        )
        rows = [row(self.job.job, source, tracker, seconds) for _, source in sorted(sources.items())]
        last: list[Message] = [*(self.contributors(0) if tracker is not None else []), ended]
        out = [self._post(each) for each in rows]
        if tracker is not None and 0 < tracker.total < UNBOUNDED:
            out.insert(0, self._post(chunk_map(self.job.job, tracker, self._owners)))  # how it ended
        # The pool keeps the last messages for a watcher that is dead at this moment.
        return out + [Post(to=to, message=each) for each in last for to in (self.job.watcher, POOL)]

    def _remember(self, now_s: float) -> None:
        self._history.append((now_s, self._stored_bytes))
        while len(self._history) > 2 and self._history[1][0] < now_s - RATE_WINDOW_S:
            self._history.pop(0)

    def _rate(self) -> float:
        (begin_s, begin), (end_s, end) = self._history[0], self._history[-1]
        return max(end - begin, 0) / (end_s - begin_s) if end_s > begin_s else 0.0

    def _to_watcher(self, message: Message) -> list[Post]:
        return [self._post(message)] if self.job.watcher else []

    def _post(self, message: Message) -> Post:
        return Post(to=self.job.watcher, message=message)


def row(job: int, source: Source, tracker: ChunkTracker | None, seconds: float = 0.0) -> SourceProgressed:
    """Return the row of one source. `seconds` > 0: the job is over and the rate is the mean of what was stored."""
    lease = tracker.leases.get(source.busy) if tracker is not None and source.busy is not None else None
    if seconds > 0:
        lease, rate = None, source.bytes_stored / seconds
    else:
        rate = max(lease.rate_bytes_s, 0.0) if lease is not None else 0.0
    return SourceProgressed(
        job=job,
        source=source.id,
        name=source.name,
        standing=source.state.value,
        rate_bytes_s=rate,
        bytes_stored=source.bytes_stored,
        chunks=source.chunks,
        leases=source.leases,
        stops=source.stops,
        trims=source.trims,
        lease_first=lease.first if lease is not None else -1,
        lease_stop=lease.stop if lease is not None else -1,
        reason=source.reason,
        phase=_phase(source, lease),
        peer=source.peer,
        queue_place=source.queue_place if source.enqueued else -1,
    )


def chunk_map(job: int, tracker: ChunkTracker, owners: Contributors) -> ChunkMapDrawn:
    """Return the file in at most `CELLS_MAX` cells; the number of chunks must be known."""
    count = min(CELLS_MAX, tracker.total)
    cells = array("H", bytes(2 * count))
    for cell in range(count):
        owner = owners[(2 * cell + 1) * tracker.total // (2 * count)]
        if owner != MISSING:
            cells[cell] = _FIRST_SOURCE + owner if owner >= 0 else _RESUMED
    for lease in tracker.leases.values():
        low = lease.next * count // tracker.total
        high = -(-lease.stop * count // tracker.total)
        for cell in range(low, min(high, count)):
            if cells[cell] == _MISSING:
                cells[cell] = (_FIRST_SOURCE + lease.source) | _LEASED
    return ChunkMapDrawn(job=job, cells=cells.tobytes())


def _phase(source: Source, lease: Lease | None) -> str:
    """Return what a source is doing, in a word of `SourceProgressed`."""
    if lease is not None:
        if lease.received_bytes == 0:
            return "granted"
        return "stalled" if lease.measured_s - lease.grown_s > QUIET_S else "flowing"
    if source.enqueued:
        return "connecting" if source.queue_place < 0 else "queued"
    if source.asked:
        return "probing"
    return "resting" if source.state is SourceState.COOLING else ""


def outcome_of(news: FatalNews) -> tuple[str, str]:
    """Return ``(state, reason)`` of the `JobEnded` that this news leads to."""
    match news:
        case PartFileRefused(fault=PartFileFaultKind.OTHER_JOB, detail=detail):
            return "disagreed", detail
        case PartFileRefused(detail=detail) | DiskFailed(detail=detail):
            return "disk", detail
        case SlotSpoiled():
            return "failed", "bytes changed between reading and writing: a memory fault or ours"
        case StopJob():
            return "interrupted", "interrupted"
        case _:
            assert_never(news)
