"""Simulated fleet: nodes, one linearizable bus, one bucket, and everything that can go wrong between them.

``python -m tests.sim.fleet --seeds N --first M``. Each seed draws a world: how many nodes, their rates and clocks,
jobs, and faults: deaths between any two commands, pauses longer than a TTL, partitions, brokers without a majority,
answers that are lost, writes that arrive late, a destination that refuses, forgets and is full, a node that lies. The
core is the one that the shells run. Invariants hold at every step; faults end at `CALM_AT_S`, and all jobs must end
after that.
"""

import argparse
import gc
import heapq
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import FleetNode
from protocol.model.fleet.names import JOBS, NODES, PARTS, TTL_S, WITH_TTL, job_id
from protocol.model.fleet.rows import (
    ENDED,
    FleetJobRow,
    FleetOrder,
    PartRow,
    decode_any,
    encode_row,
)
from protocol.model.job_spec import JobSpec
from tests.sim.fleet_invariants import check_end, check_write
from tests.sim.fleet_machine import CALM_AT_S, PART, Machine, Simulation
from tests.sim.fleet_scenarios import Scenario, drawn
from tests.sim.fleet_store import Destination

END_S: Final = 1500.0
WALL_S: Final = 1.8e9
DESTINATION: Final = "s3://bucket/"


class World(Simulation):
    """One seed. Time is virtual; everything that happens is an entry of one heap."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        super().__init__(scenario, seed)
        self.rows: dict[tuple[str, str], tuple[bytes, int, float]] = {}
        self.revision = 0
        self.quorum = True
        self.store = Destination(scenario, self.random, self.chance, self._in_use)
        self.foreign: set[str] = set()
        self.orders: dict[int, FleetOrder] = {}
        self.acked: set[int] = set()
        self.machines: list[Machine] = []
        self.sealed: Counter[str] = Counter()
        self.deaths = 0
        self.disturbances = 0
        self.ordered_at: dict[str, float] = {}
        self.sealed_at: dict[str, float] = {}
        self.started_at: dict[str, float] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._last_sent: dict[str, float] = {}
        self.known_jobs: set[str] = set()
        self.ahead: defaultdict[tuple[str, int], set[PartRow]] = defaultdict(set)
        """Parts that were ever sent ahead, by job and epoch."""
        self.ended = 0
        self.steps = 0
        self.written = 0
        self.part_bytes = 0

    def run(self) -> None:
        self._set_up()
        while self._heap and self.now < END_S:
            self.now, _, do = heapq.heappop(self._heap)
            do()
            if self.now > 1 and self._over():
                break
        check_end(self)

    def _over(self) -> bool:
        return len(self.acked) == len(self.orders) > 0 and self.now > 20 and self.ended == len(self.known_jobs)

    def job_rows(self) -> list[FleetJobRow]:
        return [self._job(key) for bucket, key in self.rows if bucket == JOBS]

    def _job(self, key: str) -> FleetJobRow:
        row = decode_any(JOBS, key, self.rows[JOBS, key][0])
        assert isinstance(row, FleetJobRow)
        return row

    # --- the world ---

    def _set_up(self) -> None:
        scenario = self.scenario
        for at in range(scenario.nodes):
            skew = scenario.skew if at == 1 else 0.0
            machine = Machine(
                name=f"n{at}",
                rate=self.random.uniform(*scenario.rates),
                offset=self.random.uniform(0, 1e6),
                drift=1.0 + (skew if skew < 1 else 0.0),
            )
            self.machines.append(machine)
            self.after(self.random.uniform(0, 2), partial(self.boot, machine))
        serial = 0
        for at in range(scenario.jobs):
            parts = self.random.randint(*scenario.parts)
            size = parts * PART - self.random.randint(0, PART - 1)
            destination = f"file{at}"
            self.sizes[destination] = (size, self.random.random() >= scenario.indivisible)
            order = FleetOrder(
                key=f"key{at}",
                spec=JobSpec(folder="", name=destination),
                sources=self._sources_of(at),
                destination=destination,
                spread=scenario.spread,
                priority=self.random.randint(0, 2),
            )
            self.names[job_id(order.key)] = destination
            at_s = self.random.uniform(0, 20)
            for _ in range(2 if self.random.random() < scenario.twice else 1):
                serial += 1
                self.after(at_s, partial(self._ordered, serial, order))
            if at < scenario.foreign:
                self.store.objects[destination] = ["another's"]
                self.foreign.add(destination)
            if at < scenario.refusers:
                self.refusing.add((f"n{self.random.randrange(scenario.nodes)}", destination))
        self._plan_faults(serial)

    def _sources_of(self, at: int) -> tuple[str, ...]:
        mirrors = [f"http://host{at}-{number}/f" for number in range(self.scenario.mirrors)]
        return (*mirrors, *(f"slsk://user{number}/f{at}" for number in range(self.scenario.users)))

    def _plan_faults(self, serial: int) -> None:
        scenario = self.scenario

        def at_random(count: int, do: Callable[[], None]) -> None:
            for _ in range(count):
                self.after(self.random.uniform(3, CALM_AT_S - 25), do)

        at_random(scenario.deaths, self._kill_one)
        at_random(scenario.pauses, self._pause_one)
        at_random(scenario.partitions, self._cut_one)
        at_random(scenario.elections, self._lose_quorum)
        at_random(scenario.forgets, self._forget_upload)
        if scenario.store_full:
            self.after(10, lambda: setattr(self.store, "full", True))
            self.after(40, lambda: setattr(self.store, "full", False))
        for at in range(scenario.cancels):
            order = FleetOrder(kind="cancel", job=job_id(f"key{at}"))
            self.after(self.random.uniform(20, 40), partial(self._ordered, serial + 1 + at, order))
        for at in range(scenario.drains):
            for kind, when in (("drain", 15.0), ("undrain", 60.0)):
                order = FleetOrder(kind=kind, node=f"n{at}")
                number = serial + 10 + (kind == "undrain")
                self.after(when, partial(self._ordered, number, order))

    def _ordered(self, serial: int, order: FleetOrder) -> None:
        self.orders[serial] = order
        self.ordered_at.setdefault(order.destination, self.now)
        for machine in self.machines:
            if machine.pulls:
                self._deliver(machine, serial)

    def _deliver(self, machine: Machine, serial: int) -> None:
        if serial in self.acked or not machine.pulls:
            return
        boot, order = machine.boot, self.orders[serial]
        number = self._serial
        self.after(
            self.random.uniform(0.001, 0.05),
            lambda: self._give_order(machine, boot, number, serial, order),
        )

    def _give_order(self, machine: Machine, boot: int, number: int, serial: int, order: FleetOrder) -> None:
        if not machine.pulls or machine.boot != boot or serial in self.acked:
            return
        if not self._linked(machine):  # the stream sends it again
            self.after(5, partial(self._deliver, machine, serial))
            return
        self._numbers[machine.name, number] = serial
        self.give(machine, v.OrderReceived(number, serial, order))
        self.after(30, partial(self._deliver, machine, serial))

    # --- faults ---

    def _alive(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.core is not None]

    def _kill_one(self) -> None:
        alive = self._alive()
        if len(alive) > 1 or (alive and not self.scenario.never_back):
            self.random.choice(alive).dies_after = self.random.randint(0, 6)

    def kill(self, machine: Machine) -> None:
        if machine.core is None:
            return
        self.log(f"{machine.name} dies")
        machine.core = None
        machine.boot += 1
        machine.online = machine.pulls = machine.paused = False
        machine.backlog.clear()
        machine.windows.clear()
        machine.ahead.clear()
        machine.running.clear()
        machine.fetching.clear()
        machine.requests.clear()
        machine.dies_after = -1
        self.deaths += 1
        if not (self.scenario.never_back and len(self._alive()) >= 2):
            self.after(self.random.choice((0.2, 5.0, 30.0)), lambda: self.boot(machine))

    def _pause_one(self) -> None:
        alive = [machine for machine in self._alive() if not machine.paused]
        if not alive:
            return
        machine = self.random.choice(alive)
        self.log(f"{machine.name} is stopped")
        machine.paused = True
        self.disturbances += 1
        boot = machine.boot
        self.after(self.random.uniform(1, 1.6 * TTL_S), lambda: self._resume(machine, boot))

    def _resume(self, machine: Machine, boot: int) -> None:
        if machine.boot != boot or not machine.paused:
            return
        self.log(f"{machine.name} goes on")
        machine.paused = False
        backlog, machine.backlog = machine.backlog, []
        for do in backlog:
            do()

    def _cut_one(self) -> None:
        alive = [machine for machine in self._alive() if not machine.cut]
        if not alive:
            return
        machine = self.random.choice(alive)
        self.log(f"{machine.name} is cut off")
        machine.cut = True
        self.disturbances += 1
        if not self.scenario.minority:
            boot = machine.boot
            self.after(2.0, lambda: self._lose_bus(machine, boot))
        self.after(self.random.uniform(2, 2 * TTL_S), lambda: self._heal(machine))

    def _lose_bus(self, machine: Machine, boot: int) -> None:
        if machine.boot == boot and machine.cut and machine.online:
            machine.online = machine.pulls = False
            machine.requests.clear()
            self.give(machine, v.BusLost())

    def _heal(self, machine: Machine) -> None:
        self.log(f"{machine.name} is linked again")
        machine.cut = False
        if machine.core is None:
            return
        if machine.online:  # its watches missed rows: the shell opens them again
            machine.online = False
            machine.requests.clear()
            self.give(machine, v.BusLost())
        self.connect(machine, machine.boot)

    def _lose_quorum(self) -> None:
        self.log("no majority of brokers")
        self.quorum = False
        self.disturbances += 1
        self.after(self.random.uniform(1, 12), lambda: setattr(self, "quorum", True))

    def _forget_upload(self) -> None:
        open_ = [upload for upload in self.store.uploads.values() if not upload.done]
        if open_:
            self.random.choice(open_).gone = True
            self.disturbances += 1

    # --- processes ---

    def clock(self, machine: Machine) -> float:
        return self.now * machine.drift + machine.offset

    def wall(self, machine: Machine) -> float:
        hour_off = self.scenario.skew if self.scenario.skew >= 1 and machine.name == "n1" else 0.0
        return WALL_S + self.now + hour_off

    def boot(self, machine: Machine) -> None:
        if machine.core is not None:
            return
        machine.core = FleetNode()
        machine.boot += 1
        boot = machine.boot
        machine.confirmed = -1e9
        started = v.Started(
            node=machine.name,
            instance=f"{machine.name}-{boot}",
            wall_s=self.wall(machine),
            destination=DESTINATION,
            slots=self.scenario.slots,
            fleet="f",
        )
        self.log(f"{machine.name} starts as {started.instance}")
        self.give(machine, started)
        self._tick(machine, boot)
        self._states(machine, boot)
        self.connect(machine, boot)

    def _list(self, machine: Machine, connection: int) -> None:
        if machine.connection == connection and machine.online:
            self.give(machine, v.KvListed())

    def _tick(self, machine: Machine, boot: int) -> None:
        if machine.boot != boot or machine.core is None:
            return
        if not machine.paused:
            self.give(machine, v.Tick(self.wall(machine)))
        self.after(1.0, lambda: self._tick(machine, boot))

    def _states(self, machine: Machine, boot: int) -> None:
        if machine.boot != boot or machine.core is None:
            return
        if not machine.paused:
            rate = machine.rate if machine.fetching else 0.0
            self.give(machine, v.SourceStates(rate, 1 << 40, ("http", "https", "slsk")))
        self.after(4.0, lambda: self._states(machine, boot))

    def connect(self, machine: Machine, boot: int) -> None:
        if machine.boot != boot or machine.core is None or machine.online:
            return
        if machine.cut:
            return
        machine.online = True
        machine.connection += 1
        connection = machine.connection
        self.give(machine, v.BusBack())
        listed = [(key, self.rows[key]) for key in list(self.rows)]
        for (bucket, key), (raw, revision, at) in listed:
            if bucket in WITH_TTL and self.now - at > TTL_S:
                continue
            self.give(machine, v.KvChanged(bucket, key, decode_any(bucket, key, raw), revision))
        self.after(
            0.01,
            partial(self._list, machine, connection),
        )

    def give(self, machine: Machine, event: v.Event) -> None:
        """Hand an event to a node and do what it says; it may die between any two commands."""
        if machine.core is None:
            return
        boot = machine.boot
        if machine.paused:
            machine.backlog.append(partial(self.give_to, machine, boot, event))
            return
        self.steps += 1
        commands = machine.core.handle(event, self.clock(machine))
        if self.tracing and not isinstance(event, v.Tick | v.KvChanged | v.SourceStates):
            self.log(f"{machine.name} <- {event}")
        for command in commands:
            if machine.boot != boot:
                return
            if machine.dies_after == 0:
                self.kill(machine)
                return
            if machine.dies_after > 0:
                machine.dies_after -= 1
            if self.tracing:
                self.log(f"{machine.name} -> {command}")
            self._perform(machine, command)

    # --- commands ---

    def _perform(self, machine: Machine, command: v.Command) -> None:
        match command:
            case v.KvCreate() | v.KvUpdate() | v.KvDelete():
                self._request(machine, command)
            case v.KvRead():
                self._read(machine, command.bucket, command.key)
            case v.PullOrders(on=on):
                machine.pulls = on
                if on:
                    for serial in self.orders:
                        self._deliver(machine, serial)
            case v.AckOrder(order=order):
                serial = self._numbers[machine.name, order]
                if self._linked(machine) and not self.chance(self.scenario.lossy):
                    self._check_ack(serial, command.refused)
                    self.acked.add(serial)
            case v.LimitRate() | v.Report():
                pass
            case v.StartLocalJob() | v.StopLocalJob() | v.GrantWindow() | v.TrimWindow() | v.DropPart() | v.CheckPart():
                self.local(machine, command)
            case _:
                self._store(machine, command)

    def _check_ack(self, serial: int, refused: str) -> None:
        order = self.orders[serial]
        if order.kind == "create" and not refused:
            key = job_id(order.key)
            assert (JOBS, key) in self.rows, "an order was acknowledged that is stored nowhere: a job lost"

    # --- the bus ---

    def _linked(self, machine: Machine) -> bool:
        return machine.online and not machine.cut and self.quorum

    def _request(self, machine: Machine, command: v.KvCreate | v.KvUpdate | v.KvDelete) -> None:
        boot, connection = machine.boot, machine.connection
        if command.bucket in (JOBS, PARTS):
            silent = self.now - machine.confirmed
            assert silent <= TTL_S / 2 / machine.drift + 0.01, (
                f"a row written {silent:.1f} s after the last sign of life"
            )
        sent = self.now
        delay = self.random.uniform(0.0005, 0.004)
        if self.chance(self.scenario.lossy):
            delay = self.random.choice((0.3, 3.0, 15.0))  # late: perhaps after its sender is dead
        lost = self.chance(self.scenario.lossy)
        if not machine.online or machine.cut:
            self._answer(machine, boot, connection, 5.0, v.KvUnknown(command.request))
            return
        self.after(delay, lambda: self._arrive(machine, boot, connection, command, sent, lost=lost))

    def _arrive(
        self,
        machine: Machine,
        boot: int,
        connection: int,
        command: v.KvCreate | v.KvUpdate | v.KvDelete,
        sent: float,
        *,
        lost: bool,
    ) -> None:
        if not self.quorum or machine.cut:
            self._answer(machine, boot, connection, 5.0, v.KvUnknown(command.request))
            return
        name = (command.bucket, command.key)
        self._expire(name)
        _, known, _ = self.rows.get(name, (b"", 0, 0.0))
        wanted = 0 if isinstance(command, v.KvCreate) else command.revision
        if known != wanted:
            answer: v.Event = v.KvRefused(command.request)
        else:
            self.revision += 1
            row = None if isinstance(command, v.KvDelete) else command.row
            check_write(self, machine, name, row)
            self.written += 1
            if row is None:
                del self.rows[name]
            else:
                raw = encode_row(row)
                self.part_bytes += len(raw) if command.bucket == PARTS else 0
                self.rows[name] = (raw, self.revision, self.now)
            self._publish(name, row, self.revision)
            answer = v.KvWritten(command.request, self.revision)
            if command.bucket == NODES and machine.boot == boot:
                machine.confirmed = sent
        if lost:
            self._answer(machine, boot, connection, 5.0, v.KvUnknown(command.request))
        else:
            self._answer(machine, boot, connection, self.random.uniform(0.0005, 0.004), answer)

    def _answer(self, machine: Machine, boot: int, connection: int, delay: float, event: v.Event) -> None:
        def do() -> None:
            if machine.boot == boot and machine.connection == connection:
                self.give(machine, event)

        self.after(delay, do)

    def _expire(self, name: tuple[str, str]) -> None:
        if name[0] in WITH_TTL and name in self.rows and self.now - self.rows[name][2] > TTL_S:
            del self.rows[name]

    def _publish(self, name: tuple[str, str], row: Any, revision: int) -> None:
        for machine in self.machines:
            if machine.core is None or not machine.online or machine.cut:
                continue
            boot, connection = machine.boot, machine.connection
            event = v.KvChanged(*name, row, revision)
            due = max(self._last_sent.get(machine.name, 0.0), self.now + self.random.uniform(0.0005, 0.01))
            if self.chance(self.scenario.lossy):
                due += self.random.uniform(0, 2)
            self._last_sent[machine.name] = due
            self._answer(machine, boot, connection, due - self.now, event)
            if self.chance(self.scenario.twice):
                self._answer(machine, boot, connection, due - self.now, event)

    def _read(self, machine: Machine, bucket: str, key: str) -> None:
        if not self._linked(machine):
            return
        boot, connection = machine.boot, machine.connection

        def do() -> None:
            self._expire((bucket, key))
            found = self.rows.get((bucket, key))
            row = decode_any(bucket, key, found[0]) if found else None
            self._answer(machine, boot, connection, 0.002, v.KvChanged(bucket, key, row, found[1] if found else 0))

        self.after(0.002, do)

    # --- the destination ---

    def _store(self, machine: Machine, command: Any) -> None:
        delay = self.random.uniform(0.02, 0.1)
        if self.chance(self.scenario.late_puts):
            delay = self.random.uniform(5, 60)
        boot = machine.boot
        content = machine.content_of(command.job, command.part) if isinstance(command, v.PutPart) else ""

        def do() -> None:
            # Bytes that are on their way arrive, also when their sender is dead.
            event = self.store.perform(command, content)
            if event is not None and machine.boot == boot:
                self.after(0.01, partial(self.give_to, machine, boot, event))

        self.after(delay, do)

    def _in_use(self, job: str, upload: str) -> bool:
        row = self._job(job)
        return row.upload == upload and row.state not in ENDED

    @property
    def refetched(self) -> int:
        return sum(count - 1 for count in self.fetched.values())


def play(seed: int, *, tracing: bool = False, scenario: Scenario | None = None) -> World:
    """Play a seed to its end; raises `AssertionError` where an invariant is broken."""
    world = World(scenario or drawn(seed), seed)
    world.tracing = tracing
    try:
        world.run()
    except AssertionError:
        if tracing:
            sys.stdout.write("\n".join(world.trace) + "\n")
        raise
    return world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.fleet")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no seed after this")
    parser.add_argument("--trace", action="store_true")
    asked = parser.parse_args()
    return play_many(asked.first, asked.seeds, seconds=asked.seconds, tracing=asked.trace)


def play_many(first: int, seeds: int, *, seconds: float = 1e9, tracing: bool = False) -> int:
    """Play seeds and print what came of them; return 1 when an invariant was broken."""
    broken: list[str] = []
    states: Counter[str] = Counter()
    ends: list[float] = []
    refetched = deaths = played = 0
    gc.freeze()
    gc.set_threshold(200_000)
    began = time.perf_counter()
    for seed in range(first, first + seeds):
        if time.perf_counter() - began > seconds:
            break
        played += 1
        try:
            world = play(seed, tracing=tracing)
        except AssertionError as error:
            broken.append(f"seed {seed}: {error}")
            continue
        states.update(row.state for row in world.job_rows())
        ends.append(world.now)
        refetched += world.refetched
        deaths += world.deaths + world.disturbances
    took = time.perf_counter() - began
    wrong, stuck, twice = (sum(word in text for text in broken) for word in ("wrong", "stuck", "twice"))
    sys.stdout.write(
        f"fleet: {played} seeds, {dict(states)}; wrong {wrong}, stuck {stuck}, sealed twice {twice}, "
        f"other {len(broken) - wrong - stuck - twice}; virtual s median {statistics.median(ends or [0]):.0f}, "
        f"refetched {refetched} parts in {deaths} faults; {1000 * took / max(1, played):.1f} ms a seed\n"
    )
    for text in broken[:10]:
        sys.stdout.write(f"    {text[:300]}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
