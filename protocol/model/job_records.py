"""Records of the job store, and the writes that change it: the language between the job manager's core and its store.

Rows are immutable; a change is a new row. Columns are the fields, those of the embedded specification among them. Wall
clock times are `_ms` since 1970 (UTC), 0 before it has happened. `id` is always a job's public id.
"""

from typing import Final

import msgspec

from protocol.model.identity import Claim
from protocol.model.job_policy import LimitWindow
from protocol.model.job_spec import JobSpec
from protocol.model.value import Value

QUEUED: Final = "queued"
ACTIVE: Final = "active"
PAUSED: Final = "paused"
SEALED: Final = "sealed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATES: Final = (QUEUED, ACTIVE, PAUSED, SEALED, FAILED, CANCELLED)
ENDED: Final = (SEALED, FAILED, CANCELLED)


class JobRecord(Value):
    """One job."""

    id: str
    serial: int
    """Rises with every order."""
    spec: JobSpec
    """As ordered; limit and priority as changed since; the policy of its latest attempt."""
    created_ms: int
    queued_ms: int
    """Since when it waits for its turn, also after a pause or a retry."""
    state: str = QUEUED
    """One of `STATES`."""
    reason: str = ""
    """Why nothing comes, or how it ended, in words."""
    outcome: str = ""
    """`JobEnded.state` of its last attempt."""
    removed: bool = False
    """No longer listed by default."""
    started_ms: int = 0
    ended_ms: int = 0
    active_s: float = 0.0
    """This, `received_bytes` and `refetched_bytes` are of the attempts that have ended."""
    attempts: int = 0
    retries: int = 0
    """By itself, since bytes last came; not before `retry_at_ms`."""
    retry_at_ms: int = 0
    number: int = 0
    """Of the attempt that is under way, 0 when none is; a job that was paused or cancelled has one until it ends."""
    file_name: str = ""
    """Name of the file in its folder, empty while it is not known."""
    path: str = ""
    """The finished file once sealed, else the part file when there is one, else empty."""
    found_bytes: int = -1
    """Size that sources have, -1 unknown."""
    stored_bytes: int = 0
    """Never falls while the job lives."""
    received_bytes: int = 0
    refetched_bytes: int = 0
    resumed_bytes: int = 0
    digest_hex: str = ""
    source_count: int = 0
    stops: int = 0
    waited_s: float = 0.0
    """Time without a source that could deliver, since bytes last came or a user resumed or retried it."""
    order_key: str = ""
    """Idempotency key of the order, and ..."""
    order_digest: str = ""
    """... the digest of that order."""
    claim: Claim = Claim()
    """What is known of the content, as the latest attempt that stored anything reported it."""
    timed_from_s: float = 0.0
    """What it had taken when a user retried it: from there `max_time_s` counts."""
    between_s: float = 0.0
    """Time queued between attempts while the daemon ran; counted for jobs that have a `max_time_s`."""


class SourceRecord(Value):
    """One source of a job. `number` counts from 0 and means the same `url` for ever; the url may hold a password."""

    id: str
    number: int
    url: str
    peer: str
    path: str
    left: str = ""
    """``dropped`` or ``banned`` by a user's command, else empty."""
    found: bool = False
    """By a search."""
    standing: str = "candidate"
    """This and the rest as last reported; counts are of all attempts."""
    reason: str = ""
    bytes_stored: int = 0
    chunks: int = 0
    leases: int = 0
    stops: int = 0
    preferred: bool = False
    """By a user's command: it goes before others."""


class AttemptRecord(Value):
    """One attempt at a job. `number` is never used again."""

    number: int
    id: str
    attempt: int
    """How often the hub died and it was asked for again."""
    begun_ms: int
    ended_ms: int = 0
    outcome: str = ""
    """This and the rest as in `JobEnded`, empty while it is under way; ``lost`` when the whole daemon died."""
    reason: str = ""
    resumed_bytes: int = -1
    received_bytes: int = 0
    refetched_bytes: int = 0


class Totals(Value):
    """Totals of all attempts that ever ended, also of jobs that were deleted."""

    received_bytes: int = 0
    refetched_bytes: int = 0
    stored_bytes: int = 0
    chunks: int = 0
    stops: int = 0
    trims: int = 0
    retries: int = 0


class JobFiles(Value):
    """Files of a job that are still to be removed from a folder."""

    id: str
    folder: str
    name: str


class ManifestRange(Value):
    """Chunks ``[first, stop)`` came from this source; `source` -1: no longer known."""

    first: int
    stop: int
    source: int
    url: str


class Wish(Value):
    """A file that is wished for: words that are searched for from time to time until users have it."""

    id: str
    term: str
    download: bool
    """Create a job when it is found."""
    created_ms: int
    searched_ms: int = 0
    """The latest search; 0 when there was none."""
    found_ms: int = 0
    """When users first had it; 0 when they have not."""
    found: int = 0
    """Number of files that users had then."""
    job: str = ""
    """Id of the job that was created then, empty without one."""


class EventEntry(Value):
    """A stored event, as in `EventOccurred`."""

    serial: int
    at_ms: int
    kind: str
    id: str
    data: bytes


# writes


class SaveJob(msgspec.Struct, frozen=True):
    """Write this row of a job."""

    job: JobRecord


class SaveSource(msgspec.Struct, frozen=True):
    """Write this row of a source."""

    source: SourceRecord


class SaveAttempt(msgspec.Struct, frozen=True):
    """Write this row of an attempt."""

    attempt: AttemptRecord


class SaveEvent(msgspec.Struct, frozen=True):
    """Append an event."""

    event: EventEntry


class SaveNote(msgspec.Struct, frozen=True):
    """Append a note to a job, of which the latest `keep` stay."""

    id: str
    text: str
    keep: int


class SaveManifest(msgspec.Struct, frozen=True):
    """Replace the manifest of a job."""

    id: str
    ranges: tuple[ManifestRange, ...]


class SaveTotals(msgspec.Struct, frozen=True):
    """Replace the totals."""

    totals: Totals


class SaveLimit(msgspec.Struct, frozen=True):
    """Write the limit that a user has set; -1: none."""

    limit_bytes_s: int


class ScheduleRecord(Value):
    """Schedule of limits that a user has set instead of the configuration's. There is one such row, or none."""

    number: int
    windows: tuple[LimitWindow, ...]


class SaveSchedule(msgspec.Struct, frozen=True):
    """Write the schedule that a user has set; None: that of the configuration holds."""

    windows: tuple[LimitWindow, ...] | None


class DropJob(msgspec.Struct, frozen=True):
    """Remove everything of a job but its events."""

    id: str


class SaveFiles(msgspec.Struct, frozen=True):
    """Remember until `DropFiles` that these are to be removed."""

    files: JobFiles


class DropFiles(msgspec.Struct, frozen=True):
    """The files of this job were removed."""

    id: str


class TrimEvents(msgspec.Struct, frozen=True):
    """Remove events but the latest `keep`, and of those the ones before `since_ms`."""

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
    | SaveSchedule
    | DropJob
    | SaveFiles
    | DropFiles
    | TrimEvents
)
