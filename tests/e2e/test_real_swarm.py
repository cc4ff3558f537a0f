"""The whole program against what people really run: two Nicotine+ and an aioslsk client hold the same file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.demo.content import Content
from tests.e2e.program import Shoal
from tests.e2e.test_soulseek_words import account, rows_of
from tests.http_mirrors.box import Character as Mirror
from tests.http_mirrors.box import mirrors
from tests.real_peers import aioslsk_peer, nicotine
from tests.soulseek_network.network import Network, network

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

CONTENT = Content(48 << 20, seed=12)
NAME = "Real Song.flac"
LIMIT_KIB_S = 2048


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[tuple[Network, list[nicotine.Nicotine]]]:
    """New peers for every test: an uploader remembers what a test broke off."""
    if not nicotine.installed():
        pytest.skip("nicotine-plus is not installed: pip install --no-deps nicotine-plus")
    folder = tmp_path / "music"
    folder.mkdir()
    with (folder / NAME).open("wb") as file:
        CONTENT.write_to(file)
    with ExitStack() as leaving:
        box = leaving.enter_context(network({}))
        made = [
            leaving.enter_context(nicotine.nicotine(box, name, folder, upload_kib_s=LIMIT_KIB_S, wait=False))
            for name in ("n1", "n2")
        ]
        leaving.enter_context(aioslsk_peer.aioslsk_peer(box, "a1", folder))
        for peer in made:
            peer.wait_until_ready()
        yield box, made


def test_a_search_finds_them_all_and_every_one_gives(
    shoal: Shoal, crowd: tuple[Network, list[nicotine.Nicotine]], tmp_path: Path
) -> None:
    box, peers = crowd
    done = shoal.run(
        "swarm", "real song", "--json", "--patience", "0", "-o", "song.flac", **account(box, str(tmp_path / "state"))
    )
    assert (done.code, done.ended["state"]) == (0, "sealed"), done
    assert CONTENT.matches(shoal.folder / "song.flac")
    rows = rows_of(done.ended)
    assert set(rows) == {"n1", "n2", "a1"}
    assert sum(row["bytes"] for row in rows.values()) == CONTENT.size
    assert all(row["stops"] <= 3 for row in rows.values())
    failed = sum(peer.uploads().aborted for peer in peers)
    assert failed <= rows["n1"]["stops"] + rows["n2"]["stops"], "no one sees more failed uploads than we count"


def test_an_interrupted_swarm_goes_on_with_a_mirror_beside_the_users(
    shoal: Shoal, crowd: tuple[Network, list[nicotine.Nicotine]], tmp_path: Path
) -> None:
    box, peers = crowd
    surroundings = account(box, str(tmp_path / "state"))
    urls = [peer.url(NAME) for peer in peers]
    running = shoal.begun(*urls, "-o", "song.flac", **surroundings)
    running.until_stored(40)
    with shoal.killed(running):
        running.kill_all()
    running.finish()
    with mirrors({"m": Mirror(rate_bytes_s=2e6)}, CONTENT) as web:
        done = shoal.get(*urls, *web.urls, "-o", "song.flac", **surroundings)
    assert (done.code, done.ended["state"]) == (0, "sealed"), done
    assert CONTENT.matches(shoal.folder / "song.flac")
    assert done.ended["bytes_resumed"] >= 40 * (128 << 10)
