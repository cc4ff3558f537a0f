"""The box's server, its hostile users and its processes, tested themselves: other tests rely on them."""

from __future__ import annotations

import itertools
import select
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.demo.child_process import ROOT
from actors.demo.soulseek.wire import messages as m
from tests.real_peers.raw_downloader import RawDownloader, exactly
from tests.soulseek_network.compression_bombs import million_files, zlib_bomb
from tests.soulseek_network.network import Character, ChildError, Content, Network, network
from tests.soulseek_network.test_users import ended

CONTENT = Content(3_000_000, seed=7)
WHOLE = CONTENT.whole()
CHARACTERS = {"honest": Character(), "names": Character(hostile="names")}
USERS = (f"me{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network(CHARACTERS, CONTENT) as made:
        yield made
        assert made.said() == ""


@pytest.fixture
def me(box: Network) -> Iterator[RawDownloader]:
    with RawDownloader(box.server_port, next(USERS)) as made:
        yield made


def refuses_soon(port: int) -> bool:
    """Whether no one listens there any more; a dying process may close its listener last."""
    give_up_s = time.monotonic() + 5
    while time.monotonic() < give_up_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            continue
    return False


def test_the_server_turns_away_wrong_passwords_bad_names_and_everybody_when_configured_so() -> None:
    with network({}, passwords={"me": "right"}) as box:
        for name, password, reason in (("me", "wrong", "INVALIDPASS"), ("", "x", "INVALIDUSERNAME")):
            with RawDownloader(box.server_port, name, password=password) as me:
                assert (me.greeting.success, me.greeting.reason) == (False, reason)
        with RawDownloader(box.server_port, "me", password="right") as me:
            assert me.greeting.success
        box.refuse_logins("SERVERFULL")
        with RawDownloader(box.server_port, "you") as me:
            assert me.greeting.reason == "SERVERFULL"
        box.refuse_logins(None)
        assert box.logins() == 1


def test_a_second_login_of_a_name_sends_the_first_away(box: Network) -> None:
    with RawDownloader(box.server_port, "twin") as first, RawDownloader(box.server_port, "twin") as second:
        assert first.answer(m.Kicked.Response)
        second.tell(m.GetUserStatus.Request("twin"))
        assert second.answer(m.GetUserStatus.Response).status == 2
        assert box.online().count("twin") == 1


def test_who_watches_a_user_hears_when_it_goes_and_comes(me: RawDownloader, box: Network) -> None:
    def status(name: str) -> Any:
        return me.answer(m.GetUserStatus.Response)

    me.tell(m.AddUser.Request("honest"))
    assert (answer := me.answer(m.AddUser.Response)).exists
    assert answer.user_stats.shared_file_count == 5
    box.leave("honest")
    assert status("honest").status == 0
    box.become("honest", CHARACTERS["honest"])
    assert status("honest").status == 2
    me.tell(m.AddUser.Request("never seen"))
    assert not me.answer(m.AddUser.Response).exists


def test_uploaders_come_back_after_their_server_was_gone() -> None:
    with network([Character()]) as box:
        box.vanish_server()
        with pytest.raises(ConnectionRefusedError):
            RawDownloader(box.server_port, "me")
        box.return_server()
        box.wait_for("u0")
        assert box.drop_session("u0")
        box.wait_for("u0", online=False)
        box.wait_for("u0")


def test_an_offline_user_answers_one_search_and_is_gone() -> None:
    with network({"fleeting": Character(offline=True)}) as box, RawDownloader(box.server_port, "me") as me:
        assert me.search(box.term, 1)["fleeting"].results
        box.wait_for("fleeting", online=False)
        me.tell(m.GetPeerAddress.Request("fleeting"))
        assert me.answer(m.GetPeerAddress.Response).port == 0


def test_a_user_may_join_later_and_share_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"mine alone")
    with network({}, path, file_name="Mine.flac") as box, RawDownloader(box.server_port, "me") as me:
        box.join("newcomer", Character())
        assert me.ride("newcomer", box.remote_path("newcomer"), 5, 5)[1] == b"alone"
        assert box.url("newcomer").startswith("slsk://newcomer/%40%40")


def test_hostile_names_are_offered_and_can_be_fetched(me: RawDownloader, box: Network) -> None:
    me.tell(m.UserSearch.Request("names", 5, box.term))
    results = me.hear("names", m.PeerSearchReply.Request).results
    assert me.hear("names", m.PeerSearchReply.Request).results
    path = next(result.filename for result in results if "\0" in result.filename)
    assert me.ride("names", path, 0, 1000)[1] == WHOLE[:1000]


def test_bombs_are_whole_zlib_streams() -> None:
    bomb = zlib_bomb("evil", 1, mebibytes=3)
    assert len(zlib.decompress(bomb[8:])) > 3 << 20
    assert len(zlib_bomb("evil", 1)) < 2 << 20
    reply = m.PeerSearchReply.Request.deserialize(0, million_files("evil", 1, thousands=2))
    assert len(reply.results) == 2000


@pytest.mark.parametrize(
    "kind",
    [
        "garbage",
        "mute_f",
        *(pytest.param(kind, marks=pytest.mark.long) for kind in ("length_prefix", "zlib_bomb", "million_files")),
        *(pytest.param(kind, marks=pytest.mark.long) for kind in ("sizes", "tickets", "flood", "all")),
    ],
)
def test_every_hostile_deed_is_done_and_its_doer_lives_on(kind: Any) -> None:
    with network({"evil": Character(hostile=kind)}, CONTENT) as box, socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen(512)
        trap.settimeout(10)
        with RawDownloader(box.server_port, "victim") as victim:
            victim.tell(m.SetListenPort.Request(trap.getsockname()[1], 0, 0))
            victim.tell(m.FileSearch.Request(5, box.term))
            callers = [trap.accept()[0] for _ in range(300 if kind == "flood" else 1)]
            speaker = select.select(callers, [], [], 10)[0][0]
            assert kind == "flood" or exactly(speaker, 5)[4:] == b"\x01"
            for caller in callers:
                caller.close()
        with RawDownloader(box.server_port, "fine") as me:
            assert me.ride("evil", box.remote_path("evil"), 0, 1000)[1] == WHOLE[:1000]
        assert box.said() == ""


def test_a_box_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="FileNotFoundError"):
        network([Character()], tmp_path / "missing")


def test_an_unknown_character_is_refused() -> None:
    with pytest.raises(ValueError, match="no such character"):
        Character(silent="whisper")  # type: ignore[arg-type]


OWNER = """
import sys
from tests.soulseek_network.network import Character, network
box = network([Character()])
print(box.server_port, box.port("u0"), flush=True)
sys.stdin.read()
"""


def test_nothing_of_a_box_outlives_its_killed_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        ports = [int(port) for port in owner.stdout.readline().split()]
        callers = [socket.create_connection(("127.0.0.1", port), timeout=10) for port in ports]
        owner.send_signal(signal.SIGKILL)
        for caller in callers:
            # Heard when the process that holds the other end is gone; else this times out.
            assert ended(caller)
            caller.close()
        assert all(refuses_soon(port) for port in ports)
