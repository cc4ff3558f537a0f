"""Watcher of a job: its requests while the job runs, and when it is sent a report."""

from typing import Final, assert_never

from actors.core.dispatch import admission as opening
from actors.core.dispatch.admission import Admission
from actors.core.dispatch.identity.resumption import EarlierEvidence
from actors.core.dispatch.leases import Leases
from actors.core.dispatch.progress import Phase, Reporter
from actors.core.dispatch.recovery import DiskPause, SourceWait
from actors.core.dispatch.sources import Source, interface_words
from actors.core.outbox import Outbox
from protocol.messages import (
    CapRate,
    LeaseRevoked,
    LimitJob,
    ListContributors,
    ResendState,
    SourceDisabled,
    SourceNamed,
    SourcePreferred,
    SourcesExpected,
    StartJob,
    Ticked,
)
from protocol.messages.addresses import WATCHDOG, dispatcher_address

REPORTED_AT_ONCE_MAX: Final = 100
"""With more sources a report is a step of its own."""
TICK_S: Final = 0.1
QUIET_TICK_S: Final = 0.5
"""While no source has a lease and none can be asked for anything."""
CALM_TICK_S: Final = 0.25
"""Where every source that can be used sends a file that takes a while yet: what happens then comes as a message. Ticks
of 100 such jobs kept a third of the hub busy. A chunk that came between two reports waits for one, also on the page."""
QUIET_LEFT_S: Final = 3.0

WatcherRequest = (
    SourceNamed | ResendState | ListContributors | SourceDisabled | SourcePreferred | LimitJob | SourcesExpected
)


class WatcherRequests:
    """Requests of the watcher and the pool. Owned by one `DispatchState`, whose parts it works on."""

    def __init__(
        self, job: StartJob, report: Reporter, out: Outbox, admission: Admission, earlier: EarlierEvidence
    ) -> None:
        self._job = job
        self._earlier = earlier
        self._report = report
        self._out = out
        self._admission = admission

    def handle(self, request: WatcherRequest, leases: Leases | None, *, now_s: float) -> None:
        match request:
            case ResendState():
                self._out.extend(self._report.resend())
            case ListContributors(request=number, reply_to=reply_to):
                for part in self._report.contributors(number):
                    self._out.post(reply_to, part)
            case SourceNamed(source=source, source_hash=name_hash):
                self._report.name_source(name_hash, source)
                self._earlier.named(name_hash, source)
            case SourceDisabled(restored=True):
                self._admission.restored(request.source, now_s=now_s)
            case SourceDisabled():
                self._disable(request, leases)
            case SourcePreferred(source=source, preferred=preferred):
                self._admission.prefer(source, preferred=preferred)
            case SourcesExpected(count=count):
                self._admission.expected = count
            case LimitJob(limit_bytes_s=limit_bytes_s):
                self._limit(limit_bytes_s, leases)
            case _:
                assert_never(request)

    def _disable(self, message: SourceDisabled, leases: Leases | None) -> None:
        """Stop a source and take its queue place and lease back. Its worker goes, so no answer is waited for."""
        source = self._admission.disabled(message)
        if source is None or leases is None:
            return
        if source.busy is not None:
            self._out.post(source.worker, LeaseRevoked(job=self._job.job, source=source.id, lease=source.busy))
        leases.drop(source)

    def _limit(self, limit_bytes_s: int, leases: Leases | None) -> None:
        self._out.post(WATCHDOG, opening.monitor_request(self._job, limit_bytes_s))
        if leases is not None:
            leases.grants.limit_bytes_s = limit_bytes_s
        if leases is not None and limit_bytes_s == 0:
            for source in leases.sources.values():  # also those without a lease that were sent another cap
                self._out.post(source.worker, CapRate(job=self._job.job, source=source.id, rate_bytes_s=0.0))


class ReportSchedule:
    """Schedule of reports: at once after a silence, then now and then while anything changes.

    Owned by one `DispatchState`; `sources` is shared with it.
    """

    def __init__(
        self, report: Reporter, sources: dict[int, Source], out: Outbox, *, disk_pause: DiskPause, waiting: SourceWait
    ) -> None:
        self._report = report
        self._sources = sources
        self._out = out
        self._disk_pause = disk_pause
        self._waiting = waiting

    def report_if_due(self, phase: Phase, leases: Leases | None, now_s: float) -> None:
        """Report what is due; in phases in which nothing comes, with the reason."""
        if phase is Phase.ENDED or not self._report.due(now_s):
            return
        tracker, left_s = (None, -1.0) if leases is None else (leases.tracker, leases.left_s(now_s))
        why = {Phase.PAUSED: self._disk_pause.reason, Phase.WAITING: self._waiting.reason}
        self._report.reason = why.get(phase, "") or interface_words(self._sources.values())
        riding = leases if phase is Phase.RIDING else None
        self._report.estimate = riding.grants.gate.describe(now_s) if riding is not None else ""
        self._out.extend(self._report.progress(phase.value, self._sources, tracker, left_s, now_s=now_s))

    def is_large(self, now_s: float) -> bool:
        """Return whether what is due is too much for a step that does anything else."""
        return len(self._sources) > REPORTED_AT_ONCE_MAX and self._report.due(now_s)

    def defer(self, now_s: float) -> bool:
        """Leave a large report to a step of its own, which follows; return whether it is."""
        if self.is_large(now_s):
            self._out.post(dispatcher_address(self._report.job.job), Ticked())
        return self.is_large(now_s)

    def tick_s(self, phase: Phase, leases: Leases | None, *, in_doubt: bool, now_s: float) -> float:
        """Return after how long the job wants the next tick."""
        if phase in (Phase.PAUSED, Phase.WAITING):
            return QUIET_TICK_S
        if phase is not Phase.RIDING or leases is None:
            return TICK_S
        if not leases.tracker.leases:
            hopeless = all(each.enqueued or not each.usable for each in self._sources.values())
            return QUIET_TICK_S if hopeless else TICK_S
        calm = not (in_doubt or leases.grants.idle.has_usable)
        return CALM_TICK_S if calm and leases.left_s(now_s) > QUIET_LEFT_S else TICK_S
