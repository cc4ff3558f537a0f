"""The final name: never over another file, never a wrong file, and a crash at any step is made good by the next run."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import xxhash

from storage.digests import Checksum
from storage.durable import Folder
from storage.part_file import ChecksumMismatch
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, leave_part, opened, put

ROOT = Path(__file__).parents[2]
DATA = content(5 * CHUNK + 5)
STEPS = ["checked", "settled", "linked", "link synced", "part unlinked"]

CRASH = """
import os, sys
from tests.storage.parts import opened
run = opened(sys.argv[1], int(sys.argv[2]), sync="full")
for step in run.part.sealing():
    print(step, flush=True)
    if step == sys.argv[3]:
        os._exit(9)
os._exit(9)
"""


def crash_after(folder: Path, step: str) -> list[str]:
    """A process that dies right behind this step of sealing, or when it is sealed and its result is not known yet; the
    steps it took."""
    command = [sys.executable, "-c", CRASH, str(folder), str(len(DATA)), step]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 9, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("step", [*STEPS, "sealed"])
def test_a_crash_between_any_two_steps_is_made_good_by_the_next_run(tmp_path: Path, step: str) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    assert crash_after(tmp_path, step) == (STEPS[: STEPS.index(step) + 1] if step in STEPS else STEPS)
    run = opened(tmp_path, len(DATA))
    assert run.verified.count == count(DATA), "nothing is fetched again"
    assert finish(run, DATA) == tmp_path / NAME
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == DATA


@pytest.mark.parametrize("step", ["linked", "part unlinked"])
def test_a_crash_after_taking_a_numbered_name_does_not_take_another(tmp_path: Path, step: str) -> None:
    (tmp_path / NAME).write_bytes(b"older")
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    crash_after(tmp_path, step)
    assert finish(opened(tmp_path, len(DATA)), DATA) == tmp_path / "file (1).bin"
    assert sorted(os.listdir(tmp_path)) == ["file (1).bin", NAME]
    assert (tmp_path / NAME).read_bytes() == b"older"


def test_an_empty_file_that_was_sealed_and_not_reported_is_not_made_twice(tmp_path: Path) -> None:
    run = opened(tmp_path, 0)
    run.part.seal()
    run.part.abandon()
    assert finish(opened(tmp_path, 0), b"") == tmp_path / NAME
    assert os.listdir(tmp_path) == [NAME]


def test_what_is_sealed_is_on_record_until_a_receiver_of_the_report_closes_it(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, count(DATA))
    run.part.seal()
    assert sorted(os.listdir(tmp_path)) == [NAME, f"{NAME}.part.records"]
    run.part.close()
    assert os.listdir(tmp_path) == [NAME]


def test_another_chunk_size_after_a_crash_still_finds_the_sealed_file(tmp_path: Path) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    crash_after(tmp_path, "part unlinked")
    run = opened(tmp_path, len(DATA), chunk=CHUNK * 2)
    assert finish(run, DATA, chunk=CHUNK * 2) == tmp_path / NAME
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("harm", ["final edited", "final longer", "record damaged", "records gone"])
def test_a_file_under_its_final_name_is_never_written_again(tmp_path: Path, harm: str) -> None:
    leave_part(tmp_path, DATA, [(0, count(DATA))])
    crash_after(tmp_path, "linked")
    final, records = tmp_path / NAME, tmp_path / f"{NAME}.part.records"
    if harm.startswith("final"):
        final.open("r+b" if harm == "final edited" else "ab").write(b"the user's tags")
    elif harm == "records gone":
        records.unlink()
    else:
        held = records.read_bytes()
        records.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    users = final.read_bytes()
    run = opened(tmp_path, len(DATA))
    assert "starting over" in run.message
    assert finish(run, DATA) == tmp_path / "file (1).bin"
    assert final.read_bytes() == users


def test_a_taken_name_gets_a_number_and_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"older")
    (tmp_path / "file (1).bin").symlink_to("nowhere")
    assert finish(opened(tmp_path, len(DATA)), DATA) == tmp_path / "file (2).bin"
    assert (tmp_path / NAME).read_bytes() == b"older"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("way", ["give_final_name", "claim_final_name"])
def test_many_who_want_one_name_each_get_their_own(tmp_path: Path, way: str) -> None:
    folder, taken = Folder(str(tmp_path), "none"), list[str]()
    start = threading.Barrier(8)

    def seal(number: int) -> None:
        (tmp_path / f"{number}.part").write_text(str(number))
        start.wait()
        name = getattr(folder, way)(f"{number}.part", "wanted.txt")
        taken.append(name)
        assert (tmp_path / name).read_text() == str(number)

    threads = [threading.Thread(target=seal, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder.close()
    assert sorted(taken) == sorted(["wanted.txt", *(f"wanted ({n}).txt" for n in range(1, 8))])


def test_the_digest_of_the_whole_file_is_reported(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA), sync="full")
    put(run.part, DATA, 0, count(DATA))
    sealed = run.part.seal(Checksum.parse("sha256:" + hashlib.sha256(DATA).hexdigest()))
    run.part.close()
    assert sealed.digest_hex == xxhash.xxh3_128_hexdigest(DATA)


def test_a_wrong_checksum_keeps_the_part_file_and_says_both_values(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, count(DATA))
    wrong, right = hashlib.md5(b"other").hexdigest(), hashlib.md5(DATA).hexdigest()
    with pytest.raises(ChecksumMismatch) as refused:
        run.part.seal(Checksum("md5", wrong))
    assert wrong in str(refused.value)
    assert right in str(refused.value)
    run.part.close()
    assert sorted(os.listdir(tmp_path)) == [f"{NAME}.part", f"{NAME}.part.records"]
    again = opened(tmp_path, len(DATA))
    assert again.verified.count == count(DATA)
    again.part.close()


def test_what_is_not_complete_is_not_sealed(tmp_path: Path) -> None:
    run = opened(tmp_path, len(DATA))
    put(run.part, DATA, 0, count(DATA) - 1)
    with pytest.raises(ValueError, match="not complete"):
        run.part.seal()
    assert chunks(run.part.missing()) == {count(DATA) - 1}
    run.part.close()
    assert not (tmp_path / NAME).exists()
