"""Watch of our own user name while another program is logged in by it.

Logging in again would throw the other program out. So a second account, derived from ours, asks the server to report
when the name goes offline.
"""

import asyncio
import hashlib
import struct
from contextlib import suppress
from typing import Any, Final

from aioslsk.protocol.messages import (  # type: ignore[import-untyped,unused-ignore]
    AddUser,
    GetUserStatus,
    Login,
    Ping,
    ServerMessage,
)

from actors.core.peers.input_checks import NAME_CHARS_MAX
from actors.soulseek.input_limits import SERVER_BYTES_MAX
from actors.soulseek.reconnect import LoginRefused, ServerAway
from actors.soulseek.server_line import notice_silence
from actors.soulseek.settings import SessionSettings

SUFFIX: Final = "-watch"
CONNECT_S_MAX: Final = 15.0
ANSWER_S_MAX: Final = 15.0
PING_S: Final = 300.0
OFFLINE: Final = 0
CLIENT_VERSION: Final = (160, 1)
"""As aioslsk logs in."""


def watch_account(settings: SessionSettings) -> tuple[str, str]:
    """Return name and password of the second account: the same at every start, and of no use to others."""
    name = settings.username[: NAME_CHARS_MAX - len(SUFFIX)] + SUFFIX
    secret = f"{settings.username}\0{settings.password}".encode()
    return name, hashlib.sha256(b"shoal-watch\0" + secret).hexdigest()[:16]


async def until_name_is_free(settings: SessionSettings) -> None:
    """Return when the server says that our name is offline.

    Raises `ServerAway`, or `LoginRefused` when there is no second account to ask with.
    """
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            reader, writer = await asyncio.open_connection(settings.server_host, settings.server_port)
    except (OSError, TimeoutError):
        raise ServerAway(f"{settings.server_host}:{settings.server_port} cannot be reached") from None
    try:
        notice_silence(writer)
        await _watch(reader, writer, settings)
    except (OSError, EOFError, TimeoutError, ValueError):
        raise ServerAway("the server closed the watching connection") from None
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: SessionSettings) -> None:
    name, password = watch_account(settings)
    md5hash = hashlib.md5(f"{name}{password}".encode(), usedforsecurity=False).hexdigest()
    writer.write(Login.Request(name, password, CLIENT_VERSION[0], md5hash, CLIENT_VERSION[1]).serialize())
    async with asyncio.timeout(ANSWER_S_MAX):
        while not isinstance(answer := await _message(reader), Login.Response):
            pass
    if not answer.success:
        raise LoginRefused(str(answer.reason)[:100])
    writer.write(AddUser.Request(settings.username).serialize())
    while True:
        try:
            async with asyncio.timeout(PING_S):
                message = await _message(reader)
        except TimeoutError:
            writer.write(Ping.Request().serialize())
            continue
        about_us = isinstance(message, AddUser.Response | GetUserStatus.Response)
        if about_us and message.username == settings.username and not message.status:  # 0 or None: not there
            return


async def _message(reader: asyncio.StreamReader) -> Any:
    """The next message; None for one that is unknown. Raises EOFError, OSError and ValueError."""
    head = await reader.readexactly(4)
    (length,) = struct.unpack("<I", head)
    if not 0 < length <= SERVER_BYTES_MAX:
        raise ValueError(f"a message of {length} bytes")
    frame = head + await reader.readexactly(length)
    try:
        return ServerMessage.deserialize_response(frame)
    except Exception:  # noqa: BLE001 - aioslsk raises what it likes
        return None
