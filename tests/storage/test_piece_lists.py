"""Lists of piece digests of a daemon's jobs: kept while a job needs them, removed afterwards, bounded together."""

import os
from pathlib import Path

import pytest

from storage import piece_lists
from storage.piece_lists import drop_lists, drop_lists_of, keep_list, list_of_worker, lists_folder, sweep_lists


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return lists_folder(str(tmp_path))


def test_a_list_is_kept_while_it_is_used_or_fresh(folder: str) -> None:
    used, spare = keep_list(folder, b"1" * 32), keep_list(folder, b"2" * 32)
    stranger = Path(folder, "notes.txt")
    stranger.write_text("not ours")
    unused = sweep_lists(folder, {used})
    assert os.path.exists(spare), "its order may be on the way"
    fresh = keep_list(folder, b"3" * 32)
    assert sweep_lists(folder, {used}, unused) == {spare, fresh}
    assert os.path.exists(fresh)
    assert Path(used).read_bytes() == b"1" * 32
    assert not os.path.exists(spare)
    assert stranger.exists()


def test_lists_are_the_owners_alone(folder: str) -> None:
    path = keep_list(folder, b"x")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_lists_are_bounded_together(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_lists, "LISTS_BYTES_MAX", 100)
    keep_list(folder, b"1" * 60)
    with pytest.raises(OSError, match="have"):
        keep_list(folder, b"2" * 60)
    assert len(os.listdir(folder)) == 1


def test_a_folder_that_is_not_there_is_swept_too(folder: str) -> None:
    assert sweep_lists(folder, set()) == set()


def test_lists_of_a_process_that_died_go_and_those_of_others_stay(tmp_path: Path) -> None:
    paths = {name: list_of_worker(str(tmp_path), name) for name in ("fetch-1", "fetch-10", "store")}
    for path in paths.values():
        Path(path).write_bytes(b"x")
    drop_lists_of(str(tmp_path), "fetch-1")
    assert {name for name, path in paths.items() if os.path.exists(path)} == {"fetch-10", "store"}
    drop_lists([*paths.values()])
    assert not os.listdir(tmp_path), "one that is gone is no fault"
