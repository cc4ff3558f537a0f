"""Leader by itself: which orders it takes, where it places jobs, and from whom it takes them."""

from typing import Any

import pytest

from actors.core.fleet.leader import (
    AGAIN_S,
    LOOKED_AT_MAX,
    ROOM_BYTES,
    SOURCES_CHARS_MAX,
    SPREAD_MAX,
    USUAL_BYTES,
    Leader,
    own_sources,
    unfit,
    without,
)
from actors.core.fleet.view import Bus, View
from actors.core.fleet.vocabulary import AckOrder, KvCreate, KvDelete, KvUpdate, OrderReceived
from protocol.model.fleet.names import FLEET, JOBS, NODES, PARTS, SETTINGS, TTL_S, job_id
from protocol.model.fleet.rows import (
    ACTIVE,
    CANCELLED,
    FAILED,
    PLACED,
    QUEUED,
    SEALED,
    SEALING,
    CheckRow,
    FleetJobRow,
    FleetOrder,
    FleetSettings,
    NodeRow,
    PiecesRow,
    WindowRow,
)
from protocol.model.job_spec import JobSpec
from protocol.model.limits import SOURCES_MAX

PART = 8 << 20
SPEC = JobSpec(folder="", name="f")


def job(name: str = "j", state: str = QUEUED, *nodes: str, **fields: Any) -> FleetJobRow:
    given = {"sources": ("http://a/f",), "destination": "f", "spec": SPEC, **fields}
    return FleetJobRow(id=name, key=name, state=state, nodes=nodes, **given)


class Desk:
    """A leader, and a bus that takes each write at once unless it is `silent`."""

    def __init__(self, *nodes: NodeRow, settings: FleetSettings | None = None) -> None:
        self.view = View()
        self.bus = Bus(self.view)
        self.bus.online = self.bus.open = True
        self.leader = Leader(self.view, self.bus)
        self.now, self.revision, self.silent = 100.0, 0, False
        for node in nodes:
            self.put(NODES, node.name, node)
        self.put(SETTINGS, FLEET, settings or FleetSettings(fleet="f", destination="s3://b/"))

    def put(self, bucket: str, key: str, row: Any) -> None:
        self.revision += 1
        self.view.apply(bucket, key, row, self.revision, self.now)

    def jobs(self, *rows: FleetJobRow) -> None:
        for row in rows:
            self.put(JOBS, row.id, row)

    def act(self, *, tick: bool = True) -> list[Any]:
        self.leader.act(self.now, 5.0, tick=tick)
        out, self.bus.out = self.bus.out, []
        for command in out:
            if isinstance(command, KvCreate | KvUpdate | KvDelete) and not self.silent:
                self.revision += 1
                self.bus.written(command.request, self.revision, self.now)
        return out

    def order(self, number: int = 1, **fields: Any) -> list[Any]:
        given = {"key": "k", "sources": ("http://a/f",), "destination": "f", "spec": SPEC, **fields}
        self.leader.order(OrderReceived(number, number, FleetOrder(**given)))
        return self.act(tick=False)

    def placed(self, name: str = "j") -> tuple[str, ...]:
        return self.view.jobs[name].nodes


def node(name: str, **fields: Any) -> NodeRow:
    return NodeRow(name=name, instance="a", **fields)


# --- orders ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"key": ""}, "idempotency"),
        ({"spec": None}, "idempotency"),
        ({"destination": ""}, "destination"),
        ({"destination": "/f"}, "destination"),
        ({"destination": "a/../f"}, "destination"),
        ({"destination": "a/..f"}, ""),
        ({"sources": ()}, "no sources"),
        ({"sources": (), "spec": SPEC.but(term="words")}, ""),
        ({"sources": ("http://a/f",) * SOURCES_MAX}, ""),
        ({"sources": ("http://a/f",) * (SOURCES_MAX + 1)}, f"more than {SOURCES_MAX}"),
        ({"sources": ("http://a/" + "f" * (SOURCES_CHARS_MAX - 9),)}, ""),
        ({"sources": ("http://a/" + "f" * (SOURCES_CHARS_MAX - 8),)}, "longer than"),
        ({"sources": ("http://a/f", "http://me@a/f")}, "login"),
    ],
)
def test_an_order_that_cannot_be_taken_is_refused_with_its_reason(fields: dict[str, Any], said: str) -> None:
    given = {"key": "k", "sources": ("http://a/f",), "destination": "f", "spec": SPEC, **fields}
    reason = unfit(FleetOrder(**given))
    assert said in reason
    assert bool(reason) == bool(said)


def test_an_order_becomes_a_row_with_its_place_in_the_stream_and_is_acknowledged_at_the_next_look() -> None:
    desk = Desk()
    (created,) = desk.order(7, priority=3, spread=SPREAD_MAX + 1)
    row = created.row
    assert (row.id, row.key, row.created, row.priority, row.spread) == (job_id("k"), "k", 7, 3, SPREAD_MAX)
    assert (row.state, row.size_bytes, row.ordered_s, row.sources) == (QUEUED, -1, 5.0, ("http://a/f",))
    assert desk.act() == [AckOrder(7, "")]
    assert desk.act() == []
    assert desk.order(8, spread=0, key="l")[0].row.spread == 1
    desk.jobs(job(job_id("m"), SEALED))
    assert AckOrder(9, "") in desk.order(9, key="m"), "an order of a job that has ended is not begun again"


def test_a_job_that_waits_or_runs_is_cancelled_but_not_one_that_is_being_sealed() -> None:
    desk = Desk(node("n1"))
    desk.jobs(job("j", ACTIVE, "n1"))
    (cancelled,) = desk.order(1, kind="cancel", job="j")
    assert cancelled.row.state == CANCELLED
    assert desk.act() == [AckOrder(1, "")]
    assert desk.order(2, kind="cancel", job="x") == [AckOrder(2, "no such job")]
    desk.jobs(job("s", SEALING, "n1"))
    assert desk.order(3, kind="cancel", job="s") == []
    desk.jobs(job("s", SEALED, "n1"))
    assert desk.act() == [AckOrder(3, "")]


def test_nodes_are_drained_and_undrained_and_the_limit_is_set() -> None:
    desk = Desk()
    (drained,) = desk.order(1, kind="drain", node="n1")
    assert drained.row.draining == ("n1",)
    assert desk.act() == [AckOrder(1, "")]
    assert desk.order(2, kind="drain", node="n1") == [AckOrder(2, "")]
    assert desk.order(3, kind="drain", node="n2")[0].row.draining == ("n1", "n2")
    desk.act()
    assert desk.order(4, kind="undrain", node="n1")[0].row.draining == ("n2",)
    desk.act()
    assert desk.order(5, kind="undrain", node="n1") == [AckOrder(5, "")]
    assert desk.order(6, kind="limit", limit_bytes_s=-5) == [AckOrder(6, "")]
    assert desk.order(7, kind="limit", limit_bytes_s=9)[0].row.limit_bytes_s == 9
    assert desk.act() == [AckOrder(7, "")]
    assert desk.order(8, kind="x" * 99) == [AckOrder(8, "unknown kind of order: " + "x" * 40)]


def test_one_that_leads_no_more_forgets_its_orders() -> None:
    desk = Desk()
    desk.bus.open = False
    assert desk.order() == []
    desk.leader.leads = True
    desk.leader.step_down()
    desk.bus.open = True
    assert desk.act() == []
    assert not desk.leader.leads


# --- placement ---


def test_jobs_are_placed_by_priority_then_age_as_long_as_there_is_room() -> None:
    desk = Desk(node("n1", slots=2))
    desk.jobs(job("a", created=1), job("b", created=3, priority=1), job("c", created=2, priority=1))
    placed = [command.row for command in desk.act()]
    assert [(row.id, row.nodes, row.state, row.attempt) for row in placed] == [
        ("c", ("n1",), PLACED, 1),
        ("b", ("n1",), PLACED, 1),
    ]
    desk.jobs(job("b", SEALED))
    assert [command.row.id for command in desk.act()] == ["a"]


def test_a_job_goes_to_the_node_with_the_largest_free_share_then_to_that_with_less_work() -> None:
    desk = Desk(node("n1", slots=4), node("n2", slots=8))
    desk.jobs(job("x", ACTIVE, "n1"), job("y", ACTIVE, "n2"))
    desk.jobs(job("a", created=1))
    desk.act()
    assert desk.placed("a") == ("n2",)  # an eighth is less than a quarter
    even = Desk(node("n1"), node("n2"))
    even.jobs(job("a", created=1, spec=SPEC.but(size_bytes=10)), job("b", created=2))
    even.act()
    assert (even.placed("a"), even.placed("b")) == (("n1",), ("n2",))
    even.jobs(job("a", SEALED), job("b", SEALED), job("c", created=3))
    even.act()
    assert even.placed("c") == ("n1",), "that had the smaller one"


def test_a_spread_job_is_placed_on_as_many_nodes_and_widened_when_more_come() -> None:
    desk = Desk(node("n1"), node("n2"))
    desk.jobs(job("j", spread=3))
    desk.act()
    assert set(desk.placed()) == {"n1", "n2"}
    began = desk.view.jobs["j"].but(state=ACTIVE, size_bytes=2 * PART, part_bytes=PART, upload="u")
    desk.jobs(began)
    desk.put(NODES, "n3", node("n3"))
    assert desk.act() == [], "two parts are for two nodes"
    desk.jobs(began.but(size_bytes=3 * PART))
    (widened,) = desk.act()
    assert (widened.row.nodes, widened.row.state) == ((*began.nodes, "n3"), ACTIVE)
    assert desk.act() == []


def test_what_has_not_begun_or_ended_is_not_widened() -> None:
    for state, upload in ((PLACED, ""), (SEALING, "u")):
        desk = Desk(node("n1"), node("n2"))
        desk.jobs(job("j", state, "n1", spread=2, size_bytes=9 * PART, part_bytes=PART, upload=upload))
        assert desk.act() == []


@pytest.mark.parametrize(
    ("fields", "can"),
    [
        ({"free_bytes": ROOM_BYTES}, True),
        ({"free_bytes": ROOM_BYTES - 1}, False),
        ({"free_bytes": 0}, False),
        ({"free_bytes": -1}, True),
        ({"slots": 0}, False),
        ({"schemes": ("https",)}, False),
        ({"draining": True}, False),
    ],
)
def test_a_job_is_placed_where_there_is_room_and_a_source(fields: dict[str, Any], *, can: bool) -> None:
    desk = Desk(node("n1", **fields))
    desk.jobs(job())
    desk.act()
    assert desk.placed() == (("n1",) if can else ())


@pytest.mark.parametrize("fields", [{"refused": ("n1",)}, {"banned": ("n1",)}])
def test_a_job_whose_only_node_has_tried_fails_with_what_was_said(fields: dict[str, Any]) -> None:
    desk = Desk(node("n1"))
    desk.jobs(job("j", reason="n1: 404", **fields), job("k", created=2, **fields))
    rows = {command.row.id: command.row for command in desk.act()}
    assert (rows["j"].state, rows["j"].reason) == (FAILED, "n1: 404")
    assert (rows["k"].state, rows["k"].reason) == (FAILED, "no node can fetch it")


def test_a_job_waits_for_a_node_that_could_have_it_and_says_so_once() -> None:
    desk = Desk(node("n1", schemes=("ftp",)))
    desk.jobs(job("j"))
    (explained,) = desk.act()
    assert explained.row.reason == "waits for a node that reaches its sources and has room"
    assert explained.row.state == QUEUED
    desk.now += AGAIN_S
    assert desk.act() == []
    desk.put(NODES, "n2", node("n2"))
    desk.now += AGAIN_S
    (placed,) = desk.act()
    assert (placed.row.nodes, placed.row.reason) == (("n2",), "")


def test_a_job_waits_while_one_that_has_not_tried_is_only_busy() -> None:
    desk = Desk(node("n1"), node("n2", slots=0))
    desk.jobs(job("j", refused=("n1",)))
    assert desk.act() == []


def test_what_could_not_be_placed_is_looked_at_again_after_two_seconds() -> None:
    desk = Desk(node("n1", schemes=("ftp",)))
    desk.jobs(job("j"))
    desk.act()
    desk.put(NODES, "n2", node("n2"))
    desk.now += AGAIN_S - 0.1
    assert desk.act() == []
    desk.now += 0.1
    assert [command.row.nodes for command in desk.act()] == [("n2",)]


def test_between_ticks_the_queue_is_looked_at_only_when_something_has_changed() -> None:
    desk = Desk(node("n1", slots=1))
    desk.jobs(job("a", created=1), job("b", created=2))
    assert [command.row.id for command in desk.act(tick=False)] == ["a"]
    assert desk.act(tick=False) == []
    desk.jobs(job("a", SEALED))
    assert [command.row.id for command in desk.act(tick=False)] == ["b"]


def test_a_job_whose_own_write_is_not_answered_waits_for_it() -> None:
    desk = Desk(node("n1"))
    desk.silent = True
    desk.jobs(job("j"))
    (placed,) = desk.act()
    assert desk.bus.reserved == {"n1": 1}
    desk.leader._restore()
    assert desk.act() == []
    desk.bus.refused(placed.request, desk.now)
    desk.bus.out.clear()
    desk.bus.seen(JOBS, "j")
    desk.now += AGAIN_S
    assert [command.row.nodes for command in desk.act()] == [("n1",)]


def test_a_long_queue_is_looked_at_in_pieces_and_its_head_does_not_starve_the_rest() -> None:
    desk = Desk(node("n1", slots=1000))
    desk.jobs(*(job(f"x{at}", created=at, sources=("ftp://a/f",), reason="waits") for at in range(LOOKED_AT_MAX)))
    desk.jobs(job("j", created=9999))
    desk.act()
    assert desk.placed() == ()
    desk.act()
    assert desk.placed() == ("n1",)


# --- deaths ---


def test_a_dead_nodes_jobs_go_to_others_and_wait_where_there_is_none() -> None:
    desk = Desk(node("n1"), node("n2", slots=1))
    desk.jobs(job("a", ACTIVE, "n1", upload="u"), job("b", ACTIVE, "n1", "n2", upload="u"), job("c", PLACED, "n1"))
    desk.now += TTL_S + 1
    desk.put(NODES, "n2", node("n2", time_s=1.0, slots=2))
    rows = {command.row.id: command.row for command in desk.act()}
    assert (rows["a"].nodes, rows["a"].state, rows["a"].attempt) == (("n2",), ACTIVE, 1)
    assert rows["b"].nodes == ("n2",)
    assert (rows["c"].nodes, rows["c"].state) == ((), QUEUED)
    desk.put(NODES, "n2", node("n2", time_s=2.0, slots=3))
    (placed,) = desk.act()
    assert (placed.row.id, placed.row.nodes, placed.row.state) == ("c", ("n2",), PLACED)


def test_a_job_that_is_being_sealed_is_taken_over_by_a_node_without_room_and_waits_for_one() -> None:
    desk = Desk(node("n1"))
    desk.jobs(job("j", SEALING, "n1", upload="u"))
    desk.now += TTL_S + 1
    assert desk.act() == []
    desk.put(NODES, "n2", node("n2", slots=0))
    (taken,) = desk.act()
    assert (taken.row.nodes, taken.row.state) == (("n2",), SEALING)


def test_a_node_that_drains_by_the_settings_loses_its_jobs_and_gets_none() -> None:
    settings = FleetSettings(fleet="f", destination="s3://b/", draining=("n1",))
    desk = Desk(node("n1"), node("n2"), settings=settings)
    desk.jobs(job("j", ACTIVE, "n1", upload="u"), job("k"))
    assert {command.row.nodes for command in desk.act()} == {("n2",)}


def test_the_rows_of_a_job_that_ended_are_deleted() -> None:
    desk = Desk(node("n1"))
    desk.put(PARTS, "j.0", WindowRow(job="j", first=0, stop=4, node="n1", instance="a", epoch=0))
    desk.put(PARTS, "j.check.2.n1", CheckRow(job="j", part=2, node="n1", digest="d", epoch=0))
    desk.put(PARTS, "j.pieces", PiecesRow(job="j", digests=b"12"))
    desk.jobs(job("j", ACTIVE, "n1"))
    assert desk.act() == []
    desk.jobs(job("j", SEALED, "n1"))
    assert {command.key for command in desk.act()} == {"j.0", "j.check.2.n1", "j.pieces"}
    assert not desk.view.boards


# --- what a node has of a job ---


def test_a_nodes_sources_are_all_mirrors_that_it_reaches_but_the_excluded_ones() -> None:
    row = job(sources=("http://a/f", "ftp://a/f", "https://b/f", "http://c/f"), excluded=(3,))
    assert own_sources(row, node("n1"), ()) == {0: "http://a/f", 2: "https://b/f"}


def test_a_user_falls_to_one_of_the_nodes_that_are_logged_in() -> None:
    rows = [job(sources=(f"slsk://u{at}/f",)) for at in range(8)]
    nodes = [node(name, schemes=("slsk",)) for name in ("n1", "n2")]
    shares = [[bool(own_sources(row, each, ("n1", "n2"))) for each in nodes] for row in rows]
    assert all(sum(share) == 1 for share in shares)
    assert {share[0] for share in shares} == {True, False}


@pytest.mark.parametrize(
    ("row", "refuses", "after"),
    [
        (job("j", ACTIVE, "n1", "n2"), True, (ACTIVE, ("n2",), ("n1",))),
        (job("j", ACTIVE, "n1"), True, (QUEUED, (), ("n1",))),
        (job("j", ACTIVE, "n1"), False, (QUEUED, (), ())),
        (job("j", SEALING, "n1"), True, (SEALING, (), ("n1",))),
        (job("j", CANCELLED, "n1", refused=("n1",)), True, (CANCELLED, (), ("n1",))),
    ],
)
def test_a_job_that_its_last_node_gives_up_waits_for_another(
    row: FleetJobRow, after: tuple[Any, ...], *, refuses: bool
) -> None:
    left = without(row, "n1", "why", refuses=refuses)
    assert (left.state, left.nodes, left.refused) == after
    assert left.reason == "why"


@pytest.mark.parametrize(
    ("first", "second", "next_node"),
    [
        ({}, USUAL_BYTES - 1, "n2"),
        ({}, USUAL_BYTES + 1, "n1"),
        ({"spec": SPEC.but(size_bytes=100)}, 99, "n2"),
        ({"spec": SPEC.but(size_bytes=100)}, 101, "n1"),
        ({"spec": SPEC.but(size_bytes=100), "size_bytes": 0}, 1, "n1"),
        ({"spec": SPEC.but(size_bytes=0)}, 1, "n1"),
    ],
)
def test_of_equal_nodes_the_next_job_goes_to_the_one_with_fewer_bytes_given(
    first: dict[str, Any], second: int, next_node: str
) -> None:
    desk = Desk(node("n1"), node("n2"))
    desk.jobs(job("a", created=1, **first), job("b", created=2, spec=SPEC.but(size_bytes=second)))
    desk.act()
    assert (desk.placed("a"), desk.placed("b")) == (("n1",), ("n2",))
    desk.jobs(job("a", SEALED), job("b", SEALED), job("c", created=3))
    desk.act()
    assert desk.placed("c") == (next_node,)
    assert USUAL_BYTES == 1 << 30


@pytest.mark.parametrize(("second", "next_node"), [(51, "n1"), (49, "n3")])
def test_the_work_of_a_spread_job_is_divided_among_its_nodes(second: int, next_node: str) -> None:
    desk = Desk(node("n1"), node("n2"), node("n3"))
    desk.jobs(job("a", created=1, spread=2, spec=SPEC.but(size_bytes=100)))
    desk.jobs(job("b", created=2, spec=SPEC.but(size_bytes=second)))
    desk.act()
    assert (desk.placed("a"), desk.placed("b")) == (("n1", "n2"), ("n3",))
    desk.jobs(job("a", SEALED), job("b", SEALED), job("c", created=3))
    desk.act()
    assert desk.placed("c") == (next_node,)


@pytest.mark.parametrize(("slots", "added"), [(0, ()), (1, ("n2",))])
def test_a_job_is_widened_to_a_node_with_a_single_slot_that_is_free(slots: int, added: tuple[str, ...]) -> None:
    desk = Desk(node("n1", slots=1), node("n2", slots=slots))
    desk.jobs(job("j", ACTIVE, "n1", spread=2, size_bytes=9 * PART, part_bytes=PART, upload="u"))
    desk.act()
    assert desk.placed() == ("n1", *added)


def test_a_node_that_was_given_nothing_has_less_work_than_one_with_a_byte() -> None:
    desk = Desk(node("n1"), node("n2"))
    desk.jobs(job("a", created=1, spec=SPEC.but(size_bytes=1)))
    desk.act()
    desk.jobs(job("a", SEALED), job("b", created=2))
    desk.act()
    assert desk.placed("b") == ("n2",)


def test_what_stands_in_the_queue_and_waits_no_more_does_not_hold_up_what_comes_next() -> None:
    desk = Desk(node("n1"))
    desk.jobs(job("a", created=1), job("b", created=2), job("c", created=3))
    desk.jobs(job("a", CANCELLED))
    desk.bus.write(JOBS, "b", desk.view.jobs["b"], desk.now)
    (pending,) = desk.bus.out
    assert isinstance(pending, KvUpdate)
    desk.bus.out.clear()
    assert [command.row.id for command in desk.act()] == ["c"]
    desk.bus.refused(pending.request, desk.now)
    desk.bus.out.clear()
    desk.bus.seen(JOBS, "b")
    assert [command.row.id for command in desk.act()] == ["b"]


@pytest.mark.parametrize(
    ("sources", "term", "can"),
    [
        ((), "words", True),
        (("ftp://a/f",), "words", False),
        (("ftp://a/f",), "", False),
        (("http://a/f",), "words", True),
        ((), "", False),
    ],
)
def test_a_search_without_addresses_can_be_fetched_by_any_node(
    sources: tuple[str, ...], term: str, *, can: bool
) -> None:
    desk = Desk(node("n1"))
    desk.jobs(job(sources=sources, spec=SPEC.but(term=term)))
    desk.act()
    assert desk.placed() == (("n1",) if can else ())


@pytest.mark.parametrize(("mib", "can"), [(256, True), (255, False)])
def test_a_node_has_room_from_256_mib_on(mib: int, *, can: bool) -> None:
    desk = Desk(node("n1", free_bytes=mib << 20))
    desk.jobs(job())
    desk.act()
    assert bool(desk.placed()) == can


def test_a_node_that_gives_a_job_up_is_not_asked_again_unless_it_says_so() -> None:
    assert without(job("j", ACTIVE, "n1", "n2"), "n1", "why").refused == ("n1",)
    assert without(job("j", ACTIVE, "n1", refused=("n1",)), "n1", "why", refuses=False).refused == ("n1",)
    assert without(job("j", SEALED, "n1"), "n1", "why").state == SEALED
    assert without(job("j", PLACED, "n1", "n2"), "n1", "why").state == PLACED


def test_a_small_node_that_is_idle_goes_before_a_large_one_that_is_not() -> None:
    desk = Desk(node("n1", slots=8), node("n2", slots=2))
    desk.jobs(job("x", ACTIVE, "n1"), job("a", created=1))
    desk.act()
    assert desk.placed("a") == ("n2",)
