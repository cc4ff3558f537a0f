"""`verify` says what holds and never touches anything."""

import os
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.verify import verify
from tests.storage.parts import CHUNK, NAME, chunks, content, count, leave_part, opened, put
from tests.storage.test_part_file_open import snapshot

DATA = content(9 * CHUNK + 5)


@pytest.mark.parametrize("suffix", ["", ".part", ".part.records"])
def test_it_tells_what_holds_what_does_not_and_what_is_missing(tmp_path: Path, suffix: str) -> None:
    leave_part(tmp_path, DATA, [(0, 4), (6, 10)])
    part = tmp_path / f"{NAME}.part"
    damaged = bytearray(part.read_bytes())
    damaged[2 * CHUNK] ^= 1
    part.write_bytes(damaged)
    before = snapshot(tmp_path)
    report = verify(str(tmp_path / NAME) + suffix)
    assert chunks(report.matching) == {0, 1, 3, 6, 7, 8, 9}
    assert chunks(report.damaged) == {2}
    assert chunks(report.missing) == {4, 5}
    assert (report.size_bytes, report.chunk_size) == (len(DATA), CHUNK)
    assert not report.being_written
    assert report.damaged
    text = "\n".join(report.lines())
    assert "hold: 7 of 10 chunks" in text
    assert "do not match their records: 1 chunks: 2" in text
    assert "missing: 2 chunks: 4-5" in text
    assert snapshot(tmp_path) == before


def test_a_whole_part_file_is_complete(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    report = verify(str(tmp_path / NAME))
    assert report.complete
    assert not report.damaged


def test_it_looks_beside_a_run_that_writes_and_says_so(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, 3)
    report = verify(str(tmp_path / NAME))
    assert report.being_written
    assert chunks(report.matching) == {0, 1, 2}
    put(target, DATA, 3, 4)
    target.close()


def test_a_file_of_unknown_size_ends_where_its_records_do(tmp_path: Path) -> None:
    target = opened(tmp_path, -1).part
    put(target, DATA, 0, count(DATA))
    target.close()
    report = verify(str(tmp_path / NAME))
    assert report.size_bytes == -1
    assert report.matching.count == count(DATA)
    assert not report.damaged
    assert not report.complete


def test_records_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    records = tmp_path / f"{NAME}.part.records"
    records.write_bytes(records.read_bytes()[:-40] + bytes(40))
    report = verify(str(records))
    assert report.damaged_records == 2
    assert chunks(report.missing) == set(range(2, 10))


def test_records_without_a_part_file_do_not_hold(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / f"{NAME}.part").unlink()
    assert chunks(verify(str(tmp_path / NAME)).damaged) == {0, 1, 2, 3}


@pytest.mark.parametrize("suffix", ["", ".part", ".part.records"])
def test_nothing_to_verify_is_said_in_one_line(tmp_path: Path, suffix: str) -> None:
    (tmp_path / NAME).write_bytes(b"sealed long ago")
    with pytest.raises(PartFileFault, match="does not exist") as refused:
        verify(str(tmp_path / NAME) + suffix)
    assert refused.value.kind is PartFileFaultKind.OTHER_JOB
    with pytest.raises(PartFileFault):
        verify(str(tmp_path / "nowhere" / NAME))


def test_a_part_file_named_like_part_is_found_by_its_full_name(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA), name="x.part").part
    put(target, DATA, 0, 1)
    target.close()
    assert chunks(verify(str(tmp_path / "x.part")).matching) == {0}
    assert chunks(verify(str(tmp_path / "x.part.part")).matching) == {0}


def test_a_pipe_in_the_place_of_a_part_file_does_not_hang_it(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / f"{NAME}.part").unlink()
    os.mkfifo(tmp_path / f"{NAME}.part")
    with pytest.raises(PartFileFault, match="not a plain file"):
        verify(str(tmp_path / NAME))


def test_many_ranges_are_shortened_and_one_chunk_is_one_number(tmp_path: Path) -> None:
    data = content(60 * CHUNK)
    leave_part(tmp_path, data, [(0, 3), *((at, at + 1) for at in range(4, 48, 2))])
    lines = verify(str(tmp_path / NAME)).lines()
    gaps = ", ".join(str(at) for at in range(3, 43, 2))
    assert lines[-1] == f"missing: 35 chunks: {gaps} and 3 more ranges"
    report = verify(str(tmp_path / NAME))
    assert not report.damaged
    assert not report.complete
    assert lines[1] == "hold: 25 of 60 chunks"


def test_what_could_not_be_read_and_what_is_written_right_now_is_said(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, 3)
    records = tmp_path / f"{NAME}.part.records"
    held = records.read_bytes()
    records.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    report = verify(str(tmp_path / NAME))
    assert report.being_written
    assert report.lines()[-2:] == [
        "damaged records: 1 (their chunks count as missing)",
        "another process is writing it right now",
    ]
    run.part.abandon()
    assert not verify(str(tmp_path / NAME)).being_written
