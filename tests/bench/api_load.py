"""Claims: the API stays quick with 10 000 jobs in the store, and while 100 jobs with 5 sources each are active.

    python -m tests.bench.api_load store [--jobs 10000] [--requests 400]
    python -m tests.bench.api_load active [--jobs 100] [--seconds 30]

`store`: a store of jobs that have ended is written, then the daemon started with it: seconds from starting the program
to its word that it is ready, and how long pages of the list take, first ones and far ones, filtered and not. `active`:
every job fetches from the same five mirrors, 10 MB/s together; how long requests take meanwhile, and whether some job
got less than a tenth of its share. Times are of one request at a time over a connection that stays open.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from protocol.model.job_records import EventEntry, SaveEvent, SaveJob, SaveSource, SourceRecord, Write
from storage.job_store import JobStore
from tests.bench import measuring
from tests.e2e.daemon.daemons import Daemon, running
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors
from tests.specs import job_record

ROOT = "/api/v0/multisource"
SOURCES = 5
MIRROR_BYTES_S = 2e6
STATES = ("sealed", "sealed", "sealed", "failed", "cancelled")
CONFIG = """
[daemon]
allow_private_sources = true
max_active_jobs = {active}
log_level = "error"
"""


class Asking:
    """One connection that stays open; how long each request took, in milliseconds."""

    def __init__(self, daemon: Daemon) -> None:
        address = urlsplit(daemon.url)
        self._line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        self._headers = {"X-API-Key": daemon.client.headers["X-API-Key"], "Content-Type": "application/json"}
        self.took_ms: list[float] = []

    def ask(self, path: str, *, method: str = "GET", body: object = None) -> object:
        data = None if body is None else json.dumps(body)
        begun_s = time.perf_counter()
        self._line.request(method, ROOT + path, body=data, headers=self._headers)
        answer = self._line.getresponse()
        text = answer.read()
        self.took_ms.append((time.perf_counter() - begun_s) * 1000)
        assert answer.status < 300, (path, answer.status, text)
        return json.loads(text)

    def p95_ms(self) -> float:
        return statistics.quantiles(self.took_ms, n=20)[-1]


def main() -> int:
    """Exit code 0 when every figure reaches its claim."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("kind", choices=("store", "active"))
    options.add_argument("--jobs", type=int, default=0)
    options.add_argument("--requests", type=int, default=400)
    options.add_argument("--seconds", type=float, default=30.0)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        shoal = Shoal(work)
        with contextlib.ExitStack() as leaving:
            leaving.callback(shoal.clean_up)
            if asked.kind == "store":
                return store(shoal, asked.jobs or 10_000, asked.requests)
            return active(shoal, asked.jobs or 100, asked.seconds)


# a store of many jobs


def store(shoal: Shoal, jobs: int, requests: int) -> int:
    state = shoal.folder.parent / "state"
    state.mkdir(mode=0o700)
    fill(state / "jobs.sqlite", jobs)
    begun_s = time.monotonic()
    with running(shoal, config=CONFIG.format(active=4)) as daemon:
        start_s = time.monotonic() - begun_s
        asking = Asking(daemon)
        for query in itertools.islice(queries(jobs), requests):
            asking.ask(f"/jobs?{query}")
        shown = f"{jobs} jobs in the store"
        print(f"{shown}: median {statistics.median(asking.took_ms):.1f} ms, longest {max(asking.took_ms):.1f} ms")
        quick = measuring.verdict(f"{shown}, list p95 ms", asking.p95_ms(), at_most=50)
        return 0 if measuring.verdict(f"{shown}, start s", start_s, at_most=3.0) and quick else 1


def queries(jobs: int) -> Iterator[str]:
    """Pages as people and pages turn them: mostly first ones, now and then a far one or a word to look for."""
    for turn in itertools.count():
        yield "limit=100"
        yield f"limit=100&offset={turn * 100 % jobs}"
        yield "limit=100&state=sealed"
        yield "limit=50&state=failed&state=cancelled&offset=200"
        yield f"limit=100&text=tide-{turn}"


def fill(path: Path, jobs: int) -> None:
    """Jobs that have ended, with five sources and three events each."""
    book = JobStore(str(path))
    serial = itertools.count(1)
    for first in range(0, jobs, 500):
        writes: list[Write] = []
        for number in range(first, min(first + 500, jobs)):
            writes += of_job(number, serial)
        book.apply(writes)
    book.close()


def of_job(number: int, serial: Iterator[int]) -> list[Write]:
    id = str(uuid.UUID(int=number + 1, version=4))
    state, at_ms, name = STATES[number % len(STATES)], 1_760_000_000_000 + number * 60_000, f"tide-{number}.flac"
    kept = job_record(
        id=id, serial=number + 1, name=name, folder="/srv/music/downloads", size_bytes=21_721_524, origin="multisource",
        private_ok=False, created_ms=at_ms, queued_ms=at_ms, state=state, outcome=state, started_ms=at_ms,
        ended_ms=at_ms + 30_000, active_s=30.0, attempts=1, file_name=name, found_bytes=21_721_524,
        path=f"/srv/music/downloads/{name}", stored_bytes=21_721_524 if state == "sealed" else 5_000_000,
        source_count=SOURCES,
    )  # fmt: skip
    sources = [
        SourceRecord(id=id, number=each, url=f"https://m{each}.example/{name}", peer="", path="")
        for each in range(SOURCES)
    ]
    kinds = ("job.queued", "job.started", f"job.{state}")
    events = [EventEntry(serial=next(serial), at_ms=at_ms, kind=kind, id=id, data=b"{}") for kind in kinds]
    return [SaveJob(kept), *map(SaveSource, sources), *map(SaveEvent, events)]


# many active jobs


def active(shoal: Shoal, jobs: int, seconds: float) -> int:
    """Files are so large that none is complete before the end."""
    share_bytes = SOURCES * MIRROR_BYTES_S * seconds / jobs
    content = Content(int(8 * share_bytes), seed=7)
    with (
        mirrors([Character(rate_bytes_s=MIRROR_BYTES_S)] * SOURCES, content) as box,
        running(shoal, config=CONFIG.format(active=jobs)) as daemon,
    ):
        asking = Asking(daemon)
        for number in range(jobs):
            sources = [{"url": url} for url in box.urls]
            asking.ask(
                "/download",
                method="POST",
                body={"filename": f"f{number}.bin", "fileSize": content.size, "sources": sources},
            )
        await_active(asking, jobs)
        before = stored(asking, jobs)
        asking.took_ms.clear()
        ids = itertools.cycle(before)
        due_s = time.monotonic() + seconds
        while time.monotonic() < due_s:
            asking.ask("/jobs?limit=100")
            asking.ask(f"/jobs/{next(ids)}")
            asking.ask("/jobs?state=active&order=queue&limit=20")
            asking.ask(f"/jobs/{next(ids)}/why")
            time.sleep(0.02)
        after = stored(asking, jobs)
        gained = sorted(after[id] - before[id] for id in before)
        print(f"{len(asking.took_ms)} requests, median {statistics.median(asking.took_ms):.1f} ms")
        least, most = gained[0] / 1e6, gained[-1] / 1e6
        print(f"{sum(gained) / seconds / 1e6:.1f} MB/s together; a job got {least:.2f} to {most:.2f} MB")
        cancel(asking, before)
        shown = f"{jobs} active jobs of {SOURCES} sources"
        quick = measuring.verdict(f"{shown}, API p95 ms", asking.p95_ms(), at_most=100)
        share = gained[0] / statistics.mean(gained) if gained[-1] else 0.0
        return 0 if measuring.verdict(f"{shown}, least / mean share", share, at_least=0.1) and quick else 1


def await_active(asking: Asking, jobs: int) -> None:
    """Until every job has got its first bytes."""
    due_s = time.monotonic() + 60
    while sum(got > 0 for got in stored(asking, jobs).values()) < jobs:
        assert time.monotonic() < due_s, "some job gets nothing"
        time.sleep(0.5)


def stored(asking: Asking, jobs: int) -> dict[str, int]:
    rows = asking.ask(f"/jobs?limit={jobs}")
    assert isinstance(rows, list)
    return {row["id"]: row["storedBytes"] for row in rows}


def cancel(asking: Asking, ids: dict[str, int]) -> None:
    for id in ids:
        asking.ask(f"/jobs/{id}/cancel", method="POST")


if __name__ == "__main__":
    sys.exit(main())
