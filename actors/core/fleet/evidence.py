"""Evidence that the nodes of a job read the same file: parts that a second node reads again, and votes.

A node is judged as any source is: by what others got for the same bytes. One part in a hundred of each node, at least
one, is read by another one; where both differ a third decides, and the parts of the node that stands alone are void.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from actors.core.fleet.board import Board
from protocol.model.fleet.rows import FleetJobRow

CHECK_ONE_IN: Final = 100
CHECK_S_MAX: Final = 20.0
"""After so long without an answer the next node is asked as well."""
CHECKS_S_MAX: Final = 120.0
"""The wait before a file is sealed has an end: what was not compared by then is said, not waited for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """State of a check. `waits`: votes are due; `liars`: nodes that stand alone; `tied`: no third node can decide."""

    waits: bool = False
    liars: tuple[str, ...] = ()
    tied: bool = False


def due_checks(row: FleetJobRow, board: Board) -> Iterator[tuple[int, str]]:
    """Yield ``(part, node that stored it)`` of the parts that are read again; none where one node sent all.

    They are read once half of the file is stored, beside the rest, so that sealing does not wait for them. A part that
    was read is among them for good: which ones are chosen changes as parts are stored.
    """
    if 2 * board.stored_count < row.part_count:
        return
    by_node: dict[str, list[int]] = {}
    for stored in board.all_stored():
        by_node.setdefault(stored.node, []).append(stored.part)
    if len(by_node) < 2:
        return
    read = {
        part
        for (part, who), check in board.checks.items()
        if check.epoch == row.epoch and check.digest and board.is_stored(part) and board.stored(part).node != who
    }
    for node, parts in sorted(by_node.items()):
        chosen = [part for part in parts if part in read]
        missing = max(1, len(parts) // CHECK_ONE_IN) - len(chosen)
        rest = (part for part in parts if part not in read)
        chosen += heapq.nsmallest(missing, rest, key=lambda part: _number(f"{row.id}.{row.epoch}.{part}"))
        for part in chosen:
            yield part, node


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def candidates(row: FleetJobRow, part: int, node: str, living: Collection[str]) -> list[str]:
    """Return the nodes that may read a part of this node again, in the order they are asked."""
    others = [each for each in row.nodes if each != node and each not in row.banned and each in living]
    return sorted(others, key=lambda each: _number(f"{row.id}.{part}.{each}"))


def asked(row: FleetJobRow, board: Board, part: int, node: str, living: Collection[str], waited_s: float) -> list[str]:
    """Return the nodes whose answer is due: one, and one more for each that cannot say, for a tie, and for lateness."""
    answers = _answers(row, board, part, node)
    silent = sum(not digest for digest in answers.values())
    votes = Counter(digest for digest in answers.values() if digest)
    differs = any(digest != board.stored(part).digest for digest in votes)
    return candidates(row, part, node, living)[: 1 + silent + 2 * differs + int(waited_s / CHECK_S_MAX)]


def _answers(row: FleetJobRow, board: Board, part: int, node: str) -> dict[str, str]:
    return {
        who: check.digest
        for (of_part, who), check in board.checks.items()
        if of_part == part and who != node and check.epoch == row.epoch and who not in row.banned
    }


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


def judge(row: FleetJobRow, board: Board, part: int, node: str, living: Collection[str], waited_s: float) -> Verdict:
    """Return what the answers say of a part and of the nodes that read it."""
    answers = _answers(row, board, part, node)
    votes: dict[str, list[str]] = {board.stored(part).digest: [node]}
    for who, digest in answers.items():
        if digest:
            votes.setdefault(digest, []).append(who)
    if len(votes) == 1 and len(next(iter(votes.values()))) > 1:
        return Verdict()
    ranked = sorted(votes.values(), key=len, reverse=True)
    if len(ranked) > 1 and len(ranked[0]) > len(ranked[1]):
        return Verdict(liars=tuple(sorted(who for group in ranked[1:] for who in group)))
    open_to = [each for each in candidates(row, part, node, living) if each not in answers]
    alone = len(ranked) == 1 and node in living and not _has_compared(row, board, node)
    if (open_to or alone) and waited_s <= CHECKS_S_MAX:
        return Verdict(waits=True)
    return Verdict(tied=len(ranked) > 1)
