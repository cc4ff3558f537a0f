"""Framing of Soulseek messages on sockets, with aioslsk's encoding. The only file of the demo that imports it.

Every socket is owned by one task: only that one closes it.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

messages: Any = importlib.import_module("aioslsk.protocol.messages")
"""Message classes by name, each with `Request` and mostly `Response`; untyped there, so untyped here."""
primitives: Any = importlib.import_module("aioslsk.protocol.primitives")
obfuscation: Any = importlib.import_module("aioslsk.protocol.obfuscation")

FRAME_BYTES_MAX = 16 << 20
KEY_BYTES = 4
PEER_ERRORS = (OSError, EOFError, asyncio.IncompleteReadError)
"""What the other side may do to a connection without it being our fault."""
# The borrowed decoders raise bare Exception too, for strings cut short.
UNREADABLE = (Exception,)


class BadFrameError(EOFError):
    """An impossible message length; the connection is as good as closed."""


async def exactly(sock: socket.socket, count: int) -> bytes:
    """Receive `count` bytes and not one more, so what follows them stays in the kernel. Raises EOFError, OSError."""
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < count:
        piece = await loop.sock_recv(sock, count - len(got))
        if not piece:
            raise EOFError(f"closed after {len(got)} of {count} bytes")
        got += piece
    return bytes(got)


async def read_frame(sock: socket.socket, *, obfuscated: bool) -> bytes:
    """One message with its length, plain; nothing behind it is read. Raises EOFError, OSError."""
    head = await exactly(sock, KEY_BYTES * (2 if obfuscated else 1))
    length = _length(obfuscation.decode(head) if obfuscated else head)
    whole = head + await exactly(sock, length)
    return obfuscation.decode(whole) if obfuscated else whole


def encoded(message: Any, *, obfuscated: bool) -> bytes:
    """The message, or bytes that are one already, as they go on the wire."""
    data: bytes = message if isinstance(message, bytes) else message.serialize()
    return obfuscation.encode(data) if obfuscated else data


def _length(head: bytes) -> int:
    (length,) = struct.unpack("<I", head)
    if not 0 < length <= FRAME_BYTES_MAX:
        raise BadFrameError(f"a message of {length} bytes")
    return int(length)


class MessageConnection:
    """A connection that carries messages: to the server, or of type P. Its reader owns it and closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, obfuscated: bool = False) -> None:
        self._reader = reader
        self._writer = writer
        self._obfuscated = obfuscated

    @classmethod
    async def on_socket(cls, sock: socket.socket, *, obfuscated: bool = False) -> MessageConnection:
        """Take over a connected socket."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, obfuscated=obfuscated)

    @property
    def is_closing(self) -> bool:
        return self._writer.is_closing()

    @property
    def peer_host(self) -> str:
        return str((self._writer.get_extra_info("peername") or ("0.0.0.0",))[0])

    async def frames(self, idle_s: float | None = None) -> AsyncIterator[bytes]:
        """Plain messages with their lengths, until the other side closes, breaks off, or is silent for `idle_s`."""
        with suppress(*PEER_ERRORS):
            while True:
                async with asyncio.timeout(idle_s):
                    frame = await self._frame()
                yield frame

    async def _frame(self) -> bytes:
        head = await self._reader.readexactly(KEY_BYTES * (2 if self._obfuscated else 1))
        length = _length(obfuscation.decode(head) if self._obfuscated else head)
        whole = head + await self._reader.readexactly(length)
        return obfuscation.decode(whole) if self._obfuscated else whole

    async def send(self, message: Any) -> None:
        """Give a message, or encoded ones, to the kernel. Raises OSError when the connection is closed."""
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(encoded(message, obfuscated=self._obfuscated))
        await self._writer.drain()

    def close(self, *, reset: bool = False) -> None:
        """Hang up after what was sent, or with RST at once."""
        if reset:
            sock = self._writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                reset_on_close(sock)
            self._writer.transport.abort()
        else:
            self._writer.close()


def reset_on_close(sock: socket.socket) -> None:
    """Let the coming close be a reset: what is unsent is lost, as when a program dies."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bind(host: str, port: int) -> socket.socket:
    """A socket with its address, not yet listening: connections are refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


async def connect(host: str, port: int, *, send_buffer_bytes: int | None = None) -> socket.socket:
    """Connect. Raises OSError."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        if send_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def flushed(sock: socket.socket) -> None:
    """Let the kernel's buffer run empty, for at most 0.1 s: a reset throws away what is left in it."""
    if sys.platform != "linux":
        return
    import fcntl
    import termios

    for _ in range(100):
        (left,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        if left == 0:
            return
        await asyncio.sleep(0.001)


def read_message(decode: Callable[[bytes], Any], frame: bytes) -> Any:
    """The message, or None when it is unknown or cannot be read."""
    try:
        return decode(frame)
    except UNREADABLE:
        return None
