"""Names with several addresses, of which some are dead."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.sources import open_reader
from actors.sources.http import connect as http_connect
from protocol.model.faults import FaultKind, SourceFault
from tests.wild.conftest import DATA, HASTY, Serve, fetch
from tests.wild.server import File

FILE = File(DATA)
DEAD = "127.0.0.9"


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver that knows these names only."""
    names: dict[str, list[str]] = {}
    ask = socket.getaddrinfo

    def look_up(host: str | bytes, *rest: int, **more: int) -> list[Any]:
        found = names.get(host if isinstance(host, str) else host.decode())
        return ask(host, *rest, **more) if found is None else [ask(each, *rest, **more)[0] for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def silent() -> Iterator[Callable[[int], None]]:
    """Makes a port of `DEAD` answer no more: its queue of connections is full, so the kernel drops the next."""
    held: list[socket.socket] = []

    def fill(port: int) -> None:
        listener = socket.socket()
        held.append(listener)
        listener.bind((DEAD, port))
        listener.listen(0)
        for _ in range(4):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex((DEAD, port))

    yield fill
    for sock in held:
        sock.close()


def test_a_dead_first_address_costs_little_and_only_once(
    serve: Serve, resolve: dict[str, list[str]], silent: Callable[[int], None]
) -> None:
    server = serve(lambda request, reply: FILE(request, reply, cut=200_000))
    silent(server.port)
    resolve["two.test"] = [DEAD, "127.0.0.1"]
    began_s = time.monotonic()
    assert fetch(server.url(host="two.test")).data == DATA
    assert len(server.requests) > 3
    assert time.monotonic() - began_s < HASTY.connect_timeout_s


def test_an_address_that_refuses_is_passed_over_at_once(serve: Serve, resolve: dict[str, list[str]]) -> None:
    server = serve(FILE)
    resolve["two.test"] = [DEAD, "127.0.0.8", "127.0.0.1"]
    setups_s = [fetch(server.url(host="two.test")).probed.setup_s for _ in range(5)]
    assert min(setups_s) < 0.2  # of five, for a busy machine


def test_families_take_turns(serve: Serve, resolve: dict[str, list[str]]) -> None:
    server = serve(FILE)
    resolve["two.test"] = ["::1", "::1", "127.0.0.1"]
    assert fetch(server.url(host="two.test")).data == DATA
    order = http_connect._interleaved([(6, 1), (6, 2), (6, 3), (4, 1)])
    assert order == [(6, 1), (4, 1), (6, 2), (6, 3)]


def test_where_no_address_answers_the_limit_holds(resolve: dict[str, list[str]], silent: Callable[[int], None]) -> None:
    silent(18099)
    resolve["two.test"] = [DEAD]
    began_s = time.monotonic()
    with pytest.raises(SourceFault) as caught:
        open_reader("http://two.test:18099/", settings=HASTY).probe()
    assert caught.value.kind is FaultKind.CONNECT_TIMEOUT
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize("host", ["localhost.", "sub.localhost", "LOCALHOST", "127.1", "2130706433", "0x7f.1"])
def test_spellings_of_this_machine_are_reached(serve: Serve, host: str) -> None:
    assert fetch(serve(FILE).url(host=host)).data == DATA
