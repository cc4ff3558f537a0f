"""The box is true when real clients take it for a network: aioslsk and Nicotine+, downloading and uploading."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.demo.soulseek.wire import messages as m
from actors.runtime.free_ports import free_ports
from tests.real_peers import aioslsk_peer as aioslsk
from tests.real_peers import nicotine as nicotine_plus
from tests.real_peers.aioslsk_peer import aioslsk_peer, client_for, on_loopback
from tests.real_peers.nicotine import Nicotine, nicotine
from tests.real_peers.raw_downloader import RawDownloader
from tests.soulseek_network.network import Character, Content, Network, network

CONTENT = Content(9_000_000, seed=11)
WHOLE = CONTENT.whole()
NAME = "box quartet tide.flac"
WAIT_S = 30.0

needs_aioslsk = pytest.mark.skipif(not aioslsk.installed(), reason="the whole of aioslsk is not installed")
needs_nicotine = pytest.mark.skipif(not nicotine_plus.installed(), reason="nicotine-plus is not installed")

CHARACTERS = {
    "direct": Character(),
    "firewalled": Character(firewalled=True),
    "veiled": Character(obfuscated=True),
    "double": Character(duplicate_f=True),
    "queue": Character(queue_before_us=2, queue_step_s=0.3),
    "denying": Character(deny="Too many files"),
    "unwilling": Character(tick_s=0.1, dies_after_bytes=1_000_000),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network(CHARACTERS, CONTENT) as made:
        yield made
        assert made.said() == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but the file."""
    shared = tmp_path / "shared"
    shared.mkdir()
    with (shared / NAME).open("wb") as file:
        CONTENT.write_to(file)
    return shared


@asynccontextmanager
async def logged_in(box: Network, name: str, downloads: Path) -> AsyncIterator[Any]:
    """A real client of the box, which shares nothing."""
    on_loopback()
    fields = {"server_port": box.server_port, "name": name, "port": free_ports(1)[0]}
    client = client_for(fields, downloads=downloads)
    await client.start()
    try:
        await client.login()
        yield client
    finally:
        await client.stop()


async def settled(client: Any, transfer: Any) -> str:
    """How the download ended, by the name of its state."""
    events, changed = importlib.import_module("aioslsk.events"), asyncio.Event()

    async def note(_: Any) -> None:
        changed.set()

    client.events.register(events.TransferProgressEvent, note)
    async with asyncio.timeout(WAIT_S):
        while (state := transfer.state.VALUE.name) not in ("COMPLETE", "FAILED", "ABORTED"):
            changed.clear()
            await changed.wait()
    return str(state)


@needs_aioslsk
@pytest.mark.parametrize("name", ["direct", "firewalled", "veiled", "double", "queue"])
def test_an_aioslsk_client_downloads_the_file_from(name: str, box: Network, tmp_path: Path) -> None:
    async def download() -> tuple[str, str]:
        async with logged_in(box, f"for_{name}", tmp_path) as client:
            transfer = await client.transfers.download(name, box.remote_path(name))
            return await settled(client, transfer), transfer.local_path

    state, path = asyncio.run(download())
    assert state == "COMPLETE"
    assert CONTENT.matches(Path(path))
    assert [sent.outcome for sent in box.counts()[name].transfers] == ["finished"]


@needs_aioslsk
def test_an_aioslsk_client_is_refused_with_the_reason(box: Network, tmp_path: Path) -> None:
    async def download() -> tuple[str, str]:
        async with logged_in(box, "refused", tmp_path) as client:
            transfer = await client.transfers.download("denying", box.remote_path("denying"))
            return await settled(client, transfer), transfer.fail_reason

    assert asyncio.run(download()) == ("FAILED", "Too many files")


@needs_aioslsk
def test_an_aioslsk_client_finds_the_file_at_every_uploader(box: Network, tmp_path: Path) -> None:
    async def search() -> dict[str, list[tuple[str, int]]]:
        events, found, enough = importlib.import_module("aioslsk.events"), {}, asyncio.Event()

        async def note(event: Any) -> None:
            found[event.result.username] = [(item.filename, item.filesize) for item in event.result.shared_items]
            if len(found) == len(CHARACTERS):
                enough.set()

        async with logged_in(box, "searcher", tmp_path) as client:
            client.events.register(events.SearchResultEvent, note)
            await client.searches.search(box.term)
            async with asyncio.timeout(WAIT_S):
                await enough.wait()
        return found

    found = asyncio.run(search())
    assert set(found) == set(CHARACTERS)
    assert all((box.remote_path(name), CONTENT.size) in items for name, items in found.items())


@needs_aioslsk
def test_an_aioslsk_uploader_serves_the_raw_downloader_over_the_boxs_server(folder: Path) -> None:
    with network({}) as box, aioslsk_peer(box, "real", folder) as peer, RawDownloader(box.server_port, "me") as me:
        (result,) = me.search("box quartet tide", 1)["real"].results
        me.ride("real", result.filename, 0, 100_000)[0].close()
        me.hear("real", m.PeerUploadFailed.Request)
        sock, got = me.ride("real", result.filename, 4_000_000, 5_000_000)
        assert got == WHOLE[4_000_000:]
        sock.close()
        me.say("real", m.PeerTransferQueue.Request("@@no\\such.flac"))
        assert me.hear("real", m.PeerTransferQueueFailed.Request).reason == "File not shared."
        assert [upload.path for upload in peer.uploads()] == [result.filename]


def ridden(me: RawDownloader, peer: Nicotine, offset: int) -> None:
    """One ride that is stopped after 100 kB, up to its UploadFailed."""
    sock, got = me.ride(peer.name, peer.remote_path(NAME), offset, 100_000)
    assert got == WHOLE[offset : offset + 100_000]
    sock.close()
    me.hear(peer.name, m.PeerUploadFailed.Request)


@pytest.mark.long
@needs_nicotine
def test_a_nicotine_uploader_is_found_ridden_stopped_and_ridden_again(folder: Path) -> None:
    with (
        network({"boxed": Character()}, CONTENT) as box,
        nicotine(box, "real", folder, upload_kib_s=2048) as peer,
        RawDownloader(box.server_port, "me") as me,
    ):
        found = me.search("box quartet tide", 2)
        assert [result.filename for result in found["real"].results] == [peer.remote_path(NAME)]
        ridden(me, peer, 0)
        ridden(me, peer, 3_333_333)
        sock, got = me.ride("real", peer.remote_path(NAME), 8_000_000, 1_000_000)
        assert got == WHOLE[8_000_000:]
        sock.close()
        me.say("real", m.PeerTransferQueue.Request(f"{peer.remote_path(NAME)}.not"))
        assert me.hear("real", m.PeerTransferQueueFailed.Request).reason == "File not shared."
        uploads = peer.uploads()
        assert (uploads.started, uploads.aborted) == (3, 2)


@pytest.mark.long
@needs_nicotine
def test_a_nicotine_uploader_reaches_a_downloader_that_cannot_be_called(folder: Path) -> None:
    with (
        network({}) as box,
        nicotine(box, "real", folder) as peer,
        RawDownloader(box.server_port, "me", reachable=False) as me,
    ):
        sock, got = me.ride("real", peer.remote_path(NAME), 77, 1_000_000)
        assert got == WHOLE[77:1_000_077]
        sock.close()
