"""Lists of piece digests that jobs of a daemon go by: kept in its state folder as long as a job needs them.

A list may be longer than a message, so an order names the file of it. Each order has a list of its own under a fresh
name; what no job needs any more is removed by sweeps, so that neither a crash between list and order nor one between
the end of a job and its deletion leaves anything behind for good.

Lists of documents that sources name are their workers', in the run folder: removed when the worker ends, and what a
process that died has left there when the next one of its name begins.
"""

import os
import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from storage.durable import sync_path
from storage.pieces import write_pieces

LISTS_BYTES_MAX: Final = 1 << 30
"""Of all lists together: a list is a ten-thousandth of its file."""
_SUFFIX: Final = ".pieces"


def lists_folder(state: str) -> str:
    """Return the folder of the lists, below the daemon's state folder."""
    return os.path.join(state, "pieces")


def keep_list(folder: str, digests: bytes) -> str:
    """Write a list to the disk and return its path. Raises OSError, also where there are too many."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if sum(size for _, size in _lists(folder)) + len(digests) > LISTS_BYTES_MAX:
        raise OSError(28, f"the lists of piece hashes have {LISTS_BYTES_MAX >> 20} MiB already")
    path = os.path.join(folder, uuid.uuid4().hex + _SUFFIX)
    try:
        write_pieces(path, digests)
        for place in (path, folder):
            sync_path(place)
    except OSError:
        drop_lists([path])
        raise
    return path


def sweep_lists(folder: str, used: Collection[str], unused_before: Collection[str] = ()) -> set[str]:
    """Remove the lists that no job uses and none used at the sweep before; return those that none uses now.

    So the list of an order that is on its way to the job store stays.
    """
    unused = {path for path, _ in _lists(folder) if path not in used}
    drop_lists(unused & set(unused_before))
    return unused


def list_of_worker(run_dir: str, process: str) -> str:
    """Return a fresh path for a list in the run folder."""
    return os.path.join(run_dir, f"{process}-{uuid.uuid4().hex}{_SUFFIX}")


def drop_lists(paths: Collection[str]) -> None:
    """Remove these lists. Who has one open still reads it."""
    for path in paths:
        with suppress(OSError):
            os.unlink(path)


def drop_lists_of(run_dir: str, process: str) -> None:
    """Remove the lists that an earlier process of this name has left."""
    drop_lists([path for path, _ in _lists(run_dir) if os.path.basename(path).startswith(f"{process}-")])


def _lists(folder: str) -> list[tuple[str, int]]:
    """Path and size of each list."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                with suppress(OSError):
                    found.append((entry.path, entry.stat(follow_symlinks=False).st_size))
    return found
