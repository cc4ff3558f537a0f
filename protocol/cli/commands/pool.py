"""The pool: files found once and fetched later, by size. ``pool refresh``, ``targets``, ``add``, ``clear``; ``race``
and ``auto`` fetch from it, as ``swarm SIZE`` does."""

import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from protocol.cli.args import ApiKey, ApiKeyFile, Checksum, DaemonUrl, Json, Limit, Output, Quiet, RowsJson
from protocol.cli.exit_codes import ExitCode
from protocol.cli.parsing import (
    WAIT_S_MAX,
    checked_checksum,
    checked_chunk_size,
    checked_rate,
    checked_term,
    checked_urls,
    checked_wanted_size,
)
from protocol.cli.remote.connection import Link, linked
from protocol.cli.remote.download import place_in_daemon, say_line, searched
from protocol.cli.remote.pool_download import (
    Picked,
    Wanted,
    checked_out,
    load_pool,
    order_and_follow,
    picked_from_pool,
    save_pool,
)
from protocol.cli.views.job_table import JsonRows, target_fields, target_lines
from protocol.cli.views.lines import LineWriter
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.printable import count_of, printable
from protocol.model.source_url import check_url, slsk_url

SEARCH_S: Final = 30
TARGETS_SHOWN: Final = 20

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TERM [SECONDS]",
        help="What to search for, in one word of the shell, and how long. [default: the last term, 30]",
        show_default=False,
    ),
]
Place = Annotated[
    list[str] | None,
    typer.Argument(metavar="URL|USER PATH", help="http://, https://, slsk://user/path, or a user and a remote path."),
]
ExactSize = Annotated[str, typer.Option("--size", metavar="BYTES", help="Exact size of the file.", show_default=False)]
Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="What to call it. [default: as there]", show_default=False)
]
Every = Annotated[bool, typer.Option("--all", help=f"All, not only the first {TARGETS_SHOWN}.")]
PoolSize = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SIZE [CHUNK_KB]", help="Exact size of a file in the pool; KiB of a chunk.", show_default=False
    ),
]


def pool_group(epilog: str) -> typer.Typer:
    pool = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=False)

    @pool.callback(epilog=epilog)
    def group() -> None:
        """Keep what a search found, to fetch it by its size."""

    pool.command("refresh", epilog=epilog)(refresh)
    pool.command("targets", epilog=epilog)(targets)
    pool.command("add", epilog=epilog)(add)
    pool.command("clear", epilog=epilog)(clear)
    return pool


def refresh(
    words: Words = None,
    json: RowsJson = False,
    url: DaemonUrl = "",
    api_key: ApiKey = "",
    api_key_file: ApiKeyFile = "",
) -> None:
    """Search through the daemon, and let what is found be the pool."""
    term, seconds = term_and_seconds(words or [])
    pool, found = refreshed(Link(url=url, api_key=api_key, api_key_file=api_key_file), term, seconds)
    if not json:
        for line in pool_lines(pool, every=False):
            LineWriter(sys.stdout).write(line)
    else:
        for target in pool.targets:
            JsonRows(sys.stdout).write(target_fields(target))
    if not found:
        say_line(f"nothing found for {printable(pool.term)!r}")
        raise typer.Exit(ExitCode.NO_SOURCE)


def targets(every: Every = False, json: RowsJson = False) -> None:
    """List the files of the pool, what most have first."""
    pool = load_pool()
    if json:
        for target in pool.targets:
            JsonRows(sys.stdout).write(target_fields(target))
        return
    for line in pool_lines(pool, every=every):
        LineWriter(sys.stdout).write(line)
    if not pool.targets:
        say_line("the pool is empty: pool refresh TERM")


def add(place: Place = None, size: ExactSize = "", name: Name = "") -> None:
    """Add one source of a file by hand; a new search does not take it away."""
    address = checked_place(place or [])
    size_bytes = checked_wanted_size(size)
    if size_bytes < 0:
        raise BadUsage("pool add needs --size BYTES: it says which file this is a source of")
    if not (name or pools.name_of(address)) and not load_pool().of_size(size_bytes):
        raise BadUsage("the address does not say what the file is called: give --name NAME")
    pool = load_pool().with_source(address, size_bytes=size_bytes, name=name)
    save_pool(pool)
    target = next(one for one in pool.of_size(size_bytes) if any(each.url == address for each in one.sources))
    LineWriter(sys.stdout).write(f"{printable(target.name)}: {count_of(len(target.sources), 'source')}")


def clear() -> None:
    """Forget all of it, also what was added by hand."""
    save_pool(pools.Pool())


def race_command() -> Callable[..., None]:
    def race(
        size: PoolSize = None,
        output: Output = None,
        checksum: Checksum = "",
        limit: Limit = "0",
        json: Json = False,
        quiet: Quiet = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Fetch a file of the pool from everybody, each the whole of it: the first wins.

        For comparison; it costs everybody much more than swarm SIZE.
        """
        picked = checked_pick(size or [])
        chunk_size = checked_chunk_size(picked.chunk_size or "128K")
        wanted = Wanted(
            output=output, mode="race", chunk_size=chunk_size, checksum=checked_checksum(checksum),
            limit_bytes_s=checked_rate("--limit", limit), json=json, quiet=quiet,
        )  # fmt: skip
        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            raise typer.Exit(order_and_follow(daemon, picked.target, wanted)[0])

    return race


def auto_command(digest: Callable[[str, str], str]) -> Callable[..., None]:
    def auto(
        words: Words = None,
        output: Output = None,
        json: Json = False,
        quiet: Quiet = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Search anew, fetch what most users have, and check what came.

        Checked is that every byte is accounted to somebody and, if the file is on this machine, its digest.
        """
        term, seconds = term_and_seconds(words or [])
        place_in_daemon(output)
        link = Link(url=url, api_key=api_key, api_key_file=api_key_file)
        pool, _ = refreshed(link, term, seconds)
        if not pool.targets:
            say_line(f"nothing found for {printable(pool.term)!r}")
            raise typer.Exit(ExitCode.NO_SOURCE)
        if not (json or quiet):
            for line in target_lines(pool.targets[:1]):
                say_line(line)
        with linked(link) as daemon:
            code, id = order_and_follow(daemon, pool.targets[0], Wanted(output=output, json=json, quiet=quiet))
            if code == ExitCode.SEALED:
                code = checked_out(daemon, id, digest, quiet=quiet or json)
        raise typer.Exit(code)

    return auto


def term_and_seconds(words: list[str]) -> tuple[str, float]:
    """The last word may be a number of seconds, when there are others. Without any: the pool's own term."""
    seconds = float(SEARCH_S)
    if len(words) > 1 and words[-1].isascii() and words[-1].isdigit():
        if not 1 <= int(words[-1][:6]) <= WAIT_S_MAX:
            raise BadUsage(f"SECONDS {words[-1][:20]}: must be from 1 to {WAIT_S_MAX:.0f}")
        *words, last = words
        seconds = float(last)
    if not words and not load_pool().term:
        raise BadUsage("TERM is missing: nothing was searched for before")
    return checked_term(words or [load_pool().term]), seconds


def refreshed(link: Link, term: str, seconds: float) -> tuple[pools.Pool, int]:
    """``(the pool after this search, saved; how many files were found)``."""
    before = load_pool()
    with linked(link) as daemon:
        found = searched(daemon, term, seconds, most=pools.TARGETS_MAX)
    pool = before.refreshed(term, found)
    save_pool(pool)
    return pool, len(found)


def pool_lines(pool: pools.Pool, *, every: bool) -> list[str]:
    shown = pool.targets if every else pool.targets[:TARGETS_SHOWN]
    lines = target_lines(shown)
    if len(shown) < len(pool.targets):
        lines.append(f"{len(pool.targets) - len(shown)} more (pool targets --all)")
    return lines


def checked_place(words: list[str]) -> str:
    """One address, or a user and a path."""
    if len(words) == 2 and "://" not in words[0]:
        address = slsk_url(*words)
        try:
            check_url(address)
        except ValueError as error:
            raise BadUsage(str(error)) from None
        return address
    if len(words) != 1:
        raise BadUsage("pool add needs one address, or a user and a remote path")
    return checked_urls(words)[0][0]


def checked_pick(words: list[str]) -> Picked:
    if not words or len(words) > 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise BadUsage("race needs the exact size of a file in the pool, and perhaps the KiB of a chunk")
    picked = picked_from_pool(words)
    if picked is None:
        raise BadUsage(f"no file of the pool has {words[0][:20]} bytes (see: pool targets)")
    return picked
