"""What the pool keeps of each job and of each of its sources, and the messages that are made of it."""

from collections import OrderedDict
from dataclasses import dataclass, field
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
    SourcesExpected,
    StartDispatcher,
    StartJob,
    StartWorker,
)
from protocol.messages.addresses import ASSEMBLER, SESSION, WATCHDOG, Post, dispatcher_address, root_address
from protocol.model.source_url import host_of, name_from_url, public_url

ENDED_KEPT_MAX: Final = 1000
"""How so many jobs ended is said again to whoever asks for them."""
PARTS_KEPT_MAX: Final = 4
"""Longer lists of runs are told once only."""


@dataclass(slots=True)
class PooledSource:
    """One source of a job. `peer`, `path` and `prior` only of a Soulseek user's file; `worker` once it stands.
    `left`: it keeps its number and is not used."""

    url: str
    private_ok: bool = True
    source_hash: int = 0
    peer: str = ""
    path: str = ""
    size_bytes: int = -1
    offered_s: float = 0.0
    prior: PeerHistoryLoaded | None = None
    worker: str = ""
    home: str = ""
    restarts: int = 0
    left: bool = False
    why_left: str = ""

    @property
    def known(self) -> bool:
        """Whether its dispatcher can be told of it."""
        return bool(self.worker) and not self.left and (not self.peer or self.prior is not None)


@dataclass(slots=True)
class PooledJob:
    """`asked` is kept for the moment its dispatcher is `wanted`: at once, or when a search has found the file.

    `dispatching` once it stands; `limited`: its limit was changed before. `offers`: so many were heard since the job
    was last asked for. `heard`: its first search is over. `given`: what each source had
    given, by name, when the last hub died.
    """

    asked: StartJob
    wanted: bool = False
    dispatching: bool = False
    limited: bool = False
    heard: bool = False
    offers: int = 0
    sources: list[PooledSource] = field(default_factory=list)
    given: dict[str, RestoreSourceCounts] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.asked.job

    @property
    def of_soulseek(self) -> bool:
        return bool(self.asked.spec.term) or any(source.peer for source in self.sources)

    def known(self, url: str) -> int | None:
        """Which source is offered here, None: one that it does not have.

        Offers come in the order of the numbers when a job is asked for again. Two of those named together may have the
        same address; of those that come later, who is there already is meant.
        """
        at, self.offers = self.offers, self.offers + 1
        if at < len(self.sources) and self.sources[at].url == url:
            return at
        if at < self.asked.source_count:
            return None
        same = (number for number, source in enumerate(self.sources) if source.url == url and not source.left)
        return next(same, None)

    def has(self, peer: str) -> bool:
        """Whether a file of this user is or was a source of it: a second copy there would only wait for the first."""
        return any(source.peer == peer for source in self.sources)


class LastWords:
    """How jobs ended, the latest `ENDED_KEPT_MAX` of them: who was to hear it may have died before it did."""

    def __init__(self) -> None:
        self._ending: dict[int, list[ContributorsListed]] = {}
        self._told: OrderedDict[int, list[ContributorsListed | JobEnded]] = OrderedDict()

    def keep(self, message: ContributorsListed | JobEnded) -> None:
        """Runs come first, the end of the job last."""
        if isinstance(message, ContributorsListed):
            self._ending.setdefault(message.job, []).append(message)
            return
        parts = self._ending.pop(message.job, [])
        self._told[message.job] = [*(parts if len(parts) <= PARTS_KEPT_MAX else []), message]
        while len(self._told) > ENDED_KEPT_MAX:
            self._told.popitem(last=False)

    def of(self, job: int) -> list[ContributorsListed | JobEnded]:
        """What was said of this job when it ended; nothing of one that did not."""
        return self._told.get(job, [])


def dispatcher_wanted(asked: StartJob, name: str, source_count: int) -> Post:
    start = asked.but(spec=asked.spec.but(name=name), source_count=source_count)
    return Post(to=root_address("hub"), message=StartDispatcher(start=start))


def heard(job: PooledJob) -> list[Post]:
    """The job's first search is over: its dispatcher is told how many sources there are, once it stands."""
    job.heard = True
    count = max(job.asked.source_count, len(job.sources))
    expected = SourcesExpected(job=job.number, count=count)
    return [Post(to=dispatcher_address(job.number), message=expected)] if job.dispatching else []


def cleared(asked: StartJob, fetchers: tuple[str, ...]) -> list[Post]:
    """The hub that had this job has died; its workers go, and its places where there is a session to hear it."""
    rooms = [*map(root_address, fetchers), *([SESSION] if asked.spec.term else [])]
    return [Post(to=to, message=JobClosed(job=asked.job)) for to in rooms]


def worker_wanted(job: PooledJob, number: int) -> Post:
    source = job.sources[number]
    wanted = StartWorker(
        job=job.number,
        source=number,
        url=source.url,
        chunk_size=job.asked.spec.chunk_size,
        private_ok=source.private_ok and job.asked.spec.private_ok,
        http=job.asked.spec.http,
    )
    return Post(to=root_address(source.home), message=wanted)


def introduced(job: PooledJob, number: int) -> Post:
    """All that is known of a source, for its dispatcher."""
    source = job.sources[number]
    prior, given = source.prior, job.given.get(public_url(source.url))
    joined = SourceJoined(
        job=job.number,
        source=number,
        worker=source.worker,
        name=public_url(source.url),
        host=host_of(source.url),
        fallback_name=name_from_url(source.url),
        prior_rate_bytes_s=prior.rate_bytes_s if prior is not None else 0.0,
        peer=source.peer,
        path=source.path,
        size_bytes=source.size_bytes,
        prior_setup_s=prior.setup_s if prior is not None else 0.0,
        offset_ok=prior.offset_ok if prior is not None else True,
        stops_today=prior.stops_today if prior is not None else 0,
        bytes_stored=given.bytes_stored if given is not None else 0,
        chunks=given.chunks if given is not None else 0,
        leases=given.leases if given is not None else 0,
        stops=given.stops if given is not None else 0,
    )
    return Post(to=dispatcher_address(job.number), message=joined)


def found(job: PooledJob, number: int) -> list[Post]:
    """The watcher hears which sources there are."""
    source = job.sources[number]
    told = SourceFound(job=job.number, source=number, url=source.url, size_bytes=source.size_bytes)
    return to_watcher(job, told)


def named(job: PooledJob, number: int) -> list[Post]:
    """Its dispatcher, where it stands, knows what records of this source look like."""
    told = SourceNamed(job=job.number, source=number, source_hash=job.sources[number].source_hash)
    return [Post(to=dispatcher_address(job.number), message=told)] if job.dispatching else []


def to_watcher(job: PooledJob, message: Message) -> list[Post]:
    return [Post(to=job.asked.watcher, message=message)] if job.asked.watcher else []


def waits_to_be_found(job: PooledJob, why: str) -> list[Post]:
    """Nobody has its file at present; it is searched for again."""
    progressed = JobProgressed(
        job=job.number, state="waiting", stored_bytes=0, size_bytes=-1, rate_bytes_s=0.0, left_s=-1.0, reason=why
    )
    return to_watcher(job, progressed)


def lost(job: PooledJob, number: int, detail: str) -> Post:
    told = SourceLost(job=job.number, source=number, detail=detail)
    return Post(to=dispatcher_address(job.number), message=told)


def left(job: PooledJob, number: int, *, banned: bool = False) -> Post:
    source = job.sources[number]
    told = SourceDisabled(job=job.number, source=number, banned=banned, detail=source.why_left)
    return Post(to=dispatcher_address(job.number), message=told)


def dismissed(job: PooledJob) -> list[Post]:
    """Everybody who worked for a job hears that it is over."""
    homes = {source.home for source in job.sources if source.home}
    rooms = [root_address(process) for process in ["hub", *sorted(homes)]]
    told = JobClosed(job=job.number)
    return [Post(to=to, message=told) for to in [*rooms, *([SESSION] if job.of_soulseek else [])]]


def forgotten(job: int) -> list[Post]:
    """What a dispatcher that ended with an exception did not say to those who work for it."""
    return [Post(to=to, message=JobClosed(job=job)) for to in (WATCHDOG, ASSEMBLER)]


def nothing_known(job: int, source: int, peer: str) -> PeerHistoryLoaded:
    return PeerHistoryLoaded(
        job=job,
        source=source,
        peer=peer,
        rate_bytes_s=0.0,
        setup_s=0.0,
        offset_ok=True,
        failures=0,
        last_fault=0,
        failed_s_ago=0.0,
        stops_today=0,
    )
