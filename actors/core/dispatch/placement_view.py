"""What a placement looks at: a survey of the rides and a count of the sources, each as fresh as it has to be."""

from typing import Final

from actors.core.dispatch import placement, stop_cost
from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.finish_time import (
    LOOKED_AT_MAX,
    PlacementView,
    SourceCounts,
    SourceRates,
    count_sources,
    estimate_rates,
)
from actors.core.dispatch.sources import Source
from protocol.messages import StartDispatcher

SURVEY_FRESH_MAX: Final = 64
"""Up to so many leases are looked at for every placement; with more, one look serves `SURVEY_S`."""
SURVEY_S: Final = 0.1
COUNTS_S: Final = 1.0


class PlacementViewCache:
    """Owned by one `Leases`, whose board and sources it shares and does not change."""

    def __init__(self, job: StartDispatcher, tracker: ChunkTracker, sources: dict[int, Source]) -> None:
        self._job = job
        self._board = tracker
        self._sources = sources
        self._rates: SourceRates | None = None
        self._stale = True
        self._counts: SourceCounts | None = None
        self._opened_chunks = tracker.missing
        self._peers: list[Source] = []

    def changed(self) -> None:
        """Leases came, went or moved."""
        self._stale = True

    def recount(self) -> None:
        """Sources came or went."""
        self._counts = None

    def view(self, now_s: float) -> PlacementView:
        tracker, rates, chunk_size = self._board, self._rates, self._job.chunk_size
        counted = self._counts
        if counted is None or now_s - counted.seen_s >= COUNTS_S:
            counted = self._counts = count_sources(self._sources, now_s=now_s)
            self._peers = [source for source in self._sources.values() if source.peer]
        fresh = len(tracker.leases) <= SURVEY_FRESH_MAX and self._stale
        age_s_max = SURVEY_S if len(tracker.leases) <= LOOKED_AT_MAX else 2 * SURVEY_S
        if rates is None or fresh or now_s - rates.seen_s >= age_s_max:
            small_bytes = stop_cost.small_ride_bytes(self._opened_chunks * chunk_size, counted.source_count)
            rates = estimate_rates(
                tracker,
                self._sources,
                chunk_size,
                now_s=now_s,
                before=rates,
                waiting=self._peers,
                small_bytes=small_bytes,
            )
            self._rates, self._stale = rates, False
        return PlacementView(
            tracker=tracker,
            sources=self._sources,
            rates=rates,
            counts=counted,
            chunk_size=chunk_size,
            opened_chunks=self._opened_chunks,
            now_s=now_s,
            budgets_bind=not counted.budget_spent_count or self._others_can_go_on(rates, now_s),
        )

    def _others_can_go_on(self, rates: SourceRates, now_s: float) -> bool:
        """Whether the job goes on without sources whose stops are spent. Who reads and drops what lies before its run
        for long does not bring it on."""
        dropping = {
            estimate.lease.source
            for estimate in rates.fronts
            if estimate.lease.received_bytes < estimate.lease.lead_in_bytes
            and estimate.finish_s - now_s > placement.HOPELESS_S
        }
        leases = {lease.source for lease in self._board.leases.values() if not lease.draining}
        able = {source.id for source in self._sources.values() if source.usable and not source.budget_spent}
        return bool((leases | able) - dropping)
