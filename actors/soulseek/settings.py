"""Settings and time limits of the Soulseek session, and the process that holds it. Loads nothing of what runs there."""

import logging
from dataclasses import dataclass, field
from typing import Any

from actors.core.peers.input_checks import NAME_CHARS_MAX
from actors.core.peers.negotiation_parts import (
    NegotiationTimes,
)
from actors.runtime.process import ProcessSpec
from protocol.config.settings import Account
from protocol.messages.addresses import FRONT, POOL, SESSION, split_address


class SessionTimes(NegotiationTimes, frozen=True, kw_only=True):
    """Time limits of the session, in seconds; those of negotiations are inherited. Tests make them shorter."""

    connect_s_max: float = 15.0
    """To a peer, direct and indirect together."""
    login_s_max: float = 20.0
    """A request that comes while the login is on its way waits so long for it."""
    server_s_max: float = 5.0
    """A query about a user is answered by the server within so long."""
    browse_s_max: float = 30.0
    """A user may take so long to list its shares: some make the list when they are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Everything the session needs. Pickles; the password is in no repr."""

    username: str
    password: str = field(repr=False)
    server_host: str = "server.slsknet.org"
    server_port: int = 2416
    ports: tuple[int, ...] = (0,)
    """Listening ports, the first that is free is taken. 0: any; better a fixed one where a router forwards it."""
    retry_ports: bool = False
    """Look again for a free one while all are taken, as a daemon does; else the session ends with that."""
    obfuscated_port: int = -1
    """A second listening port for obfuscated connections. 0: any, -1: none."""
    bind_host: str = "0.0.0.0"
    interface: str = ""
    """Network interface, or own address, that all connections leave from and come by; empty: any."""
    proxy: str = field(default="", repr=False)
    """SOCKS5 address that the server and peers are called through; empty: directly."""
    upnp: bool = False
    shared_folders: tuple[str, ...] = ()
    sharing: bool = True
    """False: share nothing, not even finished files. Many users ban those who do."""
    finished_folder: str = ""
    """Where links to finished files are kept, which are shared. Empty: they are not."""
    watch: bool = True
    """A second account watches for the end of another login of the name; else a return is tried after minutes."""
    upload_slots: int = 2
    upload_limit_kib_s: int = 0
    """0: none."""
    searches_max: int = 34
    searches_s: float = 220.0
    """At most `searches_max` searches in any `searches_s`: the server bans clients that search more."""
    retry_s: tuple[float, float] = (1.0, 60.0)
    """First and longest pause between attempts to log in."""
    times: SessionTimes = field(default_factory=SessionTimes)
    heard_by: tuple[str, ...] = (POOL, FRONT)
    """Addresses that get `SessionChanged`. Processes that do not run must not be named: each costs a wait."""

    def __post_init__(self) -> None:
        if not 0 < len(self.username) <= NAME_CHARS_MAX or not self.username.isprintable():
            raise ValueError(f"a Soulseek user name has 1 to {NAME_CHARS_MAX} printable characters")
        for port in (*self.ports, self.server_port, max(self.obfuscated_port, 0)):
            if not 0 <= port <= 65535:
                raise ValueError(f"{port} is no port")
        if not self.ports:
            raise ValueError("no listening port")


def session_settings(account: Account, **changed: Any) -> SessionSettings:
    """Return the account as the session takes it; `changed` are more fields of `SessionSettings`."""
    return SessionSettings(
        username=account.username,
        password=account.password,
        server_host=account.server_host,
        server_port=account.server_port,
        ports=account.ports,
        obfuscated_port=account.obfuscated_port,
        bind_host=account.bind_host,
        interface=account.interface,
        proxy=account.proxy,
        upnp=account.upnp,
        shared_folders=account.shared_folders,
        sharing=account.sharing,
        watch=account.watch,
        upload_slots=account.upload_slots,
        upload_limit_kib_s=account.upload_limit_kib_s,
        searches_max=account.searches,
        searches_s=account.searches_s,
        **changed,
    )


def session_process(settings: SessionSettings, *, verbose: bool) -> ProcessSpec:
    """Return the process that holds the login. Its warnings are for `verbose` people: a log disturbs a live display."""
    return ProcessSpec(
        process=split_address(SESSION)[0],
        builder="actors.soulseek.actor:build",
        settings=settings,
        stop_rank=1,
        whole=True,
        log_level=logging.WARNING if verbose else logging.ERROR,
    )
