"""Decisions of the job manager: a message in, a transaction out.

Holds every job that has not ended. One that has is in the store alone; for a command about it the shell brings it back
with `recall` first. Queries, which only read, are answered in `actors.job_manager`.

Invariants: at most `jobs_active_max` attempts; the number of an attempt is never given again; a job's `stored_bytes`
never falls; what is not in the transaction's writes has not happened.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, assert_never

from actors.core.jobs.attempts import Attempts
from actors.core.jobs.bandwidth import HUB, NO_OVERRIDE, Bandwidth
from actors.core.jobs.commands import Commands, JobCommand
from actors.core.jobs.explain import ExplainContext
from actors.core.jobs.job import Job, JobIndex, due, new_attempt, next_to_start, queue_key, searches, starved_since_ms
from actors.core.jobs.lifecycle import PartFileRemoval
from actors.core.jobs.transaction import Now, Transaction, TransactionBuilder
from protocol.messages import (
    AddSources,
    CancelJob,
    ChunkMapDrawn,
    ClaimChanged,
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
    PreferSource,
    ProcessLost,
    ProcessReady,
    ResumeJob,
    RetryJob,
    SessionChanged,
    SetSchedule,
    SetTotalLimit,
    SourceFound,
    SourceProgressed,
    Ticked,
    UpdateJob,
    WatchEvents,
)
from protocol.messages.addresses import ASSEMBLER, split_address
from protocol.model import event_kinds
from protocol.model.job_policy import JobPolicy, LimitWindow, settings_of
from protocol.model.job_records import (
    ACTIVE,
    QUEUED,
    STATES,
    AttemptRecord,
    JobFiles,
    JobRecord,
    SourceRecord,
    Totals,
    TrimEvents,
    Write,
)
from protocol.model.job_views import Counts
from protocol.model.value import Struct, field

STORE: Final = split_address(ASSEMBLER)[0]
TRIM_S: Final = 600.0

AttemptReport = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | JobNoted
    | SourceFound
    | ContributorsListed
    | ClaimChanged
    | JobEnded
)
StoredJob = tuple[JobRecord, list[SourceRecord], AttemptRecord | None]


class StoredState(Struct, frozen=True, kw_only=True):
    """Content of the job store when a job manager begins."""

    jobs: Iterable[StoredJob] = ()
    last_attempt: int = 0
    last_event: int = 0
    last_job: int = 0
    totals: Totals = field(default_factory=Totals)
    limit_bytes_s: int = NO_OVERRIDE
    """The limit that the user has set, -1 for none."""
    schedule: tuple[LimitWindow, ...] | None = None
    """The schedule that the user has set, None: that of the configuration."""
    files: Iterable[JobFiles] = ()


StateInbox = (
    CreateJob
    | JobCommand
    | AttemptReport
    | SetTotalLimit
    | SetSchedule
    | GetManifest
    | WatchEvents
    | ConfigureJobManager
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | PartFileRemoved
    | Ticked
)
"""The messages that change something. The rest of `JobManagerInbox` are queries."""


class JobManagerState:
    """Owned by the JobManager. `new_id` returns a public id that no job has."""

    def __init__(self, policy: JobPolicy, stored: StoredState, *, new_id: Callable[[], str]) -> None:
        self.policy = policy
        self.jobs = JobIndex()
        self._transaction = TransactionBuilder(stored.last_event)
        self._removal = PartFileRemoval(self._transaction)
        self._attempts = Attempts(self.jobs, self._transaction, policy, self._removal, last_attempt=stored.last_attempt)
        self._attempts.lifecycle.totals = stored.totals
        self._commands = Commands(
            self.jobs, self._transaction, self._attempts, self._removal, last_serial=stored.last_job, new_id=new_id
        )
        self._bandwidth = Bandwidth(
            self._transaction, policy, override_bytes_s=stored.limit_bytes_s, schedule=stored.schedule
        )
        self._flushed_s = float("-inf")
        self._trimmed_s = float("-inf")
        self._stored = stored
        self._recalled: Job | None = None

    # -- begin

    def begin(self, now: Now, *, fresh: bool, version: str = "") -> Transaction:
        """Take up what the store holds.

        `fresh`: the whole daemon has just started, so no attempt is under way. Else the last job manager has died and
        attempts may go on without it: the pool is asked for them again.
        """
        for record, sources, attempt in self._stored.jobs:
            job = Job(record, list(sources))
            if attempt is not None and record.number:
                job.attempt = new_attempt(attempt, now, searching=searches(record))
            elif record.number:
                job.record = record.but(number=0)
                job.changed = True
            self.jobs.update(job)
        self._removal.begin(self._stored.files)
        self._stored = StoredState()
        if fresh:
            self._transaction.event(event_kinds.DAEMON_STARTED, "", now, version=version)
            self._bandwidth.forget_override()
            self._resume_active(now)
        else:
            self._bandwidth.forget_hub_limit()
            for job in list(self.jobs.running.values()):
                self._attempts.restart(job, now)
        self._bandwidth.limit(now)
        self._start_queued(now)
        return self._transaction.take()

    def _resume_active(self, now: Now) -> None:
        """Every active job goes on with a new attempt, before any that is queued."""
        for job in list(self.jobs.running.values()):
            self._attempts.lifecycle.lost(job, now)
        active = sorted((job for job in self.jobs if job.record.state == ACTIVE), key=lambda job: job.record.serial)
        for at, job in enumerate(active):
            job.record = job.record.but(state=QUEUED)
            self.jobs.update(job)
            job.changed = True
            self._transaction.write(*job.unwritten())
            if at < self.policy.jobs_active_max:
                self._attempts.start(job, now)

    def take_over(self, other: "JobManagerState") -> None:
        """Take from `other` what no store holds: watchers, the login, the configuration."""
        self._transaction.take_over(other._transaction)
        self._bandwidth.session = other._bandwidth.session
        self._set_policy(other.policy)

    def recall(self, record: JobRecord, sources: list[SourceRecord]) -> None:
        """Bring back a job that has ended, or the one of a command's key, for the message that comes next."""
        self._recalled = Job(record, sources)

    # -- the one entrance

    def handle(self, message: StateInbox, *, now: Now) -> Transaction:
        """Take one message. Reports of attempts that are over change nothing."""
        match message:
            case CreateJob():
                recalled = self._recalled
                same = recalled is not None and message.key and recalled.record.order_key == message.key
                before = self.find(recalled.id) if recalled is not None and same else None
                self._commands.create(message, now, before=before)
            case (
                PauseJob()
                | ResumeJob()
                | CancelJob()
                | RetryJob()
                | DeleteJob()
                | UpdateJob()
                | AddSources()
                | DropSource()
                | PreferSource()
            ):
                self._commands.execute(message, self.find(message.id), now)
            case (
                JobOpened()
                | JobProgressed()
                | SourceProgressed()
                | ChunkMapDrawn()
                | JobNoted()
                | SourceFound()
                | ContributorsListed()
                | ClaimChanged()
                | JobEnded()
            ):
                job = self.jobs.by_number(message.job)
                if job is not None:
                    self._on_report(job, message, now)
            case GetManifest():
                self._on_manifest(message, now)
            case SetTotalLimit():
                self._bandwidth.set_limit(message, now)
            case SetSchedule():
                self._bandwidth.set_schedule(message, now)
            case WatchEvents(reply_to=address):
                self._transaction.watch(address)
            case ConfigureJobManager(settings=text):
                self._configure(text, now)
            case SessionChanged():
                self._bandwidth.login(message, now)
            case ProcessLost():
                self._bandwidth.process_lost(message, now)
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
            self._start_queued(now)
        return self._transaction.take()

    def find(self, id: str) -> Job | None:
        """Return a living job, or the one that was recalled."""
        job = self.jobs.living.get(id)
        if job is None and self._recalled is not None and self._recalled.id == id:
            return self._recalled
        return job

    def _on_report(self, job: Job, message: AttemptReport, now: Now) -> None:
        match message:
            case JobOpened():
                self._attempts.opened(job, message, now)
            case JobProgressed():
                self._attempts.progressed(job, message, now)
            case SourceProgressed():
                self._attempts.source_progressed(job, message, now)
            case JobNoted(text=text):
                self._attempts.note(job, text, now)
            case SourceFound():
                self._attempts.found(job, message, now)
            case ContributorsListed():
                self._attempts.contributors_listed(job, message)
            case JobEnded():
                self._attempts.lifecycle.ended(job, message, now)
                self._commands.finish_deletions(now, job)
            case ClaimChanged(claim=claim):
                if job.attempt is not None:
                    job.attempt.claim = claim
            case ChunkMapDrawn():
                pass
            case _:
                assert_never(message)

    def _on_manifest(self, request: GetManifest, now: Now) -> None:
        job = self.find(request.id)
        if job is None:
            self._transaction.refuse(request.request, request.reply_to, "unknown", "no such job")
        else:
            self._attempts.request_manifest(job, (request.request, request.reply_to), now)

    # -- the queue

    def _start_queued(self, now: Now) -> None:
        """Start the queued jobs that there is room for."""
        if not self.jobs.queued:
            return
        room = self.policy.jobs_active_max - len(self.jobs.running)
        searching = sum(searches(job.record) for job in self.jobs.running.values())
        queued = (job.record for job in self.jobs.queued.values())
        for record in next_to_start(queued, self.policy, room=room, searching=searching, now_ms=now.ms):
            self._attempts.start(self.jobs.living[record.id], now)

    def _replace_stalled(self, now: Now) -> None:
        """Let stalled jobs give way to queued ones, one for one."""
        if len(self.jobs.running) < self.policy.jobs_active_max:
            return
        queued = self.jobs.queued.values()
        ready = [job for job in queued if job.attempt is None and due(job.record, self.policy, now.ms)]
        leaving = sum(job.record.state != ACTIVE for job in self.jobs.running.values())
        for job in self._attempts.stalled(now)[: max(0, len(ready) - leaving)]:
            self._attempts.give_way(job, now)

    # -- configuration and processes

    @property
    def limit_bytes_s(self) -> int:
        """The limit of all jobs together now; 0: none."""
        return self._bandwidth.limit_bytes_s

    def _configure(self, text: bytes, now: Now) -> None:
        try:
            self._set_policy(settings_of(text))
        except ValueError:
            return  # its sender has checked it: it is of an older or newer program, with keys unknown here
        self._bandwidth.limit(now)

    def _set_policy(self, policy: JobPolicy) -> None:
        self.policy = self._attempts.policy = self._attempts.lifecycle.policy = policy
        self._bandwidth.configure(policy)

    def _on_ready(self, ready: ProcessReady, now: Now) -> None:
        self._bandwidth.process_ready(ready, now)
        if ready.process == STORE:
            self._removal.request_all()
        if ready.process == HUB:
            self._attempts.hub_restarted(now)

    # -- time

    def _tick(self, now: Now) -> None:
        self._attempts.tick(now)
        self._commands.finish_deletions(now)
        self._bandwidth.limit(now)
        self._replace_stalled(now)
        if now.s - self._flushed_s >= self.policy.flush_s:
            self._flushed_s = now.s
            self._transaction.write(*self._unwritten())
        if now.s - self._trimmed_s >= TRIM_S:
            self._trimmed_s = now.s
            since_ms = now.ms - self.policy.events_days * 86_400_000
            self._transaction.write(TrimEvents(self.policy.events_max, since_ms))

    def _unwritten(self) -> Iterator[Write]:
        for job in (*self.jobs.running.values(), *self.jobs.queued.values()):
            yield from job.unwritten()
        yield from self._attempts.lifecycle.unwritten()

    def unwritten(self) -> Transaction:
        """Return the writes that are still due, for the end of this process."""
        self._transaction.write(*self._unwritten())
        return self._transaction.take()

    # -- for queries

    def context_of(self, job: Job, now: Now) -> ExplainContext:
        starved_ms = starved_since_ms(self.policy, now.ms)
        mine = queue_key(job.record, starved_ms=starved_ms)
        ahead = 0
        if job.id in self.jobs.queued:
            queued = self.jobs.queued.values()
            ahead = sum(queue_key(other.record, starved_ms=starved_ms) < mine for other in queued)
        return ExplainContext(
            policy=self.policy,
            active=len(self.jobs.running),
            ahead=ahead,
            rate_bytes_s=self.rate_bytes_s,
            limit_bytes_s=self.limit_bytes_s,
            limit_left_s=self._bandwidth.limit_left_s(now),
            session=self._bandwidth.session,
            now_ms=now.ms,
        )

    @property
    def rate_bytes_s(self) -> float:
        running = self.jobs.running.values()
        return sum(job.attempt.rate_bytes_s for job in running if job.attempt and job.record.state == ACTIVE)

    def counts(self, states: dict[str, int]) -> Counts:
        """`states`: the number of jobs in each, as the store counts them."""
        totals = self._attempts.lifecycle.totals
        stored = sum(
            max(0, job.record.stored_bytes - job.attempt.record.resumed_bytes)
            for job in self.jobs.running.values()
            if job.attempt is not None and job.attempt.record.resumed_bytes >= 0
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
            last_serial=self._transaction.last_serial,
            schedule=self._bandwidth.schedule,
        )
