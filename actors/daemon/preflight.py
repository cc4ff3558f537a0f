"""Preflight of the daemon: folders, lock on the state folder, secrets, listening socket.

Each is there, or the daemon cannot start and says why in one line.
"""

import contextlib
import errno
import fcntl
import importlib.util
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from protocol.config.paths import ADDRESS_FILE, API_KEY_FILE, SESSION_KEY_FILE, made_api_key, replace_file, session_key
from protocol.config.settings import ADMINISTRATOR, ANYWHERE, ApiKey, ApiSettings, Settings
from protocol.model.errors import BadUsage
from protocol.model.printable import printable
from storage.durable import check_plain, make_folder_private, open_plain
from storage.job_store import StoreFault, check_store

LOCK_FILE: Final = "lock"
JOBS_FILE: Final = "jobs.sqlite"
PEERS_FILE: Final = "peers.sqlite"
FINISHED_FOLDER: Final = "finished"
_BACKLOG: Final = 128
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
DAMAGE_SHOWN_MAX: Final = 10


class CannotStart(BadUsage):
    """Something that the daemon needs is missing. One line for the user."""


def check_fleet_extra() -> None:
    """Raise `CannotStart` where the libraries of a fleet are not installed. They are looked for, not loaded."""
    lacking = [name for name in ("nats", "botocore") if importlib.util.find_spec(name) is None]
    if lacking:
        raise CannotStart(
            f"a fleet is configured, and {' and '.join(lacking)} is not installed: pip install 'shoal[fleet]'"
        )


@contextmanager
def locked_state(folder: str) -> Iterator[None]:
    """Lock the state folder, which is there and writable then. Raises `CannotStart`."""
    shown = printable(folder)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        make_folder_private(folder)
        fd = open_plain(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise CannotStart(f"the state folder {shown} cannot be written: {_said(error)}") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            who = f" (process {owner})" if owner.isdigit() else ""
            raise CannotStart(f"the state folder {shown} is in use by another daemon{who}") from None
        _try_writing(folder, f"the state folder {shown}")
        if os.pread(fd, 40, 0).strip(b"0123456789\n"):
            raise CannotStart(
                f"{printable(os.path.join(folder, LOCK_FILE))} was not made by this program: move it away"
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def noted_address(state: str, address: str) -> Iterator[None]:
    """Note the API's URL in the state folder, where commands of this user find it. Raises `CannotStart`."""
    path = os.path.join(state, ADDRESS_FILE)
    try:
        replace_file(path, address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:") + "\n")
    except OSError as error:
        raise CannotStart(f"{printable(path)} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def made_folder(folder: str, what: str) -> None:
    """Make a folder that can be written. Raises `CannotStart`."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"{what} {printable(folder)} cannot be made: {error.strerror}") from None
    _try_writing(folder, f"{what} {printable(folder)}")


def checked_job_store(state: str) -> list[str]:
    """Return notes about damaged rows of the job store. Raises `CannotStart` for one that cannot be used."""
    try:
        damaged = check_store(os.path.join(state, JOBS_FILE))
    except StoreFault as fault:
        raise CannotStart(printable(str(fault))) from None
    shown = [printable(each) for each in damaged[:DAMAGE_SHOWN_MAX]]
    if len(damaged) > len(shown):
        shown.append(f"and {len(damaged) - len(shown)} more damaged rows")
    return [f"job store: {each}; a job is shown as failed, order it again" for each in shown]


def _try_writing(folder: str, what: str) -> None:
    """Write for a try: root may write against the mode, and a mode says nothing of a full disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        raise CannotStart(f"{what} cannot be written: {error.strerror}") from None


def with_secrets(settings: Settings, state: str) -> tuple[Settings, str]:
    """Return the settings with the secrets that the daemon makes, and the path of the API key that it made.

    The commands of this user find that key there. Beside configured keys or a password it opens only for this machine.
    The path is empty without authentication. Raises `CannotStart`.
    """
    api, path = settings.api, ""
    try:
        for name in (API_KEY_FILE, SESSION_KEY_FILE):
            check_plain(os.path.join(state, name))
        if api.authentication:
            key, path, _ = made_api_key(state)
            networks = LOOPBACK if api.keys or api.password else ANYWHERE
            api = replace(api, keys=(*api.keys, ApiKey(name="made", key=key, role=ADMINISTRATOR, networks=networks)))
        return replace(settings, api=api, jwt_key=session_key(state)), path
    except OSError as error:
        raise CannotStart(f"the state folder {printable(state)} cannot be used: {_said(error)}") from None


def _said(error: OSError) -> str:
    """Return the words of the system, after the file's name where it has one."""
    name = os.path.basename(str(error.filename or ""))
    return f"{printable(name)}: {error.strerror}" if name else str(error.strerror)


def listening(api: ApiSettings) -> socket.socket:
    """Return the socket of the API, listening. Raises `CannotStart`."""
    where = f"{api.host}:{api.port}"
    try:
        found = socket.getaddrinfo(api.host, api.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        with contextlib.ExitStack() as on_failure:
            sock = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
            on_failure.pop_all()
            return sock
    except socket.gaierror:
        raise CannotStart(f"cannot listen on {where}: no such name") from None
    except OSError as error:
        taken = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise CannotStart(f"cannot listen on {where}: {taken}") from None


def address_of(sock: socket.socket, api: ApiSettings) -> str:
    """Return the URL of the API: as configured, with the port that it really has."""
    host = f"[{api.host}]" if ":" in api.host else api.host
    return f"http://{host}:{sock.getsockname()[1]}{api.url_base}"
