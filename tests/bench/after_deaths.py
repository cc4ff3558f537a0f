"""Seconds from ``kill -9`` of everything but the daemon's front until each of four users' bytes come again.

Users are real headless Nicotine+ on loopback, of 2048, 800, 400 and 164 KiB/s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from actors.demo.content import Content
from tests.bench.measuring import parser, verdict
from tests.bench.nicotine_peers import named_peers
from tests.e2e.daemon.daemons import Daemon, eventually, running
from tests.e2e.daemon.test_daemon_login import login
from tests.e2e.program import Shoal

CONTENT = Content(96 << 20, seed=31)
NAME = "Ledger Song.flac"
RATES_KIB_S = {"bob": 2048, "dan": 800, "eva": 400, "gus": 164}
MUST_S = 10.0
LIMIT_S = 40.0


def bytes_of(daemon: Daemon, id: str) -> dict[str, int]:
    try:
        job: Any = daemon.get(f"/api/v0/multisource/jobs/{id}?chunkMap=false")
    except httpx.HTTPError:
        return {}
    return {source["username"]: source["bytesStored"] for source in job["sources"]}


def run(folder: Path) -> dict[str, float]:
    """Seconds until each user's bytes came again."""
    (folder / "work").mkdir()
    shoal = Shoal(folder / "work")
    shoal.orderly = False
    with ExitStack() as leaving:
        leaving.callback(shoal.clean_up)
        box, peers = leaving.enter_context(named_peers(folder, {NAME: CONTENT}, RATES_KIB_S, passwords={"me": "box"}))
        account = {"USERNAME": "me", "PASSWORD": "box", "SERVER": box.server_host, "PORT": str(box.server_port)}
        env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
        # Without patience: with it a second user may not be worth disturbing for so small a file.
        with running(shoal, SHOAL_SOULSEEK_BIND="127.0.0.1", SHOAL_DAEMON_PATIENCE_S="0", **env) as daemon:
            daemon.process.run_s_max = 300.0
            eventually(lambda: login(daemon) == "online")
            sources = [{"url": peer.url(NAME)} for peer in peers.values()]
            wanted = {"filename": NAME, "fileSize": CONTENT.size, "sources": sources}
            id = daemon.client.post("/api/v0/multisource/download", json=wanted).json()["id"]
            eventually(lambda: all(bytes_of(daemon, id).get(name, 0) > 0 for name in peers), wait_s=60)
            before = bytes_of(daemon, id)
            begun_s = time.monotonic()
            for child in daemon.process.children():
                child.kill()
            again: dict[str, float] = {}
            online_s = 0.0
            while len(again) < len(peers) and time.monotonic() - begun_s < LIMIT_S:
                now_s = time.monotonic() - begun_s
                for name, count in bytes_of(daemon, id).items():
                    if count > before[name]:
                        again.setdefault(name, now_s)
                if not online_s and login(daemon) == "online":
                    online_s = now_s
                    print(f"  online after {now_s:.1f} s", file=sys.stderr)
                time.sleep(0.05)
            return {name: again.get(name, LIMIT_S) for name in peers}


def main() -> None:
    options = parser(__doc__ or "", runs=3).parse_args()
    worst = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="deaths-") as folder:
            seconds = run(Path(folder))
        worst.append(max(seconds.values()))
        print(", ".join(f"{name} {one:.1f}" for name, one in seconds.items()))
    worst.sort()
    verdict("longest until a user's bytes come again, s", worst[-1], at_most=MUST_S)


if __name__ == "__main__":
    main()
