"""Which processes a daemon has, and how each is started."""

import logging
import os
from dataclasses import replace
from typing import Any, Final

from actors.api.process import ApiStart
from actors.builders import StoreSettings
from actors.daemon.preflight import FINISHED_FOLDER, JOBS_FILE, PEERS_FILE
from actors.runtime.process import InheritedFd, ProcessSpec
from actors.soulseek.settings import session_process, session_settings
from protocol.config.load import Config
from protocol.config.settings import Account, DaemonSettings, Settings
from protocol.messages.addresses import FRONT, GATEWAY, JOB_MANAGER, PEER_HISTORY, POOL, SESSION, split_address
from protocol.model.job_policy import JobPolicy, LimitWindow
from protocol.model.job_spec import TransferPolicy

FETCHERS_MAX: Final = 4
SLOTS_EACH: Final = 512
"""Slots of each fetch process: one for every source of a hundred jobs. They take memory when they are touched, and give
it back when nobody needs them."""
TOLD: Final = (POOL, JOB_MANAGER, GATEWAY)
"""Who hears of processes lost and ready, and of the login."""
NO_ACCOUNT: Final = "no Soulseek account is configured"
_LEVELS: Final = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_API, _JOBS, _HUB, _SESSION, _STORE = (
    split_address(one)[0] for one in (GATEWAY, JOB_MANAGER, POOL, SESSION, PEER_HISTORY)
)


def level_of(settings: Settings) -> int:
    return _LEVELS[settings.daemon.log_level]


def fetcher_count(daemon: DaemonSettings) -> int:
    return daemon.fetchers or max(1, min(FETCHERS_MAX, os.cpu_count() or 1))


def slot_count(daemon: DaemonSettings) -> int:
    return fetcher_count(daemon) * SLOTS_EACH


def processes(config: Config, *, version: str, listener_fd: int) -> list[ProcessSpec]:
    """Everything of this configuration. The API is stopped first, so that nothing is ordered any more; then the hub, so
    that nothing more happens that the job manager would not hear; then the job manager, which writes down how all
    stands. The hub is no whole: a dispatcher that fails takes its job along and nobody else."""
    daemon = config.settings.daemon
    names = tuple(f"fetch-{number}" for number in range(1, fetcher_count(daemon) + 1))
    store = StoreSettings(peers=os.path.join(daemon.state, PEERS_FILE), folders=daemon.folders)
    common = _common(config.settings)
    specs = [
        api_process(config, listener_fd),
        job_manager_process(config, version),
        ProcessSpec(process=_HUB, builder="actors.builders:build_hub", settings=names, stop_rank=2, **common),
        ProcessSpec(
            process=_STORE, builder="actors.builders:build_store", settings=store, stop_rank=4, whole=True, **common
        ),
    ]
    for index, name in enumerate(names):
        own = (index * SLOTS_EACH, (index + 1) * SLOTS_EACH)
        specs.append(
            ProcessSpec(
                process=name,
                builder="actors.builders:build_fetcher",
                settings=own,
                stop_rank=3,
                switch_interval_s=0.0005,
                **common,
            )
        )
    if config.account is not None:
        specs.append(_session_process(config.account, config.settings))
    return specs


def api_process(config: Config, listener_fd: int) -> ProcessSpec:
    absent = {} if config.account is not None else {_SESSION: NO_ACCOUNT}
    start = ApiStart(settings=config.settings, listener=InheritedFd(listener_fd), absent=absent)
    return ProcessSpec(
        process=_API,
        builder="actors.api.process:build",
        settings=start,
        stop_rank=0,
        whole=True,
        **_common(config.settings),
    )


def job_manager_process(config: Config, version: str) -> ProcessSpec:
    path = os.path.join(config.settings.daemon.state, JOBS_FILE)
    return ProcessSpec(
        process=_JOBS,
        builder="actors.builders:build_job_manager",
        settings=(path, job_policy(config), version),
        stop_rank=3,
        whole=True,
        preload=("actors.job_manager",),
        **_common(config.settings),
    )


def _session_process(account: Account, settings: Settings) -> ProcessSpec:
    finished = os.path.join(settings.daemon.state, FINISHED_FOLDER)
    given = session_settings(account, finished_folder=finished, heard_by=(*TOLD, FRONT))
    return replace(session_process(given, verbose=True), stop_rank=3, **_common(settings))


def _common(settings: Settings) -> dict[str, Any]:
    return {"log_level": level_of(settings), "log_json": settings.daemon.log_json}


def job_policy(config: Config) -> JobPolicy:
    """What the job manager goes by, of all that was configured."""
    daemon, limits = config.settings.daemon, config.settings.limits
    schedule = tuple(
        LimitWindow(
            days=window.days,
            begin_minute=window.begin_minute,
            end_minute=window.end_minute,
            limit_bytes_s=window.limit_bytes_s,
        )
        for window in limits.schedule
    )
    return JobPolicy(
        jobs_active_max=daemon.active_max,
        jobs_max=daemon.jobs_max,
        retries_max=daemon.retries_max,
        retry_first_s=daemon.retry_first_s,
        retry_s_max=daemon.retry_s_max,
        limit_bytes_s=limits.limit_bytes_s,
        schedule=schedule,
        transfer=TransferPolicy().configured(daemon, config.account),
    )
