"""Folder downloads that a running daemon does: ordered there, its files shown here one after another until they end."""

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from protocol.cli.args import Link, Loudness, Transfer
from protocol.cli.parsing import GetOptions
from protocol.cli.remote.connection import linked, program_name, say_line
from protocol.cli.remote.download import SEARCH_S, common_members, follow, place_in_daemon, searched
from protocol.cli.remote.own_daemon import PAUSED_MAX, AsHere
from protocol.cli.views.lines import JsonRows
from protocol.cli.views.outcome import ExitCode
from protocol.model.printable import count_of, printable
from protocol.model.remote_paths import FolderHit, best_folder

if TYPE_CHECKING:
    from protocol.client.http_client import Daemon

TARGETS: Final = 1000
"""Files of a search among which the folder is looked for."""
_OF_FOLDERS: Final = ("chunkSize", "mode", "limit")


def hand_over_folder(
    link: Link, options: GetOptions, transfer: Transfer, loudness: Loudness, *, own: bool = False
) -> ExitCode:
    """Do ``get slsk://user/folder/`` or ``swarm --folder`` in a daemon.

    Return the exit code of the first file that failed there, 0 when none did. Ctrl-C only leaves it. `own`: it is this
    user's daemon, and does it because it has the login: the files end up where they are wanted here, Ctrl-C pauses.
    """
    place, _ = place_in_daemon(f"{transfer.output.rstrip('/')}/" if transfer.output else None)
    with linked(link) as daemon:
        found = options.remote_folder or _found(daemon, options.spec.term)
        if found is None:
            say_line(f"no user has a folder with these words: {printable(options.spec.term)}")
            return ExitCode.NO_SOURCE
        user, folder = found
        members = common_members(transfer, None)
        body = {name: members[name] for name in _OF_FOLDERS} | {"username": user, "remoteFolder": folder}
        if not own:
            made = daemon.order("/folder", {**body, "folder": place})
            _announce(made, folder, loudness)
            return _followed(daemon, made, loudness, options.on_complete)
        made, moved_to = _ordered(daemon, body, options.spec.folder)
        _announce(made, folder, loudness)
        return _followed(daemon, made, loudness, options.on_complete, moved_to=moved_to)


def _ordered(daemon: "Daemon", body: Any, folder: str) -> tuple[Any, str | None]:
    """Return ``(folder download, where its files are to be moved to)``: the one of the same command, or a new one.

    ``None``: the daemon writes there itself. What ended too early there goes on.
    """
    from protocol.client.http_client import ROOT, DaemonError

    for place in (folder, None):
        for number in range(PAUSED_MAX):
            key = hashlib.sha256(json.dumps([body, folder, place, number], sort_keys=True).encode()).hexdigest()
            try:
                made = daemon.order("/folder", {**body, "folder": place}, key=key)
            except DaemonError as error:
                if place is None or error.field != "folder":
                    raise
                break
            if made["state"] == "sealed" and number < PAUSED_MAX - 1:
                continue
            for action in ("resume", "retry"):
                daemon.ask("POST", f"{ROOT}/folders/{made['id']}/{action}")
            return made, os.path.join(folder, made["name"]) if place is None else ""
    raise AssertionError("the last order is taken as it is")


def _announce(made: Any, folder: str, loudness: Loudness) -> None:
    if loudness.json:
        JsonRows(sys.stdout).write({"event": "folder", "id": made["id"], "user": made["username"],
                                    "folder": folder, "files": made["fileCount"], "path": made["folder"]})  # fmt: skip
    elif not loudness.quiet:
        files = count_of(made["fileCount"], "file")
        say_line(f"folder {made['id']}: {printable(folder)} of {printable(made['username'])}, {files}")


def _followed(
    daemon: "Daemon", made: Any, loudness: Loudness, command: tuple[str, ...], *, moved_to: str | None = None
) -> ExitCode:
    """Show the files one after another. `moved_to`: done as if here, moved there unless it is empty."""
    failed = ExitCode.SEALED
    for job in made["files"]:
        if moved_to is None:
            code = follow(daemon, job, loudness, on_complete=command)
        else:
            here = AsHere(daemon, daemon.job(job["id"]), moved_to, job["name"])
            code = follow(
                daemon,
                job,
                loudness,
                seen=here.seen,
                left=lambda: _paused(daemon, made["id"]),
                on_complete=command,
            )
        if code == ExitCode.INTERRUPTED:
            if moved_to is None:
                say_line(f"the other files go on, too: {program_name()} jobs")
            return code
        failed = failed or code
    return failed


def _paused(daemon: "Daemon", id: str) -> str:
    """Pause a folder download and return the line that says so."""
    from protocol.client.http_client import ROOT

    daemon.ask("POST", f"{ROOT}/folders/{id}/pause")
    return "paused in the daemon; the same command goes on from there"


def _found(daemon: "Daemon", term: str) -> tuple[str, str] | None:
    hits = [
        FolderHit(one["username"], one["fullPath"], target["size"], one["slotsFree"], one["speedBytesS"])
        for target in searched(daemon, term, SEARCH_S, most=TARGETS)
        for one in target["sources"]
    ]
    return best_folder(hits)
