"""The commands: words of a shell in, one of `Actions` called, its exit code out.

The only home of typer. Options are taken as text and checked in `options`, so that every mistake is one line on
stderr, the same with every version of typer; nothing is drawn with rich here, which keeps the start fast.
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from protocol.terminal.daemon_command import DaemonOptions, daemon_command
from protocol.terminal.exit_codes import MEANINGS, ExitCode
from protocol.terminal.options import (
    DEMO_KINDS,
    HEX_DIGITS,
    MODES,
    SYNCS,
    TARGETS_SHOWN_MAX,
    BadUsage,
    DemoOptions,
    GetOptions,
    SearchOptions,
    VerifyOptions,
    checked_checksum,
    checked_chunk_size,
    checked_count,
    checked_loudness,
    checked_memory,
    checked_path,
    checked_rate,
    checked_seconds,
    checked_term,
    checked_urls,
    checked_wait,
    checked_wanted_size,
    checked_word,
    needs_soulseek,
    split_target,
)
from protocol.terminal.words import printable

if TYPE_CHECKING:
    from protocol.config.account import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What the commands do; given by whoever builds the program. Each returns the exit code."""

    get: Callable[[GetOptions], int]
    """Also for ``swarm``, then with a term."""
    search: Callable[[SearchOptions], int]
    verify: Callable[[VerifyOptions], int]
    demo: Callable[[DemoOptions], int]
    daemon: Callable[[DaemonOptions], int]


_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {words}" for code, words in MEANINGS.items())
QUEUE_WARNING: Final = (
    "--mode queue asks every Soulseek user anew for every chunk, leaves hundreds of failed uploads in their lists, "
    "and can get you banned"
)
_UNITS: Final = "K = 1024 bytes, M = 1024 K"

Urls = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="URL",
        help="Where the file is: http://, https:// or slsk://user/path, as many as there are.",
        show_default=False,
    ),
]
Term = Annotated[
    list[str] | None,
    typer.Argument(metavar="TERM", help="Words of the name, as Soulseek users search for it.", show_default=False),
]
Size = Annotated[str, typer.Option(metavar="BYTES", help="Only files of exactly this size.", show_default=False)]
Wait = Annotated[str, typer.Option(metavar="SECONDS", help="How long answers are waited for.")]
Targets = Annotated[str, typer.Option("--limit", metavar="N", help="Show at most so many targets.")]
Config = Annotated[
    str,
    typer.Option(
        metavar="PATH",
        help="File with the Soulseek account. [default: ./shoal.toml, ~/.config/shoal/shoal.toml]",
        show_default=False,
    ),
]
FoundJson = Annotated[bool, typer.Option("--json", help="One JSON object a line; the last one is search_ended.")]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Name of the file, or a folder. [default: the source's name, here]",
        show_default=False,
    ),
]
ChunkSize = Annotated[str, typer.Option(metavar="SIZE", help=f"Unit of record and retry, 4K to 1M; {_UNITS}.")]
Checksum = Annotated[
    str,
    typer.Option(
        metavar="ALGO:HEX", help=f"What the file must hash to. ALGO: {', '.join(HEX_DIGITS)}.", show_default=False
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        metavar="|".join(MODES),
        help="swarm: all sources share the file by speed. queue: chunk by chunk. failover: one source at a time. "
        "race: all fetch all, first wins.",
    ),
]
Limit = Annotated[
    str,
    typer.Option(
        metavar="RATE",
        help="Receive at most so much a second, like 500K or 2.5M/s. [default: no limit]",
        show_default=False,
    ),
]
Preallocate = Annotated[bool, typer.Option("--preallocate", help="Reserve the disk space at once.")]
Sync = Annotated[str, typer.Option(metavar="|".join(SYNCS), help="full: sealed means on the disk. none: no fsync.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout; the last one is job_ended.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but why it failed.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each stored chunk.")]
SlowRate = Annotated[str, typer.Option(metavar="RATE", help="Slower than this is slow; 0: nobody is.")]
SlowAfter = Annotated[str, typer.Option(metavar="SECONDS", help="How long a slow source is tolerated.")]
MemoryLimit = Annotated[str, typer.Option(metavar="SIZE", help="A process of ours with more is replaced.")]
Kind = Annotated[str, typer.Option(metavar="|".join(DEMO_KINDS), help="Kind of the sources that are played.")]
PartPath = Annotated[str, typer.Argument(metavar="PATH", help="A part file, or a name whose part file is meant.")]
Version = Annotated[bool, typer.Option("--version", help="Show the version.")]


def build_app(actions: Actions) -> typer.Typer:
    """The program's command line. Calling the result parses ``sys.argv``, acts, and ends the process."""
    app = typer.Typer(
        cls=_OneLineGroup,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog=_EPILOG,
    )
    app.callback(invoke_without_command=True)(_shoal)
    app.command("get", epilog=_EPILOG)(_get_command(actions))
    app.command("swarm", epilog=_EPILOG)(_swarm_command(actions))
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
        raise BadUsage("a command is missing: get, swarm, search, demo, verify or daemon")


def _get_command(actions: Actions) -> Callable[..., None]:
    def get(
        urls: Urls = None,
        output: Output = None,
        chunk_size: ChunkSize = "128K",
        checksum: Checksum = "",
        mode: Mode = "swarm",
        limit: Limit = "0",
        preallocate: Preallocate = False,
        sync: Sync = "full",
        json: Json = False,
        quiet: Quiet = False,
        verbose: Verbose = False,
        slow_rate: SlowRate = "5K",
        slow_after: SlowAfter = "15",
        memory_limit: MemoryLimit = "1G",
        config: Config = "",
    ) -> None:
        """Fetch one file from all the URLs together.

        The same command again goes on where it stopped.
        """
        checked_loudness(quiet=quiet, verbose=verbose)
        addresses, notes = checked_urls(urls or ())
        folder, name = split_target(output)
        options = GetOptions(
            urls=addresses,
            folder=folder,
            name=name,
            chunk_size=checked_chunk_size(chunk_size),
            checksum=checked_checksum(checksum),
            mode=checked_word("--mode", mode, MODES),
            limit_bytes_s=checked_rate("--limit", limit),
            preallocate=preallocate,
            sync=checked_word("--sync", sync, SYNCS),
            json=json,
            quiet=quiet,
            verbose=verbose,
            slow_rate_bytes_s=checked_rate("--slow-rate", slow_rate),
            slow_after_s=checked_seconds("--slow-after", slow_after),
            memory_limit_bytes=checked_memory(memory_limit),
            account=_account(config) if needs_soulseek(addresses) else None,
        )
        _say_notes([*notes, *_soulseek_notes(options)], quiet=quiet)
        raise typer.Exit(actions.get(options))

    return get


def _swarm_command(actions: Actions) -> Callable[..., None]:
    def swarm(
        term: Term = None,
        size: Size = "",
        output: Output = None,
        chunk_size: ChunkSize = "128K",
        checksum: Checksum = "",
        mode: Mode = "swarm",
        limit: Limit = "0",
        preallocate: Preallocate = False,
        sync: Sync = "full",
        json: Json = False,
        quiet: Quiet = False,
        verbose: Verbose = False,
        slow_rate: SlowRate = "5K",
        slow_after: SlowAfter = "15",
        memory_limit: MemoryLimit = "1G",
        config: Config = "",
    ) -> None:
        """Search for a file and fetch it from the Soulseek users who have it.

        Of what is found, the file that most users have. The same command again goes on where it stopped.
        """
        checked_loudness(quiet=quiet, verbose=verbose)
        folder, name = split_target(output)
        options = GetOptions(
            urls=(),
            term=checked_term(term or ()),
            wanted_size_bytes=checked_wanted_size(size),
            folder=folder,
            name=name,
            chunk_size=checked_chunk_size(chunk_size),
            checksum=checked_checksum(checksum),
            mode=checked_word("--mode", mode, MODES),
            limit_bytes_s=checked_rate("--limit", limit),
            preallocate=preallocate,
            sync=checked_word("--sync", sync, SYNCS),
            json=json,
            quiet=quiet,
            verbose=verbose,
            slow_rate_bytes_s=checked_rate("--slow-rate", slow_rate),
            slow_after_s=checked_seconds("--slow-after", slow_after),
            memory_limit_bytes=checked_memory(memory_limit),
            account=_account(config),
        )
        _say_notes(_soulseek_notes(options), quiet=quiet)
        raise typer.Exit(actions.get(options))

    return swarm


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
        account = _account(config)
        _say_notes(account.notes, quiet=json)
        options = SearchOptions(term=words, wait_s=wait_s, targets_max=targets_max, json=json, account=account)
        raise typer.Exit(actions.search(options))

    return search


def _account(config: str) -> "Account":
    from protocol.config.account import load_account  # most downloads need none

    return load_account(config)


def _soulseek_notes(options: GetOptions) -> list[str]:
    """What whoever uses this account in this way should know."""
    if options.account is None:
        return []
    return [*options.account.notes, *([QUEUE_WARNING] if options.mode == "queue" else [])]


def _say_notes(notes: Iterable[str], *, quiet: bool) -> None:
    for note in () if quiet else notes:
        typer.echo(f"note: {printable(note)}", err=True)


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


class _OneLineGroup(TyperGroup):
    """Ends the process itself, so that mistakes are one line and an interrupt is 130 with every typer."""

    def main(self, *args: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except BadUsage as error:
            _say_error(str(error), "")
            code = ExitCode.USAGE
        except (typer.Abort, KeyboardInterrupt):
            _say_error("interrupted", "")
            code = ExitCode.INTERRUPTED
        except Exception as error:
            # typer's usage errors have no common public class over its versions; this is what they share.
            if not hasattr(error, "format_message"):
                raise
            _say_error(error.format_message(), _help_hint(error))
            code = ExitCode.USAGE
        sys.exit(int(code or 0))

    # Some versions of typer end an interrupted command with 130 and not one word; an abort they all let through.

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def invoke(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().invoke(*args, **extra)
        except KeyboardInterrupt:
            raise typer.Abort from None


def _help_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""


def _say_error(text: str, hint: str) -> None:
    # typer quotes what it did not understand, and that may be an address with a password.
    shown = re.sub(r"\S*:\S*@", "***@", printable(text)).rstrip(". ")
    if shown.startswith("No such command") and ("://" in shown or "***@" in shown):
        hint = "; to fetch an address, write: get URL"
    if not shown[1:2].isupper():
        shown = shown[:1].lower() + shown[1:]
    typer.echo(f"error: {shown}{hint}", err=True)


def program_version() -> str:
    """From the checkout that this file lies in, else from the installed package."""
    import tomllib
    from importlib.metadata import version

    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    except OSError:
        return version("shoal")
    return str(project["version"]) if project.get("name") == "shoal" else version("shoal")
