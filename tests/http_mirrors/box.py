"""HTTP mirrors with characters on 127.0.0.1, all in one process of their own.

with mirrors({"fast": Character(rate_bytes_s=8e6), "liar": Character(size_lie=7)}, Content(1 << 24)) as box:
    download(box.urls)
    assert box.counts()["fast"].bytes_sent
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from actors.demo.child_process import (
    ROOT,
    Child,
    ChildError,
    Fields,
    raise_open_files_limit,
    read_request,
    reply,
    serve_requests,
)
from actors.demo.content import Content
from actors.demo.mirrors.box import mapped_content, mapped_file
from protocol.model.value import Closing
from tests.http_mirrors.behavior import Character
from tests.http_mirrors.mirror import Count, OddMirror, Offer

__all__ = ["ROOT", "Box", "BoxError", "Character", "Content", "Count", "mirrors"]

OTHER_SEED_STEP = 1_000_003
BoxError = ChildError


def mirrors(
    characters: Mapping[str, Character] | Iterable[Character],
    content: Content | Path = Content(1 << 20),  # noqa: B008 - frozen
    *,
    file_name: str = "content.bin",
    own_hosts: bool = False,
) -> Box:
    """Start one mirror for each character, all serving `content` at `/file_name` (and at any other path).

    Nameless characters are called m0, m1, ... All listen on 127.0.0.1, each on a free port; with `own_hosts` each has
    an address of its own too (127.0.0.1, 127.0.0.2, ...; Linux), for programs that count mirrors by host.
    The box is ready when this returns; close it, or use it in `with`.
    Raises BoxError.
    """
    if not isinstance(characters, Mapping):
        characters = {f"m{index}": character for index, character in enumerate(characters)}
    return Box(characters, content, file_name, own_hosts)


class Box(Closing):
    """Owns the process of its mirrors, which ends with `close` or with this process, however that ends."""

    def __init__(
        self, characters: Mapping[str, Character], content: Content | Path, file_name: str, own_hosts: bool
    ) -> None:
        self.content = content
        self._characters = dict(characters)
        self._hosts = {name: _host(index if own_hosts else 0) for index, name in enumerate(characters)}
        self._file_name = file_name
        self._child = Child("tests.http_mirrors.box")
        ready = self._child.request(
            {
                "file_name": quote(file_name),
                "content": described(content),
                "mirrors": {name: asdict(character) for name, character in characters.items()},
                "hosts": self._hosts,
            }
        )
        self._ports: dict[str, int] = ready["ports"]
        self.ca_path: Path | None = Path(ready["ca_path"]) if ready["ca_path"] else None
        """PEM file that vouches for the mirrors with `tls`; None when there are none."""

    @property
    def names(self) -> list[str]:
        return list(self._characters)

    @property
    def urls(self) -> list[str]:
        """Every mirror's URL, in the order given."""
        return [self.url(name) for name in self._characters]

    @property
    def pid(self) -> int:
        return self._child.pid

    def port(self, name: str) -> int:
        return self._ports[name]

    def url(self, name: str, *, login: bool = True) -> str:
        """The mirror's URL; with `user:password@` when its character wants that and `login` is left true."""
        character = self._characters[name]
        user = f"{character.auth}@" if character.auth and login else ""
        scheme = "https" if character.tls else "http"
        return f"{scheme}://{user}{self._hosts[name]}:{self._ports[name]}/{quote(self._file_name)}"

    def counts(self) -> dict[str, Count]:
        """What each mirror has done up to now."""
        return {name: Count(**fields) for name, fields in self._child.request({"do": "counts"}).items()}

    def change_content(self, content: Content | Path) -> None:
        """Serve other bytes from the next request on, with another default ETag."""
        self._child.request({"do": "content", "content": described(content)})
        self.content = content

    def become(self, name: str, character: Character) -> None:
        """Give a mirror, dead or alive, a new life on its old port; its counts go on. `tls` cannot change."""
        self._child.request({"do": "become", "name": name, "character": asdict(character)})
        self._characters[name] = character

    def die(self, name: str) -> None:
        """Connection refused from now on."""
        self._child.request({"do": "die", "name": name})

    def close(self) -> None:
        """End the process and everything it has; more than once does no harm."""
        self._child.close()


def described(content: Content | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        return {"path": str(content.resolve())}
    return {"size": content.size, "seed": content.seed}


def _host(index: int) -> str:
    return f"127.0.{index // 250}.{index % 250 + 1}"


# In the child process.


class Shelf:
    """The bytes on offer, mapped into memory."""

    def __init__(self, fields: Fields) -> None:
        self.put(fields)

    def put(self, fields: Fields) -> None:
        """Offer this from now on; answers under way keep what they began with."""
        self._seed: int = fields.get("seed", 0)
        self._other: memoryview | None = None
        self._spoilt: dict[int, memoryview] = {}
        if "path" in fields:
            with Path(fields["path"]).open("rb") as file:
                self._main = mapped_file(file)
            self.etag = f'"file-{len(self._main)}"'
        else:
            self._main = mapped_content(Content(**fields))
            self.etag = f'"{fields["seed"]}-{fields["size"]}"'

    def body(self, character: Character) -> memoryview:
        """What a mirror with this character takes for the file."""
        if character.flip_every:
            return self._flipped(character.flip_every)
        if not character.other_content:
            return self._main
        if self._other is None:
            self._other = mapped_content(Content(len(self._main), self._seed + OTHER_SEED_STEP))
        return self._other

    def _flipped(self, every: int) -> memoryview:
        made = self._spoilt.get(every)
        if made is None:
            spoilt = bytearray(self._main)
            for at in range(every // 2, len(spoilt), every):
                spoilt[at] ^= 1
            made = self._spoilt[every] = memoryview(spoilt)
        return made


class Mirrors:
    """All mirrors of one box, by name."""

    def __init__(self, config: Fields) -> None:
        self._file_name: str = config["file_name"]
        self._shelf = Shelf(config["content"])
        characters = {name: Character(**fields) for name, fields in config["mirrors"].items()}
        self._secrets = tempfile.TemporaryDirectory(prefix="box-") if any(c.tls for c in characters.values()) else None
        tls = None if self._secrets is None else _certified(Path(self._secrets.name))
        self._mirrors = {name: OddMirror(character, self._offer) for name, character in characters.items()}
        for name, mirror in self._mirrors.items():
            mirror.host = config["hosts"][name]
            mirror.tls = tls if mirror.behavior.tls else None

    async def open(self) -> Fields:
        """Start every mirror; where they listen and what vouches for the TLS ones."""
        for mirror in self._mirrors.values():
            await mirror.open()
        ca_path = None if self._secrets is None else str(Path(self._secrets.name) / "cert.pem")
        return {"ports": {name: mirror.port for name, mirror in self._mirrors.items()}, "ca_path": ca_path}

    async def handle(self, request: Fields) -> Fields:
        """Do what one line says; the answer to it."""
        match request["do"]:
            case "counts":
                return {name: asdict(mirror.count) for name, mirror in self._mirrors.items()}
            case "content":
                self._shelf.put(request["content"])
            case "become":
                await self._mirrors[request["name"]].become(Character(**request["character"]))
            case "die":
                self._mirrors[request["name"]].die()
        return {}

    def clean_up(self) -> None:
        if self._secrets is not None:
            self._secrets.cleanup()

    def _offer(self, character: Character) -> Offer:
        target = character.redirect_to
        if target in self._mirrors:
            mirror = self._mirrors[target]
            scheme = "https" if mirror.behavior.tls else "http"
            target = f"{scheme}://{mirror.host}:{mirror.port}/{self._file_name}"
        return Offer(self._shelf.body(character), self._shelf.etag, target)


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


async def _serve(mirrors: Mirrors) -> None:
    reply(await mirrors.open())
    await serve_requests(mirrors.handle, mirrors.clean_up)


def main() -> None:
    """Serve the mirrors that the first line of stdin describes until stdin ends."""
    raise_open_files_limit()
    asyncio.run(_serve(Mirrors(read_request())))


if __name__ == "__main__":
    main()
