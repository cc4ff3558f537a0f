"""The shell of the JobManager: takes a message, asks the core, writes down what it says, then says what it says.

Owns the job store. Nothing that was answered is lost: answers and events leave after the commit that holds them.
Several messages that wait in the inbox share one commit. While the store cannot be written (its disk is full), orders
are refused as ``unavailable``, runs go on, and everything is taken up again from what the store holds as soon as it
can."""

import dataclasses
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Final, cast, get_args

from actors.core.jobs.explain import why
from actors.core.jobs.job import Job, snapshot, source_snapshot
from actors.core.jobs.manager import Beginning, Decided, JobManagerState
from actors.core.jobs.provenance import completed
from actors.core.jobs.queue import starved_since_ms
from actors.core.jobs.transaction import Now, Step, answers
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    CommitRecords,
    ConfigureJobManager,
    CreateJob,
    ExplainJob,
    GetBookmark,
    GetCounts,
    GetJob,
    GetTimeline,
    HideEndedJobs,
    ListEvents,
    ListJobs,
    RequestAnswered,
    RequestRefused,
    SessionChanged,
    SetBookmark,
    Ticked,
    WatchEvents,
)
from protocol.messages.addresses import JOB_MANAGER, Post, split_address
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import JobRecord, SaveManifest, Write
from protocol.model.job_views import Bookmark, Counts, JobDetail, JobView, ViewRow, details
from storage.job_store import JobStore

# Questions about jobs, answered from the book and from what is told of those that run; and orders about the book
# alone, which change no job that lives.

ROWS_MAX = 10_000
"""So many at most in one answer."""

Question = (
    ListJobs | GetJob | ExplainJob | GetTimeline | ListEvents | GetCounts | HideEndedJobs | GetBookmark | SetBookmark
)
JobManagerInbox = Decided | Question | CommitRecords
Reply = RequestAnswered | RequestRefused


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """`book` is up to date in everything but the progress of jobs that run."""

    keeping: JobManagerState
    book: JobStore

    def to(self, question: Question, now: Now) -> list[Reply]:
        match question:
            case ListJobs():
                return self._jobs(question, now)
            case GetJob():
                return self._of_job(question, lambda job: self._details(job, now))
            case ExplainJob():
                return self._of_job(question, lambda job: why(job, self.keeping.world(job, now)))
            case GetTimeline():
                return self._timeline(question)
            case ListEvents(after=after):
                offset, limit = _page(question.offset, question.limit)
                events, total = self.book.events(after=after, offset=offset, limit=limit)
                return _answered(question.request, events, total)
            case GetCounts(request=request):
                return _answered(request, [self.counts()])
            case HideEndedJobs(request=request, origin=origin):
                return _written(request, lambda: self.book.remove_ended(origin))
            case GetBookmark(request=request, name=name):
                return _answered(request, [Bookmark(name=name, serial=self.book.bookmark(name))])
            case SetBookmark(request=request, name=name, serial=serial):
                return _written(request, lambda: self.book.set_bookmark(name, serial))

    def counts(self) -> Counts:
        return self.keeping.counts(self.book.counts())

    def job(self, id: str) -> Job | None:
        living = self.keeping.jobs.living.get(id)
        if living is not None:
            return living
        kept = self.book.job(id)
        return Job(kept, self.book.sources(id)) if kept is not None else None

    def _jobs(self, asked: ListJobs, now: Now) -> list[Reply]:
        first_ms = starved_since_ms(self.keeping.settings, now.ms) if asked.order == "queue" else -1
        offset, limit = _page(asked.offset, asked.limit)
        found, total = self.book.jobs(
            states=asked.states,
            origin=asked.origin,
            user=asked.user,
            text=asked.text,
            removed=asked.removed,
            queue_first_ms=first_ms,
            offset=offset,
            limit=limit,
        )
        return _answered(asked.request, [self._snapshot(kept, now) for kept in found], total)

    def _snapshot(self, kept: JobRecord, now: Now) -> JobView:
        return snapshot(self.keeping.jobs.living.get(kept.id) or Job(kept), now.ms)

    def _details(self, job: Job, now: Now) -> list[JobDetail]:
        sources = [source_snapshot(source, job.rows.get(source.number)) for source in job.sources]
        return details(snapshot(job, now.ms), sources, self.book.notes(job.id))

    def _timeline(self, asked: GetTimeline) -> list[Reply]:
        offset, limit = _page(asked.offset, asked.limit)
        events, total = self.book.timeline(asked.id, offset=offset, limit=limit)
        if not total and self.job(asked.id) is None:
            return [_unknown(asked.request)]
        return _answered(asked.request, events, total)

    def _of_job(self, asked: GetJob | ExplainJob, rows: Callable[[Job], Iterable[ViewRow]]) -> list[Reply]:
        job = self.job(asked.id)
        return [_unknown(asked.request)] if job is None else _answered(asked.request, rows(job))


def _answered(request: int, rows: Iterable[ViewRow], total: int = -1) -> list[Reply]:
    return [*answers(request, rows, total=total)]


def _written(request: int, write: Callable[[], int | None]) -> list[Reply]:
    """No rows; the total is what was written, where it is counted."""
    try:
        total = write()
    except sqlite3.Error as error:
        detail = f"the job store cannot be written: {error}"
        return [RequestRefused(request=request, kind="unavailable", field="", detail=detail)]
    return _answered(request, [], total or 0)


def _unknown(request: int) -> RequestRefused:
    return RequestRefused(request=request, kind="unknown", field="", detail="no such job")


def _page(offset: int, limit: int) -> tuple[int, int]:
    return max(0, min(offset, 1 << 62)), max(0, min(limit, ROWS_MAX))


_logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
COMMIT_S: Final = 0.1
"""What nobody waits for is written down at most so much later."""
STEPS_MAX: Final = 256
"""So many share a commit at most."""
_QUESTIONS: Final = get_args(Question)
_SURROUNDING: Final = (WatchEvents, ConfigureJobManager, SessionChanged)
"""What is heard also while the store cannot be written: nobody will say it again."""


class JobManager(Actor):
    """One a daemon. `anew`: the daemon has just been started, and no run of before can be going on."""

    def __init__(self, bus: MessageBus, path: str, settings: JobPolicy, *, anew: bool, version: str = "") -> None:
        super().__init__(split_address(JOB_MANAGER)[1], bus)
        self._path = path
        self._settings = settings
        self._anew = anew
        self._version = version
        self._open: list[Step] = []
        self._due = False
        self._fault = "not begun yet"

    def starting(self) -> None:
        self._book = JobStore(self._path)
        self._keeping = self._read()
        self._begin()
        self.bus.post_later(TICK_S, self.address, Ticked())

    def stopping(self) -> None:
        if not self._fault:
            self._take(self._keeping.unwritten())
            self._commit()
        self._book.close()

    def handle(self, message: JobManagerInbox) -> None:
        if isinstance(message, Ticked):
            self.bus.post_later(TICK_S, self.address, Ticked())
            if self._fault:
                self._begin()
        if isinstance(message, CommitRecords):
            self._due = False
            self._commit()
        elif isinstance(message, _QUESTIONS):
            self._commit()
            for reply in self._answers.to(message, now()):
                self.bus.post(message.reply_to, reply)
        elif self._fault and not isinstance(message, _SURROUNDING):
            self._refuse(message)
        else:
            self._recall(message)
            self._take(self._keeping.handle(cast(Decided, message), now=now()))
        self._commit_if_waited_for()

    # -- taking up what the book holds

    def _read(self) -> JobManagerState:
        """The job manager that the book makes; it begins when the book can be written."""
        book = self._book
        begun = Beginning(
            jobs=book.living(),
            last_run=book.last_run(),
            last_event=book.last_serial(),
            last_job=book.last_job(),
            totals=book.totals(),
            limit_bytes_s=book.limit(),
            files=book.files(),
        )
        keeping = JobManagerState(self._settings, begun, new_id=lambda: str(uuid.uuid4()))
        self._answers = Answers(keeping, book)
        return keeping

    def _begin(self) -> None:
        self._fault = ""
        self._take(self._keeping.begin(now(), anew=self._anew, version=self._version))
        self._commit()
        if not self._fault:
            self._anew = False

    def _give_up(self, error: sqlite3.Error, steps: list[Step]) -> None:
        """Nothing of these steps has happened: whoever waits for an answer hears that, and the book is right."""
        _logger.error("%s cannot be written: %s", self._path, error)
        self._fault = f"the job store cannot be written: {error}"
        for step in steps:
            asked = [
                (post.to, post.message.request) for post in step.posts if isinstance(post.message, RequestAnswered)
            ]
            for to, request in {*asked, *((to, request) for request, to in step.counted)}:
                self.bus.post(to, self._unavailable(request))
            self.bus.post_all([post for post in step.posts if isinstance(post.message, RequestRefused)])
        before, self._keeping = self._keeping, self._read()
        self._keeping.take_over(before)

    def _refuse(self, message: JobManagerInbox) -> None:
        request, reply_to = getattr(message, "request", None), getattr(message, "reply_to", "")
        if request is not None and reply_to:
            self.bus.post(reply_to, self._unavailable(request))

    def _unavailable(self, request: int) -> RequestRefused:
        return RequestRefused(request=request, kind="unavailable", field="", detail=self._fault)

    # -- one message

    def _recall(self, message: JobManagerInbox) -> None:
        """An order about a job that has ended brings it back from the book, one with a key the job of this key."""
        if isinstance(message, CreateJob) and message.key:
            self._commit()
            known = self._book.job_of_key(message.key)
            if known is not None:
                self._keeping.recall(known, self._book.sources(known.id))
        id = getattr(message, "id", "")
        if id and id not in self._keeping.jobs.living:
            self._commit()  # the book may not know yet that it has ended
            kept = self._book.job(id)
            if kept is not None:
                self._keeping.recall(kept, self._book.sources(id))

    def _take(self, step: Step) -> None:
        self.bus.post_all(step.at_once)
        if step.told:
            self._commit()
            self._complete(step)
        if step:
            self._open.append(step)

    def _complete(self, step: Step) -> None:
        """A manifest that was told is completed by what is kept of it; written down, or said to who asks."""
        for told in step.told:
            before = self._book.manifest(told.id)
            runs = before if told.runs is None else completed(told.runs, before)
            if told.asker is None:
                step.writes.append(SaveManifest(told.id, tuple(runs)))
            else:
                request, reply_to = told.asker
                step.posts += [Post(to=reply_to, message=part) for part in answers(request, runs)]

    def _commit_if_waited_for(self) -> None:
        if not self._open:
            return
        urgent = any(step.urgent for step in self._open)
        if urgent and (self.actor_inbox.empty() or len(self._open) >= STEPS_MAX):
            self._commit()
        elif not self._due:
            self._due = True
            self.bus.post_later(COMMIT_S, self.address, CommitRecords())

    def _commit(self) -> None:
        """Write down what is open, then say it."""
        steps, self._open = self._open, []
        writes: list[Write] = [write for step in steps for write in step.writes]
        try:
            if writes:
                self._book.apply(writes)
        except sqlite3.Error as error:
            self._give_up(error, steps)
            return
        for step in steps:
            self.bus.post_all(step.posts)
            for request, reply_to in step.counted:
                for part in answers(request, [self._answers.counts()]):
                    self.bus.post(reply_to, part)


def now() -> Now:
    """The only place where the job manager looks at a clock. The schedule of limits is in local time."""
    wall_s = time.time()
    local = time.localtime(wall_s)
    week_s = local.tm_wday * 86_400 + local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec
    return Now(s=time.monotonic(), ms=int(1000 * wall_s), week_s=week_s)
