"""One transfer on the uploader's side: offer, F connection, ticket, offset, paced bytes, and how it ended.

The uploader opens F, never closes it at the end of the file, and says UploadFailed on P a moment after the other side
closed early: what Nicotine+, aioslsk and Soulseek.NET have in common.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from actors.demo.pacing import Pacer
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.messenger import Messenger
from actors.demo.soulseek.shares import Blocks, Shared
from actors.demo.soulseek.wire import PEER_ERRORS, exactly, flushed, messages

OFFSET_MAX = (1 << 63) - 2
BAD_OFFSET_S = 0.1
TO_DOWNLOADER = 1

Outcome = Literal[
    "offered", "refused", "unanswered", "unreachable", "flowing", "finished", "stopped", "idle", "refused_offset",
    "ended",
]  # fmt: skip
"""How far a transfer has come, or how it ended:

* `offered`, `flowing`: under way. `refused`: the downloader denied the offer. `unanswered`: nor did it accept it.
* `unreachable`: no connection to the downloader. `finished`: it closed after the last byte.
* `stopped`: it closed before. `idle`: it took nothing for too long. `refused_offset`, `ended`: the uploader's doing,
  because of its behaviour or because it died.
"""


@dataclass(slots=True)
class Transfer:
    """The record of one transfer, from its offer on. `bytes_sent` are those the kernel took, from `offset` on."""

    user: str
    path: str
    ticket: int
    offset: int = 0
    bytes_sent: int = 0
    outcome: Outcome = "offered"


class Sender:
    """The rate limiter and byte limits of all uploads of one uploader. `die` is called when the last byte is sent."""

    def __init__(self, behavior: Behavior, die: Callable[[], None]) -> None:
        self._behavior = behavior
        self._die = die
        self._pacer = Pacer(behavior.rate_bytes_s, behavior.burst_s)
        self._granted_bytes = 0

    @property
    def send_buffer_bytes(self) -> int | None:
        return self._pacer.send_buffer_bytes

    async def send(self, sock: socket.socket, blocks: Blocks, transfer: Transfer) -> None:
        """Send from `transfer.offset` to the end and count it. Raises TimeoutError when nothing moves, OSError."""
        loop = asyncio.get_running_loop()
        self._pacer.begin(loop.time())
        try:
            position = transfer.offset
            while position < blocks.size:
                count = await self._permission(min(self._pacer.quantum_bytes, blocks.size - position))
                for view in blocks.span(position, position + count):
                    await self._push(sock, view, transfer)
                position += count
                await self._end_if_exhausted(sock)
        finally:
            self._pacer.end()

    def limits(self) -> tuple[int | None, ...]:
        """Totals over the uploader's life after which no more bytes flow."""
        return (self._behavior.dies_after_bytes,)

    async def _permission(self, count: int) -> int:
        """Wait until some bytes, at most `count`, may go; how many. Never returns at the limit."""
        left = min((limit - self._granted_bytes for limit in self.limits() if limit is not None), default=count)
        granted = max(0, min(count, left))
        if granted == 0:
            await asyncio.Event().wait()
        self._granted_bytes += granted
        now_s = asyncio.get_running_loop().time()
        # Asleep for 0 s too: an unlimited uploader must let the others run.
        await asyncio.sleep(max(0.0, self._pacer.due_s(granted, now_s) - now_s))
        return granted

    async def _push(self, sock: socket.socket, view: memoryview, transfer: Transfer) -> None:
        while view:
            try:
                count = sock.send(view)
            except BlockingIOError:
                async with asyncio.timeout(self._behavior.idle_s_max):
                    await _writable(sock)
                continue
            transfer.bytes_sent += count
            view = view[count:]

    async def _end_if_exhausted(self, sock: socket.socket) -> None:
        limit = self._behavior.dies_after_bytes
        if limit is not None and self._granted_bytes >= limit:
            await flushed(sock)
            asyncio.get_running_loop().call_soon(self._die)
            await asyncio.Event().wait()


class Host(Protocol):
    """Uploader as its transfers see it."""

    messenger: Messenger
    sender: Sender

    @property
    def behavior(self) -> Behavior: ...

    def offered_size(self, shared: Shared) -> int:
        """The size in a transfer request."""

    def reply_to(self, ticket: int) -> asyncio.Future[bool]:
        """Resolves with the downloader's answer to this offer."""


class Upload:
    """Lives as long as its transfer has the slot."""

    def __init__(self, host: Host, shared: Shared, transfer: Transfer) -> None:
        self.shared = shared
        self.transfer = transfer
        self.asked_again = False
        self.tearing_down = False
        self._host = host

    @property
    def failed(self) -> bool:
        """Whether an UploadFailed belongs to how it ended; not when it ended well or was never begun."""
        return self.transfer.outcome in ("stopped", "idle", "refused_offset")

    async def run(self) -> None:
        """Everything up to the end of the transfer; `transfer.outcome` names which end."""
        await asyncio.sleep(self._host.behavior.set_up_s)
        if not await self._offer():
            return
        await asyncio.sleep(self._host.behavior.hop_s)
        socks = await self._connected()
        if not socks:
            self.transfer.outcome = "unreachable"
            return
        unclaimed = self._host.messenger.connector.unclaimed
        unclaimed.update(socks)
        try:
            await self._stream(socks[0])
        except PEER_ERRORS:
            self.transfer.outcome = "stopped"
        finally:
            if self.transfer.outcome in ("offered", "flowing"):
                self.transfer.outcome = "ended"
            unclaimed.difference_update(socks)
            for sock in socks:
                sock.close()

    async def _offer(self) -> bool:
        """Send the transfer request; whether it was accepted."""
        reply = self._host.reply_to(self.transfer.ticket)
        size = self._host.offered_size(self.shared)
        request = messages.PeerTransferRequest.Request(TO_DOWNLOADER, self.transfer.ticket, self.shared.path, size)
        try:
            await self._host.messenger.send(self.transfer.user, request)
        except PEER_ERRORS:
            self.transfer.outcome = "unreachable"
            return False
        try:
            async with asyncio.timeout(self._host.behavior.offer_s_max):
                allowed = await reply
        except TimeoutError:
            self.transfer.outcome = "unanswered"
            return False
        if not allowed:
            self.transfer.outcome = "refused"
        return allowed

    async def _connected(self) -> list[socket.socket]:
        """F, the one that counts first; empty when there is no way."""
        connector, buffer_bytes = self._host.messenger.connector, self._host.sender.send_buffer_bytes
        with suppress(*PEER_ERRORS):
            (first, _), *others = await connector.dial(self.transfer.user, "F", send_buffer_bytes=buffer_bytes)
            for sock, _ in others:
                sock.close()
            return [first]
        return []

    async def _stream(self, sock: socket.socket) -> None:
        """Ticket, offset, bytes, the wait for the other side to close. Raises EOFError, OSError when it does early."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, struct.pack("<I", self.transfer.ticket))
        try:
            async with asyncio.timeout(self._host.behavior.idle_s_max):
                (self.transfer.offset,) = struct.unpack("<Q", await exactly(sock, 8))
        except TimeoutError:
            self.transfer.outcome = "idle"
            return
        if self.transfer.offset > OFFSET_MAX:
            await asyncio.sleep(BAD_OFFSET_S)
            self.transfer.outcome = "refused_offset"
        elif self._host.behavior.refuse_offsets and self.transfer.offset > 0:
            self.transfer.outcome = "refused_offset"
        else:
            await self._send(sock)

    async def _send(self, sock: socket.socket) -> None:
        self.transfer.outcome = "flowing"
        await asyncio.sleep(self._host.behavior.hop_s)
        sending = asyncio.create_task(self._send_all(sock))
        closed = asyncio.create_task(_closed(sock))
        try:
            await asyncio.wait((sending, closed), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.transfer.outcome = "finished" if self._all_sent else "stopped"
        finally:
            for task in (sending, closed):
                task.cancel()
            await asyncio.gather(sending, closed, return_exceptions=True)

    async def _send_all(self, sock: socket.socket) -> None:
        """Send, then wait for the other side to close; when this ends, `transfer.outcome` says why."""
        try:
            if self._host.behavior.no_bytes:
                await asyncio.Event().wait()
            await self._host.sender.send(sock, self.shared.blocks, self.transfer)
            await asyncio.sleep(self._host.behavior.idle_s_max)
            self.transfer.outcome = "idle"
        except TimeoutError:
            self.transfer.outcome = "idle"
        except OSError:
            self.transfer.outcome = "finished" if self._all_sent else "stopped"

    @property
    def _all_sent(self) -> bool:
        return self.transfer.offset + self.transfer.bytes_sent >= self.shared.size


async def _closed(sock: socket.socket) -> None:
    """Return when the other side has closed; nothing it says on F after the offset means anything."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while await loop.sock_recv(sock, 4096):
            pass


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)
