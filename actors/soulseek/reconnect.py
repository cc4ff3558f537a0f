"""Keeps the login: connects, logs in, waits, begins again with growing pauses; and knows when there is no use."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from protocol.messages import SessionChanged

WHY_FINAL = {
    "INVALIDPASS": "the password is wrong, or the name belongs to somebody else",
    "INVALIDUSERNAME": "the server does not accept this user name",
    "INVALIDVERSION": "the server does not accept this version of the program",
}


class ServerAway(Exception):  # noqa: N818
    """The server cannot be reached or does not answer. One line for people."""


class LoginRefused(Exception):  # noqa: N818
    """The server does not want this login. The server's word, like INVALIDPASS."""


class LoginNet(Protocol):
    lost: asyncio.Event
    kicked: bool
    over: bool

    async def listen(self) -> int:
        """The listening port. Raises `ServerAway` when all are taken."""

    async def log_in(self) -> None:
        """Raises `ServerAway` or `LoginRefused`."""

    async def hang_up(self) -> None: ...


class Login:
    """Owned by the session's loop. `say` gets every change; `logged_in` is called after each login."""

    def __init__(
        self,
        net: LoginNet,
        retry_s: tuple[float, float],
        *,
        say: Callable[[SessionChanged], None],
        logged_in: Callable[[], None],
    ) -> None:
        self._net = net
        self._retry_s = retry_s
        self._say = say
        self._logged_in = logged_in
        self._port = 0
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._hurry = asyncio.Event()
        self._leaving: asyncio.Future[None] | None = None  # kept, or nobody would wait for it

    async def run(self) -> None:
        """Keep the login until it is not wanted or not to be had, then wait until it is wanted again."""
        while True:
            try:
                await self._keep()
            finally:
                self._net.over = True
            await self._wanted.wait()
            self._net.over = False

    def want(self) -> None:
        """Be logged in: at once where it was put off, also where it was over. Where it holds nothing changes."""
        self._wanted.set()
        self._hurry.set()

    def leave(self) -> None:
        """Log out and stay so until it is wanted again. Takes effect before anything that is said later; who is out
        already stays out."""
        if self._wanted.is_set():
            self._wanted.clear()
            self._hurry.set()
            self._leaving = asyncio.ensure_future(self._net.hang_up())

    async def _keep(self) -> None:
        """Returns when it is over, having said why."""
        try:
            self._port = self._port or await self._net.listen()
        except ServerAway as away:
            self._final("port taken", str(away))
            return
        pause_s, pause_s_max = self._retry_s
        while self._wanted.is_set():
            self._hurry.clear()
            self._change("connecting", "")
            try:
                await self._net.log_in()
            except LoginRefused as refused:
                if str(refused) in WHY_FINAL:
                    self._final("refused", WHY_FINAL[str(refused)])
                    return
                trouble = f"the server refuses logins for now: {refused}"
            except ServerAway as away:
                trouble = str(away)
            else:
                pause_s = self._retry_s[0]
                self._change("online", f"listening at port {self._port}")
                self._logged_in()
                await self._until_lost()
                if self._net.kicked:
                    self._final("kicked", "somebody else has logged in by this name")
                    return
                trouble = "the server closed the connection"
            if self._wanted.is_set():
                self._change("offline", f"{trouble}; trying again in {pause_s:.0f} s")
                await self._pause(pause_s * random.uniform(0.8, 1.0))
                pause_s = min(2 * pause_s, pause_s_max)
        self._final("offline", "logged out, as was asked for")

    async def _until_lost(self) -> None:
        """One who left while the login was just coming about is hung up on here."""
        if not self._wanted.is_set():
            await self._net.hang_up()
        await self._net.lost.wait()

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _final(self, state: str, detail: str) -> None:
        """It is over until somebody wants it."""
        self._wanted.clear()
        self._change(state, detail, final=True)

    def _change(self, state: str, detail: str, *, final: bool = False) -> None:
        self._say(SessionChanged(state=state, detail=detail, final=final))
