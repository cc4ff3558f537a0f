"""Commands ``get`` and ``swarm``: a download in processes of its own, or handed over to a daemon."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import typer

from protocol.cli.args import (
    Alone,
    ChecksumFile,
    Config,
    Handed,
    Http,
    InputFile,
    Interface,
    Link,
    Loudness,
    Size,
    Term,
    Transfer,
    Urls,
    WholeFolder,
    spread,
)
from protocol.cli.commands.documents import FetchDocument, checksum_from, described, output_of
from protocol.cli.group import Ended
from protocol.cli.parsing import (
    GetOptions,
    checked_chunk_size,
    checked_term,
    checked_urls,
    copy_target,
    folder_of,
    needs_soulseek,
    with_connections,
)
from protocol.cli.remote.connection import is_near, link_of, linked
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage, NoDocument
from protocol.model.integrity.metalink import Pieces
from protocol.model.job_spec import HttpOptions, JobSpec
from protocol.model.printable import printable
from protocol.model.source_url import host_of, name_from_url
from protocol.model.value import Struct, replace

if TYPE_CHECKING:
    from protocol.cli.remote.download import Picked
    from protocol.config.load import ConfigSource
    from protocol.config.settings import Account

QUEUE_WARNING: Final = (
    "--mode queue asks every Soulseek user again for every chunk, leaves hundreds of failed uploads in their lists, "
    "and can get you banned"
)


def get_command(act: Callable[[GetOptions], int], fetch: FetchDocument) -> Callable[..., None]:
    """The command ``get``. `act` downloads here, `fetch` gets the documents that it goes by."""

    @spread
    def get(
        *,
        context: typer.Context,
        urls: Urls = None,
        input_file: InputFile = "",
        checksum_file: ChecksumFile = "",
        transfer: Transfer,
        http: Http,
        loudness: Loudness,
        config: Config = None,
        daemon: Handed = False,
        no_daemon: Alone = False,
        link: Link,
    ) -> None:
        """Fetch one file from all the URLs together, or the files of a Metalink document from their mirrors.

        slsk://user/folder/ with a slash at its end fetches a folder: each file from all users who have it.

        The same command again goes on where it stopped. With --daemon or --url a running daemon does it: its folders,
        its account, and how it treats disk and slow sources. slsk:// addresses are fetched through this user's daemon
        by themselves where it has the same Soulseek login; the file still comes to where it is wanted.
        """
        if input_file:
            from protocol.cli.commands.input_file import get_each

            raise typer.Exit(get_each(context, input_file, urls or ()))
        there = link_of(daemon, link, alone=no_daemon)
        if there is not None and not http.logins_named:
            http = replace(http, netrc=is_near(there))
        remote_folder = folder_of(urls or ())
        if remote_folder is not None:
            if checksum_file or transfer.checksum:
                raise BadUsage("--checksum is of one file; a folder has many")
            account, mine = account_or_daemon(config, alone=no_daemon) if there is None else (None, None)
            options = _options(transfer.folder_spec(), transfer, loudness, account=account, remote_folder=remote_folder)
            raise typer.Exit(_run(act, options, there, transfer, loudness, notes=notes_of(config), own=mine))
        if checksum_file and transfer.checksum:
            raise BadUsage("--checksum and --checksum-file exclude each other")
        code: int = ExitCode.SEALED
        try:
            orders, notes = _orders(urls or (), transfer, http.options(), checksum_file, fetch, here=there is None)
        except NoDocument as error:
            raise Ended(ExitCode.NO_SOURCE, str(error)) from None
        except OSError as error:
            raise Ended(ExitCode.DISK, f"cannot make a folder: {error.strerror}") from None
        notes = [*notes_of(config), *notes]
        if there is not None and len(orders) > 1:
            made = [(_file_options(order, http.options(), loudness), order.transfer) for order in orders]
            files = [(replace(each, connections=http.connections), own) for each, own in made]
            raise typer.Exit(_run_group(files, there, transfer, loudness, notes=notes))
        for order in orders:
            own, addresses, sent = order.transfer, order.urls, http.options()
            account, mine = None, None
            if there is None and needs_soulseek(addresses):
                account, mine = account_or_daemon(config, alone=no_daemon)
            options = replace(_file_options(order, sent, loudness), account=account, connections=http.connections)
            if there is None and mine is None:
                options = replace(options, urls=with_connections(addresses, http.connections))
            each = _run(act, options, there, own, loudness, notes=notes, own=mine)
            code, notes = code or each, []
            if each == ExitCode.INTERRUPTED:
                code = each
                break
        raise typer.Exit(code)

    return get


class _Order(Struct, frozen=True, kw_only=True):
    """One file that a ``get`` fetches; `transfer` has its place and checksum."""

    urls: tuple[str, ...]
    transfer: Transfer
    size_bytes: int = -1
    pieces: Pieces | None = None
    of_strangers: bool = False
    """A document names the addresses: logins that the user gave are not for them."""


def _orders(
    words: Sequence[str],
    transfer: Transfer,
    http: HttpOptions,
    checksum_file: str,
    fetch: FetchDocument,
    *,
    here: bool,
) -> tuple[list[_Order], list[str]]:
    """The files that the words of a command stand for, and notes. `here`: not in a daemon."""
    found = described(words, http, fetch)
    if found is None:
        urls, dropped = checked_urls(words)
        if checksum_file:
            names = [*map(name_from_url, urls), (transfer.output or "").rpartition("/")[2]]
            transfer = replace(transfer, checksum=checksum_from(checksum_file, names, http, fetch))
        return [_Order(urls=urls, transfer=transfer)], list(dropped)
    alone = len(found.files) == 1
    if not alone and (transfer.checksum or copy_target(transfer.output)):
        raise BadUsage(f"--checksum and -o - are for one file: the Metalink describes {len(found.files)}")
    orders, notes = [], list(found.notes)
    own_hosts = {host_of(word) for word in words if "://" in word}
    for file in found.files:
        urls, more = checked_urls(file.urls)
        notes += more
        checksum = checksum_from(checksum_file, [file.name], http, fetch) if checksum_file else transfer.checksum
        output = transfer.output
        if not copy_target(output):
            output = output_of(file, output, alone=alone, here=here)
        own = replace(transfer, output=output, checksum=checksum or file.checksum)
        strange = any(host_of(url) not in own_hosts for url in urls)
        order = _Order(urls=urls, transfer=own, size_bytes=file.size_bytes, pieces=file.pieces, of_strangers=strange)
        orders.append(order)
    return orders, notes


def _file_options(order: _Order, http: HttpOptions, loudness: Loudness) -> GetOptions:
    spec = order.transfer.spec(http=http.for_strangers() if order.of_strangers else http, size_bytes=order.size_bytes)
    return _options(spec, order.transfer, loudness, urls=order.urls, account=None, pieces=order.pieces)


def _run_group(
    files: Sequence[tuple[GetOptions, Transfer]],
    link: Link,
    transfer: Transfer,
    loudness: Loudness,
    *,
    notes: Iterable[str],
) -> int:
    """Have a daemon fetch several files together; return the exit code of the first that fails there."""
    from protocol.cli.remote.download import hand_over_group

    words = ", ".join(transfer.ignored())
    more = [f"the daemon goes by its own configuration, not by {words}"] if words else []
    say_notes([*notes, *more], quiet=loudness.quiet)
    return hand_over_group(link, files, loudness)


def swarm_command(act: Callable[[GetOptions], int]) -> Callable[..., None]:
    """The command ``swarm``. `act` downloads here."""

    @spread
    def swarm(
        *,
        term: Term = None,
        size: Size = -1,
        folder: WholeFolder = False,
        interface: Interface = "",
        transfer: Transfer,
        loudness: Loudness,
        config: Config = None,
        daemon: Handed = False,
        no_daemon: Alone = False,
        link: Link,
    ) -> None:
        """Search for a file and fetch it from the Soulseek users who have it.

        Of what is found, the file that most users have. The same command again goes on where it stopped. Goes through
        this user's daemon by itself where that has the same Soulseek login. swarm SIZE [CHUNK_KB] fetches what is in
        the pool (see: pool), through a daemon. --folder fetches the whole folder that fits the words best.
        """
        there = link_of(daemon, link, alone=no_daemon)
        picked = picked_of(term or [])
        if picked is not None:
            there = there or Link()
            if picked.chunk_size:
                transfer = replace(transfer, chunk_size=checked_chunk_size(picked.chunk_size))
        words, bound = checked_term(term or ()), HttpOptions(interface=interface)
        account, own = account_or_daemon(config, alone=no_daemon) if there is None else (None, None)
        if folder:
            if size >= 0 or transfer.checksum:
                raise BadUsage("--folder goes with neither --size nor --checksum: it fetches many files")
            spec = transfer.folder_spec(term=words).but(http=bound)
            options = _options(spec, transfer, loudness, account=account, whole=True)
            raise typer.Exit(_run(act, options, there, transfer, loudness, notes=notes_of(config), own=own))
        spec = transfer.spec(term=words, size_bytes=size).but(http=bound)
        options = _options(spec, transfer, loudness, account=account)
        raise typer.Exit(_run(act, options, there, transfer, loudness, notes=notes_of(config), picked=picked, own=own))

    return swarm


def _options(
    spec: JobSpec,
    transfer: Transfer,
    loudness: Loudness,
    *,
    urls: tuple[str, ...] = (),
    account: "Account | None",
    pieces: Pieces | None = None,
    whole: bool = False,
    remote_folder: tuple[str, str] | None = None,
) -> GetOptions:
    return GetOptions(
        spec=spec,
        urls=urls,
        json=loudness.json,
        quiet=loudness.quiet,
        verbose=loudness.verbose,
        memory_limit_bytes=transfer.memory_limit,
        max_time_s=transfer.max_time_s,
        on_complete=tuple(shlex.split(transfer.on_complete)),
        account=account,
        copy_to=copy_target(transfer.output),
        pieces=pieces,
        whole_folder=whole or remote_folder is not None,
        remote_folder=remote_folder,
    )


def _run(
    act: Callable[[GetOptions], int],
    options: GetOptions,
    link: Link | None,
    transfer: Transfer,
    loudness: Loudness,
    *,
    notes: Iterable[str],
    picked: "Picked | None" = None,
    own: Link | None = None,
) -> int:
    """Do it here, or in the daemon; return its exit code. `own`: the daemon that has the login."""
    ignored = [*transfer.ignored(), *(["--max-time"] if options.whole_folder and options.max_time_s else [])]
    if options.spec.http.interface and (own is not None or options.spec.term):
        ignored.append("--interface")  # its session is bound already, or is not
    if own is not None:
        words = ", ".join([*ignored, *([f"-o {options.copy_to}"] if options.copy_to else [])])
        if words:
            what = f"the daemon at {own.url} has this Soulseek login and cannot do that"
            raise BadUsage(f"{printable(words)}: {what}; --no-daemon does it here and ends its login")
        say_notes(notes, quiet=options.quiet)
        if options.whole_folder:
            from protocol.cli.remote.folder import hand_over_folder
            from protocol.cli.remote.own_daemon import say_handed_over

            if not options.quiet:
                say_handed_over(own)
            return hand_over_folder(own, options, transfer, loudness, own=True)
        from protocol.cli.remote.own_daemon import hand_over_here

        return hand_over_here(own, options, transfer, loudness)
    if options.copy_to and (link is not None or options.json):
        raise BadUsage(f"-o {printable(options.copy_to)}: goes with neither a daemon nor --json; give a path")
    say_notes([*notes, *_soulseek_notes(options)], quiet=options.quiet)
    if link is None:
        return act(options)
    words = ", ".join(ignored)
    say_notes([f"the daemon goes by its own configuration, not by {words}"] if words else [], quiet=options.quiet)
    if options.whole_folder:
        from protocol.cli.remote.folder import hand_over_folder

        return hand_over_folder(link, options, transfer, loudness)
    from protocol.cli.remote.download import hand_over, order_target

    if picked is None:
        return hand_over(link, options, transfer, loudness)
    with linked(link) as daemon:
        return order_target(daemon, picked.target, transfer, loudness)[0]


def picked_of(words: list[str]) -> "Picked | None":
    """The file of the pool that is meant; only numbers can mean one."""
    if not (words and all(word.isascii() and word.isdigit() for word in words)):
        return None
    from protocol.cli.remote.download import picked_from_pool

    return picked_from_pool(words)


def account_or_daemon(config: "ConfigSource | None", *, alone: bool) -> "tuple[Account | None, Link | None]":
    """``(account, None)``, or ``(None, daemon)`` where this user's daemon has its login and it is not to be `alone`.

    Raises `BadUsage` when there is neither.
    """
    from protocol.config.load import ConfigSource  # most downloads need none

    source = config or ConfigSource()
    if not alone:
        from protocol.cli.remote.own_daemon import daemon_with_login

        own = daemon_with_login(source.account())
        if own is not None:
            return None, own
    return source.login(), None


def notes_of(config: "ConfigSource | None") -> tuple[str, ...]:
    """Return the notes about the configuration that a user should see."""
    return config.notes if config is not None else ()


def _soulseek_notes(options: GetOptions) -> list[str]:
    if options.account is None:
        return []
    return [*options.account.notes, *([QUEUE_WARNING] if options.spec.mode == "queue" else [])]


def say_notes(notes: Iterable[str], *, quiet: bool) -> None:
    """Write notes to stderr, a line each."""
    for note in () if quiet else notes:
        typer.echo(f"note: {printable(note)}", err=True)
