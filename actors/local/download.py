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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final, Protocol, cast

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.spawn import server_failure
from actors.runtime.stop_signals import raise_lost_interrupt, stop_signals_deferred
from actors.runtime.supervisor import StartFailed, Supervisor
from actors.runtime.system_limits import exhausted_words
from protocol.cli.on_complete import run_command
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
    RestoreSourceCounts,
    SessionChanged,
    SourceProgressed,
    StartJob,
    StopJob,
)
from protocol.messages.addresses import FRONT, POOL, SESSION, split_address
from protocol.model.filenames import safe_name
from protocol.model.integrity.metalink import Pieces
from protocol.model.job_spec import PieceHashes
from protocol.model.source_url import is_masked, name_from_url
from storage.existing import write_mirrors
from storage.layout import PART_SUFFIX
from storage.pieces import write_pieces
from storage.shared_memory import Arena

JOB: Final = 1
PEERS_MAX: Final = 64
"""Sources of one search that have a slot each."""
ROWS_S: Final = 0.25
"""Period of a display."""
REFRESH_S: Final = 0.1
STOP_AGAIN_S: Final = 0.5
"""Period at which a stop is repeated until the job has ended: the first may come before its dispatcher stands."""
_FETCHER: Final = "fetch-"
_WORKER: Final = "worker-"
_HUB_PROCESS: Final = split_address(POOL)[0]
_SESSION_PROCESS: Final = split_address(SESSION)[0]


def download(options: GetOptions) -> int:
    """Run one job with its display and return the exit code."""
    view = make_view(options, sys.stdout, sys.stderr)
    try:
        ended = fetch(options, view)
    finally:
        view.close()
    if ended.state == "sealed" and options.on_complete:
        run_command(options.on_complete, ended.path, ended.digest_hex)
    return exit_code_of(ended.state)


def fetch(options: GetOptions, view: "View", *, memory: str = "") -> JobEnded:
    """Run one job in processes of its own and leave none behind.

    `memory` is the path of the database of peers, which is made when it is missing; empty for that of this user.
    """
    session, memory = session_of(options, memory)
    specs, slot_count = processes(len(options.urls) if not options.spec.term else PEERS_MAX, session, memory)
    health_policy = HealthPolicy(memory_bytes_max=options.memory_limit_bytes)
    try:
        with Interrupts().caught() as interrupts, supervised(specs, health_policy, slot_count) as supervisor:
            start = _start_request(options, _pieces_in(supervisor.run_dir, options.pieces))
            return run_job(supervisor, view, start, options.urls, interrupts, max_time_s=options.max_time_s)
    except StartFailed as failure:
        ended = _failed(JOB, str(failure))
        view.show(ended, now_s=time.monotonic())
        return ended


@contextmanager
def supervised(specs: Sequence[ProcessSpec], health_policy: HealthPolicy, slot_count: int = 0) -> Iterator[Supervisor]:
    """Run processes for the time of a block; without slots dead ones are not restarted. Raises StartFailed."""
    _leave_lost_folder()
    with ExitStack() as leaving:
        try:
            arena = Arena.create(slot_count) if slot_count else None
            if arena is not None:
                leaving.callback(arena.close)
            with stop_signals_deferred():  # an interrupt between the two would leave its folder
                supervisor = Supervisor(
                    specs,
                    arena_fd=arena.fd if arena is not None else -1,
                    slot_count=slot_count,
                    lost_to=(POOL,) if arena is not None else (),
                    health_policy=health_policy,
                    restart_policy=RestartPolicy() if arena is not None else None,
                )
                leaving.callback(supervisor.stop)
            supervisor.start()
        except (StartFailed, OSError, EOFError, RuntimeError) as failure:
            if isinstance(failure, RuntimeError) and not exhausted_words(failure):
                raise
            why = server_failure() if isinstance(failure, EOFError) else failure
            raise StartFailed(f"cannot start: {why}") from None
        yield supervisor


def _leave_lost_folder() -> None:
    """Go elsewhere when the current folder is gone: Python starts no process there. All paths are absolute by now."""
    try:
        os.getcwd()
    except OSError:
        os.chdir("/")


def session_of(options: GetOptions, memory: str = "") -> tuple[ProcessSpec | None, str]:
    """Return ``(process that logs in, path of the database of peers)``; None where no account is needed."""
    if options.account is None:
        return None, memory
    from actors.soulseek.settings import session_process, session_settings

    memory = memory or os.path.join(state_folder(os.environ), "peers.sqlite")
    finished = os.path.join(os.path.dirname(memory), "finished")
    settings = session_settings(options.account, finished_folder=finished)
    return session_process(settings, verbose=options.verbose), memory


def _pieces_in(folder: str, pieces: Pieces | None) -> PieceHashes:
    """Write the list of piece digests where the store can read it, and where it goes with the other run files."""
    if pieces is None:
        return PieceHashes()
    path = os.path.join(folder, "pieces")
    try:
        write_pieces(path, pieces.digests)
    except OSError as error:
        sys.stderr.write(f"note: pieces are not compared: {error.strerror}\n")
        return PieceHashes()
    return PieceHashes(piece_algorithm=pieces.algorithm, piece_bytes=pieces.piece_bytes, piece_file=path)


def _start_request(options: GetOptions, pieces: PieceHashes) -> StartJob:
    return StartJob(
        job=JOB,
        spec=options.spec.but(policy=options.spec.policy.configured(options.account), pieces=pieces),
        source_count=len(options.urls),
        watcher=FRONT,
        verbose=options.verbose,
        rows_s=ROWS_S,
        begun=_is_there(options),
        exact_name=True,
    )


def _is_there(options: GetOptions) -> bool:
    """Return whether a part file, or a file that may turn out to be the wanted one, is there.

    Then the first requests are probes: a body would be sent for nothing.
    """
    spec = options.spec
    names = [spec.name] if spec.name else [safe_name(name_from_url(url), "") for url in options.urls]
    paths = [os.path.join(spec.folder, name) for name in names]
    return any(os.path.exists(path) or os.path.exists(path + PART_SUFFIX) for path in paths)


class View(Protocol):
    """Display of a job, plain or live."""

    def show(self, message: FrontInbox, *, now_s: float) -> None: ...
    def refresh(self, *, now_s: float) -> None: ...


class Interrupts:
    """Counter of Ctrl-C and SIGTERM. The first asks the job to stop, one more ends the program at once."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        before = {number: signal.signal(number, self._hit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            raise_lost_interrupt()
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
    start: StartJob,
    urls: tuple[str, ...],
    interrupts: Interrupts,
    *,
    max_time_s: float = 0.0,
) -> JobEnded:
    """Request the job, show its reports, and return its end; one of our own when a process that it needs has died.

    After `max_time_s` it is stopped, and has ended because its time was up.
    """
    begun_s = time.monotonic()
    request = JobRequest(supervisor, start, urls)
    request.post()
    stop_due_s = 0.0
    while True:
        late = 0 < max_time_s <= time.monotonic() - begun_s
        if (interrupts.count or late) and time.monotonic() >= stop_due_s:
            stop_due_s = time.monotonic() + STOP_AGAIN_S
            supervisor.bus.post(POOL, StopJob(job=start.job))
        message = next_message(supervisor)
        if message is not None:
            lost = session_lost(message)
            if lost is not None:
                supervisor.bus.post(POOL, lost)
            message = lost or fatal(message, start.job, supervisor.living()) or message
            if late and not interrupts.count and isinstance(message, JobEnded) and message.state == "interrupted":
                message = message.but(state="late", reason=f"not complete within {max_time_s:g} s (--max-time)")
            # A signal that ends the program is often sent to its processes too.
            expected = interrupts.count > 0 and isinstance(message, ProcessLost)
            if request.is_news(message, elapsed_s=time.monotonic() - begun_s) and not expected:
                view.show(message, now_s=time.monotonic())
        if isinstance(message, JobEnded):
            if message.state == "sealed":
                write_mirrors(message.path, request.mirrors)
            return message
        view.refresh(now_s=time.monotonic())


class JobRequest:
    """Request for a job, repeated with what was reported so far whenever a dead hub was replaced."""

    def __init__(self, supervisor: Supervisor, start: StartJob, urls: tuple[str, ...]) -> None:
        self._supervisor = supervisor
        self._start = start
        self._urls = urls
        self._opened: JobOpened | None = None
        self._session: SessionChanged | None = None
        self._sources: dict[str, SourceProgressed] = {}
        self._hub_lost = False

    @property
    def mirrors(self) -> list[str]:
        """Addresses of servers that sent bytes of the file, without what is ours alone."""
        found = (each.name.partition("#")[0] for each in self._sources.values() if each.bytes_stored)
        return [name for name in found if name.startswith("http") and not is_masked(name)]

    def post(self) -> None:
        post = self._supervisor.bus.post
        if self._session is not None:
            post(POOL, self._session)
        post(POOL, self._start)
        for report in self._sources.values():
            post(POOL, RestoreSourceCounts.of(report.job, report.name, report))
        for url in self._urls:
            post(POOL, OfferSource(job=self._start.job, url=url))

    def is_news(self, message: FrontInbox, *, elapsed_s: float) -> bool:
        """Whether to show it: a job that another hub opens again is open already."""
        match message:
            case SessionChanged():
                self._session = message
            case SourceProgressed(name=name):
                self._sources[name] = message
            case ProcessLost(process=process):
                self._hub_lost = self._hub_lost or process == _HUB_PROCESS
            case ProcessReady(process=process) if process == _HUB_PROCESS and self._hub_lost:
                self._hub_lost = False
                resumed = self._opened.resumed_bytes if self._opened is not None else -1
                self._start = self._start.restarted(elapsed_s=elapsed_s, resumed_bytes=resumed)
                self.post()
            case JobOpened(part_path=path):
                before, self._opened = self._opened, self._opened or message
                return before is None or before.part_path != path
            case _:
                pass
        return True


def session_lost(message: FrontInbox) -> SessionChanged | None:
    """Return the state of the login after the session died for good. Transfers go on without it."""
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
    """Return the next message to the front; None when none came for `REFRESH_S`."""
    try:
        return cast(FrontInbox, supervisor.inbox.get(timeout=REFRESH_S))
    except queue.Empty:
        return None


def _failed(job: int, reason: str) -> JobEnded:
    words = exhausted_words(reason)
    return JobEnded(job=job, state="limited" if words else "failed", reason=words or reason)


def fatal(message: FrontInbox, job: int, living: list[str]) -> JobEnded | None:
    """Return the end of the job when a process or an actor that it needs has died for good.

    It does not need a worker, nor a fetch process that is not the last: other sources go on.
    """
    match message:
        case ProcessLost(restart_s=restart_s) if restart_s >= 0:
            return None
        case ProcessLost(process=name) if name.startswith(_FETCHER) and any(one.startswith(_FETCHER) for one in living):
            return None
        case ActorDied(actor=name) if name.startswith(_WORKER):
            return None
        case ProcessLost(process=name, detail=detail) | ActorDied(actor=name, detail=detail):
            return _failed(job, f"{name} died: {detail}")
        case _:
            return None
