"""From the command line to a running daemon."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from actors.daemon.preflight import check_fleet_extra
from actors.runtime import log_setup
from actors.runtime.loading import loading
from actors.runtime.spawn import warm
from protocol.cli.parsing import DaemonOptions
from protocol.config.load import Config, load
from protocol.model.errors import BadUsage

UNIT_FILE: Final = "shoal.service"
USAGE: Final = 2
PRELOADED: Final = (
    "actors.api.gateway_actor",
    "actors.api.process",
    "actors.api.server",
    "actors.assembler",
    "actors.builders",
    "actors.hub",
    "actors.job_manager",
    "actors.peer_history",
    "actors.peer_worker",
    "actors.runtime.process_root",
    "actors.sources.http.reader",
    "protocol.http_api.app",
)
"""Loaded once for all children."""
PRELOADED_SESSION: Final = ("actors.soulseek.network", "actors.soulseek.actor")
"""Half a second and tens of megabytes: only with an account."""


def run(options: DaemonOptions) -> int:
    """The exit code. Raises `BadUsage` for a configuration or a place that cannot be used."""
    if options.show:
        sys.stdout.write(_shown(options))
        return 0
    log_setup.set_up("front", logging.WARNING, as_json=options.log_json)
    try:
        return _run(options)
    except BadUsage as error:
        if not options.log_json:
            raise
        logging.getLogger(log_setup.NOTICES).error("%s", error)
        return USAGE


def _run(options: DaemonOptions) -> int:
    config = _loaded(options)
    if config.fleet is not None:
        check_fleet_extra()
    with loading():
        warm((*PRELOADED, *(PRELOADED_SESSION if config.account is not None else ())))
        from actors.daemon.front import Daemon
        from actors.daemon.processes import level_of
        from actors.daemon.systemd import SystemdNotifier

    log_setup.set_up("front", level_of(config.settings), as_json=config.settings.daemon.log_json)
    daemon = Daemon(config, load=lambda: _loaded(options), version=options.version, notify=SystemdNotifier(os.environ))
    return daemon.run()


def _loaded(options: DaemonOptions) -> Config:
    config = load(options.config, servers=tuple(word.strip() for word in options.fleet.split(",") if word.strip()))
    settings = config.settings
    if options.log_json:
        settings = replace(settings, daemon=replace(settings.daemon, log_json=True))
    return replace(config, settings=settings)


def _shown(options: DaemonOptions) -> str:
    if options.show == "config":
        from protocol.config.file import printed

        return printed()
    from actors.daemon.systemd import unit_file

    config = [os.path.abspath(options.config)] if options.config else []
    root = Path(__file__).parents[2]
    entry = next(path for name in ("run.py", "__main__.py") if (path := root / name).exists())  # checkout, wheel
    command = [sys.executable, str(entry), "daemon", *(["--config", *config] if config else [])]
    unit = (Path(__file__).parent / UNIT_FILE).read_text(encoding="utf-8")
    return unit_file(unit, command, [str(root), sys.prefix, sys.base_prefix, *config])
