"""The JobManager's decisions. The one mutating entrance is `JobManagerState.handle`: a message in, a step out.

Holds every job that has not ended. One that has is in the book alone; whoever gets an order about it brings it back
with `recall` first. Questions that only read are answered beside this (`actors.job_manager`).

Invariants: at most `jobs_active_max` runs; a run's number is never given again; a job's `stored_bytes` never falls;
what is not in the step's writes has not happened.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, assert_never

from actors.core.jobs.attempts import Runs
from actors.core.jobs.bandwidth import HUB, NO_OVERRIDE, Bandwidth
from actors.core.jobs.commands import Order, Orders
from actors.core.jobs.explain import World
from actors.core.jobs.index import Jobs
from actors.core.jobs.job import Job, new_run
from actors.core.jobs.lifecycle import Removal
from actors.core.jobs.queue import due, next_to_start, place, searches, starved_since_ms
from actors.core.jobs.transaction import Now, Step, Transaction
from protocol.messages import (
    AddSources,
    CancelJob,
    ChunkMapDrawn,
    ConfigureJobManager,
    ContributorsListed,
    CreateJob,
    DeleteJob,
    DropSource,
    GetManifest,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    PartFileRemoved,
    PauseJob,
    ProcessLost,
    ProcessReady,
    ResumeJob,
    RetryJob,
    SessionChanged,
    SetTotalLimit,
    SourceFound,
    SourceProgressed,
    Ticked,
    UpdateJob,
    WatchEvents,
)
from protocol.messages.addresses import ASSEMBLER, split_address
from protocol.model import event_kinds
from protocol.model.job_policy import JobPolicy, settings_of
from protocol.model.job_records import AttemptRecord, JobFiles, JobRecord, SourceRecord, Totals, TrimEvents, Write
from protocol.model.job_views import ACTIVE, QUEUED, STATES, Counts

STORE: Final = split_address(ASSEMBLER)[0]
TRIM_S: Final = 600.0

RunNews = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | JobNoted
    | SourceFound
    | ContributorsListed
    | JobEnded
)
Record = tuple[JobRecord, list[SourceRecord], AttemptRecord | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is in the book when a job manager begins. `limit_bytes_s`: that somebody has set, -1 for none."""

    jobs: Iterable[Record] = ()
    last_run: int = 0
    last_event: int = 0
    last_job: int = 0
    totals: Totals = field(default_factory=Totals)
    limit_bytes_s: int = NO_OVERRIDE
    files: Iterable[JobFiles] = ()


Decided = (
    CreateJob
    | Order
    | RunNews
    | SetTotalLimit
    | GetManifest
    | WatchEvents
    | ConfigureJobManager
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | PartFileRemoved
    | Ticked
)
"""What changes something. The rest of `JobManagerInbox` only asks."""


class JobManagerState:
    """Owned by the JobManager. `new_id` gives a public id that no job has."""

    def __init__(self, settings: JobPolicy, begun: Beginning, *, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self.jobs = Jobs()
        self._scribe = Transaction(begun.last_event)
        self._removal = Removal(self._scribe)
        self._runs = Runs(self.jobs, self._scribe, settings, self._removal, last_run=begun.last_run)
        self._runs.endings.totals = begun.totals
        self._orders = Orders(
            self.jobs, self._scribe, self._runs, self._removal, last_serial=begun.last_job, new_id=new_id
        )
        self._around = Bandwidth(self._scribe, settings, override_bytes_s=begun.limit_bytes_s)
        self._flushed_s = float("-inf")
        self._trimmed_s = float("-inf")
        self._begun = begun

    # -- beginning

    def begin(self, now: Now, *, anew: bool, version: str = "") -> Step:
        """Take up what the book holds. `anew`: the whole daemon is; no run of before goes on. Else this job manager has
        died and runs may go on without it: the pool is asked for them again."""
        for kept, sources, run in self._begun.jobs:
            job = Job(kept, list(sources))
            if run is not None and kept.number:
                job.run = new_run(run, now_s=now.s, searching=searches(kept))
            elif kept.number:
                job.kept = kept.but(number=0)
                job.changed = True
            self.jobs.settle(job)
        self._removal.begin(self._begun.files)
        self._begun = Beginning()
        if anew:
            self._scribe.event(event_kinds.DAEMON_STARTED, "", now, version=version)
            self._around.forget_override()
            self._go_on_after_all_died(now)
        else:
            self._around.forget_told()
            for job in list(self.jobs.running.values()):
                self._runs.ask_anew(job, now)
        self._around.limit(now)
        self._serve(now)
        return self._scribe.take()

    def _go_on_after_all_died(self, now: Now) -> None:
        """Every active job goes on with a new run, before anybody who waits."""
        for job in list(self.jobs.running.values()):
            self._runs.endings.lost(job, now)
        left = sorted((job for job in self.jobs if job.kept.state == ACTIVE), key=lambda job: job.kept.serial)
        for at, job in enumerate(left):
            job.kept = job.kept.but(state=QUEUED)
            self.jobs.settle(job)
            job.changed = True
            self._scribe.write(*job.unwritten())
            if at < self.settings.jobs_active_max:
                self._runs.start(job, now)

    def take_over(self, other: "JobManagerState") -> None:
        """What `other` was told and no book holds: who listens, how the login is, what was configured."""
        self._scribe.take_over(other._scribe)
        self._around.session = other._around.session
        self._configured(other.settings)

    def recall(self, kept: JobRecord, sources: list[SourceRecord]) -> None:
        """Bring back a job that has ended, or the one of an order's key, for the message that comes next."""
        self._recalled = Job(kept, sources)

    # -- the one entrance

    def handle(self, message: Decided, *, now: Now) -> Step:
        """Take one message. Words about runs that are over change nothing."""
        match message:
            case CreateJob():
                same = self._recalled is not None and message.key and self._recalled.kept.order_key == message.key
                before = self.find(self._recalled.id) if self._recalled is not None and same else None
                self._orders.place(message, now, before=before)
            case (
                PauseJob()
                | ResumeJob()
                | CancelJob()
                | RetryJob()
                | DeleteJob()
                | UpdateJob()
                | AddSources()
                | DropSource()
            ):
                self._orders.obey(message, self.find(message.id), now)
            case (
                JobOpened()
                | JobProgressed()
                | SourceProgressed()
                | ChunkMapDrawn()
                | JobNoted()
                | SourceFound()
                | ContributorsListed()
                | JobEnded()
            ):
                job = self.jobs.of_run(message.job)
                if job is not None:
                    self._on_run(job, message, now)
            case GetManifest():
                self._on_manifest(message, now)
            case SetTotalLimit():
                self._around.set_limit(message, now)
            case WatchEvents(reply_to=address):
                self._scribe.watch(address)
            case ConfigureJobManager(settings=text):
                self._configure(text, now)
            case SessionChanged():
                self._around.login(message, now)
            case ProcessLost():
                self._around.lost(message, now)
            case ProcessReady():
                self._on_ready(message, now)
            case PartFileRemoved(id=id):
                self._removal.removed(id)
            case Ticked():
                self._tick(now)
            case _:
                assert_never(message)
        self._recalled = None
        if not isinstance(message, JobProgressed | SourceProgressed | ChunkMapDrawn):
            self._serve(now)
        return self._scribe.take()

    _recalled: Job | None = None

    def find(self, id: str) -> Job | None:
        """A living job, or the one that was recalled."""
        job = self.jobs.living.get(id)
        if job is None and self._recalled is not None and self._recalled.id == id:
            return self._recalled
        return job

    def _on_run(self, job: Job, message: RunNews, now: Now) -> None:
        match message:
            case JobOpened():
                self._runs.opened(job, message, now)
            case JobProgressed():
                self._runs.progressed(job, message, now)
            case SourceProgressed():
                self._runs.source_told(job, message, now)
            case JobNoted(text=text):
                self._runs.note(job, text, now)
            case SourceFound():
                self._runs.found(job, message, now)
            case ContributorsListed():
                self._runs.runs_told(job, message)
            case JobEnded():
                self._runs.endings.ended(job, message, now)
                self._orders.put_off(now, job)
            case ChunkMapDrawn():
                pass
            case _:
                assert_never(message)

    def _on_manifest(self, asked: GetManifest, now: Now) -> None:
        job = self.find(asked.id)
        if job is None:
            self._scribe.refuse(asked.request, asked.reply_to, "unknown", "no such job")
        else:
            self._runs.ask_manifest(job, (asked.request, asked.reply_to), now)

    # -- whose turn it is

    def _serve(self, now: Now) -> None:
        """Start whoever may be started."""
        if not self.jobs.queued:
            return
        room = self.settings.jobs_active_max - len(self.jobs.running)
        hunts = sum(searches(job.kept) for job in self.jobs.running.values())
        waiting = (job.kept for job in self.jobs.queued.values())
        for kept in next_to_start(waiting, self.settings, room=room, hunts=hunts, now_ms=now.ms):
            self._runs.start(self.jobs.living[kept.id], now)

    def _yield(self, now: Now) -> None:
        """Who has had nothing for long lets go first who waits; one for one."""
        if len(self.jobs.running) < self.settings.jobs_active_max:
            return
        ready = [job for job in self.jobs.queued.values() if job.run is None and due(job.kept, self.settings, now.ms)]
        leaving = sum(job.kept.state != ACTIVE for job in self.jobs.running.values())
        for job in self._runs.idle(now)[: max(0, len(ready) - leaving)]:
            self._runs.give_way(job, now)

    # -- settings and processes

    @property
    def limit_bytes_s(self) -> int:
        """What holds now for all jobs together; 0: no limit."""
        return self._around.limit_bytes_s

    def _configure(self, text: bytes, now: Now) -> None:
        try:
            self._configured(settings_of(text))
        except ValueError:
            return  # whoever sent it has checked it: an older or newer program, whose wishes nobody here knows
        self._around.limit(now)

    def _configured(self, settings: JobPolicy) -> None:
        self.settings = self._runs.settings = self._runs.endings.settings = self._around.settings = settings

    def _on_ready(self, ready: ProcessReady, now: Now) -> None:
        self._around.ready(ready, now)
        if ready.process == STORE:
            self._removal.ask()
        if ready.process == HUB:
            self._runs.hub_is_new(now)

    # -- time

    def _tick(self, now: Now) -> None:
        self._runs.tick(now)
        self._orders.put_off(now)
        self._around.limit(now)
        self._yield(now)
        if now.s - self._flushed_s >= self.settings.flush_s:
            self._flushed_s = now.s
            self._scribe.write(*self._unwritten())
        if now.s - self._trimmed_s >= TRIM_S:
            self._trimmed_s = now.s
            since_ms = now.ms - self.settings.events_days * 86_400_000
            self._scribe.write(TrimEvents(self.settings.events_max, since_ms))

    def _unwritten(self) -> Iterator[Write]:
        for job in self.jobs.running.values():
            yield from job.unwritten()
        yield from self._runs.endings.unwritten()

    def unwritten(self) -> Step:
        """Everything that is not written down yet, for the end of this process."""
        self._scribe.write(*self._unwritten())
        return self._scribe.take()

    # -- for those who ask

    def world(self, job: Job, now: Now) -> World:
        starved_ms = starved_since_ms(self.settings, now.ms)
        mine = place(job.kept, starved_ms=starved_ms)
        ahead = 0
        if job.id in self.jobs.queued:
            ahead = sum(place(other.kept, starved_ms=starved_ms) < mine for other in self.jobs.queued.values())
        return World(
            settings=self.settings,
            active=len(self.jobs.running),
            ahead=ahead,
            rate_bytes_s=self.rate_bytes_s,
            limit_bytes_s=self.limit_bytes_s,
            limit_left_s=self._around.limit_left_s(now),
            session=self._around.session,
            now_ms=now.ms,
        )

    @property
    def rate_bytes_s(self) -> float:
        return sum(job.run.rate_bytes_s for job in self.jobs.running.values() if job.run and job.kept.state == ACTIVE)

    def counts(self, states: dict[str, int]) -> Counts:
        """`states`: how many jobs the book has in each."""
        totals = self._runs.endings.totals
        running = [job for job in self.jobs.running.values() if job.run is not None]
        stored = sum(
            max(0, job.kept.stored_bytes - job.run.kept.resumed_bytes)
            for job in running
            if job.run is not None and job.run.kept.resumed_bytes >= 0
        )
        return Counts(
            **{state: states.get(state, 0) for state in STATES},
            received_bytes=totals.received_bytes,
            refetched_bytes=totals.refetched_bytes,
            stored_bytes=totals.stored_bytes + stored,
            chunks=totals.chunks,
            stops=totals.stops,
            trims=totals.trims,
            retries=totals.retries,
            rate_bytes_s=self.rate_bytes_s,
            limit_bytes_s=self.limit_bytes_s,
            last_serial=self._scribe.last_serial,
        )
