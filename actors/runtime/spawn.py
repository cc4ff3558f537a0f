"""Starting child processes: start method, inherited signals and paths, socket folder, death watch.

Children come from multiprocessing's forkserver where there is one (every Unix), else from spawn; never from a plain
fork, which would copy locks that threads hold.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver as stock
import multiprocessing.resource_tracker
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final, NoReturn

from actors.runtime.run_folder import use_for_multiprocessing
from actors.runtime.stop_signals import stop_signals_deferred
from actors.runtime.system_limits import LIMITED, LIMITED_EXIT, exhausted_words

if TYPE_CHECKING:
    from actors.runtime.process import ProcessStart


SERVER_LOOK_S: Final = 0.5
SERVER_S_MAX: Final = 60.0
"""A stopped forkserver is found after the first, one that does not answer for another reason after the second; loading
its modules may take it half a minute on a busy machine."""


# The forkserver is forked off this process early on, instead of started as a program of its own. A new interpreter
# would load once more what this process has just loaded, and multiprocessing starts one more beside it, the resource
# tracker, for semaphores and named memory that nothing here uses: together a third of a start's cost. All else is
# multiprocessing's own server. A plain fork is safe exactly as long as there is one thread: no other can hold a lock
# that the copy would never get. So it happens only then, and only on Linux; later, elsewhere, and when the forked one
# has died, `ensure_running` brings the ordinary forkserver.

_KNOWN = sys.platform == "linux" and sys.version_info < (3, 14)
"""From 3.14 on the server wants a key of its own, and `connect_to_new_process` sends it."""


class EarlyForkserver(stock.ForkServer):
    """Forkserver forked from this process, in place of multiprocessing's one `ForkServer`."""

    _forkserver_address: Any
    _forkserver_alive_fd: Any
    _forkserver_pid: Any
    _preload_modules: list[str]

    def ensure_running(self) -> None:
        """Make sure that a server runs. Raises OSError when the system refuses."""
        if self._forkserver_pid is None and threading.active_count() == 1:
            self._fork()
        else:
            super().ensure_running()

    def connect_to_new_process(self, fds: Sequence[int]) -> tuple[int, int]:
        """Connect as multiprocessing does; a killed server that has not ended yet is waited for and replaced."""
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
    """Run the server to its end. Exit handlers of the process it was forked from must not run in the copy."""
    code = 1
    try:
        stock.main(listener_fd, alive_r, modules)
    except SystemExit:  # its starter has ended
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, no further than here
        if exhausted_words(error):
            os._exit(LIMITED_EXIT)
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(code)


def install() -> None:
    """Make multiprocessing use an `EarlyForkserver` and no tracker. Before any child; idempotent."""
    server: Any = stock._forkserver
    if not _KNOWN or isinstance(server, EarlyForkserver) or server._forkserver_pid is not None:
        return
    early = stock._forkserver = EarlyForkserver()
    for name in stock.__all__:
        setattr(stock, name, getattr(early, name))
    tracker: Any = multiprocessing.resource_tracker._resource_tracker
    if tracker._fd is None:  # its messages go nowhere
        tracker._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


_named: Final[dict[str, None]] = {}
"""Modules that the forkserver loads, in the order in which they were named."""


def warm(modules: Iterable[str]) -> None:
    """Start the forkserver, which loads `modules` for all children while the caller goes on; harmless when it runs.

    `Supervisor.start` does it too. A caller that does it earlier, after loading what both need and before loading its
    own modules, has the rest done at the same time, and nothing twice. A server that takes the place of a dead one
    loads what was named in all calls: else each child would load it for itself, all of them at the same time.
    """
    _named.update(dict.fromkeys(modules))
    context = _context()
    if not isinstance(context, ForkServerContext):
        return
    install()
    use_for_multiprocessing()
    context.set_forkserver_preload(
        [
            "actors.runtime.before_fork",
            "actors.runtime.process_root",
            "actors.runtime.process",
            "multiprocessing.popen_forkserver",
            *_named,
        ]
    )
    with _import_path_exported():
        # First and apart: starting the tracker, where there is one, unblocks the very signals that are to be held back.
        multiprocessing.resource_tracker.ensure_running()
        with stop_signals_deferred():
            stock.ensure_running()


def launch(start: "ProcessStart") -> BaseProcess:
    """Start a child process that runs `child_main(start)`; block until it has a pid, a few ms.

    Longer for the first one, and where the forkserver had to be killed and replaced. Raises OSError or EOFError when
    there is no child. Call it within `stop_signals_deferred`, together with the note that there is one more child.
    """
    from actors.runtime.process import child_main

    for _attempt in range(2):
        # A daemon in multiprocessing's sense: should the caller forget to stop it, its own exit still ends the child.
        process = _context().Process(target=child_main, args=(start,), name=start.spec.process, daemon=True)
        with _without_main_module(), _server_watched() as killed:
            try:
                process.start()
            except (OSError, EOFError):
                if not killed.is_set():
                    raise
            else:
                return process
    raise EOFError("two forkservers did not answer")


@contextlib.contextmanager
def _server_watched() -> Iterator[threading.Event]:
    """Kill a forkserver that does not answer: the caller inside sees its end, and the event is set."""
    over, killed = threading.Event(), threading.Event()

    def watch() -> None:
        from actors.runtime.process_stats import is_stopped

        for _look in range(int(SERVER_S_MAX / SERVER_LOOK_S)):
            if over.wait(SERVER_LOOK_S):
                return
            if is_stopped(_server_pid()):
                break
        killed.set()
        _signal_server(signal.SIGKILL)

    watcher = threading.Thread(target=watch, name="launch", daemon=True)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()


def _server_pid() -> int:
    """Return its pid, -1 when there is no forkserver."""
    return getattr(stock._forkserver, "_forkserver_pid", None) or -1


def _signal_server(number: signal.Signals) -> None:
    pid = _server_pid()
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def server_failure() -> str:
    """Return how the forkserver ended, which a caller found dead."""
    with contextlib.suppress(ChildProcessError):
        for _look in range(50):
            pid, status = os.waitpid(_server_pid(), os.WNOHANG) if _server_pid() > 0 else (-1, 0)
            if pid != 0:
                return LIMITED if os.waitstatus_to_exitcode(status) == LIMITED_EXIT else "the forkserver died"
            time.sleep(0.01)  # its socket closes a moment before it ends
    return "the forkserver died"


def continue_server() -> None:
    """Continue a stopped forkserver: it could not end with its starter and would stay for ever."""
    _signal_server(signal.SIGCONT)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide `__main__` from children: each would compile and run that file again without needing it."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


@contextlib.contextmanager
def _import_path_exported() -> Iterator[None]:
    """Export `sys.path`: Python 3.11's forkserver preloads without it and hides that it found nothing.

    Nor may the server look into the current folder first, as ``python -c`` does: a file there named like a module,
    perhaps a downloaded one, would be run.
    """
    ours = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def watch_fd(process: BaseProcess) -> tuple[int, bool]:
    """Return ``(descriptor ready at its death, whether it is a pidfd)``.

    A pidfd where there are such: multiprocessing's sentinels all fire when merely the forkserver dies.
    """
    assert process.pid is not None
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid), True
    return process.sentinel, False
