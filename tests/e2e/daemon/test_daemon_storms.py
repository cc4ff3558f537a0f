"""The power goes while the daemon works: the next one goes on with every job under its id, and its history is whole."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon.daemons import Daemon, eventually, started
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

JOBS = 10
SIZE = 3_000_000
CONFIG = f"""
[daemon]
max_active_jobs = {JOBS}
allow_private_sources = true
"""


def ordered(daemon: Daemon, number: int, urls: list[str]) -> str:
    order = {"filename": f"file-{number}", "fileSize": SIZE, "sources": [{"url": url} for url in urls]}
    answer = daemon.client.post("/api/v0/multisource/download", json=order)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def jobs(daemon: Daemon) -> dict[str, Any]:
    return {job["id"]: job for job in daemon.get("/api/v0/multisource/jobs")}


def stored(daemon: Daemon) -> int:
    return sum(job["storedBytes"] for job in jobs(daemon).values())


def stored_more_than(daemon: Daemon, count_bytes: int) -> bool:
    return stored(daemon) > count_bytes


def events(daemon: Daemon) -> list[Any]:
    """All that are kept, oldest first."""
    found: list[Any] = []
    while page := daemon.get(f"/api/v0/multisource/events?after={found[-1]['id'] if found else 0}&limit=1000"):
        found += page
    return found


@pytest.mark.long
@pytest.mark.parametrize("kills", [1, 3])
def test_after_the_power_went_all_jobs_go_on_with_ids_and_events_intact(shoal: Shoal, kills: int) -> None:
    content = Content(SIZE, seed=9)
    with mirrors([Character(rate_bytes_s=2.5e6)] * 3, content) as box:
        urls = list(box.urls)
        before: list[Any] = []
        ids: list[str] = []
        for _ in range(kills):
            with started(shoal, config=CONFIG) as daemon:
                daemon.ready()
                ids = ids or [ordered(daemon, number, urls) for number in range(JOBS)]
                enough = stored(daemon) + SIZE // (2 * kills)
                eventually(partial(stored_more_than, daemon, enough))
                before = events(daemon)
                shoal.orderly = False
                daemon.process.kill_all()
                daemon.process.process.wait()
        with started(shoal, config=CONFIG) as daemon:
            daemon.ready()
            assert sorted(jobs(daemon)) == sorted(ids)
            eventually(lambda: {job["state"] for job in jobs(daemon).values()} == {"sealed"}, wait_s=45.0)
            after = events(daemon)
            sealed = Counter(event["job"] for event in after if event["type"] == "job.sealed")
            shown = [job["path"] for job in jobs(daemon).values()]
            done = daemon.stop()
            assert done.code == 0, done.stderr
    assert after[: len(before)] == before, "what was reported once is reported the same again"
    assert [event["id"] for event in after] == list(range(1, len(after) + 1))
    assert sealed == dict.fromkeys(ids, 1)
    assert all(content.matches(Path(path)) for path in shown)
    assert len(set(shown)) == JOBS
