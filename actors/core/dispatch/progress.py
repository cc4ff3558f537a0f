"""What people are told of a job: derived from the state when it is due, never kept beside the truth.

The only things kept here are what no other place knows: who delivered each chunk, bytes of rides that are over,
the time of the first request, and what the watcher was told last, so that it hears nothing twice.
"""

from array import array
from typing import Final

from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.contributors import MISSING, UNNAMED, Contributors, recorded
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages import (
    ChunkArrived,
    ChunkMapDrawn,
    ChunksVerified,
    ContributorsListed,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    Message,
    PartFileReady,
    PartFileRehashed,
    SourceProgressed,
    StartDispatcher,
)
from protocol.messages.addresses import POOL, Post
from protocol.model.chunk_ranges import ChunkRange, RangeSet

# What the Assembler found in a part file before it said that the target stands.


class VerifiedChunks:
    """`runs` re-hashed to their records; `claims` are ``(first, stop, hash of a source's name)`` of the same chunks."""

    def __init__(self) -> None:
        self.runs = RangeSet()
        self.claims: list[tuple[int, int, int]] = []

    def hear(self, message: ChunksVerified) -> None:
        names = message.sources or (0,) * (len(message.runs) // 2)
        for first, stop, name_hash in zip(message.runs[::2], message.runs[1::2], names, strict=True):
            self.runs.add(first, stop)
            self.claims.append((first, stop, name_hash))


# How a job's sources and its chunk map look to people: pictures of the state, made when they are due.

CELLS_MAX: Final = 240
_MISSING: Final = 0
_RESUMED: Final = 1
_FIRST_SOURCE: Final = 2
_LEASED: Final = 0x8000
QUIET_S: Final = 3.0
"""A ride from which nothing came for so long is called stalled; real limiters pause for a second."""


def row(job: int, source: Source, tracker: ChunkTracker | None, seconds: float = 0.0) -> SourceProgressed:
    """One source. `seconds` > 0: the job is over and the rate is the average of what was kept."""
    lease = tracker.leases.get(source.busy) if tracker is not None and source.busy is not None else None
    leases = lease is not None and seconds <= 0
    rate = max(lease.rate_bytes_s, 0.0) if lease is not None and leases else 0.0
    if seconds > 0:
        rate = source.bytes_stored / seconds
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
        lease_first=lease.first if lease is not None and leases else -1,
        lease_stop=lease.stop if lease is not None and leases else -1,
        reason=source.reason,
        phase=_phase(source, lease if leases else None),
        peer=source.peer,
        queue_place=source.queue_place if source.enqueued else -1,
    )


def chunk_map(job: int, tracker: ChunkTracker, owners: Contributors) -> ChunkMapDrawn:
    """The file in at most `CELLS_MAX` cells; the number of chunks must be known."""
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
    """What a source is doing, in a word of `SourceProgressed`."""
    if lease is not None:
        if lease.received_bytes == 0:
            return "granted"
        return "stalled" if lease.measured_s - lease.grown_s > QUIET_S else "flowing"
    if source.enqueued:
        return "connecting" if source.queue_place < 0 else "queued"
    if source.asked:
        return "probing"
    return "resting" if source.state is SourceState.COOLING else ""


REPORT_S: Final = 0.2
"""Progress is told at once after a silence, and no sooner than this after the last time."""
VERIFYING_S: Final = 1.0
ROWS_PER_REPORT: Final = 32
_RATE_WINDOW_S: Final = 3.0


class Reporter:
    """Owned by one `DispatchState`, which keeps `reason`: why nothing comes at present, empty when it does."""

    def __init__(self, wanted: StartDispatcher, *, now_s: float) -> None:
        self.job = wanted
        self.reason = ""
        self.part_path = ""
        self.size_bytes = -1
        self.resumed_bytes = 0
        self._owners = Contributors()
        self._names: dict[int, int] = {}
        self._started_s = now_s - wanted.elapsed_s
        self._requested = wanted.attempt > 0
        self._over_bytes = 0
        self._stored_bytes = 0
        self._reported_s = self._rows_s = 0.0
        self._row_at = 0
        self._history: list[tuple[float, int]] = []
        self._opened: JobOpened | None = None
        self._progressed: tuple[str, int, int, float, str] | None = None
        self._drawn: ChunkMapDrawn | None = None
        self._rows: dict[int, SourceProgressed] = {}

    def first_request(self, now_s: float) -> None:
        if not self._requested:
            self._requested, self._started_s = True, now_s

    def elapsed_s(self, now_s: float) -> float:
        """Since the first request; 0 before it."""
        return now_s - self._started_s if self._requested else 0.0

    def name_source(self, name_hash: int, source: int) -> None:
        """Records that name this hash mean this source."""
        if name_hash:
            self._names.setdefault(name_hash, source)

    def opened(self, target: PartFileReady, size_bytes: int, found: VerifiedChunks) -> list[Post]:
        """The target stands: size and place are known, and what was there already."""
        resumed_bytes = self.bytes_of(found.runs, size_bytes)
        self.part_path, self.size_bytes, self.resumed_bytes = target.part_path, size_bytes, resumed_bytes
        if 0 <= self.job.resumed_bytes < resumed_bytes:  # what came since then came by this job, before the hub died
            self.resumed_bytes = self.job.resumed_bytes
            self._stored_bytes = self._over_bytes = resumed_bytes - self.job.resumed_bytes
        for first, stop, name_hash in found.claims:
            self._owners.put(first, stop, recorded(name_hash))
        self._opened = JobOpened(
            job=self.job.job,
            part_path=target.part_path,
            size_bytes=size_bytes,
            chunk_size=self.job.chunk_size,
            resumed_bytes=self.resumed_bytes,
            message=target.message,
        )
        return self._told(self._opened)

    def resend(self) -> list[Post]:
        """The watcher has forgotten everything; rows, map and progress follow when they are due, which is now."""
        self._reported_s = self._rows_s = 0.0
        self._progressed = self._drawn = None
        self._rows.clear()
        return self._told(self._opened) if self._opened is not None else []

    def contributors(self, request: int) -> list[ContributorsListed]:
        """Who sent which chunks so far, as far as that is known."""
        return self._owners.told(self.job.job, request, self._names)

    def bytes_of(self, chunks: RangeSet, size_bytes: int) -> int:
        """How many bytes of a file of this size (-1: not known) these chunks are."""
        size = self.job.chunk_size
        return sum(min(stop * size, max(size_bytes, 0)) - first * size for first, stop in chunks)

    def stored(self, source: Source, new: tuple[ChunkRange, ...], length_bytes: int) -> None:
        self._stored_bytes += length_bytes
        for first, stop in new:
            self._owners.put(first, stop, source.id)

    def lost(self, chunks: RangeSet, size_bytes: int, sources: dict[int, Source]) -> None:
        """These were stored, and a disk that failed has lost them."""
        for first, stop in chunks:
            for chunk in range(first, stop):
                length_bytes = self._length_bytes(chunk, size_bytes)
                source = sources.get(self._owners[chunk])
                if source is not None:
                    source.chunks -= 1
                    source.bytes_stored -= length_bytes
                self._stored_bytes -= length_bytes
            self._owners.put(first, stop, MISSING)

    def _length_bytes(self, chunk: int, size_bytes: int) -> int:
        begin = chunk * self.job.chunk_size
        return min(self.job.chunk_size, size_bytes - begin) if size_bytes >= 0 else self.job.chunk_size

    def lease_over(self, received_bytes: int) -> None:
        """A ride ended having received so many bytes."""
        self._over_bytes += received_bytes

    def contributor_name(self, chunk: int, sources: dict[int, Source]) -> str:
        source = sources.get(self._source_of(chunk))
        return source.name if source is not None else "an earlier run"

    def _source_of(self, chunk: int) -> int:
        owner = self._owners[chunk]
        return owner if owner >= MISSING else self._names.get(UNNAMED - owner, MISSING)

    def arrivals(
        self, source: Source, new: tuple[ChunkRange, ...], tracker: ChunkTracker, lease: Lease | None
    ) -> list[Post]:
        """One `ChunkArrived` for each new chunk, the count rising to what is stored now."""
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
        """Something people should read."""
        return self._told(JobNoted(job=self.job.job, text=text))

    def due(self, now_s: float) -> bool:
        """Whether people should hear something again."""
        return bool(self.job.watcher) and now_s - self._reported_s >= REPORT_S

    def progress(
        self, state: str, sources: dict[int, Source], tracker: ChunkTracker | None, left_s: float, *, now_s: float
    ) -> list[Post]:
        """How far the job is, after the rows and the map where their time has come: it ends a picture that holds
        together. What did not change is not told again."""
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
        )
        news = (state, progressed.stored_bytes, progressed.size_bytes, progressed.rate_bytes_s, self.reason)
        out: list[Post] = []
        if now_s - self._rows_s >= self.job.rows_s:
            self._rows_s = now_s
            out = self._changed_map(tracker) + self._changed_rows(sources, tracker)
        changed, self._progressed = news != self._progressed, news
        return out + (self._told(progressed) if out or changed else [])

    def _changed_map(self, tracker: ChunkTracker | None) -> list[Post]:
        if tracker is None or tracker.total == UNBOUNDED:
            return []
        before, self._drawn = self._drawn, chunk_map(self.job.job, tracker, self._owners)
        return self._told(self._drawn) if self._drawn != before else []

    def _changed_rows(self, sources: dict[int, Source], tracker: ChunkTracker | None) -> list[Post]:
        """Of many sources some, in turns."""
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
                out += self._told(now)
        return out

    def verifying(self, read: PartFileRehashed, size_bytes: int, *, now_s: float) -> list[Post]:
        """How far the re-hash of what is there has come. Until it is over nothing else is worth telling."""
        self._reported_s, self._progressed = now_s + VERIFYING_S, None
        progressed = JobProgressed(
            job=self.job.job,
            state="verifying",
            stored_bytes=read.read_bytes,
            size_bytes=size_bytes,
            rate_bytes_s=0.0,
            left_s=-1.0,
        )
        return self._told(progressed)

    def ended(
        self,
        state: str,
        reason: str,
        path: str,
        digest_hex: str,
        sources: dict[int, Source],
        tracker: ChunkTracker | None,
        *,
        now_s: float,
    ) -> list[Post]:
        """A last row for every source, who sent what, then the last word."""
        if not self.job.watcher:
            return []
        unanswered = [source.busy for source in sources.values() if source.busy is not None]
        open_leases = (
            [tracker.leases[busy] for busy in unanswered if busy in tracker.leases] if tracker is not None else []
        )
        received = self._over_bytes + sum(lease.received_bytes for lease in open_leases)
        received = max(received, self._stored_bytes)
        seconds = now_s - self._started_s if self._requested else 0.0
        ended = JobEnded(
            job=self.job.job,
            state=state,
            reason=reason,
            path=path,
            size_bytes=self.size_bytes,
            seconds=seconds,
            bytes_received=received,
            bytes_resumed=self.resumed_bytes,
            bytes_refetched=received - self._stored_bytes,
            digest_hex=digest_hex,
        )
        rows = [row(self.job.job, source, tracker, seconds) for _, source in sorted(sources.items())]
        last: list[Message] = [*(self.contributors(0) if tracker is not None else []), ended]
        out = [self._post(each) for each in rows]
        if tracker is not None and 0 < tracker.total < UNBOUNDED:
            out.insert(0, self._post(chunk_map(self.job.job, tracker, self._owners)))  # how it ended
        # The pool keeps the last words: should the watcher be dead at this moment, it hears them later.
        return out + [Post(to=to, message=each) for each in last for to in (self.job.watcher, POOL)]

    def _remember(self, now_s: float) -> None:
        self._history.append((now_s, self._stored_bytes))
        while len(self._history) > 2 and self._history[1][0] < now_s - _RATE_WINDOW_S:
            self._history.pop(0)

    def _rate(self) -> float:
        (begin_s, begin), (end_s, end) = self._history[0], self._history[-1]
        return max(end - begin, 0) / (end_s - begin_s) if end_s > begin_s else 0.0

    def _told(self, message: Message) -> list[Post]:
        return [self._post(message)] if self.job.watcher else []

    def _post(self, message: Message) -> Post:
        return Post(to=self.job.watcher, message=message)
