"""The riding part of a job: leases granted, measured, extended, cut, fought for, ended.

Owned by one `DispatchState`, which tells it what happened. Invariant: that of `Board`, and: a source with a lease is
busy with exactly that lease; a worker that was told to stop stays busy until it answers or its time is over.
"""

from typing import Final, assert_never

from actors.core import place
from actors.core.board import UNBOUNDED, Board, Lease
from actors.core.fleet import LOOKED_AT_MAX, Census, Fleet, census, look, survey
from actors.core.outbox import Outbox
from actors.core.report import Reporter
from actors.core.standing import Source, SourceTraits, Standing, blame, delivered
from protocol.faults import FaultKind
from protocol.messages import (
    ChunksRepeated,
    ChunksStored,
    DispatcherWanted,
    JobNoted,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    RateCapped,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    Ticked,
)
from protocol.post import dispatcher_address

LEASE_S_MAX: Final = 20.0
"""A lease of which nothing was heard for so long has expired: no lease trusts delivery."""
EXPIRE_EVERY_S: Final = 1.0
SERVED_PER_STEP: Final = 2
"""So many sources get a lease in one step; the rest follow in the next, so that no step is long."""
SURVEY_FRESH_MAX: Final = 64
"""Up to so many leases are looked at for every placement; with more, one look serves `SURVEY_S`."""
SURVEY_S: Final = 0.1
CENSUS_S: Final = 1.0
EXTEND_AHEAD_S: Final = 1.0
YOUNG_S: Final = 2.0
"""The rate of a ride younger than this is mixed with what its source showed before: limiters begin with a burst."""
MEASURE_AGE_S: Final = 0.05
"""What the watchdog says is on average so old when it is heard."""


class Riding:
    """`sources` is shared with the owner, who alone adds to it."""

    def __init__(
        self, job: DispatcherWanted, board: Board, sources: dict[int, Source], report: Reporter, out: Outbox
    ) -> None:
        self.job = job
        self.board = board
        self.sources = sources
        self.report = report
        self.size_bytes = -1
        self._out = out
        self._fleet: Fleet | None = None
        self._stale = True
        self._census: Census | None = None
        self._idle = set(sources)
        self._expired_s = 0.0
        self._opened_chunks = board.missing

    def joined(self, source: Source) -> None:
        """One more source, or one whose worker was started anew."""
        self._idle.add(source.id)
        self._census = None

    def stored(self, message: ChunksStored, *, now_s: float) -> None:
        board = self.board
        lease = self._hear(message.lease, now_s)
        if lease is not None:
            lease.grown_s = now_s
        first, stop = message.first, message.first + message.count
        change = board.store(message.lease, first, stop)
        source = self.sources.get(message.source)
        if source is not None and change.new:
            count = sum(end - begin for begin, end in change.new)
            source.chunks += count
            source.bytes_stored += message.length_bytes
            delivered(source)
            self.report.stored(source, change.new, message.length_bytes)
            if self.job.verbose:
                self._out.extend(self.report.arrivals(source, change.new, board, lease))
        for other in change.trimmed:
            trimmed = LeaseTrimmed(job=self.job.job, source=other.source, lease=other.id, stop=other.stop)
            self._out.post(self.sources[other.source].worker, trimmed)
        for other in change.lost:
            self._hang_up(other, now_s)
        if change.lost or change.trimmed:
            self._stale = True

    def repeated(self, message: ChunksRepeated, *, now_s: float) -> None:
        """Nothing new, but the ride is that much further."""
        self._hear(message.lease, now_s)
        self.board.store(message.lease, message.first, message.first + message.count)

    def measured(self, message: SourceMeasured, *, now_s: float) -> None:
        lease = self._hear(message.lease, now_s)
        if lease is None:
            return
        source = self.sources[lease.source]
        if message.received_bytes > lease.received_bytes:
            lease.received_bytes, lease.grown_s = message.received_bytes, now_s
        lease.measured_s = now_s - MEASURE_AGE_S
        if message.rate_bytes_s >= 0:
            lease.rate_bytes_s = _tempered(lease, message.rate_bytes_s, source.traits.restart_cost_s, now_s)
        if message.rate_bytes_s > 0:
            source.rate_bytes_s = lease.rate_bytes_s
        if message.setup_s > 0 and lease.lead_in_bytes == 0:
            learned = (source.traits.restart_cost_s + message.setup_s) / 2
            source.traits = SourceTraits(restart_cost_s=learned, offset_ok=source.traits.offset_ok)
        self._extend_if_near(lease, source, now_s)

    def _extend_if_near(self, lease: Lease, source: Source, now_s: float) -> None:
        board = self.board
        if self.job.mode != "swarm" or lease.draining or lease.stop not in board.free:
            return
        rider = look(lease, source, 0.0, self.job.chunk_size, now_s=now_s)
        if rider.finish_s - now_s > max(EXTEND_AHEAD_S, 2 * source.traits.restart_cost_s):
            return
        stop = place.extension(self._view(now_s), rider)
        if stop is not None:
            board.extend(lease, stop)
            self._stale = True
            self._out.post(source.worker, LeaseExtended(job=self.job.job, source=source.id, lease=lease.id, stop=stop))

    def lease_over(self, message: LeaseFinished | LeaseReleased, *, now_s: float) -> bool:
        """A worker is done with its lease. False: it speaks of one that is long forgotten."""
        source = self.sources.get(message.source)
        if source is None or source.busy != message.lease:
            return False
        self._free(source)
        source.stops += message.stopped
        lease = self.board.leases.get(message.lease)
        progressed = message.handed_stop > lease.first if lease is not None else False
        self.report.ride_over(message.received_bytes)
        if lease is not None:
            lease.received_bytes = max(lease.received_bytes, message.received_bytes)
            lease.heard_s = now_s
            self._learn_rate(source, lease, now_s)
            self.board.drain(lease, message.handed_stop)
        self._stale = True
        match message:
            case LeaseFinished():
                if lease is not None and not progressed and self.board.total != UNBOUNDED:
                    detail = "ended without a single chunk"
                    self.blame(source, FaultKind.SHORT_BODY, detail, 0.0, False, now_s=now_s)
                source.position = message.handed_stop if source.traits.offset_ok or not message.stopped else 0
            case LeaseReleased():
                fault = FaultKind(message.fault)
                self.blame(source, fault, message.detail, message.retry_after_s, progressed, now_s=now_s)
                source.position = message.handed_stop if source.traits.offset_ok else 0
        return True

    def _learn_rate(self, source: Source, lease: Lease, now_s: float) -> None:
        """A ride that ended before the watchdog could judge it is judged by itself, when nothing better is known."""
        kept = lease.received_bytes - lease.lead_in_bytes
        if source.rate_bytes_s <= 0 and kept > 0:
            took_s = max(now_s - lease.granted_s - source.traits.restart_cost_s, 0.01)
            source.rate_bytes_s = lease.received_bytes / took_s

    def slow(self, message: SourceSlowed | SourceStalled, *, now_s: float) -> None:
        """Take the lease from a source that crawls, if there is somebody better to give it to."""
        lease = self.board.leases.get(message.lease)
        if lease is None or lease.draining:
            return
        source = self.sources[lease.source]
        match message:
            case SourceSlowed(rate_bytes_s=rate):
                if not any(other.usable and other.probed and other is not source for other in self.sources.values()):
                    return  # the only one left: slow is better than nothing
                kind, detail = FaultKind.SLOW, f"slow: {rate / 1024:.1f} KB/s"
            case SourceStalled(silent_s=silent_s):
                kind, detail = FaultKind.STALLED, f"stalled: no byte for {silent_s:.0f} s"
        progressed = lease.next > lease.first
        self._take_back(lease, now_s)
        self.blame(source, kind, detail, 0.0, progressed, now_s=now_s)

    def lost(self, source: Source, detail: str, *, now_s: float) -> None:
        """The worker of this source is gone."""
        for lease in list(self.board.leases.values()):
            if lease.source == source.id and not lease.draining:
                self.report.ride_over(lease.received_bytes)
                self.board.end(lease)
        self._stale = True
        self._free(source)
        source.lost_s, source.position = now_s, 0
        self.blame(source, FaultKind.LOST, detail, 0.0, True, now_s=now_s)

    def expire(self, now_s: float) -> None:
        """Leases and workers of which nothing was heard for too long. Looks once a second."""
        if now_s - self._expired_s < EXPIRE_EVERY_S:
            return
        self._expired_s = now_s
        for lease in [each for each in self.board.leases.values() if now_s - each.heard_s > LEASE_S_MAX]:
            if lease.draining:
                self.board.end(lease)
                continue
            self._take_back(lease, now_s)
            source = self.sources[lease.source]
            self.blame(source, FaultKind.LOST, "its worker fell silent", 0.0, False, now_s=now_s)
        for source in self.sources.values():
            if source.busy is None or source.busy in self.board.leases:
                continue
            if now_s - source.busy_since_s > 2 * LEASE_S_MAX:
                self._free(source)

    def revoke_all(self, now_s: float) -> None:
        """Everybody hangs up; the board is left as it is, the job is ending."""
        for lease in list(self.board.leases.values()):
            if not lease.draining:
                self._hang_up(lease, now_s)

    def draining(self) -> bool:
        return any(lease.draining for lease in self.board.leases.values())

    def left_s(self, now_s: float) -> float:
        """Seconds until everything is stored at today's rates, -1 when nobody can say."""
        if self.size_bytes < 0:
            return -1.0
        fleet = self._view(now_s).fleet
        return fleet.finish_with(0.0, 0.0, now_s=now_s) - now_s if fleet.rate_bytes_s > 0 else -1.0

    @property
    def size_unknown(self) -> bool:
        return self.board.total == UNBOUNDED

    def learn_size(self, size_bytes: int) -> None:
        """The size became known at the end of a body."""
        self.size_bytes = size_bytes
        self.board.learn_total(-(-size_bytes // self.job.chunk_size))
        self._stale = True

    def blame(
        self, source: Source, kind: FaultKind, detail: str, retry_after_s: float, progressed: bool, *, now_s: float
    ) -> None:
        """Apply a fault's policy; tell people when the source is out."""
        blame(source, kind, detail, retry_after_s=retry_after_s, progressed=progressed, now_s=now_s)
        self._census = None
        if kind is not FaultKind.REVOKED and not source.usable and self.job.watcher:
            text = f"{source.name}: {source.standing.value}: {detail}"
            self._out.post(self.job.watcher, JobNoted(job=self.job.job, text=text))

    # -- granting

    def serve(self, now_s: float) -> None:
        """Give work to sources that have none, the fastest first."""
        ready = [self.sources[number] for number in self._idle if self.sources[number].ready(now_s)]
        # While there is free work, those that can only begin at byte 0 choose first: the front is all they can use.
        any_offset = not self.board.free
        ready.sort(key=lambda source: (source.traits.offset_ok or any_offset, -source.rate_bytes_s, source.id))
        served = 0
        for source in ready:
            placement = place.place(self.job.mode, self._view(now_s), source)
            if placement is not None:
                self._grant(source, placement, now_s)
                served += 1
                if served == SERVED_PER_STEP:
                    self._out.post(dispatcher_address(self.job.job), Ticked())
                    return
            elif self.job.mode != "swarm" or (source.traits.offset_ok and not self.board.free):
                return  # what the fastest cannot better, nobody can

    def _grant(self, source: Source, placement: place.Placement, now_s: float) -> None:
        board = self.board
        match placement:
            case place.FreeRun(first, stop):
                lease = board.grant(source.id, first, stop, now_s=now_s)
            case place.Shared(first, stop):
                lease = board.grant(source.id, first, stop, now_s=now_s, shared=True)
            case place.Tail(victim, first):
                lease = board.grant_tail(victim, source.id, first, now_s=now_s)
                trimmed = LeaseTrimmed(job=self.job.job, source=victim.source, lease=victim.id, stop=victim.stop)
                self._out.post(self.sources[victim.source].worker, trimmed)
            case place.Duel(victim, ousted):
                if ousted is not None:
                    self._take_back(ousted, now_s)
                lease = board.grant_duel(victim, source.id, now_s=now_s)
            case _:
                assert_never(placement)
        self._stale = True
        lease.prior_rate_bytes_s = source.rate_bytes_s
        lease.lead_in_bytes = place.lead_in_chunks(source, lease.first) * self.job.chunk_size
        source.standing = Standing.ACTIVE
        source.busy, source.busy_since_s = lease.id, now_s
        self._idle.discard(source.id)
        source.leases += 1
        if self.job.limit_bytes_s and source.leases == 1:
            # An equal share to begin with; the watchdog shares out what is really used from its next look on.
            share = self.job.limit_bytes_s / max(len(self.sources), self.job.sources_expected, 1)
            self._out.post(source.worker, RateCapped(job=self.job.job, source=source.id, rate_bytes_s=share))
        granted = LeaseGranted(
            job=self.job.job,
            source=source.id,
            lease=lease.id,
            first=lease.first,
            stop=lease.stop,
            size_bytes=self.size_bytes,
        )
        self._out.post(source.worker, granted)

    def _view(self, now_s: float) -> place.View:
        board, fleet = self.board, self._fleet
        fresh = len(board.leases) <= SURVEY_FRESH_MAX and self._stale
        age_s_max = SURVEY_S if len(board.leases) <= LOOKED_AT_MAX else 2 * SURVEY_S
        if fleet is None or fresh or now_s - fleet.seen_s >= age_s_max:
            before, chunk_size = self._fleet, self.job.chunk_size
            fleet = self._fleet = survey(board, self.sources, chunk_size, now_s=now_s, before=before)
            self._stale = False
        counted = self._census
        if counted is None or now_s - counted.seen_s >= CENSUS_S:
            counted = self._census = census(self.sources, now_s=now_s)
        return place.View(
            board=board,
            sources=self.sources,
            fleet=fleet,
            census=counted,
            chunk_size=self.job.chunk_size,
            opened_chunks=self._opened_chunks,
            now_s=now_s,
        )

    # -- small things

    def _take_back(self, lease: Lease, now_s: float) -> None:
        self.board.end(lease)
        self._hang_up(lease, now_s)
        self._stale = True

    def _free(self, source: Source) -> None:
        source.busy = None
        self._idle.add(source.id)

    def _hear(self, lease_id: int, now_s: float) -> Lease | None:
        lease = self.board.leases.get(lease_id)
        if lease is not None:
            lease.heard_s = now_s
        return lease

    def _hang_up(self, lease: Lease, now_s: float) -> None:
        source = self.sources[lease.source]
        source.busy_since_s = now_s  # its answer is awaited from now on
        self._out.post(source.worker, LeaseRevoked(job=self.job.job, source=lease.source, lease=lease.id))


def _tempered(lease: Lease, rate_bytes_s: float, setup_s: float, now_s: float) -> float:
    """The measured rate, mixed with the source's earlier one while the ride is young."""
    if lease.prior_rate_bytes_s <= 0:
        return rate_bytes_s
    trust = min(max((now_s - lease.granted_s - setup_s) / YOUNG_S, 0.0), 1.0)
    return trust * rate_bytes_s + (1 - trust) * lease.prior_rate_bytes_s
