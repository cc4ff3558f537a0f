"""Downloads that a running daemon does: ordered there, shown here until they end. Leaving one does not touch it."""

import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from protocol.cli.args import Link, Loudness, Transfer
from protocol.cli.on_complete import run_command
from protocol.cli.parsing import ExportOptions, GetOptions
from protocol.cli.remote.connection import linked, program_name, say_line
from protocol.cli.views.base import view_of
from protocol.cli.views.job_table import ID_SHOWN
from protocol.cli.views.lines import JsonRows
from protocol.cli.views.outcome import ExitCode
from protocol.cli.views.progress_state import SAME_COMMAND
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.http_options import COOKIES_CHARS_MAX, cookies_for
from protocol.model.job_spec import FAILURES_MAX, STALL_TIMEOUT_S, TIMEOUT_S, HttpOptions
from protocol.model.printable import count_of, printable
from protocol.model.source_url import is_masked, is_slsk
from protocol.model.units import show_size
from protocol.model.value import Struct, replace

if TYPE_CHECKING:
    from protocol.client.http_client import Daemon

SEARCH_S: Final = 10.0
NO_HTTP: Final = HttpOptions()
SOURCES_MAX: Final = 256
"""Sources in one order; those of a Metalink are sorted, the best first."""
RANGES: Final = 10_000
"""Ranges of a manifest in one answer ..."""
RANGES_MAX: Final = 10_000_000
"""... and in all."""


def hand_over(link: Link, options: GetOptions, transfer: Transfer, loudness: Loudness) -> ExitCode:
    """Do ``get`` or ``swarm TERM`` in a daemon. The exit code of the job there."""
    folder, name = place_in_daemon(transfer.output)
    with linked(link) as daemon:
        body = common_members(transfer, folder, options.spec.http, options.urls)
        if options.spec.term:
            if name:
                raise BadUsage("-o: what a search finds is called as users call it; give a folder, with a / at its end")
            size = options.spec.size_bytes
            if size < 0:
                found = searched(daemon, options.spec.term, SEARCH_S, most=1)
                if not found:
                    say_line(f"nothing found for {options.spec.term!r}")
                    return ExitCode.NO_SOURCE
                size = found[0]["size"]
            body |= {"filename": options.spec.term, "size": size, "searchTimeout": round(1000 * SEARCH_S)}
            return follow(daemon, daemon.order("/swarm", body), loudness, on_complete=options.on_complete)
        job = daemon.order("/download", body | _file_members(options, name))
        return follow(daemon, job, loudness, on_complete=options.on_complete)


def hand_over_group(link: Link, files: Sequence[tuple[GetOptions, Transfer]], loudness: Loudness) -> ExitCode:
    """Order the files of one command as a group, then show them one after another.

    Return the exit code of the first that failed, 0 when none did. Ctrl-C only leaves them.
    """
    with linked(link) as daemon:
        group, jobs = str(uuid.uuid4()), []
        for options, transfer in files:
            folder, name = place_in_daemon(transfer.output)
            body = common_members(transfer, folder, options.spec.http, options.urls) | _file_members(options, name)
            jobs.append(daemon.order("/download", body | {"group": group}))
        code = ExitCode.SEALED
        for job in jobs:
            each = follow(daemon, job, loudness, on_complete=files[0][0].on_complete)
            if each == ExitCode.INTERRUPTED:
                say_line(f"the other files go on, too: {program_name()} jobs")
                return each
            code = code or each
    return code


def _file_members(options: GetOptions, name: str) -> dict[str, Any]:
    """Members of an order of one file. `name`: what ``-o`` calls it, empty: as its sources do."""
    name = name or options.spec.name or next(filter(None, map(pools.name_of, options.urls)), "")
    if not name:
        raise BadUsage("the addresses do not say what the file is called: give -o NAME")
    if len(options.urls) > SOURCES_MAX:
        say_line(
            f"note: {len(options.urls) - SOURCES_MAX} sources left out: a daemon takes {SOURCES_MAX} with an order"
        )
    return {
        "filename": name,
        "fileSize": size if (size := options.spec.size_bytes) >= 0 else None,
        "sources": [pools.source_of(url) for url in options.urls[:SOURCES_MAX]],
        "connections": min(options.connections, max(1, SOURCES_MAX // max(1, len(options.urls)))),
        **piece_members(options),
    }


def piece_members(options: GetOptions) -> dict[str, Any]:
    """Member of an order with the piece hashes, where there are any."""
    pieces = options.pieces
    if pieces is None:
        return {}
    width = 2 * pieces.digest_bytes
    digits = pieces.digests.hex()
    hashes = [digits[at : at + width] for at in range(0, len(digits), width)]
    return {"pieces": {"algorithm": pieces.algorithm, "pieceSize": pieces.piece_bytes, "hashes": hashes}}


def order_target(
    daemon: "Daemon", target: pools.PoolTarget, transfer: Transfer, loudness: Loudness
) -> tuple[ExitCode, str]:
    """``(exit code of the job, its id)`` of a file of the pool, from all who are known to have it."""
    folder, name = place_in_daemon(transfer.output)
    body = {
        "filename": name or target.name or str(target.size_bytes),
        "fileSize": target.size_bytes,
        "sources": [pools.source_of(source.url) for source in target.sources],
    }
    job = daemon.order("/download", common_members(transfer, folder) | body)
    return follow(daemon, job, loudness), job["id"]


def place_in_daemon(output: str | None) -> tuple[str | None, str]:
    """Return ``(folder, name)`` of ``-o`` as the daemon understands them; None and empty: its own choice.

    Folders are below its own for downloads, or absolute and inside those of its configuration.
    """
    if output is None:
        return None, ""
    folder, slash, name = output.rpartition("/")
    return (folder or ("/" if slash else None)), name


def common_members(
    transfer: Transfer, folder: str | None, http: HttpOptions = NO_HTTP, urls: Sequence[str] = ()
) -> dict[str, Any]:
    """Members that all orders have."""
    return {
        "existing": transfer.existing,
        "http": http_members(transfer, http) | secrets_for(http, urls),
        "maxTime": round(1000 * transfer.max_time_s) or None,
        "chunkSize": transfer.chunk_size or None,
        "mode": transfer.mode,
        "checksum": transfer.checksum or None,
        "require": None if transfer.require == "size" else transfer.require,
        "limit": transfer.limit_bytes_s,
        "folder": folder,
    }


def http_members(transfer: Transfer, http: HttpOptions) -> dict[str, Any]:
    """How HTTP servers are asked, as far as it was said."""
    members = {
        "headers": list(http.headers),
        "userAgent": http.user_agent,
        "referer": http.referer,
        "proxy": http.proxy,
        "interface": http.interface,
        "ipVersion": http.ip_version,
        "httpsOnly": http.https_only,
        "timeout": round(1000 * transfer.timeout_s) if transfer.timeout_s != TIMEOUT_S else 0,
        "stallTimeout": round(1000 * transfer.stall_timeout_s) if transfer.stall_timeout_s != STALL_TIMEOUT_S else 0,
        "retries": transfer.failures_max if transfer.failures_max != FAILURES_MAX else 0,
    }
    return {name: value for name, value in members.items() if value}


def secrets_for(http: HttpOptions, urls: Sequence[str]) -> dict[str, Any]:
    """Return the cookies and logins of the user's files that are for the hosts of these addresses, and no others.

    A daemon reads no file of the user. Raises `BadUsage` where they are too many.
    """
    hosts = list(dict.fromkeys(filter(None, (urlsplit(url).hostname for url in urls if not is_slsk(url)))))
    members: dict[str, Any] = {}
    if http.cookie_file:
        try:
            text = Path(http.cookie_file).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadUsage(f"--cookie-file: {error.strerror}") from None
        members["cookies"] = list(cookies_for(text, hosts))
        if sum(map(len, members["cookies"])) > COOKIES_CHARS_MAX:
            raise BadUsage(f"--cookie-file: more than {COOKIES_CHARS_MAX} characters for these hosts")
    if http.netrc_file:
        from netrc import NetrcParseError, netrc

        try:
            entries = netrc(http.netrc_file)
        except (OSError, ValueError, NetrcParseError):
            raise BadUsage("--netrc: the file cannot be read any more") from None
        found = [(host, entries.authenticators(host)) for host in hosts]
        members["logins"] = [
            {"host": host, "username": entry[0], "password": entry[2] or ""} for host, entry in found if entry
        ]
    return members


def follow(
    daemon: "Daemon",
    job: Any,
    loudness: Loudness,
    *,
    seen: Callable[[Any], Any] | None = None,
    left: Callable[[], str] | None = None,
    on_complete: tuple[str, ...] = (),
) -> ExitCode:
    """Show a job until it ends. Ctrl-C only leaves it, or does what `left` does and says.

    `seen` changes what the daemon says of the job before it is shown. `on_complete`: run here with the finished file.
    """
    from protocol.cli.remote.follow_job import watch

    id = job["id"]
    title = printable(job["name"] or job["term"] or "") or "the file"
    again = SAME_COMMAND if left is not None else f"{program_name()} retry {id[:ID_SHOWN]}"
    view = view_of(title, loudness, sys.stdout, sys.stderr, again=again)
    if loudness.json:
        JsonRows(sys.stdout).write({"event": "job", "id": id, "name": title})
    elif not loudness.quiet:
        say_line(f"job {id[:ID_SHOWN]}: {title}")
    latest: list[Any] = [job]

    def shown(news: Any) -> Any:
        latest[0] = news if seen is None else seen(news)
        return latest[0]

    try:
        code = watch(daemon, id, view, seen=shown)
        if code == ExitCode.SEALED and on_complete:
            _complete(latest[0], on_complete)
        return code
    except KeyboardInterrupt:
        view.close()
        over = "\r" if sys.stderr.isatty() else ""  # the terminal has written ^C there
        goes_on = f"left; the job goes on in the daemon: {program_name()} job {id[:ID_SHOWN]}"
        say_line(over + (goes_on if left is None else f"interrupted: {left()}"))
        return ExitCode.INTERRUPTED
    finally:
        view.close()


def _complete(job: Any, words: tuple[str, ...]) -> None:
    """Run the command of ``--on-complete`` with a job's file, which lies where the daemon is."""
    path = job["path"] or ""
    if os.path.exists(path):
        run_command(words, path, job["digestHex"] or "")
    else:
        say_line(f"note: {printable(path)} is not on this machine: the command of --on-complete is not run")


def searched(daemon: "Daemon", term: str, wait_s: float, *, most: int) -> list[Any]:
    """The targets of a search that the daemon makes now, what most users have first."""
    from protocol.client.http_client import ROOT

    params: dict[str, str | int | bool | list[str]] = {
        "searchText": term,
        "searchTimeout": round(1000 * wait_s),
        "limit": most,
    }
    return list(daemon.ask("GET", f"{ROOT}/search", params=params, wait_s=wait_s)["targets"])


def of_job(link: Link, word: str, options: ExportOptions) -> ExportOptions:
    """Return the options of an export with what a daemon knows of a job: mirrors, or which source sent which bytes."""
    with linked(link) as daemon:
        id = daemon.find_job(word)
        job = daemon.job(id, drawn=False)
        if options.manifest:
            rows = tuple((row["startByte"], row["stopByte"], row["url"] or "") for row in _ranges(daemon, id))
            return replace(options, ranges=rows, chunk_size=job["chunkSize"])
    sent = [row["url"] for row in job["sources"] if row["bytesStored"] > 0]
    urls = [url for url in sent if url.lower().startswith("http") and not is_masked(url)]
    return replace(options, mirrors=(*options.mirrors, *urls))


# What became of a file: is every byte accounted for, and is it what the daemon says?


def check_sealed(daemon: "Daemon", id: str, digest: Callable[[str, str], str], *, quiet: bool) -> ExitCode:
    """Check a sealed file against the ranges and the digest that the daemon has of it."""
    job = daemon.job(id, drawn=False)
    hole, senders = accounted(_ranges(daemon, id), job["sizeBytes"])
    if hole is not None:
        say_line(f"check: no source is known to have sent byte {hole}")
        return ExitCode.DISAGREED
    if not quiet:
        say_line(f"check: all of {show_size(job['sizeBytes'])} are accounted for, from {count_of(senders, 'source')}")
    return _same_digest(job, digest, quiet=quiet)


def accounted(ranges: Iterator[Any], size_bytes: int) -> tuple[int | None, int]:
    """``(the first byte that no range has, None: all are there; number of sources)``. Ranges come in order."""
    senders: set[int | None] = set()
    at = 0
    for one in ranges:
        if one["startByte"] > at:
            return at, len(senders)
        at = max(at, one["stopByte"])
        senders.add(one["source"])
    return (at if at < size_bytes else None), len(senders)


def _ranges(daemon: "Daemon", id: str) -> Iterator[Any]:
    from protocol.client.http_client import ROOT

    for offset in range(0, RANGES_MAX, RANGES):
        page = daemon.ask("GET", f"{ROOT}/jobs/{id}/manifest", params={"offset": offset, "limit": RANGES})["runs"]
        yield from page
        if len(page) < RANGES:
            return


def _same_digest(job: Any, digest: Callable[[str, str], str], *, quiet: bool) -> ExitCode:
    algorithm = (job["checksum"] or "xxh3_128").partition(":")[0]
    path = job["path"] or ""
    try:
        if not job["digestHex"] or os.path.getsize(path) != job["sizeBytes"]:
            raise FileNotFoundError
        found = digest(path, algorithm)
    except OSError:
        if not quiet:
            say_line("check: the file cannot be read here, its digest is not compared")
        return ExitCode.SEALED
    same = found == job["digestHex"]
    if not same:
        say_line(f"check: {printable(path)} is not what the daemon sealed: its {algorithm} is {found}")
    elif not quiet:
        say_line(f"check: {algorithm} of the file is what the daemon says: {found}")
    return ExitCode.SEALED if same else ExitCode.DISAGREED


# Which file of the pool is meant by a size.


class Picked(Struct, frozen=True, kw_only=True):
    """Picked options of an order. `chunk_size` as options are written, empty: none was named."""

    target: pools.PoolTarget
    chunk_size: str = ""


def picked_from_pool(words: Sequence[str]) -> Picked | None:
    """Return the file of ``SIZE [CHUNK_KB]``, the one that most have.

    None when the pool has none of this size, or when these are other words.
    """
    if not (0 < len(words) <= 2 and all(word.isascii() and word.isdigit() for word in words)):
        return None
    found = load_pool().of_size(int(words[0]))
    return Picked(target=found[0], chunk_size=f"{int(words[1])}K" if len(words) == 2 else "") if found else None


def load_pool() -> pools.Pool:
    """The pool of this user. Raises `BadUsage`."""
    try:
        return pools.load(os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None


def save_pool(pool: pools.Pool) -> None:
    """Replace the pool of this user. Raises `BadUsage`."""
    try:
        pools.save(pool, os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None
