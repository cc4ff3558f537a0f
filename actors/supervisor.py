"""The supervisor: starts, watches and ends the child processes. Lives in the process a person started.

No actor, a plain object: the caller's main thread starts and stops, one daemon thread watches. Children are told what
to do through the same mailroom as everybody else; this process is ``front``.

Invariant: a child in `_children` that is not `gone` has a watch descriptor, owned and closed by the watching thread,
which alone declares children gone. Everything about them changes under `_changed`.
"""

import contextlib
import logging
import multiprocessing.connection
import multiprocessing.util
import os
import queue
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Final, Self

from actors.launch import launch, make_run_dir, orders_held_back, warm, watch_fd
from actors.mailroom import Mailroom
from actors.process import InheritedFd, ProcessSpec, ProcessStart, preloaded
from protocol.frames import BadFrame, decode
from protocol.messages import Message, PingAnswered, PingAsked, ProcessLost, ProcessReady, StopAsked
from protocol.post import FRONT, root_address, split_address

_logger = logging.getLogger(__name__)

START_S_MAX: Final = 15.0
PING_S: Final = 1.0
PINGS_UNANSWERED_MAX: Final = 5
"""Counted in pings, not in seconds: when everything was suspended together, nobody was silent."""
TERM_S: Final = 0.5
KILL_S: Final = 2.0


class StartFailed(Exception):  # noqa: N818
    """A child did not come up. One line, for people; its traceback is in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHealth:
    process: str
    pid: int
    rss_bytes: int
    cpu_s: float
    threads: int
    fds: int


@dataclass(slots=True, kw_only=True)
class _Child:
    spec: ProcessSpec
    process: BaseProcess
    pid: int
    watch_fd: int  # ready when it has died: a pidfd, or where there are none multiprocessing's sentinel
    is_pidfd: bool
    ready: bool = False
    leaving: bool = False  # was asked to end: its death is no news
    gone: bool = False
    verdict: str = ""  # why we killed it, when we did
    pinged: int = field(default=0)
    answered: int = field(default=0)


class Supervisor:
    """Owns the children of `specs`, the run folder and the mailroom of ``front``.

    `inbox` gets everything addressed to ``front/front`` (`FrontInbox` without `PingAnswered`), and a `ProcessLost` for
    each child that died unasked or was killed for silence; the addresses in `lost_to` get that too. A silent child (one
    that leaves `pings_unanswered_max` pings in a row unanswered) is killed here, so there is one kind of loss.
    `arena_fd` stays the caller's; every child gets a duplicate.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        arena_fd: int = -1,
        slot_count: int = 0,
        lost_to: Sequence[str] = (),
        ping_s: float = PING_S,
        pings_unanswered_max: int = PINGS_UNANSWERED_MAX,
    ) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._specs = {spec.process: spec for spec in specs}
        self._arena = InheritedFd(arena_fd) if arena_fd >= 0 else None
        self._slot_count = slot_count
        self._lost_to = tuple(lost_to)
        self._ping_s = ping_s
        self._pings_unanswered_max = pings_unanswered_max
        self.run_dir = make_run_dir(self._specs)
        self.mailroom = Mailroom(split_address(FRONT)[0], self.run_dir)
        self._children: dict[str, _Child] = {}
        self._changed = threading.Condition(threading.RLock())
        self._wake_r, self._wake_w = os.pipe()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._closing = False
        self._closed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every child, all at the same time, and return when all are ready.

        Raises `StartFailed` when one dies or is not ready within `START_S_MAX`; then nothing is left running.
        """
        try:
            self.mailroom.register(split_address(FRONT)[1], self._deliver)
            self.mailroom.start()
            self._watcher.start()
            warm(preloaded(self._specs.values()))
            for spec in self._specs.values():
                self._launch(spec)
            self._wait_until_ready()
        except BaseException:
            self.stop(grace_s=0.0)
            raise

    def restart(self, process: str) -> None:
        """Start a dead child anew, or kill a living one first (that is reported as a loss). Its `ProcessReady` comes
        through the inbox; the links of the others find it by themselves."""
        with self._changed:
            child = self._children[process]
            if not child.gone:
                child.verdict = child.verdict or "killed to be restarted"
                _signal(child, signal.SIGKILL)
            if not self._changed.wait_for(lambda: child.gone, timeout=KILL_S):
                raise StartFailed(f"{process}: the old process does not end")
        self._launch(child.spec)

    def stop(self, grace_s: float = 5.0) -> None:
        """End every child and leave nothing behind: no process, thread, descriptor or file. Idempotent.

        Ranks are ended one after the other; each rank has `grace_s` to obey `StopAsked`, then gets SIGTERM, then
        SIGKILL. When this is interrupted itself (Ctrl-C once more), everything is killed at once.
        """
        if self._closed:
            return
        try:
            for rank in sorted({spec.stop_rank for spec in self._specs.values()}):
                self._stop_rank(rank, grace_s)
        finally:
            with orders_held_back():  # bounded by `KILL_S`
                self._kill(list(self._children.values()))
                self._close()

    def health(self) -> list[ProcessHealth]:
        """How this process (``front``) and the living children are; one that dies meanwhile is left out."""
        # Here, not above: 20 ms that the start need not wait for.
        import psutil  # type: ignore[import-untyped,unused-ignore]

        pids = [(self.mailroom.process, os.getpid())]
        pids += [(child.spec.process, child.pid) for child in self._children.values() if not child.gone]
        figures: list[ProcessHealth] = []
        for name, pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                one = psutil.Process(pid)
                with one.oneshot():
                    times = one.cpu_times()
                    figures.append(
                        ProcessHealth(
                            process=name,
                            pid=pid,
                            rss_bytes=one.memory_info().rss,
                            cpu_s=times.user + times.system,
                            threads=one.num_threads(),
                            fds=one.num_fds(),
                        )
                    )
        return figures

    def living(self) -> list[str]:
        """Names of the children that have not died."""
        return [name for name, child in self._children.items() if not child.gone]

    def pid_of(self, process: str) -> int:
        return self._children[process].pid

    # starting

    def _launch(self, spec: ProcessSpec) -> None:
        start = ProcessStart(
            spec=spec,
            run_dir=self.run_dir,
            litter=(self.run_dir, multiprocessing.util.get_temp_dir()),  # there is the forkserver's socket
            arena=self._arena,
            slot_count=self._slot_count,
        )
        with orders_held_back(), self._changed:
            process = launch(start)
            assert process.pid is not None
            fd, is_pidfd = watch_fd(process)
            self._children[spec.process] = _Child(
                spec=spec, process=process, pid=process.pid, watch_fd=fd, is_pidfd=is_pidfd
            )
        os.write(self._wake_w, b"c")

    def _wait_until_ready(self) -> None:
        def settled() -> bool:
            return any(child.gone for child in self._children.values()) or not self._waiting()

        with self._changed:
            in_time = self._changed.wait_for(settled, timeout=START_S_MAX)
            dead = [f"{name}: {child.verdict}" for name, child in self._children.items() if child.gone]
        if dead:
            raise StartFailed("; ".join(dead))
        if not in_time:
            raise StartFailed(f"not ready after {START_S_MAX:.0f} s: {', '.join(self._waiting())}")

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
            case PingAnswered(process=name, serial=serial):
                with self._changed:
                    if name in self._children:
                        self._children[name].answered = max(self._children[name].answered, serial)
                return
            case ProcessReady(process=name, pid=pid):
                with self._changed:
                    if name in self._children and self._children[name].pid == pid:
                        self._children[name].ready = True
                        self._changed.notify_all()
            case _:
                pass
        self.inbox.put(message)

    # watching (a thread of its own)

    def _watch(self) -> None:
        next_ping_s = time.monotonic() + self._ping_s
        while not self._closing:
            with self._changed:
                living = {child.watch_fd: child for child in self._children.values() if not child.gone}
            timeout_s = max(0.0, next_ping_s - time.monotonic())
            for fd in multiprocessing.connection.wait([*living, self._wake_r], timeout=timeout_s):
                if fd == self._wake_r:
                    os.read(self._wake_r, 64)
                elif isinstance(fd, int):
                    self._bury(living[fd])
            if time.monotonic() >= next_ping_s:
                self._ping()
                next_ping_s = time.monotonic() + self._ping_s

    def _bury(self, child: _Child) -> None:
        """A child has died: learn how, tell everybody, let go of what it held here."""
        with self._changed:
            child.process.join(timeout=0.2)  # its exit code comes from the forkserver, a moment later
            code = child.process.exitcode
            child.verdict = child.verdict or _in_words(code)
            child.gone = True
            if child.is_pidfd:
                os.close(child.watch_fd)
            if code is not None:
                child.process.close()
            self._changed.notify_all()
        if not child.leaving:
            lost = ProcessLost(process=child.spec.process, detail=child.verdict)
            self.inbox.put(lost)
            for address in self._lost_to:
                heir = self._children.get(split_address(address)[0])
                # One that does not listen yet would be waited for, and nobody else be buried meanwhile.
                if heir is None or (heir.ready and not heir.gone):
                    self.mailroom.post(address, lost)

    def _ping(self) -> None:
        for child in list(self._children.values()):
            if child.gone or child.leaving or not child.ready:
                continue
            if child.pinged - child.answered >= self._pings_unanswered_max:
                child.verdict = f"silent: {self._pings_unanswered_max} pings without an answer, killed"
                _signal(child, signal.SIGKILL)
                continue
            child.pinged += 1
            self.mailroom.post(root_address(child.spec.process), PingAsked(serial=child.pinged))

    # stopping

    def _stop_rank(self, rank: int, grace_s: float) -> None:
        children = [child for child in self._children.values() if child.spec.stop_rank == rank]
        for child in children:
            child.leaving = True
            if not child.gone and child.ready and grace_s > 0:
                self.mailroom.post(root_address(child.spec.process), StopAsked())
        if not self._ended(children, grace_s):
            self._signal_all(children, signal.SIGTERM)
            self._ended(children, min(TERM_S, grace_s))
        self._kill(children)

    def _kill(self, children: list[_Child]) -> None:
        for child in children:
            child.leaving = True
        self._signal_all(children, signal.SIGKILL)
        if not self._ended(children, KILL_S):
            _logger.error("cannot be killed: %s", [child.spec.process for child in children if not child.gone])

    def _signal_all(self, children: Iterable[_Child], number: signal.Signals) -> None:
        with self._changed:  # or a descriptor might be closed, and another process have its number, in between
            for child in children:
                _signal(child, number)

    def _ended(self, children: list[_Child], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: all(child.gone for child in children), timeout=timeout_s)

    def _close(self) -> None:
        self._closed = self._closing = True
        os.write(self._wake_w, b"x")
        if self._watcher.is_alive():
            self._watcher.join(timeout=KILL_S)
        self.mailroom.close()
        os.close(self._wake_r)
        os.close(self._wake_w)
        shutil.rmtree(self.run_dir, ignore_errors=True)


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.gone:
        return
    with contextlib.suppress(ProcessLookupError, ValueError):
        if child.is_pidfd:
            signal.pidfd_send_signal(child.watch_fd, number)
        else:
            os.kill(child.pid, number)


def _in_words(code: int | None) -> str:
    if code is None:
        return "ended, nobody knows how"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"exited with code {code}"
