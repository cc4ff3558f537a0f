"""A world with a seed: virtual clock, links with delays, the real core, models of everything around it.

One seed is one run: replaying it gives the same events in the same order. After every step of the dispatcher the
invariants of `tests.sim.watch` are checked.
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.rates.rate_monitor import RateMonitor
from protocol.messages import JobEnded, Message, SourceJoined, SourceLost, SourceNamed, StartJob, StopJob, Ticked
from protocol.messages.addresses import (
    ASSEMBLER,
    PEER_HISTORY,
    POOL,
    SESSION,
    WATCHDOG,
    dispatcher_address,
    split_address,
    worker_address,
)
from protocol.messages.codec import decode, encode
from protocol.model.chunk_ranges import ChunkRange
from protocol.model.job_spec import TransferPolicy
from storage.layout import Layout
from tests.sim.disk import Disk, DiskScript
from tests.sim.disk_store import StoreOnDisk
from tests.sim.script import TRUE, SourceScript, marks
from tests.sim.session import SessionModel, SharedUsers
from tests.sim.store import StoreModel
from tests.sim.watch import Watch
from tests.sim.worker import WorkerModel
from tests.specs import start_job

TICK_S: Final = 0.1
LINK_S: Final = (0.0001, 0.001)
DISPATCHER: Final = dispatcher_address(1)
FRONT_ADDRESS: Final = "front/front"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is to be played. `digest`: the user gave a digest of the right file. `ordered_user`: the first source is a
    user whom the order names. `container`: the file is a FLAC, "frames" are checked or it is "decoded" too.
    `limit_s`: the job must have ended by then, unless something was stored in the last third of the time: who takes
    hours for a file because of what its sources are is slow, not stuck."""

    sources: tuple[SourceScript, ...]
    size_bytes: int
    chunk_size: int = 128 * 1024
    mode: str = "swarm"
    resumed: tuple[ChunkRange, ...] = ()
    limit_s: float = 2000.0
    slow_rate_bytes_s: int = 5 * 1024
    slow_after_s: float = 15.0
    limit_bytes_s: int = 0
    stop_at_s: float | None = None
    disk_fails_after: int | None = None
    disk_back_s: float = 0.0
    disk_refuses: bool = False
    disk: DiskScript | None = None
    checks_content: bool = False
    priors: bool = False
    advertised: bool = False
    waits: bool = False
    verbose: bool = False
    digest: bool = False
    ordered_user: bool = False
    container: str = ""
    patience_s: float = TransferPolicy().patience_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `seconds` as the job itself says (first request to sealed).

    `dropped_share`: of the file, chunks that were taken back from sources with other content.
    `content`: of the sealed file, "right", "odd" (all of it is one source's other file) or "mixed"; else empty.
    """

    state: str
    reason: str
    seconds: float
    efficiency: float
    refetched_share: float
    dropped_share: float
    stops: float
    stops_max: int
    leases: float
    requests: float
    handled: int
    ended_s: float
    content: str
    claim: str


class World:
    """Owns the clock, the links and everybody in it."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        checked: bool = True,
        disk: Disk | None = None,
        state: type[DispatchState] = DispatchState,
        users: SharedUsers | None = None,
    ) -> None:
        """`users`: see `SessionModel`."""
        self.scenario, self.seed = scenario, seed
        self.now_s = 0.0
        self.ended: JobEnded | None = None
        self.handled = 0
        self._rng = random.Random(seed)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._arrivals: dict[tuple[str, str], float] = {}
        self._limit_s, self._stored_by_then = scenario.limit_s, 0
        self.store: StoreModel | StoreOnDisk = (
            self._store_on(disk)
            if disk is not None
            else StoreModel(
                self,
                resumed=scenario.resumed,
                fails_after_chunks=scenario.disk_fails_after,
                back_after_s=scenario.disk_back_s,
                refuses=scenario.disk_refuses,
                checks_content=scenario.checks_content or scenario.digest,
                files=self._files(),
                decodes=scenario.container == "decoded",
                scripts=scenario.sources,
            )
        )
        self.workers: dict[str, WorkerModel] = {}
        self.session = SessionModel(self, self.workers, users)
        self.state = state(_wanted(scenario), now_s=0.0)
        self.speed = RateMonitor()
        self.watch = Watch(self.state, self.store) if checked else None
        self._post_all(self.state.start())
        self._populate()
        self._tick()
        self._tick_dispatcher()

    def _files(self) -> tuple[bytes, ...]:
        """The marks of the files that the sources have."""
        count = -(-self.scenario.size_bytes // self.scenario.chunk_size) if self.scenario.container else 0
        return tuple({marks(script, 0, count, self.scenario.chunk_size) for script in self.scenario.sources})

    def _store_on(self, disk: Disk) -> StoreOnDisk:
        scenario = self.scenario
        return StoreOnDisk(
            self,
            disk,
            layout=Layout(scenario.size_bytes, scenario.chunk_size),
            resumed=scenario.resumed,
            checks_content=scenario.checks_content,
        )

    def _populate(self) -> None:
        for number, script in enumerate(self.scenario.sources):
            self._join(number, script)
            if script.lost_at_s is not None:
                self.at(script.lost_at_s, lambda number=number: self._lose(number))  # type: ignore[misc]
        if self.scenario.stop_at_s is not None:
            self.at(self.scenario.stop_at_s, lambda: self.send(POOL, DISPATCHER, StopJob(job=1)))

    def _join(self, number: int, script: SourceScript) -> None:
        address = worker_address(f"fetch-{number % 2 + 1}", 1, number)
        worker = WorkerModel(self, script, address=address, source=number, seed=self._rng.getrandbits(32))
        worker.chunk_size, worker.file_bytes = self.scenario.chunk_size, self.scenario.size_bytes
        worker.file_name = "file.flac" if self.scenario.container else "file.bin"
        self.workers[address] = worker
        joined = SourceJoined(
            job=1,
            source=number,
            worker=address,
            name=f"source-{number}",
            host=script.host or f"host-{number}",
            fallback_name=worker.file_name,
            advertised_bytes_s=script.rate_bytes_s * script.prior_error if self.scenario.advertised else 0.0,
            prior_rate_bytes_s=script.rate_bytes_s * script.prior_error if self.scenario.priors else 0.0,
            peer=script.peer,
            path="file.bin" if script.peer else "",
            size_bytes=self.scenario.size_bytes if script.peer and script.says_size else -1,
            prior_setup_s=script.setup_s + script.hop_s if self.scenario.priors else 0.0,
        )
        self.send(POOL, DISPATCHER, SourceNamed(job=1, source=number, source_hash=number + 1))
        self.send(POOL, DISPATCHER, joined)

    def _lose(self, number: int) -> None:
        address = worker_address(f"fetch-{number % 2 + 1}", 1, number)
        self.workers[address].vanish()
        self.send(POOL, DISPATCHER, SourceLost(job=1, source=number, detail="its process died"))

    # -- clock and links

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (max(when_s, self.now_s), self._serial, action))

    def send(self, sender: str, to: str, message: Message) -> None:
        """Over the link between two processes: late by a little, in order; other links may be faster."""
        link = (split_address(sender)[0], split_address(to)[0])
        delay_s = self._rng.uniform(*LINK_S) if link[0] != link[1] else 0.0
        arrival_s = max(self.now_s + delay_s, self._arrivals.get(link, 0.0))
        self._arrivals[link] = arrival_s
        self.at(arrival_s, lambda: self._deliver(to, message))

    def _deliver(self, to: str, message: Message) -> None:
        if to == DISPATCHER:
            self.handled += 1
            posts = self.state.handle(cast(Any, message), now_s=self.now_s)
            if self.watch is not None:
                self.watch.look(message, posts, self.now_s)
            self._post_all(posts)
        elif to == WATCHDOG:
            self._post_all(self.speed.handle(cast(Any, message), now_s=self.now_s))
        elif to == ASSEMBLER:
            self.store.receive(message)
        elif to == FRONT_ADDRESS:
            if isinstance(message, JobEnded):
                self.ended = message
        elif to == SESSION:
            self.session.receive(message)
        elif to not in (POOL, PEER_HISTORY):
            self.workers[to].receive(message)

    def _post_all(self, posts: list[Any]) -> None:
        for post in posts:
            message = post.message
            if self.watch is not None and self.handled % 16 == 0:
                message = decode(encode(message))
            self.send("hub/any", post.to, message)

    def _tick(self) -> None:
        if self.ended is None:
            self._deliver(WATCHDOG, Ticked())
            self.at(self.now_s + TICK_S, self._tick)

    def _tick_dispatcher(self) -> None:
        if self.ended is None:
            self._deliver(DISPATCHER, Ticked())
            self.at(self.now_s + self.state.tick_s(self.now_s), self._tick_dispatcher)

    # -- running

    def run(self) -> Outcome:
        """Play until the job has ended and the last words have arrived."""
        self.play(math.inf)
        return self.outcome()

    def play(self, until_s: float) -> None:
        """Play to this moment, or to the end when that comes first."""
        while self.next_s < math.inf and self.next_s <= until_s:
            self.step()

    @property
    def next_s(self) -> float:
        """When the next thing happens; never once the job has ended and the last words have arrived."""
        over = self.ended is not None and (self.store.sealed_s is not None or self.state.phase is Phase.ENDED)
        return self._heap[0][0] if self._heap and not over else math.inf

    def step(self) -> None:
        """Let the next thing happen."""
        when_s, _, action = heapq.heappop(self._heap)
        if when_s > self._limit_s:
            self._allow_more()
        self.now_s = when_s
        action()

    def _allow_more(self) -> None:
        leases = self.state.leases
        stored = leases.tracker.stored.count if leases is not None else 0
        assert stored > self._stored_by_then, f"seed {self.seed}: not ended after {self._limit_s} s"
        self._stored_by_then, self._limit_s = stored, 1.5 * self._limit_s

    def ideal_s(self) -> float:
        """Fluid time: what is missing at the sum of all rates."""
        held = sum(stop - first for first, stop in self.scenario.resumed) * self.scenario.chunk_size
        rate = sum(script.rate_bytes_s for script in self.scenario.sources)
        return max(self.scenario.size_bytes - held, 0) / rate

    def outcome(self) -> Outcome:
        ended = self.ended
        assert ended is not None, f"seed {self.seed}: no one has anything to do and the job has not ended: not ended"
        workers = list(self.workers.values())
        count = max(len(workers), 1)
        return Outcome(
            state=ended.state,
            reason=ended.reason,
            seconds=ended.seconds,
            efficiency=self.ideal_s() / ended.seconds if ended.seconds > 0 else 1.0,
            refetched_share=ended.bytes_refetched / max(self.scenario.size_bytes, 1),
            dropped_share=self._dropped() * self.scenario.chunk_size / max(self.scenario.size_bytes, 1),
            stops=sum(worker.stops for worker in workers) / count,
            stops_max=max((worker.stops for worker in workers), default=0),
            leases=sum(source.leases for source in self.state.sources.values()) / count,
            requests=sum(worker.requests for worker in workers) / count,
            handled=self.handled,
            ended_s=self.now_s,
            content=self.content() if ended.state == "sealed" and isinstance(self.store, StoreModel) else "",
            claim=ended.claim.kind,
        )

    def _dropped(self) -> int:
        return self.store.dropped_chunks if isinstance(self.store, StoreModel) else 0

    def content(self) -> str:
        """Whose file was sealed."""
        assert isinstance(self.store, StoreModel)
        found = b"".join(self.store.digests[chunk] for chunk in sorted(self.store.digests))
        count = len(found) // len(TRUE)
        if found == TRUE * count:
            return "right"
        files = (marks(script, 0, count, self.scenario.chunk_size) for script in self.scenario.sources)
        return "odd" if found in files else "mixed"


def _wanted(scenario: Scenario) -> StartJob:
    return start_job(
        folder="/box",
        chunk_size=scenario.chunk_size,
        mode=scenario.mode,
        limit_bytes_s=scenario.limit_bytes_s,
        slow_rate_bytes_s=scenario.slow_rate_bytes_s,
        slow_after_s=scenario.slow_after_s,
        verbose=scenario.verbose,
        watcher=FRONT_ADDRESS,
        source_count=len(scenario.sources),
        waits=scenario.waits,
        checksum=f"sha256:{0:064x}" if scenario.digest else "",
        user="user-0" if scenario.ordered_user else "",
        patience_s=scenario.patience_s,
    )
