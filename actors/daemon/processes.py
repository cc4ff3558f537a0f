"""Processes of the daemon: the specification of each, made from the configuration."""

import logging
import os
from dataclasses import asdict, replace
from typing import Any, Final

from actors.api.process import ApiStart
from actors.builders import StoreSettings, fetchers
from actors.daemon.preflight import FINISHED_FOLDER, JOBS_FILE, PEERS_FILE
from actors.fleet.settings import FleetStart, StoreAccess, fleet_process
from actors.order_documents import OrderDocuments
from actors.runtime.process import InheritedFd, ProcessSpec
from actors.soulseek.settings import session_process, session_settings
from protocol.config.load import Config
from protocol.config.settings import DaemonSettings, FleetSettings, Settings
from protocol.messages.addresses import FLEET, FRONT, GATEWAY, JOB_MANAGER, PEER_HISTORY, POOL, SESSION, split_address
from protocol.model import value
from protocol.model.job_policy import JobPolicy, LimitWindow
from protocol.model.job_spec import TransferPolicy

FETCHERS_MAX: Final = 4
SLOTS_EACH: Final = 512
"""Slots of each fetch process: one for every source of a hundred jobs. They take memory when they are written, and give
it back when they are free for long."""
SUBSCRIBERS: Final = (POOL, JOB_MANAGER, GATEWAY)
"""Addresses that get `ProcessLost`, `ProcessReady` and the state of the login."""
NO_ACCOUNT: Final = "no Soulseek account is configured"
NO_FLEET: Final = "no fleet is configured"
FLEET_FOLDER: Final = "fleet"
_LEVELS: Final = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_API, _JOBS, _HUB, _SESSION, _STORE, _FLEET = (
    split_address(one)[0] for one in (GATEWAY, JOB_MANAGER, POOL, SESSION, PEER_HISTORY, FLEET)
)


def subscribers(config: Config) -> tuple[str, ...]:
    """Return `SUBSCRIBERS`, and the fleet's node where there is one. None is named that does not run."""
    return SUBSCRIBERS if config.fleet is None else (*SUBSCRIBERS, FLEET)


def level_of(settings: Settings) -> int:
    """Return the level of the log as the standard library numbers it."""
    return _LEVELS[settings.daemon.log_level]


def slot_count(daemon: DaemonSettings) -> int:
    """Return the number of slots of all fetch processes together."""
    return _fetcher_count(daemon) * SLOTS_EACH


def _fetcher_count(daemon: DaemonSettings) -> int:
    return daemon.fetchers or max(1, min(FETCHERS_MAX, os.cpu_count() or 1))


def processes(config: Config, *, version: str, listener_fd: int, login_token: str = "") -> list[ProcessSpec]:
    """Return every process of this configuration. `login_token`: see `ApiStart`.

    The API is stopped first, so that no command comes any more; then the hub, so that nothing more happens that the job
    manager would not hear; then the job manager, which writes the state of all jobs. The hub does not live as a whole:
    a dispatcher that fails takes only its own job along.
    """
    settings, account = config.settings, config.account
    daemon = settings.daemon
    common: dict[str, Any] = {"log_level": level_of(settings), "log_json": daemon.log_json}
    fetch = fetchers(_fetcher_count(daemon), SLOTS_EACH, stop_rank=3, **common)
    names = tuple(each.process for each in fetch)
    fleet_folder = os.path.join(daemon.state, FLEET_FOLDER)
    folders = daemon.folders if config.fleet is None else (*daemon.folders, fleet_folder)
    store = StoreSettings(peers=os.path.join(daemon.state, PEERS_FILE), folders=folders)
    jobs = (os.path.join(daemon.state, JOBS_FILE), job_policy(config), version)
    absent = {} if account is not None else {_SESSION: NO_ACCOUNT}
    absent |= {} if config.fleet is not None else {_FLEET: NO_FLEET}
    listener = InheritedFd(listener_fd)
    api = ApiStart(
        settings=settings, listener=listener, absent=absent, login_token=login_token, documents=OrderDocuments()
    )
    specs = [
        ProcessSpec(process=_API, builder="actors.api.process:build", settings=api, stop_rank=0, whole=True, **common),
        ProcessSpec(
            process=_JOBS,
            builder="actors.builders:build_job_manager",
            settings=jobs,
            stop_rank=3,
            whole=True,
            preload=("actors.job_manager",),
            **common,
        ),
        ProcessSpec(process=_HUB, builder="actors.builders:build_hub", settings=names, stop_rank=2, **common),
        ProcessSpec(
            process=_STORE, builder="actors.builders:build_store", settings=store, stop_rank=4, whole=True, **common
        ),
        *fetch,
    ]
    if config.fleet is not None:
        start = fleet_start(config.fleet, daemon, fleet_folder, version)
        specs.append(fleet_process(start, stop_rank=1, **common))
    if account is not None:
        finished = os.path.join(daemon.state, FINISHED_FOLDER)
        account = replace(account, interface=account.interface or daemon.interface)
        session = session_settings(account, finished_folder=finished, heard_by=(FRONT,), retry_ports=True)
        specs.append(value.replace(session_process(session, verbose=True), stop_rank=3, **common))
    return specs


def fleet_start(fleet: FleetSettings, daemon: DaemonSettings, folder: str, version: str) -> FleetStart:
    """Return what the fleet's process is given."""
    store = StoreAccess(
        address=fleet.destination,
        endpoint=fleet.endpoint,
        region=fleet.region,
        key_id=fleet.access_key,
        secret=fleet.secret_key,
        lent=fleet.lent_key,
        node=fleet.node,
        parts_host=fleet.parts_host,
        parts_port=fleet.parts_port,
        broker=fleet.servers[0],
    )
    return FleetStart(
        servers=fleet.servers,
        fleet=fleet.name,
        node=fleet.node,
        store=store,
        folder=folder,
        seed_file=fleet.key_file,
        creds_file=fleet.creds_file,
        ca_file=fleet.ca_file,
        replicas=fleet.replicas,
        slots=fleet.jobs,
        private_ok=daemon.allow_private_sources,
        version=version,
    )


def job_policy(config: Config) -> JobPolicy:
    """Return the part of the configuration that the job manager goes by."""
    daemon, limits = config.settings.daemon, config.settings.limits
    return JobPolicy(
        jobs_active_max=daemon.active_max,
        jobs_max=daemon.jobs_max,
        retries_max=daemon.retries_max,
        retry_first_s=daemon.retry_first_s,
        retry_s_max=daemon.retry_s_max,
        limit_bytes_s=limits.limit_bytes_s,
        schedule=tuple(LimitWindow(**asdict(window)) for window in limits.schedule),
        interface=daemon.interface,
        transfer=TransferPolicy().configured(daemon, config.account),
    )
