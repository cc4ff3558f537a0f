"""What is around the jobs: the login, the other processes, and how fast all jobs together may be."""

from collections.abc import Iterator
from typing import Final

from actors.core.jobs.transaction import Now, Transaction
from protocol.messages import LimitTotal, ProcessLost, ProcessReady, SessionChanged, SetTotalLimit
from protocol.messages.addresses import POOL, SESSION, WATCHDOG, split_address
from protocol.model import event_kinds
from protocol.model.job_policy import JobPolicy, LimitWindow
from protocol.model.job_records import SaveLimit

# How fast all jobs together may be: what a person said last, else what the time of the week says.

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S


def limit_at(settings: JobPolicy, override_bytes_s: int, week_s: int) -> int:
    """Bytes a second, 0: no limit. `override_bytes_s` -1: nobody said anything; `week_s` as in `Now`."""
    if override_bytes_s >= 0:
        return override_bytes_s
    for window in settings.schedule:
        if any((week_s - begin) % WEEK_S < length for begin, length in _spans(window)):
            return window.limit_bytes_s
    return settings.limit_bytes_s


def next_change_s(settings: JobPolicy, week_s: int) -> int:
    """In so many seconds of local time the schedule may say something else; a whole week when it never does."""
    edges = {
        edge for window in settings.schedule for begin, length in _spans(window) for edge in (begin, begin + length)
    }
    now = limit_at(settings, -1, week_s)
    later = sorted((edge - week_s) % WEEK_S or WEEK_S for edge in edges)
    return next((wait for wait in later if limit_at(settings, -1, (week_s + wait) % WEEK_S) != now), WEEK_S)


def _spans(window: LimitWindow) -> Iterator[tuple[int, int]]:
    """Where in the week it begins, and how long it lasts, in seconds."""
    length = (window.end_minute - window.begin_minute) % 1440 or 1440
    for day in window.days:
        yield day * DAY_S + window.begin_minute * 60, length * 60


HUB: Final = split_address(POOL)[0]
SOULSEEK: Final = split_address(SESSION)[0]
NO_OVERRIDE: Final = -1
_UNKNOWN: Final = -1
"""What the hub was told by a job manager that has died."""


class Bandwidth:
    """Owned by one `JobManagerState`. `limit_bytes_s` is what the hub was told; `session` the latest word of the
    login."""

    def __init__(self, scribe: Transaction, settings: JobPolicy, *, override_bytes_s: int) -> None:
        self._scribe = scribe
        self._override_bytes_s = override_bytes_s
        self.settings = settings
        self.limit_bytes_s = 0
        self.session: SessionChanged | None = None

    # -- the limit

    def forget_override(self) -> None:
        """What somebody set holds until the daemon ends."""
        self._override_bytes_s = NO_OVERRIDE
        self._scribe.write(SaveLimit(NO_OVERRIDE))

    def forget_told(self) -> None:
        self.limit_bytes_s = _UNKNOWN

    def limit(self, now: Now) -> None:
        """Tell the hub where it changed; one that was told nothing knows of no limit."""
        limit = limit_at(self.settings, self._override_bytes_s, now.week_s)
        if limit != self.limit_bytes_s:
            self.limit_bytes_s = limit
            self._scribe.post(WATCHDOG, LimitTotal(limit_bytes_s=limit))

    def limit_left_s(self, now: Now) -> int:
        """So long the schedule says what it says now; 0 where it always says so or somebody has set another limit."""
        left_s = next_change_s(self.settings, now.week_s)
        return 0 if self._override_bytes_s >= 0 or left_s == WEEK_S else left_s

    def set_limit(self, message: SetTotalLimit, now: Now) -> None:
        if message.limit_bytes_s < NO_OVERRIDE:
            self._scribe.refuse(message.request, message.reply_to, "invalid", "less than 0", field="limit_bytes_s")
            return
        self._override_bytes_s = message.limit_bytes_s
        self._scribe.write(SaveLimit(message.limit_bytes_s))
        self.limit(now)
        self._scribe.count(message.request, message.reply_to)

    # -- processes and the login

    def login(self, changed: SessionChanged, now: Now) -> None:
        if self.session is None or changed.state != self.session.state:
            self._scribe.event(event_kinds.SESSION_CHANGED, "", now, state=changed.state, detail=changed.detail)
        self.session = changed

    def lost(self, lost: ProcessLost, now: Now) -> None:
        self._scribe.forget(lost.process)
        data = {"process": lost.process, "detail": lost.detail, "restartS": lost.restart_s}
        self._scribe.event(event_kinds.PROCESS_LOST, "", now, **data)
        if lost.process == SOULSEEK and lost.restart_s < 0:
            detail = f"the soulseek process died: {lost.detail}"
            offline = SessionChanged(state="offline", detail=detail, final=True)
            self.login(offline, now)
            self._scribe.post(POOL, offline)

    def ready(self, ready: ProcessReady, now: Now) -> None:
        """A new hub hears first how the login is and how fast it may be."""
        self._scribe.event(event_kinds.PROCESS_READY, "", now, process=ready.process)
        if ready.process != HUB:
            return
        if self.session is not None:
            self._scribe.post(POOL, self.session)
        self.limit_bytes_s = 0
        self.limit(now)
