"""A proxy that answers one CONNECT and then passes bytes on, to one port of loopback."""

import selectors
import socket
import threading
from types import TracebackType

JOIN_S = 10.0


class ConnectRelay:
    """Takes one connection. `request` is the head it was asked with."""

    def __init__(self, words: bytes, target_port: int) -> None:
        self.request = b""
        self._words = words
        self._target_port = target_port
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
            while not self.request.endswith(b"\r\n\r\n"):
                self.request += client.recv(4096)
            client.sendall(self._words)
            with socket.create_connection(("127.0.0.1", self._target_port), JOIN_S) as server:
                self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            while ready := both.select(JOIN_S):
                for key, _ in ready:
                    source = client if key.fd == client.fileno() else server
                    data = source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._thread.join(JOIN_S)
        self._listener.close()
        assert not self._thread.is_alive(), "the relay did not end"
