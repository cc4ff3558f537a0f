"""A target whose disk failed is let go of and opened again: only what the disk holds counts, nothing is made again."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN
from storage.part_file import Opened, PartFile
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, opened, put

DATA = content(9 * CHUNK + 5)
PART = f"{NAME}.part"
RECORDS = f"{NAME}.part.records"


def again(folder: Path) -> Opened:
    return PartFile.open(str(folder), NAME, size_bytes=len(DATA), chunk_size=CHUNK, sync="full", again=True)


def refusal(folder: Path) -> PartFileFault:
    with pytest.raises(PartFileFault) as refused:
        again(folder)
    return refused.value


def half(folder: Path) -> PartFile:
    target = opened(folder, len(DATA), sync="full").part
    put(target, DATA, 0, 5)
    return target


def commit_for_ever(target: PartFile) -> None:
    while True:
        target.commit()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> Iterator[None]:
    """The edge to the disk: this system call fails with this error."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as edge:
        edge.setattr(os, call, fail)
        yield


def test_what_was_stored_before_the_fault_is_found_again(tmp_path: Path) -> None:
    half(tmp_path).abandon()
    run = again(tmp_path)
    assert chunks(run.verified) == {0, 1, 2, 3, 4}
    finish(run, DATA)


def test_a_target_that_is_let_go_of_keeps_its_files_though_nothing_was_stored(tmp_path: Path) -> None:
    opened(tmp_path, len(DATA)).part.abandon()
    assert sorted(os.listdir(tmp_path)) == [PART, RECORDS]
    finish(again(tmp_path), DATA)


def test_letting_go_gives_every_descriptor_and_the_lock_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    target = half(tmp_path)
    target.abandon()
    target.abandon()
    assert len(os.listdir("/proc/self/fd")) == before
    again(tmp_path).part.close()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, PartFileFaultKind.NO_SPACE),
        (errno.EDQUOT, PartFileFaultKind.NO_SPACE),
        (errno.EIO, PartFileFaultKind.IO_ERROR),
        (errno.EROFS, PartFileFaultKind.READ_ONLY),
    ],
)
@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_while_the_disk_fails_it_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: PartFileFaultKind
) -> None:
    half(tmp_path).abandon()
    with failing(monkeypatch, call, number):
        fault = refusal(tmp_path)
    assert fault.kind is kind
    assert str(tmp_path) in fault.detail
    run = again(tmp_path)
    assert chunks(run.verified) == {0, 1, 2, 3, 4}
    finish(run, DATA)


def test_a_failed_sync_in_the_background_is_heard_and_letting_go_raises_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = half(tmp_path)
    with failing(monkeypatch, "fdatasync", errno.EIO):
        with pytest.raises(PartFileFault) as fault:
            commit_for_ever(target)
        target.abandon()
    assert fault.value.kind is PartFileFaultKind.IO_ERROR


@pytest.mark.parametrize(("lost", "said"), [([2], "1 damaged chunk"), ([1, 2], "2 damaged chunks")])
def test_chunks_that_the_disk_lost_are_missing_again(tmp_path: Path, lost: list[int], said: str) -> None:
    half(tmp_path).abandon()
    with (tmp_path / PART).open("r+b") as file:
        file.seek(lost[0] * CHUNK)
        file.write(bytes(len(lost) * CHUNK))
    run = again(tmp_path)
    assert chunks(run.verified) == {0, 1, 2, 3, 4} - set(lost)
    assert f"{said} will be fetched again" in run.message
    finish(run, DATA)


def test_a_part_file_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    half(tmp_path).abandon()
    (tmp_path / PART).rename(tmp_path / "elsewhere")
    assert refusal(tmp_path).kind is PartFileFaultKind.GONE
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", RECORDS]
    (tmp_path / "elsewhere").rename(tmp_path / PART)
    finish(again(tmp_path), DATA)


def test_an_empty_folder_in_the_place_of_the_disk_is_left_empty(tmp_path: Path) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    half(disk).abandon()
    disk.rename(elsewhere)
    assert refusal(disk).kind is PartFileFaultKind.NO_FOLDER
    disk.mkdir()
    assert refusal(disk).kind is PartFileFaultKind.GONE
    assert os.listdir(disk) == []
    disk.rmdir()
    elsewhere.rename(disk)
    finish(again(disk), DATA)


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced", "cut", "grown"])
def test_a_part_file_taken_from_under_the_writer_is_noticed_and_never_sealed(tmp_path: Path, how: str) -> None:
    target = opened(tmp_path, len(DATA), sync="full").part
    put(target, DATA, 0, count(DATA))
    part = tmp_path / PART
    match how:
        case "moved":
            part.rename(tmp_path / "elsewhere")
        case "deleted":
            part.unlink()
        case "replaced":
            part.rename(tmp_path / "elsewhere")
            part.write_bytes(bytes(len(DATA)))
        case "cut":
            os.truncate(part, 3 * CHUNK)
        case _:
            os.truncate(part, len(DATA) + 1)
    for act in (target.commit, target.seal):
        with pytest.raises(PartFileFault) as fault:
            act()
        assert fault.value.kind in (PartFileFaultKind.GONE, PartFileFaultKind.IO_ERROR)
        assert str(part) in fault.value.detail
    target.abandon()
    assert not (tmp_path / NAME).exists()


def test_a_cut_is_noticed_before_the_last_chunk_gives_the_file_its_size_back(tmp_path: Path) -> None:
    """Or the file would be sealed with a hole where chunks of it had been."""
    target = half(tmp_path)
    os.truncate(tmp_path / PART, 3 * CHUNK)
    with pytest.raises(PartFileFault) as fault:
        put(target, DATA, 5, count(DATA))
    assert fault.value.kind is PartFileFaultKind.IO_ERROR
    assert "another program changed it" in fault.value.detail
    target.abandon()


def test_records_deleted_under_the_writer_are_written_again_and_a_crash_costs_nothing(tmp_path: Path) -> None:
    target = half(tmp_path)
    target.note("http://a/", "etag")
    (tmp_path / RECORDS).unlink()
    target.commit()
    put(target, DATA, 5, 7)
    target.commit()
    target.abandon()
    run = again(tmp_path)
    assert chunks(run.verified) == {0, 1, 2, 3, 4, 5, 6}
    assert len(run.notes) == 1
    finish(run, DATA)


def test_records_replaced_by_another_run_s_stop_this_one(tmp_path: Path) -> None:
    target = half(tmp_path)
    (tmp_path / RECORDS).unlink()
    (tmp_path / RECORDS).write_bytes(b"another's")
    with pytest.raises(PartFileFault) as fault:
        target.commit()
    assert fault.value.kind is PartFileFaultKind.BUSY
    target.abandon()
    assert (tmp_path / RECORDS).read_bytes() == b"another's"


def test_the_lock_of_records_written_again_holds(tmp_path: Path) -> None:
    target = half(tmp_path)
    (tmp_path / RECORDS).unlink()
    target.commit()
    with pytest.raises(PartFileFault) as fault:
        opened(tmp_path, len(DATA))
    assert fault.value.kind is PartFileFaultKind.BUSY
    target.close()


def test_a_last_sync_that_fails_does_not_take_back_what_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = opened(tmp_path, len(DATA), sync="full").part
    put(target, DATA, 0, count(DATA))
    assert target.seal().path == str(tmp_path / NAME)
    with failing(monkeypatch, "fsync", errno.EIO):
        target.close()
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == DATA


def test_a_seal_that_failed_half_way_is_finished_after_opening_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for halted in ("linked", "part unlinked"):
        target = opened(tmp_path, len(DATA), sync="full").part
        put(target, DATA, 0, count(DATA))
        steps = target.sealing()
        while next(steps) != halted:
            pass
        target.abandon()
        run = again(tmp_path)
        assert run.verified.count == count(DATA)
        assert finish(run, DATA) == tmp_path / NAME
        assert os.listdir(tmp_path) == [NAME]
        (tmp_path / NAME).unlink()


@pytest.mark.parametrize(("any_size", "expected"), [(True, CHUNK_SIZE_MIN), (False, 2 * CHUNK_SIZE_MIN)])
def test_a_part_file_that_goes_on_keeps_its_chunk_size_unless_another_was_ordered(
    tmp_path: Path, any_size: bool, expected: int
) -> None:
    chunk, data = CHUNK_SIZE_MIN, content(8 * CHUNK_SIZE_MIN)
    target = opened(tmp_path, len(data), chunk=chunk).part
    put(target, data, 0, 3, chunk=chunk)
    target.close()
    run = PartFile.open(str(tmp_path), NAME, size_bytes=len(data), chunk_size=2 * chunk, any_chunk_size=any_size)
    assert run.part.chunk_size == expected
    assert run.verified.count == 3 * chunk // expected
    assert ("chunk size changed" in run.message) is not any_size
    run.part.close()


def test_a_part_file_of_chunks_too_large_to_receive_gets_others(tmp_path: Path) -> None:
    huge = 2 * CHUNK_SIZE_MAX
    data = content(huge + 5)
    target = opened(tmp_path, len(data), chunk=huge).part
    put(target, data, 0, 1, chunk=huge)
    target.close()
    run = PartFile.open(str(tmp_path), NAME, size_bytes=len(data), chunk_size=CHUNK_SIZE_MAX, any_chunk_size=True)
    assert (run.part.chunk_size, run.verified.count) == (CHUNK_SIZE_MAX, 2)
    run.part.close()


def test_a_caller_that_opens_gets_how_far_the_look_at_the_part_file_is(tmp_path: Path) -> None:
    chunk, data = 64 << 10, content(1 << 20) * 40
    target = opened(tmp_path, len(data), chunk=chunk).part
    put(target, data, 0, count(data, chunk) - 3, chunk=chunk)
    target.close()
    progress: list[int] = []
    run = PartFile.open(str(tmp_path), NAME, size_bytes=len(data), chunk_size=chunk, progress=progress.append)
    run.part.close()
    assert progress == sorted(progress)
    assert len(progress) >= 4
    assert progress[-1] == len(data) - 3 * chunk
