"""HTTP/1.1 request-answer exchange over one connection, which is kept alive while it can be."""

import time
from typing import Final

import h11

from actors.sources.http.body import Body, ChunkedBody, CountedBody, OpenBody
from actors.sources.http.connect import connect
from actors.sources.http.head import Head, head_of
from actors.sources.http.proxy import Proxy
from actors.sources.http.request_options import Logins, proxy_of, request_fields
from actors.sources.http.settings import HEAD_BYTES_MAX, HttpSettings
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
        self._logins = Logins(settings.options.netrc_file, home)
        self._settings = settings
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._stream: Stream | None = None
        self._origin: tuple[str, str, int] | None = None
        self._reused = False
        self._connect_s = 0.0
        self._sent_s = 0.0
        self._head_s = 0.0
        self._any_received = False
        self._asking = False
        self._target: Target | None = None
        self._request: list[tuple[str, str]] = []
        self._h11 = h11.Connection(h11.CLIENT)
        self._head: Head | None = None
        self._body: Body | None = None

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
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._asking, self._any_received, self._head, self._body = True, False, None, None
        data = (self._h11.send(self._get(self._target, proxy)) or b"") + (self._h11.send(h11.EndOfMessage()) or b"")
        self._sent_s = time.monotonic()
        try:
            self._stream.send(data)
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
        )
        self._origin = target.origin
        self._connect_s = time.monotonic() - began_s

    def _get(self, target: Target, proxy: Proxy | None) -> h11.Request:
        fields = [
            ("Host", target.authority),
            ("User-Agent", self._user_agent),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            *self._request,
        ]
        if login := target.login or self._logins.login(target):
            fields.append(("Authorization", login))
        through = proxy is not None and target.scheme == "http"
        if proxy is not None and through and proxy.login:
            fields.append(("Proxy-Authorization", proxy.login))
        fields = request_fields(fields, self._settings.options, target, self._home)
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        return h11.Request(method="GET", target=target.url if through else target.path, headers=headers)

    def _again_or(self, error: OSError | None) -> None:
        """Send again on a new connection, once, when a kept one was closed while idle; else raise RESET."""
        self._drop()
        if self._reused and not self._any_received:
            self._reused = False
            self._send()
            return
        words = "broke the connection" if error else "closed the connection"
        when = "in the middle of its answer" if self._any_received else "without an answer"
        raise SourceFault(FaultKind.RESET, f"{self._host} {words} {when}") from error

    @property
    def _host(self) -> str:
        return self._target.authority if self._target else "?"

    def head(self) -> Head | None:
        """Return the answer's head, or None when it has not come within a slice."""
        stream = self._stream
        if stream is None:  # closed by a fault before
            raise SourceFault(FaultKind.RESET, f"the connection to {self._host} is closed")
        try:
            count = stream.fill(self._scratch, whole=False)
        except OSError as error:
            self._again_or(error)
            return None
        if count:
            self._read_head(self._scratch[:count])
        elif stream.eof:
            self._again_or(None)
        if self._head is None and time.monotonic() - self._sent_s > self._settings.head_timeout_s:
            raise SourceFault(
                FaultKind.SILENT, f"{self._host} did not answer within {self._settings.head_timeout_s:g} s"
            )
        return self._head

    def _read_head(self, data: memoryview) -> None:
        first = not self._any_received
        self._any_received = True
        if first and not b"HTTP/1.".startswith(bytes(data[:7])):
            # h11 would wait for the end of a line that may never come.
            raise SourceFault(FaultKind.BAD_ANSWER, f"{self._host} does not answer in HTTP")
        self._h11.receive_data(bytes(data))
        try:
            event = self._h11.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{self._host} does not answer in proper HTTP") from error
        if isinstance(event, h11.Response):
            self._head_s = time.monotonic() - self._sent_s
            self._head = head_of(event, self._host)

    def body(self) -> Body:
        """Return the body after the head. Owned by this exchange, invalid after `settle`."""
        assert self._head is not None
        assert self._stream is not None
        if self._body is None:
            self._body = self._framed(self._head, self._stream)
        return self._body

    def _framed(self, head: Head, stream: Stream) -> Body:
        if head.chunked and head.length is None:
            return ChunkedBody(stream, self._h11)
        early = self._h11.trailing_data[0]
        return OpenBody(stream, early) if head.length is None else CountedBody(stream, early, head.length)

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
        except (OSError, h11.RemoteProtocolError):
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
