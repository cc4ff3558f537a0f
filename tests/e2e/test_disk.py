"""The disk fails under a download: it waits with the reason, and goes on by itself when the disk does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Event, Running, Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

SIZE = 1_000_000
CONTENT = Content(SIZE, seed=81)
LONG = Content(100_000_000, seed=82)
CHUNK = 16_384


@pytest.fixture
def box() -> Iterator[Box]:
    with mirrors({"a": Character(rate_bytes_s=600_000), "b": Character(rate_bytes_s=600_000)}, CONTENT) as made:
        yield made


def begun(shoal: Shoal, box: Box, target: Path) -> Running:
    return shoal.begun(*box.urls, "-o", target, "--chunk-size", str(CHUNK))


def paused(event: Event) -> bool:
    return (event["event"], event.get("state")) == ("progress", "paused")


def sent(box: Box) -> int:
    return sum(counts.bytes_sent for counts in box.counts().values())


def test_a_disk_that_fills_up_and_grows_costs_nothing_but_time(shoal: Shoal, box: Box, small_disk: Path) -> None:
    running = begun(shoal, box, small_disk / "file.bin")
    event = running.until(paused)
    assert "no space" in event["reason"]
    assert str(small_disk / "file.bin.part") in event["reason"]
    subprocess.run(["mount", "-o", "remount,size=4M", str(small_disk)], check=True)
    done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(small_disk / "file.bin")
    notes = [each["text"] for each in done.events if each["event"] == "note"]
    assert any(text.startswith("paused: ") for text in notes)
    assert any(text.startswith("goes on: resumed ") for text in notes)
    assert done.ended["bytes_received"] - done.ended["bytes_refetched"] == SIZE, "what was on its way is owned up to"
    assert sent(box) < 2 * SIZE, "nothing is received while the disk is full"


@pytest.mark.long
def test_a_file_that_will_not_fit_is_foretold(shoal: Shoal, box: Box, small_disk: Path) -> None:
    running = begun(shoal, box, small_disk / "file.bin")
    opened = running.until(lambda event: event["event"] == "job_opened")
    assert "pauses when the disk is full" in opened["message"]
    running.until(paused)
    running.signal(signal.SIGINT)
    running.finish()


@pytest.mark.long
def test_an_interrupt_while_it_waits_keeps_everything_for_the_same_command(
    shoal: Shoal, box: Box, small_disk: Path
) -> None:
    running = begun(shoal, box, small_disk / "file.bin")
    running.until(paused)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert (done.code, done.ended["state"]) == (130, "interrupted")
    assert "no space" in done.ended["reason"]
    kept = sum(done.given.values())
    assert kept > 0  # how much depends on which source's slot met the full disk
    subprocess.run(["mount", "-o", "remount,size=4M", str(small_disk)], check=True)
    more = shoal.get(*box.urls, "-o", small_disk / "file.bin", "--chunk-size", str(CHUNK))
    assert (more.code, more.ended["bytes_resumed"]) == (0, kept)
    assert CONTENT.matches(small_disk / "file.bin")


@pytest.mark.long
def test_a_person_who_wants_silence_still_hears_why_it_waits(shoal: Shoal, box: Box, small_disk: Path) -> None:
    running = shoal.start("get", *box.urls, "-o", small_disk / "file.bin", "--chunk-size", str(CHUNK), "--quiet")
    while "paused: " not in running.stderr():
        assert running.process.poll() is None
        os.sched_yield()
    running.signal(signal.SIGINT)
    done = running.finish()
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["paused", "interrupted"]


def test_a_folder_that_goes_away_and_comes_back_goes_on(shoal: Shoal, box: Box) -> None:
    folder, away = shoal.folder / "disk", shoal.folder / "away"
    folder.mkdir()
    running = begun(shoal, box, folder / "file.bin")
    running.until_stored(5)
    away.mkdir()
    for name in os.listdir(folder):  # as a disk that is unplugged: the folder stands, its files do not
        (folder / name).rename(away / name)
    event = running.until(paused)
    assert "was moved or deleted" in event["reason"] or "is gone" in event["reason"]
    running.until(lambda event: paused(event) and "put it back" in event["reason"])
    folder.rmdir()
    running.until(lambda event: paused(event) and "does not exist" in event["reason"])
    away.rename(folder)
    done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(folder / "file.bin")
    assert sorted(os.listdir(folder)) == ["file.bin"]


@pytest.mark.long
def test_a_folder_deleted_for_good_seals_nothing(shoal: Shoal, box: Box) -> None:
    folder = shoal.folder / "disk"
    folder.mkdir()
    running = begun(shoal, box, folder / "file.bin")
    running.until_stored(5)
    shutil.rmtree(folder)
    running.until(lambda event: paused(event) and "does not exist" in event["reason"])
    running.signal(signal.SIGINT)
    done = running.finish()
    assert (done.code, shoal.files) == (130, [])


def test_a_part_file_that_someone_cuts_is_not_sealed_with_holes(shoal: Shoal, box: Box) -> None:
    running = begun(shoal, box, shoal.folder / "file.bin")
    running.until_stored(20)
    os.truncate(shoal.folder / "file.bin.part", 5 * CHUNK)
    done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    notes = [each["text"] for each in done.events if each["event"] == "note"]
    assert any(text.startswith("paused: ") and "another program changed it" in text for text in notes)
    goes_on = next(text for text in notes if text.startswith("goes on: "))
    assert "resumed " in goes_on or "damaged chunks will be fetched again" in goes_on, "people hear what is left of it"
    assert CONTENT.matches(shoal.folder / "file.bin")


# -- a whole block device


class LoopDisk:
    """A file system in a file of 64 MiB that can grow."""

    def __init__(self, folder: Path) -> None:
        self.image, self.folder = folder / "disk.img", folder / "disk"
        self.folder.mkdir()
        self.image.touch()
        os.truncate(self.image, 64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", self.image], check=True)
        self.device = subprocess.run(
            ["losetup", "--find", "--show", self.image], check=True, capture_output=True, text=True
        ).stdout.strip()
        mounted = subprocess.run(["mount", self.device, self.folder], check=False)
        if mounted.returncode:
            self.close()
            pytest.skip("may not mount a loop device")

    def grow(self, size: int) -> None:
        """The hard way: the disk is taken away for it, which only works when no one holds a file on it open."""
        subprocess.run(["umount", self.folder], check=True)
        os.truncate(self.image, size)
        subprocess.run(["losetup", "--set-capacity", self.device], check=True)
        subprocess.run(["e2fsck", "-f", "-p", self.device], check=True, capture_output=True)
        subprocess.run(["resize2fs", self.device], check=True, capture_output=True)
        subprocess.run(["mount", self.device, self.folder], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=False)
        subprocess.run(["losetup", "--detach", self.device], check=False)


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[LoopDisk]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("losetup", "mkfs.ext4", "e2fsck", "resize2fs"))):
        pytest.skip("needs root, losetup and the tools of ext4")
    try:
        disk = LoopDisk(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device here: {error}")
    try:
        yield disk
    finally:
        disk.close()


@pytest.mark.long
def test_a_disk_of_64_mib_fills_grows_and_the_file_is_sealed(shoal: Shoal, loop_disk: LoopDisk) -> None:
    target = loop_disk.folder / "file.bin"
    with mirrors({"a": Character(), "b": Character()}, LONG) as box:
        running = shoal.begun(*box.urls, "-o", target)
        event = running.until(paused)
        assert "no space" in event["reason"]
        assert event["bytes_stored"] > 40_000_000
        loop_disk.grow(160 << 20)
        done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert LONG.matches(target)
