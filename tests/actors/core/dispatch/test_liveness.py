"""One honest source among others that do anything: whatever happened before, the file is whole in the end.

The machine plays workers that obey and an Assembler that remembers, so that what it says is what could really be said:
besides that, old words are said again, and words about no one and nothing. `HONEST` never fails; all the others may.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.dispatch import dispatcher
from actors.core.dispatch.dispatcher import DispatchState
from protocol.messages import (
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClosePartFile,
    DropChunks,
    FileSealed,
    JobEnded,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    Message,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    ProbeSource,
    SealFile,
    SourceFailed,
    SourceLost,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    StopJob,
    Ticked,
)
from protocol.messages.addresses import ASSEMBLER, FRONT, POOL, WATCHDOG, Post, dispatcher_address
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.drawing import CHUNK, JOB, address, joined, letter, probed, wanted

TOTAL: Final = 20
HONEST: Final = 0
OTHERS: Final = st.integers(1, 4)
SILENT_S: Final = 20.0
FAULTS: Final = st.sampled_from([kind for kind in FaultKind if kind <= FaultKind.DISPUTED])


RATES: Final = st.sampled_from([-1.0, 0.0]) | st.floats(0.0001, 50)
"""Chunks a second; -1: the watchdog cannot say yet."""
TWICE: Final = (ChunksStored, ChunksRepeated, LeaseFinished, LeaseReleased, SourceMeasured, SourceSlowed, SourceStalled)


@dataclass(slots=True)
class Worker:
    """What one worker knows: its lease, where that ends now, what it handed over, whether it is to hang up."""

    alive: bool = True
    asked: bool = False
    lease: LeaseGranted | None = None
    stop: int = 0
    handed: int = 0
    revoked: bool = False
    spoke_s: float = 0.0


@dataclass(slots=True)
class Handed:
    """A slot on its way to the Assembler."""

    source: int
    lease: int
    first: int
    stop: int


@dataclass(slots=True)
class Seen:
    """What can only be noticed by remembering."""

    stored: int = 0
    leases: set[int] = field(default_factory=set)
    ended: list[JobEnded] = field(default_factory=list)


class Job(RuleBasedStateMachine):
    """`truth` are the chunks the Assembler has; `said` what may be said a second time."""

    @initialize(
        mode=st.sampled_from(["swarm", "swarm", "swarm", "queue", "failover", "race"]),
        resumed=st.integers(0, TOTAL - 1),
        front=st.booleans(),
    )
    def begin(self, mode: str, resumed: int, front: bool) -> None:
        self.now_s = 50.0
        self.state = DispatchState(wanted(expected=1, mode=mode), now_s=self.now_s)
        self.workers: dict[int, Worker] = {}
        self.truth = set(range(5, 5 + resumed)) & set(range(TOTAL))
        self.fronts = {HONEST} if front else set[int]()
        self.slots: list[Handed] = []
        self.said: list[Message] = []
        self.seen = Seen()
        self.stopped = self.target_wanted = self.seal_wanted = self.close_wanted = False
        self.join(HONEST)

    # -- the other side of every post

    def tell(self, message: Any) -> None:
        self.said.append(message)
        over = self.state.phase is dispatcher.Phase.ENDED
        posts = self.state.handle(message, now_s=self.now_s)
        assert not (over and posts), "a word after the last"
        for post in posts:
            self.hear(post)

    def hear(self, post: Post) -> None:
        known = {ASSEMBLER, POOL, WATCHDOG, FRONT, dispatcher_address(JOB)}
        assert post.to in known | {address(letter(source)) for source in self.workers}, "no one lives there"
        match post.message:
            case ProbeSource(source=source):
                self.workers[source].asked = True
            case LeaseGranted():
                self.ride(post.message)
            case LeaseExtended(source=source, lease=lease, stop=stop):
                worker = self.workers[source]
                if worker.lease is not None and worker.lease.lease == lease:
                    assert worker.stop < stop + worker.lease.overlap
                    assert stop <= TOTAL
                    worker.stop = min(stop + worker.lease.overlap, TOTAL)
            case LeaseTrimmed(source=source, lease=lease, stop=stop):
                worker = self.workers[source]
                if worker.lease is not None and worker.lease.lease == lease:
                    worker.stop = min(worker.stop, stop + worker.lease.overlap)
            case LeaseRevoked(source=source, lease=lease):
                worker = self.workers[source]
                worker.revoked |= worker.lease is not None and worker.lease.lease == lease
            case OpenPartFile():
                self.target_wanted = True
            case DropChunks(firsts=firsts, stops=stops):
                for first, stop in zip(firsts, stops, strict=True):
                    self.truth -= set(range(first, stop))
                self.seen.stored = 0
            case SealFile():
                assert self.truth == set(range(TOTAL)), "sealed with chunks missing"
                self.seal_wanted = True
            case ClosePartFile():
                self.close_wanted = True
            case JobEnded() if post.to != POOL:
                self.seen.ended.append(post.message)
            case _:
                pass

    def ride(self, granted: LeaseGranted) -> None:
        worker = self.workers[granted.source]
        assert worker.alive, "a lease for a worker that is known to be gone"
        if worker.lease is not None:
            assert self.now_s - worker.spoke_s > SILENT_S, "a second lease for a busy worker"
        assert granted.lease not in self.seen.leases, "a lease is granted once"
        assert 0 <= granted.first < granted.stop <= TOTAL
        self.seen.leases.add(granted.lease)
        worker.lease, worker.handed = granted, granted.first - granted.lead
        worker.stop = min(granted.stop + granted.overlap, TOTAL)
        assert worker.handed >= 0
        worker.revoked, worker.spoke_s = False, self.now_s

    # -- coming

    @rule(source=OTHERS)
    def join(self, source: int) -> None:
        worker = self.workers.get(source)
        if worker is None or not worker.alive:
            self.workers[source] = Worker(spoke_s=self.now_s)
            self.tell(joined(letter(source)))

    @rule(source=st.integers(0, 4), front=st.booleans())
    def answer_probe(self, source: int, front: bool) -> None:
        worker = self.workers.get(source)
        if worker is not None and worker.asked and worker.alive:
            worker.asked = False
            offset_ok = source not in self.fronts if source == HONEST else not front
            self.tell(probed(letter(source), TOTAL * CHUNK, offset_ok=offset_ok))

    @rule(source=OTHERS, fault=FAULTS, wait_s=st.sampled_from([0.0, 5.0]))
    def fail_probe(self, source: int, fault: FaultKind, wait_s: float) -> None:
        worker = self.workers.get(source)
        if worker is not None and worker.asked and worker.alive:
            worker.asked = False
            self.tell(SourceFailed(job=JOB, source=source, fault=int(fault), detail="why", retry_after_s=wait_s))

    @precondition(lambda self: self.target_wanted and self.state.phase is dispatcher.Phase.TARGET)
    @rule()
    def open_target(self) -> None:
        for chunk in sorted(self.truth):
            self.state.handle(ChunksVerified(job=JOB, ranges=(chunk, chunk + 1)), now_s=self.now_s)
        self.tell(PartFileReady(job=JOB, part_path="/f/p", message=""))

    # -- riding

    def rider(self, source: int) -> Worker | None:
        worker = self.workers.get(source)
        return worker if worker is not None and worker.alive and worker.lease is not None else None

    @rule(source=st.integers(0, 4), count=st.integers(1, 6))
    def hand_over(self, source: int, count: int) -> None:
        worker = self.rider(source)
        if worker is not None and worker.lease is not None and not worker.revoked and worker.handed < worker.stop:
            stop = min(worker.handed + count, worker.stop)
            self.slots.append(Handed(source, worker.lease.lease, worker.handed, stop))
            worker.handed = stop

    @precondition(lambda self: bool(self.slots))
    @rule(which=st.integers(0, 3))
    def store(self, which: int) -> None:
        """One link keeps its order, two links do not."""
        source = self.slots[which % len(self.slots)].source
        slot = next(slot for slot in self.slots if slot.source == source)
        self.slots.remove(slot)
        chunks = set(range(slot.first, slot.stop))
        known, self.truth = chunks & self.truth, chunks | self.truth
        for kind, shown in ((ChunksStored, chunks - known), (ChunksRepeated, known)):
            for chunk in sorted(shown):
                self.tell(kind(job=JOB, source=source, lease=slot.lease, first=chunk, count=1, length_bytes=CHUNK))

    @rule(source=st.integers(0, 4))
    def finish(self, source: int) -> None:
        worker = self.rider(source)
        if worker is None or worker.lease is None:
            return
        if worker.revoked:
            self.release(source, FaultKind.REVOKED)
        elif worker.handed >= worker.stop:
            self.tell(LeaseFinished(**self.over(source), size_bytes=TOTAL * CHUNK, stopped=False))

    def over(self, source: int) -> dict[str, Any]:
        """Its ride is over: what both kinds of end say."""
        worker = self.workers[source]
        lease, worker.lease = worker.lease, None
        assert lease is not None
        received = (worker.handed - lease.first) * CHUNK
        ride = {"job": JOB, "source": source, "lease": lease.lease}
        return {**ride, "handed_stop": worker.handed, "received_bytes": received}

    @rule(source=OTHERS, fault=FAULTS, wait_s=st.sampled_from([0.0, 0.0, 5.0]))
    def fail_ride(self, source: int, fault: FaultKind, wait_s: float) -> None:
        if self.rider(source) is not None:
            self.release(source, fault, wait_s)

    def release(self, source: int, fault: FaultKind, retry_after_s: float = 0.0) -> None:
        over = self.over(source)
        released = LeaseReleased(**over, fault=int(fault), detail=fault.name, retry_after_s=retry_after_s, stopped=True)
        self.tell(released)

    @rule(source=st.integers(0, 4), chunks=st.floats(0, TOTAL), rate=RATES)
    def measure(self, source: int, chunks: float, rate: float) -> None:
        worker = self.rider(source)
        if worker is not None and worker.lease is not None:
            worker.spoke_s = self.now_s
            self.tell(
                SourceMeasured(
                    job=JOB,
                    source=source,
                    lease=worker.lease.lease,
                    received_bytes=int(chunks * CHUNK),
                    rate_bytes_s=-1.0 if rate < 0 else rate * CHUNK,
                    setup_s=0.0,
                )
            )

    # -- trouble

    @rule(source=OTHERS, stalled=st.booleans())
    def judge(self, source: int, stalled: bool) -> None:
        worker = self.rider(source)
        if worker is None or worker.lease is None:
            return
        lease = worker.lease.lease
        if stalled:
            self.tell(SourceStalled(job=JOB, source=source, lease=lease, silent_s=10.0))
        else:
            self.tell(SourceSlowed(job=JOB, source=source, lease=lease, rate_bytes_s=1.0))

    @rule(source=OTHERS, back=st.booleans())
    def lose(self, source: int, back: bool) -> None:
        worker = self.workers.get(source)
        if worker is not None and worker.alive:
            worker.alive, worker.lease = False, None
            self.tell(SourceLost(job=JOB, source=source, detail="killed"))
            if back:
                self.join(source)

    @precondition(lambda self: bool(self.said))
    @rule(data=st.data())
    def say_again(self, data: st.DataObject) -> None:
        """Something about rides or chunks comes twice, the second time late. What begins or ends a job does not."""
        late = [message for message in self.said if isinstance(message, TWICE) and not self.is_current(message)]
        if late:
            self.tell(data.draw(st.sampled_from(late)))

    def is_current(self, message: Any) -> bool:
        worker = self.workers.get(message.source)
        return worker is not None and worker.lease is not None and worker.lease.lease == message.lease

    @rule(source=st.integers(5, 99), lease=st.integers(1000, 1010), chunk=st.integers(0, TOTAL - 1))
    def say_nonsense(self, source: int, lease: int, chunk: int) -> None:
        """About sources and leases that never were."""
        ride: dict[str, Any] = {"job": JOB, "source": source, "lease": lease}
        over = {**ride, "handed_stop": chunk, "received_bytes": 7, "stopped": True}
        self.tell(LeaseFinished(**over, size_bytes=-1))
        self.tell(LeaseReleased(**over, fault=0, detail="", retry_after_s=9.0))
        self.tell(SourceStalled(**ride, silent_s=10.0))
        self.tell(SourceLost(job=JOB, source=source, detail="who?"))
        if chunk in self.truth and self.state.leases is not None:
            self.tell(ChunksRepeated(**ride, first=chunk, count=1, length_bytes=CHUNK))

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 2.0, 11.0, 45.0]))
    def pass_time(self, seconds: float) -> None:
        if seconds > 2.0:
            self.answer_probe(HONEST, False)  # it is honest: it answers before long
        if self.rider(HONEST) is not None:
            seconds = min(seconds, 2.0)
            self.measure(HONEST, 0.1, 0.1)  # its worker speaks, however slow it is
        self.now_s += seconds
        self.tell(Ticked())

    @rule(really=st.integers(0, 40))
    def stop(self, really: int) -> None:
        if really == 40:
            self.stopped = True
            self.tell(StopJob(job=JOB))

    # -- what must hold

    @invariant()
    def the_board_is_whole(self) -> None:
        leases = self.state.leases
        if leases is None:
            return
        leases.tracker.check()
        assert leases.tracker.stored.count >= self.seen.stored, "chunks went back"
        self.seen.stored = leases.tracker.stored.count
        assert {chunk for run in leases.tracker.stored for chunk in range(*run)} <= self.truth, "stored without a word"

    @invariant()
    def a_source_with_a_lease_is_busy_with_exactly_that_one(self) -> None:
        leases = self.state.leases
        if leases is None or self.state.phase is not dispatcher.Phase.RIDING:
            return
        open_leases = [lease for lease in leases.tracker.leases.values() if not lease.draining]
        assert len({lease.source for lease in open_leases}) == len(open_leases)
        for lease in open_leases:
            assert self.state.sources[lease.source].busy == lease.id

    @invariant()
    def the_end_is_said_once_and_with_a_reason(self) -> None:
        assert len(self.seen.ended) == (self.state.phase is dispatcher.Phase.ENDED)
        for ended in self.seen.ended:
            assert ended.state == "sealed" or ended.reason

    def teardown(self) -> None:
        """From here on the honest source does its work, no one else says a word, and time passes."""
        if not hasattr(self, "seen"):
            return
        until_s = self.now_s + 900.0
        while self.state.phase is not dispatcher.Phase.ENDED and self.now_s < until_s:
            self.answer_probe(HONEST, False)
            self.hand_over(HONEST, 4)
            self.finish(HONEST)
            while self.slots:
                self.store(0)
            if self.state.phase is dispatcher.Phase.TARGET:
                self.open_target()
            if self.close_wanted:
                self.tell(PartFileClosed(job=JOB))
            elif self.seal_wanted:
                self.tell(FileSealed(job=JOB, path="/f/file", digest_hex="00"))
            self.pass_time(0.5)
            self.the_board_is_whole()
        assert self.seen.ended, f"not ended: {self.state.phase}, {self.state.sources}"
        [ended] = self.seen.ended
        assert ended.state == ("interrupted" if self.stopped and not self.seal_wanted else "sealed") or self.stopped


TestJob = Job.TestCase
TestJob.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],  # explaining takes longer than a test may
)
