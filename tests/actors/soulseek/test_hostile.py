"""Hostile peers: whatever they send, memory and time are bounded, it is logged once, and the session lives on."""

import contextlib
import logging
import os
import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.demo.content import Content
from actors.demo.soulseek.wire import messages as m
from actors.demo.soulseek.wire import primitives
from actors.soulseek import aioslsk_patches
from actors.soulseek import network as soulseek_network
from actors.soulseek.input_limits import PARENTS_MAX, UPLOADS_OF_ADDRESS_MAX, TroubleLog
from protocol.messages import SearchEnded, SearchHit, StartSearch, UploadOffered
from protocol.model.source_url import slsk_address, slsk_url
from tests.actors.soulseek.rig import Rig, read_body
from tests.real_peers.raw_downloader import RawDownloader
from tests.soulseek_network.behavior import Hostility
from tests.soulseek_network.network import Character, Network, network

SIZE = 200_000
CONTENT = Content(SIZE)
KINDS: tuple[Hostility, ...] = (
    "length_prefix", "zlib_bomb", "million_files", "garbage", "names", "sizes", "tickets", "mute_f", "flood",
)  # fmt: skip
GROWTH_BYTES_MAX = 160 << 20


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    characters: dict[str, Character] = {"honest": Character()}
    characters |= {kind: Character(hostile=kind) for kind in KINDS}
    with network(characters, CONTENT) as made:
        yield made


def test_among_hostile_peers_the_honest_one_is_found_and_read(box: Network, caplog: pytest.LogCaptureFixture) -> None:
    process = psutil.Process(os.getpid())
    with caplog.at_level(logging.WARNING), Rig(box.server_port) as rig:
        rig.online()
        before, cpu_before_s = process.memory_info().rss, sum(process.cpu_times()[:2])
        for number in range(3):
            rig.say(StartSearch(search=number, term=box.term, wait_s=2.0, reply_to="hub/pool"))
            hits = []
            while isinstance(heard := rig.hear(SearchHit, SearchEnded), SearchHit):
                hits.append(heard)
            paths = {hit.path for hit in hits if hit.peer == "honest"}
            assert box.remote_path("honest") in paths
            assert all(0 < hit.size_bytes < 1 << 50 for hit in hits)
            assert all(".." not in hit.path.split("\\") and "\0" not in hit.path for hit in hits)
            assert all(slsk_address(slsk_url(hit.peer, hit.path)) == (hit.peer, hit.path) for hit in hits)
        rig.ask(box, "honest")
        sock, handed = rig.take_turn()
        with sock:
            assert read_body(sock, 0, SIZE) == CONTENT.whole()
        rig.end(handed, stopped=False)
        assert process.memory_info().rss - before < GROWTH_BYTES_MAX
        assert sum(process.cpu_times()[:2]) - cpu_before_s < 10
        assert process.num_fds() < 700
    said = [record.getMessage() for record in caplog.records if record.name.startswith("actors.soulseek")]
    assert len(said) == len(set(said)) < 20, "each kind of trouble is said once"
    assert not [record for record in caplog.records if record.name.startswith("aioslsk")]


@pytest.mark.parametrize(
    "peer", ["names", "flood", *(pytest.param(peer, marks=pytest.mark.long) for peer in ("sizes", "tickets", "mute_f"))]
)
def test_what_a_hostile_peer_sends_honestly_is_still_taken(box: Network, peer: str) -> None:
    with Rig(box.server_port) as rig:
        rig.online()
        rig.say(StartSearch(search=1, term=box.term, wait_s=0.5, reply_to="hub/pool"))
        rig.hear(SearchEnded)
        rig.ask(box, peer)
        sock, _handed = rig.take_turn()
        with sock:
            assert read_body(sock, 0, SIZE) == CONTENT.whole()


def test_strangers_at_our_port_that_say_nothing_cannot_keep_the_others_out(
    box: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioslsk_patches, "MUTE_S_MIN", 0.0)
    with Rig(box.server_port) as rig:
        port = int(rig.state("online").detail.rpartition(" ")[2])
        strangers = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(200)]
        for stranger in strangers[:72]:  # more than 128 at once: the oldest have to go
            assert stranger.recv(1) == b""
        rig.ask(box, "honest")
        rig.hear(UploadOffered)
        strangers[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            strangers[-1].recv(1)
        for stranger in strangers:
            stranger.close()


def test_a_message_of_four_gigabytes_costs_no_memory(box: Network) -> None:
    with Rig(box.server_port) as rig:
        port = int(rig.state("online").detail.rpartition(" ")[2])
        for first in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
                stranger.sendall(first)
                assert stranger.recv(1) == b""


def test_an_offer_of_a_file_that_was_not_requested_reaches_no_job(box: Network) -> None:
    with Rig(box.server_port) as rig:
        rig.online()
        rig.say(StartSearch(search=1, term=box.term, wait_s=1.0, reply_to="hub/pool"))
        rig.hear(SearchEnded)
        with pytest.raises(queue.Empty):
            rig.hear(UploadOffered, s_max=1.0)


def test_wanted_uploads_are_bounded_for_each_address_and_those_of_users_who_left_are_forgotten(
    box: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soulseek_network, "SWEEP_S", 0.3)
    count = UPLOADS_OF_ADDRESS_MAX + 20
    for number in range(count):
        (tmp_path / f"wanted {number}.flac").write_bytes(bytes(1000))
    with Rig(box.server_port, username="giver", shared_folders=(str(tmp_path),), upload_slots=1) as rig:
        rig.online()
        assert box.shares("giver")
        with RawDownloader(box.server_port, "greedy") as greedy:
            files = [file.filename for file in greedy.search("wanted", 1)["giver"].results]
            files += [files[0].replace(files[0].rpartition("wanted")[2], f" {n}.flac") for n in range(count)]
            for path in dict.fromkeys(files):
                greedy.say("giver", m.PeerTransferQueue.Request(path))
            refused = 0
            while refused < 20:  # raises TimeoutError where fewer come
                failed = greedy.hear("giver", m.PeerTransferQueueFailed.Request, s_max=30.0)
                refused += failed.reason == "Too many files"
        box.wait_for("greedy", online=False)
        deadline_s = time.monotonic() + 60
        with RawDownloader(box.server_port, "modest") as modest:
            while time.monotonic() < deadline_s:
                modest.say("giver", m.PeerTransferQueue.Request(files[0]))
                with contextlib.suppress(TimeoutError):
                    modest.hear("giver", m.PeerTransferRequest.Request, s_max=1.0)
                    return
            raise AssertionError("there is still no room")


def test_of_thousands_of_potential_parents_a_few_are_called() -> None:
    troubles = TroubleLog()
    network = aioslsk_patches.BoundedNetwork.__new__(aioslsk_patches.BoundedNetwork)
    network.troubles, network._parents_s = troubles, -100.0
    called = []
    for _ in range(2):
        entries = [primitives.PotentialParent(f"u{number}", "127.0.0.1", 1) for number in range(5000)]
        message = m.PotentialParents.Response(entries)
        network._bound_parents(message)
        called.append(len(message.entries))
    assert called == [PARENTS_MAX, 0], "the second list comes too soon"
