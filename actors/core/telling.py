"""When the watcher of a job hears something: at once after a silence, then now and then while anything changes."""

from typing import Final

from actors.core.outbox import Outbox
from actors.core.pausing import Pausing
from actors.core.phase import Phase
from actors.core.report import Reporter
from actors.core.riding import Riding
from actors.core.standing import Source
from actors.core.waiting import Waiting
from protocol.messages import Ticked
from protocol.post import dispatcher_address

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

    def tell(self, phase: Phase, riding: Riding | None, now_s: float) -> None:
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

    def tick_s(self, phase: Phase, riding: Riding | None) -> float:
        """In so long the job wants to look at its clock again."""
        asleep = phase is Phase.RIDING and riding is not None and not riding.board.leases
        hopeless = asleep and all(each.waiting or not each.usable for each in self._sources.values())
        return QUIET_TICK_S if hopeless or phase in (Phase.PAUSED, Phase.WAITING) else TICK_S
