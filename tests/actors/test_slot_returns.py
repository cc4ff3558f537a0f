"""Slots on their way round, through the deaths of the store and of the fetch process itself."""

import queue
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.assembler import Assembler
from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from actors.slot_returns import SlotReturns
from protocol.messages import (
    ChunksStored,
    ChunksVerified,
    ClaimSlots,
    JobClosed,
    Message,
    PartFileReady,
    PartFileReopened,
    SlotFilled,
    SlotFreed,
    SlotsGranted,
)
from protocol.messages.codec import decode
from storage.digests import digests_of
from storage.shared_memory import Arena
from tests.specs import open_part_file

CHUNK = 4096
Inbox = queue.SimpleQueue[Message]


@pytest.fixture
def room() -> Iterator[MessageBus]:
    """One message bus that is ``fetch-1`` and, for those it posts to, everybody else."""
    with tempfile.TemporaryDirectory(prefix="h-") as run_dir:
        made = MessageBus("fetch-1", run_dir)
        made.start()
        yield made
        made.close()


def heard(run_dir: str, process: str, actor: str) -> tuple[MessageBus, Inbox]:
    said: Inbox = queue.SimpleQueue()
    made = MessageBus(process, run_dir)
    made.register(actor, lambda frame: said.put(decode(frame)))
    made.start()
    return made, said


def filled(slot: int, first: int = 0, store: int = 0, shelf: str = "fetch-1/shelf-0") -> SlotFilled:
    return SlotFilled(
        job=1, source=0, lease=1, first=first, slot=slot, length_bytes=CHUNK, digests=bytes(16), source_hash=1,
        shelf=shelf, store=store,
    )  # fmt: skip


def test_what_a_dead_store_did_not_give_back_is_handed_over_again_in_order_and_once(room: MessageBus) -> None:
    store, said = heard(room.run_dir, "store", "assembler")
    handing = SlotReturns(room, range(4))
    slots = [handing.shelf.take() for _ in range(4)]
    for first, slot in enumerate(slots[:3]):
        assert slot is not None
        handing.hand_over(filled(slot, first))
    assert [said.get(timeout=30) for _ in range(3)] == [filled(slots[at], at) for at in range(3)]  # type: ignore[arg-type]
    room.post(handing.address, SlotFreed(slot=slots[0] or 0))
    for _ in range(2):
        room.post("fetch-1/shelf", PartFileReopened(job=1, store=1))
    again = [said.get(timeout=30) for _ in range(2)]
    assert again == [filled(slots[at], at, store=1) for at in (1, 2)]  # type: ignore[arg-type]
    handing.learn(1, 0)  # an older word
    handing.hand_over(filled(slots[3] or 0, 3))
    assert said.get(timeout=30) == filled(slots[3] or 0, 3, store=1), "what comes later is for the new store at once"
    assert said.empty()
    store.close()


def test_a_fetch_process_started_again_begins_with_the_slots_it_is_granted_and_takes_them_once(
    room: MessageBus,
) -> None:
    store, said = heard(room.run_dir, "store", "assembler")
    handing = SlotReturns(room, range(4, 8), generation=2)
    asked = said.get(timeout=30)
    assert asked == ClaimSlots(shelf="fetch-1/shelf-2", first=4, stop=8)
    assert handing.shelf.take() is None
    for _ in range(2):  # the question may have been asked twice
        room.post(handing.address, SlotsGranted(slots=(4, 5, 7)))
    room.post("fetch-1/shelf-1", SlotFreed(slot=5))  # meant for the predecessor, which had been heard out
    room.post(handing.address, SlotFreed(slot=6))
    assert sorted(handing.shelf.take() or 0 for _ in range(4)) == [4, 5, 6, 7]
    assert handing.shelf.take() is None
    store.close()


def test_slots_that_a_dead_store_has_are_free_when_another_hub_knows_nothing_of_them(room: MessageBus) -> None:
    store, _said = heard(room.run_dir, "store", "assembler")
    handing = SlotReturns(room, range(2))
    handing.learn(1, 0)
    handing.hand_over(filled(handing.shelf.take() or 0))
    handing.forget(JobClosed(job=1))
    handing.learn(1, 1)
    handing.hand_over(filled(handing.shelf.take() or 0))
    assert len(handing.shelf) == 1, "the one that the living store has is not"
    for _ in range(2):
        handing.forget(JobClosed(job=1))
    assert len(handing.shelf) == 1
    store.close()


class Store:
    """A real Assembler of the second generation and what it says."""

    def __init__(self, room: MessageBus, folder: Path) -> None:
        self.room = room
        self.arena = Arena.create(4)
        self.said: Inbox = queue.SimpleQueue()
        for actor in ("dispatcher-1", "shelf-0", "shelf-1"):
            room.register(actor, lambda frame: self.said.put(decode(frame)))
        self.ref = Assembler.start(room, self.arena, generation=1)
        self.wanted = open_part_file(
            folder=str(folder), name="f", size_bytes=4 * CHUNK, chunk_size=CHUNK, dispatcher="fetch-1/dispatcher-1"
        )

    def hand(self, slot: int, first: int, *, store: int = 1) -> None:
        view = self.arena.view(slot)
        view[:CHUNK] = bytes([first + 1]) * CHUNK
        message = filled(slot, first, store)
        self.tell(
            SlotFilled(
                job=1,
                source=0,
                lease=1,
                first=first,
                slot=slot,
                length_bytes=CHUNK,
                digests=digests_of(view, CHUNK, CHUNK),
                source_hash=1,
                shelf=message.shelf,
                store=store,
            )
        )

    def tell(self, message: Message) -> None:
        self.room.post("fetch-1/assembler", message)

    def next(self) -> Message:
        return self.said.get(timeout=30)

    def close(self) -> None:
        stop_actors([self.ref], timeout_s=5)
        self.arena.close()


@pytest.fixture
def store(room: MessageBus, tmp_path: Path) -> Iterator[Store]:
    made = Store(room, tmp_path)
    yield made
    made.close()


def test_a_store_leaves_slots_alone_that_were_handed_to_another(store: Store) -> None:
    store.hand(0, 0, store=0)  # and the target is not even open
    store.tell(store.wanted)
    path = store.wanted.spec.folder + "/f.part"
    assert store.next() == PartFileReady(job=1, part_path=path, message="", store=1, chunk_size=CHUNK), (
        "no word of the slot, which its fetch process still counts as handed over"
    )
    store.hand(0, 0, store=1)
    assert isinstance(store.next(), ChunksStored)
    assert store.next() == SlotFreed(slot=0)


def test_slots_that_the_store_does_not_have_are_granted_to_a_process_started_again(store: Store) -> None:
    store.tell(store.wanted)
    assert isinstance(store.next(), PartFileReady)
    store.hand(2, 0)
    store.tell(ClaimSlots(shelf="fetch-1/shelf-1", first=0, stop=4))
    assert isinstance(store.next(), ChunksStored)
    assert store.next() == SlotFreed(slot=2), "to the predecessor, in vain"
    assert store.next() == SlotsGranted(slots=(0, 1, 2, 3))


def test_a_new_hub_is_reported_what_is_stored_without_another_look_at_the_disk(store: Store) -> None:
    store.tell(store.wanted)
    assert isinstance(store.next(), PartFileReady)
    store.hand(0, 1)
    assert isinstance(store.next(), ChunksStored)
    assert isinstance(store.next(), SlotFreed)
    store.tell(store.wanted)
    assert store.next() == ChunksVerified(job=1, ranges=(1, 2), sources=(1,))
    assert isinstance(store.next(), PartFileReady)
