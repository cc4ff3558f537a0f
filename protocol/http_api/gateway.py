"""Asynchronous request gateway between HTTP handlers and the daemon's processes.

Lives in one asyncio loop; every method but `Gateway.receive` (called in that loop by the api process's actor) may be
used by any handler. Holds no state that matters: what is lost with it are open requests, which clients repeat.

Invariant: a request number is never used twice, so a late answer to the gateway of a process that died matches nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec

from protocol.config.settings import Settings, settings_of
from protocol.http_api.login_state import OneTimeTokens
from protocol.messages import (
    ConfigureGateway,
    ContributorsListed,
    EventOccurred,
    FilesListed,
    HealthReported,
    Message,
    ProcessLost,
    ProcessReady,
    Request,
    RequestAnswered,
    RequestRefused,
    SearchEnded,
    SearchHit,
    SessionChanged,
    UserDescribed,
    WatchEvents,
)
from protocol.messages.addresses import JOB_MANAGER, split_address
from protocol.model.errors import NoDocument
from protocol.model.job_spec import HttpOptions
from protocol.model.job_views import unpack
from protocol.model.value import Value

Row = TypeVar("Row", bound=Value)
Reply = RequestAnswered | RequestRefused | ContributorsListed | SearchHit | SearchEnded | UserDescribed | FilesListed
"""What a pending request may receive. All carry its number, as `request` or as `search`."""
GatewayInbox = Reply | EventOccurred | SessionChanged | HealthReported | ProcessLost | ProcessReady | ConfigureGateway

ASK_S: Final = 5.0
REQUESTS_MAX: Final = 1000
REPLIES_MAX: Final = 20_000
"""Replies queued for one request; later ones are dropped and make it `truncated`."""
EVENTS_QUEUED_MAX: Final = 1000


class RefusedError(Exception):
    """A refusal: nothing was changed. `kind` as in `RequestRefused`, or ``forbidden``."""

    def __init__(self, kind: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.field = field
        self.detail = detail


class UnavailableError(Exception):
    """The process that could answer is away or too slow. Worth another try in a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `total`: rows in all, beyond this page, as the question defines it."""

    bodies: tuple[bytes, ...]
    total: int

    def rows(self, kind: type[Row]) -> list[Row]:
        return [row for body in self.bodies for row in unpack(body, kind)]

    def row(self, kind: type[Row]) -> Row:
        """Return the only row of an answer that has exactly one."""
        (row,) = self.rows(kind)
        return row


class Documents(Protocol):
    """Documents and lists that an order goes by, fetched and kept outside of the API. Blocking: call in a thread."""

    def fetch(self, url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool) -> bytes:
        """Return the body at an address. Raises `NoDocument`."""
        ...

    def keep_pieces(self, state: str, digests: bytes) -> str:
        """Keep a list of piece digests for a job and return its path. Raises OSError."""
        ...


class NoDocuments:
    """`Documents` of an API that has no disk and no network of its own."""

    def fetch(self, url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool) -> bytes:
        raise NoDocument("documents are not fetched here")

    def keep_pieces(self, state: str, digests: bytes) -> str:
        raise OSError(95, "lists are not kept here")


class PendingRequest:
    """A request in flight and the bounded queue of its replies, in order."""

    def __init__(self, gateway: "Gateway", number: int) -> None:
        self.number: Final = number
        self.truncated = False
        self._gateway = gateway
        self._processes: set[str] = set()
        self._replies: deque[Reply] = deque()
        self._news = asyncio.Event()
        self._failure = ""

    def ask(self, to: str, request: Request) -> None:
        """Send `request` under this number, to be answered here. Raises `UnavailableError` when its process is away."""
        self.post(to, msgspec.structs.replace(request, request=self.number, reply_to=self._gateway.address))

    def post(self, to: str, message: Message) -> None:
        """Send `message`, which carries this request's number. Raises `UnavailableError` when its process is away."""
        process = split_address(to)[0]
        if process in self._gateway.away:
            raise UnavailableError(f"the {process} process is away: {self._gateway.away[process]}")
        self._processes.add(process)
        self._gateway.post(to, message)

    async def next(self, *, wait_s: float) -> Reply | None:
        """Return the next reply, None when there was none for `wait_s`.

        Raises `UnavailableError` once every reply was read and the process that was asked is gone.
        """
        if not self._replies and not self._failure:
            self._news.clear()
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    await self._news.wait()
            except TimeoutError:
                return None
        if self._replies:
            return self._replies.popleft()
        raise UnavailableError(self._failure)

    def receive(self, reply: Reply) -> None:
        if len(self._replies) >= REPLIES_MAX and not isinstance(reply, RequestRefused | SearchEnded):
            self.truncated = True
            return
        self._replies.append(reply)
        self._news.set()

    def fail(self, why: str, process: str = "") -> None:
        """End the request without an answer. `process`: only if it was sent there."""
        if not process or process in self._processes:
            self._failure = self._failure or why
            self._news.set()


class Listener:
    """An event subscriber with a bounded queue: one that does not keep up loses the oldest and learns how many."""

    def __init__(self) -> None:
        self._queued: deque[EventOccurred] = deque()
        self._news = asyncio.Event()
        self._missed = 0
        self._closed = False

    async def next(self, *, wait_s: float) -> EventOccurred | int | None:
        """Return the next event; a number when that many were missed before it; None when there was none for `wait_s`.

        Raises `UnavailableError` when the gateway closes: end the stream then.
        """
        if not self._queued and not self._closed:
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
        return self._queued.popleft()

    def receive(self, event: EventOccurred) -> None:
        if len(self._queued) >= EVENTS_QUEUED_MAX:
            self._queued.popleft()
            self._missed += 1
        self._queued.append(event)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()


class Gateway:
    """The API's access to the daemon.

    - `settings`: the configuration in force; read it at every request, it is replaced on a reload
    - `address`: the `reply_to` of every request
    - `session`: the latest state of the Soulseek login, None before there was one
    - `away`: processes that are not running, and why
    - `health`: what the others reported, a few seconds ago
    - `closing`: set when the daemon stops; a handler that holds a request open ends it then
    - `at_close`: called when that happens
    - `login_tokens`: of links that log a browser in
    - `shared`: objects that several routers use, by name
    - `documents`: what an order goes by besides its body
    """

    def __init__(
        self,
        settings: Settings,
        *,
        address: str,
        post: Callable[[str, Message], None],
        first_number: int = 1,
        documents: Documents | None = None,
    ) -> None:
        """`post` must not block. `first_number`: above all that predecessors of this gateway may have used."""
        self.settings = settings
        self.address: Final = address
        self.post: Final = post
        self.documents: Final[Documents] = documents or NoDocuments()
        self.session: SessionChanged | None = None
        self.away: dict[str, str] = {}
        self.health: dict[str, HealthReported] = {}
        self.closing: Final = asyncio.Event()
        self.at_close: Final[list[Callable[[], None]]] = []
        self.login_tokens: Final = OneTimeTokens()
        self.shared: Final[dict[str, Any]] = {}
        self._configuration = b""
        self._next_number = first_number
        self._pending: dict[int, PendingRequest] = {}
        self._listeners: set[Listener] = set()

    async def ask(self, to: str, request: Request, *, wait_s: float = ASK_S) -> Answer:
        """Send a request, numbered and addressed here, and wait for the whole answer.

        Raises `RefusedError` for a `RequestRefused`, `UnavailableError` when there is no answer within `wait_s`.
        """
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        bodies: list[bytes] = []
        with self.open_request() as pending:
            pending.ask(to, request)
            while True:
                match await pending.next(wait_s=due_s - loop.time()):
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
    def open_request(self) -> Iterator[PendingRequest]:
        """Open a request with other replies than `RequestAnswered`: a search, a user's files.

        Post with its number, then read `PendingRequest.next` until the last reply; what comes after the block is
        dropped.
        """
        if self.closing.is_set():
            raise UnavailableError("the daemon is stopping")
        if len(self._pending) >= REQUESTS_MAX:
            raise RefusedError("full", "", f"{REQUESTS_MAX} questions are waiting for an answer")
        number = self._next_number
        self._next_number += 1
        pending = self._pending[number] = PendingRequest(self, number)
        try:
            yield pending
        finally:
            del self._pending[number]

    @contextmanager
    def listen(self, listeners_max: int = 0) -> Iterator[Listener]:
        """Subscribe to every `EventOccurred` from now on.

        Raises `RefusedError` beyond `listeners_max` (0: the configured number of streams).
        """
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
        """Sleep. Raises `UnavailableError` as soon as the gateway closes."""
        try:
            async with asyncio.timeout(wait_s):
                await self.closing.wait()
        except TimeoutError:
            return
        raise UnavailableError("the daemon is stopping")

    def watch(self) -> None:
        """Subscribe to the job manager's events: called once at the start, and here for each new job manager."""
        self.post(JOB_MANAGER, WatchEvents(reply_to=self.address))

    def receive(self, message: GatewayInbox) -> None:
        """Take in a message from another process. Call it in the loop's thread."""
        match message:
            case EventOccurred():
                for listener in self._listeners:
                    listener.receive(message)
            case SessionChanged():
                self.session = message
            case HealthReported(process=process):
                self.health[process] = message
            case ProcessLost(process=process, detail=detail):
                self.away[process] = detail
                self.health.pop(process, None)
                for pending in self._pending.values():
                    pending.fail(f"the {process} process died: {detail}", process)
            case ProcessReady(process=process):
                self.away.pop(process, None)
                if process == split_address(JOB_MANAGER)[0]:
                    self.watch()
            case ConfigureGateway(part=part, last=last):
                self._configuration += part
                if last:
                    self.settings = settings_of(self._configuration)
                    self._configuration = b""
            case SearchHit(search=number) | SearchEnded(search=number):
                self._route(number, message)
            case RequestAnswered() | RequestRefused() | ContributorsListed() | UserDescribed() | FilesListed():
                self._route(message.request, message)

    def close(self) -> None:
        """End every pending request and stream."""
        self.closing.set()
        for call in self.at_close:
            call()
        for pending in self._pending.values():
            pending.fail("the daemon is stopping")
        for listener in self._listeners:
            listener.close()

    def _route(self, number: int, reply: Reply) -> None:
        pending = self._pending.get(number)
        if pending is not None:
            pending.receive(reply)
