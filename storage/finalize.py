"""From a complete part file to the final name, in steps between any two of which the machine may die.

Before the link the next run resumes a complete part file. From the link on the file has its final name and only tidying
is left; the next run finds that out by itself (`storage.part_file_open`): the part file is the same inode as the
final file, or the part file is gone and the final file matches all records. The records stay until somebody has heard
that the file is sealed (`Target.close`): without them the next run would know nothing of it and fetch it under
another name.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass

from storage.digests import Checksum, WholeDigest, whole_digest
from storage.durable import Committer, blaming, sync_data
from storage.part_file_open import Prepared


@dataclass(frozen=True, slots=True)
class Sealed:
    """The file's final path and the whole file's xxh3_128 (empty when it could not be read any more).

    `digest_s`: for so long the file already had its name when this was said, see `seal_steps`.
    """

    path: str
    digest_hex: str
    digest_s: float


class ChecksumMismatch(Exception):  # noqa: N818
    """The whole file is not what the user said. One line with both values; the part file is kept."""

    def __init__(self, wanted: Checksum, got_hex: str) -> None:
        super().__init__(f"checksum differs: wanted {wanted}, the file has {wanted.algorithm}:{got_hex}")
        self.wanted = wanted
        self.got_hex = got_hex


def seal_steps(part: Prepared, checksum: Checksum | None, committer: Committer) -> Generator[str, None, Sealed]:
    """Seal `part`, every chunk of which is stored; yields the name of each step just done, returns the result.

    A checksum is compared before the file gets its name. Without one the digest of the whole is for information only
    (every chunk was checked when it came), so it is made afterwards and nobody waits for the name because of it.

    Raises ChecksumMismatch or PartFileFault; then the part file or its twin still stands and sealing can be tried
    again.
    """
    if part.folder.full:
        committer.start()  # the device works while we hash
    digest = _checked(part, checksum) if checksum is not None else None
    yield "checked"
    if not part.linked_as:
        committer.wait()
        _settle(part)
        yield "settled"
        part.linked_as = part.folder.give_final_name(part.part_name, part.name)
        yield "linked"
        part.folder.sync()
        yield "link synced"
    part.folder.unlink(part.part_name)
    yield "part unlinked"
    sealed_s = time.monotonic()
    return Sealed(
        part.folder.place(part.linked_as),
        digest.xxh3_hex if digest is not None else _for_information(part),
        time.monotonic() - sealed_s,
    )


def _for_information(part: Prepared) -> str:
    try:
        return part.front.finished(part.part_fd, part.layout.size_bytes)
    except OSError:
        return ""  # the file is sealed all the same


def _checked(part: Prepared, checksum: Checksum) -> WholeDigest:
    with blaming(part.part_path):
        digest = whole_digest(part.part_fd, part.layout.size_bytes, checksum)
    if digest.checksum_hex != checksum.hex:
        raise ChecksumMismatch(checksum, digest.checksum_hex)
    return digest


def _settle(part: Prepared) -> None:
    """Still the file we wrote, bytes on the device; the records too, so that a crash right here can be repaired."""
    part.check_there()
    if part.folder.full:
        sync_data(part.part_fd, part.part_path)
        sync_data(part.journal.fd, part.journal.path)
