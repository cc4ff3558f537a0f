"""Real Nicotine+ peers, and mirrors, whose files only seem to be one: what is sealed is the file of a source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from actors.demo.content import Content
from tests.e2e.daemon.daemons import eventually, running
from tests.e2e.daemon.test_daemon_login import login
from tests.e2e.program import Shoal
from tests.e2e.test_soulseek_words import account
from tests.http_mirrors.box import Character as Mirror
from tests.http_mirrors.box import mirrors
from tests.real_peers import nicotine
from tests.soulseek_network.network import Network, network

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not nicotine.installed(), reason="nicotine-plus is not installed"),
]

SIZE = 16 << 20
LIMIT_KIB_S = 1024
ONE, OTHER, THIRD = (Content(SIZE, seed=seed) for seed in (71, 72, 73))
SONG = "mixture song.flac"
EDITIONS = {"(europe)": ONE, "(usa)": OTHER, "(beta)": THIRD}


class Crowd:
    """Peers that share one folder each, named after it."""

    def __init__(self, folder: Path, leaving: ExitStack) -> None:
        self._folder = folder
        self._leaving = leaving
        self.box: Network = leaving.enter_context(network({}, passwords={"me": "box"}))
        self.peers: dict[str, nicotine.Nicotine] = {}

    def share(self, user: str, files: dict[str, Content]) -> None:
        place = self._folder / user
        place.mkdir()
        for name, content in files.items():
            with (place / name).open("wb") as file:
                content.write_to(file)
        peer = nicotine.nicotine(self.box, user, place, upload_kib_s=LIMIT_KIB_S, wait=False)
        self.peers[user] = self._leaving.enter_context(peer)

    def ready(self) -> None:
        for peer in self.peers.values():
            peer.wait_until_ready()


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    with ExitStack() as leaving:
        folder = tmp_path / "shares"
        folder.mkdir()
        yield Crowd(folder, leaving)


def whose(path: Path) -> list[Content]:
    return [content for content in (ONE, OTHER, THIRD) if content.matches(path)]


def test_of_two_users_with_other_bytes_under_one_name_and_size_one_users_file_comes(
    shoal: Shoal, crowd: Crowd, tmp_path: Path
) -> None:
    crowd.share("ann", {SONG: ONE})
    crowd.share("bob", {SONG: OTHER})
    crowd.ready()
    words = ("--json", "--patience", "0", "-o", "song.flac")
    environment = account(crowd.box, str(tmp_path / "state"), PASSWORD="box")
    done = shoal.run("swarm", "mixture song", *words, **environment)
    assert done.code == 0, done
    assert len(whose(shoal.folder / "song.flac")) == 1


def test_editions_of_one_size_are_files_of_their_own_and_each_comes_whole(
    shoal: Shoal, crowd: Crowd, tmp_path: Path
) -> None:
    for user in ("ann", "bob"):
        crowd.share(user, {f"game {edition}.iso": content for edition, content in EDITIONS.items()})
    crowd.ready()
    environment = account(crowd.box, str(tmp_path / "state"), PASSWORD="box")
    for edition, content in EDITIONS.items():
        words = ("--json", "--patience", "0", "-o", f"{edition}.iso")
        done = shoal.run("swarm", f"game {edition.strip('()')}", *words, **environment)
        assert done.code == 0, done
        assert whose(shoal.folder / f"{edition}.iso") == [content]
    done = shoal.run("swarm", "game", "--json", "--patience", "0", "-o", "any.iso", **environment)
    assert done.code == 0, done
    assert len(whose(shoal.folder / "any.iso")) == 1, "one of the three, whole"


def test_an_slskd_order_brings_the_file_of_its_user_though_others_have_other_bytes(shoal: Shoal, crowd: Crowd) -> None:
    crowd.share("xena", {SONG: ONE})
    for user in ("ann", "bob"):
        crowd.share(user, {SONG: OTHER})
    crowd.ready()
    environment = account(crowd.box, "state", PASSWORD="box") | {"SHOAL_DAEMON_PATIENCE_S": "0"}
    del environment["SHOAL_STATE"]
    with running(shoal, **environment) as daemon:
        eventually(lambda: login(daemon) == "online")
        path = crowd.peers["xena"].remote_path(SONG)
        transfers = f"/api/v0/transfers/downloads/{quote('xena')}"
        answer = daemon.client.post(transfers, json=[{"filename": path, "size": SIZE}])
        id = answer.json()["enqueued"][0]["id"]
        eventually(lambda: daemon.get(f"{transfers}/{id}")["state"].startswith("Completed"), wait_s=120)
        assert daemon.get(f"{transfers}/{id}")["state"] == "Completed, Succeeded"
        (row,) = daemon.get("/api/v0/multisource/jobs")
        assert whose(Path(row["path"])) == [ONE]


def test_with_a_checksum_three_honest_mirrors_of_four_are_enough(shoal: Shoal) -> None:
    honest = Mirror(rate_bytes_s=8e6)
    with mirrors({"odd": replace(honest, other_content=True), "a": honest, "b": honest, "c": honest}, ONE) as box:
        done = shoal.get(*box.urls, "-o", "x.bin", "--checksum", f"sha256:{ONE.sha256}")
        assert done.code == 0, done
        assert whose(shoal.folder / "x.bin") == [ONE]
        odd = next(row for row in done.ended["sources"] if row["source"] == box.url("odd"))
        assert odd["reason"], "it is said that it was odd"


def test_a_login_page_in_the_place_of_one_mirror_of_four_is_left_out(shoal: Shoal, tmp_path: Path) -> None:
    page = tmp_path / "login.html"
    page.write_text("<html><form>Please log in</form></html>")
    with (
        mirrors([Mirror()], page, file_name="content.bin") as lost,
        mirrors([Mirror(rate_bytes_s=8e6)] * 3, ONE) as box,
    ):
        done = shoal.get(*lost.urls, *box.urls, "-o", "x.bin")
        assert done.code == 0, done
        assert whose(shoal.folder / "x.bin") == [ONE]
        page_row = next(row for row in done.ended["sources"] if row["source"] == lost.urls[0])
        assert "bytes, the file has" in page_row["reason"]
