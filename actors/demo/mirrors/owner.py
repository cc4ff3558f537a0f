"""Mirrors in a box: HTTP/1.1 servers with characters on 127.0.0.1, all in one process of their own.

    with mirrors({"fast": Character(rate_bytes_s=8e6), "liar": Character(size_lie=7)}, Content(1 << 24)) as box:
        download(box.urls)
        assert box.counts()["fast"].bytes_sent

Stdlib only and quick to start: the demo, the end-to-end tests and the benches use it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from actors.demo.content import Content
from actors.demo.mirrors.behavior import Character
from actors.demo.mirrors.mirror import Count

__all__ = ["Box", "BoxError", "Character", "Content", "Count", "mirrors"]

ROOT = Path(__file__).resolve().parents[3]
CLOSING_S_MAX = 5.0


class BoxError(Exception):
    """The box's process could not start, or ended on its own; the text holds what it said last."""


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


class Box:
    """Owns the process of its mirrors, which ends with `close` or with this process, however that ends."""

    def __init__(
        self, characters: Mapping[str, Character], content: Content | Path, file_name: str, own_hosts: bool
    ) -> None:
        self.content = content
        self._characters = dict(characters)
        self._hosts = {name: _host(index if own_hosts else 0) for index, name in enumerate(characters)}
        self._file_name = file_name
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile(prefix="box-")  # noqa: SIM115 - closed in close()
        # Its own session: Ctrl-C on the terminal is for the downloader.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actors.demo.mirrors.process"], cwd=ROOT, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        told = {name: asdict(character) for name, character in characters.items()}
        ready = self._tell(
            {
                "file_name": quote(file_name),
                "content": _described(content),
                "mirrors": told,
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
        return self._process.pid

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
        return {name: Count(**told) for name, told in self._tell({"do": "counts"}).items()}

    def change_content(self, content: Content | Path) -> None:
        """Serve other bytes from the next request on, with another default ETag."""
        self._tell({"do": "content", "content": _described(content)})
        self.content = content

    def become(self, name: str, character: Character) -> None:
        """Give a mirror, dead or alive, a new life on its old port; its counts go on. `tls` cannot change."""
        self._tell({"do": "become", "name": name, "character": asdict(character)})
        self._characters[name] = character

    def die(self, name: str) -> None:
        """Connection refused from now on."""
        self._tell({"do": "die", "name": name})

    def close(self) -> None:
        """End the process and everything it has; more than once does no harm."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(CLOSING_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, message: dict[str, Any]) -> Any:
        """Write one line and wait for the answer to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise self._broken() from None
            line = self._process.stdout.readline()
        if not line:
            raise self._broken()
        return json.loads(line)

    def _broken(self) -> BoxError:
        self._process.wait(CLOSING_S_MAX)
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.close()
        return BoxError(f"the mirrors' process ended: {last or 'silently'}")


def _described(content: Content | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        return {"path": str(content.resolve())}
    return {"size": content.size, "seed": content.seed}


def _host(index: int) -> str:
    return f"127.0.{index // 250}.{index % 250 + 1}"
