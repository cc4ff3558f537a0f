"""What the job store keeps, and what is written into it: the language between the job manager's decisions and its book.

Rows are flat and frozen; a change is a new row. Times of the wall clock are `_ms` since 1970 (UTC), 0 when it has not
happened. `id` is always a job's public id.
"""

import msgspec

from protocol.model.job_views import QUEUED, EventEntry, ManifestRange
from protocol.model.value import Value


class Record(Value):
    """Base of all rows: columns are the fields, in their order."""


class JobRecord(Record):
    """One job. As ordered: `name` to `private_ok` (see `CreateJob`).

    `serial` rises with every order. `queued_ms`: since when it waits for its turn, also after a pause or a retry.
    `number`: of the run that is under way, 0 when none is; a job that was paused or cancelled has one until its run has
    ended. `retries`: by itself, since bytes last came; not before `retry_at_ms`. `file_name`: what the file is called
    in `folder`, empty while nobody knows. `path`: see `JobView`. `found_bytes`: its size as sources say it, -1
    unknown. `received_bytes`, `refetched_bytes` and `active_s` are of the runs that have ended. `waited_s`: so long no
    source could deliver, since bytes last came or somebody resumed or retried it. `order_key`, `order_digest`: as
    ordered.
    """

    id: str
    serial: int
    name: str
    folder: str
    size_bytes: int
    chunk_size: int
    checksum: str
    mode: str
    limit_bytes_s: int
    priority: int
    term: str
    search_s: float
    origin: str
    user: str
    remote_path: str
    widen: bool
    private_ok: bool
    created_ms: int
    queued_ms: int
    state: str = QUEUED
    reason: str = ""
    outcome: str = ""
    removed: bool = False
    started_ms: int = 0
    ended_ms: int = 0
    active_s: float = 0.0
    attempts: int = 0
    retries: int = 0
    retry_at_ms: int = 0
    number: int = 0
    file_name: str = ""
    path: str = ""
    found_bytes: int = -1
    stored_bytes: int = 0
    received_bytes: int = 0
    refetched_bytes: int = 0
    resumed_bytes: int = 0
    digest_hex: str = ""
    source_count: int = 0
    stops: int = 0
    waited_s: float = 0.0
    order_key: str = ""
    order_digest: str = ""


class SourceRecord(Record):
    """One source of a job; `number` counts from 0 and means the same `url` for ever. `url` may hold a password.

    `left`: ``dropped`` or ``banned`` when somebody said so, else empty. `found`: by a search. `standing` and `reason`
    as told last. `bytes_stored` to `stops` are of all runs together, as the one under way told them last."""

    id: str
    number: int
    url: str
    peer: str
    path: str
    left: str = ""
    found: bool = False
    standing: str = "candidate"
    reason: str = ""
    bytes_stored: int = 0
    chunks: int = 0
    leases: int = 0
    stops: int = 0


class AttemptRecord(Record):
    """One run of a job. `number` is never given again. `attempt`: so often it was asked for anew. `outcome` and the
    rest as in `JobEnded`, empty while it is under way; ``lost`` when the whole daemon died."""

    number: int
    id: str
    attempt: int
    begun_ms: int
    ended_ms: int = 0
    outcome: str = ""
    reason: str = ""
    resumed_bytes: int = -1
    received_bytes: int = 0
    refetched_bytes: int = 0


class Totals(Record):
    """Of all runs that ever ended, also of jobs that were deleted."""

    received_bytes: int = 0
    refetched_bytes: int = 0
    stored_bytes: int = 0
    chunks: int = 0
    stops: int = 0
    trims: int = 0
    retries: int = 0


class JobFiles(Record):
    """What of a job is still to be removed from a folder."""

    id: str
    folder: str
    name: str


# what is written


class SaveJob(msgspec.Struct, frozen=True):
    job: JobRecord


class SaveSource(msgspec.Struct, frozen=True):
    source: SourceRecord


class SaveAttempt(msgspec.Struct, frozen=True):
    run: AttemptRecord


class SaveEvent(msgspec.Struct, frozen=True):
    event: EventEntry


class SaveNote(msgspec.Struct, frozen=True):
    """The latest `keep` notes of a job are kept."""

    id: str
    text: str
    keep: int


class SaveManifest(msgspec.Struct, frozen=True):
    """Instead of what was there."""

    id: str
    runs: tuple[ManifestRange, ...]


class SaveTotals(msgspec.Struct, frozen=True):
    totals: Totals


class SaveLimit(msgspec.Struct, frozen=True):
    """The limit that a person has set; -1: none."""

    limit_bytes_s: int


class DropJob(msgspec.Struct, frozen=True):
    """Everything of a job but its events."""

    id: str


class SaveFiles(msgspec.Struct, frozen=True):
    """Not forgotten before `DropFiles`."""

    files: JobFiles


class DropFiles(msgspec.Struct, frozen=True):
    id: str


class TrimEvents(msgspec.Struct, frozen=True):
    """Only the latest `keep` stay, and of those the ones since `since_ms`."""

    keep: int
    since_ms: int


Write = (
    SaveJob
    | SaveSource
    | SaveAttempt
    | SaveEvent
    | SaveNote
    | SaveManifest
    | SaveTotals
    | SaveLimit
    | DropJob
    | SaveFiles
    | DropFiles
    | TrimEvents
)
