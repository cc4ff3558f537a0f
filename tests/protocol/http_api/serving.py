"""The API on a real socket, the daemon's other processes played: what they are sent is kept, what they say made up.

``with serving(answer) as api: api.client.get(...)``. `answer(to, message)` gives what comes back, at once; `api.say`
says something unasked.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
from fastapi import APIRouter

from actors.api.server import HttpServer
from protocol.config.settings import ApiSettings, DaemonSettings, Settings
from protocol.http_api import monitoring
from protocol.http_api.app import MakeRouter, build_app
from protocol.http_api.events import routes as events
from protocol.http_api.gateway import Documents, Gateway, GatewayInbox
from protocol.http_api.native import downloads, fleet, folders, jobs, live, metalinks, soulseek, wishlist
from protocol.http_api.slskd import application, reports, users
from protocol.http_api.slskd import downloads as transfers
from protocol.messages import Message, RequestAnswered
from protocol.messages.addresses import GATEWAY
from protocol.model.job_views import pack
from protocol.model.value import Value

Answer = Callable[[str, Any], Iterable[GatewayInbox]]
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: to load the system's certificates takes as long as all else of a test."""
STATELESS: Final = (
    application, downloads, events, fleet, folders, jobs, live,
    metalinks, monitoring, reports, soulseek, transfers, users, wishlist,
)  # fmt: skip


def no_answers(_to: str, _message: Message) -> Iterable[GatewayInbox]:
    return ()


def answered(request: int, rows: Iterable[Value] = (), *, total: int = 0) -> list[GatewayInbox]:
    """The parts of an answer with these rows."""
    bodies = list(pack(rows))
    return [
        RequestAnswered(request=request, body=body, total=total, last=number == len(bodies))
        for number, body in enumerate(bodies, start=1)
    ]


@dataclass
class Api:
    """`posted`: everything that was posted, in order."""

    url: str
    client: httpx.Client
    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    posted: list[tuple[str, Any]] = field(default_factory=list)

    def say(self, *messages: GatewayInbox) -> None:
        for message in messages:
            self.loop.call_soon_threadsafe(self.gateway.receive, message)

    def configure(self, settings: Settings) -> None:
        self.gateway.settings = settings


def open_settings(folder: str = "/nowhere", **api: Any) -> Settings:
    """No request needs a key."""
    daemon = DaemonSettings(state=f"{folder}/state", downloads=f"{folder}/downloads")
    return Settings(daemon=daemon, api=ApiSettings(**{"authentication": False, **api}), jwt_key=b"k" * 32)


class _Current:
    """The gateway that is served now. Routes are made for this one: making them costs more than most tests."""

    gateway: Gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)


@dataclass
class _Routes:
    """Routers that keep nothing between requests, for one gateway after the other."""

    current: _Current = field(default_factory=_Current)
    made: dict[MakeRouter, APIRouter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.made.update({each.router: each.router(cast(Gateway, self.current)) for each in STATELESS})


_idle: list[_Routes] = []


@contextmanager
def _routes_for(gateway: Gateway) -> Iterator[Mapping[MakeRouter, APIRouter]]:
    routes = _idle.pop() if _idle else _Routes()
    routes.current.gateway = gateway
    yield routes.made
    _idle.append(routes)


@contextmanager
def serving(
    answer: Answer = no_answers,
    settings: Settings | None = None,
    *,
    documents: Documents | None = None,
    **server_options: float,
) -> Iterator[Api]:
    loop = asyncio.new_event_loop()
    posted: list[tuple[str, Any]] = []

    def post(to: str, message: Message) -> None:
        posted.append((to, message))
        for reply in answer(to, message):
            loop.call_soon_threadsafe(gateway.receive, reply)

    gateway = Gateway(settings or open_settings(), address=GATEWAY, post=post, documents=documents)
    failed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, _routes_for(gateway) as made:
        server = HttpServer(
            build_app(gateway, made), listener, loop, beat=lambda: None, ended=failed.set, **server_options
        )
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30.0, verify=NO_TLS) as client:
                yield Api(url=url, client=client, gateway=gateway, loop=loop, posted=posted)
        finally:
            server.stop(gateway.close)
            loop.close()
    assert not failed.is_set()
