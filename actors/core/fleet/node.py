"""FleetNode: the state machine of one node of a fleet. Events in, commands out, the clock passed in.

One row that a node writes every few seconds is its life; windows and jobs are held by compare-and-set of their own
rows, whose revisions are the fencing tokens. A node that could not confirm its life for half a TTL writes nothing,
stores nothing and seals nothing; what it was given it fetches to the end, onto its own disk.
"""

from collections.abc import Callable
from typing import Any, Final

from actors.core.fleet.board import USER_WINDOWS, Board, Contest
from actors.core.fleet.leader import Leader, own_sources, users_nodes, without
from actors.core.fleet.owner import Owner
from actors.core.fleet.rider import Me, Rider
from actors.core.fleet.view import Bus, View
from actors.core.fleet.vocabulary import (
    AbortUpload,
    BusBack,
    BusLost,
    Command,
    Event,
    FileDescribed,
    KvChanged,
    KvListed,
    KvRefused,
    KvUnknown,
    KvUnreadable,
    KvWritten,
    LimitRate,
    LocalJobFailed,
    ObjectSeen,
    OrderReceived,
    PartChecked,
    PartPut,
    PartPutFailed,
    PartReady,
    PullOrders,
    Report,
    SourceStates,
    Started,
    Tick,
    UploadCompleted,
    UploadCreated,
    UploadFailed,
    UploadListed,
)
from actors.core.max_min import max_min_shares
from protocol.model.fleet.names import FLEET, JOBS, LEADER, LEASES, NODES, SETTINGS, TTL_S, scheme_of
from protocol.model.fleet.rows import (
    ACTIVE,
    FLEET_FORMAT,
    PLACED,
    SEALING,
    FleetJobRow,
    FleetSettings,
    LeaseRow,
    NodeRow,
)

RENEW_S: Final = 3.0
"""Six renewals fail before a node is dead: a broker's own election takes 4 to 8 s."""
PAUSE_S: Final = 3.0
"""Between two events; longer, and this process was stopped: ticks come every half second."""
CLOCK_S_MAX: Final = 60.0
"""Wall clocks that differ by more are said: presigned addresses have minutes."""
LIMIT_STEP: Final = 0.05
"""A limit is given again when it moved by this share."""
RATE_LEAST_BYTES_S: Final = 10_000.0
"""Of a node in one job, in predictions: a smaller one is a moment between two transfers."""
RATE_UNKNOWN: Final = 1.0
NEVER: Final = float("-inf")


class FleetNode:
    """One node. `handle` is its only door."""

    def __init__(self) -> None:
        self.view = View()
        self.bus = Bus(self.view)
        self.leader = Leader(self.view, self.bus)
        self.riders: dict[str, Rider] = {}
        self.owners: dict[str, Owner] = {}
        self.me = Me("", "")
        self._start = Started("", "", 0.0, "")
        self._state = SourceStates(0.0, -1, ("http", "https"))
        self._could_bytes_s = 0.0
        self._listed = False
        self._listed_at = 0.0
        self._stopped = ""
        """Why this node stays out of the fleet."""
        self._last = float("inf")  # before the first event there is no pause
        self._wall_s = 0.0
        self._renewed_at = NEVER
        self._renewal_sent = NEVER
        self._led_at = NEVER
        self._leading_sent = NEVER
        self._limit = 0.0
        self._said: set[str] = set()
        self._dirty: set[str] = set()
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            Started: self._started,
            Tick: self._tick,
            BusLost: self._bus_lost,
            BusBack: self._bus_back,
            KvListed: self._kv_listed,
            KvChanged: self._kv_changed,
            KvUnreadable: self._kv_unreadable,
            KvWritten: self._kv_written,
            KvRefused: self._kv_refused,
            KvUnknown: self._kv_refused,
            OrderReceived: self._order,
            SourceStates: self._source_states,
        }

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take an event; return what is to be done, in order."""
        if now - self._last > PAUSE_S:
            self.view.paused(now - self._last)
        self._last = now
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)
        else:
            self._local(event, now)
        if self._start.node and not self._stopped:
            self._act(now, tick=isinstance(event, Tick))
        commands, self.bus.out = self.bus.out, []
        return commands

    # --- events of the bus ---

    def _started(self, event: Started, now: float) -> None:
        self._start = event
        self._wall_s = event.wall_s
        self.me = Me(event.node, event.instance)

    def _tick(self, event: Tick, now: float) -> None:
        self._wall_s = event.wall_s
        self.bus.tick(now)
        self.view.prune(now)
        self._compare_clocks(now)
        self._dirty.update(self.riders)
        self._dirty.update(self.view.placed.get(self.me.node, ()))

    def _bus_lost(self, event: BusLost, now: float) -> None:
        self.bus.lost()
        self._listed = False
        self._stop_leading()

    def _bus_back(self, event: BusBack, now: float) -> None:
        self.bus.lost()
        self.bus.online = True
        self._listed = False
        self.view.clear()
        self._stop_leading()

    def _kv_listed(self, event: KvListed, now: float) -> None:
        self._listed = True
        self._listed_at = now
        self._renewal_sent = NEVER
        self._dirty.update(self.riders)
        self._dirty.update(self.view.placed.get(self.me.node, ()))

    def _kv_changed(self, event: KvChanged, now: float) -> None:
        self.bus.seen(event.bucket, event.key)
        self._note(self.view.apply(event.bucket, event.key, event.row, event.revision, now))

    def _kv_unreadable(self, event: KvUnreadable, now: float) -> None:
        self.bus.seen(event.bucket, event.key)
        if event.bucket in (SETTINGS, JOBS):
            self._say(f"{event.bucket}/{event.key}: a row of another version of the program is left alone")

    def _kv_written(self, event: KvWritten, now: float) -> None:
        pending, job = self.bus.written(event.request, event.revision, now)
        if pending is None:
            return
        if pending.bucket == NODES:
            self._renewed_at = pending.sent
        elif pending.bucket == LEASES:
            self._led_at = pending.sent
        elif pending.bucket == JOBS:
            self.view.stirred = True
        self._note(job)

    def _kv_refused(self, event: KvRefused | KvUnknown, now: float) -> None:
        self.bus.refused(event.request, now)

    def _order(self, event: OrderReceived, now: float) -> None:
        if self.leader.leads:
            self.leader.order(event)

    def _source_states(self, event: SourceStates, now: float) -> None:
        self._state = event
        if event.rate_bytes_s > 0:  # a node without work has not become slower
            self._could_bytes_s = max(event.rate_bytes_s, 0.9 * self._could_bytes_s)

    def _note(self, job: str) -> None:
        if job in self.riders or job in self.owners or self._is_mine(job):
            self._dirty.add(job)

    def _is_mine(self, job: str) -> bool:
        row = self.view.jobs.get(job)
        return row is not None and self.me.node in row.nodes

    # --- events of this machine ---

    def _local(self, event: Any, now: float) -> None:
        job: str = event.job
        rider, owner = self.riders.get(job), self.owners.get(job)
        if rider is None or owner is None:
            if isinstance(event, UploadCreated):
                self.bus.out.append(AbortUpload(job, event.upload))
            return
        self._dirty.add(job)
        match event:
            case PartReady():
                rider.part_ready(event, now)
            case PartPut():
                rider.part_put(event, self.me.node)
            case PartPutFailed():
                rider.put_failed(event, now, self.bus)
            case LocalJobFailed():
                rider.failed(event)
            case FileDescribed():
                self._described(event, rider, owner)
            case PartChecked():
                owner.checked(event)
            case UploadCreated():
                owner.upload_created(event)
            case UploadFailed():
                owner.upload_failed(event, now, self.bus)
            case UploadCompleted():
                owner.completed(event, self.view.board(job))
            case ObjectSeen():
                row = self.view.jobs.get(job)
                if row is not None:
                    owner.object_seen(event, row, self.view.board(job), now)
            case UploadListed():
                owner.listed(event, self.view.board(job))

    def _described(self, event: FileDescribed, rider: Rider, owner: Owner) -> None:
        row = self.view.jobs.get(event.job)
        if row is not None and 0 <= row.size_bytes != event.size_bytes:
            rider.failure = f"its sources have {event.size_bytes} bytes here, elsewhere {row.size_bytes}"
        owner.described(event)

    # --- what is done ---

    def _act(self, now: float, *, tick: bool) -> None:
        self._live(now)
        if not self._listed:
            self._dirty.clear()
            return
        self.bus.open = now - self._renewed_at <= TTL_S / 2
        if self.bus.open:
            self._agree(now)
        if self.view.settings is not None and not self._stopped:
            self._lead(now, tick=tick)
            for job in sorted(self._dirty):
                self._work(job, now, tick=tick)
            if tick:
                self._limit_rate(now)
        self._dirty.clear()

    def _live(self, now: float) -> None:
        """Write this node's row when it is time, unless a living process has the name."""
        if not self._listed or now - self._renewal_sent < RENEW_S:
            return
        seen = self.view.nodes.get(self.me.node)
        if seen is not None and seen.row.instance != self.me.instance and now - seen.at < 1.5 * RENEW_S:
            if now - self._listed_at > 3 * RENEW_S:
                self._say(f"another process is node {self.me.node}: give this one another name")
            return
        draining = self.view.settings is not None and self.me.node in self.view.settings.draining
        self.me.draining = draining
        row = NodeRow(
            name=self.me.node,
            instance=self.me.instance,
            version=self._start.version,
            time_s=self._wall_s,
            rate_bytes_s=self._state.rate_bytes_s,
            could_bytes_s=self._could_bytes_s,
            free_bytes=self._state.free_bytes,
            slots=self._start.slots,
            jobs=sum(rider.sources is not None for rider in self.riders.values()),
            draining=draining,
            schemes=self._state.schemes,
            unreachable=self._state.unreachable[:8],
        )
        if self.bus.write(NODES, self.me.node, row, now, vital=True):
            self._renewal_sent = now

    def _agree(self, now: float) -> None:
        """Write the fleet's settings where there are none; stay out where they name another destination."""
        settings = self.view.settings
        if settings is None:
            new = FleetSettings(fleet=self._start.fleet, destination=self._start.destination)
            self.bus.write(SETTINGS, FLEET, new, now)
        elif settings.format != FLEET_FORMAT:
            self._stay_out(f"this fleet is of format {settings.format}, this program of {FLEET_FORMAT}")
        elif settings.destination != self._start.destination:
            self._stay_out(
                f"a fleet of this name stores to {settings.destination}, not to {self._start.destination}: "
                "give this one another name"
            )

    def _stay_out(self, text: str) -> None:
        self._stopped = text
        self.bus.out.append(Report(text, fatal=True))

    def _lead(self, now: float, *, tick: bool) -> None:
        lease = self.view.leader
        mine = lease is not None and (lease.node, lease.instance) == (self.me.node, self.me.instance)
        if self.bus.open and (not self.view.led(now) or (mine and now - self._leading_sent >= RENEW_S)):
            row = LeaseRow(node=self.me.node, instance=self.me.instance)
            if self.bus.write(LEASES, LEADER, row, now):
                self._leading_sent = now
        leads = self.bus.open and mine and now - self._led_at <= TTL_S / 4
        if leads and not self.leader.leads:
            self.leader.leads = True
            self.bus.out.append(PullOrders(on=True))
        elif not leads and self.leader.leads:
            self._stop_leading()
        if self.leader.leads:
            self.leader.act(now, self._wall_s, tick=tick)

    def _stop_leading(self) -> None:
        if self.leader.leads:
            self.leader.step_down()
            self.bus.out.append(PullOrders(on=False))

    def _work(self, job: str, now: float, *, tick: bool) -> None:
        """Do what is due for one job here."""
        row = self.view.jobs.get(job)
        if row is None or self.me.node not in row.nodes:
            self._leave(job, row, now)
            return
        rider = self.riders.setdefault(job, Rider(job))
        owner = self.owners.setdefault(job, Owner(job, self.me.node))
        board = self.view.board(job)
        if rider.failure and row.state != SEALING:
            if rider.give_back(row, board, self.me, self.bus, now):
                left = without(row, self.me.node, f"{self.me.node}: {rider.failure}", refuses=rider.refuses)
                self.bus.write(JOBS, job, left, now)
            return
        if row.state in (PLACED, ACTIVE, SEALING):
            begins = rider.sources is None and not rider.failure
            if (tick or begins) and (row.state != PLACED or row.nodes[0] == self.me.node):
                rider.start(row, self._sources(row, now), board.pieces, self.bus)
            if row.state == ACTIVE:
                rider.act(row, board, self.me, lambda: self._contest(row, board, rider, now), self.bus, now)
            living = [node for node in row.nodes if self.view.alive(node, now) or node == self.me.node]
            owner.act(row, board, self.bus, now, living, rider.lost_epoch)

    def _sources(self, row: FleetJobRow, now: float) -> dict[int, str]:
        mine = self.view.nodes.get(self.me.node)
        if mine is None:
            return dict(enumerate(row.sources))
        current = mine.row.but(schemes=self._state.schemes)
        return own_sources(row, current, users_nodes(self.view.living(now)))

    def _leave(self, job: str, row: FleetJobRow | None, now: float) -> None:
        """End what this node does for a job that is over, or another node's."""
        rider = self.riders.get(job)
        if rider is None:
            return
        owner = self.owners[job]
        if row is not None:  # its bytes stay until the job ends: it may come back here
            rider.give_back(row, self.view.board(job), self.me, self.bus, now)
            if not rider.refuses:
                rider.failure, rider.refuses = "", True
        elif job in self.view.ended:
            rider.stop(self.bus, keep=False)
            del self.riders[job], self.owners[job]
        if owner.made is not None and (row is None or row.upload):
            if row is None or row.upload != owner.made.upload:
                self.bus.out.append(AbortUpload(job, owner.made.upload))
            owner.made = None

    def _contest(self, row: FleetJobRow, board: Board, rider: Rider, now: float) -> Contest:
        rates = {node: self._rate(node, row) for node in (*row.nodes, self.me.node)}
        known = [rate for rate in rates.values() if rate > 0]
        usual = sum(known) / len(known) if known else RATE_UNKNOWN
        mine = rider.mine(board, self.me)
        own = {part for first in mine for part in board.missing(first)}
        schemes = {scheme_of(url) for url in (rider.sources or {}).values()}
        mirrors = row.divisible and len(schemes) > ("slsk" in schemes)
        spent = mirrors and board.windows_of(self.me.node) >= USER_WINDOWS
        as_one = not row.divisible or ("slsk" in schemes and not spent)
        return Contest(
            node=self.me.node,
            instance=self.me.instance,
            living=lambda node, instance: node in row.nodes and self._holds(node, instance, now),
            rate=lambda node: rates.get(node, 0.0) or usual,
            nodes=row.nodes,
            spare=frozenset(part for part in rider.ready if part not in own),
            end=max((board.reach(first) for first in mine), default=-1),
            as_one=as_one,
        )

    def _holds(self, node: str, instance: str, now: float) -> bool:
        if node == self.me.node:
            return instance == self.me.instance
        return self.view.holds(node, instance, now)

    def _rate(self, node: str, row: FleetJobRow) -> float:
        """Return the parts a second that a node gets in one of its jobs; 0: unknown."""
        seen = self.view.nodes.get(node)
        if seen is None or not row.part_bytes:
            return 0.0
        rate = max(seen.row.rate_bytes_s, seen.row.could_bytes_s / 2)
        return max(rate, RATE_LEAST_BYTES_S) / max(1, seen.row.jobs) / row.part_bytes if rate else 0.0

    def _limit_rate(self, now: float) -> None:
        """Take this node's share of the fleet's limit: each computes the same shares from the same rows."""
        settings = self.view.settings
        total = float(settings.limit_bytes_s) if settings is not None else 0.0
        share = 0.0
        if total > 0:
            busy = [node for node in self.view.living(now) if node.jobs or node.name == self.me.node]
            demands = [1.25 * node.rate_bytes_s if node.rate_bytes_s else total for node in busy]
            names = [node.name for node in busy]
            shares = dict(zip(names, max_min_shares(demands, total), strict=True))
            share = max(1.0, shares.get(self.me.node, total / (len(busy) + 1)))
        if abs(share - self._limit) > LIMIT_STEP * max(share, self._limit) or bool(share) != bool(self._limit):
            self._limit = share
            self.bus.out.append(LimitRate(share))

    def _compare_clocks(self, now: float) -> None:
        for node in self.view.living(now):
            if node.name != self.me.node and node.time_s and abs(node.time_s - self._wall_s) > CLOCK_S_MAX:
                hours = (node.time_s - self._wall_s) / 3600
                self._say(f"the clocks of {node.name} and {self.me.node} differ by about {hours:+.1f} h", node.name)

    def _say(self, text: str, once: str = "") -> None:
        if (once or text) not in self._said:
            self._said.add(once or text)
            self.bus.out.append(Report(text))
