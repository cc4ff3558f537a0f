"""Claim: a flood of the API without a key neither silences it nor locks others out. Prints "attack -> outcome".

    python -m tests.bench.api_attacks

Every attack runs against a real daemon from one address of loopback, and again from 250; meanwhile ``/health`` and a
request with the key are sent over new connections, every 50 ms for 3 s: how many were answered 200, and how slowly.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from tests.e2e.daemon.daemons import Daemon, running
from tests.e2e.program import Shoal

HEAD = b"POST /api/v0/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PASSWORD = "right horse battery"
CONFIG = f"""
[daemon]
log_level = "error"
[api]
username = "me"
password = "{PASSWORD}"
"""
WATCHED_S = 3.0


@dataclass(frozen=True, slots=True)
class Attack:
    """`count` connections that send `sent` and nothing more."""

    name: str
    count: int
    sent: bytes


FLOODS = (
    Attack("idle connections", 2000, b""),
    Attack("half-sent heads", 2000, b"GET /health HTTP/1.1\r\nHost: local"),
    Attack("half-sent bodies", 300, HEAD + b"Content-Length: 1000\r\n\r\n{"),
    Attack("half-sent bodies", 2000, HEAD + b"Content-Length: 1000\r\n\r\n{"),
    Attack("half-sent chunked bodies", 2000, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    Attack("unread answers", 1000, b"GET /page/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100),
    Attack("questions to other processes", 1000, b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10),
)


def main() -> int:
    """Exit code 0 when nothing was refused to others."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as leaving:
        work = Path(folder, "work")
        work.mkdir()
        shoal = Shoal(work)
        leaving.callback(shoal.clean_up)
        with running(shoal, config=CONFIG) as daemon:
            for attack in FLOODS:
                for addresses in (1, 250):
                    with flood(daemon, attack, addresses):
                        rows.append((f"{attack.count} {attack.name} of {addresses} addresses", *watched(daemon)))
            rows.append(("50 wrong passwords of one address", *locked_out(daemon, 1)))
            rows.append(("500 wrong passwords of 100 addresses", *locked_out(daemon, 100)))
    print("| attack | outcome |\n|---|---|")
    for name, _, words in rows:
        print(f"| {name} | {words} |")
    return 0 if all(fine for _, fine, _ in rows) else 1


@contextlib.contextmanager
def flood(daemon: Daemon, attack: Attack, addresses: int) -> Iterator[None]:
    """Hold the attack's connections open, however often the other side ends them."""
    to = urlsplit(daemon.url)
    with contextlib.ExitStack() as opened:
        for number in range(attack.count):
            sock = opened.enter_context(socket.socket())
            sock.settimeout(5.0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(OSError):  # closed for others: that is the outcome
                sock.bind((f"127.0.1.{number % addresses + 1}", 0))
                sock.connect((to.hostname, to.port))
                sock.setblocking(False)
                sock.send(attack.sent)
        yield


def watched(daemon: Daemon) -> tuple[bool, str]:
    """Return whether everything was answered meanwhile, and that in words."""
    asked = answered = 0
    took_ms = []
    until_s = time.monotonic() + WATCHED_S
    while time.monotonic() < until_s:
        for path, headers in (("/health", {}), ("/api/v0/multisource/jobs", {"X-API-Key": daemon.key})):
            begun_s, asked = time.perf_counter(), asked + 1
            with contextlib.suppress(httpx.TransportError):
                answered += httpx.get(daemon.url + path, headers=headers, timeout=5.0).status_code == 200
            took_ms.append((time.perf_counter() - begun_s) * 1000)
        time.sleep(0.05)
    words = f"{answered} of {asked} requests of others answered, median {statistics.median(took_ms):.0f} ms"
    return answered == asked, f"{words}, longest {max(took_ms):.0f} ms"


def locked_out(daemon: Daemon, addresses: int) -> tuple[bool, str]:
    """Send wrong passwords, then the right one from an address that was never seen."""
    shown = [log_in(daemon, f"127.0.2.{number % addresses + 1}", "wrong") for number in range(max(50, addresses * 5))]
    right = log_in(daemon, f"127.0.3.{addresses}", PASSWORD)
    words = f"{shown.count(401)} looked at, {shown.count(429)} made to wait; another address logs in: {right}"
    return right == 200 and shown.count(429) > 0, words


def log_in(daemon: Daemon, address: str, password: str) -> int:
    body = json.dumps({"username": "me", "password": password})
    headers = {"Content-Type": "application/json"}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.post(f"{daemon.url}/api/v0/session", content=body, headers=headers).status_code


if __name__ == "__main__":
    sys.exit(main())
