"""TLS stream of an HTTP source. A module of its own because importing `ssl` costs start-up time."""

import functools
import os
import socket
import ssl
import time
from typing import Final

from actors.sources.http.settings import plain
from actors.sources.reader import SLICE_S
from actors.sources.socket_io import SEND_S_MAX, readable
from protocol.model.faults import FaultKind, SourceFault

STORES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def wrap(sock: socket.socket, host: str, *, timeout_s: float) -> "TlsStream":
    """Do the handshake with `host` and verify its certificate. The socket is closed when that fails."""
    # Ragged ends are recognised: an attacker in the middle must not be able to cut short a body that EOF ends.
    try:
        context = _context(*(os.environ.get(name, "") for name in STORES))
        sock.settimeout(timeout_s)
        return TlsStream(context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False))
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _fault(error, host) from error
        raise


@functools.lru_cache(maxsize=4)
def _context(cert_file: str, cert_dir: str, *bundles: str) -> ssl.SSLContext:
    """Return the trust store, shared by the threads of a process: loading it costs 20 ms.

    All that the environment names is trusted, for OpenSSL, curl or requests; the system's own only where it names none.
    """
    more = [path for path in dict.fromkeys(bundles) if path and path != cert_file]
    context = (
        ssl.create_default_context()
        if cert_file or cert_dir or not any(bundles)
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    for path in more:
        folder = os.path.isdir(path)
        try:
            context.load_verify_locations(None if folder else path, path if folder else None)
        except OSError as error:
            words = f"the certificates in {plain(path, 200)} cannot be read: {error.strerror or 'none there'}"
            raise SourceFault(FaultKind.TLS_UNTRUSTED, words) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fault(error: OSError, host: str) -> SourceFault:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = plain(error.verify_message or "not valid", 200)
        return SourceFault(FaultKind.TLS_UNTRUSTED, f"the certificate of {host} is not trusted: {reason}")
    if isinstance(error, TimeoutError):
        return SourceFault(FaultKind.CONNECT_TIMEOUT, f"{host} did not finish the TLS handshake in time")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return SourceFault(FaultKind.BAD_ANSWER, f"{host} does not speak TLS as we do: {plain(error.reason or '?')}")
    return SourceFault(FaultKind.RESET, f"{host} closed the connection during the TLS handshake")


class TlsStream:
    """Non-blocking TLS stream. A call gives at most a record (16 KiB), so a slice is a loop."""

    __slots__ = ("_sock", "eof", "torn")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        sock.settimeout(0.0)
        self._sock = sock
        self.eof = False
        self.torn = False

    def send(self, data: bytes) -> None:
        self._sock.settimeout(SEND_S_MAX)
        self._sock.sendall(data)
        self._sock.settimeout(0.0)

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        filled, room = 0, len(view)
        until_s = time.monotonic() + SLICE_S
        while filled < room and not self.eof:
            got = self._record(view[filled:])
            filled += got
            if filled and not whole:
                break
            left_s = until_s - time.monotonic()
            if left_s <= 0 or (not got and not self.eof and not readable(self._sock, left_s)):
                break
        return filled

    def _record(self, view: memoryview) -> int:
        try:
            got = self._sock.recv_into(view)
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLEOFError:
            self.torn = self.eof = True
            return 0
        self.eof = got == 0
        return got

    def drain(self, count: int) -> bool:
        scratch = memoryview(bytearray(count))
        while count:
            try:
                got = self._record(scratch[:count])
            except OSError:
                return False
            if got == 0:
                return False
            count -= got
        return True

    def idle(self) -> bool:
        return not self._sock.pending() and not readable(self._sock)

    def close(self) -> None:
        self._sock.close()
