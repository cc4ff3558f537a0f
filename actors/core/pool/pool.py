"""Pool of jobs and their sources: the PoolManager's decisions.

Invariant: every source in use has exactly one fetch process; a job is known from `StartJob` to `JobClosed`, and how it
ended for some time after. A source's number never changes and is never given to another. A source is introduced to its
dispatcher when its worker stands and, if it is a Soulseek user's, when the peer history was loaded or took too long.
"""

from collections.abc import Callable
from typing import Final, assert_never

from actors.core.pool import entries
from actors.core.pool.entries import EndedJobs, JobEntry, SourceEntry
from actors.core.pool.source_search import Chosen, SourceSearch
from protocol.messages import (
    ActorDied,
    ContributorsListed,
    DispatcherReady,
    JobClosed,
    JobEnded,
    JobNoted,
    JobProgressed,
    LimitJob,
    LoadPeerHistory,
    MirrorsNamed,
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
    SourcePreferred,
    StartJob,
    StopJob,
    StopWorker,
    Ticked,
    WorkerReady,
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
from protocol.model.filenames import base_name
from protocol.model.printable import count_of
from protocol.model.source_url import is_slsk, public_url, same_url_key, slsk_address, slsk_url

PoolInbox = (
    StartJob
    | RestoreSourceCounts
    | OfferSource
    | StopJob
    | JobClosed
    | DispatcherReady
    | MirrorsNamed
    | WorkerReady
    | ProcessLost
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
    | PeerHistoryLoaded
    | ProcessReady
    | SourceDisabled
    | SourcePreferred
    | LimitJob
    | ContributorsListed
    | JobEnded
    | Ticked
)

WORKER_RESTARTS_MAX: Final = 3
NAMED_MAX: Final = 100
"""Mirrors of one job that servers and documents name."""
HISTORY_S_MAX: Final = 2.0
"""Time that a peer's history may take."""
RESTART_S_MAX: Final = 0.5
"""Sources wait for a process that is restarted within this time; else they are assigned to others."""
AWAY_S_MAX: Final = 2.0
_FINAL_STATES: Final = ("offline", "refused", "kicked", "port taken")


class ProcessAssignment:
    """Assignment of sources to fetch processes: each goes to the one with the fewest.

    Owned by the `PoolState`. `names` are all fetch processes that there can be; those that live have a load.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        assert names, "without a fetch process no byte comes"
        self.names = names
        self._load = dict.fromkeys(names, 0)
        self._awaited: dict[str, float] = {}  # being restarted, and until when their sources wait for them

    def assign(self) -> str:
        """Return the process for one more source, empty when there is none."""
        if not self._load:
            return ""
        process = min(self._load, key=lambda name: self._load[name])
        self._load[process] += 1
        return process

    def take_back(self, process: str) -> None:
        """A source goes back to its restarted process."""
        self._load[process] += 1

    def leave(self, process: str) -> None:
        """One source less there."""
        if process in self._load:
            self._load[process] -= 1

    def lost(self, process: str, restart_s: float, *, now_s: float) -> bool:
        """A process died. Return whether its sources wait for it."""
        self._load.pop(process, None)
        waits = 0 <= restart_s <= RESTART_S_MAX
        if waits and process in self.names:
            self._awaited[process] = now_s + AWAY_S_MAX
        return waits

    def restarted(self, process: str) -> None:
        """A process is there again, with nothing to do."""
        self._awaited.pop(process, None)
        self._load[process] = 0

    def overdue(self, *, now_s: float) -> list[str]:
        """Return the processes that did not come back in time while there is another, each once."""
        late = [process for process, until_s in self._awaited.items() if until_s < now_s and self._load]
        for process in late:
            del self._awaited[process]
        return late


class PoolState:
    """Owned by the PoolManager.

    `fetchers` are the names of the fetch processes; `name_hash` is what records keep of a source's name.
    """

    def __init__(self, fetchers: tuple[str, ...], *, name_hash: Callable[[str], int] = lambda _name: 0) -> None:
        self._processes = ProcessAssignment(fetchers)
        self._name_hash = name_hash
        self._jobs: dict[int, JobEntry] = {}
        self._ended_jobs = EndedJobs()
        self._search = SourceSearch()
        self._session: SessionChanged | None = None

    def handle(self, message: PoolInbox, *, now_s: float) -> list[Post]:
        """Take one message, return the posts. Messages about unknown jobs change nothing."""
        match message:
            case StartJob() | OfferSource() | SourceDisabled() | SourcePreferred() | LimitJob() | StopJob():
                return self._on_watcher(message, now_s)
            case RestoreSourceCounts(job=number, name=name):
                if number in self._jobs:
                    self._jobs[number].carry_over[name] = message
                return []
            case JobClosed(job=number):
                return self._forget(number)
            case JobEnded() | ContributorsListed():
                self._ended_jobs.add(message)
                return []
            case MirrorsNamed():
                return self._mirrors_named(message, now_s)
            case DispatcherReady(job=number):
                return self._dispatcher_ready(number)
            case WorkerReady():
                return self._worker_ready(message)
            case PeerHistoryLoaded():
                return self._history_loaded(message)
            case ActorDied():
                return self._actor_died(message)
            case ProcessLost():
                return self._process_lost(message, now_s)
            case ProcessReady(process=process) if process in self._processes.names:
                return self._fetcher_restarted(message)
            case ProcessReady():
                return self._other_restarted(message)
            case SearchHit():
                self._search.hit(message, now_s=now_s)
                return []
            case SearchEnded():
                return self._search_ended(message, now_s)
            case SessionChanged():
                return self._on_session(message)
            case Ticked():
                return self._tick(now_s)
            case _:
                assert_never(message)

    # -- requests of a job's watcher

    def _on_watcher(
        self, message: StartJob | OfferSource | SourceDisabled | SourcePreferred | LimitJob | StopJob, now_s: float
    ) -> list[Post]:
        job = self._jobs.get(message.job)
        if job is None:
            return self._unknown_job(message) if isinstance(message, StartJob) else []
        match message:
            case StartJob():
                return self._resend(job, message)
            case OfferSource():
                return self._offer(job, message, now_s=now_s)
            case SourceDisabled(restored=True):
                return self._restore(job, message.source)
            case SourceDisabled(source=number, banned=banned, detail=detail):
                return self._disable(job, number, detail, banned=banned)
            case SourcePreferred():
                return entries.prefer(job, message)
            case LimitJob():
                return self._limit(job, message)
            case StopJob():
                return self._stop(job, message)
            case _:
                assert_never(message)

    def _unknown_job(self, start: StartJob) -> list[Post]:
        """A job that is not here: it begins, or it has ended and the sender did not hear it."""
        reports = self._ended_jobs.of(start.job)
        return [Post(to=start.watcher, message=each) for each in reports] if reports else self._begin(start)

    def _begin(self, start: StartJob) -> list[Post]:
        job = self._jobs[start.job] = JobEntry(start)
        out = entries.clear_predecessor(start, self._processes.names) if start.attempt else []
        if not start.spec.term or start.source_count:
            job.dispatcher_requested = True
            # A job with sources goes on while it is searched for, but does not end before the search has.
            expected = start.source_count + bool(start.spec.term)
            out.append(entries.start_dispatcher(start, start.spec.name, expected))
        if not start.spec.term:
            return out
        if self._session is not None and self._session.state in _FINAL_STATES and not start.waits:
            return out + self._search_found_nothing(job, self._session.detail)
        # Other users join a file that is there already only with a file of the same kind and name.
        name = start.spec.name if start.source_count else ""
        wait_s = start.spec.search_s
        return out + self._search.begin(start.job, start.spec.term, start.spec.size_bytes, name, wait_s=wait_s)

    def _resend(self, job: JobEntry, start: StartJob) -> list[Post]:
        """The watcher has died and come back: it knows the job, not the reports since."""
        job.offers = 0
        limit = LimitJob(job=job.number, limit_bytes_s=start.spec.limit_bytes_s)
        out = self._limit(job, limit) if start.spec.limit_bytes_s != job.start.spec.limit_bytes_s else []
        for number in range(len(job.sources)):
            out += entries.found(job, number)
        if ended := self._ended_jobs.of(job.number):  # its dispatcher closes, and hears nothing any more
            return out + [Post(to=start.watcher, message=each) for each in ended]
        if job.dispatcher_ready:
            out.append(Post(to=dispatcher_address(job.number), message=ResendState(job=job.number)))
        return out

    def _limit(self, job: JobEntry, message: LimitJob) -> list[Post]:
        job.start = job.start.but(spec=job.start.spec.but(limit_bytes_s=message.limit_bytes_s))
        job.limit_changed = not job.dispatcher_ready
        return [Post(to=dispatcher_address(job.number), message=message)] if job.dispatcher_ready else []

    def _stop(self, job: JobEntry, message: StopJob) -> list[Post]:
        if not job.dispatcher_requested:
            return self._end(job, "interrupted", "interrupted")
        return [Post(to=dispatcher_address(job.number), message=message)]

    def _end(self, job: JobEntry, state: str, reason: str) -> list[Post]:
        """The end of a job that never had a dispatcher."""
        ended = JobEnded(job=job.number, state=state, reason=reason)
        self._ended_jobs.add(ended)
        return [*entries.to_watcher(job, ended), *self._forget(job.number)]

    def _forget(self, number: int) -> list[Post]:
        self._search.forget(number)
        job = self._jobs.pop(number, None)
        if job is None:
            return []
        for source in job.sources:
            self._processes.leave(source.process)
        return entries.close(job)

    # -- searches

    def _search_ended(self, ended: SearchEnded, now_s: float) -> list[Post]:
        number = self._search.job_of(ended.search)
        chosen = self._search.ended(ended, now_s=now_s)
        if chosen is not None:
            return self._search_found(chosen, now_s)
        job = self._jobs.get(number) if number is not None else None
        return entries.search_over(job) if job is not None and not job.searched else []

    def _search_found(self, chosen: Chosen, now_s: float, *, over: bool = True) -> list[Post]:
        """Take the users that a search brought. Unless it is `over`, more may come: the job does not end before."""
        job = self._jobs[chosen.job]
        if not chosen.users:
            return self._search_found_nothing(job, chosen.line)
        out = entries.to_watcher(job, JobNoted(job=job.number, text=chosen.line))
        new = [hit for hit in chosen.users if not job.has_peer(hit.peer)]
        if not job.dispatcher_requested:
            job.dispatcher_requested = True
            name = job.start.spec.name or chosen.name
            out.append(entries.start_dispatcher(job.start, name, len(job.sources) + len(new) + (not over)))
        for hit in new:
            url, speed = slsk_url(hit.peer, hit.path), hit.speed_bytes_s
            name_hash = self._name_hash(public_url(url))
            source = SourceEntry(url, size_bytes=hit.size_bytes, advertised_bytes_s=speed, source_hash=name_hash)
            out += self._add(job, source, now_s=now_s)
        return out + entries.search_over(job) if over else out

    def _searching(self, job: JobEntry) -> list[Post]:
        """Report to a user who looks on what is done before there is a file; each line once."""
        online = self._session is not None and self._session.state == "online"
        users = self._search.answered(job.number)
        reason = ("searching" if not users else count_of(users, "user") + " so far") if online else "logging in"
        if job.dispatcher_requested or job.start.waits or not job.start.spec.term or reason == job.said:
            return []
        job.said = reason
        progressed = JobProgressed(
            job=job.number,
            state="searching",
            stored_bytes=0,
            size_bytes=job.start.spec.size_bytes,
            rate_bytes_s=0.0,
            left_s=-1.0,
            reason="" if reason == "searching" else reason,
        )
        return entries.to_watcher(job, progressed)

    def _search_found_nothing(self, job: JobEntry, why: str) -> list[Post]:
        """A search brought no user: the end of a job that has no other source."""
        if job.dispatcher_requested:
            return entries.to_watcher(job, JobNoted(job=job.number, text=why)) + entries.search_over(job)
        return entries.not_found_yet(job, why) if job.start.waits else self._end(job, "starved", why)

    # -- sources

    def _offer(self, job: JobEntry, offered: OfferSource, *, now_s: float) -> list[Post]:
        """Take one more source, or one that is there already, and report its number."""
        number = job.offered(offered.url)
        if number is not None:
            gone = self._disable(job, number, "", banned=False) if offered.disabled else []
            return entries.found(job, number) + gone
        source = SourceEntry(offered.url, private_ok=offered.private_ok, disabled=offered.disabled)
        source.source_hash = self._name_hash(public_url(offered.url))
        if is_slsk(offered.url):  # a file of another size is another file
            source.size_bytes = job.start.spec.size_bytes
        return self._add(job, source, now_s=now_s)

    def _mirrors_named(self, message: MirrorsNamed, now_s: float) -> list[Post]:
        """Take the mirrors that a source names, a bounded number, each address once."""
        job = self._jobs.get(message.job)
        if job is None:
            return []
        known = {same_url_key(each.url) for each in job.sources}
        out: list[Post] = []
        for url in message.urls:
            if same_url_key(url) in known or sum(each.named for each in job.sources) >= NAMED_MAX:
                continue
            known.add(same_url_key(url))
            entry = SourceEntry(url, named=True, source_hash=self._name_hash(public_url(url)))
            out += self._add(job, entry, now_s=now_s)
        return out + entries.expect_sources(job)

    def _add(self, job: JobEntry, source: SourceEntry, *, now_s: float) -> list[Post]:
        """Give it the next number; request its worker, and its peer's history."""
        number = len(job.sources)
        source.offered_s = now_s
        first_of_soulseek = is_slsk(source.url) and not job.of_soulseek
        if is_slsk(source.url):
            try:
                source.peer, source.path = slsk_address(source.url)
            except ValueError as error:
                source.disabled, source.disabled_why = True, str(error)
        job.sources.append(source)
        self._search.named(job.number, source.path)
        out = entries.found(job, number) + entries.named(job, number)
        if source.disabled:
            self._search.exclude(job.number, source.peer)
            return out + ([entries.disabled(job, number)] if job.dispatcher_ready else [])
        out += self._assign(job, number)
        if first_of_soulseek and job.start.attempt:  # queue places of this job in the hub that died
            out.append(Post(to=SESSION, message=JobClosed(job=job.number)))
        if first_of_soulseek and job.dispatcher_ready and self._session is not None:  # jobs of mirrors do not get it
            out.append(Post(to=dispatcher_address(job.number), message=self._session))
        if source.peer:
            load = LoadPeerHistory(
                job=job.number,
                source=number,
                peer=source.peer,
                reply_to=POOL,
                name=base_name(source.path),
                size_bytes=source.size_bytes,
            )
            out.append(Post(to=PEER_HISTORY, message=load))
        return out

    def _disable(self, job: JobEntry, number: int, detail: str, *, banned: bool) -> list[Post]:
        """Use a source no more: its worker goes, and its dispatcher gives up what it had."""
        if not 0 <= number < len(job.sources):
            return []
        source = job.sources[number]
        if banned:
            self._search.exclude(job.number, source.peer)
        if source.disabled:
            return []
        source.disabled, source.disabled_why, process = True, detail, source.process
        self._processes.leave(process)
        source.process = source.worker = ""
        out = [entries.disabled(job, number, banned=banned)] if job.dispatcher_ready else []
        if process and job.dispatcher_ready:
            out.append(Post(to=root_address(process), message=StopWorker(job=job.number, source=number)))
        return out

    def _restore(self, job: JobEntry, number: int) -> list[Post]:
        """Give a source that was disabled a worker again; its dispatcher takes it in with that."""
        if not 0 <= number < len(job.sources) or not job.sources[number].disabled:
            return []
        job.sources[number].disabled, job.sources[number].disabled_why = False, ""
        restored = [entries.disabled(job, number, restored=True)] if job.dispatcher_ready else []
        return restored + self._assign(job, number)

    def _dispatcher_ready(self, number: int) -> list[Post]:
        """Start its workers only now: they must not post before their dispatcher stands."""
        job = self._jobs.get(number)
        if job is None:
            return []
        job.dispatcher_ready = True
        limit = LimitJob(job=number, limit_bytes_s=job.start.spec.limit_bytes_s)
        out = [Post(to=dispatcher_address(number), message=limit)] if job.limit_changed else list[Post]()
        if job.of_soulseek and self._session is not None:
            out.append(Post(to=dispatcher_address(number), message=self._session))
        out += entries.search_over(job) if job.searched else []
        for at, source in enumerate(job.sources):
            out += entries.named(job, at)
            out += entries.preferred(job, at)
            if source.disabled:
                out.append(entries.disabled(job, at))
            elif source.process:
                out.append(self._start_worker(job, at))
        return out

    def _start_worker(self, job: JobEntry, number: int) -> Post:
        job.sources[number].worker = ""
        return entries.start_worker(job, number)

    def _worker_ready(self, ready: WorkerReady) -> list[Post]:
        job = self._jobs.get(ready.job)
        if job is None or ready.source >= len(job.sources) or job.sources[ready.source].disabled:
            return []
        job.sources[ready.source].worker = ready.worker
        return self._introduce(job, ready.source)

    def _history_loaded(self, loaded: PeerHistoryLoaded) -> list[Post]:
        job = self._jobs.get(loaded.job)
        if job is None or loaded.source >= len(job.sources):
            return []
        source = job.sources[loaded.source]
        if source.history is not None or loaded.peer != source.peer:
            return []
        source.history = loaded
        return self._introduce(job, loaded.source)

    def _introduce(self, job: JobEntry, number: int) -> list[Post]:
        return [entries.introduce(job, number)] if job.sources[number].ready else []

    # -- time and the session

    def _tick(self, now_s: float) -> list[Post]:
        out = self._search.tick(now_s) + self._reassign_overdue(now_s)
        for chosen in self._search.early(now_s=now_s):
            out += self._search_found(chosen, now_s, over=False)
        for job in self._jobs.values():
            out += self._searching(job)
            for number, source in enumerate(job.sources):
                if source.peer and source.history is None and now_s - source.offered_s > HISTORY_S_MAX:
                    source.history = entries.nothing_known(job.number, number, source.peer)
                    out += self._introduce(job, number)
        return out

    def _on_session(self, changed: SessionChanged) -> list[Post]:
        """Pass the login's state on to jobs. Those without a file that do not wait end when there is no login."""
        self._session = changed
        out: list[Post] = []
        for number, job in list(self._jobs.items()):
            if not job.dispatcher_requested:
                out += self._on_session_without_file(job, changed)
            elif job.of_soulseek and job.dispatcher_ready:
                out.append(Post(to=dispatcher_address(number), message=changed))
        return out

    def _on_session_without_file(self, job: JobEntry, changed: SessionChanged) -> list[Post]:
        if job.start.waits:
            return self._search.at_once(job.number) if changed.state == "online" else []
        return self._end(job, "starved", changed.detail) if changed.state in _FINAL_STATES else []

    # -- deaths

    def _actor_died(self, died: ActorDied) -> list[Post]:
        """An actor failed with our fault.

        A worker: its source goes on with a new one, a few times. A dispatcher: its job ends (where the supervisor does
        not restart the whole hub); it would fail at the same again.
        """
        for number, job in self._jobs.items():
            if dispatcher_address(number) == f"{died.process}/{died.actor}":
                ended = self._end(job, "failed", f"our fault: {died.detail}")
                return ended + entries.close_for_failed_dispatcher(number)
            for index, source in enumerate(job.sources):
                if worker_address(source.process, number, index) == f"{died.process}/{died.actor}":
                    out = [entries.lost(job, index, f"its worker failed: {died.detail}")]
                    source.restarts += 1
                    if source.restarts <= WORKER_RESTARTS_MAX:
                        out.append(self._start_worker(job, index))
                    return out
        return []

    def _process_lost(self, lost: ProcessLost, now_s: float) -> list[Post]:
        """Its sources are lost until it is back; when that takes long, they are assigned to other processes at once."""
        waits = self._processes.lost(lost.process, lost.restart_s, now_s=now_s)
        out = list[Post]()
        for job, index in self._sources_of(lost.process):
            out.append(entries.lost(job, index, f"{lost.process} died: {lost.detail}"))
            job.sources[index].worker = ""
            if not waits:
                out += self._assign(job, index)
        return out

    def _fetcher_restarted(self, ready: ProcessReady) -> list[Post]:
        """A fetch process was restarted: it takes its sources back, and those that have no process."""
        self._processes.restarted(ready.process)
        out = list[Post]()
        for job, index in self._sources_of(ready.process):
            if job.sources[index].worker:  # its death was reported to a hub that is dead too
                out.append(entries.lost(job, index, f"{ready.process} was restarted"))
            self._processes.take_back(ready.process)
            out += [self._start_worker(job, index)] if job.dispatcher_ready else []
        for job, index in self._sources_of(""):
            out += self._assign(job, index)
        return out

    def _other_restarted(self, ready: ProcessReady) -> list[Post]:
        """Another process was restarted: jobs know what it knew of them."""
        out = self._search.session_restarted() if ready.process == split_address(SESSION)[0] else []
        jobs = [job for job in self._jobs.values() if job.dispatcher_ready]
        return out + [Post(to=dispatcher_address(job.number), message=ready) for job in jobs]

    def _reassign_overdue(self, now_s: float) -> list[Post]:
        """Assign the sources of a process that does not come back to another, where there is one."""
        out: list[Post] = []
        for process in self._processes.overdue(now_s=now_s):
            for job, index in self._sources_of(process):
                out += self._assign(job, index)
        return out

    def _sources_of(self, process: str) -> list[tuple[JobEntry, int]]:
        """Return every source in use there; empty: those that have no process."""
        sources = ((job, index, each) for job in self._jobs.values() for index, each in enumerate(job.sources))
        return [(job, index) for job, index, each in sources if each.process == process and not each.disabled]

    def _assign(self, job: JobEntry, number: int) -> list[Post]:
        """Give a source a process; its worker is requested once the dispatcher stands."""
        process = job.sources[number].process = self._processes.assign()
        return [self._start_worker(job, number)] if process and job.dispatcher_ready else []
