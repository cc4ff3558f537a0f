"""Worlds in which sources have different files of one size, and a table of what was sealed.

``python -m tests.sim.content --seeds 1000``: a line for each world. Right: every byte is that of the right file. Odd:
the whole file is that of one other source; first: of those, where the user named it before all that have the right one,
so that it is what was asked for where nothing else decides. Mixed: bytes of two files, which must not happen. Again:
bytes fetched again, as a share of the file, in the median and at most; read: what of it was read to find the odd one,
so without the chunks that were taken back from it; time: in the median, against the same sources without the odd.
"""

import argparse
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from tests.sim.scenarios import KB, MB, http_source, user_source
from tests.sim.script import SourceScript
from tests.sim.world import Outcome, Scenario, World

SIZE: Final = 64 * MB
PLACES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "from65536": ((65_536, SIZE),),
    "middle": ((SIZE // 3, 2 * SIZE // 3),),
    "tail": ((SIZE - 128 * KB, SIZE),),
    "head": ((0, 128 * KB),),
    "half": ((SIZE // 2, SIZE),),
    "shifted": ((1, SIZE),),
    "tenth": ((6 * SIZE // 10, 7 * SIZE // 10),),
    "every8": tuple((at, at + 1) for at in range(5 * MB, SIZE, 8 * MB)),
    "every1": tuple((at, at + 1) for at in range(MB // 2, SIZE, MB)),
}


def mirrors(rng: random.Random, count: int) -> list[SourceScript]:
    return [http_source(rng, 500 * KB * 10 ** rng.random()) for _ in range(count)]


def users(rng: random.Random, count: int) -> list[SourceScript]:
    return [user_source(rng, number, 50 * KB * 10 ** rng.random()) for number in range(count)]


def one_odd(
    rng: random.Random, *, make: Callable[[random.Random, int], list[SourceScript]], place: str, digest: bool
) -> Scenario:
    """Four to eight sources, one of which has another file."""
    scripts = make(rng, rng.randint(4, 8))
    odd = rng.randrange(len(scripts))
    scripts[odd] = replace(scripts[odd], odd=PLACES[place])
    return Scenario(sources=tuple(scripts), size_bytes=SIZE, digest=digest, limit_s=20_000.0)


def halves(rng: random.Random, make: Callable[[random.Random, int], list[SourceScript]]) -> Scenario:
    """Every second source has another file, all of whose bytes differ."""
    scripts = make(rng, rng.choice((4, 6, 8)))
    first = rng.randrange(2)
    scripts = [replace(each, odd=((0, SIZE),)) if at % 2 == first else each for at, each in enumerate(scripts)]
    return Scenario(sources=tuple(scripts), size_bytes=SIZE, limit_s=20_000.0)


def ordered(rng: random.Random) -> Scenario:
    """An order for one user's file; all others have other bytes, most of them the same ones."""
    scripts = users(rng, rng.randint(4, 8))
    others = [replace(each, odd=((0, SIZE),), mark=b"od%d" % (rng.random() < 0.2)) for each in scripts[1:]]
    return Scenario(sources=(scripts[0], *others), size_bytes=SIZE, ordered_user=True, limit_s=20_000.0)


def flac(rng: random.Random, place: str, container: str) -> Scenario:
    """Four to eight users with a FLAC file, one with other audio: its digest in the first chunk differs."""
    world = one_odd(rng, make=users, place=place, digest=False)
    sources = tuple(replace(each, odd=((0, 1), *each.odd)) if each.odd else each for each in world.sources)
    return replace(world, sources=sources, container=container)


WORLDS: Final[dict[str, Callable[[random.Random], Scenario]]] = {
    **{
        f"{place}_{kind}{'_digest' if digest else ''}": partial(one_odd, make=make, place=place, digest=digest)
        for kind, make in (("mirrors", mirrors), ("users", users))
        for digest in (True, False)
        for place in PLACES
        if digest or place != "every8"
    },
    **{
        f"flac_{place}_{container}": partial(flac, place=place, container=container)
        for place in ("from65536", "middle", "tail", "half", "shifted", "tenth")
        for container in ("frames", "decoded")
    },
    "halves_mirrors": lambda rng: halves(rng, mirrors),
    "halves_users": lambda rng: halves(rng, users),
    "ordered_user": ordered,
    "honest_mirrors": lambda rng: Scenario(sources=tuple(mirrors(rng, rng.randint(4, 8))), size_bytes=SIZE),
    "honest_users": lambda rng: Scenario(sources=tuple(users(rng, rng.randint(4, 8))), size_bytes=SIZE),
}


def play(name: str, seed: int, *, checked: bool = True) -> Outcome:
    world = World(WORLDS[name](random.Random(f"{name}-{seed}")), seed, checked=checked)
    try:
        return world.run()
    except AssertionError as error:
        raise AssertionError(f"{name} seed {seed}: {error}") from error


def without_odd(name: str, seed: int) -> Outcome:
    """The same world with only those that have the file that is most wanted: the right one."""
    scenario = WORLDS[name](random.Random(f"{name}-{seed}"))
    honest = tuple(script for script in scenario.sources if not script.odd)
    return World(replace(scenario, sources=honest, ordered_user=False), seed, checked=False).run()


def named_first(name: str, seed: int) -> bool:
    """Whether the first source that the user named is the odd one."""
    return bool(WORLDS[name](random.Random(f"{name}-{seed}")).sources[0].odd)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.content")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--world", action="append", choices=list(WORLDS))
    parser.add_argument("--compare", action="store_true", help="play each world also without the odd source")
    parser.add_argument("--each", action="store_true")
    asked = parser.parse_args()
    out = sys.stdout
    out.write(
        f"{'world':26}{'seeds':>6}{'right':>7}{'odd':>6}{'first':>6}{'mixed':>6}{'unsealed':>9}{'again':>8}"
        f"{'most':>7}{'read':>7}{'most':>7}{'stops':>7}{'time':>7}\n"
    )
    for name in asked.world or WORLDS:
        found: Counter[str] = Counter()
        outcomes: list[Outcome] = []
        times: list[float] = []
        broken: list[str] = []
        for seed in range(asked.first, asked.first + asked.seeds):
            try:
                outcome = play(name, seed, checked=False)
            except AssertionError as error:
                broken.append(str(error))
                continue
            found[outcome.content] += 1
            found["first"] += outcome.content == "odd" and named_first(name, seed)
            outcomes.append(outcome)
            if asked.compare:
                times.append(outcome.seconds / without_odd(name, seed).seconds)
            if asked.each:
                out.write(f"  seed {seed}: {outcome}\n")
        again = sorted(each.refetched_share for each in outcomes) or [0.0]
        read = sorted(each.refetched_share - each.dropped_share for each in outcomes) or [0.0]
        out.write(
            f"{name:26}{len(outcomes) + len(broken):6}{found['right']:7}{found['odd']:6}{found['first']:6}"
            f"{found['mixed']:6}{found['']:9}"
            f"{statistics.median(again):8.3f}{again[-1]:7.3f}{statistics.median(read):7.3f}{read[-1]:7.3f}"
            f"{statistics.mean(each.stops for each in outcomes) if outcomes else 0:7.2f}"
            f"{statistics.median(times) if times else 0:7.3f}\n"
        )
        for text in broken[:5]:
            out.write(f"    {text}\n")
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
