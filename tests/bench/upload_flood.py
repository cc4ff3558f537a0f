"""What a flood of upload requests costs: thousands of names want one file each from a daemon that shares it, and leave.

    python -m tests.bench.upload_flood [--names 4000] [--addresses 250]

Memory (PSS of the session's process) while they are there, and its processor time from 30 s after they are gone.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from actors.demo.soulseek.wire import messages as m
from actors.runtime.free_ports import free_ports
from tests.bench import measuring
from tests.bench.idle_daemon import _cpu_s, _environment, _named, _until
from tests.real_peers.raw_downloader import RawDownloader
from tests.soulseek_network.network import Content, network

GROWTH_BYTES_MAX = 40 << 20
CPU_MAX = 0.02
AFTER_S = 30.0
MEASURED_S = 20.0
OPEN_MAX = 200
"""Connections that stay open at the same time; the oldest is closed for a new one."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=4000)
    parser.add_argument("--addresses", type=int, default=250)
    options = parser.parse_args()
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="flood-")))
        box = leaving.enter_context(network({}, Content(1_000_000, seed=1), passwords={"me": "bench"}))
        notify = leaving.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(f"{folder}/notify")
        (folder / "music").mkdir()
        (folder / "music" / "Wanted Song.flac").write_bytes(bytes(1 << 20))
        (folder / "shoal.toml").write_text(f'[soulseek]\nshared_folders = ["{folder}/music"]\n')
        (port,) = free_ports(1)
        environment = _environment(box, folder) | {
            "SHOAL_CONFIG": str(folder / "shoal.toml"),
            "SHOAL_SOULSEEK_LISTEN_PORTS": str(port),
        }
        daemon = subprocess.Popen([sys.executable, measuring.ROOT / "run.py", "daemon"], cwd=folder, env=environment)
        try:
            _until(notify, "Soulseek: online")
            with RawDownloader(box.server_port, "asker") as asker:
                path = asker.search("wanted song", 1)["me"].results[0].filename
            before = _memory(daemon.pid)
            refused = _flood(port, path, options.names, options.addresses)
            grown = _memory(daemon.pid) - before
            time.sleep(AFTER_S)
            begun_s, used_s = time.monotonic(), _cpu_s(daemon.pid)["soulseek"]
            time.sleep(MEASURED_S)
            cpu = (_cpu_s(daemon.pid)["soulseek"] - used_s) / (time.monotonic() - begun_s)
            left = _memory(daemon.pid) - before
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30.0)
    good = max(grown, left) <= GROWTH_BYTES_MAX and cpu <= CPU_MAX
    print(
        f"{'ok' if good else 'NOT REACHED'}: {options.names} names from {options.addresses} addresses, {refused} were "
        f"refused at once; +{grown / 1e6:.1f} MB, 50 s later +{left / 1e6:.1f} MB (at most "
        f"{GROWTH_BYTES_MAX / 1e6:.0f}); {100 * cpu:.2f} % of a core (at most {100 * CPU_MAX:.0f})"
    )
    return 0 if good else 1


def _memory(pid: int) -> int:
    return int(_named(pid)["soulseek"].memory_full_info().pss)


def _flood(port: int, path: str, names: int, addresses: int) -> int:
    """Want the file by each name over a connection of its own; how many heard at once that they may not."""
    lines: list[socket.socket] = []
    refused = 0
    for number in range(names):
        source = f"127.0.{1 + number % addresses // 250}.{1 + number % addresses % 250}"
        line = socket.create_connection(("127.0.0.1", port), 10.0, source_address=(source, 0))
        line.sendall(m.PeerInit.Request(f"name {number}", "P", 0).serialize())
        line.sendall(m.PeerTransferQueue.Request(path).serialize())
        lines.append(line)
        if len(lines) > OPEN_MAX:
            refused += _leave(lines.pop(0))
    return refused + sum([_leave(line) for line in lines])


def _leave(line: socket.socket) -> bool:
    with line:
        line.settimeout(0.05)
        try:
            return b"Too many files" in line.recv(4096)
        except OSError:
            return False


if __name__ == "__main__":
    raise SystemExit(main())
