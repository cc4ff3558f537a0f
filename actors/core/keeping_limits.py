"""How fast all jobs together may be: what a person said last, else what the time of the week says."""

from collections.abc import Iterator
from typing import Final

from protocol.keeper_settings import KeeperSettings, LimitWindow

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S


def limit_at(settings: KeeperSettings, override_bytes_s: int, week_s: int) -> int:
    """Bytes a second, 0: no limit. `override_bytes_s` -1: nobody said anything; `week_s` as in `Now`."""
    if override_bytes_s >= 0:
        return override_bytes_s
    for window in settings.schedule:
        if any((week_s - begin) % WEEK_S < length for begin, length in _spans(window)):
            return window.limit_bytes_s
    return settings.limit_bytes_s


def next_change_s(settings: KeeperSettings, week_s: int) -> int:
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
