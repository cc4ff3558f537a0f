"""Invariants of a simulated fleet: right bytes, sealed once, nothing lost, nothing stuck."""

from typing import TYPE_CHECKING, Any

from protocol.model.fleet.names import SETTINGS, multipart_etag
from protocol.model.fleet.rows import (
    CANCELLED,
    ENDED,
    FAILED,
    SEALED,
    FleetJobRow,
    FleetSettings,
    WindowRow,
    decode_any,
)
from tests.sim.fleet_machine import PART, Machine
from tests.sim.fleet_store import md5

if TYPE_CHECKING:
    from tests.sim.fleet import World


def check_write(world: "World", machine: Machine, name: tuple[str, str], row: Any) -> None:
    """Hold the rows to what they promise."""
    if name[0] == SETTINGS:
        assert isinstance(row, FleetSettings)
    before = decode_any(*name, world.rows[name][0]) if name in world.rows else None
    if isinstance(row, FleetJobRow):
        assert before is None or isinstance(before, FleetJobRow)
        if before is not None and before.state in ENDED:
            raise AssertionError(f"job {row.destination}: {before.state} became {row.state}")
        world.known_jobs.add(row.id)
        world.ended += row.state in ENDED
        if row.state == SEALED:
            world.sealed[row.destination] += 1
            world.sealed_at[row.destination] = world.now
            assert row.destination in world.store.objects, "wrong: sealed without an object"
            _check_object(world, row)
        if row.nodes and row.destination not in world.started_at:
            world.started_at[row.destination] = world.now
    if isinstance(row, WindowRow):
        kept = before.parts if isinstance(before, WindowRow) and before.epoch == row.epoch else ()
        if not isinstance(before, WindowRow) or (before.node, before.instance) != (row.node, row.instance):
            kept = (*kept, *world.ahead[row.job, row.epoch])  # who takes a window, or a part of it, takes these over
        world.ahead[row.job, row.epoch].update(row.ahead)
        for part in row.parts:
            assert part in kept or (
                row.node == part.node == machine.name and (not isinstance(before, WindowRow) or before.node == row.node)
            ), "a row took parts from a node that does not hold its window"


def _check_object(world: "World", row: FleetJobRow) -> None:
    size, _ = world.sizes[row.destination]
    count = -(-size // PART) or 1
    right = [f"{row.destination}.{part}" for part in range(count)]
    found = world.store.objects[row.destination]
    if world.scenario.liar >= 0 and found == [f"{each}.lie" for each in right]:
        return  # it was alone: then it is as any single source
    if world.scenario.odd_users and found == [f"{each}.odd" for each in right]:
        return  # the file of the users who won
    assert found == right, f"wrong: {row.destination} is sealed with other bytes"
    assert row.etag == multipart_etag([md5(each) for each in right]), "wrong: etag"


def check_end(world: "World") -> None:
    rows = world.job_rows()
    open_ = [f"{row.destination} {row.state} on {row.nodes}: {row.reason}" for row in rows if row.state not in ENDED]
    assert not open_, f"stuck: {open_}"
    assert len(world.acked) == len(world.orders), f"stuck: orders {set(world.orders) - world.acked}"
    creates = {order.destination for order in world.orders.values() if order.kind == "create"}
    assert {row.destination for row in rows} == creates, "a job was lost"
    assert all(count == 1 for count in world.sealed.values()), f"sealed twice: {world.sealed}"
    cancelled = sum(row.state == CANCELLED for row in rows)
    assert cancelled <= world.scenario.cancels
    for row in rows:
        if row.state == FAILED:
            assert _may_fail(world, row), f"failed without need: {row.destination}: {row.reason}"


def _may_fail(world: "World", row: FleetJobRow) -> bool:
    if row.destination in world.foreign:
        return True
    if world.scenario.odd_users and not world.scenario.mirrors:
        return True  # a node may have none but odd users, and the others be dead
    if world.scenario.liar >= 0:
        return True  # two nodes, or a liar that was alone
    if any(destination == row.destination for _, destination in world.refusing):
        return True  # the others may have been dead when the one that cannot had tried
    return world.scenario.store_faults > 0 and "damaged" in row.reason
