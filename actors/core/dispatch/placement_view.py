"""What a placement looks at: a survey of the rides and a count of the sources, each as fresh as it has to be."""

from typing import Final

from actors.core.dispatch import placement, stop_cost
from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.finish_time import LOOKED_AT_MAX, Census, SourceRates, View, census, survey
from actors.core.dispatch.sources import Source
from protocol.messages import StartDispatcher

SURVEY_FRESH_MAX: Final = 64
"""Up to so many leases are looked at for every placement; with more, one look serves `SURVEY_S`."""
SURVEY_S: Final = 0.1
CENSUS_S: Final = 1.0


class PlacementView:
    """Owned by one `Leases`, whose board and sources it shares and does not change."""

    def __init__(self, job: StartDispatcher, board: ChunkTracker, sources: dict[int, Source]) -> None:
        self._job = job
        self._board = board
        self._sources = sources
        self._fleet: SourceRates | None = None
        self._stale = True
        self._census: Census | None = None
        self._opened_chunks = board.missing
        self._peers: list[Source] = []

    def changed(self) -> None:
        """Leases came, went or moved."""
        self._stale = True

    def recount(self) -> None:
        """Sources came or went."""
        self._census = None

    def view(self, now_s: float) -> View:
        board, fleet, chunk_size = self._board, self._fleet, self._job.chunk_size
        counted = self._census
        if counted is None or now_s - counted.seen_s >= CENSUS_S:
            counted = self._census = census(self._sources, now_s=now_s)
            self._peers = [source for source in self._sources.values() if source.peer]
        fresh = len(board.leases) <= SURVEY_FRESH_MAX and self._stale
        age_s_max = SURVEY_S if len(board.leases) <= LOOKED_AT_MAX else 2 * SURVEY_S
        if fleet is None or fresh or now_s - fleet.seen_s >= age_s_max:
            small_bytes = stop_cost.small_ride_bytes(self._opened_chunks * chunk_size, counted.source_count)
            fleet = survey(
                board,
                self._sources,
                chunk_size,
                now_s=now_s,
                before=fleet,
                waiting=self._peers,
                small_bytes=small_bytes,
            )
            self._fleet, self._stale = fleet, False
        return View(
            board=board,
            sources=self._sources,
            fleet=fleet,
            census=counted,
            chunk_size=chunk_size,
            opened_chunks=self._opened_chunks,
            now_s=now_s,
            patient=not counted.spent_count or self._somebody_else(fleet, now_s),
        )

    def _somebody_else(self, fleet: SourceRates, now_s: float) -> bool:
        """Whether the job goes on without sources whose stops are spent. Who reads and drops what lies before its run
        for long does not bring it on."""
        dropping = {
            rider.lease.source
            for rider in fleet.fronts
            if rider.lease.received_bytes < rider.lease.lead_in_bytes and rider.finish_s - now_s > placement.HOPELESS_S
        }
        riding = {lease.source for lease in self._board.leases.values() if not lease.draining}
        able = {source.id for source in self._sources.values() if source.usable and not source.spent}
        return bool((riding | able) - dropping)
