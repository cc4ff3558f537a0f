"""Album of several tracks that the same users share: a job for each track, all ordered at once.

``python -m tests.sim --kind album`` plays it. A user sends one file at a time, as real clients do. Each job has a world
of its own in which only the users' upload slots are shared. No user is to be hung up on more than twice over the whole
album, and all together are to have sent it long before the best one alone would have.
"""

import random
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Final

from actors.core.dispatch.chunk_tracker import chunk_size_of
from tests.sim.scenarios import KB, MB, user_source
from tests.sim.session import SharedUsers
from tests.sim.world import Scenario, World
from tests.specs import start_job

TRACKS: Final = 6
TRACK_BYTES: Final = 6 * MB
USERS: Final = 3
SLOWEST_SHARE: Final = 0.7
"""No user is slower than this share of the fastest: beside one that is much faster the others save little."""
STOPS_MAX: Final = 2
TIME_SHARE_MAX: Final = 0.6


@dataclass(frozen=True, slots=True)
class Played:
    """One album: its time, that of the best user alone, and how often each user was hung up on."""

    seconds: float
    single_s: float
    stops: tuple[int, ...]


def scenario_of(seed: int) -> Scenario:
    """One track; all of an album are alike."""
    rng = random.Random(f"album-{seed}")
    fastest = 250 * KB * 8 ** rng.random()
    rates = [fastest, *(fastest * rng.uniform(SLOWEST_SHARE, 1.0) for _ in range(USERS - 1))]
    rng.shuffle(rates)
    sources = tuple(user_source(rng, number, rate) for number, rate in enumerate(rates))
    chunk_size = chunk_size_of(start_job(folder="/box").spec, TRACK_BYTES)
    return Scenario(sources=sources, size_bytes=TRACK_BYTES, chunk_size=chunk_size)


def play(seed: int, *, checked: bool = True) -> Played:
    """All jobs of an album to their end, in the order of what happens in them."""
    scenario = scenario_of(seed)
    users = SharedUsers()
    worlds = [World(scenario, TRACKS * seed + track, checked=checked, users=users) for track in range(TRACKS)]
    while (world := min(worlds, key=lambda each: each.next_s)).next_s < float("inf"):
        world.step()
    stops: Counter[int] = Counter()
    for world in worlds:
        outcome = world.outcome()
        assert outcome.state == "sealed", f"album {seed}: {outcome}"
        for worker in world.workers.values():
            stops[worker.source] += worker.stops
    single_s = min(each.setup_s + TRACKS * (each.hop_s + TRACK_BYTES / each.rate_bytes_s) for each in scenario.sources)
    return Played(max(world.now_s for world in worlds), single_s, tuple(stops[number] for number in range(USERS)))


def broken(played: Played) -> list[str]:
    """Return which promises this album breaks."""
    found = ["stops"] if max(played.stops) > STOPS_MAX else []
    return found + (["slow"] if played.seconds > TIME_SHARE_MAX * played.single_s else [])


def play_many(first: int, seeds: int) -> int:
    """Play these albums and print what came of them."""
    albums = {seed: play(seed, checked=False) for seed in range(first, first + seeds)}
    shares = sorted(each.seconds / each.single_s for each in albums.values())
    for seed, each in albums.items():
        if found := broken(each):
            sys.stdout.write(f"  seed {seed}: {' '.join(found)} {each}\n")
    stops_each = statistics.mean(sum(each.stops) for each in albums.values()) / USERS
    stops_most = max(max(each.stops) for each in albums.values())
    sys.stdout.write(
        f"{seeds} albums of {TRACKS} tracks: time, of the best user's alone, median {statistics.median(shares):.3f}, "
        f"most {shares[-1]:.3f}; stops a user {stops_each:.2f}, most {stops_most}\n"
    )
    return int(any(broken(each) for each in albums.values()))
