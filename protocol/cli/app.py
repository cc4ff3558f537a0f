"""Command line of the program: words of a shell in, one of `Actions` called, its exit code out.

Every mistake is one line on stderr, the same with every version of typer; nothing is drawn with rich here, which keeps
the start fast.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from protocol.cli.args import (
    Alone,
    Checksum,
    Config,
    DaemonConfig,
    FoundJson,
    Interface,
    Kind,
    Loudness,
    PartPath,
    Targets,
    Term,
    Wait,
    option,
    spread,
)
from protocol.cli.commands.documents import FetchDocument
from protocol.cli.commands.download import account_or_daemon, get_command, notes_of, say_notes, swarm_command
from protocol.cli.commands.export import export_command
from protocol.cli.group import OneLineGroup
from protocol.cli.parsing import (
    DaemonOptions,
    DemoOptions,
    ExportOptions,
    GetOptions,
    SearchOptions,
    VerifyOptions,
    checked_term,
)
from protocol.cli.views.outcome import MEANINGS
from protocol.model.errors import BadUsage
from protocol.model.value import Struct, replace
from protocol.model.version import program_version

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup


class Actions(Struct, frozen=True, kw_only=True):
    """Implementations of the commands. Each returns the exit code."""

    get: Callable[[GetOptions], int]
    """Also for ``swarm``, then with a term."""
    search: Callable[[SearchOptions], int]
    verify: Callable[[VerifyOptions], int]
    demo: Callable[[DemoOptions], int]
    daemon: Callable[[DaemonOptions], int]
    digest: Callable[[str, str], str]
    """Hex digest of the file at a path, by the algorithm of that name. Raises OSError."""
    document: FetchDocument
    export: Callable[[ExportOptions], int]


_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {words}" for code, words in MEANINGS.items())
Page = Annotated[bool, option("--page", help="Run a daemon and open its page.")]
DemoFleet = Annotated[bool, option("--fleet", help="Run three daemons, a broker and an S3 server that share one file.")]
Fleet = Annotated[
    str,
    option("--fleet", metavar="URL", help="Join other machines: nats://broker or tls://broker, with commas between."),
]
Version = Annotated[bool, option("--version", help="Show the version.")]
VerifyJson = Annotated[bool, option("--json", help="One JSON object on stdout.")]
LogJson = Annotated[bool, option("--log-json", help="One JSON object a line on stderr.")]
PrintConfig = Annotated[bool, option("--print-config", help="Print every key of the configuration, and end.")]
PrintUnit = Annotated[bool, option("--print-unit", help="Print a unit file for systemd, and end.")]


def build_app(actions: Actions, *, meant: str = "") -> typer.Typer:
    """The program's command line. Calling the result parses ``sys.argv``, acts, and ends the process.

    Where its first word, `meant`, is ``get`` the others are not built: they are most of what parsing a command costs.
    """

    class Group(OneLineGroup):
        @staticmethod
        def more() -> "Mapping[str, TyperCommand | TyperGroup]":
            from protocol.cli.commands.jobs import daemon_commands

            return daemon_commands(actions.digest, epilog=_EPILOG)

    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog=_EPILOG,
    )
    app.callback(invoke_without_command=True)(_shoal)
    commands = [get_command(actions.get, actions.document)]
    if meant != commands[0].__name__:
        commands += [swarm_command(actions.get), *_local_commands(actions)]
    for command in commands:
        app.command(command.__name__, epilog=_EPILOG)(command)
    return app


def _shoal(context: typer.Context, version: Version = False) -> None:
    """Download one file from many sources at once; checked chunk by chunk, resumable."""
    if version:
        typer.echo(f"shoal {program_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise BadUsage("a command is missing: get, swarm, search, demo, verify, daemon or another of --help")


def _local_commands(actions: Actions) -> list[Callable[..., None]]:
    """The commands that use no running daemon, besides downloads."""

    def search(
        term: Term = None,
        wait: Wait = 5.0,
        limit: Targets = 20,
        json: FoundJson = False,
        config: Config = None,
        no_daemon: Alone = False,
        interface: Interface = "",
    ) -> None:
        """Show which files Soulseek users have for these words.

        Files of the same exact size and kind are one target. What is shown can be fetched with: swarm TERM --size BYTES
        Goes through this user's daemon by itself where that has the same Soulseek login.
        """
        words = checked_term(term or ())
        account, own = account_or_daemon(config, alone=no_daemon)
        say_notes([*notes_of(config), *(account.notes if account else ())], quiet=json)
        options = SearchOptions(term=words, wait_s=wait, targets_max=limit, json=json, account=account)
        options = replace(options, interface=interface)
        if own is not None:
            if interface:
                raise BadUsage(
                    f"--interface: the daemon at {own.url} has this Soulseek login; --no-daemon does it here"
                )
            from protocol.cli.remote.own_daemon import search_there

            raise typer.Exit(search_there(own, options))
        raise typer.Exit(actions.search(options))

    @spread
    def demo(*, kind: Kind = "soulseek", page: Page = False, fleet: DemoFleet = False, loudness: Loudness) -> None:
        """Search and fetch from users good and bad, played here; no network, no account.

        Starts a Soulseek network (or mirrors) on this machine with a generated file, and checks what came.
        """
        if page and fleet:
            raise BadUsage("demo: --page or --fleet, not both")
        shown = {"json": loudness.json, "quiet": loudness.quiet, "verbose": loudness.verbose}
        options = DemoOptions(kind=kind, page=page, fleet=fleet, **shown)
        raise typer.Exit(actions.demo(options))

    def verify(path: PartPath, checksum: Checksum = "", json: VerifyJson = False) -> None:
        """Re-hash a part file against its records, or a finished file.

        Says which chunks hold, which are damaged and which are missing; changes nothing. A finished file is compared
        with --checksum, else with the digest that was noted when it was finished.
        """
        raise typer.Exit(actions.verify(VerifyOptions(path=path, json=json, checksum=checksum)))

    def daemon(
        config: DaemonConfig = "",
        fleet: Fleet = "",
        log_json: LogJson = False,
        print_config: PrintConfig = False,
        print_unit: PrintUnit = False,
    ) -> None:
        """Run for months: hold jobs, fetch them, be driven over HTTP.

        Stays in the foreground. SIGTERM ends it with everything saved, SIGHUP has the configuration read again.
        Without a configuration it listens on 127.0.0.1:5030 and makes an API key. With --fleet, or [fleet] in the
        configuration, it shares jobs with other machines; how to set up brokers and a bucket is in ARCHITECTURE.md.
        """
        show = "config" if print_config else "unit" if print_unit else ""
        options = DaemonOptions(config=config, log_json=log_json, show=show, version=program_version(), fleet=fleet)
        raise typer.Exit(actions.daemon(options))

    return [search, demo, verify, export_command(actions.export), daemon]
