"""Finalizing a complete part file: check, sync, link to the final name; a crash may come between any two steps.

Before the link the next attempt resumes a complete part file. From the link on the file has its final name and only
tidying is left; the next attempt finds that out by itself (`storage.part_file_open`): the part file is the same inode
as the final file, or the part file is gone and the final file matches all records. The journal stays until the
dispatcher has got the result (`PartFile.close`): without it the next attempt would know nothing of the file and fetch
it under another name.
"""

import time
from collections.abc import Generator

from protocol.model.value import Struct
from storage.digests import Checksum, WholeDigest, whole_digest
from storage.durable import Committer, disk_faults, remove_mark, sync_data
from storage.existing import write_origin
from storage.part_file_open import PreparedPart


class Sealed(Struct, frozen=True):
    """Final path and whole-file xxh3_128 (empty when it could not be read any more).

    `digest_s`: how long the file already had its name when this was reported, see `seal_steps`. `compared`: with the
    checksum of the order.
    """

    path: str
    digest_hex: str
    digest_s: float
    compared: bool


class ChecksumMismatch(Exception):  # noqa: N818
    """The file does not match the user's checksum. One line with both values; the part file is kept."""

    def __init__(self, wanted: Checksum, got_hex: str) -> None:
        super().__init__(f"checksum differs: wanted {wanted}, the file has {wanted.algorithm}:{got_hex}")
        self.wanted = wanted
        self.got_hex = got_hex


def seal_steps(part: PreparedPart, checksum: Checksum | None, committer: Committer) -> Generator[str, None, Sealed]:
    """Seal `part`, every chunk of which is stored; yields the name of each step just done, returns the result.

    A checksum is compared before the file gets its name. Without one the digest of the whole is for information only
    (every chunk was checked when it came), so it is computed afterwards, when the file has its name.

    Raises ChecksumMismatch or PartFileFault; then the part file or its twin still stands and sealing can be tried
    again.
    """
    if part.folder.full:
        committer.start()  # the device writes while we hash
    digest = _checked(part, checksum) if checksum is not None else None
    yield "checked"
    if not part.linked_as:
        committer.wait()
        _settle(part)
        yield "settled"
        if part.replaces:
            part.folder.replace(part.name, part.part_name)
            name = part.name
        else:
            name = part.folder.give_final_name(part.part_name, part.name)
        if not part.folder.is_file(name, part.part_fd):  # another file had the part file's name for a moment
            if part.replaces:
                part.folder.replace(part.part_name, name)
            else:
                part.folder.unlink(name)
            part.check_there()
        part.linked_as = name
        yield "linked"
        part.folder.sync()
        yield "link synced"
    part.folder.unlink_own(part.part_name, part.part_fd)
    remove_mark(part.part_fd)
    yield "part unlinked"
    sealed_s = time.monotonic()
    digest_hex = digest.xxh3_hex if digest is not None else _for_information(part)
    write_origin(part.part_fd, digest_hex, part.notes.values())
    return Sealed(part.folder.path_of(part.linked_as), digest_hex, time.monotonic() - sealed_s, digest is not None)


def _for_information(part: PreparedPart) -> str:
    try:
        return part.front.finished(part.part_fd, part.layout.size_bytes)
    except OSError:
        return ""  # the file is sealed all the same


def _checked(part: PreparedPart, checksum: Checksum) -> WholeDigest:
    with disk_faults(part.part_path):
        digest = whole_digest(part.part_fd, part.layout.size_bytes, checksum)
    if digest.checksum_hex != checksum.hex:
        raise ChecksumMismatch(checksum, digest.checksum_hex)
    return digest


def _settle(part: PreparedPart) -> None:
    """Check that it is still our file and sync it, and the records, so that a crash right here can be repaired."""
    part.check_there()
    if part.folder.full:
        sync_data(part.part_fd, part.part_path)
        sync_data(part.journal.fd, part.journal.path)
