"""The folder that a file gets for itself."""

from pathlib import Path

import pytest

from storage.durable import make_folder


@pytest.mark.parametrize("sync", ["full", "none"])
def test_the_last_folder_of_a_path_is_made_and_one_that_is_there_stays(tmp_path: Path, sync: str) -> None:
    make_folder(f"{tmp_path}/Album", sync)
    (tmp_path / "Album" / "1.flac").write_bytes(b"x")
    make_folder(f"{tmp_path}/Album/", sync)
    assert (tmp_path / "Album" / "1.flac").read_bytes() == b"x"


def test_nothing_is_made_where_a_disk_may_be_missing(tmp_path: Path) -> None:
    make_folder(f"{tmp_path}/mnt/music/Album", "full")
    assert list(tmp_path.iterdir()) == []
