"""Vocabulary of the fleet's shell and core: events that a node hears, commands that it gives.

The shell does one thing for each command and hears nothing of why. It calls ``FleetNode.handle(event, now)`` from one
thread, with `now` of the monotonic clock, and performs what is returned in the order it has. `job` is the id of a
fleet job, `part` counts from 0.
"""

from enum import IntEnum, unique

from protocol.model.fleet.rows import AnyRow, FleetOrder, PartRow
from protocol.model.job_spec import JobSpec
from protocol.model.value import Struct


@unique
class StoreFault(IntEnum):
    """Faults of the destination, whatever it is."""

    CHECKSUM = 0  # the part that arrived is not the one that was sent (400 BadDigest, InvalidDigest)
    EXPIRED = 1  # the presigned address is too old (403 with Expired/AccessDenied of a signature)
    NO_UPLOAD = 2  # 404 NoSuchUpload: completed or aborted, or the destination lost it
    BAD_PART = 3  # complete: a part is missing or has another ETag (InvalidPart)
    EXISTS = 4  # complete: 412, an object has the name
    FULL = 5  # no room, quota
    DENIED = 6  # read-only, no permission, no such bucket
    UNREACHABLE = 7  # no connection, no answer
    SERVER = 8  # 5xx, slow down
    TOO_MANY_PARTS = 9
    CONTENT = 10  # the whole file has another digest than the order says; it does not stand under its name


# --- events ---------------------------------------------------------------------------------------------------------


class Started(Struct, frozen=True):
    """The process began. The first event; `node` and `instance` as in `NodeRow`, `wall_s` the wall clock.

    `instance` is drawn by chance at each start. `fleet` is a random id that becomes the fleet's where there is none.
    """

    node: str
    instance: str
    wall_s: float
    destination: str
    version: str = ""
    slots: int = 8
    fleet: str = ""


class Tick(Struct, frozen=True):
    """Time passes: every 0.5 s, also while the bus is lost."""

    wall_s: float


class BusLost(Struct, frozen=True):
    """No server of the bus is connected. Outcomes of requests that were under way come as `KvUnknown`."""


class BusBack(Struct, frozen=True):
    """A server is connected, also for the first time.

    The node forgets its view; then the shell opens its watches of all buckets and sends a `KvChanged` for each row that
    there is, then one `KvListed`.
    """


class KvListed(Struct, frozen=True):
    """Every row that stood in the buckets at some moment after `BusBack` has been sent."""


class KvChanged(Struct, frozen=True):
    """A row was written by any node, this one too, or is gone (`row` None: deleted or expired).

    From the watches, each key's in the order of revisions. Repeats and older ones are skipped by the node. A row that
    `decode_any` refuses is sent as `KvUnreadable`.
    """

    bucket: str
    key: str
    row: AnyRow | None
    revision: int


class KvUnreadable(Struct, frozen=True):
    """A row of another format."""

    bucket: str
    key: str
    detail: str
    revision: int


class KvWritten(Struct, frozen=True):
    """The bus took the write. `revision` of the row."""

    request: int
    revision: int


class KvRefused(Struct, frozen=True):
    """The bus refused it: the row exists, or has another revision."""

    request: int


class KvUnknown(Struct, frozen=True):
    """No answer in time (5 s), or the bus was lost: the write may have happened, or may still."""

    request: int


class OrderReceived(Struct, frozen=True):
    """A message of the stream of orders; `order` names the delivery, `serial` its place in the stream.

    Pulled by the node that was given `PullOrders(True)`. One that is not acknowledged comes again, perhaps elsewhere.
    """

    order: int
    serial: int
    content: FleetOrder


class SourceStates(Struct, frozen=True):
    """State of this machine, sent every few seconds and when it changed. Fields as in `NodeRow`."""

    rate_bytes_s: float
    free_bytes: int
    schemes: tuple[str, ...]
    unreachable: tuple[str, ...] = ()


class FileDescribed(Struct, frozen=True):
    """A source has said how large the file of a local job is. `divisible`: it can be read from anywhere."""

    job: str
    size_bytes: int
    divisible: bool


class LocalJobFailed(Struct, frozen=True):
    """The local job ended without its file: this node cannot fetch it. `detail` is one line without secrets."""

    job: str
    detail: str


class PartReady(Struct, frozen=True):
    """All bytes of a part are stored here, were read again from the disk and hashed. The fields are as in `PartRow`.

    `ahead`: its window is still being fetched as one, and one source has sent all of the part, which may yet be found
    to have other content than the rest; the part is said again when the window is complete.
    """

    job: str
    part: int
    digest: str
    head: str = ""
    sources: tuple[int, ...] = ()
    ahead: bool = False


class PartChecked(Struct, frozen=True):
    """The answer to `CheckPart`; `digest` empty: it could not be read. `sources`, by number, have sent it."""

    job: str
    part: int
    digest: str
    sources: tuple[int, ...] = ()


class PartPut(Struct, frozen=True):
    """The destination has the part and answered with this ETag."""

    job: str
    part: int
    epoch: int
    etag: str


class PartPutFailed(Struct, frozen=True):
    """It has not, or no answer came."""

    job: str
    part: int
    epoch: int
    fault: StoreFault
    detail: str = ""


class UploadCreated(Struct, frozen=True):
    """The answer to `CreateUpload`."""

    job: str
    epoch: int
    upload: str


class UploadFailed(Struct, frozen=True):
    """`CreateUpload`, `CompleteUpload`, `ListUpload` or `CheckObject` was refused or not answered."""

    job: str
    epoch: int
    fault: StoreFault
    detail: str = ""


class UploadCompleted(Struct, frozen=True):
    """The object stands under its name."""

    job: str
    epoch: int
    etag: str


class ObjectSeen(Struct, frozen=True):
    """The answer to `CheckObject`; `etag` empty: there is none."""

    job: str
    epoch: int
    etag: str
    size_bytes: int


class UploadListed(Struct, frozen=True):
    """The answer to `ListUpload`: part number from 0 and ETag of each part that the destination has.

    `known` False: this destination cannot list parts.
    """

    job: str
    epoch: int
    parts: tuple[tuple[int, str], ...]
    known: bool = True


Event = (
    Started
    | Tick
    | BusLost
    | BusBack
    | KvListed
    | KvChanged
    | KvUnreadable
    | KvWritten
    | KvRefused
    | KvUnknown
    | OrderReceived
    | SourceStates
    | FileDescribed
    | LocalJobFailed
    | PartReady
    | PartChecked
    | PartPut
    | PartPutFailed
    | UploadCreated
    | UploadFailed
    | UploadCompleted
    | ObjectSeen
    | UploadListed
)

# --- commands -------------------------------------------------------------------------------------------------------


class KvCreate(Struct, frozen=True):
    """Write a row that must not exist; a deleted or expired one does not.

    Answered by one of `KvWritten`, `KvRefused`, `KvUnknown` with the number `request`. `encode_row` makes the bytes.
    """

    request: int
    bucket: str
    key: str
    row: AnyRow


class KvUpdate(Struct, frozen=True):
    """Write a row whose revision must be this one. Answered as `KvCreate`."""

    request: int
    bucket: str
    key: str
    row: AnyRow
    revision: int


class KvDelete(Struct, frozen=True):
    """Delete a row of this revision. Answered as `KvCreate`."""

    request: int
    bucket: str
    key: str
    revision: int


class KvRead(Struct, frozen=True):
    """Read one row and send it as `KvChanged`, with revision 0 where there is none: a write was refused."""

    bucket: str
    key: str


class PullOrders(Struct, frozen=True):
    """Begin to pull orders, or stop: at most a hundred that are not acknowledged at a time."""

    on: bool


class AckOrder(Struct, frozen=True):
    """Acknowledge an order: its effect is stored. `refused`, where not empty, is said to those who ordered."""

    order: int
    refused: str = ""


class StartLocalJob(Struct, frozen=True):
    """Begin to work on a job, or work on with other sources.

    Ask them for the size (`FileDescribed`) and fetch what `GrantWindow` says; nothing without one. Given again with
    what changed: idempotent by `job`. What is stored of it from an earlier start is kept and counts.
    """

    job: str
    spec: JobSpec
    sources: tuple[str, ...]
    numbers: tuple[int, ...] = ()
    """Of these sources in the job's row."""
    pieces: bytes = b""
    """Digests of the pieces that `spec` speaks of."""


class StopLocalJob(Struct, frozen=True):
    """End the local job. `keep`: its bytes may be needed again, here; else they are deleted."""

    job: str
    keep: bool


class GrantWindow(Struct, frozen=True):
    """Fetch these parts, in order where there is a choice.

    It replaces the job's window: what is outside of it and not complete is stopped; what is in both goes on. Each part
    that is complete is said by `PartReady`, also one that was complete before and is granted again.
    """

    job: str
    first: int
    stop: int
    size_bytes: int
    part_bytes: int
    as_one: bool = False
    """It is fetched in one go, as users send it, with the head of the part behind it, for `CheckPart`."""


class TrimWindow(Struct, frozen=True):
    """The window of the job ends earlier; ``stop == first`` ends it. Costs nothing: no source is counted a failure."""

    job: str
    stop: int


class DropPart(Struct, frozen=True):
    """Delete the local bytes of a part; `refetch`: and fetch them again, it is still inside the window."""

    job: str
    part: int
    refetch: bool


class CheckPart(Struct, frozen=True):
    """Read a part again, not from what is stored here but from its sources, and say its digest: `PartChecked`.

    `head`: only its first `HEAD_BYTES`; where they were read behind a window, that is the answer.
    """

    job: str
    part: int
    size_bytes: int
    part_bytes: int
    head: bool = False


class PutPart(Struct, frozen=True):
    """Store a part at the destination by a presigned address, with its checksum.

    `token`: revision of the window, for the log. Answered by `PartPut` or `PartPutFailed`; a new address is asked for
    at each try.
    """

    job: str
    part: int
    epoch: int
    upload: str
    destination: str
    token: int


class CreateUpload(Struct, frozen=True):
    """Begin an upload; answered by `UploadCreated` or `UploadFailed`."""

    job: str
    epoch: int
    destination: str
    size_bytes: int


class AbortUpload(Struct, frozen=True):
    """Abort an upload that no row names. Not answered."""

    job: str
    upload: str


class CompleteUpload(Struct, frozen=True):
    """Complete the upload with ``If-None-Match: *``; answered by `UploadCompleted` or `UploadFailed`.

    `checksum`, where not empty, is of the whole file, as in `JobSpec`: what was completed is read back and compared,
    and removed where it differs (`StoreFault.CONTENT`).
    """

    job: str
    epoch: int
    upload: str
    destination: str
    parts: tuple[PartRow, ...]
    checksum: str = ""


class ListUpload(Struct, frozen=True):
    """List the parts of an upload; answered by `UploadListed` or `UploadFailed`."""

    job: str
    epoch: int
    upload: str
    destination: str


class CheckObject(Struct, frozen=True):
    """Ask for the head of the finished object; answered by `ObjectSeen` or `UploadFailed`.

    `etag`: that it has if it is this job's; empty: unknown yet. An object with it is compared with `checksum` as by
    `CompleteUpload`. Of a destination that names ETags by rules of its own, the object is read in parts of
    `part_bytes`, which gives the ETag that S3 would name.
    """

    job: str
    epoch: int
    destination: str
    etag: str = ""
    part_bytes: int = 0
    checksum: str = ""


class LimitRate(Struct, frozen=True):
    """Receive at most this much, all fleet jobs of this machine together; 0: no limit."""

    rate_bytes_s: float


class Report(Struct, frozen=True):
    """Say one line to people: log, status, page. `job` empty: of the node.

    `fatal`: the node stays out of the fleet until it is started again with another configuration.
    """

    text: str
    job: str = ""
    fatal: bool = False


Command = (
    KvCreate
    | KvUpdate
    | KvDelete
    | KvRead
    | PullOrders
    | AckOrder
    | StartLocalJob
    | StopLocalJob
    | GrantWindow
    | TrimWindow
    | DropPart
    | CheckPart
    | PutPart
    | CreateUpload
    | AbortUpload
    | CompleteUpload
    | ListUpload
    | CheckObject
    | LimitRate
    | Report
)
