"""Shared memory for bytes on their way from a socket to the part file: the arena, cut into slots.

An `Arena` is one anonymous file (memfd) mapped by every process that has its descriptor, cut into slots of
`SLOT_BYTES`. Messages (`SlotFilled`, `SlotFreed`) say which process may touch a slot; there is no lock. A page takes
memory from its first touch on, so `FreeSlots` hands out the slot freed last and returns the memory of unused ones to
the system.
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
"""Every slot costs four messages on its way, every waiting one a place in the caches."""


class Arena:
    """Shared memory of `slot_count` slots. Owns its descriptor and mapping until `close`."""

    __slots__ = ("_all", "_map", "fd", "slot_count")

    def __init__(self, fd: int, slot_count: int) -> None:
        self.fd = fd
        """To be sent to other processes (`socket.send_fds`), which `attach` it."""
        self.slot_count = slot_count
        self._map = mmap.mmap(fd, slot_count * SLOT_BYTES)
        self._all = memoryview(self._map)

    @classmethod
    def create(cls, slot_count: int) -> "Arena":
        """Create an arena, all zero, without taking memory yet. Raises OSError when the system refuses."""
        if slot_count < 1:
            raise ValueError(f"an arena of {slot_count} slots")
        fd = _anonymous_file(slot_count * SLOT_BYTES)
        return cls._owning(fd, slot_count)

    @classmethod
    def attach(cls, fd: int, slot_count: int) -> "Arena":
        """Map the same arena in another process; owns `fd`, also when it raises ValueError (another size)."""
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
        """Return the `SLOT_BYTES` writable bytes of a slot, to be released before `close`."""
        if not 0 <= slot < self.slot_count:
            raise ValueError(f"slot {slot} of {self.slot_count}")
        return self._all[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]

    def forget(self, slot: int) -> None:
        """Return a slot's memory to the system, for every process, where the system can; it is all zero then."""
        with suppress(OSError, AttributeError, ValueError):
            self._map.madvise(mmap.MADV_REMOVE, slot * SLOT_BYTES, SLOT_BYTES)

    def close(self) -> None:
        """Close descriptor and mapping; a view still held keeps the mapping until it is gone. Idempotent."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        self._all.release()
        with suppress(BufferError):  # the mapping goes with the last view
            self._map.close()


def _anonymous_file(size_bytes: int) -> int:
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile(prefix="shoal-") as file:
            file.truncate(size_bytes)
            return os.dup(file.fileno())
    fd = os.memfd_create("shoal-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size_bytes)
    # No holder of the descriptor can shrink it, so touching a mapped slot can never end in SIGBUS.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


class FreeSlots:
    """Free list of a process's slots, last in first out, with a fair wait queue. Thread-safe.

    A worker that finds no slot joins the queue. A returned slot is reserved for the first waiter, which is woken and
    takes it, so no later one gets in between. Invariant: while a worker waits there is no free slot. `forget` returns
    the memory of a slot to the system; see `tidy`.
    """

    __slots__ = ("_forget", "_lock", "_reserved", "_slots", "_touched", "_used", "_waiters")

    def __init__(self, slots: Iterable[int], *, forget: Callable[[int], None] | None = None) -> None:
        self._slots = deque(slots)
        self._waiters: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._reserved: dict[Callable[[], None], int] = {}
        self._lock = threading.Lock()
        self._forget = forget
        self._touched: set[int] = set()  # hold memory
        self._used: set[int] = set()  # were taken since the last look

    def __len__(self) -> int:
        """Return the number of free slots."""
        return len(self._slots)

    @property
    def has_waiters(self) -> bool:
        """Whether a worker waits for a slot."""
        return bool(self._waiters)

    def take(self) -> int | None:
        """Return a free slot, now the caller's, or None."""
        with self._lock:
            return self._taken()

    def take_or_wait(self, waker: Callable[[], None]) -> int | None:
        """Return a slot, or None and queue the caller.

        `waker` is called once when a slot is reserved for it, from another thread (it must neither block nor raise);
        calling this again gives the slot. Queuing twice is queuing once.
        """
        with self._lock:
            slot = self._reserved.pop(waker, None)
            if slot is None:
                slot = self._taken()
            if slot is None:
                self._waiters[waker] = None
            return slot

    def put(self, slot: int) -> None:
        """Return a slot: to the first waiter, whose waker is called in this thread, or to the free list."""
        with self._lock:
            waker = self._waiters.popitem(last=False)[0] if self._waiters else None
            if waker is None:
                self._slots.append(slot)
            else:
                self._reserved[waker] = slot
                self._note(slot)
        if waker is not None:
            waker()

    def stop_waiting(self, waker: Callable[[], None]) -> None:
        """Leave the queue; a slot reserved for the caller goes to the next waiter."""
        with self._lock:
            self._waiters.pop(waker, None)
            slot = self._reserved.pop(waker, None)
        if slot is not None:
            self.put(slot)

    def tidy(self) -> bool:
        """Release the memory of free slots unused since the last call. Return whether more slots hold memory."""
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
        """Serve a worker that began to wait while a slot was being tidied."""
        with self._lock:
            slot = self._slots.popleft() if self._waiters and self._slots else None
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
