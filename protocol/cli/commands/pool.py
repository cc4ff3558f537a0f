"""Commands for the pool of files found once and fetched later, by size.

``pool ...``, and ``race`` and ``auto``, which fetch from it as ``swarm SIZE`` does.
"""

from collections.abc import Callable
from typing import Annotated, Final

import typer

from protocol.cli.args import (
    Checksum,
    Limit,
    Link,
    Loudness,
    Output,
    RowsJson,
    Size,
    Transfer,
    argument,
    option,
    spread,
)
from protocol.cli.parsing import WAIT_S_MAX, checked_chunk_size, checked_term, checked_urls
from protocol.cli.remote.connection import linked, say_line, show_rows
from protocol.cli.remote.download import (
    check_sealed,
    load_pool,
    order_target,
    picked_from_pool,
    place_in_daemon,
    save_pool,
    searched,
)
from protocol.cli.views.job_table import target_fields, target_lines
from protocol.cli.views.outcome import ExitCode
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.printable import count_of, printable
from protocol.model.source_url import check_url, slsk_url

SEARCH_S: Final = 30
TARGETS_SHOWN: Final = 20
TERM_HELP: Final = "What to search for, in one word of the shell, and how long. [default: the last term, 30]"

Words = Annotated[list[str] | None, argument("TERM [SECONDS]", TERM_HELP)]
Place = Annotated[
    list[str] | None,
    argument("URL|USER PATH", "http://, https://, slsk://user/path, or a user and a remote path."),
]
Name = Annotated[str, option("--name", metavar="NAME", help="What to call it. [default: as there]")]
Every = Annotated[bool, option("--all", help=f"All, not only the first {TARGETS_SHOWN}.")]
PoolSize = Annotated[list[str] | None, argument("SIZE [CHUNK_KB]", "Exact size of a file in the pool; KiB of a chunk.")]


def pool_group(epilog: str) -> typer.Typer:
    """The commands ``pool ...``."""
    pool = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=False)

    @pool.callback(epilog=epilog)
    def group() -> None:
        """Keep what a search found, to fetch it by its size."""

    for command in (refresh, targets, add, clear):
        pool.command(command.__name__, epilog=epilog)(command)
    return pool


@spread
def refresh(*, words: Words = None, json: RowsJson = False, link: Link) -> None:
    """Search through the daemon, and let what is found be the pool."""
    pool, found = refreshed(link, *term_and_seconds(words or []))
    show_rows(pool_lines(pool, every=False), map(target_fields, pool.targets), json=json)
    if not found:
        say_line(f"nothing found for {printable(pool.term)!r}")
        raise typer.Exit(ExitCode.NO_SOURCE)


def targets(every: Every = False, json: RowsJson = False) -> None:
    """List the files of the pool, what most have first."""
    pool = load_pool()
    show_rows(pool_lines(pool, every=every), map(target_fields, pool.targets), json=json)
    if not pool.targets and not json:
        say_line("the pool is empty: pool refresh TERM")


def add(place: Place = None, size: Size = -1, name: Name = "") -> None:
    """Add one source of a file by hand; a new search does not take it away."""
    address = checked_place(place or [])
    if size < 0:
        raise BadUsage("pool add needs --size BYTES: it says which file this is a source of")
    if not (name or pools.name_of(address)) and not load_pool().of_size(size):
        raise BadUsage("the address does not say what the file is called: give --name NAME")
    pool = load_pool().with_source(address, size_bytes=size, name=name)
    save_pool(pool)
    target = next(one for one in pool.of_size(size) if any(each.url == address for each in one.sources))
    show_rows([f"{printable(target.name)}: {count_of(len(target.sources), 'source')}"], (), json=False)


def clear() -> None:
    """Forget all of it, also what was added by hand."""
    save_pool(pools.Pool())


@spread
def race(
    *,
    size: PoolSize = None,
    output: Output = None,
    checksum: Checksum = "",
    limit: Limit = 0,
    loudness: Loudness,
    link: Link,
) -> None:
    """Fetch the whole of a file of the pool from every source: the first that has all of it wins.

    For comparison; it costs all of them much more than swarm SIZE. Of Soulseek users two at a time are disturbed,
    unless the daemon's race_users says otherwise.
    """
    picked = picked_from_pool(size or [])
    if picked is None:
        if not (size and len(size) <= 2 and all(word.isascii() and word.isdigit() for word in size)):
            raise BadUsage("race needs the exact size of a file in the pool, and perhaps the KiB of a chunk")
        raise BadUsage(f"no file of the pool has {size[0][:20]} bytes (see: pool targets)")
    chunk_size = checked_chunk_size(picked.chunk_size or "auto")
    transfer = Transfer(output=output, mode="race", chunk_size=chunk_size, checksum=checksum, limit_bytes_s=limit)
    with linked(link) as daemon:
        raise typer.Exit(order_target(daemon, picked.target, transfer, loudness)[0])


def auto_command(digest: Callable[[str, str], str]) -> Callable[..., None]:
    """The command ``auto``. `digest`: see `Actions`."""

    @spread
    def auto(*, words: Words = None, output: Output = None, loudness: Loudness, link: Link) -> None:
        """Search again, fetch what most users have, and check what came.

        Checked is that the sender of every byte is known and, if the file is on this machine, its digest.
        """
        term, seconds = term_and_seconds(words or [])
        place_in_daemon(output)
        pool, _ = refreshed(link, term, seconds)
        if not pool.targets:
            say_line(f"nothing found for {printable(pool.term)!r}")
            raise typer.Exit(ExitCode.NO_SOURCE)
        silent = loudness.json or loudness.quiet
        for line in () if silent else target_lines(pool.targets[:1]):
            say_line(line)
        with linked(link) as daemon:
            code, id = order_target(daemon, pool.targets[0], Transfer(output=output), loudness)
            if code == ExitCode.SEALED:
                code = check_sealed(daemon, id, digest, quiet=silent)
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
    """``(the pool after this search, saved; number of files found)``."""
    before = load_pool()
    with linked(link) as daemon:
        found = searched(daemon, term, seconds, most=pools.TARGETS_MAX)
    pool = before.refreshed(term, found)
    save_pool(pool)
    return pool, len(found)


def pool_lines(pool: pools.Pool, *, every: bool) -> list[str]:
    """The targets as a table, all or the first."""
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
