"""Messaging of an uploader: its session at the server and its P connections to other users."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from actors.demo.soulseek.connections import Address, Connector
from actors.demo.soulseek.wire import PEER_ERRORS, MessageConnection, connect, messages, read_message

ADDRESS_S_MAX = 10.0
RELOGIN_S = 0.5
PORTLESS = "0.0.0.0"


class Messenger:
    """Speaks for one user: logs in, again when the session is lost, and finds a connection to each addressee."""

    def __init__(
        self,
        name: str,
        server_port: int,
        on_message: Callable[[str, Any], Awaitable[None]],
        on_server_message: Callable[[Any], Awaitable[None]],
        idle_s_max: float,
    ) -> None:
        """`on_message` gets each P message with its sender; `on_server_message` what is not about connections."""
        self.name = name
        self.connector = Connector(name, self._accepted, self._address_of, self.send_to_server)
        self.online = asyncio.Event()
        self._server_port = server_port
        self._on_message = on_message
        self._on_server_message = on_server_message
        self._idle_s_max = idle_s_max
        self._server: MessageConnection | None = None
        self._connections: dict[str, MessageConnection] = {}
        self._all: set[MessageConnection] = set()
        self._dial_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._addresses: dict[str, asyncio.Future[Address]] = {}
        self._obfuscated = False

    def open(self, *, firewalled: bool, obfuscated: bool) -> None:
        """Take the port and begin to log in."""
        self._obfuscated = obfuscated
        self.connector.open(firewalled=firewalled, obfuscated=obfuscated)
        self.connector.spawn(self._stay_online())

    def close(self, *, reset: bool) -> None:
        """Leave the network, in good order or as if the program had died."""
        self.connector.close(reset=reset)
        for connection in self._all:
            connection.close(reset=reset)
        if self._server is not None:
            self._server.close(reset=reset)

    async def send(self, user: str, message: Any) -> None:
        """Send a P message on the newest connection there is, else on a new one. Raises OSError."""
        connection = self._connections.get(user)
        if connection is not None:
            with suppress(OSError):
                await connection.send(message)
                return
        async with self._dial_locks[user]:
            connection = self._connections.get(user)
            if connection is None or connection.is_closing:
                connection = await self._dial(user)
        await connection.send(message)

    async def send_to_server(self, message: Any) -> None:
        """Raises OSError when there is no session."""
        if self._server is None:
            raise ConnectionError("not logged in")
        await self._server.send(message)

    async def _dial(self, user: str) -> MessageConnection:
        (first, obfuscated), *others = await self.connector.dial(user, "P")
        for sock, _ in others:
            sock.close()
        return await self._keep(first, user, obfuscated)

    def _accepted(self, sock: socket.socket, user: str, obfuscated: bool) -> None:
        async def keep() -> None:
            with suppress(*PEER_ERRORS):
                await self._keep(sock, user, obfuscated)

        self.connector.spawn(keep())

    async def _keep(self, sock: socket.socket, user: str, obfuscated: bool) -> MessageConnection:
        connection = self._connections[user] = await MessageConnection.on_socket(sock, obfuscated=obfuscated)
        self._all.add(connection)
        self.connector.spawn(self._receive(user, connection))
        return connection

    async def _receive(self, user: str, connection: MessageConnection) -> None:
        """Read the user's messages until the connection is closed or has been idle for too long."""
        try:
            async for frame in connection.frames(self._idle_s_max):
                message = read_message(messages.PeerMessage.deserialize_request, frame)
                if message is not None:
                    with suppress(*PEER_ERRORS):
                        await self._on_message(user, message)
        finally:
            if self._connections.get(user) is connection:
                del self._connections[user]
            self._all.discard(connection)
            connection.close()

    async def _stay_online(self) -> None:
        """Log in, listen, and start again when the session is lost; not after another login of the same name."""
        kicked = False
        while not kicked:
            with suppress(*PEER_ERRORS):
                kicked = await self._session()
            self.online.clear()
            self._server = None
            await asyncio.sleep(RELOGIN_S)

    async def _session(self) -> bool:
        """One session from login to its end; whether it ended because the name logged in elsewhere."""
        connection = self._server = await MessageConnection.on_socket(await connect("127.0.0.1", self._server_port))
        m = messages
        try:
            await connection.send(m.Login.Request(self.name, "box", 175, "0" * 32, 1))
            ports = (0, 1, self.connector.port) if self._obfuscated else (self.connector.port, 0, 0)
            await connection.send(m.SetListenPort.Request(*ports))
            await connection.send(m.SharedFoldersFiles.Request(1, 5))
            await connection.send(m.CheckPrivileges.Request())
            async for frame in connection.frames():
                message = read_message(m.ServerMessage.deserialize_response, frame)
                if isinstance(message, m.Kicked.Response):
                    return True
                if isinstance(message, m.CheckPrivileges.Response):
                    # The answer to the last thing said: the server now knows us, our port included.
                    self.online.set()
                elif message is not None:
                    await self._handle_server_message(message)
        finally:
            connection.close()
        return False

    async def _handle_server_message(self, message: Any) -> None:
        m = messages
        match message:
            case m.ConnectToPeer.Response():
                self.connector.spawn(self.connector.pierce(message))
            case m.CannotConnect.Response():
                self.connector.cannot_connect(message.ticket)
            case m.GetPeerAddress.Response():
                waiting = self._addresses.pop(message.username, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((message.ip, message.port, message.obfuscated_port or 0))
            case _:
                await self._on_server_message(message)

    async def _address_of(self, user: str) -> Address:
        """Ask the server. Raises OSError when the user is not there."""
        waiting = self._addresses.get(user)
        if waiting is None:
            waiting = self._addresses[user] = asyncio.get_running_loop().create_future()
            await self.send_to_server(messages.GetPeerAddress.Request(user))
        async with asyncio.timeout(ADDRESS_S_MAX):
            address = await asyncio.shield(waiting)
        if address[0] == PORTLESS:
            raise ConnectionError(f"{user} is not online")
        return address
