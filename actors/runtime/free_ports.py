"""Free TCP ports of the loopback address for servers that cannot choose one themselves.

Chosen below the ephemeral range: a port from there may be taken by any outgoing connection of the machine before the
server has bound it, and again whenever the server is restarted on it.
"""

import contextlib
import random
import socket
from pathlib import Path
from typing import Final

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000
_TRIES: Final = 200
_choice = random.SystemRandom()


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return different ports of `host` that are free now."""
    with contextlib.ExitStack() as open_now:
        found = [open_now.enter_context(_bound(host)) for _ in range(count)]
        return [sock.getsockname()[1] for sock in found]


def _bound(host: str) -> socket.socket:
    highest = _ephemeral_first() - 1
    for _ in range(_TRIES if highest > _LOWEST else 0):
        sock = socket.socket()
        try:
            sock.bind((host, _choice.randint(_LOWEST, highest)))
        except OSError:
            sock.close()
        else:
            return sock
    sock = socket.socket()
    sock.bind((host, 0))
    return sock


def _ephemeral_first() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
