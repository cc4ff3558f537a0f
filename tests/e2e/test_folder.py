"""Folders of a real Nicotine+ user: fetched whole with one command, found by a search, gone on with, refused."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.daemon.daemons import eventually, running
from tests.e2e.program import Shoal
from tests.e2e.test_soulseek_words import account
from tests.real_peers import nicotine
from tests.soulseek_network.network import Network, network

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

ALBUM = "Quiet Tides"
TRACKS = {f"{number} - Wave {number}.flac": 700_000 + 1000 * number for number in (1, 2, 10)}
ROOT = "music"


def fill(folder: Path) -> dict[str, bytes]:
    """The album below `folder`; its files by name."""
    made = {name: random.Random(name).randbytes(size) for name, size in TRACKS.items()}
    (folder / ALBUM).mkdir(parents=True)
    for name, data in made.items():
        (folder / ALBUM / name).write_bytes(data)
    return made


@pytest.fixture
def users(tmp_path: Path) -> Iterator[tuple[Network, list[nicotine.Nicotine], dict[str, bytes]]]:
    if not nicotine.installed():
        pytest.skip("nicotine-plus is not installed: pip install --no-deps nicotine-plus")
    files = fill(tmp_path / ROOT)
    with ExitStack() as leaving:
        box = leaving.enter_context(network({}))
        made = [
            leaving.enter_context(nicotine.nicotine(box, name, tmp_path / ROOT, upload_kib_s=400, wait=False))
            for name in ("n1", "n2")
        ]
        for peer in made:
            peer.wait_until_ready()
        yield box, made, files


def folder_url(peer: nicotine.Nicotine) -> str:
    return peer.url(f"{ALBUM}/x").rpartition("x")[0]


def test_a_folder_comes_whole_in_the_order_of_its_tracks(
    shoal: Shoal, users: tuple[Network, list[nicotine.Nicotine], dict[str, bytes]], tmp_path: Path
) -> None:
    box, peers, files = users
    env = account(box, str(tmp_path / "state"))
    done = shoal.run("get", folder_url(peers[0]), "--json", **env)
    assert done.code == 0, done
    assert {path.name: path.read_bytes() for path in (shoal.folder / ALBUM).iterdir()} == files
    first, *_, last = done.events
    assert (first["event"], first["files"], first["size_bytes"]) == ("folder", 3, sum(TRACKS.values()))
    assert (last["event"], last["sealed"]) == ("folder_ended", 3)
    rows = {event["number"]: event["name"] for event in done.events if event["event"] == "file"}
    assert [rows[number] for number in (1, 2, 3)] == list(TRACKS), "numbers in names count by their value"
    again = shoal.run("get", folder_url(peers[0]), **env)
    assert again.code == 0
    assert again.stderr.count("already there") == 3


def test_a_search_finds_the_folder_that_most_users_have(
    shoal: Shoal, users: tuple[Network, list[nicotine.Nicotine], dict[str, bytes]], tmp_path: Path
) -> None:
    box, _, files = users
    done = shoal.run("swarm", "--folder", "quiet tides", "-o", "new", **account(box, str(tmp_path / "state")))
    assert done.code == 0, done
    assert {path.name: path.read_bytes() for path in (shoal.folder / "new" / ALBUM).iterdir()} == files
    assert f"3 of 3 files sealed in {shoal.folder}/new/{ALBUM}" in done.stderr


def test_an_interrupted_folder_goes_on_with_the_same_command(
    shoal: Shoal, users: tuple[Network, list[nicotine.Nicotine], dict[str, bytes]], tmp_path: Path
) -> None:
    box, peers, files = users
    env = account(box, str(tmp_path / "state"))
    begun = shoal.start("get", folder_url(peers[0]), "--json", env=env)
    begun.until(lambda event: event["event"] == "file")
    begun.signal(signal.SIGINT)
    assert begun.finish().code == 130
    done = shoal.run("get", folder_url(peers[0]), **env)
    assert done.code == 0, done
    assert {path.name: path.read_bytes() for path in (shoal.folder / ALBUM).iterdir()} == files


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("slsk://n1/no/such/",), 3, "n1"),
        (("slsk://n1/a/", "http://127.0.0.1/a"), 2, "goes with no other address"),
        (("slsk://n1//",), 2, "no folder in this slsk:// address"),
        (("slsk://n1/a/", "-o", "-"), 2, "a folder needs a folder"),
        (("slsk://n1/a/", "--checksum", "md5:" + 32 * "0"), 2, "--checksum is of one file"),
    ],
)
def test_a_folder_that_cannot_be_is_refused_with_words(
    shoal: Shoal, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    with network({}) as box:
        done = shoal.run("get", *words, **account(box, str(tmp_path / "state")))
    assert done.code == code, done
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_a_daemon_with_the_login_fetches_the_folder_to_where_it_is_wanted(
    shoal: Shoal, users: tuple[Network, list[nicotine.Nicotine], dict[str, bytes]]
) -> None:
    box, peers, files = users
    settings = {
        "USERNAME": "me", "PASSWORD": "any", "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1",
    }  # fmt: skip
    env = {"XDG_CONFIG_HOME": "/nowhere", **{f"SHOAL_SOULSEEK_{name}": word for name, word in settings.items()}}
    with running(shoal, **env) as daemon:
        daemon.process.run_s_max = 120.0
        eventually(lambda: bool(daemon.get("/api/v0/server")["isLoggedIn"]))
        env["SHOAL_STATE"] = str(daemon.state)
        done = shoal.run("get", folder_url(peers[0]), "-o", "here", **env)
        assert done.code == 0, done
        assert {path.name: path.read_bytes() for path in (shoal.folder / "here" / ALBUM).iterdir()} == files
        assert "has this Soulseek login" in done.stderr
        (listed,) = daemon.get("/api/v0/multisource/folders")
        assert (listed["state"], listed["fileCount"], listed["name"]) == ("sealed", 3, ALBUM)
        jobs = daemon.get(f"/api/v0/multisource/jobs?folderId={listed['id']}&order=oldest")
        assert [job["name"] for job in jobs] == list(TRACKS)
