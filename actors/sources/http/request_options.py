"""HTTP options of a job applied to requests and connections: header fields, the proxy, the local end."""

import re
import socket
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from actors.runtime.network_interface import is_address
from actors.sources.http.proxy import Proxy, parse_proxy, proxy_for
from actors.sources.http.settings import HttpSettings
from actors.sources.http.target import Target, basic_login, off_tls, same_owner
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.job_spec import HttpOptions

if TYPE_CHECKING:
    from netrc import netrc

Field = tuple[str, str]
NO_PROXY: Final = "none"
_FAMILIES: Final = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_SECRETS: Final = frozenset(("authorization", "cookie"))
_MAYBE_SECRET: Final = re.compile(r"auth|cookie|cred|key|pass|secret|session|sign|token", re.IGNORECASE)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")


def request_head(method: str, target: str, fields: Iterable[Field]) -> bytes:
    """Return the head of a request without a body. Raises `SourceFault` where it would be read as something else.

    Made here, as h11 would make it: loading that takes 10 ms of each start, and nothing else of it is used.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    whole = target.isascii() and target.isprintable() and target.split() == [target]
    for name, value in fields:
        whole = whole and bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value))
        lines.append(f"{name}: {value}")
    if not whole:
        raise SourceFault(FaultKind.BAD_ANSWER, "its request would hold what HTTP does not allow")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def request_fields(usual: Iterable[Field], options: HttpOptions, target: Target, home: Target) -> list[Field]:
    """Return the fields of a request: the usual ones, and the user's in their place.

    A user's field without a value takes the usual one away. Logins and cookies go only to where the user sent them:
    the host of `home`, not one that it redirects to. Where that leads off TLS no field goes along whose name hints at
    a secret.
    """
    at_home, clear = same_owner(home, target), off_tls(home, target)
    split = [(name, value.strip()) for name, _, value in (line.partition(":") for line in options.headers)]
    own = [field for field in split if at_home or field[0].lower() not in _SECRETS]
    own = [field for field in own if not (clear and _MAYBE_SECRET.search(field[0]))]
    if options.referer:
        own.insert(0, ("Referer", options.referer))
    named = {name.lower() for name, _ in own}
    return [*(field for field in usual if field[0].lower() not in named), *(field for field in own if field[1])]


class Logins:
    """Logins of the order, and of a netrc file, which is read with the first request and by each reader for itself.

    A default entry, for hosts that the file does not name, is only for `home`, not for what it redirects to. Where
    that leads off TLS there is none.
    """

    def __init__(self, options: HttpOptions, home: Target) -> None:
        self._path = options.netrc_file
        self._ordered = {host: (name, word) for host, name, word in (each.split("\t") for each in options.logins)}
        self._home = home

    @cached_property
    def _entries(self) -> "netrc | None":
        if not self._path:
            return None
        from netrc import NetrcParseError, netrc

        try:
            return netrc(self._path)
        except (OSError, ValueError, NetrcParseError):
            return None  # it was checked when the command began

    def login(self, target: Target) -> str:
        """Return the Authorization value for a target; empty when there is none."""
        if off_tls(self._home, target):
            return ""
        if ordered := self._ordered.get(target.host):
            return basic_login(quote(ordered[0]), quote(ordered[1]))
        found = self._entries
        if found is None or (target.host not in found.hosts and not same_owner(self._home, target)):
            return ""
        entry = found.authenticators(target.host)
        return basic_login(quote(entry[0]), quote(entry[2] or "")) if entry is not None else ""


def proxy_of(settings: HttpSettings, target: Target) -> Proxy | None:
    """Return the proxy for a target: the user's, else the environment's.

    None where private addresses are refused: what a proxy connects to cannot be seen from here.
    """
    if not settings.private_ok or settings.options.proxy == NO_PROXY:
        return None
    return parse_proxy(settings.options.proxy) if settings.options.proxy else proxy_for(target)


def family_of(options: HttpOptions) -> int:
    """Return the address family that hosts are looked up in."""
    if options.ip_version == 0 and is_address(options.interface):
        return socket.AF_INET6 if ":" in options.interface else socket.AF_INET
    return _FAMILIES[options.ip_version]
