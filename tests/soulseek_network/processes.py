"""The two processes of a Soulseek network in a box: its server and its uploaders, each in one event loop."""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.demo.child_process import Fields, raise_open_files_limit, read_request, reply, serve_requests
from actors.demo.content import BLOCK_BYTES, Content
from actors.demo.soulseek.server import Server
from actors.demo.soulseek.shares import Blocks
from tests.soulseek_network.behavior import Character
from tests.soulseek_network.uploader import OddUploader, Stock

ONLINE_S_MAX = 10.0
OTHER_SEED_STEP = 1_000_003
POLL_S = 0.01


class OddServer(Server):
    """The demo's server with passwords, outages and a record of what was asked of it."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self.searches: list[tuple[str, str]] = []
        self.logins = 0
        self.refusal: str | None = None
        self._passwords = passwords

    def refusal_of(self, name: str, password: str) -> str | None:
        known = self._passwords.get(name, password)
        refusal = self.refusal or super().refusal_of(name, password) or (None if known == password else "INVALIDPASS")
        self.logins += refusal is None
        return refusal

    async def search(self, searcher: str, names: list[str], request: Any) -> None:
        self.searches.append((searcher, request.query))
        await super().search(searcher, names, request)

    def vanish(self) -> None:
        """Connection refused from now on, and every session is reset, as when the machine goes down."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close(reset=True)

    async def handle(self, request: Fields) -> Fields:
        """Do what one line says; the answer to it."""
        match request["do"]:
            case "refuse_logins":
                self.refusal = request["reason"]
            case "vanish":
                self.vanish()
            case "return":
                await self.open()
            case "drop":
                session = self.sessions.get(request["name"])
                if session is not None:
                    session.connection.close(reset=True)
                return {"was_there": session is not None}
            case "wait":
                name, online = request["name"], request["online"]
                return {"came": await _until(lambda: (name in self.sessions) is online, request["s_max"])}
            case "wait_for_shares":
                user = self.user(request["name"])
                return {"came": await _until(lambda: user.files > 0, request["s_max"])}
            case "state":
                return {"online": list(self.sessions), "searches": self.searches, "logins": self.logins}
        return {}


async def _until(came: Callable[[], bool], s_max: float) -> bool:
    """Return True when `came`; False when that took too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(s_max):
            while not came():  # noqa: ASYNC110 - three unrelated things are waited for
                await asyncio.sleep(POLL_S)
    return came()


class Uploaders:
    """All uploaders by name."""

    def __init__(self, config: Fields) -> None:
        main, other = _blocks(config["content"]), _blocks(config["content"], OTHER_SEED_STEP)
        self._stock = Stock(file_name=config["file_name"], main=main, other=other)
        self._server_port: int = config["server_port"]
        self._uploaders = {name: self._made(name, fields) for name, fields in config["peers"].items()}

    def _made(self, name: str, fields: Fields) -> OddUploader:
        return OddUploader(name, Character(**fields), self._stock, self._server_port)

    async def open(self) -> Fields:
        """Start them all and wait until each can be found; their ports."""
        for uploader in self._uploaders.values():
            uploader.open()
        async with asyncio.timeout(ONLINE_S_MAX):
            for uploader in self._uploaders.values():
                await uploader.messenger.online.wait()
        return {"ports": {name: each.messenger.connector.port for name, each in self._uploaders.items()}}

    async def handle(self, request: Fields) -> Fields:
        """Do what one line says; the answer to it."""
        name = request.get("name", "")
        match request["do"]:
            case "counts":
                return {name: asdict(uploader.count) for name, uploader in self._uploaders.items()}
            case "become":
                self._uploaders[name].become(Character(**request["character"]))
                await self._online(self._uploaders[name])
            case "join":
                uploader = self._uploaders[name] = self._made(name, request["character"])
                uploader.open()
                await self._online(uploader)
                return {"port": uploader.messenger.connector.port}
            case "die":
                self._uploaders[name].die()
            case "leave":
                self._uploaders[name].leave()
            case "cpu":
                return {"cpu_s": sum(os.times()[:2])}
        return {}

    async def _online(self, uploader: OddUploader) -> None:
        async with asyncio.timeout(ONLINE_S_MAX):
            await uploader.messenger.online.wait()


def _blocks(described: Fields, seed_step: int = 0) -> Blocks:
    """A file on disk, or content by size and seed; with `seed_step` other bytes of the same size. Raises OSError."""
    if "path" not in described:
        return Blocks.of(Content(described["size"], described["seed"] + seed_step))
    with Path(described["path"]).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if seed_step:
            return Blocks.of(Content(size, seed_step))
        whole = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    return Blocks(size, lambda: (whole[start : start + BLOCK_BYTES] for start in range(0, size, BLOCK_BYTES)))


async def _serve_server(config: Fields) -> None:
    server = OddServer(config["passwords"])
    await server.open()
    reply({"port": server.port})
    await serve_requests(server.handle)


async def _serve_uploaders(config: Fields) -> None:
    uploaders = Uploaders(config)
    reply(await uploaders.open())
    await serve_requests(uploaders.handle)


def main() -> None:
    """Serve until stdin ends."""
    raise_open_files_limit()
    asyncio.run({"server": _serve_server, "uploaders": _serve_uploaders}[sys.argv[1]](read_request()))


if __name__ == "__main__":
    main()
