"""Requests to the JobManager, which has every job of the daemon, and its messages to the hub and the store.

A `Request` gets exactly one of: a `RequestAnswered` in one or more parts, or a `RequestRefused`. `id` is a job's public
id (a UUID as text); `number` is what the hub calls one attempt at it, another one at every start.
"""

from protocol.messages.base import Message, Request
from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import Wish
from protocol.model.job_spec import JobSpec

UNCHANGED = -1
"""For the numbers of `UpdateJob`: leave as it is."""


class RequestAnswered(Message, tag=85):
    """A part of an answer, in order.

    `body` is read by `protocol.model.job_views.unpack` with the class that the request names; the answer is the parts'
    rows together. `total`: number of rows there are beyond this page. `last` ends the answer.
    """

    request: int
    body: bytes
    total: int
    last: bool


class RequestRefused(Message, tag=86):
    """Nothing was changed.

    `kind`: ``unknown`` (no such job), ``conflict`` (not in this state, or there already), ``invalid`` (`field` says
    what), ``full`` (too many), ``unavailable`` (ask again later). `detail`: one line for people.
    """

    request: int
    kind: str
    field: str
    detail: str


class CreateJob(Request, tag=87):
    """Download one file. Answered by `JobDetail` rows: of the new job, or of the one that is meant.

    With the origin ``slskd`` a living job of the same `user` and `remote_path` is the answer. A job of the same `key`
    is, until it is deleted, when the orders have the same `digest`, else the order is refused.
    """

    spec: JobSpec
    """Checked by the sender, the folder above all."""
    sources: tuple[str, ...]
    """Addresses: ``http(s)://`` or ``slsk://``."""
    key: str = ""
    """Chosen by a client that may send its order twice."""
    digest: str = ""
    """Of its order."""


# commands: answered by one `JobView`, the job as it is afterwards


class PauseJob(Request, tag=88):
    """Stop a job and keep what it has until it is resumed."""

    id: str


class ResumeJob(Request, tag=89):
    """Put a paused job back into the queue."""

    id: str


class CancelJob(Request, tag=90):
    """End a job. Its part file stays, and a retry goes on from there. `removed`: no longer listed by default."""

    id: str
    removed: bool


class RetryJob(Request, tag=91):
    """Put a failed or cancelled job back into the queue.

    `other_group`: a sealed one, too, to fetch the file of the sources that were left out because of other content.
    """

    id: str
    other_group: bool = False


class DeleteJob(Request, tag=92):
    """Forget an ended job; the answer is its last state. Its part file goes too, the finished file stays."""

    id: str


class HideEndedJobs(Request, tag=93):
    """List the ended jobs of this `origin` no longer by default. Answered by no rows; `total` is their number."""

    origin: str


class UpdateJob(Request, tag=94):
    """Change limit or priority at once; `UNCHANGED` leaves one as it is. Limit 0: none."""

    id: str
    limit_bytes_s: int
    priority: int


class AddSources(Request, tag=95):
    """Give more sources to a job that has not ended. Those it has already are no error."""

    id: str
    urls: tuple[str, ...]


class DropSource(Request, tag=96):
    """Use this source, by its number in the job, no longer. `banned`: nor may a search bring it back.

    `restored`: the opposite, use it again.
    """

    id: str
    source: int
    banned: bool = False
    restored: bool = False


class PreferSource(Request, tag=159):
    """Use this source, by its number in the job, before others, or (`preferred` false) like others again."""

    id: str
    source: int
    preferred: bool


# queries


class ListJobs(Request, tag=97):
    """List jobs, at most `limit` from `offset` on. Answered by `JobView` rows. Empty filters match everything."""

    states: tuple[str, ...]
    origin: str
    user: str
    text: str
    """Part of a name or path."""
    removed: bool
    """Those too that are no longer listed by default."""
    order: str
    """``newest``, ``oldest`` or ``largest`` first, by ``name`` or ``folder``, or ``queue``: as they will be started."""
    offset: int
    limit: int
    folder_id: str = ""
    """Only files of this folder download."""


class ListFolders(Request, tag=144):
    """List folder downloads, the newest first. Answered by `FolderView` rows."""

    offset: int
    limit: int


class GetJob(Request, tag=98):
    """Get one job. Answered by `JobDetail` rows, see `protocol.model.job_views.whole`; `rates`: with earlier ones."""

    id: str
    rates: bool = False


class ExplainJob(Request, tag=99):
    """Find out what holds a job back now. Answered by `Bottleneck` rows, the tightest first."""

    id: str


class GetTimeline(Request, tag=100):
    """List the events of a job. Answered by `EventEntry` rows, oldest first."""

    id: str
    offset: int
    limit: int


class GetManifest(Request, tag=101):
    """Find out which sources sent which chunks of a job. Answered by `ManifestRange` rows."""

    id: str


class ListEvents(Request, tag=102):
    """List stored events. Answered by `EventEntry` rows.

    Those with a serial above `after`, oldest first; with `after` -1 the newest first, from `offset` on.
    """

    after: int
    offset: int
    limit: int


class GetCounts(Request, tag=103):
    """Get the totals of the daemon. Answered by one `Counts`."""


class WatchEvents(Message, tag=104):
    """Send every `EventOccurred` to this address from now on, until its process is lost.

    Not answered; to be sent once after each `ProcessReady` of the job manager.
    """

    reply_to: str


class EventOccurred(Message, tag=105):
    """An event for people and tools.

    `serial` 0: fleeting (progress), not stored, not replayed; else it rises by one with each. `kind` is one of
    `protocol.model.event_kinds.KINDS`; `data` is JSON. `id` empty: of no job.
    """

    serial: int
    at_ms: int
    kind: str
    id: str
    data: bytes


class SetTotalLimit(Request, tag=106):
    """Limit all jobs together, whatever the schedule says, until `SetTotalLimit` with -1 or a restart.

    0: no limit. Answered by one `Counts`.
    """

    limit_bytes_s: int


class SetSchedule(Request, tag=171):
    """Limit all jobs by these times of the week from now on, kept over restarts. None: as the configuration says.

    Answered by one `Counts`.
    """

    windows: tuple[LimitWindow, ...] | None


class ConfigureJobManager(Message, tag=107):
    """Use these settings from now on: a `JobPolicy` as JSON. From the front, after the configuration was read again."""

    settings: bytes


class ConfigureGateway(Message, tag=121):
    """Use these settings from now on: a part of the JSON of the daemon's settings, in order; `last` ends it.

    From the front, after the configuration was read again. It holds secrets.
    """

    part: bytes
    last: bool


class ListWishes(Request, tag=139):
    """List the wishlist. Answered by `Wish` rows, the oldest first."""


class PutWish(Request, tag=140):
    """Store a wish, in the place of one with the same id. Answered by no rows, once it is safe."""

    wish: Wish


class DeleteWish(Request, tag=141):
    """Take a wish off the list. Answered by no rows; the total is how many there were."""

    id: str


class SetBookmark(Request, tag=122):
    """Store which event the client called `name` has handled last. Answered by no rows, once it is safe."""

    name: str
    serial: int


class GetBookmark(Request, tag=123):
    """Get the bookmark of this name. Answered by one `Bookmark`; its serial is -1 when none was ever set."""

    name: str


# between the job manager and the hub


class LimitJob(Message, tag=108):
    """Change the limit of a running job. To the pool, and from there to its dispatcher. 0: none."""

    job: int
    limit_bytes_s: int


class LimitTotal(Message, tag=109):
    """Limit all jobs together. To the SpeedWatchdog; a new hub has no limit. 0: none."""

    limit_bytes_s: int


class SourceDisabled(Message, tag=110):
    """This source of a running job is not used any more; no other gets its number. To the pool and the dispatcher.

    `banned`: nor may a search bring it back. `restored`: the opposite, it is used again and gets a new worker.
    """

    job: int
    source: int
    banned: bool
    detail: str
    restored: bool = False


class SourcePreferred(Message, tag=160):
    """This source of a running job goes before others, or no longer does. To the pool and the dispatcher."""

    job: int
    source: int
    preferred: bool


class SourceFound(Message, tag=111):
    """The job has this source now, offered or found by a search. Pool to the watcher. `url` may hold a password."""

    job: int
    source: int
    url: str
    size_bytes: int


class ListContributors(Request, tag=112):
    """Find out which sources sent which chunks so far. To a dispatcher. Answered by `ContributorsListed` parts."""

    job: int


class ContributorsListed(Message, tag=113):
    """Chunks ``[firsts[i], stops[i])`` came from source ``owners[i]``, -1 unknown. What lies between is missing.

    Neighbours differ. To the watcher with `request` 0 just before `JobEnded`. `last` ends the answer.
    """

    job: int
    request: int
    firsts: tuple[int, ...]
    stops: tuple[int, ...]
    owners: tuple[int, ...]
    last: bool


# between the job manager and the store


class RemovePartFile(Message, tag=128):
    """Remove the part file and the records of a deleted job. To the Assembler. Answered by `PartFileRemoved`.

    A finished file stays, and so does what belongs to another job or is in use.
    """

    id: str
    folder: str
    name: str
    reply_to: str


class PartFileRemoved(Message, tag=129):
    """Nothing is left to remove. `detail` says what stayed and why, empty when nothing did."""

    id: str
    detail: str
