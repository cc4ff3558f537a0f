"""One node under drawn orders of events: what it never does, and that its job ends when everything answers."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.fleet import vocabulary as v
from protocol.model.fleet.names import JOBS, NODES, TTL_S
from protocol.model.fleet.rows import FAILED, SEALED, FleetJobRow
from tests.actors.core.fleet.test_node import Bench


class OneNode(RuleBasedStateMachine):
    """A node under any order of events: never a write without a sign of life, one request a key, ends by itself."""

    @initialize(parts=st.integers(1, 5))
    def begin(self, parts: int) -> None:
        self.bench = Bench().join()
        self.parts = parts
        self.job = self.bench.placed(parts=parts)
        self.confirmed = self.bench.now

    def give(self, event: v.Event) -> None:
        self.check(self.bench.give(event))

    def check(self, commands: list[v.Command]) -> None:
        if not self.bench.silent:
            self.confirmed = self.bench.now
        for command in commands:
            if isinstance(command, v.KvCreate | v.KvUpdate) and command.bucket != NODES:
                assert self.bench.now - self.confirmed <= TTL_S / 2
            if isinstance(command, v.PutPart):
                assert self.bench.now - self.confirmed <= TTL_S / 2

    @rule(part=st.integers(0, 4))
    def ready(self, part: int) -> None:
        if part < self.parts:
            self.give(v.PartReady(self.job, part, f"d{part}"))

    @rule(part=st.integers(0, 4), epoch=st.integers(0, 1))
    def arrived(self, part: int, epoch: int) -> None:
        self.give(v.PartPut(self.job, part, epoch, f"{part:032x}"))

    @rule(part=st.integers(0, 4), fault=st.sampled_from([*v.StoreFault]))
    def refused(self, part: int, fault: v.StoreFault) -> None:
        if fault not in (v.StoreFault.TOO_MANY_PARTS, v.StoreFault.CHECKSUM):
            self.give(v.PartPutFailed(self.job, part, 0, fault))

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.check(self.bench.tick(seconds))

    @rule()
    def bus_silent(self) -> None:
        self.bench.silent = True

    @rule()
    def bus_answers(self) -> None:
        if self.bench.silent:
            self.bench.silent = False
            self.give(v.BusLost())
            self.bench.join()
            self.confirmed = self.bench.now

    @rule(fault=st.sampled_from([v.StoreFault.SERVER, v.StoreFault.NO_UPLOAD, v.StoreFault.DENIED]))
    def completion_refused(self, fault: v.StoreFault) -> None:
        self.give(v.UploadFailed(self.job, 0, fault))

    @invariant()
    def a_sealed_job_stays_sealed(self) -> None:
        row = self.bench.row(JOBS, self.job)
        assert isinstance(row, FleetJobRow)
        if row.state == SEALED:
            assert row.etag

    def teardown(self) -> None:
        """Whatever happened, the job ends when everything answers."""
        if not hasattr(self, "bench"):
            return
        self.bench.silent = False
        self.give(v.BusLost())
        self.bench.join()
        for _ in range(60):
            row = self.bench.row(JOBS, self.job)
            if row.state in (SEALED, FAILED):
                return
            self._answer_all(row)
            self.bench.tick(2.0, times=4)
        raise AssertionError(f"stuck: {self.bench.row(JOBS, self.job)}")

    def _answer_all(self, row: FleetJobRow) -> None:
        owner = self.bench.node.owners[self.job]
        answers: dict[str, v.Event] = {
            "create": v.UploadCreated(self.job, row.epoch + 1, f"u{row.epoch + 1}"),
            "complete": v.UploadCompleted(self.job, row.epoch, "etag"),
            "look": v.ObjectSeen(self.job, row.epoch, "", -1),
        }
        if owner.asked in answers:
            self.bench.give(answers[owner.asked])
        rider = self.bench.node.riders.get(self.job)
        if rider is None:
            return
        for part in range(self.parts):
            if part not in rider.putting:
                self.bench.give(v.PartReady(self.job, part, f"d{part}"))
        for part, epoch in list(rider.putting.items()):
            self.bench.give(v.PartPut(self.job, part, epoch, f"{part:032x}"))


TestOneNode = OneNode.TestCase
TestOneNode.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
