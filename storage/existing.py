"""Files that are there already under the name of a download: whether nothing is left to do, by digest or by origin.

A finished file carries its origin in an extended attribute: its digest, and the validators of the sources that it came
from. Where the file system keeps no attributes, only a checksum of the user can prove that a file is the one wanted.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.value import Struct
from storage.digests import Checksum, validator_digest, whole_digest
from storage.durable import Folder, disk_faults
from storage.layout import PART_SUFFIX, RECORDS_SUFFIX

_ORIGIN: Final = "user.shoal.origin"
_MIRRORS: Final = "user.shoal.mirrors"
_MIRRORS_CHARS_MAX: Final = 2500
_VERSION: Final = "1"
_VALIDATORS_MAX: Final = 40
"""With 32 digits each they fit the smallest attribute that file systems allow."""


class Existing(Struct, frozen=True):
    """A file that is not to be downloaded. `why` in words. `compared`: it has the checksum of the order."""

    path: str
    digest_hex: str
    why: str
    compared: bool = False


def find_existing(
    folder_path: str,
    name: str,
    *,
    policy: str,
    size_bytes: int,
    checksum: Checksum | None,
    validators: Iterable[str],
    roots: tuple[str, ...] = (),
) -> Existing | None:
    """Return the file of this name when by `policy` (one of `EXISTING`) nothing is left to do, else None.

    Reads the file where its digest has to be compared. Raises PartFileFault.
    """
    if policy == "rename":
        return None
    folder = Folder(folder_path, "none", roots)
    try:
        status = folder.lstat(name)
        if policy in ("overwrite", "resume") and status is not None and stat.S_ISDIR(status.st_mode):
            raise PartFileFault(PartFileFaultKind.BAD_NAME, f"{folder.path_of(name)} is a folder: not overwritten")
        if policy == "overwrite" or status is None or not stat.S_ISREG(status.st_mode):
            return None
        path = folder.path_of(name)
        if policy == "skip":
            return Existing(path, "", "a file of this name is there")
        if any(folder.lstat(name + suffix) is not None for suffix in (PART_SUFFIX, RECORDS_SUFFIX)):
            return None  # a download goes on beside it
        if size_bytes >= 0 and status.st_size != size_bytes:
            return None
        fd = folder.open_file(name, os.O_RDONLY)
        try:
            with disk_faults(path):
                found = _proven(fd, path, checksum, validators)
        finally:
            os.close(fd)
        if found is None and policy == "resume" and status.st_size == size_bytes and checksum is None:
            return Existing(path, "", "a file of this size is there")
        return found
    finally:
        folder.close()


def _proven(fd: int, path: str, checksum: Checksum | None, validators: Iterable[str]) -> Existing | None:
    status = os.fstat(fd)
    if checksum is not None:
        digest = whole_digest(fd, status.st_size, checksum)
        same = digest.checksum_hex == checksum.hex
        why = f"its {checksum.algorithm} is the one wanted"
        return Existing(path, digest.xxh3_hex, why, compared=True) if same else None
    origin = read_origin(fd)
    if origin is None or not {validator_digest(one).hex() for one in validators} & set(origin[3:]):
        return None
    size, _, digest_hex, *_ = origin
    if size != str(status.st_size) or _digest_now(fd, status, origin) != digest_hex:
        return None  # it was changed since
    return Existing(path, digest_hex, "size and validator are those of the source")


def digest_of(path: str) -> str:
    """Return the xxh3_128 of a file in hex: as noted when it was finished, else it is read. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _digest_now(fd, os.fstat(fd), read_origin(fd))
    finally:
        os.close(fd)


def _digest_now(fd: int, status: os.stat_result, origin: list[str] | None) -> str:
    """Return the xxh3_128 of an open file: as noted where it has not changed since, else it is read."""
    if origin is not None and origin[:2] == [str(status.st_size), str(status.st_mtime_ns)]:
        return origin[2]
    return whole_digest(fd, status.st_size).xxh3_hex


def write_origin(fd: int, digest_hex: str, validators: Iterable[bytes]) -> None:
    """Note what a finished file is and where it came from; nothing where that cannot be kept."""
    status = os.fstat(fd)
    shown = [one.hex() for one in dict.fromkeys(validators)][:_VALIDATORS_MAX]
    if digest_hex:
        words = (_VERSION, str(status.st_size), str(status.st_mtime_ns), digest_hex, *shown)
        with suppress(OSError, AttributeError):
            os.setxattr(fd, _ORIGIN, " ".join(words).encode())


def read_origin(fd: int) -> list[str] | None:
    """Return size, time of change, digest and validators, of which there may be none, as they were written."""
    try:
        version, *words = os.getxattr(fd, _ORIGIN).decode("ascii", "replace").split()
    except (OSError, AttributeError, ValueError):
        return None
    return words if version == _VERSION and len(words) >= 3 else None


def write_mirrors(path: str, urls: Iterable[str]) -> None:
    """Note the addresses that a finished file came from, as many as fit; nothing where that cannot be kept."""
    kept: list[str] = []
    for url in dict.fromkeys(urls):
        if sum(len(each) + 1 for each in kept) + len(url) < _MIRRORS_CHARS_MAX and url.isascii():
            kept.append(url)
    with suppress(OSError, AttributeError):
        if kept:
            os.setxattr(path, _MIRRORS, "\n".join(kept).encode())


def read_mirrors(fd: int) -> tuple[str, ...]:
    """Return the addresses that a finished file came from, as far as they were noted."""
    try:
        return tuple(os.getxattr(fd, _MIRRORS).decode("ascii", "replace").split("\n"))
    except (OSError, AttributeError):
        return ()
