"""How the session's process is to be started. Loads nothing of what it is made of: the front asks this."""

import logging
from typing import Any

from actors.runtime.process import ProcessSpec
from actors.soulseek.settings import SessionSettings
from protocol.config.settings import Account
from protocol.messages.addresses import SESSION, split_address


def session_settings(account: Account, **changed: Any) -> SessionSettings:
    """The account as the session takes it; `changed` are more fields of `SessionSettings`."""
    return SessionSettings(
        username=account.username,
        password=account.password,
        server_host=account.server_host,
        server_port=account.server_port,
        ports=account.ports,
        obfuscated_port=account.obfuscated_port,
        bind_host=account.bind_host,
        upnp=account.upnp,
        shared_folders=account.shared_folders,
        sharing=account.sharing,
        upload_slots=account.upload_slots,
        upload_limit_kib_s=account.upload_limit_kib_s,
        searches_max=account.searches,
        searches_s=account.searches_s,
        **changed,
    )


def session_process(settings: SessionSettings, *, verbose: bool) -> ProcessSpec:
    """The process that holds the login. Its warnings are for `verbose` people: a log disturbs a live display."""
    return ProcessSpec(
        process=split_address(SESSION)[0],
        builder="actors.soulseek.actor:build",
        settings=settings,
        stop_rank=1,
        whole=True,
        log_level=logging.WARNING if verbose else logging.ERROR,
    )
