"""How a plain connection is read: what lies unread, when the reader is woken, what that must never cost."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from actors.sources.socket_io import SLOW_UNREAD_BYTES, PlainStream
from tests.actors.soulseek.tcp import pair

SLOT = 32 << 10
BODY = bytes(range(256)) * (4 * SLOT // 256)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is asked of the kernel")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small slot, and everything counts as fast: how busy this machine is must not matter."""
    monkeypatch.setattr("actors.sources.socket_io.UNREAD_BYTES", SLOT)
    monkeypatch.setattr("actors.sources.socket_io.FAST_S", 1e9)


class Sender:
    """The other side: sends in a thread of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._thread: threading.Thread | None = None

    def send(self, data: bytes) -> None:
        self._thread = threading.Thread(target=self._sock.sendall, args=(data,))
        self._thread.start()

    def end(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()


@contextmanager
def connected_stream() -> Iterator[tuple[PlainStream, socket.socket, Sender]]:
    """A stream, its socket to look at, and who sends."""
    ours, theirs = pair()
    stream, sender = PlainStream(ours), Sender(theirs)
    with theirs:
        yield stream, ours, sender
        stream.close()
        sender.join()


def wakes_at(sock: socket.socket) -> int:
    """Bytes that must lie there before the kernel wakes a reader."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def filled(stream: PlainStream, size: int, *, more: int) -> bytes:
    """Read this many bytes, however many slices they take."""
    buffer = bytearray(size)
    got = 0
    while got < size:
        got += stream.fill(memoryview(buffer)[got:], whole=True, more=more)
        assert not stream.eof
    return bytes(buffer)


def test_a_fast_body_may_lie_unread_for_a_slot() -> None:
    with connected_stream() as (stream, sock, sender):
        sender.send(BODY)
        assert wakes_at(sock) == 1
        assert filled(stream, SLOT, more=3 * SLOT) == BODY[:SLOT]
        assert filled(stream, SLOT, more=2 * SLOT) == BODY[SLOT : 2 * SLOT]
        assert wakes_at(sock) == SLOT


def test_the_last_bytes_of_a_fast_body_are_not_waited_for() -> None:
    with connected_stream() as (stream, sock, sender):
        sender.send(BODY[: 3 * SLOT + 1000])
        filled(stream, SLOT, more=2 * SLOT + 1000)
        filled(stream, SLOT, more=SLOT + 1000)
        assert filled(stream, SLOT, more=1000) == BODY[2 * SLOT : 3 * SLOT]
        assert wakes_at(sock) == 1, "less than a slot came behind this one: nothing would have woken the reader"
        assert filled(stream, 1000, more=0) == BODY[:1000]


def test_a_body_that_comes_slowly_wakes_its_reader_at_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.sources.socket_io.FAST_S", 0.0)
    with connected_stream() as (stream, sock, sender):
        sender.send(BODY)
        filled(stream, SLOT, more=3 * SLOT)
        filled(stream, SLOT, more=2 * SLOT)
        assert wakes_at(sock) == 1


def test_a_fast_body_that_falls_silent_gives_what_had_come() -> None:
    with connected_stream() as (stream, _sock, sender):
        sender.send(BODY[: SLOT + 5000])
        filled(stream, SLOT, more=3 * SLOT)
        buffer = memoryview(bytearray(SLOT))
        assert stream.fill(buffer, whole=True, more=2 * SLOT) == 5000
        assert stream.fill(buffer, whole=True, more=2 * SLOT) == 0
        assert not stream.eof


def test_a_single_stray_byte_after_a_fast_body_is_noticed() -> None:
    with connected_stream() as (stream, _sock, sender):
        sender.send(BODY[: 2 * SLOT])
        filled(stream, SLOT, more=3 * SLOT)
        filled(stream, SLOT, more=2 * SLOT)
        assert stream.idle()
        sender.join()
        sender.send(b"x")
        sender.join()
        assert not stream.idle(), "the next request would take this byte for its answer"


def test_the_head_of_the_next_answer_is_heard_however_short() -> None:
    with connected_stream() as (stream, _sock, sender):
        sender.send(BODY[: 2 * SLOT])
        filled(stream, SLOT, more=3 * SLOT)
        filled(stream, SLOT, more=2 * SLOT)
        sender.join()
        sender.send(b"HTTP/1.1 200 OK\r\n")
        assert stream.fill(memoryview(bytearray(100)), whole=False) == 17


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> int:
    """Every body is slow from its second read on, and a slice never ends: what would wait for its end hangs."""
    monkeypatch.setattr("actors.sources.socket_io.FAST_S", 0.0)
    monkeypatch.setattr("actors.sources.socket_io.SLOW_WINDOW_S", 0.0)
    monkeypatch.setattr("actors.sources.socket_io.SLOW_BYTES_S", 1e18)
    monkeypatch.setattr("actors.sources.socket_io.SLOW_SLICE_S", 600.0)
    return SLOW_UNREAD_BYTES


def test_a_slow_body_may_lie_unread_for_a_while_and_its_last_bytes_are_not_waited_for(slow: int) -> None:
    with connected_stream() as (stream, sock, sender):
        sender.send(BODY[: 2 * slow + 100])
        assert filled(stream, slow, more=slow + 100) == BODY[:slow]
        assert wakes_at(sock) == 1
        assert filled(stream, 100, more=slow) == BODY[slow : slow + 100]
        assert wakes_at(sock) == slow
        assert filled(stream, slow, more=0) == BODY[slow + 100 : 2 * slow + 100]
        assert wakes_at(sock) == 1


def test_the_end_of_a_slow_connection_is_noticed_at_once(slow: int) -> None:
    with connected_stream() as (stream, _sock, sender):
        sender.send(BODY[:slow])
        filled(stream, slow, more=3 * slow)
        sender.join()
        sender.send(b"rest")
        sender.join()
        sender.end()
        assert stream.fill(memoryview(bytearray(slow)), whole=True, more=2 * slow) == len(b"rest")
        assert stream.fill(memoryview(bytearray(slow)), whole=True, more=2 * slow) == 0
        assert stream.eof


def test_the_next_answer_on_a_slow_connection_is_heard_however_short(slow: int) -> None:
    with connected_stream() as (stream, _sock, sender):
        sender.send(BODY[: 2 * slow])
        filled(stream, slow, more=slow)
        filled(stream, slow, more=0)
        sender.join()
        sender.send(b"HTTP/1.1 200 OK\r\n")
        assert stream.fill(memoryview(bytearray(100)), whole=False) == 17


def test_a_slow_connection_that_is_bound_to_an_interface_keeps_its_short_slices(slow: int) -> None:
    with connected_stream() as (stream, sock, sender):
        stream.guard("lo")
        sender.send(BODY[:slow])
        filled(stream, slow, more=3 * slow)
        assert stream.fill(memoryview(bytearray(slow)), whole=True, more=2 * slow) == 0
        assert wakes_at(sock) == 1
