"""Leader: takes orders, places jobs on nodes, takes them from nodes that died or drain.

Any node can be it, and two at once do no harm: each of their writes is a compare-and-set of one row. Nothing is known
here that is not in the rows, so a new leader goes on at once.
"""

import heapq
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from actors.core.fleet.view import Bus, View
from actors.core.fleet.vocabulary import AckOrder, OrderReceived
from protocol.model.fleet.names import (
    FLEET,
    JOBS,
    PARTS,
    SETTINGS,
    has_password,
    job_id,
    pieces_key,
    rendezvous,
    scheme_of,
    source_host,
)
from protocol.model.fleet.rows import (
    ACTIVE,
    CANCELLED,
    ENDED,
    FAILED,
    PLACED,
    QUEUED,
    SEALING,
    FleetJobRow,
    FleetOrder,
    NodeRow,
)
from protocol.model.limits import SOURCES_MAX

ROOM_BYTES: Final = 256 << 20
"""Free disk that a node must have for a job: windows pass over it, not files."""
USUAL_BYTES: Final = 1 << 30
"""Work of a job whose size is unknown."""
SPREAD_MAX: Final = 64
AGAIN_S: Final = 2.0
"""Jobs that no node could take are looked at again after this."""
SOURCES_CHARS_MAX: Final = 200_000
"""A row must fit a message of the bus, 1 MiB, and is written several times."""
LOOKED_AT_MAX: Final = 200
"""Jobs at the head of the queue that are looked at in one step: the rest cannot starve, as the head is put aside."""

Busyness = tuple[float, float, str]


class Leader:
    """Decisions of the node that leads; another node's are empty. Owned by the `FleetNode`."""

    def __init__(self, view: View, bus: Bus) -> None:
        self._view = view
        self._bus = bus
        self._orders: dict[int, OrderReceived] = {}
        self._aside: list[tuple[int, int, str]] = []
        self._aside_until = 0.0
        self._given: dict[str, float] = {}
        """Bytes placed on each node since this one leads: breaks ties, so that equal nodes get equal work."""
        self.leads = False

    def step_down(self) -> None:
        """Forget what only a leader needs; orders that are not acknowledged come again."""
        self.leads = False
        self._orders.clear()
        self._given.clear()
        self._restore()

    def order(self, event: OrderReceived) -> None:
        """Take an order; it is acknowledged when the rows show its effect."""
        self._orders[event.order] = event

    def act(self, now: float, wall_s: float, *, tick: bool) -> None:
        """Do what is due. `tick`: also what is looked at now and then only."""
        if self._orders:
            self._fill_orders(now, wall_s)
        if tick:
            self._replace(now)
            if now >= self._aside_until:
                self._restore()
        if self._view.queue and (tick or self._view.stirred):
            self._view.stirred = False
            self._place_queue(now)

    # --- orders ---

    def _fill_orders(self, now: float, wall_s: float) -> None:
        for number, event in list(self._orders.items()):
            refused = self._fill(event, now, wall_s)
            if refused is not None:
                del self._orders[number]
                self._bus.out.append(AckOrder(number, refused))

    def _fill(self, event: OrderReceived, now: float, wall_s: float) -> str | None:
        """Return empty when the order's effect is stored, a reason when it cannot be had, None to look again."""
        order = event.content
        if order.kind == "create":
            return self._create(event, now, wall_s)
        if order.kind == "cancel":
            return self._cancel(order.job, now)
        settings = self._view.settings
        if settings is None:
            return None
        if order.kind in ("drain", "undrain"):
            others = tuple(node for node in settings.draining if node != order.node)
            wanted = settings.but(draining=(*others, order.node) if order.kind == "drain" else others)
            if order.kind == "drain" and order.node in settings.draining:
                return ""
        elif order.kind == "limit":
            wanted = settings.but(limit_bytes_s=max(0, order.limit_bytes_s))
        else:
            return f"unknown kind of order: {order.kind[:40]}"
        if wanted == settings:
            return ""
        self._bus.write(SETTINGS, FLEET, wanted, now)
        return None

    def _create(self, event: OrderReceived, now: float, wall_s: float) -> str | None:
        order = event.content
        if refused := unfit(order):
            return refused
        job = job_id(order.key)
        if job in self._view.jobs or job in self._view.ended:
            return ""
        assert order.spec is not None  # `unfit`
        row = FleetJobRow(
            id=job,
            key=order.key,
            spec=order.spec.but(http=order.spec.http.for_strangers().but(cookie_file="")),
            sources=order.sources,
            destination=order.destination,
            priority=order.priority,
            created=event.serial,
            spread=max(1, min(order.spread, SPREAD_MAX)),
            size_bytes=-1,
            ordered_s=wall_s,
        )
        self._bus.write(JOBS, job, row, now)
        return None

    def _cancel(self, job: str, now: float) -> str | None:
        row = self._view.jobs.get(job)
        if row is None:
            return "" if job in self._view.ended else "no such job"
        if row.state == SEALING:
            return None  # it ends by itself in a moment, one way or the other
        self._bus.write(JOBS, job, row.but(state=CANCELLED), now)
        return None

    # --- placement ---

    def _restore(self) -> None:
        for entry in self._aside:
            row = self._view.jobs.get(entry[2])
            if row is not None and row.state == QUEUED:
                heapq.heappush(self._view.queue, entry)
        self._aside.clear()

    def _place_queue(self, now: float) -> None:
        living = self._fit(now)
        free = [(self._busyness(node), node) for node in living if self._slots(node) > 0]
        heapq.heapify(free)
        looked, busy = 0, []
        while self._view.queue and free and looked < LOOKED_AT_MAX:
            entry = heapq.heappop(self._view.queue)
            row = self._view.jobs.get(entry[2])
            if row is None or row.state != QUEUED:
                continue
            looked += 1
            if not self._bus.free(JOBS, row.id):  # its order's own write is not answered yet
                busy.append(entry)
                continue
            self._place(row, living, free, now)
            if not self._aside:
                self._aside_until = now + AGAIN_S
            self._aside.append(entry)  # also of a placed one, whose write may be refused
        for entry in busy:
            heapq.heappush(self._view.queue, entry)

    def _fit(self, now: float) -> list[NodeRow]:
        draining = self._view.settings.draining if self._view.settings is not None else ()
        return [node for node in self._view.living(now) if not node.draining and node.name not in draining]

    def _slots(self, node: NodeRow) -> int:
        return node.slots - len(self._view.placed.get(node.name, ())) - self._bus.reserved.get(node.name, 0)

    def _place(self, row: FleetJobRow, living: list[NodeRow], free: list[tuple[Busyness, NodeRow]], now: float) -> None:
        """Place a job on the least busy nodes that can have it; `free` is a heap of those with room."""
        logged_in = users_nodes(living)
        chosen: list[NodeRow] = []
        passed: list[tuple[Busyness, NodeRow]] = []
        while free and len(chosen) < row.spread:
            entry = heapq.heappop(free)
            if self._can(row, entry[1], logged_in) and _reaches(row, entry[1], logged_in):
                chosen.append(entry[1])
            else:
                passed.append(entry)
        if not chosen:  # what could not be reached lately may be tried
            able = [entry for entry in passed if self._can(row, entry[1], logged_in)][: row.spread]
            chosen = [node for _, node in able]
            passed = [entry for entry in passed if entry not in able]
        if chosen:
            self._write(row, tuple(node.name for node in chosen), now)
        else:
            self._explain(row, living, now)
        for node in chosen:
            if self._slots(node) > 0:
                heapq.heappush(free, (self._busyness(node), node))
        for entry in passed:
            heapq.heappush(free, entry)

    def _write(self, row: FleetJobRow, nodes: tuple[str, ...], now: float) -> None:
        state = SEALING if row.state == SEALING else ACTIVE if row.upload else PLACED
        new = tuple(node for node in nodes if node not in row.nodes)
        placed = row.but(state=state, nodes=nodes, attempt=row.attempt + 1, reason="")
        if self._bus.write(JOBS, row.id, placed, now, reserve=new):
            for node in new:
                self._given[node] = self._given.get(node, 0.0) + _work(row) / len(nodes)

    def _least_busy(self, able: list[NodeRow], count: int) -> list[NodeRow]:
        return heapq.nsmallest(count, able, key=self._busyness)

    def _busyness(self, node: NodeRow) -> Busyness:
        """Return the share of a node's slots that is free, negative, quicker nodes have more; then its given work."""
        return -self._slots(node) / max(1, node.slots), self._given.get(node.name, 0.0), node.name

    def _can(self, row: FleetJobRow, node: NodeRow, logged_in: tuple[str, ...]) -> bool:
        if node.name in row.refused or node.name in row.banned or 0 <= node.free_bytes < ROOM_BYTES:
            return False
        return bool(own_sources(row, node, logged_in)) or (not row.sources and bool(row.spec.term))

    def _explain(self, row: FleetJobRow, living: list[NodeRow], now: float) -> None:
        """Say why a job waits; it fails when every node has tried that has a source of it."""
        tried = {*row.refused, *row.banned}
        logged_in = users_nodes(living)
        if tried and all(node.name in tried or not own_sources(row, node, logged_in) for node in living):
            reason = row.reason or "no node can fetch it"
            self._bus.write(JOBS, row.id, row.but(state=FAILED, reason=reason), now)
            return
        if not living or any(self._can(row, node, logged_in) for node in living):
            return
        reason = "waits for a node that reaches its sources and has room"
        if row.reason != reason:
            self._bus.write(JOBS, row.id, row.but(reason=reason), now)

    # --- deaths, drains, newcomers ---

    def _replace(self, now: float) -> None:
        living = self._fit(now)
        fit = {node.name for node in living}
        for node, jobs in list(self._view.placed.items()):
            if node in fit or not jobs:
                continue
            for job in sorted(jobs):
                self._take_from(self._view.jobs[job], fit, living, now)
        free = [node for node in living if self._slots(node) > 0]
        if free:
            for job in sorted(self._view.wide):
                self._widen(self._view.jobs[job], living, free, now)
        self._tidy(now)

    def _take_from(self, row: FleetJobRow, fit: set[str], living: list[NodeRow], now: float) -> None:
        left = tuple(node for node in row.nodes if node in fit)
        if not left:
            logged_in = users_nodes(living)
            able = [node for node in living if self._can(row, node, logged_in)]
            ready = able if row.state == SEALING else [node for node in able if self._slots(node) > 0]
            left = tuple(node.name for node in self._least_busy(ready, 1))
        if left:
            self._write(row, left, now)
        elif row.state != SEALING:
            self._bus.write(JOBS, row.id, row.but(state=QUEUED, nodes=()), now)

    def _widen(self, row: FleetJobRow, living: list[NodeRow], free: list[NodeRow], now: float) -> None:
        """Add nodes to a job that has fewer than it may have."""
        lacking = min(row.spread, row.part_count) - len(row.nodes)
        if row.state != ACTIVE or lacking <= 0 or not row.nodes or not self._bus.free(JOBS, row.id):
            return
        logged_in = users_nodes(living)
        able = [
            node
            for node in free
            if node.name not in row.nodes and self._slots(node) > 0 and self._can(row, node, logged_in)
        ]
        if able:
            added = tuple(node.name for node in self._least_busy(able, lacking))
            self._write(row, (*row.nodes, *added), now)

    def _tidy(self, now: float) -> None:
        """Delete the windows of jobs that have ended; nothing reads them any more."""
        for job in [each for each in self._view.boards if each in self._view.ended][:50]:
            board = self._view.boards[job]
            for first in board.windows:
                self._bus.delete(PARTS, f"{job}.{first}", now)
            for rest in sorted(board.check_keys):
                self._bus.delete(PARTS, f"{job}.{rest}", now)
            if board.pieces:
                self._bus.delete(PARTS, pieces_key(job), now)


def users_nodes(living: Iterable[NodeRow]) -> tuple[str, ...]:
    """Return the nodes among which the users of Soulseek are divided: those that are logged in."""
    return tuple(sorted(node.name for node in living if "slsk" in node.schemes))


def own_sources(row: FleetJobRow, node: NodeRow, logged_in: tuple[str, ...]) -> dict[int, str]:
    """Return the sources that a node fetches from, by number: all mirrors it reaches, and the users that fall to it.

    One user hears one login of the fleet, whatever is fetched: users are divided among all nodes that are logged in.
    """
    found = {}
    for number, url in enumerate(row.sources):
        scheme = scheme_of(url)
        if scheme not in node.schemes:
            continue
        if scheme != "slsk" or _node_of_user(source_host(url), logged_in) == node.name:
            found[number] = url
    for number in row.excluded:
        found.pop(number, None)
    return found


def _reaches(row: FleetJobRow, node: NodeRow, logged_in: tuple[str, ...]) -> bool:
    """Return whether one of the node's sources is at a host that it could reach lately, as far as is known."""
    hosts = {*node.unreachable}
    return not hosts or any(source_host(url) not in hosts for url in own_sources(row, node, logged_in).values())


@lru_cache(maxsize=1 << 16)
def _node_of_user(user: str, logged_in: tuple[str, ...]) -> str:
    return rendezvous(user, logged_in)


def unfit(order: FleetOrder) -> str:
    """Return why an order cannot be taken, in one line; empty: it can."""
    if order.spec is None or not order.key:
        return "an order needs a job and an idempotency key"
    if not order.destination or order.destination.startswith("/") or ".." in order.destination.split("/"):
        return "the name at the destination is missing or leads out of it"
    if not order.sources and not order.spec.term:
        return "no sources and no words to search for"
    if len(order.sources) > SOURCES_MAX:
        return f"more than {SOURCES_MAX} sources"
    if sum(len(url) for url in order.sources) > SOURCES_CHARS_MAX:
        return f"the sources' addresses are longer than {SOURCES_CHARS_MAX} characters together"
    if any(has_password(url) for url in order.sources):
        return "a source's address names a login; logins stay on the nodes, in their netrc files"
    return ""


def without(row: FleetJobRow, node: str, reason: str, *, refuses: bool = True) -> FleetJobRow:
    """Return the job's row after a node has given it up; `refuses`: it cannot fetch it."""
    left = tuple(each for each in row.nodes if each != node)
    refused = row.refused if node in row.refused or not refuses else (*row.refused, node)
    state = row.state if left or row.state == SEALING or row.state in ENDED else QUEUED
    return row.but(nodes=left, refused=refused, state=state, reason=reason)


def _work(row: FleetJobRow) -> float:
    size = row.size_bytes if row.size_bytes >= 0 else row.spec.size_bytes
    return float(size if size >= 0 else USUAL_BYTES)
