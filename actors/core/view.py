"""What a placement looks at, and the plain questions it asks about it. Nothing here changes anything."""

import math
from dataclasses import dataclass

from actors.core.board import Board, Lease
from actors.core.fleet import Census, Fleet, Rider, look
from actors.core.standing import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything a placement looks at. `opened_chunks`: missing at the start. `patient` False: nobody else can go on,
    so a source whose stops are spent may ride anywhere."""

    board: Board
    sources: dict[int, Source]
    fleet: Fleet
    census: Census
    chunk_size: int
    opened_chunks: int
    now_s: float
    patient: bool = True


def lead_in_chunks(source: Source, first: int) -> int:
    """Chunks a source must read and drop before it reaches `first`: none where offsets are honoured."""
    if source.traits.offset_ok:
        return 0
    return first - source.position if source.position <= first else first


def start_cost_s(view: View, source: Source, first: int) -> float:
    """Time from grant to the first byte that counts."""
    rate = source.rate_bytes_s or view.fleet.mean_bytes_s
    lead = lead_in_chunks(source, first) * view.chunk_size
    if lead and rate <= 0:
        rate = 1e6  # nobody measured anything yet: the least bad guess
    return source.start_cost_s + (lead / rate if lead else 0.0)


def finish_with(view: View, source: Source, setup_s: float) -> float:
    """The common finish time when this source joins so late."""
    return view.fleet.finish_with(source.rate_bytes_s, setup_s, now_s=view.now_s, joining=source.id)


def could_bytes(view: View, source: Source, first: int) -> float:
    """What a source of known rate could send from `first` on until the common finish time; below 0: it comes late."""
    setup_s = start_cost_s(view, source, first)
    return source.rate_bytes_s * (finish_with(view, source, setup_s) - view.now_s - setup_s)


def claim_bytes(view: View, rider: Rider, *, joining: Source | None = None) -> float:
    """What a ride could do until the common finish time beyond the end of its lease."""
    fleet = view.fleet
    until_s = finish_with(view, joining, 0.0) if joining else fleet.finish_with(0.0, 0.0, now_s=view.now_s)
    share = rider.rate_bytes_s * (until_s - view.now_s)
    return max(0.0, share - rider.left_bytes)


def claim_chunks(view: View, rider: Rider, *, joining: Source) -> int:
    return math.floor(claim_bytes(view, rider, joining=joining) / view.chunk_size)


def bound_to_end(view: View, source: Source) -> bool:
    """Whether this source may only ride to the end of the file: its stops are spent."""
    return source.spent and (view.patient or source.spent_today)


def toucher(view: View, first: int) -> Rider | None:
    """The ride that could go on into the gap that begins at `first`."""
    for lease in view.board.leases.values():
        if lease.stop == first and lease.rival is None and is_open(view, lease):
            return look_at(view, lease)
    return None


def look_at(view: View, lease: Lease) -> Rider:
    """A ride as it stands at this moment."""
    return look(lease, view.sources[lease.source], view.fleet.guess_bytes_s, view.chunk_size, now_s=view.now_s)


def is_open(view: View, lease: Lease) -> bool:
    """Whether a rider seen a moment ago still holds something that others could fetch too."""
    return lease.id in view.board.leases and not lease.draining and not lease.shared and lease.open_chunks > 0
