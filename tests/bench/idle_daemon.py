"""What a daemon without a job costs: it is logged in to a Soulseek network in a box, listens, and nothing happens.

    python -m tests.bench.idle_daemon [--seconds 60]

Counts processor time and PSS of every process of it: front, forkserver and children.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from tests.bench import measuring
from tests.soulseek_network.network import Character, Content, Network, network

CPU_MAX = 0.01
PSS_BYTES_MAX = 250_000_000
SETTLE_S = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds: float = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="idle-") as folder,
        network({"ann": Character()}, Content(1_000_000, seed=1), passwords={"me": "bench"}) as box,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.bind(f"{folder}/notify")
        daemon = subprocess.Popen(
            [sys.executable, measuring.ROOT / "run.py", "daemon"], cwd=folder, env=_environment(box, Path(folder))
        )
        try:
            _until(notify, "Soulseek: online")
            time.sleep(SETTLE_S)
            begun_s, before = time.monotonic(), _cpu_s(daemon.pid)
            time.sleep(seconds)
            after = _cpu_s(daemon.pid)
            took_s = time.monotonic() - begun_s
            memory = _pss(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30.0)
    used = {name: (after[name] - before.get(name, 0.0)) / took_s for name in after}
    for name in sorted(memory):
        print(f"{name:24} {100 * used.get(name, 0.0):6.3f} % of a core   {memory[name] / 1e6:6.1f} MB")
    cpu, pss = sum(used.values()), sum(memory.values())
    good = cpu <= CPU_MAX and pss <= PSS_BYTES_MAX
    print(
        f"{'ok' if good else 'NOT REACHED'}: {100 * cpu:.2f} % of a core (at most {100 * CPU_MAX:.0f}), "
        f"PSS {pss / 1e6:.0f} MB (at most {PSS_BYTES_MAX / 1e6:.0f})"
    )
    return 0 if good else 1


def _environment(box: Network, folder: Path) -> dict[str, str]:
    account = {
        "USERNAME": "me", "PASSWORD": "bench", "SERVER": box.server_host, "PORT": str(box.server_port),
        "BIND": "127.0.0.1",
    }  # fmt: skip
    return {
        **os.environ,
        **{f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()},
        "SHOAL_STATE": str(folder / "state"),
        "SHOAL_DAEMON_DOWNLOADS": str(folder / "downloads"),
        "SHOAL_API_PORT": "0",
        "XDG_CONFIG_HOME": "/nowhere",
        "NOTIFY_SOCKET": str(folder / "notify"),
    }


def _until(notify: socket.socket, words: str) -> None:
    notify.settimeout(30.0)
    while words not in notify.recv(4096).decode():
        pass


def _named(pid: int) -> dict[str, psutil.Process]:
    """Every process of the daemon: children by the name of their socket."""
    front = psutil.Process(pid)
    named = {"front": front}
    for one in front.children(recursive=True):
        own = [Path(each.laddr).name for each in one.net_connections("unix") if ".sock" in each.laddr]
        named[own[0].partition(".")[0] if own else f"forkserver {one.pid}"] = one
    return named


def _cpu_s(pid: int) -> dict[str, float]:
    return {name: sum(one.cpu_times()[:2]) for name, one in _named(pid).items()}


def _pss(pid: int) -> dict[str, int]:
    return {name: one.memory_full_info().pss for name, one in _named(pid).items()}


if __name__ == "__main__":
    raise SystemExit(main())
