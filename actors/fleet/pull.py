"""Destination that one node keeps and the others' parts are pulled to: ``node://NAME/absolute/folder``.

The node of that name has the folder, and answers the calls of all about it by the bus. A part of another node is
offered there at an HTTP address of its own, which the keeper reads; no byte goes through the broker, and nothing has to
be mounted. What a finished file is read back by is offered by the keeper in the same way.
"""

import math
import os
import re
import secrets
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Final
from urllib.parse import urlsplit

from actors.core.fleet.vocabulary import StoreFault
from actors.fleet.destination import BLOCK_BYTES, Piece, StoreError
from actors.fleet.objects import content_of
from actors.fleet.shared_folder import SharedFolder, write_part

SCHEME: Final = "node://"
OFFERS_MAX: Final = 4096
"""Addresses that hold at a time: an older one ends when another is offered."""
CONNECTIONS_MAX: Final = 64
BLOCK_S_MAX: Final = 30.0
"""How long one that asks may take for its head, and for each block."""
_PATH: Final = re.compile(r"/part/[A-Za-z0-9_-]{43}")


@dataclass(slots=True)
class _Offer:
    path: str
    offset: int
    length: int
    moved_s: float
    """When it was offered, or its last block was taken, by the monotonic clock."""


class PartServer:
    """HTTP server of parts of files on this node's disk, each at a secret address while it is offered.

    It listens from the first offer on, at `host` and `port`; without a host at the address by which this machine
    reaches `towards`. Used in any thread.
    """

    def __init__(self, host: str, port: int, *, towards: str) -> None:
        self._host, self._port, self._towards = host, port, towards
        self._offers: dict[str, _Offer] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def offer(self, path: str, offset: int, length: int) -> str:
        """Return the address of these bytes of a file. Raises `StoreError` where it cannot listen."""
        with self._lock:
            server = self._server = self._server or self._listening()
            place = f"/part/{secrets.token_urlsafe(32)}"
            while len(self._offers) >= OFFERS_MAX:
                del self._offers[next(iter(self._offers))]
            self._offers[place] = _Offer(path, offset, length, time.monotonic())
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{server.server_address[1]}{place}"

    def withdraw(self, address: str) -> None:
        """End an address; no error when it is over."""
        with self._lock:
            self._offers.pop(urlsplit(address).path, None)

    def quiet_s(self, address: str) -> float:
        """Return for how long nothing of an address has been read; infinite where reading broke off."""
        offer = self.find(urlsplit(address).path)
        return time.monotonic() - offer.moved_s if offer is not None else math.inf

    def close(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def find(self, place: str) -> _Offer | None:
        with self._lock:
            return self._offers.get(place)

    def _listening(self) -> ThreadingHTTPServer:
        try:
            self._host = self._host or _own_address(self._towards)
            server = _Server((self._host, self._port), self)
        except OSError as error:
            what = f"parts cannot be offered at {self._host or 'this machine'}:{self._port}: {error.strerror or error}"
            raise StoreError(StoreFault.UNREACHABLE, what) from None
        threading.Thread(target=server.serve_forever, name="parts", daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, address: tuple[str, int], parts: PartServer) -> None:
        self.parts: Final = parts
        self._open = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if self._open.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: who asked asks again."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = BLOCK_S_MAX
    server_version, sys_version = "shoal", ""

    def do_GET(self) -> None:
        offer = self.server.parts.find(self.path) if _PATH.fullmatch(self.path) else None
        if offer is None:
            self.send_error(404, "no such part")
            return
        try:
            file = open(offer.path, "rb")  # noqa: SIM115 - closed below
        except OSError:
            self.send_error(404, "no such part")
            return
        with file, suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(offer.length))
            self.end_headers()
            self.wfile.flush()
            self._send(file, offer)

    def _send(self, file: IO[bytes], offer: _Offer) -> None:
        at, stop = offer.offset, offer.offset + offer.length
        try:
            while at < stop and (sent := self.connection.sendfile(file, at, min(BLOCK_BYTES, stop - at))):
                at += sent
                offer.moved_s = time.monotonic()
        except OSError:
            offer.moved_s = -math.inf
            raise

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the addresses are secrets."""


class KeptFolder(SharedFolder):
    """Folder of the keeper: finished files are read back, and parts are pulled, over HTTP."""

    def __init__(self, folder: str, parts: PartServer) -> None:
        super().__init__(folder)
        self._parts = parts

    def create(self, name: str, size_bytes: int) -> str:
        with self._faults():
            os.makedirs(self._folder, exist_ok=True)  # this node's own: nothing is mounted there
        return super().create(name, size_bytes)

    def reading(self, name: str) -> str:
        found = self.seen(name)
        if found is None:
            raise StoreError(StoreFault.NO_UPLOAD, f"the finished {name} in {self._folder} is gone")
        return self._parts.offer(super().reading(name), 0, found.size_bytes)

    def pull(self, name: str, upload: str, part: int, address: str, at: int, length: int, md5: str) -> str:
        """Read a part that another node offers, and write it at its place; return its ETag."""
        parts = urlsplit(address)
        if parts.scheme != "http" or not _PATH.fullmatch(parts.path) or at < 0 or length < 0:
            raise StoreError(StoreFault.SERVER, f"part {part + 1} is offered at no address of a part")
        piece = Piece(path="", offset=0, length=length, at=at, md5=md5)
        with closing(content_of(address, length)) as content:
            return write_part(self.address(name, upload, part, md5), piece, content, parts.netloc)


def keeper_of(address: str) -> tuple[str, str]:
    """Return node and folder of ``node://NAME/folder``; two empty texts for another destination."""
    node, slash, folder = address.removeprefix(SCHEME).partition("/")
    return (node, slash + folder) if address.startswith(SCHEME) else ("", "")


def _own_address(towards: str) -> str:
    """Return the address by which this machine reaches the host of a broker's address. Raises OSError."""
    parts = urlsplit(towards)
    family, kind, number, _, place = socket.getaddrinfo(parts.hostname, parts.port or 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, number) as probe:
        probe.connect(place)  # nothing is sent
        own: str = probe.getsockname()[0]
    return own
