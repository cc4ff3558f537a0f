"""What the daemon goes by, read from file, environment and credentials, checked. Frozen; secrets are in no repr."""

from dataclasses import dataclass, field
from typing import Final

READ_ONLY: Final = "ReadOnly"
READ_WRITE: Final = "ReadWrite"
ADMINISTRATOR: Final = "Administrator"
ROLES: Final = (READ_ONLY, READ_WRITE, ADMINISTRATOR)
"""Each may what those before it may."""
PORT: Final = 5030
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """`networks`: CIDR texts of where it may be used from."""

    name: str
    key: str = field(repr=False)
    role: str = READ_ONLY
    networks: tuple[str, ...] = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]`` and ``[[api.keys]]``. `url_base` begins with a slash and does not end with one, or is empty.

    `authentication` False only where `host` is a loopback address. `username`, `password`: of the session login, none
    when empty. `hosts`: names besides the bound address that a Host header may have. `origins`: whose pages may use the
    API; none. `proxies`: CIDR texts of those whose X-Forwarded-For is believed.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    url_base: str = ""
    authentication: bool = True
    keys: tuple[ApiKey, ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    session_s: int = 7 * 86400
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    body_bytes_max: int = 4 * MIB
    requests_max: int = 256
    streams_max: int = 32
    page_max: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """``[daemon]``. Folders are absolute. `downloads`: where finished files go; `more_folders`: others that an order
    may name. `allow_private_sources`: addresses inside private networks may be fetched from."""

    state: str
    downloads: str
    more_folders: tuple[str, ...] = ()
    max_active_jobs: int = 4
    fetchers: int = 2
    chunk_size: int = 128 * 1024
    allow_private_sources: bool = False
    log_level: str = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlskdSettings:
    """``[slskd]``: the door for tools that know slskd. `widen`: what is enqueued from one user is fetched from all who
    have the same file."""

    widen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything but the Soulseek account, which only its process is given. `jwt_key` signs sessions, made at start."""

    daemon: DaemonSettings
    api: ApiSettings = ApiSettings()
    slskd: SlskdSettings = SlskdSettings()
    jwt_key: bytes = field(default=b"", repr=False)
