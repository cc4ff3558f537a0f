"""Worlds of the simulated fleet: which faults happen, drawn from a seed."""

import random
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Scenario:
    """Kinds of faults that a world has, each with its own weight; drawn by `drawn`."""

    nodes: int = 4
    jobs: int = 6
    parts: tuple[int, int] = (1, 40)
    rates: tuple[float, float] = (10e6, 40e6)
    spread: int = 4
    slots: int = 4
    deaths: int = 0
    never_back: bool = False
    pauses: int = 0
    partitions: int = 0
    minority: bool = False
    """A node without the majority is still connected: its requests get no answer, its watches say nothing."""
    elections: int = 0
    lossy: float = 0.0
    store_faults: float = 0.0
    store_full: bool = False
    forgets: int = 0
    """Uploads that the destination loses."""
    late_puts: float = 0.0
    liar: int = -1
    refusers: int = 0
    """Jobs that one node cannot fetch."""
    skew: float = 0.0
    twice: float = 0.0
    cancels: int = 0
    drains: int = 0
    indivisible: float = 0.0
    users: int = 0
    """Users of Soulseek that each job has as sources, divided over the nodes; 0: mirrors."""
    odd_users: int = 0
    """Those of them, the last ones, that have another file."""
    mirrors: int = 1
    """Mirrors of each job."""
    foreign: int = 0
    """Jobs whose name is taken by another object."""


def drawn(seed: int) -> Scenario:
    """Return the world of a seed: about a third of the kinds of faults at once."""
    random_ = random.Random(seed * 7919 + 1)

    def some(value: Any, nothing: Any, share: float = 0.35) -> Any:
        return value if random_.random() < share else nothing

    return Scenario(
        nodes=random_.randint(2, 5),
        jobs=random_.randint(1, 8),
        parts=(1, random_.choice((3, 20, 60))),
        spread=random_.randint(1, 5),
        slots=random_.randint(1, 6),
        deaths=some(random_.randint(1, 5), 0, 0.5),
        never_back=some(True, False, 0.2),
        pauses=some(random_.randint(1, 3), 0),
        partitions=some(random_.randint(1, 3), 0),
        minority=random_.random() < 0.5,
        elections=some(random_.randint(1, 3), 0),
        lossy=some(random_.choice((0.02, 0.1, 0.3)), 0.0),
        store_faults=some(random_.choice((0.03, 0.2)), 0.0),
        store_full=some(True, False, 0.15),
        forgets=some(1, 0, 0.15),
        late_puts=some(0.1, 0.0),
        liar=some(random_.randint(0, 1), -1, 0.2),
        refusers=some(random_.randint(1, 2), 0, 0.25),
        skew=some(random_.choice((0.02, 3600.0)), 0.0),
        twice=some(0.2, 0.0),
        cancels=some(1, 0, 0.15),
        drains=some(1, 0, 0.2),
        indivisible=some(0.3, 0.0, 0.3),
        foreign=some(1, 0, 0.1),
    )


def with_users(seed: int) -> Scenario:
    """Return a world of jobs that users of Soulseek send, some of whom have another file."""
    random_ = random.Random(seed * 104_729 + 7)
    world = drawn(seed)
    world.liar, world.indivisible = -1, 0.0
    world.users = random_.randint(1, 6)
    world.odd_users = random_.choice((0, 0, 1, 2)) if world.users > 2 else 0
    world.mirrors = random_.choice((0, 0, 1))
    world.nodes, world.spread = max(world.nodes, 2), max(world.spread, 2)
    return world
