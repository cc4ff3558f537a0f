"""The daemon as a service manager runs it: started, recognised by what it notifies, asked over HTTP.

with running(shoal) as daemon:
    daemon.client.get("/api/v0/multisource/jobs")
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.program import Done, Running, Shoal

READY_S_MAX = 90.0


class Manager:
    """Where the daemon's notifications go: `$NOTIFY_SOCKET`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.said: list[str] = []

    def until(self, word: str, *, wait_s: float = READY_S_MAX) -> str:
        """The next notification with this word. Fails after `wait_s`."""
        deadline_s = time.monotonic() + wait_s
        while True:
            self.socket.settimeout(max(0.01, deadline_s - time.monotonic()))
            self.said.append(self.socket.recv(4096).decode())
            if word in self.said[-1]:
                return self.said[-1]

    def waits_in_vain(self, word: str, *, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            self.until(word, wait_s=wait_s)
            return False
        return True

    def close(self) -> None:
        self.socket.close()
        self.path.unlink()


class Daemon:
    """`state` is its state folder; `key` opens everything."""

    def __init__(self, shoal: Shoal, running: Running, manager: Manager, state: Path) -> None:
        self.shoal = shoal
        self.process = running
        self.manager = manager
        self.state = state
        self.url = self.key = ""
        self.client = httpx.Client()

    def ready(self) -> Daemon:
        """Wait until it is, and look where."""
        shown = self.manager.until("READY=1")
        found = re.search(r"listening on (\S+?),? ?(?:$|Soulseek|\n)", shown)
        assert found, shown
        self.url = found[1]
        with contextlib.suppress(FileNotFoundError):
            self.use_key((self.state / "api-key").read_text().strip())
        return self

    def use_key(self, key: str) -> None:
        self.key = key
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": key}, timeout=30.0)

    def get(self, path: str) -> Any:
        response = self.client.get(path)
        response.raise_for_status()
        return response.json()

    def status(self, path: str) -> int:
        """Of the answer; 0 when the connection broke, which a process that is killed does to those it was serving."""
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0

    def stderr_has(self, words: str) -> bool:
        return words in self.process.stderr()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Done:
        self.process.allow(READY_S_MAX)
        self.process.signal(number)
        return self.process.finish()


def eventually(is_so: Callable[[], bool], *, wait_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < deadline_s, "not so in time"
        time.sleep(0.02)


@contextmanager
def started(shoal: Shoal, *words: str | Path, config: str | None = None, **env: str) -> Iterator[Daemon]:
    """`config`: the text of its file. Any free port unless that says otherwise. It must have ended when this does."""
    state = shoal.folder.parent / "state"
    file = shoal.folder / "shoal.toml"
    if config is not None:
        file.write_text(config)
        file.chmod(0o600)
    manager = Manager(shoal.folder.parent)
    given = {
        "NOTIFY_SOCKET": str(manager.path),
        "SHOAL_STATE": str(state),
        "SHOAL_DAEMON_DOWNLOADS": str(shoal.folder.parent / "downloads"),
        "HOME": str(shoal.folder.parent / "home"),
        **({} if config is None else {"SHOAL_CONFIG": file.name}),
        **({} if config and "port" in config else {"SHOAL_API_PORT": "0"}),
        **env,
    }
    daemon = Daemon(shoal, shoal.start("daemon", *words, env=given), manager, state)
    try:
        yield daemon
        assert daemon.process.process.poll() is not None, "it was not ended"
    finally:
        daemon.client.close()
        manager.close()


@contextmanager
def running(shoal: Shoal, *words: str | Path, config: str | None = None, **env: str) -> Iterator[Daemon]:
    """Ready; ended in order afterwards, with nothing but success."""
    with started(shoal, *words, config=config, **env) as daemon:
        yield daemon.ready()
        if daemon.process.process.poll() is None:
            done = daemon.stop()
            assert done.code == 0, done.stderr


def pid_of(daemon: Daemon, name: str) -> int:
    """Of the child with this name, waiting for one that is just being started."""
    return int(daemon.process.await_child(name).pid)


def hung_up(daemon: Daemon) -> None:
    """Have it read its configuration again, and wait until it did."""
    os.kill(daemon.process.pid, signal.SIGHUP)
    daemon.manager.until("RELOADING=1")
    daemon.manager.until("READY=1")
