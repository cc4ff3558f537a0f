"""Job manager: the actor that owns the job store, commits its core's transactions and answers queries.

Nothing that was answered is lost: answers and events leave after the commit that holds them. Several messages that wait
in the inbox share one commit. While the store cannot be written (its disk is full), commands are refused as
``unavailable``, attempts go on, and everything is taken up again from what the store holds as soon as it can.
"""

import dataclasses
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, cast, get_args

from actors.core.jobs.attempts import merge_manifest
from actors.core.jobs.explain import bottlenecks
from actors.core.jobs.job import Job, snapshot, source_snapshot, starved_since_ms
from actors.core.jobs.manager import JobManagerState, StateInbox, StoredState
from actors.core.jobs.transaction import Now, Transaction, answers
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    CommitRecords,
    ConfigureJobManager,
    CreateJob,
    DeleteWish,
    ExplainJob,
    GetBookmark,
    GetCounts,
    GetJob,
    GetTimeline,
    HideEndedJobs,
    ListEvents,
    ListFolders,
    ListJobs,
    ListWishes,
    PutWish,
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
from protocol.model.job_views import Bookmark, Counts, JobDetail, JobView, details
from protocol.model.value import Value
from storage.job_store import JobStore
from storage.piece_lists import lists_folder, sweep_lists

Query = (
    ListJobs
    | ListFolders
    | GetJob
    | ExplainJob
    | GetTimeline
    | ListEvents
    | GetCounts
    | HideEndedJobs
    | GetBookmark
    | SetBookmark
    | ListWishes
    | PutWish
    | DeleteWish
)
"""Messages that change no living job: they read, or change rows of the store alone."""
JobManagerInbox = StateInbox | Query | CommitRecords
Reply = RequestAnswered | RequestRefused

ROWS_MAX: Final = 10_000
"""Rows of one answer."""
TICK_S: Final = 1.0
COMMIT_S: Final = 0.1
"""Delay of a commit that nothing waits for."""
TRANSACTIONS_PER_COMMIT_MAX: Final = 256
SWEEP_S: Final = 600.0
"""Between two sweeps of the lists of piece digests that no job needs any more."""
_QUERIES: Final = get_args(Query)
_SURROUNDING: Final = (WatchEvents, ConfigureJobManager, SessionChanged)
"""Messages that are never repeated, taken also while the store cannot be written."""

_logger = logging.getLogger(__name__)


class JobManager(Actor):
    """Actor of the daemon's job decisions, one a daemon.

    `fresh`: the daemon has just been started, so no attempt can be under way.
    """

    def __init__(self, bus: MessageBus, path: str, policy: JobPolicy, *, fresh: bool, version: str = "") -> None:
        super().__init__(split_address(JOB_MANAGER)[1], bus)
        self._path = path
        self._policy = policy
        self._fresh = fresh
        self._version = version
        self._open: list[Transaction] = []
        self._due = False
        self._fault = "not begun yet"
        self._swept_s = float("-inf")
        self._unused_lists: set[str] = set()

    def starting(self) -> None:
        self._store = JobStore(self._path)
        self._state = self._read()
        self._begin()
        self.bus.post_later(TICK_S, self.address, Ticked())

    def stopping(self) -> None:
        if not self._fault:
            self._take(self._state.unwritten())
            self._commit()
        self._store.close()

    def handle(self, message: JobManagerInbox) -> None:
        if isinstance(message, Ticked):
            self.bus.post_later(TICK_S, self.address, Ticked())
            if self._fault:
                self._begin()
            self._sweep(time.monotonic())
        if isinstance(message, CommitRecords):
            self._due = False
            self._commit()
        elif isinstance(message, _QUERIES):
            self._commit()
            for reply in self._answer(message):
                self.bus.post(message.reply_to, reply)
        elif self._fault and not isinstance(message, _SURROUNDING):
            self._refuse(message)
        else:
            self._recall(message)
            self._take(self._state.handle(cast(StateInbox, message), now=now()))
        self._commit_if_urgent()

    # -- begin, and begin again after a fault of the store

    def _read(self) -> JobManagerState:
        """Return the state that the store makes; it begins when the store can be written."""
        store = self._store
        stored = StoredState(
            jobs=store.living(),
            last_attempt=store.last_run(),
            last_event=store.last_serial(),
            last_job=store.last_job(),
            totals=store.totals(),
            limit_bytes_s=store.limit(),
            schedule=store.schedule(),
            files=store.files(),
        )
        state = JobManagerState(self._policy, stored, new_id=lambda: str(uuid.uuid4()))
        self._queries = QueryHandler(state, store)
        return state

    def _begin(self) -> None:
        self._fault = ""
        self._take(self._state.begin(now(), fresh=self._fresh, version=self._version))
        self._commit()
        if not self._fault:
            self._fresh = False

    def _give_up(self, error: sqlite3.Error, transactions: list[Transaction]) -> None:
        """Nothing of these has happened: every request in them is refused, and the store is right."""
        _logger.error("%s cannot be written: %s", self._path, error)
        self._fault = f"the job store cannot be written: {error}"
        for each in transactions:
            answered = [
                (post.to, post.message.request) for post in each.posts if isinstance(post.message, RequestAnswered)
            ]
            for to, request in {*answered, *((to, request) for request, to in each.counted)}:
                self.bus.post(to, self._unavailable(request))
            self.bus.post_all([post for post in each.posts if isinstance(post.message, RequestRefused)])
        before, self._state = self._state, self._read()
        self._state.take_over(before)

    def _answer(self, query: Query) -> list[Reply]:
        """Answer from the store; where it cannot be read, a refusal is the answer and nothing else fails."""
        try:
            return self._queries.replies(query, now())
        except sqlite3.Error as error:
            _logger.error("%s cannot be read: %s", self._path, error)
            detail = f"the job store cannot be read: {error}"
            return [RequestRefused(request=query.request, kind="unavailable", field="", detail=detail)]

    def _refuse(self, message: JobManagerInbox) -> None:
        request, reply_to = getattr(message, "request", None), getattr(message, "reply_to", "")
        if request is not None and reply_to:
            self.bus.post(reply_to, self._unavailable(request))

    def _unavailable(self, request: int) -> RequestRefused:
        return RequestRefused(request=request, kind="unavailable", field="", detail=self._fault)

    # -- one message

    def _sweep(self, now_s: float) -> None:
        """Remove the lists of piece digests that no job needs any more; where that fails, the next time does it."""
        if self._fault or now_s - self._swept_s < SWEEP_S:
            return
        self._swept_s = now_s
        with suppress(sqlite3.Error):
            folder = lists_folder(os.path.dirname(self._path))
            self._unused_lists = sweep_lists(folder, self._store.piece_files(), self._unused_lists)

    def _recall(self, message: JobManagerInbox) -> None:
        """Bring back from the store the ended job that a command is about, or the job of a command's key."""
        if isinstance(message, CreateJob) and message.key:
            self._commit()
            known = self._store.job_of_key(message.key)
            if known is not None:
                self._state.recall(known, self._store.sources(known.id))
        id = getattr(message, "id", "")
        if id and id not in self._state.jobs.living:
            self._commit()  # the store may not have its end yet
            record = self._store.job(id)
            if record is not None:
                self._state.recall(record, self._store.sources(id))

    def _take(self, transaction: Transaction) -> None:
        self.bus.post_all(transaction.at_once)
        if transaction.manifests:
            self._commit()
            self._complete_manifests(transaction)
        if transaction:
            self._open.append(transaction)

    def _complete_manifests(self, transaction: Transaction) -> None:
        """Merge each manifest with the stored one, and write it or post it to its asker."""
        for report in transaction.manifests:
            before = self._store.manifest(report.id)
            ranges = before if report.ranges is None else merge_manifest(report.ranges, before)
            if report.asker is None:
                transaction.writes.append(SaveManifest(report.id, tuple(ranges)))
            else:
                request, reply_to = report.asker
                transaction.posts += [Post(to=reply_to, message=part) for part in answers(request, ranges)]

    def _commit_if_urgent(self) -> None:
        if not self._open:
            return
        urgent = any(each.urgent for each in self._open)
        if urgent and (self.actor_inbox.empty() or len(self._open) >= TRANSACTIONS_PER_COMMIT_MAX):
            self._commit()
        elif not self._due:
            self._due = True
            self.bus.post_later(COMMIT_S, self.address, CommitRecords())

    def _commit(self) -> None:
        """Write the open transactions, then send their posts."""
        transactions, self._open = self._open, []
        writes: list[Write] = [write for each in transactions for write in each.writes]
        try:
            if writes:
                self._store.apply(writes)
        except sqlite3.Error as error:
            self._give_up(error, transactions)
            return
        for each in transactions:
            self.bus.post_all(each.posts)
            for request, reply_to in each.counted:
                for part in answers(request, [self._queries.counts()]):
                    self.bus.post(reply_to, part)


@dataclasses.dataclass(frozen=True, slots=True)
class QueryHandler:
    """Answers to queries, from the store and from the reports of running attempts.

    The store is up to date in everything but the progress of running jobs.
    """

    state: JobManagerState
    store: JobStore

    def replies(self, query: Query, now: Now) -> list[Reply]:
        match query:
            case ListJobs():
                return self._jobs(query, now)
            case ListFolders(request=request):
                offset, limit = _page(query.offset, query.limit)
                folders, total = self.store.folders(offset=offset, limit=limit)
                return _answered(request, folders, total)
            case GetJob():
                return self._of_job(query, lambda job: self._details(job, now, rates=query.rates))
            case ExplainJob():
                return self._of_job(query, lambda job: bottlenecks(job, self.state.context_of(job, now)))
            case GetTimeline():
                return self._timeline(query)
            case ListEvents(after=after):
                offset, limit = _page(query.offset, query.limit)
                events, total = self.store.events(after=after, offset=offset, limit=limit)
                return _answered(query.request, events, total)
            case GetCounts(request=request):
                return _answered(request, [self.counts()])
            case HideEndedJobs(request=request, origin=origin):
                return _written(request, lambda: self.store.remove_ended(origin))
            case ListWishes(request=request):
                return _answered(request, self.store.wishes())
            case PutWish(request=request, wish=wish):
                return _written(request, lambda: self.store.put_wish(wish))
            case DeleteWish(request=request, id=id):
                return _written(request, lambda: self.store.delete_wish(id))
            case GetBookmark(request=request, name=name):
                return _answered(request, [Bookmark(name=name, serial=self.store.bookmark(name))])
            case SetBookmark(request=request, name=name, serial=serial):
                return _written(request, lambda: self.store.set_bookmark(name, serial))

    def counts(self) -> Counts:
        return self.state.counts(self.store.counts())

    def _job(self, id: str) -> Job | None:
        living = self.state.jobs.living.get(id)
        if living is not None:
            return living
        record = self.store.job(id)
        return Job(record, self.store.sources(id)) if record is not None else None

    def _jobs(self, query: ListJobs, now: Now) -> list[Reply]:
        first_ms = starved_since_ms(self.state.policy, now.ms) if query.order == "queue" else -1
        offset, limit = _page(query.offset, query.limit)
        records, total = self.store.jobs(
            states=query.states,
            origin=query.origin,
            user=query.user,
            text=query.text,
            removed=query.removed,
            order=query.order,
            queue_first_ms=first_ms,
            folder_id=query.folder_id,
            offset=offset,
            limit=limit,
        )
        return _answered(query.request, [self._snapshot(record, now) for record in records], total)

    def _snapshot(self, record: JobRecord, now: Now) -> JobView:
        return snapshot(self.state.jobs.living.get(record.id) or Job(record), now)

    def _details(self, job: Job, now: Now, *, rates: bool) -> list[JobDetail]:
        sources = [source_snapshot(source, job.progress.get(source.number)) for source in job.sources]
        first, *more = details(snapshot(job, now), sources, self.store.notes(job.id))
        kept = [first.but(sources=(), rates=job.rates(now.s))] if rates else []
        return [*kept, first, *more]

    def _timeline(self, query: GetTimeline) -> list[Reply]:
        offset, limit = _page(query.offset, query.limit)
        events, total = self.store.timeline(query.id, offset=offset, limit=limit)
        if not total and self._job(query.id) is None:
            return [_unknown(query.request)]
        return _answered(query.request, events, total)

    def _of_job(self, query: GetJob | ExplainJob, rows: Callable[[Job], Iterable[Value]]) -> list[Reply]:
        job = self._job(query.id)
        return [_unknown(query.request)] if job is None else _answered(query.request, rows(job))


def _answered(request: int, rows: Iterable[Value], total: int = -1) -> list[Reply]:
    return [*answers(request, rows, total=total)]


def _written(request: int, write: Callable[[], int | None]) -> list[Reply]:
    """Answer with no rows; the total is the number of rows written, where it is counted."""
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


def now() -> Now:
    """Read the clocks, which the job manager does nowhere else. Scheduled limits go by local time."""
    wall_s = time.time()
    local = time.localtime(wall_s)
    week_s = local.tm_wday * 86_400 + local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec
    return Now(s=time.monotonic(), ms=int(1000 * wall_s), week_s=week_s)
