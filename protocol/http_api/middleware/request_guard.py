"""Request guard: host check (DNS rebinding), origin check (CSRF), CORS, and bounds on headers, bodies and concurrency.

A foreign page in a browser here can neither reach the API under a name of its own (the Host header is checked), nor
change anything (Origin and Sec-Fetch-Site are), nor read anything (CORS is off unless its origin was configured).
"""

import asyncio
import ipaddress
import re
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.config.settings import ApiSettings
from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.middleware.authorization import is_anonymous
from protocol.http_api.middleware.request_scope import (
    address_group,
    client_address,
    header,
    header_values,
    without_base,
)

BODY_S_MAX: Final = 30.0
BODIES_MAX: Final = 128
BODIES_EACH_MAX: Final = 64
"""Unfinished bodies in all and of one address; one more ends the oldest."""
ANONYMOUS_MAX: Final = 64
"""Requests without a key or session under way; they take no place of others."""
STOPPING: Final = "the daemon is stopping"
SLOW: Final = "the body takes too long"
ALIVE: Final = "/health"
"""Is always answered: it costs nothing, and a supervisor restarts the daemon when there is no answer."""
HEAD_BYTES_MAX: Final = 32 * 1024
EXPOSED: Final = ("X-URL-Base", "X-Total-Count", "Retry-After", "Location")
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/?#@\\\s]+))(?::[0-9]*)?")
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
        self._running = {True: 0, False: 0}
        self._cors: tuple[tuple[str, ...], ASGIApp] = ((), app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        api = self._gateway.settings.api
        sending = _adding_headers(send, api, close=_is_ambiguous(scope))
        path = without_base(scope["path"], api.url_base).rstrip("/").lower() or "/"
        anonymous = is_anonymous(scope["method"].replace("HEAD", "GET"), path)
        try:
            self._check(scope, api)
            if path != ALIVE:
                self._check_load(api, anonymous=anonymous)
        except RefusedError as refused:
            await error_response(path, refused.kind, refused.field, refused.detail)(scope, receive, sending)
            return
        self._running[anonymous] += 1
        group = address_group(client_address(scope, api.proxies))
        body = self._bodies.open(receive, api.body_bytes_max, group, anonymous=anonymous)
        try:
            await self._behind_cors(api.origins)(scope, body.receive, sending)
        finally:
            self._running[anonymous] -= 1
            self._bodies.close(body)

    def _check_load(self, api: ApiSettings, *, anonymous: bool) -> None:
        """Raise `RefusedError` when too many are being answered. Those whose body is not here yet do not count."""
        running = self._running[anonymous] - self._bodies.unfinished(anonymous=anonymous)
        most = ANONYMOUS_MAX if anonymous else api.requests_max
        if running >= most:
            raise RefusedError("unavailable", "", f"{most} requests are being answered")

    def _check(self, scope: Scope, api: ApiSettings) -> None:
        """Raise `RefusedError` for what is not let in; nothing of the body is read."""
        target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target + sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
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
    found = _HOST.fullmatch(host.lower())
    name = (found[1] or found[2]).rstrip(".") if found else ""
    if not name:
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


class _Body:
    """Bounded body of a request: it ends when complete, too long or too slow, or when another one takes its place."""

    def __init__(self, reader: "_BodyReader", receive: Receive, bytes_max: int, group: str, anonymous: bool) -> None:
        self.group: Final = group
        self.anonymous: Final = anonymous
        self._reader: Final = reader
        self._receive: Final = receive
        self._bytes_max: Final = bytes_max
        self._left = bytes_max
        self._due_s = asyncio.get_running_loop().time() + BODY_S_MAX
        self._whole = False
        self._wait: asyncio.Timeout | None = None
        self._why = ""

    async def receive(self) -> Message:
        """Return the next message (an ASGI receive)."""
        message = await (self._receive() if self._whole else self._in_time())
        self._left -= len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._whole:
            self._reader.close(self)
        if self._left < 0:
            raise HTTPException(413, f"a body has at most {self._bytes_max} bytes")
        return message

    def end(self, why: str) -> None:
        """Have the wait for more end with these words."""
        self._why = why
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(0.0)

    async def _in_time(self) -> Message:
        self._reader.await_rest(self)
        try:
            async with asyncio.timeout_at(0.0 if self._why else self._due_s) as self._wait:
                return await self._receive()
        except TimeoutError:
            raise HTTPException(*(503, STOPPING) if self._why == STOPPING else (408, self._why or SLOW)) from None
        finally:
            self._wait = None


class _BodyReader:
    """Reader of request bodies: the unfinished ones are bounded in all and by address, the oldest giving way."""

    def __init__(self, gateway: Gateway) -> None:
        self._unfinished: dict[_Body, None] = {}
        self._stopping = False
        gateway.at_close.append(self._end)

    def open(self, receive: Receive, bytes_max: int, group: str, *, anonymous: bool) -> _Body:
        return _Body(self, receive, bytes_max, group, anonymous)

    def unfinished(self, *, anonymous: bool) -> int:
        """Return the number of requests that wait for their body."""
        return sum(body.anonymous == anonymous for body in self._unfinished)

    def await_rest(self, body: _Body) -> None:
        """Count a body whose rest is not here yet."""
        if self._stopping:  # a connection that was accepted before
            body.end(STOPPING)
            return
        self._unfinished[body] = None
        own = [each for each in self._unfinished if each.group == body.group]
        if len(own) > BODIES_EACH_MAX:
            self._give_way(own[0])
        elif len(self._unfinished) > BODIES_MAX:
            self._give_way(next(iter(self._unfinished)))

    def close(self, body: _Body) -> None:
        self._unfinished.pop(body, None)

    def _give_way(self, body: _Body) -> None:
        self.close(body)
        body.end("too many bodies are unfinished")

    def _end(self) -> None:
        self._stopping = True
        for body in self._unfinished:
            body.end(STOPPING)


def _is_ambiguous(scope: Scope) -> bool:
    """Return whether another program may see another end of this request: then nothing behind it is answered."""
    names = [name for name, _ in scope["headers"]]
    return b"transfer-encoding" in names and b"content-length" in names


def _adding_headers(send: Send, api: ApiSettings, *, close: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-URL-Base"] = api.url_base or "/"
            if close:
                headers["Connection"] = "close"
        await send(message)

    return sending
