"""``verify`` and ``demo``, and what the program says of itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import suppress

import pytest

from tests.e2e.program import ROOT, Shoal
from tests.storage.parts import content, finish, leave_part, opened

CHUNK = 16_384
WHOLE = content(100_000)


def test_verify_says_what_holds_of_a_part_file_and_changes_nothing(shoal: Shoal) -> None:
    leave_part(shoal.folder, WHOLE, [(0, 2), (4, 5)], chunk=CHUNK)
    before = {name: (shoal.folder / name).read_bytes() for name in shoal.files}
    done = shoal.run("verify", "file.bin", "--json")
    report = json.loads(done.stdout)
    assert (done.code, done.stderr) == (0, "")
    assert (report["chunks_held"], report["chunks_damaged"], report["chunks_missing"]) == (3, 0, 4)
    assert report["missing"] == [[2, 4], [5, 7]]
    assert shoal.run("verify", "file.bin.part", "--json").stdout == done.stdout
    assert "3 chunks" in shoal.run("verify", "file.bin").stdout
    assert {name: (shoal.folder / name).read_bytes() for name in shoal.files} == before


@pytest.mark.parametrize(
    "after_s", [0.1, *(pytest.param(after_s, marks=pytest.mark.long) for after_s in (0.02, 0.2, 0.3))]
)
def test_a_verify_that_is_killed_leaves_everything_as_it_was(shoal: Shoal, after_s: float) -> None:
    leave_part(shoal.folder, WHOLE, [(0, 2), (4, 5)], chunk=CHUNK)
    before = {name: (shoal.folder / name).read_bytes() for name in shoal.files}
    running = shoal.start("verify", "file.bin", "--json")
    with shoal.killed(running):
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(after_s)
        running.process.kill()
    running.finish()
    assert {name: (shoal.folder / name).read_bytes() for name in shoal.files} == before
    assert shoal.run("verify", "file.bin", "--json").code == 0, "no lock of the dead one is in the way"


def test_verify_finds_one_flipped_bit(shoal: Shoal) -> None:
    leave_part(shoal.folder, WHOLE, [(0, 3)], chunk=CHUNK)
    part = shoal.folder / "file.bin.part"
    data = bytearray(part.read_bytes())
    data[CHUNK + 5] ^= 1
    part.write_bytes(data)
    done = shoal.run("verify", "file.bin")
    assert done.code == 4
    assert "damaged  1 chunk: 1;" in done.stdout


def test_verify_of_a_finished_file_says_whether_it_holds(shoal: Shoal) -> None:
    path = finish(opened(shoal.folder, len(WHOLE), chunk=CHUNK), WHOLE, chunk=CHUNK)
    done = shoal.run("verify", path.name)
    assert (done.code, done.stderr) == (0, "")
    assert f"{path.name}: finished, 97.7 KiB, holds: xxh3_128:" in done.stdout
    with path.open("r+b") as file:
        file.write(b"?")
    done = shoal.run("verify", path.name, "--json")
    assert done.code == 4
    assert json.loads(done.stdout)["holds"] is False
    os.removexattr(path, "user.shoal.origin")
    done = shoal.run("verify", path.name)
    assert (done.code, done.stdout) == (5, "")
    assert "is a finished file, and nothing says what should be in it: give --checksum" in done.the_line
    checksum = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert shoal.run("verify", path.name, "--checksum", checksum).code == 0
    assert shoal.run("verify", path.name, "--checksum", "sha256:" + "0" * 64).code == 4


@pytest.mark.parametrize("name", ["nothing", "nothing/at/all"])
def test_verify_of_nothing_says_so(shoal: Shoal, name: str) -> None:
    done = shoal.run("verify", name)
    assert (done.code, done.stdout) == (5, "")
    assert name.rpartition("/")[0] in done.the_line
    assert "nothing" in done.the_line


def test_verify_of_a_file_without_records_says_so(shoal: Shoal) -> None:
    (shoal.folder / "file.bin").write_bytes(WHOLE)
    done = shoal.run("verify", "file.bin")
    assert done.code == 5
    assert "file.bin" in done.the_line


def test_help_and_version_are_reported_on_stdout(shoal: Shoal) -> None:
    for words in (["--help"], ["get", "--help"], ["--version"]):
        done = shoal.run(*words)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout


def test_no_command_and_a_wrong_command_are_usage_errors(shoal: Shoal) -> None:
    assert shoal.run().code == 2
    assert "No such command".lower() in shoal.run("fetch").the_line.lower()


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("words", [(), ("--kind", "http")])
def test_the_demo_works_offline_in_a_fresh_place(shoal: Shoal, words: tuple[str, ...]) -> None:
    done = shoal.run("demo", *words)
    assert done.code == 0, done
    assert "content: the same as the original" in done.stderr
    assert "who sent what:" in done.stderr
    assert "only claims" not in done.stderr, "its bytes are not those of a container"
    assert shoal.files == []


@pytest.mark.long
@pytest.mark.timeout(180)
def test_the_demo_names_every_chunk_and_says_how_often_each_user_was_hung_up_on(shoal: Shoal) -> None:
    done = shoal.run("demo", "--verbose")
    assert done.code == 0, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("✓ ")]
    assert len(lines) == 512
    assert lines[-1].endswith("[512/512]")
    assert " KB/s [" in lines[0]
    assert any(line.split()[:1] == ["fast"] and "stop" in line for line in done.stderr.splitlines())


@pytest.mark.long
@pytest.mark.timeout(180)
def test_the_demo_speaks_json_too(shoal: Shoal) -> None:
    done = shoal.run("demo", "--json", "--quiet")
    assert (done.code, done.stderr) == (0, "")
    assert done.ended["state"] == "sealed"
    assert sum(done.given.values()) == done.ended["size"]
    assert str(ROOT) not in done.stdout
