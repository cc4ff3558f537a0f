"""What is found in the folder: ours and resumed, ours and not to be believed, or not ours and left alone."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.layout import CHUNKS_MAX
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, leave_part, opened, put

ROOT = Path(__file__).parents[2]
DATA = content(9 * CHUNK + 5)
PART = f"{NAME}.part"
RECORDS = f"{NAME}.part.records"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refusal(folder: Path | str, size: int, *, name: str = NAME, chunk: int = CHUNK) -> PartFileFault:
    """The fault of an open that must not succeed nor leave a descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PartFileFault) as refused:
        opened(folder, size, name=name, chunk=chunk)
    assert len(os.listdir("/proc/self/fd")) == before
    assert "\n" not in refused.value.detail
    return refused.value


def test_a_second_run_on_the_same_target_is_reported_and_leaves(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, 2)
    fault = refusal(tmp_path, len(DATA))
    assert fault.kind is PartFileFaultKind.BUSY
    assert str(tmp_path / NAME) in fault.detail
    put(target, DATA, 2, 4)
    target.close()
    run = opened(tmp_path, len(DATA))
    assert chunks(run.verified) == {0, 1, 2, 3}
    run.part.close()


def test_a_lock_on_records_that_were_sealed_away_meanwhile_is_worth_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    real, calls = fcntl.flock, list[int]()

    def flock(fd: int, how: int) -> None:
        """Another run seals the file between our open and our lock."""
        calls.append(fd)
        if len(calls) == 1:
            (tmp_path / PART).rename(tmp_path / NAME)
            (tmp_path / RECORDS).unlink()
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    run = opened(tmp_path, len(DATA))
    assert len(calls) == 2
    assert not run.verified
    assert refusal(tmp_path, len(DATA)).kind is PartFileFaultKind.BUSY
    run.part.close()
    assert os.listdir(tmp_path) == [NAME]


def test_the_lock_survives_new_records_for_another_chunk_size(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    target = opened(tmp_path, len(DATA), chunk=2 * CHUNK).part
    assert refusal(tmp_path, len(DATA)).kind is PartFileFaultKind.BUSY
    target.close()


def test_records_of_another_size_are_left_alone(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    before = snapshot(tmp_path)
    fault = refusal(tmp_path, len(DATA) + 1)
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert str(len(DATA)) in fault.detail
    assert str(len(DATA) + 1) in fault.detail
    assert snapshot(tmp_path) == before


def test_a_download_of_known_size_is_not_thrown_away_for_one_of_unknown_size(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    before = snapshot(tmp_path)
    assert refusal(tmp_path, -1).kind is PartFileFaultKind.OTHER_JOB
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("size", [len(DATA), -1])
def test_a_part_file_of_another_size_without_records_is_left_alone(tmp_path: Path, size: int) -> None:
    (tmp_path / PART).write_bytes(b"someone else's")
    assert refusal(tmp_path, size).kind is PartFileFaultKind.OTHER_JOB
    assert snapshot(tmp_path) == {PART: b"someone else's"}


def test_a_part_file_of_ours_whose_records_are_gone_is_started_over(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / RECORDS).unlink()
    run = opened(tmp_path, len(DATA))
    assert not run.verified
    assert "starting over" in run.message
    finish(run, DATA)


def test_starting_over_spares_what_has_another_name(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    os.link(tmp_path / PART, tmp_path / "precious")
    (tmp_path / RECORDS).unlink()
    run = opened(tmp_path, len(DATA))
    put(run.part, bytes(len(DATA)), 0, 1)
    run.part.close()
    assert (tmp_path / "precious").read_bytes() == DATA


@pytest.mark.parametrize("again", [-1, len(DATA)])
def test_what_was_begun_without_a_size_starts_over(tmp_path: Path, again: int) -> None:
    target = opened(tmp_path, -1).part
    put(target, DATA, 0, 4)
    target.close()
    run = opened(tmp_path, again)
    assert not run.verified
    assert "starting over" in run.message
    for first, stop in [(0, count(DATA))]:
        put(run.part, DATA, first, stop)
    run.part.learn_size(len(DATA))
    finish(run, DATA)


def test_a_size_learned_before_a_crash_lets_a_known_size_resume(tmp_path: Path) -> None:
    target = opened(tmp_path, -1).part
    put(target, DATA, 0, count(DATA))
    target.learn_size(len(DATA))
    target.close()
    run = opened(tmp_path, len(DATA))
    assert run.verified.count == count(DATA)
    finish(run, DATA)


def test_records_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    import struct

    import xxhash

    leave_part(tmp_path, DATA, [(0, 4)])
    records = tmp_path / RECORDS
    head = bytearray(records.read_bytes()[:40])
    struct.pack_into("<H", head, 8, 2)
    copy = (bytes(head) + xxhash.xxh3_128_digest(bytes(head))).ljust(64, b"\0")
    records.write_bytes(copy * 2 + b"what only it can read")
    before = snapshot(tmp_path)
    fault = refusal(tmp_path, len(DATA))
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert "newer version" in fault.detail
    assert snapshot(tmp_path) == before


sizes = st.sampled_from([1, 7, 16, 32, 48, 64, 100, 128, 640, 5000])


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=4), st.data())
def test_another_chunk_size_keeps_every_whole_new_chunk(
    tmp_path_factory: pytest.TempPathFactory, old: int, new: int, runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("rechunk")
    n = count(DATA, old)
    stored = [(first % n, min(n, first % n + length)) for first, length in runs]
    leave_part(folder, DATA, [(0, 1), *stored], chunk=old)
    held = {0, *(chunk for first, stop in stored for chunk in range(first, stop))}
    damaged = data.draw(st.integers(0, len(DATA) - 1))
    part = bytearray((folder / PART).read_bytes())
    part[damaged] ^= 1
    (folder / PART).write_bytes(part)
    good = [byte // old in held and byte // old != damaged // old for byte in range(len(DATA))]
    expected = {c for c in range(count(DATA, new)) if all(good[c * new : (c + 1) * new])}
    run = opened(folder, len(DATA), chunk=new)
    assert chunks(run.verified) == expected
    run.part.close()
    run = opened(folder, len(DATA), chunk=new)
    assert chunks(run.verified) == expected, "the new records say the same"
    finish(run, DATA, chunk=new)


def test_a_changed_chunk_size_keeps_notes_and_senders(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    target.note("http://a/", "etag")
    put(target, DATA, 0, 2, source=7)
    put(target, DATA, 2, 3, source=7)
    put(target, DATA, 3, 4, source=8)
    target.close()
    run = opened(tmp_path, len(DATA), chunk=2 * CHUNK)
    assert "chunk size changed from 16 to 32" in run.message
    assert len(run.notes) == 1
    other = bytes(len(DATA))
    disputed = put(run.part, other, 0, 2, chunk=2 * CHUNK).disputed
    assert [each[:2] for each in disputed] == [(0, 7), (1, 0)]
    run.part.close()
    assert sorted(os.listdir(tmp_path)) == [PART, RECORDS]


def test_what_a_process_that_died_while_rewriting_left_is_removed(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, 4)])
    (tmp_path / f"{RECORDS}.new").write_bytes((tmp_path / RECORDS).read_bytes()[:9])
    run = opened(tmp_path, len(DATA), chunk=2 * CHUNK)
    assert chunks(run.verified) == {0, 1}
    finish(run, DATA, chunk=2 * CHUNK)
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("name", [PART, RECORDS])
@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_what_is_not_a_plain_file_is_refused_untouched(tmp_path: Path, name: str, kind: str) -> None:
    place, outside = tmp_path / "in" / name, tmp_path / "outside"
    place.parent.mkdir()
    outside.write_bytes(b"precious")
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    fault = refusal(place.parent, len(DATA))
    assert fault.kind is PartFileFaultKind.OTHER_JOB
    assert name in fault.detail
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert os.listdir(place.parent) == [name]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        fault = refusal(folder, 1)
        assert fault.kind is PartFileFaultKind.NO_FOLDER
        assert str(folder) in fault.detail


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    assert refusal(tmp_path / "in", 1, name=name).kind is PartFileFaultKind.BAD_NAME
    assert os.listdir(tmp_path) == ["in"]


def test_a_name_too_long_for_the_folder_is_a_bad_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, 1, name="x" * 250).kind is PartFileFaultKind.BAD_NAME


def test_an_absurd_size_is_refused_without_taking_memory(tmp_path: Path) -> None:
    fault = refusal(tmp_path, CHUNK * (CHUNKS_MAX + 1))
    assert "choose larger chunks" in fault.detail
    assert os.listdir(tmp_path) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("root is bound by no permission bits here and may not mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_read_only_folder_is_named(read_only: Path) -> None:
    fault = refusal(read_only, 1)
    assert fault.kind is PartFileFaultKind.READ_ONLY
    assert str(read_only) in fault.detail


WRITER = """
import sys
from storage.part_file import PartFile
from tests.storage.parts import CHUNK, content, opened, put
data = content(4000 * CHUNK)
target = opened(sys.argv[1], len(data)).part
for chunk in range(0, 4000, 2):
    put(target, data, chunk, chunk + 1)
    if chunk % 100 == 0:
        target.commit()
    if chunk == 1000:
        print("half way", flush=True)
"""


def test_a_killed_run_leaves_its_lock_to_the_next_and_no_wrong_chunk(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half way\n"
        writer.send_signal(signal.SIGKILL)
    data = content(4000 * CHUNK)
    run = opened(tmp_path, len(data))
    assert chunks(run.verified) >= set(range(0, 1001, 2))
    finish(run, data)


@pytest.mark.parametrize("size", [-1, len(DATA)])
def test_records_of_a_file_of_unknown_size_whose_part_is_gone_begin_again(tmp_path: Path, size: int) -> None:
    target = opened(tmp_path, -1).part
    put(target, DATA, 0, 2)
    target.close()
    (tmp_path / PART).unlink()
    run = opened(tmp_path, size)
    assert chunks(run.verified) == set()
    put(run.part, DATA, 0, 1)
    run.part.close()
    assert (tmp_path / PART).exists()
