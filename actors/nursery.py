"""The forkserver, forked off this process while it is young, instead of started as a program of its own.

An interpreter that starts anew loads for a second time what this process has just loaded, and multiprocessing starts
one more beside it, the resource tracker, for semaphores and named memory that nobody here uses: together a third of
what a start costs. Both are spared here; all else is multiprocessing's own server.

A plain fork is safe exactly as long as there is one thread: no other can hold a lock that the copy would never get.
So it happens only then, and only on Linux; later, elsewhere, and when the forked one has died, `ensure_running` brings
the ordinary forkserver.
"""

import multiprocessing.connection
import multiprocessing.forkserver as stock
import multiprocessing.resource_tracker
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

_KNOWN = sys.platform == "linux" and sys.version_info < (3, 14)
"""From 3.14 on the server wants a key of its own, and `connect_to_new_process` sends it."""


class Nursery(stock.ForkServer):
    """Stands in for multiprocessing's one `ForkServer`, whose attributes and methods it uses."""

    _forkserver_address: Any
    _forkserver_alive_fd: Any
    _forkserver_pid: Any
    _preload_modules: list[str]

    def ensure_running(self) -> None:
        """A server is there when this returns. Raises OSError when the system refuses."""
        if self._forkserver_pid is None and threading.active_count() == 1:
            self._fork()
        else:
            super().ensure_running()

    def connect_to_new_process(self, fds: Sequence[int]) -> tuple[int, int]:
        """As in multiprocessing, also while a killed server is on its way out: then another takes its place."""
        try:
            return super().connect_to_new_process(fds)
        except ConnectionRefusedError:  # it listens no more, and is dead in a moment
            os.waitid(os.P_PID, self._forkserver_pid, os.WEXITED | os.WNOWAIT)
            return super().connect_to_new_process(fds)

    def _fork(self) -> None:
        address = multiprocessing.connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            os.chmod(address, 0o600)
            listener.listen()
            alive_r, alive_w = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(alive_w)
                _serve(listener.detach(), alive_r, self._preload_modules)
            os.close(alive_r)
        self._forkserver_address, self._forkserver_alive_fd, self._forkserver_pid = address, alive_w, pid


def _serve(listener_fd: int, alive_r: int, modules: list[str]) -> NoReturn:
    """The server's whole life. What this process had registered for its own end is none of the copy's business."""
    code = 1
    try:
        stock.main(listener_fd, alive_r, modules)
    except SystemExit:  # nobody is left who might want children
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, no further than here
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(code)


def install() -> None:
    """Let multiprocessing use a nursery and no tracker. Before any child; harmless when done or when a server runs."""
    server: Any = stock._forkserver
    if not _KNOWN or isinstance(server, Nursery) or server._forkserver_pid is not None:
        return
    nursery = stock._forkserver = Nursery()
    for name in stock.__all__:
        setattr(stock, name, getattr(nursery, name))
    tracker: Any = multiprocessing.resource_tracker._resource_tracker
    if tracker._fd is None:  # what it would be told goes to nobody
        tracker._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
