"""Schedule of limits on the command line: ``mon-fri 8:00-18:00 500K`` to the API's window and back."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from protocol.cli.parsing import checked_rate
from protocol.model.errors import BadUsage
from protocol.model.limits import DAYS
from protocol.model.printable import printable
from protocol.model.units import parse_time_of_day, show_rate

EXAMPLE: Final = "write it like 'mon-fri 8:00-18:00 500K'"
_TIMES: Final = re.compile(r"(\d+:\d\d)-(\d+:\d\d)", re.ASCII)


def windows_of(words: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return the API's windows: none for ``off``, None for ``auto``. Raises `BadUsage`."""
    if list(words) in (["off"], ["auto"]):
        return [] if words[0] == "off" else None
    return [_window(word) for word in words]


def _window(word: str) -> dict[str, Any]:
    parts = word.split()
    times = _TIMES.fullmatch(parts[-2]) if len(parts) in (2, 3) else None
    if times is None:
        raise BadUsage(f"--schedule {printable(word)!r}: {EXAMPLE}; off: none, auto: as the configuration says")
    try:
        begin, end = parse_time_of_day(times[1]), parse_time_of_day(times[2], end=True)
    except ValueError:
        raise BadUsage(f"--schedule {printable(word)!r}: there is no such time of the day") from None
    days = _days(parts[0].lower(), word) if len(parts) == 3 else list(range(len(DAYS)))
    return {"days": days, "beginMinute": begin, "endMinute": end, "limit": checked_rate("--schedule", parts[-1])}


def _days(text: str, word: str) -> list[int]:
    """Return the days of ``mon``, ``sat,sun`` or ``mon-fri``, which may go over the end of the week."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise BadUsage(f"--schedule {printable(word)!r}: the days are {', '.join(DAYS)}, also mon-fri or sat,sun")
        begin = DAYS.index(first)
        found.update((begin + n) % 7 for n in range((DAYS.index(last or first) - begin) % 7 + 1))
    return sorted(found)


def schedule_lines(windows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each window, in the order in which they are looked at."""
    return [
        f"{_shown_days(window['days'])} {_clock(window['beginMinute'])}-{_clock(window['endMinute'])}: "
        + (f"at most {show_rate(window['limit'])}" if window["limit"] else "no limit")
        for window in windows
    ]


def _shown_days(days: Sequence[int]) -> str:
    runs = [[day for _, day in run] for _, run in groupby(enumerate(sorted(days)), lambda pair: pair[1] - pair[0])]
    names = [DAYS[run[0]] + (f"-{DAYS[run[-1]]}" if len(run) > 1 else "") for run in runs]
    return "daily" if len(days) == len(DAYS) else ",".join(names)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
