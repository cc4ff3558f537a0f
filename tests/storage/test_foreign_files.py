"""A file of another program, or of the user, under a name of ours: refused and unchanged, byte for byte and inode."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.durable import Folder
from storage.part_file import PartFile, discard
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, leave_part, opened, put

DATA = content(9 * CHUNK + 5)
PART, RECORDS, REWRITTEN = (f"{NAME}.part{more}" for more in ("", ".records", ".records.new"))
FOREIGN = content(len(DATA), seed=9)


def fingerprint(folder: Path) -> dict[str, tuple[int, bytes, int]]:
    """Inode, bytes and time of the last change of everything."""
    return {path.name: (path.stat().st_ino, path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def refused(folder: Path, size: int = len(DATA), chunk: int = CHUNK) -> PartFileFault:
    """The fault of an opening that changes nothing."""
    before = fingerprint(folder)
    with pytest.raises(PartFileFault) as fault:
        opened(folder, size, chunk=chunk)
    assert fingerprint(folder) == before
    assert "\n" not in fault.value.detail
    return fault.value


@pytest.fixture(params=["marks", "no marks"])
def marks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both kinds of file systems: with extended attributes and without."""

    def unsupported(*_: object, **__: object) -> bytes:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    if request.param == "no marks":
        for call in ("setxattr", "getxattr", "removexattr"):
            monkeypatch.setattr(os, call, unsupported)
    return bool(request.param == "marks")


@pytest.fixture(params=["unnamed", "named"])
def unnamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of systems: with files that get their name last, and without."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")


@pytest.mark.usefixtures("marks", "unnamed")
@pytest.mark.parametrize("held", [FOREIGN, b"", b"short", DATA], ids=["our size", "empty", "another size", "our bytes"])
def test_a_foreign_part_file_is_left_alone(tmp_path: Path, held: bytes) -> None:
    (tmp_path / PART).write_bytes(held)
    fault = refused(tmp_path)
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert PART in fault.detail
    assert refused(tmp_path, -1).kind is PartFileFaultKind.OTHER_JOB
    assert "left alone" in discard(str(tmp_path), NAME)
    assert (tmp_path / PART).read_bytes() == held


@pytest.mark.usefixtures("marks", "unnamed")
@pytest.mark.parametrize("held", [b"", b"notes of mine", bytes(4096)])
@pytest.mark.parametrize("part", [None, FOREIGN])
def test_foreign_records_are_left_alone(tmp_path: Path, held: bytes, part: bytes | None) -> None:
    (tmp_path / RECORDS).write_bytes(held)
    if part is not None:
        (tmp_path / PART).write_bytes(part)
    fault = refused(tmp_path)
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert RECORDS in fault.detail
    before = fingerprint(tmp_path)
    assert "left alone" in discard(str(tmp_path), NAME)
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("held", [FOREIGN, b"short", DATA])
def test_a_foreign_part_file_with_the_attributes_of_ours_is_left_alone(tmp_path: Path, held: bytes) -> None:
    """As ``cp -a`` leaves it, of a part file of ours: the copy is the user's."""
    leave_part(tmp_path, DATA, [(0, 4)])
    ours = tmp_path / PART
    attributes = {name: os.getxattr(ours, name) for name in os.listxattr(ours)}
    assert attributes, "this file system keeps none"
    other = tmp_path / f"copy-{PART}"
    other.write_bytes(held)
    for name, value in attributes.items():
        os.setxattr(other, name, value)
    for name in (PART, RECORDS):
        (tmp_path / name).unlink()
    other.rename(ours)
    assert refused(tmp_path).kind is PartFileFaultKind.OTHER_JOB
    assert "left alone" in discard(str(tmp_path), NAME)
    assert ours.read_bytes() == held


@pytest.mark.usefixtures("marks")
@pytest.mark.parametrize("size", [len(DATA), -1])
def test_a_foreign_part_file_beside_records_of_ours_is_left_alone(tmp_path: Path, size: int) -> None:
    target = opened(tmp_path, size).part
    put(target, DATA, 0, 4)
    target.close()
    (tmp_path / PART).unlink()
    (tmp_path / PART).write_bytes(FOREIGN)
    assert refused(tmp_path, size).kind is PartFileFaultKind.OTHER_JOB
    before = fingerprint(tmp_path)
    assert "left alone" in discard(str(tmp_path), NAME)
    assert fingerprint(tmp_path) == before


def test_a_part_file_of_ours_copied_without_its_mark_is_known_by_its_bytes(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / PART).unlink()
    (tmp_path / PART).write_bytes(DATA[: 4 * CHUNK].ljust(len(DATA), b"\0"))
    run = opened(tmp_path, len(DATA))
    assert chunks(run.verified) == {0, 1, 2, 3}
    finish(run, DATA)


def test_a_copied_part_file_without_its_mark_is_discarded_by_its_bytes(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / PART).unlink()
    (tmp_path / PART).write_bytes(DATA)
    assert discard(str(tmp_path), NAME) == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("marks")
def test_ours_that_has_no_chunk_yet_goes_on_on_every_file_system(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [])
    finish(opened(tmp_path, len(DATA)), DATA)


@pytest.mark.usefixtures("marks", "unnamed")
def test_ours_is_resumed_on_every_file_system(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    run = opened(tmp_path, len(DATA), chunk=2 * CHUNK)
    assert chunks(run.verified) == {0, 1}
    finish(run, DATA, chunk=2 * CHUNK)
    assert os.listdir(tmp_path) == [NAME]
    opened(tmp_path, len(DATA)).part.close()
    assert os.listdir(tmp_path) == [NAME], "what was begun for nothing leaves nothing"


def test_ours_without_one_stored_chunk_is_resumed_without_marks_too(tmp_path: Path, marks: bool) -> None:
    opened(tmp_path, len(DATA)).part.abandon()
    assert sorted(os.listdir(tmp_path)) == [PART, RECORDS]
    finish(opened(tmp_path, len(DATA)), DATA)


def test_a_foreign_file_in_the_way_of_a_rewritten_journal_is_left_alone(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / REWRITTEN).write_bytes(b"mine")
    fault = refused(tmp_path, chunk=2 * CHUNK)
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert REWRITTEN in fault.detail
    assert chunks(opened(tmp_path, len(DATA)).verified) == {0, 1, 2, 3}, "it is not in the way of anything else"
    assert (tmp_path / REWRITTEN).read_bytes() == b"mine"


@pytest.mark.parametrize("act", [PartFile.close, PartFile.abandon])
def test_a_part_file_replaced_while_it_was_open_is_not_removed_with_ours(
    tmp_path: Path, act: Callable[[PartFile], None]
) -> None:
    target = opened(tmp_path, len(DATA)).part
    (tmp_path / PART).unlink()
    (tmp_path / PART).write_bytes(FOREIGN)
    act(target)
    assert (tmp_path / PART).read_bytes() == FOREIGN


def test_records_replaced_while_they_were_open_are_not_removed_with_ours(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, count(DATA))
    target.seal()
    (tmp_path / RECORDS).unlink()
    (tmp_path / RECORDS).write_bytes(b"mine")
    target.close()
    assert (tmp_path / RECORDS).read_bytes() == b"mine"


def test_a_file_put_in_the_place_of_the_part_file_never_gets_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, count(DATA))
    real = Folder.give_final_name

    def give_final_name(folder: Folder, part: str, wanted: str) -> str:
        """Between our check and our link."""
        (tmp_path / PART).rename(tmp_path / "elsewhere")
        (tmp_path / PART).write_bytes(FOREIGN)
        return real(folder, part, wanted)

    monkeypatch.setattr(Folder, "give_final_name", give_final_name)
    with pytest.raises(PartFileFault) as fault:
        target.seal()
    assert fault.value.kind is PartFileFaultKind.GONE
    target.abandon()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", PART, RECORDS]
    assert (tmp_path / PART).read_bytes() == FOREIGN


def test_a_file_put_in_the_place_of_the_part_file_is_not_lost_when_a_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_bytes(b"to be overwritten")
    target = PartFile.open(
        str(tmp_path), NAME, size_bytes=len(DATA), chunk_size=CHUNK, sync="none", existing="overwrite"
    ).part
    put(target, DATA, 0, count(DATA))
    real = Folder.replace

    def replace(folder: Folder, name: str, by: str) -> None:
        """Between our check and our rename."""
        monkeypatch.setattr(Folder, "replace", real)
        (tmp_path / PART).rename(tmp_path / "elsewhere")
        (tmp_path / PART).write_bytes(FOREIGN)
        real(folder, name, by)

    monkeypatch.setattr(Folder, "replace", replace)
    with pytest.raises(PartFileFault) as fault:
        target.seal()
    assert fault.value.kind is PartFileFaultKind.GONE
    target.abandon()
    assert (tmp_path / PART).read_bytes() == FOREIGN


def test_the_finished_file_bears_no_mark(tmp_path: Path) -> None:
    assert "user.shoal" not in os.listxattr(finish(opened(tmp_path, len(DATA)), DATA))


def test_an_opening_that_fails_late_leaves_no_descriptor_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / RECORDS).unlink()
    monkeypatch.setattr(os, "ftruncate", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PartFileFault, match="no space"):
        opened(tmp_path, len(DATA))
    assert os.listdir("/proc/self/fd") == before
