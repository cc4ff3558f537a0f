"""Boards drawn as strings: ``#`` stored, ``.`` free, a letter: leased to that source, a capital: fought for in a duel.

``board("##aaaa..", rates={"a": 1.0})`` is a job in the middle of leases: source a (number 0) rides chunks 2 to 6, of
which none is stored yet, at one chunk a second. Rates are chunks a second throughout, the clock stands at `NOW_S`.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from actors.core.dispatch.chunk_tracker import MISSING, UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.dispatcher import DispatcherInbox, DispatchState, Phase
from actors.core.dispatch.leases import Leases
from actors.core.dispatch.progress import VerifiedChunks
from actors.core.dispatch.sources import Source, SourceState, SourceTraits
from actors.core.dispatch.stop_cost import update_stop_budget
from protocol.messages import ContributorsListed, JobEnded, PartFileReady, SourceJoined, SourceProbed, StartJob
from protocol.messages.addresses import POOL, Post
from protocol.model.value import replace
from tests.specs import start_job

CHUNK: Final = 100_000
NOW_S: Final = 30.0
SETUP_S: Final = 0.05
M = TypeVar("M")

TIED_CHUNK = 1 << 30
"""A chunk that no board has: where the sources of a board were compared."""


def wanted(**changes: Any) -> StartJob:
    fields: dict[str, Any] = {
        "folder": "/box",
        "chunk_size": CHUNK,
        "rows_s": 0.0,
    }
    return start_job(**{**fields, **changes})


def board(
    picture: str, *, rates: dict[str, float] | None = None, mode: str = "swarm", total: int = -1
) -> DispatchState:
    """`total` -2: of unknown size."""
    state = DispatchState(wanted(mode=mode), now_s=NOW_S)
    state.content.plan.optional_max = 0
    size = len(picture)
    chunks = ChunkTracker(UNBOUNDED if total == -2 else size)
    for chunk, mark in enumerate(picture):
        if mark == "#":
            chunks.store(0, chunk, chunk + 1)
    leases = Leases(
        state.job,
        chunks,
        state.sources,
        state.report,
        state._out,
        failures=state._failures,
        remote_queue=state.remote_queue,
        content=state.content,
    )
    leases.grants.size_bytes = state.size_bytes = -1 if total == -2 else size * CHUNK
    leases.grants.gate.is_open = True  # the gate has its own tests; a board is too small for a second user
    state.phase, state.leases = Phase.RIDING, leases
    opened = PartFileReady(job=1, part_path="/box/f.part", message="")
    state.report.opened(opened, state.size_bytes, VerifiedChunks())
    for letter in sorted({mark for mark in picture if mark.isalpha()}):
        first, stop = picture.index(letter), picture.rindex(letter) + 1
        _ride(state, letter, first, stop, (rates or {}).get(letter, 0.0))
    return state


def _ride(state: DispatchState, letter: str, first: int, stop: int, rate: float) -> Lease:
    assert state.leases is not None
    source = add(state, letter, rate)
    lease = state.leases.tracker.grant(source.id, first, stop, now_s=NOW_S - 3)
    lease.heard_s = lease.grown_s = lease.measured_s = NOW_S
    lease.rate_bytes_s = rate * CHUNK if rate > 0 else -1.0
    lease.received_bytes = 1 if rate > 0 else 0
    source.state, source.busy, source.busy_since_s = SourceState.ACTIVE, lease.id, NOW_S - 3
    state.leases.grants.idle.discard(source.id)
    return lease


def add(state: DispatchState, letter: str, rate: float = 0.0, *, offset_ok: bool = True) -> Source:
    """One more probed source; it gets work at the next message."""
    number = ord(letter) - ord("a")
    source = Source(number, letter, f"host-{letter}", f"fetch-1/worker-1-{number}", "f")
    source.probed, source.size_bytes = True, state.size_bytes
    source.traits = SourceTraits(restart_cost_s=SETUP_S, offset_ok=offset_ok)
    source.rate_bytes_s, source.proven = rate * CHUNK, rate > 0
    state.sources[number] = source
    tie(state, number)
    if state.leases is not None:
        state.leases.joined(source)
    return source


def tie(state: DispatchState, number: int) -> None:
    """Boards are of sources that are known to have the same file, unless a test says otherwise."""
    for other in (MISSING, *state.sources):
        state.content.identity.agree(number, other, TIED_CHUNK)


def serve(state: DispatchState, letter: str, rate: float = 0.0, *, offset_ok: bool = True) -> list[Post]:
    """A source with nothing to do comes along."""
    assert state.leases is not None
    add(state, letter, rate, offset_ok=offset_ok)
    state.leases.grants.serve(NOW_S)
    state.leases.tracker.check()
    return state._out.take()


def drawn(state: DispatchState) -> str:
    assert state.leases is not None
    chunks = state.leases.tracker
    cells = ["."] * min(chunks.total, 64)
    for lease in chunks.leases.values():
        for chunk in range(lease.next, min(lease.stop, len(cells))):
            letter = chr(ord("a") + lease.source)
            cells[chunk] = letter.upper() if lease.rival is not None else letter
    for first, stop in chunks.stored:
        cells[first:stop] = "#" * (stop - first)
    return "".join(cells)


def lease_of(state: DispatchState, letter: str) -> Lease:
    assert state.leases is not None
    busy = state.sources[ord(letter) - ord("a")].busy
    assert busy is not None
    return state.leases.tracker.leases[busy]


def joined(number: int, **changes: Any) -> SourceJoined:
    fields: dict[str, Any] = {
        "job": 1,
        "source": number,
        "worker": f"fetch-1/worker-1-{number}",
        "name": f"source-{number}",
        "host": f"host-{number}",
        "fallback_name": "f",
        "prior_rate_bytes_s": 0.0,
    }
    return SourceJoined(**{**fields, **changes})


def probed(number: int, size_bytes: int, **changes: Any) -> SourceProbed:
    fields: dict[str, Any] = {
        "job": 1,
        "source": number,
        "size_bytes": size_bytes,
        "offset_ok": True,
        "validator": "",
        "name": "",
        "setup_s": SETUP_S,
    }
    return SourceProbed(**{**fields, **changes})


def said(posts: Iterable[Post], kind: type[M]) -> list[M]:
    """The messages of one kind, in order. Of the last words the pool keeps a copy, which is not counted."""
    copies = (JobEnded, ContributorsListed)
    heard = [post.message for post in posts if not (post.to == POOL and isinstance(post.message, copies))]
    return [message for message in heard if isinstance(message, kind)]


def deliver(state: DispatchState, *messages: DispatcherInbox, now_s: float = NOW_S) -> list[Post]:
    """Give it these messages, one after another; the tracker is sound after them. Returns what it posted."""
    posts = [post for message in messages for post in state.handle(message, now_s=now_s)]
    if state.leases is not None:
        state.leases.tracker.check()
    return posts


def as_peer(state: DispatchState, letter: str, *, stops: int = 0, stops_before: int = 0) -> Source:
    """Let this source be a Soulseek user's file; with `stops` behind it."""
    source = state.sources[ord(letter) - ord("a")]
    source.peer, source.path = f"user-{letter}", f"music\\{letter}.flac"
    source.stops, source.stops_before = stops, stops_before
    source.traits = replace(source.traits, abort_is_costly=True, restart_cost_s=1.0, grant_cost_s=0.3)
    update_stop_budget(source, state.job)
    return source
