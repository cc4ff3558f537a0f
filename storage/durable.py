"""The one door for durable writes: what must survive a crash goes through here.

What is promised, with ``sync="full"``: after `sync_data` the bytes of a file, and after `Folder.sync` its names, were
handed to the device with the request to keep them. What is not: that the device obeys (some acknowledge and lie), that
bytes written before a sync reached it in the order written, that a file system reports a failed write-back twice (it
does not, so a failed sync is final for the job), or anything over a network file system that caches. Therefore
nothing in this room *believes* the disk: records are claims, and every resume re-hashes. With ``sync="none"`` nothing
is asked of the device; a crash of the machine (not of the program) may then cost everything since the job began.

Every OSError leaves here as a `PartFileFault` that names the path.
"""

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.layout import numbered

_KINDS: Final = {
    errno.ENOSPC: PartFileFaultKind.NO_SPACE,
    errno.EDQUOT: PartFileFaultKind.NO_SPACE,
    errno.EFBIG: PartFileFaultKind.NO_SPACE,
    errno.EROFS: PartFileFaultKind.READ_ONLY,
    errno.EACCES: PartFileFaultKind.READ_ONLY,
    errno.EPERM: PartFileFaultKind.READ_ONLY,
    errno.ENOENT: PartFileFaultKind.NO_FOLDER,
    errno.ENOTDIR: PartFileFaultKind.NO_FOLDER,
    errno.ENAMETOOLONG: PartFileFaultKind.BAD_NAME,
}
_WORDS: Final = {
    PartFileFaultKind.NO_SPACE: "no space",
    PartFileFaultKind.READ_ONLY: "may not be written",
    PartFileFaultKind.NO_FOLDER: "does not exist",
    PartFileFaultKind.BAD_NAME: "cannot be a file name here",
    PartFileFaultKind.IO_ERROR: "failed",
}
WRITE_BYTES: Final = 128 << 10
"""At most so much in one write: as long are the blocks in which the kernel takes memory for the file.

A virtual machine gives blocks of 2 MiB and more back to its host, and whoever gets one of those pays for it. CPU s
for 512 MiB, memory warm: 0.16 in pieces of 32 KiB, 0.13 of 64, 0.12 of 128, 0.11 of 256, 0.10 of 1 MiB, 1.07 of 2."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


def fault_of(error: OSError, path: str) -> PartFileFault:
    """Whose fault an OSError is, in one line that names the path."""
    kind = _KINDS.get(error.errno or 0, PartFileFaultKind.IO_ERROR)
    return PartFileFault(kind, f"{path}: {_WORDS[kind]} ({error.strerror or error})")


@contextmanager
def blaming(path: str) -> Iterator[None]:
    """OSError inside becomes the PartFileFault of this path."""
    try:
        yield
    except OSError as error:
        raise fault_of(error, path) from error


def write_all(fd: int, data: memoryview | bytes, offset: int, path: str) -> None:
    """All of `data` at `offset`, however many writes the kernel makes of it."""
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(fd, data[done : done + WRITE_BYTES], offset + done)
    except OSError as error:
        raise fault_of(error, path) from error


def sync_data(fd: int, path: str) -> None:
    """Bytes and size of this file to the device, as far as the head of this file promises."""
    with blaming(path):
        if hasattr(os, "fdatasync"):
            os.fdatasync(fd)
        else:
            os.fsync(fd)


class Folder:
    """An open folder: names are resolved in it even when somebody renames it. Owned until `close`."""

    __slots__ = ("fd", "full", "path")

    def __init__(self, path: str, sync: str) -> None:
        if sync not in ("full", "none"):
            raise ValueError(f"sync={sync!r}")
        self.path = path
        self.full = sync == "full"
        """False: `sync` and the callers' own syncs are skipped."""
        try:
            self.fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            fault = fault_of(error, f"folder {path}")
            raise fault from error

    def place(self, name: str) -> str:
        """The path of a name, for people."""
        return os.path.join(self.path, name)

    def look(self, name: str) -> os.stat_result | None:
        """What stands under this name (a symbolic link is itself), None when nothing does."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise fault_of(error, self.place(name)) from error

    def open_file(self, name: str, flags: int) -> int:
        """A regular file directly in the folder; a link, folder, pipe or device is refused untouched."""
        place = self.place(name)
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise _not_a_file(place) from error
            raise fault_of(error, place) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _not_a_file(place)
        return fd

    def free_bytes(self) -> int:
        """What may still be written here. A quota may allow less."""
        with blaming(self.path):
            room = os.fstatvfs(self.fd)
        return room.f_bavail * room.f_frsize

    def unlink(self, name: str) -> None:
        """Take the name away; nothing under it is fine too."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise fault_of(error, self.place(name)) from error

    def replace(self, name: str, by: str) -> None:
        """Rename `by` over `name` in one step."""
        with blaming(self.place(name)):
            os.replace(by, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def give_final_name(self, part: str, wanted: str) -> str:
        """Put the file under the first free of `wanted`, ``wanted (1)`` ...; never overwrites, whoever races.

        Where links work, the part's own name stays for the caller to take away; else it is gone already.
        """
        for name in numbered(wanted):
            try:
                os.link(part, name, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return self.claim_final_name(part, wanted)
                raise fault_of(error, self.place(name)) from error
            return name
        raise _all_taken(self.place(wanted))

    def claim_final_name(self, part: str, wanted: str) -> str:
        """As `give_final_name`, for file systems without hard links: claim the name with an empty file, rename over it.

        A crash between the two leaves that empty file beside the complete part file; the next run takes the next name.
        """
        for name in numbered(wanted):
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self.fd))
            except FileExistsError:
                continue
            except OSError as error:
                raise fault_of(error, self.place(name)) from error
            self.replace(name, part)
            return name
        raise _all_taken(self.place(wanted))

    def sync(self) -> None:
        """The names in this folder to the device, unless the job wants no syncs."""
        if not self.full:
            return
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
                raise fault_of(error, self.path) from error

    def close(self) -> None:
        os.close(self.fd)


class Committer:
    """Syncs files in a thread of its own, one round at a time, so the writer never waits for the device.

    An error surfaces at the next call, as PartFileFault. Owned by one thread; `finish` ends the thread.
    """

    __slots__ = ("_files", "_pool", "_round")

    def __init__(self, files: tuple[tuple[int, str], ...]) -> None:
        self._files = files
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._round: Future[None] | None = None

    def check(self) -> None:
        """Raise what the last round met, once."""
        if self._round is not None and self._round.done():
            ended, self._round = self._round, None
            ended.result()

    def start(self) -> bool:
        """Begin a round; False (and nothing done) while one is under way."""
        self.check()
        if self._round is not None:
            return False
        self._round = self._pool.submit(self._sync)
        return True

    def wait(self) -> None:
        """Wait for the round under way and raise what it met: a failed sync is not reported a second time."""
        if self._round is not None:
            ended, self._round = self._round, None
            ended.result()

    def finish(self) -> None:
        """Wait for the round under way, end the thread, raise what it met."""
        self._pool.shutdown(wait=True)
        self.wait()

    def _sync(self) -> None:
        for fd, path in self._files:
            sync_data(fd, path)


def _not_a_file(place: str) -> PartFileFault:
    return PartFileFault(
        PartFileFaultKind.OTHER_JOB, f"{place} is not a plain file; move it away or choose another name"
    )


def _all_taken(place: str) -> PartFileFault:
    return PartFileFault(PartFileFaultKind.BAD_NAME, f"{place}: every name up to (9999) is taken")


# A folder for a file of its own, made when the file is begun.


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
