"""The store died in the middle of a job and a new one opens the target again: the board learns what is on disk."""

from typing import Final

from actors.core.board import UNBOUNDED, Board
from actors.core.outbox import Outbox
from actors.core.phase import Phase
from actors.core.riding import LEASE_S_MAX, Riding
from protocol.messages import (
    ChunksStored,
    DispatcherWanted,
    TargetCloseAsked,
    TargetStands,
    TargetWanted,
    target_of_size,
)
from protocol.post import ASSEMBLER, shelf_address, split_address
from protocol.runs import RunSet

HANDED_AGAIN_S: Final = 3.0
"""So long what was handed to the dead store may take to be stored by the new one; then it is fetched again."""
LEASES_PER_ATTEMPT: Final = 1_000_000
"""Leases of another hub have other numbers: a late word about one of the dead hub's must not be taken for ours."""


STORE_PROCESS: Final = split_address(ASSEMBLER)[0]


class Reopening:
    """Owned by one `DispatchState`. `under_way`: the target was asked for again and does not stand yet; nobody is
    blamed for silence meanwhile."""

    def __init__(self, out: Outbox) -> None:
        self.under_way = False
        self._wanted: TargetWanted | None = None
        self._out = out

    def ask(self, wanted: TargetWanted) -> None:
        """The job's target is wanted, in the same words at every store process."""
        self._wanted = wanted
        self._out.post(ASSEMBLER, wanted)

    def begin(self, size_bytes: int, *, closing: bool) -> None:
        """There is a new store process: ask it for what its predecessor was asked for, or of the size learned since."""
        if self._wanted is None:
            return
        if closing:
            self._out.post(ASSEMBLER, TargetCloseAsked(job=self._wanted.job))
            return
        self.under_way = True
        self.ask(target_of_size(self._wanted, size_bytes))

    def awaits(self, phase: Phase, riding: Riding, store: int) -> bool:
        """Whether this store process's word is news. The last word of one that has died since may have come before."""
        return phase in (Phase.RIDING, Phase.WAITING, Phase.SEALING) and (self.under_way or store > riding.store)

    def opened(self, riding: Riding, store: int, found: RunSet, *, now_s: float) -> None:
        """The target stands again, with these chunks."""
        self.under_way, riding.store = False, store
        agree(riding, found, now_s=now_s)
        hand_over_again(riding, self._out)

    def may_seal(self, riding: Riding) -> bool:
        return not self.under_way and riding.board.complete


def first_lease(attempt: int) -> int:
    return 1 + attempt * LEASES_PER_ATTEMPT


def board_of(job: DispatcherWanted, size_bytes: int, stored: RunSet) -> Board:
    """The board of a job whose target stands; `size_bytes` -1: unknown."""
    total = UNBOUNDED if size_bytes < 0 else -(-size_bytes // job.chunk_size)
    return Board(total, RunSet(stored), first_lease=first_lease(job.attempt))


def agree(riding: Riding, found: RunSet, *, now_s: float) -> None:
    """Make the board agree with what was `found` on disk and let rides go on; nobody is blamed for the time between."""
    board, report = riding.board, riding.report
    size = riding.size_bytes
    for run in found:
        for first, stop in list(board.stored.gaps(*run)):
            holder = next((each for each in board.leases.values() if each.next <= first < each.stop), None)
            length = report.bytes_of(RunSet([(first, stop)]), size)
            stored = ChunksStored(
                job=riding.job.job,
                source=holder.source if holder is not None else min(riding.sources, default=0),
                lease=holder.id if holder is not None else 0,
                first=first,
                count=stop - first,
                length_bytes=length,
            )
            riding.stored(stored, now_s=now_s)
    lost = RunSet(gap for run in board.stored for gap in found.gaps(*run))
    for first, stop in lost:
        board.lose(first, stop)
    if board.total != UNBOUNDED:
        report.lost(lost, size, riding.sources)
    for lease in board.leases.values():
        lease.grown_s = now_s
        lease.heard_s = now_s - LEASE_S_MAX + HANDED_AGAIN_S if lease.draining else now_s
    riding.changed()


def hand_over_again(riding: Riding, out: Outbox) -> None:
    """Every fetch process hands over again what the dead store did not give back."""
    stands = TargetStands(job=riding.job.job, store=riding.store)
    for process in sorted({split_address(source.worker)[0] for source in riding.sources.values() if source.worker}):
        out.post(shelf_address(process), stands)
