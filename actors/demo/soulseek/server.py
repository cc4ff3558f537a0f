"""A small Soulseek server: logins, users, addresses, searches and requests to connect.

There is no distributed network: like soulfind it sends each search (code 26) to every user, the searcher too.
Addresses are given back as they came, so 127.0.0.1 stays 127.0.0.1.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from actors.demo.soulseek.wire import PEER_ERRORS, MessageConnection, messages, primitives, read_message

BACKLOG = 512
NAME_LENGTH_MAX = 30
GREETING = "a demonstration on loopback"
NO_ADDRESS = "0.0.0.0"
OFFLINE, ONLINE = 0, 2
SEND_S_MAX = 1.0
SPEED_MAX = (1 << 32) - 1


@dataclass(slots=True)
class User:
    """A name that has logged in, or was asked for, since the server began."""

    registered: bool = False
    speed_bytes_s: int = 0
    uploads: int = 0
    files: int = 0
    folders: int = 0

    def uploaded(self, speed_bytes_s: int) -> None:
        """Count one upload and average the speeds, as the real server does."""
        self.speed_bytes_s = min(SPEED_MAX, (self.speed_bytes_s * self.uploads + speed_bytes_s) // (self.uploads + 1))
        self.uploads += 1

    def stats(self) -> Any:
        return primitives.UserStats(self.speed_bytes_s, self.uploads, self.files, self.folders)


@dataclass(slots=True, eq=False)
class Session:
    """One login and its connection."""

    name: str
    connection: MessageConnection
    port: int = 0
    obfuscated_port: int = 0
    status: int = ONLINE
    watched: set[str] = field(default_factory=set)

    @property
    def host(self) -> str:
        return self.connection.peer_host


class Server:
    """Owned by the server's process, in its event loop. At most one session a name: the newest."""

    def __init__(self) -> None:
        self.port = 0
        self.sessions: dict[str, Session] = {}
        self._users: dict[str, User] = {}
        self._listener: asyncio.Server | None = None
        self._connections: set[MessageConnection] = set()

    async def open(self) -> None:
        """Listen; again on the same port when it was open before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=BACKLOG)
            self.port = self._listener.sockets[0].getsockname()[1]

    def user(self, name: str) -> User:
        return self._users.setdefault(name, User())

    def refusal_of(self, name: str, _password: str) -> str | None:
        """Why this login is refused; None: it is not."""
        return None if 0 < len(name) <= NAME_LENGTH_MAX else "INVALIDUSERNAME"

    async def send_to(self, name: str, message: Any) -> bool:
        """Send to a user; False when it is offline. One who does not read delays the others only for a moment."""
        session = self.sessions.get(name)
        if session is None:
            return False
        with suppress(*PEER_ERRORS):
            async with asyncio.timeout(SEND_S_MAX):
                await session.connection.send(message)
            return True
        return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = MessageConnection(reader, writer)
        self._connections.add(connection)
        session: Session | None = None
        try:
            async for frame in connection.frames():
                message = read_message(messages.ServerMessage.deserialize_request, frame)
                if session is None:
                    if not isinstance(message, messages.Login.Request):
                        continue
                    session = await self._log_in(connection, message)
                    if session is None:
                        break
                elif message is not None:
                    await self._handle(session, message)
        except PEER_ERRORS:
            pass
        finally:
            if session is not None and self.sessions.get(session.name) is session:
                del self.sessions[session.name]
                await self._announce(session.name)
            self._connections.discard(connection)
            connection.close()

    async def _log_in(self, connection: MessageConnection, request: Any) -> Session | None:
        """Answer a login. A second one of the same name sends code 41 to the first."""
        reason = self.refusal_of(request.username, request.password)
        if reason is not None:
            await connection.send(messages.Login.Response(success=False, reason=reason))
            return None
        old = self.sessions.get(request.username)
        if old is not None:
            with suppress(*PEER_ERRORS):  # it is for the old client to close
                await old.connection.send(messages.Kicked.Response())
        session = Session(request.username, connection)
        await connection.send(
            messages.Login.Response(
                success=True, greeting=GREETING, ip=connection.peer_host, md5hash="0" * 32, privileged=False
            )
        )
        for greeting in _greetings():
            await connection.send(greeting)
        self.user(session.name).registered = True
        self.sessions[session.name] = session
        await self._announce(session.name)
        return session

    async def _handle(self, session: Session, message: Any) -> None:
        """Do what a user asks; messages not listed here are ignored."""
        m, user = messages, self.user(session.name)
        match message:
            case m.SetListenPort.Request():
                session.port, session.obfuscated_port = message.port, message.obfuscated_port or 0
            case m.GetPeerAddress.Request():
                await session.connection.send(self._address(message.username))
            case m.ConnectToPeer.Request():
                await self._connect(session, message)
            case m.CannotConnect.Request():
                if message.username:
                    await self.send_to(message.username, m.CannotConnect.Response(message.ticket))
            case m.FileSearch.Request() | m.WishlistSearch.Request():
                await self.search(session.name, list(self.sessions), message)
            case m.UserSearch.Request():
                await self.search(session.name, [message.username], message)
            case m.AddUser.Request():
                await session.connection.send(self._watch(session, message.username))
            case m.RemoveUser.Request():
                session.watched.discard(message.username)
            case m.GetUserStatus.Request():
                await session.connection.send(self._status_of(message.username))
            case m.GetUserStats.Request():
                stats = self.user(message.username).stats()
                await session.connection.send(m.GetUserStats.Response(message.username, stats))
            case m.SetStatus.Request():
                session.status = message.status if message.status in (1, 2) else ONLINE
            case m.SendUploadSpeed.Request():
                user.uploaded(message.speed)
            case m.SharedFoldersFiles.Request():
                user.folders, user.files = message.shared_folder_count, message.shared_file_count
            case m.CheckPrivileges.Request():
                await session.connection.send(m.CheckPrivileges.Response(0))
            case m.RoomList.Request():
                await session.connection.send(_no_rooms())

    def _address(self, name: str) -> Any:
        session = self.sessions.get(name)
        if session is None:
            return messages.GetPeerAddress.Response(name, NO_ADDRESS, 0, 0, 0)
        obfuscated = session.obfuscated_port
        return messages.GetPeerAddress.Response(name, session.host, session.port, int(obfuscated > 0), obfuscated)

    def _status_of(self, name: str) -> Any:
        session = self.sessions.get(name)
        status = OFFLINE if session is None else session.status
        return messages.GetUserStatus.Response(username=name, status=status, privileged=False)

    def _watch(self, session: Session, name: str) -> Any:
        """Note that `session` watches this user; the answer to it."""
        user = self.user(name)
        session.watched.add(name)
        if not user.registered:
            return messages.AddUser.Response(username=name, exists=False)
        status = self._status_of(name).status
        country = "" if status else None
        return messages.AddUser.Response(
            username=name, exists=True, status=status, user_stats=user.stats(), country_code=country
        )

    async def _announce(self, name: str) -> None:
        status = self._status_of(name)
        for other in list(self.sessions.values()):
            if name in other.watched and other.name != name:
                await self.send_to(other.name, status)

    async def _connect(self, session: Session, request: Any) -> None:
        """Pass on that `session` wants to be connected to; report when the user is offline."""
        obfuscated = session.obfuscated_port
        sent = await self.send_to(
            request.username,
            messages.ConnectToPeer.Response(
                username=session.name, typ=request.typ, ip=session.host, port=session.port, ticket=request.ticket,
                privileged=False, obfuscated_port_amount=int(obfuscated > 0), obfuscated_port=obfuscated,
            ),
        )  # fmt: skip
        if not sent:
            await session.connection.send(messages.CannotConnect.Response(request.ticket))

    async def search(self, searcher: str, names: list[str], request: Any) -> None:
        """Relay a search to these users."""
        relayed = messages.FileSearch.Response(searcher, request.ticket, request.query)
        for name in names:
            await self.send_to(name, relayed)


def _no_rooms() -> Any:
    return messages.RoomList.Response([], [], [], [], [], [], [])


def _greetings() -> list[Any]:
    """What the real server says right after a login; the clients want some of it."""
    m = messages
    return [
        _no_rooms(),
        m.ParentMinSpeed.Response(1),
        m.ParentSpeedRatio.Response(50),
        m.WishlistInterval.Response(720),
        m.PrivilegedUsers.Response([]),
        m.ExcludedSearchPhrases.Response([]),
    ]
