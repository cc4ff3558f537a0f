"""Evidence between nodes: where the parts of two meet, and whether a source or a node is blamed."""

import pytest

from actors.core.fleet.board import Board
from actors.core.fleet.evidence import Check, Verdict, due_checks, judge
from protocol.model.fleet.rows import ACTIVE, CheckRow, FleetJobRow, PartRow, WindowRow
from protocol.model.job_spec import JobSpec, PieceHashes

PART = 8 << 20
ALL = ("n1", "n2", "n3")


def job(sources: int = 4, *, users: bool = True, parts: int = 6, **fields: object) -> FleetJobRow:
    urls = tuple(f"slsk://u{at}/f" if users else f"http://m{at}/f" for at in range(sources))
    spec = JobSpec(folder="", name="f")
    row = FleetJobRow(id="j", key="k", spec=spec, sources=urls, destination="f", state=ACTIVE, nodes=ALL)
    return row.but(size_bytes=parts * PART, part_bytes=PART, **fields)


def drawn(picture: str, senders: dict[str, tuple[int, ...]], odd: str = "") -> Board:
    """A letter for each part: ``a`` is a part of node n1, ``b`` of n2, ``c`` of n3; `odd` letters are other bytes."""
    board = Board(0, ())
    for number, letter in enumerate(picture):
        node, kind = f"n{'abc'.index(letter) + 1}", "odd" if letter in odd else "right"
        part = PartRow(
            part=number,
            etag=f"{kind}{number}",
            digest=f"{kind}{number}",
            node=node,
            head=f"{kind}{number}",
            sources=senders[letter],
        )
        row = WindowRow(job="j", first=number, stop=number + 1, node=node, instance="", epoch=0, parts=(part,))
        board.set_window(number, row, 0.0)
    return board


def read(board: Board, part: int, node: str, digest: str, *sources: int, head: bool = True) -> None:
    row = CheckRow(job="j", part=part, node=node, digest=digest, epoch=0, head=head, sources=sources)
    board.set_check(f"check.{part}.{node}", row)


def test_only_joints_between_users_that_nothing_ties_are_compared() -> None:
    row = job()
    assert list(due_checks(row, drawn("aaabbb", {"a": (0, 1), "b": (1, 2)}), ALL)) == []  # user 1 sent to both
    board = drawn("aaabbb", {"a": (0,), "b": (1, 2)})
    assert list(due_checks(row, board, ALL)) == [Check(3, "n2", head=True, neighbour="n1")]
    read(board, 3, "n1", "right3", 0)
    assert list(due_checks(row, board, ALL)) == []


def test_windows_of_one_node_that_other_users_sent_are_compared_too() -> None:
    board = drawn("aaaaaa", {"a": (0,)})
    late = board.windows[5].parts[0].but(sources=(3,))
    board.set_window(5, board.windows[5].but(parts=(late,)), 1.0)
    assert list(due_checks(job(), board, ALL)) == [Check(5, "n1", head=True, neighbour="n1")]


def test_a_dead_neighbour_is_compared_by_the_other_one_and_two_dead_ones_by_a_third() -> None:
    board = drawn("aaabbb", {"a": (0,), "b": (1,)})
    assert list(due_checks(job(), board, ("n2", "n3"))) == [Check(2, "n1", head=True, neighbour="n2")]
    assert [check.part for check in due_checks(job(), board, ("n3",))] == [3, 2]
    (check, _) = due_checks(job(), board, ("n3",))
    assert judge(job(), board, check, ("n3",), 0.0) == Verdict(waits=True)
    assert judge(job(), board, check, ("n3",), 1000.0) == Verdict(alone="n2")


def test_the_users_of_the_losing_side_are_excluded_not_its_node() -> None:
    row = job(nodes=("n1", "n2"))
    board = drawn("aaabbb", {"a": (0,), "b": (3,)}, odd="b")
    read(board, 3, "n1", "right3", 0)
    (check,) = due_checks(row, board, ("n1", "n2"))
    assert judge(row, board, check, ("n1", "n2"), 0.0) == Verdict(spoilers=(3,))  # the user that was named first wins
    board.judge(0, (), (3,))
    assert [part.part for part in board.all_stored()] == [0, 1, 2]


def test_more_nodes_go_before_the_order_of_the_sources() -> None:
    row = job()
    board = drawn("aaabbb", {"a": (0,), "b": (1,)}, odd="a")
    read(board, 3, "n1", "odd3", 0)
    (check,) = due_checks(row, board, ALL)
    assert judge(row, board, check, ALL, 0.0) == Verdict(waits=True)
    read(board, 3, "n3", "right3", 2)
    assert judge(row, board, check, ALL, 0.0) == Verdict(spoilers=(0,))


@pytest.mark.parametrize(("senders", "verdict"), [((0,), Verdict(liars=("n2",))), ((0, 1), Verdict(spoilers=(1,)))])
def test_a_node_is_blamed_where_its_sources_gave_others_the_right_bytes(
    senders: tuple[int, ...], verdict: Verdict
) -> None:
    row = job(users=False)
    board = drawn("aaabbb", {"a": (0,), "b": senders}, odd="b")
    check = Check(3, "n2")
    read(board, 3, "n1", "right3", 0, head=False)
    read(board, 3, "n3", "right3", 0, head=False)
    assert judge(row, board, check, ALL, 0.0) == verdict


def test_with_piece_hashes_users_are_not_asked_again() -> None:
    hashes = PieceHashes(piece_algorithm="sha1", piece_bytes=1 << 20)
    row = job().but(spec=JobSpec(folder="", name="f", pieces=hashes))
    assert list(due_checks(row, drawn("aaabbb", {"a": (0,), "b": (1,)}), ALL)) == []
