"""Tools made for slskd against the whole daemon: what they enqueue from one user comes from all who have the file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from actors.demo.content import Content
from tests.e2e.daemon.daemons import Daemon, running
from tests.e2e.program import Shoal
from tests.protocol.http_api.slskd.libraries import Library, driving, unpacked
from tests.soulseek_network.network import Character, Network, network

pytestmark = pytest.mark.long

CONTENT = Content(6_000_000, seed=9)
FOLDER = "Loopback (2022)"
SECRET = "s3cr3t"
DOWNLOADS = "/api/v0/transfers/downloads"
END_S_MAX = 40.0
ODD = '50% øf & "so"\'s'
USERS = {
    "ann": Character(rate_bytes_s=0.4e6),
    "bob smith": Character(rate_bytes_s=2e6),
    "cid": Character(rate_bytes_s=1e6),
    ODD: Character(rate_bytes_s=1e6),
}


@pytest.fixture
def box() -> Iterator[Network]:
    with network(USERS, CONTENT, passwords={"me": SECRET}) as made:
        yield made
        assert made.said() == ""


def account(box: Network) -> dict[str, str]:
    """A daemon whose user is in this box."""
    return {
        "SHOAL_DAEMON_PATIENCE_S": "0",  # files of tests are small, and all who have one are to send
        "SHOAL_SOULSEEK_USERNAME": "me", "SHOAL_SOULSEEK_PASSWORD": SECRET, "SHOAL_SOULSEEK_SERVER": box.server_host,
        "SHOAL_SOULSEEK_PORT": str(box.server_port), "SHOAL_SOULSEEK_BIND": "127.0.0.1",
        "SHOAL_DAEMON_RETRIES": "0", "XDG_CONFIG_HOME": "/nowhere",
    }  # fmt: skip


def logged_in(daemon: Daemon) -> None:
    until(lambda: daemon.get("/api/v0/application")["server"]["isLoggedIn"])


def until(is_so: Any, *, wait_s: float = END_S_MAX) -> Any:
    due_s = time.monotonic() + wait_s
    while not (found := is_so()):
        assert time.monotonic() < due_s, "not so in time"
        time.sleep(0.05)
    return found


def enqueue(daemon: Daemon, user: str, path: str, size: int = CONTENT.size) -> dict[str, Any]:
    answer = daemon.client.post(f"{DOWNLOADS}/{quote(user)}", json=[{"filename": path, "size": size}])
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["enqueued"][0])


class Watched:
    """A transfer, looked at again and again: what must never be seen is looked for each time."""

    def __init__(self, daemon: Daemon, user: str, id: str, file: Path) -> None:
        self._daemon, self._path, self._file = daemon, f"{DOWNLOADS}/{quote(user)}/{id}", file
        self.states: list[str] = []
        self.shown: dict[str, Any] = {"bytesTransferred": 0}

    def look(self) -> dict[str, Any]:
        before = self.shown["bytesTransferred"]
        self.shown = self._daemon.get(self._path)
        assert self.shown["bytesTransferred"] >= before, "bytes that were transferred stay transferred"
        if self.shown["state"] not in self.states[-1:]:
            self.states.append(self.shown["state"])
        if self.shown["state"] == "Completed, Succeeded":
            assert CONTENT.matches(self._file), "it is complete at its place when that is said"
        return self.shown

    def end(self) -> dict[str, Any]:
        try:
            until(lambda: self.look()["state"].startswith("Completed"))
        except AssertionError as error:
            job = f"/api/v0/multisource/jobs/{self.shown['id']}"
            shown = [self._daemon.get(path) for path in (job, f"{job}/why", f"{job}/timeline")]
            raise AssertionError(f"{error}: {self.states} {shown}") from None
        return self.shown

    def stored(self, count: int) -> None:
        until(lambda: self.look()["bytesTransferred"] >= count)


def placed(shoal: Shoal, box: Network) -> Path:
    return shoal.folder.parent / "downloads" / FOLDER / box.file_name


def givers(box: Network) -> set[str]:
    return {name for name, count in box.counts().items() if count.bytes_sent > 100_000}


def found(soularr: Library, term: str) -> list[dict[str, Any]]:
    """Search and poll as Soularr does."""
    search = soularr.call("searches.search_text", searchText=term, searchTimeout=1500)
    until(lambda: soularr.call("searches.state", search["id"], False)["state"] != "InProgress")
    responses: list[dict[str, Any]] = soularr.call("searches.search_responses", search["id"])
    assert soularr.call("searches.delete", search["id"]) is True
    return responses


@pytest.mark.parametrize("version", ["0.1.5", "0.2.4"])
def test_what_soularr_enqueues_from_one_user_comes_from_all_and_lies_where_it_looks(
    shoal: Shoal, box: Network, pytestconfig: pytest.Config, version: str
) -> None:
    """Soularr pins the older version of the library; its calls are those of the newer one too."""
    assert pytestconfig.cache is not None
    library = unpacked(version, pytestconfig.cache.mkdir("slskd-api"))
    with running(shoal, **account(box)) as daemon, driving(library, daemon.url, api_key=daemon.key) as soularr:
        logged_in(daemon)
        assert soularr.call("application.version") == "0.25.1"
        responses = {each["username"]: each for each in found(soularr, box.term)}
        assert set(responses) == set(USERS)
        (file,) = [each for each in responses["ann"]["files"] if each["size"] == CONTENT.size]
        assert file["filename"] == box.remote_path("ann")
        assert (file["extension"], file["bitDepth"], file["sampleRate"], file["length"]) == ("flac", 16, 44_100, 321)

        folder = file["filename"].rpartition("\\")[0]
        (listed, *_) = soularr.call("users.directory", username="ann", directory=folder)
        assert listed["name"] == folder
        assert box.file_name in [each["filename"] for each in listed["files"]]
        wanted = [{"filename": f"{folder}\\{box.file_name}", "size": CONTENT.size}]
        assert soularr.call("transfers.enqueue", username="ann", files=wanted) is True

        (directory,) = soularr.call("transfers.get_downloads", username="ann")["directories"]
        assert directory["directory"] == folder
        (transfer,) = directory["files"]
        watched = Watched(daemon, "ann", transfer["id"], placed(shoal, box))
        assert watched.end()["state"] == "Completed, Succeeded"
        assert watched.shown["percentComplete"] == 100
        assert "InProgress" in watched.states
        assert len(givers(box)) >= 3, "a swarm, and not ann alone"
        assert soularr.call("transfers.get_download", "ann", transfer["id"])["state"] == "Completed, Succeeded"
        assert soularr.call("transfers.remove_completed_downloads") is True
        assert soularr.call("transfers.get_all_downloads") == []
        assert placed(shoal, box).exists(), "only the list is emptied"
        assert SECRET not in daemon.client.get("/api/v0/options").text


def test_a_user_who_leaves_in_the_middle_is_no_failure_while_others_go_on(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box)) as daemon:
        logged_in(daemon)
        made = enqueue(daemon, "cid", box.remote_path("cid"))
        watched = Watched(daemon, "cid", made["id"], placed(shoal, box))
        watched.stored(1_000_000)
        box.die("cid")
        assert watched.end()["state"] == "Completed, Succeeded"
        assert not [state for state in watched.states[:-1] if state.startswith("Completed")]


def test_without_widening_it_comes_from_whom_it_was_enqueued_however_he_is_called(shoal: Shoal, box: Network) -> None:
    with running(shoal, SHOAL_SLSKD_WIDEN="false", **account(box)) as daemon:
        logged_in(daemon)
        made = enqueue(daemon, ODD, box.remote_path(ODD))
        assert made["username"] == ODD
        assert enqueue(daemon, ODD, box.remote_path(ODD))["id"] == made["id"], "the same file is the same transfer"
        watched = Watched(daemon, ODD, made["id"], placed(shoal, box))
        assert watched.end()["state"] == "Completed, Succeeded"
        assert givers(box) == {ODD}


def test_a_daemon_that_is_killed_goes_on_with_the_same_ids(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box)) as daemon:
        logged_in(daemon)
        made = enqueue(daemon, "bob smith", box.remote_path("bob smith"))
        watched = Watched(daemon, "bob smith", made["id"], placed(shoal, box))
        watched.stored(1_000_000)
        with shoal.killed(daemon.process):
            daemon.process.kill_all()
    with running(shoal, **account(box)) as daemon:
        shown = daemon.get(f"{DOWNLOADS}/bob%20smith/{made['id']}")
        assert shown["requestedAt"] == made["requestedAt"]
        watched = Watched(daemon, "bob smith", made["id"], placed(shoal, box))
        assert watched.end()["state"] == "Completed, Succeeded"
        sent = sum(count.bytes_sent for count in box.counts().values())
        assert sent < CONTENT.size * 1.7, "what was there is not fetched again"


def test_a_file_that_no_one_has_ends_in_a_state_that_says_so(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box)) as daemon:
        logged_in(daemon)
        made = enqueue(daemon, "nobody here", "m\\x\\No Such Thing At All.flac", 12345)
        watched = Watched(daemon, "nobody here", made["id"], placed(shoal, box))
        shown = watched.end()
        assert (shown["state"], shown["bytesTransferred"]) == ("Completed, Errored", 0)
        assert shown["exception"]
        again = enqueue(daemon, "nobody here", "m\\x\\No Such Thing At All.flac", 12345)
        (user,) = daemon.get(DOWNLOADS)
        assert [each["id"] for each in user["directories"][0]["files"]] == [again["id"]]
        assert daemon.client.delete(f"{DOWNLOADS}/nobody%20here/{again['id']}?remove=True").status_code == 204
        assert daemon.get(DOWNLOADS) == []


def test_a_logout_and_a_login_over_the_api_are_obeyed(shoal: Shoal, box: Network) -> None:
    with running(shoal, **account(box)) as daemon:
        logged_in(daemon)
        assert daemon.client.delete("/api/v0/server").status_code == 204
        box.wait_for("me", online=False)
        until(lambda: daemon.get("/api/v0/server")["state"] == "Disconnected")
        refused = daemon.client.post("/api/v0/searches", json={"searchText": box.term})
        assert (refused.status_code, refused.json()) == (409, "not logged in to Soulseek: logged out, as was asked for")
        assert daemon.client.put("/api/v0/server").status_code == 200
        logged_in(daemon)
