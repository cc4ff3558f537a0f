"""Slots: shared between processes, taken and put back by many threads, no one left asleep."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.shared_memory import SLOT_BYTES, Arena, FreeSlots

ROOT = Path(__file__).parents[2]


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena.create(4)
    yield made
    made.close()


def test_what_one_mapping_writes_another_reads(arena: Arena) -> None:
    other = Arena.attach(os.dup(arena.fd), 4)
    arena.view(3)[:5] = b"shoal"
    assert bytes(other.view(3)[:5]) == b"shoal"
    assert bytes(other.view(2)[:5]) == bytes(5)
    other.close()


def test_another_process_reads_the_slot_through_the_descriptor(arena: Arena) -> None:
    arena.view(1)[:5] = b"shoal"
    code = f"from storage.shared_memory import Arena; print(bytes(Arena.attach({arena.fd}, 4).view(1)[:5]))"
    run = subprocess.run([sys.executable, "-c", code], pass_fds=[arena.fd], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "b'shoal'\n", run.stderr


def test_slots_are_whole_and_do_not_overlap(arena: Arena) -> None:
    for slot in range(4):
        view = arena.view(slot)
        assert len(view) == SLOT_BYTES
        assert not view.readonly
        view[:1] = view[-1:] = bytes([slot + 1])
    assert [arena.view(slot)[0] for slot in range(4)] == [arena.view(slot)[-1] for slot in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("slot", [-1, 4])
def test_there_is_no_slot_outside(arena: Arena, slot: int) -> None:
    with pytest.raises(ValueError, match="slot"):
        arena.view(slot)


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_untouched_slots_take_no_memory() -> None:
    before = resident_pages()
    arena = Arena.create(1024)
    arena.view(7)[:] = b"x" * SLOT_BYTES
    assert (resident_pages() - before) * os.sysconf("SC_PAGE_SIZE") < 64 * SLOT_BYTES
    arena.close()


def test_an_arena_of_another_size_is_refused_and_its_descriptor_closed(arena: Arena) -> None:
    fd = os.dup(arena.fd)
    with pytest.raises(ValueError, match="not an arena"):
        Arena.attach(fd, 5)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memfd here")
def test_no_one_can_shrink_it_under_a_mapping(arena: Arena) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 0)


def test_a_view_outlives_close_and_no_descriptor_does() -> None:
    before = len(os.listdir("/proc/self/fd"))
    arena = Arena.create(1)
    view = arena.view(0)
    arena.close()
    arena.close()
    view[:1] = b"x"
    assert view[0] == ord("x")
    del view, arena
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_slot_freed_last_is_taken_first() -> None:
    shelf = FreeSlots([0, 1, 2])
    taken = shelf.take()
    assert taken is not None
    shelf.put(taken)
    assert shelf.take() == taken


def test_an_empty_shelf_has_nothing_to_take() -> None:
    shelf = FreeSlots([5])
    assert shelf.take() == 5
    assert shelf.take() is None


class Waiter:
    """Someone who takes a slot, or waits for one and counts how often it was woken."""

    def __init__(self, shelf: FreeSlots) -> None:
        self.shelf, self.woken = shelf, 0

    def wake(self) -> None:
        self.woken += 1

    def take(self) -> int | None:
        return self.shelf.take_or_wait(self.wake)


def waiting(shelf: FreeSlots, count: int) -> list[Waiter]:
    waiters = [Waiter(shelf) for _ in range(count)]
    assert [waiter.take() for waiter in waiters] == [None] * count
    assert shelf.has_waiters
    return waiters


def test_a_slot_that_comes_back_is_the_first_one_s_in_line_and_no_one_gets_in_between() -> None:
    shelf = FreeSlots([])
    a, b = waiting(shelf, 2)
    shelf.put(7)
    assert (a.woken, b.woken) == (1, 0)
    assert shelf.take() is None
    assert b.take() is None
    assert Waiter(shelf).take() is None
    assert a.take() == 7
    shelf.put(8)
    assert b.take() == 8


def test_standing_in_line_twice_is_standing_once() -> None:
    shelf = FreeSlots([])
    (a,) = waiting(shelf, 1)
    assert a.take() is None
    shelf.put(1)
    shelf.put(2)
    assert (a.woken, len(shelf)) == (1, 1)


def test_who_was_woken_and_leaves_passes_the_slot_on() -> None:
    shelf = FreeSlots([])
    a, b = waiting(shelf, 2)
    shelf.put(1)
    shelf.stop_waiting(a.wake)
    assert b.woken == 1
    assert b.take() == 1
    shelf.stop_waiting(b.wake)
    assert not shelf.has_waiters


def test_who_leaves_before_being_woken_costs_the_others_nothing() -> None:
    shelf = FreeSlots([])
    a, b = waiting(shelf, 2)
    shelf.stop_waiting(a.wake)
    shelf.put(1)
    assert (a.woken, b.woken) == (0, 1)


def arena_bytes(arena: Arena) -> int:
    """What the arena takes in memory."""
    return os.fstat(arena.fd).st_blocks * 512


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memfd here")
def test_slots_that_no_one_needs_for_a_while_give_their_memory_back(arena: Arena) -> None:
    shelf = FreeSlots(range(4), forget=arena.forget)
    slots = [shelf.take() for _ in range(3)]
    for slot in slots:
        assert slot is not None
        arena.view(slot)[:] = b"x" * SLOT_BYTES
        shelf.put(slot)
    assert arena_bytes(arena) == 3 * SLOT_BYTES
    assert shelf.tidy(), "they were needed a moment ago"
    kept = shelf.take()
    assert kept is not None
    assert shelf.tidy()
    assert arena_bytes(arena) == SLOT_BYTES
    assert arena.view(kept)[0] == ord("x"), "what is in use is left alone"
    shelf.put(kept)
    assert not shelf.tidy()
    assert arena_bytes(arena) == 0
    assert len(shelf) == 4


class _Worker(threading.Thread):
    """Takes and puts back `rounds` slots; asleep in its inbox whenever there is none."""

    def __init__(self, shelf: FreeSlots, held: dict[int, "_Worker"], rounds: int) -> None:
        super().__init__(daemon=True)
        self.shelf, self.held, self.rounds = shelf, held, rounds
        self.inbox: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.complaint = ""

    def wake(self) -> None:
        self.inbox.put(None)

    def run(self) -> None:
        try:
            for _ in range(self.rounds):
                while (slot := self.shelf.take_or_wait(self.wake)) is None:
                    self.inbox.get(timeout=20)
                assert self.held.setdefault(slot, self) is self, "two workers hold one slot"
                del self.held[slot]
                self.shelf.put(slot)
        except (AssertionError, queue.Empty) as error:
            self.complaint = repr(error)


def test_no_wake_up_is_lost_between_threads() -> None:
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        shelf, held = FreeSlots(range(2)), dict[int, _Worker]()
        workers = [_Worker(shelf, held, 1500) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(40)
    finally:
        sys.setswitchinterval(switch)
    assert [worker.complaint for worker in workers] == [""] * 8
    assert not any(worker.is_alive() for worker in workers)
    assert len(shelf) == 2
