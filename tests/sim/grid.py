"""Grid of small swarms: sizes, spreads of rates and their sums, four users, rates known or not.

``python -m tests.sim.grid --seeds 5`` plays every cell and prints one line for each: whether it takes no longer than
the best single user, comes near the ideal where that saves much, and stops no one where it does not. Times are medians
over the seeds, stops means; `single` and `ideal` (bytes at the sum of the rates, each user from its set-up on) are
those of the same seeds.
"""

import argparse
import itertools
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from actors.core.dispatch.chunk_tracker import chunk_size_of
from tests.sim.scenarios import MB, user_source
from tests.sim.world import Scenario, World
from tests.specs import start_job

SIZES_MIB: Final = (3, 10, 25, 50, 250)
SPREADS: Final = (1, 4, 50)
SUMS_MIB_S: Final = (1.0, 3.3, 11.0)
USERS: Final = 4
HOPS_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: size in MiB, fastest to slowest as `spread` to 1, the sum of the rates in MiB/s."""

    size_mib: int
    spread: int
    sum_mib_s: float
    known: bool


@dataclass(frozen=True, slots=True)
class Played:
    """One world of a cell: its time and stops, the best single user's time and the ideal one."""

    seconds: float
    stops: int
    single_s: float
    ideal_s: float


CELLS: Final = tuple(
    Cell(size, spread, total, known)
    for known, size, spread, total in itertools.product((True, False), SIZES_MIB, SPREADS, SUMS_MIB_S)
)


def scenario_of(cell: Cell, seed: int) -> Scenario:
    """One world of this cell: who is fast and how soon each user sends come from the seed."""
    rng = random.Random(f"{cell}-{seed}")
    shares = [cell.spread ** (-number / (USERS - 1)) for number in range(USERS)]
    rng.shuffle(shares)
    rates = [cell.sum_mib_s * MB * share / sum(shares) for share in shares]
    sources = tuple(user_source(rng, number, rate) for number, rate in enumerate(rates))
    size_bytes = cell.size_mib * MB
    chunk_size = chunk_size_of(start_job(folder="/box").spec, size_bytes)
    return Scenario(sources=sources, size_bytes=size_bytes, chunk_size=chunk_size, priors=cell.known)


def drawn_cell(rng: random.Random) -> Scenario:
    """A cell drawn by the seed, for ``python -m tests.sim --kind users_grid``."""
    return scenario_of(rng.choice(CELLS), rng.randrange(1 << 20))


def single_s(scenario: Scenario) -> float:
    """Time of the best user alone."""
    return min(each.setup_s + HOPS_S + scenario.size_bytes / each.rate_bytes_s for each in scenario.sources)


def ideal_s(scenario: Scenario) -> float:
    """Time at which all together could have sent the file, each from its set-up on."""
    rate = begun = 0.0
    best = float("inf")
    for each in sorted(scenario.sources, key=lambda source: source.setup_s):
        rate += each.rate_bytes_s
        begun += each.rate_bytes_s * (each.setup_s + HOPS_S)
        best = min(best, (scenario.size_bytes + begun) / rate)
    return best


def play(cell: Cell, seed: int) -> Played:
    scenario = scenario_of(cell, seed)
    world = World(scenario, seed, checked=False)
    outcome = world.run()
    assert outcome.state == "sealed", f"{cell} seed {seed}: {outcome}"
    stops = sum(worker.stops for worker in world.workers.values())
    return Played(outcome.seconds, stops, single_s(scenario), ideal_s(scenario))


def faults(cell: Cell, worlds: list[Played]) -> list[str]:
    """Return which promises these worlds of a cell break, of the medians of their times and the mean of their stops."""
    ratio = statistics.median(each.seconds - 1.05 * each.single_s for each in worlds)
    found = ["slow"] if ratio > 3.0 else []
    stops = statistics.mean(each.stops for each in worlds)
    saves = [each.single_s - each.ideal_s >= 15 and each.ideal_s <= 0.75 * each.single_s for each in worlds]
    if all(saves):
        near = statistics.median(each.ideal_s / each.seconds for each in worlds)
        found += ["far"] if near < 0.88 else []
    elif not any(saves) and stops > (0.0 if cell.known else 1.0):
        found.append("stops")
    return found


def _play_cell(asked: tuple[Cell, int]) -> list[Played]:
    cell, seeds = asked
    return [play(cell, seed) for seed in range(seeds)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.grid")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--known", action="store_true", help="only cells whose rates are known")
    parser.add_argument("--faults", action="store_true", help="only lines of cells that break a promise")
    asked = parser.parse_args()
    out, broken = sys.stdout, 0
    cells = [cell for cell in CELLS if cell.known or not asked.known]
    out.write("rates     MiB spread    sum   single    ideal     time  of single  of ideal   stops  broken\n")
    with ProcessPoolExecutor(asked.processes) as pool:
        for cell, worlds in zip(cells, pool.map(_play_cell, [(cell, asked.seeds) for cell in cells]), strict=True):
            found = faults(cell, worlds)
            broken += bool(found)
            if found or not asked.faults:
                out.write(_line(cell, worlds, found))
                out.flush()
    out.write(f"{broken} of {len(cells)} cells break a promise\n")
    return 1 if broken else 0


def _line(cell: Cell, worlds: list[Played], found: list[str]) -> str:
    middle = statistics.median
    return (
        f"{'known' if cell.known else 'unknown':8}{cell.size_mib:5}{'1:' + str(cell.spread):>7}{cell.sum_mib_s:7.1f}"
        f"{middle(each.single_s for each in worlds):9.1f}{middle(each.ideal_s for each in worlds):9.1f}"
        f"{middle(each.seconds for each in worlds):9.1f}"
        f"{middle(each.seconds / each.single_s for each in worlds):11.2f}"
        f"{middle(each.ideal_s / each.seconds for each in worlds):10.2f}"
        f"{statistics.mean(each.stops for each in worlds):8.2f}  {' '.join(found)}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
