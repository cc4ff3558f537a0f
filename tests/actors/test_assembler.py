"""The one writer and its job's end: a file is sealed once, whichever process dies before everybody has heard of it."""

import hashlib
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import storage.digests
import storage.rehash
from actors.assembler import Assembler
from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    FileSealed,
    JobClosed,
    Message,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRemoved,
    RemovePartFile,
    SealFile,
    SlotFilled,
    SpanCompared,
)
from protocol.messages.addresses import ASSEMBLER, dispatcher_address, shelf_address, split_address
from protocol.messages.codec import decode
from protocol.model.faults import PartFileFaultKind
from storage.digests import digests_of
from storage.shared_memory import Arena
from tests.specs import open_part_file

CHUNK = 4096
NAME = "file.bin"
DATA = os.urandom(2 * CHUNK)
Inbox = queue.SimpleQueue[Message]


@pytest.fixture
def hub() -> Iterator[tuple[MessageBus, Inbox]]:
    """The message bus of ``store``, in which everybody else lives too, and what the dispatcher hears."""
    with tempfile.TemporaryDirectory(prefix="a-") as run_dir:
        room, said = MessageBus("store", run_dir), queue.SimpleQueue[Message]()
        elsewhere = MessageBus("hub", run_dir)
        elsewhere.register(split_address(dispatcher_address(1))[1], lambda frame: said.put(decode(frame)))
        elsewhere.register("shelf", lambda _frame: None)
        elsewhere.start()
        room.start()
        yield room, said
        room.close()
        elsewhere.close()


@pytest.fixture
def store(hub: tuple[MessageBus, Inbox]) -> Iterator[Callable[..., Any]]:
    """Starts an Assembler, after the one before has died if there was one."""
    arena = Arena.create(1)
    made: list[Any] = []

    def start(*roots: str) -> Any:
        if made:
            stop_actors([made[-1]], timeout_s=5)  # with a sealed job this leaves what a crash leaves
        made.append(Assembler.start(hub[0], arena, generation=len(made), roots=roots))
        return made[-1]

    arena.view(0)[: len(DATA)] = DATA
    yield start
    stop_actors(made[-1:], timeout_s=5)
    arena.close()


def wanted(folder: Path, **changes: Any) -> OpenPartFile:
    fields: dict[str, Any] = {
        "job": 1,
        "folder": str(folder),
        "name": NAME,
        "size_bytes": len(DATA),
        "chunk_size": CHUNK,
        "checksum": "",
        "preallocate": False,
        "sync": "none",
        "dispatcher": dispatcher_address(1),
    }
    return open_part_file(**{**fields, **changes})


def next_of(said: Inbox, kind: type) -> Any:
    while not isinstance(message := said.get(timeout=30), kind):
        pass
    return message


def seal(room: MessageBus, said: Inbox, folder: Path) -> FileSealed:
    """A whole download, up to the word that it is sealed."""
    room.post(ASSEMBLER, wanted(folder))
    next_of(said, PartFileReady)
    view = memoryview(DATA)
    filled = SlotFilled(
        job=1, source=0, lease=1, first=0, slot=0, length_bytes=len(DATA), digests=digests_of(view, len(DATA), CHUNK),
        source_hash=1, shelf=shelf_address("hub"),
    )  # fmt: skip
    room.post(ASSEMBLER, filled)
    room.post(ASSEMBLER, SealFile(job=1))
    sealed = next_of(said, FileSealed)
    assert isinstance(sealed, FileSealed)
    return sealed


def test_a_store_that_dies_before_its_last_word_was_heard_is_replaced_by_one_that_says_it(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path
) -> None:
    room, said = hub
    store()
    first = seal(room, said, tmp_path)
    store()
    room.post(ASSEMBLER, wanted(tmp_path))
    verified = next_of(said, ChunksVerified)
    assert verified.ranges == (0, 2), "nothing is fetched again"
    assert "was complete already" in next_of(said, PartFileReady).message
    room.post(ASSEMBLER, SealFile(job=1))
    assert next_of(said, FileSealed).path == first.path == str(tmp_path / NAME)
    room.post(ASSEMBLER, JobClosed(job=1))
    store()
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == DATA


@pytest.mark.parametrize("changes", [{}, {"size_bytes": -1}, {"name": "another.bin"}])
def test_another_hub_that_asks_for_what_is_sealed_is_reported_so_whatever_it_knows_of_it(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    room, said = hub
    store()
    first = seal(room, said, tmp_path)
    room.post(ASSEMBLER, wanted(tmp_path, **changes))
    assert next_of(said, ChunksVerified).ranges == (0, 2)
    room.post(ASSEMBLER, SealFile(job=1))
    assert next_of(said, FileSealed) == first
    room.post(ASSEMBLER, JobClosed(job=1))


def test_who_wants_a_sealed_target_closed_hears_that_it_is_sealed(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path
) -> None:
    room, said = hub
    store()
    first = seal(room, said, tmp_path)
    room.post(ASSEMBLER, ClosePartFile(job=1))
    assert next_of(said, FileSealed) == first
    assert f"{NAME}.part.records" in os.listdir(tmp_path), "still not confirmed"
    room.post(ASSEMBLER, JobClosed(job=1))
    store()
    assert os.listdir(tmp_path) == [NAME]


def test_a_folder_is_made_when_that_is_wanted_and_not_again_after_a_fault(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path
) -> None:
    room, said = hub
    store()
    album = tmp_path / "Album"
    room.post(ASSEMBLER, wanted(album))
    next_of(said, PartFileRefused)
    room.post(ASSEMBLER, wanted(album, make_folder=True, again=True))
    next_of(said, PartFileRefused)
    assert not album.exists()
    room.post(ASSEMBLER, wanted(album, make_folder=True))
    next_of(said, PartFileReady)
    assert album.is_dir()


def test_a_folder_that_leads_out_of_the_configured_ones_is_refused_when_it_is_opened(
    hub: tuple[MessageBus, Inbox], store: Callable[..., Any], tmp_path: Path
) -> None:
    room, said = hub
    inside = tmp_path / "downloads"
    inside.mkdir()
    store(str(inside))
    (inside / "Album").symlink_to(tmp_path)
    for folder in (inside / "Album", inside / "Album" / "made"):
        room.post(ASSEMBLER, wanted(folder, make_folder=True))
        refused = next_of(said, PartFileRefused)
        assert isinstance(refused, PartFileRefused)
        assert refused.fault in (PartFileFaultKind.OUTSIDE, PartFileFaultKind.NO_FOLDER)
    assert os.listdir(tmp_path) == ["downloads"]
    room.post(
        ASSEMBLER, RemovePartFile(id="1", folder=str(inside / "Album"), name="a.bin", reply_to=dispatcher_address(1))
    )
    removed = next_of(said, PartFileRemoved)
    assert isinstance(removed, PartFileRemoved)
    assert "outside the configured folders" in removed.detail
    room.post(ASSEMBLER, wanted(inside))
    next_of(said, PartFileReady)


class Gate:
    """Stands for `os` where whole files are hashed: a read waits until the gate is opened. Counts who came to it."""

    def __init__(self) -> None:
        self.open, self.reached = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def preadv(self, fd: int, buffers: list[memoryview], offset: int) -> int:
        self.reached.set()
        assert self.open.wait(20)
        return os.preadv(fd, buffers, offset)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(storage.digests, "os", gate)
    monkeypatch.setattr(storage.rehash, "os", gate)
    yield gate
    gate.open.set()


def stored(room: MessageBus, said: Inbox, folder: Path, job: int, **changes: Any) -> None:
    """Open a target and store all of it."""
    room.post(ASSEMBLER, wanted(folder, job=job, name=f"{job}.bin", **changes))
    next_of(said, PartFileReady)
    digests = digests_of(memoryview(DATA), len(DATA), CHUNK)
    filled = SlotFilled(
        job=job, source=0, lease=1, first=0, slot=0, length_bytes=len(DATA), digests=digests, source_hash=1,
        shelf=shelf_address("hub"),
    )  # fmt: skip
    room.post(ASSEMBLER, filled)
    assert next_of(said, ChunksStored).job == job


def test_a_job_that_is_being_sealed_does_not_hold_up_the_bytes_of_the_others(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], gate: Gate, tmp_path: Path
) -> None:
    room, said = hub
    store()
    stored(room, said, tmp_path, 1, checksum=f"sha256:{hashlib.sha256(DATA).hexdigest()}")
    room.post(ASSEMBLER, SealFile(job=1))
    assert gate.reached.wait(10)
    stored(room, said, tmp_path, 2)
    room.post(ASSEMBLER, ClosePartFile(job=1))
    room.post(ASSEMBLER, SealFile(job=1))
    with pytest.raises(queue.Empty):
        said.get(timeout=0.1)
    gate.open.set()
    assert [next_of(said, FileSealed).job for _ in range(3)] == [1, 1, 1], "who asked meanwhile gets it too"
    room.post(ASSEMBLER, JobClosed(job=1))


@pytest.mark.parametrize("last", [ClosePartFile, JobClosed])
def test_an_opening_that_no_one_wants_any_more_is_given_up(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], gate: Gate, tmp_path: Path, last: Any
) -> None:
    room, said = hub
    store()
    stored(room, said, tmp_path, 1)
    room.post(ASSEMBLER, ClosePartFile(job=1))
    next_of(said, PartFileClosed)
    room.post(ASSEMBLER, wanted(tmp_path, job=3, name="1.bin"))
    assert gate.reached.wait(10)
    room.post(ASSEMBLER, last(job=3))
    stored(room, said, tmp_path, 2)
    room.post(ASSEMBLER, wanted(tmp_path, job=4, name="1.bin"))
    gate.open.set()
    opened = next_of(said, PartFileReady)
    assert opened.job == 4, "it waited until the lock was given back"


@pytest.mark.parametrize("agrees", [True, False])
def test_a_span_that_came_is_compared_with_the_part_file(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path, agrees: bool
) -> None:
    room, said = hub
    store()
    stored(room, said, tmp_path, 1)
    at = 0 if agrees else 1  # the slot holds the file's first bytes
    view = memoryview(DATA)[:50]
    span = SlotFilled(
        job=1, source=3, lease=9, first=0, slot=0, length_bytes=50, digests=digests_of(view, 50, CHUNK),
        source_hash=2, shelf=shelf_address("hub"), span_at=at,
    )  # fmt: skip
    room.post(ASSEMBLER, span)
    compared = next_of(said, SpanCompared)
    assert (compared.source, compared.lease, compared.chunk) == (3, 9, 0)
    assert (compared.stored, compared.agrees) == (True, agrees)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_span_that_came_before_its_chunk_is_compared_when_the_chunk_is_stored(
    hub: tuple[MessageBus, Inbox], store: Callable[[], Any], tmp_path: Path, agrees: bool
) -> None:
    room, said = hub
    store()
    room.post(ASSEMBLER, wanted(tmp_path, job=1, name="1.bin"))
    next_of(said, PartFileReady)
    view = memoryview(DATA)[:50]
    span = SlotFilled(
        job=1, source=3, lease=9, first=0, slot=0, length_bytes=50, digests=digests_of(view, 50, CHUNK),
        source_hash=2, shelf=shelf_address("hub"), span_at=0 if agrees else 1,
    )  # fmt: skip
    room.post(ASSEMBLER, span)
    first = next_of(said, SpanCompared)
    assert (first.lease, first.chunk, first.stored) == (9, 0, False)
    whole = SlotFilled(
        job=1, source=0, lease=1, first=0, slot=0, length_bytes=len(DATA),
        digests=digests_of(memoryview(DATA), len(DATA), CHUNK), source_hash=1, shelf=shelf_address("hub"),
    )  # fmt: skip
    room.post(ASSEMBLER, whole)
    assert next_of(said, ChunksStored).first == 0, "the chunk's owner is known first"
    then = next_of(said, SpanCompared)
    assert (then.source, then.lease, then.chunk, then.stored, then.agrees) == (3, 0, 0, True, agrees)
