"""Runs the real program the way a user does, each time in a session of its own, and looks for what it left behind.

    done = shoal.get(*box.urls, "-o", "file.bin")
    assert (done.code, done.ended["state"]) == (0, "sealed")

Whatever the program starts inherits its TMPDIR, which no other program has: that is how its processes are known, even
those that leave the session.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped,unused-ignore]

ROOT = Path(__file__).resolve().parents[2]
RUN_S_MAX = 90.0
FAREWELL_S_MAX = 20.0
"""So long what was started may outlive the program itself: the forkserver hears of its end through a pipe."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is over. `events` are the JSON lines of stdout; `seconds` is wall time."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    events: list[Event] = field(repr=False)

    @property
    def ended(self) -> Event:
        """The last word, which must be a `job_ended`."""
        assert self.events, f"no JSON on stdout; stderr: {self.stderr}"
        assert self.events[-1]["event"] == "job_ended", self.events[-1]
        return self.events[-1]

    @property
    def given(self) -> dict[str, int]:
        """Bytes kept of each source."""
        return {row["source"]: row["bytes"] for row in self.ended["sources"]}

    @property
    def the_line(self) -> str:
        """The only line on stderr, but for the one that says that this folder's configuration was read."""
        lines = [
            line
            for line in self.stderr.splitlines()
            if line != "note: the configuration is ./shoal.toml of this folder"
        ]
        assert len(lines) == 1, f"not one line: {self.stderr!r}"
        return lines[0]


class Running:
    """A run under way. Its JSON lines arrive in `events`."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], *, stdout: IO[bytes] | None) -> None:
        self._said = tempfile.TemporaryFile(prefix="said-")  # noqa: SIM115 - closed in finish()
        self._begun_s = time.monotonic()
        self.run_s_max = RUN_S_MAX
        self.events: list[Event] = []
        self._text: list[str] = []
        self._news: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if stdout is None else stdout, stderr=self._said,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self._news.put(line)
        self._news.put(b"")

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def has_news(self) -> bool:
        """Whether there are lines that no one took yet."""
        return not self._news.empty()

    def until(self, wanted: Callable[[Event], Any]) -> Event:
        """The next event that is wanted. Fails when the program ends or dawdles first."""
        while True:
            line = self._next()
            assert line, f"the program ended first; stderr: {self.stderr()}"
            if wanted(self.events[-1]):
                return self.events[-1]

    def until_stored(self, count: int) -> Event:
        """Wait until a given number of chunks have been stored by this run (needs ``--verbose``)."""
        seen = 0

        def enough(event: Event) -> bool:
            nonlocal seen
            seen += int(event["event"] == "chunk")
            return seen >= count

        return self.until(enough)

    def _next(self) -> bytes:
        left_s = self._begun_s + self.run_s_max - time.monotonic()
        try:
            line = self._news.get(timeout=max(left_s, 0.01))
        except queue.Empty:
            last = f"last: {self.events[-1:]}; stderr: {self.stderr()}"
            raise AssertionError(f"nothing more within {self.run_s_max} s; {last}") from None
        self._text.append(line.decode())
        if line.startswith(b"{"):
            self.events.append(json.loads(line))
        return line

    def allow(self, longer_s: float) -> None:
        """It may run for so much longer, however long it has."""
        self.run_s_max = max(self.run_s_max, time.monotonic() - self._begun_s + longer_s)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def child(self, name: str) -> psutil.Process:
        """One of the program's processes; it has its name from its socket."""
        found = [one for one in self.children() if any(f"/{name}.sock" in each.laddr for each in _sockets(one))]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def await_child(self, name: str) -> psutil.Process:
        """The same, waiting for one that is just being started again."""
        while True:
            found = [one for one in self.children() if any(f"/{name}.sock" in each.laddr for each in _sockets(one))]
            if len(found) == 1:
                return found[0]
            assert self.process.poll() is None, f"the program ended first; stderr: {self.stderr()}"

    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self.pid).children(recursive=True))

    def kill_all(self) -> None:
        """The power goes: every process of this run at once."""
        everybody = [psutil.Process(self.pid), *self.children()]
        for one in everybody:
            one.suspend()
        for one in everybody:
            one.kill()

    def stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def finish(self, *, traced: bool = False) -> Done:
        """Wait for the end. No run may end with a traceback, whatever happened to it, unless a test provoked one."""
        while self._next():
            pass
        code = self.process.wait(FAREWELL_S_MAX)
        seconds = time.monotonic() - self._begun_s
        self._reader.join(FAREWELL_S_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()
        stderr = self.stderr()
        self._said.close()
        assert ("Traceback" in stderr) == traced, stderr
        return Done(code, "".join(self._text), stderr, seconds, self.events)


class Shoal:
    """The program with a folder to work in and a TMPDIR that it must leave empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Not below pytest's folder: names of sockets must be short.
        self.temp = Path(tempfile.mkdtemp(prefix="e2e-"))
        self.env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.env.pop("XDG_RUNTIME_DIR", None)
        self.env["TMPDIR"] = str(self.temp)
        self.orderly = True
        """False once a run was killed: then folders of its processes may be left."""

    def start(self, *words: str | Path, env: dict[str, str] | None = None, stdout: IO[bytes] | None = None) -> Running:
        """`env` is added to the environment; without `stdout` its lines are read."""
        command = [sys.executable, str(ROOT / "run.py"), *map(str, words)]
        return Running(command, self.folder, {**self.env, **(env or {})}, stdout=stdout)

    def run(self, *words: str | Path, **env: str) -> Done:
        return self.start(*words, env=env).finish()

    def get(self, *words: str | Path, **env: str) -> Done:
        """``get ... --json``."""
        return self.run("get", *words, "--json", **env)

    def refused(self, *words: str | Path, **env: str) -> Done:
        """``get ... --quiet``: a run that is expected to fail, with the one line that people see."""
        return self.run("get", *words, "--quiet", **env)

    def begun(self, *words: str | Path, **env: str) -> Running:
        """``get ... --json --verbose``, running."""
        return self.start("get", *words, "--json", "--verbose", env=env)

    @contextmanager
    def killed(self, running: Running) -> Iterator[None]:
        """What is done inside kills this run from outside; wait until nothing of it lives."""
        self.orderly = False
        yield
        running.process.wait(FAREWELL_S_MAX)
        self.check_processes()

    @property
    def files(self) -> list[str]:
        """Names in the working folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def check(self) -> None:
        """Nothing is left: no process and, unless one was killed, no file outside the working folder."""
        self.check_processes()
        if self.orderly:
            assert sorted(path.name for path in self.temp.iterdir()) == []

    def check_processes(self) -> None:
        psutil.wait_procs(self.processes(), timeout=FAREWELL_S_MAX)
        assert self.processes() == []

    def processes(self) -> list[psutil.Process]:
        """Everything alive that any run of ours started. A dead one that no one has waited for is not alive."""
        mine = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.environ().get("TMPDIR") == str(self.temp) and one.status() != psutil.STATUS_ZOMBIE:
                    mine.append(one)
        return mine

    def clean_up(self) -> None:
        for one in self.processes():
            with suppress(psutil.Error):
                one.kill()
        shutil.rmtree(self.temp, ignore_errors=True)


def _sockets(process: psutil.Process) -> list[Any]:
    with suppress(psutil.Error):
        return list(process.net_connections("unix"))
    return []
