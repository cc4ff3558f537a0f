"""Life cycle of a job: transitions that commands may make, states after an attempt, removal of a deleted job's part."""

from collections.abc import Iterable, Iterator
from typing import Final

from actors.core.jobs.job import (
    TRIED_AGAIN,
    Job,
    JobIndex,
    active_s,
    ended_ms,
    retry_wait_s,
    size_of,
    stops_of,
    taken_s,
)
from actors.core.jobs.transaction import Now, TransactionBuilder
from protocol.messages import JobEnded, RemovePartFile
from protocol.messages.addresses import ASSEMBLER, JOB_MANAGER
from protocol.model.event_kinds import JOB_FAILED, JOB_SEALED
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import (
    ACTIVE,
    CANCELLED,
    FAILED,
    PAUSED,
    QUEUED,
    SEALED,
    AttemptRecord,
    DropFiles,
    JobFiles,
    JobRecord,
    SaveAttempt,
    SaveFiles,
    SaveJob,
    SaveTotals,
    Totals,
    Write,
)

PAUSE: Final = "pause"
RESUME: Final = "resume"
CANCEL: Final = "cancel"
RETRY: Final = "retry"
DELETE: Final = "delete"
UPDATE: Final = "tune"
ADD_SOURCES: Final = "give sources to"
GONE: Final = "gone"

TRANSITIONS: Final[dict[str, dict[str, str]]] = {
    PAUSE: {QUEUED: PAUSED, ACTIVE: PAUSED},
    RESUME: {PAUSED: QUEUED},
    CANCEL: {QUEUED: CANCELLED, ACTIVE: CANCELLED, PAUSED: CANCELLED},
    RETRY: {FAILED: QUEUED, CANCELLED: QUEUED},
    DELETE: {SEALED: GONE, FAILED: GONE, CANCELLED: GONE},
    UPDATE: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
    ADD_SOURCES: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
}
"""Command, state before, state after. Everything else is refused and changes nothing."""
LIVING: Final = (QUEUED, ACTIVE, PAUSED)
RETRIED: Final = ("starved", "disk", "failed")
"""Outcomes after which another attempt may do better by itself. What disagrees will go on to."""
REASON_CHARS_MAX: Final = 2000


def refusal(command: str, state: str) -> str:
    """Return why this cannot be done, for the user; empty when it can."""
    if state in TRANSITIONS[command]:
        return ""
    if state in LIVING:
        return f"cannot {command} a job that is {state}"
    return f"cannot {command} a job that has ended: it is {state}"


def state_after_attempt(state: str, outcome: str, *, again: bool) -> str:
    """Return the state of a job whose attempt ended with `outcome`, as in `JobEnded`.

    `again`: it may be tried again by itself. A file that stands is sealed whatever was commanded meanwhile; else what
    was commanded holds.
    """
    if outcome == "sealed":
        return SEALED
    if state != ACTIVE:
        return state
    if outcome == "interrupted" or (again and outcome in RETRIED):
        return QUEUED
    return FAILED


class PartFileRemoval:
    """Part files of deleted jobs that the Assembler has not yet reported as removed. Owned by one `JobManagerState`."""

    def __init__(self, transaction: TransactionBuilder) -> None:
        self._transaction = transaction
        self._files: dict[str, JobFiles] = {}

    def begin(self, files: Iterable[JobFiles]) -> None:
        """Go on with what was not done before."""
        self._files = {each.id: each for each in files}
        self.request_all()

    def remove(self, files: JobFiles) -> None:
        self._files[files.id] = files
        self._transaction.write(SaveFiles(files))
        self._request(files)

    def request_all(self) -> None:
        """Request every removal again: the Assembler that had the requests may have died."""
        for files in self._files.values():
            self._request(files)

    def removed(self, id: str) -> None:
        if self._files.pop(id, None) is not None:
            self._transaction.write(DropFiles(id))

    def _request(self, files: JobFiles) -> None:
        remove = RemovePartFile(id=files.id, folder=files.folder, name=files.name, reply_to=JOB_MANAGER)
        self._transaction.post(ASSEMBLER, remove)


class Lifecycle:
    """Ends of attempts, and the totals of all that ever ended. Owned by one `Attempts`.

    `unwanted`: part files to be removed once the attempt of this number does not write any more.
    """

    def __init__(
        self, jobs: JobIndex, transaction: TransactionBuilder, policy: JobPolicy, removal: PartFileRemoval
    ) -> None:
        self._jobs = jobs
        self._transaction = transaction
        self.policy = policy
        self._removal = removal
        self.totals = Totals()
        self.unwanted: dict[int, JobFiles] = {}
        self._totals_changed = False

    def ended(self, job: Job, message: JobEnded, now: Now) -> None:
        before, attempt = job.record, job.attempt
        assert attempt is not None
        until_s = taken_s(job, now) + retry_wait_s(self.policy, before.retries)
        late = 0 < before.spec.max_time_s <= until_s  # its next attempt would begin when its time is up
        again = before.retries < self.policy.retries_max and not late
        state = state_after_attempt(before.state, message.state, again=again)
        retried = state == QUEUED and before.state == ACTIVE and message.state in RETRIED
        wait_s = retry_wait_s(self.policy, before.retries) if retried else 0.0
        self._add_totals(message, retried=retried)
        ended = attempt.record.but(
            ended_ms=now.ms,
            outcome=message.state,
            reason=message.reason[:REASON_CHARS_MAX],
            received_bytes=message.bytes_received,
            refetched_bytes=message.bytes_refetched,
        )
        job.record = before.but(
            state=state,
            number=0,
            outcome=before.outcome if before.state == FAILED == state else message.state,
            reason=_reason(before, message, state, wait_s),
            ended_ms=ended_ms(before, now) if state in (SEALED, FAILED) else before.ended_ms,
            active_s=active_s(job, now),
            retries=before.retries + 1 if retried else before.retries,
            retry_at_ms=now.ms + int(1000 * wait_s) if retried else 0,
            queued_ms=now.ms if retried else before.queued_ms,
            path=message.path if state == SEALED else message.path or before.path,
            found_bytes=message.size_bytes if message.size_bytes >= 0 else before.found_bytes,
            stored_bytes=message.size_bytes if state == SEALED else before.stored_bytes,
            received_bytes=before.received_bytes + message.bytes_received,
            refetched_bytes=before.refetched_bytes + message.bytes_refetched,
            digest_hex=message.digest_hex,
            claim=message.claim if state == SEALED or message.claim.contributors else before.claim,
            stops=stops_of(job),
        )
        self._end_attempt(job, ended)
        unwanted = self.unwanted.pop(ended.number, None)
        if unwanted is not None:
            self._removal.remove(unwanted)
        self._publish_end(job, now)

    def fail_queued(self, job: Job, outcome: str, reason: str, now: Now) -> None:
        """Fail a job that has no attempt."""
        ended = ended_ms(job.record, now)
        job.record = job.record.but(state=FAILED, outcome=outcome, reason=reason, ended_ms=ended, retry_at_ms=0)
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))
        self._publish_end(job, now)

    def lost(self, job: Job, now: Now) -> None:
        """Its attempt died with the whole daemon; no report of its end will come."""
        assert job.attempt is not None
        job.record = job.record.but(number=0, stops=stops_of(job))
        ended = job.attempt.record.but(ended_ms=now.ms, outcome="lost", reason="the daemon ended")
        self._end_attempt(job, ended)

    def _end_attempt(self, job: Job, ended: AttemptRecord) -> None:
        self._jobs.attempt_ended(job, ended.number)
        job.changed = True
        self._transaction.write(SaveAttempt(ended), *job.unwritten(), *self.unwritten())
        self._jobs.update(job)

    def count(self, *, chunks: int, stops: int, trims: int) -> None:
        """Add what sources did; what they lose again with a failing disk they have done all the same."""
        before = self.totals
        self.totals = before.but(
            chunks=before.chunks + max(chunks, 0),
            stops=before.stops + max(stops, 0),
            trims=before.trims + max(trims, 0),
        )
        self._totals_changed = self._totals_changed or self.totals != before

    def unwritten(self) -> Iterator[Write]:
        """Yield the totals where they changed since they were written."""
        if self._totals_changed:
            self._totals_changed = False
            yield SaveTotals(self.totals)

    def _add_totals(self, message: JobEnded, *, retried: bool) -> None:
        totals, self._totals_changed = self.totals, True
        self.totals = totals.but(
            received_bytes=totals.received_bytes + message.bytes_received,
            refetched_bytes=totals.refetched_bytes + message.bytes_refetched,
            stored_bytes=totals.stored_bytes + message.bytes_received - message.bytes_refetched,
            retries=totals.retries + retried,
        )

    def _publish_end(self, job: Job, now: Now) -> None:
        record = job.record
        if record.state == SEALED:
            self._transaction.event(
                JOB_SEALED,
                record.id,
                now,
                path=record.path,
                sizeBytes=size_of(record),
                digest=record.digest_hex,
                seconds=round(record.active_s, 3),
                sources=sum(source.chunks > 0 for source in job.sources),
                identity=record.claim.summary(),
            )
        elif record.state == FAILED:
            self._transaction.event(
                JOB_FAILED,
                record.id,
                now,
                outcome=record.outcome,
                reason=record.reason,
                storedBytes=record.stored_bytes,
                identity=record.claim.summary(),
            )


def _reason(before: JobRecord, message: JobEnded, state: str, wait_s: float) -> str:
    if state == SEALED:
        return ""
    reason = message.reason[:REASON_CHARS_MAX]
    if message.state == "interrupted":
        return before.reason if state != FAILED or before.state == FAILED else reason
    return f"{reason}{TRIED_AGAIN}{wait_s:.0f} s" if wait_s else reason
