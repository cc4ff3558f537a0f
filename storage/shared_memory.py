"""Shared memory for bytes on their way from a socket to the part file.

An `Arena` is one anonymous file mapped by every process that has its descriptor, cut into slots of `SLOT_BYTES`.
Which process may touch a slot is settled by messages (`SlotFilled`, `SlotFreed`), never by a lock in here.
A page takes memory from its first touch on; the `SlotShelf` hands out the slot freed last, so few are touched, and
gives the memory of those back that are not needed for a while.
"""

import fcntl
import mmap
import os
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

SLOT_BYTES: Final = 2 << 20
"""Every slot costs four messages on its way, every slot that waits a place in the caches."""


class Arena:
    """All slots. The object owns its descriptor and mapping until `close`."""

    __slots__ = ("_all", "_map", "fd", "slot_count")

    def __init__(self, fd: int, slot_count: int) -> None:
        self.fd = fd
        """To be sent to other processes (`socket.send_fds`), which `attach` it."""
        self.slot_count = slot_count
        self._map = mmap.mmap(fd, slot_count * SLOT_BYTES)
        self._all = memoryview(self._map)

    @classmethod
    def create(cls, slot_count: int) -> "Arena":
        """A new arena, all zero, no memory taken yet. Raises OSError when the system refuses."""
        if slot_count < 1:
            raise ValueError(f"an arena of {slot_count} slots")
        fd = _anonymous_file(slot_count * SLOT_BYTES)
        return cls._owning(fd, slot_count)

    @classmethod
    def attach(cls, fd: int, slot_count: int) -> "Arena":
        """The same arena in another process; takes `fd` over, also when it raises ValueError (another size)."""
        if slot_count < 1 or os.fstat(fd).st_size != slot_count * SLOT_BYTES:
            os.close(fd)
            raise ValueError(f"not an arena of {slot_count} slots")
        return cls._owning(fd, slot_count)

    @classmethod
    def _owning(cls, fd: int, slot_count: int) -> "Arena":
        try:
            return cls(fd, slot_count)
        except OSError:
            os.close(fd)
            raise

    def view(self, slot: int) -> memoryview:
        """The `SLOT_BYTES` writable bytes of a slot. Release it (or let it go) before `close`."""
        if not 0 <= slot < self.slot_count:
            raise ValueError(f"slot {slot} of {self.slot_count}")
        return self._all[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]

    def forget(self, slot: int) -> None:
        """Nobody needs what is in it any more: its memory goes back to the system, for every process, and it is all
        zero. Where the system knows no way it stays."""
        with suppress(OSError, AttributeError, ValueError):
            self._map.madvise(mmap.MADV_REMOVE, slot * SLOT_BYTES, SLOT_BYTES)

    def close(self) -> None:
        """Give descriptor and mapping back; a view still held keeps the mapping until it is gone. Idempotent."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        self._all.release()
        with suppress(BufferError):  # a view lives on: the mapping goes with the last of them
            self._map.close()


def _anonymous_file(size_bytes: int) -> int:
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile(prefix="shoal-") as file:
            file.truncate(size_bytes)
            return os.dup(file.fileno())
    fd = os.memfd_create("shoal-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size_bytes)
    # Nobody who holds the descriptor can shrink it, so touching a mapped slot can never end in SIGBUS.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


class SlotShelf:
    """The free slots of one process, last in first out, for many threads at once.

    A worker that finds no slot joins a line. A slot that comes back is kept for the first in line, who is woken and
    fetches it: nobody who comes later gets in between, so everybody's turn comes. Invariant: while somebody stands in
    line there is no free slot.

    `forget` gives the memory of a slot back to the system; see `tidy`.
    """

    __slots__ = ("_forget", "_kept", "_line", "_lock", "_slots", "_touched", "_used")

    def __init__(self, slots: Iterable[int], *, forget: Callable[[int], None] | None = None) -> None:
        self._slots = deque(slots)
        self._line: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._kept: dict[Callable[[], None], int] = {}
        self._lock = threading.Lock()
        self._forget = forget
        self._touched: set[int] = set()  # hold memory
        self._used: set[int] = set()  # were taken since the last look

    def __len__(self) -> int:
        """Free slots at this moment."""
        return len(self._slots)

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for a slot."""
        return bool(self._line)

    def take(self) -> int | None:
        """A free slot, now the caller's, or None."""
        with self._lock:
            return self._taken()

    def take_or_wait(self, waker: Callable[[], None]) -> int | None:
        """A slot, or None and the caller stands in line: when its turn has come `waker` is called once, from another
        thread (it must neither block nor raise), and calling this again gives the slot. SourceState in line twice is
        standing once."""
        with self._lock:
            slot = self._kept.pop(waker, None)
            if slot is None:
                slot = self._taken()
            if slot is None:
                self._line[waker] = None
            return slot

    def put(self, slot: int) -> None:
        """The slot is free again, or the first one's in line, whose waker is called in this thread."""
        with self._lock:
            waker = self._line.popitem(last=False)[0] if self._line else None
            if waker is None:
                self._slots.append(slot)
            else:
                self._kept[waker] = slot
                self._note(slot)
        if waker is not None:
            waker()

    def leave_line(self, waker: Callable[[], None]) -> None:
        """No slot wanted any more (or the worker ends): one kept for it goes to the next in line."""
        with self._lock:
            self._line.pop(waker, None)
            slot = self._kept.pop(waker, None)
        if slot is not None:
            self.put(slot)

    def tidy(self) -> bool:
        """Give back the memory of free slots that nobody took since the last time. Whether there is more to tidy."""
        with self._lock:
            idle = [slot for slot in self._slots if slot in self._touched and slot not in self._used]
            self._used.clear()
            for slot in idle:
                self._touched.discard(slot)
                self._slots.remove(slot)
        for slot in idle:
            if self._forget is not None:
                self._forget(slot)
            with self._lock:
                self._slots.appendleft(slot)
            self._wake_for_free()
        return bool(self._touched)

    def _wake_for_free(self) -> None:
        """Somebody may have joined the line while a slot was being tidied."""
        with self._lock:
            slot = self._slots.popleft() if self._line and self._slots else None
        if slot is not None:
            self.put(slot)

    def _taken(self) -> int | None:
        if not self._slots:
            return None
        slot = self._slots.pop()
        self._note(slot)
        return slot

    def _note(self, slot: int) -> None:
        self._touched.add(slot)
        self._used.add(slot)
