"""The slots of a fetch process on their way round: free on the shelf, filled by a worker, handed over, given back.

What was handed over and not given back is remembered. When the store process has died and another one has the target
open, it is handed over again: the bytes still lie in the arena, so nothing is fetched twice.
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
TIDY_S: Final = 5.0
"""A slot that nobody took for so long gives its memory back."""


class SlotReturns:
    """One a fetch process, for its workers' threads and the links' thread at once.

    Invariant: each slot is in exactly one place: on the `shelf`, with a worker, or in `_handed`. A process that is not
    the first of its name (`generation` > 0) begins without slots and asks the Assembler which of them are free: its
    predecessor may have handed some over. Slots come back to an address of this generation, `address`, so that what is
    given back to a predecessor does not lie on the shelf twice.
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
        self._tidying = False
        self.address: Final = f"{shelf_address(bus.process)}-{generation}"
        self._bus = bus
        self._slots = slots
        self._waits_for_slots = generation > 0
        self._handed: dict[int, SlotFilled] = {}
        self._stores: dict[int, int] = {}
        self._lock = threading.Lock()
        for address in (self.address, shelf_address(bus.process)):
            bus.register(split_address(address)[1], self._deliver)
        if self._waits_for_slots:
            bus.post_later(0.0, self.address, self._question)

    @property
    def _question(self) -> ClaimSlots:
        return ClaimSlots(shelf=self.address, first=self._slots.start, stop=self._slots.stop)

    def learn(self, job: int, store: int) -> None:
        """A lease was granted: the target stood in this store process then. A later `PartFileReopened` knows better."""
        if job in self._stores:
            return
        with self._lock:
            self._stores[job] = store
        self._let_go(job, store)

    def hand_over(self, filled: SlotFilled) -> None:
        """The slot is the Assembler's until it comes back to the shelf."""
        with self._lock:
            filled = filled.but(store=self._stores.get(filled.job, 0))
            self._handed[filled.slot] = filled
            begins, self._tidying = not self._tidying, True
        self._bus.post(ASSEMBLER, filled)
        if begins:
            self._tidy_later()

    def _tidy_later(self) -> None:
        self._bus.post_later(TIDY_S, self.address, TrimSlots())

    def _tidy(self) -> None:
        with self._lock:
            self._tidying = more = self.shelf.tidy()
        if more:
            self._tidy_later()

    def forget(self, message: JobClosed) -> None:
        """The job is over, or begun anew by another hub."""
        store = self._stores.pop(message.job, None)
        if store is not None:
            self._let_go(message.job, store)

    def _let_go(self, job: int, store: int) -> None:
        """What earlier store processes, all dead, did not give back and nobody is going to hand over again."""
        with self._lock:
            lost = [slot for slot, each in self._handed.items() if each.job == job and each.store < store]
            for slot in lost:
                del self._handed[slot]
        for slot in lost:
            self.shelf.put(slot)

    def _deliver(self, frame: bytes) -> None:
        message = decode(frame)
        assert isinstance(message, ShelfInbox)
        match message:
            case SlotFreed(slot=slot):
                self._handed.pop(slot, None)  # not there: a predecessor had handed it over, see `ClaimSlots`
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
                self._tidy()
            case PartFileReopened():
                self._hand_over_again(message)
            case _:
                assert_never(message)

    def _hand_over_again(self, stands: PartFileReopened) -> None:
        """In the order of before. Workers wait meanwhile, so that a ride's chunks come in order."""
        with self._lock:
            self._stores[stands.job] = stands.store
            for slot, filled in list(self._handed.items()):
                if filled.job == stands.job and filled.store != stands.store:
                    self._handed[slot] = filled.but(store=stands.store)
                    self._bus.post(ASSEMBLER, self._handed[slot])
