"""Partition of a fleet by real network namespaces: one node and one of three brokers lose the other two of each."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.fleet.brokers import Brokers
from tests.fleet import Fleet, Site

MIB = 1 << 20
SIZE = 192 * MIB
LIMITED = "[limits]\nrate_kib_s = 2048\n"
BUS, SITE = "10.97.0", "10.96.0"
"""Networks of the two links: the one that is cut, and the one to the source, which stays."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@pytest.fixture
def apart() -> Iterator[str]:
    """A namespace with two links to this one: its name, which is also the beginning of the links' names here."""
    name = f"shf{os.getpid() % 100_000}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces need root and ip")
    try:
        ip("-n", name, "link", "set", "lo", "up")
        for link, network in (("b", BUS), ("s", SITE)):
            ip("link", "add", name + link, "type", "veth", "peer", "name", link, "netns", name)
            ip("addr", "add", f"{network}.1/24", "dev", name + link)
            ip("link", "set", "dev", name + link, "up")
            ip("-n", name, "addr", "add", f"{network}.2/24", "dev", link)
            ip("-n", name, "link", "set", "dev", link, "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_smaller_side_fetches_on_and_writes_nothing_and_the_file_is_sealed_once(tmp_path: Path, apart: str) -> None:
    inside = ("ip", "netns", "exec", apart)
    out = tmp_path / "out"
    out.mkdir()
    places = [(f"{BUS}.2", inside), (f"{BUS}.1", ()), (f"{BUS}.1", ())]
    with ExitStack() as leaving:
        brokers = leaving.enter_context(Brokers(tmp_path / "broker", count=3, places=places)).start()
        site = leaving.enter_context(Site(SIZE, host=f"{SITE}.1"))
        more = "replicas = 3\n" + LIMITED
        fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, str(out), more=more))
        fleet.add("n2")
        fleet.add("n3")
        fleet.add("n1", before=inside)
        fleet.joined(3)
        id = fleet.order("big.bin", [site.url])
        fleet.reached(id, parts=3, within_s=90)
        ip("link", "set", "dev", f"{apart}b", "down")
        before = site.served_to[f"{SITE}.2"]
        fleet.until(lambda: len(fleet.view()["nodes"]) == 2, 60, "the majority has not missed the node")
        assert site.served_to[f"{SITE}.2"] > before, "it fetched on what it had been given"
        job = fleet.ended(id, within_s=150)
        assert (job["state"], job["sealedBy"] in ("n2", "n3")) == ("sealed", True)
        inode = os.stat(out / "big.bin").st_ino
        ip("link", "set", "dev", f"{apart}b", "up")
        fleet.joined(3, within_s=90)
        fleet.until(lambda: not list((tmp_path / "n1/state/fleet").glob("*")), 60, "its surplus was not dropped")
        assert fleet.ended(id, within_s=10)["sealedBy"] == job["sealedBy"]
        assert os.stat(out / "big.bin").st_ino == inode
        assert (out / "big.bin").stat().st_size == SIZE
        assert site.served <= 1.6 * SIZE  # two windows of the smaller side, parts read again, what two had at the end
