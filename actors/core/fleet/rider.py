"""Rider: one node's work on one job: which parts it fetches, stores at the destination and enters in its windows.

Every step is decided from the view and from what is complete here, never from what was asked before: a death between
any two steps leaves a state from which another node, or this one, goes on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from actors.core.fleet.board import WINDOW_PARTS_MAX, Board, Claim, Contest
from actors.core.fleet.view import Bus
from actors.core.fleet.vocabulary import (
    DropPart,
    GrantWindow,
    LocalJobFailed,
    PartPut,
    PartPutFailed,
    PartReady,
    PutPart,
    Report,
    StartLocalJob,
    StopLocalJob,
    StoreFault,
    TrimWindow,
)
from protocol.model.fleet.names import PARTS, scheme_of, window_key
from protocol.model.fleet.rows import FleetJobRow, PartRow, WindowRow

PUTS_MAX: Final = 4
"""Parts on their way to the destination at a time; each is a connection and a buffer."""
READY_MAX: Final = 8
"""Complete parts that wait for the destination, above which no window is claimed: the disk is not for storing files."""
AHEAD_S: Final = 4.0
"""The next window is claimed when this one is fetched to the end in less: parts become complete several at a time, as
many as three seconds bring, and a busy bus takes a second."""
AHEAD_SHARE: Final = 16
"""A row grows by a sixteenth at least with each write of parts that were sent ahead: it is written whole each time."""
CHECKSUMS_MAX: Final = 3
"""Refusals of one part's checksum after which the node gives the job up: its disk or memory is bad."""
NO_SOURCE: Final = "none of its sources is left for this node"
LOOK_S: Final = 1.0
"""Where nothing could be claimed it is looked again when the board changes, or after this."""
RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 30.0


@dataclass(slots=True)
class Me:
    """This process among the nodes, and how quick it is; shared by all its riders."""

    node: str
    instance: str
    draining: bool = False


@dataclass(slots=True)
class Rider:
    """Work of this node on a job. Owned by the `FleetNode`."""

    job: str
    sources: dict[int, str] | None = None
    """Those the local job was started with, by number; None: it is not running."""
    as_one: bool = False
    """The window that was claimed last is fetched in one go."""
    excluded: tuple[int, ...] = ()
    """Sources of the job that were found to lie, as this node has heeded it."""
    granted: tuple[int, int] | None = None
    ready: dict[int, PartReady] = field(default_factory=dict)
    """Parts that are complete here and not at the destination."""
    putting: dict[int, int] = field(default_factory=dict)
    """Parts on their way, with the epoch of the upload."""
    put: dict[int, tuple[int, PartRow]] = field(default_factory=dict)
    """Parts that the destination has and no row says so, with the epoch of the upload."""
    ahead: dict[int, PartReady] = field(default_factory=dict)
    """Parts of a window that is not complete, each stored here from one source: they are sent so that a death costs
    little ..."""
    ahead_put: dict[int, tuple[int, PartRow]] = field(default_factory=dict)
    """... and those of them that the destination has."""
    failure: str = ""
    """Why this node cannot fetch it ..."""
    refuses: bool = True
    """... and whether it is not to be asked again."""
    lost_epoch: int = -1
    """Epoch of an upload that the destination does not know any more."""
    retry_at: float = 0.0
    retry_s: float = RETRY_S_MIN
    refusals: dict[int, int] = field(default_factory=dict)
    pace: float = 0.0
    """Parts a second, smoothed; 0: unknown."""
    last_ready_at: float = -1.0
    said: str = ""
    _has_users: bool = False
    claiming: str = ""
    """Key of the window that was claimed last: until the bus has answered, none other is."""
    looked: tuple[int, int] = (-1, 0)
    """State in which nothing was worth claiming ..."""
    look_at: float = 0.0
    """... and when that is asked again."""

    # --- what the shell says ---

    def part_ready(self, event: PartReady, now: float) -> None:
        """Take note of a part that is complete here."""
        if event.part in self.put or (event.part in self.putting and event.part not in self.ahead):
            return
        if event.ahead:
            if not {event.part}.intersection(self.ready, self.ahead, self.ahead_put):
                self.ahead[event.part] = event
            return
        if event.part not in self.putting:
            self.ahead.pop(event.part, None)
        epoch, sent = self.ahead_put.pop(event.part, (-1, None))
        if sent is not None and sent.digest == event.digest:
            self.put[event.part] = epoch, sent.but(sources=event.sources)
            return
        if event.part not in self.ready and self.last_ready_at >= 0 and now > self.last_ready_at:
            pace = 1.0 / (now - self.last_ready_at)
            self.pace = pace if self.pace <= 0 else 0.7 * self.pace + 0.3 * pace
        self.last_ready_at = now
        self.ready[event.part] = event

    def part_put(self, event: PartPut, node: str) -> None:
        """Take note of a part that the destination has."""
        if self.putting.get(event.part) != event.epoch:
            return
        del self.putting[event.part]
        ahead, ready = self.ahead.pop(event.part, None), self.ready.get(event.part)
        if ahead is not None and ready is None:
            self.ahead_put[event.part] = event.epoch, _row_of(ahead, event.etag, node, heads=self._has_users)
        elif ready is not None and (ahead is None or ahead.digest == ready.digest):
            # else its sources were found to lie meanwhile, or it was sent ahead and is another one now
            del self.ready[event.part]
            self.put[event.part] = event.epoch, _row_of(ready, event.etag, node, heads=self._has_users)
        self.retry_s = RETRY_S_MIN
        self.refusals.pop(event.part, None)

    def put_failed(self, event: PartPutFailed, now: float, bus: Bus) -> None:
        """Decide by the fault whether the part is sent again, read again, or the upload is gone."""
        if self.putting.get(event.part) != event.epoch:
            return
        del self.putting[event.part]
        damaged = event.fault in (StoreFault.CHECKSUM, StoreFault.EXPIRED)
        if event.part in self.ahead and (damaged or event.part in self.ready):
            del self.ahead[event.part]
            if damaged:
                return  # the part is sent when its window is complete
        if event.fault is StoreFault.NO_UPLOAD:
            self.lost_epoch = event.epoch
        elif event.fault is StoreFault.CHECKSUM:
            self.refusals[event.part] = self.refusals.get(event.part, 0) + 1
            if self.refusals[event.part] > CHECKSUMS_MAX:
                self.failure = f"part {event.part} arrives damaged each time"
            elif self.refusals[event.part] > 1:  # once may have been the line; then the bytes here are suspect
                self.ready.pop(event.part, None)
                bus.out.append(DropPart(self.job, event.part, refetch=True))
        elif event.fault is StoreFault.TOO_MANY_PARTS:
            self.failure = "the destination takes no more parts"
        elif event.fault is not StoreFault.EXPIRED:
            self._wait(event.fault, event.detail, now, bus)
        elif self.refusals.get(event.part, 0) >= 2:  # an address that is old when it is made: a clock is wrong
            self._wait(event.fault, "addresses are expired when they arrive: is a clock wrong?", now, bus)
        else:
            self.refusals[event.part] = self.refusals.get(event.part, 0) + 1

    def _wait(self, fault: StoreFault, detail: str, now: float, bus: Bus) -> None:
        self.retry_at = now + self.retry_s
        self.retry_s = min(2 * self.retry_s, RETRY_S_MAX)
        text = detail or f"the destination refuses parts ({fault.name.lower()})"
        if text != self.said:
            self.said = text
            bus.out.append(Report(text, job=self.job))

    def failed(self, event: LocalJobFailed) -> None:
        """Take note that this node cannot fetch the file."""
        self.failure = event.detail or "the local job failed"
        self._forget_ahead()
        self.sources = None
        self.granted = None

    # --- what is done ---

    def start(self, row: FleetJobRow, sources: dict[int, str], pieces: bytes, bus: Bus) -> None:
        """Have the local job run with the sources that are this node's, once the hashes of its pieces are here."""
        if self.sources == sources or self.failure or bool(row.spec.pieces.piece_algorithm) > bool(pieces):
            return
        if not sources and row.sources:
            if not self.granted:  # users fall to other nodes as those come and go; what they send here goes on
                self.failure, self.refuses = NO_SOURCE, bool(row.excluded)
            return
        self._has_users = any(scheme_of(url) == "slsk" for url in row.sources)
        self.sources = sources
        bus.out.append(StartLocalJob(self.job, row.spec, tuple(sources.values()), tuple(sources), pieces))

    def stop(self, bus: Bus, *, keep: bool) -> None:
        """End the local job."""
        self._forget_ahead()
        if self.sources is not None or not keep:
            bus.out.append(StopLocalJob(self.job, keep=keep))
        self.sources = None
        self.granted = None

    def act(self, row: FleetJobRow, board: Board, me: Me, contest: Callable[[], Contest], bus: Bus, now: float) -> None:
        """Do the next of everything that can be done."""
        if row.excluded != self.excluded:
            self._heed(row, bus)
        self._forget_surplus(row, board, me, bus)
        if self.failure or me.draining:
            self.give_back(row, board, me, bus, now)
            return
        mine = self.mine(board, me)
        self._enter(row, board, mine, bus, now)
        if bus.open:
            self._store(row, board, mine, bus, now)
            self._claim(row, board, mine, me, contest, bus, now)
        self._grant(row, board, mine, bus)

    def _heed(self, row: FleetJobRow, bus: Bus) -> None:
        """Drop what was fetched with a source that was found to lie; the rest is fetched without it."""
        found, self.excluded = {*row.excluded} - {*self.excluded}, row.excluded
        spoilt = [part for part, ready in self.ready.items() if found.intersection(ready.sources)]
        if self.sources is not None and found.intersection(self.sources):
            self.stop(bus, keep=False)
            spoilt = [*self.ready, *self.put]
        for part in spoilt:  # an answer about one that is on its way is not waited for
            for kept in (self.ready, self.put, self.putting, self.ahead):
                kept.pop(part, None)
            bus.out.append(DropPart(self.job, part, refetch=self.sources is not None))

    def _forget_ahead(self) -> None:
        """Send no more parts of a window that is not fetched on; those that are on their way arrive."""
        self.ahead = {part: each for part, each in self.ahead.items() if part in self.putting}

    def _forget_surplus(self, row: FleetJobRow, board: Board, me: Me, bus: Bus) -> None:
        """Free the disk of parts that are stored, by this node or another."""
        for part in [each for each in self.ready if board.is_stored(each) and each not in self.putting]:
            del self.ready[part]
            bus.out.append(DropPart(self.job, part, refetch=False))
        for part in [each for each in self.put if board.is_stored(each)]:
            del self.put[part]
            bus.out.append(DropPart(self.job, part, refetch=False))
        sent = [part for part in (*self.ahead, *self.ahead_put) if part not in self.putting]
        for part in filter(board.is_stored, sent):
            self.ahead.pop(part, None)
            self.ahead_put.pop(part, None)
            bus.out.append(DropPart(self.job, part, refetch=False))

    def mine(self, board: Board, me: Me) -> list[int]:
        """Return the first parts of the windows that this process holds and that miss parts."""
        return board.held_by(me.node, me.instance)

    def _enter(self, row: FleetJobRow, board: Board, mine: list[int], bus: Bus, now: float) -> None:
        """Write what the destination has into the rows of the windows; parts of other windows are not entered."""
        if not self.put and not self.ahead_put:
            return
        held: set[int] = set()

        def sent(found: dict[int, tuple[int, PartRow]], parts: Iterable[int]) -> tuple[PartRow, ...]:
            return tuple(found[part][1] for part in parts if part in found and found[part][0] == row.epoch)

        for first in mine:
            missing, window = board.missing(first), board.windows[first]
            held.update(missing)
            new = sent(self.put, missing)
            ahead = sent(self.ahead_put, [part for part in missing if part not in self.put])
            if new or len({*ahead} - {*window.ahead}) > len(window.ahead) // AHEAD_SHARE:
                written = window.but(parts=(*window.parts, *new), ahead=ahead)
                bus.write(PARTS, window_key(self.job, first), written, now)
        self.ahead_put = {part: each for part, each in self.ahead_put.items() if part in held and each[0] == row.epoch}
        for part, (epoch, stored) in list(self.put.items()):
            if part not in held or epoch != row.epoch:
                # Another node has the window, or the upload is gone: if it is needed here it is sent again.
                del self.put[part]
                self.ready.setdefault(part, _ready_of(self.job, stored))

    def _store(self, row: FleetJobRow, board: Board, mine: list[int], bus: Bus, now: float) -> None:
        if now < self.retry_at or self.lost_epoch == row.epoch or not (self.ready or self.ahead):
            return
        complete = {*self.ready, *self.ahead} if row.divisible else {*self.ready}
        for first in mine:
            for part in board.missing(first):
                if len(self.putting) >= PUTS_MAX:
                    return
                if part in complete and part not in self.putting and part not in self.put:
                    self.putting[part] = row.epoch
                    token = bus.view.revisions.get((PARTS, window_key(self.job, first)), 0)
                    bus.out.append(PutPart(self.job, part, row.epoch, row.upload, row.destination, token))

    def _claim(
        self,
        row: FleetJobRow,
        board: Board,
        mine: list[int],
        me: Me,
        contest: Callable[[], Contest],
        bus: Bus,
        now: float,
    ) -> None:
        if (
            self.sources is None
            or not bus.free(PARTS, self.claiming)
            or (not row.divisible and row.nodes[0] != me.node)
            or (self.looked == (board.version, len(self.ready)) and now < self.look_at)
        ):
            return
        left = sum(self._open_count(board, first) for first in mine)
        waiting = sum(len(board.missing(first)) for first in mine) - left
        if waiting > READY_MAX + PUTS_MAX or left > WINDOW_PARTS_MAX / 2:
            return
        facts = contest()
        if left > 0 and (facts.as_one or self.as_one or left > facts.rate(me.node) * AHEAD_S):
            return
        claim = board.next_claim(row.part_count, facts, now, idle=left == 0)
        if claim is not None:
            self.claiming, self.as_one = window_key(self.job, claim.first), facts.as_one
            bus.write(PARTS, self.claiming, self._row(claim, row, board, me), now)
        else:
            self.looked, self.look_at = (board.version, len(self.ready)), now + LOOK_S

    def _open_count(self, board: Board, first: int) -> int:
        return sum(part not in self.ready and part not in self.put for part in board.missing(first))

    def _row(self, claim: Claim, row: FleetJobRow, board: Board, me: Me) -> WindowRow:
        kept = (*(claim.over.parts if claim.over is not None else ()), *board.sent_ahead(claim.first, claim.stop))
        return WindowRow(
            job=self.job,
            first=claim.first,
            stop=claim.stop,
            node=me.node,
            instance=me.instance,
            epoch=row.epoch,
            parts=tuple(filter(board.counts, kept)),
        )

    def _grant(self, row: FleetJobRow, board: Board, mine: list[int], bus: Bus) -> None:
        """Move the local job's window over the consecutive parts that are this node's and not complete here."""
        wanted = self._wanted(board, mine)
        if wanted == self.granted or self.sources is None:
            return
        before, self.granted = self.granted, wanted
        if wanted is None:
            if before is not None:
                bus.out.append(TrimWindow(self.job, before[0]))
        elif before is not None and wanted[0] == before[0] and wanted[1] < before[1]:
            bus.out.append(TrimWindow(self.job, wanted[1]))
        else:
            bus.out.append(GrantWindow(self.job, *wanted, row.size_bytes, row.part_bytes, self.as_one))

    def _wanted(self, board: Board, windows: list[int]) -> tuple[int, int] | None:
        """Return the window: the one before as long as parts in it are missing, as far as it goes without a hole."""
        mine: set[int] = set()
        for first in windows:
            mine.update(board.missing(first))
        open_parts = sorted(part for part in mine if part not in self.ready and part not in self.put)
        if not open_parts:
            return None
        start = next((part for part in open_parts if self._within(part)), open_parts[0])
        stop = last = start
        while stop in mine or (self._within(stop) and board.is_stored(stop)):
            stop += 1
            if stop - 1 in open_parts:
                last = stop
        granted = self.granted
        if granted is not None and granted[0] <= start < last <= granted[1]:
            return granted[0], last  # its beginning moves only when its end does: what is complete stays quiet
        first = start
        while first - 1 in mine:
            first -= 1
        return first, last

    def _within(self, part: int) -> bool:
        return self.granted is not None and self.granted[0] <= part < self.granted[1]

    def give_back(self, row: FleetJobRow, board: Board, me: Me, bus: Bus, now: float) -> bool:
        """Stop, enter what is stored, then free the windows; True when nothing is held any more."""
        self.stop(bus, keep=True) if self.sources is not None else None
        held = self.mine(board, me)
        self._enter(row, board, held, bus, now)
        if self.putting:
            return False
        for first in held:
            window = board.windows[first]
            if not any(first <= part < board.reach(first) for part in self.put):
                bus.write(PARTS, window_key(self.job, first), window.but(node="", instance=""), now)
        return not held


def _row_of(ready: PartReady, etag: str, node: str, *, heads: bool) -> PartRow:
    """Return the row of a part that the destination has."""
    head = ready.head if heads else ""
    return PartRow(part=ready.part, etag=etag, digest=ready.digest, node=node, head=head, sources=ready.sources)


def _ready_of(job: str, stored: PartRow) -> PartReady:
    return PartReady(job, stored.part, stored.digest, stored.head, stored.sources)
