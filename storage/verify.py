"""Verification of a part file against its journal. Never writes; works beside a process that does."""

import fcntl
import os
import stat

from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.value import Struct
from storage.chunk_journal import Header, JournalContents, read_journal
from storage.digests import Checksum, whole_digest
from storage.durable import Folder, disk_faults
from storage.existing import read_origin
from storage.layout import PART_SUFFIX, RECORDS_SUFFIX
from storage.part_file_open import seen_layout
from storage.rehash import matching


class Report(Struct, frozen=True):
    """Result of a verification.

    `size_bytes` -1: unknown. Ranges are of chunks; `missing` have no record, `damaged` do not match. `being_written`:
    another process holds the lock, so more may be stored by now. `damaged_records` could not be read.
    """

    part_path: str
    size_bytes: int
    chunk_size: int
    matching: RangeSet
    damaged: RangeSet
    missing: RangeSet
    damaged_records: int
    being_written: bool

    @property
    def complete(self) -> bool:
        return self.size_bytes >= 0 and not self.damaged and not self.missing

    def lines(self) -> list[str]:
        """Return the report for people."""
        size = f"{self.size_bytes} bytes" if self.size_bytes >= 0 else "size unknown"
        total = self.matching.count + self.damaged.count + self.missing.count
        text = [f"{self.part_path}: {size} in chunks of {self.chunk_size} bytes"]
        text.append(f"hold: {self.matching.count} of {total} chunks")
        text.append(f"do not match their records: {_ranges_text(self.damaged)}")
        text.append(f"missing: {_ranges_text(self.missing)}")
        if self.damaged_records:
            text.append(f"damaged records: {self.damaged_records} (their chunks count as missing)")
        if self.being_written:
            text.append("another process is writing it right now")
        return text


def verify(path: str) -> Report:
    """Verify NAME, NAME.part or NAME.part.records. PartFileFault when there is nothing to verify."""
    folder_path, name = os.path.split(_bare(path))
    folder = Folder(folder_path, "none")
    try:
        return _verified(folder, name)
    finally:
        folder.close()


class FinishedFile(Struct, frozen=True):
    """Result of the check of a finished file. Digests are ``algorithm:hex``; `expected` is empty when none is known."""

    path: str
    size_bytes: int
    expected: str
    found: str


def verify_finished(path: str, checksum: Checksum | None = None) -> FinishedFile | None:
    """Compare a finished file with a user's checksum, else with the digest noted when it was finished.

    None when there is no plain file at `path`, or a download goes on beside it. Raises PartFileFault.
    """
    folder_path, name = os.path.split(path)
    folder = Folder(folder_path, "none")
    try:
        status = folder.lstat(name)
        records = os.path.basename(_bare(path)) + RECORDS_SUFFIX
        if status is None or not stat.S_ISREG(status.st_mode) or folder.lstat(records) is not None:
            return None
        fd = folder.open_file(name, os.O_RDONLY)
        try:
            with disk_faults(path):
                if checksum is None:
                    origin = read_origin(fd)
                    if origin is None:
                        return FinishedFile(path, status.st_size, "", "")
                    checksum = Checksum("xxh3_128", origin[2])
                digest = whole_digest(fd, os.fstat(fd).st_size, checksum)
                return FinishedFile(
                    path, status.st_size, str(checksum), str(Checksum(checksum.algorithm, digest.checksum_hex))
                )
        finally:
            os.close(fd)
    finally:
        folder.close()


def _bare(path: str) -> str:
    for suffix in (RECORDS_SUFFIX, PART_SUFFIX):
        if path.endswith(suffix) and not os.path.lexists(path + RECORDS_SUFFIX):
            return path.removesuffix(suffix)
    return path


def _verified(folder: Folder, name: str) -> Report:
    place = folder.path_of(name + RECORDS_SUFFIX)
    if folder.lstat(name + RECORDS_SUFFIX) is None:
        raise PartFileFault(
            PartFileFaultKind.OTHER_JOB, f"{place} does not exist: nothing says what should be in the file"
        )
    records_fd = folder.open_file(name + RECORDS_SUFFIX, os.O_RDONLY)
    try:
        being_written = _is_locked(records_fd)
        contents = read_journal(records_fd, place)
    finally:
        os.close(records_fd)
    if contents.header is None:
        raise PartFileFault(PartFileFaultKind.OTHER_JOB, f"{place} cannot be read: no intact header")
    good = _good(folder, name, contents, contents.header)
    return _report(folder.path_of(name + PART_SUFFIX), contents, contents.header, good, being_written)


def _good(folder: Folder, name: str, contents: JournalContents, header: Header) -> RangeSet:
    if folder.lstat(name + PART_SUFFIX) is None:
        return RangeSet()
    fd = folder.open_file(name + PART_SUFFIX, os.O_RDONLY)
    try:
        return matching(fd, seen_layout(contents, header), contents.index)
    finally:
        os.close(fd)


def _report(part_path: str, contents: JournalContents, header: Header, good: RangeSet, being_written: bool) -> Report:
    claimed = contents.index.ranges()
    damaged = RangeSet(gap for first, stop in claimed for gap in good.gaps(first, stop))
    return Report(
        part_path=part_path,
        size_bytes=header.layout.size_bytes,
        chunk_size=header.layout.chunk_size,
        matching=good,
        damaged=damaged,
        missing=RangeSet(claimed.gaps(0, seen_layout(contents, header).chunk_count)),
        damaged_records=contents.damaged_records,
        being_written=being_written,
    )


def _is_locked(fd: int) -> bool:
    """Return whether another process has the lock. Ours is shared and released at once."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _ranges_text(ranges: RangeSet) -> str:
    """Return chunk numbers, at most a line of them."""
    if not ranges:
        return "none"
    shown = [str(first) if stop == first + 1 else f"{first}-{stop - 1}" for first, stop in list(ranges)[:20]]
    more = f" and {len(ranges) - 20} more ranges" if len(ranges) > 20 else ""
    return f"{ranges.count} chunks: {', '.join(shown)}{more}"
