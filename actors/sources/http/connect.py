"""From a target to a connection on which a request can be sent: look up, connect, tunnel, TLS; all within one limit."""

import os
import socket
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from actors.sources.http.settings import HEAD_BYTES_MAX, plain, status_words
from actors.sources.http.target import Target, basic_login
from actors.sources.socket_io import PlainWire, Wire
from protocol.model.faults import FaultKind, SourceFault

# Which addresses belong to everybody: others may only be fetched from where the user allows it.
# Judged is the address that is connected to, not the name that led there: a name may mean another address at every
# look-up. A module of its own because importing `ipaddress` costs start-up time that few need to pay.

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = IPv6Network("::/96")
_LOW_32: Final = 0xFFFFFFFF


def refuse_private(addresses: list[Any], host: str) -> None:
    """`addresses` as `socket.getaddrinfo` gives them. `SourceFault` PRIVATE_ADDRESS when a single one is not public:
    which of them answers is for the network to say."""
    for *_, address in addresses:
        if not is_public(str(address[0])):
            detail = f"private address: {plain(host)} is inside a private network, and those are not allowed here"
            raise SourceFault(FaultKind.PRIVATE_ADDRESS, detail)


def is_public(text: str) -> bool:
    """Whether anybody on the internet means the same machine by this address. What cannot be read is not."""
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
    """The IPv4 address that packets for this one end up at, by way of one translation or another."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        return IPv4Address(int(address) & _LOW_32)
    return None


# Which proxy the environment wants for a target.


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy: `http` targets are asked for through it by their full URL, `https` ones by CONNECT."""

    host: str
    port: int
    login: str = field(repr=False)


def proxy_for(target: Target) -> Proxy | None:
    """From ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` in either spelling."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # the import below costs more than all the rest of a start
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    return parse_proxy(url)


def parse_proxy(url: str) -> Proxy:
    """``http://user:password@host:port`` or ``host:port``. A proxy of another kind is said to be unsupported."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
        login = basic_login(parts.username, parts.password)
    except ValueError:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy in the environment is not a URL") from None
    if parts.scheme != "http":
        scheme = plain(parts.scheme, 20)
        raise SourceFault(FaultKind.UNSUPPORTED_URL, f"the environment names a {scheme} proxy: only http is supported")
    if not host or not host.isascii():
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy in the environment names no host")
    return Proxy(host=host, port=port or 80, login=login)


ADDRESSES_MAX: Final = 8
_TUNNEL_REFUSALS: Final = {401: FaultKind.FORBIDDEN, 403: FaultKind.FORBIDDEN, 407: FaultKind.FORBIDDEN}


def connect(target: Target, proxy: Proxy | None, *, user_agent: str, timeout_s: float, private_ok: bool = True) -> Wire:
    """A new connection, owned by the caller. Every failure is a `SourceFault`.

    Not `private_ok`: to public addresses only; there is no proxy then, nobody could know where it leads.
    `timeout_s` bounds everything but the name look-up, whose limit is the system's.
    """
    host, port = (proxy.host, proxy.port) if proxy else (target.host, target.port)
    addresses = _look_up(host, port)
    if not private_ok:
        from actors.sources.http.connect import refuse_private

        assert proxy is None
        refuse_private(addresses, target.host)
    until_s = time.monotonic() + timeout_s
    sock = _dial(addresses, f"the proxy {host}:{port}" if proxy else target.authority, until_s)
    if target.scheme == "http":
        return PlainWire(sock)
    try:
        if proxy:
            _tunnel(sock, target, proxy, user_agent, until_s)
    except BaseException:
        sock.close()
        raise
    from actors.sources.http import tls

    return tls.wrap(sock, target.host, timeout_s=max(0.1, until_s - time.monotonic()))


def _look_up(host: str, port: int) -> list[Any]:
    try:
        # As bytes: a str would be run through IDNA, which has exceptions of its own.
        return socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)[:ADDRESSES_MAX]
    except socket.gaierror as error:
        raise look_up_fault(error, host) from error


def look_up_fault(error: socket.gaierror, host: str) -> SourceFault:
    """No such host is the source's fault for good; a resolver that cannot say may know later."""
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
        return SourceFault(FaultKind.NO_SUCH_HOST, f"there is no host {plain(host)}")
    return SourceFault(FaultKind.CONNECT_TIMEOUT, f"cannot look up {plain(host)} at present: {error.strerror}")


def _dial(addresses: list[Any], place: str, until_s: float) -> socket.socket:
    """The first address that answers; each gets its share of the time, so a dead one cannot eat all of it.

    `place` is what people call it."""
    failure: OSError | None = None
    for tried, (family, kind, protocol, _name, address) in enumerate(addresses):
        share_s = (until_s - time.monotonic()) / (len(addresses) - tried)
        try:
            return _dial_one(family, kind, protocol, address, max(0.1, share_s))
        except OSError as error:
            failure = error
    raise _dial_fault(failure, place)


def _dial_one(family: int, kind: int, protocol: int, address: Any, timeout_s: float) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _dial_fault(error: OSError | None, place: str) -> SourceFault:
    if isinstance(error, TimeoutError):
        return SourceFault(FaultKind.CONNECT_TIMEOUT, f"{place} did not accept a connection in time")
    words = error.strerror if error and error.strerror else "no address"
    return SourceFault(FaultKind.REFUSED, f"cannot connect to {place}: {words}")


def _tunnel(sock: socket.socket, target: Target, proxy: Proxy, user_agent: str, until_s: float) -> None:
    """Have the proxy connect us through. What comes from here on is the target's."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    fields = [("Host", f"{host}:{target.port}"), ("User-Agent", user_agent)]
    if proxy.login:
        fields.append(("Proxy-Authorization", proxy.login))
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    request = h11.Request(method="CONNECT", target=f"{host}:{target.port}", headers=fields)
    try:
        sock.sendall(talk.send(request) or b"")
        status = _tunnel_status(sock, talk, until_s)
    except TimeoutError as error:
        raise SourceFault(FaultKind.CONNECT_TIMEOUT, f"the proxy {proxy.host} did not answer in time") from error
    except OSError as error:
        raise SourceFault(FaultKind.RESET, f"the proxy {proxy.host} broke the connection") from error
    except h11.RemoteProtocolError as error:
        raise SourceFault(FaultKind.BAD_ANSWER, f"the proxy {proxy.host} does not answer in HTTP") from error
    if not 200 <= status < 300:
        kind = _TUNNEL_REFUSALS.get(status, FaultKind.REFUSED)
        raise SourceFault(kind, f"the proxy {proxy.host} says {status_words(status)}")
    if talk.trailing_data[0]:
        raise SourceFault(FaultKind.BAD_ANSWER, f"the proxy {proxy.host} speaks before the server can")


def _tunnel_status(sock: socket.socket, talk: h11.Connection, until_s: float) -> int:
    while True:
        event = talk.next_event()
        if isinstance(event, h11.Response):
            return event.status_code
        if isinstance(event, h11.InformationalResponse):
            continue
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        talk.receive_data(sock.recv(4096))
