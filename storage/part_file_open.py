"""Opening a part file: plan by what is in the folder, lock, re-hash, allocate."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from enum import Enum, auto
from typing import Final

from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.filenames import numbered
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN
from protocol.model.value import Struct, field
from storage.chunk_index import ChunkIndex
from storage.chunk_journal import Evidence, Header, Journal, JournalContents
from storage.digests import FrontDigest
from storage.durable import Folder, disk_faults, has_mark, set_mark, sync_data, write_all
from storage.layout import CHUNKS_MAX, PART_SUFFIX, RECORDS_SUFFIX, UNKNOWN, Layout
from storage.rehash import Progress, matching, no_progress, rechunked

_READ_BYTES: Final = 1 << 20
ROOM_BYTES: Final = 16 << 20
"""Free space needed after a full disk, unless less is missing: with less it would be full again at once."""


class Plan(Enum):
    """Plan for the files found in the folder."""

    FRESH = auto()  # nothing there, or nothing worth mentioning
    START_OVER = auto()  # ours, but not to be believed
    RESUME = auto()


class FoundPart(Struct, frozen=True):
    """Part file that is there before it is opened. `mark`: this program made it."""

    name: str
    fd: int
    size_bytes: int
    mark: bool

    @classmethod
    def open(cls, folder: Folder, name: str) -> "FoundPart | None":
        """Open it, None when there is none. PartFileFault OTHER_JOB for a link, folder, pipe or device."""
        if folder.lstat(name) is None:
            return None
        fd = folder.open_file(name, os.O_RDWR)
        return cls(name, fd, os.fstat(fd).st_size, has_mark(fd))

    def close(self) -> None:
        os.close(self.fd)


class PreparedPart(Struct):
    """Open, locked part file, for a `PartFile` to own."""

    folder: Folder
    journal: Journal
    name: str
    layout: Layout
    part_fd: int = -1
    part_created: bool = False
    index: ChunkIndex = field(default_factory=ChunkIndex)
    notes: dict[int, bytes] = field(default_factory=dict)  # validator digests by source hash
    evidence: Evidence = field(default_factory=Evidence)
    linked_as: str = ""  # the final name it has already, but for tidying up
    message: str = ""
    again: bool = False  # this attempt had it open before and the disk failed
    replaces: bool = False  # takes the place of a file that has the final name, instead of another name
    progress: Progress = no_progress
    front: FrontDigest = field(default_factory=FrontDigest)

    @property
    def part_name(self) -> str:
        return self.name + PART_SUFFIX

    @property
    def part_path(self) -> str:
        return self.folder.path_of(self.part_name)

    def check_there(self) -> None:
        """Raise PartFileFault when the part file was taken away or its size was changed by another program.

        Then nothing known of it holds, and what would get the final name is not what was written.
        """
        status = self.folder.lstat(self.part_name)
        if status is None or not os.path.samestat(status, os.fstat(self.part_fd)):
            raise PartFileFault(PartFileFaultKind.GONE, f"{self.part_path} was moved or deleted while it was written")
        self.check_size()

    def check_size(self, least_bytes: int = 0) -> None:
        """Raise PartFileFault when another program has changed the size of the part file. `least_bytes`: while unknown.

        To be called before each write as well: writing the last chunk into a file that was cut gives it its size back,
        with a hole.
        """
        found_bytes = os.fstat(self.part_fd).st_size
        if found_bytes < least_bytes or (self.layout.known and found_bytes != self.layout.size_bytes):
            detail = f"{self.part_path} has {found_bytes} bytes: another program changed it while it was written"
            raise PartFileFault(PartFileFaultKind.IO_ERROR, detail)


def prepare(
    folder_path: str,
    name: str,
    layout: Layout,
    *,
    preallocate: bool,
    sync: str,
    again: bool = False,
    progress: Progress = no_progress,
    roots: tuple[str, ...] = (),
    start_over: bool = False,
    any_chunk_size: bool = False,
) -> PreparedPart:
    """Lock, inspect, verify, allocate. PartFileFault when it cannot be used; BUSY and OTHER_JOB touch nothing.

    `start_over`: a part file of ours of another size is replaced.
    `any_chunk_size`: one that goes on keeps its chunk size.
    `again`: after a fault of the disk. The part file must be there, there must be room, and writing must work.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise PartFileFault(PartFileFaultKind.BAD_NAME, f"{name!r} is not the name of a file in a folder")
    with ExitStack() as undo:
        folder = Folder(folder_path, sync, roots)
        undo.callback(folder.close)
        _check_count(layout, folder.path_of(name))
        _refuse_foreign(folder, name)
        journal = Journal.lock(folder, name, layout)
        undo.callback(journal.close)
        if journal.created:
            undo.callback(journal.remove)
        part = FoundPart.open(folder, name + PART_SUFFIX)
        if part is not None:
            undo.callback(part.close)
        contents = journal.read()
        found = PreparedPart(folder, journal, name, layout, again=again, progress=progress)
        try:
            plan = choose_plan(found.part_path, layout, contents, part, created=journal.created)
        except PartFileFault:
            header = contents.header
            if not start_over or header is None or header.layout.size_bytes == layout.size_bytes:
                raise
            plan = Plan.START_OVER
        if any_chunk_size and plan is Plan.RESUME and contents.header is not None:
            found.layout = _usable(contents.header.layout, layout)
        if again:
            _require_space(found, part)
        undo.callback(_undo, found, part)
        _execute(plan, found, contents, part)
        _allocate(found, preallocate)
        if again:
            _test_write(found)
        if not journal.locked:
            found.message = f"{found.message}; this file system knows no locks".lstrip("; ")
        if part is not None and found.part_fd != part.fd:
            part.close()
        undo.pop_all()
        return found


def _usable(recorded: Layout, wanted: Layout) -> Layout:
    """Return the recorded layout where its chunks can be received."""
    return recorded if CHUNK_SIZE_MIN <= recorded.chunk_size <= CHUNK_SIZE_MAX else wanted


def _refuse_foreign(folder: Folder, name: str) -> None:
    """Raise PartFileFault for a part file of another program, before a journal is made beside it."""
    if folder.lstat(name + RECORDS_SUFFIX) is None and (part := FoundPart.open(folder, name + PART_SUFFIX)) is not None:
        part.close()
        if not part.mark:
            raise _foreign(folder.path_of(part.name))


def choose_plan(
    part_path: str, wanted: Layout, contents: JournalContents, part: FoundPart | None, *, created: bool
) -> Plan:
    """Choose by what is there; PartFileFault OTHER_JOB when it is not ours to touch. Pure.

    `created`: the journal was made just now.
    """
    if created or contents.header is None:
        if contents.newer:
            raise _other_job(f"{part_path} belongs to a newer version of this program")
        if not contents.ours:
            raise _foreign(part_path.removesuffix(PART_SUFFIX) + RECORDS_SUFFIX)
        if part is None:
            return Plan.FRESH
        if not part.mark:
            raise _foreign(part_path)
        if part.size_bytes not in (0, wanted.size_bytes):
            ours = f"{wanted.size_bytes} bytes" if wanted.known else "unknown size"
            raise _other_job(f"{part_path} has {part.size_bytes} bytes and no records, this download has {ours}")
        return Plan.START_OVER if part.size_bytes else Plan.FRESH
    header = contents.header
    begun_unknown = header.learned or not header.layout.known
    if not wanted.known or not header.layout.known:
        if begun_unknown:
            return Plan.START_OVER if part is not None and part.size_bytes else Plan.FRESH
        raise _other_job(
            f"{part_path} belongs to a download of {header.layout.size_bytes} bytes, this one is of unknown size"
        )
    if header.layout.size_bytes != wanted.size_bytes:
        raise _other_job(
            f"{part_path} belongs to a download of {header.layout.size_bytes} bytes, this one has {wanted.size_bytes}"
        )
    return Plan.RESUME


def _other_job(text: str) -> PartFileFault:
    return PartFileFault(PartFileFaultKind.OTHER_JOB, f"{text}; choose another name or delete it")


def _foreign(path: str) -> PartFileFault:
    return _other_job(f"{path} was not made by this program")


def is_ours(part: FoundPart, contents: JournalContents, matches: Callable[[], bool]) -> bool:
    """Return whether a part file beside a journal of ours is ours too.

    Its mark says so. Without a mark, which a copy may have lost and some file systems keep none of, the bytes must:
    `matches` tells whether any chunk matches its record. Where there are no marks, one without any byte is ours.
    """
    unmarked = contents.header is not None and contents.header.unmarked
    return part.mark or (contents.header is not None and matches()) or (unmarked and _is_blank(part))


def _is_blank(part: FoundPart) -> bool:
    """Return whether a file holds nothing but zeros, as one whose chunks did not come yet."""
    with disk_faults(part.name):
        reads = (os.pread(part.fd, _READ_BYTES, at) for at in range(0, part.size_bytes, _READ_BYTES))
        return not any(any(read) for read in reads)


def _check_count(layout: Layout, place: str) -> None:
    if layout.chunk_count > CHUNKS_MAX:
        detail = (
            f"{place}: {layout.size_bytes} bytes are too many for chunks of {layout.chunk_size}; choose larger chunks"
        )
        raise PartFileFault(PartFileFaultKind.NO_SPACE, detail)


def _undo(found: PreparedPart, part: FoundPart | None) -> None:
    """Clean up after an opening that failed; `part` is closed by the caller."""
    if found.part_created:
        found.folder.unlink_own(found.part_name, found.part_fd)
    if found.part_fd >= 0 and (part is None or found.part_fd != part.fd):
        os.close(found.part_fd)


def _execute(plan: Plan, found: PreparedPart, contents: JournalContents, part: FoundPart | None) -> None:
    if plan is Plan.RESUME and _resume(found, contents, part):
        return
    if part is not None and not is_ours(part, contents, lambda: bool(_matching(found, contents, part))):
        raise _foreign(found.part_path)
    found.index = ChunkIndex(found.layout.chunk_count)
    if not found.journal.created:
        found.journal.begin(found.layout)
    if part is not None:
        # A new file instead of an emptied one: the old bytes may have another name, by a link of the user or of ours.
        found.folder.unlink_own(part.name, part.fd)
        if plan is Plan.START_OVER:
            why = "the size is not known" if contents.header is not None else "it has no usable records"
            if contents.header is not None and contents.header.layout.known and found.layout.known:
                why = f"it was begun with {contents.header.layout.size_bytes} bytes"
            found.message = f"starting over: nothing in {found.part_path} can be believed, {why}"
    _create_part(found, part)


def _resume(found: PreparedPart, contents: JournalContents, part: FoundPart | None) -> bool:
    """Verify and carry over. False: start over."""
    assert contents.header is not None
    layout, claimed = contents.header.layout, contents.index.ranges()
    complete = claimed.count == layout.chunk_count
    good = RangeSet()
    if part is not None:
        good = _matching(found, contents, part)
        if not is_ours(part, contents, lambda: bool(good)):
            raise _foreign(found.part_path)
        found.linked_as = _linked_name(found, part)
        if found.linked_as and not (complete and good == claimed and part.size_bytes == layout.size_bytes):
            # A file under its final name is the user's, and nothing is ever written into it again.
            final = found.folder.path_of(found.linked_as)
            found.linked_as, found.message = "", f"starting over: {final} was changed or damaged since it was complete"
            return False
        found.part_fd = part.fd
        set_mark(part.fd)
    elif complete and _adopt_final(found, contents):
        return True
    else:
        _create_part(found, part)
    found.notes = contents.notes
    _accept(found, contents.header, contents, good)
    found.message = _summary(found, contents, claimed, good)
    return True


def _matching(found: PreparedPart, contents: JournalContents, part: FoundPart) -> RangeSet:
    """Return the chunks whose bytes match their records; after a disk fault, on the disk."""
    if contents.header is None:
        return RangeSet()
    if found.again:  # the page cache may hold what never reaches the disk
        if found.folder.full:
            sync_data(part.fd, found.part_path)
        if hasattr(os, "posix_fadvise"):
            with disk_faults(found.part_path):
                os.posix_fadvise(part.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    layout = seen_layout(contents, contents.header)
    return matching(part.fd, layout, contents.index, found.progress)


def seen_layout(contents: JournalContents, header: Header) -> Layout:
    """Return the layout; a file of unknown size ends where its last record does."""
    return header.layout if header.layout.known else Layout(contents.end_bytes, header.layout.chunk_size)


def _create_part(found: PreparedPart, before: FoundPart | None) -> None:
    """Create the part file, marked as ours. PartFileFault when a file has its name meanwhile."""
    if before is None and found.again:
        detail = f"{found.part_path} is gone: put it back, or stop and start over"
        raise PartFileFault(PartFileFaultKind.GONE, detail)
    header = found.journal.header
    assert header is not None

    def fill(fd: int) -> None:
        if not (set_mark(fd) or header.unmarked):
            raise PartFileFault(PartFileFaultKind.NO_SPACE, f"{found.part_path}: no space for its mark")

    fd = found.folder.create_file(found.part_name, fill)
    if fd is None:
        raise _foreign(found.part_path)
    found.part_fd, found.part_created = fd, found.journal.created


def _linked_name(found: PreparedPart, part: FoundPart) -> str:
    """Return the final name this part file already has (a process died between link and unlink), else ""."""
    status = os.fstat(part.fd)
    if status.st_nlink < 2:
        return ""
    return next((name for name, final in _finals(found) if os.path.samestat(final, status)), "")


def _adopt_final(found: PreparedPart, contents: JournalContents) -> bool:
    """All records and no part file: recognize the final file of a process that died after its last rename."""
    assert contents.header is not None
    for name, status in _finals(found):
        if status.st_size != contents.header.layout.size_bytes:
            continue
        try:
            fd = found.folder.open_file(name, os.O_RDONLY)
        except PartFileFault:
            continue  # not our file
        if matching(fd, contents.header.layout, contents.index).count == contents.header.layout.chunk_count:
            found.part_fd, found.linked_as, found.notes = fd, name, contents.notes
            _accept(found, contents.header, contents, contents.index.ranges())
            found.message = f"{found.folder.path_of(name)} was complete already"
            return True
        os.close(fd)
    return False


def _finals(found: PreparedPart) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what has the final name or a numbered variant. Ten thousand look-ups, so only for rare repairs."""
    for name in numbered(found.name):
        status = found.folder.lstat(name)
        if status is not None:
            yield name, status


def _accept(found: PreparedPart, header: Header, contents: JournalContents, good: RangeSet) -> None:
    """Keep what matches, in chunks of the wanted size; another chunk size makes a new journal."""
    index = contents.index
    for first, stop in index.ranges():
        index.drop(good.gaps(first, stop))
    found.index, found.evidence = index, contents.evidence(index)
    if header.layout.chunk_size != found.layout.chunk_size:
        found.index = rechunked(found.part_fd, header.layout, found.layout, index)
        found.evidence.repeats.clear()  # of chunks of the other size
        found.journal.rewrite(found.layout, found.index, found.notes, found.evidence)


def _allocate(found: PreparedPart, preallocate: bool) -> None:
    size = found.layout.size_bytes
    if size == UNKNOWN or found.linked_as:
        return
    with disk_faults(found.part_path):
        if os.fstat(found.part_fd).st_size != size:
            os.ftruncate(found.part_fd, size)
        if preallocate and size > 0:
            os.posix_fallocate(found.part_fd, 0, size)
        missing = size - os.fstat(found.part_fd).st_blocks * 512
    free = found.folder.free_bytes()
    if missing > free:
        said = f"only {free >> 10} of the {missing >> 10} KiB still needed are free: it pauses when the disk is full"
        found.message = f"{found.message}; {said}".lstrip("; ")


def _require_space(found: PreparedPart, part: FoundPart | None) -> None:
    """Check the free space before anything is hashed: with less the disk would be full again at once."""
    held = os.fstat(part.fd).st_blocks * 512 if part is not None else 0
    missing = max(found.layout.size_bytes - held, 0) if found.layout.known else ROOM_BYTES
    free, wanted = found.folder.free_bytes(), min(missing, ROOM_BYTES)
    if free < wanted:
        raise PartFileFault(
            PartFileFaultKind.NO_SPACE, f"{found.part_path}: no space, {-(-wanted >> 10)} KiB are needed"
        )


def _test_write(found: PreparedPart) -> None:
    """Write where a chunk is missing: quotas and broken disks show only when written to."""
    if not found.layout.known or found.linked_as:
        return
    gap = next(iter(found.index.ranges().gaps(0, found.layout.chunk_count)), None)
    if gap is not None:
        length = found.layout.length_bytes(gap[0], gap[0] + 1)
        write_all(found.part_fd, bytes(length), gap[0] * found.layout.chunk_size, found.part_path)
    if found.folder.full:
        sync_data(found.part_fd, found.part_path)
        sync_data(found.journal.fd, found.journal.path)


def _summary(found: PreparedPart, contents: JournalContents, claimed: RangeSet, good: RangeSet) -> str:
    assert contents.header is not None
    parts = []
    kept = sum(found.layout.length_bytes(first, stop) for first, stop in found.index.ranges())
    if kept:
        parts.append(f"resumed {kept} of {found.layout.size_bytes} bytes")
    damaged = claimed.count - good.count
    if damaged:
        parts.append(f"{damaged} damaged chunk{'s' * (damaged > 1)} will be fetched again")
    if kept and contents.header.layout.chunk_size != found.layout.chunk_size:
        parts.append(f"chunk size changed from {contents.header.layout.chunk_size} to {found.layout.chunk_size} bytes")
    return ", ".join(parts)
