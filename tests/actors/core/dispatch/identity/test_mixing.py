"""Sources of several files, answers in any order, deaths and late chunks: only one file is sealed, and one is."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.dispatch.dispatcher import DispatchState, Phase
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    DropChunks,
    FileSealed,
    JobEnded,
    LeaseExtended,
    LeaseGranted,
    LeaseRevoked,
    LeaseTrimmed,
    OpenPartFile,
    PartFileReady,
    SealFile,
    SourceLost,
    SourceMeasured,
    SourceNamed,
    SpanCompared,
    Ticked,
)
from protocol.messages.addresses import POOL, Post
from protocol.model.faults import FaultKind
from protocol.model.job_spec import FAILURES_MAX
from tests.actors.core.dispatch.boards import CHUNK, joined, probed, wanted
from tests.actors.core.dispatch.replies import finished, released

TOTAL = 40
LONGEST_S = 600.0
"""Every source answers within a tenth of a second: a file that is not there after so long is stuck."""


class Transfer:
    """One lease as its worker reads it, with the chunks before and behind it that are compared."""

    def __init__(self, granted: LeaseGranted) -> None:
        self.lease, self.at = granted.lease, granted.first - granted.lead
        self.first, self.stop, self.overlap = granted.first, granted.stop, granted.overlap
        self.overlap += granted.first == granted.stop
        self.spans = granted.span_bytes > 0
        self.revoked = False

    @property
    def end(self) -> int:
        return min(self.stop + self.overlap, TOTAL)

    def is_span(self, chunk: int) -> bool:
        """Whether only some bytes of this chunk are read."""
        return self.spans and not self.first <= chunk < self.stop


class Mixing(RuleBasedStateMachine):
    """Every chunk of two files differs. `store` is what the Assembler holds: chunk -> (file, sender)."""

    @initialize(files=st.lists(st.integers(0, 2), min_size=2, max_size=6))
    def begin(self, files: list[int]) -> None:
        self.files, self.now_s, self.stalls = files, 0.0, 0
        self.state = DispatchState(wanted(source_count=len(files)), now_s=0.0)
        self.state.start()
        self.store: dict[int, tuple[int, int]] = {}
        self.answers: list[Any] = []
        self.transfers: dict[int, Transfer] = {}
        self.lost: set[int] = set()
        self.sealed: set[int] | None = None
        self.ended = ""
        for source in range(len(files)):
            self.tell(SourceNamed(job=1, source=source, source_hash=source + 1))
            self.tell(joined(source))
            self.tell(probed(source, TOTAL * CHUNK))

    def tell(self, message: Any) -> None:
        for post in self.state.handle(message, now_s=self.now_s):
            self.hear(post)

    def hear(self, post: Post) -> None:
        match post.message:
            case OpenPartFile():
                self.answers.append(PartFileReady(job=1, part_path="/box/f.part", message=""))
            case LeaseGranted() as granted:
                held = self.transfers.get(granted.source)
                assert held is None or held.revoked or granted.source in self.lost, "a lease for a busy worker"
                self.transfers[granted.source] = Transfer(granted)
            case (
                LeaseTrimmed(source=source, lease=lease, stop=stop)
                | LeaseExtended(source=source, lease=lease, stop=stop)
            ):
                if source in self.transfers and self.transfers[source].lease == lease:
                    self.transfers[source].stop = stop
            case LeaseRevoked(source=source, lease=lease):
                if source in self.transfers and self.transfers[source].lease == lease:
                    self.transfers[source].revoked = True
            case DropChunks() as drop:
                for first, stop, sender in zip(drop.firsts, drop.stops, drop.source_hashes, strict=True):
                    for chunk in range(first, stop):
                        if chunk in self.store and sender in (-1, self.store[chunk][1] + 1):
                            del self.store[chunk]
            case SealFile():
                assert sorted(self.store) == list(range(TOTAL)), "sealed with chunks missing"
                self.sealed = {file for file, _ in self.store.values()}
                self.answers.append(FileSealed(job=1, path="/box/f", digest_hex=""))
            case JobEnded(state=state) if post.to != POOL:
                self.ended = state
            case _:
                pass

    # -- sources and store

    @precondition(lambda self: bool(self.transfers))
    @rule(data=st.data(), count=st.integers(1, 9))
    def deliver(self, data: st.DataObject, count: int) -> None:
        """Some chunks of a transfer reach the store, also of one that was revoked a moment ago."""
        self.read(data.draw(st.sampled_from(sorted(self.transfers))), count)

    def read(self, source: int, count: int) -> None:
        transfer, file = self.transfers[source], self.files[source]
        for chunk in range(transfer.at, min(transfer.at + count, transfer.end)):
            who: dict[str, Any] = {"job": 1, "source": source, "lease": transfer.lease}
            held = self.store.get(chunk)
            if transfer.is_span(chunk):
                answer: Any = SpanCompared(
                    **who, chunk=chunk, stored=held is not None, agrees=held is not None and held[0] == file
                )
            elif held is None:
                self.store[chunk] = file, source
                answer = ChunksStored(**who, first=chunk, count=1, length_bytes=CHUNK)
            elif held[0] == file:
                answer = ChunksRepeated(**who, first=chunk, count=1, length_bytes=CHUNK)
            else:
                marks: dict[str, Any] = {"digest": b"f%d" % file, "stored_digest": b"f%d" % held[0]}
                answer = ChunkDisputed(**who, chunk=chunk, other_source_hash=held[1] + 1, **marks)
            self.answers.append(answer)
            transfer.at = chunk + 1
        received = transfer.at * CHUNK
        self.tell(
            SourceMeasured(
                job=1, source=source, lease=transfer.lease, received_bytes=received, rate_bytes_s=9e5, setup_s=0.02
            )
        )

    @precondition(lambda self: bool(self.answers))
    @rule(count=st.integers(1, 12))
    def answer(self, count: int) -> None:
        """The store's answers arrive, in their order."""
        self.take(count)

    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.answers))):
            self.tell(self.answers.pop(0))

    @precondition(lambda self: bool(self.transfers))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A worker is done, or obeys: its word and those of the store come by different ways."""
        self.over(data.draw(st.sampled_from(sorted(self.transfers))))

    def over(self, source: int) -> None:
        transfer = self.transfers[source]
        if transfer.revoked:
            del self.transfers[source]
            self.tell(released(source, transfer.lease, transfer.at, FaultKind.REVOKED, received_bytes=1))
        elif transfer.at >= transfer.end:
            del self.transfers[source]
            self.tell(finished(source, transfer.lease, transfer.at, received_bytes=transfer.at * CHUNK))

    @rule(source=st.integers(0, 5))
    def die(self, source: int) -> None:
        """A process dies; one source at least goes on."""
        if source < len(self.files) and len(self.lost) < len(self.files) - 1 and source not in self.lost:
            self.lost.add(source)
            self.transfers.pop(source, None)
            self.tell(SourceLost(job=1, source=source, detail="killed"))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 13.0]))
    def tick(self, seconds: float) -> None:
        # A transfer without a byte meanwhile is stalled: with a third stall of each, no source would be left.
        self.stalls += seconds > 10.0
        self.now_s += seconds if self.stalls < FAILURES_MAX else min(seconds, 1.0)
        self.tell(Ticked())

    # -- what must hold

    @invariant()
    def only_one_file_is_sealed(self) -> None:
        assert self.sealed is None or len(self.sealed) == 1, "bytes of two files in one"

    @invariant()
    def what_counts_as_stored_is_there(self) -> None:
        leases = self.state.leases
        if leases is not None and self.state.phase is Phase.RIDING:
            leases.tracker.check()
            assert all(chunk in self.store for first, stop in leases.tracker.stored for chunk in range(first, stop))

    def teardown(self) -> None:
        """Left alone, with every source that lives answering: what was freed is fetched, and a file sealed."""
        if not hasattr(self, "state"):
            return
        while not self.ended and self.now_s < LONGEST_S:
            self.now_s += 0.1
            for source in sorted(self.transfers):
                self.read(source, 4)
            self.take(len(self.answers))
            for source in sorted(self.transfers):
                self.over(source)
            self.tell(Ticked())
            self.only_one_file_is_sealed()
            self.what_counts_as_stored_is_there()
        assert self.ended == "sealed", f"{self.ended or 'stuck'}: {self.files}, lost {sorted(self.lost)}"


TestMixing = pytest.mark.timeout(300)(pytest.mark.long(Mixing.TestCase))
TestMixing.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
