"""Runs a foreign program for its owner and kills it when the owner is gone; what it prints goes to a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from actors.demo.child_process import Fields, read_request, reply


def _started(order: Fields) -> subprocess.Popen[bytes]:
    with Path(order["log_path"]).open("wb") as log:
        return subprocess.Popen(
            order["command"], cwd=order["folder"], env={**os.environ, **order["env"]},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def main() -> None:
    """Start what the first line tells, answer every other line with its state, kill it when stdin ends."""
    program = _started(read_request())
    reply({"pid": program.pid})
    try:
        while sys.stdin.buffer.readline():
            reply({"exit_code": program.poll()})
    finally:
        program.kill()
        program.wait()


if __name__ == "__main__":
    main()
