"""Private run folders for sockets, swept at the next start when their process was killed.

A folder (0700) holds a lock file whose flock says that its owner, or a process forked from it, lives. Where a whole
process group was killed at once nothing is left that could remove the folder; the next start does.
"""

import contextlib
import errno
import fcntl
import multiprocessing.process
import multiprocessing.util
import os
import shutil
import tempfile
from typing import Final

from actors.runtime.stop_signals import stop_signals_deferred

PREFIX: Final = "shoal-"
SOCKET_PATH_BYTES_MAX: Final = 107
"""`sun_path` holds 108 with its closing zero."""
_LOCK: Final = "lock"
_locks: dict[str, int] = {}
"""Descriptors of the locks of this process's folders."""


def make_run_folder(name_bytes_max: int, *, wanted: str | None = None) -> str:
    """Make a private folder for sockets with names up to this length, in `wanted` if it can be. Raises OSError."""
    for base in (wanted, tempfile.gettempdir(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        if len(os.fsencode(f"{base}/{PREFIX}12345678/")) + name_bytes_max > SOCKET_PATH_BYTES_MAX:
            continue
        _sweep(base)
        while True:
            path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
            fd = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _locked(fd) and os.path.exists(os.path.join(path, _LOCK)):
                _locks[path] = fd
                return path
            os.close(fd)  # another start took it for one that was left behind
    raise OSError(errno.ENAMETOOLONG, "no folder short enough for sockets")


def remove_run_folder(path: str) -> None:
    """Remove a folder made here. Idempotent."""
    shutil.rmtree(path, ignore_errors=True)
    fd = _locks.pop(path, None)
    if fd is not None:
        os.close(fd)


def use_for_multiprocessing() -> None:
    """Give multiprocessing such a folder for its sockets, removed at exit; its own would stay when it is killed."""
    config = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    if config.get("tempdir") is None:
        with stop_signals_deferred():  # an interrupt between the two lines would leave the folder
            config["tempdir"] = make_run_folder(len("listener-12345678"))
            multiprocessing.util.Finalize(None, remove_run_folder, args=(config["tempdir"],), exitpriority=-100)


def _sweep(base: str) -> None:
    """Remove the folders in `base` whose processes are gone."""
    with os.scandir(base) as entries:
        ours = [
            entry.path for entry in entries if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
        ]
    for path in ours:
        with contextlib.suppress(OSError):
            if os.lstat(path).st_uid != os.geteuid():
                continue
            fd = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _locked(fd):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
