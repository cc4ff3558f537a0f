"""Descriptors travel with frames, in this process and to others, and none is ever left open."""

import array
import contextlib
import os
import queue
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from actors.runtime.fd_transfer import FdTransfer
from actors.runtime.message_bus import MessageBus
from actors.runtime.unix_links import socket_path
from protocol.messages import ConnectionReady, JobNoted, Message
from protocol.messages.codec import BadFrame, decode, encode

Inbox = queue.SimpleQueue[Message]
HELLO = b"\0shoal1" + struct.pack("!I", 4711) + b"stranger"


def handed(token: int) -> ConnectionReady:
    return ConnectionReady(job=1, source=2, ticket=3, fd_token=token)


@pytest.fixture
def made() -> Iterator[Callable[[str], tuple[MessageBus, Inbox]]]:
    rooms: list[MessageBus] = []
    with tempfile.TemporaryDirectory(prefix="shoal-") as run_dir:

        def make(process: str) -> tuple[MessageBus, Inbox]:
            inbox: Inbox = queue.SimpleQueue()
            room = MessageBus(process, run_dir)
            room.register("box", lambda frame: inbox.put(decode(frame)))
            room.start()
            rooms.append(room)
            return room, inbox

        yield make
        for room in rooms:
            room.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """``(read end, write end)``; the write end is to be given away, and its being closed everywhere can be read."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    yield read_fd, write_fd
    os.close(read_fd)


def is_closed_everywhere(read_fd: int, *, s_max: float = 5.0) -> bool:
    """Whether no one holds the write end any more."""
    until_s = time.monotonic() + s_max
    while time.monotonic() < until_s:
        with contextlib.suppress(BlockingIOError):
            return os.read(read_fd, 1) == b""
    return False


@pytest.mark.parametrize("receiver", ["a", "b"])
def test_a_descriptor_arrives_before_its_message_and_works(
    made: Callable[[str], tuple[MessageBus, Inbox]], pipe: tuple[int, int], receiver: str
) -> None:
    rooms = {name: made(name) for name in ("a", "b")}
    assert rooms["a"][0].post_with_fd(f"{receiver}/box", handed(77), pipe[1])
    room, inbox = rooms[receiver]
    assert inbox.get(timeout=30) == handed(77)
    fd = room.fds.take(77)
    assert fd is not None
    assert not os.get_inheritable(fd)
    os.write(fd, b"x")
    os.close(fd)
    assert os.read(pipe[0], 1) == b"x"
    assert is_closed_everywhere(pipe[0])
    assert room.fds.take(77) is None


@pytest.mark.parametrize("to", ["a/nobody", "b/nobody", "gone/box"])
def test_a_descriptor_for_no_one_is_closed(
    made: Callable[[str], tuple[MessageBus, Inbox]], pipe: tuple[int, int], to: str
) -> None:
    a, _ = made("a")
    made("b")
    made("gone")[0].close()
    a.post_with_fd(to, handed(1), pipe[1])
    assert is_closed_everywhere(pipe[0])


def test_a_descriptor_with_a_message_that_cannot_be_sent_is_closed(
    made: Callable[[str], tuple[MessageBus, Inbox]], pipe: tuple[int, int]
) -> None:
    a, _ = made("a")
    made("b")
    with pytest.raises(BadFrame):
        a.post_with_fd("b/box", JobNoted(job=1, text="x" * 70_000), pipe[1])
    assert is_closed_everywhere(pipe[0])


def test_a_descriptor_with_a_message_that_does_not_name_it_is_closed(
    made: Callable[[str], tuple[MessageBus, Inbox]], pipe: tuple[int, int]
) -> None:
    a, _ = made("a")
    made("b")
    a.post_with_fd("b/box", JobNoted(job=1, text="hello"), pipe[1])
    assert is_closed_everywhere(pipe[0])


@pytest.mark.parametrize(
    ("datagrams", "count"),
    [
        pytest.param([HELLO], 1, id="with the hello"),
        pytest.param([HELLO, b"\x03box" + encode(handed(1))], 2, id="two of them"),
        pytest.param([HELLO, b"\x03box" + encode(handed(1))], 9, id="nine of them"),
        pytest.param([HELLO, b"\x03boxgarbage"], 1, id="with garbage"),
        pytest.param([HELLO, b"\0"], 1, id="without address"),
    ],
)
def test_what_no_link_of_ours_sends_leaves_no_descriptor_open(
    made: Callable[[str], tuple[MessageBus, Inbox]], pipe: tuple[int, int], datagrams: list[bytes], count: int
) -> None:
    room, inbox = made("b")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(socket_path(room.run_dir, "b"))
        for datagram in datagrams[:-1]:
            stranger.send(datagram)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pipe[1]] * count))]
        stranger.sendmsg([datagrams[-1]], ancillary)
        os.close(pipe[1])
        assert is_closed_everywhere(pipe[0])
    assert inbox.empty()


def test_many_descriptors_cross_in_order_with_their_messages(made: Callable[[str], tuple[MessageBus, Inbox]]) -> None:
    (a, _), (b, inbox) = made("a"), made("b")
    before = len(os.listdir("/proc/self/fd"))
    for token in range(200):
        ours, theirs = socket.socketpair()
        ours.sendall(b"%d" % token)
        ours.close()
        a.post_with_fd("b/box", handed(token), theirs.detach())
        assert inbox.get(timeout=30) == handed(token)
        fd = b.fds.take(token)
        assert fd is not None
        with socket.socket(fileno=fd) as sock:
            assert sock.recv(10) == b"%d" % token
    assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_the_desk_closes_the_oldest_when_it_is_full_and_everything_when_it_is_closed() -> None:
    desk = FdTransfer(waiting_max=2)
    pipes = [os.pipe() for _ in range(4)]
    for token, (_, write_fd) in enumerate(pipes[:3]):
        desk.put(token, write_fd)
    assert desk.take(0) is None
    assert os.read(pipes[0][0], 1) == b""
    assert len(desk) == 2
    desk.close()
    desk.put(3, pipes[3][1])
    for read_fd, _ in pipes:
        assert os.read(read_fd, 1) == b""
        os.close(read_fd)


def test_what_no_one_fetches_in_time_is_closed_although_no_one_comes(pipe: tuple[int, int]) -> None:
    desk = FdTransfer(age_s_max=0.05)
    desk.put(1, pipe[1])
    assert is_closed_everywhere(pipe[0])
    assert desk.take(1) is None
    desk.close()


def test_a_token_that_comes_again_replaces_the_first(pipe: tuple[int, int]) -> None:
    desk = FdTransfer()
    desk.put(1, pipe[1])
    read_fd, write_fd = os.pipe()
    desk.put(1, write_fd)
    assert is_closed_everywhere(pipe[0])
    assert desk.take(1) == write_fd
    os.close(write_fd)
    os.close(read_fd)
    desk.close()
