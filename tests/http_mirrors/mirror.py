"""A mirror with bad habits and counters, built on the demo's mirror."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from actors.demo.mirrors.answers import Answer, Request
from actors.demo.mirrors.mirror import Connection, Mirror, ResetWantedError, flushed
from actors.demo.pacing import Pacer
from tests.http_mirrors.answers import odd_answer
from tests.http_mirrors.behavior import Character


@dataclass(slots=True)
class Count:
    """What a mirror has done so far; `bytes_sent` are body bytes the kernel took."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What is served at this moment, its ETag, and where it is instead."""

    content: memoryview
    etag: str
    redirect_url: str | None = None


class OddConnection(Connection):
    """The connection of an `OddMirror`."""

    _mirror: OddMirror
    _behavior: Character

    async def _before_answer(self) -> None:
        if self._behavior.silent:
            await self._wait_for_close()
        await super()._before_answer()

    def _keeps_alive(self, request: Request, answer: Answer) -> bool:
        spoilt = self._behavior.no_length or self._behavior.extra_body or self._behavior.size_lie
        return request.keep_alive and not (spoilt and answer.text == b"")

    async def _send_content(self, content: memoryview) -> bool:
        short = self._behavior.short_body
        wanted = len(content) if short is None else min(short, len(content))
        encode = _encoder(self._behavior)
        sent = 0
        while sent < wanted:
            count = await self._permission(min(self._pacer.quantum_bytes, wanted - sent))
            await self._send(encode(content[sent : sent + count]), count)
            sent += count
        if sent < len(content):
            return False
        self._writer.write(encode.end() if isinstance(encode, ChunkedEncoder) else b"")
        self._writer.write(bytes(self._behavior.extra_body))
        await self._writer.drain()
        return True

    async def _send(self, encoded: bytes | memoryview, count: int) -> None:
        self._mirror.count.bytes_sent += count
        await super()._send(encoded, count)
        if self._mirror.exhausted:
            await flushed(self._writer)
            self._mirror.die()
            raise ResetWantedError


class OddMirror(Mirror):
    """Asks `offer` for the content of every request."""

    connection_type = OddConnection
    behavior: Character

    def __init__(self, character: Character, offer: Callable[[Character], Offer]) -> None:
        super().__init__(character, memoryview(b""), "")
        self.count = Count()
        self._offer = offer

    async def become(self, character: Character) -> None:
        """Start again on the same port: old connections are reset, totals begin at 0."""
        self.die()
        self.behavior = character
        self.pacer = Pacer(character.rate_bytes_s, character.burst_s)
        self._granted_bytes = 0
        await self.open()

    def respond(self, request: Request) -> tuple[Answer, memoryview]:
        offer = self._offer(self.behavior)
        answer = odd_answer(
            self.behavior, request, len(offer.content), offer.etag,
            number=self.count.requests, redirect_url=offer.redirect_url,
        )  # fmt: skip
        self.count.requests += 1
        self.count.refused += answer.status >= 400
        return answer, offer.content

    @property
    def exhausted(self) -> bool:
        """Whether it is time to die."""
        limit = self.behavior.die_after_bytes
        return limit is not None and self._granted_bytes >= limit

    def _limits(self) -> tuple[int | None, ...]:
        return (*super()._limits(), self.behavior.die_after_bytes)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count.connections += 1
        await super()._serve(reader, writer)


class ChunkedEncoder:
    """Body bytes in chunked framing, compressed or not."""

    def __init__(self, compress: bool) -> None:
        self._gzip = zlib.compressobj(level=1, wbits=31) if compress else None

    def __call__(self, piece: bytes | memoryview) -> bytes:
        if self._gzip is not None:
            piece = self._gzip.compress(piece) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return b"%x\r\n%b\r\n" % (len(piece), bytes(piece))

    def end(self) -> bytes:
        rest = b"" if self._gzip is None else self._gzip.flush()
        return (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"


def _encoder(character: Character) -> Callable[[memoryview], bytes | memoryview]:
    return ChunkedEncoder(character.gzip) if character.gzip or character.chunked else lambda piece: piece
