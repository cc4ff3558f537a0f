"""Claim: a daemon that runs long does not grow: memory (PSS), file descriptors and threads of all its processes.

    python -m tests.bench.soak [--minutes 30] [--seed N]

Jobs come and go all the time: small files from five mirrors, of which one drops connections, one ends bodies early and
one refuses offsets. Some jobs are paused, resumed, cancelled, retried, deleted, tuned; lists, events and metrics are
asked for; now and then a fetch process is killed. Sampled whenever nothing is active. Compared are medians: of the
third fifth of the time with the last fifth. Processes that were killed begin small again and are compared all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring
from tests.e2e import program
from tests.e2e.daemon.daemons import Daemon, pid_of, running
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

ROOT = "/api/v0/multisource"
SIZE = 3_000_000
AT_ONCE = 8
GROWTH_MAX = 0.10
NAMES = ("api", "jobs", "hub", "store", "fetch-1", "fetch-2")
CONFIG = """
[daemon]
allow_private_sources = true
max_active_jobs = 6
retries = 0
log_level = "error"
"""
MIRRORS = {
    "honest": Character(rate_bytes_s=4e6),
    "steady": Character(rate_bytes_s=2e6),
    "dropping": Character(rate_bytes_s=3e6, drop_every_bytes=700_000),
    "front": Character(rate_bytes_s=2e6, refuse_offsets=True),
    "short": Character(rate_bytes_s=2e6, short_body=400_000),
}


class Life:
    """What people do to a daemon, drawn from a seed. `done`: how jobs ended."""

    def __init__(self, daemon: Daemon, urls: list[str], chance: random.Random) -> None:
        self.daemon = daemon
        self.urls = urls
        self.chance = chance
        self.count = 0
        self.done: Counter[str] = Counter()

    def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self.daemon.client.request(method, path, json=body or None)
        assert answer.status_code < 500, (method, path, answer.text)
        return answer.json() if answer.headers["content-type"].startswith("application/json") else None

    def order(self) -> None:
        self.count += 1
        urls = self.chance.sample(self.urls, self.chance.randint(2, len(self.urls)))
        name = f"file-{self.count}"
        self.ask("POST", f"{ROOT}/download", filename=name, fileSize=SIZE, sources=[{"url": url} for url in urls])

    def meddle(self, jobs: list[Any]) -> None:
        """Some order that fits or does not."""
        id = self.chance.choice(jobs)["id"]
        match self.chance.randrange(12):
            case 0:
                self.ask("POST", f"{ROOT}/jobs/{id}/pause")
            case 1 | 2:
                self.ask("POST", f"{ROOT}/jobs/{id}/resume")
            case 3:
                self.ask("POST", f"{ROOT}/jobs/{id}/cancel")
            case 4:
                self.ask("POST", f"{ROOT}/jobs/{id}/retry")
            case 5:
                self.ask("PATCH", f"{ROOT}/jobs/{id}", limit=self.chance.choice([0, 500_000]), priority=1)
            case 6:
                self.ask("POST", f"{ROOT}/jobs/{id}/sources", sources=[{"url": self.chance.choice(self.urls)}])
            case 7:
                self.ask("GET", f"{ROOT}/jobs/{id}/why")
                self.ask("GET", f"{ROOT}/jobs/{id}/timeline")
            case 8:
                self.ask("GET", "/metrics")
            case 9:
                self.ask("GET", "/api/v0/transfers/downloads")
                self.listen()
            case _:
                self.ask("GET", f"{ROOT}/jobs/{id}")

    def listen(self) -> None:
        """A client that comes, hears a little and goes without a word."""
        with self.daemon.client.stream("GET", "/api/v0/events/stream?lastEventId=0") as stream:
            next(stream.iter_lines())

    def jobs(self) -> list[Any]:
        return list(self.ask("GET", f"{ROOT}/jobs?limit=100"))

    def tidy(self, jobs: list[Any]) -> None:
        """What has ended is forgotten, its file too: the disk is not what is measured."""
        for job in jobs:
            if job["state"] in ("sealed", "failed", "cancelled") and self.chance.random() < 0.3:
                self.done[job["state"]] += 1
                self.ask("DELETE", f"{ROOT}/jobs/{job['id']}")
                if job["state"] == "sealed":
                    Path(job["path"]).unlink(missing_ok=True)

    def calm(self) -> bool:
        """Let everything end; whether it did."""
        due_s = time.monotonic() + 60
        while time.monotonic() < due_s:
            jobs = self.jobs()
            for job in jobs:
                if job["state"] == "paused":
                    self.ask("POST", f"{ROOT}/jobs/{job['id']}/cancel")
            self.tidy(jobs)
            if not any(job["state"] in ("active", "queued") for job in jobs):
                return True
            time.sleep(0.2)
        return False


def held(daemon: Daemon) -> dict[str, float]:
    """Of all processes together, and the memory of each."""
    everybody = [psutil.Process(daemon.process.pid), *daemon.process.children()]
    sums: Counter[str] = Counter()
    for one in everybody:
        with contextlib.suppress(psutil.NoSuchProcess):
            name = next((name for name in NAMES if pid_of(daemon, name) == one.pid), "others")
            pss = one.memory_full_info().pss
            sums["PSS"] += pss
            sums[name] += pss
            sums["fds"] += one.num_fds()
            sums["threads"] += one.num_threads()
    return dict(sums)


def live(life: Life, seconds: float) -> None:
    due_s = time.monotonic() + seconds
    kill_s = time.monotonic() + life.chance.uniform(0.3, 1.0) * seconds
    while time.monotonic() < due_s:
        jobs = life.jobs()
        if sum(job["state"] in ("active", "queued") for job in jobs) < AT_ONCE:
            life.order()
        if jobs:
            life.meddle(jobs)
            life.tidy(jobs)
        if time.monotonic() > kill_s:
            kill_s = due_s + 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid_of(life.daemon, life.chance.choice(["fetch-1", "fetch-2"])), signal.SIGKILL)
        time.sleep(0.05)


def soak(shoal: Shoal, minutes: float, seed: int) -> bool:
    rounds = max(10, round(minutes * 2))
    samples: list[dict[str, float]] = []
    with mirrors(MIRRORS, Content(SIZE, seed=3)) as box, running(shoal, config=CONFIG) as daemon:
        life = Life(daemon, list(box.urls), random.Random(seed))
        for number in range(rounds):
            begun_s = time.monotonic()
            live(life, 0.7 * 60 * minutes / rounds)
            assert life.calm(), life.jobs()
            samples.append(held(daemon))
            now = samples[-1]
            print(
                f"{number + 1}/{rounds}: PSS {now['PSS'] / 1e6:.0f} MB, {now['fds']:.0f} fds, {now['threads']:.0f} "
                f"threads; {life.count} jobs, {dict(life.done)}; PSS of "
                + ", ".join(f"{name} {now.get(name, 0) / 1e6:.0f}" for name in (*NAMES, "others")),
                flush=True,
            )
            time.sleep(max(0.0, begun_s + 60 * minutes / rounds - time.monotonic()))
    fifth = max(1, rounds // 5)
    good = measuring.verdict("jobs that came and went", float(life.count), at_least=5 * rounds)
    for name in ("PSS", "fds", "threads"):
        early = statistics.median(sample[name] for sample in samples[2 * fifth : 3 * fifth])
        late = statistics.median(sample[name] for sample in samples[-fifth:])
        good &= measuring.verdict(f"growth of {name}", late / early - 1, at_most=GROWTH_MAX)
    return good


def main() -> int:
    """Exit code 0 when nothing grew."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = options.parse_args()
    print(f"seed {asked.seed}")
    program.RUN_S_MAX = 120 * asked.minutes + 600
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        shoal = Shoal(work)
        try:
            return 0 if soak(shoal, asked.minutes, asked.seed) else 1
        finally:
            shoal.clean_up()


if __name__ == "__main__":
    sys.exit(main())
