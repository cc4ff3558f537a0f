"""How fast all jobs together may be, at each time of the week."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.jobs.bandwidth import WEEK_S, limit_at, next_change_s
from protocol.messages import ConfigureJobManager, LimitTotal, ProcessReady, SetSchedule, SetTotalLimit, Ticked
from protocol.model.job_policy import JobPolicy, LimitWindow, settings_json, settings_of
from tests.actors.core.jobs.rig import GATEWAY, Rig

MONDAY, TUESDAY, SUNDAY = 0, 86_400, 6 * 86_400
HOUR = 3600


def window(days: tuple[int, ...], begin_h: int, end_h: int, limit: int) -> LimitWindow:
    return LimitWindow(days=days, begin_minute=begin_h * 60, end_minute=end_h * 60, limit_bytes_s=limit)


OFFICE = window((0, 1, 2, 3, 4), 8, 18, 100)
NIGHT = window((6,), 22, 6, 0)
SETTINGS = JobPolicy(limit_bytes_s=500, schedule=(OFFICE, NIGHT))


@pytest.mark.parametrize(
    ("week_s", "limit"),
    [
        (MONDAY + 8 * HOUR - 1, 500),
        (MONDAY + 8 * HOUR, 100),
        (MONDAY + 18 * HOUR - 1, 100),
        (MONDAY + 18 * HOUR, 500),
        (SUNDAY + 12 * HOUR, 500),
        (SUNDAY + 22 * HOUR, 0),
        (MONDAY + 6 * HOUR - 1, 0),  # Sunday's night ends on Monday
        (MONDAY + 6 * HOUR, 500),
        (TUESDAY + 5 * HOUR, 500),
    ],
)
def test_the_first_window_that_fits_holds(week_s: int, limit: int) -> None:
    assert limit_at(SETTINGS, -1, week_s) == limit


def test_a_window_without_a_length_is_a_whole_day() -> None:
    settings = JobPolicy(schedule=(window((2,), 0, 0, 7),))
    assert [limit_at(settings, -1, day * 86_400 + 5) for day in range(7)] == [0, 0, 7, 0, 0, 0, 0]


def test_what_someone_said_holds_whatever_the_schedule_says() -> None:
    assert limit_at(SETTINGS, 42, MONDAY + 9 * HOUR) == 42
    assert limit_at(SETTINGS, 0, MONDAY + 9 * HOUR) == 0


WINDOWS = st.builds(
    LimitWindow,
    days=st.lists(st.integers(0, 6), max_size=3).map(tuple),
    begin_minute=st.integers(0, 1439),
    end_minute=st.integers(0, 1440),
    limit_bytes_s=st.integers(0, 2),
)


@given(windows=st.lists(WINDOWS, max_size=4), week_s=st.integers(0, WEEK_S - 1), part=st.floats(0, 1))
def test_nothing_changes_before_the_next_change(windows: list[LimitWindow], week_s: int, part: float) -> None:
    settings = JobPolicy(limit_bytes_s=1, schedule=tuple(windows))
    wait = next_change_s(settings, week_s)
    now = limit_at(settings, -1, week_s)
    assert limit_at(settings, -1, (week_s + int(part * (wait - 1))) % WEEK_S) == now
    assert wait == WEEK_S or limit_at(settings, -1, (week_s + wait) % WEEK_S) != now


def test_settings_come_back_from_json_and_wrong_ones_are_named() -> None:
    assert settings_of(settings_json(SETTINGS)) == SETTINGS
    with pytest.raises(ValueError, match="jobs_active_max"):
        settings_of(b'{"jobs_active_max": "many"}')


# -- the job manager


def at(rig: Rig, week_s: int) -> list[LimitTotal]:
    """The clock is set, and a tick comes."""
    rig.s = 604_800 + week_s
    rig.hear(Ticked())
    return rig.all_heard(LimitTotal)


def test_the_hub_hears_of_another_limit_when_its_time_comes_and_once() -> None:
    rig = Rig(SETTINGS)
    assert at(rig, MONDAY + 9 * HOUR) == [LimitTotal(limit_bytes_s=100)]
    assert at(rig, MONDAY + 10 * HOUR) == []
    assert at(rig, MONDAY + 19 * HOUR) == [LimitTotal(limit_bytes_s=500)]


def test_a_limit_that_was_set_outlives_the_job_manager_but_not_the_daemon() -> None:
    rig = Rig(SETTINGS)
    at(rig, MONDAY + 9 * HOUR)
    rig.hear(SetTotalLimit(request=1, reply_to=GATEWAY, limit_bytes_s=7))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=7)]
    rig.begin(fresh=False)
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=7)]
    rig.hear(ProcessReady(process="hub", pid=1))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=7)], "a new hub knows of none"
    rig.begin(fresh=True)
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=100)]


def test_without_a_word_of_it_again_the_schedule_holds_again() -> None:
    rig = Rig(SETTINGS)
    at(rig, MONDAY + 9 * HOUR)
    rig.hear(SetTotalLimit(request=1, reply_to=GATEWAY, limit_bytes_s=0))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=0)]
    rig.hear(SetTotalLimit(request=2, reply_to=GATEWAY, limit_bytes_s=-1))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=100)]
    rig.hear(SetTotalLimit(request=3, reply_to=GATEWAY, limit_bytes_s=-2))
    assert rig.refusal().field == "limit_bytes_s"


def test_a_schedule_that_was_set_outlives_the_daemon_and_its_configuration() -> None:
    rig = Rig(SETTINGS)
    assert at(rig, MONDAY + 9 * HOUR) == [LimitTotal(limit_bytes_s=100)]
    assert rig.manager.counts({}).schedule == (OFFICE, NIGHT)
    morning = window((0,), 8, 12, 33)
    rig.hear(SetSchedule(request=1, reply_to=GATEWAY, windows=(morning,)))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=33)]
    rig.begin(fresh=True)
    rig.hear(ConfigureJobManager(settings=settings_json(SETTINGS)))
    assert rig.manager.counts({}).schedule == (morning,)
    assert at(rig, MONDAY + 13 * HOUR)[-1:] == [LimitTotal(limit_bytes_s=500)]
    rig.hear(SetSchedule(request=2, reply_to=GATEWAY, windows=()))
    assert at(rig, MONDAY + 9 * HOUR) == [], "none at all is a schedule, too"
    rig.hear(SetSchedule(request=3, reply_to=GATEWAY, windows=None))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=100)]
    assert rig.store.schedule is None


@pytest.mark.parametrize(
    "wrong", [window((), 1, 2, 3), window((7,), 1, 2, 3), window((0,), 24, 2, 3), window((0,), 1, 2, -1)]
)
def test_a_schedule_of_no_sense_changes_nothing(wrong: LimitWindow) -> None:
    rig = Rig(SETTINGS)
    rig.hear(SetSchedule(request=1, reply_to=GATEWAY, windows=(OFFICE, wrong)))
    assert (rig.refusal().kind, rig.refusal().field) == ("invalid", "schedule")
    assert rig.manager.counts({}).schedule == (OFFICE, NIGHT)


@pytest.mark.parametrize("right", [window((0, 6), 0, 24, 0), window((3,), 23, 0, 1)])
def test_a_schedule_may_lift_the_limit_and_reach_over_midnight(right: LimitWindow) -> None:
    rig = Rig(SETTINGS)
    rig.hear(SetSchedule(request=1, reply_to=GATEWAY, windows=(right,)))
    assert rig.manager.counts({}).schedule == (right,)


def test_settings_that_were_read_again_hold_from_then_on() -> None:
    rig = Rig(jobs_active_max=1)
    rig.order(name="1")
    rig.order(name="2")
    rig.hear(ConfigureJobManager(settings=settings_json(JobPolicy(jobs_active_max=2, limit_bytes_s=9))))
    assert rig.all_heard(LimitTotal) == [LimitTotal(limit_bytes_s=9)]
    assert rig.started() == [2]
    rig.hear(ConfigureJobManager(settings=b"{}nonsense"))
    assert rig.manager.policy.jobs_active_max == 2


def test_of_the_jobs_that_start_together_as_many_search_as_may() -> None:
    rig = Rig(jobs_active_max=1)
    rig.order(name="1")
    for name in "234":
        rig.order(name=name, urls=(), term=f"words {name}")
    rig.hear(ConfigureJobManager(settings=settings_json(JobPolicy(jobs_active_max=4, searching_max=2))))
    assert rig.started() == [2, 3]
