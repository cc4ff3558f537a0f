"""What becomes of a job when its run has ended."""

from collections.abc import Iterable, Iterator
from typing import Final

from actors.core.jobs.index import Jobs
from actors.core.jobs.job import Job, active_s, size_of, stops_of
from actors.core.jobs.queue import retry_wait_s
from actors.core.jobs.transaction import Now, Transaction
from protocol.messages import JobEnded, RemovePartFile
from protocol.messages.addresses import ASSEMBLER, JOB_MANAGER
from protocol.model.event_kinds import JOB_FAILED, JOB_SEALED
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import DropFiles, JobFiles, JobRecord, SaveAttempt, SaveFiles, SaveTotals, Totals, Write
from protocol.model.job_views import ACTIVE, CANCELLED, FAILED, PAUSED, QUEUED, SEALED

# What deleted jobs leave on the disk, until the Assembler has said that it is gone.


class Removal:
    """Owned by one `Orders`."""

    def __init__(self, scribe: Transaction) -> None:
        self._scribe = scribe
        self._files: dict[str, JobFiles] = {}

    def begin(self, files: Iterable[JobFiles]) -> None:
        """Go on with what was not done before."""
        self._files = {each.id: each for each in files}
        self.ask()

    def remove(self, files: JobFiles) -> None:
        self._files[files.id] = files
        self._scribe.write(SaveFiles(files))
        self._ask(files)

    def ask(self) -> None:
        """Whoever was asked before may have died."""
        for files in self._files.values():
            self._ask(files)

    def removed(self, id: str) -> None:
        if self._files.pop(id, None) is not None:
            self._scribe.write(DropFiles(id))

    def _ask(self, files: JobFiles) -> None:
        unwanted = RemovePartFile(id=files.id, folder=files.folder, name=files.name, reply_to=JOB_MANAGER)
        self._scribe.post(ASSEMBLER, unwanted)


# What may be ordered of a job in which state, and what becomes of it. Everything else is refused and changes
# nothing.

PAUSE: Final = "pause"
RESUME: Final = "resume"
CANCEL: Final = "cancel"
RETRY: Final = "retry"
DELETE: Final = "delete"
TUNE: Final = "tune"
FEED: Final = "give sources to"

GONE: Final = "gone"

ORDERS: Final[dict[str, dict[str, str]]] = {
    PAUSE: {QUEUED: PAUSED, ACTIVE: PAUSED},
    RESUME: {PAUSED: QUEUED},
    CANCEL: {QUEUED: CANCELLED, ACTIVE: CANCELLED, PAUSED: CANCELLED},
    RETRY: {FAILED: QUEUED, CANCELLED: QUEUED},
    DELETE: {SEALED: GONE, FAILED: GONE, CANCELLED: GONE},
    TUNE: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
    FEED: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
}
"""Order, state before, state after."""

LIVING: Final = (QUEUED, ACTIVE, PAUSED)
RETRIED: Final = ("starved", "disk", "failed")
"""How a run may end so that another one may do better by itself. What disagrees will go on to."""


def refusal(order: str, state: str) -> str:
    """Why this cannot be done, for people; empty when it can."""
    if state in ORDERS[order]:
        return ""
    if state in LIVING:
        return f"cannot {order} a job that is {state}"
    return f"cannot {order} a job that has ended: it is {state}"


def state_after_run(state: str, outcome: str, *, again: bool) -> str:
    """`outcome` as in `JobEnded`; `again`: it may be tried again by itself. A file that stands is sealed whatever was
    ordered meanwhile; else what was ordered holds."""
    if outcome == "sealed":
        return SEALED
    if state != ACTIVE:
        return state
    if outcome == "interrupted" or (again and outcome in RETRIED):
        return QUEUED
    return FAILED


REASON_CHARS_MAX: Final = 2000


class Endings:
    """Owned by one `Runs`. `totals` are of all runs that ever ended. `unwanted`: what is to be removed once the run of
    this number does not write any more."""

    def __init__(self, jobs: Jobs, scribe: Transaction, settings: JobPolicy, removal: Removal) -> None:
        self._jobs = jobs
        self._scribe = scribe
        self.settings = settings
        self._removal = removal
        self.totals = Totals()
        self.unwanted: dict[int, JobFiles] = {}
        self._totals_changed = False

    def ended(self, job: Job, message: JobEnded, now: Now) -> None:
        kept, run = job.kept, job.run
        assert run is not None
        again = kept.retries < self.settings.retries_max
        state = state_after_run(kept.state, message.state, again=again)
        retried = state == QUEUED and kept.state == ACTIVE and message.state in RETRIED
        wait_s = retry_wait_s(self.settings, kept.retries) if retried else 0.0
        self._count(message, retried=retried)
        run.kept = run.kept.but(
            ended_ms=now.ms,
            outcome=message.state,
            reason=message.reason[:REASON_CHARS_MAX],
            received_bytes=message.bytes_received,
            refetched_bytes=message.bytes_refetched,
        )
        found = message.size_bytes if message.size_bytes >= 0 else kept.found_bytes
        job.kept = kept.but(
            state=state,
            number=0,
            outcome=kept.outcome if kept.state == FAILED == state else message.state,
            reason=_reason(kept, message, state, wait_s),
            ended_ms=now.ms if state in (SEALED, FAILED) else kept.ended_ms,
            active_s=active_s(job, now.ms),
            retries=kept.retries + 1 if retried else kept.retries,
            retry_at_ms=now.ms + int(1000 * wait_s) if retried else 0,
            queued_ms=now.ms if retried else kept.queued_ms,
            path=message.path if state == SEALED else message.path or kept.path,
            found_bytes=found,
            stored_bytes=message.size_bytes if state == SEALED else kept.stored_bytes,
            received_bytes=kept.received_bytes + message.bytes_received,
            refetched_bytes=kept.refetched_bytes + message.bytes_refetched,
            digest_hex=message.digest_hex,
            stops=stops_of(job),
        )
        self._jobs.running.pop(run.kept.number, None)
        job.run = None
        job.rows.clear()
        job.changed = True
        self._scribe.write(SaveAttempt(run.kept), *job.unwritten(), *self.unwritten())
        self._jobs.settle(job)
        unwanted = self.unwanted.pop(run.kept.number, None)
        if unwanted is not None:
            self._removal.remove(unwanted)
        self._tell(job, now)

    def lost(self, job: Job, now: Now) -> None:
        """Its run died with the whole daemon; nobody will ever say how it ended."""
        run = job.run
        assert run is not None
        run.kept = run.kept.but(ended_ms=now.ms, outcome="lost", reason="the daemon ended")
        job.kept = job.kept.but(number=0, stops=stops_of(job))
        self._jobs.running.pop(run.kept.number, None)
        job.run = None
        job.changed = True
        self._scribe.write(SaveAttempt(run.kept), *job.unwritten(), *self.unwritten())
        self._jobs.settle(job)

    def count(self, *, chunks: int, stops: int, trims: int) -> None:
        """Sources did more; what they lost again with a failing disk they had done all the same."""
        if chunks > 0 or stops > 0 or trims > 0:
            self._totals_changed = True
            self.totals = self.totals.but(
                chunks=self.totals.chunks + max(chunks, 0),
                stops=self.totals.stops + max(stops, 0),
                trims=self.totals.trims + max(trims, 0),
            )

    def unwritten(self) -> Iterator[Write]:
        """The totals, where they changed since they were written down."""
        if self._totals_changed:
            self._totals_changed = False
            yield SaveTotals(self.totals)

    def _count(self, message: JobEnded, *, retried: bool) -> None:
        totals = self.totals
        self.totals = totals.but(
            received_bytes=totals.received_bytes + message.bytes_received,
            refetched_bytes=totals.refetched_bytes + message.bytes_refetched,
            stored_bytes=totals.stored_bytes + message.bytes_received - message.bytes_refetched,
            retries=totals.retries + retried,
        )

    def _tell(self, job: Job, now: Now) -> None:
        kept = job.kept
        if kept.state == SEALED:
            self._scribe.event(
                JOB_SEALED,
                kept.id,
                now,
                path=kept.path,
                sizeBytes=size_of(kept),
                digest=kept.digest_hex,
                seconds=round(kept.active_s, 3),
                sources=sum(source.chunks > 0 for source in job.sources),
            )
        elif kept.state == FAILED:
            self._scribe.event(
                JOB_FAILED, kept.id, now, outcome=kept.outcome, reason=kept.reason, storedBytes=kept.stored_bytes
            )


def _reason(before: JobRecord, message: JobEnded, state: str, wait_s: float) -> str:
    if state == SEALED:
        return ""
    reason = message.reason[:REASON_CHARS_MAX]
    if message.state == "interrupted":
        return before.reason if state != FAILED or before.state == FAILED else reason
    return f"{reason}; tried again in {wait_s:.0f} s" if wait_s else reason
