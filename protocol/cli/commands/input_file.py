"""Lists of files for ``get -i``: a line for each file, and its options.

A line has the addresses of one file and then options as on the command line: ``http://a/x http://b/x -o x``. Lines that
begin with a space continue it, with options in the same form or in aria2's, ``name=value``. Empty lines and those that
begin with ``#`` are skipped. Every line is checked before anything is fetched.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import typer

from protocol.cli.commands.documents import is_document
from protocol.cli.group import Mistake
from protocol.cli.parsing import checked_urls
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage
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

    @property
    def words(self) -> list[str]:
        """The words of its command."""
        place = os.path.join(self.folder, self.name) if self.folder or self.name else ""
        return [*self.options, *(["-o", place] if place else []), "--", *self.urls]


def get_each(context: typer.Context, list_file: str, urls: Sequence[str]) -> ExitCode:
    """Fetch the files of a list one after another. The exit code of the first that failed, 0 when none did.

    Options of the command hold for every file that has none of its own.
    """
    if urls:
        raise BadUsage("-i: the addresses stand in the list, not beside it")
    shown = "stdin" if list_file == STDIN else printable(list_file)
    outer = {name: value for name, value in context.params.items() if name not in ("urls", "input_file")}
    files = [_checked(context, entry, outer, shown) for entry in read_list(_text_of(list_file, shown), shown)]
    if not files:
        raise BadUsage(f"-i {shown}: there is no address in it")
    failed = ExitCode.SEALED
    for each in files:
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
    elif name in _ARIA2:
        entry.options += _ARIA2[name](value)
    elif name not in _WITHOUT_EFFECT:
        raise ValueError(f"the option {printable(name)[:40]!r} of aria2 has no like here")


def _same(option: str) -> Callable[[str], list[str]]:
    return lambda value: [option, value]


def _checksum(value: str) -> list[str]:
    algorithm, _, digest = value.partition("=")
    return ["--checksum", f"{algorithm.replace('-', '')}:{digest}"]


_ARIA2: Final[dict[str, Callable[[str], list[str]]]] = {
    "all-proxy": _same("--proxy"),
    "checksum": _checksum,
    "header": _same("--header"),
    "http-proxy": _same("--proxy"),
    "https-proxy": _same("--proxy"),
    "interface": _same("--interface"),
    "load-cookies": _same("--cookie-file"),
    "max-connection-per-server": _same("--connections"),
    "max-download-limit": _same("--limit"),
    "netrc-path": _same("--netrc-file"),
    "referer": _same("--referer"),
    "user-agent": _same("--user-agent"),
}
_WITHOUT_EFFECT: Final = frozenset(
    ("continue", "file-allocation", "gid", "min-split-size", "remote-time", "select-file", "split", "pause")
)
"""Options of aria2 that say how it does what is always done here, or that mean nothing for one file."""
