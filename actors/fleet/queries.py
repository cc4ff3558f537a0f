"""Answers about the fleet from any of its nodes: the rows of all buckets as they were last heard, and orders.

Used in the event loop's thread only. Nothing is decided here.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from actors.core.fleet import vocabulary as v
from actors.core.fleet.gone import GoneNodes
from actors.fleet.bus import Bus, BusFault, WrongRevision
from actors.fleet.local_jobs import LocalJobs
from actors.fleet.settings import FleetStart
from protocol.messages import ExplainFleetJob, GetFleet, ListFleetJobs, ListFleetNodes
from protocol.model.fleet.names import (
    FLEET,
    JOBS,
    LEADER,
    LEASES,
    NODES,
    PARTS,
    SETTINGS,
    TTL_S,
    WITH_TTL,
    job_id,
    node_subject,
    pieces_key,
)
from protocol.model.fleet.rows import (
    ENDED,
    AnyRow,
    FleetJobRow,
    FleetOrder,
    FleetSettings,
    LeaseRow,
    NodeRow,
    PiecesRow,
    WindowRow,
    encode_row,
)
from protocol.model.fleet.views import ALONE, JOINED, OUT, FleetJobView, FleetOrdered, FleetView
from protocol.model.job_spec import JobSpec, PieceHashes
from protocol.model.job_views import Bottleneck
from protocol.model.value import Value

ORDER_S: Final = 5.0
"""How long an order waits for its job to appear. It is safe by then: the stream has it."""
EXPLAIN_S: Final = 1.0
REFUSALS_MAX: Final = 1000
LINES_MAX: Final = 50
PIECES_BYTES_MAX: Final = 600_000
"""Digests of pieces that fit a row: of pieces of 1 MiB those of a file of 30 GB."""
R = TypeVar("R", NodeRow, FleetJobRow)


class FleetQueries:
    """The rows of the fleet and what this node has to say. `bus` returns the connection, None without one."""

    def __init__(self, start: FleetStart, jobs: LocalJobs, bus: Callable[[], Bus | None]) -> None:
        self._start = start
        self._jobs = jobs
        self._bus = bus
        self._rows: dict[str, dict[str, tuple[AnyRow, int, float]]] = {}
        """With revision, and when each was heard."""
        self._windows: dict[str, dict[str, WindowRow]] = {}
        self._gone = GoneNodes()
        self._notes: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._news = asyncio.Event()
        self._joined = self._out = False
        self.text = "it has not begun"

    # -- what is heard

    def changed(self, event: v.KvChanged) -> None:
        """Take over a row."""
        bucket = self._rows.setdefault(event.bucket, {})
        known = bucket.get(event.key)
        if known is not None and 0 < event.revision <= known[1]:
            return
        now = time.monotonic()
        if event.row is None:
            bucket.pop(event.key, None)
        else:
            bucket[event.key] = (event.row, event.revision, now)
        if event.bucket == NODES and event.row is not None:
            self._gone.heard(event.key, now)
        elif event.bucket == JOBS:
            self._gone.changed(event.key, event.row if isinstance(event.row, FleetJobRow) else None, now)
            self._news.set()
        elif event.bucket == PARTS:
            job = event.key.partition(".")[0]
            windows = self._windows.setdefault(job, {})
            if isinstance(event.row, WindowRow):
                windows[event.key] = event.row
            elif windows.pop(event.key, None) is not None and not windows:
                del self._windows[job]

    def joined(self, yes: bool) -> None:
        """The bus is connected, or not. Rows are listed again by each connection."""
        self._joined = yes
        if yes:
            self._rows.clear()
            self._windows.clear()
            self.text = ""

    def said(self, text: str, job: str, *, final: bool) -> bool:
        """Keep a line for people; return whether it is another one than before."""
        before = self._notes.get(job)
        self._notes[job] = text
        if not job:
            self.text = text
        self._out = self._out or final
        return before != text

    def order_refused(self, data: bytes) -> None:
        """An order was refused by the leader."""
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(data)
            self._refusals[str(said["key"])] = str(said["refused"])[:300]
            while len(self._refusals) > REFUSALS_MAX:
                self._refusals.pop(next(iter(self._refusals)))
            self._news.set()

    # -- questions

    async def rows(
        self, request: GetFleet | ListFleetNodes | ListFleetJobs | ExplainFleetJob
    ) -> tuple[Sequence[Value] | None, int]:
        """Return the rows that answer, and how many there are in all; None for a job that the fleet has not."""
        match request:
            case GetFleet():
                return [self._view()], 1
            case ListFleetNodes():
                nodes = sorted(self._all(NODES, NodeRow), key=lambda row: row.name)
                return nodes, len(nodes)
            case ListFleetJobs(states=states, offset=offset, limit=limit):
                jobs = [row for row in self._all(JOBS, FleetJobRow) if not states or row.state in states]
                jobs.sort(key=lambda row: -row.created)
                return [self._job_view(row) for row in jobs[offset : offset + limit]], len(jobs)
            case ExplainFleetJob(id=id):
                found = [row for row in self._all(JOBS, FleetJobRow) if id and row.id.startswith(id)]
                return (None, 0) if len(found) != 1 else ([*await self._why(found[0])], -1)

    def _all(self, bucket: str, kind: type[R]) -> Iterator[R]:
        rows = (self._one(bucket, key) for key in self._rows.get(bucket, {}))
        return (row for row in rows if isinstance(row, kind))

    def _one(self, bucket: str, key: str) -> AnyRow | None:
        row, _, heard_s = self._rows.get(bucket, {}).get(key, (None, 0, 0.0))
        return None if bucket in WITH_TTL and time.monotonic() - heard_s > TTL_S else row  # the bus says no expiry

    def living(self) -> set[str]:
        """Return the jobs that have not ended."""
        return {row.id for row in self._all(JOBS, FleetJobRow) if row.state not in ENDED}

    def name_of(self, job: str) -> str:
        """Return the name of a job's finished file; empty for a job that is not known."""
        row = self._one(JOBS, job)
        return row.destination if isinstance(row, FleetJobRow) else ""

    def _view(self) -> FleetView:
        leader, settings = self._one(LEASES, LEADER), self._one(SETTINGS, FLEET)
        known = settings if isinstance(settings, FleetSettings) else None
        bus = self._bus()
        return FleetView(
            fleet=self._start.fleet,
            node=self._start.node,
            state=OUT if self._out else JOINED if self._joined else ALONE,
            text=self.text,
            leader=leader.node if isinstance(leader, LeaseRow) else "",
            destination=self._start.store.address,
            limit_bytes_s=known.limit_bytes_s if known is not None else 0,
            draining=known.draining if known is not None else (),
            bus_bytes=bus.bytes_moved if bus is not None else 0,
            gone=self._gone.listed(time.monotonic()),
        )

    def _job_view(self, row: FleetJobRow) -> FleetJobView:
        parts = row.part_count
        windows = self._windows.get(row.id, {}).values()
        counted = [window for window in windows if window.epoch == row.epoch]
        stored = {part.part for window in counted for part in (*window.parts, *window.ahead)}
        return FleetJobView(
            id=row.id,
            name=row.destination,
            state=row.state,
            nodes=row.nodes,
            size_bytes=row.size_bytes,
            parts=parts,
            parts_stored=parts if row.etag else len(stored),
            priority=row.priority,
            attempt=row.attempt,
            reason=row.reason or self._notes.get(row.id, ""),
            etag=row.etag,
            sealed_by=row.sealed_by,
            sources=len(row.sources),
        )

    async def _why(self, row: FleetJobRow) -> Iterable[Bottleneck]:
        """Explain a job: its row, its windows, and what its nodes say of it now."""
        view = self._job_view(row)
        lines = [("state", f"{row.state}{f': {view.reason}' if view.reason else ''}")]
        if view.parts:
            lines.append(("parts", f"{view.parts_stored} of {view.parts} are at the destination"))
        if not row.nodes and not row.etag:
            nodes = [*self._all(NODES, NodeRow)]
            busy = sum(node.jobs >= node.slots for node in nodes)
            lines.append(("nodes", f"no node has it: {len(nodes)} are there, {busy} of them have no free place"))
        lines += [("refused", f"{node} could not fetch it") for node in row.refused]
        lines += [("banned", f"{node} sent other bytes than the others") for node in row.banned]
        lines += [
            ("excluded", f"{row.sources[number]} has other bytes than the other sources")
            for number in row.excluded
            if number < len(row.sources)
        ]
        bus = self._bus()
        for node in row.nodes:
            if self._one(NODES, node) is None:
                lines.append(("nodes", f"{node} is not there any more"))
            elif bus is not None:
                lines += [("node", f"{node} {line}") for line in await self._asked(bus, node, row.id)]
        return [Bottleneck(kind=kind, text=text) for kind, text in lines[:LINES_MAX]]

    async def _asked(self, bus: Bus, node: str, job: str) -> list[str]:
        if node == self._start.node:
            return self._jobs.lines(job)
        try:
            said = await bus.request(node_subject(self._start.fleet, node, "why"), job.encode(), wait_s=EXPLAIN_S)
            return [str(line)[:200] for line in json.loads(said)][:LINES_MAX]
        except (BusFault, ValueError):
            return ["does not answer"]

    async def explain(self, request: bytes) -> bytes:
        """Answer another node's question what this one does for a job."""
        return json.dumps(self._jobs.lines(request.decode("ascii", "replace"))).encode()

    # -- orders

    async def ordered(self, order: FleetOrder, bus: Bus) -> FleetOrdered:
        """Store an order in the stream. Raises `BusFault`, and ValueError for one that was refused."""
        if not order.key:
            order = order.but(key=secrets.token_hex(10))
        if order.spec is not None and order.spec.pieces.piece_file:
            order = await _with_pieces(order, order.spec, bus)
        new = await bus.order(encode_row(order), order.key)
        if order.kind != "create":
            return FleetOrdered(id=order.job, known=not new)
        id = job_id(order.key)
        with suppress(TimeoutError):
            async with asyncio.timeout(ORDER_S):
                while self._one(JOBS, id) is None and order.key not in self._refusals:
                    self._news.clear()
                    await self._news.wait()
        refused = self._refusals.pop(order.key, "")
        if refused:
            raise ValueError(refused)
        return FleetOrdered(id=id, known=not new)


async def _with_pieces(order: FleetOrder, spec: JobSpec, bus: Bus) -> FleetOrder:
    """Give the hashes of the file's pieces to all nodes, before the order; too many for one row are left out."""
    hashes = spec.pieces
    try:
        digests = await asyncio.to_thread(Path(hashes.piece_file).read_bytes)
    except OSError as error:
        raise ValueError(f"the piece hashes cannot be read: {error.strerror or error}") from None
    if len(digests) > PIECES_BYTES_MAX:
        return order.but(spec=spec.but(pieces=PieceHashes()))
    job = job_id(order.key)
    with suppress(WrongRevision):  # the same order came before
        await bus.create(PARTS, pieces_key(job), encode_row(PiecesRow(job=job, digests=digests)))
    return order.but(spec=spec.but(pieces=hashes.but(piece_file="")))
