"""Request guard: host check (DNS rebinding), origin check (CSRF), CORS, and bounds on headers, bodies and concurrency.

A foreign page in a browser here can neither reach the API under a name of its own (the Host header is checked), nor
change anything (Origin and Sec-Fetch-Site are), nor read anything (CORS is off unless its origin was configured).
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
from protocol.http_api.middleware.request_scope import header, header_values, without_base

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
"""Defaults of every answer."""


class RequestGuard:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        self._app: Final = app
        self._gateway: Final = gateway
        self._bodies: Final = _BodyReader(gateway)
        self._running = 0
        self._cors: tuple[tuple[str, ...], ASGIApp] = ((), app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        api = self._gateway.settings.api
        sending = _adding_headers(send, api)
        try:
            self._check(scope, api)
        except RefusedError as refused:
            path = without_base(scope["path"], api.url_base)
            await error_response(path, refused.kind, refused.field, refused.detail)(scope, receive, sending)
            return
        self._running += 1
        try:
            await self._behind_cors(api.origins)(scope, self._bodies.bounded(receive, api.body_bytes_max), sending)
        finally:
            self._running -= 1

    def _check(self, scope: Scope, api: ApiSettings) -> None:
        """Raise `RefusedError` for what is not let in; nothing of the body is read."""
        if self._running >= api.requests_max:
            raise RefusedError("unavailable", "", f"{api.requests_max} requests are being answered")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
            raise RefusedError("head too large", "", f"all headers have at most {HEAD_BYTES_MAX} bytes")
        hosts = header_values(scope, b"host")
        if len(hosts) != 1 or not is_ours(hosts[0], api):
            raise RefusedError("forbidden", "Host", "not a name of this daemon: see `hosts` under [api]")
        origin = header(scope, b"origin")
        if origin not in api.origins and _is_foreign(scope, origin, hosts[0]):
            raise RefusedError("forbidden", "Origin", "not a page of this daemon: see `origins` under [api]")
        length = header(scope, b"content-length")
        if length.isdigit() and int(length) > api.body_bytes_max:
            raise RefusedError("too large", "", f"a body has at most {api.body_bytes_max} bytes")

    def _behind_cors(self, origins: tuple[str, ...]) -> ASGIApp:
        """Return the application behind CORS for these origins, rebuilt when others were configured."""
        if origins and self._cors[0] != origins:
            cors = CORSMiddleware(
                self._app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED
            )
            self._cors = (origins, cors)
        return self._cors[1] if origins else self._app


def is_ours(host: str, api: ApiSettings) -> bool:
    """Return whether a Host header names this daemon.

    Any numeric address (DNS cannot forge one), ``localhost``, the name it is bound to, or a configured one;
    ``*.example.org`` is every name below it, ``*`` is every name.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "@" in host:
        return False
    return _is_numeric(name) or any(_names(known.lower(), name) for known in ("localhost", api.host, *api.hosts))


def _names(known: str, name: str) -> bool:
    return known in ("*", name) or (known.startswith("*.") and name.endswith(known[1:]))


def _is_numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(scope: Scope, origin: str, host: str) -> bool:
    """Return whether a browser says that a foreign page sent this.

    Reading is allowed by Origin alone, as such a page does not see the answer; Sec-Fetch-Site counts for every method.
    """
    if header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
        return not _is_visit(scope)
    if not origin or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    return origin.partition("://")[2].lower() != host.lower()


def _is_visit(scope: Scope) -> bool:
    """Return whether a person follows a link to a page of ours."""
    return (
        scope["method"] == "GET"
        and header(scope, b"sec-fetch-mode") == "navigate"
        and header(scope, b"sec-fetch-dest") == "document"
        and "/api/" not in scope["path"].lower()
    )


class _BodyReader:
    """Reader of bounded request bodies: each ends when complete, too long or too slow, all when the daemon stops."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway
        self._waits: set[asyncio.Timeout] = set()
        gateway.at_close.append(self._end)

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
            if self._gateway.closing.is_set():
                raise HTTPException(503, "the daemon is stopping") from None
            raise HTTPException(408, "the body takes too long") from None

    def _end(self) -> None:
        for wait in self._waits:
            wait.reschedule(0.0)


def _adding_headers(send: Send, api: ApiSettings) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-URL-Base"] = api.url_base or "/"
        await send(message)

    return sending
