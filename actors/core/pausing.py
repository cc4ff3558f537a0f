"""A disk that fails under a running job: wait, say why, ask again whether it works by now.

While a job is paused nobody rides and no part file is open: the Assembler has let go of it, so that the disk can be
unmounted, grown or put back. The job goes on when the part file could be opened and written again; what it then holds
has been hashed anew, because what was written before a failing disk may never have arrived there.
"""

from typing import Final

from actors.core import opening
from actors.core.report import Reporter
from protocol.faults import TargetFaultKind
from protocol.messages import DiskFailed, DispatcherWanted, TargetRefused
from protocol.post import ASSEMBLER, Post

ASK_S_MIN: Final = 1.0
ASK_S_MAX: Final = 10.0
"""The first wait, and what it grows to (twofold each time) while the disk works only to fail again."""
ANSWER_S_MAX: Final = 600.0
"""An answer is awaited for so long: a large part file is hashed before it comes."""
_HOPELESS: Final = (TargetFaultKind.BUSY, TargetFaultKind.OTHER_JOB, TargetFaultKind.BAD_NAME)


def mends(news: DiskFailed | TargetRefused) -> bool:
    """Whether this may pass by itself or by a person's hand, without another command."""
    return news.fault not in _HOPELESS


class Pausing:
    """Owned by one `DispatchState`. `name` is what the part file was asked for by; `reason` is one line for people."""

    def __init__(self, job: DispatcherWanted, report: Reporter) -> None:
        self._job = job
        self._report = report
        self.name = ""
        self.reason = ""
        self._paused = False
        self._stored = -1
        self._wait_s = ASK_S_MIN
        self._due_s = 0.0

    def failed(self, detail: str, stored_chunks: int, *, now_s: float) -> list[Post]:
        """The disk failed, or does still. People hear every new reason once."""
        if not self._paused:
            self._wait_s = ASK_S_MIN if stored_chunks > self._stored else min(2 * self._wait_s, ASK_S_MAX)
            self._stored = max(self._stored, stored_chunks)
        news = not self._paused or detail != self.reason
        self._paused, self.reason, self._due_s = True, detail, now_s + self._wait_s
        text = f"paused: {detail}; goes on by itself when this has passed, an interrupt keeps everything"
        return self._report.noted(text) if news else []

    def ask_now(self, now_s: float) -> None:
        """Whoever was asked is gone; somebody new can answer."""
        self._due_s = now_s

    def tick(self, size_bytes: int, *, now_s: float) -> list[Post]:
        """Ask for the part file of a file of `size_bytes` when it is time to."""
        if now_s < self._due_s:
            return []
        self._due_s = now_s + ANSWER_S_MAX
        wanted = opening.target_wanted(self._job, size_bytes, self.name, again=True)
        return [Post(to=ASSEMBLER, message=wanted)]

    def over(self, found: str) -> list[Post]:
        """It works again; `found` is what the Assembler says of the part file."""
        self._paused = False
        return self._report.noted(f"goes on: {found}" if found else "goes on")
