"""Private run folders for sockets, swept at the next start when their process was killed.

A folder (0700) holds a lock file whose flock says that its owner, or a process forked from it, lives. Where a whole
process group was killed at once nothing is left that could remove the folder; the next start does. The lock goes last;
a folder without one, left by a process that was killed while it removed it, goes when all in it are dead sockets.
"""

import contextlib
import errno
import fcntl
import multiprocessing.process
import multiprocessing.util
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from actors.runtime.stop_signals import stop_signals_deferred
from protocol.model.value import late_pattern

PREFIX: Final = "shoal-"
SOCKET_PATH_BYTES_MAX: Final = 107
"""`sun_path` holds 108 with its closing zero."""
UNLOCKED_S_MIN: Final = 60.0
"""Age from which on a folder without a lock is not one that is just being made."""
_LOCK: Final = "lock"
_NAME: Final = late_pattern(re.escape(PREFIX) + "[a-z0-9_]{8}")
_SOCKET_NAME: Final = late_pattern(r"[a-z0-9-]+\.sock(\.new)?|listener-\w+")
_locks: dict[str, int] = {}
"""Descriptors of the locks of this process's folders."""


def make_run_folder(name_bytes_max: int, *, wanted: str | None = None) -> str:
    """Make a private folder for sockets with names up to this length, in `wanted` if it can be. Raises OSError."""
    for base in (wanted, tempfile.gettempdir(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        if len(os.fsencode(f"{base}/{PREFIX}12345678/")) + name_bytes_max > SOCKET_PATH_BYTES_MAX:
            continue
        return _made(base)
    raise OSError(errno.ENAMETOOLONG, "no folder short enough for sockets")


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Folder for files that are not kept, below the usual one; gone at the end or, after a kill, at the next start."""
    with contextlib.ExitStack() as leaving:
        with stop_signals_deferred():  # an interrupt between the two would leave the folder
            path = _made(tempfile.gettempdir())
            leaving.callback(remove_run_folder, path)
        inside = os.path.join(path, "files")
        os.mkdir(inside)
        yield inside


def _made(base: str) -> str:
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        try:
            fd = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # as below, after we were stopped here for long
        if _locked(fd) and os.path.exists(os.path.join(path, _LOCK)):
            _locks[path] = fd
            _sweep(base, now_s=os.stat(path).st_mtime)
            return path
        os.close(fd)  # another start took it for one that was left behind


def remove_run_folder(path: str) -> None:
    """Remove a folder made here. Idempotent."""
    _remove(path)
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


def _sweep(base: str, *, now_s: float) -> None:
    """Remove the folders in `base` whose processes are gone. `now_s`: by the clock of its file system."""
    with os.scandir(base) as entries:
        ours = [
            entry.path for entry in entries if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
        ]
    for path in ours:
        with contextlib.suppress(OSError):
            if os.lstat(path).st_uid != os.geteuid():
                continue
            try:
                fd = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                _sweep_unlocked(path, now_s)
                continue
            try:
                if _locked(fd):
                    _remove(path)
            finally:
                os.close(fd)


def _sweep_unlocked(path: str, now_s: float) -> None:
    """Remove an old folder without a lock that holds nothing but sockets of ours without a process. Raises OSError."""
    status = os.lstat(path)
    young = now_s - status.st_mtime < UNLOCKED_S_MIN
    if young or stat.S_IMODE(status.st_mode) != 0o700 or not _NAME.fullmatch(os.path.basename(path)):
        return
    found = [os.path.join(path, name) for name in os.listdir(path)]
    if not found or not all(_is_dead_socket(each) for each in found):
        return
    for each in found:
        os.unlink(each)
    os.rmdir(path)


def _is_dead_socket(path: str) -> bool:
    if not _SOCKET_NAME.fullmatch(os.path.basename(path)) or not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _remove(path: str) -> None:
    """Remove a folder, the lock last: where this is interrupted by a kill, the next start finds what is left."""
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            if name != _LOCK:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(path, name))
    shutil.rmtree(path, ignore_errors=True)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
