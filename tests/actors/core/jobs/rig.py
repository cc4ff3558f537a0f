"""A job manager without a daemon: its store is a few dictionaries, its clock is turned by hand, its hub is played."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from actors.core.jobs.attempts import merge_manifest
from actors.core.jobs.manager import JobManagerState, StoredState
from actors.core.jobs.transaction import Now, Transaction, answers
from protocol.messages import (
    CancelJob,
    CreateJob,
    DeleteJob,
    JobEnded,
    JobOpened,
    JobProgressed,
    Message,
    PauseJob,
    RequestAnswered,
    RequestRefused,
    ResumeJob,
    RetryJob,
    SourceProgressed,
    StartJob,
)
from protocol.messages.addresses import Post
from protocol.model.identity import Claim
from protocol.model.job_policy import JobPolicy, LimitWindow
from protocol.model.job_records import (
    AttemptRecord,
    DropFiles,
    DropJob,
    EventEntry,
    JobFiles,
    JobRecord,
    ManifestRange,
    SaveAttempt,
    SaveEvent,
    SaveFiles,
    SaveJob,
    SaveLimit,
    SaveManifest,
    SaveNote,
    SaveSchedule,
    SaveSource,
    SaveTotals,
    SourceRecord,
    Totals,
    TrimEvents,
    Write,
)
from protocol.model.job_views import JobDetail, JobView, unpack, whole
from protocol.model.value import Value
from tests.specs import create_job

GATEWAY = "api/gateway"
WEB = "http://a.example/f.bin"
Row = TypeVar("Row", bound=Value)
M = TypeVar("M", bound=Message)


@dataclass
class PlainStore:
    """What the job store is by contract, without a disk."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    sources: dict[tuple[str, int], SourceRecord] = field(default_factory=dict)
    attempts: dict[int, AttemptRecord] = field(default_factory=dict)
    events: list[EventEntry] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    manifests: dict[str, tuple[ManifestRange, ...]] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    limit_bytes_s: int = -1
    schedule: tuple[LimitWindow, ...] | None = None
    files: dict[str, JobFiles] = field(default_factory=dict)

    def apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            match write:
                case SaveJob(job):
                    self.jobs[job.id] = job
                case SaveSource(source):
                    self.sources[source.id, source.number] = source
                case SaveAttempt(run):
                    self.attempts[run.number] = run
                case SaveEvent(event):
                    assert not self.events or event.serial == self.events[-1].serial + 1
                    self.events.append(event)
                case SaveNote(id, text):
                    self.notes.append((id, text))
                case SaveManifest(id, runs):
                    self.manifests[id] = runs
                case SaveTotals(totals):
                    self.totals = totals
                case SaveLimit(limit):
                    self.limit_bytes_s = limit
                case SaveSchedule(windows):
                    self.schedule = windows
                case DropJob(id):
                    del self.jobs[id]
                    for key in [key for key in self.sources if key[0] == id]:
                        del self.sources[key]
                case SaveFiles(files):
                    self.files[files.id] = files
                case DropFiles(id):
                    del self.files[id]
                case TrimEvents():
                    pass

    def sources_of(self, id: str) -> list[SourceRecord]:
        return [source for key, source in sorted(self.sources.items()) if key[0] == id]

    def beginning(self) -> StoredState:
        living = [job for job in self.jobs.values() if job.state in ("queued", "active", "paused") or job.number]
        return StoredState(
            jobs=[(job, self.sources_of(job.id), self.attempts.get(job.number)) for job in living],
            last_attempt=max(self.attempts, default=0),
            last_event=self.events[-1].serial if self.events else 0,
            last_job=max((job.serial for job in self.jobs.values()), default=0),
            totals=self.totals,
            limit_bytes_s=self.limit_bytes_s,
            schedule=self.schedule,
            files=list(self.files.values()),
        )


class Rig:
    """A job manager that has begun. `said` is everything it ever posted, `heard` the posts of the last transaction."""

    def __init__(self, settings: JobPolicy | None = None, store: PlainStore | None = None, **changes: Any) -> None:
        self.settings = settings or JobPolicy(**changes)
        self.store = store or PlainStore()
        self.s = 100.0
        self.jumped_s = 0.0
        """By how much the wall clock was set."""
        self.said: list[Post] = []
        self.heard: list[Post] = []
        self._ids = (f"id-{number}" for number in count(len(self.store.jobs) + 1))
        self._requests = count(1)
        self.begin(fresh=True)

    def begin(self, *, fresh: bool) -> None:
        """Another job manager takes over what is in the store: the old one has died. `fresh`: everything has."""
        self.manager = JobManagerState(self.settings, self.store.beginning(), new_id=lambda: next(self._ids))
        self._take(self.manager.begin(self.now, fresh=fresh, version="1"))

    @property
    def now(self) -> Now:
        return Now(s=self.s, ms=1_700_000_000_000 + int(1000 * (self.s + self.jumped_s)), week_s=int(self.s) % 604_800)

    def hear(self, message: Any) -> list[Post]:
        id = getattr(message, "id", "")
        if id in self.store.jobs and id not in self.manager.jobs.living:
            self.manager.recall(self.store.jobs[id], self.store.sources_of(id))
        if isinstance(message, CreateJob) and message.key:
            for record in [record for record in self.store.jobs.values() if record.order_key == message.key]:
                self.manager.recall(record, self.store.sources_of(record.id))
        self._take(self.manager.handle(message, now=self.now))
        return self.heard

    def _take(self, transaction: Transaction) -> None:
        for report in transaction.manifests:
            before = self.store.manifests.get(report.id, ())
            runs = before if report.ranges is None else tuple(merge_manifest(report.ranges, before))
            if report.asker is None:
                transaction.writes.append(SaveManifest(report.id, runs))
            else:
                transaction.posts += [Post(to=report.asker[1], message=part) for part in answers(report.asker[0], runs)]
        self.store.apply(transaction.writes)
        self.heard = [*transaction.at_once, *transaction.posts]
        self.said += self.heard

    # -- what is said to it

    def order(self, *, urls: tuple[str, ...] = (WEB,), **changes: Any) -> JobView:
        """A job that must not be refused."""
        self.hear(order(next(self._requests), urls, **changes))
        return whole(self.answer(JobDetail)).job

    def pause(self, id: str) -> None:
        self.hear(PauseJob(request=next(self._requests), reply_to=GATEWAY, id=id))

    def resume(self, id: str) -> None:
        self.hear(ResumeJob(request=next(self._requests), reply_to=GATEWAY, id=id))

    def retry(self, id: str) -> None:
        self.hear(RetryJob(request=next(self._requests), reply_to=GATEWAY, id=id))

    def cancel(self, id: str, *, removed: bool = False) -> None:
        self.hear(CancelJob(request=next(self._requests), reply_to=GATEWAY, id=id, removed=removed))

    def delete(self, id: str) -> None:
        self.hear(DeleteJob(request=next(self._requests), reply_to=GATEWAY, id=id))

    def opened(self, number: int, path: str = "/box/f.bin.part", *, size: int = 1000, resumed: int = 0) -> None:
        opened = JobOpened(
            job=number, part_path=path, size_bytes=size, chunk_size=4096, resumed_bytes=resumed, message=""
        )
        self.hear(opened)

    def progressed(
        self, number: int, stored: int, *, state: str = "riding", rate: float = 10.0, reason: str = ""
    ) -> None:
        self.hear(progressed(number, stored, state=state, rate=rate, reason=reason))

    def ended(self, number: int, state: str, reason: str = "", *, path: str = "", claim: Claim | None = None) -> None:
        self.hear(attempt_ended(number, state, reason, path=path).but(claim=claim or Claim()))

    # -- what it said

    def answer(self, kind: type[Row]) -> list[Row]:
        """The rows of the last step's answer."""
        parts = [post.message for post in self.heard if isinstance(post.message, RequestAnswered)]
        assert parts, f"no answer among {self.heard}"
        return [row for part in parts for row in unpack(part.body, kind)]

    def refusal(self) -> RequestRefused:
        (refused,) = self.all_heard(RequestRefused)
        return refused

    def all_heard(self, kind: type[M]) -> list[M]:
        return [post.message for post in self.heard if isinstance(post.message, kind)]

    def all_said(self, kind: type[M]) -> list[M]:
        return [post.message for post in self.said if isinstance(post.message, kind)]

    def record(self, id: str) -> JobRecord:
        return self.store.jobs[id]

    def number(self, id: str) -> int:
        return self.store.jobs[id].number

    def state(self, id: str) -> str:
        return self.store.jobs[id].state

    def started(self) -> list[int]:
        """Numbers of the attempts that were requested in the last transaction."""
        return [asked.job for asked in self.all_heard(StartJob)]

    def kinds(self, id: str) -> list[str]:
        """What happened to a job."""
        return [event.kind for event in self.store.events if event.id == id]


def order(request: int, urls: tuple[str, ...], **changes: Any) -> CreateJob:
    fields: dict[str, Any] = {
        "request": request,
        "reply_to": GATEWAY,
        "name": "f.bin",
        "folder": "/box",
        "size_bytes": -1,
        "chunk_size": 4096,
        "checksum": "",
        "mode": "swarm",
        "limit_bytes_s": 0,
        "priority": 0,
        "sources": urls,
        "term": "",
        "search_s": 0.0,
        "origin": "multisource",
        "user": "",
        "remote_path": "",
        "widen": False,
        "private_ok": True,
    }
    return create_job(**(fields | changes))


def progressed(number: int, stored: int, *, state: str, rate: float, reason: str = "") -> JobProgressed:
    return JobProgressed(
        job=number,
        state=state,
        stored_bytes=stored,
        size_bytes=1000,
        rate_bytes_s=rate,
        left_s=5.0,
        reason=reason,
    )


def attempt_ended(number: int, state: str, reason: str = "", *, path: str = "") -> JobEnded:
    return JobEnded(
        job=number,
        state=state,
        reason=reason or ("" if state == "sealed" else state),
        path=path or ("/box/f.bin" if state == "sealed" else ""),
        size_bytes=1000,
        seconds=1.0,
        bytes_received=1100,
        bytes_resumed=0,
        bytes_refetched=100,
        digest_hex="ab" if state == "sealed" else "",
    )


def row(number: int, source: int = 0, **changes: Any) -> SourceProgressed:
    fields: dict[str, Any] = {
        "job": number,
        "source": source,
        "name": "a.example",
        "standing": "active",
        "rate_bytes_s": 10.0,
        "bytes_stored": 0,
        "chunks": 0,
        "leases": 1,
        "stops": 0,
        "lease_first": -1,
        "lease_stop": -1,
        "reason": "",
    }
    return SourceProgressed(**(fields | changes))
