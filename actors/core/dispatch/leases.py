"""Lease management of a job: what leases bring, how fast they are, their extension and their end.

They are granted in `granting`. Owned by one `DispatchState`, which passes on what happened. Invariant: that of
`ChunkTracker`, and: a source with a lease is busy with exactly that lease; a worker that was stopped stays busy until
it answers or its time is over.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from actors.core.dispatch import placement as place
from actors.core.dispatch import stop_cost
from actors.core.dispatch.admission import BODIES_MAX
from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.finish_time import estimate_lease
from actors.core.dispatch.granting import Grants
from actors.core.dispatch.identity.content import ContentChecks
from actors.core.dispatch.placement_view import PlacementViewCache
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.remote_queue import RemoteQueue
from actors.core.dispatch.sources import (
    FailurePolicy,
    Source,
    learn_rate,
    learn_setup,
    note_received,
    record_delivery,
    tempered,
)
from actors.core.outbox import Outbox
from protocol.messages import (
    BoundariesChecked,
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ContainerBroken,
    ContainerChecked,
    LeaseFinished,
    LeaseReleased,
    PeerDelivered,
    SizeLearned,
    SourceChanged,
    SourceMeasured,
    SourceSlowed,
    SourcesMeasured,
    SourceStalled,
    SpanCompared,
    StartJob,
)
from protocol.messages.addresses import ASSEMBLER, PEER_HISTORY
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import FaultKind
from protocol.model.limits import LIMITER_QUOTA_S

LEASE_S_MAX: Final = 20.0
"""A lease without any report for this long has expired: no lease trusts delivery."""
EXPIRE_EVERY_S: Final = 1.0
EXTEND_AHEAD_S: Final = 1.0
"""A lease is extended this long before its end, or twice what a start costs, so that its worker reads on."""

RIDE_OUT_S: Final = 2.0
"""A complete file waits this long at most for a transfer that ends by itself, but for that of a user whose stops of the
day are spent. Samples are the last part of the file,
which the one that sends the rest reads again, for a limiter's quota or two."""

Dispute = ChunkDisputed | SpanCompared
ContainerReport = BoundariesChecked | ContainerChecked | ContainerBroken
Measured = SourceMeasured | SourcesMeasured
TransferReport = ContainerReport | ChunksStored | ChunksRepeated | Dispute | Measured | SourceSlowed | SourceStalled


class Leases:
    """Leases of one job. `sources` is shared with the owner, which alone adds to it."""

    def __init__(
        self,
        job: StartJob,
        tracker: ChunkTracker,
        sources: dict[int, Source],
        report: Reporter,
        out: Outbox,
        *,
        failures: FailurePolicy,
        remote_queue: RemoteQueue,
        content: ContentChecks,
    ) -> None:
        self.job = job
        self.content = content
        self.tracker = tracker
        self.sources = sources
        self.report = report
        self._out = out
        self._remote_queue = remote_queue
        self._views = PlacementViewCache(job, tracker, sources)
        self.grants = Grants(
            job, tracker, sources, out, failures=failures, remote_queue=remote_queue, content=content, views=self._views
        )
        self._expired_s = 0.0
        self._answered_again = False
        self._complete_s: float | None = None

    def joined(self, source: Source) -> None:
        """Take in one more source, or one whose worker was started again."""
        if self.content.earlier.bans(source):
            return
        self.grants.idle.add(source.id)
        self._views.recount()

    def changed(self) -> None:
        """Note that the tracker was changed from outside."""
        self._views.changed()

    def handle(self, message: TransferReport, *, now_s: float) -> None:
        """Take a report of the Assembler or the rate monitor."""
        match message:
            case ChunksStored():
                self.stored(message, now_s=now_s)
            case ChunksRepeated():
                self.repeated(message, now_s=now_s)
            case ChunkDisputed():
                self.disputed(message, now_s=now_s)
            case SpanCompared():
                self._compared(message, now_s=now_s)
            case SourceMeasured():
                self.measured(message, now_s=now_s)
            case SourcesMeasured():
                for measured in message.each():
                    self.measured(measured, now_s=now_s)
            case SourceSlowed() | SourceStalled():
                self.too_slow(message, now_s=now_s)
            case BoundariesChecked() | ContainerChecked() | ContainerBroken():
                self._container_checked(message, now_s)

    def stored(self, message: ChunksStored, *, now_s: float) -> None:
        tracker = self.tracker
        lease = self._touch(message.lease, now_s)
        if lease is not None:
            lease.grown_s = now_s
        first, stop = message.first, message.first + message.count
        change = tracker.store(message.lease, first, stop)
        self.content.overlaps.answered(message.lease, first, stop)
        source = self.sources.get(message.source)
        if change.new and self.content.is_excluded(message.source):
            for begin, end in change.new:
                self.tracker.lose(begin, end)
            self.content.exclusion.late(message.source, RangeSet(change.new), tracker)
        elif source is not None and change.new:
            self.content.stored(change.new)
            count = sum(end - begin for begin, end in change.new)
            source.chunks += count
            source.bytes_stored += message.length_bytes
            record_delivery(source)
            if lease is not None and lease.first > 0 and source.traits.offset_ok:
                source.offset_proven = True
            self.report.stored(source, change.new, message.length_bytes)
            if self.job.verbose:
                self._out.extend(self.report.arrivals(source, change.new, tracker, lease))
        for other in change.trimmed:
            self.grants.trim(other)
        for other in change.lost:
            self.grants.send_revoke(other, now_s)
        if change.lost or change.trimmed:
            self._views.changed()

    def repeated(self, message: ChunksRepeated, *, now_s: float) -> None:
        """Note that nothing is new, but the transfer is that much further."""
        lease = self._touch(message.lease, now_s)
        if lease is not None:
            lease.grown_s = now_s
        first, stop = message.first, message.first + message.count
        for begin, end in self.content.exclusion.dropped.gaps(first, stop):
            self.tracker.store(message.lease, begin, end)
        for begin, end in self.content.exclusion.dropped.overlap(first, stop):
            self.tracker.skip(message.lease, begin, end)
        self.expelled(self.content.repeated(message, self.tracker), now_s)

    def disputed(self, message: ChunkDisputed, *, now_s: float) -> None:
        """A chunk came with another digest than the stored one: the lease is that much further all the same."""
        self._touch(message.lease, now_s)
        if self.content.disputed(message, self.tracker, now_s=now_s):
            self.tracker.skip(message.lease, message.chunk, message.chunk + 1)
        else:
            self.tracker.store(message.lease, message.chunk, message.chunk + 1)
        self._end_search(now_s)
        self._views.changed()

    def _compared(self, message: SpanCompared, *, now_s: float) -> None:
        """A span of a stored chunk came: where it differs, its source reads the whole chunk next, and nothing else."""
        lease = self._touch(message.lease, now_s)
        if lease is not None:
            lease.grown_s = now_s
        self.content.compared(message, now_s=now_s)
        if lease is not None and lease.check:
            lease.next = lease.stop
            if lease.draining:
                self.tracker.end(lease)
        elif message.stored and not message.agrees and lease is not None and not lease.draining:
            self.grants.revoke(lease, now_s)
        self._views.changed()

    def _end_search(self, now_s: float) -> None:
        """A difference was found: users who read a stretch to find it are wanted elsewhere, and hung up on anyway."""
        for lease_id in list(self.content.search.asked):
            lease = self.tracker.leases.get(lease_id)
            if lease is not None and not lease.draining and self.sources[lease.source].traits.abort_is_costly:
                self.content.check_lost(lease_id)
                self.grants.revoke(lease, now_s)

    def settle_disputes(self, now_s: float) -> None:
        """Take the place of sources that turned out to have other content."""
        self.expelled(self.content.resolve(self.tracker, now_s=now_s), now_s)

    def _container_checked(self, message: ContainerReport, now_s: float) -> None:
        """Take what the container's own checks say: evidence between two sources, or of the complete file."""
        containers = self.content.containers
        if isinstance(message, BoundariesChecked):
            proven, broken = containers.answered(message)
            for chunk in proven:
                self.content.boundary_proven(chunk)
            for chunk in broken:
                self.content.boundary_broken(chunk)
        elif containers.whole_answered(message) and isinstance(message, ContainerBroken):
            self.expelled(self.content.damaged(message, self.tracker), now_s)

    def expelled(self, sources: Iterable[Source], now_s: float) -> None:
        """These have lost their place: other content."""
        for source in (lost := list(sources)):
            self._expel(source, now_s)
        if lost:
            self._end_search(now_s)
        self._views.recount()
        self._views.changed()

    def _expel(self, source: Source, now_s: float) -> None:
        """Its lease ends now; what is still on its way from it will be dropped."""
        for lease in list(self.tracker.leases.values()):
            if lease.source == source.id:
                if lease.draining:
                    self.tracker.end(lease)
                else:
                    self.grants.revoke(lease, now_s)
        self._remote_queue.dequeue(source)

    def doubt(self, source: Source, *, now_s: float) -> None:
        """Its validator alone is another one than before: it reads again what it had sent before it goes on."""
        self.content.resume.doubt(source, self.report.owned())
        lease = self.tracker.leases.get(source.busy) if source.busy is not None else None
        if source.doubted and lease is not None and not (lease.draining or source.traits.abort_is_costly):
            self.grants.revoke(lease, now_s)

    def source_changed(self, message: SourceChanged, *, now_s: float) -> None:
        """What this source sent to an earlier attempt is of another version of its file, or may be."""
        for source in self.sources.values():
            if source.name == message.source_name and message.unclear:
                self.doubt(source, now_s=now_s)
            elif source.name == message.source_name:
                self.content.exclusion.changed(source, self.tracker, message.detail)
                self.changed()

    def measured(self, message: SourceMeasured, *, now_s: float) -> None:
        lease = self._touch(message.lease, now_s)
        if lease is None:
            return
        source = self.sources[lease.source]
        note_received(lease, message.received_bytes, now_s)
        self._note_second_answer(source, message.received_bytes)
        if message.rate_bytes_s >= 0:
            lease.rate_bytes_s = tempered(lease, message.rate_bytes_s, source.traits.restart_cost_s, now_s)
        if message.rate_bytes_s > 0 and (lease.sample or not lease.check):
            source.rate_bytes_s, source.rate_guessed = lease.rate_bytes_s, False
        if message.setup_s > 0 and lease.lead_in_bytes == 0:
            learn_setup(source, message.setup_s)
        self._extend_if_near(lease, source, now_s)

    def _note_second_answer(self, source: Source, received_bytes: int) -> None:
        """Treat no link of many as good for one request any more, once one of them has answered a second one.

        Should another be refused after all, this one can bring what it leaves.
        """
        many = self.job.source_count > BODIES_MAX and not self._answered_again
        if many and received_bytes > 0 and not (source.answered_once or source.peer):
            self._answered_again = True
            for each in self.sources.values():
                each.answered_once = False

    def _extend_if_near(self, lease: Lease, source: Source, now_s: float) -> None:
        tracker, costly = self.tracker, source.traits.abort_is_costly
        if self.job.spec.mode != "swarm" or lease.draining or lease.stop == tracker.total:
            return
        if lease.stop not in tracker.free and not costly:
            return
        estimate = estimate_lease(lease, source, 0.0, self.job.spec.chunk_size, now_s=now_s)
        overlap_s = lease.overlap_bytes / max(estimate.rate_bytes_s, 1.0)  # it ends before that
        if estimate.finish_s - overlap_s - now_s > max(EXTEND_AHEAD_S, 2 * source.traits.restart_cost_s):
            stop = place.given_back(self._views.view(now_s), estimate) if costly and self.grants.gate.is_open else None
            if stop is not None:
                tracker.shrink(lease, stop)
                self.grants.trim(lease)
                self._views.changed()
            return
        slow = place.overtaken(self._views.view(now_s), estimate, swarm=self.grants.gate.is_open) if costly else None
        if slow is not None:
            self.grants.revoke(slow, now_s)
        stop = place.extension(self._views.view(now_s), estimate)
        if stop is not None:
            self.grants.extend(lease, stop)

    def lease_over(self, message: LeaseFinished | LeaseReleased, *, now_s: float) -> bool:
        """Take a worker's end of its lease. False: it is one that was forgotten long ago."""
        source = self.sources.get(message.source)
        if source is None:
            return False
        if stop_cost.count_stop(source, self.job, message):
            self._views.recount()
        if source.busy != message.lease:
            return False
        self.grants.make_idle(source)
        lease = self.tracker.leases.get(message.lease)
        progressed = message.handed_stop > lease.first if lease is not None else False
        self.content.lease_over(message.lease, read=progressed, now_s=now_s)
        source.handed = source.handed or progressed
        if isinstance(message, LeaseFinished) and lease is not None and message.received_bytes:
            source.answered_once &= source.stands and lease.first == source.position
            self._note_second_answer(source, message.received_bytes)
        self.report.lease_over(message.received_bytes)
        if lease is not None:
            lease.received_bytes = max(lease.received_bytes, message.received_bytes)
            lease.heard_s = now_s
            flowing_s = message.flowing_s if isinstance(message, LeaseFinished) else -1.0
            if lease.sample or not lease.check:  # a single chunk says more of the set-up than of the rate
                learn_rate(source, lease, now_s, flowing_s=flowing_s)
                if source.peer and flowing_s >= 0 and not source.setup_known:  # too short to be measured
                    learn_setup(source, max(now_s - lease.granted_s - flowing_s, 0.0))
            guessed = lease.sample and flowing_s < LIMITER_QUOTA_S  # not to be remembered as known
            if source.peer and progressed and not guessed:
                rate, setup_s = source.rate_bytes_s, source.traits.restart_cost_s
                self._out.post(PEER_HISTORY, PeerDelivered(peer=source.peer, rate_bytes_s=rate, setup_s=setup_s))
            self.content.overlaps.lease_over(lease, message.handed_stop, now_s=now_s)
            self.tracker.drain(lease, message.handed_stop)
        self._views.changed()
        match message:
            case LeaseFinished():
                if lease is not None and not progressed and self.tracker.total != UNBOUNDED:
                    detail = "ended without a single chunk"
                    self.grants.fail(source, FaultKind.SHORT_BODY, detail, now_s=now_s)
                source.position = message.handed_stop if source.traits.offset_ok or not message.stopped else 0
                if lease is not None and lease.overlap_bytes % self.job.spec.chunk_size:
                    source.stands &= message.handed_stop <= lease.stop  # else it is in a chunk's middle
            case LeaseReleased():
                fault = FaultKind(message.fault)
                retry_after_s = message.retry_after_s
                self.grants.fail(
                    source, fault, message.detail, retry_after_s=retry_after_s, progressed=progressed, now_s=now_s
                )
                source.position = message.handed_stop if source.traits.offset_ok else 0
                source.stands = False
        return True

    def too_slow(self, message: SourceSlowed | SourceStalled, *, now_s: float) -> None:
        """Take the lease from a source that crawls, if there is a better one to give it to."""
        lease = self.tracker.leases.get(message.lease)
        if lease is None or lease.draining:
            return
        source = self.sources[lease.source]
        others = (other for other in self.sources.values() if other is not source)
        alone = not any(other.usable and other.probed for other in others)
        if alone and isinstance(message, SourceSlowed):
            return  # the only one left: slow is better than nothing
        if alone and lease.received_bytes == 0 and not source.peer:
            return  # its worker's own, longer limit of the first byte ends it
        kind, detail = _rate_fault(message, received_bytes=lease.received_bytes)
        progressed = lease.next > lease.first
        self.grants.revoke(lease, now_s)
        self.grants.fail(source, kind, detail, progressed=progressed, now_s=now_s)

    def drop(self, source: Source) -> None:
        """End whatever this source was doing: its worker is gone, or goes."""
        for lease in list(self.tracker.leases.values()):
            if lease.source == source.id and not lease.draining:
                self.content.check_lost(lease.id)
                self.report.lease_over(lease.received_bytes)
                self.tracker.end(lease)
        self._views.changed()
        self._views.recount()
        self._remote_queue.dequeue(source)
        self.grants.make_idle(source)
        source.position, source.stands = 0, False

    def expire(self, now_s: float) -> None:
        """End leases, and stop waiting for workers, without a report for too long. Looks once a second."""
        if now_s - self._expired_s < EXPIRE_EVERY_S:
            return
        self._expired_s = now_s
        for lease in [each for each in self.tracker.leases.values() if now_s - each.heard_s > LEASE_S_MAX]:
            self.content.check_lost(lease.id)
            if lease.draining:
                self.tracker.end(lease)
                continue
            self.grants.revoke(lease, now_s)
            self.grants.fail(self.sources[lease.source], FaultKind.LOST, "its worker fell silent", now_s=now_s)
        for source in self.sources.values():
            over = source.busy is not None and source.busy not in self.tracker.leases
            if over and now_s - source.busy_since_s > 2 * LEASE_S_MAX:
                self.grants.make_idle(source)

    def pause(self, now_s: float) -> None:
        """End every lease without waiting for what is on its way: it may not have been stored."""
        for lease in list(self.tracker.leases.values()):
            if lease.draining:
                self.tracker.end(lease)
            else:
                self.grants.revoke(lease, now_s)
        self._views.changed()

    def restore(self, stored: RangeSet) -> RangeSet:
        """Set what is stored, after a pause. Return the chunks that were stored and are not any more."""
        lost = self.tracker.restore(stored)
        self._views.recount()
        self._views.changed()
        return lost

    def revoke_all(self, now_s: float) -> None:
        """Stop every worker; the tracker is left as it is, the job is ending."""
        for lease in list(self.tracker.leases.values()):
            if not lease.draining:
                self.grants.send_revoke(lease, now_s)

    def learn_size(self, size_bytes: int) -> str:
        """Take the size of a file at the end of a body of unknown length. Return what speaks against it."""
        tracker = self.tracker
        assert tracker.total == UNBOUNDED
        total, last = -(-size_bytes // self.job.spec.chunk_size), tracker.stored.last_range()
        if last is not None and last[1] > total:
            return f"sizes differ: a body ended after {size_bytes} bytes, another went on"
        self.grants.size_bytes = self.report.size_bytes = size_bytes
        tracker.learn_total(total)
        self._views.changed()
        self._out.post(ASSEMBLER, SizeLearned(job=self.job.job, size_bytes=size_bytes))
        return ""

    def riding_out(self, now_s: float) -> bool:
        """Whether the complete file waits a moment for a user that is about to send its last byte: that is no stop."""
        if self._complete_s is None or now_s < self._complete_s:
            self._complete_s = now_s
        if self.job.spec.mode != "swarm":
            return False
        for lease in self.tracker.leases.values():
            source = self.sources[lease.source]
            if lease.draining or not source.traits.abort_is_costly or lease.stop < self.tracker.total:
                continue
            estimate = estimate_lease(lease, source, 0.0, self.job.spec.chunk_size, now_s=now_s)
            if (
                lease.received_bytes > 0
                and estimate.finish_s - self._complete_s < RIDE_OUT_S > now_s - self._complete_s
            ):
                return True
            if source.budget_spent_today and not lease.shared:
                return True  # the next stop would be one too many
        return False

    def draining(self) -> bool:
        return any(lease.draining for lease in self.tracker.leases.values())

    def left_s(self, now_s: float) -> float:
        """Return the seconds until everything is stored at present rates, -1 when unknown."""
        if self.grants.size_bytes < 0:
            return -1.0
        rates = self._views.view(now_s).rates
        return rates.finish_with(0.0, 0.0, now_s=now_s) - now_s if rates.rate_bytes_s > 0 else -1.0

    def grant_failed(self, source: Source, kind: FaultKind, detail: str, *, now_s: float) -> None:
        """Take the lease back whose upload came to nothing, if no byte has come yet."""
        lease = self.tracker.leases.get(source.busy) if source.busy is not None else None
        if lease is not None and not lease.draining and lease.received_bytes == 0:
            self.grants.revoke(lease, now_s)
            self.grants.fail(source, kind, detail, now_s=now_s)

    def session_lost(self, now_s: float) -> None:
        """Take back leases whose upload was awaited; those that have bytes go on without the session."""
        for source in self.sources.values():
            if source.peer:
                self.grant_failed(source, FaultKind.LOST, "the soulseek process died", now_s=now_s)

    def _touch(self, lease_id: int, now_s: float) -> Lease | None:
        lease = self.tracker.leases.get(lease_id)
        if lease is not None:
            lease.heard_s = now_s
        return lease


def _rate_fault(news: SourceSlowed | SourceStalled, *, received_bytes: int) -> tuple[FaultKind, str]:
    """Return the fault of a source whose transfer, of which so much has come, is slow or silent."""
    match news:
        case SourceSlowed(rate_bytes_s=rate):
            return FaultKind.SLOW, f"slow: {rate / 1024:.1f} KiB/s"
        case SourceStalled(silent_s=silent_s) if received_bytes == 0:
            return FaultKind.SILENT, f"silent: no first byte for {silent_s:.0f} s"
        case SourceStalled(silent_s=silent_s):
            return FaultKind.STALLED, f"stalled: no byte for {silent_s:.0f} s"
        case _:
            assert_never(news)
