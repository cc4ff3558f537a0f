"""Granting of leases: idle sources get a range, a check or a place in a user's queue, and workers their orders.

Where a source is placed is decided in `placement`, whether one more user is disturbed in `gate`, what is checked in
`identity`. Owned by the `Leases` of a job.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from actors.core.dispatch import placement as place
from actors.core.dispatch import stop_cost
from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.finish_time import SURVEYED_WHOLE_MAX, estimate_lease
from actors.core.dispatch.gate import Decision, UserGate
from actors.core.dispatch.identity.checks import Check, compared_bytes, span_bytes
from actors.core.dispatch.identity.content import ContentChecks
from actors.core.dispatch.placement_view import PlacementViewCache, keeps_end, lead_in_chunks
from actors.core.dispatch.remote_queue import RemoteQueue
from actors.core.dispatch.sources import FailurePolicy, IdleOrder, Source, SourceState
from actors.core.outbox import Outbox
from protocol.messages import CapRate, LeaseExtended, LeaseGranted, LeaseRevoked, LeaseTrimmed, StartJob, Ticked
from protocol.messages.addresses import dispatcher_address
from protocol.model.faults import FaultKind

SERVED_PER_STEP: Final = 2
"""Sources that get a lease in one step; the rest follow in the next, so that no step is long."""
CHECKS_PER_STEP: Final = 4
"""The same of checks."""
BEGUN_S_MAX: Final = 2.0
"""How long a source whose first answer stands open waits for another's lease there to bring its first bytes."""
REFUSED_MAX: Final = 8
"""Idle sources in a row, the fastest first, that find no place among very many leases: then no other will."""
LOOKED_AT_MIN: Final = 64
LOOKED_AT_SHARE: Final = 64
"""Of more idle sources beside a complete file this share (1/64) is looked at in one step, in turn."""
REFUSED_S: Final = 0.2
"""How long one of them is not placed again, unless further chunks become free: a survey may be as old."""


class Grants:
    """Granted leases and asked queue places of one job.

    `store`: which store process holds the part file. `size_bytes` -1: unknown. `limit_bytes_s` 0: none.
    """

    def __init__(
        self,
        job: StartJob,
        tracker: ChunkTracker,
        sources: dict[int, Source],
        out: Outbox,
        *,
        failures: FailurePolicy,
        remote_queue: RemoteQueue,
        content: ContentChecks,
        views: PlacementViewCache,
    ) -> None:
        self.size_bytes = -1
        self.store = 0
        self.limit_bytes_s = job.spec.limit_bytes_s
        self.gate = UserGate(job, tracker, sources, views)
        self.idle = IdleOrder(sources)
        self._job = job
        self._tracker = tracker
        self._sources = sources
        self._out = out
        self._failures = failures
        self._remote_queue = remote_queue
        self._content = content
        self._views = views
        self._refused: set[int] = set()
        self._refused_s, self._refused_free = float("-inf"), 0  # when, and beside how many free chunks
        self._was_complete = False
        self._looked_at = 0  # idle sources before this one had nothing to check of the complete file

    def serve(self, now_s: float) -> None:
        """Give work to idle sources, see `IdleOrder.ready`; peers that would get some are asked for an upload."""
        # While there is free work, those that can only begin at byte 0 choose first: the front is all they can use.
        any_offset, served, checked = not self._tracker.free, 0, 0
        ready = self.idle.ready(now_s, any_offset=any_offset)
        refused = self._refused_lately(now_s)
        refusals_left = REFUSED_MAX if refused is not None else -1
        before, self._was_complete = self._was_complete, self._tracker.complete
        if self._tracker.complete:
            self._serve_complete(ready, now_s, first=not before)
            return
        self.gate.sized(self.size_bytes)
        for source in ready:
            if checked == CHECKS_PER_STEP:
                self._out.post(dispatcher_address(self._job.job), Ticked())
                return
            if refused and source.id in refused:
                refusals_left -= 1
                if refusals_left == 0:
                    return
                continue
            # A link may be good for one request: what its first answer brings is read before it is asked again.
            # Then a check, which takes no chunk from the open answers of others, shows if it gives a second one.
            stays = source.answered_once and source.stands and self._tracker.is_missing(source.position)
            if self._waits_for_others(source) or (stays and self._begun_by_another(source, now_s)):
                continue
            if not stays and self._serve_check(source, now_s, urgent=True):
                checked += source.busy is not None  # a user may only have been asked for a place
                continue
            was_open, passed = self.gate.is_open, self.gate.decide(source, now_s)
            if self.gate.is_open and not was_open:
                self._share_out(source, now_s)
            if passed in (Decision.HOLD, Decision.SAMPLE):
                self._wait_or_sample(source, passed, now_s)
                continue
            shut = passed is Decision.SHUT
            placement = None if shut else self.gate.place(self._job.spec.mode, source, now_s)
            check_first = placement is None or (source.answered_once and not place.goes_on(source, placement))
            if check_first and not shut and self._serve_check(source, now_s, urgent=False):
                checked += source.busy is not None
                continue
            if refused is not None and placement is None and not shut and source.traits.offset_ok and not source.peer:
                refused.add(source.id)
                refusals_left -= 1
                if refusals_left == 0:
                    return
            if placement is None and source.budget_spent_today and not self._views.view(now_s).budgets_bind:
                self._remote_queue.dequeue(source)
                self.fail(source, FaultKind.TOO_MANY_FILES, stop_cost.SPENT_TODAY, now_s=now_s)
            elif placement is None and source.ticket >= 0:
                self._remote_queue.decline(source, now_s)
            elif placement is not None and source.peer and source.ticket < 0:
                self._remote_queue.enqueue(source, now_s)
                self._views.changed()  # it is counted on from now on
            elif placement is not None:
                self._grant(source, placement, now_s)
                served += 1
                if served == SERVED_PER_STEP:
                    self._out.post(dispatcher_address(self._job.job), Ticked())
                    return
            elif (
                not shut
                and not source.preferred
                and (
                    self._job.spec.mode not in ("swarm", "race")
                    or (source.traits.offset_ok and not self._tracker.free and not source.peer)
                )
            ):
                return  # what the fastest cannot better, no other can

    def _refused_lately(self, now_s: float) -> set[int] | None:
        """Return the idle sources that found neither place nor check a moment ago; None: leases are few, all are tried.

        It is to be added to. Each of thousands of leases that end would try the same eight again by the same survey.
        """
        if len(self._tracker.leases) <= SURVEYED_WHOLE_MAX:
            return None
        free, before = self._tracker.free.count, self._refused_free
        self._refused_free = free
        if free > before or self._content.in_doubt or self._content.plan.suspects:
            self._refused.clear()
        if not 0 <= now_s - self._refused_s < REFUSED_S:
            self._refused, self._refused_s = set(), now_s
        return self._refused

    def _waits_for_others(self, source: Source) -> bool:
        """Whether it had another file under this name before, and others are there that did not.

        The source that the order names, and one that the user prefers, never wait.
        """
        if not source.odd or source.ticket >= 0 or source.preferred or source.id == self._content.identity.anchor:
            return False
        return any(each.usable and not each.odd for each in self._sources.values())

    def _begun_by_another(self, source: Source, now_s: float) -> bool:
        """Whether a lease that was granted just now, of which nothing has come yet, has the chunk where it stands.

        Where that source is refused, the one that stands there goes on; one that can begin nowhere else is not waited
        for.
        """
        return any(
            lease.first <= source.position < lease.stop
            and lease.next == lease.first
            and self._sources[lease.source].traits.offset_ok >= source.traits.offset_ok
            and not lease.received_bytes
            and now_s - lease.granted_s < BEGUN_S_MAX
            for lease in self._tracker.leases.values()
        )

    def _serve_complete(self, ready: Iterable[Source], now_s: float, *, first: bool) -> None:
        """All is there: idle sources read stored chunks again where that proves something, offers are declined.

        `first`: it is since this step. What there is to check of very many ranges is looked for in a step of its own.
        """
        if first and self._content.plan.has_many_ranges:
            self._out.post(dispatcher_address(self._job.job), Ticked())
            return
        may_ask, idle = self._content.may_ask(self._tracker, now_s=now_s), list(ready)
        count = max(LOOKED_AT_MIN, len(idle) // LOOKED_AT_SHARE)
        begin = self._looked_at if len(idle) > count else 0
        self._looked_at = (begin + count) % max(len(idle), 1)
        for at, source in enumerate(idle):
            has_turn = may_ask and (source.ticket >= 0 or (at - begin) % len(idle) < count)
            if has_turn and any(self._serve_check(source, now_s, urgent=urgent) for urgent in (True, False)):
                self._looked_at = 0  # the fastest first again
            elif source.ticket >= 0:
                self._remote_queue.decline(source, now_s)

    def _wait_or_sample(self, source: Source, passed: Decision, now_s: float) -> None:
        """Ask a user early for a place in its queue, hold what it offers, or have it send the end of the file."""
        if source.peer and source.ticket < 0:
            self._remote_queue.enqueue(source, now_s)
        elif passed is Decision.SAMPLE:
            lease = self._tracker.grant_sample(source.id, self.gate.sample_first(source), now_s=now_s)
            self._hand_over(source, lease, now_s)

    def _share_out(self, first: Source, now_s: float) -> None:
        """Free what users hold beyond the next seconds: the gate has opened, from now on all share the file."""
        view = self._views.view(now_s)
        for lease in list(self._tracker.leases.values()):
            if lease.draining or lease.shared or lease.rival is not None:
                continue
            holder = self._sources[lease.source]
            if not holder.traits.abort_is_costly or keeps_end(view, lease):
                continue
            estimate = estimate_lease(lease, holder, 0.0, self._job.spec.chunk_size, now_s=now_s)
            ahead_bytes = max(place.EXTENSION_S_MAX * estimate.rate_bytes_s, view.chunk_size)
            stop = max(int((estimate.position_bytes + ahead_bytes) // view.chunk_size) + 1, lease.next + 1)
            if stop < lease.stop:
                self._tracker.shrink(lease, stop)
                self.trim(lease)
        for source in self._sources.values():  # the first to be placed is to count on all of them
            known = source.peer and source.ticket < 0 and source.rate_bytes_s > 0 and source is not first
            if known and source.is_ready(now_s):
                self._remote_queue.enqueue(source, now_s)
        self._views.changed()

    def _serve_check(self, source: Source, now_s: float, *, urgent: bool) -> bool:
        """Let a source read one stored chunk once more, where that proves something."""
        check = self._content.next_check(source, self._tracker, urgent=urgent, now_s=now_s)
        if check is None and not urgent:
            check = self._content.sealing.forced_check(source, self._tracker, now_s=now_s)
        if check is None or (source.peer and source.ticket < 0):
            if check is not None:
                self._content.invited(check)
                self._remote_queue.enqueue(source, now_s)
            return check is not None
        self._grant_check(source, check, now_s, urgent=urgent)
        return True

    def _grant_check(self, source: Source, check: Check, now_s: float, *, urgent: bool) -> None:
        lease = self._tracker.grant_check(source.id, check.chunk, check.count, now_s=now_s)
        self._content.granted(check, lease, urgent=urgent)
        self._hand_over(source, lease, now_s)

    def trim(self, lease: Lease) -> None:
        """Tell the worker of a lease where its end is now."""
        source = self._sources[lease.source]
        source.trims += 1
        overlap = self._moved_overlap(lease)
        trimmed = LeaseTrimmed(job=self._job.job, source=lease.source, lease=lease.id, stop=lease.stop, overlap=overlap)
        self._out.post(source.worker, trimmed)

    def extend(self, lease: Lease, stop: int) -> None:
        """Let a lease go on to `stop`."""
        self._tracker.extend(lease, stop)
        self._views.changed()
        overlap = self._moved_overlap(lease)
        extended = LeaseExtended(job=self._job.job, source=lease.source, lease=lease.id, stop=stop, overlap=overlap)
        self._out.post(self._sources[lease.source].worker, extended)

    def _moved_overlap(self, lease: Lease) -> int:
        """Return the chunks to read behind an end that was moved.

        A transfer that began as an open answer has none yet, and the range of another lease may begin there.
        """
        source = self._sources[lease.source]
        if source.stands and not (lease.overlap or lease.check):
            self._overlap(source, lease, moved=True)
        return lease.overlap

    def _overlap(self, source: Source, lease: Lease, *, moved: bool = False) -> int:
        """Note what the lease reads behind its end. Returns the bytes of a span of this source, 0: whole chunks."""
        lease.overlap = self._content.overlaps.overlap_of(source, lease, self._tracker, moved=moved)
        lease.overlap_bytes = lease.overlap * compared_bytes(source, self._job.spec.chunk_size)
        return span_bytes(source, self._job.spec.chunk_size)

    def _grant(self, source: Source, placement: place.Placement, now_s: float) -> None:
        tracker = self._tracker
        match placement:
            case place.FreeRange(first, stop):
                rides_out = place.rides_out(self._views.view(now_s), source, stop)
                lease = tracker.grant(source.id, first, stop, now_s=now_s)
                if rides_out:
                    tracker.extend(lease, tracker.total)
            case place.Shared(first, stop):
                lease = tracker.grant(source.id, first, stop, now_s=now_s, shared=True)
            case place.Tail(victim, first):
                lease = tracker.grant_tail(victim, source.id, first, now_s=now_s)
                self.trim(victim)
            case place.Duplicate(victim, replaced):
                if replaced is not None:
                    self.revoke(replaced, now_s)
                lease = tracker.grant_duplicate(victim, source.id, now_s=now_s)
            case _:
                assert_never(placement)
        self._hand_over(source, lease, now_s)

    def _hand_over(self, source: Source, lease: Lease, now_s: float) -> None:
        """The source's worker is to read this lease."""
        self._views.changed()
        source.stands &= lease.first == source.position  # another request ends that answer
        source.begins_at = source.begins_at if lease.check else -1
        lease.prior_rate_bytes_s = 0.0 if source.rate_guessed else source.rate_bytes_s
        lease.lead_in_bytes = lead_in_chunks(source, lease.first) * self._job.spec.chunk_size
        if source.peer:
            self._remote_queue.accept(source)
        source.state = SourceState.ACTIVE
        source.busy, source.busy_since_s = lease.id, now_s
        self.idle.discard(source.id)
        source.leases += 1
        source.rides += not lease.check
        if self.limit_bytes_s and source.leases == 1:
            # An equal share to begin with; the rate monitor shares out what is really used from its next tick on.
            share = self.limit_bytes_s / max(len(self._sources), self._job.source_count, 1)
            self._out.post(source.worker, CapRate(job=self._job.job, source=source.id, rate_bytes_s=share))
        span, check = self._overlap(source, lease), self._content.plan.checking.get(lease.id)
        spanned = check is not None and check.span_bytes > 0
        granted = LeaseGranted(
            chunk_size=self._job.spec.chunk_size,
            job=self._job.job,
            source=source.id,
            lease=lease.id,
            first=lease.first,
            stop=lease.first if spanned else lease.stop,
            size_bytes=self.size_bytes,
            store=self.store,
            from_start=not source.traits.offset_ok,
            lead=self._content.overlaps.lead_of(source, lease, self._tracker),
            overlap=lease.overlap,
            span_bytes=span if check is None or spanned else 0,
            span_at=check.span_at if check is not None else 0,
        )
        self._out.post(source.worker, granted)

    def revoke(self, lease: Lease, now_s: float) -> None:
        """End this lease; what is on its way from its worker may still be stored."""
        self._tracker.end(lease)
        self.send_revoke(lease, now_s)
        self._views.changed()

    def make_idle(self, source: Source) -> None:
        """Note that this source does nothing and holds no offer."""
        source.busy, source.ticket = None, -1
        if source.peer and source.state is SourceState.ACTIVE:
            source.state = SourceState.CANDIDATE
        self.idle.add(source.id)

    def send_revoke(self, lease: Lease, now_s: float) -> None:
        """Have the worker stop; the tracker is left as it is."""
        source = self._sources[lease.source]
        source.busy_since_s = now_s  # its answer is awaited from now on
        self._out.post(source.worker, LeaseRevoked(job=self._job.job, source=lease.source, lease=lease.id))

    def fail(
        self,
        source: Source,
        kind: FaultKind,
        detail: str,
        *,
        retry_after_s: float = 0.0,
        progressed: bool = False,
        now_s: float,
    ) -> None:
        """Apply the policy of a fault."""
        self._failures.record_failure(
            source, kind, detail, retry_after_s=retry_after_s, progressed=progressed, now_s=now_s
        )
        self._views.recount()
