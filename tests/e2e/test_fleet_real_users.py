"""A fleet of two real daemons, each with a login of its own, and one file from real Nicotine+ users of both.

Into a shared folder, and by presigned addresses into a bucket of an S3 server on loopback.
"""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from actors.fleet.brokers import Brokers, BucketServer
from tests.e2e.test_fleet_users import MIB, NODES, USERS, logged_in
from tests.fleet import Fleet
from tests.real_peers import nicotine
from tests.soulseek_network.network import Content, network

CONTENT: Final = Content(48 * MIB, seed=12)
NAME: Final = "Fleet Song.flac"
RATES_KIB_S: Final = (2048, 800)
"""Of the two users that fall to each node."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not nicotine.installed(), reason="nicotine-plus is not installed"),
]


@pytest.mark.parametrize("into", ["folder", "bucket"])
def test_real_users_of_two_nodes_send_one_file_and_both_ledgers_say_what_the_users_say(
    into: str, tmp_path: Path
) -> None:
    music, out = tmp_path / "music", tmp_path / "out"
    music.mkdir()
    out.mkdir()
    with (music / NAME).open("wb") as file:
        CONTENT.write_to(file)
    with ExitStack() as leaving:
        box = leaving.enter_context(network({}))
        peers = {
            name: leaving.enter_context(nicotine.nicotine(box, name, music, upload_kib_s=rate, wait=False))
            for names in USERS.values()
            for name, rate in zip(names, RATES_KIB_S, strict=True)
        }
        brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
        if into == "bucket":
            server = leaving.enter_context(BucketServer(tmp_path / "s3", "song-bucket")).start()
            fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, "s3://song-bucket", endpoint=server.url))
            out = server.folder
        else:
            fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, str(out)))
        for peer in peers.values():
            peer.wait_until_ready()
        logged_in(fleet, box)
        job = fleet.ended(fleet.order(NAME, [peer.url(NAME) for peer in peers.values()]), within_s=250)
        assert job["state"] == "sealed", job
        assert CONTENT.matches(out / NAME)
        for node, names in USERS.items():
            heard = {name: set(re.findall(r"Upload started: user (\w+)", peers[name].log())) for name in names}
            assert set().union(*heard.values()) == {node}, f"others than {node} asked its users, or none: {heard}"

        def same() -> bool:
            counted = dict.fromkeys(peers, 0)
            for node in NODES:
                for stop in fleet.ask(node, "GET", "/api/v0/multisource/stops"):
                    counted[stop["username"]] += stop["count"]
            return counted == {name: peer.uploads().aborted for name, peer in peers.items()}

        fleet.until(same, 60, "ledgers that say what the users' own logs say")
        assert all(peer.uploads().aborted <= 5 for peer in peers.values()), [peer.uploads() for peer in peers.values()]
