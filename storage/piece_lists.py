"""Lists of piece digests that jobs of a daemon go by: kept in its state folder as long as a job needs them.

A list may be longer than a message, so an order names the file of it. Each order has a list of its own under a fresh
name; what no job needs any more is removed by sweeps, so that neither a crash between list and order nor one between
the end of a job and its deletion leaves anything behind for good.
"""

import os
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from storage.pieces import write_pieces

LISTS_BYTES_MAX: Final = 1 << 30
"""Of all lists together: a list is a ten-thousandth of its file."""
SPARE_S: Final = 900.0
"""A list is younger than this while its order is on the way to the job store."""
_SUFFIX: Final = ".pieces"


def lists_folder(state: str) -> str:
    """Return the folder of the lists, below the daemon's state folder."""
    return os.path.join(state, "pieces")


def keep_list(folder: str, digests: bytes) -> str:
    """Write a list to the disk and return its path. Raises OSError, also where there are too many."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if sum(size for _, size, _ in _lists(folder)) + len(digests) > LISTS_BYTES_MAX:
        raise OSError(28, f"the lists of piece hashes have {LISTS_BYTES_MAX >> 20} MiB already")
    path = os.path.join(folder, uuid.uuid4().hex + _SUFFIX)
    try:
        write_pieces(path, digests)
        for place in (path, folder):
            _sync(place)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise
    return path


def sweep_lists(folder: str, used: Collection[str], *, now_s: float | None = None) -> int:
    """Remove the lists that no job uses, except those written a moment ago; return how many were removed."""
    oldest_s = (time.time() if now_s is None else now_s) - SPARE_S
    removed = 0
    for path, _, written_s in _lists(folder):
        if path not in used and written_s < oldest_s:
            with suppress(OSError):
                os.unlink(path)
                removed += 1
    return removed


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lists(folder: str) -> list[tuple[str, int, float]]:
    """Path, size and time of each list."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                with suppress(OSError):
                    state = entry.stat(follow_symlinks=False)
                    found.append((entry.path, state.st_size, state.st_mtime))
    return found
