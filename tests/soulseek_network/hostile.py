"""Attacks of a hostile user on those who search: each kind once a search, bounded in bytes and connections."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, get_args

from actors.demo.soulseek.messenger import Messenger
from actors.demo.soulseek.shares import Shared, Shelf
from actors.demo.soulseek.wire import PEER_ERRORS, connect, messages
from tests.soulseek_network.behavior import Hostility
from tests.soulseek_network.compression_bombs import (
    SEARCH_REPLY,
    SHARES_REPLY,
    entry,
    framed,
    million_files,
    million_shares,
    raw_reply,
    shares_bomb,
    zlib_bomb,
)

OVERLONG_BYTES = 64 << 20
MUTE_CONNECTIONS = 20
FLOOD_CONNECTIONS = 300
FLOOD_AT_ONCE = 50
HELD_S = 30.0
WRONG = 0x5EED_BAD1
WITHOUT_HONEST_REPLY = ("length_prefix", "zlib_bomb", "million_files", "garbage")

NAMES: tuple[str | bytes, ...] = (
    "..\\..\\..\\..\\box-escaped.flac",
    "../../../../box-escaped.flac",
    "@@evil\\music\\..\\..\\..\\box-escaped.flac",
    "@@evil\\music\\..",
    "C:\\Windows\\System32\\box-escaped.flac",
    "\\\\server\\share\\box-escaped.flac",
    "/box-escaped.flac",
    "@@evil\\music\\/tmp/box-escaped.flac",
    "@@evil\\music\\a\0b.flac",
    "@@evil\\music\\CON.flac",
    "@@evil\\music\\box.flac:stream",
    "@@evil\\music\\line\r\nbreak \x1b[31m\x07.flac",
    "@@evil\\music\\\u202ecalf.exe.flac",
    "@@evil\\music\\" + "x" * 4096 + ".flac",
    "@@evil\\" + "d\\" * 2000 + "deep.flac",
    "@@evil\\music\\",
    ".flac",
    "",
)
UNREADABLE_NAMES: tuple[bytes, ...] = (b"@@evil\\music\\\xff\xfe.flac", b"@@evil\\music\\\x81\x8d.flac")
SIZES = (0, 1, 1 << 63, (1 << 64) - 1)


def also(shelf: Shelf, path: str) -> Shared:
    """Offer the main file under another name too."""
    shelf.files[path] = Shared(path, shelf.main.blocks, shelf.main.attributes)
    return shelf.files[path]


class Owner(Protocol):
    """What an offender needs of its uploader."""

    name: str
    messenger: Messenger
    shelf: Shelf

    def spawn(self, work: Any) -> None: ...


class Attacker:
    """The hostile half of an uploader; without hostility it does nothing."""

    def __init__(self, owner: Owner, hostility: Hostility | None) -> None:
        self._owner = owner
        self._lies: dict[str, int] = {}
        every = tuple(kind for kind in get_args(Hostility) if kind != "all")
        self._kinds: tuple[str, ...] = () if hostility is None else every if hostility == "all" else (hostility,)
        if "names" in self._kinds:
            for name in NAMES:
                if isinstance(name, str):
                    also(owner.shelf, name)
        if "sizes" in self._kinds:
            for size in SIZES:
                self._lies[also(owner.shelf, f"@@evil\\music\\size {size}.flac").path] = size

    def size_of(self, shared: Shared) -> int:
        """What a transfer request says of this file."""
        return self._lies.get(shared.path, shared.size)

    async def attack_browser(self, user: str) -> bool:
        """Attack `user`, who asked what is shared; whether that was the answer."""
        bombs: dict[str, Callable[[], bytes]] = {
            "zlib_bomb": shares_bomb,
            "million_files": million_shares,
            "length_prefix": lambda: struct.pack("<II", 0xFFFF_FFFF, SHARES_REPLY) + bytes(1 << 16),
            "garbage": lambda: framed(SHARES_REPLY, random.Random(7).randbytes(3000)),
        }
        for kind in self._kinds:
            if kind in bombs:
                await self._owner.messenger.send(user, bombs[kind]())
                return True
        return False

    async def attack_searcher(self, user: str, ticket: int) -> bool:
        """Attack `user`, who searched with `ticket`; whether an honest reply shall follow."""
        attacks = {
            "length_prefix": self._length_prefix, "zlib_bomb": self._zlib_bomb, "million_files": self._million_files,
            "garbage": self._garbage, "names": self._names, "sizes": self._sizes, "tickets": self._tickets,
            "mute_f": self._mute_f, "flood": self._flood,
        }  # fmt: skip
        for kind in self._kinds:
            with suppress(*PEER_ERRORS):
                await attacks[kind](user, ticket)
        return not self._kinds or any(kind not in WITHOUT_HONEST_REPLY for kind in self._kinds)

    async def _length_prefix(self, user: str, ticket: int) -> None:
        (sock, _), *others = await self._owner.messenger.connector.dial(user, "P")
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(sock, struct.pack("<II", 0xFFFF_FFFF, SEARCH_REPLY))
            for _ in range(OVERLONG_BYTES >> 16):
                async with asyncio.timeout(HELD_S):
                    await loop.sock_sendall(sock, bytes(1 << 16))
        finally:
            for held in (sock, *(other for other, _ in others)):
                held.close()

    async def _zlib_bomb(self, user: str, ticket: int) -> None:
        await self._owner.messenger.send(user, zlib_bomb(self._owner.name, ticket))

    async def _million_files(self, user: str, ticket: int) -> None:
        await self._owner.messenger.send(user, million_files(self._owner.name, ticket))

    async def _garbage(self, user: str, ticket: int) -> None:
        """Each message on a line of its own when the one before cost us the line."""
        chance = random.Random(ticket)
        honest = raw_reply(self._owner.name, ticket, [entry("@@evil\\box quartet.flac", 1)])
        unreadable = [entry(name, 1) for name in UNREADABLE_NAMES]
        overrun = zlib.compress(struct.pack("<I", 0xFFFF_FFF0) + b"short")
        for message in (
            framed(0xFFFF, b"unknown"),
            framed(SEARCH_REPLY, honest[8:-7]),
            framed(SEARCH_REPLY, chance.randbytes(500)),
            framed(SEARCH_REPLY, overrun),
            framed(SEARCH_REPLY, b""),
            raw_reply(self._owner.name, ticket, unreadable),
            framed(40, chance.randbytes(11)),
            framed(44, struct.pack("<I", 0xFFFF_FFFF)),
            struct.pack("<IB", 1, 9),
        ):
            with suppress(*PEER_ERRORS):
                await self._owner.messenger.send(user, message)
        sock, _ = await self._owner.messenger.connector.direct(user, "P")
        try:
            await asyncio.get_running_loop().sock_sendall(sock, chance.randbytes(2000))
        finally:
            sock.close()

    async def _names(self, user: str, ticket: int) -> None:
        size = self._owner.shelf.main.size
        await self._owner.messenger.send(
            user, raw_reply(self._owner.name, ticket, [entry(name, size) for name in NAMES])
        )

    async def _sizes(self, user: str, ticket: int) -> None:
        entries = [entry(path, size) for path, size in self._lies.items()]
        await self._owner.messenger.send(user, raw_reply(self._owner.name, ticket, entries))

    async def _tickets(self, user: str, ticket: int) -> None:
        m, path = messages, self._owner.shelf.main.path
        for message in (
            raw_reply(self._owner.name, WRONG, [entry(path, 1)]),
            m.PeerTransferRequest.Request(1, WRONG, path, 1),
            m.PeerTransferRequest.Request(1, WRONG + 1, "@@never\\asked.flac", 1),
            m.PeerTransferRequest.Request(7, WRONG + 2, path, 1),
            m.PeerTransferReply.Request(WRONG, True, 1),
            m.PeerTransferReply.Request(WRONG, False, reason="never"),
            m.PeerPlaceInQueueReply.Request("@@never\\asked.flac", 0xFFFF_FFFF),
            m.PeerUploadFailed.Request("@@never\\asked.flac"),
            m.PeerTransferQueueFailed.Request("@@never\\asked.flac", "x" * 10_000),
        ):
            await self._owner.messenger.send(user, message)
        connector = self._owner.messenger.connector
        for claimed in (WRONG, 0, 1, 0xFFFF_FFFF):
            sock, _ = await connector.direct(user, "F")
            await self._say_and_hold(sock, struct.pack("<I", claimed))
        host, port, _ = await connector.address_of(user)
        init = m.PeerInit.Request
        for said in (m.PeerPierceFirewall.Request(WRONG), init("unknown", "F", 0), init("", "X", 0)):
            await self._say_and_hold(await connect(host, port), said.serialize())

    async def _mute_f(self, user: str, ticket: int) -> None:
        for _ in range(MUTE_CONNECTIONS):
            sock, _ = await self._owner.messenger.connector.direct(user, "F")
            await self._say_and_hold(sock, b"")

    async def _flood(self, user: str, ticket: int) -> None:
        """Every second connection is closed at once, the others stay; half of them never say who they are."""
        host, port, _ = await self._owner.messenger.connector.address_of(user)
        for start in range(0, FLOOD_CONNECTIONS, FLOOD_AT_ONCE):
            calls = (connect(host, port) for _ in range(FLOOD_AT_ONCE))
            made = await asyncio.gather(*calls, return_exceptions=True)
            for index, sock in enumerate(made):
                if isinstance(sock, BaseException):
                    continue
                if index % 2:
                    sock.close()
                else:
                    init = messages.PeerInit.Request(f"flood{start + index}", "P", 0).serialize()
                    await self._say_and_hold(sock, init if index % 4 else b"")

    async def _say_and_hold(self, sock: Any, data: bytes) -> None:
        """Say it, then keep the connection for a while without another word."""

        async def hold() -> None:
            try:
                await asyncio.sleep(HELD_S)
            finally:
                sock.close()

        with suppress(*PEER_ERRORS):
            await asyncio.get_running_loop().sock_sendall(sock, data)
        self._owner.spawn(hold())
