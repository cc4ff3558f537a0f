"""An uploader's messages: its session at the server and its P connections to other users."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from actors.demo.soulseek.connections import Address, Door
from actors.demo.soulseek.wire import BROKEN, UNREADABLE, Line, dialled, messages

ADDRESS_S_MAX = 10.0
RELOGIN_S = 0.5
PORTLESS = "0.0.0.0"


class Talk:
    """Speaks for one user: logs in, again when the session is lost, and finds a line to whoever is spoken to."""

    def __init__(
        self,
        name: str,
        server_port: int,
        hear: Callable[[str, Any], Awaitable[None]],
        hear_server: Callable[[Any], Awaitable[None]],
        line_s_max: float,
    ) -> None:
        """`hear` gets each P message with its sender; `hear_server` what the server says that is not about lines."""
        self.name = name
        self.door = Door(name, self._welcome, self._address_of, self.tell_server)
        self.online = asyncio.Event()
        self._server_port = server_port
        self._hear = hear
        self._hear_server = hear_server
        self._line_s_max = line_s_max
        self._server: Line | None = None
        self._lines: dict[str, Line] = {}
        self._all_lines: set[Line] = set()
        self._dialling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._addresses: dict[str, asyncio.Future[Address]] = {}
        self._obfuscated = False

    def open(self, *, firewalled: bool, obfuscated: bool) -> None:
        """Take the port and begin to log in."""
        self._obfuscated = obfuscated
        self.door.open(firewalled=firewalled, obfuscated=obfuscated)
        self.door.spawn(self._stay_online())

    def close(self, *, reset: bool) -> None:
        """Leave the network, in good order or as if the program had died."""
        self.door.close(reset=reset)
        for line in self._all_lines:
            line.close(reset=reset)
        if self._server is not None:
            self._server.close(reset=reset)

    async def say(self, user: str, message: Any) -> None:
        """Send a P message on the newest line there is, else on a new one. Raises OSError."""
        line = self._lines.get(user)
        if line is not None:
            with suppress(OSError):
                await line.send(message)
                return
        async with self._dialling[user]:
            line = self._lines.get(user)
            if line is None or line.is_closing:
                line = await self._dial_line(user)
        await line.send(message)

    async def tell_server(self, message: Any) -> None:
        """Raises OSError when there is no session."""
        if self._server is None:
            raise ConnectionError("not logged in")
        await self._server.send(message)

    async def _dial_line(self, user: str) -> Line:
        (first, obfuscated), *others = await self.door.dial(user, "P")
        for sock, _ in others:
            sock.close()
        return await self._keep(first, user, obfuscated)

    def _welcome(self, sock: socket.socket, user: str, obfuscated: bool) -> None:
        async def keep() -> None:
            with suppress(*BROKEN):
                await self._keep(sock, user, obfuscated)

        self.door.spawn(keep())

    async def _keep(self, sock: socket.socket, user: str, obfuscated: bool) -> Line:
        line = self._lines[user] = await Line.over(sock, obfuscated=obfuscated)
        self._all_lines.add(line)
        self.door.spawn(self._converse(user, line))
        return line

    async def _converse(self, user: str, line: Line) -> None:
        """Hear what the user says on this line until it is closed or has been idle for too long."""
        try:
            async for frame in line.frames(self._line_s_max):
                message = _read(messages.PeerMessage.deserialize_request, frame)
                if message is not None:
                    with suppress(*BROKEN):
                        await self._hear(user, message)
        finally:
            if self._lines.get(user) is line:
                del self._lines[user]
            self._all_lines.discard(line)
            line.close()

    async def _stay_online(self) -> None:
        """Log in, listen, and begin anew when the session is lost; not after another login of the same name."""
        kicked = False
        while not kicked:
            with suppress(*BROKEN):
                kicked = await self._session()
            self.online.clear()
            self._server = None
            await asyncio.sleep(RELOGIN_S)

    async def _session(self) -> bool:
        """One session from login to its end; whether it ended because the name logged in elsewhere."""
        line = self._server = await Line.over(await dialled("127.0.0.1", self._server_port))
        m = messages
        try:
            await line.send(m.Login.Request(self.name, "box", 175, "0" * 32, 1))
            ports = (0, 1, self.door.port) if self._obfuscated else (self.door.port, 0, 0)
            await line.send(m.SetListenPort.Request(*ports))
            await line.send(m.SharedFoldersFiles.Request(1, 5))
            await line.send(m.CheckPrivileges.Request())
            async for frame in line.frames():
                message = _read(m.ServerMessage.deserialize_response, frame)
                if isinstance(message, m.Kicked.Response):
                    return True
                if isinstance(message, m.CheckPrivileges.Response):
                    # The answer to the last thing said: the server now knows us, our port included.
                    self.online.set()
                elif message is not None:
                    await self._heed(message)
        finally:
            line.close()
        return False

    async def _heed(self, message: Any) -> None:
        m = messages
        match message:
            case m.ConnectToPeer.Response():
                self.door.spawn(self.door.pierce(message))
            case m.CannotConnect.Response():
                self.door.cannot_connect(message.ticket)
            case m.GetPeerAddress.Response():
                waiting = self._addresses.pop(message.username, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((message.ip, message.port, message.obfuscated_port or 0))
            case _:
                await self._hear_server(message)

    async def _address_of(self, user: str) -> Address:
        """Ask the server. Raises OSError when the user is not there."""
        waiting = self._addresses.get(user)
        if waiting is None:
            waiting = self._addresses[user] = asyncio.get_running_loop().create_future()
            await self.tell_server(messages.GetPeerAddress.Request(user))
        async with asyncio.timeout(ADDRESS_S_MAX):
            address = await asyncio.shield(waiting)
        if address[0] == PORTLESS:
            raise ConnectionError(f"{user} is not online")
        return address


def _read(decode: Callable[[bytes], Any], frame: bytes) -> Any:
    """The message, or None when it is unknown or cannot be read."""
    try:
        return decode(frame)
    except UNREADABLE:
        return None
