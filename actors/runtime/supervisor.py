"""Process supervisor: starts, watches, restarts and ends the child processes of the process a user started.

No actor but a plain object: the caller's main thread starts and stops, one daemon thread watches. Children get
their commands over the message bus like all others; this process is ``front``.

Invariant: a child in `_children` that is not `gone` has a watch descriptor, owned and closed by the watching thread,
which alone declares children gone. Everything about them changes under `_changed`.
"""

import contextlib
import logging
import multiprocessing.connection
import multiprocessing.util
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Final, Protocol, Self

from actors.runtime.message_bus import MessageBus
from actors.runtime.process import InheritedFd, ProcessSpec, ProcessStart, preloaded
from actors.runtime.process_stats import ProcessStats, is_stopped, private_memory_bytes, stats_of
from actors.runtime.run_folder import make_run_folder, remove_run_folder
from actors.runtime.spawn import continue_server, launch, warm, watch_fd
from actors.runtime.stop_signals import stop_signals_deferred
from actors.runtime.unix_links import socket_path
from protocol.messages import ActorDied, Message, Ping, Pong, ProcessLost, ProcessReady, StopProcess
from protocol.messages.addresses import FRONT, root_address, split_address
from protocol.messages.codec import BadFrame, decode
from protocol.model.value import Struct, field

_logger = logging.getLogger(__name__)

PING_S: Final = 1.0
STACKS_S: Final = 0.2
"""Time for a silent process to dump its stacks before it is killed."""
TERM_S: Final = 0.5
KILL_S: Final = 2.0
UNWANTED_S: Final = 0.1
"""Period at which a start looks whether it is still wanted."""


class RestartPolicy(Protocol):
    """Decides whether a dead process is started again, and how soon."""

    given_up: str

    def died(self, process: str, *, failure: str = "", now_s: float) -> float | None: ...


class HealthPolicy(Protocol):
    """Decides whether a living process is as good as dead."""

    @property
    def pings_unanswered_max(self) -> int: ...
    @property
    def start_s_max(self) -> float: ...
    def kill_reason(self, *, ready: bool, age_s: float, unanswered: int, memory_bytes: int) -> str: ...


class StartFailed(Exception):  # noqa: N818
    """A child did not come up. One line for people; its traceback is in the log."""


class Child(Struct, kw_only=True):
    """One child process as its supervisor knows it."""

    spec: ProcessSpec
    process: BaseProcess
    pid: int
    watch_fd: int  # ready when it has died: a pidfd, or where there are none multiprocessing's sentinel
    is_pidfd: bool
    generation: int  # processes of this name started before
    begun_s: float
    ready: bool = False
    leaving: bool = False  # was asked to end: its death is no loss
    gone: bool = False
    reason: str = ""  # why we killed it, or how it ended
    failed: bool = False  # the reason is that one of its actors failed
    kill_s: float | None = None  # when it is killed, after it was asked for its stacks; None while it is well
    pinged: int = 0
    answered: int = 0
    listens: bool = False  # gets reports at once; before, they are collected in `missed`
    missed: list[ProcessLost | ProcessReady] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.spec.process

    def signal(self, number: signal.Signals) -> None:
        """Harmless when it has died."""
        if self.gone:
            return
        with contextlib.suppress(ProcessLookupError, ValueError):
            if self.is_pidfd:
                signal.pidfd_send_signal(self.watch_fd, number)
            else:
                os.kill(self.pid, number)


class Supervisor:
    """Owner of the children of `specs`, of the run folder and of the message bus of ``front``.

    `inbox` gets all messages to ``front/front`` (`FrontInbox` without `Pong`), and a `ProcessLost` for each child that
    died unasked or was killed; the addresses in `lost_to` get that too. A child that `health_policy` calls as good
    as dead dumps its stacks and is killed, so there is one kind of loss. Once all are started, the dead are started
    again as `restart_policy` says (None: never), and `lost_to` gets their `ProcessReady`. An actor that fails in a
    process that lives as a whole is then no `ActorDied` for the inbox, but a loss: the process is killed. `arena_fd`
    stays the caller's; every child gets a duplicate.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        arena_fd: int = -1,
        slot_count: int = 0,
        lost_to: Sequence[str] = (),
        health_policy: HealthPolicy,
        ping_s: float = PING_S,
        restart_policy: RestartPolicy | None = None,
    ) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._specs = {spec.process: spec for spec in specs}
        self._arena = InheritedFd(arena_fd) if arena_fd >= 0 else None
        self._slot_count = slot_count
        self._lost_to = tuple(lost_to)
        self._ping_s = ping_s
        self._health_policy = health_policy
        self._restart_policy = restart_policy
        self._restart_due_s: dict[str, float] = {}
        self._lost: dict[str, ProcessLost] = {}  # not yet replaced: a process that comes later must hear of them
        self._back: queue.SimpleQueue[ProcessReady] = queue.SimpleQueue()
        self._started = self._stopping = False
        longest = max(len(socket_path("", f"{name}.new")) for name in [split_address(FRONT)[0], *self._specs])
        self.run_dir = make_run_folder(longest, wanted=os.environ.get("XDG_RUNTIME_DIR"))
        self.bus = MessageBus(split_address(FRONT)[0], self.run_dir)
        self._children: dict[str, Child] = {}
        self._changed = threading.Condition(threading.RLock())
        self._wake_r, self._wake_w = os.pipe()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._closing = False
        self._closed = False
        self._checked_s = time.monotonic()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, unwanted: Callable[[], bool] = lambda: False) -> None:
        """Start every child, all at the same time, and return when all are ready.

        Raises `StartFailed` when one dies or is not ready in time, or it is `unwanted` by now; then nothing is left
        running.
        """
        try:
            self.bus.register(split_address(FRONT)[1], self._deliver)
            self.bus.start()
            self._watcher.start()
            warm(preloaded(self._specs.values()))
            for spec in self._specs.values():
                self._launch(spec)
            self._wait_until_ready(unwanted)
            for child in self._children.values():
                child.listens = True
            self._started = True
        except BaseException:
            self.stop(grace_s=0.0)
            raise

    def restart(self, process: str) -> None:
        """Start a dead child again, or kill a living one first (that is reported as a loss).

        Its `ProcessReady` comes through the inbox; the links of the others find it by themselves.
        """
        with self._changed:
            child = self._children[process]
            if not child.gone:
                child.reason = child.reason or "killed to be restarted"
                child.signal(signal.SIGKILL)
            if not self._changed.wait_for(lambda: child.gone, timeout=KILL_S):
                raise StartFailed(f"{process}: the old process does not end")
        self._launch(child.spec)

    def stop(self, grace_s: float = 5.0) -> None:
        """End every child and leave nothing behind: no process, thread, descriptor or file. Idempotent.

        Ranks are ended one after the other; each rank has `grace_s` to obey `StopProcess`, then gets SIGTERM, then
        SIGKILL. When this is interrupted itself (Ctrl-C once more), everything is killed at once.
        """
        if self._closed:
            return
        with self._changed:
            self._stopping = True
        try:
            for rank in sorted({spec.stop_rank for spec in self._specs.values()}):
                self._stop_rank(rank, grace_s)
        finally:
            with stop_signals_deferred():  # bounded by `KILL_S`
                self._kill(list(self._children.values()))
                self._close()

    def health(self) -> list[ProcessStats]:
        """Return statistics of this process (``front``) and the living children."""
        living = [(child.name, child.pid) for child in self._children.values() if not child.gone]
        return stats_of([(self.bus.process, os.getpid()), *living])

    def fail(self, process: str, why: str) -> None:
        """Kill a child whose indispensable actor failed; that is a loss, and it is started again."""
        with self._changed:
            child = self._children[process]
            if not child.gone and not child.reason and not child.leaving:
                child.reason, child.failed = why, True
                child.signal(signal.SIGKILL)

    def respec(self, spec: ProcessSpec) -> None:
        """Use this specification from the next start of its process on."""
        with self._changed:
            self._specs[spec.process] = spec

    def well(self) -> bool:
        """Return whether the children are watched and none has been silent for too long."""
        fresh = time.monotonic() - self._checked_s < 3 * self._ping_s + STACKS_S
        most = self._health_policy.pings_unanswered_max + 1
        return fresh and all(
            child.pinged - child.answered <= most for child in list(self._children.values()) if not child.gone
        )

    def living(self) -> list[str]:
        """Return the names of the children that have not died."""
        return [name for name, child in self._children.items() if not child.gone]

    def pid_of(self, process: str) -> int:
        return self._children[process].pid

    # starting

    def _launch(self, spec: ProcessSpec) -> None:
        before = self._children.get(spec.process)
        generation = 0 if before is None else before.generation + 1
        start = ProcessStart(
            spec=spec,
            generation=generation,
            run_dir=self.run_dir,
            litter=(self.run_dir, multiprocessing.util.get_temp_dir()),  # there is the forkserver's socket
            arena=self._arena,
            slot_count=self._slot_count,
            processes=frozenset((self.bus.process, *self._specs)),
        )
        with stop_signals_deferred(), self._changed:
            process = launch(start)
            assert process.pid is not None
            fd, is_pidfd = watch_fd(process)
            self._children[spec.process] = Child(
                spec=spec,
                process=process,
                pid=process.pid,
                watch_fd=fd,
                is_pidfd=is_pidfd,
                generation=generation,
                begun_s=time.monotonic(),
                missed=[*self._lost.values()],
            )
        os.write(self._wake_w, b"c")

    def _wait_until_ready(self, unwanted: Callable[[], bool]) -> None:
        def settled() -> bool:
            return unwanted() or any(child.gone for child in self._children.values()) or not self._waiting()

        late_s = time.monotonic() + self._health_policy.start_s_max
        with self._changed:
            # A signal's handler wakes no condition: it is looked at.
            while not (in_time := self._changed.wait_for(settled, timeout=UNWANTED_S)) and time.monotonic() < late_s:
                pass
            dead = [f"{name}: {child.reason}" for name, child in self._children.items() if child.gone]
        if unwanted():
            raise StartFailed("stopped while it started")
        if dead:
            raise StartFailed("; ".join(dead))
        if not in_time:
            raise StartFailed(f"not ready after {self._health_policy.start_s_max:.0f} s: {', '.join(self._waiting())}")

    def _waiting(self) -> list[str]:
        return [name for name, child in self._children.items() if not child.ready]

    # what comes in (the links' thread)

    def _deliver(self, frame: bytes) -> None:
        try:
            message = decode(frame)
        except BadFrame as error:
            _logger.error("frame for %s dropped: %s", FRONT, error)
            return
        match message:
            case Pong(process=name, serial=serial):
                with self._changed:
                    if name in self._children:
                        self._children[name].answered = max(self._children[name].answered, serial)
                return
            case ProcessReady(process=name, pid=pid):
                with self._changed:
                    if name in self._children and self._children[name].pid == pid:
                        self._children[name].ready = True
                        self._changed.notify_all()
                        if self._children[name].generation:
                            self._back.put(message)
                            os.write(self._wake_w, b"r")
            case ActorDied(process=name) if self._restart_policy and name in self._specs and self._specs[name].whole:
                self.fail(name, f"{message.actor} failed: {message.detail}")  # its traceback is in the log
                return
            case _:
                pass
        self.inbox.put(message)

    # watching (a thread of its own)

    def _watch(self) -> None:
        next_ping_s = time.monotonic() + self._ping_s
        while not self._closing:
            with self._changed:
                living = {child.watch_fd: child for child in self._children.values() if not child.gone}
            kills_s = [child.kill_s for child in living.values() if child.kill_s is not None]
            due_s = min([next_ping_s, *kills_s, *self._restart_due_s.values()])
            timeout_s = max(0.0, due_s - time.monotonic())
            for fd in multiprocessing.connection.wait([*living, self._wake_r], timeout=timeout_s):
                if fd == self._wake_r:
                    os.read(self._wake_r, 64)
                elif isinstance(fd, int):
                    self._on_death(living[fd])
            self._report_restarted()
            self._run_due(time.monotonic())
            if time.monotonic() >= next_ping_s:
                self._check_health()
                next_ping_s = time.monotonic() + self._ping_s

    def _on_death(self, child: Child) -> None:
        """Register the death of a child: how it ended, release what it held here, report it."""
        with self._changed:
            child.process.join(timeout=0.2)  # its exit code comes from the forkserver, a moment later
            code = child.process.exitcode
            child.reason = child.reason or _exit_text(code)
            child.gone = True
            if child.is_pidfd:
                os.close(child.watch_fd)
            if code is not None:
                child.process.close()
            self._changed.notify_all()
        if not child.leaving:
            self._lose(child.name, child.reason, failure=child.reason if child.failed else "")

    def _lose(self, process: str, detail: str, *, failure: str = "") -> None:
        """Schedule the restart, if there is one, and report the loss."""
        wait_s = -1.0
        if self._restart_policy is not None and self._started and not self._stopping:
            now_s = time.monotonic()
            again_s = self._restart_policy.died(process, failure=failure, now_s=now_s)
            if again_s is None:
                detail += f"; {self._restart_policy.given_up}"
            else:
                wait_s, self._restart_due_s[process] = again_s, now_s + again_s
        lost = self._lost[process] = ProcessLost(process=process, detail=detail, restart_s=wait_s)
        self.inbox.put(lost)
        self._report_to_listeners(lost)

    def _report_to_listeners(self, message: ProcessLost | ProcessReady) -> None:
        """Post to the addresses of `lost_to`; for a process that is being started it is kept until it listens."""
        for process in dict.fromkeys(split_address(address)[0] for address in self._lost_to):
            listener = self._children.get(process)
            if listener is not None and not listener.listens and not listener.gone:
                listener.missed.append(message)
            elif listener is None or not listener.gone:
                self._post_to_listener(process, message)

    def _post_to_listener(self, process: str, message: ProcessLost | ProcessReady) -> None:
        for address in self._lost_to:
            if split_address(address)[0] == process:
                self.bus.post(address, message)

    def _report_restarted(self) -> None:
        while not self._back.empty():
            ready = self._back.get()
            self._lost.pop(ready.process, None)
            child = self._children[ready.process]
            if child.pid == ready.pid:
                child.listens = True
                for message in child.missed:
                    self._post_to_listener(ready.process, message)
            self._report_to_listeners(ready)

    def _run_due(self, now_s: float) -> None:
        for name in [name for name, due_s in self._restart_due_s.items() if due_s <= now_s]:
            del self._restart_due_s[name]
            try:
                with self._changed:
                    if not self._stopping:
                        warm(preloaded(self._specs.values()))  # the forkserver may have died too
                        self._launch(self._specs[name])
            except (OSError, EOFError) as failure:
                _logger.error("%s cannot be started again: %s", name, failure)
                self._lose(name, f"cannot be started again: {failure}")
        for child in self._children.values():
            if child.kill_s is not None and child.kill_s <= now_s:
                child.kill_s = None
                child.signal(signal.SIGKILL)

    def _check_health(self) -> None:
        """Ping all children; kill those as good as dead, after a dump of their stacks where they still can."""
        now_s = self._checked_s = time.monotonic()
        for child in list(self._children.values()):
            if child.gone or child.leaving or child.reason or (not child.ready and not self._started):
                continue
            child.reason = self._health_policy.kill_reason(
                ready=child.ready,
                age_s=now_s - child.begun_s,
                unanswered=child.pinged - child.answered,
                memory_bytes=private_memory_bytes(child.pid),
            )
            if child.reason:
                still = is_stopped(child.pid)
                child.kill_s = now_s if still else now_s + STACKS_S
                if child.ready and not still:
                    child.signal(signal.SIGUSR1)  # see `actors.runtime.process`: faulthandler is waiting for it
            elif child.ready:
                child.pinged += 1
                self.bus.post(root_address(child.name), Ping(serial=child.pinged))

    # stopping

    def _stop_rank(self, rank: int, grace_s: float) -> None:
        children = [child for child in self._children.values() if child.spec.stop_rank == rank]
        for child in children:
            child.leaving = True
            if not child.gone and child.ready and grace_s > 0:
                self.bus.post(root_address(child.name), StopProcess())
            elif not child.gone and grace_s > 0:
                child.signal(signal.SIGTERM)  # just being started again: it reads no message yet
        if not self._ended(children, grace_s):
            self._signal_all(children, signal.SIGTERM)
            self._ended(children, min(TERM_S, grace_s))
        self._kill(children)

    def _kill(self, children: list[Child]) -> None:
        for child in children:
            child.leaving = True
        self._signal_all(children, signal.SIGKILL)
        if not self._ended(children, KILL_S):
            _logger.error("cannot be killed: %s", [child.name for child in children if not child.gone])

    def _signal_all(self, children: Iterable[Child], number: signal.Signals) -> None:
        with self._changed:  # or a descriptor might be closed, and another process have its number, in between
            for child in children:
                child.signal(number)

    def _ended(self, children: list[Child], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: all(child.gone for child in children), timeout=timeout_s)

    def _close(self) -> None:
        self._closed = self._closing = True
        os.write(self._wake_w, b"x")
        if self._watcher.is_alive():
            self._watcher.join(timeout=KILL_S)
        self.bus.close()
        continue_server()
        os.close(self._wake_r)
        os.close(self._wake_w)
        remove_run_folder(self.run_dir)


def _exit_text(code: int | None) -> str:
    """Describe how a process with this exit code ended."""
    if code is None:
        return "ended, exit code unknown"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"exited with code {code}"
