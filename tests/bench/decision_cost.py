"""What a decision costs: the core alone, 1 000 sources, 1 000 000 chunks, one whole job in virtual time.

``python -m tests.bench.decision_cost`` prints, for each kind of message, how often it was handled and how long a step
took, and whether the mean stays at or below 60 us and no step above 5 ms (of more than 1 000 sources 20 ms). With
``--cpu-s`` it ends after so much CPU time and says how far the job had come. No socket, thread or file: a light driver
plays the workers, the Assembler, which says of chunks that come twice that they are equal, and the watchdog (five
measurements a second for each ride, what the real one gives at most). Steps are timed in CPU time of the thread: what
the machine gives others in between is no cost of ours. The collector is frozen over the state that lives for the whole
job, as the hub does it.
"""

import argparse
import gc
import heapq
import random
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from actors.core.dispatch.dispatcher import DispatchState, Phase
from protocol.messages import (
    ChunksRepeated,
    ChunksStored,
    FileSealed,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    Message,
    OpenPartFile,
    PartFileReady,
    ProbeSource,
    SealFile,
    SourceJoined,
    SourceMeasured,
    SourceProbed,
    SpanCompared,
    Ticked,
)
from protocol.model.chunk_ranges import RangeSet
from tests.specs import start_job

CHUNK = 131072
CHUNKS_PER_SLOT = 8
MEAN_US_MAX = 60.0
STEP_MS_MAX = 5.0
STEP_MS_MAX_MANY = 20.0
"""Of more than 1 000 sources."""


@dataclass(slots=True)
class _Rider:
    """One source as the driver plays it: it delivers a slot at a fixed interval in seconds."""

    source: int
    rate_bytes_s: float
    lease: int = -1
    first: int = 0
    at: int = 0
    stop: int = 0
    overlap: int = 0
    begun_s: float = 0.0


@dataclass(slots=True)
class _Span:
    """Span of a stored chunk that a source reads to have it compared."""

    rider: _Rider
    lease: int
    chunk: int


@dataclass
class Driver:
    """Virtual time over one `DispatchState`; `took_ns` are the measured steps by message kind."""

    source_count: int
    chunk_count: int
    seed: int = 1
    cpu_s_max: float = float("inf")
    now_s: float = 0.0
    took_ns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        random_of = random.Random(self.seed)
        self.riders = [_Rider(n, 10 ** random_of.uniform(4.7, 6.7)) for n in range(self.source_count)]
        self.stored = RangeSet()
        self.events: list[tuple[float, int, Any]] = []
        self.serial = 0
        self.sealed = False
        wanted = start_job(name="f", chunk_size=CHUNK, source_count=self.source_count)
        self.state = DispatchState(wanted, now_s=0.0)

    def run(self) -> None:
        for rider in self.riders:
            joined = SourceJoined(
                job=1,
                source=rider.source,
                worker=f"fetch-1/worker-1-{rider.source}",
                name=f"http://h{rider.source}/f",
                host=f"h{rider.source}",
                fallback_name="f",
                prior_rate_bytes_s=0.0,
            )
            self.say(joined)
        self.later(0.1, Ticked())
        begin_s = time.thread_time()
        while self.events and not self.sealed and time.thread_time() - begin_s < self.cpu_s_max:
            self.now_s, _, event = heapq.heappop(self.events)
            if isinstance(event, _Rider):
                self.deliver(event)
            elif isinstance(event, _Span):
                self.compare(event)
            elif isinstance(event, tuple):
                self.measure(event[0], event[1])
            else:
                self.say(event)
                if isinstance(event, Ticked) and event is not _CONTINUED:
                    self.later(0.1, Ticked())
            assert self.sealed or self.state.phase is not Phase.ENDED, "the job ended without its file"

    def say(self, message: Any) -> None:
        begin = time.thread_time_ns()
        posts = self.state.handle(message, now_s=self.now_s)
        self.took_ns[type(message).__name__].append(time.thread_time_ns() - begin)
        for post in posts:
            self.hear(post.message)

    def later(self, delay_s: float, event: Any) -> None:
        self.serial += 1
        heapq.heappush(self.events, (self.now_s + delay_s, self.serial, event))

    def hear(self, message: Message) -> None:
        """What the core wants done, done by the plainest worker and Assembler there are."""
        match message:
            case ProbeSource(source=source):
                probed = SourceProbed(
                    job=1,
                    source=source,
                    size_bytes=self.chunk_count * CHUNK,
                    offset_ok=True,
                    validator="",
                    name="",
                    setup_s=0.02,
                )
                self.later(0.02, probed)
            case OpenPartFile():
                self.later(0.01, PartFileReady(job=1, part_path="/f/f.part", message=""))
            case LeaseGranted():
                rider = self.riders[message.source]
                first = message.first - message.lead
                rider.lease, rider.first, rider.at, rider.overlap = message.lease, first, first, message.overlap
                rider.stop = message.stop + message.overlap
                rider.begun_s = self.now_s
                if message.first == message.stop:
                    self.later(0.02, _Span(rider, message.lease, message.first))
                    return
                self.next_slot(rider, 0.02)
                self.later(0.2, (rider, rider.lease))
            case LeaseExtended() | LeaseTrimmed():
                rider = self.riders[message.source]
                if rider.lease == message.lease:
                    rider.stop = message.stop + rider.overlap
            case LeaseRevoked():
                self.release(self.riders[message.source], message.lease)
            case Ticked():
                self.later(0.0, _CONTINUED)
            case SealFile():
                self.later(0.0, FileSealed(job=1, path="/f/f", digest_hex=""))
                self.sealed = True
            case _:
                pass

    def next_slot(self, rider: _Rider, delay_s: float = 0.0) -> None:
        count = max(0, min(CHUNKS_PER_SLOT, rider.stop - rider.at))
        self.later(delay_s + count * CHUNK / rider.rate_bytes_s, rider)

    def deliver(self, rider: _Rider) -> None:
        if rider.lease < 0:
            return
        count = min(CHUNKS_PER_SLOT, rider.stop - rider.at)
        if count > 0:
            first, lease, rider.at = rider.at, rider.lease, rider.at + count
            new = list(self.stored.gaps(first, rider.at))
            again = list(self.stored.overlap(first, rider.at))
            self.stored.add(first, rider.at)
            for kind, runs in ((ChunksStored, new), (ChunksRepeated, again)):
                for begin, end in runs:
                    length_bytes = (end - begin) * CHUNK
                    self.say(
                        kind(
                            job=1, source=rider.source, lease=lease, first=begin, count=end - begin,
                            length_bytes=length_bytes,
                        )
                    )  # fmt: skip
        if rider.lease < 0 or self.sealed:
            return
        if rider.at < rider.stop:
            self.next_slot(rider)
        else:
            self.finish(rider)

    def compare(self, span: _Span) -> None:
        """Say of a span that it agrees, where its lease still stands."""
        if span.rider.lease == span.lease:
            self.say(
                SpanCompared(
                    job=1, source=span.rider.source, lease=span.lease, chunk=span.chunk, stored=True, agrees=True
                )
            )
            self.finish(span.rider)

    def finish(self, rider: _Rider) -> None:
        lease, rider.lease = rider.lease, -1
        finished = LeaseFinished(
            job=1,
            source=rider.source,
            lease=lease,
            handed_stop=rider.at,
            received_bytes=(rider.at - rider.first) * CHUNK,
            size_bytes=-1,
            stopped=False,
        )
        self.say(finished)

    def measure(self, rider: _Rider, lease: int) -> None:
        if rider.lease != lease:
            return
        measured = SourceMeasured(
            job=1,
            source=rider.source,
            lease=lease,
            received_bytes=int((self.now_s - rider.begun_s) * rider.rate_bytes_s),
            rate_bytes_s=rider.rate_bytes_s,
            setup_s=0.02,
        )
        self.later(0.2, (rider, lease))
        self.say(measured)

    def release(self, rider: _Rider, lease: int) -> None:
        if rider.lease != lease:
            return
        rider.lease = -1
        released = LeaseReleased(
            job=1,
            source=rider.source,
            lease=lease,
            handed_stop=rider.at,
            received_bytes=(rider.at - rider.first) * CHUNK,
            fault=0,
            detail="",
            retry_after_s=0.0,
            stopped=True,
        )
        self.later(0.001, released)


_CONTINUED = Ticked()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sources", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--cpu-s", type=float, default=float("inf"))
    options = parser.parse_args()
    step_ms_max = STEP_MS_MAX if options.sources <= 1000 else STEP_MS_MAX_MANY
    driver = Driver(options.sources, options.chunks, cpu_s_max=options.cpu_s)
    gc.collect()
    gc.freeze()
    gc.disable()
    begin = time.perf_counter()
    driver.run()
    wall_s = time.perf_counter() - begin
    everything = [took for steps in driver.took_ns.values() for took in steps]
    print(f"{options.sources} sources, {options.chunks} chunks: {driver.now_s:.1f} s of job in {wall_s:.1f} s")
    if not driver.sealed:
        print(f"ended early: {driver.stored.count} chunks were stored")
    print(f"{'message':16} {'handled':>9} {'mean us':>9} {'p99 us':>9} {'max ms':>8}")
    for kind, steps in sorted(driver.took_ns.items(), key=lambda item: -sum(item[1])):
        p99 = statistics.quantiles(steps, n=100)[98] if len(steps) > 1 else steps[0]
        mean = statistics.fmean(steps)
        print(f"{kind:16} {len(steps):9} {mean / 1e3:9.1f} {p99 / 1e3:9.1f} {max(steps) / 1e6:8.2f}")
    mean_us, worst_ms = statistics.fmean(everything) / 1e3, max(everything) / 1e6
    verdict = "PASS" if worst_ms <= step_ms_max else "FAIL"
    fine = mean_us <= MEAN_US_MAX and worst_ms <= step_ms_max
    print(f"{'PASS' if mean_us <= MEAN_US_MAX else 'FAIL'}  mean step {mean_us:.1f} us (must be <= {MEAN_US_MAX:.0f})")
    print(f"{verdict}  longest step {worst_ms:.2f} ms (must be <= {step_ms_max:.0f})")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
