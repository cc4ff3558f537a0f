"""Remote paths of Soulseek users: their parts, search terms for other holders, the files of a shared folder in order.

Users write backslashes, some slashes. Nothing here is safe as a local name; `protocol.model.filenames` makes it so.
"""

import os.path
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

from protocol.model.filenames import placed_folder, placed_name
from protocol.model.source_url import is_slsk, slsk_address
from protocol.model.value import Value, late_pattern

SEARCH_WORDS_MAX: Final = 12
FOLDER_FILES_MAX: Final = 1000
"""Files of one folder download."""
_WORD: Final = late_pattern(r"[^\W_]+")
_NUMBER: Final = late_pattern(r"^\W*\d{1,3}[\W_]+")
_BRACKETED: Final = late_pattern(r"[(\[{].*?[)\]}]")
_SLASHES: Final = "/\\"
_DIGITS: Final = late_pattern(r"(\d+)")


def split_remote(path: str) -> tuple[str, str]:
    """Return ``(folder, base name)`` of a remote path, whether written with backslashes or slashes."""
    cut = max(path.rfind("\\"), path.rfind("/"))
    return path[: max(cut, 0)], path[cut + 1 :]


def last_folder(path: str) -> str:
    """Return the name of the folder of a remote file, empty without one."""
    return split_remote(split_remote(path)[0])[1]


def search_term(path: str) -> str:
    """Return a search term for other users with the same file.

    The words of its name without extension and leading number.

    One word alone would find half of the network, and each user reports only some of what it has: then the words of the
    folder come before it, without years and what stands in brackets. Empty when there are no words at all.
    """
    folder, name = last_folder(path), split_remote(path)[1]
    words = _words(_NUMBER.sub("", name.rpartition(".")[0] or name))
    if sum(not word.isdigit() for word in words) < 2:
        words = [*(word for word in _words(_BRACKETED.sub(" ", folder)) if not word.isdigit()), *words]
    return " ".join(list(dict.fromkeys(words))[:SEARCH_WORDS_MAX])


def folder_of_url(url: str) -> tuple[str, str] | None:
    """Return ``(user, remote folder)`` of ``slsk://user/folder/``, which ends in a slash; None for other addresses.

    Raises `ValueError` with one line for people when it is malformed.
    """
    if not is_slsk(url) or not unquote(url, errors="replace").endswith(("/", "\\")):
        return None
    user, path = slsk_address(url)
    folder = path.rstrip(_SLASHES)
    if not folder:
        raise ValueError("no folder in this slsk:// address: slsk://user/remote-folder/")
    return user, folder


class FolderFile(Value):
    """One file of a remote folder. `path` and `size_bytes` as the user has it.

    `place`: folders below the one that is fetched, safe as a relative path, empty for none; `name`: safe.
    """

    path: str
    size_bytes: int
    place: str
    name: str


def folder_files(
    listed: Mapping[str, Iterable[tuple[str, int]]], folder: str, *, recursive: bool = False
) -> list[FolderFile]:
    """Return the files of a remote folder by name, numbers in them by their value; those below it last, if at all.

    `listed`: ``(name, size)`` by remote folder, as the user answered. Folders are compared without regard to kind and
    number of the slashes at their ends.
    """
    wanted = _parts(folder)
    found = []
    for path, files in listed.items():
        parts = _parts(path)
        below = parts[len(wanted) :]
        if parts[: len(wanted)] != wanted or (below and not recursive):
            continue
        place = os.path.join("", *filter(None, map(placed_folder, below)))
        order = len(below) > 0, _natural(place)
        for name, size_bytes in files:
            file = FolderFile(
                path=f"{path.rstrip(_SLASHES)}\\{name}", size_bytes=size_bytes, place=place, name=placed_name(name)
            )
            found.append(((*order, _natural(name)), file))
    found.sort(key=lambda row: row[0])
    return [file for _, file in found]


def local_folder(remote_folder: str) -> str:
    """Return the safe name of the local folder for a remote one, empty when nothing is left of it."""
    return placed_folder(split_remote(remote_folder.rstrip(_SLASHES))[1])


def _parts(folder: str) -> list[str]:
    return [part for part in re.split(r"[/\\]+", folder) if part]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(name.casefold())
    ]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


class SearchedFile(Protocol):
    """One answer to a search, as sessions report it."""

    @property
    def peer(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def slots_free(self) -> bool: ...
    @property
    def speed_bytes_s(self) -> int: ...


class FolderHit(NamedTuple):
    """One file that a search found at a user, as far as it tells of the folder it is in."""

    user: str
    path: str
    size_bytes: int
    free: bool
    speed_bytes_s: int

    @classmethod
    def of(cls, hit: SearchedFile) -> "FolderHit":
        """Return what counts of an answer to a search."""
        return cls(hit.peer, hit.path, hit.size_bytes, hit.slots_free, hit.speed_bytes_s)


def best_folder(hits: Iterable[FolderHit]) -> tuple[str, str] | None:
    """Return ``(user, remote folder)`` of the folder to fetch; None without any hit.

    Of the folders with files that other users have too, with the same name and size, the one where these are most;
    among equal ones a user that would send at once, and then the fastest.
    """
    holders: dict[tuple[str, int], set[str]] = {}
    folders: dict[tuple[str, str], list[FolderHit]] = {}
    for hit in hits:
        folder, name = split_remote(hit.path)
        if folder:
            holders.setdefault((name.casefold(), hit.size_bytes), set()).add(hit.user)
            folders.setdefault((hit.user, folder), []).append(hit)

    def worth(place: tuple[str, str]) -> tuple[int, bool, int, tuple[str, str]]:
        found = folders[place]
        files = {(split_remote(hit.path)[1].casefold(), hit.size_bytes) for hit in found}
        users = sum(len(holders[file]) for file in files)
        return users, found[0].free, max(hit.speed_bytes_s for hit in found), place

    return max(folders, key=worth, default=None)
