"""The real daemon with an account on a Soulseek network in a box: its login is known everywhere after each death."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from tests.e2e.daemon.daemons import Daemon, eventually, running
from tests.e2e.program import Shoal
from tests.real_peers.raw_downloader import RawDownloader
from tests.soulseek_network.network import Character, Content, Network, network

pytestmark = pytest.mark.long

CONTENT = Content(500_000, seed=5)
SECRET = "s3cr3t-of-the-box"


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network({"ann": Character()}, CONTENT, passwords={"me": SECRET}) as made:
        yield made


def account(box: Network, **changed: str) -> dict[str, str]:
    chosen = {
        "USERNAME": "me", "PASSWORD": SECRET, "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1", **changed,
    }  # fmt: skip
    return {f"SHOAL_SOULSEEK_{name}": word for name, word in chosen.items()}


def login(daemon: Daemon) -> str:
    try:
        return str(httpx.get(f"{daemon.url}/health/ready", timeout=10.0).json()["login"])
    except httpx.TransportError:
        return ""


def test_the_login_is_known_and_known_again_to_who_was_started_again(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box)) as daemon:
        eventually(lambda: login(daemon) == "online")
        daemon.manager.until("Soulseek: online")
        daemon.process.child("api").kill()
        eventually(lambda: daemon.stderr_has("the api process died"))
        eventually(lambda: login(daemon) == "online")
        daemon.process.child("soulseek").kill()
        eventually(lambda: daemon.stderr_has("the soulseek process died"))
        daemon.manager.until("Soulseek: online")
        eventually(lambda: login(daemon) == "online")
        assert SECRET not in daemon.process.stderr()


def test_a_wrong_password_is_said_and_everything_else_goes_on(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box, PASSWORD="wr0ng-w0rd")) as daemon:
        eventually(lambda: login(daemon) == "refused")
        assert daemon.stderr_has("Soulseek: refused")
        assert daemon.get("/api/v0/multisource/jobs") == []
        assert "wr0ng-w0rd" not in daemon.process.stderr()


@pytest.mark.parametrize("name", ["api", "jobs"])
def test_who_stands_still_is_replaced(shoal: Shoal, name: str) -> None:
    with running(shoal) as daemon:
        before = daemon.process.child(name)
        psutil.Process(before.pid).suspend()
        eventually(lambda: daemon.stderr_has(f"the {name} process died (silent"), wait_s=30.0)
        eventually(lambda: daemon.status("/health/ready") == 200)
        assert daemon.process.await_child(name).pid != before.pid


def test_a_job_for_a_user_says_at_once_that_there_is_no_account(shoal: Shoal) -> None:
    with running(shoal) as daemon:
        body = {"filename": "f", "fileSize": 5, "sources": [{"username": "ann", "fullPath": "a\\f"}]}
        id = daemon.client.post("/api/v0/multisource/download", json=body).json()["id"]
        words = "no Soulseek account is configured"
        eventually(lambda: any(words in note for note in daemon.get(f"/api/v0/multisource/jobs/{id}")["notes"]))


def test_another_login_of_the_name_is_left_alone_and_the_daemon_is_back_soon_after_it(
    shoal: Shoal, box: Network
) -> None:
    with running(shoal, **account(box)) as daemon:
        eventually(lambda: login(daemon) == "online")
        with RawDownloader(box.server_port, "me", password=SECRET) as other:
            eventually(lambda: login(daemon) == "kicked")
            refused = daemon.client.post("/api/v0/searches", json={"searchText": "tide"})
            assert (refused.status_code, "another program" in refused.json()) == (409, True)
            assert other.search(box.term, 1), "the other one works undisturbed"
            box.wait_for("me-watch")
        gone_s = time.monotonic()
        eventually(lambda: login(daemon) == "online", wait_s=60.0)
        assert time.monotonic() - gone_s < 60.0
        assert daemon.client.post("/api/v0/searches", json={"searchText": "tide"}).status_code == 200
