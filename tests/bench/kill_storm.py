"""Claim: whatever dies, the download goes on by itself, bytes flow again soon and little is fetched twice.

    python -m tests.bench.kill_storm children [--downloads N] [--kills N]   # of children, in each of N downloads
    python -m tests.bench.kill_storm again [--kills N]                      # how long until bytes flow again
    python -m tests.bench.kill_storm tree [--kills N]                       # everything dies, the same command again
    python -m tests.bench.kill_storm restarts [--kills N]                   # a fetcher N times: does anything grow?

Fetched again is what the mirrors sent beyond the file's size, so nothing that was on its way is left out. Mirrors send
6 MB/s each, three of them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.supervisor import Supervisor
from protocol.messages import ProcessReady
from storage.shared_memory import SLOT_BYTES, Arena
from tests.bench.measuring import print_table, verdict
from tests.e2e import program
from tests.e2e.program import Shoal
from tests.e2e.storm import Storm
from tests.http_mirrors.box import Box, Character, Content, mirrors

RATE_BYTES_S = 6e6
MIB = 1 << 20
CHUNKS_IN_A_SLOT = SLOT_BYTES >> 17


def sent(box: Box) -> int:
    return sum(count.bytes_sent for count in box.counts().values())


def children(downloads: int, kills: int, seed: int) -> bool:
    """`kills` SIGKILLs to random children in each download."""
    rows: list[list[object]] = [["download", "state", "right", "kills", "fetched again MiB", "seconds"]]
    again, hits, right = 0, 0, 0
    for number in range(downloads):
        content = Content(int(3 * RATE_BYTES_S * 3.5), seed=number)
        with (
            tempfile.TemporaryDirectory() as folder,
            mirrors([Character(rate_bytes_s=RATE_BYTES_S)] * 3, content) as box,
        ):
            shoal = Shoal(Path(folder))
            running = shoal.begun(*box.urls, "-o", "file.bin")
            running.until_stored(1)
            with Storm(running, seed + number, kills, 0.25) as storm:
                done = running.finish()
            good = done.code == 0 and content.matches(shoal.folder / "file.bin") and shoal.files == ["file.bin"]
            more = max(0, sent(box) - content.size)
            shoal.clean_up()
        again, hits, right = again + more, hits + len(storm.hits), right + good
        rows.append([number, done.ended["state"], good, len(storm.hits), more / MIB, done.seconds])
        if not good:
            print(storm.hits, done.ended.get("reason"), done.stderr[-500:])
    print_table(rows)
    per_kill = again / MIB / max(hits, 1)
    sealed = verdict(f"sealed and right of {downloads}, {hits} kills", right, at_least=downloads)
    return verdict("fetched again, MiB a kill", per_kill, at_most=16) and sealed


def again(kills: int) -> bool:
    """Seconds from a kill until the stored bytes grow again, and until the process's own place sends again."""
    worst: dict[str, list[float]] = {"fetch-1": [], "store": [], "hub": []}
    content = Content(int(2 * RATE_BYTES_S * (2.5 * kills + 4)), seed=5)
    for name, waits in worst.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            mirrors([Character(rate_bytes_s=RATE_BYTES_S)] * 2, content) as box,
        ):
            shoal = Shoal(Path(folder))
            running = shoal.begun(*box.urls, "-o", "file.bin")
            for _ in range(kills):
                running.until_stored(20)
                waits.append(_until_all_flow(running, box, name))
            running.kill_all()
            running.process.wait(5)
            shoal.clean_up()
    print_table(
        [["killed", "times", "median s", "longest s"]]
        + [[name, len(waits), statistics.median(waits), max(waits)] for name, waits in worst.items()]
    )
    longest = max(worst["fetch-1"] + worst["store"])
    return verdict("seconds until bytes flow again, longest", longest, at_most=1.5)


def _until_all_flow(running: program.Running, box: Box, name: str) -> float:
    """From the kill of a process until more than a slot's worth of chunks from *every* source was stored: more than
    could have been on its way."""
    lacking = dict.fromkeys(box.urls, CHUNKS_IN_A_SLOT + 1)
    running.child(name).kill()
    began_s = time.monotonic()
    running.until(lambda event: event["event"] == "note" and name in event["text"])
    while any(count > 0 for count in lacking.values()):
        chunk = running.until(lambda event: event["event"] == "chunk")
        lacking[chunk["source"]] -= 1
    return time.monotonic() - began_s


def tree(kills: int, seed: int) -> bool:
    """Kill everything at a random moment, run the same command again, ..."""
    dice = random.Random(seed)
    content = Content(int(2 * RATE_BYTES_S * kills), seed=6)
    with tempfile.TemporaryDirectory() as folder, mirrors([Character(rate_bytes_s=RATE_BYTES_S)] * 3, content) as box:
        shoal = Shoal(Path(folder))
        struck = 0
        while struck < kills:
            running = shoal.begun(*box.urls, "-o", "file.bin")
            running.until_stored(1)
            threading.Event().wait(dice.uniform(0.0, 0.6))
            if running.process.poll() is not None:
                break
            running.kill_all()
            running.process.wait(5)
            struck += 1
        done = shoal.get(*box.urls, "-o", "file.bin")
        right = done.code == 0 and content.matches(shoal.folder / "file.bin")
        more = max(0, sent(box) - content.size) / MIB
        shoal.clean_up()
    print(f"{struck} kills of the whole tree, content {'right' if right else 'WRONG'}, {more:.1f} MiB fetched again")
    good = verdict("sealed and right", float(right), at_least=1)
    return verdict("fetched again, MiB a kill", more / max(struck, 1), at_most=16) and good


def restarts(kills: int) -> bool:
    """One fetcher of the real program, killed again and again, idle: what grows?"""
    specs, slot_count = processes(2)
    arena = Arena.create(slot_count)
    with Supervisor(
        specs,
        arena_fd=arena.fd,
        slot_count=slot_count,
        lost_to=("hub/pool",),
        restart_policy=RestartPolicy(restarts_max=1 << 30, window_s=1e-9),
        health_policy=HealthPolicy(),
    ) as supervisor:

        def ready(count: int) -> None:
            while count:
                count -= isinstance(supervisor.inbox.get(timeout=20), ProcessReady)

        def kill_one() -> None:
            os.kill(supervisor.pid_of("fetch-1"), signal.SIGKILL)
            ready(1)

        ready(len(specs))
        for _ in range(20):
            kill_one()
        threading.Event().wait(1.0)  # links of the last one may still be open
        before = _held(supervisor)
        for _ in range(kills):
            kill_one()
        threading.Event().wait(1.0)
        after = _held(supervisor)
    arena.close()
    rows: list[list[object]] = [["process", "fds", "fds after", "threads", "after", "PSS MB", "after"]]
    growths = [0.0]
    for name, (fds, threads, pss) in before.items():
        fds_now, threads_now, pss_now = after[name]
        rows.append([name, fds, fds_now, threads, threads_now, pss / 1e6, pss_now / 1e6])
        growths += [fds_now / fds - 1, threads_now / threads - 1, pss_now / pss - 1]
    print_table(rows)
    return verdict(f"growth after {kills} restarts of a fetcher, largest", max(growths), at_most=0.10)


def _held(supervisor: Supervisor) -> dict[str, tuple[int, int, int]]:
    """``fds, threads, PSS`` of every process by name."""
    return {
        one.process: (one.fds, one.threads, psutil.Process(one.pid).memory_full_info().pss)
        for one in supervisor.health()
    }


def main() -> int:
    """Exit code 0 when the figures reach the claim."""
    parser = argparse.ArgumentParser(description="kill storms")
    parser.add_argument("what", choices=("children", "again", "tree", "restarts"))
    parser.add_argument("--downloads", type=int, default=20)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = parser.parse_args()
    program.RUN_S_MAX = 100.0
    print(f"seed {asked.seed}")
    match asked.what:
        case "children":
            good = children(asked.downloads, asked.kills or 10, asked.seed)
        case "again":
            good = again(asked.kills or 5)
        case "tree":
            good = tree(asked.kills or 100, asked.seed)
        case _:
            good = restarts(asked.kills or 1000)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
