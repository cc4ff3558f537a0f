"""What the daemon goes by, read from file, environment and credentials, checked. Frozen; secrets are in no repr."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

READ_ONLY: Final = "ReadOnly"
READ_WRITE: Final = "ReadWrite"
ADMINISTRATOR: Final = "Administrator"
ROLES: Final = (READ_ONLY, READ_WRITE, ADMINISTRATOR)
"""Each may what those before it may."""
PORT: Final = 5030
KIB: Final = 1 << 10
MIB: Final = 1 << 20
ANYWHERE: Final = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """`networks`: CIDR texts of where it may be used from."""

    name: str
    key: str = field(repr=False)
    role: str = READ_ONLY
    networks: tuple[str, ...] = ANYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]`` and ``[[api.keys]]``. `url_base` begins with a slash and does not end with one, or is empty.

    `authentication` False only where `host` is a loopback address. `username`, `password`: of the session login, none
    when empty. `hosts`: names besides the bound address that a Host header may have. `origins`: whose pages may use the
    API. `proxies`: CIDR texts of those whose X-Forwarded-For is believed. `streams_max` are of the `requests_max`.
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
    """``[daemon]``. Folders are absolute. `state`: where the job store is. `downloads`: where finished files go;
    `more_folders`: others that an order may name. `fetchers` 0: as many as fit this machine.
    `allow_private_sources`: addresses inside private networks may be fetched from. `retries_max`: so often a job that
    failed without its fault is tried again by itself."""

    state: str
    downloads: str
    more_folders: tuple[str, ...] = ()
    active_max: int = 4
    jobs_max: int = 10_000
    fetchers: int = 0
    chunk_size: int = 128 * KIB
    preallocate: bool = False
    sync: str = "full"
    slow_rate_bytes_s: int = 5000
    slow_after_s: float = 15.0
    retries_max: int = 3
    retry_first_s: float = 30.0
    retry_s_max: float = 3600.0
    allow_private_sources: bool = False
    log_level: str = "warning"
    log_json: bool = False

    @property
    def folders(self) -> tuple[str, ...]:
        """Where orders may put files: inside these."""
        return (self.downloads, *self.more_folders)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWindow:
    """``[[limits.schedule]]``: another limit for all jobs together at some time of the week, local time. `days`: 0 is
    Monday, of its beginning; an end that is not after the beginning is on the next day. `limit_bytes_s` 0: none."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    begin_minute: int
    end_minute: int
    limit_bytes_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``, of all jobs together. 0: none. The first fitting window of the schedule wins."""

    limit_bytes_s: int = 0
    schedule: tuple[LimitWindow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """``[[webhooks]]``: events are sent to `url`. `events` are of `protocol.model.event_kinds.KINDS`, empty: all that
    are kept.
    `secret` signs what is sent, when not empty. `attempts`: so often each is tried."""

    name: str
    url: str = field(repr=False)
    events: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_s: float = 10.0
    attempts: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``[[scripts]]``: `command` is run for each of `events` (as for a webhook), no shell between."""

    name: str
    command: tuple[str, ...]
    events: tuple[str, ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlskdSettings:
    """``[slskd]``: the door for tools that know slskd. `widen`: what is enqueued from one user is fetched from all who
    have the same file."""

    widen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountShown:
    """What may be told of the Soulseek account; all empty without one."""

    username: str = ""
    server_host: str = ""
    server_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything but the secrets of the Soulseek account, which only its process is given. `jwt_key` signs sessions."""

    daemon: DaemonSettings
    api: ApiSettings = ApiSettings()
    limits: LimitSettings = LimitSettings()
    webhooks: tuple[Webhook, ...] = ()
    scripts: tuple[Script, ...] = ()
    slskd: SlskdSettings = SlskdSettings()
    account: AccountShown = AccountShown()
    jwt_key: bytes = field(default=b"", repr=False)


# Settings on their way between processes, as JSON in parts that fit a frame.

PART_BYTES_MAX: Final = 48_000


def parts_of(settings: Settings) -> Iterator[tuple[bytes, bool]]:
    """``(part, whether it is the last)``, in order."""
    text = msgspec.json.encode(settings)
    starts = range(0, len(text), PART_BYTES_MAX)
    for start in starts:
        yield text[start : start + PART_BYTES_MAX], start == starts[-1]


def settings_of(text: bytes) -> Settings:
    """The parts together, read. Raises `ValueError` for what is none."""
    return msgspec.json.decode(text, type=Settings)
