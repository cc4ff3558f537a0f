"""Jobs in the real daemon: ordered over HTTP, they outlive its end, its death and its processes; secrets stay such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from tests.e2e.daemon.daemons import Daemon, eventually, hung_up, running, started
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

pytestmark = pytest.mark.long

CONTENT = Content(3_000_000, seed=77)
SLOW = {"a": Character(rate_bytes_s=200_000), "b": Character(rate_bytes_s=200_000)}
FAST = Character()
PRIVATE = "[daemon]\nallow_private_sources = true\n"
JOBS = "/api/v0/multisource/jobs"


def ordered(daemon: Daemon, box: Box, name: str = "file.bin") -> str:
    sources = [{"url": url} for url in box.urls]
    body = {"filename": name, "fileSize": CONTENT.size, "sources": sources}
    response = daemon.client.post("/api/v0/multisource/download", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def job(daemon: Daemon, id: str) -> dict[str, Any]:
    shown: dict[str, Any] = daemon.get(f"{JOBS}/{id}")
    return shown


def stored(daemon: Daemon, id: str) -> int:
    return int(job(daemon, id)["storedBytes"])


def sealed(daemon: Daemon, id: str) -> bool:
    shown = job(daemon, id)
    assert shown["state"] in ("queued", "active", "sealed"), shown
    return bool(shown["state"] == "sealed")


@pytest.mark.parametrize("order", ["SIGTERM", "SIGKILL"])
def test_a_running_job_goes_on_after_the_daemon_has_ended_or_died(shoal: Shoal, order: str) -> None:
    with mirrors(SLOW, CONTENT) as box:
        with started(shoal, config=PRIVATE, SHOAL_API_PORT="0") as daemon:
            daemon.ready()
            id = ordered(daemon, box)
            eventually(lambda: stored(daemon, id) > 500_000)
            if order == "SIGTERM":
                assert daemon.stop().code == 0
            else:
                with shoal.killed(daemon.process):
                    daemon.process.kill_all()
        for name in box.names:
            box.become(name, FAST)
        with running(shoal, config=PRIVATE, SHOAL_API_PORT="0") as daemon:
            eventually(lambda: sealed(daemon, id))
            shown = job(daemon, id)
            assert shown["sizeBytes"] == CONTENT.size
            assert CONTENT.matches(Path(shown["path"]))
            sent = sum(count.bytes_sent for count in box.counts().values())
            assert sent < CONTENT.size + (8 << 20), "what was stored was not fetched again"


@pytest.mark.parametrize("name", ["api", "jobs", "hub", "store", "fetch-1"])
def test_a_job_goes_on_whichever_process_dies(shoal: Shoal, name: str) -> None:
    with mirrors(SLOW, CONTENT) as box, running(shoal, config=PRIVATE, SHOAL_API_PORT="0") as daemon:
        id = ordered(daemon, box)
        eventually(lambda: stored(daemon, id) > 300_000)
        daemon.process.child(name).kill()
        for each in box.names:
            box.become(each, FAST)
        eventually(lambda: daemon.status(f"{JOBS}/{id}") == 200)
        eventually(lambda: sealed(daemon, id))
        assert CONTENT.matches(Path(job(daemon, id)["path"]))


def test_a_limit_that_is_configured_again_holds_for_running_jobs(shoal: Shoal) -> None:
    quick = {"a": Character(rate_bytes_s=400_000), "b": Character(rate_bytes_s=400_000)}
    with mirrors(quick, CONTENT) as box, running(shoal, config=PRIVATE, SHOAL_API_PORT="0") as daemon:
        id = ordered(daemon, box)
        eventually(lambda: stored(daemon, id) > 300_000)
        (shoal.folder / "shoal.toml").write_text(f"{PRIVATE}[limits]\nrate_kib_s = 20\n")
        hung_up(daemon)
        eventually(lambda: float(job(daemon, id)["rateBytesS"]) < 60_000, wait_s=20.0)
        (shoal.folder / "shoal.toml").write_text(PRIVATE)
        hung_up(daemon)
        eventually(lambda: sealed(daemon, id), wait_s=30.0)


def test_secrets_are_shown_nowhere(shoal: Shoal) -> None:
    secrets = {
        "soulseek": "s3cr3t-of-the-account",
        "login": "s3cr3t-of-the-login",
        "key": "s3cr3t-key-for-clients",
        "hook": "s3cr3t-that-signs-hooks",
        "address": "s3cr3t-in-an-address",
        "environment": "s3cr3t-of-the-environment",
    }
    config = f"""
[soulseek]
username = "nobody"
password = "{secrets["soulseek"]}"
server = "127.0.0.1"
port = 1
bind = "127.0.0.1"
[daemon]
log_level = "debug"
[api]
username = "me"
password = "{secrets["login"]}"
[[api.keys]]
name = "mine"
key = "{secrets["key"]}"
role = "Administrator"
[[webhooks]]
name = "hook"
url = "http://user:{secrets["address"]}@127.0.0.1:1/?token={secrets["address"]}"
secret = "{secrets["hook"]}"
"""
    with running(shoal, config=config, SHOAL_API_PORT="0", SHOAL_API_KEY=secrets["environment"]) as daemon:
        daemon.use_key(secrets["key"])
        shown = [daemon.client.get(path).text for path in ("/api/v0/options", "/metrics", JOBS, "/api/v0/application")]
        wrong = {"username": "me", "password": secrets["login"] + "x"}
        shown.append(daemon.client.post("/api/v0/session", json=wrong).text)
        url = f"https://user:{secrets['address']}@mirror.example/file"
        body = {"filename": "f", "fileSize": 1, "sources": [{"url": url}]}
        shown.append(daemon.client.post("/api/v0/multisource/download", json=body).text)
        shown.append(daemon.client.get(JOBS).text)
        everybody = [psutil.Process(daemon.process.pid), *daemon.process.children()]
        shown += [" ".join([one.name(), *one.cmdline()]) for one in everybody]
        hung_up(daemon)
        (shoal.folder / "shoal.toml").write_text(config.replace("port = 1", "port = 'x'"))
        hung_up(daemon)
        (shoal.folder / "shoal.toml").write_text(config)
        shown.append(daemon.process.stderr())
    for name, secret in secrets.items():
        for text in shown:
            assert secret not in text, f"{name}: {text[:2000]}"
    state = shoal.folder.parent / "state"
    for private in (state, state / "session-key", state / "jobs.sqlite"):
        assert private.stat().st_mode & 0o077 == 0, f"others can read {private.name}"
