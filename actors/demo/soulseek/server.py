"""A small Soulseek server on loopback: logins, addresses, relays of searches and of requests to connect.

There is no distributed network: like soulfind it sends each search (code 26) to every user, the searcher too.
Addresses are given back as they came, so 127.0.0.1 stays 127.0.0.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from actors.demo.soulseek.registry import ONLINE, Session, User, Users
from actors.demo.soulseek.wire import BROKEN, UNREADABLE, Line, messages

BACKLOG = 512
NAME_LENGTH_MAX = 30
GREETING = "a box on loopback"
NOBODY = "0.0.0.0"


class Server:
    """Lives in a process of its own; everything is asked and done from its one event loop."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self.port = 0
        self.searches: list[tuple[str, str]] = []
        self.logins = 0
        self.refusal: str | None = None
        self._passwords = passwords
        self._users = Users()
        self._listener: asyncio.Server | None = None
        self._lines: set[Line] = set()

    async def open(self) -> None:
        """Listen; again on the same port when it was open before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=BACKLOG)
            self.port = self._listener.sockets[0].getsockname()[1]

    def vanish(self) -> None:
        """Connection refused from now on, and every session is reset, as when the machine goes down."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for line in list(self._lines):
            line.close(reset=True)

    def drop(self, name: str) -> bool:
        """Reset one session without a word; whether there was one."""
        session = self._users.session(name)
        if session is not None:
            session.line.close(reset=True)
        return session is not None

    def online(self) -> list[str]:
        return self._users.online()

    async def wait_for(self, name: str, *, online: bool, s_max: float) -> bool:
        """Return True when this user is logged in, or is not; False when that took too long."""
        return await self._until(lambda: (self._users.session(name) is not None) is online, s_max)

    async def wait_for_shares(self, name: str, *, s_max: float) -> bool:
        """Return True when this user has told of files it shares; False when that took too long."""
        return await self._until(lambda: self._users.user(name).files > 0, s_max)

    async def _until(self, came: Callable[[], bool], s_max: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(s_max):
                while not came():
                    await self._users.change()
        return came()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self._lines.add(line)
        session: Session | None = None
        try:
            async for frame in line.frames():
                message = _read(frame)
                if session is None:
                    if not isinstance(message, messages.Login.Request):
                        continue
                    session = await self._login(line, message)
                    if session is None:
                        break
                elif message is not None:
                    await self._handle(session, message)
        except BROKEN:
            pass
        finally:
            if session is not None:
                await self._users.leave(session)
            self._lines.discard(line)
            line.close()

    async def _login(self, line: Line, request: Any) -> Session | None:
        """Answer a login. A second one of the same name sends the first away with code 41."""
        reason = self.refusal or self._complaint(request.username, request.password)
        if reason is not None:
            await line.send(messages.Login.Response(success=False, reason=reason))
            return None
        self.logins += 1
        old = self._users.session(request.username)
        if old is not None:
            with suppress(*BROKEN):
                await old.line.send(messages.Kicked.Response())
            old.line.close()
        session = Session(request.username, line)
        await line.send(
            messages.Login.Response(
                success=True, greeting=GREETING, ip=line.peer_host, md5hash="0" * 32, privileged=False
            )
        )
        for greeting in _greetings():
            await line.send(greeting)
        await self._users.enter(session)
        return session

    def _complaint(self, name: str, password: str) -> str | None:
        if not name or len(name) > NAME_LENGTH_MAX:
            return "INVALIDUSERNAME"
        return None if self._passwords.get(name, password) == password else "INVALIDPASS"

    async def _handle(self, session: Session, message: Any) -> None:
        """Do what a user asks; whatever is not listed is ignored."""
        m, user = messages, self._users.user(session.name)
        match message:
            case m.SetListenPort.Request():
                session.port, session.obfuscated_port = message.port, message.obfuscated_port or 0
            case m.GetPeerAddress.Request():
                await session.line.send(self._address(message.username))
            case m.ConnectToPeer.Request():
                await self._connect(session, message)
            case m.CannotConnect.Request():
                if message.username:
                    await self._users.tell(message.username, m.CannotConnect.Response(message.ticket))
            case m.FileSearch.Request() | m.WishlistSearch.Request():
                await self._search(session.name, self._users.online(), message)
            case m.UserSearch.Request():
                await self._search(session.name, [message.username], message)
            case m.AddUser.Request():
                await session.line.send(self._users.watch(session, message.username))
            case m.RemoveUser.Request():
                session.watched.discard(message.username)
            case m.GetUserStatus.Request():
                await session.line.send(self._users.status_of(message.username))
            case m.GetUserStats.Request():
                stats = self._users.user(message.username).stats()
                await session.line.send(m.GetUserStats.Response(message.username, stats))
            case _:
                await self._note(session, user, message)

    async def _note(self, session: Session, user: User, message: Any) -> None:
        m = messages
        match message:
            case m.SetStatus.Request():
                session.status = message.status if message.status in (1, 2) else ONLINE
            case m.SendUploadSpeed.Request():
                user.uploaded(message.speed)
            case m.SharedFoldersFiles.Request():
                user.folders, user.files = message.shared_folder_count, message.shared_file_count
                self._users.note_change()
            case m.CheckPrivileges.Request():
                await session.line.send(m.CheckPrivileges.Response(0))
            case m.RoomList.Request():
                await session.line.send(_no_rooms())

    def _address(self, name: str) -> Any:
        session = self._users.session(name)
        if session is None:
            return messages.GetPeerAddress.Response(name, NOBODY, 0, 0, 0)
        obfuscated = session.obfuscated_port
        return messages.GetPeerAddress.Response(name, session.host, session.port, int(obfuscated > 0), obfuscated)

    async def _connect(self, session: Session, request: Any) -> None:
        """Pass on that `session` wants to be connected to; nobody there: it cannot be."""
        obfuscated = session.obfuscated_port
        told = await self._users.tell(
            request.username,
            messages.ConnectToPeer.Response(
                username=session.name, typ=request.typ, ip=session.host, port=session.port, ticket=request.ticket,
                privileged=False, obfuscated_port_amount=int(obfuscated > 0), obfuscated_port=obfuscated,
            ),
        )  # fmt: skip
        if not told:
            await session.line.send(messages.CannotConnect.Response(request.ticket))

    async def _search(self, searcher: str, names: list[str], request: Any) -> None:
        self.searches.append((searcher, request.query))
        relayed = messages.FileSearch.Response(searcher, request.ticket, request.query)
        for name in names:
            await self._users.tell(name, relayed)


def _read(frame: bytes) -> Any:
    """The message, or None for what no client should have sent."""
    try:
        return messages.ServerMessage.deserialize_request(frame)
    except UNREADABLE:
        return None


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
