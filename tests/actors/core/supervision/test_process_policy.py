"""When a dead process is started again: at once, then later and later, then not any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.supervision.process_policy import BACK_OFF_MAX_S, HealthPolicy, RestartPolicy


def waits(*died_s: float, restarts_max: int = 4) -> list[float | None]:
    restarts = RestartPolicy(restarts_max=restarts_max, window_s=60.0)
    return [restarts.died("store", now_s=now_s) for now_s in died_s]


@pytest.mark.parametrize(
    ("died_s", "expected"),
    [
        ((0,), [0.0]),
        ((0, 1), [0.0, 0.1]),
        ((0, 1, 2, 3), [0.0, 0.1, 0.2, 0.4]),
        ((0, 1, 2, 3, 4), [0.0, 0.1, 0.2, 0.4, None]),
        ((0, 60), [0.0, 0.0]),
        ((0, 59), [0.0, 0.1]),
        ((0, 1, 2, 3, 4, 61.5), [0.0, 0.1, 0.2, 0.4, None, 0.2]),
    ],
)
def test_the_first_restart_is_immediate_the_next_wait_longer_and_there_is_an_end(
    died_s: tuple[float, ...], expected: list[float | None]
) -> None:
    assert waits(*died_s) == pytest.approx(expected)


def test_no_wait_is_longer_than_the_limit() -> None:
    assert waits(*range(20), restarts_max=20)[-1] == BACK_OFF_MAX_S


def test_the_same_failure_again_and_again_is_not_mended_by_restarts_however_slowly_it_comes() -> None:
    restarts = RestartPolicy()
    waits_s = [restarts.died("hub", failure="KeyError: 7", now_s=300.0 * count) for count in range(4)]
    assert waits_s == [0.0, 0.0, 0.0, None]
    assert restarts.given_up == "it was restarted 3 times after the same failure"
    assert restarts.died("hub", failure="KeyError: 8", now_s=1200.0) == 0.0, "another one is news"
    assert restarts.died("store", failure="KeyError: 7", now_s=1200.0) == 0.0
    assert restarts.died("hub", now_s=2000.0) == 0.0, "a death without an exception may have any cause"
    assert restarts.died("hub", failure="KeyError: 7", now_s=3601.0) == 0.0


def test_every_process_is_counted_for_itself() -> None:
    restarts = RestartPolicy(restarts_max=1)
    assert restarts.died("store", now_s=0.0) == 0.0
    assert restarts.died("hub", now_s=0.0) == 0.0
    assert restarts.died("store", now_s=0.0) is None


@given(st.lists(st.floats(0, 20), max_size=80), st.integers(1, 6))
def test_there_are_never_more_restarts_within_a_window_than_allowed(gaps_s: list[float], restarts_max: int) -> None:
    restarts = RestartPolicy(restarts_max=restarts_max, window_s=30.0)
    now_s, begun = 0.0, list[float]()
    for gap_s in gaps_s:
        now_s += gap_s
        wait_s = restarts.died("hub", now_s=now_s)
        recent = [at for at in begun if at > now_s - 30.0]
        assert (wait_s is None) == (len(recent) >= restarts_max)
        if wait_s is not None:
            assert 0.0 <= wait_s <= BACK_OFF_MAX_S
            assert (wait_s == 0.0) == (not recent)
            now_s += wait_s
            begun.append(now_s)


@pytest.mark.parametrize(
    ("ready", "age_s", "unanswered", "memory_bytes", "expected"),
    [
        (True, 99.0, 4, 1 << 20, ""),
        (True, 99.0, 0, -1, ""),
        (False, 60.0, 0, -1, ""),
        (False, 1.0, 0, -1, ""),
        (False, 60.1, 0, -1, "not ready after 60 s, killed"),
        (True, 99.0, 5, -1, "silent: 5 pings without an answer, killed"),
        (True, 99.0, 0, (2 << 20) + 1, "too large: 2 MiB of memory, at most 2, killed"),
    ],
)
def test_what_makes_a_living_process_as_good_as_dead(
    ready: bool, age_s: float, unanswered: int, memory_bytes: int, expected: str
) -> None:
    health_policy = HealthPolicy(memory_bytes_max=2 << 20)
    shown = health_policy.kill_reason(ready=ready, age_s=age_s, unanswered=unanswered, memory_bytes=memory_bytes)
    assert shown == expected


def test_a_process_may_have_a_gibibyte_of_its_own() -> None:
    health = HealthPolicy()
    assert health.kill_reason(ready=True, age_s=1.0, unanswered=0, memory_bytes=1 << 30) == ""
    assert "at most 1024" in health.kill_reason(ready=True, age_s=1.0, unanswered=0, memory_bytes=(1 << 30) + 1)


def test_waits_double_from_a_tenth_of_a_second_up_to_two_and_after_ten_there_is_an_end() -> None:
    restarts = RestartPolicy()
    shown = [restarts.died("hub", now_s=float(at)) for at in range(11)]
    assert shown[:-1] == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0])
    assert (shown[-1], restarts.given_up) == (None, "it was restarted 10 times within 60 s")
    assert restarts.died("hub", now_s=59.9) is None
    assert restarts.died("hub", now_s=60.0) == 2.0, "the first of ten is a minute old"


def test_three_restarts_after_the_same_failure_are_enough_for_an_hour() -> None:
    restarts = RestartPolicy()
    for at in (0.0, 100.0, 200.0):
        assert restarts.died("hub", failure="OSError", now_s=at) == 0.0
    assert restarts.died("hub", failure="OSError", now_s=3599.0) is None
    assert restarts.died("hub", failure="OSError", now_s=3600.0) == 0.0
    assert restarts.died("hub", failure="OSError", now_s=3699.0) is None
