"""Any messages in any order, late, twice or nonsensical: the invariants hold after every step."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.leases import LEASE_S_MAX
from protocol.messages import (
    ChunksRepeated,
    DropChunks,
    FileSealed,
    JobEnded,
    LeaseExtended,
    LeaseGranted,
    LeaseRevoked,
    LeaseTrimmed,
    PartFileClosed,
    PartFileReady,
    SealFile,
    SourceFailed,
    SourceLost,
    StopJob,
    Ticked,
)
from protocol.messages.addresses import POOL, Post
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import CHUNK, joined, probed, wanted
from tests.actors.core.dispatch.replies import finished, measured, released, slowed, stalled, stored

SOURCES = st.integers(0, 4)
TOTAL = 24
CHUNKS = st.integers(0, TOTAL)
LEASES = st.integers(1, 8)
FAULTS = st.sampled_from([kind for kind in FaultKind if kind <= FaultKind.DISPUTED])


class Dispatching(RuleBasedStateMachine):
    """Remembers only what was granted, so that it can play honest workers beside the nonsense."""

    @initialize(mode=st.sampled_from(["swarm", "swarm", "swarm", "queue", "failover", "race"]), expected=SOURCES)
    def begin(self, mode: str, expected: int) -> None:
        self.now_s = 0.0
        self.state = DispatchState(wanted(mode=mode, source_count=expected + 1), now_s=0.0)
        self.state.start()
        self.held: dict[int, LeaseGranted] = {}
        self.held_s: dict[int, float] = {}
        self.stops: dict[int, int] = {}
        self.stored_before = 0
        self.seals = self.ends = 0
        self.opened = False

    def tell(self, message: Any) -> None:
        for post in self.state.handle(message, now_s=self.now_s):
            self.hear(post)

    def hear(self, post: Post) -> None:
        match post.message:
            case LeaseGranted() as granted:
                silent_s = self.now_s - self.held_s.get(granted.source, self.now_s)
                assert granted.source not in self.held or silent_s > 2 * LEASE_S_MAX, "a lease for a busy worker"
                self.held_s[granted.source] = self.now_s
                assert self.state.sources[granted.source].worker == post.to
                assert 0 <= granted.first <= granted.stop
                assert granted.first < granted.stop or granted.span_bytes > 0, f"nothing to read: {granted}"
                self.held[granted.source] = granted
                self.stops[granted.source] = granted.stop
            case (
                LeaseTrimmed(source=source, lease=lease, stop=stop)
                | LeaseExtended(source=source, lease=lease, stop=stop)
            ):
                if source in self.held and self.held[source].lease == lease:
                    assert stop > self.held[source].first
                    self.stops[source] = stop
            case LeaseRevoked(source=source):
                assert self.state.sources[source].worker == post.to
            case DropChunks(firsts=firsts, stops=stops):  # its only source has another version now
                self.stored_before -= sum(stops) - sum(firsts)
            case SealFile():
                assert self.state.leases is not None
                assert self.state.leases.tracker.complete
                self.seals += 1
            case JobEnded(state=state, reason=reason) if post.to != POOL:
                self.ends += 1
                assert state == "sealed" or reason, "an end without a reason"
            case _:
                pass

    # -- an honest world

    @rule(source=SOURCES)
    def join(self, source: int) -> None:
        self.tell(joined(source))

    @rule(source=SOURCES, offset_ok=st.booleans())
    def probe(self, source: int, offset_ok: bool) -> None:
        self.tell(probed(source, TOTAL * CHUNK, offset_ok=offset_ok))

    @precondition(lambda self: self.state.phase is Phase.TARGET)
    @rule()
    def open(self) -> None:
        self.tell(PartFileReady(job=1, part_path="/box/f.part", message=""))

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data(), count=st.integers(1, 8))
    def deliver(self, data: st.DataObject, count: int) -> None:
        source = data.draw(st.sampled_from(sorted(self.held)))
        granted = self.held[source]
        lease = self.state.leases.tracker.leases.get(granted.lease) if self.state.leases is not None else None
        first = lease.next if lease is not None else granted.first
        stop = min(first + count, self.stops[source])
        if first < stop:
            self.tell(stored(source, granted.lease, first, stop - first))

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data(), whole=st.booleans(), fault=FAULTS)
    def end_ride(self, data: st.DataObject, whole: bool, fault: FaultKind) -> None:
        source = data.draw(st.sampled_from(sorted(self.held)))
        granted = self.held.pop(source)
        if whole:
            self.tell(finished(source, granted.lease, self.stops[source]))
        else:
            handed = data.draw(st.integers(granted.first, max(granted.first, self.stops[source])))
            self.tell(released(source, granted.lease, handed, fault))

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data(), chunks=CHUNKS, rate=st.floats(-1, 100))
    def measure(self, data: st.DataObject, chunks: int, rate: float) -> None:
        source = data.draw(st.sampled_from(sorted(self.held)))
        self.tell(measured(source, self.held[source].lease, chunks, rate))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 25.0, 700.0]))
    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self.tell(Ticked())

    # -- trouble

    @rule(source=SOURCES, fault=FAULTS, wait_s=st.sampled_from([0.0, 3.0]))
    def fail_probe(self, source: int, fault: FaultKind, wait_s: float) -> None:
        self.tell(SourceFailed(job=1, source=source, fault=int(fault), detail="x", retry_after_s=wait_s))

    @rule(source=SOURCES)
    def lose(self, source: int) -> None:
        self.held.pop(source, None)
        self.tell(SourceLost(job=1, source=source, detail="killed"))

    @rule(source=SOURCES, lease=LEASES)
    def judge(self, source: int, lease: int) -> None:
        self.tell(slowed(source, lease))
        self.tell(stalled(source, lease))

    @rule(source=SOURCES, lease=LEASES, first=CHUNKS, count=st.integers(1, 6), again=st.booleans())
    def stray_chunks(self, source: int, lease: int, first: int, count: int, again: bool) -> None:
        count = min(count, TOTAL - first)
        if count > 0 and self.state.leases is not None:
            if again:
                self.tell(
                    ChunksRepeated(
                        job=1, source=source, lease=lease, first=first, count=count, length_bytes=count * CHUNK
                    )
                )
            else:
                self.tell(stored(source, lease, first, count))

    @rule(source=SOURCES, lease=LEASES, handed=CHUNKS, fault=FAULTS)
    def stray_end(self, source: int, lease: int, handed: int, fault: FaultKind) -> None:
        if source not in self.held or self.held[source].lease != lease:
            self.tell(released(source, lease, handed, fault))
            self.tell(finished(source, lease, handed))

    @precondition(lambda self: self.state.phase in (Phase.SEALING, Phase.CLOSING))
    @rule(sealed=st.booleans())
    def answer_of_the_store(self, sealed: bool) -> None:
        if sealed and self.seals:
            self.tell(FileSealed(job=1, path="/box/f", digest_hex=""))
        elif self.state.phase is Phase.CLOSING:
            self.tell(PartFileClosed(job=1))

    @rule(really=st.integers(0, 30))
    def stop(self, really: int) -> None:
        if really == 0:
            self.tell(StopJob(job=1))

    # -- what must hold

    @invariant()
    def holds(self) -> None:
        state = self.state
        assert self.seals <= 1
        assert self.ends == (state.phase is Phase.ENDED)
        if state.leases is None:
            return
        board = state.leases.tracker
        board.check()
        assert board.stored.count >= self.stored_before, "chunks went back"
        self.stored_before = board.stored.count
        if state.phase is not Phase.RIDING:
            return
        leases = [lease for lease in board.leases.values() if not lease.draining]
        assert len({lease.source for lease in leases}) == len(leases), "a source rides one lease"
        for lease in leases:
            assert state.sources[lease.source].busy == lease.id

    def teardown(self) -> None:
        """Left alone, with no one answering any more, every job ends within its limits."""
        if not hasattr(self, "state"):
            return
        self.tell(StopJob(job=1))
        for _ in range(3):
            self.now_s += 5.0
            self.tell(Ticked())
        assert self.state.phase is Phase.ENDED
        assert self.state.handle(Ticked(), now_s=self.now_s) == []


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
