"""Options and arguments of the commands, each described once; and groups of options that several commands have.

A group is a struct. A command takes it as one parameter, and `spread` puts its fields on the command line. Values
are checked while they are parsed, so a command gets good ones.
"""

import inspect
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from protocol.cli import parsing
from protocol.cli.group import Mistake
from protocol.cli.parsing import DEMO_KINDS, MEMORY_LIMIT_BYTES, TARGETS_SHOWN_MAX
from protocol.model.errors import BadUsage
from protocol.model.http_options import (
    CONNECTIONS_MAX,
    HEADERS_CHARS_MAX,
    check_command,
    check_header,
    check_interface,
    check_proxy,
    check_text,
)
from protocol.model.identity import REQUIRABLE
from protocol.model.job_spec import (
    FAILURES_MAX,
    SLOW_AFTER_S,
    SLOW_RATE_BYTES_S,
    STALL_TIMEOUT_S,
    TIMEOUT_S,
    HttpOptions,
    JobSpec,
    TransferPolicy,
)
from protocol.model.limits import EXISTING, HEX_DIGITS, MODES, PATIENCE_S, RACE_USERS, RETRIES_MAX, SYNCS
from protocol.model.value import Struct, fields, replace


def _typed(check: Callable[[str], Any]) -> Callable[[Any], Any]:
    def parser(word: Any) -> Any:
        try:
            return check(word) if isinstance(word, str) else word  # a default is a checked value already
        except BadUsage as error:
            raise Mistake(str(error)) from None

    return parser


def option(*names: str, metavar: str = "", check: Callable[[str], Any] | None = None, help: str, **extra: Any) -> Any:
    """An option. What it is without its being given stands in `help`."""
    extra.setdefault("show_default", False)
    return typer.Option(*names, metavar=metavar or None, parser=check and _typed(check), help=help, **extra)


def text(*names: str, metavar: str, check: Callable[[str], str], help: str) -> Any:
    """An option with a text that is empty without it."""
    return option(*names, metavar=metavar, check=lambda word: check(word) if word else word, help=help)


def choice(name: str, words: tuple[str, ...], help: str) -> Any:
    """An option with one of these words."""
    check = partial(parsing.checked_word, name, words)
    return option(name, metavar="|".join(words), check=check, help=help, show_default=True)


def count(name: str, most: int, help: str, *more: str) -> Any:
    """An option with a number from 1 to `most`."""
    return option(
        name, *more, metavar="N", check=partial(parsing.checked_count, name, most), help=help, show_default=True
    )


def argument(metavar: str, help: str, check: Callable[[str], Any] | None = None, **extra: Any) -> Any:
    """A word of the command that is no option."""
    return typer.Argument(metavar=metavar, help=help, parser=check and _typed(check), show_default=False, **extra)


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command for typer, with the fields of its parameters that are structs as options of their own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        kind = hints[one.name]
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            parameters.append(one.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[one.name] = kind
        parameters += [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
            for each in fields(kind)
        ]

    def run(**given: Any) -> None:
        built = {
            name: kind(**{each.name: given.pop(each.name) for each in fields(kind)}) for name, kind in groups.items()
        }
        command(**given, **built)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


Urls = Annotated[
    list[str] | None,
    argument(
        "URL",
        "Where the file is: http://, https:// or slsk://user/path, as many as there are; or a Metalink document, as a "
        "file (.meta4) or an address.",
    ),
]
Term = Annotated[list[str] | None, argument("TERM", "Words of the name, as Soulseek users search for it.")]
PartPath = Annotated[
    Path, argument("PATH", "A part file, a name whose part file is meant, or a finished file.", parsing.checked_path)
]
FinishedPath = Annotated[Path, argument("PATH", "A finished file.", parsing.checked_path)]
AsMetalink = Annotated[bool, option("--metalink", help="As a Metalink 4 document. [the default]")]
AsManifest = Annotated[
    bool, option("--manifest", help="As JSON: the digest of each chunk and, with --job, the source that sent it.")
]
Mirrors = Annotated[
    list[str] | None, option("--mirror", metavar="URL", help="Where the file can be downloaded; may be repeated.")
]
PieceSize = Annotated[
    int, option("--piece-size", metavar="SIZE", check=parsing.checked_piece_size, help="[default: by the file's size]")
]
DocumentOutput = Annotated[
    str, option("-o", "--output", metavar="PATH", help="Where to; - for stdout. [default: beside it, with .meta4]")
]
MirrorsOfJob = Annotated[str, option("--job", metavar="ID", help="With the mirrors of this job of a daemon.")]
Size = Annotated[int, option(metavar="BYTES", check=parsing.checked_wanted_size, help="Exact size of the file.")]
Wait = Annotated[
    float, option(metavar="SECONDS", check=parsing.checked_wait, help="How long to wait for answers. [default: 5]")
]
Targets = Annotated[int, count("--limit", TARGETS_SHOWN_MAX, "Show at most this many targets.")]
DaemonConfig = Annotated[
    str, option("--config", metavar="PATH", help="Configuration file. [default: ~/.config/shoal/shoal.toml]")
]


def _read_config(context: typer.Context, value: Any) -> Any:
    """Read the configuration, where there is one; its [get] table has the defaults of options that are not given."""
    from protocol.config.paths import find_file

    if context.resilient_parsing or context.default_map or not isinstance(value, str | None):
        return value  # completion; or a line of a list, for which the command has read it
    is_set = any(name.startswith("SHOAL_GET_") for name in os.environ)
    if find_file(value or "", os.environ, here=True) is None and not is_set:
        return None
    from protocol.config.load import ConfigSource

    source = ConfigSource(value or "")
    values = source.merged("get")
    version = values.pop("ip_version", 0)
    context.default_map = {
        **values,
        "headers": list(values.get("headers", ())),
        "ipv4": version == 4,
        "ipv6": version == 6,
    }
    return source


Config = Annotated[
    Any,
    option(
        "--config",
        metavar="PATH",
        check=str,
        help="Configuration file. [default: ./shoal.toml, ~/.config/shoal/shoal.toml]",
        callback=_read_config,
        is_eager=True,
    ),
]
"""A `ConfigSource`, None without a file."""
FoundJson = Annotated[bool, option("--json", help="One JSON object a line; the last one is search_ended.")]
RowsJson = Annotated[bool, option("--json", help="One JSON object a line on stdout, as the API has it.")]
Output = Annotated[
    str | None,
    option(
        "-o",
        "--output",
        metavar="PATH",
        help="Name of the file, a folder, or - for stdout. [default: as at its source, here]",
    ),
]
Checksum = Annotated[
    str,
    option(
        metavar="ALGO:HEX",
        check=parsing.checked_checksum,
        help=f"What the file must hash to. ALGO: {', '.join(HEX_DIGITS)}.",
    ),
]
Limit = Annotated[
    int,
    option(
        "--limit",
        "--rate",
        metavar="RATE",
        check=partial(parsing.checked_rate, "--limit"),
        help="Receive at most this much a second, like 500K or 2.5M (MiB/s: M = 1024 * 1024). [default: no limit]",
    ),
]
Kind = Annotated[str, choice("--kind", DEMO_KINDS, "Kind of the sources that are played.")]
InputFile = Annotated[
    str,
    option(
        "-i",
        "--input-file",
        metavar="LIST|-",
        help="Fetch many files: a line for each, its addresses and then its options; also in aria2's form. -: stdin.",
    ),
]
ChecksumFile = Annotated[
    str,
    text(
        "--checksum-file",
        metavar="PATH|URL",
        check=str,
        help="File with digests, like SHA256SUMS; the line of this file's name is taken.",
    ),
]
WholeFolder = Annotated[bool, option("--folder", help="Fetch the whole folder that fits the words best, not one file.")]
Handed = Annotated[bool, option("--daemon", help="Let a running daemon do it, and show how it goes.")]
Alone = Annotated[
    bool,
    option("--no-daemon", help="Log in to Soulseek here, even where that ends the login of this user's daemon."),
]


class Loudness(Struct, frozen=True, kw_only=True):
    """Options of the display of a job."""

    json: Annotated[bool, option("--json", help="One JSON object a line on stdout; the last one is job_ended.")] = False
    quiet: Annotated[bool, option("--quiet", "-q", help="Say nothing but why it failed.")] = False
    verbose: Annotated[bool, option("--verbose", "-v", help="A line for each stored chunk.")] = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise BadUsage("--quiet and --verbose exclude each other")


class Transfer(Struct, frozen=True, kw_only=True):
    """Options of a download, whatever its sources are."""

    output: Output = None
    chunk_size: Annotated[
        int,
        option(
            metavar="SIZE",
            check=parsing.checked_chunk_size,
            help="Unit of record and retry: auto, by the size of the file, or 4K to 1M; K = 1024 bytes, M = 1024 K. "
            "[default: auto]",
        ),
    ] = 0
    checksum: Checksum = ""
    mode: Annotated[
        str,
        choice(
            "--mode",
            MODES,
            "swarm: all sources share the file by speed. queue: chunk by chunk. failover: one source at a time. "
            "race: all fetch all, first wins.",
        ),
    ] = "swarm"
    require: Annotated[
        str,
        choice(
            "--require",
            REQUIRABLE,
            "Evidence without which the file keeps its .part (exit 4). overlap: two sources agree where compared. "
            "frames: so do the file's own checks. pieces, digest: their hashes were given. decoded: its container "
            "(FLAC, Ogg, zip, gzip, bzip2, xz, zstd) was checked as a whole.",
        ),
    ] = "size"
    limit_bytes_s: Limit = 0
    preallocate: Annotated[bool, option("--preallocate", help="Reserve the disk space at once.")] = False
    sync: Annotated[str, choice("--sync", SYNCS, "full: sealed means on the disk. none: no fsync.")] = "full"
    existing: Annotated[
        str,
        choice(
            "--existing",
            EXISTING,
            "A file of that name: auto: skip it if checksum or validators prove it the same, else rename. skip: "
            "leave it. rename: fetch beside it. overwrite: replace it. resume: take it for the beginning.",
        ),
    ] = "auto"
    slow_rate_bytes_s: Annotated[
        int,
        option(
            "--slow-rate",
            metavar="RATE",
            check=partial(parsing.checked_rate, "--slow-rate"),
            help="A source below this is slow; 0: none is. [default: 5K]",
        ),
    ] = SLOW_RATE_BYTES_S
    slow_after_s: Annotated[
        float,
        option(
            "--slow-after",
            metavar="SECONDS",
            check=partial(parsing.checked_seconds, "--slow-after"),
            help="How long a slow source is tolerated. [default: 15]",
        ),
    ] = SLOW_AFTER_S
    timeout_s: Annotated[
        float,
        option(
            "--timeout",
            metavar="SECONDS",
            check=partial(parsing.checked_timeout, "--timeout"),
            help="How long a server may take to begin its answer. [default: 30]",
        ),
    ] = TIMEOUT_S
    stall_timeout_s: Annotated[
        float,
        option(
            "--stall-timeout",
            metavar="SECONDS",
            check=partial(parsing.checked_timeout, "--stall-timeout"),
            help="How long a source that sends may be silent. [default: 10]",
        ),
    ] = STALL_TIMEOUT_S
    failures_max: Annotated[int, count("--retries", RETRIES_MAX, "Failures of a source in a row before it rests.")] = (
        FAILURES_MAX
    )
    patience_s: Annotated[
        float,
        option(
            "--patience",
            metavar="SECONDS",
            check=parsing.checked_patience,
            help="A further Soulseek user is disturbed only if that saves this long, and a quarter of what is left; "
            "0: any is. [default: 15]",
        ),
    ] = PATIENCE_S
    race_users: Annotated[
        int, count("--race-users", 1000, "Soulseek users that a race disturbs at a time; losers are hung up on.")
    ] = RACE_USERS
    memory_limit: Annotated[
        int,
        option(
            "--memory-limit",
            metavar="SIZE",
            check=parsing.checked_memory,
            help="A process of the program with more is replaced. [default: 1G]",
        ),
    ] = MEMORY_LIMIT_BYTES
    max_time_s: Annotated[
        float,
        option(
            "--max-time",
            metavar="SECONDS",
            check=partial(parsing.checked_seconds, "--max-time"),
            help="Give up after this time. [default: never]",
        ),
    ] = 0.0
    on_complete: Annotated[
        str,
        text(
            "--on-complete",
            metavar="COMMAND",
            check=partial(parsing.checked_option, "--on-complete", check_command),
            help="Run this with the path of the finished file, in place of {} or at the end. No shell; one of yours "
            'should take "$SHOAL_PATH", for names may hold quotes.',
        ),
    ] = ""

    def spec(self, **fields: Any) -> JobSpec:
        """The job, with these `fields`. Whatever is called as in `JobSpec` and `TransferPolicy` is taken from here."""
        folder, name = parsing.split_target(self.output)
        policy = {one: getattr(self, one) for one in TransferPolicy.__struct_fields__ if hasattr(self, one)}
        own = {one: getattr(self, one) for one in JobSpec.__struct_fields__ if hasattr(self, one)}
        return JobSpec(folder=folder, name=name, policy=TransferPolicy(**policy), **own, **fields)

    def folder_spec(self, **fields: Any) -> JobSpec:
        """What the jobs of a folder have in common; ``-o`` is where the folder goes.

        The same command again is to fetch what is missing: a file of its name and size counts as fetched.
        """
        if parsing.copy_target(self.output):
            raise BadUsage("-o: a folder needs a folder to go into")
        place = f"{self.output.rstrip('/')}/" if self.output else self.output
        existing = "resume" if self.existing == "auto" else self.existing
        return replace(self, output=place, existing=existing).spec(**fields)

    def ignored(self) -> list[str]:
        """Options that were given and have no meaning for a daemon, which goes by its configuration."""
        return _given(self, (*(set(TransferPolicy.__struct_fields__) - ORDERED), "memory_limit"))


ORDERED: Final = frozenset(("timeout_s", "stall_timeout_s", "failures_max"))
"""Fields of the policy that an order in a daemon may carry."""


def _given(group: Any, names: Collection[str]) -> list[str]:
    """Those of these fields of a group that are not at their defaults, as options."""
    given = [one for one in fields(group) if one.name in names and getattr(group, one.name) != one.default]
    return [one.type.__metadata__[0].default for one in given]  # typer takes an option's first name for it


Interface = Annotated[
    str,
    text(
        "--interface",
        "--bind",
        metavar="NAME|ADDRESS",
        check=partial(parsing.checked_option, "--interface", check_interface),
        help="Network interface, or address of this machine, that connections leave from.",
    ),
]


class Http(Struct, frozen=True, kw_only=True):
    """Options of requests to HTTP servers."""

    headers: Annotated[
        list[str] | None,
        option(
            "--header",
            "-H",
            metavar="NAME:VALUE",
            check=partial(parsing.checked_option, "--header", check_header),
            help="A request field, or one in place of the usual; may be repeated.",
        ),
    ] = None
    user_agent: Annotated[
        str,
        text(
            "--user-agent",
            "-A",
            metavar="TEXT",
            check=partial(parsing.checked_option, "--user-agent", check_text),
            help="What the program calls itself.",
        ),
    ] = ""
    referer: Annotated[
        str,
        text(
            "--referer",
            metavar="URL",
            check=partial(parsing.checked_option, "--referer", check_text),
            help="The page that requests come from.",
        ),
    ] = ""
    cookie_file: Annotated[
        str,
        text(
            "--cookie-file",
            metavar="PATH",
            check=partial(parsing.checked_file, "--cookie-file"),
            help="Cookies in Netscape's format, as browsers and curl write them.",
        ),
    ] = ""
    netrc: Annotated[
        bool | None, option("--netrc/--no-netrc", help="Use the logins of ~/.netrc. [default: where it is private]")
    ] = None
    netrc_file: Annotated[
        str,
        text(
            "--netrc-file",
            metavar="PATH",
            check=partial(parsing.checked_file, "--netrc-file"),
            help="File with logins, in place of ~/.netrc.",
        ),
    ] = ""
    proxy: Annotated[
        str,
        text(
            "--proxy",
            metavar="URL|none",
            check=partial(parsing.checked_option, "--proxy", check_proxy),
            help="Proxy for all requests, http, https, socks5 or socks5h (looks names up itself); none: no proxy. "
            "[default: as http_proxy and https_proxy say]",
        ),
    ] = ""
    interface: Interface = ""
    ipv4: Annotated[bool, option("--ipv4", "-4", help="Connect by IPv4 only.")] = False
    ipv6: Annotated[bool, option("--ipv6", "-6", help="Connect by IPv6 only.")] = False
    https_only: Annotated[bool, option("--https-only", help="Follow no redirect from https to plain http.")] = False
    connections: Annotated[
        int, count("--connections", CONNECTIONS_MAX, "Connections to each server at once.", "-x")
    ] = 1

    def options(self) -> HttpOptions:
        """The options as they travel. Raises `BadUsage`."""
        if self.ipv4 and self.ipv6:
            raise BadUsage("-4 and -6 exclude each other")
        headers = tuple(self.headers or ())
        if sum(map(len, headers)) > HEADERS_CHARS_MAX:
            raise BadUsage(f"--header: more than {HEADERS_CHARS_MAX} characters together")
        return HttpOptions(
            headers=headers,
            user_agent=self.user_agent,
            referer=self.referer,
            cookie_file=self.cookie_file,
            netrc_file="" if self.netrc is False else parsing.netrc_file(self.netrc_file, required=bool(self.netrc)),
            proxy=self.proxy,
            interface=self.interface,
            ip_version=4 if self.ipv4 else 6 if self.ipv6 else 0,
            https_only=self.https_only,
        )

    @property
    def logins_named(self) -> bool:
        """Whether logins of a file were asked for, not only found."""
        return bool(self.netrc or self.netrc_file)


class Link(Struct, frozen=True, kw_only=True):
    """Options that reach a daemon; what is empty comes from the environment."""

    url: Annotated[
        str,
        option(metavar="URL", help="Where the daemon is. [env: SHOAL_URL; default: http://127.0.0.1:5030]"),
    ] = ""
    api_key: Annotated[
        str,
        option(metavar="KEY", help="Its API key. [env: SHOAL_API_KEY, which is better: others can see options]"),
    ] = ""
    api_key_file: Annotated[
        str,
        option(
            metavar="PATH", help="File with the key. [default: that of this user's daemon, for one on this machine]"
        ),
    ] = ""

    def __repr__(self) -> str:
        return f"Link({self.url!r})"  # without the key
