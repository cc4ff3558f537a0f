"""What 10 000 jobs cost: how soon a job manager has begun, how long a page of its list takes, how long an order.

``python -m tests.bench.job_store`` fills a job store (five sources and six events a job; nine of ten jobs have ended),
starts a job manager's process on it twice (as after a power failure, its log unmerged) and asks it over its socket, as
the API does: pages of 50 and of 500 with all filters, single jobs, orders. Must be: begun in 3 s, p95 of a page 50 ms.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from protocol.messages import GetCounts, GetJob, ListJobs, PauseJob
from protocol.model.job_records import EventEntry, SaveEvent, SaveJob, SaveSource, SourceRecord, Write
from protocol.model.job_views import Counts, JobDetail, JobView
from storage.job_store import JobStore
from tests.actors.job_manager_daemon import JobManagerDaemon
from tests.storage.test_job_store import job

BEGUN_S_MAX = 3.0
PAGE_MS_MAX = 50.0
BATCH = 500
STATES = ("sealed", "sealed", "sealed", "sealed", "sealed", "failed", "cancelled", "sealed", "paused", "queued")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    lots = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="job-store-") as folder:
        path = Path(folder) / "jobs.sqlite"
        fill(str(path), options.jobs, lots)
        print(f"{options.jobs} jobs, {path.stat().st_size / 1e6:.1f} MB")
        begun_s = max(begun(folder), begun(folder, killed=True))
        with JobManagerDaemon(Path(folder), alone=True, jobs_active_max=0) as daemon:
            pages = list(asked(daemon, lots, options.jobs))
    fine = begun_s <= BEGUN_S_MAX
    print(f"{'PASS' if fine else 'FAIL'}  begun after {begun_s:.2f} s (must be <= {BEGUN_S_MAX:.0f})")
    worst_ms = max(pages)
    print(f"{'PASS' if worst_ms <= PAGE_MS_MAX else 'FAIL'}  p95 of a page {worst_ms:.1f} ms (<= {PAGE_MS_MAX:.0f})")
    return 0 if fine and worst_ms <= PAGE_MS_MAX else 1


def fill(path: str, count: int, lots: random.Random) -> None:
    """JobIndex as months of use leave them."""
    store = JobStore(path)
    for first in range(1, count + 1, BATCH):
        writes: list[Write] = []
        for at in range(first, min(first + BATCH, count + 1)):
            writes += rows(at, lots)
        store.apply(writes)
    store.close()


def rows(at: int, lots: random.Random) -> Iterator[Write]:
    state, id = lots.choice(STATES), f"id-{at}"
    origin = lots.choice(("slskd", "multisource"))
    user, path = f"user {at % 300}", f"@@abc\\Music\\Artist {at % 977}\\Album\\{at:05} - A longer title.flac"
    fields: dict[str, Any] = {"state": state, "origin": origin, "user": user, "remote_path": path}
    yield SaveJob(job(at, name=f"{at:05} - A longer title.flac", priority=at % 3, source_count=5, **fields))
    for number in range(5):
        yield SaveSource(SourceRecord(id=id, number=number, url=f"slsk://user%20{number}/{at}", peer=user, path=path))
    for event in range(6):
        serial = 6 * (at - 1) + event + 1
        data = b'{"name":"A longer title.flac","size":123456789,"origin":"slskd"}'
        yield SaveEvent(EventEntry(serial=serial, at_ms=at, kind="job.queued", id=id, data=data))


def begun(folder: str, *, killed: bool = False) -> float:
    """From the start of all processes until the job manager answers. Ends it in order, or not."""
    with JobManagerDaemon(Path(folder), alone=True, jobs_active_max=0) as daemon:
        begin_s = daemon.started_s
        daemon.ask(GetCounts, Counts)
        took_s = time.monotonic() - begin_s
        if killed:
            daemon.kill_everything()
    print(f"begun after {took_s:.2f} s, process and all")
    return took_s


def asked(daemon: JobManagerDaemon, lots: random.Random, count: int) -> Iterator[float]:
    """p95 of each kind of question in milliseconds; those about single jobs are printed only."""
    every: dict[str, Any] = {
        "states": (), "origin": "", "user": "", "text": "", "removed": False, "order": "newest", "offset": 0, "limit":
        50, }  # fmt: skip
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "newest 50": lambda: every,
        "any 50": lambda: every | {"offset": lots.randrange(count)},
        "any 500": lambda: every | {"offset": lots.randrange(count), "limit": 500},
        "queue": lambda: every | {"order": "queue", "states": ("queued",), "offset": lots.randrange(500)},
        "of a user": lambda: every | {"origin": "slskd", "user": f"user {lots.randrange(300)}"},
        "with a text": lambda: every | {"text": f"artist {lots.randrange(977)}\\"},
    }
    for name, fields in kinds.items():
        yield timed(name, partial(page, daemon, fields), 100)
    timed("one job", lambda: daemon.ask(GetJob, JobDetail, id=f"id-{lots.randrange(count) + 1}"), 200)
    timed("counts", lambda: daemon.ask(GetCounts, Counts), 100)
    timed("an order", lambda: daemon.order("http://a.example/f", name=f"{lots.random()}"), 100)
    waiting = daemon.ask(ListJobs, JobView, **every | {"states": ("queued",), "limit": 500})
    queued = iter([row.id for row in waiting])
    timed("a pause", lambda: daemon.ask(PauseJob, JobView, id=next(queued)), 100)


def page(daemon: JobManagerDaemon, fields: Callable[[], dict[str, Any]]) -> None:
    daemon.ask(ListJobs, JobView, **fields())


def timed(name: str, act: Callable[[], object], turns: int) -> float:
    took_ms = []
    with contextlib.suppress(StopIteration):
        for _ in range(turns):
            begin_s = time.perf_counter()
            act()
            took_ms.append(1000 * (time.perf_counter() - begin_s))
    p95 = statistics.quantiles(took_ms, n=20)[18]
    print(f"{name:12} median {statistics.median(took_ms):7.1f} ms, p95 {p95:7.1f} ms, most {max(took_ms):7.1f} ms")
    return p95


if __name__ == "__main__":
    sys.exit(main())
