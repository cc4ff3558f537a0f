"""The PoolManager's decisions: which jobs there are, which sources each has, in which process each source is read.

Invariant: every source of a job has exactly one home process; a job is known from `JobAsked` to `JobForgotten`.
A source is introduced to its dispatcher when its worker stands and, if it is a Soulseek user's, when the memory of
peers has told what it knows of that user, or has been silent for too long.
"""

from typing import Final, assert_never

from actors.core.pool_jobs import PoolJob, PoolSource, dispatcher_wanted, ended_early, introduction, nothing_known
from actors.core.searching import Chosen, Searching
from protocol.messages import (
    ActorDied,
    DispatcherReady,
    JobAsked,
    JobForgotten,
    JobNoted,
    JobStopAsked,
    Message,
    PoolInbox,
    PriorsAsked,
    PriorsTold,
    ProcessLost,
    ProcessReady,
    SearchEnded,
    SearchHit,
    SessionChanged,
    SourceKnown,
    SourceLost,
    SourceOffered,
    Ticked,
    WorkerReady,
    WorkerWanted,
)
from protocol.post import MEMORY, POOL, SESSION, Post, dispatcher_address, root_address, split_address, worker_address
from protocol.urls import is_slsk, slsk_address, slsk_url

WORKER_RESTARTS_MAX: Final = 3
RESTART_S_MAX: Final = 0.5
"""A process that is started anew later than in so long is not waited for."""
AWAY_S_MAX: Final = 2.0
PRIORS_S_MAX: Final = 2.0
"""So long what is remembered of a user is waited for."""
_HOPELESS: Final = ("offline", "refused", "kicked", "port taken")


class PoolState:
    """Owned by the PoolManager. `fetchers` are the names of the fetch processes."""

    def __init__(self, fetchers: tuple[str, ...]) -> None:
        assert fetchers, "somebody has to fetch"
        self._fetchers = fetchers
        self._load = dict.fromkeys(fetchers, 0)
        self._away: dict[str, float] = {}  # being started anew, and so long they are waited for
        self._jobs: dict[int, PoolJob] = {}
        self._searching = Searching()
        self._session: SessionChanged | None = None

    def handle(self, message: PoolInbox, *, now_s: float) -> list[Post]:
        """Take one message, return what is to be posted. Words about unknown jobs change nothing."""
        match message:
            case JobAsked():
                return self._begin(message) if message.job not in self._jobs else []
            case SourceOffered(job=number, url=url):
                job = self._jobs.get(number)
                return self._add(job, url, now_s=now_s) if job is not None else []
            case SourceKnown(job=number, name=name):
                if number in self._jobs:
                    self._jobs[number].known[name] = message
                return []
            case JobStopAsked(job=number):
                return self._stop(message) if number in self._jobs else []
            case JobForgotten(job=number):
                return self._forget(number)
            case DispatcherReady(job=number):
                return self._ready(number)
            case WorkerReady():
                return self._standing(message)
            case PriorsTold():
                return self._remembered(message)
            case ActorDied():
                return self._replace_worker(message)
            case ProcessLost():
                return self._lose(message, now_s)
            case ProcessReady(process=process):
                return self._back(message) if process in self._fetchers else self._anew(message)
            case SearchHit():
                return self._searching.hit(message)
            case SearchEnded():
                chosen = self._searching.ended(message, now_s=now_s)
                return self._found(chosen, now_s) if chosen is not None else []
            case SessionChanged():
                return self._on_session(message)
            case Ticked():
                return self._tick(now_s)
            case _:
                assert_never(message)

    # -- jobs

    def _begin(self, asked: JobAsked) -> list[Post]:
        job = self._jobs[asked.job] = PoolJob(asked)
        out = self._clear(asked) if asked.attempt else []
        if not asked.term:
            return [*out, dispatcher_wanted(asked, asked.name, asked.source_count)]
        if self._session is not None and self._session.state in _HOPELESS:
            return self._end(job, "starved", self._session.detail)
        posts = self._searching.begin(asked.job, asked.term, asked.wanted_size_bytes)
        return out + (posts or self._end(job, "starved", "too many searches at once"))

    def _clear(self, asked: JobAsked) -> list[Post]:
        """The hub that had this job has died; its workers go, and its places where there is a session to hear it."""
        rooms = [*map(root_address, self._fetchers), *([SESSION] if asked.term else [])]
        return [Post(to=to, message=JobForgotten(job=asked.job)) for to in rooms]

    def _found(self, chosen: Chosen, now_s: float) -> list[Post]:
        job = self._jobs[chosen.job]
        if not chosen.users:
            return self._end(job, "starved", chosen.line)
        noted = JobNoted(job=job.number, text=chosen.line)
        out = [Post(to=job.asked.watcher, message=noted)] if job.asked.watcher else []
        if chosen.first:
            count = len(job.sources) + len(chosen.users)
            out.append(dispatcher_wanted(job.asked, job.asked.name or chosen.name, count))
        for hit in chosen.users:
            out += self._add(job, slsk_url(hit.peer, hit.path), size_bytes=hit.size_bytes, now_s=now_s)
        return out

    def _stop(self, message: JobStopAsked) -> list[Post]:
        if message.job in self._searching.hunting():
            return self._end(self._jobs[message.job], "interrupted", "interrupted")
        return [Post(to=dispatcher_address(message.job), message=message)]

    def _end(self, job: PoolJob, state: str, reason: str) -> list[Post]:
        """The end of a job that never had a dispatcher."""
        ended = ended_early(job.number, state, reason)
        return [*([Post(to=job.asked.watcher, message=ended)] if job.asked.watcher else []), *self._forget(job.number)]

    def _forget(self, number: int) -> list[Post]:
        self._searching.forget(number)
        job = self._jobs.pop(number, None)
        if job is None:
            return []
        homes = {source.home for source in job.sources if source.home}
        for home in [source.home for source in job.sources if source.home in self._load]:
            self._load[home] -= 1
        told: Message = JobForgotten(job=number)
        out = [Post(to=root_address(process), message=told) for process in ["hub", *sorted(homes)]]
        if job.of_soulseek:
            out.append(Post(to=SESSION, message=told))
        return out

    # -- sources

    def _add(self, job: PoolJob, url: str, *, size_bytes: int = -1, now_s: float) -> list[Post]:
        """One more source: its worker is wanted, and what is remembered of it."""
        source = PoolSource(url, size_bytes=size_bytes, offered_s=now_s)
        number = len(job.sources)
        job.sources.append(source)
        out = self._settle(job, number)
        if is_slsk(url):
            if job.asked.attempt and not job.of_soulseek:
                out.append(Post(to=SESSION, message=JobForgotten(job=job.number)))
            source.peer, source.path = slsk_address(url)
            asked = PriorsAsked(job=job.number, source=number, peer=source.peer, reply_to=POOL)
            out.append(Post(to=MEMORY, message=asked))
        return out

    def _ready(self, number: int) -> list[Post]:  # a worker must not speak before its dispatcher stands
        job = self._jobs.get(number)
        if job is None:
            return []
        job.dispatching = True
        out = [self._worker(job, source) for source in range(len(job.sources)) if job.sources[source].home]
        if job.of_soulseek and self._session is not None:
            out.insert(0, Post(to=dispatcher_address(number), message=self._session))
        return out

    def _worker(self, job: PoolJob, number: int) -> Post:
        source = job.sources[number]
        source.worker = ""
        wanted = WorkerWanted(job=job.number, source=number, url=source.url, chunk_size=job.asked.chunk_size)
        return Post(to=root_address(source.home), message=wanted)

    def _standing(self, ready: WorkerReady) -> list[Post]:
        job = self._jobs.get(ready.job)
        if job is None or ready.source >= len(job.sources):
            return []
        job.sources[ready.source].worker = ready.worker
        return self._introduce(job, ready.source)

    def _remembered(self, told: PriorsTold) -> list[Post]:
        job = self._jobs.get(told.job)
        if job is None or told.source >= len(job.sources):
            return []
        source = job.sources[told.source]
        if source.prior is not None or told.peer != source.peer:
            return []
        source.prior = told
        return self._introduce(job, told.source)

    def _introduce(self, job: PoolJob, number: int) -> list[Post]:
        """Tell the dispatcher, when all is known that it is told."""
        source = job.sources[number]
        if not source.worker or (source.peer and source.prior is None):
            return []
        return [introduction(job, number)]

    # -- time and the session

    def _tick(self, now_s: float) -> list[Post]:
        out = self._searching.tick(now_s) + self._stop_waiting(now_s)
        for job in self._jobs.values():
            for number, source in enumerate(job.sources):
                if source.peer and source.prior is None and now_s - source.offered_s > PRIORS_S_MAX:
                    source.prior = nothing_known(job.number, number, source.peer)
                    out += self._introduce(job, number)
        return out

    def _on_session(self, changed: SessionChanged) -> list[Post]:
        """Jobs hear how the login goes; those that hunt end when there is none: the person is there to try again."""
        self._session = changed
        hunting = self._searching.hunting()
        out: list[Post] = []
        for number, job in list(self._jobs.items()):
            if number in hunting:
                out += self._end(job, "starved", changed.detail) if changed.state in _HOPELESS else []
            elif job.of_soulseek and job.dispatching:
                out.append(Post(to=dispatcher_address(number), message=changed))
        return out

    # -- deaths

    def _replace_worker(self, died: ActorDied) -> list[Post]:
        """A worker failed with our fault: its source goes on with a new worker, a few times."""
        for number, job in self._jobs.items():
            for index, source in enumerate(job.sources):
                if worker_address(source.home, number, index) == f"{died.process}/{died.actor}":
                    out = [_lost(job, index, f"its worker failed: {died.detail}")]
                    source.restarts += 1
                    if source.restarts <= WORKER_RESTARTS_MAX:
                        out.append(self._worker(job, index))
                    return out
        return []

    def _lose(self, lost: ProcessLost, now_s: float) -> list[Post]:
        """Its sources are lost for a moment: until it is back, or at once when that takes long, they find a home."""
        self._load.pop(lost.process, None)
        waits = 0 <= lost.restart_s <= RESTART_S_MAX
        if waits and lost.process in self._fetchers:
            self._away[lost.process] = now_s + AWAY_S_MAX
        out = list[Post]()
        for job, index in self._at(lost.process):
            out.append(_lost(job, index, f"{lost.process} died: {lost.detail}"))
            job.sources[index].worker = ""
            if not waits:
                out += self._settle(job, index)
        return out

    def _back(self, ready: ProcessReady) -> list[Post]:
        """A fetch process was started anew: it takes its sources back, and those that have no home."""
        self._away.pop(ready.process, None)
        self._load[ready.process] = 0
        out = list[Post]()
        for job, index in self._at(ready.process):
            if job.sources[index].worker:  # its death was told to a hub that is dead too
                out.append(_lost(job, index, f"{ready.process} was started anew"))
            self._load[ready.process] += 1
            out += [self._worker(job, index)] if job.dispatching else []
        for job, index in self._at(""):
            out += self._settle(job, index)
        return out

    def _anew(self, ready: ProcessReady) -> list[Post]:
        """Another process was started anew: jobs know what it knew of them."""
        out = self._searching.again() if ready.process == split_address(SESSION)[0] else []
        jobs = [job for job in self._jobs.values() if job.dispatching]
        return out + [Post(to=dispatcher_address(job.number), message=ready) for job in jobs]

    def _stop_waiting(self, now_s: float) -> list[Post]:
        """Sources whose process does not come back find a new home, where there is one."""
        out: list[Post] = []
        for process in [process for process, until_s in self._away.items() if until_s < now_s and self._load]:
            del self._away[process]
            for job, index in self._at(process):
                out += self._settle(job, index)
        return out

    def _at(self, home: str) -> list[tuple[PoolJob, int]]:
        """Every source there, empty: that has no home."""
        found = ((job, index, each) for job in self._jobs.values() for index, each in enumerate(job.sources))
        return [(job, index) for job, index, each in found if each.home == home]

    def _settle(self, job: PoolJob, number: int) -> list[Post]:
        """Give a source the home with the least to do; its worker is wanted once the dispatcher stands."""
        if not self._load:
            job.sources[number].home = ""
            return []
        home = job.sources[number].home = min(self._load, key=lambda name: self._load[name])
        self._load[home] += 1
        return [self._worker(job, number)] if job.dispatching else []


def _lost(job: PoolJob, source: int, detail: str) -> Post:
    return Post(to=dispatcher_address(job.number), message=SourceLost(job=job.number, source=source, detail=detail))
