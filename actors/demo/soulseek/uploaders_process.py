"""The process of the box's uploaders, all in one event loop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict

from actors.demo.child_process import Told, first_line, obey, raise_open_files_limit, reply
from actors.demo.soulseek.behavior import Character
from actors.demo.soulseek.shares import OTHER_SEED_STEP, Blocks
from actors.demo.soulseek.uploader import Stock, Uploader

ONLINE_S_MAX = 10.0


class Peers:
    """All uploaders by name."""

    def __init__(self, told: Told) -> None:
        main, other = Blocks.told(told["content"]), Blocks.told(told["content"], OTHER_SEED_STEP)
        self._stock = Stock(file_name=told["file_name"], main=main, other=other)
        self._server_port: int = told["server_port"]
        self._uploaders = {name: self._made(name, fields) for name, fields in told["peers"].items()}

    def _made(self, name: str, fields: Told) -> Uploader:
        return Uploader(name, Character(**fields), self._stock, self._server_port)

    async def open(self) -> Told:
        """Start them all and wait until each can be found; their ports."""
        for uploader in self._uploaders.values():
            uploader.open()
        async with asyncio.timeout(ONLINE_S_MAX):
            for uploader in self._uploaders.values():
                await uploader.talk.online.wait()
        return {"ports": {name: uploader.talk.door.port for name, uploader in self._uploaders.items()}}

    async def do(self, told: Told) -> Told:
        """Do what one line says; the answer to it."""
        match told["do"]:
            case "counts":
                return {name: asdict(uploader.count) for name, uploader in self._uploaders.items()}
            case "become":
                uploader = self._uploaders[told["name"]]
                uploader.become(Character(**told["character"]))
                await self._wait_for(uploader)
            case "join":
                uploader = self._uploaders[told["name"]] = self._made(told["name"], told["character"])
                uploader.open()
                await self._wait_for(uploader)
                return {"port": uploader.talk.door.port}
            case "die":
                self._uploaders[told["name"]].die()
            case "leave":
                self._uploaders[told["name"]].leave()
            case "cpu":
                return {"cpu_s": sum(os.times()[:2])}
        return {}

    async def _wait_for(self, uploader: Uploader) -> None:
        async with asyncio.timeout(ONLINE_S_MAX):
            await uploader.talk.online.wait()


async def _serve(told: Told) -> None:
    peers = Peers(told)
    reply(await peers.open())
    await obey(peers.do)


def main() -> None:
    """Serve until stdin ends. Its first line comes when the server's port is known; until then we have loaded."""
    raise_open_files_limit()
    asyncio.run(_serve(first_line()))


if __name__ == "__main__":
    main()
