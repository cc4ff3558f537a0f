"""Who sent a request: the address at the other end, or the one that a proxy we trust speaks for."""

import ipaddress
from collections.abc import Iterable

from starlette.types import Scope

# Headers as middleware reads them.


def heads(scope: Scope, name: bytes) -> list[str]:
    """Every value of this header (lower case), in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def head(scope: Scope, name: bytes) -> str:
    """All values joined, as if they had been one; empty when there is none."""
    return ", ".join(heads(scope, name)).strip()


FORWARDED_MAX = 20


def sender(scope: Scope, proxies: Iterable[str]) -> str:
    """The address as text. ``X-Forwarded-For`` is read from its end, as far as proxies in these networks wrote it: what
    stands before that anybody may have made up."""
    client = scope.get("client")
    address = client[0] if client else ""
    trusted = tuple(proxies)
    hops = head(scope, b"x-forwarded-for").split(",")[-FORWARDED_MAX:]
    while hops and is_in(address, trusted):
        before = hops.pop().strip()
        if _parsed(before) is None:
            break
        address = before
    return address


def is_in(address: str, networks: Iterable[str]) -> bool:
    """Whether it is inside one of these (CIDR texts). An IPv4 address in IPv6 clothes is one of IPv4."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network) for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
