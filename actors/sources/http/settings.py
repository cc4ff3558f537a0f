"""The limits of an HTTP source, and how its faults are put into words."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

REDIRECTS_MAX: Final = 10
HEAD_BYTES_MAX: Final = 64 * 1024
DRAIN_BYTES_MAX: Final = 64 * 1024
"""So little left of a body is read and thrown away rather than the connection."""
SIZE_BYTES_MAX: Final = 2**63 - 1
"""No file system holds more, and no number beyond travels in a message."""
TEXT_MAX: Final = 1024
"""A validator or a file name longer than this is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How long a server may take. A stalled body is the watchdog's business.

    `private_ok`: addresses inside private networks may be fetched from; if not, environment's proxies are not used.
    """

    connect_timeout_s: float = 10.0
    head_timeout_s: float = 15.0
    private_ok: bool = True


def plain(text: str, length_max: int = 60) -> str:
    """Words of a stranger, made fit for one line of ours."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:length_max])
    return shown + ("..." if len(text) > length_max else "")


def status_words(status: int) -> str:
    """``503 Service Unavailable``. The standard's phrase, because a server's own could say anything."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"
