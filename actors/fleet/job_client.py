"""Client of this daemon's job manager for the fleet's event loop: requests with their answers, and ends of jobs."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final, TypeVar

from protocol.messages import (
    BrowseUser,
    EventOccurred,
    FilesListed,
    Message,
    Request,
    RequestAnswered,
    RequestRefused,
    WatchEvents,
)
from protocol.messages.addresses import FLEET, JOB_MANAGER, SESSION
from protocol.model.event_kinds import JOB_FAILED, JOB_PROGRESSED, JOB_SEALED
from protocol.model.job_views import unpack
from protocol.model.value import Value

ASK_S: Final = 10.0
BROWSE_S: Final = 60.0
NEAR_S: Final = 1.0
RATE_S: Final = 3.0
"""A rate that was reported longer ago counts as none."""
_ENDS: Final = {JOB_SEALED, JOB_FAILED}
Row = TypeVar("Row", bound=Value)


class JobRefused(Exception):  # noqa: N818
    """The job manager refused a request. The text is its reason; `kind` as in `RequestRefused`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class JobClient:
    """Used in the event loop's thread only. `post` must not block for long."""

    def __init__(self, post: Callable[[str, Message], None], *, first_number: int) -> None:
        self._post = post
        self._number = first_number
        self._asked: dict[int, tuple[asyncio.Future[None], list[bytes]]] = {}
        self._browsed: dict[int, tuple[asyncio.Future[int], str]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._near: dict[str, Callable[[], None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def watch(self) -> None:
        """Subscribe to events: at the start, and whenever there is another job manager."""
        self._post(JOB_MANAGER, WatchEvents(reply_to=FLEET))
        for event in self._ended.values():  # what ended meanwhile was not heard
            event.set()

    async def ask(self, request: Request, kind: type[Row], *, wait_s: float = ASK_S) -> list[Row]:
        """Return the rows of the answer. Raises `JobRefused`, also when the manager is away."""
        self._number += 1
        number, done = self._number, asyncio.get_running_loop().create_future()
        bodies: list[bytes] = []
        self._asked[number] = done, bodies
        try:
            self._post(JOB_MANAGER, request.but(request=number, reply_to=FLEET))
            async with asyncio.timeout(wait_s):
                await done
        except TimeoutError:
            raise JobRefused("unavailable", "the job manager does not answer") from None
        finally:
            del self._asked[number]
        return [row for body in bodies for row in unpack(body, kind)]

    async def size_at_user(self, peer: str, path: str) -> int:
        """Return how large this file of a user is, by the user's list; -1: it is not said."""
        folder, _, name = path.rpartition("\\")
        self._number += 1
        number, asked = self._number, asyncio.get_running_loop().create_future()
        self._browsed[number] = asked, name
        try:
            self._post(SESSION, BrowseUser(request=number, reply_to=FLEET, peer=peer, folder=folder))
            async with asyncio.timeout(BROWSE_S):
                size: int = await asked
                return size
        except TimeoutError:
            return -1
        finally:
            del self._browsed[number]

    def heard(self, message: RequestAnswered | RequestRefused | EventOccurred | FilesListed) -> None:
        """Take in what the manager or the session sent."""
        match message:
            case FilesListed(request=number, names=names, sizes=sizes, last=last):
                asked, name = self._browsed.get(number, (None, ""))
                if asked is not None and not asked.done() and (name in names or last):
                    asked.set_result(dict(zip(names, sizes, strict=False)).get(name, -1))
            case RequestAnswered(request=number, body=body, last=last):
                done, bodies = self._asked.get(number) or (None, list[bytes]())
                bodies.append(body)
                if last and done is not None and not done.done():
                    done.set_result(None)
            case RequestRefused(request=number, kind=kind, detail=detail):
                done, _ = self._asked.get(number, (None, []))
                if done is not None and not done.done():
                    done.set_exception(JobRefused(kind, detail))
                asked, _ = self._browsed.get(number, (None, ""))
                if asked is not None and not asked.done():
                    asked.set_result(-1)
            case EventOccurred(kind=kind, id=id, data=data):
                if kind == JOB_PROGRESSED:
                    said = json.loads(data)
                    self._rates[id] = (float(said.get("rateBytesS") or 0.0), time.monotonic())
                    self._time_end(id, said.get("leftS"))
                elif kind in _ENDS:
                    self._rates.pop(id, None)
                    if id in self._ended:
                        self._ended[id].set()

    def end_of(self, id: str) -> asyncio.Event:
        """Return an event that is set when this job may have ended; to be cleared, looked after and awaited again."""
        return self._ended.setdefault(id, asyncio.Event())

    def near_end(self, id: str, call: Callable[[], None]) -> None:
        """Call this once when less than `NEAR_S` of a job is left, by its last report."""
        self._near[id] = call

    def _time_end(self, id: str, left_s: float | None) -> None:
        """Set the time of the call of `near_end` by what the job has just reported: reports come once a second."""
        call = self._near.get(id)
        if call is None or left_s is None or left_s < 0:
            return
        if id in self._timers:
            self._timers.pop(id).cancel()

        def near() -> None:
            self._timers.pop(id, None)
            if self._near.pop(id, None) is not None:
                call()

        self._timers[id] = asyncio.get_running_loop().call_later(max(0.0, left_s - NEAR_S), near)

    def forget(self, id: str) -> None:
        """Drop what is kept of a job."""
        self._near.pop(id, None)
        if id in self._timers:
            self._timers.pop(id).cancel()
        self._ended.pop(id, None)
        self._rates.pop(id, None)

    def rate_bytes_s(self) -> float:
        """Return the rate of all jobs of this daemon together, as lately reported."""
        now_s = time.monotonic()
        self._rates = {id: each for id, each in self._rates.items() if now_s - each[1] < RATE_S}
        return sum(rate for rate, _ in self._rates.values())
