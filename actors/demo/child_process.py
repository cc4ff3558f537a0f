"""Child processes that speak JSON lines over their pipes and never outlive their owner.

The owner writes one JSON line, the child answers it with one. The child reads stdin to its end and ends with it,
whether the owner closed the pipe or died.
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

from protocol.model.value import Closing

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `actors`: children find their modules there, whatever the current folder."""
CLOSE_S_MAX = 5.0

Fields = dict[str, Any]
"""One line of JSON, decoded."""


class ChildError(Exception):
    """The process could not start, or ended by itself; the text is the last line it wrote to stderr."""


class Child:
    """The owner's end of `python -m module args`, which calls `serve_requests`."""

    def __init__(self, module: str, *args: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._stderr = tempfile.TemporaryFile(prefix="shoal-demo-")  # noqa: SIM115 - closed in close()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        # A session of its own: Ctrl-C on the terminal is for the downloader.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *args], cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
            start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, fields: Fields) -> Any:
        """Write one line and wait for its answer. Raises ChildError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(fields).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise self._error() from None
            line = self._process.stdout.readline()
        if not line:
            raise self._error()
        return json.loads(line)

    def stderr_text(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(CLOSE_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _error(self) -> ChildError:
        self._process.wait(CLOSE_S_MAX)
        last = self.stderr_text().strip().rpartition("\n")[2]
        self.close()
        return ChildError(f"{self._module} ended: {last or 'silently'}")


class Box(Closing):
    """Owner of one child; `close` ends it and everything it has. Idempotent, and done at the end of a `with`."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def close(self) -> None:
        self._child.close()


def read_request() -> Fields:
    """In the child: the next line; the first one is its description. Raises EOFError."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError("the owner closed the pipe")
    fields: Fields = json.loads(line)
    return fields


def reply(fields: Fields) -> None:
    """In the child: answer one line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def _ignore(_request: Fields) -> Fields:
    return {}


async def serve_requests(
    handle: Callable[[Fields], Awaitable[Fields]] = _ignore, at_end: Callable[[], None] = lambda: None
) -> None:
    """In the child: answer every line until stdin, and so the process, ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        at_end()
        os._exit(0)  # at once: connections without an owner need no orderly close

    threading.Thread(target=read, daemon=True).start()
    while True:
        reply(await handle(json.loads(await lines.get())))


def raise_open_files_limit() -> None:
    """Allow the descriptors of hundreds of peers: more than the usual 1024."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
