"""What no request gets past: unknown hosts, foreign pages, bodies without end, too many at once.

A page of somebody else that runs in a browser here can neither reach us under a name of its own (DNS rebinding: the
Host header is checked), nor have anything done (CSRF: Origin and Sec-Fetch-Site are), nor read anything (CORS is off
unless its origin was configured).
"""

import asyncio
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.config.settings import ApiSettings
from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.middleware.client_address import head, heads
from protocol.http_api.middleware.paths import without_base

BODY_S_MAX: Final = 30.0
HEAD_BYTES_MAX: Final = 32 * 1024
EXPOSED: Final = ("X-URL-Base", "X-Total-Count", "Retry-After", "Location")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise itself."""


class Guard:
    """Middleware, the outermost."""

    def __init__(self, app: ASGIApp, *, desk: Gateway) -> None:
        self._app: Final = app
        self._desk: Final = desk
        self._bodies: Final = _Bodies(desk)
        self._running = 0
        self._cors: tuple[tuple[str, ...], ASGIApp] = ((), app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        api = self._desk.settings.api
        sending = _with_headers(send, api)
        try:
            self._look_at(scope, api)
        except RefusedError as refused:
            path = without_base(scope["path"], api.url_base)
            await error_response(path, refused.kind, refused.field, refused.detail)(scope, receive, sending)
            return
        self._running += 1
        try:
            await self._behind_cors(api.origins)(scope, self._bodies.bounded(receive, api.body_bytes_max), sending)
        finally:
            self._running -= 1

    def _look_at(self, scope: Scope, api: ApiSettings) -> None:
        """Raises `RefusedError`. Cheap, and nothing of the body is read."""
        if self._running >= api.requests_max:
            raise RefusedError("unavailable", "", f"{api.requests_max} requests are being answered")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
            raise RefusedError("head too large", "", f"all headers have at most {HEAD_BYTES_MAX} bytes")
        hosts = heads(scope, b"host")
        if len(hosts) != 1 or not is_ours(hosts[0], api):
            raise RefusedError("forbidden", "Host", "not a name of this daemon: see `hosts` under [api]")
        origin = head(scope, b"origin")
        if origin not in api.origins and _is_foreign(scope, origin, hosts[0]):
            raise RefusedError("forbidden", "Origin", "not a page of this daemon: see `origins` under [api]")
        length = head(scope, b"content-length")
        if length.isdigit() and int(length) > api.body_bytes_max:
            raise RefusedError("too large", "", f"a body has at most {api.body_bytes_max} bytes")

    def _behind_cors(self, origins: tuple[str, ...]) -> ASGIApp:
        """Made anew when other origins were configured."""
        if origins and self._cors[0] != origins:
            cors = CORSMiddleware(
                self._app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED
            )
            self._cors = (origins, cors)
        return self._cors[1] if origins else self._app


def is_ours(host: str, api: ApiSettings) -> bool:
    """Whether a Host header names us: any address in figures (no name server can point one at us), ``localhost``, the
    name we are bound to, or one that was configured; ``*.example.org`` is every name below it, ``*`` is every name."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "@" in host:
        return False
    return _is_figures(name) or any(_names(known.lower(), name) for known in ("localhost", api.host, *api.hosts))


def _names(known: str, name: str) -> bool:
    return known in ("*", name) or (known.startswith("*.") and name.endswith(known[1:]))


def _is_figures(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(scope: Scope, origin: str, host: str) -> bool:
    """Whether a browser says that a page from elsewhere asks. What only reads may be asked by such a page as far as we
    mind, it is not told the answer; but a browser that says so itself is believed for every method."""
    if head(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
        return not _is_visit(scope)
    if not origin or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    return origin.partition("://")[2].lower() != host.lower()


def _is_visit(scope: Scope) -> bool:
    """Whether somebody follows a link to a page of ours."""
    return (
        scope["method"] == "GET"
        and head(scope, b"sec-fetch-mode") == "navigate"
        and head(scope, b"sec-fetch-dest") == "document"
        and "/api/" not in scope["path"].lower()
    )


class _Bodies:
    """Bodies that are being read. Each ends when it is whole, too long or too slow; all end when the daemon stops."""

    def __init__(self, desk: Gateway) -> None:
        self._desk: Final = desk
        self._waits: set[asyncio.Timeout] = set()
        desk.at_close.append(self._end)

    def bounded(self, receive: Receive, bytes_max: int) -> Receive:
        left = bytes_max
        due_s = asyncio.get_running_loop().time() + BODY_S_MAX
        whole = False

        async def bounded() -> Message:
            nonlocal left, whole
            message = await (receive() if whole else self._in_time(receive, due_s))
            left -= len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if left < 0:
                raise HTTPException(413, f"a body has at most {bytes_max} bytes")
            return message

        return bounded

    async def _in_time(self, receive: Receive, due_s: float) -> Message:
        try:
            async with asyncio.timeout_at(due_s) as wait:
                self._waits.add(wait)
                try:
                    return await receive()
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if self._desk.closing.is_set():
                raise HTTPException(503, "the daemon is stopping") from None
            raise HTTPException(408, "the body takes too long") from None

    def _end(self) -> None:
        for wait in self._waits:
            wait.reschedule(0.0)


def _with_headers(send: Send, api: ApiSettings) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-URL-Base"] = api.url_base or "/"
        await send(message)

    return sending
