"""Processes of the program die in the middle: it goes on by itself, loses nothing stored, and there is an end to it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.core.supervision.process_policy import RESTARTS_MAX
from actors.runtime.message_bus import MessageBus
from protocol.messages import SlotFilled, SourceJoined, WorkerReady
from protocol.messages.addresses import ASSEMBLER, POOL, Post, dispatcher_address
from tests.e2e.program import Event, Running, Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

CHUNK = 32_768
CONTENT = Content(1_000_000, seed=51)
HALF = Character(stall_after_bytes=300_000)


def begun(shoal: Shoal, box: Box, *, stored: int = 5) -> Running:
    running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    running.until_stored(stored)
    return running


def go_on(box: Box) -> None:
    for each in box.names:
        box.become(each, Character())


@pytest.mark.parametrize("order", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", ["hub", *(pytest.param(name, marks=pytest.mark.long) for name in ("store", "fetch-1", "fetch-2"))]
)
def test_whatever_process_dies_the_job_goes_on_by_itself(shoal: Shoal, name: str, order: str) -> None:
    with mirrors({"a": HALF, "b": HALF, "c": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        before = running.child(name).pid
        running.child(name).send_signal(signal.Signals[order])
        note = running.until(lambda event: event["event"] == "note")
        how = "killed by SIGKILL" if order == "SIGKILL" else "exited with code 0"
        assert note["text"] == f"process {name} ended: {how}"
        if name == "hub":  # workers read on without one: what they are sent meanwhile is fetched again
            running.until(lambda event: event["event"] == "progress")
        go_on(box)
        done = running.finish()
        sent = sum(count.bytes_sent for count in box.counts().values())
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert before
    assert done.ended["bytes_received"] + done.ended["bytes_resumed"] >= CONTENT.size
    assert [event["event"] for event in done.events].count("job_opened") == 1
    assert sent < 3 * CONTENT.size
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.long
def test_what_is_stored_is_not_fetched_again_when_the_store_or_the_hub_dies(shoal: Shoal) -> None:
    """Both have sent all they will, but for a part of a chunk each it is stored, and nothing else is on its way.

    Only one goes on, so that no range is cut: what its kernel had sent of a tail that another source gets would count.
    """
    stored = 2 * (300_000 // CHUNK - 1)
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box, stored=stored)
        while any(count.bytes_sent < 300_000 for count in box.counts().values()):
            running.until(lambda event: event["event"] in ("progress", "chunk"))
        box.die("b")
        for name in ("store", "hub"):
            running.child(name).kill()
            running.until(lambda event: event["event"] == "note" and f"process {name} ended" in event["text"])  # noqa: B023
        box.become("a", Character())
        done = running.finish()
        sent = sum(count.bytes_sent for count in box.counts().values()) - 2 * 300_000
    assert done.code == 0
    assert done.ended["bytes_resumed"] == 0, "it was fetched by this very job"
    assert sent <= CONTENT.size - stored * CHUNK + 6 * CHUNK, "but for chunks that are compared with what was stored"


@pytest.mark.long
def test_what_each_source_gave_is_not_forgotten_when_the_hub_dies(shoal: Shoal) -> None:
    """Both send a third and then nothing, so that the last account before the death is complete."""
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        accounts: list[list[int]] = []

        def quiet(event: Event) -> bool:
            if event["event"] != "progress":
                return False
            accounts.append([row["bytes"] for row in event["sources"]])
            return 0 not in accounts[-1] and len(accounts) > 4 and accounts[-4:] == accounts[-1:] * 4

        before = {row["source"]: row for row in running.until(quiet)["sources"]}
        running.child("hub").kill()
        running.until(lambda event: event["event"] == "note")
        running.until(lambda event: event["event"] == "progress")  # the next hub's: workers read on without one
        go_on(box)
        done = running.finish()
    assert done.code == 0
    on_its_way = 2 * 4 * CHUNK  # what was stored while no hub lived counts as no one's
    assert CONTENT.size - on_its_way <= sum(done.given.values()) <= CONTENT.size
    for row in done.ended["sources"]:
        assert row["bytes"] >= before[row["source"]]["bytes"]
        assert row["chunks"] >= before[row["source"]]["chunks"]
        assert row["leases"] >= before[row["source"]]["leases"]
        assert row["stops"] >= before[row["source"]]["stops"]
    # On a busy machine one of them may have fetched what was left before the other was there again.
    assert any(row["leases"] > before[row["source"]]["leases"] for row in done.ended["sources"])


@pytest.mark.long
@pytest.mark.parametrize("names", [("store",), ("hub",), ("store", "hub")], ids="+".join)
def test_a_file_that_has_just_got_its_name_is_not_fetched_under_another(shoal: Shoal, names: tuple[str, ...]) -> None:
    with mirrors({"a": Character(rate_bytes_s=500_000)}, CONTENT) as box:
        running = shoal.start("get", *box.urls, "-o", "file.bin", "--json")
        struck = [running.await_child(name) for name in names]
        while not (shoal.folder / "file.bin").exists() and running.process.poll() is None:
            pass
        for child in struck:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        done = running.finish()
        if "file.bin.part.records" in shoal.files:  # both died between the last word and its answer
            done = shoal.get(*box.urls, "-o", "file.bin")
        sent = sum(count.bytes_sent for count in box.counts().values())
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert sent < 1.5 * CONTENT.size
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.long
def test_a_stopped_process_is_found_killed_and_replaced(shoal: Shoal) -> None:
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        running.child("store").send_signal(signal.SIGSTOP)
        note = running.until(lambda event: event["event"] == "note")
        assert note["text"] == "process store ended: silent: 5 pings without an answer, killed"
        go_on(box)
        done = running.finish()
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


def bad_word(name: str, generation: int) -> Post:
    """What no process of ours says, and what makes its receiver fail."""
    if name == "dispatcher":
        joined = SourceJoined(
            job=1, source=9, worker="no address", name="", host="", fallback_name="", prior_rate_bytes_s=0.0
        )
        return Post(to=dispatcher_address(1), message=joined)
    if name == "hub":
        return Post(to=POOL, message=WorkerReady(job=1, source=-100, worker="nobody/nobody"))
    filled = SlotFilled(
        job=1, source=0, lease=0, first=0, slot=-9, length_bytes=1, digests=b"", source_hash=0, shelf="nobody/nobody",
        store=generation,
    )  # fmt: skip
    return Post(to=ASSEMBLER, message=filled)


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", ["dispatcher", *(pytest.param(name, marks=pytest.mark.long) for name in ("hub", "store"))]
)
def test_an_exception_is_survived_like_a_death_but_not_again_and_again(shoal: Shoal, name: str, times: int) -> None:
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        process = "hub" if name == "dispatcher" else name
        stranger = MessageBus("stranger", str(next(shoal.temp.glob("shoal-*/hub.sock")).parent))
        for count in range(times):
            before = running.await_child(process)
            while psutil.wait_procs([before], timeout=0.2)[1] and before.status() != psutil.STATUS_ZOMBIE:
                stranger.post(bad_word(name, count))  # the first may go to a predecessor
            if count < 3:
                note = running.until(lambda event: event["event"] == "note" and f"process {process}" in event["text"])
        stranger.close()
        go_on(box)
        done = running.finish(traced=True)
    assert " failed: IndexError" in note["text"] or " failed: ValueError" in note["text"], note
    if times == 1:
        assert (done.code, done.ended["state"]) == (0, "sealed")
        assert CONTENT.matches(shoal.folder / "file.bin")
    else:
        assert (done.code, done.ended["state"]) == (1, "failed")
        assert "it was restarted 3 times after the same failure" in done.ended["reason"]
        assert shoal.files == ["file.bin.part", "file.bin.part.records"]


@pytest.mark.long
@pytest.mark.parametrize("then", [("fetch-1", "store"), ()], ids=["more die", "no one dies"])
def test_a_forkserver_that_was_stopped_holds_nothing_up_and_is_not_left_behind(
    shoal: Shoal, then: tuple[str, ...]
) -> None:
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        server = running.child("hub").parent()
        assert server is not None
        server.suspend()
        for name in then:
            running.child(name).kill()
            running.until(lambda event: event["event"] == "note")
        go_on(box)
        done = running.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_a_process_with_more_memory_than_it_is_allowed_is_replaced_and_that_is_said(shoal: Shoal) -> None:
    """The least limit there is; every process has more."""
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK), "--memory-limit", "8M")
        replaced = dict[str, str]()
        while len(replaced) < 2:
            text = running.until(lambda event: event["event"] == "note" and "too large" in event["text"])["text"]
            replaced[text.split()[1]] = text
        running.signal(signal.SIGINT)
        done = running.finish()
    for text in replaced.values():
        assert re.fullmatch(r"process \S+ ended: too large: \d+ MiB of memory, at most 8, killed", text)
    assert done.code == 130


@pytest.mark.long
@pytest.mark.parametrize("name", ["hub", "store"])
def test_a_process_that_dies_again_and_again_ends_the_job_as_our_fault_and_loses_nothing(
    shoal: Shoal, name: str
) -> None:
    with mirrors({"a": HALF, "b": HALF}, CONTENT) as box:
        running = begun(shoal, box)
        for _ in range(RESTARTS_MAX):
            running.await_child(name).kill()
            running.until(lambda event: event["event"] == "note" and name in event["text"])
        running.await_child(name).kill()
        done = running.finish()
        assert (done.code, done.ended["state"]) == (1, "failed")
        why = f"{name} died: killed by SIGKILL; it was restarted 10 times within 60 s"
        assert done.ended["reason"] == why
        shoal.check()
        assert shoal.files == ["file.bin.part", "file.bin.part.records"]
        go_on(box)
        more = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", str(CHUNK))
    assert more.code == 0
    assert more.ended["bytes_resumed"] >= 5 * CHUNK
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.long
def test_a_death_is_survived_in_silence_when_no_one_wants_to_hear_of_it(shoal: Shoal) -> None:
    with mirrors({"a": Character(silent=True)}, CONTENT) as box:
        running = shoal.start("get", *box.urls, "-o", "file.bin", "--quiet")
        while not box.counts()["a"].connections:
            assert running.process.poll() is None
        running.child("hub").kill()
        while box.counts()["a"].connections < 2:
            assert running.process.poll() is None
        go_on(box)
        done = running.finish()
    assert (done.code, done.stderr.count("\n")) == (0, 0)
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_a_death_during_the_start_is_reported_in_one_line_or_survived(shoal: Shoal) -> None:
    with mirrors({"a": Character(rate_bytes_s=1e6)}, CONTENT) as box:
        running = shoal.start("get", *box.urls, "-o", "file.bin", "--quiet")
        while not any(shoal.temp.glob("shoal-*/store.sock")):
            assert running.process.poll() is None
            os.sched_yield()
        running.child("store").kill()
        done = running.finish()
    if done.code == 0:
        assert CONTENT.matches(shoal.folder / "file.bin")
    else:
        assert done.code == 1
        assert done.the_line == "our fault: cannot start: store: killed by SIGKILL"
        assert shoal.files == []
