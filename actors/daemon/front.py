"""Front of the daemon: its main thread, which starts everything and waits for signals and news of processes."""

import contextlib
import logging
import queue
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from types import FrameType
from typing import Any, Final

from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.daemon import processes
from actors.daemon.preflight import (
    address_of,
    checked_job_store,
    listening,
    locked_state,
    made_folder,
    noted_address,
    with_secrets,
)
from actors.daemon.systemd import SystemdNotifier
from actors.runtime import log_setup
from actors.runtime.network_interface import InterfaceGone, check_interface_there
from actors.runtime.process_stats import ProcessStats
from actors.runtime.stop_signals import raise_lost_interrupt
from actors.runtime.supervisor import StartFailed, Supervisor
from protocol.config.load import Config
from protocol.config.schema import fields_of
from protocol.config.settings import TABLES, Account, parts_of
from protocol.messages import (
    ActorDied,
    ConfigureGateway,
    ConfigureJobManager,
    HealthReported,
    Message,
    ProcessLost,
    ProcessReady,
    SessionChanged,
    SetLogLevel,
    Ticked,
)
from protocol.messages.addresses import FRONT, GATEWAY, JOB_MANAGER, POOL, SESSION, root_address, split_address
from protocol.model.errors import BadUsage
from protocol.model.job_policy import settings_json
from storage.shared_memory import Arena


def applied(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Return ``(what holds from now on, keys whose new values have to wait for a restart)``."""
    waiting: list[str] = []
    settings = replace(
        new.settings,
        daemon=_kept("daemon", old.settings.daemon, new.settings.daemon, waiting),
        api=_kept("api", old.settings.api, new.settings.api, waiting),
    )
    return replace(new, settings=settings, account=_account(old.account, new.account, waiting)), waiting


def _kept(table: str, old: Any, new: Any, waiting: list[str]) -> Any:
    """Return `new` with the fields of `old` that cannot change; their keys go into `waiting`."""
    keys = {one.name: name for name, one in fields_of(TABLES[table].kind).items() if one.key.restart}
    changed = [one.name for one in fields(old) if one.name in keys and getattr(old, one.name) != getattr(new, one.name)]
    waiting += [f"{table}.{keys[name]}" for name in changed]
    return replace(new, **{name: getattr(old, name) for name in changed})


def _account(old: Account | None, new: Account | None, waiting: list[str]) -> Account | None:
    if old is None or new is None:
        waiting += [] if old is new else [_ACCOUNT]
        return old
    kept: Account = _kept(_ACCOUNT, old, new, waiting)
    return kept


_ACCOUNT: Final = "soulseek"


HEALTH_S: Final = 15.0
"""Period of the reports. Looking costs some milliseconds a process."""


class Health:
    """Health reports of the processes, with what the system does not know: their age and number of restarts."""

    def __init__(self, front: str, *, now_s: float) -> None:
        self._begun_s: dict[str, float] = {front: now_s}
        self._restarts: Counter[str] = Counter()

    def ready(self, process: str, *, now_s: float) -> None:
        self._begun_s[process] = now_s

    def lost(self, process: str) -> None:
        self._restarts[process] += 1

    def reports(self, seen: Iterable[ProcessStats], *, now_s: float) -> Iterator[HealthReported]:
        for one in seen:
            yield HealthReported(
                process=one.process,
                pid=one.pid,
                restarts=self._restarts[one.process],
                age_s=now_s - self._begun_s.get(one.process, now_s),
                cpu_s=one.cpu_s,
                memory_bytes=one.pss_bytes,
                fds=one.fds,
                threads=one.threads,
            )


_logger = logging.getLogger(log_setup.NOTICES)

ENDED, FAILED, INTERRUPTED = 0, 1, 130
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_JOBS_OWN: Final = ("worker-", "dispatcher-")
"""Actors that fail for one job only, which hears of it."""


class Daemon:
    """The daemon's processes and their supervision. `load` reads the configuration again."""

    def __init__(self, config: Config, *, load: Callable[[], Config], version: str, notify: SystemdNotifier) -> None:
        self._config = config
        self._load = load
        self._version = version
        self._notify = notify
        self._stops = 0
        self._reloads = 0
        self._wake: Callable[[], None] = lambda: None
        self._session: SessionChanged | None = None
        """How the login is. Without an account it is never there, and jobs that want one hear why."""
        if config.account is None:
            self._session = SessionChanged(state="offline", detail=processes.NO_ACCOUNT, final=True)
        self._address = ""
        self._health = Health(split_address(FRONT)[0], now_s=time.monotonic())

    def run(self) -> int:
        """Run until a signal ends it, or a process cannot be kept alive. Return the exit code.

        Raises `CannotStart` when something that it needs is missing; then nothing was started.
        """
        with self._signals(), ExitStack() as leaving:
            leaving.enter_context(locked_state(self._config.settings.daemon.state))
            settings, key_path = with_secrets(self._config.settings, self._config.settings.daemon.state)
            self._config = replace(self._config, settings=settings)
            made_folder(settings.daemon.downloads, "the downloads folder")
            for note in checked_job_store(settings.daemon.state):
                _logger.warning("note: %s", note)
            listener = leaving.enter_context(listening(settings.api))
            self._listener_fd = listener.fileno()
            self._address = address_of(listener, settings.api)
            leaving.enter_context(noted_address(settings.daemon.state, self._address))
            try:
                return self._run(leaving, key_path)
            except KeyboardInterrupt:
                _logger.warning("interrupted: not everything was ended in order")
                return INTERRUPTED

    def _run(self, leaving: ExitStack, key_path: str) -> int:
        try:
            self._start(leaving)
        except (StartFailed, OSError, EOFError) as failure:
            if self._stops and isinstance(failure, StartFailed):
                _logger.info("stopped while it started")
                return ENDED
            _logger.error("cannot start: %s", failure)
            return FAILED
        self._say_ready(key_path)
        reason = self._watch()
        if reason:
            _logger.error("ends: %s", reason)
        else:
            _logger.info("stopping")
        self._notify.stopping(reason or "stopping")
        self._supervisor.stop()
        if not reason:
            _logger.info("stopped, everything is saved")
        return FAILED if reason else ENDED

    def _start(self, leaving: ExitStack) -> None:
        daemon = self._config.settings.daemon
        slots = processes.slot_count(daemon)
        arena = Arena.create(slots)
        leaving.callback(arena.close)
        self._login_token = secrets.token_urlsafe(24) if self._shows_link() else ""
        specs = processes.processes(
            self._config, version=self._version, listener_fd=self._listener_fd, login_token=self._login_token
        )
        self._supervisor = Supervisor(
            specs,
            arena_fd=arena.fd,
            slot_count=slots,
            lost_to=processes.subscribers(self._config),
            restart_policy=RestartPolicy(),
            health_policy=HealthPolicy(),
        )
        leaving.callback(self._supervisor.stop)
        self._supervisor.start(unwanted=lambda: self._stops > 0)
        for process in self._supervisor.living():
            self._forward_session(process)
        self._wake = lambda: self._supervisor.inbox.put(Ticked())

    def _say_ready(self, key_path: str) -> None:
        for note in self._config.notes:
            _logger.warning("note: %s", note)
        if self._config.account is None:
            _logger.info("%s: HTTP sources only", processes.NO_ACCOUNT)
        try:
            check_interface_there(self._config.settings.daemon.interface)
        except InterfaceGone as gone:
            _logger.warning("note: %s: all jobs wait until it is back", gone.words)
        if not self._config.settings.api.authentication:
            _logger.warning("note: the API asks for no key (authentication under [api])")
        if key_path:
            _logger.info("the API key is in %s", key_path)
        _logger.info("listening on %s", self._address)
        if self._login_token:
            sys.stderr.write(f"the page, logged in, once: {self._address}/#login={self._login_token}\n")
        self._notify.ready(self._status())

    def _shows_link(self) -> bool:
        """Return whether a person at this machine reads along, who may open the page with a link."""
        loopback = self._config.settings.api.host in LOOPBACK
        return loopback and self._config.settings.api.authentication and sys.stderr.isatty()

    # events

    def _watch(self) -> str:
        """Watch over the processes until the end. Return why the daemon cannot go on; empty: a signal ended it."""
        alive_due_s = health_due_s = 0.0
        period_s = min(HEALTH_S, (self._notify.watchdog_s or HEALTH_S) / 3)
        while True:
            if self._notify.watchdog_s is not None and time.monotonic() >= alive_due_s and self._supervisor.well():
                self._notify.alive()
                alive_due_s = time.monotonic() + period_s / 2
            if time.monotonic() >= health_due_s:
                health_due_s = time.monotonic() + HEALTH_S
                for report in self._health.reports(self._supervisor.health(), now_s=time.monotonic()):
                    self._supervisor.bus.post(GATEWAY, report)
            if self._stops:
                return ""
            if self._reloads:
                self._reloads = 0
                self._reload()
            with contextlib.suppress(queue.Empty):
                reason = self._handle(self._supervisor.inbox.get(timeout=period_s))
                if reason:
                    return reason

    def _handle(self, message: Message) -> str:
        """Return why the daemon cannot go on; empty when it can."""
        match message:
            case ProcessLost(process=process, detail=detail, restart_s=restart_s):
                if restart_s < 0:
                    return f"the {process} process cannot be kept alive: {detail}"
                self._health.lost(process)
                if process == split_address(SESSION)[0]:
                    self._session = SessionChanged(state="offline", detail=f"its process died: {detail}", final=False)
                _logger.warning("the %s process died (%s) and is restarted", process, detail)
            case ProcessReady(process=process):
                self._health.ready(process, now_s=time.monotonic())
                self._forward_session(process)
            case ActorDied(process=process, actor=actor, detail=detail):
                _logger.error("%s in the %s process failed: %s", actor, process, detail)
                if not actor.startswith(_JOBS_OWN):
                    self._supervisor.fail(process, f"{actor} failed: {detail}")
            case SessionChanged():
                self._session = message
                self._forward_session()
                _logger.log(logging.WARNING if message.final else logging.INFO, "Soulseek: %s", _login(message))
                self._notify.status(self._status())
            case _:
                pass
        return ""

    def _forward_session(self, process: str = "") -> None:
        """Post the login's state to all that need it, or to one that was started.

        It goes this way only: what the session posted itself to a process that is just starting would be lost, and an
        older state that is posted again could overtake it.
        """
        subscribers = processes.subscribers(self._config) if self._config.account is not None else (POOL, JOB_MANAGER)
        for address in subscribers:
            if self._session is not None and process in ("", split_address(address)[0]):
                self._supervisor.bus.post(address, self._session)

    def _status(self) -> str:
        shown = self._session is not None and self._config.account is not None
        login = f", Soulseek: {_login(self._session)}" if self._session is not None and shown else ""
        return f"listening on {self._address}{login}"

    # the configuration, read again

    def _reload(self) -> None:
        self._notify.reloading()
        try:
            new = self._load()
            settings, _ = with_secrets(new.settings, self._config.settings.daemon.state)
            made_folder(settings.daemon.downloads, "the downloads folder")
            self._apply(replace(new, settings=settings))
        except BadUsage as error:
            _logger.error("the configuration is kept as it was: %s", error)
        self._notify.ready(self._status())

    def _apply(self, new: Config) -> None:
        self._config, waiting = applied(self._config, new)
        settings = self._config.settings
        post = self._supervisor.bus.post
        for spec in processes.processes(self._config, version=self._version, listener_fd=self._listener_fd):
            self._supervisor.respec(spec)
        logging.getLogger().setLevel(processes.level_of(settings))
        for name in self._supervisor.living():
            post(root_address(name), SetLogLevel(level=processes.level_of(settings)))
        post(JOB_MANAGER, ConfigureJobManager(settings=settings_json(processes.job_policy(self._config))))
        for part, last in parts_of(settings):
            post(GATEWAY, ConfigureGateway(part=part, last=last))
        for note in self._config.notes:
            _logger.warning("note: %s", note)
        later = f"; after a restart: {', '.join(waiting)}" if waiting else ""
        _logger.info("the configuration was read again%s", later)

    # signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        taken = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop, signal.SIGHUP: self._on_hangup}
        before = {number: signal.signal(number, handler) for number, handler in taken.items()}
        try:
            raise_lost_interrupt()
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stops += 1
        self._wake()
        if self._stops > 1:
            raise KeyboardInterrupt

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._reloads += 1
        self._wake()


def _login(session: SessionChanged) -> str:
    return f"{session.state} ({session.detail})" if session.detail else session.state
