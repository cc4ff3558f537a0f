"""What people ask about one user: answers of honest, silent, absent, hostile and real ones."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.demo.content import Content
from actors.soulseek import user_queries
from protocol.messages import (
    BrowseUser,
    FilesListed,
    GetUser,
    GetUserAddress,
    GetUserInfo,
    RequestAnswered,
    RequestRefused,
    UserDescribed,
)
from protocol.model.job_views import UserAddressView, unpack
from tests.actors.soulseek.rig import Rig, times
from tests.real_peers import aioslsk_peer, nicotine
from tests.soulseek_network.behavior import Hostility
from tests.soulseek_network.network import Character, Network, network

SIZE = 1 << 20
HOSTILE: tuple[Hostility, ...] = ("zlib_bomb", "million_files", "length_prefix", "garbage", "names", "sizes")
TIMES = times(browse_s_max=1.5, server_s_max=2.0)


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    characters: dict[str, Character] = {"ann": Character()} | {kind: Character(hostile=kind) for kind in HOSTILE}
    with network(characters, Content(SIZE)) as made:
        yield made


@pytest.fixture(scope="module")
def rig(box: Network) -> Iterator[Rig]:
    with Rig(box.server_port, times=TIMES) as made:
        yield made.online()


def files(rig: Rig, peer: str, folder: str = "", *, request: int = 1) -> tuple[dict[str, int], FilesListed]:
    """Everything listed, by path, and the end of it."""
    rig.say(BrowseUser(request=request, reply_to="hub/pool", peer=peer, folder=folder))
    listed: dict[str, int] = {}
    while not (part := rig.hear(FilesListed)).last:
        assert (part.request, part.peer) == (request, peer)
        listed |= {f"{part.folder}\\{name}": size for name, size in zip(part.names, part.sizes, strict=True)}
    return listed, part


def user(rig: Rig, peer: str) -> UserDescribed:
    rig.say(GetUser(request=3, reply_to="hub/pool", peer=peer))
    return rig.hear(UserDescribed)


def test_a_user_that_is_there_and_one_that_is_not(rig: Rig) -> None:
    listed = user(rig, "ann")
    assert (listed.request, listed.peer, listed.presence, listed.privileged) == (3, "ann", "Online", False)
    assert listed.files > 0
    assert user(rig, "nobody").presence == "Offline"
    assert user(rig, "x" * 500).presence == ""


def test_everything_that_a_user_shares(rig: Rig, box: Network) -> None:
    listed, end = files(rig, "ann")
    assert listed[box.remote_path("ann")] == SIZE
    assert len(listed) == 5
    assert (end.truncated, end.refused) == (False, "")


def test_one_folder_of_a_user(rig: Rig, box: Network) -> None:
    folder = box.remote_path("ann").rpartition("\\")[0]
    listed, end = files(rig, "ann", folder)
    assert listed[box.remote_path("ann")] == SIZE
    assert len(listed) == 5
    assert end.refused == ""
    assert files(rig, "ann", "no\\such folder")[0] == {}


@pytest.mark.parametrize(("peer", "why"), [("nobody", "offline"), ("me", "ourselves"), ("", "no possible user")])
def test_who_cannot_be_asked_is_refused_with_words(rig: Rig, peer: str, why: str) -> None:
    listed, end = files(rig, peer)
    assert listed == {}
    assert why in end.refused


@pytest.mark.parametrize("peer", HOSTILE)
def test_what_a_hostile_user_tells_is_bounded(rig: Rig, peer: str) -> None:
    process = psutil.Process(os.getpid())
    before, began_s = process.memory_info().rss, time.monotonic()
    listed, end = files(rig, peer)
    assert time.monotonic() - began_s < 10
    assert process.memory_info().rss - before < 160 << 20
    if peer in ("names", "sizes"):
        assert all(0 < size < 1 << 50 for size in listed.values())
        assert all(".." not in path.split("\\") and "\0" not in path for path in listed)
    else:
        assert listed == {}
        assert end.refused
    assert files(rig, "ann")[0], "the session lives on"


def test_more_files_than_are_reported_are_cut_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_queries, "FILES_MAX", 3)
    listed, end = files(rig, "ann")
    assert (len(listed), end.truncated) == (3, True)


def test_long_lists_come_in_parts_that_fit_a_message(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_queries, "PART_BYTES_MAX", 60)
    rig.say(BrowseUser(request=1, reply_to="hub/pool", peer="ann", folder=""))
    parts = []
    while not (part := rig.hear(FilesListed)).last:
        parts.append(part)
    assert len(parts) >= 3
    assert sum(len(part.names) for part in parts) == 5


def test_too_many_questions_at_once_are_refused_at_once(box: Network) -> None:
    with Rig(box.server_port, username="curious", times=TIMES) as rig:
        rig.online()
        for request in range(user_queries.AT_ONCE_MAX + 1):
            rig.say(BrowseUser(request=request, reply_to="hub/pool", peer="length_prefix", folder=""))
        first = rig.hear(FilesListed)
        assert (first.request, first.last) == (user_queries.AT_ONCE_MAX, True)
        assert "too many" in first.refused


def test_without_a_login_no_one_is_asked(box: Network) -> None:
    with network({"a": Character()}) as own:
        own.refuse_logins()
        with Rig(own.server_port, times=TIMES) as rig:
            rig.state("refused")
            assert files(rig, "ann")[1].refused == "not logged in"
            assert user(rig, "ann").presence == ""


@pytest.mark.parametrize("kind", ["nicotine", "aioslsk"])
def test_real_users_tell_what_they_share(box: Network, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "shared"
    (folder / "album").mkdir(parents=True)
    (folder / "album" / "one.flac").write_bytes(b"1" * 1000)
    (folder / "two.flac").write_bytes(b"2" * 2000)
    with Rig(box.server_port, username=f"asks-{kind}", times=times(browse_s_max=15.0)) as rig:
        rig.online()
        if kind == "nicotine":
            if not nicotine.installed():
                pytest.skip("nicotine-plus is not installed: pip install --no-deps nicotine-plus")
            with nicotine.nicotine(box, "nico", folder) as _real:
                _tells(rig, "nico")
        else:
            with aioslsk_peer.aioslsk_peer(box, "aio", folder) as _other:
                _tells(rig, "aio")


def _tells(rig: Rig, peer: str) -> None:
    listed, end = files(rig, peer)
    assert end.refused == ""
    by_name = {path.rpartition("\\")[2]: (path, size) for path, size in listed.items()}
    assert (by_name["one.flac"][1], by_name["two.flac"][1]) == (1000, 2000)
    one, _ = files(rig, peer, by_name["one.flac"][0].rpartition("\\")[0])
    assert one == {by_name["one.flac"][0]: 1000}
    assert user(rig, peer).presence == "Online"


def test_what_a_user_says_of_itself_and_where_it_listens(rig: Rig) -> None:
    rig.say(GetUserAddress(request=8, reply_to="hub/pool", peer="ann"))
    (where,) = unpack(rig.hear(RequestAnswered).body, UserAddressView)
    assert where.address == "127.0.0.1"
    assert where.port > 0
    for request, kind in ((9, GetUserAddress), (10, GetUserInfo)):
        rig.say(kind(request=request, reply_to="hub/pool", peer="nobody"))
        refused = rig.hear(RequestRefused)
        assert (refused.request, refused.kind, refused.detail) == (request, "unknown", "nobody is offline")
