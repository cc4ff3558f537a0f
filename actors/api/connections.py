"""Connection limits of the HTTP server: per address and in all, the longest idle connection giving way to a new one.

A connection that has sent no whole head, or has had its answer, is *idle*: closing it costs a client nothing but
another connection, so a flood of the server pushes out only connections of the same kind, those of the address
with the most of them first. A request under way is never given up for a new connection.
"""

import asyncio
import functools
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from protocol.http_api.middleware.request_scope import address_group

CONNECTIONS_MAX: Final = 768
"""In all: more than requests under way, half-sent bodies and anonymous requests together may be."""
EACH_MAX: Final = 256
"""Of one address. A reverse proxy is one address too, and keeps far fewer open."""
CHUNKS_FREE: Final = 1024
CHUNK_BYTES_MIN: Final = 64
"""A body may have this many chunks of any length; the mean length of all that are more is at least this."""
OVERHEAD_BYTES_MAX: Final = 1 << 20
"""What a body takes besides its bytes; more than the system gives at once, which may belong to the next request."""
HEAD_BYTES_MAX: Final = 32 * 1024
"""Of an unfinished head; one that comes at once may be longer by what is read at once, and is looked at elsewhere."""
ANSWER_S_MAX: Final = 60.0
"""A request without a key or session takes no longer, whatever its sender reads of the answer."""


class ConnectionTable:
    """Table of open connections by address, in the order of their last use."""

    def __init__(self, *, all_max: int = CONNECTIONS_MAX, each_max: int = EACH_MAX) -> None:
        self._all_max, self._each_max = all_max, each_max
        self._of: dict[str, dict[LimitedProtocol, None]] = {}
        self._count = 0

    def protocol(self) -> type[asyncio.Protocol]:
        """Return the factory of this table's connections, for uvicorn."""
        return cast(type[asyncio.Protocol], functools.partial(LimitedProtocol, self))

    def add(self, connection: "LimitedProtocol") -> None:
        """Enter a new connection; another one is closed where there are too many."""
        own = self._of.setdefault(connection.group, {})
        own[connection] = None
        self._count += 1
        if len(own) > self._each_max:
            self._close_idle(own)
        elif self._count > self._all_max:
            for group in sorted(self._of.values(), key=len, reverse=True):
                if self._close_idle(group):
                    break

    def used(self, connection: "LimitedProtocol") -> None:
        """Note that a connection has had an answer."""
        own = self._of.get(connection.group, {})
        if connection in own:
            own[connection] = own.pop(connection)

    def remove(self, connection: "LimitedProtocol") -> None:
        """Forget a connection. One that is not in the table is no error: it may have been closed for another."""
        own = self._of.get(connection.group, {})
        if connection in own:
            del own[connection]
            self._count -= 1
            if not own:
                del self._of[connection.group]

    def _close_idle(self, own: "dict[LimitedProtocol, None]") -> bool:
        oldest = next((each for each in own if each.is_idle), None)
        if oldest is not None:
            self.remove(oldest)
            oldest.transport.abort()
        return oldest is not None


class BoundedParser(h11.Connection):
    """h11's parser of one connection, with a bound on what a body costs besides its bytes.

    Each chunk costs some 50 µs however short it is, and what stands beside its length is read and thrown away: a body
    of a few bytes could take all of the server's time. Nothing that is sent on purpose has chunks of some bytes.
    """

    def __init__(self, head_bytes_max: int) -> None:
        super().__init__(h11.SERVER, head_bytes_max)
        self._received_bytes = self._body_bytes = self._chunks = 0

    def receive_data(self, data: bytes) -> None:
        self._received_bytes += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._received_bytes = self._body_bytes = self._chunks = 0
        elif isinstance(event, h11.Data):
            self._chunks += 1
            self._body_bytes += len(event.data)
            if self._chunks > CHUNKS_FREE + self._body_bytes // CHUNK_BYTES_MIN:
                raise h11.RemoteProtocolError("the chunks are too short")
            if self._received_bytes - self._body_bytes > OVERHEAD_BYTES_MAX:
                raise h11.RemoteProtocolError("the chunks say too much besides")
        return event


class LimitedProtocol(H11Protocol):
    """uvicorn's connection, counted in a `ConnectionTable`."""

    def __init__(self, table: ConnectionTable, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._table = table
        self.group = ""
        self.conn = BoundedParser(self.config.h11_max_incomplete_event_size or HEAD_BYTES_MAX)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; where an answer has begun or was given there is none but the end."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.group = address_group(self.client[0]) if self.client else ""
        self._table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._table.used(self)
        super().on_response_complete()

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete


class SilenceWatch:
    """Watch over connections whose other side neither finishes a head nor reads its answer.

    uvicorn closes only those that have had an answer and send nothing at all. `has_caller` returns whether a request's
    scope has been authorized: event streams of such callers may last, and lie unread for a while.
    """

    def __init__(self, head_s_max: float, has_caller: Callable[[Any], bool]) -> None:
        self._head_s_max = head_s_max
        self._has_caller = has_caller
        self._since_s: dict[tuple[Any, Any], float] = {}

    def close_silent(self, connections: set[Any], now_s: float) -> None:
        """Close what has been in the same state for too long."""
        before, self._since_s = self._since_s, {}
        for connection in connections:
            cycle = connection.cycle
            busy = cycle is not None and not cycle.response_complete
            if busy and self._has_caller(cycle.scope):
                continue
            since_s = before.get((connection, cycle), now_s)
            self._since_s[connection, cycle] = since_s
            unread = connection.transport.get_write_buffer_size() > 0
            if now_s - since_s >= (max(ANSWER_S_MAX, self._head_s_max) if busy or unread else self._head_s_max):
                if unread:  # reset it, or the system goes on holding what is not fetched
                    sock = connection.transport.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
