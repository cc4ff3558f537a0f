"""Schedules of limits as people write them, and as they are shown again."""

from typing import Any

import pytest

from protocol.cli.schedule import schedule_lines, windows_of
from protocol.model.errors import BadUsage


def window(days: list[int], begin: int, end: int, limit: int) -> dict[str, Any]:
    return {"days": days, "beginMinute": begin, "endMinute": end, "limit": limit}


@pytest.mark.parametrize(
    ("word", "expected", "shown"),
    [
        ("mon-fri 8:00-18:00 500K", window([0, 1, 2, 3, 4], 480, 1080, 512_000),
         "mon-fri 08:00-18:00: at most 500.0 KiB/s"),
        ("01:00-07:30 0", window([0, 1, 2, 3, 4, 5, 6], 60, 450, 0), "daily 01:00-07:30: no limit"),
        ("Sat,sun 0:00-24:00 1M/s", window([5, 6], 0, 1440, 1 << 20), "sat-sun 00:00-24:00: at most 1.0 MiB/s"),
        ("fri-mon 22:00-6:00 2M", window([0, 4, 5, 6], 1320, 360, 2 << 20),
         "mon,fri-sun 22:00-06:00: at most 2.0 MiB/s"),
        ("wed 1:00-1:00 1K", window([2], 60, 60, 1024), "wed 01:00-01:00: at most 1.0 KiB/s"),
    ],
)  # fmt: skip
def test_a_window_is_read_and_shown(word: str, expected: dict[str, Any], shown: str) -> None:
    assert windows_of([word]) == [expected]
    assert schedule_lines([expected]) == [shown]


def test_windows_keep_their_order_and_none_and_the_configuration_s_can_be_asked_for() -> None:
    found = windows_of(["mon 1:00-2:00 0", "1:00-3:00 1M"])
    assert found is not None
    assert [each["endMinute"] for each in found] == [120, 180]
    assert windows_of(["off"]) == []
    assert windows_of(["auto"]) is None


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("", "write it like 'mon-fri 8:00-18:00 500K'"),
        ("8:00-18:00", "write it like"),
        ("mon 8-18 1M", "write it like"),
        ("mon tue 8:00-18:00 1M", "write it like"),
        ("off 8:00-9:00 1M", "the days are mon, tue"),
        ("mon- 8:00-9:00 1M x", "write it like"),
        ("mon-xxx 8:00-9:00 1M", "the days are mon, tue"),
        ("24:00-9:00 1M", "no such time"),
        ("8:60-9:00 1M", "no such time"),
        ("8:00-24:01 1M", "no such time"),
        ("8:00-9:00 fast", "'fast' is not a rate"),
    ],
)
def test_a_mistake_is_said_in_one_line(word: str, error: str) -> None:
    with pytest.raises(BadUsage) as caught:
        windows_of([word])
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)
