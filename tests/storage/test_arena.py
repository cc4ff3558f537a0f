"""Slots: shared between processes, taken and put back by many threads, nobody left asleep."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.arena import SLOT_BYTES, Arena, SlotShelf

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
    code = f"from storage.arena import Arena; print(bytes(Arena.attach({arena.fd}, 4).view(1)[:5]))"
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
def test_nobody_can_shrink_it_under_a_mapping(arena: Arena) -> None:
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
    shelf = SlotShelf([0, 1, 2])
    taken = shelf.take()
    assert taken is not None
    shelf.put(taken)
    assert shelf.take() == taken


def test_an_empty_shelf_has_nothing_to_take() -> None:
    shelf = SlotShelf([5])
    assert shelf.take() == 5
    assert shelf.take() is None


def test_put_wakes_exactly_one_in_order_of_the_line() -> None:
    shelf, woken = SlotShelf([]), list[str]()
    for name in "abc":
        shelf.wait_in_line(lambda name=name: woken.append(name))  # type: ignore[misc]
    shelf.put(1)
    assert woken == ["a"]
    shelf.put(2)
    assert woken == ["a", "b"]


def test_standing_in_line_twice_is_standing_once() -> None:
    shelf, woken = SlotShelf([]), list[str]()

    def waker() -> None:
        woken.append("a")

    shelf.wait_in_line(waker)
    shelf.wait_in_line(waker)
    shelf.put(1)
    shelf.put(2)
    assert woken == ["a"]


def test_who_was_woken_and_leaves_passes_the_wake_up_on() -> None:
    shelf, woken = SlotShelf([]), list[str]()

    def a() -> None:
        woken.append("a")

    shelf.wait_in_line(a)
    shelf.wait_in_line(lambda: woken.append("b"))
    shelf.put(1)
    shelf.leave_line(a)
    assert woken == ["a", "b"]


def test_who_leaves_before_being_woken_costs_the_others_nothing() -> None:
    shelf, woken = SlotShelf([]), list[str]()

    def a() -> None:
        woken.append("a")

    shelf.wait_in_line(a)
    shelf.wait_in_line(lambda: woken.append("b"))
    shelf.leave_line(a)
    assert woken == []
    shelf.put(1)
    assert woken == ["b"]


def test_a_slot_put_back_while_somebody_joins_the_line_is_not_missed() -> None:
    shelf = SlotShelf([])

    class Joining:
        """Put back a slot at the worst moment: while the line takes this waker in."""

        def __hash__(self) -> int:
            if not len(shelf):
                shelf.put(9)
            return 1

        def __call__(self) -> None: ...

    assert shelf.take_or_wait(Joining()) == 9


class _Worker(threading.Thread):
    """Takes and puts back `rounds` slots; asleep in its inbox whenever there is none."""

    def __init__(self, shelf: SlotShelf, held: dict[int, "_Worker"], rounds: int) -> None:
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
        shelf, held = SlotShelf(range(2)), dict[int, _Worker]()
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
