"""A place in a peer's queue as we see it, and what may happen to it while it is talked about."""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import Final

from actors.soulseek.ports import Line

EVENTS_MAX: Final = 64
"""Events that wait; a peer that chatters faster than we listen is not heard."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The peer would send now."""

    ticket: int
    size_bytes: int
    line: Line


@dataclass(frozen=True, slots=True)
class Denied:
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """UploadFailed, of this attempt."""


@dataclass(frozen=True, slots=True)
class Told:
    """Our place in the peer's queue."""

    place: int


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """Our side's answer to an offer."""

    ticket: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Came:
    """The F connection; its descriptor is in `QueueEntry.fd`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker has hung up."""

    ticket: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Left:
    """Not wanted any more."""


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """Our side asks for the same place anew: for it, whatever was is over."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """After a lost login: peers may have forgotten us."""


Event = Offered | Denied | Failed | Told | OfferAnswered | Came | Ended | Left | AskedAgain | LoggedIn


class QueueEntry:
    """One source's place. Owned by its peer's talk."""

    def __init__(self, job: int, source: int, path: str, worker: str) -> None:
        self.job = job
        self.source = source
        self.path = path
        self.worker = worker
        self.left = False
        self.again = False
        """Our side has asked anew, and no attempt has begun since."""
        self.fd = -1
        self._events: asyncio.Queue[Event] = asyncio.Queue(EVENTS_MAX)

    def put(self, event: Event) -> None:
        self.left |= isinstance(event, Left)
        self.again |= isinstance(event, AskedAgain)
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(event)

    def came(self, fd: int) -> None:
        """Owns the descriptor until `take_fd`."""
        self.close()
        self.fd = fd
        self.put(Came())

    def take_fd(self) -> int:
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.take_fd())

    async def next(self, s_max: float | None) -> Event:
        """The next event; `Left` first of all. Raises TimeoutError when there is none in so many seconds."""
        if self.left:
            return Left()
        async with asyncio.timeout(s_max):
            return await self._events.get()
