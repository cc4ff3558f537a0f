"""How a command reaches a daemon, and how it says that there is none. The client is loaded only here, when it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import typer

from protocol.cli.exit_codes import ExitCode
from protocol.cli.group import say_error
from protocol.model.errors import BadUsage

if TYPE_CHECKING:
    from protocol.client.credentials import Access
    from protocol.client.http_client import Daemon

_CODES: Final = {
    "away": ExitCode.NO_DAEMON,
    "access": ExitCode.NO_DAEMON,
    "unknown": ExitCode.REFUSED,
    "refused": ExitCode.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What was said of the daemon at the command line; what is empty says the environment."""

    url: str = ""
    api_key: str = field(default="", repr=False)
    api_key_file: str = ""


def link_of(handed: bool, link: Link) -> Link | None:
    """For commands that need no daemon: None unless they are told to use one."""
    if handed or link.url:
        return link
    if link.api_key or link.api_key_file:
        raise BadUsage("--api-key and --api-key-file are for a daemon: add --daemon or --url")
    return None


@contextmanager
def linked(link: Link) -> Iterator["Daemon"]:
    """The daemon, until it is left. When that says no, or is not there: one line, and the program ends."""
    access = access_of(link)
    from protocol.client.http_client import Daemon, DaemonError

    with Daemon(access) as daemon:
        try:
            yield daemon
        except DaemonError as error:
            say_error(error.detail)
            raise typer.Exit(_CODES[error.kind]) from None


def access_of(link: Link) -> "Access":
    from protocol.client.credentials import find_access, hide_argument

    hide_argument(link.api_key)
    try:
        return find_access(link.url, link.api_key, link.api_key_file, os.environ)
    except ValueError as error:
        raise BadUsage(str(error)) from None
