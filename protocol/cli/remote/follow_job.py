"""Follower of a daemon's job: its events say when to ask again, one answer has all that is shown."""

import math
import time
from collections.abc import Callable
from typing import Any, Final

from protocol.cli.remote.api_to_messages import JOB, JobUpdates, ended
from protocol.cli.views.base import FrontView
from protocol.cli.views.outcome import ExitCode, exit_code_of
from protocol.client.http_client import Daemon, DaemonError
from protocol.client.sse_client import Gone, Stream
from protocol.messages import JobNoted

TICK_S: Final = 0.1
LOOK_S: Final = 0.4
"""Period of asking for a job that progresses ..."""
LOOK_S_MAX: Final = 3.0
"""... and for one without events."""
AWAY_S_MAX: Final = 60.0
"""A daemon that is restarted is back within seconds."""


def watch(daemon: Daemon, id: str, view: FrontView, *, seen: Callable[[Any], Any] | None = None) -> ExitCode:
    """Follow a job and return how it ended. `seen` may change each answer about it.

    Raises `DaemonError` when nothing more can be learned of it, KeyboardInterrupt with Ctrl-C.

    The view stays the caller's to close.
    """
    looker = _Looker(daemon, id, view, seen)
    code = looker.look(now_s=time.monotonic())
    if code is not None:
        return code
    with Stream(daemon.access, job=id) as stream:
        while True:
            heard = stream.next(wait_s=TICK_S)
            now_s = time.monotonic()
            looker.hear(heard, now_s=now_s)
            if now_s >= looker.due_s:
                code = looker.look(now_s=now_s)
                if code is not None:
                    return code
            view.refresh(now_s=now_s)


class _Looker:
    """Looks at the job; `due_s`: when next."""

    def __init__(self, daemon: Daemon, id: str, view: FrontView, seen: Callable[[Any], Any] | None = None) -> None:
        self._seen = seen or (lambda job: job)
        self._daemon = daemon
        self._id = id
        self._view = view
        self._updates = JobUpdates()
        self._looked_s = -math.inf
        self._away_s = math.inf
        self.due_s = -math.inf

    def hear(self, heard: Any, *, now_s: float) -> None:
        """Take an event: a stored one changes the job at once, progress is looked at a few times a second."""
        if heard is None:
            return
        if isinstance(heard, Gone):
            if heard.final:
                raise DaemonError("refused", heard.detail)
            self.due_s = min(self.due_s, self._looked_s + LOOK_S)
        elif heard.get("id"):
            self.due_s = min(self.due_s, now_s + TICK_S)  # others come with it
        else:
            self.due_s = min(self.due_s, self._looked_s + LOOK_S)

    def look(self, *, now_s: float) -> ExitCode | None:
        """Show what is new; return the exit code of a job that has ended.

        A daemon that is away is waited for, for a while, once it has been there.
        """
        first = self._looked_s == -math.inf
        self._looked_s, self.due_s = now_s, now_s + LOOK_S_MAX
        try:
            job = self._daemon.job(self._id)
        except DaemonError as error:
            if error.kind != "away" or first or now_s - self._away_s > AWAY_S_MAX:
                raise
            if self._away_s == math.inf:
                self._away_s = now_s
                self._view.show(JobNoted(job=JOB, text=f"{error.detail}; waiting for it"), now_s=now_s)
            self.due_s = now_s + LOOK_S
            return None
        if self._away_s != math.inf:
            self._away_s = math.inf
            self._view.show(JobNoted(job=JOB, text="the daemon is back"), now_s=now_s)
        job = self._seen(job)
        for message in self._updates.take(job):
            self._view.show(message, now_s=now_s)
        return exit_code_of(ended(job).state) if self._updates.ended else None
