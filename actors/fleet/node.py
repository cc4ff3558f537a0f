"""The node's event loop, in a thread of its own: the bus, the destination and local jobs around the pure core.

Every event goes to `FleetNode.handle` in this thread; each command it returns is performed here, and its outcome is
another event. The bus may come and go: the core hears of both and decides what may go on without it.
"""

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, assert_never

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import FleetNode
from actors.core.jobs.transaction import answers
from actors.fleet.bus import Bus, BusFault, BusSettings, Delivery, Entry, WrongRevision, connected
from actors.fleet.destination import StoreError
from actors.fleet.job_client import JobClient, JobRefused
from actors.fleet.local_jobs import LocalJobs
from actors.fleet.queries import FleetQueries
from actors.fleet.settings import FleetInbox, FleetStart
from actors.fleet.store import Store, performed
from actors.runtime.loop_thread import LoopThread
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    EventOccurred,
    ExplainFleetJob,
    FilesListed,
    GetFleet,
    ListFleetJobs,
    ListFleetNodes,
    OrderFleet,
    ProcessLost,
    ProcessReady,
    Request,
    RequestAnswered,
    RequestRefused,
    SessionChanged,
    SetTotalLimit,
    Ticked,
)
from protocol.messages.addresses import JOB_MANAGER, split_address
from protocol.model.fleet.names import BUCKETS, node_subject, progress_subject
from protocol.model.fleet.rows import BadRow, FleetOrder, decode_any, decode_row, encode_row
from protocol.model.job_views import Counts

TICK_S: Final = 0.5
STATES_S: Final = 2.0
RETRY_S: Final = (0.5, 5.0)
"""First and longest pause before the bus is tried again."""
_logger = logging.getLogger(__name__)


class NodeLoop(LoopThread[FleetInbox]):
    """Started by the fleet actor, which owns it."""

    def __init__(
        self, bus: MessageBus, start: FleetStart, *, generation: int, failed: Callable[[BaseException], None]
    ) -> None:
        super().__init__("fleet", failed=failed)
        self._post_bus = bus
        self._start = start
        self._generation = generation
        self._bus: Bus | None = None

    async def _main(self) -> None:
        start = self._start
        os.makedirs(start.folder, mode=0o700, exist_ok=True)
        self._node = FleetNode()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writes: dict[str, asyncio.Task[None]] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._orders: dict[int, FleetOrder] = {}
        self._pulling: asyncio.Task[None] | None = None
        self._schemes: tuple[str, ...] = ("http", "https")
        self._fatal = False
        self._errors: list[BaseException] = []
        self._client = JobClient(self._post_bus.post, first_number=(self._generation + 1) << 32)
        self._jobs = LocalJobs(self._client, start.folder, self._give, private_ok=start.private_ok)
        subject = f"shoal.{start.fleet}.store"
        self._store = Store(start.store, subject, lambda: self._bus)
        self._queries = FleetQueries(start, self._jobs, lambda: self._bus)
        self._client.watch()
        stop = self._open_inbox()
        while not stop.is_set():
            with suppress(JobRefused):
                await self._jobs.recall()
                break
        self._give(
            v.Started(
                node=start.node,
                instance=secrets.token_hex(8),
                wall_s=time.time(),
                destination=start.store.address,
                version=start.version,
                slots=start.slots,
                fleet=secrets.token_hex(8),
            )
        )
        for work in (self._store.warm(), self._ticks(), self._states(), self._keep_bus(subject)):
            self._spawn(work)
        try:
            await stop.wait()
            _raise_first(self._errors)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._jobs.close()
            self._store.close()
            if self._bus is not None:
                await self._bus.close()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._stop is not None:
            self._errors.append(error)  # ours: the process ends and is started again
            self._stop.set()

    # -- messages of this daemon

    def _handle(self, message: FleetInbox) -> None:
        match message:
            case RequestAnswered() | RequestRefused() | EventOccurred() | FilesListed():
                self._client.heard(message)
            case SessionChanged(state=state):
                self._schemes = ("http", "https", "slsk") if state == "online" else ("http", "https")
                self._tell_states()
            case ProcessReady(process=process):
                if process == split_address(JOB_MANAGER)[0]:
                    self._client.watch()
            case OrderFleet():
                self._spawn(self._ordered(message))
            case GetFleet() | ListFleetNodes() | ListFleetJobs() | ExplainFleetJob():
                self._spawn(self._answer(message))
            case ProcessLost() | Ticked():
                pass
            case _:
                assert_never(message)

    async def _answer(self, request: GetFleet | ListFleetNodes | ListFleetJobs | ExplainFleetJob) -> None:
        rows, total = await self._queries.rows(request)
        if rows is None:
            self._refuse(request, "unknown", "the fleet has no such job")
            return
        for part in answers(request.request, rows, total=total):
            self._post_bus.post(request.reply_to, part)

    async def _ordered(self, request: OrderFleet) -> None:
        try:
            order = decode_row(FleetOrder, request.order)
        except BadRow as error:
            self._refuse(request, "invalid", str(error))
            return
        if self._bus is None:
            self._refuse(request, "unavailable", self._queries.text or "no broker is connected yet")
            return
        try:
            row = await self._queries.ordered(order, self._bus)
        except BusFault as fault:
            self._refuse(request, "unavailable", str(fault))
            return
        except ValueError as refused:
            self._refuse(request, "invalid", str(refused))
            return
        for part in answers(request.request, [row]):
            self._post_bus.post(request.reply_to, part)

    def _refuse(self, request: Request, kind: str, detail: str) -> None:
        refused = RequestRefused(request=request.request, kind=kind, field="", detail=detail)
        self._post_bus.post(request.reply_to, refused)

    # -- the core

    def _give(self, event: v.Event) -> None:
        """Hand an event to the core and perform what it returns, in order."""
        if isinstance(event, v.KvChanged):
            self._queries.changed(event)
        for command in self._node.handle(event, time.monotonic()):
            self._perform(command)

    def _perform(self, command: v.Command) -> None:
        match command:
            case v.KvCreate() | v.KvUpdate() | v.KvDelete():
                self._write(command)
            case v.KvRead():
                self._spawn(self._read(command))
            case v.PullOrders(on=on):
                self._pull(on)
            case v.AckOrder():
                self._spawn(self._acked(command))
            case v.StartLocalJob():
                self._jobs.start(command)
            case v.StopLocalJob():
                self._jobs.stop(command)
            case v.GrantWindow():
                self._jobs.grant(command)
            case v.TrimWindow():
                self._jobs.trim(command)
            case v.DropPart():
                self._jobs.drop_part(command)
            case v.CheckPart():
                self._jobs.check(command)
            case v.PutPart():
                self._spawn(self._put(command))
            case v.CreateUpload() | v.AbortUpload() | v.CompleteUpload() | v.CheckObject() | v.ListUpload():
                self._spawn(self._stored(command))
            case v.LimitRate(rate_bytes_s=rate):
                self._spawn(self._limit(rate))
            case v.Report(text=text, job=job, fatal=fatal):
                self._fatal = self._fatal or fatal
                self._report(text, job, final=fatal)
            case _:
                assert_never(command)

    def _report(self, text: str, job: str = "", *, final: bool = False) -> None:
        """Say a line once, until another one takes its place."""
        if self._queries.said(text, job, final=final):
            _logger.log(logging.ERROR if final else logging.WARNING, "fleet: %s%s", f"{job}: " if job else "", text)

    # -- writes, one after another for each key

    def _write(self, command: v.KvCreate | v.KvUpdate | v.KvDelete) -> None:
        name = f"{command.bucket} {command.key}"
        before = self._writes.get(name)
        task = self._writes[name] = self._spawn(self._written(command, before))
        task.add_done_callback(lambda done: self._writes.get(name) is done and self._writes.pop(name))

    async def _written(
        self, command: v.KvCreate | v.KvUpdate | v.KvDelete, before: "asyncio.Task[None] | None"
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        bus = self._bus
        try:
            if bus is None:
                raise BusFault("unreachable", "no broker is connected")
            revision = await _sent(bus, command)
        except WrongRevision:
            self._give(v.KvRefused(request=command.request))
        except BusFault as fault:
            if bus is not None and not bus.lost.is_set():
                self._report(str(fault))
            self._give(v.KvUnknown(request=command.request))
        else:
            self._give(v.KvWritten(request=command.request, revision=revision))

    async def _read(self, command: v.KvRead) -> None:
        try:
            found = await self._bus.get(command.bucket, command.key) if self._bus is not None else None
        except BusFault:
            return
        if self._bus is not None:
            self._row(command.bucket, found or Entry(key=command.key, value=None, revision=0))

    # -- orders

    def _pull(self, on: bool) -> None:
        if self._pulling is not None:
            self._pulling.cancel()
            self._pulling = None
        self._deliveries.clear()
        self._orders.clear()
        if on and self._bus is not None:
            self._pulling = self._spawn(self._pulled(self._bus))

    async def _pulled(self, bus: Bus) -> None:
        numbers = iter(range(int(time.monotonic() * 1000) << 20, 1 << 62))
        while not bus.lost.is_set():
            try:
                async for delivery in bus.orders():
                    try:
                        content = decode_row(FleetOrder, delivery.data)
                    except BadRow as error:
                        self._report(f"an order that no node can read is left out: {error}")
                        await delivery.done()
                        continue
                    number = next(numbers)
                    self._deliveries[number], self._orders[number] = delivery, content
                    self._give(v.OrderReceived(order=number, serial=delivery.serial, content=content))
            except BusFault as fault:
                self._report(str(fault))
                await asyncio.sleep(RETRY_S[0])

    async def _acked(self, command: v.AckOrder) -> None:
        delivery, order = self._deliveries.pop(command.order, None), self._orders.pop(command.order, None)
        if delivery is not None:
            await delivery.done()
        if command.refused and order is not None and self._bus is not None:
            with suppress(BusFault):
                said = json.dumps({"key": order.key, "refused": command.refused}).encode()
                await self._bus.send(progress_subject(self._start.fleet, "orders"), said)

    # -- the destination

    async def _put(self, command: v.PutPart) -> None:
        piece = self._jobs.piece(command.job, command.part)
        failed = v.PartPutFailed(job=command.job, part=command.part, epoch=command.epoch, fault=v.StoreFault.SERVER)
        if piece is None:
            self._give(failed)
            return
        try:
            etag = await self._store.put(command.destination, command.upload, command.part, piece)
        except StoreError as error:
            given = v.PartPutFailed(
                job=command.job, part=command.part, epoch=command.epoch, fault=error.fault, detail=str(error)
            )
            self._give(given)
        else:
            self._give(v.PartPut(job=command.job, part=command.part, epoch=command.epoch, etag=etag))

    async def _stored(self, command: v.Command) -> None:
        name = self._queries.name_of(command.job) if isinstance(command, v.AbortUpload) else ""
        event = await performed(self._store, command, name)
        if event is not None:
            self._give(event)

    async def _limit(self, rate_bytes_s: float) -> None:
        wanted = int(rate_bytes_s) if rate_bytes_s > 0 else -1
        with suppress(JobRefused):
            await self._client.ask(SetTotalLimit(limit_bytes_s=wanted), Counts)

    # -- the bus

    async def _ticks(self) -> None:
        while True:
            self._give(v.Tick(wall_s=time.time()))
            await asyncio.sleep(TICK_S)

    async def _states(self) -> None:
        while True:
            self._tell_states()
            await asyncio.sleep(STATES_S)

    def _tell_states(self) -> None:
        try:
            disk = os.statvfs(self._start.folder)
            free = disk.f_bavail * disk.f_frsize
        except OSError:
            free = 0
        rate = self._client.rate_bytes_s()
        states = v.SourceStates(
            rate_bytes_s=rate, free_bytes=free, schemes=self._schemes, unreachable=self._jobs.unreachable()
        )
        self._give(states)

    async def _keep_bus(self, store_subject: str) -> None:
        """Connect, and connect again whenever the connection is lost, until the process ends."""
        settings = _bus_settings(self._start)
        pause_s = RETRY_S[0]
        while not self._fatal:
            try:
                bus = await connected(settings)
            except BusFault as fault:
                self._report(f"{fault}; jobs wait, and it is tried again")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S[1])
                continue
            try:
                await bus.open_all()
                await self._joined(bus, store_subject)
                pause_s = RETRY_S[0]
            except BusFault as fault:
                self._report(f"{fault}; jobs wait, and it is tried again")
            finally:
                if self._bus is not None:
                    self._bus = None
                    self._queries.joined(False)
                    self._give(v.BusLost())
                    self._pull(False)
                await bus.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S[1])

    async def _joined(self, bus: Bus, store_subject: str) -> None:
        """Take part until the connection is lost."""
        self._bus = bus
        self._queries.joined(True)
        await bus.serve(node_subject(self._start.fleet, self._start.node, "why"), self._queries.explain)
        await bus.hear(progress_subject(self._start.fleet, "orders"), self._queries.order_refused)
        if self._store.lends:
            await bus.serve(store_subject, self._store.lend, queue="store")
        self._give(v.BusBack())
        listed = asyncio.Semaphore(0)
        watches = [asyncio.ensure_future(self._watched(bus, bucket, listed)) for bucket in BUCKETS]
        lost = asyncio.ensure_future(bus.lost.wait())
        everything = asyncio.ensure_future(_all_listed(listed, len(BUCKETS)))
        try:
            await asyncio.wait([lost, everything, *watches], return_when=asyncio.FIRST_COMPLETED)
            if everything.done():
                self._give(v.KvListed())
                self._jobs.sweep(self._queries.living())
                await asyncio.wait([lost, *watches], return_when=asyncio.FIRST_COMPLETED)
            for watch in watches:
                if watch.done() and watch.exception() is not None and not bus.lost.is_set():
                    watch.result()
        finally:
            for task in (lost, everything, *watches):
                task.cancel()
            await asyncio.gather(lost, everything, *watches, return_exceptions=True)

    async def _watched(self, bus: Bus, bucket: str, listed: asyncio.Semaphore) -> None:
        async for entry in bus.watch(bucket):
            if entry is None:
                listed.release()
            else:
                self._row(bucket, entry)

    def _row(self, bucket: str, entry: Entry) -> None:
        if entry.value is None:
            self._give(v.KvChanged(bucket=bucket, key=entry.key, row=None, revision=entry.revision))
            return
        try:
            row = decode_any(bucket, entry.key, entry.value)
        except BadRow as error:
            given = v.KvUnreadable(bucket=bucket, key=entry.key, detail=str(error)[:200], revision=entry.revision)
            self._give(given)
        else:
            self._give(v.KvChanged(bucket=bucket, key=entry.key, row=row, revision=entry.revision))


def _raise_first(errors: list[BaseException]) -> None:
    if errors:
        raise errors[0]


async def _all_listed(listed: asyncio.Semaphore, count: int) -> None:
    for _ in range(count):
        await listed.acquire()


def _sent(bus: Bus, command: v.KvCreate | v.KvUpdate | v.KvDelete) -> Awaitable[int]:
    match command:
        case v.KvCreate(bucket=bucket, key=key, row=row):
            return bus.create(bucket, key, encode_row(row))
        case v.KvUpdate(bucket=bucket, key=key, row=row, revision=revision):
            return bus.update(bucket, key, encode_row(row), revision)
        case v.KvDelete(bucket=bucket, key=key, revision=revision):
            return bus.delete(bucket, key, revision)


def _bus_settings(start: FleetStart) -> BusSettings:
    return BusSettings(
        servers=start.servers,
        fleet=start.fleet,
        node=start.node,
        seed_file=start.seed_file,
        creds_file=start.creds_file,
        ca_file=start.ca_file,
        replicas=start.replicas,
    )
