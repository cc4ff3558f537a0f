"""A folder judged when it is opened: links put in its way after the order lead nowhere outside the configured ones."""

import os
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.durable import Folder, make_folder
from storage.part_file import PartFile, discard
from tests.storage.parts import CHUNK, NAME, content, leave_part

DATA = content(4 * CHUNK)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "music" / "Album").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    return tmp_path / "music"


def refused(folder: Path, *roots: Path) -> PartFileFault:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PartFileFault) as fault:
        PartFile.open(str(folder), NAME, size_bytes=100, chunk_size=16, roots=tuple(map(str, roots)))
    assert len(os.listdir("/proc/self/fd")) == before
    return fault.value


@pytest.mark.parametrize("swapped", ["Album", "."])
def test_a_folder_swapped_for_a_link_after_the_order_is_refused(root: Path, swapped: str) -> None:
    outside = root.parent / "etc"
    folder = root / "Album"
    folder.rmdir()
    if swapped == "Album":
        folder.symlink_to(outside)
    else:
        (outside / "Album").mkdir()
        (root / "deep").symlink_to(outside)
        folder = root / "deep" / "Album"
    fault = refused(folder, root)
    assert fault.kind is PartFileFaultKind.OUTSIDE
    assert str(outside) in fault.detail
    assert [path for path in outside.rglob("*") if path.is_file()] == []


def test_a_name_that_begins_like_the_root_s_is_outside(root: Path) -> None:
    (root.parent / "music2").mkdir()
    assert refused(root.parent / "music2", root).kind is PartFileFaultKind.OUTSIDE


def test_links_that_stay_inside_and_a_root_that_is_a_link_are_fine(root: Path) -> None:
    (root / "link").symlink_to(root / "Album")
    (root.parent / "disk").symlink_to(root)
    for folder, roots in ((root / "link", [root]), (root / "Album", [root.parent / "gone", root.parent / "disk"])):
        run = PartFile.open(str(folder), NAME, size_bytes=100, chunk_size=16, roots=tuple(map(str, roots)))
        run.part.close()
    Folder(str(root), "none", (str(root),)).close()


def test_what_is_opened_stays_where_it_was_opened(root: Path) -> None:
    folder, outside = root / "Album", root.parent / "etc"
    run = PartFile.open(str(folder), NAME, size_bytes=0, chunk_size=16, roots=(str(root),))
    folder.rename(root / "Renamed")
    folder.symlink_to(outside)
    run.part.seal()
    run.part.close()
    assert os.listdir(outside) == []
    assert os.listdir(root / "Renamed") == [NAME]


def test_no_folder_is_made_outside(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "etc")
    make_folder(f"{root}/link/Album", "full", (str(root),))
    assert os.listdir(root.parent / "etc") == []
    make_folder(f"{root}/New", "full", (str(root),))
    assert (root / "New").is_dir()


def test_nothing_is_discarded_outside(root: Path) -> None:
    outside = root.parent / "etc"
    leave_part(outside, DATA, [(0, 2)])
    (root / "link").symlink_to(outside)
    assert "outside the configured folders" in discard(str(root / "link"), NAME, (str(root),))
    assert len(os.listdir(outside)) == 2


def test_folders_below_a_root_are_made_as_deep_as_ordered_but_never_the_root(root: Path) -> None:
    make_folder(f"{root}/Box/CD 1/", "full", (str(root), str(root.parent / "gone")))
    assert (root / "Box" / "CD 1").is_dir()
    make_folder(f"{root.parent}/gone/Box/CD 1", "full", (str(root.parent / "gone"),))
    assert not (root.parent / "gone").exists()
    (root / "out").symlink_to(root.parent / "etc")
    make_folder(f"{root}/out/Box/CD 1", "full", (str(root),))
    assert list((root.parent / "etc").iterdir()) == []
