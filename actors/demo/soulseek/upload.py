"""One transfer from the uploader's side: offer, F connection, ticket, offset, bytes, and how it ended.

The uploader opens F, never closes it at the end of the file, and says UploadFailed on P a moment after the other side
closed early: what Nicotine+, aioslsk and Soulseek.NET have in common.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Protocol

from actors.demo.soulseek.behavior import Character
from actors.demo.soulseek.counters import Sent
from actors.demo.soulseek.peer_messages import Talk
from actors.demo.soulseek.sender import Pump
from actors.demo.soulseek.shares import Shared
from actors.demo.soulseek.wire import BROKEN, exactly, messages

OFFSET_MAX = (1 << 63) - 2
BAD_OFFSET_S = 0.1
TO_DOWNLOADER = 1


class Host(Protocol):
    """What a transfer needs of its uploader."""

    character: Character
    talk: Talk
    pump: Pump

    def offered_size(self, shared: Shared) -> int:
        """The size a transfer request tells."""

    def reply_to(self, ticket: int) -> asyncio.Future[bool]:
        """Resolves with the downloader's answer to this offer."""


class Upload:
    """Lives as long as its transfer has the slot."""

    def __init__(self, host: Host, shared: Shared, sent: Sent) -> None:
        self.shared = shared
        self.sent = sent
        self.asked_again = False
        self.tearing_down = False
        self._host = host
        self._character = host.character

    async def run(self) -> None:
        """Everything up to the end of the transfer; `sent.outcome` tells which end."""
        await asyncio.sleep(self._character.set_up_s)
        if not await self._offer():
            return
        await asyncio.sleep(self._character.hop_s)
        socks = await self._connected()
        if not socks:
            self.sent.outcome = "unreachable"
            return
        unclaimed = self._host.talk.door.unclaimed
        unclaimed.update(socks)
        try:
            await self._stream(socks[0])
        except BROKEN:
            self.sent.outcome = "stopped"
        finally:
            if self.sent.outcome in ("offered", "flowing"):
                self.sent.outcome = "ended"
            unclaimed.difference_update(socks)
            for sock in socks:
                sock.close()

    async def _offer(self) -> bool:
        """Send the transfer request; whether it was accepted."""
        reply = self._host.reply_to(self.sent.ticket)
        size = self._host.offered_size(self.shared)
        request = messages.PeerTransferRequest.Request(TO_DOWNLOADER, self.sent.ticket, self.shared.path, size)
        try:
            await self._host.talk.say(self.sent.user, request)
        except BROKEN:
            self.sent.outcome = "unreachable"
            return False
        try:
            async with asyncio.timeout(self._character.offer_s_max):
                allowed = await reply
        except TimeoutError:
            self.sent.outcome = "unanswered"
            return False
        if not allowed:
            self.sent.outcome = "refused"
        return allowed

    async def _connected(self) -> list[socket.socket]:
        """F, the one that counts first; empty when there is no way."""
        if self._character.silent == "connection":
            await asyncio.Event().wait()
        door, user = self._host.talk.door, self.sent.user
        buffer_bytes = self._host.pump.send_buffer_bytes
        if self._character.duplicate_f:
            ways = (door.direct(user, "F", buffer_bytes), door.indirect(user, "F"))
            made = await asyncio.gather(*ways, return_exceptions=True)
            return [way[0] for way in made if not isinstance(way, BaseException)]
        with suppress(*BROKEN):
            (first, _), *others = await door.dial(user, "F", send_buffer_bytes=buffer_bytes)
            for sock, _ in others:
                sock.close()
            return [first]
        return []

    async def _stream(self, sock: socket.socket) -> None:
        """Ticket, offset, bytes, the wait for the other side to close. Raises EOFError, OSError when it does early."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, struct.pack("<I", self.sent.ticket))
        try:
            async with asyncio.timeout(self._character.idle_s_max):
                (self.sent.offset,) = struct.unpack("<Q", await exactly(sock, 8))
        except TimeoutError:
            self.sent.outcome = "idle"
            return
        if self.sent.offset > OFFSET_MAX:
            await asyncio.sleep(BAD_OFFSET_S)
            self.sent.outcome = "refused_offset"
        elif self._character.refuse_offsets and self.sent.offset > 0:
            self.sent.outcome = "refused_offset"
        else:
            await self._pour(sock)

    async def _pour(self, sock: socket.socket) -> None:
        self.sent.outcome = "flowing"
        await asyncio.sleep(self._character.hop_s)
        pouring = asyncio.create_task(self._poured(sock))
        hung_up = asyncio.create_task(_hung_up(sock))
        try:
            await asyncio.wait((pouring, hung_up), return_when=asyncio.FIRST_COMPLETED)
            if not pouring.done():
                self.sent.outcome = "finished" if self._all_sent else "stopped"
        finally:
            for task in (pouring, hung_up):
                task.cancel()
            await asyncio.gather(pouring, hung_up, return_exceptions=True)

    async def _poured(self, sock: socket.socket) -> None:
        """Send, then wait for the other side to close; when this ends, `sent.outcome` says why."""
        try:
            if self._character.silent == "bytes":
                await asyncio.Event().wait()
            await self._host.pump.pour(sock, self.shared.blocks, self.sent)
            await asyncio.sleep(self._character.idle_s_max)
            self.sent.outcome = "idle"
        except TimeoutError:
            self.sent.outcome = "idle"
        except OSError:
            self.sent.outcome = "finished" if self._all_sent else "stopped"

    @property
    def _all_sent(self) -> bool:
        return self.sent.offset + self.sent.bytes_sent >= self.shared.size


async def _hung_up(sock: socket.socket) -> None:
    """Return when the other side has closed; nothing it says on F after the offset means anything."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while await loop.sock_recv(sock, 4096):
            pass


def failure_of(upload: Upload) -> Any:
    """The UploadFailed that belongs to how the transfer ended; None when it ended well or was never begun."""
    if upload.sent.outcome in ("stopped", "idle", "refused_offset"):
        return messages.PeerUploadFailed.Request(upload.shared.path)
    return None
