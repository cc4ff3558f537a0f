"""The desk: how a request handler asks the daemon's processes something, and hears from them.

Lives in one asyncio loop; everything but `Gateway.arrived` (called there by the shell, `actors.api`) may be used by any
handler. Owns no truth: what is lost with it are open questions, which their askers repeat.

Invariant: a number names one talk only, for ever: also a late answer to the desk of a process that died finds nobody.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from protocol.config.settings import Settings, settings_of
from protocol.messages import (
    ConfigureGateway,
    ContributorsListed,
    EventOccurred,
    FilesListed,
    HealthReported,
    Message,
    ProcessLost,
    ProcessReady,
    RequestAnswered,
    RequestRefused,
    SearchEnded,
    SearchHit,
    SessionChanged,
    UserDescribed,
    WatchEvents,
)
from protocol.messages.addresses import JOB_MANAGER, split_address
from protocol.model.job_views import ViewRow, unpack

DeskInbox = (
    HealthReported
    | RequestAnswered
    | RequestRefused
    | EventOccurred
    | ContributorsListed
    | SearchHit
    | SearchEnded
    | UserDescribed
    | FilesListed
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | ConfigureGateway
)

Row = TypeVar("Row", bound=ViewRow)
Told = RequestAnswered | RequestRefused | ContributorsListed | SearchHit | SearchEnded | UserDescribed | FilesListed
"""What a talk may hear. All carry the number that the asker gave, as `request` or as `search`."""

ASK_S: Final = 5.0
TALKS_MAX: Final = 1000
HEARD_MAX: Final = 20_000
"""Messages that wait for the asker of one talk; later ones are dropped and make it `truncated`."""
EVENTS_WAITING_MAX: Final = 1000
_JOBS: Final = split_address(JOB_MANAGER)[0]


class RefusedError(Exception):
    """Somebody said no, and nothing was changed. `kind` as in `RequestRefused`, or ``forbidden``."""

    def __init__(self, kind: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.field = field
        self.detail = detail


class UnavailableError(Exception):
    """Nobody is there who could answer now, or the answer takes too long. Worth another try in a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `total`: rows there are beyond this page, as the question defines it."""

    bodies: tuple[bytes, ...]
    total: int

    def rows(self, kind: type[Row]) -> list[Row]:
        return [row for body in self.bodies for row in unpack(body, kind)]

    def row(self, kind: type[Row]) -> Row:
        """The only row of an answer that has exactly one."""
        (row,) = self.rows(kind)
        return row


class PendingRequest:
    """One question under way and what was heard of it, in order. Bounded."""

    def __init__(self, desk: "Gateway", number: int) -> None:
        self.number: Final = number
        self.truncated = False
        self._desk = desk
        self._with: set[str] = set()
        self._heard: deque[Told] = deque()
        self._news = asyncio.Event()
        self._broken = ""

    def post(self, to: str, message: Message) -> None:
        """Say something under this talk's number. Raises `UnavailableError` when nobody is there to hear it."""
        process = split_address(to)[0]
        if process in self._desk.away:
            raise UnavailableError(f"the {process} process is away: {self._desk.away[process]}")
        self._with.add(process)
        self._desk.post(to, message)

    async def next(self, *, wait_s: float) -> Told | None:
        """What was heard next; None when nothing was for `wait_s`. Raises `UnavailableError` once everything heard
        before was read and the one who was asked is gone."""
        if not self._heard and not self._broken:
            self._news.clear()
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    await self._news.wait()
            except TimeoutError:
                return None
        if self._heard:
            return self._heard.popleft()
        raise UnavailableError(self._broken)

    def hear(self, message: Told) -> None:
        if len(self._heard) >= HEARD_MAX and not isinstance(message, RequestRefused | SearchEnded):
            self.truncated = True
            return
        self._heard.append(message)
        self._news.set()

    def break_off(self, why: str, process: str = "") -> None:
        """`process`: only if this talk is with it."""
        if not process or process in self._with:
            self._broken = self._broken or why
            self._news.set()


class Listener:
    """Somebody who wants every event, in order. One who does not keep up loses the oldest and is told how many."""

    def __init__(self) -> None:
        self._waiting: deque[EventOccurred] = deque()
        self._news = asyncio.Event()
        self._missed = 0
        self._closed = False

    async def next(self, *, wait_s: float) -> EventOccurred | int | None:
        """The next event; a number when so many were missed before it; None when there was none for `wait_s`.
        Raises `UnavailableError` when the desk closes: end the stream then."""
        if not self._waiting and not self._closed:
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        if self._closed:
            raise UnavailableError("the daemon is stopping")
        if self._missed:
            missed, self._missed = self._missed, 0
            return missed
        return self._waiting.popleft()

    def hear(self, event: EventOccurred) -> None:
        if len(self._waiting) >= EVENTS_WAITING_MAX:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()


class Gateway:
    """`settings` is what holds now: read it anew for every request, it is replaced when the configuration was read
    again. `session`: the latest word about the login, None before there was one. `away`: processes that are not there,
    and why; `health`: how those that are were, a few seconds ago. `address`: the `reply_to` of every question."""

    def __init__(
        self, settings: Settings, *, address: str, post: Callable[[str, Message], None], first_number: int = 1
    ) -> None:
        """`post` must not block. `first_number`: above all that predecessors of this desk may have used."""
        self.settings = settings
        self.address: Final = address
        self.post: Final = post
        self.session: SessionChanged | None = None
        self.away: dict[str, str] = {}
        self.health: dict[str, HealthReported] = {}
        self.closing: Final = asyncio.Event()
        """Set when the daemon stops. Whoever holds a request open ends it then."""
        self.at_close: Final[list[Callable[[], None]]] = []
        """Called when that happens."""
        self._configuration = b""
        self._next_number = first_number
        self._talks: dict[int, PendingRequest] = {}
        self._listeners: set[Listener] = set()

    async def ask(self, to: str, make: Callable[[int, str], Message], *, wait_s: float = ASK_S) -> Answer:
        """Ask and wait for the whole answer. `make(number, reply_to)` makes the question.

        Raises `RefusedError` when the answer is `RequestRefused`, `UnavailableError` when there is none within
        `wait_s`.
        """
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        bodies: list[bytes] = []
        with self.talk() as talk:
            talk.post(to, make(talk.number, self.address))
            while True:
                told = await talk.next(wait_s=due_s - loop.time())
                match told:
                    case RequestAnswered(body=body, total=total, last=last):
                        bodies.append(body)
                        if last:
                            return Answer(tuple(bodies), total)
                    case RequestRefused(kind=kind, field=field, detail=detail):
                        raise RefusedError(kind, field, detail)
                    case None:
                        raise UnavailableError(f"{split_address(to)[0]} did not answer within {wait_s:.0f} s")
                    case _:
                        pass

    @contextmanager
    def talk(self) -> Iterator[PendingRequest]:
        """For questions with other answers than `RequestAnswered`: searches, users' files, runs. Post with its
        number, then
        read `PendingRequest.next` until the last word; leaving the block makes everything later a late word."""
        if self.closing.is_set():
            raise UnavailableError("the daemon is stopping")
        if len(self._talks) >= TALKS_MAX:
            raise RefusedError("full", "", f"{TALKS_MAX} questions are waiting for an answer")
        number = self._next_number
        self._next_number += 1
        talk = self._talks[number] = PendingRequest(self, number)
        try:
            yield talk
        finally:
            del self._talks[number]

    @contextmanager
    def listen(self, listeners_max: int = 0) -> Iterator[Listener]:
        """Every `EventOccurred` from now on. Raises `RefusedError` when so many listen already; 0: the configured
        number of streams."""
        listeners_max = listeners_max or self.settings.api.streams_max
        if len(self._listeners) >= listeners_max:
            raise RefusedError("full", "", f"{listeners_max} listen already")
        listener = Listener()
        self._listeners.add(listener)
        if self.closing.is_set():
            listener.close()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def pause(self, wait_s: float) -> None:
        """Nothing, for so long. Raises `UnavailableError` as soon as the desk closes."""
        try:
            async with asyncio.timeout(wait_s):
                await self.closing.wait()
        except TimeoutError:
            return
        raise UnavailableError("the daemon is stopping")

    def watch(self) -> None:
        """Ask the job manager for its events. The shell calls this once; afterwards the desk asks whenever a job
        manager comes back."""
        self.post(JOB_MANAGER, WatchEvents(reply_to=self.address))

    def arrived(self, message: DeskInbox) -> None:
        """Take in what the mailbox got. In the loop's thread."""
        match message:
            case EventOccurred():
                for listener in self._listeners:
                    listener.hear(message)
            case SessionChanged():
                self.session = message
            case HealthReported(process=process):
                self.health[process] = message
            case ProcessLost(process=process, detail=detail):
                self.away[process] = detail
                self.health.pop(process, None)
                for talk in self._talks.values():
                    talk.break_off(f"the {process} process died: {detail}", process)
            case ProcessReady(process=process):
                self.away.pop(process, None)
                if process == _JOBS:
                    self.watch()
            case ConfigureGateway(part=part, last=last):
                self._configuration += part
                if last:
                    self.settings = settings_of(self._configuration)
                    self._configuration = b""
            case SearchHit(search=number) | SearchEnded(search=number):
                self._hand(number, message)
            case RequestAnswered() | RequestRefused() | ContributorsListed() | UserDescribed() | FilesListed():
                self._hand(message.request, message)

    def close(self) -> None:
        """Every open question and stream ends now."""
        self.closing.set()
        for call in self.at_close:
            call()
        for talk in self._talks.values():
            talk.break_off("the daemon is stopping")
        for listener in self._listeners:
            listener.close()

    def _hand(self, number: int, message: Told) -> None:
        talk = self._talks.get(number)
        if talk is not None:
            talk.hear(message)
