"""Jobs over the API of a running daemon: watched, changed, waited for, and kept out of private networks."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon.daemons import Daemon, eventually, running, started
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

pytestmark = pytest.mark.long

ROOT = "/api/v0/multisource"
CHUNK = 65_536
OPEN = "[daemon]\nallow_private_sources = true\n"
FILE = Content(40 * CHUNK + 7, seed=11)


def order(daemon: Daemon, urls: list[str], query: str = "", **more: Any) -> dict[str, Any]:
    body = {"filename": "tide.bin", "fileSize": FILE.size, "chunkSize": CHUNK, **more}
    response = daemon.client.post(f"{ROOT}/download{query}", json=body | {"sources": [{"url": url} for url in urls]})
    assert response.status_code in (200, 202), response.text
    shown: dict[str, Any] = response.json()
    return shown


def runs_cover(runs: list[dict[str, Any]], chunks: int) -> bool:
    """Whether these runs lie one behind the other, from the first chunk to the last."""
    at = 0
    for run in runs:
        if run["first"] != at or run["count"] < 1:
            return False
        at += run["count"]
    return at == chunks


def test_a_running_job_shows_whose_chunks_it_has_and_the_manifest_says_it_for_ever(shoal: Shoal) -> None:
    with mirrors([Character(rate_bytes_s=8e5)] * 2, FILE) as box, running(shoal, config=OPEN) as daemon:
        job = f"{ROOT}/jobs/{order(daemon, box.urls)['id']}"
        maps: list[dict[str, Any]] = []

        def both_sent() -> bool:
            shown = daemon.get(job)
            maps.append(shown)
            drawn = shown["chunkMap"]
            assert runs_cover(drawn["runs"], drawn["chunkCount"]), drawn
            return {run["source"] for run in drawn["runs"] if run["state"] == "stored"} >= {0, 1}

        eventually(both_sent)
        assert [one["username"] for one in maps[-1]["sources"]] == [None, None]
        eventually(lambda: daemon.get(job)["state"] == "sealed")
        manifest = daemon.get(f"{job}/manifest")
        assert runs_cover(manifest["runs"], 41)
        assert manifest["runs"][-1]["stopByte"] == FILE.size
        assert {run["url"] for run in manifest["runs"]} == set(box.urls)
        assert FILE.matches(Path(manifest["path"]))
        assert daemon.get(f"{job}/why")["bindings"][0]["kind"] == "ended"
        kinds = [event["kind"] for event in daemon.get(f"{job}/timeline")]
        assert (kinds[0], kinds[-1]) == ("job.queued", "job.sealed")


def test_a_slow_job_may_be_changed_while_it_runs(shoal: Shoal) -> None:
    with mirrors([Character(rate_bytes_s=6e5)] * 2, FILE) as box, running(shoal, config=OPEN) as daemon:
        job = f"{ROOT}/jobs/{order(daemon, box.urls[:1])['id']}"
        eventually(lambda: daemon.get(job)["storedBytes"] > 0)
        paused = daemon.client.post(f"{job}/pause")
        assert (paused.status_code, paused.json()["state"]) == (200, "paused")
        again = daemon.client.post(f"{job}/pause")
        assert (again.status_code, again.json()["error"]["kind"]) == (409, "conflict")
        added = daemon.client.post(f"{job}/sources", json={"sources": [{"url": box.urls[1]}]})
        assert len(added.json()["sources"]) == 2
        assert daemon.client.delete(f"{job}/sources?source=0&banned=true").json()["sources"][0]["standing"] == "banned"
        assert daemon.client.delete(f"{job}/sources?source=7").status_code == 404
        assert daemon.client.patch(job, json={"limit": 10**9, "priority": 3}).json()["priority"] == 3
        assert daemon.client.post(f"{job}/resume").status_code == 200
        eventually(lambda: daemon.get(job)["state"] == "sealed", wait_s=30)
        assert daemon.client.post(f"{job}/pause").status_code == 409
        assert daemon.client.delete(job).status_code == 200
        assert daemon.client.get(job).status_code == 404


def test_no_spelling_of_an_address_leads_into_a_private_network(shoal: Shoal) -> None:
    with mirrors([Character()], FILE) as box, running(shoal) as daemon:
        spelled = [box.urls[0].replace("127.0.0.1", host) for host in ("127.1", "2130706433", "0x7f.1")]
        jobs = [order(daemon, [url])["id"] for url in spelled]
        mapped = {"url": box.urls[0].replace("127.0.0.1", "[::ffff:127.0.0.1]")}
        body = {"filename": "f", "fileSize": FILE.size, "sources": [mapped]}
        assert daemon.client.post(f"{ROOT}/download", json=body).status_code == 403
        for id in jobs:
            eventually(lambda id=id: "private" in str(daemon.get(f"{ROOT}/jobs/{id}")["sources"][0]["reason"]))  # type: ignore[misc]
        assert all(count.requests == 0 for count in box.counts().values())


def test_an_order_sent_again_after_a_crash_of_everything_is_the_same_job(shoal: Shoal) -> None:
    body = {"filename": "tide.bin", "fileSize": FILE.size}
    key = {"Idempotency-Key": "order-17"}
    with mirrors([Character(rate_bytes_s=1e6)], FILE) as box:
        body["sources"] = [{"url": box.urls[0]}]
        with started(shoal, config=OPEN) as daemon:
            first = daemon.ready().client.post(f"{ROOT}/download", json=body, headers=key).json()
            daemon.process.signal(signal.SIGKILL)
            daemon.process.finish()
        with running(shoal, config=OPEN) as daemon:
            again = daemon.client.post(f"{ROOT}/download?wait=true&waitS=40", json=body, headers=key, timeout=45)
            assert (again.json()["id"], again.json()["state"]) == (first["id"], "sealed")
            other = daemon.client.post(f"{ROOT}/download", json=body | {"limit": 5}, headers=key)
            assert (other.status_code, other.json()["error"]["field"]) == (409, "Idempotency-Key")
            assert len(daemon.get(f"{ROOT}/jobs")) == 1
