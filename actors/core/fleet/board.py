"""Board of one job: its windows, the parts that are stored, and the next window that a node takes.

Windows are consecutive parts. One ends where the next begins, so that a row written inside a window takes its tail:
one write that the bus either takes or refuses, and the former holder sees it. Stops cost nothing between nodes; what
is chosen follows the common finish: an idle node takes about half of its share of what is free, at last single parts,
then the tail of the window that would be ready last.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from protocol.model.fleet.rows import CheckRow, PartRow, WindowRow

WINDOW_PARTS_MAX: Final = 16
"""A row is written again with each of its parts: sixteen keep what passes the bus below 0.1 % of the file's bytes."""
SET_UP_S: Final = 0.3
"""Until the first byte of a window that is taken from another node."""
LATE_S: Final = 5.0
"""The last part of a node that has stopped or is much slower is taken when that saves this much."""
HOLD_S: Final = 2.0
"""A whole window is not taken from a living node sooner after its last change: two could take it in turns."""
USER_WINDOWS: Final = 2
"""Windows of one node with users in them: the first measures, the second should be the last, as leases of users. The
end of each is a failed upload in a user's list, unless it is the end of the file."""
USER_PARTS_MAX: Final = 64
"""Such a window is fetched as one, and its parts are entered several at a time."""
MEASURED_SHARE: Final = 10
"""The first windows of all nodes together are a tenth of the file, as the first leases of users are."""
USERS_HOLD_S: Final = 30.0
USERS_GAIN_S: Final = 10.0
"""What it must save to disturb users once more than that, or to take the window of a node that is slow."""
STALLED_S: Final = 30.0
"""A living node whose window has not changed for so long, and for three times a usual part, lets others take it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A window to be written: `over` is the row that it replaces, None: a new one."""

    first: int
    stop: int
    over: WindowRow | None


@dataclass(frozen=True, slots=True)
class Contest:
    """Facts about the nodes of a job for `Board.next_claim`."""

    node: str
    instance: str
    living: Callable[[str, str], bool]
    """Whether this process lives and its node is one of the job's."""
    rate: Callable[[str], float]
    """Parts a second of a node in this job; always above 0."""
    nodes: tuple[str, ...]
    spare: frozenset[int]
    """Parts that are complete here and stored nowhere."""
    end: int
    """Where the window ends that is being fetched here; -1: none."""
    as_one: bool = False
    """What is claimed is fetched in one go: users are asked, or all sources begin at byte 0."""


class Board:
    """Windows of a job. `epoch`, the banned nodes and the excluded sources decide which rows count."""

    def __init__(self, epoch: int, banned: tuple[str, ...], excluded: tuple[int, ...] = ()) -> None:
        self.epoch = epoch
        self.banned = banned
        self.excluded = excluded
        self.pieces = b""
        """Hashes of the file's pieces, as far as there are any."""
        self.windows: dict[int, WindowRow] = {}
        self.checks: dict[tuple[int, str], CheckRow] = {}
        self.check_keys: set[str] = set()
        self.changed_at: dict[int, float] = {}
        self.begun_at: dict[int, float] = {}
        """When the holder of a window took it."""
        self.version = 0
        """Grows with every change."""
        self._firsts: list[int] = []
        self._entries: dict[int, dict[int, PartRow]] = {}
        self._open: dict[int, list[int]] = {}
        """Parts that are not stored, of each window that has some."""
        self._free: list[tuple[int, int]] | None = None

    def judge(self, epoch: int, banned: tuple[str, ...], excluded: tuple[int, ...] = ()) -> None:
        """Count by another upload, or without the parts of nodes and sources that lied."""
        if (epoch, banned, excluded) == (self.epoch, self.banned, self.excluded):
            return
        self.epoch, self.banned, self.excluded = epoch, banned, excluded
        self._firsts, self._entries, self._open = [], {}, {}
        self._free = None
        self.version += 1
        for first, row in self.windows.items():
            self._count_in(first, row)
        for first in self._firsts:
            self._refresh(first)

    def set_window(self, first: int, row: WindowRow | None, now: float) -> None:
        """Take over a window's row; None: it is gone."""
        before = self.windows.pop(first, None)
        touched = {first}
        if before is not None:
            touched.update(part.part for part in before.parts)
            self._count_out(first, before)
        if row is not None:
            touched.update(part.part for part in row.parts)
            self.windows[first] = row
            self.changed_at[first] = now
            if before is None or (before.node, before.instance) != (row.node, row.instance):
                self.begun_at[first] = now
            self._count_in(first, row)
        self._free = None
        self.version += 1
        at = bisect_left(self._firsts, first)
        affected = {first, *self._firsts[max(0, at - 1) : at]}
        affected.update(self._firsts[max(0, bisect_right(self._firsts, part) - 1)] for part in touched if self._firsts)
        for each in affected:
            self._refresh(each)

    def _refresh(self, first: int) -> None:
        """Find the missing parts of a window again."""
        at = bisect_left(self._firsts, first)
        open_parts: list[int] = []
        if at < len(self._firsts) and self._firsts[at] == first:
            open_parts = [part for part in range(first, self.reach(first)) if part not in self._entries]
        if open_parts:
            self._open[first] = open_parts
        else:
            self._open.pop(first, None)

    def _count_in(self, first: int, row: WindowRow) -> None:
        if row.epoch != self.epoch:
            return
        insort(self._firsts, first)
        for part in row.parts:
            if self.counts(part):
                self._entries.setdefault(part.part, {})[first] = part

    def counts(self, part: PartRow) -> bool:
        """Return whether a part is believed: neither its node nor one of its sources was found to lie."""
        return part.node not in self.banned and not (self.excluded and {*self.excluded}.intersection(part.sources))

    def _count_out(self, first: int, row: WindowRow) -> None:
        at = bisect_left(self._firsts, first)
        if at == len(self._firsts) or self._firsts[at] != first:
            return
        del self._firsts[at]
        for part in row.parts:
            of_part = self._entries.get(part.part, {})
            of_part.pop(first, None)
            if not of_part:
                self._entries.pop(part.part, None)

    def set_check(self, rest: str, row: CheckRow | None) -> None:
        """Take over a check."""
        _, part, node = rest.split(".", 2)
        if row is None:
            self.checks.pop((int(part), node), None)
            self.check_keys.discard(rest)
        else:
            self.checks[int(part), node] = row
            self.check_keys.add(rest)

    @property
    def stored_count(self) -> int:
        """Return the number of parts that are stored."""
        return len(self._entries)

    def is_stored(self, part: int) -> bool:
        """Return whether a row says that the destination has the part."""
        return part in self._entries

    def stored(self, part: int) -> PartRow:
        """Return the row of a stored part: of two that tell of it, that of the window it lies in."""
        of_part = self._entries[part]
        return of_part[max(of_part)]

    def all_stored(self) -> list[PartRow]:
        """Return the rows of all stored parts in their order."""
        return [self.stored(part) for part in sorted(self._entries)]

    def sent_ahead(self, first: int, stop: int) -> tuple[PartRow, ...]:
        """Return the parts of a range that the destination has, of windows that were not complete."""
        sent = [part for each in self._firsts for part in self.windows[each].ahead if first <= part.part < stop]
        return tuple(part for part in sent if self.counts(part) and not self.is_stored(part.part))

    def telling(self, part: int) -> list[int]:
        """Return the windows whose rows tell of a part."""
        return list(self._entries.get(part, ()))

    def reach(self, first: int) -> int:
        """Return where a window ends: at its own end or where the next one begins."""
        at = bisect_right(self._firsts, first)
        stop = self.windows[first].stop
        return min(stop, self._firsts[at]) if at < len(self._firsts) else stop

    def missing(self, first: int) -> list[int]:
        """Return the parts of a window that are not stored. Not to be changed."""
        return self._open.get(first, [])

    def held_by(self, node: str, instance: str) -> list[int]:
        """Return the first parts of the windows that a process holds and that miss parts, in order."""
        windows = self.windows
        found = [each for each in self._open if windows[each].node == node and windows[each].instance == instance]
        found.sort()
        return found

    def free(self, count: int) -> list[tuple[int, int]]:
        """Return the ranges of parts that no window covers and that are not stored."""
        if self._free is None:
            self._free = list(self._gaps(count))
        return self._free

    def _gaps(self, count: int) -> Iterator[tuple[int, int]]:
        at = 0
        for first in [*self._firsts, count]:
            if at < first:
                yield from self._open_runs(at, min(first, count))
            at = max(at, self.reach(first)) if first < count else at

    def _open_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        begin = start
        for part in range(start, stop):
            if part in self._entries:
                if begin < part:
                    yield begin, part
                begin = part + 1
        if begin < stop:
            yield begin, stop

    def next_claim(self, count: int, contest: Contest, now: float, *, idle: bool) -> Claim | None:
        """Return the window that a node takes next; None: nothing is worth taking.

        Only one that is `idle` takes from living nodes: two that still had a part would take it from each other.
        """
        claim = self._abandoned(contest)
        if contest.as_one:
            claim = claim or self._as_one(count, contest, now) or self._much_later(contest, now)
            return claim if idle else None
        claim = claim or self._from_free(count, contest)
        if claim is None and idle:
            claim = self._tail(contest, now) or self._late(contest, now)
        return claim

    def _abandoned(self, contest: Contest) -> Claim | None:
        """Return a window that was given back or whose holder is dead, what is complete here first."""
        found = []
        for first in sorted(self._open):
            row = self.windows[first]
            if (row.node and contest.living(row.node, row.instance)) or not (missing := self.missing(first)):
                continue
            if contest.spare.intersection(missing):
                return Claim(first, self.reach(first), row)
            found.append(first)
        if not found:
            return None
        names = sorted({*contest.nodes, contest.node})  # each begins elsewhere, so that few writes collide
        first = found[names.index(contest.node) * len(found) // len(names)]
        return Claim(first, self.reach(first), self.windows[first])

    def _from_free(self, count: int, contest: Contest) -> Claim | None:
        gaps = self.free(count)
        if not gaps:
            return None
        left = sum(stop - first for first, stop in gaps)
        rates = sum(map(contest.rate, sorted({*contest.nodes, contest.node})))  # of floats, the order counts
        parts = max(1, min(WINDOW_PARTS_MAX, int(left * contest.rate(contest.node) / rates / 2)))
        for first, stop in gaps:
            if first == contest.end:
                return self._new(first, min(stop, first + parts))
        for first, stop in gaps:
            if (spare := [part for part in contest.spare if first <= part < stop]) != []:
                return self._new(min(spare), min(stop, min(spare) + parts))
        first, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
        if stop - first > 2 * parts:  # several begin at once: each at its own place, with room to go on
            names = sorted({*contest.nodes, contest.node})
            first += (stop - first) * names.index(contest.node) // len(names)
        return self._new(first, min(stop, first + parts))

    def _as_one(self, count: int, contest: Contest, now: float) -> Claim | None:
        """Return free parts for a node that asks users: few windows, the later ones as long as its share.

        A further one only where others would need much longer, or are disturbed as often.
        """
        gaps = self.free(count)
        others = sorted({*contest.nodes} - {contest.node})
        if not gaps:
            return None
        left = sum(stop - first for first, stop in gaps)
        if not others:
            return self._new(gaps[0][0], gaps[0][1])
        windows, theirs = self.windows_of(contest.node), sum(map(contest.rate, others))
        if not windows:
            return self._measuring(gaps, count, contest)
        least = windows <= min(map(self.windows_of, others))
        if windows >= USER_WINDOWS and not least and left / theirs <= USERS_GAIN_S:
            return None
        pace = self._paces(contest, now)
        mine, every = pace(contest.node), sum(map(pace, [contest.node, *others]))
        coming = mine + sum(pace(node) for node in others if self.windows_of(node) < USER_WINDOWS)
        # The last one takes what is left, unless the others had better ask their users once more for most of it.
        parts = math.ceil(left * mine / (every if left / coming - left / every > USERS_GAIN_S else coming))
        first, stop = max(gaps, key=lambda gap: (not contest.spare.isdisjoint(range(*gap)), gap[1] - gap[0]))
        return self._new(first, min(stop, first + min(parts, USER_PARTS_MAX)))

    def _measuring(self, gaps: list[tuple[int, int]], count: int, contest: Contest) -> Claim:
        """Return the first window of a node: equal ones side by side, so that one gap is left to be shared."""
        names = sorted({*contest.nodes, contest.node})
        parts = max(1, min(USER_PARTS_MAX, count // (MEASURED_SHARE * len(names))))
        first = names.index(contest.node) * parts
        if any(start <= first and first + parts <= stop for start, stop in gaps):
            return self._new(first, first + parts)
        return self._new(gaps[0][0], min(gaps[0][1], gaps[0][0] + parts))

    def _paces(self, contest: Contest, now: float) -> Callable[[str], float]:
        """Return the parts a second that nodes had in their windows of this job, with all waiting.

        Of one whose window is not complete it is the usual one, or as slow as it is by now.
        """
        spent: dict[str, float] = {}
        parts: dict[str, int] = {}
        open_: dict[str, float] = {}
        for first in self._firsts:
            node, since = self.windows[first].node, self.begun_at[first]
            count = self.reach(first) - first
            if first in self._open:
                open_[node] = count / max(now - since, 0.001)
            else:
                spent[node] = spent.get(node, 0.0) + max(self.changed_at[first] - since, 0.001)
                parts[node] = parts.get(node, 0) + count
        known = {node: parts[node] / spent[node] for node in spent}
        usual = sum(known.values()) / len(known) if known else contest.rate(contest.node)
        return lambda node: known.get(node) or min(usual, open_.get(node, usual))

    def windows_of(self, node: str) -> int:
        """Return how many windows a node has, or had."""
        return sum(self.windows[first].node == node for first in self._firsts)

    def _new(self, first: int, stop: int) -> Claim:
        return Claim(first, stop, None)

    def _tail(self, contest: Contest, now: float) -> Claim | None:
        """Return the tail of the window that would be ready last, so that both are ready at once."""
        left: dict[str, list[int]] = {}
        last: dict[str, int] = {}
        for first in sorted(self._open):
            row = self.windows[first]
            if row.node != contest.node and (missing := self.missing(first)):
                left.setdefault(row.node, []).extend(missing)
                last[row.node] = first
        mine = contest.rate(contest.node)
        victim = max(left, key=lambda node: len(left[node]) / contest.rate(node), default="")
        if not victim or len(left[victim]) < 2:
            return None
        theirs, parts = contest.rate(victim), left[victim]
        of_last = self.missing(last[victim])
        take = min(int(len(parts) * mine / (mine + theirs)), len(of_last), len(parts) - 1)
        if take < 1 or len(parts) / theirs <= take / mine + SET_UP_S:
            return None
        first = of_last[-take]
        if first != last[victim]:
            return Claim(first, self.reach(last[victim]), None)
        if now - self.changed_at[first] > HOLD_S:
            return Claim(first, self.reach(first), self.windows[first])
        return Claim(of_last[1], self.reach(first), None) if take > 1 else None

    def _much_later(self, contest: Contest, now: float) -> Claim | None:
        """Return a window of another node whose users would need so much longer that ours are disturbed for it."""
        for first in sorted(self._open):
            row = self.windows[first]
            silent = now - self.changed_at.get(first, now)
            held = now - self.begun_at[first] if row.ahead else silent
            if row.node == contest.node or held <= USERS_HOLD_S or not (missing := self.missing(first)):
                continue
            left = len({*missing} - {part.part for part in row.ahead})
            mine = left / contest.rate(contest.node)
            if left / contest.rate(row.node) - silent > mine + max(mine, USERS_GAIN_S):
                return Claim(first, self.reach(first), row)
        return None

    def _late(self, contest: Contest, now: float) -> Claim | None:
        """Return a window whose holder lives, but has stopped, or would need much longer for its last part."""
        mine = 1.0 / contest.rate(contest.node)
        for first in sorted(self._open):
            row = self.windows[first]
            if row.node == contest.node or not (missing := self.missing(first)):
                continue
            theirs = 1.0 / contest.rate(row.node)
            silent = now - self.changed_at.get(first, now)
            if silent <= HOLD_S:
                continue
            stalled = silent > max(STALLED_S, 3 * theirs, 3 * mine)
            if stalled or (len(missing) == 1 and theirs - silent > 2 * mine + LATE_S):
                return Claim(first, self.reach(first), row)
        return None
