"""One HTTP mirror: a listener and its keep-alive connections, with a pace and a few faults."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from typing import ClassVar

from actors.demo.mirrors.answers import Answer, BadRequestError, Request, parse_request, plain_answer
from actors.demo.pacing import Pacer

HEAD_BYTES_MAX = 64 * 1024
BACKLOG = 64
PEER_ERRORS = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, BadRequestError)
"""What the other side may do to a connection without it being a fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """One mirror's behaviour. The defaults describe an honest, unlimited mirror that knows ranges.

    "Bytes" are body bytes of answers with content; headers are neither counted nor paced.
    """

    rate_bytes_s: float | None = None
    """All connections of the mirror together; None is as fast as the machine goes."""
    latency_s: float = 0.0
    """Waits this long before every answer."""
    burst_s: float = 0.0
    """The limiter lets the quota of this many seconds go at once, then pauses; 0 paces evenly."""
    ranges: bool = True
    """False: ignores Range and answers 200 with everything from byte 0."""
    stall_after_bytes: int | None = None
    """Total over the mirror's life: then every answer has a head and no more body, for ever."""
    drop_every_bytes: int | None = None
    """Resets a connection when it has carried this many."""


class ResetWantedError(Exception):
    """The behaviour wants this connection to end with a reset."""


class Connection:
    """The requests and answers of one connection, in turn."""

    def __init__(self, mirror: Mirror, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mirror = mirror
        self._behavior = mirror.behavior
        self._pacer = mirror.pacer
        self._reader = reader
        self._writer = writer
        self._carried_bytes = 0
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        """Answer requests until one side closes. Raises ResetWantedError and PEER_ERRORS."""
        keep_alive = True
        while keep_alive:
            request = parse_request(await self._reader.readuntil(b"\r\n\r\n"))
            await self._before_answer()
            keep_alive = await self._answer(request)

    async def _before_answer(self) -> None:
        if self._behavior.latency_s:
            await asyncio.sleep(self._behavior.latency_s)

    def _keeps_alive(self, request: Request, _answer: Answer) -> bool:
        return request.keep_alive

    async def _answer(self, request: Request) -> bool:
        """Send one whole answer; whether the connection may go on."""
        answer, content = self._mirror.respond(request)
        keep_alive = self._keeps_alive(request, answer)
        self._writer.write(answer.head(keep_alive=keep_alive))
        if request.method == "HEAD":
            return keep_alive
        if answer.text:
            self._writer.write(answer.text)
            return keep_alive
        self._pacer.begin(self._loop.time())
        try:
            whole = await self._send_content(content[answer.start : answer.stop])
        finally:
            self._pacer.end()
        return keep_alive and whole

    async def _send_content(self, content: memoryview) -> bool:
        """Send it at the mirror's pace; whether it ended as announced."""
        sent = 0
        while sent < len(content):
            count = await self._permission(min(self._pacer.quantum_bytes, len(content) - sent))
            await self._send(content[sent : sent + count], count)
            sent += count
        return True

    async def _permission(self, count: int) -> int:
        """Wait until some bytes, at most `count`, may go; how many. Never returns once the mirror has stalled."""
        drop = self._behavior.drop_every_bytes
        if drop is not None:
            count = min(count, drop - self._carried_bytes)
        granted = self._mirror.grant(count)
        if granted == 0:
            await self._wait_for_close()
        now_s = self._loop.time()
        # Asleep for 0 s too: an unlimited mirror must let the others run.
        await asyncio.sleep(max(0.0, self._pacer.due_s(granted, now_s) - now_s))
        return granted

    async def _send(self, encoded: bytes | memoryview, count: int) -> None:
        """Give `count` content bytes, as `encoded`, to the kernel."""
        self._writer.write(encoded)
        await self._writer.drain()
        self._carried_bytes += count
        drop = self._behavior.drop_every_bytes
        if drop is not None and self._carried_bytes >= drop:
            raise ResetWantedError

    async def _wait_for_close(self) -> None:
        """Say nothing more until the other side gives up. Always raises ResetWantedError."""
        while await self._reader.read(HEAD_BYTES_MAX):
            pass
        raise ResetWantedError


class Mirror:
    """Owned by the mirrors' process, in its event loop. Serves `content` under `etag` at every path."""

    connection_type: ClassVar[type[Connection]] = Connection

    def __init__(self, behavior: Behavior, content: memoryview, etag: str) -> None:
        self.behavior = behavior
        self.content = content
        self.etag = etag
        self.host = "127.0.0.1"
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self.pacer = Pacer(behavior.rate_bytes_s, behavior.burst_s)
        self._granted_bytes = 0
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen; again on the same port when it was open before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.pacer.send_buffer_bytes is not None:  # accepted sockets inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.pacer.send_buffer_bytes)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._listener = await asyncio.start_server(
            self._serve, sock=listener, limit=HEAD_BYTES_MAX, backlog=BACKLOG, ssl=self.tls
        )

    def die(self) -> None:
        """Close the listener and reset every connection: from now on, connection refused."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            _reset(writer)

    def respond(self, request: Request) -> tuple[Answer, memoryview]:
        """Decide the answer to a request, and of which content."""
        return plain_answer(request, len(self.content), self.etag, ranges=self.behavior.ranges), self.content

    def grant(self, count: int) -> int:
        """Take up to `count` bytes from what the mirror may still send; 0: it has sent its last."""
        left = min((limit - self._granted_bytes for limit in self._limits() if limit is not None), default=count)
        granted = max(0, min(count, left))
        self._granted_bytes += granted
        return granted

    def _limits(self) -> tuple[int | None, ...]:
        return (self.behavior.stall_after_bytes,)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        # Hardly anything waits in user space: `drain` returns when the kernel has all. With 0, asyncio's TLS transport
        # pauses for ever, since it compares with "at least".
        writer.transport.set_write_buffer_limits(high=1)
        try:
            await self.connection_type(self, reader, writer).serve()
        except ResetWantedError:
            await flushed(writer)
            _reset(writer)
        except PEER_ERRORS:
            _reset(writer)
        finally:
            self._writers.discard(writer)
            writer.close()


async def flushed(writer: asyncio.StreamWriter) -> None:
    """Let the kernel's buffer run empty, for at most 0.1 s: a reset throws away what is left in it."""
    if sys.platform != "linux":
        return
    import fcntl
    import termios

    sock = writer.get_extra_info("socket")
    for _ in range(100):
        if sock is None or sock.fileno() < 0:
            return
        (left,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        if left == 0:
            return
        await asyncio.sleep(0.001)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, not FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
