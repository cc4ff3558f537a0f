"""A file of the pool ordered from a daemon, followed to its end, and looked at afterwards."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocol.cli.exit_codes import ExitCode
from protocol.cli.remote.download import follow, place_in_daemon, say_line
from protocol.cli.views.base import Loudness
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.printable import count_of, printable
from protocol.model.units import show_size

if TYPE_CHECKING:
    from protocol.client.http_client import Daemon


RUNS: Final = 10_000
RUNS_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a file of the pool is to be fetched and shown."""

    output: str | None = None
    mode: str = "swarm"
    chunk_size: int = 128 * 1024
    checksum: str = ""
    limit_bytes_s: int = 0
    json: bool = False
    quiet: bool = False
    verbose: bool = False


def order_and_follow(daemon: "Daemon", target: pools.PoolTarget, wanted: Wanted) -> tuple[ExitCode, str]:
    """``(exit code of the job, its id)``; from all who are known to have the file."""
    folder, name = place_in_daemon(wanted.output)
    body = {
        "filename": name or target.name or str(target.size_bytes),
        "fileSize": target.size_bytes,
        "sources": [pools.source_of(source.url) for source in target.sources],
        "chunkSize": wanted.chunk_size,
        "mode": wanted.mode,
        "checksum": wanted.checksum or None,
        "limit": wanted.limit_bytes_s,
        "folder": folder,
    }
    job = daemon.order("/download", body)
    loudness = Loudness(json=wanted.json, quiet=wanted.quiet, verbose=wanted.verbose)
    return follow(daemon, job, loudness), job["id"]


def checked_out(daemon: "Daemon", id: str, digest: Callable[[str, str], str], *, quiet: bool) -> ExitCode:
    """Whether every byte of a sealed file is accounted for, and whether the file is what the daemon says it is."""
    job = daemon.job(id, drawn=False)
    hole, givers = accounted(_runs(daemon, id), job["sizeBytes"])
    if hole is not None:
        say_line(f"check: nobody is known to have sent byte {hole}")
        return ExitCode.DISAGREED
    if not quiet:
        say_line(f"check: all of {show_size(job['sizeBytes'])} are accounted for, from {count_of(givers, 'source')}")
    return _same_digest(job, digest, quiet=quiet)


def accounted(runs: Iterator[Any], size_bytes: int) -> tuple[int | None, int]:
    """``(the first byte that no run has, None: all are there; how many sources)``. Runs come in order."""
    givers: set[int | None] = set()
    at = 0
    for run in runs:
        if run["startByte"] > at:
            return at, len(givers)
        at = max(at, run["stopByte"])
        givers.add(run["source"])
    return (at if at < size_bytes else None), len(givers)


def _runs(daemon: "Daemon", id: str) -> Iterator[Any]:
    from protocol.client.http_client import ROOT

    for offset in range(0, RUNS_MAX, RUNS):
        page = daemon.ask("GET", f"{ROOT}/jobs/{id}/manifest", params={"offset": offset, "limit": RUNS})["runs"]
        yield from page
        if len(page) < RUNS:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """`chunk_size` as options are written, empty: none was named."""

    target: pools.PoolTarget
    chunk_size: str = ""


def picked_from_pool(words: Sequence[str]) -> Picked | None:
    """``SIZE [CHUNK_KB]``, all digits; None when no file of the pool has this size: then they are words to search for.

    Of several files of one size the one that most have.
    """
    found = load_pool().of_size(int(words[0])) if len(words) <= 2 else []
    if not found:
        return None
    return Picked(target=found[0], chunk_size=f"{int(words[1])}K" if len(words) == 2 else "")


def load_pool() -> pools.Pool:
    try:
        return pools.load(os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None


def save_pool(pool: pools.Pool) -> None:
    try:
        pools.save(pool, os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None
