"""Run folders without a lock, as a process leaves them that is killed while it removes its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.run_folder import UNLOCKED_S_MIN, make_run_folder, remove_run_folder


@pytest.fixture
def base() -> Iterator[Path]:
    """Short enough a path for sockets."""
    with tempfile.TemporaryDirectory(prefix="s-") as path:
        yield Path(path)


def left_behind(
    base: Path, *, age_s: float = UNLOCKED_S_MIN + 1, name: str = "shoal-0123abc_", mode: int = 0o700
) -> Path:
    folder = base / name
    folder.mkdir(mode=mode)
    for socket_name in ("front.sock", "fetch-1.sock", "hub.sock.new"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ended:
            ended.bind(str(folder / socket_name))
    aged(folder, age_s)
    return folder


def aged(folder: Path, age_s: float) -> None:
    then_s = time.time() - age_s
    os.utime(folder, (then_s, then_s))


def start(base: Path) -> None:
    """What a start of the program does, and its end."""
    path = make_run_folder(20, wanted=str(base))
    assert Path(path).parent == base
    remove_run_folder(path)


def test_one_with_nothing_but_dead_sockets_goes(base: Path) -> None:
    left_behind(base)
    start(base)
    assert os.listdir(base) == []


def test_one_that_is_young_or_not_certainly_ours_stays(base: Path) -> None:
    kept = [
        left_behind(base, age_s=0, name="shoal-just_now"),
        left_behind(base, name="shoal-of-another-program"),
        left_behind(base, name="shoal-everyone", mode=0o755),
    ]
    empty = base / "shoal-empty_00"
    empty.mkdir(mode=0o700)
    with_more = left_behind(base, name="shoal-withmore")
    (with_more / "notes.txt").write_text("a user's")
    for folder in (empty, with_more):
        aged(folder, 2 * UNLOCKED_S_MIN)
    before = {folder: sorted(os.listdir(folder)) for folder in (*kept, empty, with_more)}
    start(base)
    assert {folder: sorted(os.listdir(folder)) for folder in before} == before


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
def test_one_whose_process_lives_stays(base: Path, kind: socket.SocketKind) -> None:
    folder = left_behind(base)
    with socket.socket(socket.AF_UNIX, kind) as living:
        living.bind(str(folder / "store.sock"))
        living.listen()
        aged(folder, 2 * UNLOCKED_S_MIN)
        start(base)
        assert sorted(os.listdir(folder)) == ["fetch-1.sock", "front.sock", "hub.sock.new", "store.sock"]
    aged(folder, 2 * UNLOCKED_S_MIN)
    start(base)
    assert os.listdir(base) == []


def test_a_link_in_the_place_of_a_folder_is_not_followed(base: Path) -> None:
    elsewhere = base / "elsewhere"
    elsewhere.mkdir()
    folder = left_behind(elsewhere)
    (base / "shoal-0123abcd").symlink_to(folder)
    start(base)
    assert len(os.listdir(folder)) == 3
    shutil.rmtree(elsewhere)


HOLDER = """
import sys
from actors.runtime.run_folder import temporary_folder
with temporary_folder() as folder:
    open(folder + "/file.part", "w").close()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_files_that_are_not_kept_go_at_the_end_or_after_a_kill_at_the_next_start(base: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(base)}
    command = [sys.executable, "-c", HOLDER]
    for killed in (False, True):
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            folder = Path(holder.stdout.readline().strip())
            assert folder.parent.parent == base
            start(base)
            assert os.listdir(folder) == ["file.part"], "its process lives"
            if killed:
                holder.kill()
            else:
                holder.communicate()
        assert folder.exists() == killed
        start(base)
        assert os.listdir(base) == []
