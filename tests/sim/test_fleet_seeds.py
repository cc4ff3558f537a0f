"""Seeds of the simulated fleet: no wrong byte, none stuck, none sealed twice, whatever dies, pauses or is cut off."""

from collections import Counter

import pytest

from tests.sim.fleet import World, play
from tests.sim.fleet_scenarios import Scenario, with_users


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_drawn_worlds_end_well(first: int) -> None:
    for seed in range(first, first + 6):
        play(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(50_000, 50_500, 50))
def test_many_drawn_worlds_end_well(first: int) -> None:
    for seed in range(first, first + 50):
        play(seed)


@pytest.mark.parametrize("seed", [6, 38, 107_591, 109_705])
def test_worlds_that_once_failed_end_well(seed: int) -> None:
    """A lost upload whose gaps were not looked for again; a part stolen back and forth.

    A liar whose checkers had died; an own completion that was seen before the rows of all parts.
    """
    play(seed)


@pytest.mark.parametrize("first", [0, 4])
def test_worlds_with_users_end_well(first: int) -> None:
    for seed in range(first, first + 4):
        play(seed, scenario=with_users(seed))


@pytest.mark.parametrize("seed", [253, 317])
def test_worlds_with_users_that_once_failed_end_well(seed: int) -> None:
    """Windows of one node that different users sent, who were never compared: one of them was odd."""
    play(seed, scenario=with_users(seed))


@pytest.mark.long
@pytest.mark.parametrize("first", range(60_000, 60_200, 20))
def test_many_worlds_with_users_end_well(first: int) -> None:
    for seed in range(first, first + 20):
        play(seed, scenario=with_users(seed))


def test_users_are_asked_by_one_node_each_for_few_windows() -> None:
    """Each window's end is a failed upload in the list of those who sent it: two a node, as leases of one machine."""
    for seed in range(4):
        world = play(seed, scenario=Scenario(nodes=3, jobs=2, parts=(30, 60), spread=3, users=8, mirrors=0))
        assert max(world.windows_of_users.values()) <= 3
        assert len(world.windows_of_users) > 2, "one node fetched it all"


def test_a_death_costs_at_most_a_part_a_node() -> None:
    """What is complete but has no row yet is sent again; what a row names never is."""
    for seed in range(4):
        world = play(seed, scenario=Scenario(nodes=4, jobs=2, parts=(20, 40), deaths=4, spread=4))
        assert world.refetched <= world.deaths + world.scenario.jobs


def test_nodes_share_a_file_without_loss_at_its_end() -> None:
    """Beside a second and a half for describing, checks and sealing, they need what all their rates together need."""
    for seed in range(4):
        world = World(Scenario(nodes=4, jobs=1, parts=(60, 60), spread=4), seed)
        world.run()
        ideal = world.sizes["file0"][0] / sum(machine.rate for machine in world.machines)
        assert world.sealed_at["file0"] - world.started_at["file0"] <= 1.06 * ideal + 1.6
        assert world.refetched <= 2


def test_what_passes_the_bus_is_little() -> None:
    world = World(Scenario(nodes=4, jobs=1, parts=(120, 120), spread=4), 3)
    world.run()
    watchers = len(world.machines)
    assert world.part_bytes * (1 + watchers) <= 0.001 * world.sizes["file0"][0]


@pytest.mark.long
def test_many_jobs_are_spread_evenly_and_begin_at_once_where_there_is_room() -> None:
    world = World(Scenario(nodes=4, jobs=400, parts=(1, 3), rates=(40e6, 40e6), spread=1, slots=64), 5)
    world.run()
    work = Counter[str]()
    for row in world.job_rows():
        work[row.sealed_by] += row.size_bytes
    assert max(work.values()) - min(work.values()) <= 0.1 * sum(work.values()) / 4
    waits = sorted(at - world.ordered_at[name] for name, at in world.started_at.items() if world.ordered_at[name] > 4)
    assert waits[int(0.95 * len(waits))] <= 1.0
