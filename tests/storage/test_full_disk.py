"""A disk without room: said at once and in one place, what was stored stays, and the next run goes on."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.part_file import PartFile
from tests.storage.parts import NAME, chunks, content, finish, leave_part, opened, put

CHUNK = 64 << 10
DATA = content(8 * CHUNK)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file may grow beyond this: the kernel cuts the write at the limit, as a disk that fills up does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def put_until_refused(
    target: PartFile, data: bytes, chunk_numbers: range, chunk: int
) -> tuple[set[int], PartFileFault]:
    """What was stored before the disk said no, and what it said."""
    stored = set[int]()
    for number in chunk_numbers:
        try:
            put(target, data, number, number + 1, chunk=chunk)
        except PartFileFault as fault:
            return stored, fault
        stored.add(number)
    pytest.fail("the disk never filled up")


def test_a_disk_that_fills_up_is_named_and_what_was_stored_stays(small_disk: Path) -> None:
    target = opened(small_disk, len(DATA), chunk=CHUNK).part
    stored, fault = put_until_refused(target, DATA, range(8), CHUNK)
    assert fault.kind is PartFileFaultKind.NO_SPACE
    assert target.part_path in fault.detail
    assert len(stored) >= 2
    target.close()
    run = opened(small_disk, len(DATA), chunk=CHUNK)
    assert chunks(run.verified) == stored
    run.part.close()


def test_room_asked_for_and_not_there_is_said_at_the_start_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(PartFileFault) as refused:
        opened(small_disk, len(DATA), chunk=CHUNK, preallocate=True)
    assert refused.value.kind is PartFileFaultKind.NO_SPACE
    assert os.listdir(small_disk) == []


def test_a_write_cut_in_the_middle_is_not_on_record_and_can_be_done_again(tmp_path: Path) -> None:
    target = opened(tmp_path, -1, chunk=CHUNK).part
    put(target, DATA, 0, 2, chunk=CHUNK)
    with file_size_limit(3 * CHUNK + 5), pytest.raises(PartFileFault) as refused:
        put(target, DATA, 2, 5, chunk=CHUNK)
    assert refused.value.kind is PartFileFaultKind.NO_SPACE
    put(target, DATA, 2, 8, chunk=CHUNK)
    target.learn_size(len(DATA))
    assert Path(target.seal().path).read_bytes() == DATA
    target.close()


def test_a_record_cut_in_the_middle_is_overwritten_by_the_next(tmp_path: Path) -> None:
    tiny, chunk = content(16 * 40), 16  # so small that the records reach the limit first
    leave_part(tmp_path, tiny, [(0, 10)], chunk=chunk)
    records = tmp_path / f"{NAME}.part.records"
    run = opened(tmp_path, len(tiny), chunk=chunk)
    with file_size_limit(records.stat().st_size + 7 * 32 + 11):
        stored, _ = put_until_refused(run.part, tiny, range(10, 40), chunk)
    assert records.stat().st_size % 32 == 11
    assert stored == set(range(10, 17))
    assert chunks(run.part.missing()) == set(range(17, 40))
    put(run.part, tiny, 17, 20, chunk=chunk)
    run.part.close()
    run = opened(tmp_path, len(tiny), chunk=chunk)
    assert chunks(run.verified) == set(range(20))
    finish(run, tiny, chunk=chunk)
