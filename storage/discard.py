"""Removing what an unfinished download left in a folder: its part file and its records, and nothing else."""

from contextlib import suppress

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.chunk_journal import Journal
from storage.durable import Folder
from storage.layout import PART_SUFFIX, RECORDS_SUFFIX


def discard(folder_path: str, name: str) -> str:
    """Remove the part file of `name`. Returns why something stays, in a line for people; empty when nothing does.

    Only what has records of ours is a part file of ours. What another run has open is left alone, and so is whatever
    has the final name: should the part file be another name of the finished file, only that other name goes.
    """
    try:
        folder = Folder(folder_path, "full")
    except PartFileFault as fault:
        return "" if fault.kind is PartFileFaultKind.NO_FOLDER else fault.detail
    try:
        if folder.look(name + RECORDS_SUFFIX) is None:
            return _left(folder, name)
        return _discard(folder, name)
    except PartFileFault as fault:
        return fault.detail
    finally:
        folder.close()


def _discard(folder: Folder, name: str) -> str:
    journal = Journal.lock(folder, name)
    try:
        if journal.read().header is None:
            return f"{journal.path} cannot be read as records of ours: left alone"
        folder.unlink(name + PART_SUFFIX)
        journal.remove()
    finally:
        journal.close()
    with suppress(PartFileFault):  # at worst it is there again after a power failure
        folder.sync()
    return ""


def _left(folder: Folder, name: str) -> str:
    part = name + PART_SUFFIX
    return "" if folder.look(part) is None else f"{folder.place(part)} has no records of ours: left alone"
