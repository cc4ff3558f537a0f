"""Servers that end with the test, and downloads by a reader as a worker uses it."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from actors.sources import HttpSettings, Probed, open_reader
from protocol.model.faults import FaultKind, SourceFault
from tests.e2e.conftest import shoal
from tests.wild.server import Handler, WildServer

DATA = random.Random(7).randbytes(700_123)
CHUNK = 64 << 10
ATTEMPTS_MAX = 8
HASTY = HttpSettings(connect_timeout_s=3.0, head_timeout_s=2.0)

Serve = Callable[..., WildServer]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers."""
    servers: list[WildServer] = []

    def start(handler: Handler, *, host: str = "127.0.0.1", tls: Any = None) -> WildServer:
        servers.append(WildServer(handler, host=host, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@dataclass
class Fetched:
    """What a download came to, and the faults on its way."""

    data: bytes
    probed: Probed
    faults: list[SourceFault]


def fetch(url: str, *, whole: bool = True, settings: HttpSettings = HASTY) -> Fetched:
    """Download as a worker does that the dispatcher lets try again: from the last whole chunk on, a few times.

    Raises the last fault when `ATTEMPTS_MAX` attempts in a row bring nothing.
    """
    reader = open_reader(url, user_agent="shoal-test", settings=settings)
    try:
        probed = reader.probe(begin_at=0 if whole else -1)
        got, faults, failures, offset_ok = bytearray(), list[SourceFault](), 0, probed.offset_ok
        while True:
            start = len(got) - len(got) % CHUNK
            del got[start:]
            try:
                reader.open(start, None, size_bytes=probed.size_bytes, from_start=not offset_ok)
                if _read(reader, got, start):
                    return Fetched(bytes(got), probed, faults)
            except SourceFault as fault:
                reader.hang_up()
                faults.append(fault)
                failures = 0 if len(got) - start >= CHUNK else failures + 1
                offset_ok = offset_ok and fault.kind is not FaultKind.RANGE_REFUSED
                if failures >= ATTEMPTS_MAX:
                    raise
    finally:
        reader.close()


def _read(reader: Any, got: bytearray, start: int) -> bool:
    """Read to the end of the body; what lies before `start` is dropped."""
    view = memoryview(bytearray(CHUNK))
    position = start
    while not reader.ended:
        position = min(position, reader.position)
        count = reader.read_into(view)
        position = reader.position - count
        got += view[max(0, start - position) : count] if position < start else view[:count]
    return True


def fault_of(url: str, *, whole: bool = True, settings: HttpSettings = HASTY) -> SourceFault:
    """Return the fault that ends a download."""
    with pytest.raises(SourceFault) as caught:
        fetch(url, whole=whole, settings=settings)
    assert "\n" not in caught.value.detail
    return caught.value


__all__ = ["DATA", "HASTY", "Fetched", "Serve", "fault_of", "fetch", "shoal"]
