"""TLS stream of an HTTP source. A module of its own because importing `ssl` costs start-up time."""

import contextlib
import functools
import os
import socket
import ssl
import threading
import time
from typing import Final

from actors.runtime.network_interface import InterfaceGuard
from actors.sources.http.settings import plain
from actors.sources.reader import SLICE_S
from actors.sources.socket_io import readable, set_slices
from protocol.model.faults import FaultKind, SourceFault

RECEIVED_BYTES: Final = 1 << 18
"""Received at once: many records, and no more than stays in the cache until they are decrypted."""
RECORD_BYTES: Final = 32 * 1024
"""Room for a record of the largest size, 16 KiB, and more."""
STORES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def wrap(sock: "socket.socket | CarriedSocket", host: str, *, timeout_s: float, place: str = "") -> "TlsStream":
    """Do the handshake with `host` and verify its certificate. The socket is closed when that fails.

    `place`: what people call it, where that is not the host.
    """
    try:
        stream = TlsStream(sock, trust_store(), host.rstrip("."))  # certificates name hosts without the dot of the root
        stream.shake_hands(time.monotonic() + timeout_s)
        return stream
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _fault(error, place or host) from error
        raise


_loading: Final = threading.Lock()


def trust_store() -> ssl.SSLContext:
    """Return the trust store that the environment names, shared by the threads of a process. Raises `SourceFault`.

    Loading it costs 20 to 60 ms of CPU. All sources of a job connect at the same moment: one loads it, the others wait.
    """
    with _loading:
        return _context(*(os.environ.get(name, "") for name in STORES))


@functools.lru_cache(maxsize=4)
def _context(cert_file: str, cert_dir: str, *bundles: str) -> ssl.SSLContext:
    """Load a trust store.

    All that the environment names is trusted, for OpenSSL, curl or requests; the system's own only where it names none.
    """
    more = [path for path in dict.fromkeys(bundles) if path and path != cert_file]
    for name, path in zip(STORES, (cert_file, cert_dir), strict=False):
        if path and not any(map(os.path.exists, path.split(os.pathsep))):  # OpenSSL passes over it in silence
            raise SourceFault(FaultKind.TLS_UNTRUSTED, f"{name} names {plain(path, 200)}, which does not exist")
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
    """TLS stream over a blocking socket whose reads end after a slice.

    Received records go through a buffer in memory (`ssl.MemoryBIO`) instead of the socket itself, which would be asked
    twice for each record of 16 KiB: once for its head, once for the rest.
    """

    __slots__ = ("_incoming", "_outgoing", "_sock", "_tls", "eof", "torn")

    def __init__(self, sock: "socket.socket | CarriedSocket", context: ssl.SSLContext, host: str) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.eof = False
        self.torn = False

    def shake_hands(self, until_s: float) -> None:
        """Do the handshake until then and prepare the socket for reading in slices. Raises `OSError`."""
        while True:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._sock.settimeout(left_s)
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._sock.recv(RECORD_BYTES)
                self._incoming.write(data) if data else self._incoming.write_eof()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # says to the other side what is wrong
                raise
            else:
                break
        self._flush()
        if isinstance(self._sock, CarriedSocket):
            self._sock.settimeout(None)
        else:
            set_slices(self._sock)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        filled, room = 0, len(view)
        until_s = time.monotonic() + SLICE_S
        while True:
            filled += self._decrypt(view[filled:])
            if filled == room or self.eof or (filled and not whole) or time.monotonic() >= until_s:
                return filled
            if not self._receive(view[filled:]):
                return filled

    def _decrypt(self, view: memoryview) -> int:
        """Decrypt the records that are here; 0: none is, or `eof`."""
        filled, room, read = 0, len(view), self._tls.read
        try:
            while filled < room:
                got: int = read(room - filled, view[filled:] if filled else view)  # type: ignore[assignment,arg-type,unused-ignore]
                if got == 0:
                    self.eof = True
                    break
                filled += got
        except ssl.SSLWantReadError:
            self._flush()  # what the protocol itself has to answer
        except ssl.SSLEOFError:
            self.torn = self.eof = True
        return filled

    def _read(self, view: memoryview) -> int:
        """Decrypt one record, or what is left of one; 0: none is here, or `eof`."""
        try:
            got: int = self._tls.read(len(view), view)  # type: ignore[assignment,arg-type,unused-ignore]
        except ssl.SSLWantReadError:
            self._flush()  # what the protocol itself has to answer
            return 0
        except ssl.SSLEOFError:
            self.torn = self.eof = True
            return 0
        self.eof = got == 0
        return got

    def _receive(self, view: memoryview, flags: int = 0) -> bool:
        """Receive records, by way of a view that the decrypted bytes will overwrite; False: nothing came in time."""
        if len(view) < RECORD_BYTES:
            view = memoryview(bytearray(RECORD_BYTES))
        view = view[:RECEIVED_BYTES]
        try:
            count = self._sock.recv_into(view, 0, flags)
        except BlockingIOError:
            return False
        self._incoming.write(view[:count]) if count else self._incoming.write_eof()
        return True

    def drain(self, count: int) -> bool:
        scratch = memoryview(bytearray(count))
        while count:
            try:
                got = self._read(scratch[:count])
                if not got and (self.eof or not self._receive(scratch[:0], socket.MSG_DONTWAIT)):
                    return False
            except OSError:
                return False
            count -= got
        return True

    def guard(self, interface: str) -> InterfaceGuard:
        if isinstance(self._sock, CarriedSocket):
            return self._sock.stream.guard(interface)
        return InterfaceGuard(self._sock, interface)

    def carrier(self) -> "CarriedSocket":
        """Return what a TLS connection inside this one goes through."""
        return CarriedSocket(self)

    def idle(self) -> bool:
        if self._tls.pending() or self._incoming.pending:
            return False
        return self._sock.stream.idle() if isinstance(self._sock, CarriedSocket) else not readable(self._sock)

    def close(self) -> None:
        self._sock.close()


class CarriedSocket:
    """Tunnel through a TLS stream, used as a socket: a TLS connection inside that to a proxy.

    Without a time limit a read ends after a slice, as one of a socket that `set_slices` has prepared.
    """

    __slots__ = ("_timeout_s", "stream")

    def __init__(self, stream: TlsStream) -> None:
        self.stream = stream
        self._timeout_s: float | None = None

    def settimeout(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s

    def sendall(self, data: bytes) -> None:
        self.stream.send(data)

    def recv(self, count: int) -> bytes:
        view = memoryview(bytearray(count))
        return bytes(view[: self.recv_into(view)])

    def recv_into(self, view: memoryview, _count: int = 0, flags: int = 0) -> int:
        """Read what has come; 0: the end. Raises `BlockingIOError` or `TimeoutError` when nothing comes in time."""
        until_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not (flags & socket.MSG_DONTWAIT and self.stream.idle()):
            count = self.stream.fill(view, whole=False)
            if self.stream.torn:
                raise ConnectionResetError("the tunnel was broken off")
            if count or self.stream.eof:
                return count
            if until_s is None:
                break
            if time.monotonic() >= until_s:
                raise TimeoutError
        raise BlockingIOError

    def close(self) -> None:
        self.stream.close()
