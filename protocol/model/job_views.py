"""What is told of jobs, sources and peers in bulk: the rows inside the `body` of an `RequestAnswered`.

Rows are flat structs, packed many to a part so that a page of a thousand jobs is a few dozen frames. Times of the wall
clock are `_ms` since 1970 (UTC), 0 when it has not happened; durations and rates as everywhere else.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from protocol.model.value import Value

PART_BYTES_MAX: Final = 48_000
"""A part fits a frame with its other fields (`protocol.messages.codec.FRAME_BYTES_MAX`)."""
NOTES_BYTES_MAX: Final = 8_000
_encoder: Final = msgspec.msgpack.Encoder()

QUEUED: Final = "queued"
ACTIVE: Final = "active"
PAUSED: Final = "paused"
SEALED: Final = "sealed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATES: Final = (QUEUED, ACTIVE, PAUSED, SEALED, FAILED, CANCELLED)
ENDED: Final = (SEALED, FAILED, CANCELLED)


class ViewRow(Value):
    """Base of all rows."""


class JobView(ViewRow):
    """One job as a list shows it.

    `state` is one of `STATES`. `phase` says what an active one is doing (``searching``, ``opening``, ``verifying``,
    ``riding``, ``paused`` (its disk), ``waiting`` (for sources), ``sealing``), empty otherwise; `reason` why nothing
    comes or how it ended, in words; `outcome` the `JobEnded.state` of its last run. `number`: of its running run, 0
    without one. `path`: the finished file once sealed, else the part file when there is one, else empty.
    `stored_bytes` never falls while a job lives. `queue_place`: our best place in a peer's queue, -1 none.
    `claim`: how strong is the proof of the content (``size``, ``digest``; see ARCHITECTURE.md).
    """

    id: str
    number: int
    name: str
    folder: str
    path: str
    size_bytes: int
    chunk_size: int
    mode: str
    checksum: str
    state: str
    phase: str
    reason: str
    outcome: str
    priority: int
    limit_bytes_s: int
    origin: str
    user: str
    remote_path: str
    term: str
    removed: bool
    created_ms: int
    started_ms: int
    ended_ms: int
    active_s: float
    attempts: int
    stored_bytes: int
    received_bytes: int
    refetched_bytes: int
    resumed_bytes: int
    rate_bytes_s: float
    left_s: float
    digest_hex: str
    claim: str
    source_count: int
    sources_active: int
    stops: int
    queue_place: int


class SourceView(ViewRow):
    """One source of a job. `url` as people may see it: without a password. `standing` as in `SourceProgressed`, or
    ``dropped`` or ``banned`` when somebody said so. Numbers are of all its runs."""

    number: int
    url: str
    peer: str
    path: str
    standing: str
    phase: str
    reason: str
    rate_bytes_s: float
    bytes_stored: int
    chunks: int
    leases: int
    stops: int
    lease_first: int
    lease_stop: int
    queue_place: int


class JobDetail(ViewRow):
    """One job with its sources. Its exact chunk map comes from the dispatcher (`ListContributors`) or the manifest.

    `notes`: the latest things people should read, newest last. A job with many sources is told in several rows, each
    with the next of them; `whole` makes one of them.
    """

    job: JobView
    sources: tuple[SourceView, ...]
    notes: tuple[str, ...]


def details(job: JobView, sources: Sequence[SourceView], notes: Sequence[str]) -> list[JobDetail]:
    """One job in as many rows as it takes for each to fit a part. The oldest notes are left out where there are more
    than `NOTES_BYTES_MAX`."""
    fitting = tuple(_latest(notes))
    room = PART_BYTES_MAX - len(_encoder.encode(JobDetail(job=job, sources=(), notes=fitting))) - 64
    rows, part, size = list[JobDetail](), list[SourceView](), 0
    for source in sources:
        length = len(_encoder.encode(source))
        if part and size + length > room:
            rows.append(JobDetail(job=job, sources=tuple(part), notes=fitting))
            part, size = [], 0
        part.append(source)
        size += length
    return [*rows, JobDetail(job=job, sources=tuple(part), notes=fitting)]


def whole(rows: Sequence[JobDetail]) -> JobDetail:
    """The inverse of `details`. ValueError when there are none."""
    if not rows:
        raise ValueError("no rows of a job")
    sources = tuple(source for row in rows for source in row.sources)
    return JobDetail(job=rows[0].job, sources=sources, notes=rows[0].notes)


def _latest(notes: Sequence[str]) -> list[str]:
    room, fitting = NOTES_BYTES_MAX, list[str]()
    for note in reversed(notes):
        room -= len(note.encode()) + 4
        if room < 0:
            break
        fitting.append(note)
    return fitting[::-1]


class Bottleneck(ViewRow):
    """One thing that holds a job back. `kind`: ``queue`` (too many active), ``paused``, ``sources``, ``places`` (in
    peers' queues), ``one source``, ``budget`` (of stops), ``limit``, ``disk``, ``login``, ``search``, ``peers`` (as
    fast as they are), ``ended``. `text` is a sentence."""

    kind: str
    text: str


class ManifestRange(ViewRow):
    """Chunks ``[first, stop)`` came from this source; `source` -1: nobody knows any more."""

    first: int
    stop: int
    source: int
    url: str


class EventEntry(ViewRow):
    """A kept event, as in `EventOccurred`."""

    serial: int
    at_ms: int
    kind: str
    id: str
    data: bytes


class Bookmark(ViewRow):
    """How far somebody has come with the events: the last one that is done, -1 without any."""

    name: str
    serial: int


class Counts(ViewRow):
    """The whole daemon in numbers, since it was installed unless said otherwise. `limit_bytes_s`: what holds now."""

    queued: int
    active: int
    paused: int
    sealed: int
    failed: int
    cancelled: int
    received_bytes: int
    refetched_bytes: int
    stored_bytes: int
    chunks: int
    stops: int
    trims: int
    retries: int
    rate_bytes_s: float
    limit_bytes_s: int
    last_serial: int


class PeerView(ViewRow):
    """What is remembered of a Soulseek user; zeros where nothing is."""

    peer: str
    rate_bytes_s: float
    setup_s: float
    offset_ok: bool
    failures: int
    last_fault: int
    stops_today: int
    seen_ms: int


class StopCount(ViewRow):
    """So often we hung up on this user on this day (UTC, ``2026-11-25``)."""

    peer: str
    day: str
    count: int


Row = TypeVar("Row", bound=ViewRow)


def pack(rows: Iterable[ViewRow]) -> Iterator[bytes]:
    """Bodies for the parts of an answer; at least one, empty when there are no rows. A single row must fit a part."""
    part: list[bytes] = []
    size = 0
    for row in rows:
        packed = _encoder.encode(row)
        if part and size + len(packed) > PART_BYTES_MAX:
            yield _joined(part)
            part, size = [], 0
        part.append(packed)
        size += len(packed)
    yield _joined(part)


def _joined(rows: list[bytes]) -> bytes:
    """A msgpack array of rows that are packed already."""
    return b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows)


def unpack(body: bytes, kind: type[Row]) -> list[Row]:
    """The rows of one part. Raises `ValueError` for anything that `pack` would not have made."""
    return msgspec.msgpack.decode(body, type=list[kind])  # type: ignore[valid-type]
