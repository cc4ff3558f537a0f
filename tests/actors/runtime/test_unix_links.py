"""Links between real sockets: loss, restart, garbage and a receiver that takes nothing."""

import contextlib
import logging
import os
import queue
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from actors.runtime.unix_links import DATAGRAM_BYTES_MAX, UnixLinks, socket_path

Got = queue.SimpleQueue[tuple[str, bytes]]
MakeLinks = Callable[..., tuple[UnixLinks, Got]]


@pytest.fixture
def run_dir() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="shoal-") as path:
        yield path


@pytest.fixture
def made(run_dir: str) -> Iterator[MakeLinks]:
    every: list[UnixLinks] = []

    def make(
        process: str, *, lost: Callable[[str, int], None] | None = None, listen: bool = True, send_s_max: float = 5.0
    ) -> tuple[UnixLinks, Got]:
        got: Got = queue.SimpleQueue()
        links = UnixLinks(process, run_dir, lambda actor, frame: got.put((actor, frame)), lost, send_s_max=send_s_max)
        every.append(links)
        if listen:
            links.listen()
        return links, got

    yield make
    for links in every:
        links.close()


@pytest.fixture
def stranger(run_dir: str) -> Iterator[Callable[[str], socket.socket]]:
    """A bare connection to a process, without our code."""
    socks: list[socket.socket] = []

    def connect(process: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(5)
        socks.append(sock)
        sock.connect(socket_path(run_dir, process))
        return sock

    yield connect
    for sock in socks:
        sock.close()


HELLO = b"\0shoal1" + struct.pack("!I", 4711) + b"stranger"


def test_many_threads_share_one_link_and_each_ones_frames_keep_their_order(made: MakeLinks) -> None:
    (a, _), (_b, got) = made("a"), made("b")

    def send(actor: str) -> None:
        for number in range(1000):
            assert a.send("b", actor, b"%d" % number)

    threads = [threading.Thread(target=send, args=(name,)) for name in ("x", "y", "z")]
    for thread in threads:
        thread.start()
    came = [got.get(timeout=30) for _ in range(3000)]
    for thread in threads:
        thread.join()
    for name in ("x", "y", "z"):
        assert [int(frame) for actor, frame in came if actor == name] == list(range(1000))


def test_a_sender_waits_a_while_for_a_process_that_has_not_begun_to_listen(made: MakeLinks) -> None:
    (a, _), (b, got) = made("a"), made("b", listen=False)
    sent = threading.Thread(target=a.send, args=("b", "box", b"early"))
    sent.start()
    b.listen()
    assert got.get(timeout=30) == ("box", b"early")
    sent.join()


def test_a_sender_does_not_wait_for_a_process_that_will_never_run(run_dir: str) -> None:
    """Without an account there is no session: the first post to it took 2 s, and every job of the hub waited."""
    links = UnixLinks("a", run_dir, lambda _actor, _frame: None, connect_s_max=3600.0, processes=frozenset({"a", "b"}))
    assert not links.send("c", "box", b"nowhere")
    links.close()


def test_what_is_sent_to_a_process_that_is_bound_waits_until_it_listens(made: MakeLinks) -> None:
    (a, _), (b, got) = made("a"), made("b", listen=False)
    b.bind()
    assert a.send("b", "box", b"early")
    assert got.empty()
    b.listen()
    assert got.get(timeout=30) == ("box", b"early")


def test_a_link_finds_the_restarted_process(made: MakeLinks) -> None:
    (a, _), (b, got) = made("a"), made("b")
    assert a.send("b", "box", b"1")
    assert got.get(timeout=30) == ("box", b"1")
    b.close()
    assert not a.send("b", "box", b"2")
    _again, got_again = made("b")
    assert a.send("b", "box", b"3")
    assert got_again.get(timeout=30) == ("box", b"3")


def test_no_frame_is_lost_to_a_restart_that_is_over_before_the_next_one_is_sent(made: MakeLinks) -> None:
    (a, _), (b, _got) = made("a"), made("b")
    assert a.send("b", "box", b"1")
    b.close()
    _again, got_again = made("b")
    assert a.send("b", "box", b"2")
    assert got_again.get(timeout=30) == ("box", b"2")


def test_what_was_sent_before_is_heard_out_from_everybody(made: MakeLinks) -> None:
    receiver, got = made("store")
    senders = [made(f"fetch-{number}", listen=False)[0] for number in range(3)]
    for serial in range(500):
        for links in senders:
            assert links.send("store", "box", b"%d" % serial)
        if serial % 100 == 0:
            assert receiver.drain(5.0)
            assert got.qsize() == 3 * (serial + 1)
    for links in senders:
        links.close()
    assert receiver.drain(5.0)
    assert got.qsize() == 3 * 500


def test_who_does_not_listen_has_heard_everything(made: MakeLinks) -> None:
    assert made("store", listen=False)[0].drain(5.0)


def test_a_process_that_is_gone_costs_its_senders_no_time(made: MakeLinks) -> None:
    (a, _), (b, _got) = made("a"), made("b")
    b.close()
    began_s = time.monotonic()
    for _ in range(100):
        assert not a.send("b", "box", b"x")
    assert time.monotonic() - began_s < 4.0


def test_what_was_sent_before_the_sender_ended_still_arrives_and_then_its_end_is_reported(made: MakeLinks) -> None:
    ends: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    (a, _), (_b, got) = made("a"), made("b", lost=lambda process, pid: ends.put((process, pid)))
    for number in range(200):
        a.send("b", "box", b"%d" % number)
    a.close()
    assert ends.get(timeout=30) == ("a", os.getpid())
    assert [int(got.get_nowait()[1]) for _ in range(200)] == list(range(200))


@pytest.mark.parametrize(
    "datagrams",
    [
        pytest.param([b"GET / HTTP/1.1\r\n\r\n"], id="no hello"),
        pytest.param([HELLO[:11]], id="a hello without a name"),
        pytest.param([HELLO[:11] + b"\xff\xff"], id="a hello that is no text"),
        pytest.param([HELLO, b"\0frame"], id="no address"),
        pytest.param([HELLO, b"\x03box"], id="no frame"),
        pytest.param([HELLO, b"\xffbox"], id="an address longer than the datagram"),
        pytest.param([HELLO, b"\x02\xff\xffframe"], id="an address that is no text"),
        pytest.param([HELLO, b"\x03box" + bytes(DATAGRAM_BYTES_MAX)], id="too long"),
    ],
)
def test_a_connection_that_sends_garbage_is_closed_and_the_others_live(
    made: MakeLinks, stranger: Callable[[str], socket.socket], datagrams: list[bytes]
) -> None:
    (a, _), (_b, got) = made("a"), made("b")
    sock = stranger("b")
    for datagram in datagrams:
        sock.send(datagram)
    with contextlib.suppress(ConnectionResetError):  # closed with something unread in it
        assert sock.recv(1) == b""
    assert a.send("b", "box", b"fine")
    assert got.get(timeout=30) == ("box", b"fine")


def test_a_connection_that_speaks_like_ours_is_heard(made: MakeLinks, stranger: Callable[[str], socket.socket]) -> None:
    ends: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    _b, got = made("b", lost=lambda process, pid: ends.put((process, pid)))
    sock = stranger("b")
    sock.send(HELLO)
    sock.send(b"\x03boxframe")
    assert got.get(timeout=30) == ("box", b"frame")
    sock.close()
    assert ends.get(timeout=30) == ("stranger", 4711)


def test_a_box_that_throws_does_not_silence_the_link(run_dir: str, made: MakeLinks) -> None:
    got: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def deliver(_actor: str, frame: bytes) -> None:
        if frame == b"bad":
            raise RuntimeError("full")
        got.put(frame)

    receiver = UnixLinks("b", run_dir, deliver)
    receiver.listen()
    a, _ = made("a")
    a.send("b", "box", b"bad")
    a.send("b", "box", b"good")
    assert got.get(timeout=30) == b"good"
    receiver.close()


@pytest.fixture
def deaf(run_dir: str) -> Iterator[socket.socket]:
    """A process ``deaf`` that listens and never takes anything."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(socket_path(run_dir, "deaf"))
        listener.listen(8)
        yield listener


def test_a_receiver_that_takes_nothing_is_given_up_and_that_is_said_once(
    made: MakeLinks, deaf: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = made("a", send_s_max=0.1)
    sent = 0
    with caplog.at_level(logging.WARNING):
        while a.send("deaf", "box", bytes(1024)):
            sent += 1
    assert sent > 100  # the kernel's buffer holds a burst
    assert [record.getMessage().split(" ", 1)[1] for record in caplog.records] == [
        "took nothing for 0.1 s: link closed"
    ]


def test_closing_wakes_a_sender_that_waits_for_room(made: MakeLinks, deaf: socket.socket) -> None:
    a, _ = made("a", send_s_max=60.0)
    progress: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def fill() -> None:
        while a.send("deaf", "box", bytes(50_000)):
            progress.put(True)
        progress.put(False)

    filler = threading.Thread(target=fill, daemon=True)
    filler.start()
    with contextlib.suppress(queue.Empty):  # until there is no progress any more: the buffer is full
        while progress.get(timeout=0.3):
            pass
    assert filler.is_alive()
    a.close()
    filler.join(timeout=5)
    assert not filler.is_alive()
    assert progress.get_nowait() is False


def test_a_dead_process_is_heard_out_before_its_successor(
    made: MakeLinks, stranger: Callable[[str], socket.socket]
) -> None:
    """Many words of the dead one are still unread when the new one says its first."""
    heard: list[bytes] = []
    held, first = threading.Event(), threading.Event()

    receiver, _got = made("hub", listen=False)

    def deliver(_actor: str, frame: bytes) -> None:
        heard.append(frame)
        first.set()
        held.wait(5)

    receiver._deliver = deliver
    receiver.listen()
    for pid in (1, 2):
        sock = stranger("hub")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.send(b"\0shoal1" + struct.pack("!I", pid) + b"fetch-1")
        count = 150 if pid == 1 else 1
        for serial in range(count):
            sock.send(b"\1x" + b"%d-%d" % (pid, serial))
        sock.close()
        first.wait(5)
    held.set()
    until_s = time.monotonic() + 5
    while len(heard) < 151 and time.monotonic() < until_s:
        os.sched_yield()
    assert heard == [b"1-%d" % serial for serial in range(150)] + [b"2-0"]
