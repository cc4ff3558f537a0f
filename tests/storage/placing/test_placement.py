"""Finished files get the place of the template, beside what is there, with their modes; crashes lose nothing."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from protocol.model.job_spec import TransferPolicy
from storage.placing.placement import ALREADY_THERE, Origin, PlacedFile, place

POLICY = TransferPolicy(output_template="{user}/{folder}/{name}{ext}", sync="none")
ANN = Origin(user="ann", path="music\\Tides\\ebb.flac")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "downloads").mkdir()
    return tmp_path


def sealed(box: Path, name: str = "ebb.bin", data: bytes = b"new") -> str:
    path = box / "downloads" / name
    path.write_bytes(data)
    return str(path)


def put(box: Path, policy: TransferPolicy = POLICY, name: str = "ebb.bin", origin: Origin = ANN) -> PlacedFile:
    return place(sealed(box, name), str(box / "downloads"), policy, origin)


def test_it_is_linked_first_and_its_first_name_goes_when_the_job_is_over(box: Path) -> None:
    found = put(box)
    wanted = box / "downloads" / "ann" / "Tides" / "ebb.bin"
    assert (found.path, found.note, found.top) == (str(wanted), "", str(box / "downloads"))
    assert found.before == str(box / "downloads" / "ebb.bin")
    assert wanted.samefile(found.before)
    found.settle()
    assert wanted.read_bytes() == b"new"
    assert not os.path.exists(found.before)


@pytest.mark.parametrize("kind", ["a file", "a link to it"])
def test_what_took_its_first_name_meanwhile_is_left_alone(box: Path, kind: str) -> None:
    found = put(box)
    first = Path(found.before)
    first.unlink()
    if kind == "a file":
        first.write_bytes(b"theirs")
    else:
        first.symlink_to(found.path)
    found.settle()
    assert os.path.lexists(first)
    assert Path(found.path).read_bytes() == b"new"


def test_after_a_crash_in_between_the_same_file_is_found_there_again(box: Path) -> None:
    first = put(box)
    again = place(first.before, str(box / "downloads"), POLICY, ANN)
    assert again == first


def test_the_same_file_is_not_put_there_a_second_time(box: Path) -> None:
    put(box).settle()
    again = put(box)
    assert (again.path, again.note) == (str(box / "downloads" / "ann" / "Tides" / "ebb.bin"), ALREADY_THERE)
    again.settle()
    assert os.listdir(box / "downloads" / "ann" / "Tides") == ["ebb.bin"]
    assert not os.path.exists(again.before)


def test_who_wants_both_gets_both(box: Path) -> None:
    put(box).settle()
    twice = place(sealed(box), str(box / "downloads"), POLICY, ANN, existing="rename")
    assert twice.path == str(box / "downloads" / "ann" / "Tides" / "ebb (1).bin")


def test_no_other_file_is_ever_replaced(box: Path) -> None:
    folder = box / "downloads" / "ann" / "Tides"
    folder.mkdir(parents=True)
    (folder / "ebb.bin").write_bytes(b"theirs")
    (folder / "ebb (1).bin").symlink_to("nowhere")
    assert put(box).path == str(folder / "ebb (2).bin")
    assert (folder / "ebb.bin").read_bytes() == b"theirs"


@pytest.mark.parametrize("existing", ["auto", "rename"])
@pytest.mark.parametrize("data", [b"new", b"old"])
def test_a_numbered_name_goes_only_where_the_ordered_one_has_the_same_content(
    box: Path, existing: str, data: bytes
) -> None:
    first = box / "downloads" / "ebb.bin"
    first.write_bytes(data)
    numbered = sealed(box, "ebb (1).bin")
    found = place(numbered, "", TransferPolicy(), ANN, existing=existing, wanted="ebb.bin")
    found.settle()
    if existing == "auto" and data == b"new":
        assert (found.path, found.note) == (str(first), ALREADY_THERE)
        assert os.listdir(box / "downloads") == ["ebb.bin"]
    else:
        assert (found.path, found.note) == (numbered, "")
        assert sorted(os.listdir(box / "downloads")) == ["ebb (1).bin", "ebb.bin"]
    assert first.read_bytes() == data


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_in_the_way_leads_nowhere_outside(box: Path, inside: bool) -> None:
    other = box / ("downloads/other" if inside else "outside")
    other.mkdir()
    (box / "downloads" / "ann").symlink_to(other)
    found = put(box)
    assert os.path.exists(found.path)
    assert bool(found.note) is not inside
    assert list((box / "outside").rglob("*") if not inside else []) == []


def test_kinds_have_roots_of_their_own_and_modes_are_those_configured(box: Path) -> None:
    (box / "music").mkdir()
    policy = POLICY.but(roots=(f"audio={box}/music",), file_mode="0640", folder_mode="0750")
    found = put(box, policy, "ebb.flac")
    assert found.path == f"{box}/music/ann/Tides/ebb.flac"
    assert stat.S_IMODE(os.stat(found.path).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(box / "music" / "ann").st_mode) == 0o750
    assert put(box, policy, "ebb.bin").path == f"{box}/downloads/ann/Tides/ebb.bin"


def test_without_a_template_only_the_mode_is_set(box: Path) -> None:
    found = put(box, TransferPolicy(file_mode="600"))
    assert found == PlacedFile(path=str(box / "downloads" / "ebb.bin"))
    assert stat.S_IMODE(os.stat(found.path).st_mode) == 0o600


def test_on_another_disk_it_is_copied(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link
    first = str(box / "downloads" / "ebb.bin")

    def linked(source: str, name: str, **where: Any) -> None:
        if source == first:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, name, **where)

    monkeypatch.setattr(os, "link", linked)
    found = put(box)
    assert Path(found.path).read_bytes() == b"new"
    assert not Path(found.path).samefile(first)
    assert [each.name for each in Path(found.path).parent.iterdir()] == ["ebb.bin"]
    found.settle()
    assert not os.path.exists(first)


def test_a_copy_that_fails_in_the_middle_leaves_nothing(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, first = os.link, str(box / "downloads" / "ebb.bin")

    def linked(source: str, name: str, **where: Any) -> None:
        if source == first:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, name, **where)

    def full(_fd: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "fchmod", full)
    found = put(box)
    assert (found.path, Path(first).read_bytes()) == (first, b"new")
    assert "No space left" in found.note
    assert [each.name for each in box.rglob("*") if each.is_file()] == ["ebb.bin"]


def test_what_cannot_be_placed_stays_and_is_said(box: Path) -> None:
    found = put(box, POLICY.but(roots=(f"other={box}/not/mounted",)))
    assert found.path == str(box / "downloads" / "ebb.bin")
    assert found.note.startswith("it stays where it is: ")
    (box / "downloads" / "ann").write_text("a file in the way")
    found = put(box)
    assert (os.path.exists(found.path), found.before) == (True, "")
    assert "ann" in found.note


def test_the_folder_of_an_order_goes_when_it_is_empty_and_only_then(box: Path) -> None:
    for other in (False, True):
        folder = box / "downloads" / "Tides"
        folder.mkdir(exist_ok=True)
        (folder / "x.bin").write_bytes(b"x")
        if other:
            (folder / "kept").write_bytes(b"y")
        place(str(folder / "x.bin"), str(box / "downloads"), POLICY, ANN).settle()
        assert folder.exists() is other
