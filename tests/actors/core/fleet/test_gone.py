"""Nodes that are gone: shown since when and with the jobs they had, until they are back or a day is over."""

from actors.core.fleet.gone import KEPT_S, GoneNodes
from protocol.model.fleet.names import TTL_S
from protocol.model.fleet.rows import ACTIVE, SEALED, FleetJobRow
from protocol.model.fleet.views import GoneNode
from protocol.model.job_spec import JobSpec


def job(name: str, *nodes: str, state: str = ACTIVE) -> FleetJobRow:
    spec = JobSpec(folder="", name=name)
    return FleetJobRow(id=name, key=name, spec=spec, sources=(), destination=name, nodes=nodes, state=state)


def fleet() -> GoneNodes:
    """Two nodes that were heard at 0, n2 never again; both have one job."""
    gone = GoneNodes()
    for node in ("n1", "n2"):
        gone.heard(node, 0.0)
    gone.changed("big", job("big", "n1", "n2"), 1.0)
    gone.heard("n1", TTL_S + 1)
    return gone


def test_a_silent_node_is_gone_with_the_job_that_it_has_and_that_was_taken_from_it() -> None:
    gone = fleet()
    assert not gone.listed(TTL_S - 1)
    assert gone.listed(TTL_S + 2) == (GoneNode(name="n2", silent_s=TTL_S + 2, jobs=("big",)),)
    gone.changed("big", job("big", "n1"), TTL_S + 3)
    gone.changed("big", job("big", "n1", state=SEALED), TTL_S + 4)
    assert gone.listed(TTL_S + 5) == (GoneNode(name="n2", silent_s=TTL_S + 5, jobs=("big",)),)


def test_a_job_that_a_living_node_hands_over_is_none_that_it_had() -> None:
    gone = fleet()
    gone.changed("big", job("big", "n1"), 2.0)
    assert gone.listed(TTL_S + 2) == (GoneNode(name="n2", silent_s=TTL_S + 2, jobs=()),)


def test_a_job_that_ends_while_its_node_is_there_is_none_that_it_had() -> None:
    gone = fleet()
    gone.changed("big", job("big", "n1", "n2", state=SEALED), 2.0)
    assert gone.listed(TTL_S + 2) == (GoneNode(name="n2", silent_s=TTL_S + 2, jobs=()),)


def test_a_node_that_is_back_is_not_gone_and_has_lost_nothing() -> None:
    gone = fleet()
    gone.changed("big", job("big", "n1"), TTL_S + 3)
    gone.heard("n2", TTL_S + 4)
    assert not gone.listed(TTL_S + 5)
    gone.heard("n1", 2 * TTL_S + 6)
    assert gone.listed(2 * TTL_S + 6) == (GoneNode(name="n2", silent_s=TTL_S + 2, jobs=()),)


def test_the_latest_is_first_and_one_that_stays_away_is_forgotten() -> None:
    gone = fleet()
    assert [each.name for each in gone.listed(3 * TTL_S)] == ["n1", "n2"]
    gone.heard("n1", KEPT_S)
    assert not gone.listed(KEPT_S + 1)
