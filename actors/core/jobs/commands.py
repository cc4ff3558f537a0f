"""Commands about jobs: each is answered by the job as it is afterwards, or refused without a change."""

import re
from collections.abc import Callable
from typing import Final

from actors.core.jobs import lifecycle
from actors.core.jobs.attempts import Attempts, offer
from actors.core.jobs.job import SLSKD, Job, JobIndex, ended_ms, new_source, snapshot, source_snapshot
from actors.core.jobs.lifecycle import PartFileRemoval
from actors.core.jobs.transaction import Now, TransactionBuilder
from protocol.messages import (
    AddSources,
    CancelJob,
    CreateJob,
    DeleteJob,
    DropSource,
    LimitJob,
    PauseJob,
    PreferSource,
    ResumeJob,
    RetryJob,
    UpdateJob,
)
from protocol.messages.addresses import POOL
from protocol.messages.job_commands import UNCHANGED
from protocol.model import event_kinds
from protocol.model.filenames import safe_name
from protocol.model.identity import Claim
from protocol.model.job_records import (
    CANCELLED,
    FAILED,
    PAUSED,
    QUEUED,
    SEALED,
    DropJob,
    JobFiles,
    JobRecord,
    SaveJob,
    SaveSource,
    SourceRecord,
)
from protocol.model.job_views import details
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, HEX_DIGITS, MODES, TERM_CHARS_MAX
from protocol.model.source_url import check_url, public_url, same_url_key, slsk_url

JobCommand = (
    PauseJob | ResumeJob | CancelJob | RetryJob | DeleteJob | UpdateJob | AddSources | DropSource | PreferSource
)
_NAMES: Final[dict[type, str]] = {
    PauseJob: lifecycle.PAUSE,
    ResumeJob: lifecycle.RESUME,
    CancelJob: lifecycle.CANCEL,
    RetryJob: lifecycle.RETRY,
    DeleteJob: lifecycle.DELETE,
    UpdateJob: lifecycle.UPDATE,
    AddSources: lifecycle.ADD_SOURCES,
    DropSource: lifecycle.ADD_SOURCES,
    PreferSource: lifecycle.ADD_SOURCES,
}
_EVENTS: Final = {
    QUEUED: event_kinds.JOB_RESUMED,
    PAUSED: event_kinds.JOB_PAUSED,
    CANCELLED: event_kinds.JOB_CANCELLED,
}
DELETE_WAIT_S: Final = 10.0
"""Time that a deletion waits for the end of an attempt that was stopped a moment ago."""
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
"""Bytes of each text: every message about a job fits a frame."""
_HEX: Final = re.compile("[0-9a-f]+")


class Commands:
    """Owned by one `JobManagerState`. `new_id` returns a public id that no job has."""

    def __init__(
        self,
        jobs: JobIndex,
        transaction: TransactionBuilder,
        attempts: Attempts,
        removal: PartFileRemoval,
        *,
        last_serial: int,
        new_id: Callable[[], str],
    ) -> None:
        self._jobs = jobs
        self._transaction = transaction
        self._attempts = attempts
        self._last_serial = last_serial
        self._new_id = new_id
        self._removal = removal
        self._deletions: list[tuple[float, DeleteJob]] = []

    # -- a new job

    def create(self, command: CreateJob, now: Now, *, before: Job | None = None) -> None:
        """Create a job, or answer with the one that is meant: `before` was created with the same key."""
        spec = command.spec
        checksum, widen = spec.checksum.strip().lower(), spec.widen and spec.size_bytes >= 0
        command = command.but(spec=spec.but(checksum=checksum, widen=widen))
        if before is not None:
            self._repeated(command, before, now)
            return
        known = self._jobs.enqueued(spec.user, spec.remote_path) if spec.origin == SLSKD else None
        if known is not None:
            self._answer_created(command, known, now)
            return
        urls = wanted_urls(command)
        field, detail = self._invalid_field(command, urls)
        if field:
            self._refuse(command, "invalid", detail, field=field)
        elif len(self._jobs.living) >= self._attempts.policy.jobs_max:
            detail = f"there are {len(self._jobs.living)} jobs already that have not ended"
            self._refuse(command, "full", detail)
        else:
            self._answer_created(command, self._new_job(command, urls, now), now)

    def _repeated(self, command: CreateJob, before: Job, now: Now) -> None:
        if before.record.order_digest == command.digest:
            self._answer_created(command, before, now)
        else:
            self._refuse(command, "conflict", "another order came with this key before", field="key")

    def _new_job(self, command: CreateJob, urls: list[str], now: Now) -> Job:
        self._last_serial += 1
        id = self._new_id()
        spec = command.spec
        record = JobRecord(
            id=id,
            serial=self._last_serial,
            spec=spec,
            created_ms=now.ms,
            queued_ms=now.ms,
            file_name=self._jobs.free_name(spec.folder, safe_name(spec.name, ""), id) if spec.name else "",
            source_count=len(urls),
            order_key=command.key,
            order_digest=command.digest,
        )
        job = Job(record, [new_source(id, number, url) for number, url in enumerate(urls)])
        self._jobs.update(job)
        self._transaction.write(SaveJob(record), *map(SaveSource, job.sources))
        size, name = record.spec.size_bytes, record.file_name
        self._transaction.event(event_kinds.JOB_QUEUED, id, now, name=name, size=size, origin=record.spec.origin)
        return job

    def _invalid_field(self, command: CreateJob, urls: list[str]) -> tuple[str, str]:
        """Return the name of an invalid field and why it is; both empty when there is none."""
        spec = command.spec
        checks = (
            *((field, _too_long(getattr(spec, field), most)) for field, most in TEXTS_MAX.items()),
            ("folder", "" if spec.folder.startswith("/") else "not an absolute path"),
            ("name", "" if not spec.name or spec.name.strip("/\\. ") else "cannot be the name of a file"),
            ("size_bytes", "" if spec.size_bytes >= -1 else "less than 0"),
            ("chunk_size", "" if _is_chunk_size(spec.chunk_size) else _chunk_sizes()),
            ("checksum", invalid_checksum(spec.checksum)),
            ("mode", "" if spec.mode in MODES else f"none of {', '.join(MODES)}"),
            ("limit_bytes_s", "" if spec.limit_bytes_s >= 0 else "less than 0"),
            ("sources", self._invalid_sources(urls, searched=bool(spec.term))),
        )
        return next(((field, detail) for field, detail in checks if detail), ("", ""))

    def _invalid_sources(self, urls: list[str], *, searched: bool, held: int = 0) -> str:
        most = self._attempts.policy.sources_max
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

    # -- commands about a job that is there

    def execute(self, command: JobCommand, job: Job | None, now: Now) -> None:
        if job is None:
            self._refuse(command, "unknown", "no such job")
            return
        name = _NAMES[type(command)]
        if isinstance(command, RetryJob) and command.other_group:
            self._take_other_group(command, job, now)
            return
        hidden = isinstance(command, CancelJob) and command.removed and job.record.state not in lifecycle.LIVING
        refusal = lifecycle.refusal(name, job.record.state)
        if refusal and not hidden:
            self._refuse(command, "conflict", refusal)
            return
        match command:
            case PauseJob() | ResumeJob() | RetryJob():
                self._enter(job, lifecycle.TRANSITIONS[name][job.record.state], now)
                self._answer(command, job, now)
            case CancelJob():
                self._cancel(command, job, now)
            case DeleteJob():
                self._delete(command, job, now)
            case UpdateJob():
                self._update(command, job, now)
            case AddSources():
                self._add_sources(command, job, now)
            case DropSource() | PreferSource() if not 0 <= command.source < len(job.sources):
                self._refuse(command, "invalid", "no such source", field="source")
            case DropSource():
                self._drop_source(command, job, now)
            case PreferSource():
                self._prefer_source(command, job, now)

    def _enter(self, job: Job, state: str, now: Now) -> None:
        """Let the commanded state hold at once; an attempt under way follows."""
        record = job.record
        job.record = record.but(state=state, reason="", removed=False)
        if state == QUEUED:
            name = record.file_name
            job.record = job.record.but(
                queued_ms=now.ms,
                ended_ms=0,
                retries=0,
                retry_at_ms=0,
                waited_s=0.0,
                timed_from_s=record.active_s + record.between_s
                if record.state in (FAILED, CANCELLED)
                else record.timed_from_s,
                file_name=self._jobs.free_name(record.spec.folder, name, record.id) if name else "",
            )
        elif state == CANCELLED:
            job.record = job.record.but(ended_ms=ended_ms(job.record, now), reason="cancelled")
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))
        self._transaction.event(_EVENTS[state], record.id, now, storedBytes=record.stored_bytes)
        if job.attempt is not None and state != QUEUED:
            self._attempts.stop(job, now)

    def _take_other_group(self, command: RetryJob, job: Job, now: Now) -> None:
        """Fetch the file of the sources that lost a dispute, beside the one that may be there; the others are left out.

        What a digest or the user that an order names has decided stays decided.
        """
        record = job.record
        others = {number for number, each in enumerate(job.sources) if public_url(each.url) in record.claim.excluded}
        proven = record.spec.checksum or record.spec.pieces.algorithm
        if record.state in lifecycle.LIVING or job.attempt is not None:
            self._refuse(command, "conflict", f"cannot take another group while the job is {record.state}")
        elif record.spec.user:
            self._refuse(command, "conflict", f"the order is for the file of {record.spec.user}, and no other")
        elif proven:
            self._refuse(command, "conflict", "the order has digests, which say what the file is")
        elif not others:
            self._refuse(command, "conflict", "no source of this job was left out because of other content")
        else:
            for number, source in enumerate(job.sources):
                left = source.left or "dropped" if number not in others else ""
                job.sources[number] = source.but(left=left, standing="candidate", reason="")
                self._transaction.write(SaveSource(job.sources[number]))
            if record.state == SEALED:
                self._attempts.note(job, f"the other group is fetched now; the file before is {record.path}", now)
            spec = record.spec.but(term="", widen=False, existing="rename")
            job.record = record.but(spec=spec, stored_bytes=0, path="", digest_hex="", outcome="", claim=Claim())
            self._enter(job, QUEUED, now)
            self._answer(command, job, now)

    def _cancel(self, command: CancelJob, job: Job, now: Now) -> None:
        if job.record.state in lifecycle.LIVING:
            self._enter(job, CANCELLED, now)
        if command.removed:
            job.record = job.record.but(removed=True)
            self._transaction.write(SaveJob(job.record))
        self._answer(command, job, now)

    def _delete(self, command: DeleteJob, job: Job, now: Now) -> None:
        if job.attempt is not None:
            if len(self._deletions) < DELETIONS_MAX:
                self._deletions.append((now.s + DELETE_WAIT_S, command))
            else:
                self._refuse(command, "unavailable", STOPPING)
            return
        id, folder, name = job.id, job.record.spec.folder, job.record.file_name
        self._answer(command, job, now)
        self._transaction.write(DropJob(id))
        if job.record.state != SEALED and name and not self._jobs.name_taken(folder, name, id):
            self._removal.remove(JobFiles(id=id, folder=folder, name=name))
        self._transaction.event(event_kinds.JOB_DELETED, id, now)

    def finish_deletions(self, now: Now, ended: Job | None = None) -> None:
        """Carry out deletions that waited for the attempt at `ended`; refuse those that waited for too long."""
        waiting, self._deletions = self._deletions, []
        gone = False
        for due_s, command in waiting:
            if ended is not None and command.id == ended.id:
                self.execute(command, None if gone else ended, now)
                gone = gone or not lifecycle.refusal(lifecycle.DELETE, ended.record.state)
            elif now.s >= due_s:
                self._refuse(command, "unavailable", STOPPING)
            else:
                self._deletions.append((due_s, command))

    def _update(self, command: UpdateJob, job: Job, now: Now) -> None:
        if command.limit_bytes_s < UNCHANGED:
            self._refuse(command, "invalid", "less than 0", field="limit_bytes_s")
            return
        record = job.record
        limit = record.spec.limit_bytes_s if command.limit_bytes_s == UNCHANGED else command.limit_bytes_s
        priority = record.spec.priority if command.priority == UNCHANGED else command.priority
        if (limit, priority) != (record.spec.limit_bytes_s, record.spec.priority):
            job.record = record.but(spec=record.spec.but(limit_bytes_s=limit, priority=priority))
            self._jobs.update(job)
            self._transaction.write(SaveJob(job.record))
            self._transaction.event(event_kinds.JOB_CHANGED, record.id, now, limitBytesS=limit, priority=priority)
            if job.attempt is not None and limit != record.spec.limit_bytes_s:
                self._transaction.post(POOL, LimitJob(job=record.number, limit_bytes_s=limit))
        self._answer(command, job, now)

    def _add_sources(self, command: AddSources, job: Job, now: Now) -> None:
        held = {same_url_key(source.url) for source in job.sources}
        new = _distinct([url for url in command.urls if _key(url) not in held])
        detail = self._invalid_sources(new, searched=True, held=len(job.sources))
        if detail:
            self._refuse(command, "invalid", detail, field="urls")
            return
        for dropped in [job.known(url) for url in command.urls if _key(url) in held]:
            if dropped is not None:
                self._restore_source(job, dropped, now)
        for url in new:
            source = self._attempts.add_source(job, url, now)
            if job.attempt is not None:
                self._transaction.post(POOL, offer(job, source))
        self._answer(command, job, now)

    def _drop_source(self, command: DropSource, job: Job, now: Now) -> None:
        source = job.sources[command.source]
        if command.restored:
            self._restore_source(job, source, now)
            self._answer(command, job, now)
            return
        disabled = "banned" if command.banned or source.left == "banned" else "dropped"
        if disabled != source.left:
            job.sources[command.source] = source.but(left=disabled)
            self._transaction.write(SaveSource(job.sources[command.source]))
            url, banned = public_url(source.url), disabled == "banned"
            self._transaction.event(
                event_kinds.SOURCE_DROPPED, job.id, now, source=command.source, url=url, banned=banned
            )
            if job.attempt is not None:
                self._attempts.disable_source(job, command.source, banned=banned)
        self._answer(command, job, now)

    def _restore_source(self, job: Job, source: SourceRecord, now: Now) -> None:
        """Use a source again that was dropped or banned by a command; nothing where it was not."""
        if not source.left:
            return
        job.sources[source.number] = source.but(left="", standing="candidate", reason="")
        self._transaction.write(SaveSource(job.sources[source.number]))
        self._transaction.event(event_kinds.SOURCE_ADDED, job.id, now, source=source.number, url=public_url(source.url))
        if job.attempt is not None:
            self._attempts.restore_source(job, source.number)

    def _prefer_source(self, command: PreferSource, job: Job, now: Now) -> None:
        source, preferred = job.sources[command.source], command.preferred
        if preferred != source.preferred:
            job.sources[command.source] = source.but(preferred=preferred)
            self._transaction.write(SaveSource(job.sources[command.source]))
            url = public_url(source.url)
            self._transaction.event(
                event_kinds.SOURCE_PREFERRED, job.id, now, source=command.source, url=url, preferred=preferred
            )
            if job.attempt is not None:
                self._attempts.prefer_source(job, job.hub_number_of(command.source), preferred=preferred)
        self._answer(command, job, now)

    def _refuse(self, command: JobCommand | CreateJob, kind: str, detail: str, *, field: str = "") -> None:
        self._transaction.refuse(command.request, command.reply_to, kind, detail, field=field)

    def _answer(self, command: JobCommand, job: Job, now: Now) -> None:
        self._transaction.answer(command.request, command.reply_to, [snapshot(job, now)])

    def _answer_created(self, command: CreateJob, job: Job, now: Now) -> None:
        """Answer with the whole job, so that its sender need not ask for it."""
        sources = [source_snapshot(source, job.progress.get(source.number)) for source in job.sources]
        self._transaction.answer(command.request, command.reply_to, details(snapshot(job, now), sources, ()))


def wanted_urls(command: CreateJob) -> list[str]:
    """Return every source that was named, each once; where none was, the user it was enqueued from."""
    urls = list(command.sources)
    spec = command.spec
    if not urls and not spec.term and spec.user and spec.remote_path:
        urls = [slsk_url(spec.user, spec.remote_path)]
    return _distinct(urls)


def invalid_checksum(text: str) -> str:
    """Return why this is no ``algorithm:hex``; empty when it is one, or empty."""
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


def _is_chunk_size(size: int) -> bool:
    return size == 0 or CHUNK_SIZE_MIN <= size <= CHUNK_SIZE_MAX


def _chunk_sizes() -> str:
    return f"not from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}"


def _key(url: str) -> tuple[str, ...]:
    try:
        return same_url_key(url)
    except ValueError:
        return (url,)  # refused a moment later


def _distinct(urls: list[str]) -> list[str]:
    found: dict[tuple[str, ...], str] = {}
    for url in urls:
        found.setdefault(_key(url), url)
    return list(found.values())
