"""What the watcher of a job wants while it runs: news from the start, who sent what, a source dropped, a limit."""

from typing import Final, assert_never

from actors.core.dispatch import admission as opening
from actors.core.dispatch.admission import Admission
from actors.core.dispatch.leases import Leases
from actors.core.dispatch.phase import Phase
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.recovery import Pausing, Waiting
from actors.core.dispatch.sources import Source
from actors.core.outbox import Outbox
from protocol.messages import (
    CapRate,
    LeaseRevoked,
    LimitJob,
    ListContributors,
    ResendState,
    SourceDisabled,
    SourceNamed,
    SourcesExpected,
    StartDispatcher,
    Ticked,
)
from protocol.messages.addresses import WATCHDOG, dispatcher_address

Order = SourceNamed | ResendState | ListContributors | SourceDisabled | LimitJob | SourcesExpected


class Orders:
    """Owned by one `DispatchState`, whose parts it works on."""

    def __init__(self, job: StartDispatcher, report: Reporter, out: Outbox, admission: Admission) -> None:
        self._job = job
        self._report = report
        self._out = out
        self._admission = admission

    def take(self, order: Order, riding: Leases | None) -> None:
        match order:
            case ResendState():
                self._out.extend(self._report.anew())
            case ListContributors(request=request, reply_to=reply_to):
                for part in self._report.runs(request):
                    self._out.post(reply_to, part)
            case SourceNamed(source=source, source_hash=name_hash):
                self._report.knows(name_hash, source)
            case SourceDisabled():
                self._leave(order, riding)
            case SourcesExpected(count=count):
                self._admission.expected = count
            case LimitJob(limit_bytes_s=limit_bytes_s):
                self._limit(limit_bytes_s, riding)
            case _:
                assert_never(order)

    def _leave(self, message: SourceDisabled, riding: Leases | None) -> None:
        """It hangs up and gives its place and its lease back. Its worker goes, so no answer is waited for."""
        source = self._admission.left(message)
        if source is None or riding is None:
            return
        if source.busy is not None:
            self._out.post(source.worker, LeaseRevoked(job=self._job.job, source=source.id, lease=source.busy))
        riding.let_go(source)

    def _limit(self, limit_bytes_s: int, riding: Leases | None) -> None:
        self._out.post(WATCHDOG, opening.watching(self._job, limit_bytes_s))
        if riding is not None:
            riding.limit_bytes_s = limit_bytes_s
        if riding is not None and limit_bytes_s == 0:
            for source in riding.sources.values():  # also those that do not ride now and were told another
                self._out.post(source.worker, CapRate(job=self._job.job, source=source.id, rate_bytes_s=0.0))


# When the watcher of a job hears something: at once after a silence, then now and then while anything changes.

REPORTED_AT_ONCE_MAX: Final = 100
"""With more sources a report is a step of its own."""
TICK_S: Final = 0.1
QUIET_TICK_S: Final = 0.5
"""While nobody rides and nobody can be asked for anything."""


class Telling:
    """Owned by one `DispatchState`; `sources` is shared with it."""

    def __init__(
        self, report: Reporter, sources: dict[int, Source], out: Outbox, *, pausing: Pausing, waiting: Waiting
    ) -> None:
        self._report = report
        self._sources = sources
        self._out = out
        self._pausing = pausing
        self._waiting = waiting

    def tell(self, phase: Phase, riding: Leases | None, now_s: float) -> None:
        """Whatever is due; in phases in which nothing comes, with the reason."""
        if phase is Phase.ENDED or not self._report.due(now_s):
            return
        board, left_s = (None, -1.0) if riding is None else (riding.board, riding.left_s(now_s))
        why = {Phase.PAUSED: self._pausing.reason, Phase.WAITING: self._waiting.reason}
        self._report.reason = why.get(phase, "")
        self._out.extend(self._report.progress(phase.value, self._sources, board, left_s, now_s=now_s))

    def apart(self, now_s: float) -> bool:
        """Whether what is due is too much for a step that does anything else."""
        return len(self._sources) > REPORTED_AT_ONCE_MAX and self._report.due(now_s)

    def put_off(self, now_s: float) -> bool:
        """Whether it is left to a step of its own, which follows."""
        if self.apart(now_s):
            self._out.post(dispatcher_address(self._report.job.job), Ticked())
        return self.apart(now_s)

    def tick_s(self, phase: Phase, riding: Leases | None) -> float:
        """In so long the job wants to look at its clock again."""
        asleep = phase is Phase.RIDING and riding is not None and not riding.board.leases
        hopeless = asleep and all(each.waiting or not each.usable for each in self._sources.values())
        return QUIET_TICK_S if hopeless or phase in (Phase.PAUSED, Phase.WAITING) else TICK_S
