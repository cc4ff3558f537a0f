"""Links to finished files: what strangers may see of a download folder."""

import os
from pathlib import Path

from actors.soulseek.finished_shares import add, remove_dead_links


def made(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode())
    return str(folder / name)


def test_a_finished_file_is_linked_once_into_a_private_folder(tmp_path: Path) -> None:
    back, path = tmp_path / "state" / "finished", made(tmp_path / "home", "a.flac")
    assert add(str(back), path)
    assert not add(str(back), path)
    assert (back / "a.flac").read_bytes() == b"a.flac"
    assert os.listdir(back) == ["a.flac"]
    assert back.stat().st_mode & 0o777 == 0o700


def test_another_file_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    back = tmp_path / "finished"
    for folder in ("one", "two"):
        assert add(str(back), made(tmp_path / folder, "a.flac"))
    assert sorted(os.listdir(back)) == ["a (1).flac", "a.flac"]


def test_a_link_whose_file_is_gone_is_removed_at_the_next_start(tmp_path: Path) -> None:
    back = tmp_path / "finished"
    for name in ("a.flac", "b.flac"):
        add(str(back), made(tmp_path / "home", name))
    (tmp_path / "home" / "a.flac").unlink()
    assert remove_dead_links(str(back))
    assert os.listdir(back) == ["b.flac"]
    (tmp_path / "home" / "b.flac").unlink()
    assert not remove_dead_links(str(back))
    assert not remove_dead_links(str(tmp_path / "never"))


def test_what_is_no_file_is_not_linked(tmp_path: Path) -> None:
    assert not add(str(tmp_path / "finished"), str(tmp_path / "gone"))
    assert not (tmp_path / "finished").exists()
