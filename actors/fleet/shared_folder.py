"""Folder as a fleet's destination: mounted by every node, or kept by one that pulls the parts from the others."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from actors.core.fleet.vocabulary import StoreFault
from actors.fleet.destination import Piece, Seen, StoreError
from protocol.model.fleet.names import multipart_etag
from protocol.model.fleet.rows import PartRow
from storage.durable import sync_path

HIDDEN: Final = ".shoal-fleet"
"""Folder beside the finished files for what is not finished, and for the ETags of what is."""


class SharedFolder:
    """Folder on a file system that every node has mounted at this path. A file is one sparse file until it is whole.

    It appears by a link, which does not replace what has the name. What is not promised: a file system without `link`,
    or one that answers with data of yesterday (NFS without ``sync``), holds no fleet.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._hidden = os.path.join(folder, HIDDEN)

    def create(self, name: str, size_bytes: int) -> str:
        upload = secrets.token_hex(8)
        self._path(name)
        with self._faults():
            os.stat(self._folder)  # one that is not mounted is not made
            os.makedirs(self._hidden, exist_ok=True)
            with open(self._unfinished(name, upload), "xb") as file:
                file.truncate(size_bytes)
                os.fsync(file.fileno())
        return upload

    def address(self, name: str, upload: str, part: int, md5: str) -> str:
        return self._unfinished(name, upload)

    def complete(self, name: str, upload: str, parts: Sequence[PartRow]) -> str:
        etag, unfinished, path = multipart_etag([each.etag for each in parts]), self._unfinished(name, upload), ""
        with self._faults():
            path = self._path(name)
            try:
                with open(unfinished, "rb") as file:
                    os.fsync(file.fileno())
                    inode = os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                what = f"the unfinished {name} in {self._folder} is gone: completed before, or deleted"
                raise StoreError(StoreFault.NO_UPLOAD, what) from None
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(self._etag_path(name, inode), "w", encoding="ascii") as note:
                note.write(etag)
                note.flush()
                os.fsync(note.fileno())
            os.link(unfinished, path)
            sync_path(os.path.dirname(path))
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
        return etag

    def seen(self, name: str) -> Seen | None:
        with self._faults():
            try:
                found = os.stat(self._path(name))
            except FileNotFoundError:
                os.stat(self._folder)  # one that is not mounted says nothing of the file
                return None
            with contextlib.suppress(OSError), open(self._etag_path(name, found.st_ino), encoding="ascii") as file:
                return Seen(etag=file.read(64).strip(), size_bytes=found.st_size)
        return Seen(etag="unknown", size_bytes=found.st_size)

    def abort(self, name: str, upload: str) -> None:
        with self._faults(), contextlib.suppress(FileNotFoundError):
            os.unlink(self._unfinished(name, upload))

    def reading(self, name: str) -> str:
        return self._path(name)

    def remove(self, name: str, etag: str) -> None:
        found = self.seen(name)
        if found is not None and found.etag == etag:
            with self._faults(), contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(name))

    def parts(self, name: str, upload: str) -> list[tuple[int, str]] | None:
        with self._faults():
            try:
                os.stat(self._unfinished(name, upload))
            except FileNotFoundError:
                os.stat(self._folder)
                raise StoreError(StoreFault.NO_UPLOAD, f"the unfinished {name} in {self._folder} is gone") from None
        return None

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self._folder, name))
        if not path.startswith(os.path.join(self._folder, "")) or HIDDEN in name.split("/"):
            raise StoreError(StoreFault.DENIED, f"{name} is not below {self._folder}")
        return path

    def _unfinished(self, name: str, upload: str) -> str:
        return os.path.join(self._hidden, f"{_flat(name)}.{_flat(upload)}")

    def _etag_path(self, name: str, inode: int) -> str:
        """The note of a finished file's ETag. By its inode: another file that takes the name has no part in it."""
        return os.path.join(self._hidden, f"{_flat(name)}.{inode}.etag")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise folder_fault(self._folder, error) from None


def _flat(name: str) -> str:
    """A file's name in the hidden folder: the digest keeps two names apart."""
    return f"{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}" if "/" in name or len(name) > 80 else name


def write_part(path: str, piece: Piece, content: Iterator[bytes], source: str) -> str:
    """Write a part at its place while its MD5 is compared with `piece.md5`; return the MD5.

    Raises `StoreError`, which names `source` where its bytes are too few or others.
    """
    digest = hashlib.md5(usedforsecurity=False)
    at, stop = piece.at, piece.at + piece.length
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for block in content:
                digest.update(block)
                if at + len(block) > stop:  # it would lie in the next part
                    break
                at += os.pwrite(fd, block, at)
            os.fdatasync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        fault = StoreFault.NO_UPLOAD if error.errno == errno.ENOENT else None
        raise folder_fault(os.path.dirname(path), error, fault) from None
    if at < stop:
        raise StoreError(StoreFault.UNREACHABLE, f"{source} gave a part without its last {stop - at} bytes")
    if digest.hexdigest() != piece.md5:
        raise StoreError(StoreFault.CHECKSUM, f"the bytes of a part are not those that were announced: {source}")
    return piece.md5


def folder_fault(folder: str, error: OSError, fault: StoreFault | None = None) -> StoreError:
    """Return what an error of the system means for the job; `fault`, where the caller knows better."""
    kinds = {
        errno.ENOSPC: StoreFault.FULL,
        errno.EDQUOT: StoreFault.FULL,
        errno.EEXIST: StoreFault.EXISTS,
        errno.ENOENT: StoreFault.DENIED,
        errno.EROFS: StoreFault.DENIED,
        errno.EACCES: StoreFault.DENIED,
        errno.EPERM: StoreFault.DENIED,
        errno.ENOTDIR: StoreFault.DENIED,
    }
    known = fault or kinds.get(error.errno or 0, StoreFault.UNREACHABLE)
    return StoreError(known, f"the shared folder {folder}: {error.strerror or error}")
