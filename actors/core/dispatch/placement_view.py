"""Placement view: the snapshot of leases, sources and rates that a placement decides on, and questions about it.

A survey of the leases and a count of the sources, each as fresh as it has to be. Nothing here changes anything.
"""

import math
from typing import Final

from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.finish_time import (
    CRAWL_BYTES_S,
    LOOKED_AT_MAX,
    LeaseEstimate,
    SourceCounts,
    SourceRates,
    advertised_share,
    count_sources,
    estimate_lease,
    estimate_rates,
)
from actors.core.dispatch.identity.checks import compared_bytes
from actors.core.dispatch.sources import Source
from protocol.messages import StartJob
from protocol.model.value import Struct

SURVEY_FRESH_MAX: Final = 64
"""Up to this many leases are surveyed again for every placement; with more, one survey serves `SURVEY_S`."""
SURVEY_S: Final = 0.1
SURVEY_NEW_MAX: Final = 1024
"""Leases that are estimated for the first time in one survey."""
COUNTS_S: Final = 1.0
COUNTED_MAX: Final = 256
"""Up to this many sources are counted again whenever one comes or goes; more of them `RECOUNT_S` apart."""
RECOUNT_S: Final = 0.25
UNMEASURED_BYTES_S: Final = 1e6
"""Rate of a lead-in before anything is measured: the least bad guess."""
STARTS_KEPT_S: Final = 10.0
"""A source that has not begun by then finds its place like others."""
HOPELESS_S: Final = 60.0
"""A protected lease that needs longer may be duplicated in the end."""
SPENT_GAIN_S: Final = 30.0
SPENT_GAIN_SHARE: Final = 0.5
"""A budget of stops that deaths of ours spent yields where that saves this many seconds, and this share of the rest."""
SMALL_SHARE: Final = 0.13
SMALL_FIRST_SHARE: Final = 0.03
"""A lease of less than this share of a mean source's part is not worth one more start of a source whose aborts are
costly. It may be smaller while that was not stopped yet."""


class PlacementView(Struct, frozen=True, kw_only=True):
    """Snapshot that a placement decides on."""

    tracker: ChunkTracker
    sources: dict[int, Source]
    rates: SourceRates
    counts: SourceCounts
    chunk_size: int
    opened_chunks: int  # missing at the start
    now_s: float
    starts: dict[int, Source] | None = None  # chunks that are kept for sources to begin at, see `spread`
    race_users: int = 1 << 30  # costly sources that a race disturbs at a time
    budgets_bind: bool = True  # False: no other source can go on, so one whose stops are spent may go anywhere


class PlacementViewCache:
    """Maker of views that surveys no more often than needed. Owned by one `Leases`, whose parts it reads."""

    def __init__(self, job: StartJob, tracker: ChunkTracker, sources: dict[int, Source]) -> None:
        self._job = job
        self._tracker = tracker
        self._sources = sources
        self._rates: SourceRates | None = None
        self._stale = True
        self._counts: SourceCounts | None = None
        self._recount_s = 0.0
        self._opened_chunks = tracker.missing
        self._peers: list[Source] = []
        self._spread_s: float | None = None

    @property
    def is_spread(self) -> bool:
        """Whether fast sources begin apart in this job."""
        return self._spread_s is not None

    def spread(self, now_s: float) -> None:
        """Chunks are kept for sources to begin at, from now on for a while."""
        self._spread_s = now_s
        self._recount_s = 0.0

    def _starts(self, now_s: float) -> dict[int, Source] | None:
        if self._spread_s is None:
            return None
        if now_s - self._spread_s > STARTS_KEPT_S:
            return {}
        free = self._tracker.free
        return {each.begins_at: each for each in self._peers if each.begins_at in free and each.usable}

    def changed(self) -> None:
        """Leases came, went or moved."""
        self._stale = True

    def recount(self) -> None:
        """Sources came or went."""
        self._recount_s = 0.0 if len(self._sources) <= COUNTED_MAX else RECOUNT_S

    def view(self, now_s: float) -> PlacementView:
        tracker, rates, chunk_size = self._tracker, self._rates, self._job.spec.chunk_size
        counts = self._counts
        if counts is None or now_s - counts.seen_s >= self._recount_s:
            counts = self._counts = count_sources(self._sources, now_s=now_s)
            self._recount_s = COUNTS_S
            self._peers = [source for source in self._sources.values() if source.peer]
        fresh = len(tracker.leases) <= SURVEY_FRESH_MAX and self._stale
        age_s_max = SURVEY_S if len(tracker.leases) <= LOOKED_AT_MAX else 2 * SURVEY_S
        grown = rates is not None and len(tracker.leases) - len(rates.estimates) > SURVEY_NEW_MAX
        if rates is None or fresh or grown or now_s - rates.seen_s >= age_s_max:
            rates = estimate_rates(
                tracker,
                self._sources,
                chunk_size,
                now_s=now_s,
                before=rates,
                peers=self._peers,
                share=advertised_share(self._peers) if self.is_spread else 0.0,
                small_bytes=_small_bytes(self._opened_chunks * chunk_size, counts),
            )
            self._rates, self._stale = rates, False
        return PlacementView(
            tracker=tracker,
            sources=self._sources,
            rates=rates,
            counts=counts,
            chunk_size=chunk_size,
            opened_chunks=self._opened_chunks,
            now_s=now_s,
            starts=self._starts(now_s),
            race_users=self._job.spec.policy.race_users,
            budgets_bind=not counts.budget_spent_count
            or (self._others_can_go_on() and not self._spent_save_much(rates)),
        )

    def _others_can_go_on(self) -> bool:
        """Return whether the job goes on without sources whose stops are spent, be it slowly."""
        leasing = {lease.source for lease in self._tracker.leases.values() if not lease.draining}
        able = {source.id for source in self._sources.values() if source.usable and not source.budget_spent}
        return bool(leasing | able)

    def _spent_save_much(self, rates: SourceRates) -> bool:
        """Return whether sources whose stops were spent by deaths of ours would save far more than a stop is worth.

        The quick ones may all be among them, and a slow one is left to send the rest alone. Stops that were decided
        here are never more than the budget: who was placed badly twice is not stopped a third time to mend that.
        """
        spare = [
            each
            for each in self._sources.values()
            if each.usable and each.busy is None and each.budget_spent and not each.budget_spent_today
            if each.stops_inherited > 0
        ]
        spare_bytes_s = sum(each.rate_bytes_s for each in spare)
        # What is left without them: those that were asked for an upload are counted on already.
        coming = [each for each in spare if each.id in rates.coming]
        rate_bytes_s = rates.rate_bytes_s - sum(each.rate_bytes_s for each in coming)
        left_bytes = rates.left_bytes - sum(each.rate_bytes_s * rates.coming[each.id] for each in coming)
        # Nor what a source that begins at byte 0 reads and drops: others cannot spare it that.
        left_bytes -= sum(max(each.lease.lead_in_bytes - each.lease.received_bytes, 0) for each in rates.fronts)
        if spare_bytes_s <= 0 or rate_bytes_s <= 0:
            return False
        left_s = left_bytes / rate_bytes_s
        saved_s = left_s - left_bytes / (rate_bytes_s + spare_bytes_s)
        return (
            saved_s >= max(2 * self._job.spec.policy.patience_s, SPENT_GAIN_S) and saved_s >= SPENT_GAIN_SHARE * left_s
        )


def _small_bytes(opened_bytes: int, counts: SourceCounts) -> tuple[float, float]:
    """Return the size below which a lease is not worth a start, of a source never stopped and of one that was."""
    part_bytes = opened_bytes / counts.source_count
    return SMALL_FIRST_SHARE * part_bytes, SMALL_SHARE * part_bytes


def small_bytes(view: PlacementView, source: Source) -> float:
    """Return the size below which a lease of this source is not worth one more start where another goes on into it."""
    return _small_bytes(view.opened_chunks * view.chunk_size, view.counts)[source.stops > 0]


def lead_in_chunks(source: Source, first: int) -> int:
    """Return the chunks a source must read and drop before `first`: none where offsets are honoured."""
    if source.traits.offset_ok:
        return 0
    return first - source.position if source.position <= first else first


def start_cost_s(view: PlacementView, source: Source, first: int) -> float:
    """Return the time from grant to the first byte that counts."""
    lead = lead_in_chunks(source, first) * view.chunk_size
    rate = source.rate_bytes_s or view.rates.mean_bytes_s
    return source.start_cost_s + (
        lead / (max(rate, CRAWL_BYTES_S) if rate > 0 else UNMEASURED_BYTES_S) if lead else 0.0
    )


def finish_with(view: PlacementView, source: Source, setup_s: float) -> float:
    """Return the common finish time when this source joins after `setup_s`."""
    return view.rates.finish_with(source.rate_bytes_s, setup_s, now_s=view.now_s, joining=source.id)


def expected_rate(view: PlacementView, source: Source) -> float:
    """Return the probable rate of this source: measured, known, as it says, or like the others' (0: no idea)."""
    says = source.advertised_bytes_s * view.rates.advertised_share
    return source.rate_bytes_s or says or view.rates.guess_bytes_s


def could_bytes(view: PlacementView, source: Source, first: int) -> float:
    """Return what a source of known rate could send from `first` until the common finish time; below 0: it is late."""
    setup_s = start_cost_s(view, source, first)
    return source.rate_bytes_s * (finish_with(view, source, setup_s) - view.now_s - setup_s)


def claim_bytes(view: PlacementView, estimate: LeaseEstimate, *, joining: Source | None = None) -> float:
    """Return what a source could send beyond the end of its lease until the common finish time."""
    rates = view.rates
    until_s = finish_with(view, joining, 0.0) if joining else rates.finish_with(0.0, 0.0, now_s=view.now_s)
    source = view.sources[estimate.lease.source]
    share = estimate.rate_bytes_s * (until_s - view.now_s) - overlap_bytes(view, source)
    return max(0.0, share - estimate.left_bytes)


def overlap_bytes(view: PlacementView, source: Source) -> int:
    """Return what a lease reads into its neighbour's range, to prove that both have the same file."""
    if not source.traits.abort_is_costly or (source.rides > 1 and not source.compares_again(view.chunk_size)):
        return 0
    return compared_bytes(source, view.chunk_size)


def claim_chunks(view: PlacementView, estimate: LeaseEstimate, *, joining: Source) -> int:
    """Return the same in whole chunks, with one more source."""
    return math.floor(claim_bytes(view, estimate, joining=joining) / view.chunk_size)


def bound_to_end(view: PlacementView, source: Source) -> bool:
    """Return whether this source may only go to the end of the file: its stops are spent."""
    return source.budget_spent and (view.budgets_bind or source.budget_spent_today)


def keeps_end(view: PlacementView, lease: Lease) -> bool:
    """Return whether this lease is left as it is: its source has no stop left, and sends the file to its end."""
    return view.sources[lease.source].budget_spent and lease.stop == view.tracker.total


def lease_ending_at(view: PlacementView, first: int) -> LeaseEstimate | None:
    """Return the lease that could be extended into the gap beginning at `first`."""
    for lease in view.tracker.ending_at(first):
        if lease.rival is None and is_open(view, lease):
            return estimate_now(view, lease)
    return None


def estimate_now(view: PlacementView, lease: Lease) -> LeaseEstimate:
    """Estimate a lease as it is at this moment."""
    source, rates = view.sources[lease.source], view.rates
    guess, share = rates.guess_bytes_s, rates.advertised_share
    return estimate_lease(lease, source, guess, view.chunk_size, share=share, now_s=view.now_s)


def is_open(view: PlacementView, lease: Lease) -> bool:
    """Return whether a lease seen a moment ago still holds something that others could fetch too."""
    return lease.id in view.tracker.leases and not lease.draining and not lease.shared and lease.open_chunks > 0
