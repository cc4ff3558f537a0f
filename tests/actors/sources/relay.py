"""A proxy that answers one CONNECT and then passes bytes on, to one port of loopback."""

import contextlib
import selectors
import socket
import ssl
import threading
from types import TracebackType

JOIN_S = 10.0


class ConnectRelay:
    """Takes one connection. `request` is the head it was asked with; no `words`: it is not asked, only passes on."""

    def __init__(self, words: bytes, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.request = b""
        self._words = words
        self._target_port = target_port
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(JOIN_S)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ConnectRelay":
        self._thread.start()
        return self

    def _run(self) -> None:
        with self._listener.accept()[0] as client:
            client.settimeout(JOIN_S)
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            if not self._greet(client):
                return
            with (
                client,
                contextlib.suppress(ConnectionResetError),
                socket.create_connection(("127.0.0.1", self._target_port), JOIN_S) as server,
            ):
                self._pass(client, server)

    def _greet(self, client: socket.socket) -> bool:
        """Answer as the proxy; whether a tunnel is open then."""
        while self._words and not self.request.endswith(b"\r\n\r\n"):
            self.request += client.recv(4096)
        client.sendall(self._words)
        return True

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            while ready := both.select(JOIN_S):
                for key, _ in ready:
                    source = client if key.fd == client.fileno() else server
                    data = source.recv(65536)
                    while isinstance(source, ssl.SSLSocket) and source.pending():
                        data += source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._thread.join(JOIN_S)
        self._listener.close()
        assert not self._thread.is_alive(), "the relay did not end"


class SocksRelay(ConnectRelay):
    """A SOCKS5 proxy. `login`: ``user:password`` that it wants, empty: none. `reply`: what it says to the request.

    `request` is the request's kind of address, the address and the port.
    """

    def __init__(self, target_port: int, *, login: bytes = b"", reply: int = 0) -> None:
        super().__init__(b"", target_port)
        self._login, self._reply = login, reply

    def _greet(self, client: socket.socket) -> bool:
        _, count = client.recv(2)
        methods = client.recv(count)
        wanted = 2 if self._login else 0
        client.sendall(b"\x05" + (bytes([wanted]) if wanted in methods else b"\xff"))
        if wanted not in methods:
            return False
        if self._login:
            parts = [client.recv(client.recv(2 if number == 0 else 1)[-1]) for number in range(2)]
            good = b":".join(parts) == self._login
            client.sendall(b"\x01" + (b"\x00" if good else b"\x01"))
            if not good:
                return False
        kind = client.recv(4)[3]
        length = {1: 4, 4: 16}.get(kind) or client.recv(1)[0]
        self.request = bytes([kind]) + client.recv(length) + client.recv(2)
        client.sendall(b"\x05" + bytes([self._reply]) + b"\x00\x03\x04here\x00\x07")
        return self._reply == 0
