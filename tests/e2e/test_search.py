"""``search`` against a Soulseek network in a box: what is found, and every way in which a search fails."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Running, Shoal
from tests.http_mirrors.box import Character as StallingMirror
from tests.http_mirrors.box import mirrors
from tests.soulseek_network.network import Character, Content, Network, network

CONTENT = Content(3_000_000, seed=5)
SECRET = "s3cr3t"
USERS = {
    "ann": Character(rate_bytes_s=2e6),
    "bob smith": Character(rate_bytes_s=1e6, queue_before_us=3),
    "cid": Character(),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network(USERS, CONTENT, passwords={"me": SECRET}) as made:
        yield made
        assert made.said() == ""


def account(box: Network, **changed: str) -> dict[str, str]:
    """The environment of a user of this box, and of nothing else that this machine's user may have."""
    settings = {
        "USERNAME": "me", "PASSWORD": SECRET, "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1", **changed,
    }  # fmt: skip
    return {"XDG_CONFIG_HOME": "/nowhere", **{f"SHOAL_SOULSEEK_{name}": word for name, word in settings.items()}}


def test_what_users_have_is_listed_for_people(shoal: Shoal, box: Network) -> None:
    done = shoal.run("search", box.term, "--wait", "1", **account(box))
    assert done.code == 0
    head, *rows, last = done.stdout.splitlines()
    assert head.split() == ["size", "users", "free", "speed", "queue", "sure", "by", "name"]
    (row,) = [each for each in rows if f"({CONTENT.size})" in each]
    assert " ".join(row.split()).endswith(" 3 2 2.9 MiB/s 0 name, sound 01 - Tide.flac")
    assert last == f"{len(rows)} targets from 3 users"
    assert SECRET not in done.stdout + done.stderr
    assert "note: Soulseek: logged in, listening at port " in done.stderr
    assert done.seconds < 30


def test_what_users_have_is_reported_to_programs_with_addresses(shoal: Shoal, box: Network) -> None:
    done = shoal.run("search", *box.term.split(), "--wait", "1", "--json", **account(box))
    assert done.code == 0
    (target,) = [each for each in done.events if each.get("size") == CONTENT.size]
    assert (target["event"], target["name"], target["extension"]) == ("target", "01 - Tide.flac", "flac")
    assert (target["users"], target["free"], target["shortest_queue"]) == (3, 2, 0)
    assert sorted(target["sources"]) == sorted(box.urls)
    assert target["sources"][-1] == box.url("bob smith"), "who lets us wait comes last"
    targets = sum(each["event"] == "target" for each in done.events)
    assert done.events[-1] == {"event": "search_ended", "targets": targets, "users": 3, "refused": ""}
    assert [each["state"] for each in done.events if each["event"] == "session"] == ["connecting", "online"]


@pytest.mark.long
def test_only_a_bounded_number_of_targets_are_shown_as_are_wanted(shoal: Shoal, box: Network) -> None:
    done = shoal.run("search", box.term, "--wait", "1", "--limit", "1", **account(box))
    assert len(done.stdout.splitlines()) == 3
    assert "not shown" in done.stdout.splitlines()[-1]


@pytest.mark.long
def test_the_account_may_stand_in_a_file(shoal: Shoal, box: Network) -> None:
    file = shoal.folder / "shoal.toml"
    file.write_text(
        f'[soulseek]\nusername = "me"\npassword = "{SECRET}"\nserver = "127.0.0.1"\n'
        f'port = {box.server_port}\nbind = "127.0.0.1"\nshared_folders = ["."]\n'
    )
    file.chmod(0o600)
    done = shoal.run("search", box.term, "--wait", "1", XDG_CONFIG_HOME="/nowhere")
    assert done.code == 0
    assert done.stderr.splitlines()[0] == "note: the configuration is ./shoal.toml of this folder"
    assert len(done.stderr.splitlines()) == 2, done.stderr


def test_nothing_found_is_exit_code_3(shoal: Shoal, box: Network) -> None:
    done = shoal.run("search", "no such thing", "--wait", "0.5", **account(box))
    assert (done.code, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1] == "nothing found for 'no such thing'"
    done = shoal.run("search", "no such thing", "--wait", "0.5", "--json", **account(box))
    assert done.code == 3
    assert done.events[-1] == {"event": "search_ended", "targets": 0, "users": 0, "refused": ""}


def test_a_wrong_password_is_said_and_not_tried_again(shoal: Shoal, box: Network) -> None:
    done = shoal.run("search", box.term, **account(box, PASSWORD="wr0ng"))
    assert (done.code, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1] == "search failed: the password is wrong, or the name is another user's"
    assert "wr0ng" not in done.stderr
    assert done.seconds < 30


@pytest.mark.long
def test_a_server_that_cannot_be_reached_is_said(shoal: Shoal, box: Network) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = shoal.run("search", box.term, **account(box, PORT=str(port)))
        shown = shoal.run("search", box.term, "--json", **account(box, PORT=str(port)))
    assert (done.code, shown.code) == (3, 3)
    assert done.stderr.splitlines()[-1] == f"search failed: 127.0.0.1:{port} cannot be reached"
    assert shown.events[-1]["refused"] == f"127.0.0.1:{port} cannot be reached"
    assert [each["state"] for each in shown.events[:-1]] == ["connecting", "offline"]
    assert done.seconds < 30


@pytest.mark.long
def test_a_listening_port_that_is_taken_is_said(shoal: Shoal, box: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = shoal.run("search", box.term, **account(box, LISTEN_PORT=str(port)))
    assert done.code == 3
    assert done.stderr.splitlines()[-1] == f"search failed: listening port taken: {port}"


def begun(shoal: Shoal, box: Network) -> Running:
    running = shoal.start("search", box.term, "--wait", "30", "--json", env=account(box))
    running.until(lambda event: event.get("state") == "online")
    return running


@pytest.mark.long
def test_a_second_login_of_the_same_name_ends_the_search_of_the_first(shoal: Shoal, box: Network) -> None:
    first = begun(shoal, box)
    second = shoal.run("search", box.term, "--wait", "0.5", **account(box))
    assert second.code == 0
    done = first.finish()
    assert done.code == 3
    assert done.events[-1]["refused"] == "another program has logged in by this name"
    assert done.seconds < 20, "it does not wait, and it does not fight"


def test_ctrl_c_ends_a_search_in_order(shoal: Shoal, box: Network) -> None:
    running = begun(shoal, box)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 130
    assert done.events[-1]["event"] == "search_ended"


@pytest.mark.long
def test_a_session_that_dies_is_our_fault(shoal: Shoal, box: Network) -> None:
    running = begun(shoal, box)
    running.child("soulseek").kill()
    done = running.finish()
    assert done.code == 1
    assert done.events[-1]["refused"] == "soulseek died: killed by SIGKILL"


@pytest.mark.long
def test_without_an_account_one_line_says_what_to_set(shoal: Shoal) -> None:
    for words in (["search", "tide"], ["swarm", "tide"], ["get", "slsk://ann/a.mp3", "--quiet"]):
        done = shoal.run(*words, XDG_CONFIG_HOME="/nowhere", SHOAL_SOULSEEK_USERNAME="", SHOAL_SOULSEEK_PASSWORD="")
        assert (done.code, done.stdout) == (2, "")
        assert done.the_line.startswith("error: no Soulseek account: set SHOAL_SOULSEEK_USERNAME and SHOAL_SOULSEEK_P")


@pytest.mark.long
def test_a_search_bound_to_an_interface_that_is_not_there_is_refused_at_once(shoal: Shoal, box: Network) -> None:
    for command in ("search", "swarm"):
        done = shoal.run(command, box.term, "--interface", "wg7", **account(box))
        assert (done.code, done.stderr.splitlines()[-1]) == (2, "error: --interface: interface wg7 is gone")


@pytest.mark.long
def test_names_that_strangers_made_up_reach_no_terminal(shoal: Shoal) -> None:
    users = {"honest": Character(), "evil": Character(hostile="names"), "liar": Character(hostile="sizes")}
    with network(users, CONTENT) as box:
        done = shoal.run("search", box.term, "--wait", "1.5", "--limit", "2000", **account(box))
    assert done.code == 0
    assert f"({CONTENT.size})" in done.stdout
    assert all(line.isprintable() and len(line) < 200 for line in done.stdout.splitlines())


def test_a_plain_get_starts_no_session(shoal: Shoal, tmp_path: Path) -> None:
    with mirrors({"a": StallingMirror(stall_after_bytes=700_000)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "--chunk-size", "32K", SHOAL_STATE=str(tmp_path / "state"))
        running.until_stored(3)
        assert running.child("store").is_running()
        with pytest.raises(AssertionError, match="soulseek"):
            running.child("soulseek")
        running.signal(signal.SIGINT)
        assert running.finish().code == 130
    assert not (tmp_path / "state").exists()
