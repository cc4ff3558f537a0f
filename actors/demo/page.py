"""Demonstration of the web page: a Soulseek network and mirrors on this machine, a daemon, and a browser.

Everything lives in a temporary folder and ends with this program. The daemon is the real one, in processes of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior as MirrorBehavior
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.network import DemoNetwork
from protocol.cli.parsing import DemoOptions
from protocol.config.paths import API_KEY_FILE

READY_S_MAX: Final = 90.0
STOP_S_MAX: Final = 60.0
"""Killed before it has ended it would leave its files; a busy machine takes long."""
API: Final = "/api/v0/multisource"
SHARED: Final = Content(192 << 20, seed=2022)
SHARED_FILE: Final = "01 - Tide.wav"
MIRRORED: Final = Content(320 << 20, seed=2023)
MIRRORED_FILE: Final = "harbour-lights.iso"
MIB: Final = 1 << 20

CONFIG: Final = """
[soulseek]
username = "you"
password = "demo"
server = "{host}"
port = {port}
bind = "127.0.0.1"
sharing = false
[daemon]
patience_s = 0  # the swarm is to be seen though the files are small
state = "{folder}/state"
downloads = "{folder}/downloads"
allow_private_sources = true
max_active_jobs = 8
[api]
port = {api_port}
"""


def page_demo(options: DemoOptions, users: dict[str, Behavior], mirrors: dict[str, MirrorBehavior]) -> int:
    """Run the demonstration until it is interrupted; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the daemon must not outlive this program
    with contextlib.suppress(KeyboardInterrupt), ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="shoal-demo-")))
        network = leaving.enter_context(DemoNetwork(users, SHARED, SHARED_FILE))
        box = leaving.enter_context(MirrorBox(mirrors, MIRRORED, MIRRORED_FILE))
        place = {"host": network.server_host, "port": network.server_port}
        daemon = DemoDaemon(folder, CONFIG.format(**place, folder=folder, api_port=0))
        leaving.callback(daemon.close)
        daemon.ready()
        link = daemon.url + daemon.ask("POST", f"{API}/session/link")["path"]
        daemon.logged_in()
        daemon.ask("POST", f"{API}/swarm", {"filename": network.term, "size": SHARED.size})
        sources = [{"url": url} for url in box.urls]
        order = {"filename": MIRRORED_FILE, "fileSize": MIRRORED.size, "sources": sources, "limit": 4 * MIB}
        daemon.ask("POST", f"{API}/download", order)
        sys.stderr.write(
            f"{len(users)} users and {len(mirrors)} mirrors on this machine, and a daemon that uses them.\n"
        )
        sys.stderr.write(f"the page, logged in: {link}\nsearch there for: {network.term}\nCtrl-C ends it all\n")
        sys.stderr.flush()
        if not options.quiet:
            webbrowser.open(link)
        return daemon.wait()
    return 0


class DemoDaemon:
    """A daemon of the demonstration, run as a user would, in `folder`, which has its state in `folder`/state.

    `before`: words before its command.
    """

    def __init__(self, folder: Path, settings: str, *, before: Sequence[str] = ()) -> None:
        self._folder = folder
        config = folder / "shoal.toml"
        config.write_text(settings, encoding="utf-8")
        config.chmod(0o600)
        root = Path(__file__).parents[2]
        entry = next(path for name in ("run.py", "__main__.py") if (path := root / name).exists())  # checkout, wheel
        self._notices = folder / "notices"
        with self._notices.open("wb") as notices:
            self._process = subprocess.Popen(
                [*before, sys.executable, entry, "daemon", "--config", config], stderr=notices, env=_environment()
            )
        self.url = ""

    @property
    def pid(self) -> int:
        """Of its front process."""
        return self._process.pid

    def ready(self, within_s: float = READY_S_MAX) -> None:
        """Wait until it answers. Raises `RuntimeError` with what it said when it does not."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s and self._process.poll() is None:
            for line in self._notices.read_text(encoding="utf-8", errors="replace").splitlines():
                _, found, rest = line.partition("listening on ")
                if found:
                    self.url = rest.split()[0].rstrip(",")
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the daemon does not start:\n{self._notices.read_text(errors='replace')}")

    def logged_in(self) -> None:
        """Wait for the Soulseek login, at most as long as a start may take."""
        until_s = time.monotonic() + READY_S_MAX
        while time.monotonic() < until_s and self.ask("GET", f"{API}/status")["login"] != "online":
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON answer. Raises `RuntimeError` for a refusal."""
        key = (self._folder / "state" / API_KEY_FILE).read_text(encoding="ascii").strip()
        line = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10.0)
        with contextlib.closing(line):
            headers = {"X-API-Key": key, "Content-Type": "application/json"}
            line.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = line.getresponse()
            content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return json.loads(content)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self._process.wait()

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_S_MAX)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
