"""Who rides how fast, and when everybody would be done: the arithmetic behind every placement.

Rates are bytes a second, times seconds of the caller's clock. Nothing here changes anything.
"""

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.sources import Source, SourceState

CRAWL_BYTES_S: Final = 1.0
"""A ride from which nothing comes still gets a rate, so that its finish time is far away and not undefined."""
FIRST_BYTE_GRACE_S: Final = 0.5
SURVEYED_WHOLE_MAX: Final = 320
"""Up to so many leases are all looked at in one survey; of more, `LOOKED_AT_MAX` at a time, in turn."""
LOOKED_AT_MAX: Final = 128
COUNTED_ON_S: Final = 2.0
"""A peer whose turn is later than it used to be by more than this is in a queue, and nobody knows how long."""
EXTRAPOLATED_S_MAX: Final = 0.5
UNSTORED_BYTES_MAX: Final = 8 << 20
UNSTORED_S_MAX: Final = 2.0
"""So much may be on its way to the Assembler; what a ride claims to have received beyond that is not believed."""


@dataclass(slots=True)  # not frozen: thousands are made a second, and freezing triples what one costs
class LeaseEstimate:
    """A riding lease as seen now. `left_bytes` from where it reads to its end; `finish_s` when it would be done."""

    lease: Lease
    rate_bytes_s: float
    position_bytes: float
    left_bytes: float
    finish_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRates:
    """All riders at `seen_s`, the one that finishes last first.

    `fronts`: those of them that could only begin at byte 0. `by_lease` and `turn` serve the next survey.
    `coming`: sources whose turn is expected, in so many seconds; `rate_bytes_s` and `left_bytes` count on them. Not on
    those that begin at byte 0: two of them would each wait for the other to do it sooner.
    """

    estimates: list[LeaseEstimate]
    by_lease: dict[int, LeaseEstimate]
    turn: int
    fronts: list[LeaseEstimate]
    seen_s: float
    rate_bytes_s: float
    left_bytes: float
    guess_bytes_s: float
    coming: dict[int, float]

    @property
    def mean_bytes_s(self) -> float:
        """What one of those that ride, or will soon, sends on average."""
        return self.rate_bytes_s / max(len(self.estimates) + len(self.coming), 1)

    def finish_with(self, rate_bytes_s: float, setup_s: float, *, now_s: float, joining: int = -1) -> float:
        """The common finish time when one more source of this rate joins after its set-up time. `joining`: its
        number, so that it is not counted twice when it was expected."""
        total, left = self.rate_bytes_s + rate_bytes_s, self.left_bytes + rate_bytes_s * setup_s
        if joining in self.coming and rate_bytes_s > 0:
            total -= rate_bytes_s
            left -= rate_bytes_s * self.coming[joining]
        if total <= 0:
            return now_s + setup_s
        return now_s + left / total


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCounts:
    """`source_count`: sources not banned, at least 1. `front_kept`: one may only be able to begin at byte 0.
    `budget_spent_count`: sources that may not be stopped once more."""

    source_count: int
    front_kept: bool
    budget_spent_count: int
    seen_s: float


def count_sources(sources: dict[int, Source], *, now_s: float) -> SourceCounts:
    """Count the sources. O(sources), in one pass: it stands in the longest steps there are."""
    count = budget_spent_count = 0
    front_kept = False
    for source in sources.values():
        count += source.state is not SourceState.BANNED
        budget_spent_count += source.budget_spent
        if not front_kept and source.usable:
            front_kept = not (source.probed and source.traits.offset_ok)
    return SourceCounts(
        source_count=max(1, count), front_kept=front_kept, budget_spent_count=budget_spent_count, seen_s=now_s
    )


def estimate_rates(
    tracker: ChunkTracker,
    sources: dict[int, Source],
    chunk_size: int,
    *,
    now_s: float,
    before: SourceRates | None = None,
    waiting: Iterable[Source] = (),
    small_bytes: float = 0.0,
) -> SourceRates:
    """Look at every riding lease once, O(leases). With very many, at some of them: what `before` says of the others
    was true a moment ago. `waiting`: sources whose turn has not come; those that will be there soon are counted on.
    `small_bytes`: see `_unsent`."""
    leases = [lease for lease in tracker.leases.values() if not lease.draining]
    many = len(leases) > SURVEYED_WHOLE_MAX
    old = before.by_lease if before is not None and many else {}
    remote_queue = 1 + len(leases) // LOOKED_AT_MAX if many else 1
    turn = (before.turn + 1) % remote_queue if before is not None else 0
    guess = before.guess_bytes_s if before is not None and turn > 0 else 0.0
    guess = guess or _typical_rate(leases, sources)
    estimates: list[LeaseEstimate] = []
    fronts: list[LeaseEstimate] = []
    costly: list[LeaseEstimate] = []
    rate, left = 0.0, float(tracker.free.count * chunk_size)
    for lease in leases:
        estimate = old.get(lease.id) if lease.id % remote_queue != turn else None
        source = sources[lease.source]
        if estimate is None:
            estimate = estimate_lease(lease, source, guess, chunk_size, now_s=now_s)
        estimates.append(estimate)
        if not source.traits.offset_ok:
            fronts.append(estimate)
        if source.traits.abort_is_costly:
            costly.append(estimate)
        rate += estimate.rate_bytes_s
        if lease.rival is None or lease.rival > lease.id:  # the second of a duel counts nothing new
            left += estimate.left_bytes
    coming: dict[int, float] = {}
    for source in waiting:
        coming_s = source.enqueued_s + source.traits.restart_cost_s - now_s
        if source.enqueued and source.traits.offset_ok and coming_s > -COUNTED_ON_S:
            hoped = source.rate_bytes_s or guess
            rate += hoped
            coming[source.id] = max(coming_s, 0.0)
            left += hoped * coming[source.id]
    if costly and rate > 0:
        restarts = [(estimate, sources[estimate.lease.source].traits.restart_cost_s) for estimate in costly]
        left += _unsent(restarts, tracker, rate, left, small_bytes + chunk_size / 2, now_s=now_s)
    estimates.sort(key=_finish, reverse=True)
    return SourceRates(
        estimates=estimates,
        by_lease={estimate.lease.id: estimate for estimate in estimates} if many else {},
        turn=turn,
        fronts=fronts,
        seen_s=now_s,
        rate_bytes_s=rate,
        left_bytes=left,
        guess_bytes_s=guess,
        coming=coming,
    )


def _unsent(
    restarts: list[tuple[LeaseEstimate, float]],
    tracker: ChunkTracker,
    rate: float,
    left: float,
    small_bytes: float,
    *,
    now_s: float,
) -> float:
    """Bytes that `rate` counts on and that will not come: of each ride (with what a new start of its source costs)
    that ends before the common finish time what its source does not send while it starts anew, or all it could still
    send when that is less than `small_bytes`, for then it is not asked again. Who touches free chunks rides on.

    Without this everybody who is placed early is done before the others, who have yet to start once more.
    """
    unsent = 0.0
    for _ in range(2):  # what is found makes the finish later, and so itself a little more
        until_s = now_s + (left + unsent) / rate
        unsent = 0.0
        for estimate, restart_s in restarts:
            idle_s = until_s - estimate.finish_s
            if idle_s > 0 and estimate.lease.stop not in tracker.free:
                again = estimate.rate_bytes_s * (idle_s - restart_s) > small_bytes
                unsent += estimate.rate_bytes_s * (restart_s if again else idle_s)
    return unsent


def _typical_rate(leases: list[Lease], sources: dict[int, Source]) -> float:
    """What somebody unknown probably sends, bytes a second; 0 when nothing is known.

    The median, which no single mirror moves. Users differ so much that half of them send next to nothing: there the
    mean is what their sum is reckoned with.
    """
    known = sorted([lease.rate_bytes_s for lease in leases if lease.rate_bytes_s > 0])
    known = known or sorted([source.rate_bytes_s for source in sources.values() if source.rate_bytes_s > 0])
    if known and any(sources[lease.source].traits.abort_is_costly for lease in leases):
        return sum(known) / len(known)
    return known[len(known) // 2] if known else 0.0


_finish = operator.attrgetter("finish_s")


def expected_rate(source: Source, rates: SourceRates) -> float:
    """What this source will probably send: measured, known from before, or like the others (0: nobody knows)."""
    return source.rate_bytes_s or rates.guess_bytes_s


def estimate_lease(
    lease: Lease, source: Source, guess_bytes_s: float, chunk_size: int, *, now_s: float
) -> LeaseEstimate:
    """One riding lease as seen now. Called a thousand times in a step: hence no helpers, no min() and max()."""
    start_bytes, stop_bytes, stored_bytes = lease.first * chunk_size, lease.stop * chunk_size, lease.next * chunk_size
    begin_s = now_s
    if lease.received_bytes > 0:
        rate = lease.rate_bytes_s if lease.rate_bytes_s >= 0 else (source.rate_bytes_s or guess_bytes_s)
        # The watchdog speaks a few times a second; between its words the ride goes on.
        age_s = now_s - lease.measured_s
        come = (
            lease.received_bytes
            - lease.lead_in_bytes
            + rate * (age_s if age_s < EXTRAPOLATED_S_MAX else EXTRAPOLATED_S_MAX)
        )
    else:
        traits = source.traits
        expected = traits.grant_cost_s if traits.abort_is_costly else traits.restart_cost_s
        late = now_s - lease.granted_s > 2 * expected + FIRST_BYTE_GRACE_S
        rate, come = 0.0 if late else (source.rate_bytes_s or guess_bytes_s), 0.0 - lease.lead_in_bytes
        if lease.granted_s + expected > now_s:
            begin_s = lease.granted_s + expected
    lead_in = -come if come < 0 else 0.0
    position = start_bytes + come if come > 0 else float(start_bytes)
    believed = stored_bytes + UNSTORED_BYTES_MAX + chunk_size + UNSTORED_S_MAX * rate
    position = believed if position > believed else position
    position = float(stored_bytes) if position < stored_bytes else position
    if position >= stop_bytes:
        # Where nothing has grown for long, what it claims to have received is lost on the way.
        lost = stop_bytes > stored_bytes and now_s - lease.grown_s > UNSTORED_S_MAX
        position = float(stored_bytes if lost else stop_bytes)
    left = stop_bytes - position + lead_in
    return LeaseEstimate(
        lease, rate, position, left, begin_s + left / (rate if rate > CRAWL_BYTES_S else CRAWL_BYTES_S)
    )


# What a placement looks at, and the plain questions it asks about it. Nothing here changes anything.


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementView:
    """Everything a placement looks at. `opened_chunks`: missing at the start. `budgets_bind` False: no other can go on,
    so a source whose stops are spent may ride anywhere."""

    tracker: ChunkTracker
    sources: dict[int, Source]
    rates: SourceRates
    counts: SourceCounts
    chunk_size: int
    opened_chunks: int
    now_s: float
    budgets_bind: bool = True


def lead_in_chunks(source: Source, first: int) -> int:
    """Chunks a source must read and drop before it reaches `first`: none where offsets are honoured."""
    if source.traits.offset_ok:
        return 0
    return first - source.position if source.position <= first else first


def start_cost_s(view: PlacementView, source: Source, first: int) -> float:
    """Time from grant to the first byte that counts."""
    rate = source.rate_bytes_s or view.rates.mean_bytes_s
    lead = lead_in_chunks(source, first) * view.chunk_size
    if lead and rate <= 0:
        rate = 1e6  # nobody measured anything yet: the least bad guess
    return source.start_cost_s + (lead / rate if lead else 0.0)


def finish_with(view: PlacementView, source: Source, setup_s: float) -> float:
    """The common finish time when this source joins so late."""
    return view.rates.finish_with(source.rate_bytes_s, setup_s, now_s=view.now_s, joining=source.id)


def could_bytes(view: PlacementView, source: Source, first: int) -> float:
    """What a source of known rate could send from `first` on until the common finish time; below 0: it comes late."""
    setup_s = start_cost_s(view, source, first)
    return source.rate_bytes_s * (finish_with(view, source, setup_s) - view.now_s - setup_s)


def claim_bytes(view: PlacementView, estimate: LeaseEstimate, *, joining: Source | None = None) -> float:
    """What a ride could do until the common finish time beyond the end of its lease."""
    rates = view.rates
    until_s = finish_with(view, joining, 0.0) if joining else rates.finish_with(0.0, 0.0, now_s=view.now_s)
    share = estimate.rate_bytes_s * (until_s - view.now_s)
    return max(0.0, share - estimate.left_bytes)


def claim_chunks(view: PlacementView, estimate: LeaseEstimate, *, joining: Source) -> int:
    return math.floor(claim_bytes(view, estimate, joining=joining) / view.chunk_size)


def bound_to_end(view: PlacementView, source: Source) -> bool:
    """Whether this source may only ride to the end of the file: its stops are spent."""
    return source.budget_spent and (view.budgets_bind or source.budget_spent_today)


def lease_ending_at(view: PlacementView, first: int) -> LeaseEstimate | None:
    """The ride that could go on into the gap that begins at `first`."""
    for lease in view.tracker.leases.values():
        if lease.stop == first and lease.rival is None and is_open(view, lease):
            return estimate_now(view, lease)
    return None


def estimate_now(view: PlacementView, lease: Lease) -> LeaseEstimate:
    """A ride as it stands at this moment."""
    return estimate_lease(
        lease, view.sources[lease.source], view.rates.guess_bytes_s, view.chunk_size, now_s=view.now_s
    )


def is_open(view: PlacementView, lease: Lease) -> bool:
    """Whether a rider seen a moment ago still holds something that others could fetch too."""
    return lease.id in view.tracker.leases and not lease.draining and not lease.shared and lease.open_chunks > 0
