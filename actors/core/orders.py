"""What the watcher of a job wants while it runs: news from the start, who sent what, a source dropped, a limit."""

from typing import assert_never

from actors.core import opening
from actors.core.admission import Admission
from actors.core.outbox import Outbox
from actors.core.report import Reporter
from actors.core.riding import Riding
from protocol.messages import (
    DispatcherWanted,
    JobLimited,
    LeaseRevoked,
    NewsAsked,
    RateCapped,
    RunsAsked,
    SourceLeft,
    SourceNamed,
    SourcesExpected,
)
from protocol.post import WATCHDOG

Order = SourceNamed | NewsAsked | RunsAsked | SourceLeft | JobLimited | SourcesExpected


class Orders:
    """Owned by one `DispatchState`, whose parts it works on."""

    def __init__(self, job: DispatcherWanted, report: Reporter, out: Outbox, admission: Admission) -> None:
        self._job = job
        self._report = report
        self._out = out
        self._admission = admission

    def take(self, order: Order, riding: Riding | None) -> None:
        match order:
            case NewsAsked():
                self._out.extend(self._report.anew())
            case RunsAsked(request=request, reply_to=reply_to):
                for part in self._report.runs(request):
                    self._out.post(reply_to, part)
            case SourceNamed(source=source, source_hash=name_hash):
                self._report.knows(name_hash, source)
            case SourceLeft():
                self._leave(order, riding)
            case SourcesExpected(count=count):
                self._admission.expected = count
            case JobLimited(limit_bytes_s=limit_bytes_s):
                self._limit(limit_bytes_s, riding)
            case _:
                assert_never(order)

    def _leave(self, message: SourceLeft, riding: Riding | None) -> None:
        """It hangs up and gives its place and its lease back. Its worker goes, so no answer is waited for."""
        source = self._admission.left(message)
        if source is None or riding is None:
            return
        if source.busy is not None:
            self._out.post(source.worker, LeaseRevoked(job=self._job.job, source=source.id, lease=source.busy))
        riding.let_go(source)

    def _limit(self, limit_bytes_s: int, riding: Riding | None) -> None:
        self._out.post(WATCHDOG, opening.watching(self._job, limit_bytes_s))
        if riding is not None:
            riding.limit_bytes_s = limit_bytes_s
        if riding is not None and limit_bytes_s == 0:
            for source in riding.sources.values():  # also those that do not ride now and were told another
                self._out.post(source.worker, RateCapped(job=self._job.job, source=source.id, rate_bytes_s=0.0))
