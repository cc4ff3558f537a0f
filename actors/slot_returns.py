"""Slots of a fetch process: free on the shelf, filled by a worker, handed over to the Assembler, returned.

A slot that was handed over and not returned is remembered. When the store process has died and another one has the part
file open, it is handed over again: the bytes still lie in the arena, so nothing is fetched twice.
"""

import threading
from collections.abc import Callable
from typing import Final, assert_never

from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    ClaimSlots,
    JobClosed,
    PartFileReopened,
    SlotFilled,
    SlotFreed,
    SlotsGranted,
    TrimSlots,
)
from protocol.messages.addresses import ASSEMBLER, shelf_address, split_address
from protocol.messages.codec import decode
from storage.shared_memory import FreeSlots

ShelfInbox = SlotFreed | SlotsGranted | ClaimSlots | PartFileReopened | TrimSlots

ASK_AGAIN_S: Final = 0.3
FREE_S: Final = 5.0
"""A slot that was not used for this time gives its memory back."""


class SlotReturns:
    """Returns of slots. One in each fetch process, for its workers' threads and the links' thread at once.

    Invariant: each slot is in exactly one place: on the `shelf`, with a worker, or in `_handed_over`. A process that is
    not the first of its name (`generation` > 0) begins without slots and asks the Assembler which of them are free: its
    predecessor may have handed some over. Slots come back to an address of this generation, `address`, so that what is
    returned to a predecessor does not lie on the shelf twice.
    """

    def __init__(
        self,
        bus: MessageBus,
        slots: range,
        *,
        generation: int = 0,
        forget: Callable[[int], None] | None = None,
    ) -> None:
        """`forget` gives the memory of a slot back, see `storage.shared_memory.Arena`."""
        self.shelf = FreeSlots(() if generation else slots, forget=forget)
        self._tidy_due = False
        self.address: Final = f"{shelf_address(bus.process)}-{generation}"
        self._bus = bus
        self._slots = slots
        self._waits_for_slots = generation > 0
        self._handed_over: dict[int, SlotFilled] = {}
        self._stores: dict[int, int] = {}
        self._lock = threading.Lock()
        for address in (self.address, shelf_address(bus.process)):
            bus.register(split_address(address)[1], self._deliver)
        if self._waits_for_slots:
            bus.post_later(0.0, self.address, self._claim)

    @property
    def _claim(self) -> ClaimSlots:
        return ClaimSlots(shelf=self.address, first=self._slots.start, stop=self._slots.stop)

    def learn(self, job: int, store: int) -> None:
        """Note the store process in which the part file was open when a lease was granted.

        A later `PartFileReopened` knows better.
        """
        if job in self._stores:
            return
        with self._lock:
            self._stores[job] = store
        self._drop_lost(job, store)

    def hand_over(self, filled: SlotFilled) -> None:
        """The slot is the Assembler's until it comes back to the shelf."""
        with self._lock:
            filled = filled.but(store=self._stores.get(filled.job, 0))
            self._handed_over[filled.slot] = filled
            begins, self._tidy_due = not self._tidy_due, True
        self._bus.post(ASSEMBLER, filled)
        if begins:
            self._free_memory_later()

    def _free_memory_later(self) -> None:
        self._bus.post_later(FREE_S, self.address, TrimSlots())

    def _free_memory(self) -> None:
        with self._lock:
            self._tidy_due = more = self.shelf.tidy()
        if more:
            self._free_memory_later()

    def forget(self, message: JobClosed) -> None:
        """The job is over, or begun again by another hub."""
        store = self._stores.pop(message.job, None)
        if store is not None:
            self._drop_lost(message.job, store)

    def _drop_lost(self, job: int, store: int) -> None:
        """Take back what earlier store processes, all dead, did not return and what is not handed over again."""
        with self._lock:
            lost = [slot for slot, each in self._handed_over.items() if each.job == job and each.store < store]
            for slot in lost:
                del self._handed_over[slot]
        for slot in lost:
            self.shelf.put(slot)

    def _deliver(self, frame: bytes) -> None:
        message = decode(frame)
        assert isinstance(message, ShelfInbox)
        match message:
            case SlotFreed(slot=slot):
                self._handed_over.pop(slot, None)  # not there: a predecessor had handed it over, see `ClaimSlots`
                self.shelf.put(slot)
            case SlotsGranted(slots=slots):
                if self._waits_for_slots:
                    self._waits_for_slots = False
                    for slot in slots:
                        self.shelf.put(slot)
            case ClaimSlots():
                if self._waits_for_slots:
                    self._bus.post(ASSEMBLER, message)
                    self._bus.post_later(ASK_AGAIN_S, self.address, message)
            case TrimSlots():
                self._free_memory()
            case PartFileReopened():
                self._hand_over_again(message)
            case _:
                assert_never(message)

    def _hand_over_again(self, stands: PartFileReopened) -> None:
        """Hand over in the order of before. Workers wait meanwhile, so that a transfer's chunks come in order."""
        with self._lock:
            self._stores[stands.job] = stands.store
            for slot, filled in list(self._handed_over.items()):
                if filled.job == stands.job and filled.store != stands.store:
                    self._handed_over[slot] = filled.but(store=stands.store)
                    self._bus.post(ASSEMBLER, self._handed_over[slot])
