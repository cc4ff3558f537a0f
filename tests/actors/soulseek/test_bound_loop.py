"""The session's loop calls from its interface or through its proxy, and listens where it may be called."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from actors.soulseek.bound_loop import BoundLoop


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(10)
        yield made


def run_in(loop: BoundLoop, host: str, port: int) -> bytes:
    async def call() -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello")
        try:
            return await reader.read(100)
        finally:
            writer.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(asyncio.wait_for(call(), 10))


def test_it_calls_from_the_address_that_it_is_bound_to(listener: socket.socket) -> None:
    callers: list[str] = []

    def answer() -> None:
        sock, (host, _) = listener.accept()
        callers.append(host)
        with sock:
            sock.sendall(sock.recv(5).upper())

    thread = threading.Thread(target=answer)
    thread.start()
    assert run_in(BoundLoop("127.0.0.8", ""), "127.0.0.1", listener.getsockname()[1]) == b"HELLO"
    thread.join(10)
    assert callers == ["127.0.0.8"]


def test_it_makes_no_call_without_its_interface(listener: socket.socket) -> None:
    with pytest.raises(OSError, match="no-such-0 is gone"):
        run_in(BoundLoop("no-such-0", ""), "127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("good", [True, False])
def test_it_calls_through_a_proxy_that_looks_names_up(listener: socket.socket, good: bool) -> None:
    asked: list[bytes] = []

    def proxy() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(3)
            sock.sendall(b"\x05\x00")
            asked.append(sock.recv(100))
            sock.sendall(b"\x05" + (b"\x00" if good else b"\x05") + b"\x00\x01\x7f\x00\x00\x01\x00\x00")
            if good:
                sock.sendall(sock.recv(5)[::-1])

    thread = threading.Thread(target=proxy)
    thread.start()
    loop = BoundLoop("", f"socks5h://127.0.0.1:{listener.getsockname()[1]}")
    if good:
        assert run_in(loop, "server.example", 2242) == b"olleh"
    else:
        with pytest.raises(OSError, match="was refused there"):
            run_in(loop, "server.example", 2242)
    thread.join(10)
    assert asked == [b"\x05\x01\x00\x03\x0eserver.example" + (2242).to_bytes(2, "big")]


@pytest.mark.parametrize(
    ("interface", "proxy", "host"),
    [("127.0.0.8", "", "127.0.0.8"), ("lo", "", "0.0.0.0"), ("", "socks5://127.0.0.1:9", "127.0.0.1")],
)
def test_it_listens_at_its_interface_and_behind_a_proxy_for_this_machine_only(
    interface: str, proxy: str, host: str
) -> None:
    async def listen() -> str:
        server = await asyncio.start_server(lambda _reader, _writer: None, "0.0.0.0", 0, family=socket.AF_INET)
        async with server:
            return str(server.sockets[0].getsockname()[0])

    with asyncio.Runner(loop_factory=lambda: BoundLoop(interface, proxy)) as runner:
        assert runner.run(listen()) == host
