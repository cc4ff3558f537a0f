"""Who is known to the box's server, who is there, and who wants to hear of whom."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from actors.demo.soulseek.wire import BROKEN, Line, messages, primitives

OFFLINE, ONLINE = 0, 2
TELL_S_MAX = 1.0
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


@dataclass(slots=True)
class Session:
    """One login and its connection."""

    name: str
    line: Line
    port: int = 0
    obfuscated_port: int = 0
    status: int = ONLINE
    watched: set[str] = field(default_factory=set)

    @property
    def host(self) -> str:
        return self.line.peer_host


class Users:
    """At most one session a name: the newest."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Return when something is noted: somebody has come, gone, or told what is shared."""
        await self._changed.wait()

    def note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def user(self, name: str) -> User:
        return self._users.setdefault(name, User())

    def session(self, name: str) -> Session | None:
        return self._sessions.get(name)

    def online(self) -> list[str]:
        return list(self._sessions)

    async def enter(self, session: Session) -> None:
        """Let it take the place of an older one of that name, and tell who watches."""
        self.user(session.name).registered = True
        self._sessions[session.name] = session
        await self._announce(session.name)

    async def leave(self, session: Session) -> None:
        """Forget it, unless a newer one has taken its place."""
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
            await self._announce(session.name)

    def status_of(self, name: str) -> Any:
        session = self._sessions.get(name)
        status = OFFLINE if session is None else session.status
        return messages.GetUserStatus.Response(username=name, status=status, privileged=False)

    def watch(self, session: Session, name: str) -> Any:
        """Note the wish; the answer to it."""
        user = self.user(name)
        session.watched.add(name)
        if not user.registered:
            return messages.AddUser.Response(username=name, exists=False)
        status = self.status_of(name).status
        country = "" if status else None
        return messages.AddUser.Response(
            username=name, exists=True, status=status, user_stats=user.stats(), country_code=country
        )

    async def tell(self, name: str, message: Any) -> bool:
        """Send to a user; False when nobody is there. One who does not read holds the others up only for a moment."""
        session = self._sessions.get(name)
        if session is None:
            return False
        with suppress(*BROKEN):
            async with asyncio.timeout(TELL_S_MAX):
                await session.line.send(message)
            return True
        return False

    async def _announce(self, name: str) -> None:
        self.note_change()
        status = self.status_of(name)
        for other in list(self._sessions.values()):
            if name in other.watched and other.name != name:
                await self.tell(other.name, status)
