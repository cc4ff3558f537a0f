"""The edge to the operating system: odd file systems, short writes, taken names, and the words for each fault."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import storage.durable
from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.durable import (
    WRITE_BYTES,
    Committer,
    Folder,
    disk_faults,
    make_folder_private,
    make_private,
    part_file_fault,
    write_all,
)
from storage.part_file import PartFile
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, leave_part, opened, put

DATA = content(9 * CHUNK + 5)
KINDS = PartFileFaultKind


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, KINDS.NO_SPACE, "no space"),
        (errno.EDQUOT, KINDS.NO_SPACE, "no space"),
        (errno.EFBIG, KINDS.NO_SPACE, "no space"),
        (errno.EROFS, KINDS.READ_ONLY, "may not be written"),
        (errno.EACCES, KINDS.READ_ONLY, "may not be written"),
        (errno.EPERM, KINDS.READ_ONLY, "may not be written"),
        (errno.ENOENT, KINDS.NO_FOLDER, "does not exist"),
        (errno.ENOTDIR, KINDS.NO_FOLDER, "does not exist"),
        (errno.ENAMETOOLONG, KINDS.BAD_NAME, "cannot be a file name here"),
        (errno.EIO, KINDS.IO_ERROR, "failed"),
    ],
)
def test_each_error_of_the_system_is_a_kind_of_fault_in_words(number: int, kind: KINDS, words: str) -> None:
    fault = part_file_fault(OSError(number, os.strerror(number)), "/box/f")
    assert fault.kind is kind
    assert fault.detail == f"/box/f: {words} ({os.strerror(number)})"


def test_an_error_without_a_number_is_a_fault_with_its_own_words() -> None:
    with pytest.raises(PartFileFault, match=r"^/box/f: failed \(odd\)$") as fault, disk_faults("/box/f"):
        raise OSError("odd")
    assert fault.value.kind is KINDS.IO_ERROR


def test_short_writes_go_on_where_they_ended_and_none_is_longer_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = os.pwrite, list[int]()

    def pwrite(fd: int, data: Any, offset: int) -> int:
        sizes.append(len(data))
        return real(fd, data[:1000], offset)

    data = content(WRITE_BYTES + 5000)
    with (tmp_path / "f").open("w+b") as file, monkeypatch.context() as edge:
        edge.setattr(os, "pwrite", pwrite)
        write_all(file.fileno(), data, 7, "f")
    assert (tmp_path / "f").read_bytes() == bytes(7) + data
    assert max(sizes) == WRITE_BYTES


def test_an_unknown_way_to_sync_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sync='some'"):
        Folder(str(tmp_path), "some")


def test_without_hard_links_the_file_still_gets_its_name_and_never_another_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    (tmp_path / NAME).write_bytes(b"older")
    monkeypatch.setattr(os, "link", link)
    assert finish(opened(tmp_path, len(DATA)), DATA) == tmp_path / "file (1).bin"
    assert sorted(os.listdir(tmp_path)) == ["file (1).bin", NAME]


def test_when_every_name_is_taken_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.durable, "numbered", lambda name: iter([name]))
    (tmp_path / NAME).write_bytes(b"older")
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, count(DATA))
    with pytest.raises(PartFileFault, match="is taken") as fault:
        run.part.seal()
    assert fault.value.kind is KINDS.BAD_NAME
    folder = Folder(str(tmp_path), "none")
    with pytest.raises(PartFileFault, match="is taken"):
        folder.claim_final_name(f"{NAME}.part", NAME)
    folder.close()
    run.part.close()
    assert (tmp_path / NAME).read_bytes() == b"older"


def test_a_file_system_without_locks_is_used_and_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    leave_part(tmp_path, DATA, [(0, 4)])
    run = opened(tmp_path, len(DATA))
    assert chunks(run.verified) == {0, 1, 2, 3}
    assert run.message.endswith("; this file system knows no locks")
    finish(run, DATA)
    assert opened(tmp_path, len(DATA)).message == "this file system knows no locks"


def test_a_lock_that_fails_for_another_reason_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_fd: int, _how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(PartFileFault) as fault:
        opened(tmp_path, len(DATA))
    assert fault.value.kind is KINDS.IO_ERROR
    assert os.listdir(tmp_path) == []


def test_too_little_space_is_a_note_with_the_right_amounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Folder, "free_bytes", lambda _folder: 3 << 10)
    run = opened(tmp_path, 8 << 10, chunk=1 << 10)
    assert run.message == "only 3 of the 8 KiB still needed are free: it pauses when the disk is full"
    put(run.part, content(8 << 10), 0, 8, chunk=1 << 10)
    run.part.close()
    assert opened(tmp_path, 8 << 10, chunk=1 << 10).message == f"resumed {8 << 10} of {8 << 10} bytes"


def test_without_syncs_nothing_is_synced_also_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(_fd: int) -> None:
        raise AssertionError("nothing was to be synced")

    for call in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, call, sync)
    leave_part(tmp_path, DATA, [(0, 4)])
    target = PartFile.open(str(tmp_path), NAME, size_bytes=len(DATA), chunk_size=CHUNK, sync="none", again=True)
    target.part.commit()
    finish(target, DATA)


def test_only_one_round_of_syncs_is_under_way_and_its_error_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    folder = Folder(str(tmp_path), "full")
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    committer = Committer(((fd, "f"),), folder)
    committer.check()
    assert committer.start()
    committer.wait()
    assert committer.start(names=True)
    committer.wait()
    with monkeypatch.context() as edge:
        edge.setattr(os, "fdatasync", fail)
        assert committer.start()
        with pytest.raises(PartFileFault):
            committer.wait()
    committer.wait()
    committer.check()
    committer.finish()
    os.close(fd)
    folder.close()


def test_a_file_system_that_cannot_sync_a_folder_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter((errno.EINVAL, errno.ENOTSUP, errno.EIO))

    def fsync(_fd: int) -> None:
        raise OSError(number := next(numbers), os.strerror(number))

    folder = Folder(str(tmp_path), "full")
    monkeypatch.setattr(os, "fsync", fsync)
    folder.sync()
    folder.sync()
    with pytest.raises(PartFileFault):
        folder.sync()
    folder.close()


def test_a_private_file_and_its_folder_lose_the_rights_of_others_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    make_private(str(state / "f"))
    assert (stat.S_IMODE(state.stat().st_mode), stat.S_IMODE((state / "f").stat().st_mode)) == (0o700, 0o600)
    (state / "f").write_bytes(b"kept")
    (state / "f").chmod(0o644)
    state.chmod(0o755)
    make_private(str(state / "f"))
    assert (stat.S_IMODE(state.stat().st_mode), stat.S_IMODE((state / "f").stat().st_mode)) == (0o700, 0o600)
    assert (state / "f").read_bytes() == b"kept"
    state.chmod(0o500)
    make_folder_private(str(state))
    assert stat.S_IMODE(state.stat().st_mode) == 0o500
    state.chmod(0o700)


def test_the_folder_of_another_user_stays_as_it_is(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    tmp_path.chmod(0o755)
    os.chown(tmp_path, 65534, -1)
    make_folder_private(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    os.chown(tmp_path, 0, -1)


@pytest.mark.parametrize(("free", "opens"), [((16 << 20) - 1, False), (16 << 20, True)])
def test_after_a_fault_there_must_be_room_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, opens: bool
) -> None:
    chunk, size = 1 << 20, 32 << 20
    opened(tmp_path, size, chunk=chunk).part.abandon()
    monkeypatch.setattr(Folder, "free_bytes", lambda _folder: free)
    if opens:
        PartFile.open(str(tmp_path), NAME, size_bytes=size, chunk_size=chunk, sync="none", again=True).part.close()
        return
    with pytest.raises(PartFileFault, match="16384 KiB are needed") as fault:
        PartFile.open(str(tmp_path), NAME, size_bytes=size, chunk_size=chunk, sync="none", again=True)
    assert fault.value.kind is KINDS.NO_SPACE


def test_after_a_fault_less_room_will_do_when_less_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    monkeypatch.setattr(Folder, "free_bytes", lambda _folder: len(DATA))
    run = PartFile.open(str(tmp_path), NAME, size_bytes=len(DATA), chunk_size=CHUNK, sync="none", again=True)
    finish(run, DATA)
