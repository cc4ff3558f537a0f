"""Limit of all jobs together, scheduled or set by the user; and the state of the login and of the other processes."""

from collections.abc import Iterator
from typing import Final

from actors.core.jobs.transaction import Now, TransactionBuilder
from protocol.messages import LimitTotal, ProcessLost, ProcessReady, SessionChanged, SetSchedule, SetTotalLimit
from protocol.messages.addresses import POOL, SESSION, WATCHDOG, split_address
from protocol.model import event_kinds
from protocol.model.job_policy import JobPolicy, LimitWindow
from protocol.model.job_records import SaveLimit, SaveSchedule
from protocol.model.value import replace

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
WINDOWS_MAX: Final = 100
HUB: Final = split_address(POOL)[0]
SOULSEEK: Final = split_address(SESSION)[0]
NO_OVERRIDE: Final = -1
_UNKNOWN: Final = -1
"""The limit that the hub has from a job manager which has died."""


def limit_at(policy: JobPolicy, override_bytes_s: int, week_s: int) -> int:
    """Return the limit in bytes a second, 0: none.

    `override_bytes_s` is what the user set, -1: nothing; `week_s` as in `Now`.
    """
    if override_bytes_s >= 0:
        return override_bytes_s
    for window in policy.schedule:
        if any((week_s - begin) % WEEK_S < length for begin, length in _spans(window)):
            return window.limit_bytes_s
    return policy.limit_bytes_s


def next_change_s(policy: JobPolicy, week_s: int) -> int:
    """Return the seconds of local time until the scheduled limit changes; a whole week when it never does."""
    edges = {edge for window in policy.schedule for begin, length in _spans(window) for edge in (begin, begin + length)}
    now = limit_at(policy, -1, week_s)
    later = sorted((edge - week_s) % WEEK_S or WEEK_S for edge in edges)
    return next((wait for wait in later if limit_at(policy, -1, (week_s + wait) % WEEK_S) != now), WEEK_S)


def _spans(window: LimitWindow) -> Iterator[tuple[int, int]]:
    """Yield where in the week it begins, and how long it lasts, in seconds."""
    length = (window.end_minute - window.begin_minute) % 1440 or 1440
    for day in window.days:
        yield day * DAY_S + window.begin_minute * 60, length * 60


def _is_sound(window: LimitWindow) -> bool:
    days = bool(window.days) and all(0 <= day < 7 for day in window.days)
    return days and 0 <= window.begin_minute < 1440 and 0 <= window.end_minute <= 1440 and window.limit_bytes_s >= 0


class Bandwidth:
    """Limit in force, the login's latest state and news of processes. Owned by one `JobManagerState`.

    `limit_bytes_s` is what the hub goes by.
    """

    def __init__(
        self,
        transaction: TransactionBuilder,
        policy: JobPolicy,
        *,
        override_bytes_s: int,
        schedule: tuple[LimitWindow, ...] | None = None,
    ) -> None:
        self._transaction = transaction
        self._override_bytes_s = override_bytes_s
        self._schedule = schedule
        self.configure(policy)
        self.limit_bytes_s = 0
        self.session: SessionChanged | None = None

    # -- the limit

    def configure(self, policy: JobPolicy) -> None:
        """Go by this configuration; a schedule that the user has set stays."""
        self._configured = policy
        self._policy = policy if self._schedule is None else replace(policy, schedule=self._schedule)

    @property
    def schedule(self) -> tuple[LimitWindow, ...]:
        """Windows in force."""
        return self._policy.schedule

    def forget_override(self) -> None:
        """A limit that the user set holds until the daemon ends."""
        self._override_bytes_s = NO_OVERRIDE
        self._transaction.write(SaveLimit(NO_OVERRIDE))

    def forget_hub_limit(self) -> None:
        self.limit_bytes_s = _UNKNOWN

    def limit(self, now: Now) -> None:
        """Send the limit to the hub where it changed; a new hub has none."""
        limit = limit_at(self._policy, self._override_bytes_s, now.week_s)
        if limit != self.limit_bytes_s:
            self.limit_bytes_s = limit
            self._transaction.post(WATCHDOG, LimitTotal(limit_bytes_s=limit))

    def limit_left_s(self, now: Now) -> int:
        """Return how long the scheduled limit still holds; 0 where it always does or the user has set another one."""
        left_s = next_change_s(self._policy, now.week_s)
        return 0 if self._override_bytes_s >= 0 or left_s == WEEK_S else left_s

    def set_limit(self, message: SetTotalLimit, now: Now) -> None:
        if message.limit_bytes_s < NO_OVERRIDE:
            self._transaction.refuse(message.request, message.reply_to, "invalid", "less than 0", field="limit_bytes_s")
            return
        self._override_bytes_s = message.limit_bytes_s
        self._transaction.write(SaveLimit(message.limit_bytes_s))
        self.limit(now)
        self._transaction.count(message.request, message.reply_to)

    def set_schedule(self, message: SetSchedule, now: Now) -> None:
        windows = message.windows
        if windows is not None and (len(windows) > WINDOWS_MAX or not all(_is_sound(each) for each in windows)):
            detail = f"at most {WINDOWS_MAX} windows, of days 0 to 6, minutes of a day and a limit of 0 or more"
            self._transaction.refuse(message.request, message.reply_to, "invalid", detail, field="schedule")
            return
        self._schedule = windows
        self.configure(self._configured)
        self._transaction.write(SaveSchedule(windows))
        self.limit(now)
        self._transaction.count(message.request, message.reply_to)

    # -- processes and the login

    def login(self, changed: SessionChanged, now: Now) -> None:
        if self.session is None or changed.state != self.session.state:
            self._transaction.event(event_kinds.SESSION_CHANGED, "", now, state=changed.state, detail=changed.detail)
        self.session = changed

    def process_lost(self, lost: ProcessLost, now: Now) -> None:
        self._transaction.forget(lost.process)
        data = {"process": lost.process, "detail": lost.detail, "restartS": lost.restart_s}
        self._transaction.event(event_kinds.PROCESS_LOST, "", now, **data)
        if lost.process == SOULSEEK and lost.restart_s < 0:
            detail = f"the soulseek process died: {lost.detail}"
            offline = SessionChanged(state="offline", detail=detail, final=True)
            self.login(offline, now)
            self._transaction.post(POOL, offline)

    def process_ready(self, ready: ProcessReady, now: Now) -> None:
        """A new hub gets the state of the login and the limit before anything else."""
        self._transaction.event(event_kinds.PROCESS_READY, "", now, process=ready.process)
        if ready.process != HUB:
            return
        if self.session is not None:
            self._transaction.post(POOL, self.session)
        self.limit_bytes_s = 0
        self.limit(now)
