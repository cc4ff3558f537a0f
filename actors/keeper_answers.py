"""Questions about jobs, answered from the book and from what is told of those that run; and orders about the book
alone, which change no job that lives."""

import dataclasses
import sqlite3
from collections.abc import Callable, Iterable

from actors.core.keeping import Keeping
from actors.core.keeping_job import Job, snapshot, source_snapshot
from actors.core.keeping_queue import starved_since_ms
from actors.core.keeping_step import Now, answers
from actors.core.keeping_why import why
from protocol.kept import KeptJob
from protocol.messages import (
    Answered,
    BookmarkQueried,
    BookmarkSet,
    CountsQueried,
    EndedRemoved,
    EventsQueried,
    JobQueried,
    JobsQueried,
    Refused,
    TimelineQueried,
    WhyQueried,
)
from protocol.snapshots import Bookmark, Counts, JobDetail, JobSnapshot, Snapshot, details
from storage.job_book import JobBook

ROWS_MAX = 10_000
"""So many at most in one answer."""

Question = (
    JobsQueried
    | JobQueried
    | WhyQueried
    | TimelineQueried
    | EventsQueried
    | CountsQueried
    | EndedRemoved
    | BookmarkQueried
    | BookmarkSet
)
Reply = Answered | Refused


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """`book` is up to date in everything but the progress of jobs that run."""

    keeping: Keeping
    book: JobBook

    def to(self, question: Question, now: Now) -> list[Reply]:
        match question:
            case JobsQueried():
                return self._jobs(question, now)
            case JobQueried():
                return self._of_job(question, lambda job: self._details(job, now))
            case WhyQueried():
                return self._of_job(question, lambda job: why(job, self.keeping.world(job, now)))
            case TimelineQueried():
                return self._timeline(question)
            case EventsQueried(after=after):
                offset, limit = _page(question.offset, question.limit)
                events, total = self.book.events(after=after, offset=offset, limit=limit)
                return _answered(question.request, events, total)
            case CountsQueried(request=request):
                return _answered(request, [self.counts()])
            case EndedRemoved(request=request, origin=origin):
                return _written(request, lambda: self.book.remove_ended(origin))
            case BookmarkQueried(request=request, name=name):
                return _answered(request, [Bookmark(name=name, serial=self.book.bookmark(name))])
            case BookmarkSet(request=request, name=name, serial=serial):
                return _written(request, lambda: self.book.set_bookmark(name, serial))

    def counts(self) -> Counts:
        return self.keeping.counts(self.book.counts())

    def job(self, id: str) -> Job | None:
        living = self.keeping.jobs.living.get(id)
        if living is not None:
            return living
        kept = self.book.job(id)
        return Job(kept, self.book.sources(id)) if kept is not None else None

    def _jobs(self, asked: JobsQueried, now: Now) -> list[Reply]:
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

    def _snapshot(self, kept: KeptJob, now: Now) -> JobSnapshot:
        return snapshot(self.keeping.jobs.living.get(kept.id) or Job(kept), now.ms)

    def _details(self, job: Job, now: Now) -> list[JobDetail]:
        sources = [source_snapshot(source, job.rows.get(source.number)) for source in job.sources]
        return details(snapshot(job, now.ms), sources, self.book.notes(job.id))

    def _timeline(self, asked: TimelineQueried) -> list[Reply]:
        offset, limit = _page(asked.offset, asked.limit)
        events, total = self.book.timeline(asked.id, offset=offset, limit=limit)
        if not total and self.job(asked.id) is None:
            return [_unknown(asked.request)]
        return _answered(asked.request, events, total)

    def _of_job(self, asked: JobQueried | WhyQueried, rows: Callable[[Job], Iterable[Snapshot]]) -> list[Reply]:
        job = self.job(asked.id)
        return [_unknown(asked.request)] if job is None else _answered(asked.request, rows(job))


def _answered(request: int, rows: Iterable[Snapshot], total: int = -1) -> list[Reply]:
    return [*answers(request, rows, total=total)]


def _written(request: int, write: Callable[[], int | None]) -> list[Reply]:
    """No rows; the total is what was written, where it is counted."""
    try:
        total = write()
    except sqlite3.Error as error:
        detail = f"the job store cannot be written: {error}"
        return [Refused(request=request, kind="unavailable", field="", detail=detail)]
    return _answered(request, [], total or 0)


def _unknown(request: int) -> Refused:
    return Refused(request=request, kind="unknown", field="", detail="no such job")


def _page(offset: int, limit: int) -> tuple[int, int]:
    return max(0, min(offset, 1 << 62)), max(0, min(limit, ROWS_MAX))
