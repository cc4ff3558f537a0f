"""Finish-time estimates: how fast each lease is filled, and when all of them together would be done.

Rates are bytes a second, times seconds of the caller's clock. Nothing here changes anything.
"""

import math
import operator
from collections.abc import Iterable
from typing import Final

from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.sources import Source, SourceState
from protocol.model.value import Struct

CRAWL_BYTES_S: Final = 1.0
"""Least rate of a lease from which nothing comes, so that its finish time is far away and not undefined."""
FIRST_BYTE_GRACE_S: Final = 0.5
"""A first byte may come this much later than twice the usual set-up time before its source counts as silent."""
SURVEYED_WHOLE_MAX: Final = 320
"""Up to this many leases all are looked at in one survey; of more, `LOOKED_AT_MAX` at a time in slices."""
LOOKED_AT_MAX: Final = 128
ADVERTISED_WEIGHT: Final = 2
"""That users send what they advertise counts like this number of measured ones."""
COUNTED_ON_S: Final = 2.0
"""A peer whose upload is later than usual by more than this is in a queue, and its length is unknown."""
EXTRAPOLATED_S_MAX: Final = 0.5
"""Measurements come a few times a second; a transfer is assumed to go on for no longer than this without one."""
UNSTORED_BYTES_MAX: Final = 8 << 20
UNSTORED_S_MAX: Final = 2.0
"""Bytes, and seconds at the lease's rate, that may be on their way to the Assembler; what is reported as received
beyond that is not believed."""


# not frozen: thousands are made a second, and freezing triples what one costs
class LeaseEstimate(Struct):
    """A lease as seen now: `left_bytes` from where it reads to its end, `finish_s` when it would be done.

    `is_front`: its source can only begin at byte 0.
    """

    lease: Lease
    rate_bytes_s: float
    position_bytes: float
    left_bytes: float
    finish_s: float
    is_front: bool


class SourceRates(Struct, frozen=True, kw_only=True):
    """Estimates of all leases at `seen_s`, and the sums that placements need."""

    estimates: list[LeaseEstimate]  # the latest finish first
    cuttable: list[LeaseEstimate]  # of them those that hold more than the chunk they are reading
    by_lease: dict[int, LeaseEstimate]  # kept for the next survey, of many leases only
    slice_at: int
    fronts: list[LeaseEstimate]  # those whose source can only begin at byte 0
    seen_s: float
    rate_bytes_s: float  # with what `coming` sources will send
    left_bytes: float
    guess_bytes_s: float  # of a source that was never measured; 0: no idea
    advertised_share: float  # of what sources say of their speed, what they are expected to send
    guessed_share: float  # of `rate_bytes_s`, what sources of unknown rate are expected to send
    # Sources whose upload is expected, in this many seconds. Not those that begin at byte 0: two of them would each
    # wait for the other to do it sooner.
    coming: dict[int, float]

    @property
    def mean_bytes_s(self) -> float:
        """Mean rate of the sources that send, or will soon."""
        return self.rate_bytes_s / max(len(self.estimates) + len(self.coming), 1)

    def finish_with(self, rate_bytes_s: float, setup_s: float, *, now_s: float, joining: int = -1) -> float:
        """Return the common finish time when one more source of this rate joins after its set-up time.

        `joining`: its number, so that it is not counted twice when it was expected.
        """
        total, left = self.rate_bytes_s + rate_bytes_s, self.left_bytes + rate_bytes_s * setup_s
        if joining in self.coming and rate_bytes_s > 0:
            total -= rate_bytes_s
            left -= rate_bytes_s * self.coming[joining]
        return now_s + (left / max(total, CRAWL_BYTES_S) if total > 0 else setup_s)


class SourceCounts(Struct, frozen=True, kw_only=True):
    """Numbers of sources by what matters to placements."""

    source_count: int  # not banned, at least 1
    front_kept: bool  # one may only be able to begin at byte 0
    budget_spent_count: int  # may not be stopped once more
    seen_s: float
    any_preferred: bool = False


def count_sources(sources: dict[int, Source], *, now_s: float) -> SourceCounts:
    """Count the sources. O(sources), in one pass: it stands in the longest steps there are."""
    count = spent_count = 0
    front_kept = any_preferred = False
    for source in sources.values():
        if source.preferred:
            any_preferred = True
        if source.state is not SourceState.BANNED:
            count += 1
        if source.budget_spent:
            spent_count += 1
        if not (front_kept or (source.probed and source.traits.offset_ok)):
            front_kept = source.usable
    return SourceCounts(
        source_count=max(1, count),
        front_kept=front_kept,
        budget_spent_count=spent_count,
        seen_s=now_s,
        any_preferred=any_preferred,
    )


def estimate_rates(
    tracker: ChunkTracker,
    sources: dict[int, Source],
    chunk_size: int,
    *,
    now_s: float,
    before: SourceRates | None = None,
    peers: Iterable[Source] = (),
    small_bytes: tuple[float, float] = (0.0, 0.0),
    share: float = 0.0,
) -> SourceRates:
    """Survey every lease once, O(leases). With very many a slice of them: the rest was true a moment `before`.

    `peers`: sources with a queue; those whose upload is expected soon are counted on. `small_bytes`: see `_unsent`, of
    a source that was not stopped yet, and of one that was. `share`: see `advertised_share`, 0: that does not count.
    """
    leases = [lease for lease in tracker.leases.values() if not lease.draining]
    many = len(leases) > SURVEYED_WHOLE_MAX
    slices = 1 + len(leases) // LOOKED_AT_MAX if many else 1
    slice_at = (before.slice_at + 1) % slices if before is not None else 0
    guess = before.guess_bytes_s if before is not None and slice_at > 0 else 0.0
    peers = list(peers)
    users = (bool(peers) or not many) and any(sources[lease.source].traits.abort_is_costly for lease in leases)
    guess = guess or _typical_rate(leases, sources, peers if users else None)
    known = before.by_lease if before is not None and many else {}
    if before is not None and before.guess_bytes_s == 0 < guess:  # the first rate of all is known since then
        _guess_again(known.values(), guess, now_s=now_s)
    # From here on ten thousand leases are gone through, in expressions that look up as little as they can.
    for lease in leases:
        if lease.id % slices == slice_at or lease.id not in known:
            known[lease.id] = estimate_lease(lease, sources[lease.source], guess, chunk_size, share=share, now_s=now_s)
    estimates = [known[lease.id] for lease in leases]
    if len(known) > 2 * len(leases):
        known = {each.lease.id: each for each in estimates}
    fronts = [each for each in estimates if each.is_front]
    costly = [each for each in estimates if sources[each.lease.source].traits.abort_is_costly] if users else []
    rate = sum([each.rate_bytes_s for each in estimates])
    guessed, reading = _sums(estimates, sources)
    left = tracker.free.count * chunk_size + reading
    coming: dict[int, float] = {}
    for source in peers:
        coming_s = source.enqueued_s + source.traits.restart_cost_s - now_s
        if source.enqueued and source.traits.offset_ok and coming_s > -COUNTED_ON_S:
            expected = source.rate_bytes_s or source.advertised_bytes_s * share or guess
            rate += expected
            guessed += 0.0 if source.rate_bytes_s > 0 else expected
            coming[source.id] = max(coming_s, 0.0)
            left += expected * coming[source.id]
    if costly and rate > 0:
        restarts = [_restart(each, sources[each.lease.source], tracker, small_bytes, chunk_size) for each in costly]
        left += _unsent(restarts, tracker, rate, left, now_s=now_s)
    estimates.sort(key=_finish, reverse=True)
    return SourceRates(
        estimates=estimates,
        cuttable=[each for each in estimates if each.lease.stop - each.lease.next > 1] if many else estimates,
        by_lease=known,
        slice_at=slice_at,
        fronts=fronts,
        seen_s=now_s,
        rate_bytes_s=rate,
        left_bytes=left,
        guess_bytes_s=guess,
        advertised_share=share,
        guessed_share=guessed / rate if rate > 0 else 1.0,
        coming=coming,
    )


def _sums(estimates: list[LeaseEstimate], sources: dict[int, Source]) -> tuple[float, float]:
    """Return the rate of sources that were never measured, and the bytes that all leases have yet to read."""
    guessed = reading = 0.0
    for each in estimates:
        lease = each.lease
        if lease.rate_bytes_s <= 0 >= sources[lease.source].rate_bytes_s:
            guessed += each.rate_bytes_s
        if lease.rival is None or lease.rival > lease.id:  # of two duplicates only one counts
            reading += each.left_bytes + lease.overlap_bytes
    return guessed, reading


_finish = operator.attrgetter("finish_s")


def _guess_again(estimates: Iterable[LeaseEstimate], guess_bytes_s: float, *, now_s: float) -> None:
    """Estimate leases of which nothing was known by the first guess: else they would count as dead."""
    for each in estimates:
        if not each.rate_bytes_s:
            each.rate_bytes_s, each.finish_s = guess_bytes_s, now_s + each.left_bytes / guess_bytes_s


def _restart(
    estimate: LeaseEstimate, source: Source, tracker: ChunkTracker, small_bytes: tuple[float, float], chunk_size: int
) -> tuple[LeaseEstimate, float, float]:
    """Return a lease with what a new start of its source costs, and the bytes below which that is not asked again.

    One that is hung up on for the last time is not asked again at all.
    """
    if source.last_stop and (source.budget_spent or estimate.lease.stop < tracker.total):
        return estimate, source.traits.restart_cost_s, math.inf
    stopped = source.stops > 0 or estimate.lease.stop < tracker.total
    return estimate, source.traits.restart_cost_s, small_bytes[stopped] + chunk_size / 2


def _unsent(
    restarts: list[tuple[LeaseEstimate, float, float]],
    tracker: ChunkTracker,
    rate: float,
    left: float,
    *,
    now_s: float,
) -> float:
    """Return bytes that `rate` counts on and that will not come.

    Of each lease (with the cost of a new start of its source) that ends before the common finish time: what its source
    does not send while it starts again, or all it could still send when that is less than its `small_bytes`, for then
    it is not asked again. One that touches free chunks is extended. Without this, sources that are placed early are
    done before the others, who have yet to start once more.
    """
    unsent = 0.0
    for _ in range(2):  # what is found makes the finish later, and so itself a little more
        until_s = now_s + (left + unsent) / max(rate, CRAWL_BYTES_S)
        unsent = 0.0
        for estimate, restart_s, small_bytes in restarts:
            idle_s = until_s - estimate.finish_s
            if idle_s > 0 and estimate.lease.stop not in tracker.free:
                again = estimate.rate_bytes_s * (idle_s - restart_s) > small_bytes
                unsent += estimate.rate_bytes_s * (restart_s if again else idle_s)
    return unsent


def _typical_rate(leases: list[Lease], sources: dict[int, Source], peers: list[Source] | None) -> float:
    """Return the probable rate of an unknown source, bytes a second; 0 when nothing is known.

    `peers` None: no user has a lease.
    The median, which no single mirror moves. Users differ so much that half of them send next to nothing: there the
    mean is what their sum is computed with, of all that are known. Those that send their sample now are the slow ones.
    """
    users = [peer.rate_bytes_s for peer in peers or () if peer.rate_bytes_s > 0]
    if users:
        return sum(users) / len(users)
    known = sorted([lease.rate_bytes_s for lease in leases if lease.rate_bytes_s > 0])
    known = known or sorted([source.rate_bytes_s for source in sources.values() if source.rate_bytes_s > 0])
    if known and peers is not None:
        return sum(known) / len(known)
    return known[len(known) // 2] if known else 0.0


def advertised_share(peers: Iterable[Source]) -> float:
    """Return the part of what users advertise that they send, as those that were measured show; 1 before."""
    said = [each for each in peers if each.advertised_bytes_s > 0]
    if not said:
        return 0.0
    before = ADVERTISED_WEIGHT * sum(each.advertised_bytes_s for each in said) / len(said)
    measured = [each for each in said if each.rate_bytes_s > 0]
    sent, promised = sum(each.rate_bytes_s for each in measured), sum(each.advertised_bytes_s for each in measured)
    return (before + sent) / (before + promised)


def estimate_lease(
    lease: Lease,
    source: Source,
    guess_bytes_s: float,
    chunk_size: int,
    *,
    now_s: float,
    share: float = 0.0,
) -> LeaseEstimate:
    """Estimate one lease as it is now. `share`: the `advertised_share` that counts, 0: nothing that is advertised does.

    Called a thousand times in a step: hence no helpers, no min() and max().
    """
    start_bytes, stop_bytes, stored_bytes = lease.first * chunk_size, lease.stop * chunk_size, lease.next * chunk_size
    begin_s = now_s
    if lease.received_bytes > 0:
        rate = lease.rate_bytes_s
        if rate < 0:
            rate = source.rate_bytes_s or source.advertised_bytes_s * share or guess_bytes_s
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
        rate, come = 0.0, 0.0 - lease.lead_in_bytes
        if not late:
            rate = source.rate_bytes_s or source.advertised_bytes_s * share or guess_bytes_s
        if lease.granted_s + expected > now_s:
            begin_s = lease.granted_s + expected
    lead_in = -come if come < 0 else 0.0
    position = start_bytes + come if come > 0 else float(start_bytes)
    believed = stored_bytes + UNSTORED_BYTES_MAX + chunk_size + UNSTORED_S_MAX * rate
    position = believed if position > believed else position
    position = float(stored_bytes) if position < stored_bytes else position
    if position >= stop_bytes:
        # Where nothing has grown for long, what it reported as received is lost on the way.
        lost = stop_bytes > stored_bytes and now_s - lease.grown_s > UNSTORED_S_MAX
        position = float(stored_bytes if lost else stop_bytes)
    left = stop_bytes - position + lead_in
    crawl = rate if rate > CRAWL_BYTES_S else CRAWL_BYTES_S
    finish_s = begin_s + (left + lease.overlap_bytes) / crawl
    return LeaseEstimate(lease, rate, position, left, finish_s, not source.traits.offset_ok)
