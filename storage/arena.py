"""Shared memory for bytes on their way from a socket to the part file.

An `Arena` is one anonymous file mapped by every process that has its descriptor, cut into slots of `SLOT_BYTES`.
Which process may touch a slot is settled by messages (`SlotFilled`, `SlotFreed`), never by a lock in here.
A page takes memory from its first touch on; the `SlotShelf` hands out the slot freed last, so few are ever touched.
"""

import fcntl
import mmap
import os
import tempfile
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

    No lock: each step is one atomic operation of a C container. A worker that finds no slot joins a line, first
    come first served; every `put` wakes the first in line. No wake-up is lost as long as callers follow the pattern
    of `take_or_wait`: join the line, *then* try again. A slot put back before the second try is found by it; one
    put back after it finds the worker in line.

    A wake-up is for somebody who wants a slot: who was woken, or stands in line, and does not want one any more
    calls `leave_line`, which passes the wake-up on.
    """

    __slots__ = ("_line", "_slots")

    def __init__(self, slots: Iterable[int]) -> None:
        self._slots = deque(slots)
        self._line: OrderedDict[Callable[[], None], None] = OrderedDict()

    def __len__(self) -> int:
        """Free slots at this moment."""
        return len(self._slots)

    def take(self) -> int | None:
        """A free slot, now the caller's, or None."""
        try:
            return self._slots.pop()
        except IndexError:
            return None

    def put(self, slot: int) -> None:
        """The slot is free again. Calls the first waker in line, if any, in this thread."""
        self._slots.append(slot)
        self._wake_one()

    def wait_in_line(self, waker: Callable[[], None]) -> None:
        """A later `put` calls `waker` once, from its thread; it must neither block nor raise (post a message).

        Then call `take` again, as a slot may have come in between. Standing in line twice is standing once.
        """
        self._line[waker] = None

    def leave_line(self, waker: Callable[[], None]) -> None:
        """No slot wanted any more (or the worker ends): a wake-up already on its way goes to the next in line."""
        if self._line.pop(waker, self) is self and self._slots:
            self._wake_one()

    def take_or_wait(self, waker: Callable[[], None]) -> int | None:
        """A slot, or None and `waker` stands in line: the whole pattern in one call."""
        slot = self.take()
        if slot is not None:
            return slot
        self.wait_in_line(waker)
        slot = self.take()
        if slot is not None:
            self.leave_line(waker)
        return slot

    def _wake_one(self) -> None:
        try:
            waker, _ = self._line.popitem(last=False)
        except KeyError:
            return
        waker()
