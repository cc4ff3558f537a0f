"""Whether one more user is disturbed: rates are MiB/s, sizes MiB."""

import pytest

from actors.core.dispatch.gate import (
    HOLD_S_MAX,
    PRIOR_BYTES_S,
    Decision,
    User,
    decide,
    forecast,
    guess_bytes_s,
    opens,
    worth_it,
)

MIB = float(1 << 20)


def user(rate: float = 0.0, *, sends: bool = False, measured: bool = True) -> User:
    return User(rate * MIB, sends, measured and rate > 0)


def decision(size: float, *users: User, candidate: User, free: float = 0.0, held_s: float = 0.0) -> Decision:
    crowd = [*users, candidate]
    return decide(size * MIB, crowd, candidate, free_bytes_s=free * MIB, patience_s=15.0, held_s=held_s)


@pytest.mark.parametrize(
    ("before_s", "after_s", "worth"),
    [
        (20, 5, True),
        (20, 5.1, False),
        (60, 45, True),
        (61, 46, False),
        (100, 75, True),
        (100, 76, False),
        (10, 1, False),
    ],
)
def test_a_gain_must_be_fifteen_seconds_and_a_quarter_of_what_is_left(
    before_s: float, after_s: float, worth: bool
) -> None:
    assert worth_it(before_s, after_s, 15.0) is worth


def test_the_first_to_grant_is_always_taken() -> None:
    assert decision(1, candidate=user()) is Decision.JOIN
    assert decision(1, user(9), candidate=user()) is Decision.JOIN, "another is known, but does not send"


def test_the_only_one_is_taken_though_its_stops_are_spent() -> None:
    assert decide(MIB, [], user(1), free_bytes_s=0, patience_s=15, held_s=0) is Decision.JOIN


def test_a_slow_user_waits_a_moment_for_one_that_is_known_to_be_much_faster() -> None:
    assert decision(25, user(8), candidate=user(0.5)) is Decision.HOLD
    assert decision(25, user(8), candidate=user(0.5), held_s=HOLD_S_MAX) is Decision.JOIN
    assert decision(25, user(8), candidate=user(7)) is Decision.JOIN, "it is nearly as fast"
    assert decision(25, user(8), candidate=user()) is Decision.JOIN, "it may be faster still"


def test_beside_mirrors_a_user_must_gain_something_too() -> None:
    assert decision(10, candidate=user(1), free=5) is Decision.SHUT
    assert decision(1000, candidate=user(5), free=5) is Decision.JOIN


@pytest.mark.parametrize(("size", "joins"), [(3, False), (29, False), (33, True), (500, True)])
def test_a_second_user_as_fast_as_the_first_is_disturbed_only_for_a_large_file(size: float, joins: bool) -> None:
    judged = decision(size, user(1, sends=True), candidate=user(1))
    assert judged is (Decision.JOIN if joins else Decision.SHUT)


def test_a_fast_first_user_keeps_the_file_and_a_slow_one_does_not() -> None:
    assert decision(48, user(8, sends=True), candidate=user()) is Decision.SHUT
    assert decision(48, user(0.16, sends=True), candidate=user()) is Decision.JOIN


def test_a_slow_user_brings_a_large_job_nothing() -> None:
    assert decision(500, user(5, sends=True), candidate=user(0.5)) is Decision.SHUT


def test_an_offer_is_held_while_the_sender_is_not_measured_but_not_for_long() -> None:
    sender = user(sends=True)
    assert decision(500, sender, candidate=user(), held_s=HOLD_S_MAX - 0.1) is Decision.HOLD
    assert decision(500, sender, candidate=user(), held_s=HOLD_S_MAX) is Decision.SHUT


def test_an_unknown_user_counts_like_the_mean_of_the_prior_and_the_others() -> None:
    assert guess_bytes_s([]) == PRIOR_BYTES_S
    assert guess_bytes_s([user(3.0), user(), user(2.0)]) == pytest.approx(2 * MIB)


@pytest.mark.parametrize(("count", "size", "open_"), [(20, 258, True), (4, 50, False), (6, 250, True), (2, 500, False)])
def test_many_unknown_users_open_the_gate_for_a_large_file(count: int, size: float, open_: bool) -> None:
    """Two cannot: the better of them alone is as good as both are expected to be."""
    assert opens(forecast(size * MIB, [user()] * count, 0.0), 15.0) is open_


def test_the_gate_stays_shut_where_the_best_single_user_is_nearly_as_good_as_all() -> None:
    users = [user(8, sends=True), user(1), user(0.5), user(0.1)]
    assert not opens(forecast(1000 * MIB, users, 0.0), 15.0)
    assert opens(forecast(1000 * MIB, [user(2, sends=True), user(2), user(2), user(2)], 0.0), 15.0)


def test_mirrors_count_with_every_prediction() -> None:
    assert forecast(100 * MIB, [user(5, sends=True), user(5)], 10 * MIB).together_s == pytest.approx(6.0)
    assert forecast(100 * MIB, [user(5, sends=True), user(5)], 10 * MIB).alone_s == pytest.approx(100 / 15)


def test_more_patience_disturbs_fewer() -> None:
    users = [user(1, sends=True), user(1)]
    assert decide(40 * MIB, users, users[1], free_bytes_s=0, patience_s=15, held_s=0) is Decision.JOIN
    assert decide(40 * MIB, users, users[1], free_bytes_s=0, patience_s=60, held_s=0) is Decision.SHUT
