"""HTTP/1.1 request-answer exchange over one connection, which is kept alive while it can be."""

import time
from typing import Final

from actors.runtime.network_interface import InterfaceGone, InterfaceGuard
from actors.sources.http.body import Body, BrokenBody, ChunkedBody, CountedBody, OpenBody
from actors.sources.http.connect import connect
from actors.sources.http.encoding import DecodedBody
from actors.sources.http.head import Head, HeadParser
from actors.sources.http.multipart import FirstPart, is_multipart
from actors.sources.http.proxy import Proxy
from actors.sources.http.request_options import Logins, proxy_of, request_fields, request_head
from actors.sources.http.settings import HttpSettings
from actors.sources.http.target import Target
from actors.sources.socket_io import Stream
from protocol.model.faults import FaultKind, SourceFault

_SCRATCH_BYTES: Final = 16 * 1024


class Exchange:
    """Client side of one connection: `send`, `head` until there is one, `body`, then `settle`.

    Every failure is a `SourceFault`."""

    def __init__(self, *, user_agent: str, settings: HttpSettings, home: Target) -> None:
        self._user_agent = user_agent
        self._home = home
        self._logins = Logins(settings.options, home)
        self._settings = settings
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._stream: Stream | None = None
        self._guard: InterfaceGuard | None = None
        self._origin: tuple[str, str, int] | None = None
        self._answered: dict[tuple[str, int], str] = {}
        self._reused = False
        self._connect_s = 0.0
        self._sent_s = 0.0
        self._head_s = 0.0
        self._asking = False
        self._target: Target | None = None
        self._request: list[tuple[str, str]] = []
        self._parser = HeadParser("")
        self._head: Head | None = None
        self._body: Body | None = None
        self._part: FirstPart | None = None

    @property
    def setup_s(self) -> float:
        """Time that a new connection and the answer to the last request took."""
        return self._connect_s + self._head_s

    def send(self, target: Target, fields: list[tuple[str, str]]) -> None:
        """Request `target` with these fields besides the usual ones. A former answer must be settled."""
        self._target, self._request = target, fields
        if self._stream is not None and (self._origin != target.origin or not self._stream.idle()):
            self.close()
        self._reused = self._stream is not None
        self._send()

    def _send(self) -> None:
        assert self._target is not None
        proxy = proxy_of(self._settings, self._target)
        if self._stream is None:
            self._connect(self._target, proxy)
        assert self._stream is not None
        self._parser = HeadParser(self._host)
        self._asking, self._head, self._body, self._part = True, None, None, None
        request = self._get(self._target, proxy)
        self._sent_s = time.monotonic()
        try:
            self._stream.send(request)
        except OSError as error:
            self._again_or(error)

    def _connect(self, target: Target, proxy: Proxy | None) -> None:
        began_s = time.monotonic()
        self._stream = connect(
            target,
            proxy,
            user_agent=self._user_agent,
            timeout_s=self._settings.connect_timeout_s,
            private_ok=self._settings.private_ok,
            options=self._settings.options,
            answered=self._answered,
        )
        interface = self._settings.options.interface
        self._guard = self._stream.guard(interface) if interface else None
        self._origin = target.origin
        self._connect_s = time.monotonic() - began_s

    def _get(self, target: Target, proxy: Proxy | None) -> bytes:
        fields = [
            ("Host", target.authority),
            ("User-Agent", self._user_agent),
            ("Accept", "*/*"),
            *self._request,
        ]
        if login := target.login or self._logins.login(target):
            fields.append(("Authorization", login))
        through = proxy is not None and proxy.is_http and target.scheme == "http"
        if proxy is not None and through and proxy.login:
            fields.append(("Proxy-Authorization", proxy.login))
        fields = request_fields(fields, self._settings.options, target, self._home)
        return request_head("GET", target.url if through else target.path, fields)

    def _again_or(self, error: OSError | None) -> None:
        """Send again on a new connection, once, when a kept one was closed while idle; else raise RESET."""
        self._drop()
        if self._reused and not self._parser.begun:
            self._reused = False
            self._send()
            return
        words = "broke the connection" if error else "closed the connection"
        when = "in the middle of its answer" if self._parser.begun else "without an answer"
        raise SourceFault(FaultKind.RESET, f"{self._host} {words} {when}") from error

    @property
    def _host(self) -> str:
        return self._target.authority if self._target else "?"

    def check_interface(self) -> None:
        """Close the connection and raise INTERFACE_GONE when what it is bound to is not there any more."""
        if self._guard is None or self._stream is None:
            return
        try:
            self._guard.check()
        except InterfaceGone as gone:
            self.close()
            raise SourceFault(FaultKind.INTERFACE_GONE, gone.words) from gone

    def head(self) -> Head | None:
        """Return the answer's head, or None when it has not come within a slice."""
        self.check_interface()
        stream = self._stream
        if stream is None:  # closed by a fault before
            raise SourceFault(FaultKind.RESET, f"the connection to {self._host} is closed")
        try:
            if self._part is not None:
                self._take_part(self._part)
            elif count := stream.fill(self._scratch, whole=False):
                head = self._parser.feed(self._scratch[:count])
                self._head_s = time.monotonic() - self._sent_s
                if head is not None and is_multipart(head):
                    self._part = FirstPart(head, self._framed(head, stream))
                    self._take_part(self._part)
                else:
                    self._head = head
            elif stream.eof:
                self._again_or(None)
        except OSError as error:
            self._again_or(error)
            return None
        if self._head is None and time.monotonic() - self._sent_s > self._settings.head_timeout_s:
            raise SourceFault(
                FaultKind.SILENT, f"{self._host} did not answer within {self._settings.head_timeout_s:g} s"
            )
        return self._head

    def _take_part(self, part: FirstPart) -> None:
        try:
            self._head = part.read(self._scratch)
        except BrokenBody as error:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{self._host} sends {error}") from error
        self._body = None if self._head is None else part.body

    def body(self) -> Body:
        """Return the body after the head. Owned by this exchange, invalid after `settle`."""
        assert self._head is not None
        assert self._stream is not None
        if self._body is None:
            self._body = self._framed(self._head, self._stream)
        return self._body

    def decode(self, coding: str) -> None:
        """Have the body decoded from a content coding."""
        self._body = DecodedBody(self.body(), coding)

    def _framed(self, head: Head, stream: Stream) -> Body:
        early = self._parser.rest
        if head.length is not None:
            return CountedBody(stream, early, head.length)
        body = ChunkedBody(stream, early) if head.chunked else OpenBody(stream, early)
        return DecodedBody(body, head.transfer_coding) if head.transfer_coding else body

    def settle(self) -> bool:
        """End the answer, keeping the connection if that is cheap. True when the server was cut off."""
        if not self._asking or self._stream is None:
            return False
        self._asking = False
        if self._head is None:
            self._drop()
            return True
        body = self.body()
        try:
            kept = body.settle() and self._head.keep_alive
        except (OSError, BrokenBody):
            kept = False
        if not kept:
            self._drop()
        return not body.ended

    def close(self) -> None:
        """Close the connection; the next `send` opens another."""
        self._asking = False
        self._drop()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
