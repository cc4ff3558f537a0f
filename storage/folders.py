"""A folder for a file of its own, made when the file is begun."""

import os
from contextlib import suppress


def make_folder(path: str, sync: str) -> None:
    """Make the last part of this path where it is missing; its name is on disk afterwards unless `sync` is "none".

    Only the last: where the folder around it is missing too, a disk is probably not mounted. Raises nothing: whoever
    opens the folder next finds out whether it is there, and says why not.
    """
    with suppress(OSError):
        os.mkdir(path)
        if sync == "full":
            _sync(os.path.dirname(path.rstrip("/")) or "/")


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
