"""Child process: its specification and its main function, which runs a message bus, a root and the built actors.

A child lives until `StopProcess` or SIGTERM, and never longer than its supervisor.
"""

import faulthandler
import gc
import importlib
import logging
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from multiprocessing import reduction
from typing import Any, Final, NoReturn

from actors.runtime import log_setup
from actors.runtime.message_bus import MessageBus
from actors.runtime.system_limits import LIMITED_EXIT, exhausted_words
from protocol.messages import ProcessReady
from protocol.messages.addresses import FRONT
from protocol.model.value import Struct, field

_logger = logging.getLogger(__name__)


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """Specification of one child process; travels pickled."""

    process: str
    """Its name in addresses."""
    builder: str
    """``module:function``, named so that the supervisor need not import it: `ProcessContext` -> `ProcessActors`."""
    settings: Any = None
    """Handed to the builder; anything that pickles."""
    stop_rank: int = 0
    """Lower ranks are stopped first, equal ones together."""
    switch_interval_s: float = 0.005
    """How long a busy thread keeps the interpreter; smaller where a receiver shares the process."""
    log_level: int = logging.WARNING
    log_json: bool = False
    whole: bool = False
    """Its actors depend on each other: one that fails ends the process, which is then started again."""
    preload: tuple[str, ...] = ()
    """Modules that the builder imports inside; loaded once for all children: faster starts, shared memory."""


def preloaded(specs: Iterable[ProcessSpec]) -> list[str]:
    """Return the modules that the forkserver loads for these: their builders' and those they name."""
    modules = {module for spec in specs for module in (spec.builder.partition(":")[0], *spec.preload)}
    return sorted(modules)


class ProcessContext(Struct, frozen=True, kw_only=True):
    """Arguments of a builder."""

    process: str
    bus: MessageBus
    arena_fd: int
    """This process's own descriptor of the shared memory; -1 when there is none."""
    slot_count: int
    settings: Any
    generation: int = 0
    """Number of processes of this name before it, all dead."""


class ProcessActors(Struct, frozen=True, kw_only=True):
    """Result of a builder.

    `makers`: see `actors.runtime.process_root.Makers`. `stop` ends the actors in order and closes what they held; it
    runs once, in the main thread, and should be bounded (`actors.runtime.actor.stop_actors`).
    """

    makers: dict[type, Callable[[Any], None]] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None


class InheritedFd:
    """File descriptor on its way into a child; pickles only while that child is being started."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Callable[[Any], "InheritedFd"], tuple[Any]]:
        return _inherited, (reduction.DupFd(self.fd),)


def _inherited(duplicate: Any) -> InheritedFd:
    return InheritedFd(duplicate.detach())


class ProcessStart(Struct, frozen=True, kw_only=True):
    """Arguments of `child_main`, pickled.

    `litter`: folders to remove should the supervisor die. `processes`: all that will ever run, the supervisor's too.
    """

    spec: ProcessSpec
    generation: int
    run_dir: str
    litter: tuple[str, ...]
    arena: InheritedFd | None
    slot_count: int
    processes: frozenset[str]


_ASKED, _FAILED = 0, 1
DRAIN_S: Final = 0.5
"""Takes microseconds, unless this process cannot keep up anyway."""


def child_main(start: ProcessStart) -> NoReturn:
    """Run a child process and end it: exit code 0 when it was asked to end, 1 when it failed.

    `LIMITED_EXIT` where it was the system that refused something.
    """
    endings: queue.SimpleQueue[int] = queue.SimpleQueue()  # its put may be called from a signal handler
    code = _FAILED
    try:
        _settle(start, endings)
        code = _live(start, endings)
    except BaseException as error:
        code = LIMITED_EXIT if exhausted_words(error) else _FAILED
        _logger.exception("process %s failed", start.spec.process)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # whatever thread is stuck, this process has ended


def _live(start: ProcessStart, endings: "queue.SimpleQueue[int]") -> int:
    # Imported here: the supervisor imports this module too and has no use for actors.
    from actors.runtime.process_root import ProcessRoot

    spec = start.spec
    bus = MessageBus(spec.process, start.run_dir, processes=start.processes)
    bus.bind()  # what others post while this process is still loading must not be lost
    makers: dict[type, Callable[[Any], None]] = {}
    # The root comes first: an actor may fail while it starts. Nothing is delivered from outside before `bus.start`.
    ProcessRoot.start(
        bus,
        makers,
        stop_wanted=lambda: endings.put(_ASKED),
        failed=lambda: endings.put(_FAILED),
        whole=spec.whole,
    )
    actors = _build(start, bus)
    makers.update(actors.makers)
    bus.start()
    bus.post(FRONT, ProcessReady(process=spec.process, pid=os.getpid()))
    code = endings.get()
    bus.drain(DRAIN_S)  # processes ended before this one may have sent it last messages
    actors.stop()
    bus.close()
    return code


def _build(start: ProcessStart, bus: MessageBus) -> ProcessActors:
    module, _, function = start.spec.builder.partition(":")
    context = ProcessContext(
        process=start.spec.process,
        bus=bus,
        arena_fd=-1 if start.arena is None else start.arena.fd,
        slot_count=start.slot_count,
        settings=start.spec.settings,
        generation=start.generation,
    )
    actors = getattr(importlib.import_module(module), function)(context)
    if not isinstance(actors, ProcessActors):
        raise TypeError(f"{start.spec.builder} returned {type(actors).__name__}, not ProcessActors")
    return actors


def _settle(start: ProcessStart, endings: "queue.SimpleQueue[int]") -> None:
    """Set up signals, diagnosis and the tie to the supervisor, before anything else can go wrong."""
    # Ctrl-C reaches every process of the terminal; the supervisor asks this one to end, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: endings.put(_ASKED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    spec = start.spec
    log_setup.set_up(spec.process, spec.log_level, as_json=spec.log_json)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    sys.setswitchinterval(spec.switch_interval_s)
    gc.freeze()  # what was loaded before the fork stays in pages shared with the other children
    gc.enable()  # see `actors.runtime.before_fork`
    threading.Thread(target=_end_with_supervisor, args=(start.litter,), name="lifeline", daemon=True).start()


def _end_with_supervisor(litter: tuple[str, ...]) -> None:
    """End this process when its supervisor has ended, however: a pipe end that only the supervisor held closes."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    supervisor.join()
    # No other process is left to tidy up. No orderly stop: what is on disk is good at any moment.
    for folder in litter:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(_FAILED)
