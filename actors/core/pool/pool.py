"""The PoolManager's decisions: which jobs there are, which sources each has, in which process each source is read.

Invariant: every source of a job that is used has exactly one home process; a job is known from `StartJob` to
`JobClosed`, and how it ended for some time after. A source's number never changes and is never given to another.
A source is introduced to its dispatcher when its worker stands and, if it is a Soulseek user's, when the memory of
peers has told what it knows of that user, or has been silent for too long.
"""

from collections.abc import Callable
from typing import Final, assert_never

from actors.core.pool import entries
from actors.core.pool.entries import LastWords, PooledJob, PooledSource
from actors.core.pool.source_search import Chosen, Searching
from protocol.messages import (
    ActorDied,
    ContributorsListed,
    DispatcherReady,
    JobClosed,
    JobEnded,
    JobNoted,
    LimitJob,
    LoadPeerHistory,
    OfferSource,
    PeerHistoryLoaded,
    ProcessLost,
    ProcessReady,
    ResendState,
    RestoreSourceCounts,
    SearchEnded,
    SearchHit,
    SessionChanged,
    SourceDisabled,
    StartJob,
    StopJob,
    StopWorker,
    Ticked,
    WorkerReady,
    ended_early,
)
from protocol.messages.addresses import (
    PEER_HISTORY,
    POOL,
    SESSION,
    Post,
    dispatcher_address,
    root_address,
    split_address,
    worker_address,
)
from protocol.model.file_matches import extension_of
from protocol.model.source_url import is_slsk, public_url, slsk_address, slsk_url

PoolInbox = (
    StartJob
    | RestoreSourceCounts
    | OfferSource
    | StopJob
    | JobClosed
    | DispatcherReady
    | WorkerReady
    | ProcessLost
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
    | PeerHistoryLoaded
    | ProcessReady
    | SourceDisabled
    | LimitJob
    | ContributorsListed
    | JobEnded
    | Ticked
)

WORKER_RESTARTS_MAX: Final = 3
PRIORS_S_MAX: Final = 2.0
"""So long what is remembered of a user is waited for."""
RESTART_S_MAX: Final = 0.5
"""A process that is started anew later than in so long is not waited for."""
AWAY_S_MAX: Final = 2.0
_HOPELESS: Final = ("offline", "refused", "kicked", "port taken")


class ProcessAssignment:
    """Assignment of sources to fetch processes: each goes to the one with the fewest.

    Owned by the `PoolState`. `names` are all fetch processes there can be; who lives has a load."""

    def __init__(self, names: tuple[str, ...]) -> None:
        assert names, "somebody has to fetch"
        self.names = names
        self._load = dict.fromkeys(names, 0)
        self._away: dict[str, float] = {}  # being started anew, and so long they are waited for

    def settle(self) -> str:
        """A home for one more source, empty when there is none."""
        if not self._load:
            return ""
        home = min(self._load, key=lambda name: self._load[name])
        self._load[home] += 1
        return home

    def take_back(self, home: str) -> None:
        """A source goes back to a process that was started anew."""
        self._load[home] += 1

    def leave(self, home: str) -> None:
        """One source less there."""
        if home in self._load:
            self._load[home] -= 1

    def lost(self, process: str, restart_s: float, *, now_s: float) -> bool:
        """It died. Whether its sources wait for it."""
        self._load.pop(process, None)
        waits = 0 <= restart_s <= RESTART_S_MAX
        if waits and process in self.names:
            self._away[process] = now_s + AWAY_S_MAX
        return waits

    def back(self, process: str) -> None:
        """It was started anew, with nothing to do."""
        self._away.pop(process, None)
        self._load[process] = 0

    def given_up(self, *, now_s: float) -> list[str]:
        """Who did not come back in time, while there is another home to go to. Each is named once."""
        late = [process for process, until_s in self._away.items() if until_s < now_s and self._load]
        for process in late:
            del self._away[process]
        return late


class PoolState:
    """Owned by the PoolManager. `fetchers` are the names of the fetch processes; `name_hash` is what records keep of a
    source's name."""

    def __init__(self, fetchers: tuple[str, ...], *, name_hash: Callable[[str], int] = lambda _name: 0) -> None:
        self._homes = ProcessAssignment(fetchers)
        self._name_hash = name_hash
        self._jobs: dict[int, PooledJob] = {}
        self._last_words = LastWords()
        self._searching = Searching()
        self._session: SessionChanged | None = None

    def handle(self, message: PoolInbox, *, now_s: float) -> list[Post]:
        """Take one message, return what is to be posted. Words about unknown jobs change nothing."""
        match message:
            case StartJob() | OfferSource() | SourceDisabled() | LimitJob() | StopJob():
                return self._ordered(message, now_s)
            case RestoreSourceCounts(job=number, name=name):
                if number in self._jobs:
                    self._jobs[number].given[name] = message
                return []
            case JobClosed(job=number):
                return self._forget(number)
            case JobEnded() | ContributorsListed():
                self._last_words.keep(message)
                return []
            case DispatcherReady(job=number):
                return self._ready(number)
            case WorkerReady():
                return self._standing(message)
            case PeerHistoryLoaded():
                return self._remembered(message)
            case ActorDied():
                return self._actor_died(message)
            case ProcessLost():
                return self._lose(message, now_s)
            case ProcessReady(process=process):
                return self._back(message) if process in self._homes.names else self._anew(message)
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

    # -- what the watcher of a job wants

    def _ordered(
        self, message: StartJob | OfferSource | SourceDisabled | LimitJob | StopJob, now_s: float
    ) -> list[Post]:
        job = self._jobs.get(message.job)
        if job is None:
            return self._asked(message) if isinstance(message, StartJob) else []
        match message:
            case StartJob():
                return self._tell_anew(job, message)
            case OfferSource():
                return self._offer(job, message, now_s=now_s)
            case SourceDisabled(source=number, banned=banned, detail=detail):
                return self._leave(job, number, detail, banned=banned)
            case LimitJob():
                return self._limit(job, message)
            case StopJob():
                return self._stop(job, message)
            case _:
                assert_never(message)

    def _asked(self, asked: StartJob) -> list[Post]:
        """A job that is not here: it begins, or it has ended and whoever asks did not hear it."""
        words = self._last_words.of(asked.job)
        return [Post(to=asked.watcher, message=each) for each in words] if words else self._begin(asked)

    def _begin(self, asked: StartJob) -> list[Post]:
        job = self._jobs[asked.job] = PooledJob(asked)
        out = entries.cleared(asked, self._homes.names) if asked.attempt else []
        if not asked.spec.term or asked.source_count:
            job.wanted = True
            # A job with sources goes on while it is searched for, but does not end before the search has.
            expected = asked.source_count + bool(asked.spec.term)
            out.append(entries.dispatcher_wanted(asked, asked.spec.name, expected))
        if not asked.spec.term:
            return out
        if self._session is not None and self._session.state in _HOPELESS and not asked.waits:
            return out + self._not_found(job, self._session.detail)
        # Whose file is there already is joined by others only with the same kind of file.
        extension = extension_of(asked.spec.name) if asked.source_count and asked.spec.name else None
        return out + self._searching.begin(asked.job, asked.spec.term, asked.spec.size_bytes, extension)

    def _tell_anew(self, job: PooledJob, asked: StartJob) -> list[Post]:
        """The watcher has died and come back: it knows the job, not what was said of it since."""
        job.offers = 0
        limit = LimitJob(job=job.number, limit_bytes_s=asked.spec.limit_bytes_s)
        out = self._limit(job, limit) if asked.spec.limit_bytes_s != job.asked.spec.limit_bytes_s else []
        for number in range(len(job.sources)):
            out += entries.found(job, number)
        if job.dispatching:
            out.append(Post(to=dispatcher_address(job.number), message=ResendState(job=job.number)))
        return out

    def _limit(self, job: PooledJob, message: LimitJob) -> list[Post]:
        job.asked = job.asked.but(spec=job.asked.spec.but(limit_bytes_s=message.limit_bytes_s))
        job.limited = not job.dispatching
        return [Post(to=dispatcher_address(job.number), message=message)] if job.dispatching else []

    def _stop(self, job: PooledJob, message: StopJob) -> list[Post]:
        if not job.wanted:
            return self._end(job, "interrupted", "interrupted")
        return [Post(to=dispatcher_address(job.number), message=message)]

    def _end(self, job: PooledJob, state: str, reason: str) -> list[Post]:
        """The end of a job that never had a dispatcher."""
        ended = ended_early(job.number, state, reason)
        self._last_words.keep(ended)
        return [*entries.to_watcher(job, ended), *self._forget(job.number)]

    def _forget(self, number: int) -> list[Post]:
        self._searching.forget(number)
        job = self._jobs.pop(number, None)
        if job is None:
            return []
        for source in job.sources:
            self._homes.leave(source.home)
        return entries.dismissed(job)

    # -- searching

    def _found(self, chosen: Chosen, now_s: float) -> list[Post]:
        job = self._jobs[chosen.job]
        if not chosen.users:
            return self._not_found(job, chosen.line)
        out = entries.to_watcher(job, JobNoted(job=job.number, text=chosen.line))
        new = [(slsk_url(hit.peer, hit.path), hit.size_bytes) for hit in chosen.users if not job.has(hit.peer)]
        if not job.wanted:
            job.wanted = True
            name = job.asked.spec.name or chosen.name
            out.append(entries.dispatcher_wanted(job.asked, name, len(job.sources) + len(new)))
        for url, size_bytes in new:
            source = PooledSource(url, size_bytes=size_bytes, source_hash=self._name_hash(public_url(url)))
            out += self._add(job, source, now_s=now_s)
        return out + entries.heard(job)

    def _not_found(self, job: PooledJob, why: str) -> list[Post]:
        """A search brought nobody: the end of a job that has nobody else."""
        if job.wanted:
            return entries.to_watcher(job, JobNoted(job=job.number, text=why)) + entries.heard(job)
        return entries.waits_to_be_found(job, why) if job.asked.waits else self._end(job, "starved", why)

    # -- sources

    def _offer(self, job: PooledJob, offered: OfferSource, *, now_s: float) -> list[Post]:
        """One more source, or one that is there already: whoever offers it hears its number."""
        number = job.known(offered.url)
        if number is not None:
            gone = self._leave(job, number, "", banned=False) if offered.left else []
            return entries.found(job, number) + gone
        source = PooledSource(offered.url, private_ok=offered.private_ok, left=offered.left)
        source.source_hash = self._name_hash(public_url(offered.url))
        if is_slsk(offered.url):  # a file of another size is another file
            source.size_bytes = job.asked.spec.size_bytes
        return self._add(job, source, now_s=now_s)

    def _add(self, job: PooledJob, source: PooledSource, *, now_s: float) -> list[Post]:
        """It gets the next number; its worker is wanted, and what is remembered of it."""
        number = len(job.sources)
        source.offered_s = now_s
        anew = is_slsk(source.url) and job.asked.attempt and not job.of_soulseek
        if is_slsk(source.url):
            try:
                source.peer, source.path = slsk_address(source.url)
            except ValueError as error:
                source.left, source.why_left = True, str(error)
        job.sources.append(source)
        out = entries.found(job, number) + entries.named(job, number)
        if source.left:
            self._searching.shun(job.number, source.peer)
            return out + ([entries.left(job, number)] if job.dispatching else [])
        out += self._settle(job, number)
        if anew:
            out.append(Post(to=SESSION, message=JobClosed(job=job.number)))
        if source.peer:
            asked = LoadPeerHistory(job=job.number, source=number, peer=source.peer, reply_to=POOL)
            out.append(Post(to=PEER_HISTORY, message=asked))
        return out

    def _leave(self, job: PooledJob, number: int, detail: str, *, banned: bool) -> list[Post]:
        """It is not used any more; its worker goes, and its dispatcher gives up what it had."""
        if not 0 <= number < len(job.sources):
            return []
        source = job.sources[number]
        if banned:
            self._searching.shun(job.number, source.peer)
        if source.left:
            return []
        source.left, source.why_left, home = True, detail, source.home
        self._homes.leave(home)
        source.home = source.worker = ""
        out = [entries.left(job, number, banned=banned)] if job.dispatching else []
        if home and job.dispatching:
            out.append(Post(to=root_address(home), message=StopWorker(job=job.number, source=number)))
        return out

    def _ready(self, number: int) -> list[Post]:  # a worker must not speak before its dispatcher stands
        job = self._jobs.get(number)
        if job is None:
            return []
        job.dispatching = True
        limit = LimitJob(job=number, limit_bytes_s=job.asked.spec.limit_bytes_s)
        out = [Post(to=dispatcher_address(number), message=limit)] if job.limited else list[Post]()
        if job.of_soulseek and self._session is not None:
            out.append(Post(to=dispatcher_address(number), message=self._session))
        out += entries.heard(job) if job.heard else []
        for at, source in enumerate(job.sources):
            out += entries.named(job, at)
            if source.left:
                out.append(entries.left(job, at))
            elif source.home:
                out.append(self._worker(job, at))
        return out

    def _worker(self, job: PooledJob, number: int) -> Post:
        job.sources[number].worker = ""
        return entries.worker_wanted(job, number)

    def _standing(self, ready: WorkerReady) -> list[Post]:
        job = self._jobs.get(ready.job)
        if job is None or ready.source >= len(job.sources) or job.sources[ready.source].left:
            return []
        job.sources[ready.source].worker = ready.worker
        return self._introduce(job, ready.source)

    def _remembered(self, told: PeerHistoryLoaded) -> list[Post]:
        job = self._jobs.get(told.job)
        if job is None or told.source >= len(job.sources):
            return []
        source = job.sources[told.source]
        if source.prior is not None or told.peer != source.peer:
            return []
        source.prior = told
        return self._introduce(job, told.source)

    def _introduce(self, job: PooledJob, number: int) -> list[Post]:
        """Tell the dispatcher, when all is known that it is told."""
        return [entries.introduced(job, number)] if job.sources[number].known else []

    # -- time and the session

    def _tick(self, now_s: float) -> list[Post]:
        out = self._searching.tick(now_s) + self._stop_waiting(now_s)
        for job in self._jobs.values():
            for number, source in enumerate(job.sources):
                if source.peer and source.prior is None and now_s - source.offered_s > PRIORS_S_MAX:
                    source.prior = entries.nothing_known(job.number, number, source.peer)
                    out += self._introduce(job, number)
        return out

    def _on_session(self, changed: SessionChanged) -> list[Post]:
        """Jobs hear how the login goes; those that hunt end when there is none: the person is there to try again."""
        self._session = changed
        out: list[Post] = []
        for number, job in list(self._jobs.items()):
            if not job.wanted:
                out += self._told_while_hunting(job, changed)
            elif job.of_soulseek and job.dispatching:
                out.append(Post(to=dispatcher_address(number), message=changed))
        return out

    def _told_while_hunting(self, job: PooledJob, changed: SessionChanged) -> list[Post]:
        if job.asked.waits:
            return self._searching.again(job.number) if changed.state == "online" else []
        return self._end(job, "starved", changed.detail) if changed.state in _HOPELESS else []

    # -- deaths

    def _actor_died(self, died: ActorDied) -> list[Post]:
        """A worker failed with our fault: its source goes on with a new worker, a few times. A dispatcher: its job ends
        (where the supervisor does not begin the whole hub anew); it would fail at the same again."""
        for number, job in self._jobs.items():
            if dispatcher_address(number) == f"{died.process}/{died.actor}":
                return self._end(job, "failed", f"our fault: {died.detail}") + entries.forgotten(number)
            for index, source in enumerate(job.sources):
                if worker_address(source.home, number, index) == f"{died.process}/{died.actor}":
                    out = [entries.lost(job, index, f"its worker failed: {died.detail}")]
                    source.restarts += 1
                    if source.restarts <= WORKER_RESTARTS_MAX:
                        out.append(self._worker(job, index))
                    return out
        return []

    def _lose(self, lost: ProcessLost, now_s: float) -> list[Post]:
        """Its sources are lost for a moment: until it is back, or at once when that takes long, they find a home."""
        waits = self._homes.lost(lost.process, lost.restart_s, now_s=now_s)
        out = list[Post]()
        for job, index in self._at(lost.process):
            out.append(entries.lost(job, index, f"{lost.process} died: {lost.detail}"))
            job.sources[index].worker = ""
            if not waits:
                out += self._settle(job, index)
        return out

    def _back(self, ready: ProcessReady) -> list[Post]:
        """A fetch process was started anew: it takes its sources back, and those that have no home."""
        self._homes.back(ready.process)
        out = list[Post]()
        for job, index in self._at(ready.process):
            if job.sources[index].worker:  # its death was told to a hub that is dead too
                out.append(entries.lost(job, index, f"{ready.process} was started anew"))
            self._homes.take_back(ready.process)
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
        for process in self._homes.given_up(now_s=now_s):
            for job, index in self._at(process):
                out += self._settle(job, index)
        return out

    def _at(self, home: str) -> list[tuple[PooledJob, int]]:
        """Every source there that is used, empty: that has no home."""
        everywhere = ((job, index, each) for job in self._jobs.values() for index, each in enumerate(job.sources))
        return [(job, index) for job, index, each in everywhere if each.home == home and not each.left]

    def _settle(self, job: PooledJob, number: int) -> list[Post]:
        """Give a source the home with the least to do; its worker is wanted once the dispatcher stands."""
        home = job.sources[number].home = self._homes.settle()
        return [self._worker(job, number)] if home and job.dispatching else []
