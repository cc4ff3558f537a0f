"""Links between the processes of one machine: frames over AF_UNIX SEQPACKET sockets.

Every process listens on ``<run_dir>/<process>.sock``; a sender connects by process name. A connection carries one
direction, from one sender process to one receiver process. Its first datagram is a hello (who I am), every other one
is: 1 byte length of the actor's name, the name, the frame.

A datagram may carry one file descriptor beside its bytes (SCM_RIGHTS); more, or one with a hello, is garbage.

Guarantees: frames of one sending thread to one process arrive in order and whole, or not at all; what a process
sent before it died arrives before anything from its successor. Not guaranteed: that they arrive. A receiver that is
gone, or does not drain, costs the frames meant for it, and the sender gets nothing but False. A sender that needs more
needs an answer and an expiry.
"""

import array
import contextlib
import errno
import logging
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from protocol.messages.codec import FRAME_BYTES_MAX

_logger = logging.getLogger(__name__)

ACTOR_NAME_BYTES_MAX: Final = 255
DATAGRAM_BYTES_MAX: Final = 1 + ACTOR_NAME_BYTES_MAX + FRAME_BYTES_MAX
CONNECT_S_MAX: Final = 2.0
"""How long a sender waits for a process that has not listened yet."""
SEND_S_MAX: Final = 5.0
"""A receiver that takes nothing for so long is treated as lost."""
CONNECTIONS_MAX: Final = 256
BUFFER_BYTES: Final = 4 << 20
"""Asked of the kernel for each connection, a kilobyte's datagram counting about twice; it may grant less."""

_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(2 * array.array("i").itemsize)
"""Room for one descriptor more than is allowed, so that too many show; the kernel closes what does not fit."""
_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

_TOOK, _NOTHING_YET, _ENDED = range(3)
_DATAGRAMS_A_TURN: Final = 64  # then the next connection gets its turn
_TURNS_MAX: Final = 256  # of draining: a sender may never stop
_MAGIC: Final = b"\0shoal1"  # no actor name is empty, so no ordinary datagram begins with a zero
_HELLO: Final = struct.Struct(f"!{len(_MAGIC)}sI")


def socket_path(run_dir: str, process: str) -> str:
    """Return the path of the socket where a process listens."""
    return os.path.join(run_dir, f"{process}.sock")


class _Garbage(Exception):  # noqa: N818
    """A connection sent what no link of ours sends."""


class _Outgoing:
    """Connection to one process; its lock makes a send atomic among threads."""

    def __init__(self, path: str, hello: bytes, closing: threading.Event, connect_s_max: float, send_s_max: float):
        self._path = path
        self._hello = hello
        self._closing = closing
        self._connect_s_max = connect_s_max
        self._send_s_max = send_s_max
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None

    def send(self, datagram: bytes, fd: int = -1) -> bool:
        """Return whether the kernel took it. Reconnects once: the process may have restarted."""
        with self._lock:
            for _attempt in range(2):
                sock = self._sock or self._connect()
                if sock is None:
                    return False
                try:
                    if fd < 0:
                        sock.send(datagram)
                    else:
                        socket.send_fds(sock, [datagram], [fd])
                except BlockingIOError:
                    _logger.warning("%s took nothing for %.1f s: link closed", self._path, self._send_s_max)
                    self._drop()
                    return False
                except OSError as error:
                    _logger.info("link to %s broke: %s", self._path, error)
                    self._drop()
                else:
                    return True
            return False

    def close(self) -> None:
        sock = self._sock
        if sock is not None:
            # Without the lock: a sender that waits for room holds it, and this is what wakes it.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connect(self) -> socket.socket | None:
        """Connect, waiting only for a process that never listened (no socket file); a refusal means it is gone.

        The wait happens once in a link's life, so that a name without a process does not slow every post down.
        """
        left_s, pause_s = self._connect_s_max, 0.002
        self._connect_s_max = 0.0
        while not self._closing.is_set():
            try:
                self._sock = self._connected()
                return self._sock
            except FileNotFoundError:
                if left_s <= 0:
                    break
                self._closing.wait(min(pause_s, left_s))
                left_s -= pause_s
                pause_s = min(pause_s * 2, 0.05)
            except OSError as error:
                _logger.info("cannot connect to %s: %s", self._path, error)
                break
        return None

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            whole_s = int(self._send_s_max)
            timeval = struct.pack("@ll", whole_s, int((self._send_s_max - whole_s) * 1e6))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
            sock.connect(self._path)
            sock.send(self._hello)
        except BaseException:
            sock.close()
            raise
        return sock


class _Incoming:
    """Connection from another process; `process` is empty until its hello came."""

    __slots__ = ("pid", "process", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.process = ""
        self.pid = 0


class UnixLinks:
    """All links of one process: one reader thread for incoming frames, any thread may send.

    `deliver(actor, frame)` and `link_lost(process, pid)` run in the reader thread and must not block. `link_lost`
    reports the end of a connection from there; a restarted process may have connected again before. `deliver_fd(actor,
    frame, fd)` is called instead of `deliver` when a descriptor came along, and owns it; without `deliver_fd` such
    datagrams are dropped and the descriptor is closed. `processes`: those that may start to listen later; what is meant
    for another is dropped without a wait. None: any may.
    """

    def __init__(
        self,
        process: str,
        run_dir: str,
        deliver: Callable[[str, bytes], None],
        link_lost: Callable[[str, int], None] | None = None,
        *,
        deliver_fd: Callable[[str, bytes, int], object] | None = None,
        connect_s_max: float = CONNECT_S_MAX,
        send_s_max: float = SEND_S_MAX,
        processes: frozenset[str] | None = None,
    ) -> None:
        self._processes = processes
        self._process = process
        self._run_dir = run_dir
        self._deliver = deliver
        self._deliver_fd = deliver_fd
        self._link_lost = link_lost
        self._connect_s_max = connect_s_max
        self._send_s_max = send_s_max
        self._closing = threading.Event()
        self._outgoing: dict[str, _Outgoing] = {}
        self._outgoing_lock = threading.Lock()
        self._buffer = bytearray(DATAGRAM_BYTES_MAX + 1)  # one more, so that a longer datagram shows
        self._connections = 0
        self._incoming: dict[
            str, list[_Incoming]
        ] = {}  # by process: more than one while a dead one's frames are unread
        self._listener: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._drained_event = threading.Event()
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Let others connect and send; what they send waits in the kernel until `listen`. Raises OSError."""
        path = socket_path(self._run_dir, self._process)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        # Listens before it gets its name: a file that refuses connections is always a process that is gone.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.new")  # left by a predecessor that was killed at this place
        self._listener.bind(f"{path}.new")
        self._listener.listen(64)
        os.rename(f"{path}.new", path)

    def listen(self) -> None:
        """Start receiving, after `bind` or with it. Raises OSError when the socket cannot be made."""
        if self._listener is None:
            self.bind()
        assert self._listener is not None
        woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, args=(self._listener, woken), name="links", daemon=True)
        self._thread.start()

    def send(self, process: str, actor: str, frame: bytes, fd: int = -1) -> bool:
        """Return whether the frame is on its way. Blocks while the receiver's buffer is full, at most `send_s_max`.

        `fd` goes along as a duplicate; the caller's stays the caller's. Raises ValueError for an address that cannot
        be one.
        """
        name = actor.encode()
        if not process or not 0 < len(name) <= ACTOR_NAME_BYTES_MAX:
            raise ValueError(f"no address: {process}/{actor}")
        if self._closing.is_set():
            return False
        link = self._outgoing.get(process) or self._new_outgoing(process)
        return link.send(bytes((len(name),)) + name + frame, fd)

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that was sent before this call is delivered. False: not in time."""
        if self._wake is None:
            return True
        self._drained_event.clear()
        self._wake.send(b"?")
        return self._drained_event.wait(timeout_s)

    def close(self) -> None:
        """End every connection and the reader. The socket file stays: it shows others that this process is gone."""
        self._closing.set()
        with self._outgoing_lock:
            outgoing = list(self._outgoing.values())
        for link in outgoing:
            link.close()
        if self._wake is not None and self._thread is not None:
            self._wake.close()
            self._thread.join(timeout=2.0)
            self._wake = None
        elif self._listener is not None:
            self._listener.close()

    def _new_outgoing(self, process: str) -> _Outgoing:
        hello = _HELLO.pack(_MAGIC, os.getpid()) + self._process.encode()
        path = socket_path(self._run_dir, process)
        with self._outgoing_lock:
            wait_s = self._connect_s_max if self._processes is None or process in self._processes else 0.0
            made = _Outgoing(path, hello, self._closing, wait_s, self._send_s_max)
            return self._outgoing.setdefault(process, made)

    def _run(self, listener: socket.socket, woken: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, listener, woken:
            selector.register(listener, selectors.EVENT_READ, partial(self._accept, selector, listener))
            selector.register(woken, selectors.EVENT_READ, lambda: None)
            while not self._closing.is_set():
                if self._read_ready(selector, None, woken):
                    self._drain_all(selector, woken)
            for key in list(selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _read_ready(self, selector: selectors.BaseSelector, timeout_s: float | None, woken: socket.socket) -> bool:
        """Read each ready connection once. Return whether `woken` was ready."""
        ready = [key for key, _events in selector.select(timeout_s)]
        for key in ready:
            key.data()
        return any(key.fileobj is woken for key in ready)

    def _drain_all(self, selector: selectors.BaseSelector, woken: socket.socket) -> None:
        """Serve a waiting `drain`: read until nothing is left; or the links are closing."""
        if not woken.recv(64):
            return
        for _turn in range(_TURNS_MAX):
            if not selector.select(0):
                break
            self._read_ready(selector, 0, woken)
        self._drained_event.set()

    def _accept(self, selector: selectors.BaseSelector, listener: socket.socket) -> None:
        try:
            sock, _address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                _logger.warning("cannot accept a link: %s", error)
                self._closing.wait(0.05)  # no file descriptor left: the listener stays readable, do not spin
            return
        if self._connections >= CONNECTIONS_MAX:
            _logger.warning("more than %d links: refused one", CONNECTIONS_MAX)
            sock.close()
            return
        self._connections += 1
        sock.setblocking(False)
        connection = _Incoming(sock)
        selector.register(sock, selectors.EVENT_READ, partial(self._receive, selector, connection))

    def _receive(self, selector: selectors.BaseSelector, connection: _Incoming) -> None:
        try:
            if self._drained(connection):
                return
        except _Garbage as garbage:
            _logger.warning("link from %s closed: %s", connection.process or "an unknown process", garbage)
        selector.unregister(connection.sock)
        connection.sock.close()
        self._connections -= 1
        if connection.process:
            self._incoming[connection.process].remove(connection)
            if self._link_lost is not None:
                self._link_lost(connection.process, connection.pid)

    def _drained(self, connection: _Incoming) -> bool:
        """Take what has come, a bounded number of datagrams. False: the other side has ended."""
        for _turn in range(_DATAGRAMS_A_TURN):
            took = self._took_one(connection)
            if took != _TOOK:
                return took == _NOTHING_YET
        return True

    def _took_one(self, connection: _Incoming) -> int:
        buffer = self._buffer
        try:
            length, ancillary, _flags, _from = connection.sock.recvmsg_into([buffer], _ANCILLARY_BYTES, _CLOSE_ON_EXEC)
        except BlockingIOError:
            return _NOTHING_YET
        except OSError:
            return _ENDED
        with _received(ancillary) as fds:
            if length == 0:
                return _ENDED
            if length > DATAGRAM_BYTES_MAX:
                raise _Garbage(f"a datagram over {DATAGRAM_BYTES_MAX} bytes")
            self._take(connection, bytes(memoryview(buffer)[:length]), fds)
        return _TOOK

    def _take(self, connection: _Incoming, datagram: bytes, fds: list[int]) -> None:
        if len(fds) > (1 if connection.process else 0):
            raise _Garbage("unexpected descriptors")
        if not connection.process:
            connection.process, connection.pid = _read_hello(datagram)
            self._drain_predecessors(connection)
            return
        start = 1 + datagram[0]
        if start == 1 or len(datagram) <= start:
            raise _Garbage("a datagram without address or frame")
        try:
            actor = datagram[1:start].decode()
        except UnicodeDecodeError:
            raise _Garbage("an address that is no text") from None
        try:
            if not fds:
                self._deliver(actor, datagram[start:])
            elif self._deliver_fd is not None:
                self._deliver_fd(actor, datagram[start:], fds.pop())
        except Exception:
            # One inbox that cannot take a frame must not stop the others.
            _logger.exception("frame for %s could not be delivered", actor)

    def _drain_predecessors(self, successor: _Incoming) -> None:
        """Read what dead processes of this name have left; they send nothing more, so there is an end."""
        known = self._incoming.setdefault(successor.process, [])
        for earlier in known:
            if earlier.pid != successor.pid:
                with contextlib.suppress(_Garbage):
                    while self._took_one(earlier) == _TOOK:
                        pass
        known.append(successor)


@contextlib.contextmanager
def _received(ancillary: list[tuple[int, int, bytes]]) -> Iterator[list[int]]:
    """Yield the descriptors that came along; those still in the list at the end are closed."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    left = fds.tolist()
    try:
        yield left
    finally:
        for fd in left:
            os.close(fd)


def _read_hello(datagram: bytes) -> tuple[str, int]:
    """Return ``(process, pid)``."""
    if len(datagram) <= _HELLO.size or not datagram.startswith(_MAGIC):
        raise _Garbage("no hello")
    _magic, pid = _HELLO.unpack_from(datagram)
    try:
        return datagram[_HELLO.size :].decode(), pid
    except UnicodeDecodeError:
        raise _Garbage("a hello without a name") from None
