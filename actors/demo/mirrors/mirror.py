"""One mirror: a listener, its connections, and the moment at which its character spoils an answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from actors.demo.mirrors.answers import Answer, BadRequestError, Request, Resource, answer, parsed
from actors.demo.mirrors.behavior import Character
from actors.demo.pacing import Pace

HEAD_BYTES_MAX = 64 * 1024
BACKLOG = 64
# What a peer may break without it being our fault.
BROKEN = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, BadRequestError)


class ResetWantedError(Exception):
    """The character wants this connection to end with a reset."""


@dataclass(slots=True)
class Count:
    """What a mirror has done so far; `bytes_sent` are body bytes the kernel took."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What is served at this moment: the bytes and how to describe them."""

    body: memoryview
    resource: Resource


class Mirror:
    """Lives in the box's process and event loop; `offer` is asked anew for every request."""

    def __init__(
        self,
        character: Character,
        host: str,
        offer: Callable[[Character], Offer],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.character = character
        self.host = host
        self.port = 0
        self.count = Count()
        self._offer = offer
        self._tls = tls
        self._pace = Pace(character.rate_bytes_s, character.burst_s)
        self._promised_bytes = 0
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen; again on the same port when it was open before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._pace.send_buffer_bytes is not None:  # accepted sockets inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._pace.send_buffer_bytes)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._listener = await asyncio.start_server(
            self._serve, sock=listener, limit=HEAD_BYTES_MAX, backlog=BACKLOG, ssl=self._tls
        )

    def die(self) -> None:
        """Close the listener and reset every connection: from now on, connection refused."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            _reset(writer)

    async def become(self, character: Character) -> None:
        """Start a new life on the same port: old connections are reset, totals for stall and death begin at 0."""
        self.die()
        self.character = character
        self._pace = Pace(character.rate_bytes_s, character.burst_s)
        self._promised_bytes = 0
        await self.open()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count.connections += 1
        self._writers.add(writer)
        # Hardly anything waits in user space: `drain` returns when the kernel has all. With 0, asyncio's TLS transport
        # pauses for ever, since it compares with "at least".
        writer.transport.set_write_buffer_limits(high=1)
        try:
            await _Conversation(self, self._pace, reader, writer).hold()
        except ResetWantedError:
            await _delivered(writer)
            _reset(writer)
        except BROKEN:
            _reset(writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    def respond(self, request: Request) -> tuple[Answer, Offer]:
        """Count the request and decide its answer."""
        offer = self._offer(self.character)
        decided = answer(self.character, request, offer.resource, number=self.count.requests)
        self.count.requests += 1
        self.count.refused += decided.status >= 400
        return decided, offer

    def promise(self, count: int) -> int:
        """Take up to `count` bytes from what the mirror may send before it stalls or dies; 0 = that moment is here."""
        limits = (self.character.stall_after_bytes, self.character.die_after_bytes)
        left = min((limit - self._promised_bytes for limit in limits if limit is not None), default=count)
        granted = max(0, min(count, left))
        self._promised_bytes += granted
        return granted

    @property
    def exhausted(self) -> bool:
        """Whether it is time to die."""
        limit = self.character.die_after_bytes
        return limit is not None and self._promised_bytes >= limit


class _Conversation:
    """The requests and answers of one connection, in turn."""

    def __init__(self, mirror: Mirror, pace: Pace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mirror = mirror
        self._character = mirror.character
        self._pace = pace
        self._reader = reader
        self._writer = writer
        self._carried_bytes = 0
        self._loop = asyncio.get_running_loop()

    async def hold(self) -> None:
        """Answer requests until one side closes. Raises ResetWantedError and what BROKEN lists."""
        keep = True
        while keep:
            head = await self._reader.readuntil(b"\r\n\r\n")
            request = parsed(head)
            if self._character.silent:
                await self._wait_for_hang_up()
            if self._character.latency_s:
                await asyncio.sleep(self._character.latency_s)
            keep = await self._answer(request)

    async def _answer(self, request: Request) -> bool:
        """Send one whole answer; whether the connection may go on."""
        decided, offer = self._mirror.respond(request)
        spoilt = bool(self._character.no_length or self._character.extra_body or self._character.size_lie)
        keep = request.keep_alive and not (spoilt and decided.text == b"")
        self._writer.write(decided.head(keep_alive=keep))
        if request.method == "HEAD":
            return keep
        if decided.text:
            self._writer.write(decided.text)
            return keep
        self._pace.begin(self._loop.time())
        try:
            whole = await self._send_content(offer.body[decided.start : decided.stop])
        finally:
            self._pace.end()
        return keep and whole

    async def _send_content(self, body: memoryview) -> bool:
        """Send it as the character does; whether it ended as announced."""
        short = self._character.short_body
        wanted = len(body) if short is None else min(short, len(body))
        pack = _packer(self._character)
        sent = 0
        while sent < wanted:
            count = await self._permission(min(self._pace.quantum_bytes, wanted - sent))
            await self._send(pack(body[sent : sent + count]), count)
            sent += count
        if sent < len(body):
            return False
        self._writer.write(_tail(pack))
        self._writer.write(bytes(self._character.extra_body))
        await self._writer.drain()
        return True

    async def _permission(self, count: int) -> int:
        """Wait until some bytes, at most `count`, may go; how many. Where the character says so, never."""
        drop = self._character.drop_every_bytes
        if drop is not None:
            count = min(count, drop - self._carried_bytes)
        granted = self._mirror.promise(count)
        if granted == 0:
            await self._wait_for_hang_up()
        now_s = self._loop.time()
        # Asleep for 0 s too: an unlimited mirror must let the others live.
        await asyncio.sleep(max(0.0, self._pace.due_s(granted, now_s) - now_s))
        return granted

    async def _send(self, packed: bytes | memoryview, count: int) -> None:
        self._writer.write(packed)
        await self._writer.drain()
        self._carried_bytes += count
        self._mirror.count.bytes_sent += count
        if self._mirror.exhausted:
            await _delivered(self._writer)
            self._mirror.die()
            raise ResetWantedError
        drop = self._character.drop_every_bytes
        if drop is not None and self._carried_bytes >= drop:
            raise ResetWantedError

    async def _wait_for_hang_up(self) -> None:
        """Say nothing more until the other side gives up. Always raises ResetWantedError."""
        while await self._reader.read(HEAD_BYTES_MAX):
            pass
        raise ResetWantedError


class _Packer:
    """Wraps body bytes in chunked framing, compressed or not."""

    def __init__(self, compress: bool) -> None:
        self._gzip = zlib.compressobj(level=1, wbits=31) if compress else None

    def __call__(self, piece: bytes | memoryview) -> bytes:
        if self._gzip is not None:
            piece = self._gzip.compress(piece) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return b"%x\r\n%b\r\n" % (len(piece), bytes(piece))

    def end(self) -> bytes:
        rest = b"" if self._gzip is None else self._gzip.flush()
        return (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"


def _packer(character: Character) -> Callable[[memoryview], bytes | memoryview]:
    return _Packer(character.gzip) if character.gzip or character.chunked else lambda piece: piece


def _tail(pack: Callable[[memoryview], bytes | memoryview]) -> bytes:
    return pack.end() if isinstance(pack, _Packer) else b""


async def _delivered(writer: asyncio.StreamWriter) -> None:
    """Let the kernel's buffer run empty, for a reset throws away what is left in it; not for ever."""
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
