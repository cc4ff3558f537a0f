"""Kill storm of a fleet: nodes and brokers die and are stopped at random while jobs go into one folder.

``python -m tests.bench.fleet_kills --kills 100 --stops 20``. Three real brokers (R3, synced), real node processes with
the core, the bus and the destination of the program; only the sources are made here: bytes that each node can compute,
at a rate. Afterwards every file is compared byte by byte, and each job must have become *sealed* once.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import FleetNode
from actors.fleet.brokers import Brokers
from actors.fleet.bus import Bus, BusFault, BusSettings, WrongRevision, connected
from actors.fleet.destination import Piece, StoreError
from actors.fleet.settings import StoreAccess
from actors.fleet.store import Store, performed
from protocol.model.fleet import names
from protocol.model.fleet.names import BUCKETS, JOBS, job_id
from protocol.model.fleet.rows import ENDED, SEALED, BadRow, FleetJobRow, FleetOrder, decode_any, decode_row, encode_row
from protocol.model.job_spec import JobSpec

FLEET: Final = "storm"
PART: Final = 1 << 20
names.PART_BYTES_MIN = PART  # type: ignore[misc]  # many parts of few bytes: the folder does not mind


def content(name: str, part: int, size: int) -> bytes:
    return random.Random(f"{name}.{part}").randbytes(size)


class Child:
    """One node. What it fetched is kept in its folder, as a daemon keeps its segments."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.folder = Path(asked.folder) / asked.child
        self.folder.mkdir(exist_ok=True)
        self.log = (Path(asked.folder) / f"{asked.child}.fetched").open("a", buffering=1)
        self.node = FleetNode()
        self.bus: Bus | None = None
        self.store = Store(StoreAccess(address=asked.destination), "store", lambda: self.bus)
        self.specs: dict[str, str] = {}
        self.windows: dict[str, v.GrantWindow] = {}
        self.fetchers: dict[str, asyncio.Task[None]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.deliveries: dict[int, Any] = {}
        self.pulling: asyncio.Task[None] | None = None
        self.number = 0

    async def run(self) -> None:
        started = v.Started(
            self.asked.child, secrets.token_hex(8), time.time(), self.asked.destination, slots=4, fleet="f"
        )
        self.give(started)
        self.spawn(self.keep_bus())
        at = 0
        while True:
            self.give(v.Tick(time.time()))
            if at % 4 == 0:
                rate = self.asked.rate if any(not task.done() for task in self.fetchers.values()) else 0.0
                self.give(v.SourceStates(rate, 1 << 40, ("http", "https")))
            at += 1
            await asyncio.sleep(0.5)

    def spawn(self, doing: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(doing)
        self.tasks.add(task)
        task.add_done_callback(self.over)
        return task

    def over(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            sys.stderr.write(f"{self.asked.child}: Error: {task.exception()!r}\n")
            traceback.print_exception(task.exception())
            os._exit(3)

    async def keep_bus(self) -> None:
        settings = BusSettings(
            servers=tuple(self.asked.servers), fleet=FLEET, node=self.asked.child, replicas=self.asked.brokers
        )
        while True:
            with suppress(BusFault, TimeoutError):
                bus = await connected(settings)
                try:
                    await bus.open_all()
                    self.bus = bus
                    self.give(v.BusBack())
                    await self.joined(bus)
                finally:
                    if self.bus is not None:
                        self.bus = None
                        self.give(v.BusLost())
                    await bus.close()
            await asyncio.sleep(0.5)

    async def joined(self, bus: Bus) -> None:
        listed = asyncio.Semaphore(0)
        watches = [asyncio.ensure_future(self.watched(bus, bucket, listed)) for bucket in BUCKETS]
        lost = asyncio.ensure_future(bus.lost.wait())

        async def everything() -> None:
            for _ in BUCKETS:
                await listed.acquire()
            self.give(v.KvListed())
            await asyncio.Event().wait()

        rest = asyncio.ensure_future(everything())
        try:
            await asyncio.wait([lost, rest, *watches], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (lost, rest, *watches):
                task.cancel()
            await asyncio.gather(lost, rest, *watches, return_exceptions=True)

    async def watched(self, bus: Bus, bucket: str, listed: asyncio.Semaphore) -> None:
        async for entry in bus.watch(bucket):
            if entry is None:
                listed.release()
            else:
                self.row(bucket, entry.key, entry.value, entry.revision)

    def row(self, bucket: str, key: str, raw: bytes | None, revision: int) -> None:
        with suppress(BadRow):
            self.give(v.KvChanged(bucket, key, decode_any(bucket, key, raw) if raw is not None else None, revision))

    def give(self, event: v.Event) -> None:
        for command in self.node.handle(event, time.monotonic()):
            self.perform(command)

    def perform(self, command: Any) -> None:
        match command:
            case v.KvCreate() | v.KvUpdate() | v.KvDelete():
                self.spawn(self.written(command))
            case v.KvRead():
                self.spawn(self.read(command))
            case v.PullOrders(on=on):
                if self.pulling is not None:
                    self.pulling.cancel()
                self.pulling = self.spawn(self.pulled()) if on and self.bus is not None else None
            case v.AckOrder(order=order):
                if (delivery := self.deliveries.pop(order, None)) is not None:
                    self.spawn(self.acked(delivery))
            case v.PutPart():
                self.spawn(self.put(command))
            case v.Report(text=text):
                sys.stderr.write(f"{self.asked.child}: {text}\n")
            case v.LimitRate():
                pass
            case v.StartLocalJob() | v.StopLocalJob() | v.GrantWindow() | v.TrimWindow() | v.DropPart() | v.CheckPart():
                self.local(command)
            case _:
                self.spawn(self.stored(command))

    async def written(self, command: Any) -> None:
        try:
            if self.bus is None:
                raise BusFault("unreachable", "")
            if isinstance(command, v.KvCreate):
                revision = await self.bus.create(command.bucket, command.key, encode_row(command.row))
            elif isinstance(command, v.KvUpdate):
                raw = encode_row(command.row)
                revision = await self.bus.update(command.bucket, command.key, raw, command.revision)
            else:
                revision = await self.bus.delete(command.bucket, command.key, command.revision)
        except WrongRevision:
            self.give(v.KvRefused(command.request))
        except BusFault:
            self.give(v.KvUnknown(command.request))
        else:
            self.give(v.KvWritten(command.request, revision))

    async def read(self, command: v.KvRead) -> None:
        with suppress(BusFault):
            if self.bus is not None:
                found = await self.bus.get(command.bucket, command.key)
                raw, revision = (found.value, found.revision) if found is not None else (None, 0)
                self.row(command.bucket, command.key, raw, revision)

    async def pulled(self) -> None:
        bus = self.bus
        while bus is not None and not bus.lost.is_set():
            with suppress(BusFault):
                async for delivery in bus.orders():
                    self.number += 1
                    self.deliveries[self.number] = delivery
                    order = decode_row(FleetOrder, delivery.data)
                    self.give(v.OrderReceived(self.number, delivery.serial, order))
            await asyncio.sleep(0.2)

    async def acked(self, delivery: Any) -> None:
        with suppress(BusFault, Exception):
            await delivery.done()

    async def put(self, command: v.PutPart) -> None:
        path = self.folder / f"{command.job}.{command.part}"
        try:
            raw = path.read_bytes()
            piece = Piece(
                path=str(path), offset=0, length=len(raw), at=command.part * PART, md5=hashlib.md5(raw).hexdigest()
            )
            etag = await self.store.put(command.destination, command.upload, command.part, piece)
        except (OSError, StoreError) as error:
            fault = getattr(error, "fault", v.StoreFault.SERVER)
            self.give(v.PartPutFailed(command.job, command.part, command.epoch, fault, str(error)))
        else:
            self.give(v.PartPut(command.job, command.part, command.epoch, etag))

    async def stored(self, command: Any) -> None:
        event = await performed(self.store, command, self.specs.get(command.job, ""))
        if event is not None:
            self.give(event)

    def local(self, command: Any) -> None:
        job = command.job
        loop = asyncio.get_running_loop()
        match command:
            case v.StartLocalJob(spec=spec):
                if job not in self.specs:
                    self.specs[job] = spec.name
                    loop.call_later(0.05, self.give, v.FileDescribed(job, int(spec.name.split("-")[1]), divisible=True))
            case v.StopLocalJob(keep=keep):
                self.specs.pop(job, None)
                self.windows.pop(job, None)
                if not keep:
                    for path in self.folder.glob(f"{job}.*"):
                        path.unlink(missing_ok=True)
            case v.GrantWindow():
                self.windows[job] = command
                for part in range(command.first, command.stop):
                    path = self.folder / f"{job}.{part}"
                    if path.exists():
                        loop.call_soon(self.give, v.PartReady(job, part, hashlib.md5(path.read_bytes()).hexdigest()))
                if job not in self.fetchers or self.fetchers[job].done():
                    self.fetchers[job] = self.spawn(self.fetch(job))
            case v.TrimWindow(stop=stop) if job in self.windows:
                old = self.windows[job]
                self.windows[job] = v.GrantWindow(job, old.first, stop, old.size_bytes, old.part_bytes)
            case v.DropPart(part=part):
                (self.folder / f"{job}.{part}").unlink(missing_ok=True)
            case v.CheckPart(part=part, size_bytes=size):
                digest = hashlib.md5(self.bytes_of(job, part, size)).hexdigest() if job in self.specs else ""
                loop.call_later(0.2, self.give, v.PartChecked(job, part, digest))

    def bytes_of(self, job: str, part: int, size: int) -> bytes:
        start, stop = names.part_span(part, size, PART)
        return content(self.specs[job], part, stop - start)

    async def fetch(self, job: str) -> None:
        done: set[int] = set()
        while job in self.windows and job in self.specs:
            window = self.windows[job]
            board = self.node.view.boards.get(job)
            todo = [
                part
                for part in range(window.first, window.stop)
                if part not in done
                and not (self.folder / f"{job}.{part}").exists()
                and not (board is not None and board.is_stored(part))
            ]
            if not todo:
                return
            await asyncio.sleep(PART / self.asked.rate)
            if job not in self.specs:
                return
            raw = self.bytes_of(job, todo[0], window.size_bytes)
            path = self.folder / f"{job}.{todo[0]}"
            path.with_suffix(".new").write_bytes(raw)
            path.with_suffix(".new").rename(path)
            done.add(todo[0])
            self.log.write(f"{job} {todo[0]}\n")
            self.give(v.PartReady(job, todo[0], hashlib.md5(raw).hexdigest()))


class Storm:
    """The parent: starts everything, kills it, and compares what came of it."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked = asked
        self.folder = folder
        self.random = random.Random(asked.seed)
        self.destination = folder / "bucket"
        self.destination.mkdir()
        self.brokers = Brokers(folder / "brokers", count=asked.brokers)
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.sealed: Counter[str] = Counter()
        self.states: dict[str, str] = {}
        self.ordered: dict[str, tuple[str, float]] = {}
        self.started: dict[str, float] = {}
        self.kills: Counter[str] = Counter()
        self.changed = asyncio.Event()

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.bench.fleet_kills", "--child", name, "--folder", str(self.folder)]
        command += ["--destination", str(self.destination), "--rate", str(self.asked.rate), "--servers"]
        command += [*self.brokers.urls, "--brokers", str(self.asked.brokers)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.nodes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    async def run(self) -> int:
        with self.brokers.start():
            for at in range(self.asked.nodes):
                self.start(f"n{at}")
            try:
                return await self.play()
            finally:
                for node in self.nodes.values():
                    with suppress(ProcessLookupError):
                        node.send_signal(signal.SIGCONT)
                    node.kill()
                    node.wait()

    async def play(self) -> int:
        watching = asyncio.ensure_future(self.watch())
        ordering = asyncio.ensure_future(self.order())
        began = time.monotonic()
        await asyncio.sleep(5)
        plan = ["kill"] * self.asked.kills + ["stop"] * self.asked.stops
        self.random.shuffle(plan)
        for what in plan:
            await self.disturb(what)
        ordering.cancel()
        calm = time.monotonic()
        while len(self.states) < len(self.ordered) or any(state not in ENDED for state in self.states.values()):
            if time.monotonic() - calm > self.asked.patience:
                break
            await asyncio.sleep(0.5)
        watching.cancel()
        await asyncio.gather(watching, ordering, return_exceptions=True)
        return self.report(time.monotonic() - began)

    async def disturb(self, what: str) -> None:
        if what == "stop":
            name = self.random.choice(sorted(self.nodes))
            self.nodes[name].send_signal(signal.SIGSTOP)
            self.kills["stops"] += 1
            asyncio.get_running_loop().call_later(self.random.uniform(21, 26), self.go_on, self.nodes[name])
        elif self.random.random() < 0.25 and self.asked.brokers > 1:
            service = self.random.choice(self.brokers.services)
            service.kill()
            self.kills["brokers"] += 1
            await asyncio.sleep(self.random.uniform(0.5, 2))
            service.start(wait=False)
        else:
            name = self.random.choice(sorted(self.nodes))
            self.nodes[name].kill()
            self.nodes[name].wait()
            self.kills["nodes"] += 1
            await asyncio.sleep(self.random.choice((0.1, 1.0)))
            self.start(name)
        await asyncio.sleep(self.random.uniform(0.5, self.asked.pause))

    def go_on(self, node: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            node.send_signal(signal.SIGCONT)

    async def connection(self) -> Bus:
        while True:
            with suppress(BusFault, TimeoutError):
                settings = BusSettings(
                    servers=self.brokers.urls, fleet=FLEET, node="parent", replicas=self.asked.brokers
                )
                bus = await connected(settings)
                await bus.open_all()
                return bus
            await asyncio.sleep(0.3)

    async def watch(self) -> None:
        while True:
            bus = await self.connection()
            with suppress(BusFault):
                watching = asyncio.ensure_future(self.watched(bus))
                await asyncio.wait(
                    [watching, lost := asyncio.ensure_future(bus.lost.wait())], return_when="FIRST_COMPLETED"
                )
                for task in (watching, lost):
                    task.cancel()
            await bus.close()

    async def watched(self, bus: Bus) -> None:
        async for entry in bus.watch(JOBS):
            if entry is None or entry.value is None:
                continue
            row = decode_any(JOBS, entry.key, entry.value)
            assert isinstance(row, FleetJobRow)
            if row.nodes and row.id not in self.started:
                self.started[row.id] = time.monotonic()
            if row.state == SEALED and self.states.get(row.id) != SEALED:
                self.sealed[row.id] += 1
            elif self.states.get(row.id) == SEALED and row.state != SEALED:
                self.sealed[row.id] += 100  # a sealed job must never be anything else again
            self.states[row.id] = row.state
            self.changed.set()

    async def order(self) -> None:
        """Keep some jobs open; each order is repeated until a broker has stored it."""
        for at in range(10_000):
            while self.open_jobs() >= self.asked.open:
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 5)
            size = self.random.randint(8, 30) * PART - self.random.randint(0, PART - 1)
            name = f"f{at}-{size}"
            job = job_id(name)
            self.ordered[job] = (name, time.monotonic())
            spec = JobSpec(folder="", name=name)
            order = FleetOrder(key=name, spec=spec, sources=("http://h/f",), destination=name, spread=3)
            while True:
                bus = await self.connection()
                with suppress(BusFault, TimeoutError):
                    await bus.order(encode_row(order), name)
                    break
                await bus.close()
            await bus.close()

    def open_jobs(self) -> int:
        return sum(self.states.get(job) not in ENDED for job in self.ordered)

    def report(self, took_s: float) -> int:
        wrong = [
            name for job, (name, _) in self.ordered.items() if self.states.get(job) == SEALED and not self.right(name)
        ]
        open_ = [name for job, (name, _) in self.ordered.items() if self.states.get(job) not in ENDED]
        failed = [name for job, (name, _) in self.ordered.items() if self.states.get(job) in ENDED - {SEALED}]
        fetched: Counter[str] = Counter()
        for path in self.folder.glob("*.fetched"):
            fetched.update(path.read_text().splitlines())
        again = sum(count - 1 for count in fetched.values())
        waits = sorted(self.started[job] - at for job, (_, at) in self.ordered.items() if job in self.started)
        said = {
            "seconds": round(took_s),
            **self.kills,
            "jobs": len(self.ordered),
            "sealed": len(self.sealed),
            "wrong": wrong,
            "not ended": open_,
            "failed": failed,
            "sealed twice": [job for job, count in self.sealed.items() if count > 1],
            "parts": len(fetched),
            "fetched again": again,
            "order to start p50 s": round(statistics.median(waits), 2) if waits else None,
        }
        sys.stdout.write(json.dumps(said, indent=1) + "\n")
        return 1 if wrong or open_ or failed or said["sealed twice"] else 0

    def right(self, name: str) -> bool:
        size = int(name.split("-")[1])
        with (self.destination / name).open("rb") as file:
            parts = range(names.part_count(size, PART))
            spans = [names.part_span(part, size, PART) for part in parts]
            same = all(
                file.read(stop - start) == content(name, part, stop - start) for part, (start, stop) in enumerate(spans)
            )
            return same and not file.read(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet_kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--open", type=int, default=6, help="jobs at a time")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two kills, at most")
    parser.add_argument("--patience", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=2_000_000.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--destination", help=argparse.SUPPRESS)
    parser.add_argument("--servers", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        asyncio.run(Child(asked).run())
        return 0
    with tempfile.TemporaryDirectory(prefix="fleet-kills-") as folder:
        code = asyncio.run(Storm(asked, Path(folder)).run())
        for path in sorted(Path(folder).glob("n*.log")):
            lines = path.read_text(errors="replace").splitlines()
            sys.stderr.write("".join(f"{line}\n" for line in lines[:200] if line.startswith("n") or "Error" in line))
        return code


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
    sys.exit(main())
