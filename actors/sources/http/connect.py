"""Connection set-up: name look-up, TCP connect, proxy tunnel and TLS handshake, all within one time limit."""

import itertools
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from actors.runtime.network_interface import InterfaceGone, bind_socket, check_interface_there
from actors.sources.http.head import HeadParser
from actors.sources.http.proxy import Proxy
from actors.sources.http.request_options import family_of, request_head
from actors.sources.http.settings import NO_OPTIONS, plain, status_words
from actors.sources.http.target import Target
from actors.sources.socket_io import PlainStream, Stream
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.job_spec import HttpOptions

if TYPE_CHECKING:
    from actors.sources.http.tls import CarriedSocket, TlsStream

ADDRESSES_MAX: Final = 8
STAGGER_S: Final = 0.25
"""The connection attempt delay that RFC 8305 recommends."""
_TUNNEL_REFUSALS: Final = {401: FaultKind.FORBIDDEN, 403: FaultKind.FORBIDDEN, 407: FaultKind.FORBIDDEN}


def connect(
    target: Target,
    proxy: Proxy | None,
    *,
    user_agent: str,
    timeout_s: float,
    private_ok: bool = True,
    options: HttpOptions = NO_OPTIONS,
    answered: dict[tuple[str, int], str] | None = None,
) -> Stream:
    """Open a new connection, owned by the caller. Every failure is a `SourceFault`.

    Not `private_ok`: to public addresses only, and without a proxy, because where it leads cannot be checked.
    `timeout_s` bounds everything but the name look-up, whose limit is the system's. `answered`: which address of a
    host and port did so last; it is tried first.
    """
    host, port = (proxy.host, proxy.port) if proxy else (target.host, target.port)
    _check_interface(options)
    addresses = _look_up(host, port, family_of(options))
    if not private_ok:
        assert proxy is None
        _refuse_private(addresses, target.host)
    until_s = time.monotonic() + timeout_s
    known = answered if answered is not None else {}
    addresses.sort(key=lambda each: each[4][0] != known.get((host, port)))
    sock = _dial(addresses, f"the proxy {host}:{port}" if proxy else target.authority, until_s, options.interface)
    known[host, port] = sock.getpeername()[0]
    carrier: socket.socket | CarriedSocket = sock
    try:
        if proxy and proxy.scheme == "https":
            encrypted = _encrypted(sock, proxy.host, until_s, f"the proxy {proxy.host}")
            if target.scheme == "http":
                return encrypted
            carrier = encrypted.carrier()
        if proxy and not proxy.is_http:
            _socks_tunnel(sock, target.host, target.port, proxy, family_of(options), until_s)
        elif proxy and target.scheme == "https":
            _tunnel(carrier, target, proxy, user_agent, until_s)
    except BaseException:
        sock.close()
        raise
    return PlainStream(sock) if target.scheme == "http" else _encrypted(carrier, target.host, until_s)


def _encrypted(carrier: "socket.socket | CarriedSocket", host: str, until_s: float, place: str = "") -> "TlsStream":
    from actors.sources.http import tls

    return tls.wrap(carrier, host, timeout_s=max(0.1, until_s - time.monotonic()), place=place)


def open_socket(host: str, port: int, proxy: Proxy | None, *, timeout_s: float, options: HttpOptions) -> socket.socket:
    """Open a connection to a host by TCP, or through a SOCKS proxy; owned by the caller, blocking.

    Every failure is a `SourceFault`.
    """
    _check_interface(options)
    until_s = time.monotonic() + timeout_s
    place, at = (proxy.host, proxy.port) if proxy else (host, port)
    addresses = _look_up(place, at, family_of(options))
    sock = _dial(addresses, f"the proxy {place}:{at}" if proxy else f"{host}:{port}", until_s, options.interface)
    try:
        if proxy is not None:
            _socks_tunnel(sock, host, port, proxy, family_of(options), until_s)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_interface(options: HttpOptions) -> None:
    try:
        check_interface_there(options.interface)
    except InterfaceGone as gone:
        raise SourceFault(FaultKind.INTERFACE_GONE, gone.words) from gone


def _refuse_private(addresses: list[Any], host: str) -> None:
    """Raise `SourceFault` PRIVATE_ADDRESS when a single address is not public: any of them may answer.

    Judged is what is connected to: a name may mean another address at every look-up.
    """
    from protocol.model.public_addresses import is_public

    if not all(is_public(str(address[0])) for *_, address in addresses):
        detail = f"private address: {plain(host)} is inside a private network, and those are not allowed here"
        raise SourceFault(FaultKind.PRIVATE_ADDRESS, detail)


def _look_up(host: str, port: int, family: int) -> list[Any]:
    if host.rstrip(".").endswith(".localhost") or host == "localhost.":
        host = "localhost"  # RFC 6761: this machine, whatever the resolver knows
    try:
        # As bytes: a str would be run through IDNA, which has exceptions of its own.
        return socket.getaddrinfo(host.encode("ascii"), port, family=family, type=socket.SOCK_STREAM)[:ADDRESSES_MAX]
    except socket.gaierror as error:
        raise look_up_fault(error, host) from error


def look_up_fault(error: socket.gaierror, host: str) -> SourceFault:
    """Return the fault of a failed look-up: final when there is no such host, passing when the resolver cannot say."""
    if error.errno in (getattr(socket, "EAI_ADDRFAMILY", None), socket.EAI_FAMILY):
        return SourceFault(FaultKind.NO_SUCH_HOST, f"{plain(host)} has no address of the IP version that was asked for")
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
        return SourceFault(FaultKind.NO_SUCH_HOST, f"there is no host {plain(host)}")
    return SourceFault(FaultKind.CONNECT_TIMEOUT, f"cannot look up {plain(host)} at present: {error.strerror}")


def _dial(addresses: list[Any], place: str, until_s: float, interface: str) -> socket.socket:
    """Connect to the address that answers first, by RFC 8305. `place` is the name for people.

    Each next one is tried `STAGGER_S` after the one before, or as soon as that has failed.
    """
    waiting, begun = _interleaved(addresses), dict[int, socket.socket]()
    failure: OSError | None = None
    poll, next_s = select.poll(), 0.0
    try:
        while (waiting or begun) and (now_s := time.monotonic()) < until_s:
            if waiting and (now_s >= next_s or not begun):
                next_s = now_s + STAGGER_S
                try:
                    sock = _begin(waiting.pop(0), interface)
                except OSError as error:
                    failure = error
                    continue
                begun[sock.fileno()] = sock
                poll.register(sock, select.POLLOUT)
            wake_s = min(next_s, until_s) if waiting else until_s
            for descriptor, _ in poll.poll(max(wake_s - now_s, 0.0) * 1000):
                poll.unregister(descriptor)
                sock = begun.pop(descriptor)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return sock
                sock.close()
                failure, next_s = OSError(code, os.strerror(code)), 0.0
        raise _dial_fault(TimeoutError() if begun else failure, place)
    finally:
        for sock in begun.values():
            sock.close()


def _interleaved(addresses: list[Any]) -> list[Any]:
    """Return the addresses with their families in turn, that of the first one first."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    other = [each for each in addresses if each[0] != addresses[0][0]]
    pairs = itertools.zip_longest(first, other)
    return [each for pair in pairs for each in pair if each is not None]


def _begin(address: Any, interface: str) -> socket.socket:
    """Begin to connect to an address, as `socket.getaddrinfo` gives it."""
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        bind_socket(sock, interface)
        sock.connect(place)
    except BlockingIOError:
        pass
    except BaseException:
        sock.close()
        raise
    return sock


def _dial_fault(error: OSError | None, place: str) -> SourceFault:
    if isinstance(error, InterfaceGone):
        return SourceFault(FaultKind.INTERFACE_GONE, error.words)
    if isinstance(error, TimeoutError):
        return SourceFault(FaultKind.CONNECT_TIMEOUT, f"{place} did not accept a connection in time")
    words = error.strerror if error and error.strerror else "no address"
    return SourceFault(FaultKind.REFUSED, f"cannot connect to {place}: {words}")


def _socks_tunnel(sock: socket.socket, host: str, port: int, proxy: Proxy, family: int, until_s: float) -> None:
    from actors.sources.http import socks

    if proxy.scheme == "socks5":  # which looks nothing up itself
        host = str(_look_up(host, port, family)[0][4][0])
    socks.open_tunnel(sock, host, port, proxy, until_s)


def _tunnel(
    sock: "socket.socket | CarriedSocket", target: Target, proxy: Proxy, user_agent: str, until_s: float
) -> None:
    """Have the proxy open a tunnel. Bytes that come after it are the target's."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    fields = [("Host", f"{host}:{target.port}"), ("User-Agent", user_agent)]
    if proxy.login:
        fields.append(("Proxy-Authorization", proxy.login))
    parser = HeadParser(f"the proxy {proxy.host}")
    request = request_head("CONNECT", f"{host}:{target.port}", fields)
    try:
        sock.sendall(request)
        status = _tunnel_status(sock, parser, until_s)
    except TimeoutError as error:
        raise SourceFault(FaultKind.CONNECT_TIMEOUT, f"the proxy {proxy.host} did not answer in time") from error
    except OSError as error:
        raise SourceFault(FaultKind.RESET, f"the proxy {proxy.host} broke the connection") from error
    if not 200 <= status < 300:
        kind = _TUNNEL_REFUSALS.get(status, FaultKind.REFUSED)
        raise SourceFault(kind, f"the proxy {proxy.host} says {status_words(status)}")
    if parser.rest:
        raise SourceFault(FaultKind.BAD_ANSWER, f"the proxy {proxy.host} speaks before the server can")


def _tunnel_status(sock: "socket.socket | CarriedSocket", parser: HeadParser, until_s: float) -> int:
    while True:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        data = sock.recv(4096)
        if not data:
            raise parser.bad("closes the connection without an answer")
        head = parser.feed(memoryview(data))
        if head is not None:
            return head.status
