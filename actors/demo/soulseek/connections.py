"""Connection set-up of an uploader: its listening port, and calls to others, direct and through the server.

Like every real client it tries both ways at once, so the other side often sees a ConnectToPeer it no longer needs.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from actors.demo.soulseek.wire import (
    PEER_ERRORS,
    bind,
    connect,
    encoded,
    messages,
    read_frame,
    read_message,
    reset_on_close,
)

BACKLOG = 128
INIT_S_MAX = 10.0
INDIRECT_S_MAX = 20.0
DIRECT_S_MAX = 10.0

Address = tuple[str, int, int]
"""Host, port, obfuscated port; 0 for a port there is not."""


class Connector:
    """The sockets of one uploader that carry no messages yet, or never will (type F)."""

    def __init__(
        self,
        name: str,
        accepted: Callable[[socket.socket, str, bool], None],
        address_of: Callable[[str], Awaitable[Address]],
        send_to_server: Callable[[Any], Awaitable[None]],
    ) -> None:
        """`accepted` takes each P connection another user opened, with that user's name and if it is obfuscated."""
        self._name = name
        self._accepted = accepted
        self.address_of = address_of
        self._send_to_server = send_to_server
        self._tickets = itertools.count(1)
        self._pierced: dict[int, asyncio.Future[socket.socket]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._obfuscated = False
        self.port = 0
        self.unclaimed: set[socket.socket] = set()
        """Connections of type F, to be reset when the uploader dies."""

    def open(self, *, firewalled: bool, obfuscated: bool) -> None:
        """Take the port, the old one when there was one, and listen on it unless `firewalled`."""
        self._listener = bind("127.0.0.1", self.port)
        self._obfuscated = obfuscated
        self.port = self._listener.getsockname()[1]
        if not firewalled:
            self._listener.listen(BACKLOG)
            self.spawn(self._accept(self._listener))

    def close(self, *, reset: bool) -> None:
        """Refuse connections and end what was being opened, and the F connections too."""
        if reset:
            for sock in self.unclaimed:
                reset_on_close(sock)
        for task in self._tasks:
            task.cancel()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the connector at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def dial(
        self, user: str, kind: str, *, send_buffer_bytes: int | None = None
    ) -> list[tuple[socket.socket, bool]]:
        """Connect both ways at once; the sockets there are when the first way worked, and if obfuscated, first first.

        The caller owns them all. Raises OSError when neither way works.
        """
        ways = {
            asyncio.create_task(self.direct(user, kind, send_buffer_bytes)),
            asyncio.create_task(self.indirect(user, kind)),
        }
        try:
            pending = set(ways)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                made = [way.result() for way in done if way.exception() is None]
                if made:
                    return made
        finally:
            for way in ways:
                way.cancel()
        raise ConnectionError(f"no way to {user}")

    async def direct(self, user: str, kind: str, send_buffer_bytes: int | None = None) -> tuple[socket.socket, bool]:
        """Call the user's listening port and say who we are; the socket and if it is obfuscated. Raises OSError."""
        async with asyncio.timeout(DIRECT_S_MAX):
            host, port, obfuscated_port = await self.address_of(user)
            if not port and not obfuscated_port:
                raise ConnectionError(f"{user} has no port")
            sock = await connect(host, port or obfuscated_port, send_buffer_bytes=send_buffer_bytes)
            init = messages.PeerInit.Request(self._name, kind, 0)
            return await self._introduced(sock, init, obfuscated=not port)

    async def indirect(self, user: str, kind: str) -> tuple[socket.socket, bool]:
        """Ask the server to let the user call us; the socket and if it is obfuscated. Raises OSError."""
        ticket = next(self._tickets)
        pierced = self._pierced[ticket] = asyncio.get_running_loop().create_future()
        try:
            await self._send_to_server(messages.ConnectToPeer.Request(ticket, user, kind))
            async with asyncio.timeout(INDIRECT_S_MAX):
                return await asyncio.shield(pierced), self._obfuscated
        except BaseException:
            if pierced.done() and not pierced.cancelled() and pierced.exception() is None:
                pierced.result().close()
            raise
        finally:
            del self._pierced[ticket]

    async def pierce(self, request: Any) -> None:
        """Answer the server's request to call a user; report a failure to the server."""
        try:
            sock = await connect(request.ip, request.port or request.obfuscated_port)
            init = messages.PeerPierceFirewall.Request(request.ticket)
            sock, obfuscated = await self._introduced(sock, init, obfuscated=not request.port)
        except PEER_ERRORS:
            with suppress(*PEER_ERRORS):
                await self._send_to_server(messages.CannotConnect.Request(request.ticket, request.username))
            return
        if request.typ == "P":
            self._accepted(sock, request.username, obfuscated)
        else:
            sock.close()

    def cannot_connect(self, ticket: int) -> None:
        """The server says that the other side failed to call us."""
        waiting = self._pierced.get(ticket)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError("the other side cannot connect"))

    async def _introduced(self, sock: socket.socket, init: Any, *, obfuscated: bool) -> tuple[socket.socket, bool]:
        try:
            await asyncio.get_running_loop().sock_sendall(sock, encoded(init, obfuscated=obfuscated))
        except BaseException:
            sock.close()
            raise
        return sock, obfuscated

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            self.spawn(self._admit(sock))

    async def _admit(self, sock: socket.socket) -> None:
        """Read who calls and why; close the connection when that does not come in time or makes no sense."""
        keep = False
        try:
            async with asyncio.timeout(INIT_S_MAX):
                frame = await read_frame(sock, obfuscated=self._obfuscated)
            init = read_message(messages.PeerInitializationMessage.deserialize_request, frame)
            keep = self._assign(sock, init)
        except PEER_ERRORS:
            pass
        finally:
            if not keep:
                sock.close()

    def _assign(self, sock: socket.socket, init: Any) -> bool:
        """Pass the connection on; whether it was wanted."""
        if isinstance(init, messages.PeerInit.Request) and init.typ == "P":
            self._accepted(sock, init.username, self._obfuscated)
            return True
        if isinstance(init, messages.PeerPierceFirewall.Request):
            waiting = self._pierced.get(init.ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(sock)
                return True
        return False
