"""ASGI scope helpers: header values, the client's address behind proxies, path normalization."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = "shoal.methods"
"""Key of a request's scope: the methods that exist at its path."""
FORWARDED_MAX: Final = 20


def header_values(scope: Scope, name: bytes) -> list[str]:
    """Return every value of this header (lower case), in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def header(scope: Scope, name: bytes) -> str:
    """Return all values of this header joined as if they had been one; empty when there is none."""
    return ", ".join(header_values(scope, name)).strip()


def client_address(scope: Scope, proxies: Iterable[str]) -> str:
    """Return the address that sent a request.

    ``X-Forwarded-For`` is read from its end, as far as proxies in these networks wrote it: what stands before that
    could be forged.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    trusted = tuple(proxies)
    hops = header(scope, b"x-forwarded-for").split(",")[-FORWARDED_MAX:]
    while hops and is_in(address, trusted):
        before = hops.pop().strip()
        if _parsed(before) is None:
            break
        address = before
    return address


def address_group(address: str) -> str:
    """Return the unit of counting: an IPv4 address, or the /64 of an IPv6 address, all of which one host holds."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or address)


def is_in(address: str, networks: Iterable[str]) -> bool:
    """Return whether the address is inside one of these networks (CIDR). An IPv4-mapped IPv6 address is one of IPv4."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network) for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


class PathNormalization:
    """Middleware that gives every path one spelling: without base and trailing slash, literal parts in lower case.

    Parameters (user names, ids) stay as written. `routes` have `path` and `methods`, in the order they are tried.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[Any], url_base: str = "") -> None:
        self._app: Final = app
        self._url_base: Final = url_base
        self._known: Final = [_pattern_of(route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = self.plain(scope["method"], scope["path"])
            scope[METHODS] = self.methods(scope["path"])
        await self._app(scope, receive, send)

    def methods(self, path: str) -> str:
        """Return the Allow header of this path: the methods of all its routes, not of the first one only."""
        return ", ".join(sorted({one for methods, regex, _ in self._known if regex.match(path) for one in methods}))

    def plain(self, method: str, path: str) -> str:
        """Return the path as our routes spell it; an unknown one only loses its base and slash."""
        path = without_base(path, self._url_base).rstrip("/") or "/"
        found = [(methods, match, shape) for methods, regex, shape in self._known if (match := regex.match(path))]
        for _methods, match, shape in sorted(found, key=lambda one: method not in one[0]):
            return shape.format(**match.groupdict())
        return path


def without_base(path: str, base: str) -> str:
    """Return the path below a proxy's base; also without the base, as proxies differ in whether they cut it off."""
    below = path.lower().startswith(base.lower()) and path[len(base) : len(base) + 1] in ("", "/")
    return path[len(base) :] if base and below else path


def _pattern_of(route: Any) -> tuple[frozenset[str], re.Pattern[str], str]:
    regex, shape, _ = compile_path(route.path)
    return frozenset(route.methods or ()), re.compile(regex.pattern, re.IGNORECASE), shape
