"""What is said to and by the JobManager, who holds every job the daemon ever had.

Questions and orders carry `request` (chosen by the asker, comes back) and `reply_to`. Each gets exactly one of: an
`RequestAnswered` of one or more parts, or a `RequestRefused`. `id` is a job's public id (a UUID in text); `number` is
what one run of it is called in the hub, another one at every start.
"""

from protocol.messages.base import Message, Request

UNCHANGED = -1
"""For the numbers of `UpdateJob`: leave as it is."""


class RequestAnswered(Message, tag=85):
    """A part of an answer, in order; `last` ends it. `body` is read by `protocol.model.job_views.unpack` with the
    class that
    the question names; the answer is the parts' rows together. `total`: how many rows there are beyond this page."""

    request: int
    body: bytes
    total: int
    last: bool


class RequestRefused(Message, tag=86):
    """Nothing was changed. `kind`: ``unknown`` (no such job), ``conflict`` (not in this state, or there already),
    ``invalid`` (`field` says what), ``full`` (too many), ``unavailable`` (ask again later). `detail`: one line."""

    request: int
    kind: str
    field: str
    detail: str


# orders: answered by one `JobView`, as it is afterwards


class CreateJob(Request, tag=87):
    """Fetch one file. `name` empty: taken from the sources; `folder` is absolute, checked by whoever asks.

    `sources` are addresses (``http(s)://``, ``slsk://``); `term` not empty: users are searched for, for `search_s`.
    `size_bytes` -1: not known. `checksum`: ``algorithm:hex`` or empty. `limit_bytes_s` 0: none. The highest `priority`
    goes first.
    `origin`: which door it came through (``multisource``, ``slskd``, ``cli``). With ``slskd``: `user` and `remote_path`
    are what was enqueued, whoever sends the bytes; an active or queued job of the same two is the answer then, and no
    second one is made. `widen`: look for other users with the same file. `private_ok`: addresses inside private
    networks may be fetched from. `key` not empty: chosen by a client that may send its order twice; a job of this key
    is the answer then, if the orders have the same `digest`, until it is deleted.
    """

    name: str
    folder: str
    size_bytes: int
    chunk_size: int
    checksum: str
    mode: str
    limit_bytes_s: int
    priority: int
    sources: tuple[str, ...]
    term: str
    search_s: float
    origin: str
    user: str
    remote_path: str
    widen: bool
    private_ok: bool
    key: str = ""
    digest: str = ""


class PauseJob(Request, tag=88):
    """Stop this job and keep what it has until it is resumed."""

    id: str


class ResumeJob(Request, tag=89):
    """A paused job goes back into the queue."""

    id: str


class CancelJob(Request, tag=90):
    """End this job. What it has stays on disk: a retry goes on from there. `removed`: no longer listed by default."""

    id: str
    removed: bool


class RetryJob(Request, tag=91):
    """A failed or cancelled job goes back into the queue."""

    id: str


class DeleteJob(Request, tag=92):
    """Forget an ended job: the answer is its last snapshot. Its part file goes too, the finished file stays."""

    id: str


class HideEndedJobs(Request, tag=93):
    """All ended jobs of this `origin` are no longer listed by default. Answered by no rows; `total` says how
    many."""

    origin: str


class UpdateJob(Request, tag=94):
    """Another limit or priority, at once; `UNCHANGED` leaves one as it is. Limit 0: none."""

    id: str
    limit_bytes_s: int
    priority: int


class AddSources(Request, tag=95):
    """More sources for a job that has not ended. Those it has already are no error."""

    id: str
    urls: tuple[str, ...]


class DropSource(Request, tag=96):
    """This source, by its number in the job, is not used any more. `banned`: nor may a search bring it back."""

    id: str
    source: int
    banned: bool


# questions


class ListJobs(Request, tag=97):
    """Answered by `JobView` rows. Empty filters match everything. `text` is looked for in name and path.

    `order`: ``newest`` or ``queue`` (as they will be started). `removed`: those too. At most `limit` from `offset` on.
    """

    states: tuple[str, ...]
    origin: str
    user: str
    text: str
    removed: bool
    order: str
    offset: int
    limit: int


class GetJob(Request, tag=98):
    """Answered by `JobDetail` rows, see `protocol.model.job_views.whole`."""

    id: str


class ExplainJob(Request, tag=99):
    """What binds this job now? Answered by `Binding` rows, the tightest first."""

    id: str


class GetTimeline(Request, tag=100):
    """What happened to a job. Answered by `EventEntry` rows, oldest first."""

    id: str
    offset: int
    limit: int


class GetManifest(Request, tag=101):
    """Who sent which chunks of an ended, paused or running job. Answered by `ManifestRange` rows."""

    id: str


class ListEvents(Request, tag=102):
    """Record events. Answered by `EventEntry` rows: those with a serial above `after`, oldest first; with
    `after` -1 the
    newest first, from `offset` on."""

    after: int
    offset: int
    limit: int


class GetCounts(Request, tag=103):
    """Answered by one `Counts`."""


class WatchEvents(Message, tag=104):
    """From now on `EventOccurred` goes to this address, until its process is lost. Not answered; ask once after each
    `ProcessReady` of the job manager."""

    reply_to: str


class EventOccurred(Message, tag=105):
    """Something that people or tools may want to hear. `serial` 0: fleeting (progress), not kept, not replayed; else it
    rises by one with each. `kind` as in `protocol.model.event_kinds.KINDS`; `data` is JSON. `id` empty: of no job."""

    serial: int
    at_ms: int
    kind: str
    id: str
    data: bytes


class SetTotalLimit(Request, tag=106):
    """All jobs together at most so fast from now on, whatever the schedule says, until `SetTotalLimit` with -1 or a
    restart.
    0: no limit. Answered by one `Counts`."""

    limit_bytes_s: int


class ConfigureJobManager(Message, tag=107):
    """The configuration was read again; `settings` is JSON of what the job manager goes by (`protocol.config`)."""

    settings: bytes


class ConfigureGateway(Message, tag=121):
    """The configuration was read again: a part of the JSON of `protocol.config.settings.Settings`, in order; `last`
    ends it. It holds secrets."""

    part: bytes
    last: bool


class SetBookmark(Request, tag=122):
    """Keep how far somebody (`name`) has come with the events. Answered by no rows, once it is safe."""

    name: str
    serial: int


class GetBookmark(Request, tag=123):
    """Answered by one `Bookmark`; its serial is -1 when none was ever set."""

    name: str


# between the job manager and the hub


class LimitJob(Message, tag=108):
    """Job manager to dispatcher (by way of the pool): another limit for a running job. 0: none."""

    job: int
    limit_bytes_s: int


class LimitTotal(Message, tag=109):
    """Job manager to watchdog: all jobs together at most so fast. 0: no limit. A new hub knows of none."""

    limit_bytes_s: int


class SourceDisabled(Message, tag=110):
    """Job manager to pool, pool to dispatcher: this source of a running job is not used any more. Its number is not
    given to another. `banned`: nor may a search bring it back."""

    job: int
    source: int
    banned: bool
    detail: str


class SourceFound(Message, tag=111):
    """Pool to the watcher of a job: it has this source now, offered or found by a search. `url` may hold a password."""

    job: int
    source: int
    url: str
    size_bytes: int


class ListContributors(Request, tag=112):
    """To a dispatcher: who sent which chunks so far? Answered by `ContributorsListed` parts."""

    job: int


class ContributorsListed(Message, tag=113):
    """Chunks ``[firsts[i], stops[i])`` were stored by source ``owners[i]``; -1: by nobody who is known any more.
    Neighbours differ; what lies between runs is missing. To the watcher with `request` 0 just before `JobEnded`."""

    job: int
    request: int
    firsts: tuple[int, ...]
    stops: tuple[int, ...]
    owners: tuple[int, ...]
    last: bool


# between the job manager and the store


class RemovePartFile(Message, tag=128):
    """Job manager to assembler: the job `id` was deleted, its part file and records of `name` in `folder` go. A
    finished file stays, and so does what belongs to somebody else or is in use. Answered by `PartFileRemoved`."""

    id: str
    folder: str
    name: str
    reply_to: str


class PartFileRemoved(Message, tag=129):
    """Nothing of it is left to remove. `detail` says what stayed and why, empty when nothing did."""

    id: str
    detail: str
