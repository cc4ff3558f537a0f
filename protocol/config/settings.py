"""Settings of the daemon and of the Soulseek account: one frozen struct for each table of ``shoal.toml``.

They are at once the schema of the file (see `protocol.config.schema`), the defaults, and what the rest of the program
is given. Secrets are in no repr.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from protocol.config.schema import RESTART as R
from protocol.config.schema import SECRET as S
from protocol.config.schema import (
    Address,
    BeginMinute,
    Broker,
    ChunkSize,
    ChunkSizeText,
    Command,
    Days,
    Destination,
    EndMinute,
    FieldText,
    FileMode,
    FleetName,
    FolderMode,
    Format,
    HeaderLine,
    Headers,
    Host,
    HostPattern,
    Interface,
    Key,
    Login,
    MemoryText,
    Name,
    Network,
    OptionalAddress,
    OptionalToken,
    OptionalWebUrl,
    OptionalWord,
    Origin,
    OutputFolder,
    OutputTemplate,
    Password,
    Path,
    Proxy,
    RateText,
    Roots,
    SocksProxy,
    Token,
    UrlBase,
    UserPath,
    WebUrl,
    Word,
)
from protocol.model.event_kinds import KINDS
from protocol.model.job_spec import (
    FAILURES_MAX,
    SLOW_AFTER_S,
    SLOW_RATE_BYTES_S,
    STALL_TIMEOUT_S,
    TIMEOUT_S,
)
from protocol.model.limits import PATIENCE_S, RACE_USERS, STOPS_PER_DAY, STOPS_PER_JOB

READ_ONLY: Final = "ReadOnly"
READ_WRITE: Final = "ReadWrite"
ADMINISTRATOR: Final = "Administrator"
ROLES: Final = (READ_ONLY, READ_WRITE, ADMINISTRATOR)
"""Each may do what those before it may."""
PORT: Final = 5030
KIB: Final = 1 << 10
MIB: Final = 1 << 20
DAY_S: Final = 86400
ANYWHERE: Final = ("0.0.0.0/0", "::/0")

Port = Annotated[int, Meta(ge=0, le=65535)]
Kib = Annotated[int, Meta(ge=0, le=1 << 30)]
Rate = Annotated[int, Meta(ge=0, le=1 << 40)]
"""Bytes a second, given as KiB a second."""
Existing = Literal["auto", "skip", "rename", "overwrite", "resume"]
Evidence = Literal["size", "overlap", "frames", "pieces", "digest", "decoded"]
_KINDS: Final = tuple(KINDS)
_EVENT: Final = Meta(max_length=len(KINDS), title="kinds of events")
_EVENTS: Final = Key("Kinds of events; none named: all that are kept.")
Events = Annotated[tuple[Literal[_KINDS], ...], _EVENT, _EVENTS]  # type: ignore[valid-type]
RowName = Annotated[Name, Key("What it is called.")]
ONE_PORT: Final = "must have one port at least; [0] is any"
ONE_NETWORK: Final = "must have one network at least; leave it out for all"
WEEK: Final = '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'
TOKEN: Final = '"at-least-16-characters"'


def _list(most: int, noun: str, *, least: int = 0, few: str = "") -> Meta:
    """Bounds of a list. `few`: what is said when it is shorter than `least`."""
    return Meta(max_length=most, title=noun, min_length=least, description=few)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """``[soulseek]``: the login and how its session behaves. `shared_folders` are absolute and exist.

    `notes` are lines that the user should read once.
    """

    username: Annotated[str, Meta(min_length=1, max_length=30), Key("The account's name.", R, example='"name"')]
    password: Annotated[str, Meta(min_length=1, max_length=200), Key("Its password.", R, S, example='"..."')] = field(
        repr=False
    )
    server_host: Annotated[Host, Key("The server.", R, name="server")] = "server.slsknet.org"
    server_port: Annotated[int, Meta(ge=1, le=65535), Key("Its port.", R, name="port")] = 2416
    ports: Annotated[
        tuple[Port, ...],
        _list(20, "ports", least=1, few=ONE_PORT),
        Key("Where peers reach us: the first that is free; 0 is any.", R, name="listen_ports"),
    ] = (0,)
    obfuscated_port: Annotated[int, Meta(ge=-1, le=65535), Key("For obfuscated peers; 0 is any, -1 none.", R)] = -1
    bind_host: Annotated[Address, Key("Address of this machine to listen on.", R, name="bind")] = "0.0.0.0"
    interface: Annotated[
        Interface,
        Key("Interface, or own address, that all its connections use; [daemon] has one for all.", R, example='"wg0"'),
    ] = ""
    proxy: Annotated[
        SocksProxy, Key("SOCKS5 proxy to the server and users.", R, S, example='"socks5h://127.0.0.1:1080"')
    ] = field(default="", repr=False)
    upnp: Annotated[bool, Key("Ask the router to forward the ports.", R)] = False
    shared_folders: Annotated[tuple[Path, ...], _list(1000, "folders"), Key("What others may download.", R)] = ()
    sharing: Annotated[bool, Key("false: share nothing. Many users ban those who do.", R)] = True
    watch: Annotated[
        bool,
        Key(
            "After another login of the name: a second account, NAME-watch, sees when it is over. "
            "false: log in again after growing pauses of minutes.",
            R,
        ),
    ] = True
    upload_slots: Annotated[int, Meta(ge=1, le=100), Key("Uploads at the same time.", R)] = 2
    upload_limit_kib_s: Annotated[Kib, Key("Limit of all uploads together; 0: none.", R)] = 0
    searches: Annotated[int, Meta(ge=1, le=1000), Key("Largest number of searches ...", R)] = 34
    searches_s: Annotated[float, Meta(ge=1, le=86400), Key("... within this many seconds.", R)] = 220.0
    stops_per_job: Annotated[
        int,
        Meta(ge=0, le=1000),
        Key("Aborted transfers of one user, for one file or within an hour for those of its folder ..."),
    ] = STOPS_PER_JOB
    stops_per_day: Annotated[int, Meta(ge=0, le=1000), Key("... and in a day.")] = STOPS_PER_DAY
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """``[[api.keys]]``. `networks`: CIDR texts of where it may be used from."""

    name: RowName
    key: Annotated[Token, Key("16 to 255 characters.", S, example=TOKEN)] = field(repr=False)
    role: Annotated[Literal["ReadOnly", "ReadWrite", "Administrator"], Key("One of the three roles.")] = READ_ONLY
    networks: Annotated[
        tuple[Network, ...],
        _list(16, "networks", least=1, few=ONE_NETWORK),
        Key("Where it may be used from.", name="cidr"),
    ] = ANYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]`` and ``[[api.keys]]``. `url_base` begins with a slash and does not end with one, or is empty.

    `authentication` is False only where `host` is a loopback address. `username` and `password` are both there or both
    empty. `streams_max` are part of `requests_max`.
    """

    host: Annotated[Host, Key("Where it listens; 0.0.0.0: everywhere.", R)] = "127.0.0.1"
    port: Annotated[Port, Key("0: any that is free.", R)] = PORT
    url_base: Annotated[UrlBase, Key("Path below which a proxy shows it.", R, example='"/"')] = ""
    authentication: Annotated[bool, Key("false: no key is needed; only on a loopback address.")] = True
    keys: tuple[ApiKey, ...] = ()
    username: Annotated[Login, Key("Of the login for people.", example='"name"')] = ""
    password: Annotated[Password, Key("Its password.", S, example='"8 characters at least"')] = field(
        default="", repr=False
    )
    session_s: Annotated[
        int, Meta(ge=DAY_S, le=365 * DAY_S), Key("How long a login holds.", name="session_days", unit=DAY_S)
    ] = 7 * DAY_S
    hosts: Annotated[tuple[HostPattern, ...], _list(50, "names"), Key("Its names, besides localhost.")] = ()
    origins: Annotated[tuple[Origin, ...], _list(50, "origins"), Key("Other web pages that may use it.")] = ()
    proxies: Annotated[tuple[Network, ...], _list(50, "networks"), Key("Whose X-Forwarded-For is believed.")] = ()
    body_bytes_max: Annotated[
        int, Meta(ge=KIB, le=64 * MIB), Key("Largest body of a request.", name="max_body_kib", unit=KIB)
    ] = 4 * MIB
    requests_max: Annotated[int, Meta(ge=1, le=450), Key("Requests at the same time.", name="max_requests")] = 256
    streams_max: Annotated[int, Meta(ge=1, le=450), Key("Event streams at the same time.", name="max_streams")] = 32
    page_max: Annotated[int, Meta(ge=1, le=10_000), Key("Rows of a list in one answer.", name="max_page")] = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """``[daemon]``. Folders are absolute."""

    state: Annotated[Path, Key("Where the job store is.", R, default='"~/.local/state/shoal"')]
    downloads: Annotated[Path, Key("Where files go.", default='"~/.local/share/shoal/downloads"')]
    more_folders: Annotated[tuple[Path, ...], _list(50, "folders"), Key("Other folders that an order may name.")] = ()
    active_max: Annotated[int, Meta(ge=1, le=1000), Key("Jobs that run at the same time.", name="max_active_jobs")] = 4
    jobs_max: Annotated[int, Meta(ge=1, le=1_000_000), Key("Jobs that have not ended.", name="max_jobs")] = 10_000
    fetchers: Annotated[int, Meta(ge=0, le=16), Key("Processes that receive; 0: as fits this machine.", R)] = 0
    chunk_size: Annotated[
        ChunkSize, Key("Unit of record and retry; 0: by the size of the file.", name="chunk_kib", unit=KIB)
    ] = 0
    preallocate: Annotated[bool, Key("Reserve the disk space at once.")] = False
    sync: Annotated[Literal["full", "none"], Key("full: a sealed file is on the disk.")] = "full"
    slow_rate_bytes_s: Annotated[int, Meta(ge=0, le=1 << 30), Key("A source below this is slow; 0: none is.")] = (
        SLOW_RATE_BYTES_S
    )
    slow_after_s: Annotated[float, Meta(ge=1, le=3600), Key("How long a slow source is tolerated.")] = SLOW_AFTER_S
    timeout_s: Annotated[float, Meta(ge=0.1, le=120), Key("How long a server may take to begin its answer.")] = (
        TIMEOUT_S
    )
    stall_timeout_s: Annotated[float, Meta(ge=0.1, le=120), Key("How long a source that sends may be silent.")] = (
        STALL_TIMEOUT_S
    )
    failures_max: Annotated[
        int, Meta(ge=1, le=1000), Key("Failures of a source in a row before it rests.", name="source_failures")
    ] = FAILURES_MAX
    required: Annotated[
        Evidence, Key("Evidence about the content without which no file is sealed.", name="require")
    ] = "size"
    patience_s: Annotated[
        float, Meta(ge=0, le=86400), Key("A further user is disturbed if that saves this long; 0: any is.")
    ] = PATIENCE_S
    race_users: Annotated[int, Meta(ge=1, le=1000), Key("Users that a race disturbs at a time.")] = RACE_USERS
    retries_max: Annotated[int, Meta(ge=0, le=100), Key("Attempts after a first that failed.", name="retries")] = 3
    retry_first_s: Annotated[float, Meta(ge=1, le=86400), Key("Wait before the first of them; it grows.")] = 30.0
    retry_s_max: Annotated[float, Meta(ge=1, le=604800), Key("Longest wait.", name="retry_max_s")] = 3600.0
    interface: Annotated[
        Interface,
        Key(
            "Interface, or own address, that all transfers use, Soulseek too; all wait for it. Not bound: names are "
            "looked up by the system (a socks5h proxy does it at its end); webhooks, the page, a fleet's brokers and "
            "store go the usual way.",
            R,
            example='"wg0"',
        ),
    ] = ""
    output_template: Annotated[
        OutputTemplate,
        Key(
            "Where finished files go below downloads, unless an order names a folder; from tags and origin: "
            "artist, albumartist, album, title, track, disc, year, genre, user, folder, host, name, ext.",
            name="output",
            example='"{artist}/{album}/{track} {title}{ext}"',
        ),
    ] = ""
    roots: Annotated[
        Roots,
        Key("Folders for kinds of them: audio, video, image, text, archive, disk, other.", default="{}"),
    ] = ()
    file_mode: Annotated[FileMode, Key("Mode of finished files; empty: as the system says.", example='"0640"')] = ""
    folder_mode: Annotated[FolderMode, Key("The same of folders made for them.", example='"0750"')] = ""
    allow_private_sources: Annotated[bool, Key("URLs may point into private networks, and at this machine.")] = False
    log_level: Annotated[Literal["error", "warning", "info", "debug"], Key("What goes to stderr.")] = "warning"
    log_json: Annotated[bool, Key("One JSON object a line.", R)] = False

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders that orders may put files into."""
        return (self.downloads, *self.more_folders)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWindow:
    """``[[limits.schedule]]``, in local time. `days`: 0 is Monday.

    An end that is not after the beginning is on the next day.
    """

    days: Annotated[Days, Key("Days of its beginning.", default=WEEK)] = (0, 1, 2, 3, 4, 5, 6)
    begin_minute: Annotated[BeginMinute, Key("When it begins, local time.", name="from", example='"01:00"')]
    end_minute: Annotated[EndMinute, Key("When it ends, perhaps on the next day.", name="to", example='"07:30"')]
    limit_bytes_s: Annotated[Rate, Key("0: no limit.", name="rate_kib_s", unit=KIB, example="0")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``, of all jobs together. The first fitting window of the schedule holds."""

    limit_bytes_s: Annotated[Rate, Key("All downloads together; 0: no limit.", name="rate_kib_s", unit=KIB)] = 0
    schedule: tuple[LimitWindow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """``[[webhooks]]``: events are sent to `url`, signed when there is a `secret`."""

    name: RowName
    url: Annotated[WebUrl, Key("Where events are sent.", example='"https://example.org/hook"')] = field(repr=False)
    events: Events = ()
    secret: Annotated[OptionalToken, Key("Signs what is sent (HMAC).", S, example=TOKEN)] = field(
        default="", repr=False
    )
    headers: Annotated[Headers, Key("Sent along.", default="{}")] = field(default=(), repr=False)
    timeout_s: Annotated[float, Meta(ge=1, le=120), Key("How long an answer is waited for.")] = 10.0
    attempts: Annotated[int, Meta(ge=1, le=20), Key("How often each event is tried.")] = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``[[scripts]]``: `command` is run for each of `events`, without a shell."""

    name: RowName
    command: Annotated[
        tuple[Word, ...],
        _list(50, "words", least=1, few="must name a program"),
        Key("Program and arguments; no shell.", example='["/usr/local/bin/tag"]'),
    ]
    events: Events = ()
    timeout_s: Annotated[float, Meta(ge=1, le=86400), Key("It is ended after this time.")] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlskdSettings:
    """``[slskd]``: the API for tools that know slskd."""

    widen: Annotated[bool, Key("What is enqueued from one user is downloaded from all who have that file.")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """``[fleet]``: the node of this daemon among other machines. Without `servers` there is none. Paths are absolute.

    Only the fleet's own process is given it: it holds the bucket's key.
    """

    servers: Annotated[
        tuple[Broker, ...], _list(16, "brokers"), Key("Brokers (NATS with JetStream); none: no fleet.", R)
    ] = ()
    name: Annotated[FleetName, Key("The fleet's name: part of the names of its buckets and subjects.", R)] = "shoal"
    node: Annotated[
        Annotated[str, Format(str, FleetName)], Key("This machine's name in it.", R, default='"the host\'s name"')
    ] = ""
    destination: Annotated[
        Destination,
        Key(
            "Where finished files go; the same at every node. node://NAME/folder: that node's own folder.",
            R,
            example='"s3://bucket/folder"',
        ),
    ] = ""
    endpoint: Annotated[
        OptionalWebUrl,
        Key("Address of the S3 server, where it is not Amazon's.", R, example='"https://s3.example.org"'),
    ] = ""
    region: Annotated[OptionalWord, Key("Of the bucket.", R, example='"eu-central-1"')] = ""
    access_key: Annotated[
        OptionalWord,
        Key("Of the bucket; without one as S3's tools find it (AWS_ACCESS_KEY_ID ...).", R, S, example='"..."'),
    ] = field(default="", repr=False)
    secret_key: Annotated[OptionalWord, Key("Its secret.", R, S, example='"..."')] = field(default="", repr=False)
    lent_key: Annotated[
        bool, Key("true: this node has no key of the bucket; another one signs each part's address.", R)
    ] = False
    parts_host: Annotated[
        OptionalAddress,
        Key(
            "Where the node of node://... reads parts from this one; by itself: as brokers are reached.",
            R,
            example='"10.0.0.2"',
        ),
    ] = ""
    parts_port: Annotated[Port, Key("0: any that is free.", R)] = 0
    key_file: Annotated[
        UserPath, Key("NKEY seed that this node logs in with at the brokers.", R, example='"node.nk"')
    ] = ""
    creds_file: Annotated[UserPath, Key("Credentials file (JWT) in its place.", R, example='"node.creds"')] = ""
    ca_file: Annotated[
        UserPath,
        Key("Certificates that the brokers' are signed by; tls:// alone: the system's.", R, example='"ca.pem"'),
    ] = ""
    replicas: Annotated[int, Meta(ge=1, le=5), Key("Brokers that hold each row: 3 where there are three.", R)] = 1
    jobs: Annotated[int, Meta(ge=1, le=1000), Key("Jobs of the fleet that this node works on at a time.", R)] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSettings:
    """``[get]``: defaults of the options of ``get`` and ``swarm``. Fields are called like the options'."""

    output: Annotated[OutputFolder, Key("Where files go.", name="folder", default='"."')] = "./"
    limit_bytes_s: Annotated[
        RateText, Key("Receive at most this much a second, like 500K.", name="limit", default='"0"')
    ] = 0
    chunk_size: Annotated[ChunkSizeText, Key("Unit of record and retry, 4K to 1M.", default='"auto"')] = 0
    mode: Annotated[Literal["swarm", "queue", "failover", "race"], Key("How sources share the file.")] = "swarm"
    require: Annotated[Evidence, Key("Evidence about the content without which a file is not sealed.")] = "size"
    preallocate: Annotated[bool, Key("Reserve the disk space at once.")] = False
    sync: Annotated[Literal["full", "none"], Key("full: a sealed file is on the disk.")] = "full"
    slow_rate_bytes_s: Annotated[RateText, Key("A source below this is slow.", name="slow_rate", default='"5K"')] = (
        SLOW_RATE_BYTES_S
    )
    slow_after_s: Annotated[
        float, Meta(ge=0.1, le=86400), Key("How long a slow source is tolerated.", name="slow_after")
    ] = SLOW_AFTER_S
    timeout_s: Annotated[
        float, Meta(ge=0.1, le=120), Key("How long a server may take to begin its answer.", name="timeout")
    ] = TIMEOUT_S
    stall_timeout_s: Annotated[
        float, Meta(ge=0.1, le=120), Key("How long a source that sends may be silent.", name="stall_timeout")
    ] = STALL_TIMEOUT_S
    failures_max: Annotated[
        int, Meta(ge=1, le=1000), Key("Failures of a source in a row before it rests.", name="retries")
    ] = FAILURES_MAX
    patience_s: Annotated[
        float,
        Meta(ge=0, le=86400),
        Key("A further user is disturbed if it saves this long; 0: any is.", name="patience"),
    ] = PATIENCE_S
    race_users: Annotated[int, Meta(ge=1, le=1000), Key("Users that a race disturbs at a time.")] = RACE_USERS
    headers: Annotated[
        tuple[HeaderLine, ...], _list(50, "fields"), Key("Request fields, Name: value.", S, name="header")
    ] = ()
    user_agent: Annotated[FieldText, Key("What the program calls itself.", example='"shoal"')] = ""
    referer: Annotated[FieldText, Key("The page that a request comes from.", example='"https://example.org/"')] = ""
    cookie_file: Annotated[UserPath, Key("Cookies in Netscape's format.", example='"cookies.txt"')] = ""
    netrc: Annotated[bool, Key("Use the logins of ~/.netrc, where only its owner can read it.")] = True
    netrc_file: Annotated[UserPath, Key("Another file with logins.", example='"/home/me/netrc"')] = ""
    proxy: Annotated[Proxy, Key("Address of a proxy; none: not even the environment's.", S, example='"none"')] = ""
    interface: Annotated[Interface, Key("Interface or own address that connections leave from.", example='"tun0"')] = ""
    ip_version: Annotated[Literal[0, 4, 6], Key("4 or 6: only this one; 0: both.")] = 0
    https_only: Annotated[bool, Key("Follow no redirect from https to plain http.")] = False
    connections: Annotated[int, Meta(ge=1, le=16), Key("Connections to each server.")] = 1
    max_time_s: Annotated[float, Meta(ge=0, le=2592000), Key("Give up after this time; 0: never.", name="max_time")] = (
        0.0
    )
    memory_limit: Annotated[MemoryText, Key("A process with more is replaced.", default='"1G"')] = 1 << 30
    existing: Annotated[Existing, Key("What is done with a file that has the name.")] = "auto"
    on_complete: Annotated[Command, Key("Command to run with a sealed file.", example='"chmod 640"')] = ""


class Table(NamedTuple):
    """A table of the file. `rows`: it may stand several times, ``[[...]]``."""

    kind: type
    meaning: str
    rows: bool = False


TABLES: Final = {
    "soulseek": Table(Account, "The account. Without one there are HTTP sources only."),
    "get": Table(GetSettings, "Defaults of the options of get and swarm."),
    "daemon": Table(DaemonSettings, "Folders, and how jobs are treated."),
    "limits": Table(LimitSettings, "How fast everything together may be."),
    "limits.schedule": Table(LimitWindow, "Another limit at some time of the week; the first that fits holds.", True),
    "api": Table(ApiSettings, "What people's tools talk to."),
    "api.keys": Table(ApiKey, "Without any, and without a login, the daemon makes one for an administrator.", True),
    "webhooks": Table(Webhook, "Addresses that events are sent to.", True),
    "scripts": Table(Script, "Programs that are run when something happened.", True),
    "slskd": Table(SlskdSettings, "The API for tools that know slskd."),
    "fleet": Table(FleetSettings, "Other machines that share one list of jobs, over NATS JetStream, and one store."),
}
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountShown:
    """Part of the Soulseek account that may be shown; all empty without one."""

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
