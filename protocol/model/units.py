"""Sizes, rates and times as people write and read them, and dates as HTTP has them.

K is 1024 everywhere, read or shown: ``--limit 2M`` shows as ``2.0 MiB/s``.
"""

import math
import re
from datetime import UTC, datetime
from typing import Final

from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN
from protocol.model.value import late_pattern

AMOUNT_MAX: Final = 2**62
"""Far above any file, and still an integer on the wire."""

DAY_MINUTES: Final = 24 * 60

_AMOUNT: Final = late_pattern(r"([0-9]{1,20})(\.[0-9]{1,12})? ?([KMGT]?)(?:I?B)?(/S)?", re.IGNORECASE)
_SCALE: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_size(text: str) -> int:
    """Bytes from ``131072``, ``128K``, ``64KiB``, ``2.5M``. Raises `ValueError` with one line for people."""
    return _parse(text, rate=False)


def parse_chunk_size(text: str) -> int:
    """Bytes of a chunk, within what slots and records are made for; 0 from ``auto``. Raises `ValueError`."""
    if text.strip().lower() == "auto":
        return 0
    size = parse_size(text)
    if CHUNK_SIZE_MIN <= size <= CHUNK_SIZE_MAX:
        return size
    raise ValueError(f"{text!a}: must be from 4K to 1M (4096 to 1048576 bytes), or auto")


def parse_rate(text: str) -> int:
    """Bytes a second from what `parse_size` takes, with or without ``/s``. Raises `ValueError`."""
    return _parse(text, rate=True)


def _parse(text: str, *, rate: bool) -> int:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or (found[4] and not rate):
        example = "500K or 2.5M/s" if rate else "128K, 1M or 131072"
        raise ValueError(f"{text!a} is not a {'rate' if rate else 'size'}; write it like {example} (K = 1024)")
    scale = _SCALE[found[3].upper()]
    amount = int(found[1]) * scale + round(float(found[2] or 0) * scale)
    if amount > AMOUNT_MAX:
        raise ValueError(f"{text!a} is too large")
    return amount


def parse_seconds(text: str, *, least_s: float, most_s: float) -> float:
    """Seconds from ``15``, ``1.5`` or ``15s``. Raises `ValueError` with one line for people."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?s?", text.strip(), re.IGNORECASE)
    if found is None or not least_s <= float(found[1]) <= most_s:
        raise ValueError(f"{text!a} is not a time from {least_s:g} to {most_s:g} seconds")
    return float(found[1])


def parse_time_of_day(text: str, *, end: bool = False) -> int:
    """Minutes since midnight from ``8:00`` or ``08:00``; `end`: ``24:00`` too. Raises `ValueError`."""
    found = re.fullmatch(r"(\d{1,2}):([0-5]\d)", text, re.ASCII)
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minute < DAY_MINUTES + end:
        raise ValueError(f"{text!a} is no time of the day; write it like 23:30")
    return minute


def show_size(count_bytes: int) -> str:
    """``512 B``, ``64.0 MiB``."""
    return _show(float(count_bytes), "B", ("KiB", "MiB", "GiB", "TiB"))


def show_rate(rate_bytes_s: float) -> str:
    """``512 B/s``, ``7.9 MiB/s``."""
    return _show(rate_bytes_s, "B/s", ("KiB/s", "MiB/s", "GiB/s", "TiB/s"))


def _show(amount: float, small: str, units: tuple[str, ...]) -> str:
    if not math.isfinite(amount) or amount < 0:
        return "?"
    if round(amount) < 1024:
        return f"{round(amount)} {small}"
    for unit in units:
        amount /= 1024
        if round(amount, 1) < 1024 or unit == units[-1]:
            return f"{amount:.1f} {unit}"
    raise AssertionError("there is a last unit")


def show_time(seconds: float) -> str:
    """``0.4 s``, ``8.1 s``, ``2 min 10 s``, ``1 h 05 min``; a day and more as ``3 d 04 h``."""
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    return show_whole_time(seconds)


def show_whole_time(seconds: float) -> str:
    """As `show_time` without tenths, for times that are guesses."""
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def show_percent(part: int, whole: int) -> str:
    """``37 %`` of a known whole; rounded down, so that only everything is 100 %."""
    return f"{100 * part // whole} %" if whole > 0 else "100 %"


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_USUAL: Final = len("Sun, 06 Nov 1994 08:49:37 GMT")


def http_date_s(text: str) -> float | None:
    """Return the Unix time of an HTTP date, None when it is none."""
    if not text:
        return None
    if len(text) == _USUAL and text.isascii():  # nearly all are: `email` need not be loaded
        try:
            _, day, month, year, clock, zone = text.split()
            hour, minute, second = map(int, clock.split(":"))
            if zone == "GMT" and year > "1000":
                month_number = 1 + _MONTHS.index(month)
                return datetime(int(year), month_number, int(day), hour, minute, second, tzinfo=UTC).timestamp()
        except ValueError:
            pass
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
