"""Login state machine: connects, logs in, waits with growing pauses, and knows when a login is of no use."""

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

from protocol.messages import SessionChanged

FINAL_REASONS: Final = {
    "INVALIDPASS": "the password is wrong, or the name is another user's",
    "INVALIDUSERNAME": "the server does not accept this user name",
    "INVALIDVERSION": "the server does not accept this version of the program",
}
KICKED: Final = "another program has logged in by this name"
RETURN_S: Final = (2.0, 30.0)
"""First and longest pause between the other program's end and our return; it doubles while we are thrown out again."""
RETURN_FORGET_S: Final = 600.0
"""After a login that held for so long the pause is the first one again."""


class ServerAway(Exception):  # noqa: N818
    """The server cannot be reached or does not answer. One line for people."""


class InterfaceAway(ServerAway):
    """The interface that connections are bound to is not there at present."""


class LoginRefused(Exception):  # noqa: N818
    """The server refuses this login, with a code like INVALIDPASS."""


class LoginNetwork(Protocol):
    """Connection to the server. `lost` is set when it is gone, `kicked` when another login of the name ended it."""

    lost: asyncio.Event
    kicked: bool
    why_offline: str
    """Why there is no login and none on its way; empty otherwise."""
    gone: str
    """Why nothing may leave: what connections are bound to is not there. Empty: it is."""
    port: int
    """Listening port; 0: none yet. An interface that is made again can change it at the next login."""

    async def listen(self) -> None:
        """Take a listening port. Raises `ServerAway` when all are taken."""

    async def log_in(self) -> None:
        """Raises `ServerAway` or `LoginRefused`."""

    async def hang_up(self) -> None: ...

    async def until_name_is_free(self) -> None:
        """Return when the other program has logged out. Raises `ServerAway` or `LoginRefused`."""


class LoginKeeper:
    """Owned by the session's loop. `changed` gets every change; `logged_in` is called after each login."""

    def __init__(
        self,
        network: LoginNetwork,
        retry_s: tuple[float, float],
        *,
        changed: Callable[[SessionChanged], None],
        logged_in: Callable[[], None],
        return_s: tuple[float, float] = RETURN_S,
        retry_ports: bool = False,
    ) -> None:
        """`retry_ports`: look again for a free listening port while all are taken; else that ends the attempts."""
        self._network = network
        self._retry_s = retry_s
        self._return_s = return_s
        self._changed = changed
        self._logged_in = logged_in
        self._retry_ports = retry_ports
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._hurry = asyncio.Event()
        self._leaving: asyncio.Future[None] | None = None  # kept, or it could be collected before it is done

    async def run(self) -> None:
        """Keep the login until it is not wanted or not to be had, then wait until it is wanted again."""
        while True:
            try:
                await self._keep()
            finally:
                self._network.why_offline = self._network.why_offline or "not logged in"
            await self._wanted.wait()

    def want(self) -> None:
        """Be logged in: at once where it was put off, also where it was over. A login that holds is not touched."""
        self._wanted.set()
        self._hurry.set()

    def hurry(self) -> None:
        """End the pause before the next attempt: what was in the way is gone."""
        if self._wanted.is_set():
            self._hurry.set()

    def leave(self) -> None:
        """Log out and stay so until it is wanted again. Takes effect before later calls; idempotent."""
        if self._wanted.is_set():
            self._wanted.clear()
            self._hurry.set()
            self._leaving = asyncio.ensure_future(self._network.hang_up())

    async def _keep(self) -> None:
        """Returns when it is over, after reporting why."""
        self._network.why_offline = ""
        while not self._network.port and self._wanted.is_set():
            self._hurry.clear()
            try:
                await self._network.listen()
            except InterfaceAway as away:
                self._report("offline", str(away))
                await self._pause(self._retry_s[1])
            except ServerAway as away:
                if not self._retry_ports:
                    self._final("port taken", str(away))
                    return
                self._report("port taken", str(away))
                await self._pause(self._retry_s[1])
        pause_s, return_s = self._retry_s[0], self._return_s[0]
        while self._wanted.is_set():
            self._hurry.clear()
            self._network.why_offline = ""
            self._report("connecting", "")
            try:
                await self._network.log_in()
            except LoginRefused as refused:
                if str(refused) in FINAL_REASONS:
                    self._final("refused", FINAL_REASONS[str(refused)])
                    return
                trouble = f"the server refuses logins for now: {refused}"
            except ServerAway as away:
                trouble = str(away)
            else:
                held_s = await self._while_online()
                if held_s > self._retry_s[1]:  # else a server that ends each login at once would get one a second
                    pause_s = self._retry_s[0]
                trouble = self._network.gone or "the server closed the connection"
                if self._network.kicked and self._wanted.is_set():
                    return_s = self._return_s[0] if held_s > RETURN_FORGET_S else return_s
                    if not await self._wait_for_the_other(return_s):
                        return
                    return_s = min(2 * return_s, self._return_s[1])
                    continue
            if self._wanted.is_set():
                self._report("offline", f"{trouble}; trying again in {pause_s:.0f} s")
                await self._pause(pause_s * random.uniform(0.8, 1.0))
                pause_s = min(2 * pause_s, self._retry_s[1])
        self._final("offline", "logged out, as was asked for")

    async def _while_online(self) -> float:
        """Return when the login has ended, with the seconds it held."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self._report("online", f"listening at port {self._network.port}")
        self._logged_in()
        if not self._wanted.is_set():  # it was given up while it came about
            await self._network.hang_up()
        await self._network.lost.wait()
        return loop.time() - begun_s

    async def _wait_for_the_other(self, return_s: float) -> bool:
        """Another login of our name ended ours: stay away until its program has left. False: that cannot be known."""
        self._network.why_offline = f"not logged in: {KICKED}"
        self._report("kicked", KICKED)
        pause_s = self._retry_s[0]
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            while not hurry.done():
                watching = asyncio.ensure_future(self._network.until_name_is_free())
                try:
                    await asyncio.wait((watching, hurry), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
                if hurry.done() or watching.cancelled():
                    break
                error = watching.exception()
                if isinstance(error, LoginRefused):
                    self._final("kicked", KICKED)
                    return False
                if error is None:
                    await self._pause(return_s)
                    break
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, self._retry_s[1])
        finally:
            hurry.cancel()
        return True

    async def _pause(self, pause_s: float) -> None:
        """Wait, or until a login is wanted at once."""
        try:
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _final(self, state: str, detail: str) -> None:
        """It is over until it is wanted again."""
        self._wanted.clear()
        self._report(state, detail, final=True)

    def _report(self, state: str, detail: str, *, final: bool = False) -> None:
        self._changed(SessionChanged(state=state, detail=detail, final=final))
