"""Orders: each is answered by the job as it is afterwards, or refused, and then nothing has changed."""

import re
from collections.abc import Callable
from typing import Final

from actors.core.jobs import lifecycle as states
from actors.core.jobs.attempts import Runs
from actors.core.jobs.index import Jobs
from actors.core.jobs.job import Job, new_source, snapshot
from actors.core.jobs.lifecycle import Removal
from actors.core.jobs.start_request import offer
from actors.core.jobs.transaction import Now, Transaction
from protocol.messages import (
    AddSources,
    CancelJob,
    CreateJob,
    DeleteJob,
    DropSource,
    LimitJob,
    PauseJob,
    ResumeJob,
    RetryJob,
    UpdateJob,
)
from protocol.messages.addresses import POOL
from protocol.messages.job_commands import UNCHANGED
from protocol.model import event_kinds
from protocol.model.filenames import safe_name
from protocol.model.job_records import DropJob, JobFiles, JobRecord, SaveJob, SaveSource
from protocol.model.job_views import CANCELLED, PAUSED, QUEUED, SEALED
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, HEX_DIGITS, MODES, TERM_CHARS_MAX
from protocol.model.source_url import check_url, public_url, same_url_key, slsk_url

Order = PauseJob | ResumeJob | CancelJob | RetryJob | DeleteJob | UpdateJob | AddSources | DropSource
DELETE_WAIT_S: Final = 10.0
"""So long a deletion waits for the last word of a run that was stopped a moment ago."""
DELETIONS_MAX: Final = 1000
STOPPING: Final = "it is still being stopped; try again in a moment"
TEXTS_MAX: Final = {
    "name": 4096,
    "folder": 4096,
    "term": TERM_CHARS_MAX,
    "origin": 32,
    "user": 256,
    "remote_path": 4096,
}
"""So many bytes each: whatever tells of a job fits a frame."""
_HEX: Final = re.compile("[0-9a-f]+")


class Orders:
    """Owned by one `JobManagerState`."""

    def __init__(
        self,
        jobs: Jobs,
        scribe: Transaction,
        runs: Runs,
        removal: Removal,
        *,
        last_serial: int,
        new_id: Callable[[], str],
    ) -> None:
        self._jobs = jobs
        self._scribe = scribe
        self._runs = runs
        self._last_serial = last_serial
        self._new_id = new_id
        self._removal = removal
        self._deletions: list[tuple[float, DeleteJob]] = []

    # -- a new job

    def place(self, order: CreateJob, now: Now, *, before: Job | None = None) -> None:
        """`before`: the job that was ordered with the same key."""
        if before is not None:
            self._again(order, before, now)
            return
        known = self._jobs.enqueued(order.user, order.remote_path) if order.origin == "slskd" else None
        if known is not None:
            self._answer(order, known, now)
            return
        urls = wanted_urls(order)
        field, detail = self._wrong(order, urls)
        if field:
            self._scribe.refuse(order.request, order.reply_to, "invalid", detail, field=field)
        elif len(self._jobs.living) >= self._runs.settings.jobs_max:
            detail = f"there are {len(self._jobs.living)} jobs already that have not ended"
            self._scribe.refuse(order.request, order.reply_to, "full", detail)
        else:
            self._answer(order, self._keep(order, urls, now), now)

    def _again(self, order: CreateJob, before: Job, now: Now) -> None:
        if before.kept.order_digest == order.digest:
            self._answer(order, before, now)
        else:
            detail = "another order came with this key before"
            self._scribe.refuse(order.request, order.reply_to, "conflict", detail, field="key")

    def _keep(self, order: CreateJob, urls: list[str], now: Now) -> Job:
        self._last_serial += 1
        id = self._new_id()
        kept = JobRecord(
            id=id,
            serial=self._last_serial,
            name=order.name,
            folder=order.folder,
            size_bytes=order.size_bytes,
            chunk_size=order.chunk_size,
            checksum=order.checksum.strip().lower(),
            mode=order.mode,
            limit_bytes_s=order.limit_bytes_s,
            priority=order.priority,
            term=order.term,
            search_s=order.search_s,
            origin=order.origin,
            user=order.user,
            remote_path=order.remote_path,
            widen=order.widen and order.size_bytes >= 0,
            private_ok=order.private_ok,
            created_ms=now.ms,
            queued_ms=now.ms,
            file_name=self._jobs.free_name(order.folder, safe_name(order.name, ""), id) if order.name else "",
            source_count=len(urls),
            order_key=order.key,
            order_digest=order.digest,
        )
        job = Job(kept, [new_source(id, number, url) for number, url in enumerate(urls)])
        self._jobs.settle(job)
        self._scribe.write(SaveJob(kept), *map(SaveSource, job.sources))
        size, name = kept.size_bytes, kept.file_name
        self._scribe.event(event_kinds.JOB_QUEUED, id, now, name=name, size=size, origin=kept.origin)
        return job

    def _wrong(self, order: CreateJob, urls: list[str]) -> tuple[str, str]:
        """The field that is wrong and why; empty when none is."""
        checks = (
            *((field, _too_long(getattr(order, field), most)) for field, most in TEXTS_MAX.items()),
            ("folder", "" if order.folder.startswith("/") else "not an absolute path"),
            ("name", "" if not order.name or order.name.strip("/\\. ") else "cannot be the name of a file"),
            ("size_bytes", "" if order.size_bytes >= -1 else "less than 0"),
            ("chunk_size", "" if CHUNK_SIZE_MIN <= order.chunk_size <= CHUNK_SIZE_MAX else _chunk_sizes()),
            ("checksum", wrong_checksum(order.checksum.strip().lower())),
            ("mode", "" if order.mode in MODES else f"none of {', '.join(MODES)}"),
            ("limit_bytes_s", "" if order.limit_bytes_s >= 0 else "less than 0"),
            ("sources", self._wrong_sources(urls, searched=bool(order.term))),
        )
        return next(((field, detail) for field, detail in checks if detail), ("", ""))

    def _wrong_sources(self, urls: list[str], *, searched: bool, held: int = 0) -> str:
        most = self._runs.settings.sources_max
        if held + len(urls) > most:
            return f"more than {most} of one job"
        if not urls and not searched:
            return "none, and nothing to search for"
        try:
            for url in urls:
                check_url(url)
        except ValueError as error:
            return str(error)
        return ""

    # -- orders about a job that is there

    def obey(self, order: Order, job: Job | None, now: Now) -> None:
        if job is None:
            self._scribe.refuse(order.request, order.reply_to, "unknown", "no such job")
            return
        match order:
            case PauseJob():
                self._change(order, job, states.PAUSE, now)
            case ResumeJob():
                self._change(order, job, states.RESUME, now)
            case RetryJob():
                self._change(order, job, states.RETRY, now)
            case CancelJob():
                self._cancel(order, job, now)
            case DeleteJob():
                self._delete(order, job, now)
            case UpdateJob():
                self._tune(order, job, now)
            case AddSources():
                self._feed(order, job, now)
            case DropSource():
                self._drop(order, job, now)

    def _allowed(self, order: Order, job: Job, what: str) -> bool:
        detail = states.refusal(what, job.kept.state)
        if detail:
            self._scribe.refuse(order.request, order.reply_to, "conflict", detail)
        return not detail

    def _change(self, order: Order, job: Job, what: str, now: Now) -> None:
        if not self._allowed(order, job, what):
            return
        self._into(job, states.ORDERS[what][job.kept.state], now)
        self._answer(order, job, now)

    def _into(self, job: Job, state: str, now: Now) -> None:
        """The state that was ordered holds at once; a run that is under way follows."""
        kept = job.kept
        job.kept = kept.but(state=state, reason="", removed=False)
        if state == QUEUED:
            name = kept.file_name
            job.kept = job.kept.but(
                queued_ms=now.ms,
                ended_ms=0,
                retries=0,
                retry_at_ms=0,
                waited_s=0.0,
                file_name=self._jobs.free_name(kept.folder, name, kept.id) if name else "",
            )
        elif state == CANCELLED:
            job.kept = job.kept.but(ended_ms=now.ms, reason="cancelled")
        self._jobs.settle(job)
        self._scribe.write(SaveJob(job.kept))
        kind = {QUEUED: event_kinds.JOB_RESUMED, PAUSED: event_kinds.JOB_PAUSED, CANCELLED: event_kinds.JOB_CANCELLED}[
            state
        ]
        self._scribe.event(kind, kept.id, now, storedBytes=kept.stored_bytes)
        if job.run is not None and state != QUEUED:
            self._runs.stop(job, now)

    def _cancel(self, order: CancelJob, job: Job, now: Now) -> None:
        ended = job.kept.state not in states.LIVING
        if not (ended and order.removed) and not self._allowed(order, job, states.CANCEL):
            return
        if not ended:
            self._into(job, CANCELLED, now)
        if order.removed:
            job.kept = job.kept.but(removed=True)
            self._scribe.write(SaveJob(job.kept))
        self._answer(order, job, now)

    def _delete(self, order: DeleteJob, job: Job, now: Now) -> None:
        if not self._allowed(order, job, states.DELETE):
            return
        if job.run is not None and len(self._deletions) < DELETIONS_MAX:
            self._deletions.append((now.s + DELETE_WAIT_S, order))
            return
        if job.run is not None:
            self._scribe.refuse(order.request, order.reply_to, "unavailable", STOPPING)
            return
        kept = job.kept
        self._answer(order, job, now)
        self._scribe.write(DropJob(kept.id))
        if kept.state != SEALED and kept.file_name and not self._jobs.name_taken(kept.folder, kept.file_name, kept.id):
            self._removal.remove(JobFiles(id=kept.id, folder=kept.folder, name=kept.file_name))
        self._scribe.event(event_kinds.JOB_DELETED, kept.id, now)

    def put_off(self, now: Now, ended: Job | None = None) -> None:
        """Deletions that waited for the end of a run: of this one, or for too long."""
        waiting, self._deletions = self._deletions, []
        gone = False
        for due_s, order in waiting:
            if ended is not None and order.id == ended.id:
                self.obey(order, None if gone else ended, now)
                gone = gone or not states.refusal(states.DELETE, ended.kept.state)
            elif now.s >= due_s:
                self._scribe.refuse(order.request, order.reply_to, "unavailable", STOPPING)
            else:
                self._deletions.append((due_s, order))

    def _tune(self, order: UpdateJob, job: Job, now: Now) -> None:
        if not self._allowed(order, job, states.TUNE):
            return
        if order.limit_bytes_s < UNCHANGED:
            self._scribe.refuse(order.request, order.reply_to, "invalid", "less than 0", field="limit_bytes_s")
            return
        kept = job.kept
        limit = kept.limit_bytes_s if order.limit_bytes_s == UNCHANGED else order.limit_bytes_s
        priority = kept.priority if order.priority == UNCHANGED else order.priority
        if (limit, priority) != (kept.limit_bytes_s, kept.priority):
            job.kept = kept.but(limit_bytes_s=limit, priority=priority)
            self._jobs.settle(job)
            self._scribe.write(SaveJob(job.kept))
            self._scribe.event(event_kinds.JOB_CHANGED, kept.id, now, limitBytesS=limit, priority=priority)
            if job.run is not None and limit != kept.limit_bytes_s:
                self._scribe.post(POOL, LimitJob(job=kept.number, limit_bytes_s=limit))
        self._answer(order, job, now)

    def _feed(self, order: AddSources, job: Job, now: Now) -> None:
        if not self._allowed(order, job, states.FEED):
            return
        held = {same_url_key(source.url) for source in job.sources}
        new = [url for url in order.urls if _key(url) not in held]
        detail = self._wrong_sources(new, searched=True, held=len(job.sources))
        if detail:
            self._scribe.refuse(order.request, order.reply_to, "invalid", detail, field="urls")
            return
        for url in _distinct(new):
            source = self._runs.add(job, url, now)
            if job.run is not None:
                self._scribe.post(POOL, offer(job, source))
        self._answer(order, job, now)

    def _drop(self, order: DropSource, job: Job, now: Now) -> None:
        if not self._allowed(order, job, states.FEED):
            return
        if not 0 <= order.source < len(job.sources):
            self._scribe.refuse(order.request, order.reply_to, "invalid", "no such source", field="source")
            return
        source = job.sources[order.source]
        left = "banned" if order.banned or source.left == "banned" else "dropped"
        if left != source.left:
            job.sources[order.source] = source.but(left=left)
            self._scribe.write(SaveSource(job.sources[order.source]))
            url, banned = public_url(source.url), left == "banned"
            self._scribe.event(event_kinds.SOURCE_DROPPED, job.id, now, source=order.source, url=url, banned=banned)
            if job.run is not None:
                self._runs.leave(job, order.source, banned=banned)
        self._answer(order, job, now)

    def _answer(self, order: Order | CreateJob, job: Job, now: Now) -> None:
        self._scribe.answer(order.request, order.reply_to, [snapshot(job, now.ms)])


def wanted_urls(order: CreateJob) -> list[str]:
    """Every source that was named, each once; where none is, the user it was enqueued from."""
    urls = list(order.sources)
    if not urls and not order.term and order.user and order.remote_path:
        urls = [slsk_url(order.user, order.remote_path)]
    return _distinct(urls)


def wrong_checksum(text: str) -> str:
    """Why this is no ``algorithm:hex``, empty when it is or when it is empty."""
    if not text:
        return ""
    algorithm, _, digest = text.partition(":")
    if algorithm not in HEX_DIGITS:
        return f"not ALGORITHM:HEX with one of {', '.join(HEX_DIGITS)}"
    if _HEX.fullmatch(digest) is None or len(digest) != HEX_DIGITS[algorithm]:
        return f"not {HEX_DIGITS[algorithm]} hexadecimal digits behind {algorithm}:"
    return ""


def _too_long(text: str, most: int) -> str:
    return f"longer than {most} bytes" if len(text.encode()) > most else ""


def _chunk_sizes() -> str:
    return f"not from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}"


def _key(url: str) -> tuple[str, ...]:
    try:
        return same_url_key(url)
    except ValueError:
        return (url,)  # refused a moment later


def _distinct(urls: list[str]) -> list[str]:
    return list({_key(url): url for url in reversed(urls)}.values())[::-1]
