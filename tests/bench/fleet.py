"""Figures of a fleet on one machine: real daemons, broker and destination.

    python -m tests.bench.fleet big       four nodes, each limited, one sparse file into S3: share of the sum of rates
    python -m tests.bench.fleet many      many small jobs over four nodes: balance, order -> started
    python -m tests.bench.fleet failover  a node is killed: time until its work goes on elsewhere
    python -m tests.bench.fleet died      a node is killed in a window of Soulseek users: what they send again

The S3 server is one process of Python on the same two cores, so `--rate` is chosen with it in mind.
"""

import argparse
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from actors.demo.page import API
from actors.fleet.brokers import Brokers, BucketServer
from protocol.model.fleet.names import part_bytes_of
from tests.e2e.test_fleet_users import USERS, Place
from tests.fleet import Fleet, Site
from tests.soulseek_network.network import Character, Content

MEGABYTE: Final = 1_000_000


@contextlib.contextmanager
def _fleet(nodes: int, *, folder: bool, more: str = "") -> Iterator[tuple[Fleet, Path]]:
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as name, contextlib.ExitStack() as leaving:
        root = Path(name)
        brokers = leaving.enter_context(Brokers(root / "broker")).start()
        if folder:
            (root / "out").mkdir()
            where, endpoint, out = str(root / "out"), "", root / "out"
        else:
            server = leaving.enter_context(BucketServer(root / "s3", "bench-bucket")).start()
            where, endpoint, out = "s3://bench-bucket", server.url, server.folder
        fleet = leaving.enter_context(Fleet(root, brokers.urls, where, endpoint=endpoint, more=more))
        for number in range(nodes):
            fleet.add(f"n{number + 1}")
        fleet.joined(nodes)
        yield fleet, out


def _cpu_s() -> float:
    """Return the seconds of CPU that this process, its descendants and what they have waited for have used."""
    here = psutil.Process()
    used = 0.0
    for each in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(each.cpu_times()[:4])
    return used


def big(args: argparse.Namespace) -> None:
    """One large file by several limited nodes."""
    rate = int(args.rate * MEGABYTE)
    size = args.mib << 20
    limits = f"[limits]\nrate_kib_s = {rate // 1024}\n"
    with Site(size) as site, _fleet(args.nodes, folder=args.folder, more=limits) as (fleet, out):
        parts = -(-size // part_bytes_of(size))
        busy_s = _cpu_s()
        begun_s = time.monotonic()
        id = fleet.order("big.bin", [site.url], size=size)
        fleet.reached(id, parts=parts, within_s=30 + 4 * size / (rate * args.nodes))
        there_s = time.monotonic() - begun_s
        job = fleet.ended(id, within_s=300)  # one process of Python copies the parts together
        took_s = time.monotonic() - begun_s
        busy = (_cpu_s() - busy_s) / took_s / (os.cpu_count() or 1)
        moved = sum(fleet.ask(name, "GET", f"{API}/fleet")["busBytes"] for name in fleet.names)
        assert job["state"] == "sealed", job
        assert (out / "big.bin").stat().st_size == size
        share = size / took_s / (rate * args.nodes)
        print(f"{args.nodes} nodes x {args.rate} MB/s, {args.mib} MiB: {took_s:.1f} s, {share:.3f} of the sum")
        print(f"all parts stored after {there_s:.1f} s, {share * took_s / there_s:.3f} of the sum; then it is sealed")
        print(f"this run's processes were busy for {100 * busy:.0f} % of all cores")
        print(f"through the broker, all nodes: {moved} bytes, {100 * moved / size:.3f} % of the file")
        print(f"served by the source: {site.served / size:.3f} of the file")


def many(args: argparse.Namespace) -> None:
    """Many small jobs: how even, and how soon each starts."""
    with Site(args.kib << 10) as site, _fleet(args.nodes, folder=True) as (fleet, _out):
        begun_s = time.monotonic()
        waits: list[float] = []

        def order(number: int) -> None:
            sent_s = time.monotonic()
            fleet.order(f"job-{number}.bin", [f"{site.url}?{number}"], nodes=1, size=args.kib << 10)
            waits.append(site.asked(f"?{number}", within_s=60) - sent_s)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(order, range(args.jobs)))
        orders_s = time.monotonic() - begun_s
        until_s = time.monotonic() + 30 + args.jobs
        while time.monotonic() < until_s:
            rows = fleet.jobs()
            if all(row["state"] in ("sealed", "failed") for row in rows) and len(rows) >= min(args.jobs, 1000):
                break
            time.sleep(0.5)
        took_s = time.monotonic() - begun_s
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["sealedBy"] or "none"] = counts.get(row["sealedBy"] or "none", 0) + 1
        even = len(rows) / args.nodes
        worst = max(abs(count - even) / even for count in counts.values())
        print(f"{args.jobs} jobs over {args.nodes} nodes: ordered in {orders_s:.1f} s, all ended after {took_s:.1f} s")
        cuts = quantiles(waits, n=20)
        print(f"order -> first request to the source: median {cuts[9]:.2f} s, p95 {cuts[18]:.2f} s")
        print(f"sealed by {json.dumps(counts, sort_keys=True)}: at most {100 * worst:.0f} % from even")


def starts(args: argparse.Namespace) -> None:
    """Order -> started, with free places: jobs one after another, until a source is asked for bytes of it."""
    with Site(args.kib << 10) as site, _fleet(args.nodes, folder=True) as (fleet, _out):
        waits = []
        for number in range(args.jobs):
            begun_s = time.monotonic()
            fleet.order(f"job-{number}.bin", [f"{site.url}?{number}"], nodes=1, size=args.kib << 10)
            waits.append(site.asked(f"?{number}", within_s=30) - begun_s)
        cuts = quantiles(waits, n=20)
        print(f"order -> first request to the source: median {cuts[9]:.2f} s, p95 {cuts[18]:.2f} s of {len(waits)}")


def failover(args: argparse.Namespace) -> None:
    """A node that is not the leader is killed in the middle; then the leader."""
    size = args.mib << 20
    rate = int(args.rate * MEGABYTE)
    limits = f"[limits]\nrate_kib_s = {rate // 1024}\n"
    with Site(size) as site, _fleet(args.nodes, folder=True, more=limits) as (fleet, out):
        id = fleet.order("big.bin", [site.url], size=size)
        fleet.reached(id, parts=args.nodes + 1, within_s=120)
        leader = fleet.view()["leader"]
        for victim in (next(name for name in fleet.names if name != leader), leader):
            fleet.kill(victim, signal.SIGKILL)
            killed_s = time.monotonic()
            if victim == leader:
                after = fleet.another_leader(leader, within_s=60)
                print(f"another leader after {after - killed_s:.1f} s")
            else:
                print(f"killed {victim}, a rider")
        job = fleet.ended(id, within_s=120 + 4 * size / rate)
        print(f"{job['state']} by {job['sealedBy']}, {time.monotonic() - killed_s:.1f} s after the last kill")
        print(f"served by the source: {site.served / size:.3f} of the file")
        assert (out / "big.bin").stat().st_size == size


def died(args: argparse.Namespace) -> None:
    """One of two nodes is killed for good in the middle of its window of Soulseek users: what is sent again."""
    content = Content(args.mib << 20, seed=10)
    part = part_bytes_of(content.size)
    users = {name: Character(rate_bytes_s=args.rate * MEGABYTE) for names in USERS.values() for name in names}
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as name, contextlib.ExitStack() as leaving:
        place = Place(Path(name), leaving, content, users)

        def sent() -> int:
            return sum(count.bytes_sent for count in place.box.counts().values())

        id = place.fleet.order("tide.flac", place.box.urls)
        place.fleet.until(lambda: sent() > 0.6 * content.size, 300, "60 % are sent")
        place.fleet.kill("n2", signal.SIGKILL)
        killed_s = time.monotonic()

        def taken() -> bool:
            counts = place.box.counts()
            return any(sent.user == "n1" for name in USERS["n2"] for sent in counts[name].transfers)

        place.fleet.until(taken, 100, "the users of the dead node are not asked")
        print(f"the dead node's users are asked by the other after {time.monotonic() - killed_s:.1f} s")
        job = place.fleet.ended(id, within_s=300)
        right = content.matches(place.out / "tide.flac")
        print(f"{job['state']} {time.monotonic() - killed_s:.1f} s after the kill, right: {right}")
        print(f"{(sent() - content.size) / part:.1f} parts of {content.size // part} were sent again")
        stops = {name: count.stops for name, count in place.box.counts().items()}
        moved = place.fleet.ask("n1", "GET", f"{API}/fleet")["busBytes"]
        print(f"stops {stops}; through the broker at the node that is left: {100 * moved / content.size:.3f} %")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("big", "many", "starts", "failover", "died"))
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rate", type=float, default=25.0, help="MB/s of each node, of each user")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--kib", type=int, default=64)
    parser.add_argument("--folder", action="store_true", help="a shared folder in the place of S3")
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    {"big": big, "many": many, "starts": starts, "failover": failover, "died": died}[args.what](args)


if __name__ == "__main__":
    main()
