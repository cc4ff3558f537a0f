"""What a deleted download leaves in a folder goes, and nothing that is someone else's."""

import os
from pathlib import Path

from storage.part_file import discard
from tests.storage.parts import CHUNK, NAME, content, finish, leave_part, opened, put

DATA = content(5 * CHUNK + 5)


def test_part_file_and_records_go_and_all_else_stays(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 3)])
    (tmp_path / "file (1).bin.part").write_bytes(b"x")
    assert discard(str(tmp_path), NAME) == ""
    assert os.listdir(tmp_path) == ["file (1).bin.part"]
    assert discard(str(tmp_path), NAME) == "", "there is nothing left to do"


def test_the_finished_file_stays_whatever_is_left_beside_it(tmp_path: Path) -> None:
    path = finish(opened(tmp_path, len(DATA)), DATA)
    leave_part(tmp_path, content(len(DATA), seed=2), [(0, 1)])
    assert discard(str(tmp_path), NAME) == ""
    assert os.listdir(tmp_path) == [NAME]
    assert path.read_bytes() == DATA


def test_a_finished_file_that_still_has_its_old_name_loses_only_that(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 6)])
    os.link(tmp_path / f"{NAME}.part", tmp_path / NAME)
    assert discard(str(tmp_path), NAME) == ""
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == DATA


def test_a_part_file_without_our_records_is_someone_elses(tmp_path: Path) -> None:
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(b"from a browser")
    assert "left alone" in discard(str(tmp_path), NAME)
    (tmp_path / f"{NAME}.part.records").write_bytes(b"no records")
    assert "left alone" in discard(str(tmp_path), NAME)
    assert part.read_bytes() == b"from a browser"


def test_what_is_being_written_is_left_alone(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, 2)
    assert "another process" in discard(str(tmp_path), NAME)
    assert finish(run, DATA).read_bytes() == DATA


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert discard(str(tmp_path / "gone"), NAME) == ""
