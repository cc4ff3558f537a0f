"""Opening a target: what is in the folder, what of it is ours, and what of that can be believed."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.chunk_index import ChunkIndex
from storage.chunk_journal import Header, Journal, Past
from storage.digests import FrontDigest
from storage.durable import Folder, blaming, sync_data, write_all
from storage.layout import CHUNKS_MAX, PART_SUFFIX, UNKNOWN, Layout, numbered
from storage.rehash import Heard, carried_over, holding, unheard

ROOM_BYTES: Final = 16 << 20
"""After a full disk: with less room than this (or than is missing) it would be full again at once."""


class Plan(Enum):
    FRESH = auto()  # nothing here, or nothing worth a word
    OVER = auto()  # ours, but not to be believed: begin again in place
    RESUME = auto()


@dataclass(slots=True)
class Prepared:
    """An open, locked target for a `Target` to own. `linked_as`: it was sealed under this name, but for tidying up.
    `again`: this run had it open before and the disk failed under it."""

    folder: Folder
    journal: Journal
    name: str
    layout: Layout
    part_fd: int = -1
    part_created: bool = False
    ledger: ChunkIndex = field(default_factory=ChunkIndex)
    notes: dict[int, bytes] = field(default_factory=dict)
    linked_as: str = ""
    message: str = ""
    again: bool = False
    heard: Heard = unheard
    front: FrontDigest = field(default_factory=FrontDigest)

    @property
    def part_name(self) -> str:
        return self.name + PART_SUFFIX

    @property
    def part_path(self) -> str:
        return self.folder.place(self.part_name)

    def check_there(self) -> None:
        """PartFileFault when the part file was taken away or its size changed behind our back: then nothing that is
        known of it holds, and what would get the final name is not what was written."""
        look = self.folder.look(self.part_name)
        if look is None or not os.path.samestat(look, os.fstat(self.part_fd)):
            raise PartFileFault(PartFileFaultKind.GONE, f"{self.part_path} was moved or deleted while it was written")
        if self.layout.known and look.st_size != self.layout.size_bytes:
            detail = f"{self.part_path} has {look.st_size} bytes: somebody else changed it while it was written"
            raise PartFileFault(PartFileFaultKind.IO_ERROR, detail)


def prepare(
    folder_path: str,
    name: str,
    layout: Layout,
    *,
    preallocate: bool,
    sync: str,
    again: bool = False,
    heard: Heard = unheard,
) -> Prepared:
    """Lock, look, verify, make room. PartFileFault when the target cannot be used; BUSY and OTHER_JOB touch nothing.

    `again`: after a fault of the disk. The part file must be there, there must be room, and writing must work.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise PartFileFault(PartFileFaultKind.BAD_NAME, f"{name!r} is not the name of a file in a folder")
    with ExitStack() as undo:
        folder = Folder(folder_path, sync)
        undo.callback(folder.close)
        _check_count(layout, folder.place(name))
        journal = Journal.lock(folder, name)
        undo.callback(journal.close)
        found = Prepared(folder, journal, name, layout, again=again, heard=heard)
        past = journal.read()
        if past.header is None and journal.created:
            undo.callback(journal.remove)
        look = folder.look(found.part_name)
        plan = judged(found.part_path, layout, past, None if look is None else look.st_size)
        undo.callback(_withdraw, found)
        if again:
            _want_room(found, look)
        _carry_out(plan, found, past)
        _make_room(found, preallocate)
        if again:
            _prove(found)
        if not journal.locked:
            found.message = f"{found.message}; this file system knows no locks".lstrip("; ")
        undo.pop_all()
        return found


def judged(part_path: str, wanted: Layout, past: Past, part_size: int | None) -> Plan:
    """What to do with what is there; PartFileFault OTHER_JOB when it is not ours to touch. Looks at nothing itself."""
    if past.newer and past.header is None:
        raise _other_job(f"{part_path} belongs to a newer version of this program")
    if past.header is None:
        return _judged_without_records(part_path, wanted, part_size)
    header = past.header
    begun_unknown = header.learned or not header.layout.known
    if not wanted.known or not header.layout.known:
        if begun_unknown:
            return Plan.OVER if part_size else Plan.FRESH
        raise _other_job(
            f"{part_path} belongs to a download of {header.layout.size_bytes} bytes, this one is of unknown size"
        )
    if header.layout.size_bytes != wanted.size_bytes:
        raise _other_job(
            f"{part_path} belongs to a download of {header.layout.size_bytes} bytes, this one has {wanted.size_bytes}"
        )
    return Plan.RESUME


def _judged_without_records(part_path: str, wanted: Layout, part_size: int | None) -> Plan:
    if not part_size:
        return Plan.FRESH
    if part_size == wanted.size_bytes:
        return Plan.OVER
    ours = f"{wanted.size_bytes} bytes" if wanted.known else "unknown size"
    raise _other_job(f"{part_path} has {part_size} bytes and no records, this download has {ours}")


def _other_job(text: str) -> PartFileFault:
    return PartFileFault(PartFileFaultKind.OTHER_JOB, f"{text}; choose another name or delete it")


def _check_count(layout: Layout, place: str) -> None:
    if layout.chunk_count > CHUNKS_MAX:
        detail = (
            f"{place}: {layout.size_bytes} bytes are too many for chunks of {layout.chunk_size}; choose larger chunks"
        )
        raise PartFileFault(PartFileFaultKind.NO_SPACE, detail)


def _withdraw(found: Prepared) -> None:
    """Opening failed: leave no litter of ours."""
    if found.part_fd >= 0:
        os.close(found.part_fd)
    if found.part_created:
        found.folder.unlink(found.part_name)
        found.journal.remove()


def _carry_out(plan: Plan, found: Prepared, past: Past) -> None:
    if plan is Plan.RESUME and _resumed(found, past):
        return
    _open_part(found)
    if plan is Plan.OVER:
        # A new file instead of an emptied one: the old bytes may have another name, by a link of the user or of ours.
        _let_go(found)
        _open_part(found, anew=True)
        why = "the size is not known" if past.header is not None else "it has no usable records"
        found.message = f"starting over: nothing in {found.part_path} can be believed, {why}"
    found.ledger = ChunkIndex(found.layout.chunk_count)
    found.journal.begin(found.layout)


def _resumed(found: Prepared, past: Past) -> bool:
    """Verify and carry over. False: begin afresh."""
    assert past.header is not None
    layout, claimed = past.header.layout, past.ledger.runs()
    complete = claimed.count == layout.chunk_count
    look = found.folder.look(found.part_name)
    if look is None and complete and _adopted(found, past):
        return True
    twin = _final_twin(found, look)
    _open_part(found)
    _distrust_cache(found)
    good = holding(found.part_fd, layout, past.ledger, found.heard)
    if twin and look is not None and not (complete and good == claimed and look.st_size == layout.size_bytes):
        # What stands under its final name is the user's, and nothing here is ever written into it again.
        _let_go(found)
        found.message = f"starting over: {found.folder.place(twin)} was changed or damaged since it was complete"
        found.again = False
        return False
    found.linked_as = twin
    found.notes = past.notes
    _believe(found, past.header, past.ledger, good)
    found.message = _said(found, past, claimed, good)
    return True


def _open_part(found: Prepared, *, anew: bool = False) -> None:
    """The part file, created when there is none; when it was there a moment ago, only `anew` creates it again. A link
    or folder in its place is refused."""
    missing = found.folder.look(found.part_name) is None
    if missing and found.again and not anew:
        detail = f"{found.part_path} is gone: put it back, or stop and begin anew"
        raise PartFileFault(PartFileFaultKind.GONE, detail)
    found.part_created = missing and found.journal.created
    found.part_fd = found.folder.open_file(found.part_name, os.O_RDWR | os.O_CREAT)


def _let_go(found: Prepared) -> None:
    os.close(found.part_fd)
    found.part_fd = -1
    found.folder.unlink(found.part_name)


def _final_twin(found: Prepared, part: os.stat_result | None) -> str:
    """The final name this part file already has: a run died between linking and unlinking. Else ""."""
    if part is None or part.st_nlink < 2:
        return ""
    return next((name for name, look in _finals(found) if os.path.samestat(look, part)), "")


def _adopted(found: Prepared, past: Past) -> bool:
    """All records and no part file: did a run die after its last rename? Then the final file says so itself."""
    assert past.header is not None
    for name, look in _finals(found):
        if look.st_size != past.header.layout.size_bytes:
            continue
        try:
            fd = found.folder.open_file(name, os.O_RDONLY)
        except PartFileFault:
            continue  # not a file of ours, whatever it is
        if holding(fd, past.header.layout, past.ledger).count == past.header.layout.chunk_count:
            found.part_fd, found.linked_as, found.notes = fd, name, past.notes
            _believe(found, past.header, past.ledger, past.ledger.runs())
            found.message = f"{found.folder.place(name)} was complete already"
            return True
        os.close(fd)
    return False


def _finals(found: Prepared) -> Iterator[tuple[str, os.stat_result]]:
    """What stands under the final name and its numbered variants. Ten thousand looks, so only for rare repairs."""
    for name in numbered(found.name):
        look = found.folder.look(name)
        if look is not None:
            yield name, look


def _believe(found: Prepared, header: Header, ledger: ChunkIndex, good: RangeSet) -> None:
    """Keep what holds, in chunks of the wanted size; another chunk size makes new records."""
    for first, stop in ledger.runs():
        ledger.drop(good.gaps(first, stop))
    found.ledger = ledger
    if header.layout.chunk_size != found.layout.chunk_size:
        found.ledger = carried_over(found.part_fd, header.layout, found.layout, ledger)
        found.journal.renew(found.layout, found.ledger, found.notes)


def _make_room(found: Prepared, preallocate: bool) -> None:
    size = found.layout.size_bytes
    if size == UNKNOWN or found.linked_as:
        return
    with blaming(found.part_path):
        if os.fstat(found.part_fd).st_size != size:
            os.ftruncate(found.part_fd, size)
        if preallocate and size > 0:
            os.posix_fallocate(found.part_fd, 0, size)
        missing = size - os.fstat(found.part_fd).st_blocks * 512
    free = found.folder.free_bytes()
    if missing > free:
        said = f"only {free >> 10} of the {missing >> 10} KiB still needed are free: it pauses when the disk is full"
        found.message = f"{found.message}; {said}".lstrip("; ")


def _want_room(found: Prepared, look: os.stat_result | None) -> None:
    """Before anything is hashed: with no more room than this the disk would be full again at once."""
    held = look.st_blocks * 512 if look is not None else 0
    missing = max(found.layout.size_bytes - held, 0) if found.layout.known else ROOM_BYTES
    free, wanted = found.folder.free_bytes(), min(missing, ROOM_BYTES)
    if free < wanted:
        raise PartFileFault(
            PartFileFaultKind.NO_SPACE, f"{found.part_path}: no space, {-(-wanted >> 10)} KiB are needed"
        )


def _distrust_cache(found: Prepared) -> None:
    """After a fault what memory holds of the part file may never reach the disk: read what the disk has."""
    if not found.again:
        return
    if found.folder.full:
        sync_data(found.part_fd, found.part_path)
    if hasattr(os, "posix_fadvise"):
        with blaming(found.part_path):
            os.posix_fadvise(found.part_fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _prove(found: Prepared) -> None:
    """Write where a chunk is missing, as the next chunk will: quotas and broken disks are only known by trying."""
    if not found.layout.known or found.linked_as:
        return
    gap = next(iter(found.ledger.runs().gaps(0, found.layout.chunk_count)), None)
    if gap is not None:
        length = found.layout.length_bytes(gap[0], gap[0] + 1)
        write_all(found.part_fd, bytes(length), gap[0] * found.layout.chunk_size, found.part_path)
    if found.folder.full:
        sync_data(found.part_fd, found.part_path)
        sync_data(found.journal.fd, found.journal.path)


def _said(found: Prepared, past: Past, claimed: RangeSet, good: RangeSet) -> str:
    assert past.header is not None
    parts = []
    kept = sum(found.layout.length_bytes(first, stop) for first, stop in found.ledger.runs())
    if kept:
        parts.append(f"resumed {kept} of {found.layout.size_bytes} bytes")
    damaged = claimed.count - good.count
    if damaged:
        parts.append(f"{damaged} damaged chunk{'s' * (damaged > 1)} will be fetched again")
    if kept and past.header.layout.chunk_size != found.layout.chunk_size:
        parts.append(f"chunk size changed from {past.header.layout.chunk_size} to {found.layout.chunk_size} bytes")
    return ", ".join(parts)
