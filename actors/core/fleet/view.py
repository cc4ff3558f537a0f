"""View of the fleet's rows as one node has them, with the indexes that decisions need, and its requests to the bus.

Deaths are judged by silence: a row that was not written for its time, by the clock of the node that watches, belongs
to a dead node. No clock of another machine is believed, nor does a pause of this process count as silence of others.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from actors.core.fleet.board import Board
from actors.core.fleet.vocabulary import Command, KvCreate, KvDelete, KvRead, KvUpdate
from protocol.model.fleet.names import JOBS, LEADER, LEASES, NODES, PARTS, SETTINGS, TTL_S
from protocol.model.fleet.rows import (
    ENDED,
    QUEUED,
    AnyRow,
    CheckRow,
    FleetJobRow,
    FleetSettings,
    LeaseRow,
    NodeRow,
    PiecesRow,
    WindowRow,
)

LEADER_TTL_S: Final = 10.0
"""Silence after which the leader's role is taken: shorter than a node's life, because two leaders at once do no harm:
what each writes is compared with the revision it has seen."""
REQUEST_S_MAX: Final = 15.0
"""A request without any answer, not even `KvUnknown`, is given up."""
READ_AGAIN_S: Final = 5.0
FORGOTTEN_TTLS: Final = 5
Key = tuple[str, str]


@dataclass(slots=True)
class NodeSeen:
    """A node's row and when its revision changed, by this node's clock."""

    row: NodeRow
    at: float


class View:
    """Rows of all buckets. Owned by one `FleetNode`.

    Of ended jobs only the ids are kept: a million of them are a matter of some memory.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: the rows are going to be listed again."""
        self.nodes: dict[str, NodeSeen] = {}
        self.leader: LeaseRow | None = None
        self.leader_at = 0.0
        self.settings: FleetSettings | None = None
        self.jobs: dict[str, FleetJobRow] = {}
        self.ended: set[str] = set()
        self.boards: dict[str, Board] = {}
        self.revisions: dict[Key, int] = {}
        self.placed: dict[str, set[str]] = {}
        """Jobs that have not ended, by the nodes they are placed on."""
        self.wide: set[str] = set()
        """Those that several nodes may fetch together."""
        self.queue: list[tuple[int, int, str]] = []
        """Heap of those that wait; entries of others are left in it and skipped."""
        self.stirred = True
        """A job waits, or a node has room, that did not before."""

    def apply(self, bucket: str, key: str, row: AnyRow | None, revision: int, now: float) -> str:
        """Take a row over; return the job it is about, empty: none. What is older than what is known is skipped."""
        known = self.revisions.get((bucket, key), 0)
        if revision <= known and not (row is None and revision == 0):
            return ""
        if row is None:
            self.revisions.pop((bucket, key), None)
        else:
            self.revisions[bucket, key] = revision
        if bucket == NODES:
            self._apply_node(key, row, now)
        elif bucket == JOBS:
            self._apply_job(key, row)
            return key
        elif bucket == PARTS:
            return self._apply_part(key, row, revision, now)
        elif bucket == LEASES and key == LEADER:
            self.leader = row if isinstance(row, LeaseRow) else None
            self.leader_at = now
        elif bucket == SETTINGS:
            self.settings = row if isinstance(row, FleetSettings) else None
        return ""

    def _apply_node(self, key: str, row: AnyRow | None, now: float) -> None:
        if isinstance(row, NodeRow):
            before = self.nodes.get(key)
            self.stirred = self.stirred or before is None or before.row.but(time_s=0.0) != row.but(time_s=0.0)
            self.nodes[key] = NodeSeen(row, now)
        else:
            self.nodes.pop(key, None)

    def _apply_job(self, key: str, row: AnyRow | None) -> None:
        before = self.jobs.pop(key, None)
        for node in before.nodes if before is not None else ():
            self.placed[node].discard(key)
            self.stirred = True
        self.wide.discard(key)
        if not isinstance(row, FleetJobRow):
            self.ended.discard(key)
            return
        if row.state in ENDED:
            self.ended.add(key)
            return
        self.jobs[key] = row
        for node in row.nodes:
            self.placed.setdefault(node, set()).add(key)
        if row.spread > 1:
            self.wide.add(key)
        if row.state == QUEUED and (before is None or before.state != QUEUED):
            heapq.heappush(self.queue, (-row.priority, row.created, key))
            self.stirred = True
        board = self.boards.get(key)
        if board is not None:
            board.judge(row.epoch, row.banned, row.excluded)

    def _apply_part(self, key: str, row: AnyRow | None, revision: int, now: float) -> str:
        job, _, rest = key.partition(".")
        board = self.board(job)
        if rest.startswith("check."):
            board.set_check(rest, row if isinstance(row, CheckRow) else None)
        elif rest == "pieces":
            board.pieces = row.digests if isinstance(row, PiecesRow) else b""
        else:
            board.set_window(int(rest), row if isinstance(row, WindowRow) else None, now)
        if row is None and job not in self.jobs and not (board.windows or board.check_keys or board.pieces):
            self.boards.pop(job, None)
        return job

    def board(self, job: str) -> Board:
        """Return the board of a job."""
        found = self.boards.get(job)
        if found is None:
            row = self.jobs.get(job)
            found = self.boards[job] = Board(0, ())
            if row is not None:
                found.judge(row.epoch, row.banned, row.excluded)
        return found

    def alive(self, node: str, now: float) -> bool:
        """Return whether a node was heard of within its TTL."""
        seen = self.nodes.get(node)
        return seen is not None and now - seen.at <= TTL_S

    def living(self, now: float) -> Iterator[NodeRow]:
        """Yield the rows of living nodes."""
        return (seen.row for seen in self.nodes.values() if now - seen.at <= TTL_S)

    def holds(self, node: str, instance: str, now: float) -> bool:
        """Return whether the process that wrote a window lives."""
        return self.alive(node, now) and self.nodes[node].row.instance == instance

    def led(self, now: float) -> bool:
        """Return whether there is a leader that writes its row."""
        return self.leader is not None and now - self.leader_at <= LEADER_TTL_S

    def paused(self, seconds: float) -> None:
        """Do not take a pause of this process for silence of the others."""
        self.leader_at += seconds
        for seen in self.nodes.values():
            seen.at += seconds

    def prune(self, now: float) -> None:
        """Forget nodes that are long gone: the bus does not say when a row has expired."""
        for node in [name for name, seen in self.nodes.items() if now - seen.at > FORGOTTEN_TTLS * TTL_S]:
            del self.nodes[node]
            self.revisions.pop((NODES, node), None)


@dataclass(slots=True)
class _Pending:
    bucket: str
    key: str
    row: AnyRow | None
    sent: float
    reserve: tuple[str, ...] = ()


class Bus:
    """Requests to the bus: one at a time for each key, created or updated as the view has it.

    Nothing waits for an answer: a write that was taken changes the view, one that was refused has the row read again,
    and what is to be done is decided from the view each time.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.out: list[Command] = []
        self.online = False
        self.open = False
        """Writes are allowed: all rows are known, and this node's life is confirmed."""
        self.reserved: dict[str, int] = {}
        """Jobs that are being placed on each node."""
        self._pending: dict[int, _Pending] = {}
        self._busy: set[Key] = set()
        self._reading: dict[Key, float] = {}
        self._request = 0

    def free(self, bucket: str, key: str) -> bool:
        """Return whether no request about this key is under way."""
        return (bucket, key) not in self._busy and (bucket, key) not in self._reading

    def write(
        self,
        bucket: str,
        key: str,
        row: AnyRow,
        now: float,
        *,
        vital: bool = False,
        reserve: tuple[str, ...] = (),
    ) -> bool:
        """Ask for a row to be written over what the view has; False: not now.

        `vital`: this node's own signs of life. `reserve`: nodes on which a slot is taken until the answer.
        """
        if not self.online or not (self.open or vital) or not self.free(bucket, key):
            return False
        self._request += 1
        self._pending[self._request] = _Pending(bucket, key, row, now, reserve)
        self._busy.add((bucket, key))
        for node in reserve:
            self.reserved[node] = self.reserved.get(node, 0) + 1
        revision = self.view.revisions.get((bucket, key), 0)
        if revision:
            self.out.append(KvUpdate(self._request, bucket, key, row, revision))
        else:
            self.out.append(KvCreate(self._request, bucket, key, row))
        return True

    def delete(self, bucket: str, key: str, now: float) -> None:
        """Ask for a row to be deleted."""
        revision = self.view.revisions.get((bucket, key), 0)
        if not self.open or not revision or not self.free(bucket, key):
            return
        self._request += 1
        self._pending[self._request] = _Pending(bucket, key, None, now)
        self._busy.add((bucket, key))
        self.out.append(KvDelete(self._request, bucket, key, revision))

    def written(self, request: int, revision: int, now: float) -> tuple[_Pending | None, str]:
        """Take note that a write was taken; return it and the job it is about."""
        pending = self._end(request)
        if pending is None:
            return None, ""
        return pending, self.view.apply(pending.bucket, pending.key, pending.row, revision, now)

    def refused(self, request: int, now: float) -> None:
        """Take note that a write was refused, or has no known outcome: read what stands there now."""
        pending = self._end(request)
        if pending is not None:
            self._read((pending.bucket, pending.key), now)

    def seen(self, bucket: str, key: str) -> None:
        """Take note that a row came, which answers a read."""
        self._reading.pop((bucket, key), None)

    def lost(self) -> None:
        """Forget what is under way; the rows are listed again afterwards."""
        self.online = self.open = False
        self._pending.clear()
        self.reserved.clear()
        self._busy.clear()
        self._reading.clear()

    def tick(self, now: float) -> None:
        """Give up what is not answered."""
        for request in [each for each, pending in self._pending.items() if now - pending.sent > REQUEST_S_MAX]:
            self.refused(request, now)
        for key in [each for each, at in self._reading.items() if now - at > READ_AGAIN_S]:
            self._read(key, now)

    def _end(self, request: int) -> _Pending | None:
        pending = self._pending.pop(request, None)
        if pending is not None:
            self._busy.discard((pending.bucket, pending.key))
            for node in pending.reserve:
                self.reserved[node] -= 1
        return pending

    def _read(self, key: Key, now: float) -> None:
        self._reading[key] = now
        self.out.append(KvRead(*key))
