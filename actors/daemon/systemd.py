"""Unit file for systemd, and notifications to it (sd_notify): datagrams to the socket that it names, else none."""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

HOMES: Final = ("/home", "/root", "/run/user")
"""Folders that ProtectHome covers."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=,./-]+")


def unit_file(template: str, command: Sequence[str], needed: Iterable[str]) -> str:
    """Return the unit that runs this command; it sees the `needed` files and folders also where they are in a home."""
    inside = sorted({path for path in needed if _is_below(path, HOMES)})
    bound = [path for path in inside if not _is_below(path, [other for other in inside if other != path])]
    home = "ProtectHome=yes"
    if bound:
        places = " ".join(_quoted(path.replace("\\", "\\\\").replace(":", "\\:")) for path in bound)
        home = (
            "# Of the homes it sees what it needs. Its user must be able to read that: chmod -R o+rX PATH.\n"
            f"ProtectHome=tmpfs\nBindReadOnlyPaths={places}"
        )
    words = " ".join(_quoted(word.replace("\\", "\\\\").replace("$", "$$")) for word in command)
    return template.replace("@COMMAND@", words).replace("@HOME@", home)


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _quoted(word: str) -> str:
    """Return a word in the form that a line of a unit takes it in: percent signs mean something there too."""
    plain = _PLAIN.fullmatch(word)
    return word if plain else '"' + word.replace('"', '\\"').replace("%", "%%") + '"'


class SystemdNotifier:
    """Sender of notifications. `watchdog_s` is the longest time between two signs of life; None: no watchdog."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address: Final = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s: Final = _watchdog_s(environ)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        # The daemon does not wait for its service manager.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(words.encode(), self._address)


def _line(text: str) -> str:
    return " ".join(text.split())


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the period for this very process: children inherit the variables, and are not meant."""
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6 or None
