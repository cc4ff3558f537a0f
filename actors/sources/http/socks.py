"""SOCKS5 tunnel (RFC 1928, RFC 1929) over a connection to the proxy. Imported only where one is used."""

import ipaddress
import socket
import time
from typing import Final

from socksio import ProtocolError
from socksio.socks5 import (
    SOCKS5AType,
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
    SOCKS5State,
    SOCKS5UsernamePasswordRequest,
)

from actors.sources.http.proxy import Proxy
from protocol.model.faults import FaultKind, SourceFault

_LOGIN_BYTES_MAX: Final = 255
_ADDRESS_BYTES: Final = {SOCKS5AType.IPV4_ADDRESS: 4, SOCKS5AType.IPV6_ADDRESS: 16}
_REFUSALS: Final = {
    SOCKS5ReplyCode.CONNECTION_NOT_ALLOWED_BY_RULESET: (FaultKind.FORBIDDEN, "does not allow this connection"),
    SOCKS5ReplyCode.NETWORK_UNREACHABLE: (FaultKind.REFUSED, "cannot reach that network"),
    SOCKS5ReplyCode.HOST_UNREACHABLE: (FaultKind.REFUSED, "cannot reach that host"),
    SOCKS5ReplyCode.CONNECTION_REFUSED: (FaultKind.REFUSED, "was refused there"),
    SOCKS5ReplyCode.TTL_EXPIRED: (FaultKind.CONNECT_TIMEOUT, "did not get through in time"),
}


class _Bytes:
    """Exact reads within one time limit: the protocol's frames have no common length."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock, self._until_s = sock, until_s

    def take(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._sock.settimeout(left_s)
            data = self._sock.recv(count - len(got))
            if not data:
                raise ConnectionResetError("closed")
            got += data
        return got


def open_tunnel(sock: socket.socket, host: str, port: int, proxy: Proxy, until_s: float) -> None:
    """Have the proxy connect to `host`, a name or an address. Every failure is a `SourceFault`."""
    place = f"the proxy {proxy.host}"
    try:
        reply = _asked(sock, host, port, proxy, _Bytes(sock, until_s), place)
    except TimeoutError as error:
        raise SourceFault(FaultKind.CONNECT_TIMEOUT, f"{place} did not answer in time") from error
    except OSError as error:
        raise SourceFault(FaultKind.RESET, f"{place} broke the connection") from error
    except (ProtocolError, ValueError) as error:
        raise SourceFault(FaultKind.BAD_ANSWER, f"{place} does not speak SOCKS5") from error
    if reply.reply_code is not SOCKS5ReplyCode.SUCCEEDED:
        kind, words = _REFUSALS.get(reply.reply_code, (FaultKind.REFUSED, "failed to connect"))
        raise SourceFault(kind, f"{place} {words}")


def _asked(sock: socket.socket, host: str, port: int, proxy: Proxy, reply: _Bytes, place: str) -> SOCKS5Reply:
    connection = SOCKS5Connection()
    methods = [SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if proxy.user or proxy.password:
        methods.append(SOCKS5AuthMethod.USERNAME_PASSWORD)
    connection.send(SOCKS5AuthMethodsRequest(methods))
    sock.sendall(connection.data_to_send())
    connection.receive_data(reply.take(2))
    if connection.state is SOCKS5State.CLIENT_WAITING_FOR_USERNAME_PASSWORD and len(methods) == 2:
        login = (proxy.user[:_LOGIN_BYTES_MAX], proxy.password[:_LOGIN_BYTES_MAX])
        connection.send(SOCKS5UsernamePasswordRequest(*login))
        sock.sendall(connection.data_to_send())
        connection.receive_data(reply.take(2))
    if connection.state is not SOCKS5State.CLIENT_AUTHENTICATED:
        words = "does not take this login" if len(methods) == 2 else "wants a login"
        raise SourceFault(FaultKind.FORBIDDEN, f"{place} {words}")
    connection.send(_request(host, port))
    sock.sendall(connection.data_to_send())
    head = reply.take(4)
    kind = SOCKS5AType(head[3:4])
    length = reply.take(1) if kind is SOCKS5AType.DOMAIN_NAME else b""
    rest = reply.take((length[0] if length else _ADDRESS_BYTES[kind]) + 2)
    answer = connection.receive_data(head + length + rest)
    assert isinstance(answer, SOCKS5Reply)
    return answer


def _request(host: str, port: int) -> SOCKS5CommandRequest:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        kind, packed = SOCKS5AType.DOMAIN_NAME, host.encode("ascii")
    else:
        kind = SOCKS5AType.IPV6_ADDRESS if address.version == 6 else SOCKS5AType.IPV4_ADDRESS
        packed = address.packed
    return SOCKS5CommandRequest(SOCKS5Command.CONNECT, kind, packed, port)
