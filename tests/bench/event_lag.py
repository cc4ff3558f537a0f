"""Claim: what was stored is reported within 250 ms, and a reader that does not read slows no download.

    python -m tests.bench.event_lag [--seconds 20]

A daemon fetches from three mirrors. When its records file grows, chunks have just been stored; the next progress event
with more bytes than any before is the word of it. Measured is the time between the two, both seen from here, over a
stream that is read. Then the same download with and without thirty streams that are opened and never read: paired, in
turns; seconds of the one by seconds of the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring
from tests.e2e.daemon.daemons import Daemon, running
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

ROOT = "/api/v0/multisource"
RATE_BYTES_S = 2e6
STREAMS = 30
CONFIG = """
[daemon]
allow_private_sources = true
log_level = "error"
"""


def ordered(daemon: Daemon, name: str, size: int, urls: list[str], *, wait: bool = False) -> Any:
    order = {"filename": name, "fileSize": size, "sources": [{"url": url} for url in urls]}
    answer = daemon.client.post(f"{ROOT}/download?wait={wait}", json=order, timeout=120)
    answer.raise_for_status()
    return answer.json()


def stored_at(records: Path, ended: threading.Event, into: list[float]) -> None:
    """When the records grew, each time."""
    size = 0
    while not ended.is_set():
        with contextlib.suppress(FileNotFoundError):
            now = records.stat().st_size
            if now > size:
                size = now
                into.append(time.monotonic())
        time.sleep(0.001)


def progress(lines: Iterator[str]) -> Iterator[tuple[float, str, int]]:
    """``(when it was read, kind, stored bytes)`` of every event."""
    for line in lines:
        if line.startswith("data: "):
            event = json.loads(line[6:])
            yield time.monotonic(), event["type"], int(event["data"].get("storedBytes") or 0)


def lags(daemon: Daemon, urls: list[str], size: int) -> list[float]:
    """Seconds from each growth of the records to the next event that tells of more."""
    grown: list[float] = []
    reported: list[float] = []
    ended = threading.Event()
    downloads = daemon.shoal.folder.parent / "downloads"
    watcher = threading.Thread(target=stored_at, args=(downloads / "lag.bin.part.records", ended, grown))
    watcher.start()
    try:
        with (
            httpx.Client(base_url=daemon.url, headers=daemon.client.headers, timeout=60) as client,
            client.stream("GET", "/api/v0/events/stream") as stream,
        ):
            lines = stream.iter_lines()
            next(lines)
            ordered(daemon, "lag.bin", size, urls)
            most = 0
            for at_s, kind, stored in progress(lines):
                if kind == "job.sealed":
                    reported.append(at_s)
                    break
                if stored > most:
                    most = stored
                    reported.append(at_s)
    finally:
        ended.set()
        watcher.join()
    return [min(at - grew for at in reported if at >= grew) for grew in grown if any(at >= grew for at in reported)]


@contextlib.contextmanager
def unread(daemon: Daemon) -> Iterator[None]:
    """Streams that no one reads."""
    address = urlsplit(daemon.url)
    head = f"GET /api/v0/events/stream HTTP/1.1\r\nHost: {address.netloc}\r\nX-API-Key: "
    with contextlib.ExitStack() as opened:
        for _ in range(STREAMS):
            sock = opened.enter_context(socket.create_connection((address.hostname, address.port or 0)))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(head.encode() + str(daemon.client.headers["X-API-Key"]).encode() + b"\r\n\r\n")
        yield


def main() -> int:
    """Exit code 0 when both claims hold."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--runs", type=int, default=5)
    asked = options.parse_args()
    size = int(3 * RATE_BYTES_S * asked.seconds)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        shoal = Shoal(work)
        with (
            contextlib.closing(contextlib.ExitStack()) as leaving,
            mirrors([Character(rate_bytes_s=RATE_BYTES_S)] * 3, Content(size, seed=4)) as box,
            mirrors([Character(rate_bytes_s=20e6)] * 3, Content(100_000_000, seed=4)) as quick,
            running(shoal, config=CONFIG) as daemon,
        ):
            leaving.callback(shoal.clean_up)
            found = sorted(lags(daemon, list(box.urls), size))
            print(f"{len(found)} times something was stored; median {1000 * statistics.median(found):.0f} ms")
            good = measuring.verdict("from stored to reported, longest, ms", 1000 * found[-1], at_most=250)
            ratios = []
            for number in range(asked.runs):
                alone = ordered(daemon, f"alone-{number}", 100_000_000, list(quick.urls), wait=True)["activeS"]
                with unread(daemon):
                    beside = ordered(daemon, f"beside-{number}", 100_000_000, list(quick.urls), wait=True)["activeS"]
                ratios.append(beside / alone)
            shown = f"seconds beside {STREAMS} streams no one reads / alone, median"
            return 0 if measuring.verdict(shown, statistics.median(ratios), at_most=1.05) and good else 1


if __name__ == "__main__":
    sys.exit(main())
