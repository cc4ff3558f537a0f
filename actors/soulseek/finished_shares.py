"""Shares of finished files, each for itself: a private folder holds links to them, and that folder is shared.

Sharing the folder a file was saved in would show strangers whatever else lies there. The links outlive the program, so
what was finished in an earlier run is shared in the next; a link whose file is gone is removed when a session starts.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

LINKS_MAX: Final = 10_000
TRIES_MAX: Final = 1000


def add(folder: str, path: str) -> bool:
    """Link the finished file at `path` into `folder`, which is made when it is not there. False: nothing to share.

    A name that is taken by another file gets a number. Raises OSError when the folder cannot be written.
    """
    file = Path(path)
    if not file.is_file():
        return False
    Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    if sum(1 for _ in os.scandir(folder)) >= LINKS_MAX:
        return False
    for number in range(TRIES_MAX):
        link = Path(folder, file.name if number == 0 else f"{file.stem} ({number}){file.suffix}")
        with suppress(FileExistsError):
            link.symlink_to(file.absolute())
            return True
        if link.exists() and link.samefile(file):
            return False
    return False


def remove_dead_links(folder: str) -> bool:
    """Remove links that lead nowhere. Whether any is left."""
    if not os.path.isdir(folder):
        return False
    links = [Path(entry.path) for entry in os.scandir(folder)]
    for link in links:
        if link.is_symlink() and not link.exists():
            with suppress(OSError):
                link.unlink()
    return any(link.exists() for link in links)
