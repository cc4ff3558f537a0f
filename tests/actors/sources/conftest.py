"""Servers and readers that end with the test, in an environment without proxies."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from actors.sources import HttpSettings, Reader, open_reader
from tests.actors.sources.scripted import Answer, ScriptedServer

HASTY = HttpSettings(connect_timeout_s=3.0, head_timeout_s=0.5)


class Serve(Protocol):
    def __call__(self, *script: Sequence[Answer], tls: Any = None, greets: bool = False) -> ScriptedServer: ...


class Read(Protocol):
    def __call__(self, url: str, *, settings: HttpSettings = ...) -> Reader: ...


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts scripted servers."""
    servers: list[ScriptedServer] = []

    def start(*script: Sequence[Answer], tls: Any = None, greets: bool = False) -> ScriptedServer:
        servers.append(ScriptedServer(*script, tls=tls, greets=greets))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def read() -> Iterator[Read]:
    """Makes readers, which by default wait half a second for the head of an answer."""
    made: list[Callable[[], None]] = []

    def make(url: str, *, settings: HttpSettings = HASTY) -> Reader:
        reader = open_reader(url, user_agent="shoal-test", settings=settings)
        made.append(reader.close)
        return reader

    yield make
    for close in reversed(made):
        close()
