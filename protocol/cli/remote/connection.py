"""Connection of a command to a running daemon, and its error lines. The HTTP client is loaded only here."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from protocol.cli.args import Link
from protocol.cli.group import say_error
from protocol.cli.views.lines import JsonRows, LineWriter
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.client.credentials import Access
    from protocol.client.http_client import Daemon

_CODES: Final = {
    "away": ExitCode.NO_DAEMON,
    "access": ExitCode.NO_DAEMON,
    "unknown": ExitCode.REFUSED,
    "refused": ExitCode.REFUSED,
}


def link_of(handed: bool, link: Link, *, alone: bool = False) -> Link | None:
    """For commands that need no daemon: None unless one is to be used."""
    if handed or link.url:
        if alone:
            raise BadUsage("--no-daemon goes with neither --daemon nor --url")
        return link
    if link.api_key or link.api_key_file:
        raise BadUsage("--api-key and --api-key-file are for a daemon: add --daemon or --url")
    return None


def is_near(link: Link) -> bool | None:
    """Return False for a daemon on another machine, which gets no login that was not asked for, else None."""
    from protocol.client.credentials import is_here

    return None if is_here(access_of(link).url) else False


@contextmanager
def linked(link: Link) -> Iterator["Daemon"]:
    """The daemon, until it is left. When it refuses or does not answer: one line, and the program ends."""
    access = access_of(link)
    from protocol.client.http_client import Daemon, DaemonError

    with Daemon(access) as daemon:
        try:
            yield daemon
        except DaemonError as error:
            say_error(error.detail)
            raise typer.Exit(_CODES[error.kind]) from None


def access_of(link: Link) -> "Access":
    """Address and key of the daemon. Raises `BadUsage`."""
    from protocol.client.credentials import find_access, hide_argument

    hide_argument(link.api_key)
    try:
        return find_access(link.url, link.api_key, link.api_key_file, os.environ)
    except ValueError as error:
        raise BadUsage(str(error)) from None


def program_name() -> str:
    """The program's name as it was called."""
    return os.path.basename(sys.argv[0]) or "run.py"


def say_line(line: str) -> None:
    """Write a printable line for people."""
    LineWriter(sys.stderr).write(line)


def show_rows(lines: "Iterable[str]", rows: "Iterable[Mapping[str, Any]]", *, json: bool) -> None:
    """Write results to stdout: printable lines for people, or a JSON object for each row."""
    if json:
        for row in rows:
            JsonRows(sys.stdout).write(row)
    else:
        for line in lines:
            LineWriter(sys.stdout).write(line)
