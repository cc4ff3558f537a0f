"""One-shot download: a job in processes of its own, from its request to its end.

Runs in the main thread of the process that the user started, beside the supervisor; it is no actor. The processes:
*front* (this one: supervisor and display), *hub*, *store*, *fetch-1..n* and, where a login is needed, *soulseek*; what
each is made of stands in `actors.builders`.
"""

import os
import queue
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final, Protocol, cast

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.supervisor import StartFailed, Supervisor
from protocol.cli.parsing import GetOptions
from protocol.cli.views.base import make_view
from protocol.cli.views.outcome import exit_code_of
from protocol.config.paths import state_folder
from protocol.messages import (
    ActorDied,
    FrontInbox,
    JobEnded,
    JobOpened,
    OfferSource,
    ProcessLost,
    ProcessReady,
    SessionChanged,
    SourceProgressed,
    StartJob,
    StopJob,
    ended_early,
    source_known,
)
from protocol.messages.addresses import FRONT, POOL, SESSION, split_address
from protocol.model.printable import printable
from storage.shared_memory import Arena

JOB: Final = 1
PEERS_MAX: Final = 64
"""Sources of one search that have a slot each."""
ROWS_S: Final = 0.25
"""Period of a display."""
REFRESH_S: Final = 0.1
STOP_AGAIN_S: Final = 0.5
"""So often a stop is asked for until the job has ended: the first word may come before there is anybody to hear it."""
_FETCHER: Final = "fetch-"
_WORKER: Final = "worker-"
_HUB_PROCESS: Final = split_address(POOL)[0]
_SESSION_PROCESS: Final = split_address(SESSION)[0]


def get(options: GetOptions) -> int:
    """Run ``get`` or ``swarm`` and return the exit code."""
    view = make_view(options, sys.stdout, sys.stderr)
    try:
        ended = fetch(options, view)
    finally:
        view.close()
    if ended.state == "sealed" and options.on_complete:
        run_command(options.on_complete, ended)
    return exit_code_of(ended.state)


def fetch(options: GetOptions, view: "View", *, memory: str = "") -> JobEnded:
    """Run one job in processes of its own and leave none behind.

    `memory` is the path of the database of peers, which is made when it is missing; empty for that of this user.
    """
    session = None
    if options.account is not None:
        memory = memory or os.path.join(state_folder(os.environ), "peers.sqlite")
        session = _session_process(options, memory)
    specs, slot_count = processes(len(options.urls) if not options.spec.term else PEERS_MAX, session, memory)
    with Interrupts().caught() as interrupts, ExitStack() as leaving:
        try:
            arena = Arena.create(slot_count)
            leaving.callback(arena.close)
            supervisor = Supervisor(
                specs,
                arena_fd=arena.fd,
                slot_count=slot_count,
                lost_to=(POOL,),
                health_policy=HealthPolicy(memory_bytes_max=options.memory_limit_bytes),
                restart_policy=RestartPolicy(),
            )
            leaving.callback(supervisor.stop)
            supervisor.start()
        except (StartFailed, OSError, EOFError) as failure:
            ended = failed(JOB, start_failure(failure))
            view.show(ended, now_s=time.monotonic())
            return ended
        return run_job(supervisor, view, _job_request(options), options.urls, interrupts, max_time_s=options.max_time_s)


def run_command(words: tuple[str, ...], ended: JobEnded) -> None:
    """Run a command for a sealed file, whose path takes the place of ``{}`` or comes last. No shell is between.

    What it writes goes to stderr, since stdout is for results. Its failure is noted: the file is there all the same.
    """
    import subprocess

    command = [word.replace("{}", ended.path) for word in words]
    command += [] if command != list(words) else [ended.path]
    environ = {**os.environ, "SHOAL_PATH": ended.path, "SHOAL_XXH3_128": ended.digest_hex}
    try:
        code = subprocess.run(command, stdout=sys.stderr, env=environ, check=False).returncode
        why = f"ended with {code}" if code else ""
    except OSError as error:
        why = f"cannot be run: {error.strerror}"
    if why:
        sys.stderr.write(f"note: the command of --on-complete, {printable(command[0])}, {why}\n")


def start_failure(failure: Exception) -> str:
    """Return why the processes could not be started, for the user."""
    return f"cannot start: {'the forkserver died' if isinstance(failure, EOFError) else failure}"


def _session_process(options: GetOptions, memory: str) -> ProcessSpec:
    from actors.soulseek.settings import session_process, session_settings

    assert options.account is not None
    finished = os.path.join(os.path.dirname(memory), "finished")
    settings = session_settings(options.account, finished_folder=finished)
    return session_process(settings, verbose=options.verbose)


def _job_request(options: GetOptions) -> StartJob:
    return StartJob(
        job=JOB,
        spec=options.spec.but(policy=options.spec.policy.configured(options.account)),
        source_count=len(options.urls),
        watcher=FRONT,
        verbose=options.verbose,
        rows_s=ROWS_S,
    )


class View(Protocol):
    def show(self, message: FrontInbox, *, now_s: float) -> None: ...
    def refresh(self, *, now_s: float) -> None: ...


class Interrupts:
    """Counts Ctrl-C and SIGTERM. The first asks the job to stop, one more ends the program at once."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        before = {number: signal.signal(number, self._hit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hit(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt


def run_job(
    supervisor: Supervisor,
    view: View,
    asked: StartJob,
    urls: tuple[str, ...],
    interrupts: Interrupts,
    *,
    max_time_s: float = 0.0,
) -> JobEnded:
    """Ask for the job and stay until it has ended. Returns its end, also where no process is left to report one.

    After `max_time_s` it is stopped, and has ended because no source could deliver in time.
    """
    begun_s = time.monotonic()
    asking = _Asking(supervisor, asked, urls)
    asking.ask()
    stop_due_s = 0.0
    while True:
        late = 0 < max_time_s <= time.monotonic() - begun_s
        if (interrupts.count or late) and time.monotonic() >= stop_due_s:
            stop_due_s = time.monotonic() + STOP_AGAIN_S
            supervisor.bus.post(POOL, StopJob(job=asked.job))
        message = next_message(supervisor)
        if message is not None:
            lost = _session_lost(message)
            if lost is not None:
                supervisor.bus.post(POOL, lost)
            message = lost or _fatal(message, asked.job, supervisor.living()) or message
            if late and not interrupts.count and isinstance(message, JobEnded) and message.state == "interrupted":
                message = message.but(state="starved", reason=f"not complete within {max_time_s:g} s (--max-time)")
            if asking.is_news(message, elapsed_s=time.monotonic() - begun_s):
                view.show(message, now_s=time.monotonic())
        if isinstance(message, JobEnded):
            return message
        view.refresh(now_s=time.monotonic())


class _Asking:
    """Asks for the job, anew whenever a dead hub was replaced, and remembers for the next one what was said before."""

    def __init__(self, supervisor: Supervisor, asked: StartJob, urls: tuple[str, ...]) -> None:
        self._supervisor = supervisor
        self._asked = asked
        self._urls = urls
        self._opened: JobOpened | None = None
        self._session: SessionChanged | None = None
        self._rows: dict[str, SourceProgressed] = {}
        self._hub_lost = False

    def ask(self) -> None:
        post = self._supervisor.bus.post
        if self._session is not None:
            post(POOL, self._session)
        post(POOL, self._asked)
        for row in self._rows.values():
            post(POOL, source_known(row))
        for url in self._urls:
            post(POOL, OfferSource(job=self._asked.job, url=url))

    def is_news(self, message: FrontInbox, *, elapsed_s: float) -> bool:
        """Whether people should hear it; a job that is opened again by another hub is opened already."""
        match message:
            case SessionChanged():
                self._session = message
            case SourceProgressed(name=name):
                self._rows[name] = message
            case ProcessLost(process=process):
                self._hub_lost = self._hub_lost or process == _HUB_PROCESS
            case ProcessReady(process=process) if process == _HUB_PROCESS and self._hub_lost:
                self._hub_lost = False
                resumed = self._opened.resumed_bytes if self._opened is not None else -1
                self._asked = self._asked.restarted(elapsed_s=elapsed_s, resumed_bytes=resumed)
                self.ask()
            case JobOpened(part_path=path):
                before, self._opened = self._opened, self._opened or message
                return before is None or before.part_path != path
            case _:
                pass
        return True


def _session_lost(message: FrontInbox) -> SessionChanged | None:
    """What the death of the session means when it is not started anew: no login any more. Rides go on without it."""
    match message:
        case ProcessLost(restart_s=restart_s) if restart_s >= 0:
            return None
        case ProcessLost(process=process, detail=detail) | ActorDied(process=process, detail=detail) if (
            process == _SESSION_PROCESS
        ):
            return SessionChanged(state="offline", detail=f"the soulseek process died: {detail}", final=True)
        case _:
            return None


def next_message(supervisor: Supervisor) -> FrontInbox | None:
    """What came for the front; None when nothing did for `REFRESH_S`."""
    try:
        return cast(FrontInbox, supervisor.inbox.get(timeout=REFRESH_S))
    except queue.Empty:
        return None


def _fatal(message: FrontInbox, job: int, living: list[str]) -> JobEnded | None:
    """The end of the job when somebody it cannot do without has died for good. A worker it can, and a fetcher if not
    the last: other sources go on."""
    match message:
        case ProcessLost(restart_s=restart_s) if restart_s >= 0:
            return None
        case ProcessLost(process=name) if name.startswith(_FETCHER) and any(one.startswith(_FETCHER) for one in living):
            return None
        case ActorDied(actor=name) if name.startswith(_WORKER):
            return None
        case ProcessLost(process=name, detail=detail) | ActorDied(actor=name, detail=detail):
            return failed(job, f"{name} died: {detail}")
        case _:
            return None


def failed(job: int, reason: str) -> JobEnded:
    """A last word said by the front itself: our fault."""
    return ended_early(job, "failed", reason)
