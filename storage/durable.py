"""Durable writes: folders, files, syncs and renames that must survive a crash.

Guaranteed, with ``sync="full"``: after `sync_data` the bytes of a file, and after `Folder.sync` its names, were
handed to the device with the request to keep them. Not guaranteed: that the device obeys (some acknowledge and lie),
that bytes written before a sync reached it in the order written, that a file system reports a failed write-back twice
(it does not, so a failed sync is final for the job), or anything over a network file system that caches. Therefore
records are only claims, and every resume re-hashes. With ``sync="none"`` nothing is asked of the device; a crash of the
machine (not of the program) may then cost everything since the job began.

Every OSError leaves here as a `PartFileFault` that names the path.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.filenames import numbered

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
    errno.EISDIR: PartFileFaultKind.BAD_NAME,
}
_TEXTS: Final = {
    PartFileFaultKind.NO_SPACE: "no space",
    PartFileFaultKind.READ_ONLY: "may not be written",
    PartFileFaultKind.NO_FOLDER: "does not exist",
    PartFileFaultKind.BAD_NAME: "cannot be a file name here",
    PartFileFaultKind.IO_ERROR: "failed",
}
WRITE_BYTES: Final = 128 << 10
"""Most bytes of one write: the size of the blocks in which the kernel takes memory for the file.

A virtual machine gives blocks of 2 MiB and more back to its host, and getting one again is expensive. CPU s
for 512 MiB, memory warm: 0.16 in pieces of 32 KiB, 0.13 of 64, 0.12 of 128, 0.11 of 256, 0.10 of 1 MiB, 1.07 of 2."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


def part_file_fault(error: OSError, path: str) -> PartFileFault:
    """Return the fault for an OSError, in one line that names the path."""
    kind = _KINDS.get(error.errno or 0, PartFileFaultKind.IO_ERROR)
    return PartFileFault(kind, f"{path}: {_TEXTS[kind]} ({error.strerror or error})")


@contextmanager
def disk_faults(path: str) -> Iterator[None]:
    """Turn an OSError inside into the PartFileFault of this path."""
    try:
        yield
    except OSError as error:
        raise part_file_fault(error, path) from error


def write_all(fd: int, data: memoryview | bytes, offset: int, path: str) -> None:
    """Write all of `data` at `offset`."""
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(fd, data[done : done + WRITE_BYTES], offset + done)
    except OSError as error:
        raise part_file_fault(error, path) from error


def sync_path(path: str) -> None:
    """Write a file, or the names in a folder, to the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_data(fd: int, path: str) -> None:
    """Sync bytes and size of this file to the device, with the guarantees of this module."""
    with disk_faults(path):
        if hasattr(os, "fdatasync"):
            os.fdatasync(fd)
        else:
            os.fsync(fd)


_NO_UNNAMED: Final = (*_NO_LINKS, errno.EISDIR, errno.ENOENT, errno.EXDEV)
"""A file system, or a system without /proc, that cannot make a file without a name and name it later."""
_NOT_PLAIN: Final = "it is not a plain file: move it away"
_MARK: Final = "user.shoal"
"""Extended attribute of the files that this program made and may therefore change and delete.

Its value is the file's inode: a copy, which a program or user may have made and go on with, is not ours."""


def set_mark(fd: int) -> bool:
    """Mark a file as ours. False where the file system keeps no extended attributes."""
    try:
        os.setxattr(fd, _MARK, b"%d" % os.fstat(fd).st_ino)
    except (OSError, AttributeError):
        return False
    return True


def has_mark(fd: int) -> bool:
    """Return whether this program made the file."""
    try:
        return os.getxattr(fd, _MARK) == b"%d" % os.fstat(fd).st_ino
    except (OSError, AttributeError):
        return False


def remove_mark(fd: int) -> None:
    """Remove the mark from what is the user's from now on."""
    with suppress(OSError, AttributeError):
        os.removexattr(fd, _MARK)


class Folder:
    """Open folder, in which names are resolved even after it was renamed. Owned until `close`.

    It must lie inside one of the `roots` when any are given, all links followed: judged after it was opened, so a link
    put in its way in between leads nowhere.
    """

    __slots__ = ("fd", "full", "path")

    def __init__(self, path: str, sync: str, roots: tuple[str, ...] = ()) -> None:
        if sync not in ("full", "none"):
            raise ValueError(f"sync={sync!r}")
        self.path = path
        self.full = sync == "full"
        """False: `sync` and the callers' own syncs are skipped."""
        try:
            self.fd = _open_folder(path, roots)
        except OSError as error:
            raise part_file_fault(error, f"folder {path}") from error

    def path_of(self, name: str) -> str:
        """Return the path of a name, for messages."""
        return os.path.join(self.path, name)

    def lstat(self, name: str) -> os.stat_result | None:
        """Return the status of this name (a symbolic link is itself), None when it does not exist."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise part_file_fault(error, self.path_of(name)) from error

    def open_file(self, name: str, flags: int) -> int:
        """Open a regular file directly in the folder; a link, folder, pipe or device is refused untouched."""
        place = self.path_of(name)
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise _not_a_file(place) from error
            raise part_file_fault(error, place) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _not_a_file(place)
        return fd

    def create_file(self, name: str, fill: Callable[[int], None]) -> int | None:
        """Create a file that gets its name only after `fill(fd)`; return its descriptor, None when the name is taken.

        A crash leaves a whole file or none; where files without a name cannot be made, it may leave an unfilled one.
        """
        with disk_faults(self.path_of(name)), ExitStack() as undo:
            flags = os.O_RDWR | os.O_CLOEXEC
            try:
                fd = os.open(".", flags | os.O_TMPFILE, 0o666, dir_fd=self.fd)
                undo.callback(os.close, fd)
                fill(fd)
                os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=self.fd, follow_symlinks=True)
            except FileExistsError:
                return None
            except (OSError, AttributeError) as error:
                if isinstance(error, OSError) and error.errno not in _NO_UNNAMED:
                    raise
                undo.close()
                try:
                    fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self.fd)
                except FileExistsError:
                    return None
                undo.callback(os.close, fd)
                undo.callback(self.unlink_own, name, fd)
                fill(fd)
            undo.pop_all()
            return fd

    def is_file(self, name: str, fd: int) -> bool:
        """Return whether this name is that of the open file."""
        found = self.lstat(name)
        return found is not None and os.path.samestat(found, os.fstat(fd))

    def unlink_own(self, name: str, fd: int) -> None:
        """Remove the name if it still is that of the open file."""
        if self.is_file(name, fd):
            self.unlink(name)

    def free_bytes(self) -> int:
        """Return the free space; a quota may allow less."""
        with disk_faults(self.path):
            room = os.fstatvfs(self.fd)
        return room.f_bavail * room.f_frsize

    def unlink(self, name: str) -> None:
        """Remove the name if it exists."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise part_file_fault(error, self.path_of(name)) from error

    def replace(self, name: str, by: str) -> None:
        """Rename `by` over `name` atomically."""
        with disk_faults(self.path_of(name)):
            os.replace(by, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def give_final_name(self, part: str, wanted: str) -> str:
        """Link the file to the first free of `wanted`, ``wanted (1)`` ...; never overwrites, also in a race.

        Where links work, the part's own name stays for the caller to remove; else it is gone already.
        """
        for name in numbered(wanted):
            try:
                os.link(part, name, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return self.claim_final_name(part, wanted)
                raise part_file_fault(error, self.path_of(name)) from error
            return name
        raise _all_taken(self.path_of(wanted))

    def claim_final_name(self, part: str, wanted: str) -> str:
        """Do as `give_final_name` without hard links: claim the name with an empty file, rename over it.

        A crash between the two leaves that empty file beside the complete part file; the next attempt takes the next
        name.
        """
        for name in numbered(wanted):
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self.fd))
            except FileExistsError:
                continue
            except OSError as error:
                raise part_file_fault(error, self.path_of(name)) from error
            self.replace(name, part)
            return name
        raise _all_taken(self.path_of(wanted))

    def sync(self) -> None:
        """Sync the names in this folder to the device, unless the job wants no syncs."""
        if not self.full:
            return
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
                raise part_file_fault(error, self.path) from error

    def close(self) -> None:
        os.close(self.fd)


def _open_folder(path: str, roots: tuple[str, ...]) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open(path or ".", flags)
    if roots:
        real = _real_path(fd, path)
        for root in roots:
            with suppress(OSError):
                root_fd = os.open(root, flags)
                try:
                    inside = os.path.commonpath((real, _real_path(root_fd, root))) == _real_path(root_fd, root)
                finally:
                    os.close(root_fd)
                if inside:
                    return fd
        os.close(fd)
        detail = f"folder {path} leads to {real}, which is outside the configured folders"
        raise PartFileFault(PartFileFaultKind.OUTSIDE, detail)
    return fd


def _real_path(fd: int, path: str) -> str:
    """Return where an open folder is. Where the system does not tell, its path may lead elsewhere by now."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return os.path.realpath(path)


def make_folder(path: str, sync: str, roots: tuple[str, ...] = ()) -> None:
    """Make the parts of this path that are missing; their names are on disk afterwards unless `sync` is "none".

    Only those below a root, or the last where there are no `roots`: where more is missing, a disk is probably not
    mounted. Raises nothing: opening the folder afterwards reports why it is not there.
    """
    path = path.rstrip("/")
    within = [root for root in roots if Path(root) in Path(path).parents]
    base = max(within, key=len, default=os.path.dirname(path))
    with suppress(OSError, PartFileFault):
        made = base
        for part in Path(path).relative_to(base).parts:
            parent, made = made, os.path.join(made, part)
            if os.path.isdir(made):
                continue
            folder = Folder(parent or "/", sync, roots)
            try:
                os.mkdir(part, dir_fd=folder.fd)
                folder.sync()
            finally:
                folder.close()


def make_private(path: str) -> None:
    """Make a file for a database, and its folder, that only their owner may read; those that are there are tightened.

    Raises OSError, also for what is no plain file: through a link another file would be changed, a pipe be waited for.
    Files that SQLite makes beside a database have the database's mode.
    """
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o700, exist_ok=True)
    make_folder_private(folder)
    for companion in ("-journal", "-wal", "-shm"):
        check_plain(path + companion)
    fd = open_plain(path, os.O_RDWR | os.O_CREAT)
    try:
        status = os.fstat(fd)
        if status.st_mode & 0o077 and status.st_nlink == 1:
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def open_plain(path: str, flags: int) -> int:
    """Open a file of our own, made with mode 0600. Raises OSError, also for what is no plain file, unopened."""
    check_plain(path)
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, _NOT_PLAIN, path)
    return fd


def check_plain(path: str) -> None:
    """Raise OSError for what is there and is no plain file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, _NOT_PLAIN, path)


def make_folder_private(folder: str) -> None:
    """Take other users' rights to a folder of ours; one that is another user's stays as it is."""
    status = os.stat(folder)
    if status.st_uid == os.geteuid() and status.st_mode & 0o077 and not status.st_mode & stat.S_ISVTX:
        os.chmod(folder, stat.S_IMODE(status.st_mode) & 0o700)


class Committer:
    """Group commit: syncs files in a thread of its own, one round at a time; the writer never waits for the device.

    An error surfaces at the next call, as PartFileFault. Owned by one thread; `finish` ends the sync thread.
    """

    __slots__ = ("_files", "_folder", "_pool", "_round")

    def __init__(self, files: tuple[tuple[int, str], ...], folder: Folder) -> None:
        self._files = files
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._round: Future[None] | None = None

    def check(self) -> None:
        """Raise the error of the last round, once."""
        if self._round is not None and self._round.done():
            ended, self._round = self._round, None
            ended.result()

    def start(self, *, names: bool = False) -> bool:
        """Begin a round, of the folder's `names` too; False while one is under way."""
        self.check()
        if self._round is not None:
            return False
        self._round = self._pool.submit(self._sync, names)
        return True

    def wait(self) -> None:
        """Wait for the round under way and raise its error: a failed sync is not reported a second time."""
        if self._round is not None:
            ended, self._round = self._round, None
            ended.result()

    def finish(self) -> None:
        """Wait for the round under way, end the thread, raise the round's error."""
        self._pool.shutdown(wait=True)
        self.wait()

    def _sync(self, names: bool) -> None:
        for fd, path in self._files:
            sync_data(fd, path)
        if names:
            self._folder.sync()


def _not_a_file(place: str) -> PartFileFault:
    return PartFileFault(
        PartFileFaultKind.OTHER_JOB, f"{place} is not a plain file; move it away or choose another name"
    )


def _all_taken(place: str) -> PartFileFault:
    return PartFileFault(PartFileFaultKind.BAD_NAME, f"{place}: every name up to (9999) is taken")
