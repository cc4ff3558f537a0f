"""Where the user does not allow it, no URL and no redirect leads into a private network, however it is written."""

import socket
from typing import Any

import pytest

from actors.sources import HttpSettings, Reader
from actors.sources.http import connect as http_connect
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_on, read_span
from tests.actors.sources.scripted import Act, answer, part

PUBLIC_ONLY = HttpSettings(connect_timeout_s=3.0, head_timeout_s=0.5, private_ok=False)
CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
PROBE = [part(CONTENT, 1, 2)]
PUBLIC = "93.184.216.34"


class Internet:
    """A resolver and a router of our own: names mean what `names` says (in turns), the public address is a loopback
    server. Stands for `socket` where connections are made."""

    def __init__(self, port: int, names: dict[str, list[str]]) -> None:
        self.port, self.names = port, names
        self.connected: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def getaddrinfo(self, host: bytes, port: int, **_more: Any) -> list[Any]:
        answers = self.names.get(host.decode())
        if answers is None:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in address.split()
        ]

    def socket(self, *kind: int) -> socket.socket:
        internet = self

        class Routed(socket.socket):
            def connect(self, address: Any) -> None:
                internet.connected.append(address[0])
                super().connect(("127.0.0.1", internet.port) if address[0] == PUBLIC else address)

        return Routed(*kind)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(port: int = 0, **names: list[str]) -> Internet:
        made = Internet(port, {name.replace("_", "."): answers for name, answers in names.items()})
        monkeypatch.setattr(http_connect, "socket", made)
        return made

    return make


def refused(reader: Reader) -> str:
    with pytest.raises(SourceFault) as caught:
        reader.probe()
    assert caught.value.kind is FaultKind.PRIVATE_ADDRESS
    assert caught.value.detail.startswith("private address: ")
    return caught.value.detail


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "localhost",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_a_private_address_is_connected_to(read: Read, internet: Any, host: str, scheme: str) -> None:
    net = internet()
    refused(read(f"{scheme}://{host}:9/f", settings=PUBLIC_ONLY))
    assert net.connected == []


def test_a_name_that_means_a_private_address_is_refused(read: Read, internet: Any) -> None:
    net = internet(intranet_example=["10.1.2.3"])
    assert "intranet.example" in refused(read("http://intranet.example/f", settings=PUBLIC_ONLY))
    assert net.connected == []


def test_a_name_of_which_one_address_is_private_is_refused(read: Read, internet: Any) -> None:
    net = internet(both_example=[f"{PUBLIC} ::1"])
    refused(read("http://both.example/f", settings=PUBLIC_ONLY))
    assert net.connected == []


def test_a_public_address_may_be_fetched_from(serve: Serve, read: Read, internet: Any) -> None:
    server = serve([PROBE, [part(CONTENT, 10, 20)]])
    net = internet(server.port, public_example=[PUBLIC])
    reader = read("http://public.example/f", settings=PUBLIC_ONLY)
    assert reader.probe().size_bytes == SIZE
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]
    assert net.connected == [PUBLIC]


@pytest.mark.parametrize("to", ["http://127.0.0.1:9/f", "http://[::1]:9/", "http://inner.example/", "//0x7f.1:9/x"])
def test_a_redirect_into_a_private_network_is_not_followed(serve: Serve, read: Read, internet: Any, to: str) -> None:
    server = serve([[answer("302 Found", f"Location: {to}", body=b"in there")]])
    net = internet(server.port, public_example=[PUBLIC], inner_example=["192.168.0.7"])
    refused(read("http://public.example/f", settings=PUBLIC_ONLY))
    assert net.connected == [PUBLIC]


def test_a_ride_that_is_redirected_into_a_private_network_ends(serve: Serve, read: Read, internet: Any) -> None:
    server = serve([PROBE, [answer("302 Found", "Location: http://127.0.0.1:9/f")]])
    net = internet(server.port, public_example=[PUBLIC])
    reader = read("http://public.example/f", settings=PUBLIC_ONLY)
    reader.probe()
    reader.open(0, SIZE, size_bytes=SIZE)
    with pytest.raises(SourceFault, match="private address"):
        read_on(reader)
    assert net.connected == [PUBLIC]


def test_a_name_that_means_something_else_at_the_next_look_is_judged_again(
    serve: Serve, read: Read, internet: Any
) -> None:
    server = serve([[*PROBE, Act.CLOSE]])
    net = internet(server.port, rebound_example=[PUBLIC, "127.0.0.1"])
    reader = read("http://rebound.example/f", settings=PUBLIC_ONLY)
    reader.probe()
    refused(reader)
    assert net.connected == [PUBLIC]


def test_no_proxy_is_asked_to_go_where_we_may_not(
    serve: Serve, read: Read, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve([PROBE])
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    internet(intranet_example=["10.1.2.3"])
    refused(read("http://intranet.example/f", settings=PUBLIC_ONLY))
    assert proxy.requests == []


def test_everything_may_be_fetched_from_where_the_user_allows_it(serve: Serve, read: Read) -> None:
    assert read(serve([PROBE]).url()).probe().size_bytes == SIZE
