"""SignalR hubs of slskd's web interface: application, search, metrics and logs, over server-sent events.

The part of the protocol that such a client needs: ``negotiate``, the JSON protocol's handshake, invocations from here
to there, pings. A connection is a stream and what is posted with its token. No WebSocket, no long polling, and nothing
that a client could invoke.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from protocol.http_api.events.sse import HEADERS
from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.slskd.application import application_state, options_of
from protocol.http_api.slskd.reports import log_records, transfer_metrics
from protocol.http_api.slskd.schemas import Answer
from protocol.http_api.slskd.searches import searcher_of

CONNECTIONS_MAX: Final = 64
HANDSHAKE_S_MAX: Final = 15.0
PING_S: Final = 15.0
"""The client takes a connection for dead after 30 s."""
LOOK_S: Final = 0.3
"""Period of looking for changes ..."""
STATE_S: Final = 5.0
"""... and of those that have to be asked for."""
_END: Final = b"\x1e"
_PING: Final = b'{"type":6}' + _END

Invocations = AsyncIterator[tuple[str, Any]]
"""``(target, argument)``: what a hub sends to one client, until it leaves. An empty target: nothing new so far."""


class _Connection:
    """A negotiated connection; `ready` is set by the client's handshake."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.streams = False


async def _application(gateway: Gateway) -> Invocations:
    state: Any = None
    settings = None
    looked_s = -STATE_S
    loop = asyncio.get_running_loop()
    session = gateway.session
    while True:
        if loop.time() - looked_s >= STATE_S or session is not gateway.session:
            looked_s, session = loop.time(), gateway.session
            before, state = state, await application_state(gateway)
            yield ("STATE" if state != before else "", state)
        if settings is not gateway.settings:
            settings = gateway.settings
            yield ("OPTIONS", options_of(gateway))
        yield ("", None)


async def _search(gateway: Gateway) -> Invocations:
    searches = searcher_of(gateway).searches
    known = {one.id: one.view(responses=False) for one in searches.all()}
    yield ("LIST", list(known.values()))
    while True:
        for one in searches.all():
            before = known.get(one.id)
            if before is not None and before.is_complete:
                continue
            known[one.id] = view = one.view(responses=False)
            if view != before:
                yield ("UPDATE" if before is not None else "CREATE", view)
        for id in known.keys() - {one.id for one in searches.all()}:
            yield ("DELETE", known.pop(id))
        yield ("", None)


async def _metrics(gateway: Gateway) -> Invocations:
    metrics: Any = None
    while True:
        try:
            before, metrics = metrics, await transfer_metrics(gateway)
            yield ("Update" if metrics != before else "", metrics)
        except (UnavailableError, RefusedError):
            pass
        for _ in range(round(1.5 / LOOK_S)):
            yield ("", None)


async def _logs(gateway: Gateway) -> Invocations:
    records = await log_records(gateway)
    yield ("BUFFER", records)
    while True:
        for _ in range(round(STATE_S / LOOK_S)):
            yield ("", None)
        for record in await log_records(gateway):
            if record not in records:
                yield ("LOG", record)
                records = [*records[-500:], record]


HUBS: Final[dict[str, Callable[[Gateway], Invocations]]] = {
    "application": _application,
    "search": _search,
    "metrics": _metrics,
    "logs": _logs,
}


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix="/hub/{hub}", include_in_schema=False)
    connections: dict[str, _Connection] = {}

    def known(hub: str, token: str) -> _Connection:
        if hub not in HUBS or token not in connections:
            raise RefusedError("unknown", "", "no such connection")
        return connections[token]

    @routes.post("/negotiate")
    async def negotiate(hub: str) -> JSONResponse:
        if hub not in HUBS:
            raise RefusedError("unknown", "", "no such hub")
        if len(connections) >= CONNECTIONS_MAX:
            raise RefusedError("full", "", f"{CONNECTIONS_MAX} connections are open")
        token = secrets.token_urlsafe(16)
        connections[token] = one = _Connection()
        asyncio.get_running_loop().call_later(
            HANDSHAKE_S_MAX, lambda: None if one.streams else connections.pop(token, None)
        )
        transports = [{"transport": "ServerSentEvents", "transferFormats": ["Text"]}]
        return JSONResponse(
            {"negotiateVersion": 1, "connectionId": token, "connectionToken": token, "availableTransports": transports}
        )

    @routes.get("")
    async def stream(hub: str, id: str = "") -> StreamingResponse:
        connection = known(hub, id)
        if connection.streams:
            raise RefusedError("conflict", "", "this connection has its stream already")
        connection.streams = True

        async def blocks() -> AsyncIterator[bytes]:
            try:
                async for block in _blocks(gateway, HUBS[hub], connection):
                    yield block
            finally:
                connections.pop(id, None)

        return StreamingResponse(blocks(), media_type="text/event-stream", headers=HEADERS)

    @routes.post("")
    async def receive(hub: str, request: Request, id: str = "") -> Response:
        connection = known(hub, id)
        for frame in (await request.body()).split(_END):
            try:
                message = msgspec.json.decode(frame) if frame else {}
            except msgspec.DecodeError:
                raise RefusedError("invalid", "", "no message of the JSON protocol") from None
            if isinstance(message, dict) and message.get("protocol") == "json":
                connection.ready.set()
        return Response()

    @routes.delete("", status_code=202)
    async def leave(hub: str, id: str = "") -> Response:
        known(hub, id)
        return Response(status_code=202)

    return routes


async def _blocks(
    gateway: Gateway, hub: Callable[[Gateway], Invocations], connection: _Connection
) -> AsyncIterator[bytes]:
    """Yield a client's stream, until it leaves, does not shake hands or the daemon stops."""
    yield b":\r\n\r\n"
    loop = asyncio.get_running_loop()
    ended = asyncio.ensure_future(gateway.closing.wait())
    try:
        if not await _in_time(connection.ready.wait(), ended):
            return
        yield _event(b"{}" + _END)
        sent_s = loop.time()
        async for target, argument in hub(gateway):
            if target:
                sent_s = loop.time()
                yield _event(invocation(target, argument))
            elif loop.time() - sent_s >= PING_S:
                sent_s = loop.time()
                yield _event(_PING)
            if not target and (await asyncio.wait([ended], timeout=LOOK_S))[0]:
                yield _event(b'{"type":7,"allowReconnect":true}' + _END)
                return
    finally:
        ended.cancel()


async def _in_time(ready: Awaitable[Any], ended: asyncio.Future[Any]) -> bool:
    waiting = asyncio.ensure_future(ready)
    await asyncio.wait([waiting, ended], timeout=HANDSHAKE_S_MAX, return_when=asyncio.FIRST_COMPLETED)
    done = waiting.done()
    waiting.cancel()
    return done


def invocation(target: str, argument: Any) -> bytes:
    """Return one message of the JSON protocol that calls `target` at the client."""
    return msgspec.json.encode({"type": 1, "target": target, "arguments": [plain(argument)]}) + _END


def plain(value: Any) -> Any:
    """Return a value as JSON has it, without null members."""
    if isinstance(value, Answer):
        return value.model_dump(by_alias=True, exclude_none=True)
    return [plain(one) for one in value] if isinstance(value, list) else value


def _event(frame: bytes) -> bytes:
    return b"data: " + frame + b"\r\n\r\n"
