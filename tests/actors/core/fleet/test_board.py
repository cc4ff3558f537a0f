"""Board of a job: what rows cover, what is missing, and which window is taken next; against a plain model."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.fleet.board import WINDOW_PARTS_MAX, Board, Contest
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


ROWS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from(["n1", "n2"]), st.sets(st.integers(0, 40))),
    max_size=25,
)


@given(rows=ROWS, gone=st.sets(st.integers(0, 30)), banned=st.sampled_from([(), ("n2",)]))
@settings(max_examples=150, deadline=None)
def test_the_board_is_what_its_rows_say(
    rows: list[tuple[int, int, str, set[int]]], gone: set[int], banned: tuple[str, ...]
) -> None:
    drawn, last = Board(0, ()), {}
    for at, (first, length, node, stored) in enumerate(rows):
        row = window(first, first + length, node, *stored, epoch=at % 7 == 6)
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
