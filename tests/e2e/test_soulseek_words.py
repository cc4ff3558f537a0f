"""What a job with Soulseek users says of itself, on the command line and to programs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.program import Event, Shoal
from tests.http_mirrors.box import Character as Mirror
from tests.http_mirrors.box import mirrors
from tests.soulseek_network.network import Character, Content, Network, network

CONTENT = Content(3_000_000, seed=6)


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def account(box: Network, state: str, **changed: str) -> dict[str, str]:
    settings = {
        "USERNAME": "me", "PASSWORD": "any", "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1", **changed,
    }  # fmt: skip
    words = {f"SHOAL_SOULSEEK_{name}": word for name, word in settings.items()}
    return {"XDG_CONFIG_HOME": "/nowhere", "SHOAL_STATE": state, **words}


def rows_of(event: Event) -> dict[str, Event]:
    return {row["peer"] or "mirror": row for row in event["sources"]}


@pytest.mark.parametrize(
    ("content", "character", "path"),
    [
        (CONTENT, Character(hostile="sizes"), "@@evil\\music\\size 0.flac"),
        (Content(0), Character(), ""),
    ],
    ids=["not empty", "empty"],
)
def test_an_offer_of_no_bytes_is_an_empty_file_only_where_its_user_lists_it_so(
    shoal: Shoal, state: str, content: Content, character: Character, path: str
) -> None:
    with network({"ann": character}, content) as box:
        url = f"slsk://ann/{quote(path, safe='')}" if path else box.url("ann")
        done = shoal.get(url, "-o", "file.flac", **account(box, state))
    assert (done.code, done.ended["size"]) == (0, content.size), done
    assert content.matches(shoal.folder / "file.flac")


@pytest.mark.long
def test_users_and_mirrors_are_rows_of_one_job(shoal: Shoal, state: str) -> None:
    # Slow enough that the queue's answer is there long before the file is.
    users = {"ann b": Character(rate_bytes_s=3e5), "queued": Character(queue_before_us=3, queue_step_s=60.0)}
    with network(users, CONTENT) as box, mirrors({"m": Mirror(rate_bytes_s=2e5)}, CONTENT) as web:
        running = shoal.begun(*box.urls, *web.urls, "-o", "file.flac", **account(box, state))
        waiting = running.until(
            lambda event: event["event"] == "progress" and rows_of(event).get("queued", {}).get("queue_place")
        )
        done = running.finish()
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.flac")
    row = rows_of(waiting)["queued"]
    assert (row["phase"], row["queue_place"]) == ("queued", 4)
    last = rows_of(done.ended)
    assert set(last) == {"ann b", "queued", "mirror"}
    assert last["ann b"]["bytes"] + last["mirror"]["bytes"] == CONTENT.size
    assert last["queued"]["queue_place"] is None, "no one waits any more"
    assert last["ann b"]["source"] == box.url("ann b")


@pytest.mark.long
def test_people_see_chunks_by_the_user_s_name_and_the_stops_at_the_end(shoal: Shoal, state: str) -> None:
    with network({"ann b": Character()}, CONTENT) as box:
        words = ("-o", "file.flac", "--chunk-size", "1M", "--verbose", "--mode", "queue")
        done = shoal.run("get", *box.urls, *words, **account(box, state))
    assert done.code == 0
    lines = done.stderr.splitlines()
    assert lines[1].startswith("note: --mode queue asks every Soulseek user again")
    chunks = [line for line in lines if line.startswith("✓ ann b chunk ")]
    assert len(chunks) == 3
    assert chunks[-1].endswith(" KB/s [3/3]")
    (row,) = [line.split() for line in lines if line.startswith("  ann b ")]
    assert row[:2] + row[4:8] == ["ann", "b", "100.0", "%", "3", "chunks"]


@pytest.mark.long
def test_a_state_folder_that_cannot_be_written_is_said_and_nothing_is_lost(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with network({"ann": Character()}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.flac", **account(box, str(tmp_path / "file" / "state")))
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(shoal.folder / "file.flac")
    assert "peers are remembered for this process only" in done.stderr


@pytest.mark.long
def test_a_ride_goes_on_when_the_session_dies(shoal: Shoal, state: str) -> None:
    with network({"ann": Character(rate_bytes_s=8e5)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.flac", **account(box, state))
        running.until_stored(3)
        running.child("soulseek").kill()
        done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(shoal.folder / "file.flac")
    assert {"event": "note", "text": "process soulseek ended: killed by SIGKILL"} in done.events
    assert not any(event["event"] == "session" and event["final"] for event in done.events)


@pytest.mark.long
def test_who_waited_in_a_queue_is_asked_again_when_the_session_dies(shoal: Shoal, state: str) -> None:
    with network({"ann": Character(queue_before_us=3, queue_step_s=2.0, tells_place=True)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.flac", **account(box, state))
        running.until(lambda event: event["event"] == "progress" and rows_of(event).get("ann", {}).get("queue_place"))
        running.child("soulseek").kill()
        running.until(lambda event: event["event"] == "note" and "soulseek" in event["text"])
        again = running.until(lambda event: event["event"] == "session" and event["state"] == "online")
        done = running.finish()
    assert again["final"] is False
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(shoal.folder / "file.flac")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"PASSWORD": "wrong"}, "the password is wrong, or the name is another user's"),
        pytest.param({"PORT": "9"}, "127.0.0.1:9 cannot be reached", marks=pytest.mark.long),
        pytest.param(
            {"PORT": "9", "PROXY": "socks5h://127.0.0.1:1"},
            "127.0.0.1:9 cannot be reached: cannot connect to the proxy 127.0.0.1:1: Connection refused",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_swarm_without_a_login_ends_with_the_reason(
    shoal: Shoal, state: str, changed: dict[str, str], why: str
) -> None:
    with network({"ann": Character()}, CONTENT, passwords={"me": "any"}) as box:
        done = shoal.run("swarm", box.term, "--json", **account(box, state, **changed))
    assert (done.code, done.ended["state"]) == (3, "starved")
    assert done.ended["reason"].startswith(why)
    assert done.seconds < 30


@pytest.mark.long
def test_a_swarm_that_finds_no_one_says_so(shoal: Shoal, state: str) -> None:
    with network({"ann": Character()}, CONTENT) as box:
        done = shoal.run("swarm", "no such thing", "--quiet", **account(box, state))
    assert done.code == 3
    assert done.the_line.startswith("no source can deliver: ")
    assert "no such thing" in done.the_line


@pytest.mark.long
def test_a_signal_to_the_whole_group_while_it_waits_says_nothing_of_processes(shoal: Shoal, state: str) -> None:
    with network({"queued": Character(queue_before_us=3, queue_step_s=60.0)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.flac", **account(box, state))
        running.until(
            lambda event: event["event"] == "progress" and rows_of(event).get("queued", {}).get("queue_place")
        )
        os.killpg(running.pid, signal.SIGTERM)
        done = running.finish()
    assert done.code == 130
    assert not [event for event in done.events if event["event"] == "process_lost"]
    assert "ended" not in done.stderr
