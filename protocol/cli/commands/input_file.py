"""Lists of files for ``get -i``: a line for each file, and its options.

A line has the addresses of one file and then options as on the command line: ``http://a/x http://b/x -o x``. Lines that
begin with a space continue it, with options in the same form or in aria2's, ``name=value``. Empty lines and those that
begin with ``#`` are skipped. Every line is checked before anything is fetched.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import typer

from protocol.cli.commands.documents import is_document
from protocol.cli.group import Mistake
from protocol.cli.parsing import checked_urls
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage
from protocol.model.http_options import CONNECTIONS_MAX
from protocol.model.limits import RETRIES_MAX, TIMEOUT_S_MAX
from protocol.model.printable import printable

LIST_BYTES_MAX: Final = 16 << 20
FILES_MAX: Final = 10_000
STDIN: Final = "-"


@dataclass(slots=True)
class Entry:
    """One file of a list: its line, from 1, and the words of a ``get`` for it."""

    line: int
    urls: list[str]
    options: list[str] = field(default_factory=list)
    folder: str = ""
    name: str = ""
    login: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where aria2's options want it, empty without any."""
        return os.path.join(self.folder, self.name) if self.folder or self.name else ""

    @property
    def words(self) -> list[str]:
        """The words of its command."""
        urls = [self._with_login(url) for url in self.urls]
        return [*self.options, *(["-o", self.place] if self.place else []), "--", *urls]

    def _with_login(self, url: str) -> str:
        scheme, sep, rest = url.partition("://")
        if not self.login or scheme.lower() not in ("http", "https") or "@" in rest.partition("/")[0]:
            return url
        user, password = (quote(self.login.get(name, ""), safe="") for name in ("http-user", "http-passwd"))
        return f"{scheme}{sep}{user}:{password}@{rest}"

    def make_folder(self) -> None:
        """Make the folder of a place as aria2 does; what stands against it is said when the file is begun."""
        with contextlib.suppress(OSError, ValueError):
            os.makedirs(os.path.dirname(self.place) or ".", exist_ok=True)


def get_each(context: typer.Context, list_file: str, urls: Sequence[str]) -> ExitCode:
    """Fetch the files of a list one after another. The exit code of the first that failed, 0 when none did.

    Options of the command hold for every file that has none of its own.
    """
    if urls:
        raise BadUsage("-i: the addresses stand in the list, not beside it")
    shown = "stdin" if list_file == STDIN else printable(list_file)
    outer = {name: value for name, value in context.params.items() if name not in ("urls", "input_file")}
    entries = read_list(_text_of(list_file, shown), shown)
    files = [_checked(context, entry, outer, shown) for entry in entries]
    if not files:
        raise BadUsage(f"-i {shown}: there is no address in it")
    failed = ExitCode.SEALED
    for entry, each in zip(entries, files, strict=True):
        if entry.place and not (each.params.get("daemon") or each.params.get("url")):
            entry.make_folder()
        code = _run(context, each)
        if code == ExitCode.INTERRUPTED:
            return code
        failed = failed or code
    return failed


def _checked(context: typer.Context, entry: Entry, outer: dict[str, Any], shown: str) -> Any:
    """The context of the command for one file. Raises `BadUsage` with its line."""
    try:
        made = context.command.make_context(context.info_name, entry.words, context.parent, default_map=outer)
        if made.params["input_file"]:
            raise BadUsage("-i: a list cannot name another one")
        urls = [url for url in made.params["urls"] or () if not is_document(url)]
        if urls or not made.params["urls"]:
            checked_urls(urls)
        return made
    except (BadUsage, Mistake) as error:
        raise BadUsage(f"{shown}:{entry.line}: {error}") from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer's usage errors share over its versions
            raise
        raise BadUsage(f"{shown}:{entry.line}: {error.format_message()}") from None


def _run(context: typer.Context, made: Any) -> ExitCode:
    try:
        with made:
            context.command.invoke(made)
    except typer.Exit as end:
        return ExitCode(end.exit_code)
    raise AssertionError("the command ends with its exit code")


def _text_of(list_file: str, shown: str) -> str:
    try:
        if list_file == STDIN:
            raw = sys.stdin.buffer.read(LIST_BYTES_MAX + 1) if sys.stdin is not None else b""
        else:
            with open(list_file, "rb") as file:
                raw = file.read(LIST_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadUsage(f"-i {shown}: cannot be read: {why}") from None
    if len(raw) > LIST_BYTES_MAX:
        raise BadUsage(f"-i {shown}: longer than {LIST_BYTES_MAX >> 20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadUsage(f"-i {shown}: is not UTF-8") from None


def read_list(text: str, shown: str) -> list[Entry]:
    """The files of a list. Raises `BadUsage` with the line of what cannot be understood."""
    entries: list[Entry] = []
    for number, line in _lines(text):
        try:
            if not line[0].isspace():
                entries.append(Entry(line=number, urls=[]))
                _take_words(entries[-1], line)
            elif not entries:
                raise ValueError("an option before the first address")
            elif line.lstrip().startswith("-"):
                _take_words(entries[-1], line)
            else:
                _take_aria2(entries[-1], line.strip())
        except ValueError as error:
            raise BadUsage(f"{shown}:{number}: {error}") from None
    if len(entries) > FILES_MAX:
        raise BadUsage(f"{shown}: {len(entries)} files, at most {FILES_MAX}")
    return entries


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _take_words(entry: Entry, line: str) -> None:
    """Take addresses as they are, whatever quotes and backslashes they have; from the first option on as in a shell."""
    rest = line.strip()
    while rest and not rest.startswith("-"):
        url, *more = rest.split(None, 1)
        entry.urls.append(url)
        rest = more[0] if more else ""
    try:
        entry.options += shlex.split(rest)
    except ValueError:
        raise ValueError("a quote is not closed") from None


def _take_aria2(entry: Entry, line: str) -> None:
    name, equals, value = line.partition("=")
    if not equals:
        raise ValueError("an option is written --name value, or name=value")
    if name == "dir":
        entry.folder = os.path.join(value, "")
    elif name == "out":
        entry.name = value
    elif name in ("http-user", "http-passwd"):
        entry.login[name] = value
    elif name == "auto-file-renaming" and "--existing" in entry.options:
        pass  # what may be overwritten needs no other name
    elif name in _ARIA2:
        entry.options += _ARIA2[name](value)
    elif name not in _WITHOUT_EFFECT and _ONLY_IF.get(name) != value.strip().lower():
        raise ValueError(f"the option {printable(name)[:40]!r} of aria2 has no like here")


def _same(option: str) -> Callable[[str], list[str]]:
    return lambda value: [option, value]


def _if(word: str, *options: str) -> Callable[[str], list[str]]:
    """The options for one value of a switch; nothing for another, which is what is done anyway."""
    return lambda value: list(options) if value.strip().lower() == word else []


def _checksum(value: str) -> list[str]:
    algorithm, _, digest = value.partition("=")
    return ["--checksum", f"{algorithm.replace('-', '')}:{digest}"]


def _at_most(option: str, most: int) -> Callable[[str], list[str]]:
    """The option with a number, which may be larger in aria2; its 0 is no limit there."""

    def options(value: str) -> list[str]:
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"{value[:20]!r} is not a number")
        return [option, str(min(int(value[:9]) or most, most))]

    return options


_ARIA2: Final[dict[str, Callable[[str], list[str]]]] = {
    "all-proxy": _same("--proxy"),
    "allow-overwrite": _if("true", "--existing", "overwrite"),
    "auto-file-renaming": _if("false", "--existing", "skip"),
    "checksum": _checksum,
    "disable-ipv6": _if("true", "--ipv4"),
    "header": _same("--header"),
    "http-no-cache": _if("true", "--header", "Cache-Control: no-cache", "--header", "Pragma: no-cache"),
    "http-proxy": _same("--proxy"),
    "https-proxy": _same("--proxy"),
    "interface": _same("--interface"),
    "load-cookies": _same("--cookie-file"),
    "lowest-speed-limit": _same("--slow-rate"),
    "max-connection-per-server": _at_most("--connections", CONNECTIONS_MAX),
    "max-download-limit": _same("--limit"),
    "max-tries": _at_most("--retries", RETRIES_MAX),
    "netrc-path": _same("--netrc-file"),
    "no-netrc": _if("true", "--no-netrc"),
    "referer": _same("--referer"),
    "timeout": _at_most("--timeout", int(TIMEOUT_S_MAX)),
    "user-agent": _same("--user-agent"),
}
_WITHOUT_EFFECT: Final = frozenset(
    [
        "always-resume",
        "allow-piece-length-change",
        "async-dns",
        "async-dns-server",
        "check-integrity",
        "conditional-get",
        "connect-timeout",
        "content-disposition-default-utf8",
        "continue",
        "enable-async-dns6",
        "enable-http-keep-alive",
        "enable-http-pipelining",
        "enable-mmap",
        "file-allocation",
        "follow-metalink",
        "follow-torrent",
        "force-save",
        "force-sequential",
        "ftp-pasv",
        "ftp-reuse-connection",
        "ftp-type",
        "gid",
        "http-accept-gzip",
        "http-auth-challenge",
        "keep-unfinished-download-result",
        "max-file-not-found",
        "max-mmap-limit",
        "max-resume-failure-tries",
        "max-upload-limit",
        "metalink-enable-unique-protocol",
        "metalink-preferred-protocol",
        "min-split-size",
        "no-file-allocation-limit",
        "no-want-digest-header",
        "pause",
        "pause-metadata",
        "piece-length",
        "proxy-method",
        "realtime-chunk-checksum",
        "remote-time",
        "remove-control-file",
        "retry-wait",
        "reuse-uri",
        "rpc-save-upload-metadata",
        "save-not-found",
        "select-file",
        "server-stat-timeout",
        "split",
        "stream-piece-selector",
        "uri-selector",
        "use-head",
    ]
)
"""Options of aria2 that say how it does what is always done here, or that mean nothing for one file."""
_ONLY_IF: Final = {
    "dry-run": "false",
    "hash-check-only": "false",
    "parameterized-uri": "false",
    "check-certificate": "true",
}
"""Options of aria2 that have no like here but for one value, which is what is done anyway."""
