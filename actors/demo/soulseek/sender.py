"""How an uploader's bytes get into a socket: on time, counted, and only as many as its character grants."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable

from actors.demo.pacing import Pace
from actors.demo.soulseek.behavior import Character
from actors.demo.soulseek.counters import Sent
from actors.demo.soulseek.shares import Blocks


class Pump:
    """One for all uploads of one life. `die` is called, once, when the character has sent its last byte."""

    def __init__(self, character: Character, die: Callable[[], None]) -> None:
        self._character = character
        self._die = die
        self._pace = Pace(character.rate_bytes_s, character.burst_s)
        self._promised_bytes = 0

    @property
    def send_buffer_bytes(self) -> int | None:
        return self._pace.send_buffer_bytes

    async def pour(self, sock: socket.socket, blocks: Blocks, sent: Sent) -> None:
        """Send from `sent.offset` to the end and count it. Raises TimeoutError when nothing moves, OSError."""
        loop = asyncio.get_running_loop()
        self._pace.begin(loop.time())
        try:
            position = sent.offset
            while position < blocks.size:
                count = await self._permission(min(self._pace.quantum_bytes, blocks.size - position))
                for view in blocks.span(position, position + count):
                    await self._push(sock, view, sent)
                position += count
                await self._end_if_exhausted(sock)
        finally:
            self._pace.end()

    async def _permission(self, count: int) -> int:
        """Wait until some bytes, at most `count`, may go; how many. Where the character says so, never."""
        limits = (self._character.stall_after_bytes, self._character.dies_after_bytes)
        left = min((limit - self._promised_bytes for limit in limits if limit is not None), default=count)
        granted = max(0, min(count, left))
        if granted == 0:
            await asyncio.Event().wait()
        self._promised_bytes += granted
        now_s = asyncio.get_running_loop().time()
        # Asleep for 0 s too: an unlimited uploader must let the others live.
        await asyncio.sleep(max(0.0, self._pace.due_s(granted, now_s) - now_s))
        return granted

    async def _push(self, sock: socket.socket, view: memoryview, sent: Sent) -> None:
        while view:
            try:
                count = sock.send(view)
            except BlockingIOError:
                async with asyncio.timeout(self._character.idle_s_max):
                    await _writable(sock)
                continue
            sent.bytes_sent += count
            view = view[count:]

    async def _end_if_exhausted(self, sock: socket.socket) -> None:
        limit = self._character.dies_after_bytes
        if limit is not None and self._promised_bytes >= limit:
            await _delivered(sock)
            asyncio.get_running_loop().call_soon(self._die)
            await asyncio.Event().wait()


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)


async def _delivered(sock: socket.socket) -> None:
    """Let the kernel's buffer run empty, for a reset throws away what is left in it; not for ever."""
    if sys.platform != "linux":
        return
    import fcntl
    import termios

    for _ in range(100):
        (left,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        if left == 0:
            return
        await asyncio.sleep(0.001)
