"""Fleets of real daemons that fetch one file from users of Soulseek: divided over the nodes, each user asked by one."""

import hashlib
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from actors.fleet.brokers import Brokers
from protocol.model.fleet.names import rendezvous
from protocol.model.integrity.metalink import Pieces, write_metalink
from tests.fleet import Fleet
from tests.http_mirrors.box import Character as MirrorCharacter
from tests.http_mirrors.box import mirrors
from tests.soulseek_network.network import Character, Content, Network, network

MIB: Final = 1 << 20
PART: Final = 8 * MIB
NODES: Final = ("n1", "n2")
USERS: Final = {node: [f"user{at}" for at in range(20) if rendezvous(f"user{at}", NODES) == node][:2] for node in NODES}
"""Two users that fall to each node."""


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Place:
    """A broker, a folder as destination, users of Soulseek, and two nodes that are logged in."""

    def __init__(self, root: Path, leaving: ExitStack, content: Content, users: dict[str, Character]) -> None:
        self.out = root / "out"
        self.out.mkdir()
        brokers = leaving.enter_context(Brokers(root / "broker")).start()
        self.box: Network = leaving.enter_context(network(users, content))
        self.fleet = leaving.enter_context(Fleet(root, brokers.urls, str(self.out)))
        logged_in(self.fleet, self.box)


def logged_in(fleet: Fleet, box: Network) -> None:
    """Start both nodes, each with a login of its own."""
    for node in NODES:
        account = (
            f'[soulseek]\nusername = "{node}"\npassword = "any"\nserver = "{box.server_host}"\n'
            f'port = {box.server_port}\nbind = "127.0.0.1"\nsharing = false\n'
        )
        fleet.add(node, more=account)
    fleet.joined(2)
    fleet.until(lambda: all("slsk" in node["schemes"] for node in fleet.view()["nodes"]), 60, "logged in")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_users_are_divided_over_the_nodes_and_each_is_asked_by_one(tmp_path: Path, leaving: ExitStack) -> None:
    content = Content(64 * MIB, seed=7)
    users = {name: Character(rate_bytes_s=4e6) for names in USERS.values() for name in names}
    place = Place(tmp_path, leaving, content, users)
    id = place.fleet.order("tide.flac", place.box.urls)
    job = place.fleet.ended(id, within_s=200)
    assert (job["state"], job["partsStored"]) == ("sealed", 8)
    assert content.matches(place.out / "tide.flac")
    counts = place.box.counts()
    for node, names in USERS.items():
        assert any(counts[name].bytes_sent for name in names), f"{node} asked none of its users"
        for name in names:
            assert {sent.user for sent in counts[name].transfers} <= {node}, "a user heard two logins"
            assert counts[name].stops <= 5, counts[name]
    assert sum(count.bytes_sent for count in counts.values()) <= 1.6 * content.size


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_death_costs_a_part_of_each_user_not_the_window_and_is_shown(tmp_path: Path, leaving: ExitStack) -> None:
    content = Content(192 * MIB, seed=10)
    users = {name: Character(rate_bytes_s=3e6) for names in USERS.values() for name in names}
    place = Place(tmp_path, leaving, content, users)
    id = place.fleet.order("tide.flac", place.box.urls)
    place.fleet.reached(id, parts=14, within_s=150)  # of 24, most of them in windows that are not complete
    place.fleet.kill("n2", signal.SIGKILL)
    place.fleet.until(lambda: bool(place.fleet.view()["gone"]), 60, "the dead node is not shown")
    assert [(node["name"], node["jobs"]) for node in place.fleet.view()["gone"]] == [("n2", ["tide.flac"])]
    job = place.fleet.ended(id, within_s=200)
    assert job["state"] == "sealed", job
    assert content.matches(place.out / "tide.flac")
    sent = sum(count.bytes_sent for count in place.box.counts().values())
    assert sent <= content.size + 5 * PART, f"{(sent - content.size) / PART:.1f} parts were sent again"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_user_with_another_file_is_found_where_two_nodes_meet(tmp_path: Path, leaving: ExitStack) -> None:
    """The users of one node have the file that was named first, the only one of the other has another."""
    content = Content(64 * MIB, seed=8)
    honest, odd = USERS["n1"], USERS["n2"][0]
    users = {name: Character(rate_bytes_s=6e6) for name in honest}
    place = Place(tmp_path, leaving, content, {**users, odd: Character(rate_bytes_s=6e6, other_content=True)})
    id = place.fleet.order("tide.flac", place.box.urls, size=content.size)
    job = place.fleet.ended(id, within_s=250)
    assert job["state"] == "sealed"
    assert content.matches(place.out / "tide.flac")
    why = place.fleet.why(id)
    assert any(odd in line and "other bytes" in line for line in why), why


@pytest.mark.long
@pytest.mark.timeout(500)
def test_the_pieces_of_a_metalink_prove_the_parts_of_every_node(tmp_path: Path, leaving: ExitStack) -> None:
    """One of two mirrors sends a wrong byte every few megabytes: its pieces are fetched again from the other one."""
    content = Content(48 * MIB, seed=9)
    whole = content.whole()
    digests = b"".join(hashlib.sha256(whole[at : at + MIB]).digest() for at in range(0, len(whole), MIB))
    odd, honest = MirrorCharacter(rate_bytes_s=5e6, flip_every=3_000_000), MirrorCharacter(rate_bytes_s=5e6)
    box = leaving.enter_context(mirrors({"odd": odd, "honest": honest}, content))
    document = tmp_path / "file.meta4"
    pieces = Pieces("sha256", MIB, digests)
    document.write_text(write_metalink("file.bin", content.size, checksums=[], pieces=pieces, urls=box.urls))
    plain = MirrorCharacter(content_type="text/plain")
    server = leaving.enter_context(mirrors([plain], document, file_name="file.meta4"))
    out = tmp_path / "out"
    out.mkdir()
    brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
    fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, str(out)))
    for node in NODES:
        fleet.add(node)
    fleet.joined(2)
    job = fleet.ended(fleet.order("file.bin", server.urls), within_s=200)
    assert job["state"] == "sealed", job
    assert len(job["nodes"]) == 2
    assert content.matches(out / "file.bin")
    left = [path.name for node in NODES for path in (tmp_path / node / "state/fleet").glob("*")]
    fleet.until(lambda: not any(list((tmp_path / node / "state/fleet").glob("*")) for node in NODES), 30, f"{left}")
    box.die("honest")
    alone = fleet.ended(fleet.order("odd.bin", server.urls), within_s=280)
    assert alone["state"] == "failed", "no source has the right bytes"
    assert not (out / "odd.bin").exists()
