"""The daemon among real Nicotine+ uploaders: failed uploads are counted as they count them, and deaths cost seconds."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.demo.content import Content
from tests.e2e.daemon.daemons import Daemon, eventually, running
from tests.e2e.daemon.test_daemon_login import login
from tests.e2e.program import Shoal
from tests.real_peers import nicotine
from tests.soulseek_network.network import Network, network

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not nicotine.installed(), reason="nicotine-plus is not installed"),
]

CONTENT = Content(24 << 20, seed=31)
NAME = "Ledger Song.flac"
RATES_KIB_S = {"bob": 2048, "dan": 800, "eva": 400, "gus": 164}
SETTLED_S = 25.0
"""Until a stop of which the peer said nothing is judged."""


@dataclass(frozen=True)
class Crowd:
    box: Network
    peers: dict[str, nicotine.Nicotine]

    def aborted(self) -> dict[str, int]:
        """Failed uploads in each peer's own log."""
        return {name: peer.uploads().aborted for name, peer in self.peers.items()}


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    folder = tmp_path / "music"
    folder.mkdir()
    with (folder / NAME).open("wb") as file:
        CONTENT.write_to(file)
    with ExitStack() as leaving:
        box = leaving.enter_context(network({}, passwords={"me": "box"}))
        peers = {
            name: leaving.enter_context(nicotine.nicotine(box, name, folder, upload_kib_s=rate, wait=False, debug=True))
            for name, rate in RATES_KIB_S.items()
        }
        for peer in peers.values():
            peer.wait_until_ready()
        yield Crowd(box, peers)


def account(box: Network) -> dict[str, str]:
    chosen = {
        "USERNAME": "me", "PASSWORD": "box", "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1",
    }  # fmt: skip
    # No patience: all users are to send, though the file is small.
    return {f"SHOAL_SOULSEEK_{name}": word for name, word in chosen.items()} | {"SHOAL_DAEMON_PATIENCE_S": "0"}


def order(daemon: Daemon, crowd: Crowd, mode: str, *, name: str = "") -> str:
    sources = [{"url": peer.url(NAME)} for peer in crowd.peers.values()]
    wanted = {"filename": name or f"{mode}.flac", "fileSize": CONTENT.size, "sources": sources, "mode": mode}
    answer = daemon.client.post("/api/v0/multisource/download", json=wanted)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job(daemon: Daemon, id: str) -> Any:
    return daemon.get(f"/api/v0/multisource/jobs/{id}")


def bytes_of(daemon: Daemon, id: str) -> dict[str, int]:
    return {source["username"]: source["bytesStored"] for source in job(daemon, id)["sources"]}


def ledger(daemon: Daemon, crowd: Crowd) -> dict[str, int]:
    found = {stop["username"]: stop["count"] for stop in daemon.get("/api/v0/multisource/stops")}
    return {name: found.get(name, 0) for name in crowd.peers}


def ended(daemon: Daemon, id: str) -> bool:
    """Whether the job is sealed. False too while the process that answers is being started again."""
    try:
        state = job(daemon, id)["state"]
    except httpx.HTTPError:
        return False
    assert state != "failed"
    return bool(state == "sealed")


def gives_again(daemon: Daemon, id: str, before: dict[str, int]) -> bool:
    """Whether every user has sent more since, or the file is there."""
    try:
        return ended(daemon, id) or all(count > before[name] for name, count in bytes_of(daemon, id).items())
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("mode", ["swarm", "race"])
def test_the_ledger_is_what_the_peers_logs_say(shoal: Shoal, crowd: Crowd, mode: str) -> None:
    with running(shoal, **account(crowd.box)) as daemon:
        eventually(lambda: login(daemon) == "online")
        id = order(daemon, crowd, mode)
        eventually(lambda: ended(daemon, id), wait_s=120)
        eventually(lambda: ledger(daemon, crowd) == crowd.aborted(), wait_s=SETTLED_S)


@pytest.mark.parametrize("victim", ["fetch-1", "soulseek", "store", "hub", "all"])
def test_a_kill_is_counted_as_the_peers_count_it_and_costs_seconds(shoal: Shoal, crowd: Crowd, victim: str) -> None:
    with running(shoal, **account(crowd.box)) as daemon:
        eventually(lambda: login(daemon) == "online")
        id = order(daemon, crowd, "swarm")
        eventually(lambda: all(count > 0 for count in bytes_of(daemon, id).values()), wait_s=60)
        before = bytes_of(daemon, id)
        shoal.orderly = False
        if victim == "all":
            # At once: one that outlived the store by a moment could take a connection that no one is left to count.
            children = daemon.process.children()
            for child in children:
                child.suspend()
            for child in children:
                child.kill()
        else:
            psutil.Process(daemon.process.child(victim).pid).kill()
        eventually(lambda: gives_again(daemon, id, before), wait_s=25)
        eventually(lambda: ended(daemon, id), wait_s=120)
        same = nearly if victim == "all" else operator.eq
        eventually(lambda: same(ledger(daemon, crowd), crowd.aborted()), wait_s=SETTLED_S)


def nearly(counted: dict[str, int], aborted: dict[str, int]) -> bool:
    """Whether the ledger differs by at most one connection of each user, where all of ours died at once.

    One too few: a connection that the kernel had taken, so that it was open for its peer, but no process had looked at.
    One too many: an upload that was accepted, but whose user had not connected yet, or had sent its last byte already.
    """
    return all(abs(aborted[name] - count) <= 1 for name, count in counted.items())


@pytest.mark.parametrize("after_s", [0.1, 0.3, 0.5])
def test_users_that_were_about_to_grant_when_the_session_died_give_within_seconds(
    shoal: Shoal, crowd: Crowd, after_s: float
) -> None:
    with running(shoal, **account(crowd.box)) as daemon:
        eventually(lambda: login(daemon) == "online")
        id = order(daemon, crowd, "swarm")
        time.sleep(after_s)  # somewhere between the request and the first byte
        shoal.orderly = False
        daemon.process.child("soulseek").kill()
        eventually(lambda: gives_again(daemon, id, dict.fromkeys(crowd.peers, 0)), wait_s=60)
        eventually(lambda: ended(daemon, id), wait_s=120)
        eventually(lambda: nearly(ledger(daemon, crowd), crowd.aborted()), wait_s=SETTLED_S)


ALBUM = [Content(6 << 20, seed=40 + track) for track in range(6)]
ALBUM_KIB_S = 768


@pytest.fixture
def album_peers(tmp_path: Path) -> Iterator[Crowd]:
    """Three equal peers that have the same six tracks."""
    folder = tmp_path / "album"
    folder.mkdir()
    for track, content in enumerate(ALBUM):
        with (folder / f"{track} Track.flac").open("wb") as file:
            content.write_to(file)
    with ExitStack() as leaving:
        box = leaving.enter_context(network({}, passwords={"me": "box"}))
        peers = {
            name: leaving.enter_context(
                nicotine.nicotine(box, name, folder, upload_kib_s=ALBUM_KIB_S, wait=False, debug=True)
            )
            for name in ("bob", "dan", "eva")
        }
        for peer in peers.values():
            peer.wait_until_ready()
        yield Crowd(box, peers)


def test_an_album_comes_from_all_who_have_it_and_hardly_a_transfer_is_broken_off(
    shoal: Shoal, album_peers: Crowd
) -> None:
    """Each track whole from one user, users side by side: no faster by sharing a track, nothing to apologize for."""
    patient = account(album_peers.box) | {"SHOAL_DAEMON_PATIENCE_S": "15"}
    with running(shoal, **patient) as daemon:
        eventually(lambda: login(daemon) == "online")
        begun_s = time.monotonic()
        ids = []
        for track, content in enumerate(ALBUM):
            sources = [{"url": peer.url(f"{track} Track.flac")} for peer in album_peers.peers.values()]
            wanted = {"filename": f"{track}.flac", "fileSize": content.size, "sources": sources}
            ids.append(daemon.client.post("/api/v0/multisource/download", json=wanted).json()["id"])
        eventually(lambda: all(ended(daemon, id) for id in ids), wait_s=120)
        alone_s = sum(content.size for content in ALBUM) / (ALBUM_KIB_S << 10)
        took_s = time.monotonic() - begun_s
        eventually(lambda: ledger(daemon, album_peers) == album_peers.aborted(), wait_s=SETTLED_S)
        assert max(album_peers.aborted().values()) <= 2, album_peers.aborted()
        assert took_s <= 0.6 * alone_s + 2, f"{took_s:.1f} s, one user alone {alone_s:.1f} s"
