"""The commands ``get`` and ``swarm``: in processes of their own, or handed over to a daemon."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import typer

from protocol.cli.args import (
    ApiKey,
    ApiKeyFile,
    Checksum,
    ChunkSize,
    Config,
    DaemonUrl,
    Handed,
    Json,
    Limit,
    MemoryLimit,
    Mode,
    Output,
    Preallocate,
    Quiet,
    Size,
    SlowAfter,
    SlowRate,
    Sync,
    Term,
    Urls,
    Verbose,
)
from protocol.cli.parsing import (
    MEMORY_LIMIT_BYTES,
    GetOptions,
    checked_checksum,
    checked_chunk_size,
    checked_loudness,
    checked_memory,
    checked_rate,
    checked_seconds,
    checked_term,
    checked_urls,
    checked_wanted_size,
    checked_word,
    needs_soulseek,
    split_target,
)
from protocol.cli.remote.connection import Link, link_of, linked
from protocol.model.limits import MODES, SYNCS
from protocol.model.printable import printable

if TYPE_CHECKING:
    from protocol.cli.remote.pool_download import Picked
    from protocol.config.settings import Account

SLOW_RATE: Final = "5K"
SLOW_AFTER: Final = "15"
QUEUE_WARNING: Final = (
    "--mode queue asks every Soulseek user anew for every chunk, leaves hundreds of failed uploads in their lists, "
    "and can get you banned"
)


def get_command(act: Callable[[GetOptions], int]) -> Callable[..., None]:
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
        slow_rate: SlowRate = SLOW_RATE,
        slow_after: SlowAfter = SLOW_AFTER,
        memory_limit: MemoryLimit = "1G",
        config: Config = "",
        daemon: Handed = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Fetch one file from all the URLs together.

        The same command again goes on where it stopped. With --daemon or --url a running daemon does it: its folders,
        its account, and how it treats disk and slow sources.
        """
        checked_loudness(quiet=quiet, verbose=verbose)
        link = link_of(daemon, Link(url=url, api_key=api_key, api_key_file=api_key_file))
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
            account=account_of_user(config) if link is None and needs_soulseek(addresses) else None,
        )
        say_notes([*notes, *_soulseek_notes(options)], quiet=quiet)
        raise typer.Exit(act(options) if link is None else _handed_over(link, options, output))

    return get


def swarm_command(act: Callable[[GetOptions], int]) -> Callable[..., None]:
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
        slow_rate: SlowRate = SLOW_RATE,
        slow_after: SlowAfter = SLOW_AFTER,
        memory_limit: MemoryLimit = "1G",
        config: Config = "",
        daemon: Handed = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Search for a file and fetch it from the Soulseek users who have it.

        Of what is found, the file that most users have. The same command again goes on where it stopped. swarm SIZE
        [CHUNK_KB] fetches what is in the pool (see: pool), through a daemon.
        """
        checked_loudness(quiet=quiet, verbose=verbose)
        link = link_of(daemon, Link(url=url, api_key=api_key, api_key_file=api_key_file))
        picked = _picked(term or [])
        if picked is not None:
            link = link or Link()
        folder, name = split_target(output)
        options = GetOptions(
            urls=(),
            term=checked_term(term or ()),
            wanted_size_bytes=checked_wanted_size(size),
            folder=folder,
            name=name,
            chunk_size=checked_chunk_size((picked and picked.chunk_size) or chunk_size),
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
            account=account_of_user(config) if link is None else None,
        )
        say_notes(_soulseek_notes(options), quiet=quiet)
        raise typer.Exit(act(options) if link is None else _handed_over(link, options, output, picked))

    return swarm


def _picked(words: list[str]) -> "Picked | None":
    """What of the pool is meant, when it is; only numbers may be."""
    if not (words and all(word.isascii() and word.isdigit() for word in words)):
        return None
    from protocol.cli.remote.pool_download import picked_from_pool

    return picked_from_pool(words)


def _say_ignored(options: GetOptions) -> None:
    """What was asked for and goes by the daemon's configuration instead."""
    asked = {
        "--preallocate": options.preallocate,
        "--sync": options.sync != "full",
        "--slow-rate": options.slow_rate_bytes_s != checked_rate("", SLOW_RATE),
        "--slow-after": options.slow_after_s != float(SLOW_AFTER),
        "--memory-limit": options.memory_limit_bytes != MEMORY_LIMIT_BYTES,
    }
    words = ", ".join(option for option, is_asked in asked.items() if is_asked)
    say_notes([f"the daemon goes by its own configuration, not by {words}"] if words else [], quiet=options.quiet)


def _handed_over(link: Link, options: GetOptions, output: str | None, picked: "Picked | None" = None) -> int:
    _say_ignored(options)
    if picked is None:
        from protocol.cli.remote.download import hand_over

        return hand_over(link, options, output)
    from protocol.cli.remote.pool_download import Wanted, order_and_follow

    wanted = Wanted(
        output=output,
        mode=options.mode,
        chunk_size=options.chunk_size,
        checksum=options.checksum,
        limit_bytes_s=options.limit_bytes_s,
        json=options.json,
        quiet=options.quiet,
        verbose=options.verbose,
    )
    with linked(link) as daemon:
        return order_and_follow(daemon, picked.target, wanted)[0]


def account_of_user(config: str) -> "Account":
    from protocol.config.load import load_account  # most downloads need none

    return load_account(config)


def _soulseek_notes(options: GetOptions) -> list[str]:
    """What whoever uses this account in this way should know."""
    if options.account is None:
        return []
    return [*options.account.notes, *([QUEUE_WARNING] if options.mode == "queue" else [])]


def say_notes(notes: Iterable[str], *, quiet: bool) -> None:
    for note in () if quiet else notes:
        typer.echo(f"note: {printable(note)}", err=True)
