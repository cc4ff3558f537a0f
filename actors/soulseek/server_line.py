"""TCP options of connections to the Soulseek server: one that was cut off without a word is noticed within a minute.

The server may be silent for minutes. A router that forgot the connection, or a computer that slept, leaves one that
looks alive, and searches would go nowhere for more than ten minutes: each ping puts off the end of aioslsk's wait.
"""

import socket
from typing import Any, Final

IDLE_S: Final = 30
PROBE_S: Final = 10
UNANSWERED_S_MAX: Final = 60
"""So long may what was sent stay without an acknowledgement."""

OPTIONS: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", PROBE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", (UNANSWERED_S_MAX - IDLE_S) // PROBE_S),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 1000 * UNANSWERED_S_MAX),
)


def notice_silence(writer: Any) -> None:
    """Set the options on the socket of this stream, as far as the system has them."""
    sock = writer.get_extra_info("socket")
    for level, name, value in OPTIONS:
        if hasattr(socket, name):
            sock.setsockopt(level, getattr(socket, name), value)
