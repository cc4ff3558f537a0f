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

    async def run(self) -> None:
        """Returns only when it will not be tried any more."""
        try:
            await self._run()
        finally:
            self._net.over = True

    async def _run(self) -> None:
        try:
            port = await self._net.listen()
        except ServerAway as away:
            self._change("port taken", str(away), final=True)
            return
        pause_s, pause_s_max = self._retry_s
        while True:
            self._change("connecting", "")
            try:
                await self._net.log_in()
            except LoginRefused as refused:
                if str(refused) in WHY_FINAL:
                    self._change("refused", WHY_FINAL[str(refused)], final=True)
                    return
                trouble = f"the server refuses logins for now: {refused}"
            except ServerAway as away:
                trouble = str(away)
            else:
                pause_s = self._retry_s[0]
                self._change("online", f"listening at port {port}")
                self._logged_in()
                await self._net.lost.wait()
                if self._net.kicked:
                    self._change("kicked", "somebody else has logged in by this name", final=True)
                    return
                trouble = "the server closed the connection"
            self._change("offline", f"{trouble}; trying again in {pause_s:.0f} s")
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.0))
            pause_s = min(2 * pause_s, pause_s_max)

    def _change(self, state: str, detail: str, *, final: bool = False) -> None:
        self._say(SessionChanged(state=state, detail=detail, final=final))
