"""Machines of the simulated fleet: their clocks, processes, disks and the local jobs that fetch parts."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import FleetNode
from tests.sim.fleet_scenarios import Scenario
from tests.sim.fleet_store import md5

CALM_AT_S: Final = 90.0
PART: Final = 8 << 20


@dataclass(slots=True)
class Machine:
    """A node's process and its disk. `boot` counts its processes."""

    name: str
    rate: float
    offset: float
    drift: float
    core: FleetNode | None = None
    boot: int = 0
    online: bool = False
    cut: bool = False
    paused: bool = False
    backlog: list[Callable[[], None]] = field(default_factory=list)
    pulls: bool = False
    disk: dict[str, dict[int, str]] = field(default_factory=dict)
    """Content of complete parts, by job: it outlives the process."""
    ahead: dict[tuple[str, int], str] = field(default_factory=dict)
    """Content of parts of windows that are not complete, as it is before sources are compared; empty: they are now."""
    windows: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    """First and stop of what is granted, and whether it is fetched as one."""
    sources: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Numbers of the job's sources that this node was given."""
    senders: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    """Who sent what is on the disk."""
    running: set[str] = field(default_factory=set)
    fetching: dict[str, int] = field(default_factory=dict)
    dies_after: int = -1
    """Number of commands after which it dies; -1: it does not."""
    confirmed: float = -1e9
    connection: int = 0
    requests: dict[int, float] = field(default_factory=dict)

    def content_of(self, job: str, part: int) -> str:
        """Return the content that is sent: of a window that is complete what it is then."""
        sent = self.ahead.get((job, part), "")
        return sent or self.disk.get(job, {}).get(part, "")


class Simulation:
    """Virtual time, and what each machine does for itself. Everything that happens is an entry of one heap."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.random = random.Random(seed)
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self.names: dict[str, str] = {}
        """Destination of each job."""
        self.sizes: dict[str, tuple[int, bool]] = {}
        """Bytes of each destination, and whether its sources can begin anywhere."""
        self.refusing: set[tuple[str, str]] = set()
        """Machines that cannot fetch a destination."""
        self.fetched: Counter[tuple[str, int]] = Counter()
        self.windows_of_users: Counter[tuple[str, str]] = Counter()
        """Windows that each node asked users for, by job and node."""
        self.trace: list[str] = []
        self.tracing = False

    def give(self, machine: Machine, event: v.Event) -> None:
        """Hand an event to a node."""
        raise NotImplementedError

    def give_to(self, machine: Machine, boot: int, event: v.Event) -> None:
        """Hand an event to the process of a node that it is meant for."""
        if machine.boot == boot:
            self.give(machine, event)

    # --- the heap ---

    def after(self, delay: float, do: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (self.now + delay, self._serial, do))

    def log(self, text: str) -> None:
        if self.tracing:
            self.trace.append(f"{self.now:8.3f} {text}")

    def calm(self) -> bool:
        return self.now >= CALM_AT_S

    def chance(self, share: float) -> bool:
        return not self.calm() and share > 0 and self.random.random() < share

    # --- local jobs ---

    def local(self, machine: Machine, command: Any) -> None:
        job = command.job
        match command:
            case v.StartLocalJob():
                machine.sources[job] = command.numbers
                if job not in machine.running:
                    machine.running.add(job)
                    self._describe(machine, command)
            case v.StopLocalJob(keep=keep):
                machine.running.discard(job)
                machine.ahead = {each: content for each, content in machine.ahead.items() if each[0] != job}
                machine.windows.pop(job, None)
                machine.fetching.pop(job, None)
                if not keep:
                    machine.disk.pop(job, None)
            case v.GrantWindow():
                machine.windows[job] = (command.first, command.stop, command.as_one)
                self.windows_of_users[job, machine.name] += command.as_one
                if machine.fetching.get(job, command.first) not in range(command.first, command.stop):
                    machine.fetching.pop(job, None)
                self._complete(machine, job, range(command.first, command.stop))
                self._fetch(machine, job)
            case v.TrimWindow(stop=stop):
                first, _, as_one = machine.windows.get(job, (0, 0, False))
                machine.windows[job] = (first, stop, as_one)
                self._complete(machine, job, range(first, stop) if as_one else range(0))
                if machine.fetching.get(job, -1) >= stop:
                    machine.fetching.pop(job, None)
                self._fetch(machine, job)
            case v.DropPart(part=part, refetch=refetch):
                machine.disk.get(job, {}).pop(part, None)
                machine.ahead.pop((job, part), None)
                if refetch:
                    self._fetch(machine, job)
            case v.CheckPart(part=part):
                digest = md5(self._content(machine, job, part)) + ("-head" if command.head else "")
                self._answer_local(machine, 0.5, v.PartChecked(job, part, digest, self._senders(machine, job)))

    def _describe(self, machine: Machine, command: v.StartLocalJob) -> None:
        size, divisible = self.sizes[command.spec.name]
        if (machine.name, command.spec.name) in self.refusing:
            self._answer_local(machine, 0.5, v.LocalJobFailed(command.job, "no route to the host"))
        else:
            self._answer_local(machine, 0.1, v.FileDescribed(command.job, size, divisible))

    def _content(self, machine: Machine, job: str, part: int, senders: tuple[int, ...] = ()) -> str:
        destination = self.names[job]
        lies = self.scenario.liar >= 0 and machine.name == f"n{self.scenario.liar}"
        odd = self._is_odd((senders or self._senders(machine, job))[:1])
        return f"{destination}.{part}" + (".lie" if lies else ".odd" if odd else "")

    def _is_odd(self, numbers: tuple[int, ...]) -> bool:
        """Whether these sources have another file: the last users of each job do."""
        total = self.scenario.users + self.scenario.mirrors
        return bool(numbers) and numbers[0] >= total - self.scenario.odd_users

    def _senders(self, machine: Machine, job: str) -> tuple[int, ...]:
        """Sources that a node fetches from: it finds odd ones by itself while it has others."""
        numbers = machine.sources.get(job, ())
        return tuple(number for number in numbers if not self._is_odd((number,))) or numbers

    def _answer_local(self, machine: Machine, delay: float, event: v.Event) -> None:
        boot = machine.boot
        self.after(delay, partial(self.give_to, machine, boot, event))

    def _ready(self, machine: Machine, job: str, part: int) -> None:
        digest = md5(machine.disk[job][part])
        head, senders = f"{digest}-head", machine.senders[job, part]
        self._answer_local(machine, 0.01, v.PartReady(job, part, digest, head, senders))

    def _complete(self, machine: Machine, job: str, parts: range) -> None:
        """Say what is here of a window; of one that is fetched as one, before all of it is only what is sent ahead."""
        first, stop, as_one = machine.windows[job]
        have = machine.disk.get(job, {})
        whole = not as_one or all(part in have or self._skips(machine, job, part) for part in range(first, stop))
        for part in parts:
            if part in have and whole:
                machine.ahead[job, part] = ""
                self._ready(machine, job, part)
            elif part in have:
                self._say_ahead(machine, job, part)

    def _say_ahead(self, machine: Machine, job: str, part: int) -> None:
        """Say a part that one source has sent and nothing was compared with yet; in some parts two have a share."""
        numbers = machine.sources.get(job, ())
        if not numbers or part % 4 == 3 or (job, part) in machine.ahead:
            return
        sender = (numbers[part % len(numbers)],)
        content = machine.ahead[job, part] = self._content(machine, job, part, sender)
        digest = md5(content)
        self._answer_local(machine, 0.01, v.PartReady(job, part, digest, f"{digest}-head", sender, ahead=True))

    def _skips(self, machine: Machine, job: str, part: int) -> bool:
        board = machine.core.view.boards.get(job) if machine.core is not None else None
        return board is not None and board.is_stored(part)

    def _fetch(self, machine: Machine, job: str) -> None:
        if job in machine.fetching or job not in machine.windows:
            return
        first, stop, _ = machine.windows[job]
        have = machine.disk.setdefault(job, {})
        for part in range(first, stop):
            if part not in have and not self._skips(machine, job, part):
                break
        else:
            return
        machine.fetching[job] = part
        seconds = PART / machine.rate * max(1, len(machine.fetching))
        boot = machine.boot

        def done() -> None:
            if machine.boot != boot or machine.fetching.get(job) != part:
                return
            if machine.paused:
                machine.backlog.append(done)
                return
            del machine.fetching[job]
            first, stop, as_one = machine.windows.get(job, (0, 0, False))
            if first <= part < stop:
                machine.disk.setdefault(job, {})[part] = self._content(machine, job, part)
                machine.senders[job, part] = self._senders(machine, job)
                self.fetched[job, part] += 1
                self._complete(machine, job, range(first, stop) if as_one else range(part, part + 1))
            self._fetch(machine, job)

        self.after(seconds, done)
