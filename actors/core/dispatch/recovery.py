"""Recovery of a job from a store process that died, a disk that failed, sources that failed or changed their file."""

from typing import Final

from actors.core.dispatch import admission
from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker
from actors.core.dispatch.leases import LEASE_S_MAX, Leases
from actors.core.dispatch.progress import Phase, Reporter
from actors.core.dispatch.sources import Source, SourceState
from actors.core.outbox import Outbox
from protocol.messages import (
    ChunksStored,
    ClosePartFile,
    DiskFailed,
    OpenPartFile,
    PartFileRefused,
    PartFileReopened,
    StartJob,
)
from protocol.messages.addresses import ASSEMBLER, Post, shelf_address, split_address
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import PartFileFaultKind

STORE_PROCESS: Final = split_address(ASSEMBLER)[0]
HANDED_AGAIN_S: Final = 3.0
"""Slots handed to the dead store may take this long to be stored by the new one; then they are fetched again."""
LEASES_PER_ATTEMPT: Final = 1_000_000
"""Leases of another hub have other numbers: a late message about a dead hub's must not be taken for one of ours."""
ASK_S_MIN: Final = 1.0
ASK_S_MAX: Final = 10.0
"""First wait for a failed disk, and what it grows to (twofold each time) while the disk works only to fail again."""
ANSWER_S_MAX: Final = 600.0
"""An answer is awaited this long: a large part file is hashed before it comes."""
PAUSE_S_MIN: Final = 60.0
PAUSE_S_MAX: Final = 3600.0
"""Failed sources are left alone this long: twice as long each time that nothing was stored since, up to an hour."""
FINAL_WAITS_MAX: Final = 3
"""Waits in a row, without a byte, for sources that have delivered and answer now that they have no such file."""
RENEWALS_MAX: Final = 2
"""Most restarts of a job with another version of its file: one that changes all the time is not waited for."""
_LASTING: Final = (
    PartFileFaultKind.BUSY,
    PartFileFaultKind.OTHER_JOB,
    PartFileFaultKind.BAD_NAME,
    PartFileFaultKind.OUTSIDE,
)


class StoreRecovery:
    """Reopening of the part file after a store process died. Owned by one `DispatchState`.

    `under_way`: the part file was requested again and is not open yet; no source is blamed for silence meanwhile.
    """

    def __init__(self, out: Outbox) -> None:
        self.under_way = False
        self._wanted: OpenPartFile | None = None
        self._out = out

    def ask(self, wanted: OpenPartFile) -> None:
        """Request the job's part file, in the same words of every store process."""
        self._wanted = wanted
        self._out.post(ASSEMBLER, wanted)

    def begin(self, size_bytes: int, *, closing: bool) -> None:
        """Request the part file of a new store process, of the size learned since."""
        if self._wanted is None:
            return
        if closing:
            self._out.post(ASSEMBLER, ClosePartFile(job=self._wanted.job))
            return
        self.under_way = True
        self.ask(self._wanted.but(spec=self._wanted.spec.but(size_bytes=size_bytes)))

    def awaits(self, phase: Phase, leases: Leases, store: int) -> bool:
        """Return whether this store process's answer is news: one of a process that died since may come before."""
        return phase in (Phase.RIDING, Phase.WAITING, Phase.SEALING) and (self.under_way or store > leases.grants.store)

    def opened(self, leases: Leases, store: int, found: RangeSet, *, now_s: float) -> None:
        """Take in the part file that is open again, with these chunks."""
        self.under_way, leases.grants.store = False, store
        reconcile(leases, found, now_s=now_s)
        request_handovers(leases, self._out)

    def may_seal(self, leases: Leases) -> bool:
        return not self.under_way and leases.tracker.complete


def first_lease(attempt: int) -> int:
    """Return the number of the first lease of an attempt."""
    return 1 + attempt * LEASES_PER_ATTEMPT


def tracker_for(size_bytes: int, chunk_size: int, stored: RangeSet, *, first_lease: int) -> ChunkTracker:
    """Return the tracker of a job whose part file is open; `size_bytes` -1: unknown."""
    total = UNBOUNDED if size_bytes < 0 else -(-size_bytes // chunk_size)
    return ChunkTracker(total, RangeSet(stored), first_lease=first_lease)


def reconcile(leases: Leases, found: RangeSet, *, now_s: float) -> None:
    """Make the tracker agree with what was `found` on disk; no lease is blamed for the time between."""
    tracker, report = leases.tracker, leases.report
    size = leases.grants.size_bytes
    for run in found:
        for first, stop in list(tracker.stored.gaps(*run)):
            holder = next((each for each in tracker.leases.values() if each.next <= first < each.stop), None)
            length = report.bytes_of(RangeSet([(first, stop)]), size)
            stored = ChunksStored(
                job=leases.job.job,
                source=holder.source if holder is not None else min(leases.sources, default=0),
                lease=holder.id if holder is not None else 0,
                first=first,
                count=stop - first,
                length_bytes=length,
            )
            leases.stored(stored, now_s=now_s)
    lost = RangeSet(gap for run in tracker.stored for gap in found.gaps(*run))
    for first, stop in lost:
        tracker.lose(first, stop)
    if tracker.total != UNBOUNDED:
        report.lost(lost, size, leases.sources)
    for lease in tracker.leases.values():
        lease.grown_s = now_s
        lease.heard_s = now_s - LEASE_S_MAX + HANDED_AGAIN_S if lease.draining else now_s
    leases.changed()


def request_handovers(leases: Leases, out: Outbox) -> None:
    """Have every fetch process hand over again what the dead store did not give back."""
    reopened = PartFileReopened(job=leases.job.job, store=leases.grants.store)
    for process in sorted({split_address(source.worker)[0] for source in leases.sources.values() if source.worker}):
        out.post(shelf_address(process), reopened)


def may_pass(news: DiskFailed | PartFileRefused) -> bool:
    """Return whether this may pass by itself or by a person's hand, without another command."""
    return news.fault not in _LASTING


class DiskPause:
    """Pause of a job whose disk failed: it says why and asks again and again. Owned by one `DispatchState`.

    While a job is paused no source has a lease and no part file is open: the Assembler has let go of it, so that the
    disk can be unmounted, grown or put back. The job goes on when the part file could be opened and written again;
    what it then holds was hashed once more, because writes before a failing disk may never have arrived there.

    `name` is what the part file was requested by; `reason` is one line for people.
    """

    def __init__(self, job: StartJob, report: Reporter) -> None:
        self._job = job
        self._report = report
        self.name = ""
        self.reason = ""
        self._paused = False
        self._stored = -1
        self._wait_s = ASK_S_MIN
        self._due_s = 0.0

    def failed(self, detail: str, stored_chunks: int, *, now_s: float) -> list[Post]:
        """Note that the disk failed, or does still. Every new reason is reported once."""
        if not self._paused:
            self._wait_s = ASK_S_MIN if stored_chunks > self._stored else min(2 * self._wait_s, ASK_S_MAX)
            self._stored = max(self._stored, stored_chunks)
        news = not self._paused or detail != self.reason
        self._paused, self.reason, self._due_s = True, detail, now_s + self._wait_s
        text = f"paused: {detail}; goes on by itself when this has passed, an interrupt keeps everything"
        return self._report.noted(text) if news else []

    def ask_now(self, now_s: float) -> None:
        """Ask at the next tick: the store process that was asked is gone, and there is a new one."""
        self._due_s = now_s

    def tick(self, size_bytes: int, *, now_s: float) -> list[Post]:
        """Ask for the part file of a file of `size_bytes` when it is time to."""
        if now_s < self._due_s:
            return []
        self._due_s = now_s + ANSWER_S_MAX
        wanted = admission.open_request(self._job, size_bytes, self.name, again=True)
        return [Post(to=ASSEMBLER, message=wanted)]

    def over(self, found: str) -> list[Post]:
        """Note that the disk works again; `found` is what the Assembler says of the part file."""
        self._paused = False
        return self._report.noted(f"goes on: {found}" if found else "goes on")


class SourceWait:
    """Wait of a job that no source can serve: it says why and holds nothing but its part file.

    It goes on by itself as soon as a source can be used: one that was offered or found by a search, one whose worker
    is back, a peer once the session has logged in again, or one that has cooled long enough. Owned by one
    `DispatchState`. `reason` is one line for people, of the last time it waited.
    """

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self.reason = ""
        self._pause_s = PAUSE_S_MIN
        self._stored = 0
        self._fruitless = 0

    def in_vain(self, job: StartJob, sources: dict[int, Source], stored_chunks: int) -> bool:
        """Return whether there is nothing to wait for: no search that may bring sources, and all have failed finally.

        One that has delivered, and answers so only now, is tried again some times. A job whose sources were all dropped
        waits for others.
        """
        left = [source for source in sources.values() if not source.dropped]
        if job.spec.term or not left or any(source.lost_s is not None for source in left):
            return False
        if stored_chunks > self._stored:
            self._fruitless = 0
        final = [SourceState.BANNED] + [SourceState.COOLING] * (self._fruitless >= FINAL_WAITS_MAX)
        return all(
            source.state in final and (source.failed_finally or source.state is SourceState.BANNED) for source in left
        )

    def begin(self, sources: dict[int, Source], stored_chunks: int, *, now_s: float) -> list[Post]:
        """Begin: sources are tried again after a pause, those that asked for a longer one after that."""
        progress = not self.reason or stored_chunks > self._stored
        self._pause_s = PAUSE_S_MIN if progress else min(2 * self._pause_s, PAUSE_S_MAX)
        self._fruitless = 0 if progress else self._fruitless + 1
        self._stored = stored_chunks
        cooling = [source for source in sources.values() if source.state is SourceState.COOLING]
        for source in cooling:
            source.not_before_s = max(now_s + self._pause_s, min(source.not_before_s, now_s + PAUSE_S_MAX))
        again = f"; tries again in {self._pause_s:.0f} s" if cooling else ""
        news = self.reason
        self.reason = (admission.why_no_source(sources) or "it has no sources") + again
        return self._report.noted(f"waits: {self.reason}") if self.reason != news else []

    def over(self, sources: dict[int, Source], tracker: ChunkTracker | None, *, now_s: float) -> bool:
        """Return whether a source can be used again, or all that lacked has come meanwhile."""
        return (tracker is not None and tracker.complete) or not admission.all_out(sources, now_s=now_s)


class Renewals:
    """Restarts of a job whose file was replaced by another version at all its sources."""

    def __init__(self) -> None:
        self._count = 0

    def due(self, sources: dict[int, Source], *, waits: bool) -> list[Source]:
        """Return the sources that have another version, where none is left that may have the former one.

        `waits`: the job waits for sources that rest.
        """
        resting = any(source.state is SourceState.COOLING and not source.dropped for source in sources.values())
        if waits and resting:
            return []
        return [each for each in sources.values() if each.changed and each.lost_s is None and not each.dropped]

    def begin(self) -> bool:
        """Count another one. False: it has been done often enough."""
        self._count += 1
        return self._count <= RENEWALS_MAX
