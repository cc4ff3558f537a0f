"""A download that a running daemon does: ordered there, shown here until it ends. Leaving it does not touch it."""

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from protocol.cli.exit_codes import ExitCode
from protocol.cli.parsing import GetOptions
from protocol.cli.remote.connection import Link, linked
from protocol.cli.views.base import Loudness, view_of
from protocol.cli.views.job_table import ID_SHOWN, JsonRows
from protocol.cli.views.lines import LineWriter
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.printable import printable

if TYPE_CHECKING:
    from protocol.client.http_client import Daemon

SEARCH_S: Final = 10.0


def program_name() -> str:
    """As it was called."""
    return os.path.basename(sys.argv[0]) or "run.py"


def hand_over(link: Link, options: GetOptions, output: str | None) -> int:
    """``get`` and ``swarm TERM`` in a daemon. The exit code of the job there."""
    folder, name = place_in_daemon(output)
    with linked(link) as daemon:
        body = common_members(options, folder)
        if options.term:
            if name:
                raise BadUsage("-o: what a search finds is called as users call it; give a folder, with a / at its end")
            size = options.wanted_size_bytes if options.wanted_size_bytes >= 0 else _best_size(daemon, options.term)
            if size < 0:
                say_line(f"nothing found for {options.term!r}")
                return ExitCode.NO_SOURCE
            body |= {"filename": options.term, "size": size, "searchTimeout": round(1000 * SEARCH_S)}
            job = daemon.order("/swarm", body)
        else:
            name = name or next(filter(None, map(pools.name_of, options.urls)), "")
            if not name:
                raise BadUsage("the addresses do not say what the file is called: give -o NAME")
            sources = [pools.source_of(url) for url in options.urls]
            job = daemon.order("/download", body | {"filename": name, "fileSize": None, "sources": sources})
        return follow(daemon, job, Loudness(json=options.json, quiet=options.quiet, verbose=options.verbose))


def place_in_daemon(output: str | None) -> tuple[str | None, str]:
    """``(folder, name)`` of ``-o`` as the daemon understands them: folders are below its own for downloads, or
    absolute and inside those of its configuration; None and empty: as it likes."""
    if output is None:
        return None, ""
    folder, slash, name = output.rpartition("/")
    return (folder or ("/" if slash else None)), name


def common_members(options: GetOptions, folder: str | None) -> dict[str, Any]:
    """What all orders have."""
    return {
        "chunkSize": options.chunk_size,
        "mode": options.mode,
        "checksum": options.checksum or None,
        "limit": options.limit_bytes_s,
        "folder": folder,
    }


def follow(daemon: "Daemon", job: Any, loudness: Loudness) -> ExitCode:
    """Show it until it ends. Ctrl-C only leaves it."""
    from protocol.cli.remote.follow_job import watch

    id = job["id"]
    title = printable(job["name"] or job["term"] or "") or "the file"
    view = view_of(title, loudness, sys.stdout, sys.stderr, again=f"{program_name()} retry {id[:ID_SHOWN]}")
    say_job(loudness, id, title)
    try:
        return watch(daemon, id, view)
    except KeyboardInterrupt:
        view.close()
        over = "\r" if sys.stderr.isatty() else ""  # the terminal has written ^C there
        say_line(f"{over}left; the job goes on in the daemon: {program_name()} job {id[:ID_SHOWN]}")
        return ExitCode.INTERRUPTED
    finally:
        view.close()


def say_job(loudness: Loudness, id: str, title: str) -> None:
    """Which job it is, before anything of it is shown."""
    if loudness.json:
        JsonRows(sys.stdout).write({"event": "job", "id": id, "name": title})
    elif not loudness.quiet:
        say_line(f"job {id[:ID_SHOWN]}: {title}")


def say_line(line: str) -> None:
    """For people; it must be printable."""
    LineWriter(sys.stderr).write(line)


def _best_size(daemon: "Daemon", term: str) -> int:
    """Size of the file that most users have; -1: nobody has anything."""
    found = searched(daemon, term, SEARCH_S, most=1)
    return found[0]["size"] if found else -1


def searched(daemon: "Daemon", term: str, wait_s: float, *, most: int) -> list[Any]:
    """The targets of a search that the daemon makes now, what most users have first."""
    from protocol.client.http_client import ROOT

    params: dict[str, str | int | bool | list[str]] = {
        "searchText": term,
        "searchTimeout": round(1000 * wait_s),
        "limit": most,
    }
    return list(daemon.ask("GET", f"{ROOT}/search", params=params, wait_s=wait_s)["targets"])
