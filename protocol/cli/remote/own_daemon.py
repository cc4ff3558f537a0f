"""Hand-over of one-shot Soulseek commands to this user's running daemon, whose login they would end.

The server allows a name one login. So ``search``, ``swarm TERM`` and ``get slsk://...`` are ordered from the daemon
where it has the same account, and end as if they had been done here: the file lies where it was wanted, Ctrl-C leaves
it to be gone on with by the same command. A daemon writes below its own folders only; elsewhere this program, which
runs as the user, moves the finished file to.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from protocol.cli.args import Link, Loudness, Transfer
from protocol.cli.group import say_error
from protocol.cli.parsing import GetOptions, SearchOptions
from protocol.cli.remote.connection import access_of, linked, say_line
from protocol.cli.remote.download import common_members, follow, piece_members
from protocol.cli.views.outcome import ExitCode
from protocol.cli.views.search import Found, SearchView, found_in, search_exit_code
from protocol.client import saved_pool as pools
from protocol.model.errors import BadUsage
from protocol.model.file_matches import FileMatches, PeerFile

if TYPE_CHECKING:
    from protocol.client.http_client import Daemon
    from protocol.config.settings import Account

STATUS_S: Final = 3.0
ALONE: Final = "--no-daemon"
SEARCH_MS: Final = 5000
"""How long a one-shot command waits for answers."""
PAUSED_MAX: Final = 100
"""Equal orders that are looked through for one that has not ended."""
NAMES_MAX: Final = 10_000
LOOK_S: Final = 0.3
SEARCH_S_MAX: Final = 900.0
"""Longest time of a search, most of it waiting for the daemon's ration."""
_TRIED_AGAIN: Final = ("starved", "disk", "failed")


def daemon_with_login(account: "Account | None") -> Link | None:
    """Return the running daemon of this user that has this account (None: any); None where there is none.

    One that does not let us in ends the program: it could have the login.
    """
    from protocol.client.credentials import is_here, own_url

    link = Link(url=os.environ.get("SHOAL_URL", "") or own_url(os.environ))
    if not link.url or not is_here(link.url):
        return None
    from protocol.client.http_client import ROOT, Daemon, DaemonError

    with Daemon(access_of(link), answer_s=STATUS_S) as daemon:
        try:
            status = daemon.ask("GET", f"{ROOT}/status")
        except DaemonError as error:
            if error.kind != "access":
                return None
            say_error(f"{error.detail}; {ALONE}: log in here, which ends its login")
            raise typer.Exit(ExitCode.NO_DAEMON) from None
    if not status["username"]:
        return None
    same = account is None or (account.username, f"{account.server_host}:{account.server_port}") == (
        status["username"],
        status["server"],
    )
    return link if same else None


def say_handed_over(link: Link) -> None:
    """Say that the daemon does it, and how it is done here."""
    say_line(f"note: the daemon at {link.url} has this Soulseek login and does it ({ALONE}: end its login)")


# Downloads.


def hand_over_here(link: Link, options: GetOptions, transfer: Transfer, loudness: Loudness) -> ExitCode:
    """Do ``get`` or ``swarm TERM`` in the daemon as if it were done here. Raises `BadUsage` where it cannot."""
    from protocol.client.http_client import DaemonError

    if not loudness.quiet:
        say_handed_over(link)
    with linked(link) as daemon:
        try:
            return _done(daemon, options, transfer, loudness)
        except DaemonError as error:
            if error.kind == "refused":
                raise BadUsage(f"{error.detail}; {ALONE} does it here") from None
            raise


def _done(daemon: "Daemon", options: GetOptions, transfer: Transfer, loudness: Loudness) -> ExitCode:
    spec = options.spec
    body = common_members(transfer, None, spec.http, options.urls) | {"checksum": spec.checksum or None}
    if spec.term:
        path, name = "/swarm", spec.name
        size = spec.size_bytes if spec.size_bytes >= 0 else None
        body |= {"filename": spec.term, "size": size, "searchTimeout": SEARCH_MS}
    else:
        path, name = "/download", ""
        named = spec.name or next(filter(None, map(pools.name_of, options.urls)), "the file")
        size = spec.size_bytes if spec.size_bytes >= 0 else None
        body |= {"filename": named, "fileSize": size, "sources": [pools.source_of(url) for url in options.urls]}
        body |= piece_members(options) | {"connections": options.connections}
    job, moved = _ordered(daemon, path, body, spec.folder, name)
    here = AsHere(daemon, job, spec.folder if moved else "", name)
    return follow(daemon, job, loudness, seen=here.seen, left=here.left, on_complete=options.on_complete)


def _ordered(daemon: "Daemon", path: str, body: Mapping[str, Any], folder: str, name: str) -> tuple[Any, bool]:
    """Return ``(job, whether its file is to be moved)``: that of the same command if it has not ended, or a new one."""
    from protocol.client.http_client import ROOT, DaemonError

    for own in (None,) if name else (folder, None):
        for number in range(PAUSED_MAX):
            words = json.dumps([path, body, folder, name, own, number], sort_keys=True)
            key = hashlib.sha256(words.encode()).hexdigest()
            try:
                job = daemon.order(path, {**body, "folder": own}, key=key if number < PAUSED_MAX - 1 else "")
            except DaemonError as error:
                if own is None or error.field != "folder":
                    raise
                break
            command = {"paused": "resume", "failed": "retry", "cancelled": "retry"}.get(job["state"], "")
            if command:
                job = daemon.ask("POST", f"{ROOT}/jobs/{job['id']}/{command}")
            if job["state"] != "sealed":
                return daemon.job(job["id"]), own is None
    raise AssertionError("the last order has a key of its own")


class AsHere:
    """Presentation of a daemon's job as a one-shot job: one attempt, and the file where it was wanted.

    `folder`: where the finished file is moved to, empty: not at all. `name`: its name then, empty: as it is.
    """

    def __init__(self, daemon: "Daemon", job: Any, folder: str, name: str) -> None:
        self._daemon = daemon
        self._id: str = job["id"]
        self._attempts: int = job["attempts"] - (job["state"] == "active")
        self._folder = folder
        self._name = name

    def seen(self, job: Any) -> Any:
        """Return the job as it is shown. One that the daemon would try again later has ended here: it is paused."""
        again = job["state"] == "queued" and job["outcome"] in _TRIED_AGAIN and job["attempts"] > self._attempts
        if again or job["phase"] == "waiting":
            self._pause()
            reason = (job["reason"] or "").partition("; tried again")[0].partition("; tries again")[0]
            return {**job, "state": "failed", "outcome": job["outcome"] if again else "starved", "reason": reason}
        if job["state"] == "sealed" and self._folder:
            try:
                return {**job, "path": moved(job["path"], self._folder, self._name)}
            except OSError as error:
                why = f"the file is {job['path']} and cannot be moved to {self._folder}: {error.strerror}"
                return {**job, "state": "failed", "outcome": "disk", "reason": why}
        return job

    def left(self) -> str:
        """Pause the job and return the line that says so."""
        self._pause()
        return "paused in the daemon; the same command goes on from there"

    def _pause(self) -> None:
        from protocol.client.http_client import ROOT, DaemonError

        try:
            self._daemon.ask("POST", f"{ROOT}/jobs/{self._id}/pause")
        except DaemonError as error:
            if error.kind == "away":
                raise


def moved(path: str, folder: str, name: str) -> str:
    """Move a finished file into a folder without replacing any other and return its new path. Raises OSError."""
    stem, extension = os.path.splitext(name or os.path.basename(path))
    os.makedirs(folder, exist_ok=True)
    source = path
    try:
        if os.stat(path).st_dev != os.stat(folder).st_dev:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".shoal-", delete=False) as copy:
                source = copy.name
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, copy, 1 << 20)
                os.fchmod(copy.fileno(), os.stat(path).st_mode & 0o777)
                copy.flush()
                os.fsync(copy.fileno())
        for number in range(NAMES_MAX):
            target = os.path.join(folder, f"{stem} ({number}){extension}" if number else stem + extension)
            try:
                os.link(source, target)
            except FileExistsError:
                continue
            os.unlink(path)
            return target
    finally:
        if source != path:
            os.unlink(source)
    raise FileExistsError(17, "too many files of that name")


# Searches.


def search_there(link: Link, options: SearchOptions) -> ExitCode:
    """Do ``search`` in the daemon: the same display and exit codes."""
    view = SearchView(sys.stdout, sys.stderr, json=options.json)
    if not options.json:
        say_handed_over(link)
    with linked(link) as daemon:
        found = _searched(daemon, options, view)
    view.finish(found)
    return search_exit_code(found)


def _searched(daemon: "Daemon", options: SearchOptions, view: SearchView) -> Found:
    """Search, and show what there is so far. A search that was begun is ended and forgotten there."""
    from protocol.client.http_client import DaemonError

    state, refused, matches = "ended", "", FileMatches()
    body = {"searchText": options.term, "searchTimeout": round(1000 * options.wait_s), "filterResponses": False}
    body |= {"responseLimit": 10_000, "fileLimit": 100_000}
    id = ""
    try:
        id = daemon.ask("POST", "/api/v0/searches", body=body)["id"]
        due_s = time.monotonic() + options.wait_s + SEARCH_S_MAX
        while not (one := daemon.ask("GET", f"/api/v0/searches/{id}"))["isComplete"] and time.monotonic() < due_s:
            view.progress("searching", one["responseCount"])
            time.sleep(LOOK_S)
        if one["state"] == "Completed, Errored":
            state, refused = "refused", "the daemon's session ended the search"
    except KeyboardInterrupt:
        state = "interrupted"
    except DaemonError as error:
        if error.kind != "refused" and not error.detail.startswith("not logged in"):
            raise
        state, refused = "refused", error.detail
    users = 0
    if id:
        responses = daemon.ask("GET", f"/api/v0/searches/{id}/responses")
        users = sum(sum(matches.add(file) for file in _files(one)) > 0 for one in responses)
        daemon.ask("DELETE", f"/api/v0/searches/{id}")
    return found_in(options.term, matches, state=state, users=users, refused=refused, most=options.targets_max)


def _files(response: Any) -> list[PeerFile]:
    return [
        PeerFile(
            peer=response["username"],
            path=file["filename"],
            size_bytes=file["size"],
            slots_free=response["hasFreeUploadSlot"],
            speed_bytes_s=response["uploadSpeed"],
            queue_length=response["queueLength"],
            locked=file["isLocked"],
            bit_rate_kbit_s=file.get("bitRate", -1),
            duration_s=file.get("length", -1),
            variable_rate=file.get("isVariableBitRate", -1),
            sample_rate_hz=file.get("sampleRate", -1),
            bit_depth=file.get("bitDepth", -1),
        )
        for file in [*response["files"], *response["lockedFiles"]]
    ]
