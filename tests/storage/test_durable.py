"""The folder that a file gets for itself."""

import os
from pathlib import Path

import pytest

from storage.durable import make_folder
from storage.part_file import PartFile


@pytest.mark.parametrize("sync", ["full", "none"])
def test_the_last_folder_of_a_path_is_made_and_one_that_is_there_stays(tmp_path: Path, sync: str) -> None:
    make_folder(f"{tmp_path}/Album", sync)
    (tmp_path / "Album" / "1.flac").write_bytes(b"x")
    make_folder(f"{tmp_path}/Album/", sync)
    assert (tmp_path / "Album" / "1.flac").read_bytes() == b"x"


def test_nothing_is_made_where_a_disk_may_be_missing(tmp_path: Path) -> None:
    make_folder(f"{tmp_path}/mnt/music/Album", "full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sync", ["full", "none"])
def test_the_name_of_a_new_part_file_is_on_the_device_unless_no_syncs_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str
) -> None:
    synced, real = set[int](), os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        synced.add(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    part = PartFile.open(str(tmp_path), "file.bin", size_bytes=100, chunk_size=16, sync=sync).part
    part.abandon()  # waits for the sync under way, and asks for none itself
    assert (tmp_path.stat().st_ino in synced) == (sync == "full")
