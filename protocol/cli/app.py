"""The commands: words of a shell in, one of `Actions` called, its exit code out.

Options are taken as text and checked in `options`, so that every mistake is one line on
stderr, the same with every version of typer; nothing is drawn with rich here, which keeps the start fast.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from protocol.cli.args import Config, FoundJson, Json, Kind, PartPath, Quiet, Targets, Term, Verbose, Wait
from protocol.cli.commands.daemon import DaemonOptions, daemon_command
from protocol.cli.commands.download import account_of_user, get_command, say_notes, swarm_command
from protocol.cli.exit_codes import MEANINGS
from protocol.cli.group import OneLineGroup
from protocol.cli.parsing import (
    DEMO_KINDS,
    TARGETS_SHOWN_MAX,
    DemoOptions,
    GetOptions,
    SearchOptions,
    VerifyOptions,
    checked_count,
    checked_loudness,
    checked_path,
    checked_term,
    checked_wait,
    checked_word,
)
from protocol.model.errors import BadUsage
from protocol.model.version import program_version

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What the commands do; given by whoever builds the program. Each returns the exit code."""

    get: Callable[[GetOptions], int]
    """Also for ``swarm``, then with a term."""
    search: Callable[[SearchOptions], int]
    verify: Callable[[VerifyOptions], int]
    demo: Callable[[DemoOptions], int]
    daemon: Callable[[DaemonOptions], int]
    digest: Callable[[str, str], str]
    """Hex digest of the file at a path, by the algorithm of that name. Raises OSError."""


_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {words}" for code, words in MEANINGS.items())
Version = Annotated[bool, typer.Option("--version", help="Show the version.")]


def build_app(actions: Actions) -> typer.Typer:
    """The program's command line. Calling the result parses ``sys.argv``, acts, and ends the process."""

    class Group(OneLineGroup):
        @staticmethod
        def more() -> "Mapping[str, TyperCommand | TyperGroup]":
            from protocol.cli.commands.remote import daemon_commands

            return daemon_commands(actions.digest, epilog=_EPILOG)

    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog=_EPILOG,
    )
    app.callback(invoke_without_command=True)(_shoal)
    app.command("get", epilog=_EPILOG)(get_command(actions.get))
    app.command("swarm", epilog=_EPILOG)(swarm_command(actions.get))
    app.command("search", epilog=_EPILOG)(_search_command(actions))
    app.command("demo", epilog=_EPILOG)(_demo_command(actions))
    app.command("verify", epilog=_EPILOG)(_verify_command(actions))
    app.command("daemon", epilog=_EPILOG)(daemon_command(actions.daemon, program_version))
    return app


def _shoal(context: typer.Context, version: Version = False) -> None:
    """Download one file from many sources at once; checked chunk by chunk, resumable."""
    if version:
        typer.echo(f"shoal {program_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise BadUsage("a command is missing: get, swarm, search, demo, verify, daemon or another of --help")


def _search_command(actions: Actions) -> Callable[..., None]:
    def search(
        term: Term = None, wait: Wait = "5", limit: Targets = "20", json: FoundJson = False, config: Config = ""
    ) -> None:
        """Show which files Soulseek users have for these words.

        Files of the same exact size and kind are one target. What is shown can be fetched with: swarm TERM --size BYTES
        """
        words = checked_term(term or ())
        wait_s = checked_wait(wait)
        targets_max = checked_count("--limit", limit, TARGETS_SHOWN_MAX)
        account = account_of_user(config)
        say_notes(account.notes, quiet=json)
        options = SearchOptions(term=words, wait_s=wait_s, targets_max=targets_max, json=json, account=account)
        raise typer.Exit(actions.search(options))

    return search


def _demo_command(actions: Actions) -> Callable[..., None]:
    def demo(kind: Kind = "soulseek", json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
        """Search and fetch from users good and bad, played here; no network, no account.

        Starts a Soulseek network (or mirrors) on this machine with a generated file, and checks what came.
        """
        checked_loudness(quiet=quiet, verbose=verbose)
        kind = checked_word("--kind", kind, DEMO_KINDS)
        raise typer.Exit(actions.demo(DemoOptions(kind=kind, json=json, quiet=quiet, verbose=verbose)))

    return demo


def _verify_command(actions: Actions) -> Callable[..., None]:
    def verify(path: PartPath, json: Json = False) -> None:
        """Re-hash a part file against its records.

        Says which chunks hold, which are damaged and which are missing; changes nothing.
        """
        raise typer.Exit(actions.verify(VerifyOptions(path=checked_path(path), json=json)))

    return verify
