"""Placement of a finished file: the folder and name that the configured template gives it, its mode.

It is linked there beside its first name, never over another file, and the first name goes when the job is over
(`PlacedFile.settle`): a crash in between leaves a complete file that the next attempt finds by its records. What goes
wrong here leaves the file where it was sealed, with a line for people.
"""

import errno
import os
import re
import shutil
import stat
from contextlib import suppress
from typing import Final

from protocol.model.faults import PartFileFault
from protocol.model.filenames import numbered
from protocol.model.job_spec import TransferPolicy
from protocol.model.limits import PATH_BYTES_MAX
from protocol.model.placing.output_template import kind_of, placed
from protocol.model.value import Struct, replace
from storage.durable import Folder, make_folder, remove_mark
from storage.existing import digest_of
from storage.placing.tags import read_tags

COPY_BYTES: Final = 1 << 20
ALREADY_THERE: Final = "already there: a file with the same content has that place"
_OTHER_DISK: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
_TAGGED: Final = ("audio", "video")


class Origin(Struct, frozen=True, kw_only=True):
    """Origin of a finished file: the source that sent most of it. All may be empty."""

    user: str = ""
    path: str = ""
    host: str = ""


class PlacedFile(Struct, frozen=True, kw_only=True):
    """Result: where the file is. `before`: its first name, which goes in the end; empty: it was not moved.

    `note`: what could not be done, for people; may be empty. `top`: folder that is not removed with it. `inode`: device
    and number of the file under its first name.
    """

    path: str
    before: str = ""
    note: str = ""
    top: str = ""
    inode: tuple[int, int] = (0, 0)

    def settle(self) -> None:
        """Remove the first name, if it still is that of this file or of what was copied from it."""
        if self.before and os.path.exists(self.path):
            with suppress(OSError):
                if _inode(self.before) != self.inode:
                    return  # another file has that name meanwhile
                os.unlink(self.before)
                folder = os.path.dirname(self.before)
                if self.top and os.path.commonpath((folder, self.top)) == self.top != folder:
                    os.rmdir(folder)  # of a remote folder; not where other files lie


def place(
    path: str, root: str, policy: TransferPolicy, origin: Origin, *, existing: str = "", wanted: str = ""
) -> PlacedFile:
    """Give a sealed file its place and its modes. `root`: the folder below which it goes, where its kind has none.

    `existing`: one of `EXISTING`; but for "rename" a file with the same content in that place is left there instead.
    `wanted`: the name that was ordered: under "auto" the same file under that name makes the numbered one needless.
    """
    try:
        if policy.file_mode:
            os.chmod(path, int(policy.file_mode, 8))
        if not policy.output_template:
            found = _unless_there(path, wanted) if existing == "auto" and wanted else PlacedFile(path=path)
        else:
            found = _placed(path, root, policy, origin, keep_both=existing == "rename")
        return replace(found, inode=_inode(path)) if found.before else found
    except PartFileFault as fault:
        return PlacedFile(path=path, note=f"it stays where it is: {fault.detail}")
    except OSError as error:
        return PlacedFile(path=path, note=f"it stays where it is: {error.filename or path}: {error.strerror}")


def _inode(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _placed(path: str, root: str, policy: TransferPolicy, origin: Origin, *, keep_both: bool) -> PlacedFile:
    name = os.path.basename(path)
    kind = kind_of(name)
    roots = dict(each.split("=", 1) for each in policy.roots)
    top = roots.get(kind, root)
    values = {**(read_tags(path) if kind in _TAGGED else {}), **_of_origin(origin), **_of_name(name)}
    *folders, last = placed(policy.output_template, values, name)
    where = os.path.join(top, *folders)
    if len(os.path.join(where, last).encode()) > PATH_BYTES_MAX:
        return PlacedFile(path=path, note=f"it stays where it is: the path below {top} would be too long")
    if os.path.join(where, last) == path:
        return PlacedFile(path=path)
    folder = _made(top, folders, policy)
    try:
        if not keep_both and _same_there(path, folder, last):
            return PlacedFile(path=os.path.join(where, last), before=path, top=root, note=ALREADY_THERE)
        final = _linked(path, folder, last)
        folder.sync()
    finally:
        folder.close()
    return PlacedFile(path=os.path.join(where, final), before=path, top=root)


def _unless_there(path: str, wanted: str) -> PlacedFile:
    """Leave a sealed file where it is, unless its content stands beside it under the name that was ordered."""
    where, name = os.path.split(path)
    if name == wanted:
        return PlacedFile(path=path)
    folder = Folder(where, "none")
    try:
        if not _same_there(path, folder, wanted):
            return PlacedFile(path=path)
    finally:
        folder.close()
    return PlacedFile(path=os.path.join(where, wanted), before=path, top=where, note=ALREADY_THERE)


def _same_there(path: str, folder: Folder, name: str) -> bool:
    """Return whether another file with the same content has this place: the same order was carried out before."""
    there, ours = folder.lstat(name), os.stat(path)
    if there is None or not stat.S_ISREG(there.st_mode) or os.path.samestat(there, ours):
        return False
    return there.st_size == ours.st_size and digest_of(folder.path_of(name)) == digest_of(path)


def _of_origin(origin: Origin) -> dict[str, str]:
    folder = origin.path.replace("/", "\\").rpartition("\\")[0].rpartition("\\")[2]
    host = re.sub(r":[0-9]+$", "", origin.host).strip("[]")
    return {"user": origin.user, "host": host, "folder": folder}


def _of_name(name: str) -> dict[str, str]:
    stem, ext = os.path.splitext(name)
    return {"name": stem, "ext": ext}


def _made(top: str, folders: list[str], policy: TransferPolicy) -> Folder:
    """Open a folder below `top`; what is missing of it is made, `top` itself too, and no link leads out of it."""
    make_folder(top, policy.sync)
    folder = Folder(top, policy.sync, (top,))
    path = top
    for part in folders:
        path = os.path.join(path, part)
        try:
            os.mkdir(part, dir_fd=folder.fd)
            if policy.folder_mode:
                os.chmod(part, int(policy.folder_mode, 8), dir_fd=folder.fd)
            folder.sync()
        except FileExistsError:
            pass
        finally:
            folder.close()
        folder = Folder(path, policy.sync, (top,))
    return folder


def _linked(path: str, folder: Folder, wanted: str) -> str:
    """Give the file a free name in this folder, `wanted` if possible, by a link, or on another disk by a copy."""
    source, copy = path, ""
    try:
        for name in numbered(wanted):
            there = folder.lstat(name)
            if there is not None:
                if os.path.samestat(there, os.stat(path)):
                    return name  # of an attempt that ended just then
                continue
            try:
                if copy:
                    os.link(copy, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
                else:
                    os.link(source, name, dst_dir_fd=folder.fd)
            except FileExistsError:
                continue
            except OSError as error:
                if copy or error.errno not in _OTHER_DISK:
                    raise
                copy = _copied(path, folder)
                os.link(copy, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            return name
    finally:
        if copy:
            folder.unlink(copy)
    raise FileExistsError(errno.EEXIST, "every name up to (9999) is taken", wanted)


def _copied(path: str, folder: Folder) -> str:
    """Copy the file into this folder under a hidden name and return that."""
    name = f".shoal-{os.getpid()}-{os.urandom(6).hex()}"
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder.fd)
    try:
        with open(path, "rb") as source, open(fd, "wb") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)
            target.flush()
            os.fchmod(target.fileno(), os.stat(path).st_mode & 0o777)
            if folder.full:
                os.fsync(target.fileno())
            remove_mark(target.fileno())
    except BaseException:
        folder.unlink(name)
        raise
    return name
