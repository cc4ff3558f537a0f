"""Loopback HTTP server whose answers a test writes itself, byte for byte where it must."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

JOIN_S = 10.0


class Request:
    """One request: its number on this server (from 1), target and fields in lower case."""

    def __init__(self, head: bytes, number: int) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.number = number
        self.method, self.target, _ = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:])
        self.fields = {name.strip().lower(): value.strip() for name, _, value in pairs}

    def range(self, size: int) -> tuple[int, int] | None:
        """Return the ``[start, stop)`` that is asked for, None without a Range field."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.fields.get("range", ""))
        return (int(match[1]), min(int(match[2]) + 1, size) if match[2] else size) if match else None


class Reply:
    """What a handler answers with. `False` from a handler closes the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def raw(self, data: bytes) -> None:
        self._sock.sendall(data)

    def head(self, status: str, *fields: str, version: str = "HTTP/1.1") -> None:
        lines = [f"{version} {status}", *fields, "", ""]
        self.raw("\r\n".join(lines).encode("utf-8", "surrogateescape"))

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


Handler = Callable[[Request, Reply], bool]


class WildServer:
    """Serves every connection in a thread of its own. `requests`: all that were made, in order."""

    def __init__(self, handler: Handler, *, host: str = "127.0.0.1", tls: Any = None) -> None:
        self.requests: list[Request] = []
        self._handler, self._tls = handler, tls
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._socks: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def url(self, path: str = "/big.bin", *, host: str = "127.0.0.1", login: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://{login}{host}:{self.port}{path}"

    @property
    def ranges(self) -> list[str]:
        return [request.fields.get("range", "") for request in self.requests]

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self._socks.add(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._socks.add(sock)
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                with self._lock:
                    request = Request(head, len(self.requests) + 1)
                    self.requests.append(request)
                if not self._handler(request, Reply(sock)):
                    return
        except OSError:
            pass  # the client hung up: what it did is asserted on its side
        finally:
            _end(sock)

    def stop_listening(self) -> None:
        """Refuse further connections; those that are open go on."""
        _end(self._listener)

    def close(self) -> None:
        _end(self._listener)
        for sock in list(self._socks):
            _end(sock)
        for thread in self._threads:
            thread.join(JOIN_S)
            assert not thread.is_alive(), "the server did not end"


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class File:
    """A file and how a decent server gives it: with ranges, validators and If-Range."""

    def __init__(self, data: bytes, *, etag: str = '"v1"', modified: str = "Tue, 03 Nov 2026 10:00:00 GMT") -> None:
        self.data, self.etag, self.modified = data, etag, modified

    def __call__(
        self,
        request: Request,
        reply: Reply,
        *fields: str,
        cut: int | None = None,
        etag: str | None = None,
        modified: str | None = None,
        status: str = "",
        ranged: bool = True,
    ) -> bool:
        """Answer. `cut`: bytes of body after which the connection ends. `ranged` False: Range is ignored."""
        etag = self.etag if etag is None else etag
        modified = self.modified if modified is None else modified
        wanted = request.range(len(self.data)) if ranged else None
        if request.fields.get("if-range", etag) not in (etag, modified):
            wanted = None
        common = [f"ETag: {etag}"] * bool(etag) + [f"Last-Modified: {modified}"] * bool(modified) + list(fields)
        if wanted and wanted[0] >= len(self.data):
            reply.head("416 Range Not Satisfiable", f"Content-Range: bytes */{len(self.data)}", "Content-Length: 0")
            return True
        start, stop = wanted or (0, len(self.data))
        if wanted:
            common.append(f"Content-Range: bytes {start}-{stop - 1}/{len(self.data)}")
        first = status or ("206 Partial Content" if wanted else "200 OK")
        reply.head(first, "Accept-Ranges: bytes", f"Content-Length: {stop - start}", *common)
        body = self.data[start:stop]
        reply.raw(body if cut is None else body[:cut])
        return cut is None or len(body) <= cut
