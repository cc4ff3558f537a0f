"""What the service manager is told: systemd's sd_notify, datagrams to a socket that it names. Without one: nothing."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Final


class SystemdNotifier:
    """`watchdog_s`: so often at least it wants a sign of life; None: it does not watch."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address: Final = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s: Final = _watchdog_s(environ)

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._tell(f"STOPPING=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={_line(status)}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        # Who does not listen is not waited for: the daemon works without anybody watching it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(words.encode(), self._address)


def _line(text: str) -> str:
    return " ".join(text.split())


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Of this very process: children inherit the variables, and are not meant."""
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6 or None
