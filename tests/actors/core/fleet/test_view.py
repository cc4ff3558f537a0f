"""View of the rows and the requests to the bus: who is alive, what waits, and one request a key."""

import pytest

from actors.core.fleet.view import FORGOTTEN_TTLS, LEADER_TTL_S, READ_AGAIN_S, REQUEST_S_MAX, Bus, View
from actors.core.fleet.vocabulary import KvCreate, KvDelete, KvRead, KvUpdate
from protocol.model.fleet.names import FLEET, JOBS, LEADER, LEASES, NODES, PARTS, SETTINGS, TTL_S
from protocol.model.fleet.rows import (
    ACTIVE,
    QUEUED,
    SEALED,
    CheckRow,
    FleetJobRow,
    FleetSettings,
    LeaseRow,
    NodeRow,
    PartRow,
    PiecesRow,
    WindowRow,
)
from protocol.model.job_spec import JobSpec


def job(state: str = QUEUED, *nodes: str, priority: int = 0, created: int = 1, spread: int = 1) -> FleetJobRow:
    row = FleetJobRow(id="j", key="k", spec=JobSpec(folder="", name="f"), sources=(), destination="f", spread=spread)
    return row.but(state=state, nodes=nodes, priority=priority, created=created)


def node(name: str = "n1", instance: str = "a", time_s: float = 0.0, jobs: int = 0) -> NodeRow:
    return NodeRow(name=name, instance=instance, time_s=time_s, jobs=jobs)


def window(*stored: int) -> WindowRow:
    parts = tuple(PartRow(part=number, etag="e", digest="d", node="n1") for number in stored)
    return WindowRow(job="j", first=0, stop=4, node="n1", instance="a", epoch=0, parts=parts)


# --- lives ---


def test_a_node_lives_for_its_ttl_and_is_forgotten_after_five() -> None:
    view = View()
    view.apply(NODES, "n1", node(), 1, 100.0)
    for at, alive in ((100.0 + TTL_S, True), (100.1 + TTL_S, False)):
        assert (view.alive("n1", at), len(list(view.living(at))), view.holds("n1", "a", at)) == (alive, alive, alive)
    assert not view.alive("n2", 100.0)
    assert not view.holds("n1", "b", 100.0)
    view.prune(100.0 + FORGOTTEN_TTLS * TTL_S)
    assert "n1" in view.nodes
    view.prune(100.1 + FORGOTTEN_TTLS * TTL_S)
    assert not view.nodes
    view.apply(NODES, "n1", node(), 1, 300.0)  # the revisions of its next life may begin at 1
    assert view.alive("n1", 300.0)


def test_a_leader_leads_for_less_than_a_nodes_life() -> None:
    view = View()
    assert not view.led(0.0)
    view.apply(LEASES, LEADER, LeaseRow(node="n1", instance="a"), 1, 100.0)
    assert [view.led(100.0 + LEADER_TTL_S), view.led(100.1 + LEADER_TTL_S)] == [True, False]
    view.paused(5.0)
    assert view.led(105.0 + LEADER_TTL_S)
    view.apply(LEASES, LEADER, None, 2, 101.0)
    assert not view.led(101.0)


def test_a_pause_is_added_to_all_that_was_heard() -> None:
    view = View()
    view.apply(NODES, "n1", node(), 1, 100.0)
    view.paused(50.0)
    assert view.alive("n1", 150.0 + TTL_S)
    assert not view.alive("n1", 150.1 + TTL_S)


# --- rows ---


def test_a_row_is_taken_over_once_and_an_older_one_never() -> None:
    view = View()
    assert view.apply(JOBS, "j", job(ACTIVE, "n1"), 5, 0.0) == "j"
    assert view.apply(JOBS, "j", job(ACTIVE, "n2"), 5, 0.0) == ""
    assert view.apply(JOBS, "j", job(ACTIVE, "n2"), 4, 0.0) == ""
    assert view.jobs["j"].nodes == ("n1",)
    assert view.apply(JOBS, "j", None, 4, 0.0) == ""
    assert view.apply(JOBS, "j", None, 0, 0.0) == "j"  # it was read, and is not there
    assert (view.jobs, view.revisions) == ({}, {})


def test_only_parts_and_jobs_name_a_job() -> None:
    view = View()
    assert view.apply(NODES, "n1", node(), 1, 0.0) == ""
    assert view.apply(SETTINGS, FLEET, FleetSettings(fleet="f", destination="s3://b/"), 2, 0.0) == ""
    assert view.apply(PARTS, "j.0", window(), 3, 0.0) == "j"
    assert view.apply(LEASES, "other", LeaseRow(node="n1", instance="a"), 4, 0.0) == ""
    assert view.leader is None
    assert (bool(view.settings), len(view.nodes)) == (True, 1)
    view.apply(SETTINGS, FLEET, None, 5, 0.0)
    view.apply(NODES, "n1", None, 6, 0.0)
    assert (bool(view.settings), len(view.nodes)) == (False, 0)


def test_a_job_is_indexed_by_its_nodes_its_spread_and_its_end() -> None:
    view = View()
    view.apply(JOBS, "j", job(ACTIVE, "n1", "n2", spread=2), 1, 0.0)
    assert (view.placed, view.wide, view.queue) == ({"n1": {"j"}, "n2": {"j"}}, {"j"}, [])
    view.apply(JOBS, "j", job(ACTIVE, "n2"), 2, 0.0)
    assert (view.placed, view.wide) == ({"n1": set(), "n2": {"j"}}, set())
    view.apply(JOBS, "j", job(SEALED, "n2"), 3, 0.0)
    assert (view.placed["n2"], view.jobs, view.ended) == (set(), {}, {"j"})
    view.apply(JOBS, "j", None, 4, 0.0)
    assert not view.ended


def test_a_job_waits_once_by_priority_and_age() -> None:
    view = View()
    view.apply(JOBS, "j", job(priority=2, created=7), 1, 0.0)
    view.apply(JOBS, "j", job(priority=2, created=7).but(reason="waits"), 2, 0.0)
    assert view.queue == [(-2, 7, "j")]
    view.apply(JOBS, "j", job(ACTIVE, "n1", priority=2, created=7), 3, 0.0)
    view.apply(JOBS, "j", job(priority=2, created=7), 4, 0.0)
    assert view.queue == [(-2, 7, "j")] * 2


@pytest.mark.parametrize(
    ("row", "stirs"), [(node(time_s=9.0), False), (node(jobs=1), True), (node("n2"), True), (node(instance="b"), True)]
)
def test_placing_is_looked_at_again_when_a_node_has_changed_but_for_its_clock(row: NodeRow, *, stirs: bool) -> None:
    view = View()
    view.apply(NODES, "n1", node(), 1, 0.0)
    view.stirred = False
    view.apply(NODES, row.name, row, 2, 0.0)
    assert view.stirred == stirs
    view.apply(NODES, row.name, row.but(time_s=99.0), 3, 0.0)
    assert view.stirred == stirs, "what has been noted is not forgotten"


@pytest.mark.parametrize(
    ("before", "after", "stirs"),
    [
        (None, job(), True),
        (None, job(ACTIVE, "n1"), False),
        (job(), job().but(reason="waits"), False),
        (job(ACTIVE, "n1"), job(), True),
        (job(ACTIVE, "n1"), job(SEALED, "n1"), True),
    ],
)
def test_placing_is_looked_at_again_when_a_job_waits_or_leaves_a_node(
    before: FleetJobRow | None, after: FleetJobRow, *, stirs: bool
) -> None:
    view = View()
    if before is not None:
        view.apply(JOBS, "j", before, 1, 0.0)
    view.stirred = False
    view.apply(JOBS, "j", after, 2, 0.0)
    assert view.stirred == stirs


def test_the_board_of_a_job_counts_by_its_row_whichever_came_first() -> None:
    row = job(ACTIVE, "n1").but(epoch=1, banned=("n2",), excluded=(3,))
    for first in (0, 1):
        view = View()
        for at in (first, 1 - first):
            if at:
                view.apply(JOBS, "j", row, 1, 0.0)
            else:
                view.apply(PARTS, "j.0", window(0), 1, 0.0)
        board = view.board("j")
        assert (board.epoch, board.banned, board.excluded, board.stored_count) == (1, ("n2",), (3,), 0)


def test_windows_checks_and_hashes_of_pieces_are_reported_apart_and_go_with_their_job() -> None:
    view = View()
    check = CheckRow(job="j", part=2, node="n2", digest="d", epoch=0)
    view.apply(PARTS, "j.0", window(0, 1), 1, 0.0)
    view.apply(PARTS, "j.check.2.n2", check, 2, 0.0)
    view.apply(PARTS, "j.pieces", PiecesRow(job="j", digests=b"12"), 3, 0.0)
    board = view.board("j")
    assert (board.stored_count, board.checks, board.pieces) == (2, {(2, "n2"): check}, b"12")
    for revision, key in enumerate(("j.0", "j.check.2.n2", "j.pieces"), 4):
        assert "j" in view.boards
        view.apply(PARTS, key, None, revision, 0.0)
    assert not view.boards
    view.apply(JOBS, "j", job(ACTIVE, "n1"), 9, 0.0)
    view.apply(PARTS, "j.0", window(0), 10, 0.0)
    view.apply(PARTS, "j.0", None, 11, 0.0)
    assert "j" in view.boards, "of a job that goes on it stays"


# --- requests ---


def bus() -> Bus:
    made = Bus(View())
    made.online = made.open = True
    return made


def test_a_row_is_created_or_updated_as_it_was_seen_last() -> None:
    made = bus()
    assert made.write(JOBS, "j", job(), 0.0)
    assert made.out == [KvCreate(1, JOBS, "j", job())]
    assert made.written(1, 7, 0.0)[1] == "j"
    assert made.view.jobs["j"] == job()
    made.write(JOBS, "j", job(ACTIVE), 0.0)
    assert made.out[1:] == [KvUpdate(2, JOBS, "j", job(ACTIVE), 7)]


def test_one_request_a_key_and_none_while_the_bus_is_lost_or_this_node_may_be_dead() -> None:
    made = bus()
    assert made.write(JOBS, "j", job(), 0.0)
    assert not made.write(JOBS, "j", job(ACTIVE), 0.0)
    assert made.write(JOBS, "k", job(), 0.0)
    assert made.write(PARTS, "j", window(), 0.0)
    made.open = False
    assert not made.write(JOBS, "l", job(), 0.0)
    assert made.write(NODES, "n1", node(), 0.0, vital=True)
    made.online = False
    assert not made.write(NODES, "n2", node(), 0.0, vital=True)
    assert len(made.out) == 4


def test_what_was_refused_is_read_before_it_is_written_again_and_asked_for_again_when_it_does_not_come() -> None:
    made = bus()
    made.write(JOBS, "j", job(), 10.0)
    made.refused(1, 11.0)
    assert made.out[1:] == [KvRead(JOBS, "j")]
    assert not made.free(JOBS, "j")
    made.tick(11.0 + READ_AGAIN_S)
    assert len(made.out) == 2
    made.tick(11.1 + READ_AGAIN_S)
    assert made.out[2:] == [KvRead(JOBS, "j")]
    made.tick(11.2 + READ_AGAIN_S)
    assert len(made.out) == 3
    made.seen(JOBS, "j")
    assert made.free(JOBS, "j")
    made.refused(1, 12.0)  # an answer that comes twice
    assert made.written(1, 9, 12.0) == (None, "")
    assert made.free(JOBS, "j")


def test_a_request_without_an_answer_is_given_up() -> None:
    made = bus()
    made.write(JOBS, "j", job(), 10.0)
    made.tick(10.0 + REQUEST_S_MAX)
    assert len(made.out) == 1
    made.tick(10.1 + REQUEST_S_MAX)
    assert made.out[1:] == [KvRead(JOBS, "j")]


def test_room_is_reserved_until_the_answer() -> None:
    made = bus()
    made.write(JOBS, "j", job(), 0.0, reserve=("n1", "n2"))
    made.write(JOBS, "k", job(), 0.0, reserve=("n1",))
    assert made.reserved == {"n1": 2, "n2": 1}
    made.written(1, 1, 0.0)
    assert made.reserved == {"n1": 1, "n2": 0}
    made.refused(2, 0.0)
    assert made.reserved == {"n1": 0, "n2": 0}


def test_only_a_row_that_was_seen_is_deleted() -> None:
    made = bus()
    made.delete(PARTS, "j.0", 0.0)
    assert not made.out
    made.view.apply(PARTS, "j.0", window(), 3, 0.0)
    made.open = False
    made.delete(PARTS, "j.0", 0.0)
    assert not made.out
    made.open = True
    made.delete(PARTS, "j.0", 0.0)
    made.delete(PARTS, "j.0", 0.0)
    assert made.out == [KvDelete(1, PARTS, "j.0", 3)]
    made.written(1, 4, 0.0)
    assert "j" not in made.view.boards


def test_a_lost_bus_forgets_all_that_was_under_way() -> None:
    made = bus()
    made.write(JOBS, "j", job(), 0.0, reserve=("n1",))
    made.write(JOBS, "k", job(), 0.0)
    made.refused(2, 0.0)
    made.lost()
    assert (made.online, made.open, made.reserved) == (False, False, {})
    assert made.free(JOBS, "j")
    assert made.free(JOBS, "k")
    assert made.written(1, 1, 0.0) == (None, "")
