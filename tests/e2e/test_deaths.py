"""Processes of the program die in the middle: nothing stored is lost, and what cannot go on says so."""

from __future__ import annotations

import os

import pytest

from tests.box.mirrors import Box, Character, Content, mirrors
from tests.e2e.program import Running, Shoal

CHUNK = 32_768
CONTENT = Content(1_000_000, seed=51)
HALF = Character(stall_after_bytes=300_000)


def begun(shoal: Shoal, box: Box) -> Running:
    running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    running.until_stored(5)
    return running


@pytest.mark.parametrize("name", ["hub", "store"])
def test_a_death_the_job_cannot_survive_is_our_fault_and_loses_nothing(shoal: Shoal, name: str) -> None:
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        running.child(name).kill()
        done = running.finish()
        assert (done.code, done.ended["state"]) == (1, "failed")
        assert done.ended["reason"] == f"{name} died: killed by SIGKILL"
        shoal.check()
        assert shoal.files == ["file.bin.part", "file.bin.part.records"]
        for each in box.names:
            box.become(each, Character())
        more = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert more.code == 0
    assert more.ended["bytes_resumed"] >= 5 * CHUNK
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


def test_a_death_is_told_in_one_line(shoal: Shoal) -> None:
    with mirrors({"a": Character(silent=True)}, CONTENT) as box:
        running = shoal.start("get", *box.urls, "-o", "file.bin", "--quiet")
        while not box.counts()["a"].connections:
            assert running.process.poll() is None
        running.child("hub").kill()
        done = running.finish()
    assert done.code == 1
    assert done.the_line == "our fault: hub died: killed by SIGKILL"


def test_a_death_during_the_start_is_told_in_one_line_too(shoal: Shoal) -> None:
    with mirrors({"a": Character(silent=True)}, CONTENT) as box:
        running = shoal.start("get", *box.urls, "-o", "file.bin", "--quiet")
        while not any(shoal.temp.glob("shoal-*/store.sock")):
            assert running.process.poll() is None
            os.sched_yield()
        running.child("store").kill()
        done = running.finish()
    assert done.code == 1
    assert done.the_line in (
        "our fault: store died: killed by SIGKILL",
        "our fault: cannot start: store: killed by SIGKILL",
    )
    assert shoal.files == []


def test_when_the_last_fetcher_dies_the_job_ends_with_that_reason(shoal: Shoal) -> None:
    with mirrors({"a": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        running.child("fetch-1").kill()
        done = running.finish()
    assert (done.code, done.ended["state"]) == (1, "failed")
    assert done.ended["reason"] == "fetch-1 died: killed by SIGKILL"
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]


def test_the_sources_of_a_dead_fetcher_are_replaced_by_the_others(shoal: Shoal) -> None:
    with mirrors({"a": HALF, "b": HALF, "c": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        running.child("fetch-1").kill()
        running.until(lambda event: event["event"] == "note" and "fetch-1" in event["text"])
        for each in box.names:
            box.become(each, Character())
        done = running.finish()
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]
