"""A bare downloader on blocking sockets: every step of the protocol by hand, for tests and as the benches' yardstick.

It shares nothing with the box but the message encoding, so it does not repeat the box's mistakes.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from actors.demo.soulseek.wire import messages as m
from protocol.model.value import Closing

S_MAX = 15.0
Found = TypeVar("Found")


class RawDownloader(Closing):
    """One user's sockets. Nothing happens between calls: each call waits for what it needs and files the rest."""

    def __init__(self, server_port: int, name: str, *, password: str = "raw", reachable: bool = True) -> None:
        """Listen, unless it shall be unreachable, and log in; `greeting` is the answer."""
        self.name = name
        self.heard: list[tuple[str, Any]] = []
        """P messages not yet taken, with their senders."""
        self.arrived: list[Any] = []
        """What the server said and no one took."""
        self.f_connections: list[tuple[str, socket.socket]] = []
        """F connections not yet taken; the user is only known when it introduced itself."""
        self.requests: list[Any] = []
        """Every ConnectToPeer that came, honoured or not."""
        self.callers: list[str] = []
        """Who opened a P connection to us, once for each."""
        self._lines: dict[socket.socket, str] = {}
        self._proven: set[socket.socket] = set()
        self._strangers: list[socket.socket] = []
        self._tickets = iter(range(1000, 1 << 30))
        self._awaited: dict[int, tuple[str, str]] = {}
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._reachable = reachable
        if reachable:
            self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._server = socket.create_connection(("127.0.0.1", server_port), S_MAX)
        self.tell(m.Login.Request(name, password, 175, "0" * 32, 1))
        self.tell(m.SetListenPort.Request(self.port, 0, 0))
        self.greeting = self.answer(m.Login.Response)

    def close(self) -> None:
        socks = [
            self._listener,
            self._server,
            *self._strangers,
            *self._lines,
            *(sock for _, sock in self.f_connections),
        ]
        for sock in socks:
            sock.close()

    def tell(self, message: Any) -> None:
        """Send to the server."""
        self._server.sendall(message.serialize())

    def answer(self, kind: Any, s_max: float = S_MAX) -> Any:
        """Wait for the server to say this and take it. Raises TimeoutError."""
        return self._until(lambda: _taken(self.arrived, lambda message: isinstance(message, kind)), s_max)

    def say(self, user: str, message: Any) -> None:
        """Send on a P connection: the one there is, else a new one, directly or through the server."""
        self._line(user).sendall(message.serialize())

    def hear(self, user: str, kind: Any, s_max: float = S_MAX) -> Any:
        """Wait for the user to say this and take it. Raises TimeoutError."""
        return self._until(
            lambda: _taken(self.heard, lambda item: item[0] == user and isinstance(item[1], kind)), s_max
        )[1]

    def search(self, term: str, replies: int, s_max: float = S_MAX) -> dict[str, Any]:
        """Search and wait for a given number of replies; by user. Raises TimeoutError."""
        ticket = next(self._tickets)
        self.tell(m.FileSearch.Request(ticket, term))
        found: dict[str, Any] = {}

        def enough() -> bool:
            while (item := _taken(self.heard, lambda item: getattr(item[1], "ticket", None) == ticket)) is not None:
                found[item[0]] = item[1]
            return len(found) >= replies

        self._until(lambda: enough() or None, s_max)
        return found

    def negotiate(self, user: str, path: str, s_max: float = S_MAX) -> tuple[socket.socket, Any]:
        """Queue, accept the offer, take F and its ticket: the socket before its offset, and the offer."""
        self.say(user, m.PeerTransferQueue.Request(path))
        offer = self.hear(user, m.PeerTransferRequest.Request, s_max)
        self.say(user, m.PeerTransferReply.Request(offer.ticket, True))
        return self.take_f(offer.ticket, s_max), offer

    def take_f(self, ticket: int, s_max: float = S_MAX) -> socket.socket:
        """Wait for the F connection that says this ticket."""

        def spoken() -> socket.socket | None:
            socks = [sock for _, sock in self.f_connections]
            for sock in select.select(socks, [], [], 0)[0] if socks else []:
                self.f_connections = [item for item in self.f_connections if item[1] is not sock]
                with suppress(EOFError, OSError):
                    if exactly(sock, 4) == struct.pack("<I", ticket):
                        return sock
                sock.close()  # the way that lost the race
            return None

        return self._until(spoken, s_max)

    def ride(self, user: str, path: str, offset: int, count: int, s_max: float = S_MAX) -> tuple[socket.socket, bytes]:
        """Negotiate, ask for `offset` and receive a given number of bytes; the socket is left open at this point."""
        sock, _ = self.negotiate(user, path, s_max)
        sock.sendall(struct.pack("<Q", offset))
        return sock, exactly(sock, count)

    def _line(self, user: str) -> socket.socket:
        # Of two lines that one call led to the other side drops one: only what we dialled or heard on is sure.
        for sock, other in self._lines.items():
            if other == user and sock in self._proven:
                return sock
        self.tell(m.GetPeerAddress.Request(user))
        address = self.answer(m.GetPeerAddress.Response)
        try:
            sock = socket.create_connection((address.ip, address.port), S_MAX)
        except OSError:
            return self._line_through_server(user)
        sock.sendall(m.PeerInit.Request(self.name, "P", 0).serialize())
        self._lines[sock] = user
        self._proven.add(sock)
        return sock

    def _line_through_server(self, user: str) -> socket.socket:
        ticket = next(self._tickets)
        self._awaited[ticket] = (user, "P")
        self.tell(m.ConnectToPeer.Request(ticket, user, "P"))
        return self._until(lambda: next((sock for sock, other in self._lines.items() if other == user), None), S_MAX)

    def _until(self, find: Callable[[], Found | None], s_max: float) -> Found:
        """Attend to the sockets until `find` finds something."""
        give_up_s = time.monotonic() + s_max
        while (found := find()) is None:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(
                    f"{self.name} waited {s_max} s; heard {self.heard!r:.300}, came {self.arrived!r:.300}"
                )
            self._attend(min(left_s, 0.05))
        return found

    def _attend(self, s_max: float) -> None:
        socks = [self._server, *self._strangers, *self._lines, *([self._listener] if self._reachable else [])]
        for sock in select.select(socks, [], [], s_max)[0]:
            if sock is self._listener:
                self._strangers.append(sock.accept()[0])
            elif (frame := _frame(sock)) is None:
                self._forget(sock)
            elif sock is self._server:
                self._heed(m.ServerMessage.deserialize_response(frame))
            elif sock in self._lines:
                self._proven.add(sock)
                self.heard.append((self._lines[sock], m.PeerMessage.deserialize_request(frame)))
            else:
                self._strangers.remove(sock)
                self._introduce(sock, m.PeerInitializationMessage.deserialize_request(frame))

    def _forget(self, sock: socket.socket) -> None:
        if sock is self._server:
            raise ConnectionResetError("the server closed the session")
        self._lines.pop(sock, None)
        self._proven.discard(sock)
        if sock in self._strangers:
            self._strangers.remove(sock)
        sock.close()

    def _introduce(self, sock: socket.socket, init: Any) -> None:
        if isinstance(init, m.PeerInit.Request):
            user, kind = init.username, init.typ
        else:
            user, kind = self._awaited.pop(init.ticket)
        if kind == "P":
            self.callers.append(user)
            self._lines[sock] = user
        else:
            self.f_connections.append((user, sock))

    def _heed(self, message: Any) -> None:
        """File it; and call who asks for it, as a good client does."""
        if not isinstance(message, m.ConnectToPeer.Response):
            self.arrived.append(message)
            return
        self.requests.append(message)
        try:
            sock = socket.create_connection((message.ip, message.port), S_MAX)
        except OSError:
            self.tell(m.CannotConnect.Request(message.ticket, message.username))
            return
        sock.sendall(m.PeerPierceFirewall.Request(message.ticket).serialize())
        self._introduce(sock, m.PeerInit.Request(message.username, message.typ, 0))


def exactly(sock: socket.socket, count: int) -> bytes:
    """Receive a given number of bytes. Raises EOFError, OSError."""
    got = bytearray(count)
    view = memoryview(got)
    sock.settimeout(S_MAX)
    while view:
        received = sock.recv_into(view)
        if not received:
            raise EOFError(f"closed with {len(view)} of {count} bytes missing")
        view = view[received:]
    return bytes(got)


def _frame(sock: socket.socket) -> bytes | None:
    """One message with its length; None when the other side has closed."""
    try:
        head = exactly(sock, 4)
        return head + exactly(sock, struct.unpack("<I", head)[0])
    except (EOFError, OSError):
        return None


def _taken(items: list[Found], wanted: Callable[[Found], bool]) -> Found | None:
    for index, item in enumerate(items):
        if wanted(item):
            return items.pop(index)
    return None
