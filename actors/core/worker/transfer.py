"""Transfer of one lease as its worker sees it: which bytes to read next, when a slot is full enough, when it is over.

Bytes are counted from the start of the file, chunks from 0. The worker reads at most `want` bytes into a slot at
`slot_offset`, calls `took`, and hands the slot over when `handover` says so. Nothing is ever copied: a slot always
begins at a chunk's first byte and is handed over at a chunk's end.

Invariant: ``handed_stop * chunk_size + slot_used == position`` once the lead-in is over.
"""

from typing import Final

from protocol.model.value import Struct

FILL_S: Final = 0.25
"""A slot is filled for about this long: slow sources hand over single chunks, fast ones a whole slot."""
FILL_SLOW_S: Final = 0.95
FILL_SLOW_BYTES: Final = 16 << 10
"""Unless that is hardly anything: then up to so much is waited for. Each slot costs three messages and a record."""
FILL_S_MAX: Final = 1.0
"""A source that became slow hands over at the end of the chunk in which this has passed."""
REPORT_S: Final = 0.2
REPORT_SLOW_S: Final = 0.5
"""Period of reports of a slow transfer, after its first ones: 500 sources of 20 KB/s kept half a core busy with
reports of 4 KB each. Below half a second nothing that is decided about them changes."""
REPORT_FIRST_S: Final = 2.0
REPORT_BYTES: Final = 64 << 10
SLOW_S: Final = 6.0
"""What a limiter's user sends is judged by single reports for so long after its first byte (`core/rates`)."""


class Handover(Struct, frozen=True):
    """Chunks from `first` on at the start of the slot, `length_bytes` of them.

    `span_at` not below 0: a span of that chunk which begins there, less than the chunk.
    """

    first: int
    length_bytes: int
    span_at: int = -1


class Transfer:
    """Reading position and slot of one lease. Owned by one PeerWorker."""

    def __init__(
        self,
        lease: int,
        first: int,
        stop: int,
        *,
        size_bytes: int,
        chunk_size: int,
        slot_bytes: int,
        lead: int = 0,
        overlap: int = 0,
        span_bytes: int = 0,
        span_at: int = 0,
    ) -> None:
        """`lead` and `overlap`: chunks read before `first` and from `stop` on, to be compared with what others sent.

        `span_bytes`: what is read of each of them, next to the range; of a lease without chunks, from `span_at` on.
        """
        self._span_bytes, self._only_span = span_bytes, first == stop
        self._skipped = chunk_size - span_bytes if span_bytes and lead == 1 else span_at  # of its first chunk
        first -= lead
        self.lease = lease
        self.stop = stop
        self._overlap = 1 if self._only_span else overlap
        self.size_bytes = size_bytes
        self.handed_stop = first
        self._begin_byte = self.position = first * chunk_size + self._skipped
        self.received_bytes = 0
        self.flowing_s = 0.0  # from the first byte to the last
        self._first_byte_s: float | None = None
        self.began = False
        self.chunk_size = chunk_size
        self._slot_chunks = slot_bytes // chunk_size
        self._slot_used = 0
        self._slot_since_s: float | None = None
        self._fill_chunks = 1
        self._over = False
        self._begun_s: float | None = None
        self._reported_s = float("-inf")
        self.slow = False
        """Whether the report that is due may wait for those of others."""
        self._reported_bytes = 0

    def report_due(self, *, now_s: float) -> bool:
        """Return whether to report now how much has come, and count on it that this is done."""
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        grown = self.received_bytes - self._reported_bytes
        slow = grown < REPORT_BYTES and now_s - self._begun_s > REPORT_FIRST_S
        if now_s - self._reported_s < (REPORT_SLOW_S if slow else REPORT_S):
            return False
        self._reported_s, self._reported_bytes = now_s, self.received_bytes
        self.slow = slow and self._first_byte_s is not None and now_s - self._first_byte_s > SLOW_S
        return True

    def begin(self, position: int) -> None:
        """Begin reading at this byte, maybe for the second time; what lies before the wanted bytes is dropped."""
        self._begin_byte = self.handed_stop * self.chunk_size + self._skipped
        self._slot_used = max(0, position - self._begin_byte)
        self.position = position
        self.began = True

    @property
    def stop_byte(self) -> int | None:
        """End of the lease; None when the size is unknown and the transfer goes on to the end of the body."""
        if self.size_bytes < 0:
            return None
        overlap = self._overlap * self.chunk_size
        if self._span_bytes:
            overlap = self._skipped + self._span_bytes if self._only_span else min(overlap, self._span_bytes)
        return min(self.stop * self.chunk_size + overlap, self.size_bytes)

    @property
    def dropping(self) -> bool:
        """Whether it is still before the lease: bytes are read and forgotten."""
        return self.position < self._begin_byte

    @property
    def slot_offset(self) -> int:
        return 0 if self.dropping else self._slot_used

    @property
    def want(self) -> int:
        """Most bytes to read now, >= 1 unless the transfer is done."""
        if self.done:
            return 0
        if self.dropping:
            return min(self._begin_byte - self.position, self._slot_chunks * self.chunk_size)
        room = self._room or self._fill_room  # an end that moved up to here: what follows comes into the same slot
        stop_byte = self.stop_byte
        return room if stop_byte is None else min(room, stop_byte - self.position)

    @property
    def done(self) -> bool:
        """Whether every byte of the lease was received, or the body ended."""
        stop_byte = self.stop_byte
        return self._over or (stop_byte is not None and self.position >= stop_byte)

    def took(self, count: int, *, now_s: float) -> None:
        """Note that `count` bytes came."""
        if not self.dropping:
            self._slot_used += count
            if self._slot_since_s is None:
                self._slot_since_s = now_s
        self.position += count
        self.received_bytes += count
        if count > 0:
            self._first_byte_s = now_s if self._first_byte_s is None else self._first_byte_s
            self.flowing_s = now_s - self._first_byte_s
        self._settle_for_less(now_s)

    def body_ended(self) -> None:
        """Note that a body of unknown length is over in good order: the position is the file's size."""
        self._over = True
        self.size_bytes = self.position

    def trim(self, stop: int, overlap: int = 0) -> None:
        """Move the end nearer; `overlap`: chunks to read from it on, at least."""
        self._overlap = max(self._overlap, overlap)
        self.stop = min(self.stop, stop)

    def extend(self, stop: int, overlap: int = 0) -> None:
        """Move the end away."""
        self._overlap = max(self._overlap, overlap)
        self.stop = max(self.stop, stop)

    def handover(self, *, now_s: float) -> Handover | None:
        """Return what to hand over now, if anything; afterwards a new slot begins."""
        if self._slot_used == 0 or not (self._room <= 0 or self.done):
            return None
        if self._skipped or (self._in_span and self._slot_used < self.chunk_size and not self._ends_file):
            return self._hand_over_span()
        length = self._slot_used
        if not self._ends_file:  # the end moved into the middle of a chunk that others fetch now
            length -= length % self.chunk_size
        if length <= 0:
            return None
        first, self.handed_stop = self.handed_stop, self.handed_stop - (-length // self.chunk_size)
        self._aim(length, now_s)
        self._slot_used = 0
        self._slot_since_s = None
        return Handover(first, length)

    def _hand_over_span(self) -> Handover:
        span = Handover(self.handed_stop, self._slot_used, self._skipped)
        self.handed_stop += 1
        self._skipped, self._slot_used, self._slot_since_s = 0, 0, None
        return span

    def set_aside(self) -> tuple[Handover | None, int, int]:
        """Empty the slot because others need it.

        Return the whole chunks in it, and from and to which byte of it the rest of less than a chunk lies, which
        belongs at the start of the next slot.
        """
        used = self._slot_used
        whole = used - used % self.chunk_size
        self._slot_used = used - whole
        if whole == 0:
            return None, 0, used
        first, self.handed_stop = self.handed_stop, self.handed_stop + whole // self.chunk_size
        return Handover(first, whole), whole, used

    def surrender(self) -> Handover | None:
        """Break off here: whole chunks in the slot are kept, what is left of the last one is not."""
        length = self._slot_used if self._ends_file else self._slot_used - self._slot_used % self.chunk_size
        length = 0 if self._skipped else length
        self._slot_used = 0
        if length <= 0:
            return None
        first, self.handed_stop = self.handed_stop, self.handed_stop - (-length // self.chunk_size)
        return Handover(first, length)

    @property
    def _room(self) -> int:
        """Bytes that the slot still takes: a span has one of its own."""
        if self._skipped:
            return self.chunk_size - self._skipped - self._slot_used
        before = self.stop * self.chunk_size - self.position
        if not (self._span_bytes and self._overlap) or self._in_span or before < 0:
            return self._fill_room
        return min(self._fill_room, before)

    @property
    def _fill_room(self) -> int:
        return self._fill_chunks * self.chunk_size - self._slot_used

    @property
    def _in_span(self) -> bool:
        """Whether what the slot holds begins where a span does, behind the end."""
        return bool(self._span_bytes and self._overlap) and self.handed_stop == self.stop

    @property
    def _ends_file(self) -> bool:
        return self.size_bytes >= 0 and self.position >= self.size_bytes

    def _aim(self, length: int, now_s: float) -> None:
        """Fill the next slot for about `FILL_S`, up to `FILL_SLOW_S` where little comes in that."""
        took_s = max(now_s - self._slot_since_s, 1e-4) if self._slot_since_s is not None else FILL_S
        rate = length / took_s
        likely = int(max(rate * FILL_S, min(rate * FILL_SLOW_S, FILL_SLOW_BYTES)) / self.chunk_size)
        # Grow by doubling: the first slot of a transfer may hold what the kernel had buffered.
        self._fill_chunks = max(1, min(likely, 4 * self._fill_chunks, self._slot_chunks))

    def _settle_for_less(self, now_s: float) -> None:
        """Hand over at the end of this chunk when the source became slow."""
        if self._slot_since_s is not None and now_s - self._slot_since_s > FILL_S_MAX:
            self._fill_chunks = max(1, min(self._fill_chunks, -(-self._slot_used // self.chunk_size)))
