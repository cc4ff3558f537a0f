"""A loopback server that gives exactly the bytes a test lists, and remembers what it was asked.

A script is a list of connections, each a list of answers, each a list of pieces: bytes are sent, an `Act` is done.
A server that greets does not wait for a request. One thread; `close` ends it in bounded time.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from enum import Enum, auto

JOIN_S = 10.0


class Act(Enum):
    RESET = auto()  # break the connection with unsent data thrown away
    CLOSE = auto()
    HANG = auto()  # say nothing until the client goes or the test ends
    WAIT = auto()  # until the test calls `go_on`
    PAUSE = auto()  # 20 ms, so that pieces arrive apart


Piece = bytes | Act
Answer = Sequence[Piece]


def answer(status: str, *fields: str, body: bytes = b"", length: bool = True) -> bytes:
    """The bytes of one answer; with its Content-Length unless `length` is False."""
    lines = [f"HTTP/1.1 {status}", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def part(content: bytes, start: int, stop: int, *fields: str) -> bytes:
    """A right 206 for bytes [start, stop) of `content`."""
    span = f"Content-Range: bytes {start}-{stop - 1}/{len(content)}"
    return answer("206 Partial Content", span, *fields, body=content[start:stop])


class ScriptedServer:
    def __init__(self, *script: Sequence[Answer], tls: ssl.SSLContext | None = None, greets: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._greets = greets
        self._over = threading.Event()
        self._going_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._current: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, path: str = "/file", *, login: str = "", scheme: str = "", host: str = "127.0.0.1") -> str:
        scheme = scheme or ("https" if self._tls else "http")
        return f"{scheme}://{login + '@' if login else ''}{host}:{self.port}{path}"

    def fields(self, index: int) -> dict[str, str]:
        """The header fields of a request, names in lower case."""
        lines = self.requests[index].decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def first_line(self, index: int) -> str:
        return self.requests[index].decode("latin-1").split("\r\n")[0]

    def go_on(self) -> None:
        self._going_on.set()

    def _serve(self) -> None:
        for answers in self._script:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self._current = sock
            self.connections += 1
            try:
                self._converse(sock, answers)
            except (OSError, ValueError):  # ValueError: TLS of a socket that has no connection any more
                pass  # the client hung up, or shook no hands: what it did is asserted on its side
            finally:
                if self._current is not None:
                    self._current.close()
        self._listener.close()

    def _converse(self, sock: socket.socket, answers: Sequence[Answer]) -> None:
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True)
            self._current = sock
        for pieces in answers:
            head = b"" if self._greets else self._request(sock)
            if not head and not self._greets:
                return
            self.requests.append(head)
            for piece in pieces:
                if isinstance(piece, bytes):
                    sock.sendall(piece)
                elif not self._act(sock, piece):
                    return
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()

    def _request(self, sock: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = sock.recv(4096)
            if not data:
                return b""
            head += data
        return head

    def _act(self, sock: socket.socket, act: Act) -> bool:
        if act is Act.PAUSE:
            self._over.wait(0.02)
            return True
        if act is Act.WAIT:
            return self._going_on.wait(JOIN_S)
        if act is Act.HANG:
            sock.settimeout(JOIN_S)
            sock.recv(1)
        elif act is Act.RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def close(self) -> None:
        self._over.set()
        self._going_on.set()
        for sock in (self._listener, self._current):
            try:
                if sock is not None:
                    sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that sits in accept or recv
            except OSError:
                pass  # not connected any more
        self._thread.join(JOIN_S)
        self._listener.close()
        assert not self._thread.is_alive(), "the scripted server did not end"
