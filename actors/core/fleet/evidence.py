"""Evidence that the nodes of a job read the same file: parts that a second node reads again, and votes.

A node is judged as any source is: by what others got for the same bytes. One part in a hundred of each node, at least
one, is read by another one; where both differ a third decides. Where users send the file only the joints of two nodes
are compared, as those of two users are: the node before has read a little further, at no further stop. What loses
are the sources that only the losing side had, then they are excluded; where there are none, the nodes themselves.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from actors.core.fleet.board import Board
from protocol.model.fleet.names import scheme_of
from protocol.model.fleet.rows import CheckRow, FleetJobRow, PartRow

CHECK_ONE_IN: Final = 100
CHECK_S_MAX: Final = 20.0
"""After so long without an answer the next node is asked as well."""
CHECKS_S_MAX: Final = 120.0
"""The wait before a file is sealed has an end: what was not compared by then is said, not waited for."""


@dataclass(frozen=True, slots=True)
class Check:
    """A part to be compared with what `node` stored of it; `head`: only its beginning.

    `neighbour`: whose answer counts, since it has the part beside it; empty: anyone's.
    """

    part: int
    node: str
    head: bool = False
    neighbour: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """State of a check. `waits`: votes are due; `tied`: no third node can decide.

    `alone`: a node that is gone, with whose parts nothing can be compared.

    `spoilers`: sources, by number, that only the losers had; `liars`: losers that had none of their own.
    """

    waits: bool = False
    liars: tuple[str, ...] = ()
    spoilers: tuple[int, ...] = ()
    tied: bool = False
    alone: str = ""


@dataclass(slots=True)
class _Side:
    """Nodes that read the same bytes, and the sources that sent them."""

    nodes: list[str]
    sources: set[int]


def due_checks(row: FleetJobRow, board: Board, living: Collection[str]) -> Iterator[Check]:
    """Yield the parts that are read again; none where one node sent all.

    They are read once half of the file is stored, beside the rest, so that sealing does not wait for them. A part that
    was read is among them for good: which ones are chosen changes as parts are stored.
    """
    if 2 * board.stored_count < row.part_count:
        return
    stored = board.all_stored()
    if any(scheme_of(url) == "slsk" for url in row.sources):
        if not row.spec.pieces.piece_algorithm:  # else each node's parts are proven by them
            tied = _tied_sources(row, board, stored)
            for before, after in pairwise(stored):
                if before.part + 1 == after.part and tied.root(before) != tied.root(after):
                    yield from _joint(row, board, before, after, living)
        return
    by_node: dict[str, list[int]] = {}
    for part in stored:
        by_node.setdefault(part.node, []).append(part.part)
    if len(by_node) < 2:
        return
    read = {
        number
        for (number, who), check in board.checks.items()
        if check.epoch == row.epoch and check.digest and board.is_stored(number) and board.stored(number).node != who
    }
    for node, parts in sorted(by_node.items()):
        chosen = [number for number in parts if number in read]
        missing = max(1, len(parts) // CHECK_ONE_IN) - len(chosen)
        rest = (number for number in parts if number not in read)
        chosen += heapq.nsmallest(missing, rest, key=lambda number: _number(f"{row.id}.{row.epoch}.{number}"))
        for number in chosen:
            yield Check(number, node)


class _Ties:
    """Union-find of sources by what says that they have the same file; of a part without any, of its node."""

    def __init__(self) -> None:
        self._parents: dict[int | str, int | str] = {}

    def root(self, of: PartRow | CheckRow) -> int | str:
        """Return what stands for all that are tied to the sources of a part."""
        at: int | str = of.sources[0] if of.sources else of.node
        while (parent := self._parents.get(at, at)) != at:
            at = parent
        return at

    def tie(self, of: PartRow | CheckRow, other: PartRow | CheckRow) -> None:
        """Take it that both came from the same file."""
        self._parents[self.root(of)] = self.root(other)


def _tied_sources(row: FleetJobRow, board: Board, stored: list[PartRow]) -> _Ties:
    """Return which sources are known to have one file: that sent together, or the same bytes."""
    ties = _Ties()
    for part in stored:
        for number in part.sources[1:]:
            ties.tie(part, part.but(sources=(number,)))
    for (number, _), answer in board.checks.items():
        if answer.head and answer.epoch == row.epoch and board.is_stored(number):
            part = board.stored(number)
            if answer.digest == part.head and not {*answer.sources}.intersection(row.excluded):
                for each in answer.sources or (None,):
                    ties.tie(part, answer if each is None else answer.but(sources=(each,)))
    return ties


def _joint(
    row: FleetJobRow, board: Board, before: PartRow, after: PartRow, living: Collection[str]
) -> tuple[Check, ...]:
    """Return how parts that meet are compared: by the node of one of the two, else by others that read of both."""
    ways = (Check(after.part, after.node, True, before.node), Check(before.part, before.node, True, after.node))
    for check in ways:
        if _differs(row, board, check):
            return (check,)
    for check in ways:
        if check.neighbour in candidates(row, check, living) and check.neighbour not in _answers(row, board, check):
            return (check,)
    return Check(after.part, after.node, True), Check(before.part, before.node, True)


def _differs(row: FleetJobRow, board: Board, check: Check) -> bool:
    return any(each.digest not in ("", _digest(board, check)) for each in _answers(row, board, check).values())


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def candidates(row: FleetJobRow, check: Check, living: Collection[str]) -> list[str]:
    """Return the nodes that may read a part of another one again, in the order they are asked."""
    others = [each for each in row.nodes if each not in row.banned and each in living and _may_read(each, check)]
    return sorted(others, key=lambda each: (each != check.neighbour, _number(f"{row.id}.{check.part}.{each}")))


def asked(row: FleetJobRow, board: Board, check: Check, living: Collection[str], waited_s: float) -> list[str]:
    """Return the nodes whose answer is due: one, and one more for each that cannot say, for a tie, and for lateness."""
    answers = _answers(row, board, check)
    silent = sum(check.head or not answer.digest for answer in answers.values())  # a head that tied is not due
    votes = Counter(answer.digest for answer in answers.values() if answer.digest)
    differs = any(digest != _digest(board, check) for digest in votes)
    return candidates(row, check, living)[: 1 + silent + 2 * differs + int(waited_s / CHECK_S_MAX)]


def is_answer(written: CheckRow, check: Check, row: FleetJobRow) -> bool:
    """Return whether what a node has read counts: of this upload, as much of the part, from sources not excluded."""
    return (written.epoch, written.head) == (row.epoch, check.head) and not {*written.sources}.intersection(
        row.excluded
    )


def _answers(row: FleetJobRow, board: Board, check: Check) -> dict[str, CheckRow]:
    return {
        who: written
        for (of_part, who), written in board.checks.items()
        if of_part == check.part and who not in row.banned and _may_read(who, check) and is_answer(written, check, row)
    }


def _may_read(node: str, check: Check) -> bool:
    """Return whether a node's reading says something: of its own part only that of other sources than sent it."""
    return node != check.node or (check.head and check.neighbour in ("", node))


def _digest(board: Board, check: Check) -> str:
    stored = board.stored(check.part)
    return stored.head if check.head else stored.digest


def _has_compared(row: FleetJobRow, board: Board, node: str) -> bool:
    """Return whether a node has read a part of another one: it shows a liar whose own parts no other can read."""
    return any(
        who == node
        and check.digest
        and check.epoch == row.epoch
        and board.is_stored(part)
        and board.stored(part).node != node
        for (part, who), check in board.checks.items()
    )


def judge(row: FleetJobRow, board: Board, check: Check, living: Collection[str], waited_s: float) -> Verdict:
    """Return what the answers say of a part and of the nodes and sources that it was read from."""
    answers = _answers(row, board, check)
    votes = {_digest(board, check): _Side([check.node], {*board.stored(check.part).sources})}
    for who, answer in answers.items():
        if answer.digest:
            side = votes.setdefault(answer.digest, _Side([], set()))
            side.nodes.append(who)
            side.sources.update(answer.sources)
    if len(votes) == 1 and len(next(iter(votes.values())).nodes) > 1 and not check.head:
        return Verdict()
    ranked = sorted(votes.values(), key=lambda side: len(side.nodes), reverse=True)
    if len(ranked) > 1 and len(ranked[0].nodes) > len(ranked[1].nodes):
        return _lost(ranked)
    open_to = [each for each in candidates(row, check, living) if each not in answers]
    alone = len(ranked) == 1 and check.node in living and not _has_compared(row, board, check.node)
    if (open_to or (alone and not check.head)) and waited_s <= CHECKS_S_MAX:
        return Verdict(waits=True)
    if len(ranked) < 2:
        return Verdict(alone=check.node if check.head and check.node not in living else "")
    ranked.sort(key=_strength, reverse=True)
    lost = _lost(ranked)
    return lost if lost.spoilers else Verdict(tied=True)


def _strength(side: _Side) -> tuple[int, int, int]:
    """More nodes, then more sources, then the source that was named first: as between the sources of one machine."""
    return len(side.nodes), len(side.sources), -min(side.sources, default=1 << 30)


def _lost(ranked: list[_Side]) -> Verdict:
    right = ranked[0].sources
    spoilers = {number for side in ranked[1:] for number in side.sources} - right if right else set[int]()
    liars = sorted(who for side in ranked[1:] for who in side.nodes if not spoilers.intersection(side.sources))
    return Verdict(spoilers=tuple(sorted(spoilers)), liars=tuple(liars))
