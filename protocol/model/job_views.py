"""Views of jobs, sources and peers: the rows inside the `body` of a `RequestAnswered`.

Rows are packed many to a part, so that a page of a thousand jobs is a few dozen frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import JobRecord
from protocol.model.value import Value

PART_BYTES_MAX: Final = 48_000
"""A part fits a frame with its other fields (`protocol.messages.codec.FRAME_BYTES_MAX`)."""
NOTES_BYTES_MAX: Final = 8_000
_encoder: Final = msgspec.msgpack.Encoder()


class JobView(JobRecord):
    """One job as a list shows it: its record, with reason, times and counts as of now, and the state of its attempt."""

    name: str
    """Name of the file as far as it is known, else as ordered."""
    size_bytes: int
    """As sources have it, else as ordered; -1 unknown."""
    phase: str
    """Activity of an active job: ``searching``, ``opening``, ``verifying``, ``riding``, ``paused`` (its disk),
    ``waiting`` (for sources) or ``sealing``; empty in other states."""
    estimate: str = ""
    """Time left as it goes now and with all users, which decides whether more of them are disturbed; empty without."""
    rate_bytes_s: float
    left_s: float
    """-1 when it cannot be estimated."""
    sources_active: int
    queue_place: int
    """Our best place in a peer's queue, -1 none."""


class SourceReport(Value):
    """State of one source, its counts for its job, and its running lease."""

    standing: str
    """``candidate``, ``queued``, ``active``, ``cooling`` or ``banned``; in a view also ``dropped``."""
    rate_bytes_s: float = 0.0
    bytes_stored: int = 0
    """This and `chunks` came from it and were stored."""
    chunks: int = 0
    leases: int = 0
    stops: int = 0
    """Transfers aborted before the end of its file."""
    lease_first: int = -1
    """Chunks ``[lease_first, lease_stop)`` of its lease; -1 without one."""
    lease_stop: int = -1
    reason: str = ""
    """Why it is not active, in words, empty when it is."""
    phase: str = ""
    """``probing``, ``connecting``, ``queued``, ``granted`` (its turn came, no byte yet), ``flowing``, ``stalled``,
    ``resting`` or empty."""
    peer: str = ""
    """Name of a Soulseek user, else empty."""
    queue_place: int = -1
    """Our place in the peer's queue, -1 unknown."""
    trims: int = 0
    """How often the end of its leases was given to another source, since the hub began."""


class SourceView(SourceReport):
    """One source of a job. `url` without a password; `path` is a Soulseek user's remote path."""

    number: int
    url: str
    path: str
    preferred: bool = False


class RateSample(Value):
    """Rates in bytes a second of the sources that sent `ago_s` seconds ago, the fastest ones where they are many."""

    ago_s: float
    sources: tuple[int, ...]
    rates: tuple[int, ...]


class JobDetail(Value):
    """One job with its sources. Its exact chunk map comes from the dispatcher (`ListContributors`) or the manifest.

    `notes`: the latest for people, newest last. A job with many sources is reported in several rows, each with the next
    of them; `whole` makes one of them.
    """

    job: JobView
    sources: tuple[SourceView, ...]
    notes: tuple[str, ...]
    rates: tuple[RateSample, ...] = ()
    """Of the last minutes, the oldest first, where they were asked for; in the first of several rows."""


def details(job: JobView, sources: Sequence[SourceView], notes: Sequence[str]) -> list[JobDetail]:
    """Return one job in as many rows as it takes for each to fit a part, with the latest `NOTES_BYTES_MAX` of notes."""
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
    """Return the inverse of `details`. ValueError when there are none."""
    if not rows:
        raise ValueError("no rows of a job")
    sources = tuple(source for row in rows for source in row.sources)
    return rows[0].but(sources=sources)


def _latest(notes: Sequence[str]) -> list[str]:
    room, fitting = NOTES_BYTES_MAX, list[str]()
    for note in reversed(notes):
        room -= len(note.encode()) + 4
        if room < 0:
            break
        fitting.append(note)
    return fitting[::-1]


class Bottleneck(Value):
    """One thing that holds a job back. `text` is a sentence.

    `kind`: ``queue`` (too many active), ``paused``, ``sources``, ``places`` (in peers' queues), ``one source``,
    ``budget`` (of stops), ``limit``, ``disk``, ``login``, ``search``, ``peers`` (as fast as they are),
    ``users`` (whether more of them are disturbed), ``ended``.
    """

    kind: str
    text: str


class FolderView(Value):
    """One folder download, by its id, and the number of its jobs."""

    id: str
    jobs: int


class Bookmark(Value):
    """Position of a client of this name in the events: the last one that it has handled, -1 without any."""

    name: str
    serial: int


class Counts(Value):
    """Totals of the daemon since it was installed, and what holds now."""

    queued: int
    """This to `cancelled`: jobs in each state."""
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
    """Now, like `limit_bytes_s`."""
    limit_bytes_s: int
    last_serial: int
    """Of the latest event."""
    schedule: tuple[LimitWindow, ...] = ()
    """In force: the user's, or the configuration's."""


class PeerView(Value):
    """History of a Soulseek user; zeros where there is none."""

    peer: str
    rate_bytes_s: float
    setup_s: float
    offset_ok: bool
    failures: int
    last_fault: int
    """A `FaultKind` number."""
    stops_today: int
    seen_ms: int


class UserInfoView(Value):
    """Description of a Soulseek user by itself, bounded."""

    description: str
    upload_slots: int
    queue_length: int
    slots_free: bool


class UserAddressView(Value):
    """Address of a Soulseek user."""

    address: str
    port: int


class SharedFolderView(Value):
    """A folder that is shared with its subfolders, as its last scan found it."""

    path: str
    """On this machine."""
    alias: str
    """First part of its remote paths."""
    folders: int
    """Subfolders that hold files, with itself."""
    files: int
    scanning: bool
    """A scan is under way."""


class ChunkDigest(Value):
    """Recorded digest of a stored chunk, xxh3_128."""

    digest: bytes


class SearchRation(Value):
    """Searches that the session may still send: `left` of `most` in any `span_s` seconds, the next in `next_s`."""

    left: int
    most: int
    span_s: float
    next_s: float


class UploadView(Value):
    """One file that is sent to a Soulseek user. `state`: ``sending``, ``queued``, ``complete`` or ``ended``."""

    peer: str
    path: str
    state: str
    size_bytes: int
    sent_bytes: int
    rate_bytes_s: float


class StopCount(Value):
    """Number of aborted transfers of this user on this day (UTC, ``2026-11-25``)."""

    peer: str
    day: str
    count: int


Row = TypeVar("Row", bound=Value)


def pack(rows: Iterable[Value]) -> Iterator[bytes]:
    """Yield bodies for the parts of an answer; one at least, empty when there are no rows. Each row must fit a part."""
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
    """Return a msgpack array of rows that are packed already."""
    return b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows)


def unpack(body: bytes, kind: type[Row]) -> list[Row]:
    """Return the rows of one part. Raises `ValueError` for anything that `pack` would not have made."""
    return msgspec.msgpack.decode(body, type=list[kind])  # type: ignore[valid-type]
