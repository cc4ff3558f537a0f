"""One-shot Soulseek commands on a machine whose daemon has the login: done by the daemon, which stays logged in."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon.daemons import Daemon, eventually, running
from tests.e2e.program import Done, Running, Shoal
from tests.soulseek_network.network import Character, Content, Network, network

pytestmark = pytest.mark.long

CONTENT = Content(3_000_000, seed=43)
USERS = {
    "ann": Character(rate_bytes_s=2e6),
    "bob smith": Character(rate_bytes_s=1e6),
    "slow": Character(rate_bytes_s=2e5),
}


class Desk:
    """A user's terminal beside this user's daemon, with the same account."""

    def __init__(self, daemon: Daemon, users: Network) -> None:
        self.daemon = daemon
        self.users = users
        self.folder = daemon.shoal.folder
        account = {
            "USERNAME": "me", "PASSWORD": "any", "SERVER": users.server_host, "PORT": str(users.server_port),
            "BIND": "127.0.0.1",
        }  # fmt: skip
        self.env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
        self.env |= {"SHOAL_STATE": str(daemon.state), "XDG_CONFIG_HOME": "/nowhere"}

    def start(self, *words: str | Path, **env: str) -> Running:
        return self.daemon.shoal.start(*words, env={**self.env, **env})

    def run(self, *words: str | Path, **env: str) -> Done:
        return self.start(*words, **env).finish()

    @property
    def jobs(self) -> list[Any]:
        return list(self.daemon.get("/api/v0/multisource/jobs?removed=true"))

    def same_login(self) -> None:
        """The daemon's login was never ended."""
        assert self.daemon.get("/api/v0/server")["isLoggedIn"]
        assert not self.daemon.stderr_has("kicked")
        assert not self.daemon.stderr_has("Soulseek: offline")


@pytest.fixture
def desk(shoal: Shoal) -> Iterator[Desk]:
    with network(USERS, CONTENT) as users:
        account = {"USERNAME": "me", "PASSWORD": "any", "SERVER": users.server_host, "PORT": str(users.server_port)}
        env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
        with running(shoal, XDG_CONFIG_HOME="/nowhere", SHOAL_SOULSEEK_BIND="127.0.0.1", **env) as daemon:
            daemon.process.run_s_max = 120.0
            eventually(lambda: bool(daemon.get("/api/v0/server")["isLoggedIn"]))
            yield Desk(daemon, users)


def test_a_search_goes_through_the_daemon_with_the_same_display(desk: Desk) -> None:
    done = desk.run("search", desk.users.term, "--wait", "1")
    assert done.code == 0
    assert f"note: the daemon at {desk.daemon.url} has this Soulseek login" in done.stderr
    head, *rows, last = done.stdout.splitlines()
    assert head.split() == ["size", "users", "free", "speed", "queue", "sure", "by", "name"]
    assert any(f"({CONTENT.size})" in row for row in rows)
    assert last == f"{len(rows)} targets from 3 users"
    shown = desk.run("search", desk.users.term, "--wait", "1", "--json")
    (target,) = [each for each in shown.events if each.get("size") == CONTENT.size]
    assert sorted(target["sources"]) == sorted(desk.users.urls)
    assert shown.events[-1]["event"] == "search_ended"
    assert desk.run("search", "no such words", "--wait", "1").code == 3
    assert desk.daemon.get("/api/v0/searches") == [], "nothing is left there"
    desk.same_login()


def test_a_file_comes_to_where_it_is_wanted_whatever_folders_the_daemon_has(desk: Desk) -> None:
    url = desk.users.url("ann")
    assert desk.run("get", url).code == 0
    name = "01 - Tide.flac"
    assert (desk.folder / name).read_bytes() == CONTENT.whole()
    assert desk.run("get", url, "-o", "sub/tide.bin").code == 0
    assert (desk.folder / "sub" / "tide.bin").read_bytes() == CONTENT.whole()
    again = desk.run("get", url, "--json")
    assert (again.code, again.ended["state"], again.ended["path"]) == (
        0,
        "sealed",
        str(desk.folder / "01 - Tide (1).flac"),
    )
    downloads = desk.folder.parent / "downloads"
    assert not [each for each in downloads.rglob("*") if each.is_file()], "it was moved"
    own = desk.run("get", url, "-o", f"{downloads}/albums/")
    assert own.code == 0
    assert (downloads / "albums" / name).read_bytes() == CONTENT.whole(), "written there by the daemon itself"
    desk.same_login()


def test_swarm_takes_what_most_have_and_its_file_comes_here(desk: Desk) -> None:
    assert desk.run("swarm", desk.users.term, "-o", "any/").code == 0
    assert len(list((desk.folder / "any").iterdir())) == 1
    done = desk.run("swarm", desk.users.term, "--size", str(CONTENT.size), "-o", "swarmed.flac")
    assert done.code == 0, done.stderr
    assert (desk.folder / "swarmed.flac").read_bytes() == CONTENT.whole()
    job, _ = desk.jobs
    assert (job["state"], job["origin"]) == ("sealed", "multisource")
    desk.same_login()


def test_an_interrupt_pauses_the_job_and_the_same_command_goes_on(desk: Desk) -> None:
    words = ("get", desk.users.url("slow"), "-v", "--json")
    running = desk.start(*words)
    running.until(lambda event: event.get("bytes_stored", 0) > 300_000)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 130
    assert "interrupted: paused in the daemon; the same command goes on from there" in done.stderr
    (job,) = desk.jobs
    assert job["state"] == "paused"
    assert desk.run("get", desk.users.url("slow")).code == 0
    (job,) = desk.jobs
    assert job["state"] == "sealed"
    assert job["resumedBytes"] > 0
    assert (desk.folder / "01 - Tide.flac").read_bytes() == CONTENT.whole()
    desk.same_login()


def test_what_no_source_has_ends_as_it_does_alone(desk: Desk) -> None:
    done = desk.run("get", "slsk://gone/music%5Cnothing.flac")
    assert done.code == 3, done.stderr
    assert "no source can deliver" in done.stderr
    assert desk.jobs[0]["state"] == "paused", "the daemon does not try again by itself"


def test_what_the_daemon_cannot_do_is_one_line_that_says_how(desk: Desk) -> None:
    url = desk.users.url("ann")
    for words in (("-o", "-"), ("--sync", "none")):
        done = desk.run("get", url, *words)
        assert done.code == 2
        assert done.the_line.startswith("error: ")
        assert "--no-daemon" in done.the_line
    private = desk.run("get", url, "http://127.0.0.1:9/tide.flac")
    assert private.code == 2
    assert "--no-daemon does it here" in private.stderr
    assert desk.jobs == []


def test_another_account_and_no_daemon_log_in_here(desk: Desk) -> None:
    other = desk.run("get", desk.users.url("ann"), SHOAL_SOULSEEK_USERNAME="other")
    assert other.code == 0
    desk.same_login()
    assert desk.jobs == []
    here = desk.run("search", desk.users.term, "--wait", "1", "--no-daemon")
    assert here.code == 0
    assert "logged in, listening at port" in here.stderr
    eventually(lambda: desk.daemon.stderr_has("Soulseek: kicked"))
