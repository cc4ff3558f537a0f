"""Public-address check: whether an IP address may be fetched from where private networks are not allowed.

The address that is connected to is judged, not the name that led there: a name may mean another address at every
look-up. A module of its own because importing `ipaddress` costs start-up time that few need to pay.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from actors.sources.http.settings import plain
from protocol.model.faults import FaultKind, SourceFault

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = IPv6Network("::/96")
_LOW_32: Final = 0xFFFFFFFF


def refuse_private(addresses: list[Any], host: str) -> None:
    """Raise `SourceFault` PRIVATE_ADDRESS when a single address is not public: which of them answers is for the
    network to say. `addresses` as `socket.getaddrinfo` gives them."""
    for *_, address in addresses:
        if not is_public(str(address[0])):
            detail = f"private address: {plain(host)} is inside a private network, and those are not allowed here"
            raise SourceFault(FaultKind.PRIVATE_ADDRESS, detail)


def is_public(text: str) -> bool:
    """Whether the address is globally reachable; text that is no address is not."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _carried(address)
        return address.is_global and not _odd(address) if inner is None else is_public(str(inner))
    return address.is_global and not _odd(address)


def _odd(address: IPv4Address | IPv6Address) -> bool:
    return address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets for this one reach by a translation mechanism, None without one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        return IPv4Address(int(address) & _LOW_32)
    return None
