"""Entries of the pool: each job with its sources, how ended jobs ended; and the messages made of them."""

from collections import OrderedDict
from typing import Final

from protocol.messages import (
    ContributorsListed,
    JobClosed,
    JobEnded,
    JobProgressed,
    Message,
    PeerHistoryLoaded,
    RestoreSourceCounts,
    SourceDisabled,
    SourceFound,
    SourceJoined,
    SourceLost,
    SourceNamed,
    SourcePreferred,
    SourcesExpected,
    StartDispatcher,
    StartJob,
    StartWorker,
)
from protocol.messages.addresses import ASSEMBLER, SESSION, WATCHDOG, Post, dispatcher_address, root_address
from protocol.model.source_url import host_of, name_from_url, public_url
from protocol.model.value import Struct, field

ENDED_JOBS_MAX: Final = 1000
PARTS_MAX: Final = 4
"""Longer lists of contributors are sent once only."""


class SourceEntry(Struct):
    """One source of a job. Its number never changes, also when it is disabled."""

    url: str
    private_ok: bool = True
    named: bool = False
    """By another source, not by the user."""
    source_hash: int = 0
    peer: str = ""
    """Of a Soulseek user's file, as `path` and `history`."""
    path: str = ""
    size_bytes: int = -1
    advertised_bytes_s: int = 0
    """As the user says of itself in a search; 0 unknown."""
    offered_s: float = 0.0
    history: PeerHistoryLoaded | None = None
    worker: str = ""
    """Address of its worker, once that stands."""
    process: str = ""
    """The fetch process it is assigned to."""
    restarts: int = 0
    disabled: bool = False
    disabled_why: str = ""
    preferred: bool = False

    @property
    def ready(self) -> bool:
        """Whether its dispatcher can be given it."""
        return bool(self.worker) and not self.disabled and (not self.peer or self.history is not None)


class JobEntry(Struct):
    """One job of the pool."""

    start: StartJob
    """Kept until its dispatcher is requested: at once, or when a search has found the file."""
    dispatcher_requested: bool = False
    dispatcher_ready: bool = False
    limit_changed: bool = False
    """Before its dispatcher stood."""
    searched: bool = False
    """Its first search is over."""
    said: str = ""
    """The last line about its search that its watcher got."""
    offers: int = 0
    """Number of offers since the job was last requested."""
    sources: list[SourceEntry] = field(default_factory=list)
    carry_over: dict[str, RestoreSourceCounts] = field(default_factory=dict)
    """Counts of each source, by name, when the last hub died."""

    @property
    def number(self) -> int:
        return self.start.job

    @property
    def of_soulseek(self) -> bool:
        return bool(self.start.spec.term) or any(source.peer for source in self.sources)

    def offered(self, url: str) -> int | None:
        """Return the number of the source that is offered; None: one that the job does not have.

        When a job is requested again, offers come in the order of the numbers. Two of those offered together may have
        the same address; of those that come later, the source that is there already is meant.
        """
        at, self.offers = self.offers, self.offers + 1
        if at < len(self.sources) and self.sources[at].url == url:
            return at
        if at < self.start.source_count:
            return None
        same = (number for number, source in enumerate(self.sources) if source.url == url and not source.disabled)
        return next(same, None)

    def has_peer(self, peer: str) -> bool:
        """Whether a file of this user is or was a source: a second copy there would only wait for the first."""
        return any(source.peer == peer for source in self.sources)


class EndedJobs:
    """Ends of jobs, the latest `ENDED_JOBS_MAX` of them: their watcher may have died before it heard."""

    def __init__(self) -> None:
        self._ending: dict[int, list[ContributorsListed]] = {}
        self._ended: OrderedDict[int, list[ContributorsListed | JobEnded]] = OrderedDict()

    def add(self, message: ContributorsListed | JobEnded) -> None:
        """Contributors come first, the end of the job last."""
        if isinstance(message, ContributorsListed):
            self._ending.setdefault(message.job, []).append(message)
            return
        parts = self._ending.pop(message.job, [])
        self._ended[message.job] = [*(parts if len(parts) <= PARTS_MAX else []), message]
        while len(self._ended) > ENDED_JOBS_MAX:
            self._ended.popitem(last=False)

    def of(self, job: int) -> list[ContributorsListed | JobEnded]:
        """Return the reports of this job's end; none of one that has not ended."""
        return self._ended.get(job, [])


def start_dispatcher(start: StartJob, name: str, source_count: int) -> Post:
    """Request the dispatcher of a job, with the name and the number of sources known by now."""
    start = start.but(spec=start.spec.but(name=name), source_count=source_count)
    return Post(to=root_address("hub"), message=StartDispatcher(start=start))


def search_over(job: JobEntry) -> list[Post]:
    """The job's first search is over: its dispatcher gets the number of sources, once it stands."""
    job.searched = True
    return expect_sources(job)


def expect_sources(job: JobEntry) -> list[Post]:
    """Tell the dispatcher how many sources there are going to be; one more while the first search is under way."""
    count = max(job.start.source_count, len(job.sources)) + (bool(job.start.spec.term) and not job.searched)
    expected = SourcesExpected(job=job.number, count=count)
    return [Post(to=dispatcher_address(job.number), message=expected)] if job.dispatcher_ready else []


def clear_predecessor(start: StartJob, fetchers: tuple[str, ...]) -> list[Post]:
    """The hub that had this job has died: its workers go, and its queue places where it was searched for."""
    receivers = [*map(root_address, fetchers), *([SESSION] if start.spec.term else [])]
    return [Post(to=to, message=JobClosed(job=start.job)) for to in receivers]


def start_worker(job: JobEntry, number: int) -> Post:
    """Request the worker of a source in its fetch process."""
    source = job.sources[number]
    start = StartWorker(
        job=job.number,
        source=number,
        url=source.url,
        private_ok=source.private_ok and job.start.spec.private_ok,
        http=job.start.spec.http.for_strangers() if source.named else job.start.spec.http,
        timeout_s=job.start.spec.policy.timeout_s,
    )
    return Post(to=root_address(source.process), message=start)


def introduce(job: JobEntry, number: int) -> Post:
    """Give a dispatcher a source with everything known of it."""
    source = job.sources[number]
    history, counts = source.history, job.carry_over.get(public_url(source.url))
    joined = SourceJoined(
        job=job.number,
        source=number,
        worker=source.worker,
        name=public_url(source.url),
        host=host_of(source.url),
        fallback_name=name_from_url(source.url),
        prior_rate_bytes_s=history.rate_bytes_s if history is not None else 0.0,
        advertised_bytes_s=float(max(source.advertised_bytes_s, 0)),
        peer=source.peer,
        path=source.path,
        size_bytes=source.size_bytes,
        prior_setup_s=history.setup_s if history is not None else 0.0,
        offset_ok=history.offset_ok if history is not None else True,
        stops_today=history.stops_today if history is not None else 0,
        bytes_stored=counts.bytes_stored if counts is not None else 0,
        chunks=counts.chunks if counts is not None else 0,
        leases=counts.leases if counts is not None else 0,
        stops=counts.stops if counts is not None else 0,
        odd=history.odd if history is not None else False,
    )
    return Post(to=dispatcher_address(job.number), message=joined)


def found(job: JobEntry, number: int) -> list[Post]:
    """Report a source and its number to the watcher."""
    source = job.sources[number]
    return to_watcher(job, SourceFound(job=job.number, source=number, url=source.url, size_bytes=source.size_bytes))


def named(job: JobEntry, number: int) -> list[Post]:
    """Give the dispatcher, where it stands, what records have for this source's name."""
    message = SourceNamed(job=job.number, source=number, source_hash=job.sources[number].source_hash)
    return [Post(to=dispatcher_address(job.number), message=message)] if job.dispatcher_ready else []


def to_watcher(job: JobEntry, message: Message) -> list[Post]:
    """Report something to the watcher, where there is one."""
    return [Post(to=job.start.watcher, message=message)] if job.start.watcher else []


def not_found_yet(job: JobEntry, why: str) -> list[Post]:
    """No user has the file at present; it is searched for again."""
    progressed = JobProgressed(
        job=job.number, state="waiting", stored_bytes=0, size_bytes=-1, rate_bytes_s=0.0, left_s=-1.0, reason=why
    )
    return to_watcher(job, progressed)


def lost(job: JobEntry, number: int, detail: str) -> Post:
    """Report to the dispatcher that a source has no worker for now."""
    message = SourceLost(job=job.number, source=number, detail=detail)
    return Post(to=dispatcher_address(job.number), message=message)


def disabled(job: JobEntry, number: int, *, banned: bool = False, restored: bool = False) -> Post:
    """Report to the dispatcher that a source is not used any more, or (`restored`) again."""
    source = job.sources[number]
    message = SourceDisabled(
        job=job.number, source=number, banned=banned, detail=source.disabled_why, restored=restored
    )
    return Post(to=dispatcher_address(job.number), message=message)


def prefer(job: JobEntry, message: SourcePreferred) -> list[Post]:
    """Note whether a source goes before others, for its dispatcher now or once that stands."""
    if not 0 <= message.source < len(job.sources):
        return []
    job.sources[message.source].preferred = message.preferred
    return [Post(to=dispatcher_address(job.number), message=message)] if job.dispatcher_ready else []


def preferred(job: JobEntry, number: int) -> list[Post]:
    """Report to a new dispatcher that a source goes before others, where it does."""
    message = SourcePreferred(job=job.number, source=number, preferred=True)
    return [Post(to=dispatcher_address(job.number), message=message)] if job.sources[number].preferred else []


def close(job: JobEntry) -> list[Post]:
    """Report to all that worked for a job that it is over."""
    processes = {source.process for source in job.sources if source.process}
    receivers = [root_address(process) for process in ["hub", *sorted(processes)]]
    closed = JobClosed(job=job.number)
    return [Post(to=to, message=closed) for to in [*receivers, *([SESSION] if job.of_soulseek else [])]]


def close_for_failed_dispatcher(job: int) -> list[Post]:
    """Post what a dispatcher that ended with an exception did not."""
    return [Post(to=to, message=JobClosed(job=job)) for to in (WATCHDOG, ASSEMBLER)]


def nothing_known(job: int, source: int, peer: str) -> PeerHistoryLoaded:
    """Return the history of a peer of whom nothing was learned in time."""
    return PeerHistoryLoaded(
        job=job,
        source=source,
        peer=peer,
        rate_bytes_s=0.0,
        setup_s=0.0,
        offset_ok=True,
        stops_today=0,
    )
