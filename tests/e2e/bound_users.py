"""Soulseek download bound to ``lo``, which goes down and comes back: ``python -m tests.e2e.bound_users FOLDER``.

Runs in a network namespace of its own, as root. Writes what it saw to stdout, as JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.e2e.program import Shoal
from tests.soulseek_network.network import Character, Content, network

WAIT_S: Final = 90.0


def until(is_so: Callable[[], bool], what: str) -> None:
    due_s = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > due_s:
            raise SystemExit(f"waited in vain: {what}")
        time.sleep(0.05)


def lo(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True, timeout=10)


def listening() -> list[int]:
    """Return the ports that are listened at in this namespace: the network's own, and the download's."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sorted(int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A")


def main(folder: Path) -> None:
    content = Content(4_000_000, seed=5)
    shoal = Shoal(folder)
    with network({"ann": Character(rate_bytes_s=4e5)}, content) as users:
        env = {
            "SHOAL_SOULSEEK_USERNAME": "me", "SHOAL_SOULSEEK_PASSWORD": "any", "SHOAL_SOULSEEK_BIND": "127.0.0.1",
            "SHOAL_SOULSEEK_SERVER": users.server_host, "SHOAL_SOULSEEK_PORT": str(users.server_port),
            "SHOAL_SOULSEEK_INTERFACE": "lo",
        }  # fmt: skip
        going = shoal.start("get", users.url("ann"), "-o", "f.bin", "--chunk-size", "64K", "-v", env=env)
        records = folder / "f.bin.part.records"
        until(lambda: records.exists() and records.stat().st_size > 500, f"first chunks; {going.stderr()}")
        ports = listening()
        lo("down")
        until(lambda: "waits until it is back" in going.stderr(), f"the note; {going.stderr()}")
        held = records.stat().st_size
        time.sleep(3.0)
        still = records.stat().st_size == held
        without = listening()
        lo("up")
        until(lambda: going.stderr().count("Soulseek: logged in") > 1, f"the second login; {going.stderr()}")
        again = listening()
        going.run_s_max = 300.0
        done = going.finish()
    right = content.matches(folder / "f.bin")
    sys.stdout.write(
        json.dumps(
            {"code": done.code, "right": right, "still": still, "said": done.stderr, "ports": [ports, without, again]}
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
