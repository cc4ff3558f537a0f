"""Claim: 100 jobs of 5 sources each run side by side, no one starves, and an idle engine is small again afterwards.

    python -m tests.bench.many_jobs [--jobs N] [--sources N] [--seconds S] [--chunk BYTES]

Every source is a mirror of its own, limited to the same rate; the file is sized for some seconds at the sum of a
job's sources. Hub, store and fetch processes are the program's own; this process is the job manager of the jobs. At
half time the slowest job is compared with what its sources could have given, and CPU, memory, descriptors and threads
of all processes are read; again when everything has ended and ten seconds have passed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil  # type: ignore[import-untyped,unused-ignore]

from protocol.messages import JobEnded, JobProgressed, LimitTotal
from tests.actors.engine import Engine
from tests.bench import measuring
from tests.http_mirrors.box import Character, Content, mirrors

CHUNK_BYTES = 8 << 10
"""What the program itself takes for a file of 3 MB."""
IDLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What all processes of the engine take at a moment; CPU in seconds since their start."""

    cpu_s: float
    pss_mb: float
    fds: int
    threads: int

    def line(self, label: str) -> str:
        return f"{label}: PSS {self.pss_mb:.0f} MB, {self.fds} descriptors, {self.threads} threads"


def sight(engine: Engine) -> Sight:
    processes = [psutil.Process(engine.supervisor.pid_of(name)) for name in engine.supervisor.living()]
    times = [process.cpu_times() for process in processes]
    return Sight(
        sum(each.user + each.system for each in times),
        sum(process.memory_full_info().pss for process in processes) / 1e6,
        sum(process.num_fds() for process in processes),
        sum(process.num_threads() for process in processes),
    )


def main() -> int:
    """Exit code 0 when every figure reaches its claim."""
    options = measuring.parser("many jobs at a time", runs=1)
    options.add_argument("--jobs", type=int, default=100)
    options.add_argument("--sources", type=int, default=5)
    options.add_argument("--rate", type=float, default=20_000.0, help="bytes a second of each source")
    options.add_argument("--seconds", type=float, default=30.0, help="what each file is sized for")
    options.add_argument("--chunk", type=int, default=CHUNK_BYTES, help="bytes of a chunk")
    options.add_argument("--slots", type=int, default=0, help="of each fetch process (default: the program's)")
    asked = options.parse_args()
    count = asked.jobs * asked.sources
    content = Content(int(asked.sources * asked.rate * asked.seconds), seed=100)
    rate_mb_s = count * asked.rate / 1e6
    print(f"{asked.jobs} jobs of {asked.sources} sources, {rate_mb_s:.1f} MB/s in all, {asked.seconds:.0f} s")
    good = True
    characters = [Character(rate_bytes_s=asked.rate)] * count
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder,
        mirrors(characters, content) as box,
        Engine(Path(folder), sources=count, slots=asked.slots) as engine,
    ):
        good = run(engine, box.urls, asked, content)
    return 0 if good else 1


def run(engine: Engine, urls: list[str], asked: argparse.Namespace, content: Content) -> bool:
    jobs, sources, seconds = asked.jobs, asked.sources, asked.seconds
    before = sight(engine)
    print(before.line("before"))
    begun_s = time.monotonic()
    for job in range(1, jobs + 1):
        own = urls[(job - 1) * sources : job * sources]
        engine.begin(job, own, chunk_size=asked.chunk, rows_s=1.0)
    engine.listen(seconds / 2)
    half_s = time.monotonic() - begun_s
    half = sight(engine)
    ideal = sources * asked.rate * half_s
    stored = [engine.stored(job) for job in range(1, jobs + 1)]
    shown = sum(isinstance(each, JobProgressed) for _, each in engine.heard)
    print(half.line(f"after {half_s:.0f} s"))
    cores = (half.cpu_s - before.cpu_s) / half_s
    print(f"CPU {100 * cores:.0f} % of a core, {shown / half_s:.0f} words of progress a second")
    print(f"shares of the ideal: slowest {min(stored) / ideal:.2f}, median {statistics.median(stored) / ideal:.2f}")
    ends: list[JobEnded] = [each for _, each in engine.heard if isinstance(each, JobEnded)]
    while len(ends) < jobs:
        ends.append(engine.hear(JobEnded, wait_s=4 * seconds))
    took_s = time.monotonic() - begun_s
    right = [each for each in ends if each.state == "sealed" and content.matches(Path(each.path))]
    engine.tell_watchdog(LimitTotal(limit_bytes_s=0))
    engine.listen(IDLE_S)
    after = sight(engine)
    print(after.line(f"{IDLE_S:.0f} s after the end"))
    good = [
        measuring.verdict("jobs sealed with the right content", len(right), at_least=jobs),
        measuring.verdict("progress of the slowest job, of the ideal", min(stored) / ideal, at_least=0.5),
        measuring.verdict("all jobs together, ideal / seconds", seconds / took_s, at_least=0.7),
        measuring.verdict("PSS MB of hub, store and fetchers at work", half.pss_mb, at_most=400),
        measuring.verdict("PSS MB of the same when idle", after.pss_mb, at_most=before.pss_mb + 40),
    ]
    return all(good)


if __name__ == "__main__":
    sys.exit(main())
