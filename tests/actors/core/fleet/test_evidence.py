"""Evidence between nodes: where the parts of two meet, and whether a source or a node is blamed."""

import pytest

from actors.core.fleet.board import Board
from actors.core.fleet.evidence import (
    CHECK_S_MAX,
    CHECKS_S_MAX,
    Check,
    Verdict,
    asked,
    candidates,
    due_checks,
    is_answer,
    judge,
)
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


SIX = ("n1", "n2", "n3", "n4", "n5", "n6")


@pytest.mark.parametrize(
    ("answers", "waited_s", "count"),
    [
        ({}, 0.0, 1),
        ({}, CHECK_S_MAX - 0.1, 1),
        ({}, CHECK_S_MAX, 2),
        ({}, 2 * CHECK_S_MAX, 3),
        ({"n1": "right3"}, 0.0, 1),
        ({"n1": ""}, 0.0, 2),
        ({"n1": "", "n3": ""}, 0.0, 3),
        ({"n1": "odd"}, 0.0, 3),
        ({"n1": "odd", "n3": "right3"}, CHECK_S_MAX, 4),
    ],
)
def test_one_node_is_asked_and_more_where_it_cannot_say_is_late_or_says_another_digest(
    answers: dict[str, str], waited_s: float, count: int
) -> None:
    row = job(users=False, nodes=SIX)
    board = drawn("aaabbb", {"a": (0,), "b": (0,)})
    for node, digest in answers.items():
        read(board, 3, node, digest, head=False)
    check = Check(3, "n2")
    due = asked(row, board, check, SIX, waited_s)
    assert len(due) == count
    assert due == candidates(row, check, SIX)[:count]


def test_nodes_that_live_and_are_not_banned_are_asked_the_neighbour_first() -> None:
    row = job(nodes=SIX, banned=("n4",))
    found = candidates(row, Check(3, "n2", head=True, neighbour="n6"), ("n1", "n2", "n4", "n5", "n6"))
    assert (found[0], set(found)) == ("n6", {"n1", "n5", "n6"})
    orders = {tuple(candidates(job(users=False, nodes=SIX), Check(part, "n2"), SIX)) for part in range(40)}
    assert len({order[0] for order in orders}) == 5, "each part is another node's"


def test_a_node_reads_its_own_part_again_only_where_the_part_beside_it_is_its_own_too() -> None:
    for check, may in (
        (Check(3, "n2"), False),
        (Check(3, "n2", head=True), True),
        (Check(3, "n2", head=True, neighbour="n2"), True),
        (Check(3, "n2", head=True, neighbour="n1"), False),
    ):
        assert ("n2" in candidates(job(), check, ALL)) == may


@pytest.mark.parametrize(("stored", "due"), [("aab", False), ("aabb", True)])
def test_parts_are_compared_once_half_of_the_file_is_stored(stored: str, *, due: bool) -> None:
    row = job(users=False, parts=8)
    assert bool(list(due_checks(row, drawn(stored, {"a": (0,), "b": (1,)}), ALL))) == due


def test_one_part_in_a_hundred_of_each_node_is_compared_and_what_was_read_is_among_them() -> None:
    row = job(users=False, parts=450)
    picture = "a" * 250 + "b" * 199 + "c"
    board = drawn(picture, dict.fromkeys("abc", (0,)))
    checks = list(due_checks(row, board, ALL))
    counts = {node: sum(check.node == node for check in checks) for node in ALL}
    assert counts == {"n1": 2, "n2": 1, "n3": 1}
    assert list(due_checks(row, board, ALL)) == checks
    other = next(part for part in range(250, 449) if Check(part, "n2") not in checks)
    read(board, other, "n1", "right", head=False)
    again = list(due_checks(row, board, ALL))
    assert [check for check in again if check.node == "n2"] == [Check(other, "n2")]
    read(board, 0, "n1", "right", head=False)  # its own part
    read(board, 1, "n3", "", head=False)  # it could not be read
    assert list(due_checks(row, board, ALL)) == again


def test_parts_of_one_node_alone_are_not_compared() -> None:
    assert list(due_checks(job(users=False), drawn("aaaaaa", {"a": (0,)}), ALL)) == []


@pytest.mark.parametrize("sources", [(), (0,), (0, 3)])
def test_what_read_the_same_bytes_needs_no_further_comparison_also_where_its_sources_are_unknown(
    sources: tuple[int, ...],
) -> None:
    row = job()
    board = drawn("aabbaa", {"a": sources[:1], "b": (2,)})
    first, second = due_checks(row, board, ALL)
    assert (first.part, second.part) == (2, 4)
    read(board, 2, "n1", "right2", *sources)
    assert list(due_checks(row, board, ALL)) == []


def test_an_answer_from_an_excluded_source_another_upload_or_of_another_length_is_none() -> None:
    row = job(excluded=(5,))
    answer = CheckRow(job="j", part=3, node="n1", digest="d", epoch=0, head=True, sources=(1,))
    check = Check(3, "n2", head=True)
    assert is_answer(answer, check, row)
    for change in ({"sources": (1, 5)}, {"epoch": 1}, {"head": False}):
        assert not is_answer(answer.but(**change), check, row)


def test_the_wait_for_answers_has_an_end() -> None:
    row = job(users=False)
    board = drawn("aaabbb", {"a": (0,), "b": (1,)})
    check = Check(3, "n2")
    for at, waits in ((CHECKS_S_MAX, True), (CHECKS_S_MAX + 0.1, False)):
        assert judge(row, board, check, ALL, at).waits == waits


def test_a_node_that_has_compared_nothing_is_not_believed_before_it_has() -> None:
    """A liar whose own parts no other can read is shown by what it reads of the others' parts."""
    row = job(users=False, nodes=("n1", "n2"))
    board = drawn("aaabbb", {"a": (0,), "b": (1,)})
    check = Check(3, "n2")
    read(board, 3, "n1", "", head=False)
    read(board, 4, "n1", "right4", head=False)
    assert judge(row, board, check, ("n1", "n2"), 0.0) == Verdict(waits=True)
    read(board, 0, "n2", "right0", head=False)
    assert judge(row, board, check, ("n1", "n2"), 0.0) == Verdict()


def test_of_two_sides_of_one_node_each_the_one_with_more_sources_is_right() -> None:
    row = job(users=False, nodes=("n1", "n2"))
    for mine, theirs, verdict in (
        ((2, 3), (0,), Verdict(spoilers=(0,))),
        ((2,), (0, 1), Verdict(spoilers=(2,))),
        ((2,), (0,), Verdict(spoilers=(2,))),
        ((0,), (0,), Verdict(tied=True)),
        ((), (), Verdict(tied=True)),
    ):
        board = drawn("aaabbb", {"a": (0,), "b": theirs}, odd="b")
        read(board, 3, "n1", "right3", *mine, head=False)
        assert judge(row, board, Check(3, "n2"), ("n1", "n2"), 0.0) == verdict, (mine, theirs)


@pytest.mark.parametrize(
    ("part", "node", "digest", "epoch", "compared"),
    [
        (0, "n2", "right0", 0, True),
        (3, "n2", "right3", 0, False),  # its own
        (0, "n3", "right0", 0, False),  # another node's reading
        (0, "n2", "", 0, False),  # it could not say
        (0, "n2", "right0", 1, False),  # of another upload
        (9, "n2", "right9", 0, False),  # of a part that is not stored
    ],
)
def test_a_node_is_believed_alone_once_it_has_read_a_part_of_another_one(
    part: int, node: str, digest: str, epoch: int, *, compared: bool
) -> None:
    row, board = job(users=False), drawn("aaabbb", {"a": (0,), "b": (1,)})
    board.set_check(
        f"check.{part}.{node}", CheckRow(job="j", part=part, node=node, digest=digest, epoch=epoch, head=False)
    )
    verdict = judge(row, board, Check(4, "n2"), ("n2",), 0.0)
    assert verdict == (Verdict() if compared else Verdict(waits=True))
    assert judge(row, board, Check(4, "n2"), ("n2",), CHECKS_S_MAX) == verdict
    assert judge(row, board, Check(4, "n2"), ("n2",), CHECKS_S_MAX + 0.1) == Verdict()
    assert judge(row, board, Check(4, "n2"), ("n1",), 0.0) == Verdict(waits=True), "n1 may read it"
    assert judge(row, board, Check(4, "n2"), (), 0.0) == Verdict(), "the node of the part is gone"


def test_one_that_differs_from_two_is_named_also_where_the_parts_own_node_is_of_the_two() -> None:
    row, board = job(users=False), drawn("aaabbb", {"a": (0,), "b": (0,)})
    read(board, 3, "n1", "right3", 0, head=False)
    assert judge(row, board, Check(3, "n2"), ALL, 0.0) == Verdict()
    read(board, 3, "n3", "odd3", 0, head=False)
    assert judge(row, board, Check(3, "n2"), ALL, 0.0) == Verdict(liars=("n3",))


@pytest.mark.parametrize("neighbour", ALL)
def test_the_neighbour_is_asked_first(neighbour: str) -> None:
    for part in range(9):
        assert candidates(job(users=False), Check(part, "n4", neighbour=neighbour), ALL)[0] == neighbour
