"""Fleets of real daemons with a real broker: one file by several nodes, deaths, a zombie, a broker that goes away."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.demo.page import API
from actors.fleet.brokers import Brokers, BucketServer
from tests.e2e.program import ROOT
from tests.fleet import Fleet, Site
from tests.fleet.refusing_bucket import RefusingBucket

MIB = 1 << 20
LIMITED = "[limits]\nrate_kib_s = 2048\n"
TTL_S = 20.0


class Place:
    """A broker, a folder as destination, and a site; nodes are added by tests."""

    def __init__(self, root: Path, leaving: ExitStack, *, size: int, more: str = LIMITED) -> None:
        self.out = root / "out"
        self.out.mkdir()
        self.size = size
        self.brokers = leaving.enter_context(Brokers(root / "broker")).start()
        self.site = leaving.enter_context(Site(size))
        self.fleet = leaving.enter_context(Fleet(root, self.brokers.urls, str(self.out), more=more))

    def nodes(self, count: int) -> None:
        for number in range(count):
            self.fleet.add(f"n{number + 1}")
        self.fleet.joined(count)

    def whole(self, name: str = "big.bin") -> bool:
        return (self.out / name).stat().st_size == self.size and not any((self.out / name).read_bytes()[:: 1 << 12])


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.long
@pytest.mark.timeout(240)
def test_two_nodes_fetch_one_file_and_no_file_is_replaced(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=48 * MIB)
    place.nodes(2)
    for what in ("drain", "undrain"):
        with pytest.raises(RuntimeError, match=r"404 .*the fleet has no node 'n3'"):
            place.fleet.ask("n1", "POST", f"{API}/fleet/nodes/n3/{what}")
    id = place.fleet.order("big.bin", [place.site.url])
    job = place.fleet.ended(id, within_s=120)
    assert (job["state"], job["partsStored"], job["parts"]) == ("sealed", 6, 6)
    assert place.whole()
    # Not fetched by each for itself, which is twice; one part of each is compared, and the last ones are raced for.
    assert place.site.served <= 1.75 * place.size
    again = place.fleet.order("big.bin", [place.site.url])
    assert place.fleet.ended(again, within_s=60)["state"] in ("sealed", "failed")
    assert place.whole()  # the name is taken: nothing is replaced
    for name in place.fleet.names:
        left = list((tmp_path / name / "state" / "fleet").glob("*"))
        assert not left, "bytes on their way are removed once they are there"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_node_that_keeps_the_folder_reads_the_parts_of_the_others(tmp_path: Path, leaving: ExitStack) -> None:
    """Nothing is mounted: each node has its own disk; the keeper dies once in the middle."""
    size = 64 * MIB
    brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
    site = leaving.enter_context(Site(size))
    kept = tmp_path / "kept"
    fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, f"node://n1{kept}", more=LIMITED))
    for number in range(3):
        fleet.add(f"n{number + 1}")
    fleet.joined(3)
    right = hashlib.sha256(bytes(size)).hexdigest()
    id = fleet.order("big.bin", [site.url], checksum=f"sha256:{right}")
    fleet.reached(id, parts=3, within_s=90)
    fleet.kill("n1", signal.SIGKILL)
    fleet.add("n1")
    job = fleet.ended(id, within_s=200)
    assert (job["state"], job["partsStored"]) == ("sealed", 8)
    assert (kept / "big.bin").stat().st_size == size
    assert len(job["nodes"]) > 1


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_work_of_a_node_that_is_killed_goes_on_elsewhere(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=64 * MIB)
    place.nodes(3)
    id = place.fleet.order("big.bin", [place.site.url])
    place.fleet.reached(id, parts=2, within_s=90)
    victim = next(name for name in place.fleet.names[1:] if name in place.fleet.job(id)["nodes"])
    place.fleet.kill(victim, signal.SIGKILL)
    job = place.fleet.ended(id, within_s=150)
    assert job["state"] == "sealed"
    assert place.whole()
    assert place.site.served <= place.size + 3 * 2 * 8 * MIB


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_node_that_slept_longer_than_its_leases_does_no_harm(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=64 * MIB)
    place.nodes(2)
    id = place.fleet.order("big.bin", [place.site.url])
    place.fleet.reached(id, parts=1, within_s=90)
    place.fleet.kill("n2", signal.SIGSTOP)
    slept_s = time.monotonic()
    job = place.fleet.ended(id, within_s=150)
    assert (job["state"], job["sealedBy"]) == ("sealed", "n1")
    before = os.stat(place.out / "big.bin").st_ino
    time.sleep(max(0.0, TTL_S + 2 - (time.monotonic() - slept_s)))
    place.fleet.kill("n2", signal.SIGCONT)
    place.fleet.joined(2)
    assert place.fleet.ended(id, within_s=10)["sealedBy"] == "n1"
    assert os.stat(place.out / "big.bin").st_ino == before
    assert place.whole()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_broker_that_dies_and_comes_back_costs_time_only(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=48 * MIB)
    place.nodes(2)
    id = place.fleet.order("big.bin", [place.site.url])
    place.fleet.reached(id, parts=1, within_s=90)
    (broker,) = place.brokers.services
    broker.kill()
    place.fleet.alone()
    broker.start()
    assert place.fleet.ended(id, within_s=120)["state"] == "sealed"
    assert place.whole()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_destination_that_is_not_there_is_said_and_waited_for(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=8 * MIB)
    place.nodes(1)
    place.out.rmdir()
    id = place.fleet.order("big.bin", [place.site.url])
    place.fleet.said(id, "No such file or directory", within_s=60)
    place.out.mkdir()
    assert place.fleet.ended(id, within_s=120)["state"] == "sealed"
    assert place.whole()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_bucket_that_refuses_is_named_and_jobs_go_on_by_themselves(tmp_path: Path, leaving: ExitStack) -> None:
    size = 20 * MIB
    brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
    server = leaving.enter_context(BucketServer(tmp_path / "s3", "test-bucket")).start()
    bucket = leaving.enter_context(RefusingBucket(server.url))
    site = leaving.enter_context(Site(size))
    fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, "s3://test-bucket", endpoint=bucket.url))
    fleet.add("n1")
    fleet.joined(1)
    refusals = (
        ("PUT", 507, "InsufficientStorage", "", "has no room"),
        ("PUT", 403, "AccessDenied", "Access Denied", "may not write"),
        ("PUT", 403, "AccessDenied", "Request has expired", "expired"),
        ("PUT", 503, "SlowDown", "", "SlowDown"),
        ("POST", 403, "AccessDenied", "Access Denied", "may not write"),
        ("POST", 404, "NoSuchBucket", "", "there is no bucket test-bucket"),
        ("POST", 403, "InvalidAccessKeyId", "", "the key of the bucket test-bucket is not known"),
    )
    for number, (method, status, code, words, said) in enumerate(refusals):
        bucket.refuse(method, status, code, words)
        id = fleet.order(f"file-{number}", [site.url])
        fleet.said(id, said, within_s=60)
        bucket.relent()
        assert fleet.ended(id, within_s=90)["state"] == "sealed", code
        assert (server.folder / f"file-{number}").stat().st_size == size
    bucket.refuse("PUT", 400, "BadDigest")
    id = fleet.order("damaged", [site.url])
    fleet.until(lambda: bucket.refused >= 2, 60, "no part was refused")
    bucket.relent()
    assert fleet.ended(id, within_s=90)["state"] == "sealed"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_file_of_several_nodes_is_compared_with_the_checksum_of_its_order(tmp_path: Path, leaving: ExitStack) -> None:
    place = Place(tmp_path, leaving, size=24 * MIB, more="")
    place.nodes(2)
    right = hashlib.sha256(bytes(place.size)).hexdigest()
    wrong = place.fleet.order("wrong.bin", [place.site.url], checksum=f"sha256:{'0' * 64}")
    job = place.fleet.ended(wrong, within_s=120)
    assert (job["state"], right in job["reason"]) == ("failed", True)
    assert not (place.out / "wrong.bin").exists()
    good = place.fleet.order("right.bin", [place.site.url], checksum=f"sha256:{right}")
    assert place.fleet.ended(good, within_s=120)["state"] == "sealed"
    assert place.whole("right.bin")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_demonstration_fetches_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "demo", "--fleet"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "content: the same as the original" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_daemon_says_what_is_missing_for_a_fleet(tmp_path: Path) -> None:
    config = tmp_path / "shoal.toml"
    config.write_text("[fleet]\nservers = ['nats://127.0.0.1:4222']\n")
    words: list[str | Path] = [sys.executable, ROOT / "run.py", "daemon", "--config", config]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "destination is missing under [fleet]" in done.stderr) == (2, True), done.stderr
    config.write_text("[fleet]\ndestination = '/tmp'\n")
    wrong = subprocess.run([*words, "--fleet", "http://b"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "nats://" in wrong.stderr
    assert json.dumps(wrong.stderr).count("error:") == 1
