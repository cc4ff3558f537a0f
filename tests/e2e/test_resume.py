"""Stopped in the middle, by anybody and in any way: the same command goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.chunk_journal import JournalContents, read_journal
from tests.e2e.program import Done, Running, Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

CHUNK = 32_768
CONTENT = Content(1_000_000, seed=41)
CHUNKS = -(-CONTENT.size // CHUNK)
HALF = Character(stall_after_bytes=500_000)
"""Sends half of it and then nothing: so every test stops in the middle, however fast the machine is."""


@pytest.fixture
def box() -> Iterator[Box]:
    with mirrors({"a": HALF}, CONTENT) as made:
        yield made


def begun(shoal: Shoal, box: Box, chunks: int = 5) -> Running:
    """A run that has stored a given number of chunks and gets no more than half of all."""
    running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    running.until_stored(chunks)
    return running


def interrupted(shoal: Shoal, box: Box, number: signal.Signals = signal.SIGINT) -> Done:
    running = begun(shoal, box)
    running.signal(number)
    return running.finish()


def again(shoal: Shoal, box: Box, *words: str) -> Done:
    """The same command, with the mirror now whole."""
    box.become("a", Character())
    return shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK), *words)


def assert_finished(shoal: Shoal, done: Done) -> None:
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupted_run_keeps_its_part_and_the_same_command_goes_on(
    shoal: Shoal, box: Box, number: signal.Signals
) -> None:
    done = interrupted(shoal, box, number)
    assert (done.code, done.ended["state"]) == (130, "interrupted")
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]
    kept = sum(done.given.values())
    assert kept >= 5 * CHUNK
    sent = box.counts()["a"].bytes_sent
    more = again(shoal, box)
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] == kept
    assert more.ended["bytes_received"] == CONTENT.size - kept
    assert box.counts()["a"].bytes_sent - sent <= CONTENT.size - kept + 1


def test_an_interrupted_run_says_from_where_it_would_go_on(shoal: Shoal, box: Box) -> None:
    running = shoal.start("get", *box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK), "--verbose")
    part = shoal.folder / "file.bin.part.records"
    while not part.exists() or part.stat().st_size < 128 + 5 * 32:
        assert running.process.poll() is None
        os.sched_yield()
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 130
    assert done.stderr.splitlines()[-1].startswith("interrupted; the same command goes on from ")


def test_another_mirror_goes_on_with_what_the_first_began(shoal: Shoal, box: Box) -> None:
    kept = sum(interrupted(shoal, box).given.values())
    with mirrors({"b": Character(), "c": Character()}, CONTENT) as others:
        more = shoal.get(*others.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] == kept
    assert sum(more.given.values()) == CONTENT.size - kept


@pytest.mark.long
def test_another_chunk_size_goes_on_too(shoal: Shoal, box: Box) -> None:
    interrupted(shoal, box)
    box.become("a", Character())
    more = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "16K")
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] >= 5 * CHUNK


@pytest.mark.long
def test_a_second_interrupt_ends_the_program_at_once(shoal: Shoal, box: Box) -> None:
    running = begun(shoal, box)
    running.signal(signal.SIGINT)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 130
    assert_finished(shoal, again(shoal, box))


@pytest.mark.parametrize(
    "sign",
    ["shoal-*", *(pytest.param(sign, marks=pytest.mark.long) for sign in ("shoal-*/listener-*", "shoal-*/hub.sock"))],
)
def test_an_interrupt_during_the_start_is_heard(shoal: Shoal, box: Box, sign: str) -> None:
    running = shoal.begun(*box.urls, "-o", "file.bin")
    while not any(shoal.temp.glob(sign)):
        assert running.process.poll() is None
        os.sched_yield()
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 130, done
    assert [event["state"] for event in done.events if event["event"] == "job_ended"] in ([], ["interrupted"])


def test_an_interrupt_while_sources_are_asked_leaves_nothing(shoal: Shoal) -> None:
    with mirrors({"a": Character(silent=True)}, CONTENT) as mute:
        running = shoal.begun(*mute.urls, "-o", "file.bin")
        running.until(lambda event: event["event"] == "progress")
        running.signal(signal.SIGINT)
        done = running.finish()
    assert (done.code, done.ended["state"], shoal.files) == (130, "interrupted", [])


def test_after_the_power_went_the_same_command_goes_on(shoal: Shoal, box: Box) -> None:
    running = begun(shoal, box)
    with shoal.killed(running):
        running.kill_all()
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]
    more = again(shoal, box)
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] >= 5 * CHUNK


def test_a_killed_front_takes_its_processes_along(shoal: Shoal, box: Box) -> None:
    running = begun(shoal, box)
    with shoal.killed(running):
        running.signal(signal.SIGKILL)
    more = again(shoal, box)
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] >= 5 * CHUNK


def test_a_file_that_changed_at_its_origin_is_not_mixed(shoal: Shoal, box: Box) -> None:
    interrupted(shoal, box)
    box.change_content(Content(CONTENT.size, seed=42))
    box.become("a", Character())
    done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert done.code == 0
    notes = [each["text"] for each in done.events if each["event"] == "note"]
    assert any("has another file now" in text and "are fetched again" in text for text in notes)
    assert Content(CONTENT.size, seed=42).matches(shoal.folder / "file.bin"), "the new version, and nothing of the old"
    assert done.ended["bytes_resumed"] == 0
    assert done.ended["bytes_received"] >= CONTENT.size


@pytest.mark.long
def test_an_origin_with_another_size_is_not_mixed(shoal: Shoal, box: Box) -> None:
    interrupted(shoal, box)
    box.change_content(Content(CONTENT.size + 1, seed=42))
    box.become("a", Character())
    done = shoal.refused(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert done.code == 4
    assert str(CONTENT.size + 1) in done.the_line


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_only_a_damaged_chunk_is_fetched_again(shoal: Shoal, box: Box) -> None:
    done = interrupted(shoal, box)
    kept = sum(done.given.values())
    flip(shoal.folder / "file.bin.part", CHUNK + 100)
    more = again(shoal, box)
    assert_finished(shoal, more)
    assert more.ended["bytes_resumed"] == kept - CHUNK
    missing, compared = CONTENT.size - kept + CHUNK, 5 * CHUNK
    assert missing <= more.ended["bytes_received"] <= missing + compared
    opened = next(event for event in more.events if event["event"] == "job_opened")
    assert "1 damaged chunk will be fetched again" in opened["message"]


@pytest.mark.long
def test_damaged_records_cost_chunks_and_never_content(shoal: Shoal, box: Box) -> None:
    interrupted(shoal, box)
    records = shoal.folder / "file.bin.part.records"
    flip(records, 128 + 32 + 7)
    os.truncate(records, records.stat().st_size - 5)
    assert_finished(shoal, again(shoal, box))


@pytest.mark.long
def test_a_run_that_everybody_left_goes_on_later(shoal: Shoal) -> None:
    with mirrors({"a": Character(die_after_bytes=700_000)}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
        assert (done.code, done.ended["state"]) == (3, "starved")
        assert shoal.files == ["file.bin.part", "file.bin.part.records"]
        assert_finished(shoal, again(shoal, box))


def test_a_file_of_unknown_size_starts_over_and_comes_right(shoal: Shoal) -> None:
    with mirrors({"a": Character(chunked=True, rate_bytes_s=200_000)}, CONTENT) as box:
        running = begun(shoal, box, chunks=1)
        running.signal(signal.SIGINT)
        assert running.finish().code == 130
        box.become("a", Character(chunked=True))
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert_finished(shoal, done)


def records_when(shoal: Shoal, running: Running, wanted: Callable[[JournalContents], bool]) -> JournalContents:
    """The records of the run as soon as they say what is wanted; then the power goes."""
    place = shoal.folder / "file.bin.part.records"
    while True:
        assert running.process.poll() is None, running.stderr()
        if place.exists():
            with place.open("rb") as file:
                found = read_journal(file.fileno(), str(place))
            if wanted(found):
                break
        os.sched_yield()
    with shoal.killed(running):
        running.kill_all()
    with place.open("rb") as file:
        return read_journal(file.fileno(), str(place))


@pytest.mark.long
def test_what_was_compared_before_a_crash_still_counts_after_it(shoal: Shoal) -> None:
    slow, words = Character(rate_bytes_s=400_000), ("-o", "file.bin", "--chunk-size", str(CHUNK))
    with mirrors({"a": slow, "b": slow}, CONTENT) as both:
        running = shoal.begun(*both.urls, *words)
        found = records_when(shoal, running, lambda found: bool(found.repeated))
        for name in ("a", "b"):
            both.become(name, Character(stall_after_bytes=16))
        running = shoal.begun(*both.urls, *words)
        running.until(lambda event: event["event"] == "job_opened")
        running.signal(signal.SIGINT)
        more = running.finish()
        assert more.ended["identity"]["checks_agreed"] == len(found.repeated), "all of it is from before the kill"
        assert_finished(shoal, again(shoal, both, "--require", "overlap"))


@pytest.mark.long
def test_a_source_with_another_file_is_still_odd_after_a_crash(shoal: Shoal) -> None:
    slow, words = Character(rate_bytes_s=200_000), ("-o", "file.bin", "--chunk-size", str(CHUNK))
    with mirrors({"a": slow, "b": slow, "odd": replace(slow, other_content=True)}, CONTENT) as three:
        running = shoal.begun(*three.urls, *words)
        records_when(shoal, running, lambda found: bool(found.excluded and found.index.ranges().count > 3))
        for name in ("a", "b"):
            three.become(name, Character())
        three.become("odd", Character(other_content=True))
        sent = three.counts()["odd"].bytes_sent
        more = shoal.get(*three.urls, *words)
        assert three.counts()["odd"].bytes_sent - sent < 2 * CHUNK, "it is asked for nothing but its size"
    assert_finished(shoal, more)
    row = next(row for row in more.ended["sources"] if row["source"] == three.url("odd"))
    assert "earlier attempt" in row["reason"]
    assert more.ended["identity"]["excluded"] == [row["source"]]
