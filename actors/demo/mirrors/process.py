"""The box's process: serves its mirrors, obeys its owner's lines on stdin, and ends when stdin does.

One JSON object a line, one answer line each. The owner may die in any way: its end of the pipe closes with it, so
nothing of the box outlives it.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from actors.demo.content import Content
from actors.demo.mirrors.answers import Resource
from actors.demo.mirrors.behavior import Character
from actors.demo.mirrors.mirror import Mirror, Offer

OTHER_SEED_STEP = 1_000_003


class Shelf:
    """The bytes on offer: files nobody can see, mapped into memory; they vanish with the process."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.put(told)

    def put(self, told: dict[str, Any]) -> None:
        """Offer this from now on; answers under way keep what they began with."""
        self._seed: int = told.get("seed", 0)
        self._other: memoryview | None = None
        if "path" in told:
            with Path(told["path"]).open("rb") as file:
                self._main = _mapped(file)
            self.etag = f'"file-{len(self._main)}"'
        else:
            self._main = _made(Content(told["size"], told["seed"]))
            self.etag = f'"{told["seed"]}-{told["size"]}"'

    def body(self, character: Character) -> memoryview:
        """What a mirror with this character takes for the file."""
        if not character.other_content:
            return self._main
        if self._other is None:
            self._other = _made(Content(len(self._main), self._seed + OTHER_SEED_STEP))
        return self._other


class BoxServer:
    """All mirrors of one box, by name."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._file_name: str = told["file_name"]
        self._shelf = Shelf(told["content"])
        characters = {name: Character(**fields) for name, fields in told["mirrors"].items()}
        self._secrets = tempfile.TemporaryDirectory(prefix="box-") if any(c.tls for c in characters.values()) else None
        tls = None if self._secrets is None else _certified(Path(self._secrets.name))
        self._mirrors = {
            name: Mirror(c, told["hosts"][name], self._offer, tls if c.tls else None) for name, c in characters.items()
        }

    async def open(self) -> dict[str, Any]:
        """Start every mirror; where they listen and what vouches for the TLS ones."""
        for mirror in self._mirrors.values():
            await mirror.open()
        ca_path = None if self._secrets is None else str(Path(self._secrets.name) / "cert.pem")
        return {"ports": {name: mirror.port for name, mirror in self._mirrors.items()}, "ca_path": ca_path}

    async def obey(self, told: dict[str, Any]) -> dict[str, Any]:
        """Do what one line says; the answer to it."""
        match told["do"]:
            case "counts":
                return {name: asdict(mirror.count) for name, mirror in self._mirrors.items()}
            case "content":
                self._shelf.put(told["content"])
            case "become":
                await self._mirrors[told["name"]].become(Character(**told["character"]))
            case "die":
                self._mirrors[told["name"]].die()
        return {}

    def clean_up(self) -> None:
        if self._secrets is not None:
            self._secrets.cleanup()

    def _offer(self, character: Character) -> Offer:
        body = self._shelf.body(character)
        target = character.redirect_to
        if target in self._mirrors:
            mirror = self._mirrors[target]
            scheme = "https" if mirror.character.tls else "http"
            target = f"{scheme}://{mirror.host}:{mirror.port}/{self._file_name}"
        return Offer(body, Resource(size=len(body), etag=self._shelf.etag, redirect_url=target))


def _made(content: Content) -> memoryview:
    with tempfile.TemporaryFile(prefix="box-") as file:
        content.write_to(file)
        return _mapped(file)


def _mapped(file: IO[bytes]) -> memoryview:
    size = os.fstat(file.fileno()).st_size
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")


def _certified(folder: Path) -> ssl.SSLContext:
    """Make a certificate that is its own authority and load it. Needs the `openssl` command."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", names, "-keyout", str(key), "-out", str(cert)],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def _raise_open_files_limit() -> None:
    """Hundreds of mirrors, each with a listener and connections, are more than the usual 1024."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reply(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _end(box: BoxServer) -> None:
    """Leave at once: connections of a box nobody owns deserve no farewell."""
    box.clean_up()
    os._exit(0)


async def _serve(box: BoxServer) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def listen() -> None:
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        _end(box)

    _reply(await box.open())
    threading.Thread(target=listen, daemon=True).start()
    while True:
        _reply(await box.obey(json.loads(await lines.get())))


def main() -> None:
    """Read the box's description from the first line of stdin, then serve until stdin ends."""
    _raise_open_files_limit()
    box = BoxServer(json.loads(sys.stdin.buffer.readline()))
    asyncio.run(_serve(box))


if __name__ == "__main__":
    main()
