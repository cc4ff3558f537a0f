"""Nobody can deliver, and the job is one that may wait: it says why, holds nothing but its part file, and goes on by
itself as soon as there is somebody to hope for.

That is a source that was offered or found by a search, one whose worker is back, a peer once the session has logged in
again, or one that has cooled long enough. Nobody rides meanwhile, no slot is used and nobody stands in a queue.
"""

from typing import Final

from actors.core import opening
from actors.core.board import Board
from actors.core.report import Reporter
from actors.core.standing import Source, Standing
from protocol.post import Post

PAUSE_S_MIN: Final = 60.0
PAUSE_S_MAX: Final = 3600.0
"""How long those that failed are left alone: twice as long each time that nothing was stored since, up to an hour."""


class Waiting:
    """Owned by one `DispatchState`. `reason` is one line for people, of the last time it waited."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self.reason = ""
        self._pause_s = PAUSE_S_MIN
        self._stored = 0

    def begin(self, sources: dict[int, Source], stored_chunks: int, *, now_s: float) -> list[Post]:
        """Every source is out. They are tried again after a pause, those that asked for a longer one after that."""
        progress = not self.reason or stored_chunks > self._stored
        self._pause_s = PAUSE_S_MIN if progress else min(2 * self._pause_s, PAUSE_S_MAX)
        self._stored = stored_chunks
        cooling = [source for source in sources.values() if source.standing is Standing.COOLING]
        for source in cooling:
            source.not_before_s = max(now_s + self._pause_s, min(source.not_before_s, now_s + PAUSE_S_MAX))
        again = f"; tries again in {self._pause_s:.0f} s" if cooling else ""
        news = self.reason
        self.reason = (opening.why_nobody(sources) or "it has no sources") + again
        return self._report.noted(f"waits: {self.reason}") if self.reason != news else []

    def over(self, sources: dict[int, Source], board: Board | None, *, now_s: float) -> bool:
        """There is somebody to hope for again, or what was on its way for long was all that lacked."""
        return (board is not None and board.complete) or not opening.all_out(sources, now_s=now_s)
