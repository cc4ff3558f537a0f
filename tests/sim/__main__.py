"""``python -m tests.sim``: play many seeds and print what came of them.

Efficiency (the ideal fluid time of what the living sources can give / time taken) is shown for named scenarios only:
drawn worlds have rates that change. Completed: sealed; the rest ended for a reason. Wrong: bytes believed or sealed
that are not those that came. Stuck: did not end. Broken: any other invariant.
"""

import argparse
import contextlib
import math
import os
import random
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.sim import album, fleet
from tests.sim.disk import Disk, MachineDied
from tests.sim.disk_store import NAME, StoreOnDisk
from tests.sim.scenarios import DRAWN, NAMED, drawn, living_bytes_s
from tests.sim.world import Outcome, Scenario, World

_MEMORY: Final = "/dev/shm"
"""Where the files of a world are kept when there is such a place: thousands of them cost seconds on a disk."""


@dataclass(slots=True)
class Row:
    """One line of the table."""

    efficiency: list[float] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=[*DRAWN, *NAMED, "album", "fleet"])
    parser.add_argument("--sources", type=int)
    parser.add_argument("--unchecked", action="store_true", help="skip the invariants: faster")
    parser.add_argument("--each", action="store_true", help="a line for every seed")
    asked = parser.parse_args()
    if asked.kind == ["fleet"]:
        return fleet.play_many(asked.first, asked.seeds)
    if asked.kind == ["album"]:
        return album.play_many(asked.first, asked.seeds)
    out = sys.stdout
    out.write(
        f"{'kind':14}{'runs':>6}{'completed':>11}{'wrong':>7}{'stuck':>7}{'broken':>8}"
        f"{'eff med':>9}{'p10':>7}{'min':>7}{'refetch':>9}{'stops':>7}{'most':>6}"
        f"{'leases':>8}{'requests':>10}{'handled':>9}  ended\n"
    )
    failed = 0
    for kind in asked.kind or [*NAMED, *DRAWN]:
        row = Row()
        for seed in range(asked.first, asked.first + asked.seeds):
            _play(kind, seed, asked.sources, row, checked=not asked.unchecked, each=asked.each)
        out.write(_line(kind, row))
        out.flush()
        failed += len(row.broken)
        for text in row.broken[:10]:
            out.write(f"    {text}\n")
    return 1 if failed else 0


def played(scenario: Scenario, seed: int, *, checked: bool = True) -> Outcome:
    """One world to its end; with a disk of its own when the scenario has one, and begun again if the machine dies."""
    if scenario.disk is None:
        return World(scenario, seed, checked=checked).run()
    with tempfile.TemporaryDirectory(prefix="sim-", dir=_MEMORY if os.path.isdir(_MEMORY) else None) as folder:
        disk = Disk(scenario.disk, Path(folder), seed)
        first = World(scenario, seed, checked=checked, disk=disk)
        with contextlib.suppress(MachineDied):
            first.play(scenario.disk.dies_at_s if scenario.disk.dies_at_s is not None else math.inf)
        if first.ended is not None:
            return first.outcome()
        second = World(replace(scenario, resumed=()), seed + 1, checked=checked, disk=disk)
        assert isinstance(first.store, StoreOnDisk)
        assert isinstance(second.store, StoreOnDisk)
        first.store.die()
        second.store.inherit(first.store)
        outcome = second.run()
        if first.store.whole and outcome.state == "sealed" and not (scenario.disk.forgets or scenario.disk.flips):
            assert outcome.leases == 0, "wrong: fetched again though all of it was stored"
            left = set(os.listdir(folder)) - {f"{NAME}.part.records"}  # the run is over with the last word to people
            assert left == {NAME}, "wrong: one file under two names"
        return outcome


def scenario_of(kind: str, seed: int, sources: int | None = None) -> Scenario:
    make = NAMED.get(kind)
    return make(random.Random(seed)) if make is not None else drawn(seed, kind, sources)


def _play(kind: str, seed: int, sources: int | None, row: Row, *, checked: bool, each: bool) -> None:
    scenario = scenario_of(kind, seed, sources)
    try:
        outcome = played(scenario, seed, checked=checked)
    except AssertionError as error:
        row.broken.append(f"seed {seed}: {error}")
        return
    row.states[outcome.state] += 1
    row.outcomes.append(outcome)
    if kind in NAMED and outcome.state == "sealed" and outcome.seconds > 0:
        share = sum(script.rate_bytes_s for script in scenario.sources) / living_bytes_s(scenario)
        row.efficiency.append(outcome.efficiency * share)
    if each:
        of_living = f"{row.efficiency[-1]:.4f}" if row.efficiency else "-"
        sys.stdout.write(f"  seed {seed}: {of_living} {outcome}\n")


def _line(kind: str, row: Row) -> str:
    eff, outs = sorted(row.efficiency) or [0.0], row.outcomes
    if not outs:
        return f"{kind:14} nothing ended; broken {len(row.broken)}\n"
    states = " ".join(f"{state} {count}" for state, count in sorted(row.states.items()))
    wrong, stuck = (sum(word in text for text in row.broken) for word in ("wrong", "not ended"))
    return (
        f"{kind:14}{len(outs) + len(row.broken):6}{row.states['sealed']:11}{wrong:7}{stuck:7}"
        f"{len(row.broken) - wrong - stuck:8}"
        f"{statistics.median(eff):9.4f}{eff[len(eff) // 10]:7.3f}{eff[0]:7.3f}"
        f"{statistics.mean(out.refetched_share for out in outs):9.4f}{statistics.mean(out.stops for out in outs):7.2f}"
        f"{max(out.stops_max for out in outs):6}"
        f"{statistics.mean(out.leases for out in outs):8.2f}{statistics.mean(out.requests for out in outs):10.2f}"
        f"{statistics.mean(out.handled for out in outs):9.0f}  {states}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
