"""HTTP mirrors on 127.0.0.1 in a process of their own: the owner's handle, and the process that serves them.

with MirrorBox({"fast": Behavior(rate_bytes_s=8e6), "slow": Behavior(rate_bytes_s=1e5)}, Content(1 << 24)) as box:
    download(box.urls)
"""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, ClassVar
from urllib.parse import quote

from actors.demo.child_process import Box, Child, Fields, raise_open_files_limit, read_request, reply, serve_requests
from actors.demo.content import Content
from actors.demo.mirrors.mirror import Behavior, Mirror


class MirrorBox(Box):
    """The owner's handle: one mirror for each behaviour, all serving `content` at `/file_name`.

    Ready when made; the process ends with `close` or with this process, however that ends. Raises ChildError.
    """

    module: ClassVar[str] = "actors.demo.mirrors.box"

    def __init__(self, behaviors: Mapping[str, Behavior], content: Content, file_name: str) -> None:
        self.file_name = file_name
        described = {
            "content": {"size": content.size, "seed": content.seed},
            "mirrors": {name: asdict(behavior) for name, behavior in behaviors.items()},
        }
        super().__init__(Child(self.module))
        self._ports: dict[str, int] = self._child.request(described)["ports"]

    @property
    def urls(self) -> list[str]:
        """Every mirror's URL, in the order given."""
        return [self.url(name) for name in self._ports]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}/{quote(self.file_name)}"


def mapped_content(content: Content) -> memoryview:
    """The bytes in a file without a name, mapped: they vanish with the process."""
    with tempfile.TemporaryFile(prefix="shoal-demo-") as file:
        content.write_to(file)
        return mapped_file(file)


def mapped_file(file: IO[bytes]) -> memoryview:
    """Map an open file; an empty one gives an empty view."""
    size = os.fstat(file.fileno()).st_size
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")


async def _serve(config: Fields) -> None:
    content = Content(**config["content"])
    body, etag = mapped_content(content), f'"{content.seed}-{content.size}"'
    mirrors = {name: Mirror(Behavior(**fields), body, etag) for name, fields in config["mirrors"].items()}
    for mirror in mirrors.values():
        await mirror.open()
    reply({"ports": {name: mirror.port for name, mirror in mirrors.items()}})
    await serve_requests()


def main() -> None:
    """Serve the mirrors that the first line of stdin describes until stdin ends."""
    raise_open_files_limit()
    asyncio.run(_serve(read_request()))


if __name__ == "__main__":
    main()
