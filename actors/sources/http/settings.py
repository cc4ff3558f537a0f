"""Limits of an HTTP source, and the wording of its faults."""

from typing import Final

from protocol.model.job_spec import TIMEOUT_S, HttpOptions
from protocol.model.value import Struct

REDIRECTS_MAX: Final = 50
HEAD_BYTES_MAX: Final = 256 * 1024
"""Limit of a response head with all its fields."""
DRAIN_BYTES_MAX: Final = 64 * 1024
"""A rest of a body up to this size is read and discarded, to keep the connection."""
SIZE_BYTES_MAX: Final = 2**63 - 1
"""Largest size of a file: the limit of file systems and of numbers in messages."""
TEXT_MAX: Final = 1024
"""A validator or a file name longer than this is ignored."""

CONNECT_S: Final = 10.0
NO_OPTIONS: Final = HttpOptions()


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Time limits of a server's answers; a stalled body is the watchdog's concern.

    `private_ok`: addresses inside private networks are allowed; if not, proxies of the environment are not used.
    `options`: what the user wants of requests and connections.
    """

    connect_timeout_s: float = CONNECT_S
    head_timeout_s: float = TIMEOUT_S
    private_ok: bool = True
    options: HttpOptions = NO_OPTIONS


def plain(text: str, length_max: int = 60) -> str:
    """Return untrusted text as one printable line."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:length_max])
    return shown + ("..." if len(text) > length_max else "")


def status_words(status: int) -> str:
    """Return e.g. ``503 Service Unavailable``: the standard's phrase, because a server's own could say anything."""
    from http import HTTPStatus  # needed for faults only

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"
