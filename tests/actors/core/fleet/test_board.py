"""Board of a job: what rows cover, what is missing, and which window is taken next; against a plain model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.fleet.board import (
    HOLD_S,
    STALLED_S,
    USER_PARTS_MAX,
    USERS_HOLD_S,
    WINDOW_PARTS_MAX,
    Board,
    Contest,
)
from protocol.model.fleet.rows import PartRow, WindowRow

JOB = "j"


def part(number: int, node: str = "n1") -> PartRow:
    return PartRow(part=number, etag=f"e{number}", digest=f"d{number}", node=node)


def window(first: int, stop: int, node: str = "n1", *stored: int, epoch: int = 0) -> WindowRow:
    parts = tuple(part(number, node) for number in stored)
    return WindowRow(job=JOB, first=first, stop=stop, node=node, instance=f"{node}-1", epoch=epoch, parts=parts)


def board(*rows: WindowRow) -> Board:
    made = Board(0, ())
    for row in rows:
        made.set_window(row.first, row, 0.0)
    return made


def contest(
    node: str,
    rates: dict[str, float],
    *,
    dead: tuple[str, ...] = (),
    spare: tuple[int, ...] = (),
    end: int = -1,
    as_one: bool = False,
) -> Contest:
    return Contest(
        node=node,
        instance=f"{node}-1",
        living=lambda name, instance: name not in dead and instance == f"{name}-1",
        rate=lambda name: rates[name],
        nodes=tuple(rates),
        spare=frozenset(spare),
        end=end,
        as_one=as_one,
    )


def claimed(drawn: Board, count: int, facts: Contest, now: float = 0.0) -> tuple[int, int] | None:
    claim = drawn.next_claim(count, facts, now, idle=True)
    return (claim.first, claim.stop) if claim is not None else None


def measured(drawn: Board, first: int, stop: int, node: str, seconds: float) -> None:
    drawn.set_window(first, window(first, stop, node), 0.0)
    drawn.set_window(first, window(first, stop, node, *range(first, stop)), seconds)


def test_a_node_that_asks_users_measures_first_and_then_takes_its_share() -> None:
    both = {"n1": 1.0, "n2": 1.0}
    assert claimed(board(), 80, contest("n1", {"n1": 1.0}, as_one=True)) == (0, 80)  # alone: one window, one stop
    assert claimed(board(), 80, contest("n1", both, as_one=True)) == (0, 4)
    assert claimed(board(), 80, contest("n2", both, as_one=True)) == (4, 8)
    drawn = board()
    measured(drawn, 0, 4, "n1", 4.0)
    measured(drawn, 4, 8, "n2", 4 / 3)
    assert claimed(drawn, 80, contest("n2", both, as_one=True), 5.0) == (8, 62)  # three quarters of the rest
    drawn.set_window(8, window(8, 62, "n2"), 5.0)
    assert claimed(drawn, 80, contest("n1", both, as_one=True), 5.0) == (62, 67)  # all of it would take 13 s longer
    drawn.set_window(8, window(8, 72, "n2"), 5.0)
    assert claimed(drawn, 80, contest("n1", both, as_one=True), 5.0) == (72, 80)


def test_a_further_window_of_users_must_save_much() -> None:
    rows = [window(0, 5, "n1", *range(5)), window(5, 20, "n1", *range(5, 20)), window(40, 80, "n2", *range(40, 50))]
    quick = contest("n1", {"n1": 1.0, "n2": 20.0}, as_one=True)
    assert claimed(board(*rows), 80, quick) is None
    slow = contest("n1", {"n1": 1.0, "n2": 0.5}, as_one=True)
    assert claimed(board(*rows), 80, slow) is not None


def test_the_tail_of_what_users_send_is_not_taken_but_all_of_it_where_that_saves_much() -> None:
    rows = [window(0, 20, "n1", *range(20)), window(20, 40, "n2")]
    even = contest("n1", {"n1": 1.0, "n2": 1.0}, as_one=True)
    assert claimed(board(*rows), 40, even, 35.0) is None
    slow = contest("n1", {"n1": 1.0, "n2": 0.1}, as_one=True)
    assert claimed(board(*rows), 40, slow, 25.0) is None
    assert claimed(board(*rows), 40, slow, 35.0) == (20, 40)


def test_a_window_ends_where_the_next_begins() -> None:
    drawn = board(window(0, 10, "n1", 0, 1), window(6, 10, "n2"))
    assert (drawn.reach(0), drawn.reach(6)) == (6, 10)
    assert drawn.missing(0) == [2, 3, 4, 5]
    assert drawn.free(12) == [(10, 12)]


def test_a_hole_behind_a_short_window_is_free_again() -> None:
    assert board(window(0, 10), window(4, 6, "n2")).free(10) == [(6, 10)]


def test_of_two_rows_that_tell_of_a_part_the_inner_one_counts() -> None:
    drawn = board(window(0, 4, "n1", 0, 3), window(3, 4, "n2", 3))
    assert drawn.stored(3).node == "n2"
    drawn.set_window(3, window(3, 4, "n2"), 1.0)
    assert drawn.stored(3).node == "n1"
    drawn.set_window(0, window(0, 4, "n1", 0), 2.0)
    assert not drawn.is_stored(3)
    assert drawn.missing(3) == [3]


def test_rows_of_a_lost_upload_and_of_liars_count_for_nothing() -> None:
    drawn = board(window(0, 2, "n1", 0, 1), window(2, 4, "n2", 2, 3))
    drawn.judge(0, ("n2",))
    assert [each.part for each in drawn.all_stored()] == [0, 1]
    assert drawn.missing(2) == [2, 3]
    drawn.judge(1, ())
    assert drawn.stored_count == 0
    assert drawn.free(4) == [(0, 4)]


def test_a_dead_nodes_window_goes_first_and_what_is_complete_here_before_it() -> None:
    drawn = board(window(0, 4, "n1", 0), window(4, 8, "n2"), window(8, 12, "n1"))
    rates = {"n1": 1.0, "n2": 1.0, "n3": 1.0}
    claim = drawn.next_claim(20, contest("n3", rates, dead=("n1",)), 0.0, idle=True)
    assert claim is not None
    assert claim.over is not None
    assert claim.over.node == "n1"
    claim = drawn.next_claim(20, contest("n3", rates, dead=("n1",), spare=(9,)), 0.0, idle=True)
    assert claim is not None
    assert claim.first == 8


def test_a_free_window_is_half_of_the_nodes_share() -> None:
    claim = board().next_claim(40, contest("n1", {"n1": 1.0, "n2": 3.0}), 0.0, idle=True)
    assert claim is not None
    assert claim.stop - claim.first == 5
    assert claim.over is None
    claim = board().next_claim(4000, contest("n1", {"n1": 1.0}), 0.0, idle=True)
    assert claim is not None
    assert claim.stop - claim.first == WINDOW_PARTS_MAX


def test_a_node_goes_on_into_the_gap_that_it_touches() -> None:
    drawn = board(window(10, 20), window(30, 40, "n2"))
    claim = drawn.next_claim(100, contest("n1", {"n1": 1.0, "n2": 1.0}, end=20), 0.0, idle=False)
    assert claim is not None
    assert claim.first == 20


def test_the_tail_of_the_slowest_window_is_taken_so_that_both_end_at_once() -> None:
    drawn = board(window(0, 12, "slow", 0, 1))
    rates = {"slow": 1.0, "fast": 4.0}
    claim = drawn.next_claim(12, contest("fast", rates), 0.0, idle=True)
    assert claim is not None
    assert (claim.first, claim.stop, claim.over) == (4, 12, None)
    assert drawn.next_claim(12, contest("fast", rates), 0.0, idle=False) is None


def test_nothing_is_taken_where_nothing_is_won() -> None:
    drawn = board(window(0, 2, "n1", 0))
    assert drawn.next_claim(2, contest("n2", {"n1": 1.0, "n2": 1.0}), 0.0, idle=True) is None
    assert drawn.next_claim(2, contest("n2", {"n1": 0.01, "n2": 1.0}), 3.0, idle=True) is not None
    stalled = drawn.next_claim(2, contest("n2", {"n1": 1.0, "n2": 1.0}), 31.0, idle=True)
    assert stalled is not None
    assert stalled.over == drawn.windows[0]


PARTS_OF_40 = st.sets(st.integers(0, 40))
ROWS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from(["n1", "n2"]), PARTS_OF_40, PARTS_OF_40),
    max_size=25,
)


@given(rows=ROWS, gone=st.sets(st.integers(0, 30)), banned=st.sampled_from([(), ("n2",)]), within=st.integers(0, 20))
@settings(deadline=None)
def test_the_board_is_what_its_rows_say(
    rows: list[tuple[int, int, str, set[int], set[int]]], gone: set[int], banned: tuple[str, ...], within: int
) -> None:
    drawn, last = Board(0, ()), {}
    for at, (first, length, node, stored, ahead) in enumerate(rows):
        row = window(first, first + length, node, *stored, epoch=at % 7 == 6)
        row = row.but(ahead=tuple(part(number, node) for number in sorted(ahead)))
        drawn.set_window(first, row, float(at))
        last[first] = row
    drawn.judge(0, banned)
    for first in gone & set(last):
        drawn.set_window(first, None, 99.0)
        del last[first]
    counted = {first: row for first, row in last.items() if row.epoch == 0}
    stored = {each.part for row in counted.values() for each in row.parts if each.node not in banned}
    assert {each.part for each in drawn.all_stored()} == stored
    covered: set[int] = set()
    for first, row in counted.items():
        stop = min([row.stop, *(other for other in counted if other > first)])
        assert drawn.reach(first) == stop
        assert drawn.missing(first) == [number for number in range(first, stop) if number not in stored]
        covered.update(range(first, stop))
    free = {number for begin, end in drawn.free(45) for number in range(begin, end)}
    assert free == set(range(45)) - covered - stored
    for number in stored:
        telling = [
            first for first, row in counted.items() if row.node not in banned and number in {p.part for p in row.parts}
        ]
        assert sorted(drawn.telling(number)) == sorted(telling)
        assert drawn.stored(number).node == counted[max(telling)].node
    sent = [each for _, row in sorted(counted.items()) for each in row.ahead if within <= each.part < within + 9]
    assert drawn.sent_ahead(within, within + 9) == tuple(
        each for each in sent if each.node not in banned and each.part not in stored
    )
    for node in ("n1", "n2"):
        held = [first for first, row in sorted(counted.items()) if row.node == node]
        assert drawn.windows_of(node) == len(held)
        assert drawn.held_by(node, f"{node}-1") == [first for first in held if drawn.missing(first)]
        assert drawn.held_by(node, "another process") == []


# --- which window, to the part and to the second ---


def next_of(drawn: Board, facts: Contest, now: float = 0.0, *, count: int = 100, idle: bool = True) -> tuple[int, ...]:
    """First and stop of the claim and whether it replaces a row; nothing where nothing is taken."""
    claim = drawn.next_claim(count, facts, now, idle=idle)
    return (claim.first, claim.stop, claim.over is not None) if claim is not None else ()


def test_free_parts_are_taken_where_this_node_is_then_where_something_is_complete_then_from_the_largest_gap() -> None:
    rows = [window(0, 10, "n2"), window(20, 25, "n2"), window(60, 70, "n2"), window(75, 80, "n2")]
    alone = {"n1": 1.0}
    assert next_of(board(*rows), contest("n1", alone, end=10), count=80) == (10, 20, False)
    assert next_of(board(*rows), contest("n1", alone, end=70), count=80) == (70, 75, False)
    assert next_of(board(*rows), contest("n1", alone, spare=(73, 72, 12)), count=80) == (12, 20, False)
    assert next_of(board(*rows), contest("n1", alone, spare=(73, 72, 22)), count=80) == (72, 75, False)
    assert next_of(board(*rows), contest("n1", alone), count=80) == (25, 41, False)
    assert next_of(board(*rows), contest("n1", {"n1": 1.0, "n3": 9.0}), count=80) == (25, 27, False)


def test_a_free_window_has_at_least_one_part_and_nodes_begin_at_places_of_their_own() -> None:
    rates = {"n1": 0.01, "n2": 1.0, "n3": 1.0, "n4": 1.0}
    assert [next_of(board(), contest(node, rates))[0] for node in rates] == [0, 25, 50, 75]
    assert next_of(board(), contest("n1", rates)) == (0, 1, False)
    assert next_of(board(window(0, 98)), contest("n2", rates)) == (98, 99, False)
    assert next_of(board(), contest("n2", {"n1": 1.0, "n2": 3.0}), count=16) == (8, 14, False)
    assert next_of(board(), contest("n5", rates | {"n5": 1.0})) == (80, 92, False)  # a newcomer that the row names


def test_windows_of_the_dead_are_divided_among_the_nodes() -> None:
    dead = [window(first, first + 5, "n9", first) for first in range(0, 40, 5)]
    rates = {"n1": 1.0, "n2": 1.0, "n3": 1.0, "n4": 1.0}
    found = [next_of(board(*dead), contest(node, rates, dead=("n9",)), count=40) for node in rates]
    assert found == [(0, 5, True), (10, 15, True), (20, 25, True), (30, 35, True)]
    whole = [window(first, first + 5, "n9", *range(first, first + 5)) for first in range(0, 40, 5)]
    assert next_of(board(*whole), contest("n1", rates, dead=("n9",)), count=40) == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "first"),
    [(4.0, 1.0, 4), (1.0, 1.0, 7), (0.5, 1.0, 9), (0.05, 1.0, None), (10.0, 10.0, 7), (20.0, 20.0, None)],
)
def test_the_tail_is_as_long_as_both_need_equally_long_for(mine: float, theirs: float, first: int | None) -> None:
    drawn = board(window(0, 12, "n2", 0, 1))
    facts = contest("n1", {"n1": mine, "n2": theirs})
    assert next_of(drawn, facts, count=12) == ((first, 12, False) if first is not None else ())


def test_the_tail_is_that_of_the_node_that_would_be_ready_last_in_its_last_window() -> None:
    drawn = board(window(0, 10, "n2"), window(10, 30, "n3"), window(30, 40, "n2"))
    facts = contest("n1", {"n1": 1.0, "n2": 1.0, "n3": 2.0})
    assert next_of(drawn, facts, count=40) == (31, 40, False)
    slow = contest("n1", {"n1": 1.0, "n2": 1.0, "n3": 0.5})
    assert next_of(drawn, slow, count=40) == (17, 30, False)


@pytest.mark.parametrize(("at", "claim"), [(HOLD_S, (7, 8, False)), (HOLD_S + 0.1, (6, 8, True))])
def test_a_whole_window_of_a_living_node_is_taken_only_after_a_while(at: float, claim: tuple[int, ...]) -> None:
    drawn = board(window(0, 6, "n2"), window(6, 8, "n2"))
    assert next_of(drawn, contest("n1", {"n1": 4.0, "n2": 1.0}), at, count=8) == claim


def test_a_last_part_that_is_all_of_its_window_is_left_for_a_while() -> None:
    drawn = board(window(0, 6, "n2"), window(6, 7, "n2"))
    facts = contest("n1", {"n1": 4.0, "n2": 1.0})
    assert next_of(drawn, facts, HOLD_S, count=7) == ()
    assert next_of(drawn, facts, HOLD_S + 0.1, count=7) == (6, 7, True)


@pytest.mark.parametrize(
    ("mine", "theirs", "at", "taken"),
    [
        (1.0, 0.1, HOLD_S, False),
        (1.0, 0.1, 2.9, True),  # 7.1 s more of it, 2 + 5 s here
        (1.0, 0.1, 3.1, False),
        (1.0, 1.0, STALLED_S, False),
        (1.0, 1.0, STALLED_S + 0.1, True),
        (1.0, 0.05, 3 * 20.0, False),
        (1.0, 0.05, 3 * 20.0 + 0.1, True),
        (0.05, 1.0, 3 * 20.0, False),
        (0.05, 1.0, 3 * 20.0 + 0.1, True),
    ],
)
def test_a_late_last_part_is_taken_where_that_saves_seconds_or_its_holder_has_stopped(
    mine: float, theirs: float, at: float, *, taken: bool
) -> None:
    drawn = board(window(0, 4, "n2", 0, 1, 2))
    claim = next_of(drawn, contest("n1", {"n1": mine, "n2": theirs}), at, count=4)
    assert claim == ((0, 4, True) if taken else ())


def test_of_a_late_window_with_several_parts_only_a_stopped_one_is_taken() -> None:
    drawn = board(window(0, 4, "n2", 0, 1))
    quick = contest("n1", {"n1": 20.0, "n2": 20.0})
    assert next_of(drawn, quick, STALLED_S, count=4) == ()
    assert next_of(drawn, quick, STALLED_S + 0.1, count=4) == (0, 4, True)
    assert next_of(board(window(0, 4, "n1", 0, 1)), quick, 99.0, count=4) == (), "its own is not taken from it"


@pytest.mark.parametrize(
    ("mine", "theirs", "at", "taken"),
    [
        (1.0, 20 / 74.9, 35.0, False),  # 20 s here: it must save 20 s more
        (1.0, 20 / 75.1, 35.0, True),
        (10.0, 20 / 46.9, 35.0, False),  # 2 s here: 10 s
        (10.0, 20 / 47.1, 35.0, True),
        (10.0, 0.01, USERS_HOLD_S, False),
        (10.0, 0.01, USERS_HOLD_S + 0.1, True),
    ],
)
def test_users_are_disturbed_for_the_window_of_a_slow_node_only_where_that_saves_much(
    mine: float, theirs: float, at: float, *, taken: bool
) -> None:
    drawn = board(window(0, 20, "n2"))
    claim = next_of(drawn, contest("n1", {"n1": mine, "n2": theirs}, as_one=True), at, count=20)
    assert claim == ((0, 20, True) if taken else ())


def test_first_windows_of_users_lie_side_by_side_and_are_a_tenth_of_the_file_together() -> None:
    rates = {"n1": 1.0, "n2": 1.0, "n3": 1.0}
    assert [next_of(board(), contest(node, rates, as_one=True), count=90) for node in rates] == [
        (0, 3, False),
        (3, 6, False),
        (6, 9, False),
    ]
    assert next_of(board(), contest("n2", rates, as_one=True), count=9) == (1, 2, False)
    assert next_of(board(), contest("n1", rates, as_one=True), count=9000) == (0, USER_PARTS_MAX, False)
    taken = board(window(0, 5, "n1"))
    assert next_of(taken, contest("n2", rates, as_one=True), count=90) == (5, 8, False)
    tight = board(window(0, 4, "n1"), window(6, 90, "n3"))
    assert next_of(tight, contest("n2", rates, as_one=True), count=90) == (4, 6, False)


def test_the_pace_of_a_node_in_its_windows_divides_the_rest() -> None:
    drawn = board()
    measured(drawn, 0, 4, "n1", 0.5)
    measured(drawn, 4, 8, "n2", 4.0)
    both = {"n1": 1.0, "n2": 1.0}
    assert next_of(drawn, contest("n1", both, as_one=True), 5.0, count=53) == (8, 48, False)  # eight ninths of 45
    assert next_of(drawn, contest("n2", both, as_one=True), 5.0, count=53) == (8, 13, False)


def test_a_node_whose_window_is_not_complete_counts_as_slow_as_it_is_by_now() -> None:
    drawn = board()
    measured(drawn, 0, 4, "n1", 4.0)
    drawn.set_window(4, window(4, 8, "n2"), 0.0)
    both = {"n1": 1.0, "n2": 1.0}
    assert next_of(drawn, contest("n1", both, as_one=True), 3.0, count=48) == (8, 28, False)
    assert next_of(drawn, contest("n1", both, as_one=True), 12.0, count=48) == (8, 38, False)


def test_a_node_that_is_not_idle_asks_no_users_for_more() -> None:
    assert next_of(board(), contest("n1", {"n1": 1.0}, as_one=True), idle=False) == ()


def test_windows_of_this_node_and_young_ones_are_passed_over_in_the_search_for_a_slow_one() -> None:
    drawn = board(window(0, 20, "n1"), window(20, 40, "n3"), window(40, 60, "n2"))
    drawn.set_window(20, window(20, 40, "n3", 20), 34.0)
    rates = {"n1": 1.0, "n2": 0.1, "n3": 0.1}
    assert next_of(drawn, contest("n1", rates, as_one=True), 35.0, count=60) == (40, 60, True)
    late = board(window(0, 4, "n1", 0, 1), window(4, 5, "n3"), window(5, 6, "n2"))
    late.set_window(4, window(4, 5, "n3"), 3.0)
    claim = next_of(late, contest("n1", {"n1": 1.0, "n2": 0.05, "n3": 0.05}), 4.0, count=6)
    assert claim == (5, 6, True)
