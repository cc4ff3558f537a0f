"""How a job's sources and its chunk map look to people: pictures of the state, made when they are due."""

from array import array
from typing import Final

from actors.core.board import Board, Lease
from actors.core.owners import MISSING, Owners
from actors.core.standing import Source, Standing
from protocol.messages import ChunkMapDrawn, SourceProgressed

CELLS_MAX: Final = 240
_MISSING: Final = 0
_RESUMED: Final = 1
_FIRST_SOURCE: Final = 2
_LEASED: Final = 0x8000
QUIET_S: Final = 3.0
"""A ride from which nothing came for so long is called stalled; real limiters pause for a second."""


def row(job: int, source: Source, board: Board | None, seconds: float = 0.0) -> SourceProgressed:
    """One source. `seconds` > 0: the job is over and the rate is the average of what was kept."""
    lease = board.leases.get(source.busy) if board is not None and source.busy is not None else None
    riding = lease is not None and seconds <= 0
    rate = max(lease.rate_bytes_s, 0.0) if lease is not None and riding else 0.0
    if seconds > 0:
        rate = source.bytes_stored / seconds
    return SourceProgressed(
        job=job,
        source=source.id,
        name=source.name,
        standing=source.standing.value,
        rate_bytes_s=rate,
        bytes_stored=source.bytes_stored,
        chunks=source.chunks,
        leases=source.leases,
        stops=source.stops,
        trims=source.trims,
        lease_first=lease.first if lease is not None and riding else -1,
        lease_stop=lease.stop if lease is not None and riding else -1,
        reason=source.reason,
        phase=_phase(source, lease if riding else None),
        peer=source.peer,
        queue_place=source.queue_place if source.waiting else -1,
    )


def chunk_map(job: int, board: Board, owners: Owners) -> ChunkMapDrawn:
    """The file in at most `CELLS_MAX` cells; the number of chunks must be known."""
    count = min(CELLS_MAX, board.total)
    cells = array("H", bytes(2 * count))
    for cell in range(count):
        owner = owners[(2 * cell + 1) * board.total // (2 * count)]
        if owner != MISSING:
            cells[cell] = _FIRST_SOURCE + owner if owner >= 0 else _RESUMED
    for lease in board.leases.values():
        low = lease.next * count // board.total
        high = -(-lease.stop * count // board.total)
        for cell in range(low, min(high, count)):
            if cells[cell] == _MISSING:
                cells[cell] = (_FIRST_SOURCE + lease.source) | _LEASED
    return ChunkMapDrawn(job=job, cells=cells.tobytes())


def _phase(source: Source, lease: Lease | None) -> str:
    """What a source is doing, in a word of `SourceProgressed`."""
    if lease is not None:
        if lease.received_bytes == 0:
            return "granted"
        return "stalled" if lease.measured_s - lease.grown_s > QUIET_S else "flowing"
    if source.waiting:
        return "connecting" if source.queue_place < 0 else "queued"
    if source.asked:
        return "probing"
    return "resting" if source.standing is Standing.COOLING else ""
