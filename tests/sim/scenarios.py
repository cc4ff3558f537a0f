"""Scenarios: the figures the rule is tuned to, and worlds drawn from a seed.

`NAMED` are fixed shapes whose details (set-up times, rates) still come from the seed; `drawn` makes anything.
"""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from storage.chunk_journal import RECORD_BYTES, START
from tests.sim.disk import DiskScript
from tests.sim.disk_store import REAL_CHUNK
from tests.sim.script import Shape, SourceScript
from tests.sim.world import Scenario

KB: Final = 1024
MB: Final = 1024 * KB
LADDER_KB_S: Final = (20000, 10000, 8000, 5000, 3000, 1000, 300, 50)


def http_source(rng: random.Random, rate_bytes_s: float) -> SourceScript:
    """An ordinary mirror: answers within 1 to 50 ms, honours ranges."""
    setup_s = rng.uniform(0.001, 0.05)
    return SourceScript(rate_bytes_s=rate_bytes_s, setup_s=setup_s, probe_s=2 * setup_s, request_s=setup_s)


def user_source(rng: random.Random, number: int, rate_bytes_s: float) -> SourceScript:
    """A Soulseek user: sends when its turn has come, to the end of the file unless we hang up."""
    setup_s = rng.uniform(0.3, 3.0)
    return SourceScript(rate_bytes_s=rate_bytes_s, setup_s=setup_s, bounded=False, peer=f"user-{number}")


def ladder(rng: random.Random) -> Scenario:
    sources = tuple(http_source(rng, kb_s * KB) for kb_s in LADDER_KB_S)
    return Scenario(sources=sources, size_bytes=sum(LADDER_KB_S) * KB * 20)


def bursty_ladder(rng: random.Random) -> Scenario:
    plain = ladder(rng)
    return replace(plain, sources=tuple(replace(script, shape=Shape.BURSTY) for script in plain.sources))


def faulty_ladder(rng: random.Random) -> Scenario:
    """The ladder with six of eight misbehaving. Its ideal counts what the living can give (see `living_bytes_s`)."""
    odd: list[dict[str, Any]] = [
        {"stalls_after": 20 * MB},
        {"refuses_offsets": True, "reads_on": True},
        {"drops_every": 3 * MB},
        {"offset_ok": False, "reads_on": True},
        {"busy_share": 0.5},
        {"dies_at_s": 5.0},
        {},
        {},
    ]
    plain = ladder(rng)
    rng.shuffle(odd)
    sources = tuple(replace(script, **faults) for script, faults in zip(plain.sources, odd, strict=True))
    return replace(plain, sources=sources)


def benched_faults(rng: random.Random) -> Scenario:
    """The faulty mirrors of ``tests.bench.wasted_time``, sized for about 20 seconds of what they can give."""
    faults: list[dict[str, Any]] = [
        {},
        {"drops_every": 3_000_000},
        {"dies_after": 40_000_000},
        {"stalls_after": 20_000_000},
        {"busy_share": 0.5},
        {"offset_ok": False, "reads_on": True},
        {"refuses_offsets": True, "reads_on": True},
        {},
    ]
    plain = ladder(rng)
    sources = tuple(replace(script, **odd) for script, odd in zip(plain.sources, faults, strict=True))
    return replace(plain, sources=sources, size_bytes=20 * 34050 * KB + 60_000_000)


def many(rng: random.Random) -> Scenario:
    return Scenario(sources=tuple(http_source(rng, 100 * KB) for _ in range(300)), size_bytes=300 * 100 * KB * 20)


def users(rng: random.Random, count: int | None = None) -> Scenario:
    count = count or round(math.exp(rng.uniform(math.log(3), math.log(50))))
    rates = [10 * KB * 100 ** rng.random() for _ in range(count)]
    sources = tuple(user_source(rng, number, rate) for number, rate in enumerate(rates))
    return Scenario(sources=sources, size_bytes=int(sum(rates) * 60))


def known_users(rng: random.Random) -> Scenario:
    """Eight whose rates are known from earlier jobs."""
    return replace(users(rng, 8), priors=True)


def advertised_users(rng: random.Random, count: int = 20) -> Scenario:
    """Users who advertise their speed, right within a factor of two."""
    plain = users(rng, count)
    sources = tuple(replace(script, prior_error=2.0 ** rng.uniform(-1.0, 1.0)) for script in plain.sources)
    return replace(plain, sources=sources, advertised=True)


def small_users(rng: random.Random) -> Scenario:
    """Four users whose rates are known, and a file that the best of them has within seconds: no stop is worth it."""
    sizes, spread = rng.choice((3, 10, 25)), rng.choice((1.0, 4.0, 50.0))
    rates = [3 * MB / spread ** (number / 3) for number in range(4)]
    sources = tuple(user_source(rng, number, rate) for number, rate in enumerate(rates))
    return Scenario(sources=sources, size_bytes=sizes * MB, priors=True)


def limited_users(rng: random.Random) -> Scenario:
    """Four whose limiters lend a second's quota, as Nicotine+ does: any of them may be the first to grant."""
    rates = [8192.0 * KB, 2048.0 * KB, 800.0 * KB, 164.0 * KB]
    rng.shuffle(rates)
    sources = tuple(
        replace(user_source(rng, number, rate), setup_s=rng.uniform(0.05, 0.15), shape=Shape.LIMITED)
        for number, rate in enumerate(rates)
    )
    return Scenario(sources=sources, size_bytes=rng.choice((25, 48)) * MB)


def faulty_users(rng: random.Random) -> Scenario:
    """Eight, of whom one is silent, one leaves, one refuses offsets and one sends 2 KB/s."""
    plain = users(rng, 8)
    odd: list[dict[str, Any]] = [
        {"stalls_after": 0},
        {"dies_at_s": rng.uniform(1.0, 20.0)},
        {"refuses_offsets": True},
        {"rate_bytes_s": 2.0 * KB},
        {},
        {},
        {},
        {},
    ]
    rng.shuffle(odd)
    sources = tuple(replace(script, **faults) for script, faults in zip(plain.sources, odd, strict=True))
    return replace(plain, sources=sources)


def demo_users(rng: random.Random) -> Scenario:
    """The nine users of the demonstration, without patience: the quickest must soon be known for what it is."""

    def user(name: str, mb_s: float, **odd: Any) -> SourceScript:
        setup_s = rng.uniform(0.3, 0.6)
        return SourceScript(rate_bytes_s=mb_s * 1e6, setup_s=setup_s, bounded=False, peer=name, **odd)

    sources = (
        user("fast", 2.6),
        user("limited", 1.2),
        user("bursty", 0.9, shape=Shape.BURSTY),
        user("trickle", 0.002),
        user("from_zero", 0.7, refuses_offsets=True),
        user("queued", 1.0, queue_s=3.0),
        user("dying", 1.0, dies_after=5_000_000),
        user("silent", 1.0, stalls_after=0),
        user("firewalled", 0.9),
    )
    return Scenario(sources=sources, size_bytes=64 * MB, patience_s=0.0)


def small(rng: random.Random) -> Scenario:
    sources = tuple(http_source(rng, 500 * KB * 10 ** rng.random()) for _ in range(6))
    return Scenario(sources=sources, size_bytes=rng.randint(1, 100 * 128 * KB))


def holes(rng: random.Random) -> Scenario:
    """Resuming a part file with holes of all sizes."""
    sources = tuple(http_source(rng, 500 * KB * 10 ** rng.random()) for _ in range(6))
    cuts = sorted(rng.sample(range(1000), 24))
    resumed = tuple(zip(cuts[::2], cuts[1::2], strict=True))
    return Scenario(sources=sources, size_bytes=1000 * 128 * KB, resumed=resumed)


def alone(rng: random.Random) -> Scenario:
    return Scenario(sources=(http_source(rng, 5000 * KB),), size_bytes=20 * 5000 * KB)


def unequal(rng: random.Random) -> Scenario:
    """Two sources, 1 : 1000."""
    return Scenario(sources=(http_source(rng, 20 * KB), http_source(rng, 20000 * KB)), size_bytes=20 * 20020 * KB)


def deserted(rng: random.Random) -> Scenario:
    """Everybody goes away in the middle, for ever but for one, mirror or user, who is back after minutes."""
    rates = [50 * KB * 20 ** rng.random() for _ in range(rng.randint(1, 5))]
    back = rng.randrange(len(rates))
    left = [replace(http_source(rng, rate), dies_at_s=rng.uniform(0.0, 15.0)) for rate in rates]
    left[back] = replace(left[back], back_at_s=120.0 * 10 ** rng.random())
    if rng.random() < 0.4:
        left = [_as_user(rng, script, number) for number, script in enumerate(left)]
    return Scenario(sources=tuple(left), size_bytes=int(sum(rates) * 20), waits=True, limit_s=20_000.0)


NAMED: Final[dict[str, Callable[[random.Random], Scenario]]] = {
    "ladder": ladder,
    "bursty_ladder": bursty_ladder,
    "faulty_ladder": faulty_ladder,
    "benched_faults": benched_faults,
    "many": many,
    "users": users,
    "users8": lambda rng: users(rng, 8),
    "users20": lambda rng: users(rng, 20),
    "users100": lambda rng: users(rng, 100),
    "known_users": known_users,
    "advertised_users": advertised_users,
    "small_users": small_users,
    "limited_users": limited_users,
    "faulty_users": faulty_users,
    "demo_users": demo_users,
    "deserted": deserted,
    "small": small,
    "holes": holes,
    "alone": alone,
    "unequal": unequal,
}


def living_bytes_s(scenario: Scenario) -> float:
    """What the sources can give together over the whole job, as one rate (bytes/s).

    Sources that only send from byte 0 fetch the same front, so only the fastest of them counts. What stalls or dies
    counts with what it sends until then, half of the busy answers cost nothing that counts.
    """
    whole, fronts, fixed_bytes = 0.0, [0.0], 0.0
    for script in scenario.sources:
        if not script.offset_ok or script.refuses_offsets:
            fronts.append(script.rate_bytes_s)
        elif script.stalls_after is not None:
            fixed_bytes += script.stalls_after
        elif script.dies_after is not None:
            fixed_bytes += script.dies_after
        elif script.dies_at_s is not None and script.back_at_s == math.inf:
            fixed_bytes += script.dies_at_s * script.rate_bytes_s
        else:
            whole += script.rate_bytes_s
    rate = whole + max(fronts)
    missing = max(scenario.size_bytes - fixed_bytes, 1.0)
    return scenario.size_bytes / (missing / rate)


DRAWN: Final = ("honest", "faulty", "mixed", "disk", "dirty")
"""Worlds drawn from a seed. `disk`: honest sources and a disk that misbehaves; `dirty`: both misbehave."""


def drawn(seed: int, kind: str, sources: int | None = None) -> Scenario:
    """A world from a seed. `kind`: ``honest``, ``faulty`` (every source misbehaves somehow) or ``mixed``."""
    if kind in ("disk", "dirty"):
        rng = random.Random(f"disk-{seed}")
        world = drawn(seed, "honest" if kind == "disk" else "mixed", sources)
        return replace(world, disk_fails_after=None, disk_refuses=False, disk=_disk(rng, world))
    rng = random.Random(f"{kind}-{seed}")
    count = sources or rng.choice((1, 2, 3, 4, 6, 8, 12))
    scripts = tuple(_script(rng, kind) for _ in range(count))
    users_share = rng.choice((0.0, 0.0, 0.3, 1.0))
    scripts = tuple(
        _as_user(rng, script, number) if rng.random() < users_share else script for number, script in enumerate(scripts)
    )
    chunk_size = rng.choice((16, 64, 128)) * KB
    ideal_chunks = sum(script.rate_bytes_s for script in scripts) * 20 / chunk_size
    chunks = min(rng.choice((0, 1, 2, 7, 40, 200, 500)), math.ceil(ideal_chunks))
    size_bytes = max(0, chunks * chunk_size - rng.choice((0, 1, chunk_size // 2)))
    total = -(-size_bytes // chunk_size)
    resumed = _resumed(rng, total) if rng.random() < 0.3 else ()
    crawl_s = 4 * size_bytes / min(script.rate_bytes_s for script in scripts)
    unsized = all(not script.says_size for script in scripts)
    return Scenario(
        sources=scripts,
        size_bytes=size_bytes,
        chunk_size=chunk_size,
        resumed=() if unsized else resumed,
        mode=rng.choice(("swarm", "swarm", "swarm", "queue", "failover", "race")),
        slow_after_s=rng.choice((5.0, 15.0)),
        limit_bytes_s=rng.choice((0, 0, 0, 200 * KB)),
        stop_at_s=rng.uniform(0, 20) if rng.random() < 0.05 else None,
        disk_fails_after=rng.randint(0, 50) if rng.random() < 0.05 and kind != "honest" else None,
        disk_back_s=rng.choice((0.5, 3.0, 30.0)),
        disk_refuses=kind != "honest" and rng.random() < 0.03,
        checks_content=rng.random() < 0.5,
        priors=rng.random() < 0.2,
        verbose=rng.random() < 0.2,
        # Chunk by chunk from a queue takes its time, and so does a race that only the slowest can end.
        limit_s=20_000.0 if users_share else max(2_000.0, crawl_s),
    )


_STEPS: Final = ("checked", "settled", "linked", "link synced", "part unlinked", "sealed")


def _disk(rng: random.Random, world: Scenario) -> DiskScript:
    chunks = max(world.size_bytes // world.chunk_size, 1)
    whole = chunks * (REAL_CHUNK + RECORD_BYTES) + START
    return DiskScript(
        space_left=rng.randint(START, whole) if rng.random() < 0.5 else None,
        torn_at=tuple(sorted(rng.randint(3, 2 * chunks + 6) for _ in range(rng.choice((0, 0, 1, 3))))),
        mends_after_s=rng.choice((0.2, 2.0, 15.0)),
        forgets=rng.choice((0.0, 0.1, 0.5, 1.0)),
        flips=rng.choice((0, 0, 1, 5)),
        dies_at_s=rng.uniform(0.0, 20.0) if rng.random() < 0.4 else None,
        dies_at_step=rng.choice(_STEPS) if rng.random() < 0.2 else "",
    )


def _resumed(rng: random.Random, total: int) -> tuple[tuple[int, int], ...]:
    if total < 4:
        return ()
    cuts = sorted(rng.sample(range(total + 1), 2 * rng.randint(1, min(3, total // 2))))
    return tuple(zip(cuts[::2], cuts[1::2], strict=True))


def _as_user(rng: random.Random, script: SourceScript, number: int) -> SourceScript:
    """The same character as a Soulseek user, who may have a queue."""
    queue_s = rng.choice((0.0, 0.0, 0.0, 5.0, 20.0))
    refuses = script.refuses_offsets or not script.offset_ok  # a user takes an offset or hangs up
    plain = replace(script, offset_ok=True, refuses_offsets=refuses, busy_share=0.0, reads_on=False)
    return replace(plain, peer=f"user-{number}", bounded=False, queue_s=queue_s)


def _script(rng: random.Random, kind: str) -> SourceScript:
    base = SourceScript(
        rate_bytes_s=2 * KB * 1000 ** rng.random() if rng.random() < 0.8 else rng.uniform(2, 50) * KB,
        shape=rng.choice((Shape.CONSTANT, Shape.CONSTANT, Shape.BURSTY, Shape.DRIFTING, Shape.WALK)),
        setup_s=rng.choice((0.001, 0.02, 0.2, 1.5)),
        probe_s=rng.choice((0.002, 0.05, 0.5, 1.7)),
        bounded=rng.random() < 0.7,
        late_s=rng.choice((0.0, 0.0, 0.0, 0.3)),
        host=rng.choice(("", "", "same")),
    )
    if kind == "honest" or (kind == "mixed" and rng.random() < 0.4):
        return base
    for _ in range(rng.choice((1, 1, 2))):
        base = rng.choice(_FAULTS)(rng, base)
    return base


_FAULTS: Final[tuple[Callable[[random.Random, SourceScript], SourceScript], ...]] = (
    lambda rng, script: replace(script, offset_ok=False, reads_on=rng.random() < 0.5),
    lambda rng, script: replace(script, refuses_offsets=True, reads_on=rng.random() < 0.5),
    lambda rng, script: replace(script, stalls_after=rng.randint(0, 3 * MB)),
    lambda rng, script: replace(script, drops_every=rng.randint(10 * KB, 2 * MB)),
    lambda rng, script: replace(script, dies_at_s=rng.uniform(0, 20)),
    lambda rng, script: replace(script, dies_at_s=rng.uniform(0, 10), back_at_s=rng.uniform(10, 60)),
    lambda rng, script: replace(script, busy_share=rng.choice((0.5, 0.9, 1.0)), retry_after_s=rng.choice((0.0, 2.0))),
    lambda rng, script: replace(script, lies=True),
    lambda rng, script: replace(script, rate_bytes_s=rng.uniform(2, 50) * KB),
    lambda rng, script: replace(script, lost_at_s=rng.uniform(0, 15)),
    lambda rng, script: replace(script, echoes=0.5),
    lambda rng, script: replace(script, late_s=2.0),
    lambda rng, script: replace(script, says_size=False, offset_ok=False),
    lambda rng, script: replace(script, wrong_size=True),
)
