"""A Soulseek network on 127.0.0.1 in a process of its own: a server and uploaders that share one file.

with DemoNetwork({"fast": Behavior(rate_bytes_s=8e6), "gone": Behavior(no_bytes=True)}, content, "Tide.flac") as net:
    download(term=net.term, server=("127.0.0.1", net.server_port))   # as any user, with any password
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict

from actors.demo.child_process import Box, Child, Fields, raise_open_files_limit, read_request, reply, serve_requests
from actors.demo.content import Content
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.shares import Blocks, Shelf, term_for

ONLINE_S_MAX = 10.0


class DemoNetwork(Box):
    """The owner's handle. Ready when made: every uploader is logged in. Raises ChildError.

    The process ends with `close` or with this process, however that ends.
    """

    server_host = "127.0.0.1"

    def __init__(self, behaviors: Mapping[str, Behavior], content: Content, file_name: str) -> None:
        self.term = term_for(file_name)
        super().__init__(Child("actors.demo.soulseek.network"))
        uploaders = {name: asdict(behavior) for name, behavior in behaviors.items()}
        shared = {"size": content.size, "seed": content.seed}
        ready = self._child.request({"content": shared, "file_name": file_name, "uploaders": uploaders})
        self.server_port: int = ready["server_port"]


async def _serve(config: Fields) -> None:
    from actors.demo.soulseek.server import Server  # in the child only: aioslsk's messages take 0.2 s to load
    from actors.demo.soulseek.uploader import Uploader

    server = Server()
    await server.open()
    blocks = Blocks.of(Content(**config["content"]))
    uploaders = [
        Uploader(name, Behavior(**fields), Shelf(name, config["file_name"], blocks), server.port)
        for name, fields in config["uploaders"].items()
    ]
    for uploader in uploaders:
        uploader.open()
    async with asyncio.timeout(ONLINE_S_MAX):
        for uploader in uploaders:
            await uploader.messenger.online.wait()
    reply({"server_port": server.port})
    await serve_requests()


def main() -> None:
    """Serve the network that the first line of stdin describes until stdin ends."""
    raise_open_files_limit()
    asyncio.run(_serve(read_request()))


if __name__ == "__main__":
    main()
