"""A real Nicotine+ without a window, as an uploader on a private server: what the box is measured against.

    with nicotine(box, "n1", folder, upload_kib_s=8192) as peer:
        ...                                  # everything in `folder` is shared as music\\<file>
        assert peer.uploads().aborted <= 2

Needs the package `nicotine-plus` (`pip install --no-deps nicotine-plus`; no GTK).
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from actors.demo.child_process import Child
from actors.runtime.free_ports import free_ports
from protocol.model.value import Closing
from tests.soulseek_network.network import Network

READY_S_MAX: Final = 40.0
POLL_S: Final = 0.5
SHARE: Final = "music"
ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1", "LANGUAGE": "en", "LC_ALL": "C.UTF-8"}


class NicotineError(Exception):
    """It did not start, ended, or was not ready in time; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Uploads:
    """What its own log says: transfers that began to flow, that came to the end, that did not."""

    started: int
    finished: int
    aborted: int


def installed() -> bool:
    """Whether there is a Nicotine+ to start."""
    return importlib.util.find_spec("pynicotine") is not None


class Nicotine(Closing):
    """Owns the program and its configuration folder; both end with `close` or with this process."""

    def __init__(
        self, box: Network, name: str, folder: Path, upload_kib_s: int | None, slots: int, debug: bool
    ) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self._box = box
        self._folder = folder
        self._home = tempfile.TemporaryDirectory(prefix="box-nicotine-", ignore_cleanup_errors=True)
        home = Path(self._home.name)
        self.log_path = home / "log.txt"
        (home / "config").write_text(_configured(self, box.server_port, home, upload_kib_s, slots, debug))
        self._keeper = Child("tests.real_peers.process_guard")
        command = [sys.executable, "-m", "pynicotine", "--headless", "--bindip", "127.0.0.1"]
        command += ["--config", str(home / "config"), "--user-data", str(home / "data")]
        order = {"command": command, "log_path": str(self.log_path), "folder": str(home), "env": ENVIRONMENT}
        self.pid: int = self._keeper.request(order)["pid"]
        """The program's own, for measuring its CPU."""

    def wait_until_ready(self) -> None:
        """Return when the server knows its shares: from then on searches find it. Raises NicotineError."""
        give_up_s = time.monotonic() + READY_S_MAX
        while not self._box.shares(self.name, s_max=POLL_S):
            if self._keeper.request({})["exit_code"] is not None or time.monotonic() > give_up_s:
                raise NicotineError(self.log()[-2000:])

    def log(self) -> str:
        """Everything it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def uploads(self) -> Uploads:
        """What happened to the uploads up to now."""
        said = self.log()
        return Uploads(*(len(re.findall(rf"Upload {how}", said)) for how in ("started", "finished", "aborted")))

    def remote_path(self, file_name: str) -> str:
        """What others call a file of the shared folder; a subfolder's name stands before it, with a backslash."""
        return f"{SHARE}\\{file_name}"

    def url(self, file_name: str) -> str:
        return f"slsk://{quote(self.name, safe='')}/{quote(self.remote_path(file_name), safe='')}"

    def close(self) -> None:
        """End the program and forget its configuration; more than once does no harm."""
        self._keeper.close()
        self._home.cleanup()


def nicotine(
    box: Network,
    name: str,
    folder: Path,
    *,
    upload_kib_s: int | None = None,
    slots: int = 3,
    wait: bool = True,
    debug: bool = False,
) -> Nicotine:
    """Start one that shares `folder` (which should hold only what is to be shared) and wait until it is ready.

    To start several at once, pass `wait=False` and call `wait_until_ready` of each. `debug` logs every message, at half
    as much CPU again. Raises NicotineError.
    """
    made = Nicotine(box, name, folder, upload_kib_s, slots, debug)
    if wait:
        try:
            made.wait_until_ready()
        except BaseException:
            made.close()
            raise
    return made


def _configured(made: Nicotine, server_port: int, home: Path, upload_kib_s: int | None, slots: int, debug: bool) -> str:
    """Its INI file, whose values are Python literals."""
    limit = "unlimited" if upload_kib_s is None else "primary"
    modes = ["upload", "transfer", "connection", "message"] if debug else ["upload"]
    sections = {
        "server": {
            "server": ("127.0.0.1", server_port), "login": made.name, "passw": "box", "autoaway": 0,
            "portrange": (made.port, made.port), "upnp": False, "auto_connect_startup": True,
        },
        "transfers": {
            "shared": [(SHARE, str(made._folder.resolve()))], "rescanonstartup": True,
            "downloaddir": str(home / "downloads"), "incompletedir": str(home / "incomplete"),
            "use_upload_speed_limit": limit, "uploadlimit": upload_kib_s or 0, "uploadslots": slots,
        },
        "logging": {"debug": debug, "debugmodes": modes},
    }  # fmt: skip
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
