"""Boards drawn as strings: a real `DispatchState`, brought about by real messages, and drawn back.

One sign is one chunk: ``#`` stored, ``.`` missing, a letter leased to the source of that letter (``a`` is source 0),
``2`` in what is drawn back: two sources duel for it. Amounts are in chunks and rates in chunks a second, so that a
test's arithmetic can be done in the head. Time is the caller's; a board is made at `NOW_S`.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final, cast

from actors.core.dispatch import placement
from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, Lease, recorded
from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.leases import Leases
from actors.core.dispatch.placement_view import PlacementView
from actors.core.dispatch.sources import Source
from protocol.messages import (
    ChunksStored,
    ChunksVerified,
    LeaseFinished,
    LeaseReleased,
    Message,
    OpenPartFile,
    PartFileReady,
    SourceFailed,
    SourceJoined,
    SourceMeasured,
    SourceProbed,
    SourceSlowed,
    SourceStalled,
    StartJob,
    Ticked,
)
from protocol.messages.addresses import ASSEMBLER, FRONT, Post, dispatcher_address
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import TIED_CHUNK, said
from tests.specs import start_job

JOB: Final = 1
CHUNK: Final = 32_000
NOW_S: Final = 100.0
SETUP_S: Final = 0.001
CRAWL: Final = 0.1
"""Chunks a second of a source drawn as slow."""


def number(letter: str) -> int:
    return ord(letter) - ord("a")


def letter(source: int) -> str:
    return chr(ord("a") + source)


def address(source: str) -> str:
    """Where the worker of this letter lives."""
    return f"fetch-1/worker-{JOB}-{number(source)}"


def wanted(*, expected: int, mode: str = "swarm", name: str = "", watcher: str = FRONT, **spec: str) -> StartJob:
    return start_job(
        job=JOB,
        name=name,
        chunk_size=CHUNK,
        mode=mode,
        watcher=watcher,
        source_count=expected,
        rows_s=0.0,
        **spec,
    )


def tell(state: DispatchState, *messages: Message, at_s: float = NOW_S) -> list[Post]:
    """Say something to it; its own word to itself (more sources are to be served) is delivered too."""
    out: list[Post] = []
    for message in messages:
        posts = state.handle(cast(Any, message), now_s=at_s)
        while any(post.to == dispatcher_address(JOB) for post in posts):
            out += [post for post in posts if post.to != dispatcher_address(JOB)]
            posts = state.handle(Ticked(), now_s=at_s)
        out += posts
    return out


def said_to(posts: Iterable[Post], source: str) -> list[Message]:
    """Messages to the worker of this letter, in order."""
    return [post.message for post in posts if post.to == address(source)]


# -- what a source, its worker, the watchdog and the Assembler say


def joined(source: str, *, rate: float = 0.0, host: str = "", file: str = "file.bin") -> SourceJoined:
    return SourceJoined(
        job=JOB,
        source=number(source),
        worker=address(source),
        name=f"source {source}",
        host=host or f"host-{source}",
        fallback_name=file,
        prior_rate_bytes_s=rate * CHUNK,
    )


def probed(
    source: str,
    size_bytes: int,
    *,
    offset_ok: bool = True,
    setup_s: float = SETUP_S,
    name: str = "",
    validator: str = "",
) -> SourceProbed:
    return SourceProbed(
        job=JOB,
        source=number(source),
        size_bytes=size_bytes,
        offset_ok=offset_ok,
        validator=validator,
        name=name,
        setup_s=setup_s,
    )


def refused(source: str, kind: FaultKind = FaultKind.NOT_FOUND, *, retry_after_s: float = 0.0) -> SourceFailed:
    """A probe that came to nothing."""
    return SourceFailed(job=JOB, source=number(source), fault=int(kind), detail=kind.name, retry_after_s=retry_after_s)


def stored(state: DispatchState, source: str, first: int, count: int = 1, *, lease: int | None = None) -> ChunksStored:
    """The Assembler's word; of the lease the source rides now unless another is named."""
    return ChunksStored(
        job=JOB,
        source=number(source),
        lease=busy_with(state, source) if lease is None else lease,
        first=first,
        count=count,
        length_bytes=count * CHUNK,
    )


def measured(
    state: DispatchState, source: str, *, received: float, rate: float, setup_s: float = 0.0
) -> SourceMeasured:
    return SourceMeasured(
        job=JOB,
        source=number(source),
        lease=busy_with(state, source),
        received_bytes=int(received * CHUNK),
        rate_bytes_s=rate * CHUNK,
        setup_s=setup_s,
    )


def finished(
    state: DispatchState, source: str, handed_stop: int | None = None, *, size_bytes: int = -1
) -> LeaseFinished:
    """The ride is over in good order; by default everything up to its end was handed over."""
    lease = lease_of(state, source)
    return LeaseFinished(
        job=JOB,
        source=number(source),
        lease=lease.id,
        handed_stop=lease.stop if handed_stop is None else handed_stop,
        received_bytes=0,
        size_bytes=size_bytes,
        stopped=False,
    )


def released(
    state: DispatchState, source: str, kind: FaultKind, handed_stop: int = 0, *, retry_after_s: float = 0.0
) -> LeaseReleased:
    return LeaseReleased(
        job=JOB,
        source=number(source),
        lease=busy_with(state, source),
        handed_stop=handed_stop,
        received_bytes=0,
        fault=int(kind),
        detail=kind.name,
        retry_after_s=retry_after_s,
        stopped=False,
    )


def slowed(state: DispatchState, source: str) -> SourceSlowed:
    return SourceSlowed(job=JOB, source=number(source), lease=busy_with(state, source), rate_bytes_s=1024.0)


def stalled(state: DispatchState, source: str) -> SourceStalled:
    return SourceStalled(job=JOB, source=number(source), lease=busy_with(state, source), silent_s=10.0)


# -- boards


def board(
    picture: str,
    *,
    sources: str = "",
    slow: str = "",
    rates: dict[str, float] | None = None,
    fronts: str = "",
    mode: str = "swarm",
    sized: bool = True,
    setup_s: float = SETUP_S,
    rivals: dict[str, str] | None = None,
    **spec: str,
) -> DispatchState:
    """A riding job that looks like the picture.

    Sources of the picture hold exactly what is drawn; `sources` are probed too and get what the rule of `mode` gives
    them. `rates` in chunks a second are known from before (else unknown); `fronts` can only begin at byte 0;
    `rivals` duel with the lease of another letter. `sized` False: no source says the size. `spec`: more of the job.
    """
    rivals, rates = rivals or {}, dict.fromkeys(slow, CRAWL) | (rates or {})
    everybody = sorted((set(picture) - set("#.")) | set(rivals) | set(sources))
    state = DispatchState(wanted(expected=len(everybody), mode=mode, **spec), now_s=NOW_S)
    state.content.plan.optional_max = 0
    size_bytes = len(picture) * CHUNK if sized else -1
    for source in everybody:
        tell(state, joined(source, rate=rates.get(source, 0.0)))
    for source in everybody:
        tell(state, probed(source, size_bytes, offset_ok=source not in fronts, setup_s=setup_s))
    assert state.phase is Phase.TARGET, state.phase
    for sign, first, stop in stretches(picture):
        if sign == "#":
            tell(state, ChunksVerified(job=JOB, ranges=(first, stop)))
    _lay(state, picture, rivals, mode)
    return state


def _lay(state: DispatchState, picture: str, rivals: dict[str, str], mode: str) -> None:
    """Open the target while the rule is "as drawn"; then the real rule is put back and sources without a place are
    served by it."""
    rule = placement.PLACERS[mode]
    drawn_runs = {number(sign): (first, stop) for sign, first, stop in stretches(picture) if sign not in "#."}

    def as_drawn(view: PlacementView, source: Source) -> placement.Placement | None:
        if source.id in drawn_runs:
            return placement.FreeRange(*drawn_runs[source.id])
        if letter(source.id) in rivals:
            victim = state.sources[number(rivals[letter(source.id)])].busy
            return placement.Duplicate(view.tracker.leases[victim]) if victim is not None else None
        return None

    opened = PartFileReady(job=JOB, part_path="/f/file.bin.part", message="")
    if not drawn_runs:
        tell(state, opened)
        return
    placement.PLACERS[mode] = as_drawn
    try:
        tell(state, opened)
        for _ in range(len(state.sources)):
            tell(state, Ticked())
    finally:
        placement.PLACERS[mode] = rule
    expected = picture if not rivals else None
    assert expected is None or drawn(state) == expected, "the board is not as drawn"
    tie_all(state)
    tell(state, Ticked())


def tie_all(state: DispatchState) -> None:
    """Boards are of sources that are known to have the same file, unless a test says otherwise."""
    for source in state.sources:
        state.content.identity.agree(source, recorded(0), TIED_CHUNK)


def ready(
    state: DispatchState,
    source: str,
    *,
    rate: float = 0.0,
    offset_ok: bool = True,
    at_s: float = NOW_S,
    setup_s: float = SETUP_S,
) -> list[Post]:
    """One more source comes: it joins and its probe is answered."""
    size_bytes = state.size_bytes
    state.content.identity.agree(number(source), recorded(0), TIED_CHUNK)
    posts = tell(state, joined(source, rate=rate), at_s=at_s)
    return posts + tell(state, probed(source, size_bytes, offset_ok=offset_ok, setup_s=setup_s), at_s=at_s)


def riding_of(state: DispatchState) -> Leases:
    assert state.leases is not None
    return state.leases


def board_of(state: DispatchState) -> ChunkTracker:
    return riding_of(state).tracker


def busy_with(state: DispatchState, source: str) -> int:
    lease = state.sources[number(source)].busy
    assert lease is not None, f"{source} is idle"
    return lease


def lease_of(state: DispatchState, source: str) -> Lease:
    return board_of(state).leases[busy_with(state, source)]


def drawn(state: DispatchState) -> str:
    """The board as a picture. Of a file of unknown size: up to one chunk behind the last that is stored."""
    return picture_of(board_of(state))


def picture_of(board: ChunkTracker) -> str:
    last = board.stored.last_range()
    total = board.total if board.total != UNBOUNDED else (last[1] if last else 0) + 1
    signs = ["."] * total
    for first, stop in board.stored:
        signs[first:stop] = "#" * (stop - first)
    for lease in board.leases.values():
        if not lease.shared:
            for chunk in range(lease.next, min(lease.stop, total)):
                signs[chunk] = letter(lease.source) if lease.rival is None else "2"
    return "".join(signs)


def stretches(picture: str) -> list[tuple[str, int, int]]:
    """``(sign, first, stop)`` of every stretch of equal signs."""
    out: list[tuple[str, int, int]] = []
    for sign, group in groupby(picture):
        first = out[-1][2] if out else 0
        out.append((sign, first, first + len(list(group))))
    return out


def target_of(posts: Iterable[Post]) -> OpenPartFile:
    [target] = said([post for post in posts if post.to == ASSEMBLER], OpenPartFile)
    return target
