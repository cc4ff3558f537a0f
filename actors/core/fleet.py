"""Who rides how fast, and when everybody would be done: the arithmetic behind every placement.

Rates are bytes a second, times seconds of the caller's clock. Nothing here changes anything.
"""

from dataclasses import dataclass
from typing import Final

from actors.core.board import Board, Lease
from actors.core.standing import Source

CRAWL_BYTES_S: Final = 1.0
"""A ride from which nothing comes still gets a rate, so that its finish time is far away and not undefined."""
FIRST_BYTE_GRACE_S: Final = 0.5
UNSTORED_BYTES_MAX: Final = 8 << 20
UNSTORED_S_MAX: Final = 2.0
"""So much may be on its way to the Assembler; what a ride claims to have received beyond that is not believed."""


@dataclass(frozen=True, slots=True)
class Rider:
    """A riding lease as seen now. `left_bytes` from where it reads to its end; `finish_s` when it would be done."""

    lease: Lease
    rate_bytes_s: float
    position_bytes: float
    left_bytes: float
    finish_s: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """All riders at `seen_s`, the one that finishes last first."""

    riders: list[Rider]
    seen_s: float
    rate_bytes_s: float
    left_bytes: float
    guess_bytes_s: float

    def finish_with(self, rate_bytes_s: float, setup_s: float, *, now_s: float) -> float:
        """The common finish time when one more source of this rate joins after its set-up time."""
        total = self.rate_bytes_s + rate_bytes_s
        if total <= 0:
            return now_s + setup_s
        return now_s + (self.left_bytes + rate_bytes_s * setup_s) / total


def survey(board: Board, sources: dict[int, Source], chunk_size: int, *, now_s: float) -> Fleet:
    """Look at every riding lease once. O(leases)."""
    riding = [lease for lease in board.leases.values() if not lease.draining]
    known = [lease.rate_bytes_s for lease in riding if lease.rate_bytes_s > 0]
    known = known or [source.rate_bytes_s for source in sources.values() if source.rate_bytes_s > 0]
    guess = sorted(known)[len(known) // 2] if known else 0.0
    riders = [look(lease, sources[lease.source], guess, chunk_size, now_s=now_s) for lease in riding]
    riders.sort(key=lambda rider: -rider.finish_s)
    duels = {rider.lease.id for rider in riders if rider.lease.rival is not None and rider.lease.rival < rider.lease.id}
    left = board.free.count * chunk_size + sum(rider.left_bytes for rider in riders if rider.lease.id not in duels)
    return Fleet(riders, now_s, sum(rider.rate_bytes_s for rider in riders), left, guess)


def expected_rate(source: Source, fleet: Fleet) -> float:
    """What this source will probably send: measured, known from before, or like the others (0: nobody knows)."""
    return source.rate_bytes_s or fleet.guess_bytes_s


def look(lease: Lease, source: Source, guess_bytes_s: float, chunk_size: int, *, now_s: float) -> Rider:
    """One riding lease as seen now."""
    start_bytes, stop_bytes = lease.first * chunk_size, lease.stop * chunk_size
    received: float = max(0, lease.received_bytes - lease.lead_in_bytes)
    setup_left = 0.0
    if lease.received_bytes > 0:
        rate = lease.rate_bytes_s if lease.rate_bytes_s >= 0 else (source.rate_bytes_s or guess_bytes_s)
        # The watchdog speaks a few times a second; between its words the ride goes on.
        received += rate * min(now_s - lease.measured_s, 0.5)
    else:
        expected = source.traits.restart_cost_s
        setup_left = max(0.0, lease.granted_s + expected - now_s)
        late = now_s - lease.granted_s > 2 * expected + FIRST_BYTE_GRACE_S
        rate = 0.0 if late else (source.rate_bytes_s or guess_bytes_s)
    stored_bytes = lease.next * chunk_size
    received = min(received, stored_bytes - start_bytes + UNSTORED_BYTES_MAX + chunk_size + UNSTORED_S_MAX * rate)
    position = min(max(start_bytes + received, stored_bytes), stop_bytes)
    if position >= stop_bytes > stored_bytes and now_s - lease.grown_s > UNSTORED_S_MAX:
        position = float(stored_bytes)  # it should long be over: something is lost on the way
    left = stop_bytes - position + max(0, lease.lead_in_bytes - lease.received_bytes)
    return Rider(lease, rate, position, left, now_s + setup_left + left / max(rate, CRAWL_BYTES_S))
