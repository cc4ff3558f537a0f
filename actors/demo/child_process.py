"""A process of the box, seen from its owner: one JSON line each way at a time, and it never outlives the owner.

The child reads stdin; when that ends, because the owner closed it or died in whatever way, the child ends too.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLOSING_S_MAX = 5.0

Told = dict[str, Any]


class ChildError(Exception):
    """The process could not start, or ended on its own; the text holds what it said last."""


class Child:
    """Owns `python -m module args`, which speaks as `serve` does."""

    def __init__(self, module: str, *args: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile(prefix="box-")  # noqa: SIM115 - closed in close()
        # Its own session: Ctrl-C on the terminal is for the downloader.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *args], cwd=ROOT, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Told) -> None:
        """Write one line; `receive` must be called once for it. Raises ChildError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._broken() from None

    def receive(self) -> Any:
        """Wait for the answer to the oldest line that has none. Raises ChildError."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._broken()
        return json.loads(line)

    def tell(self, message: Told) -> Any:
        """Write one line and wait for the answer. Raises ChildError."""
        with self._lock:
            self.send(message)
            return self.receive()

    def last_words(self) -> str:
        """Everything it wrote to stderr."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def close(self) -> None:
        """End the process; more than once does no harm."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(CLOSING_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def _broken(self) -> ChildError:
        self._process.wait(CLOSING_S_MAX)
        last = self.last_words().strip().rpartition("\n")[2]
        self.close()
        return ChildError(f"{self._module} ended: {last or 'silently'}")


def first_line() -> Told:
    """In the child: the description that the owner sends first."""
    told: Told = json.loads(sys.stdin.buffer.readline())
    return told


def reply(told: Told) -> None:
    """In the child: answer one line."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def obey(do: Callable[[Told], Awaitable[Told]], at_end: Callable[[], None] = lambda: None) -> None:
    """In the child: answer every line from stdin with what `do` makes of it, until stdin and so the process ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def listen() -> None:
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        at_end()
        # At once: connections of a box that nobody owns deserve no farewell.
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        reply(await do(json.loads(await lines.get())))


def raise_open_files_limit() -> None:
    """Hundreds of users with their connections are more than the usual 1024."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
