"""Cost of content checks while all sources are honest: the same seeded worlds with the checks and without.

``python -m tests.sim.cost --seeds 48``: a line for each kind. Time: with the checks, as a share of the time without, of
each pair; late: of it, what passed between the last chunk and the seal. Again: chunks that were read again, beyond the
other side of the pair, for each lease and altogether. Stops: of users, beyond the other side. A pair is one seed, so
that set-up times and rates are the same on both sides.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.content import ContentChecks
from actors.core.dispatch.identity.seal_gate import Gate, SealGate
from actors.core.dispatch.sources import Source
from protocol.messages import StartJob
from tests.sim.content import mirrors, users
from tests.sim.scenarios import KB, MB, NAMED, http_source
from tests.sim.store import StoreModel
from tests.sim.world import Scenario, World

KINDS: Final[dict[str, Callable[[random.Random], Scenario]]] = {
    "ladder": NAMED["ladder"],
    "holes": NAMED["holes"],
    "seconds": lambda rng: Scenario(
        sources=tuple(http_source(rng, 500 * KB * 10 ** rng.random()) for _ in range(6)),
        size_bytes=rng.randint(16 * MB, 64 * MB),
    ),
    "small": NAMED["small"],
    "mirrors": lambda rng: Scenario(sources=tuple(mirrors(rng, rng.randint(4, 8))), size_bytes=64 * MB),
    "users": lambda rng: Scenario(sources=tuple(users(rng, rng.randint(4, 8))), size_bytes=64 * MB),
    "users8": NAMED["users8"],
    "users20": NAMED["users20"],
}


class _NoOverlaps:
    """Overlap checks that no lease makes."""

    def __init__(self, plain: object) -> None:
        self._plain = plain

    def lead_of(self, source: Source, lease: Lease, tracker: ChunkTracker) -> int:
        return 0

    def overlap_of(self, source: Source, lease: Lease, tracker: ChunkTracker, *, moved: bool = False) -> int:
        return 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._plain, name)


class Unchecked(ContentChecks):
    """Content checks that ask for nothing and let every complete file be sealed: the other side of the comparison."""

    def next_check(self, source: Source, tracker: ChunkTracker, *, urgent: bool, now_s: float) -> Check | None:
        return None

    def may_ask(self, tracker: ChunkTracker, *, now_s: float) -> bool:
        return False

    def gate(self, tracker: ChunkTracker, *, now_s: float) -> Gate:
        return Gate.OPEN


class _NoSealGate(SealGate):
    def forced_check(self, source: Source, tracker: ChunkTracker, *, now_s: float) -> Check | None:
        return None


class _UncheckedState(DispatchState):
    def __init__(self, wanted: StartJob, *, now_s: float) -> None:
        super().__init__(wanted, now_s=now_s)
        self.content.__class__ = Unchecked
        self.content.sealing.__class__ = _NoSealGate
        self.content.overlaps = _NoOverlaps(self.content.overlaps)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Played:
    """One world: seconds, of those after the last chunk, chunks read again, leases, stops of all sources."""

    seconds: float
    late_s: float
    again: float
    leases: int
    stops: float


def played(kind: str, seed: int, *, checks: bool) -> Played:
    """Play the world of this seed to its end."""
    scenario = KINDS[kind](random.Random(f"{kind}-{seed}"))
    world = World(scenario, seed, checked=False, state=DispatchState if checks else _UncheckedState)
    outcome = world.run()
    assert outcome.state == "sealed", f"{kind} seed {seed}: {outcome}"
    assert isinstance(world.store, StoreModel)
    leases = round(outcome.leases * len(scenario.sources))
    late_s = outcome.ended_s - world.store.stored_s
    return Played(outcome.seconds, late_s, world.store.refetched_chunks, leases, outcome.stops * len(scenario.sources))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.cost")
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--each", action="store_true", help="a line for every seed")
    asked = parser.parse_args()
    out = sys.stdout
    out.write(f"{'kind':10}{'pairs':>6}{'seconds':>9}{'time med':>10}{'mean':>8}{'p90':>8}{'late':>8}")
    out.write(f"{'again/lease':>13}{'in all':>8}{'stops':>8}\n")
    for kind in asked.kind or KINDS:
        times: list[float] = []
        late: list[float] = []
        again: list[float] = []
        in_all: list[float] = []
        stops: list[float] = []
        plain_s: list[float] = []
        for seed in range(asked.first, asked.first + asked.seeds):
            one, other = (played(kind, seed, checks=checks) for checks in (True, False))
            times.append(one.seconds / other.seconds)
            late.append((one.late_s - other.late_s) / other.seconds)
            again.append((one.again - other.again) / max(one.leases, 1))
            in_all.append(one.again - other.again)
            stops.append(one.stops - other.stops)
            plain_s.append(other.seconds)
            if asked.each:
                out.write(f"  {kind} {seed}: {times[-1]:.3f} {one} {other}\n")
        out.write(
            f"{kind:10}{len(times):6}{statistics.median(plain_s):9.2f}{statistics.median(times):10.3f}"
            f"{statistics.mean(times):8.3f}{sorted(times)[len(times) * 9 // 10]:8.3f}{statistics.mean(late):8.3f}"
            f"{statistics.mean(again):13.2f}{statistics.mean(in_all):8.1f}{statistics.mean(stops):8.2f}\n"
        )
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
