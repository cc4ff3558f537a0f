"""Public-address check by the IANA special-purpose address registries of IPv4 and IPv6.

The list is our own: what Python calls global differs between its versions. Left out of it are blocks that the
registries call globally reachable as a whole; a block of which only single addresses are so (192.0.0.0/24, 2001::/23)
is in it. A module of its own because importing `ipaddress` costs start-up time that few need to pay.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Final

_SPECIAL_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private use
            "100.64.0.0/10",  # shared address space of carriers
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link local
            "172.16.0.0/12",  # private use
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relay anycast, deprecated
            "192.168.0.0/16",  # private use
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_UNICAST_6: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is allocated; everything outside it is special, fec0::/10 and fc00::/7 too."""
_SPECIAL_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_TRANSLATED: Final = tuple(map(IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
"""IPv4-mapped addresses and NAT64: the last 32 bits are the IPv4 address that packets reach."""
_LOW_32: Final = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Return whether the address is globally reachable; text that is no address is not."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_4)
    if any(address in block for block in _TRANSLATED):
        return is_public(str(IPv4Address(int(address) & _LOW_32)))
    if address.sixtofour is not None and not is_public(str(address.sixtofour)):
        return False
    return address in _UNICAST_6 and not any(address in block for block in _SPECIAL_6)
