"""The front of one search: asks for it, gathers the hits, tells how it ended.

Runs in the main thread of the process a person started, beside the supervisor; no actor.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from actors.local.download import Interrupts, next_message
from actors.runtime.supervisor import Supervisor
from protocol.cli.views.search import Found, FoundTarget
from protocol.messages import ActorDied, FrontInbox, ProcessLost, SearchEnded, SearchHit, SessionChanged, StartSearch
from protocol.messages.addresses import SESSION
from protocol.model.file_matches import FileMatch, FileMatches
from protocol.model.source_url import slsk_url

SPARE_S: Final = 30.0
"""The session has so long for login and last word beside the time a search waits for answers."""


@dataclass(slots=True, kw_only=True)
class Searched:
    """How a search went. `state`: ``ended``, ``refused`` (the network or the session, see `refused`), ``interrupted``
    or ``failed`` (our fault). `targets` and `peers` are what came until then."""

    state: str = "ended"
    targets: FileMatches = field(default_factory=FileMatches)
    peers: int = 0
    refused: str = ""


def run_search(
    supervisor: Supervisor, show: Callable[[FrontInbox], None], asked: StartSearch, interrupts: Interrupts
) -> Searched:
    """Search and stay until the answers are in, or until it is clear that there will be none. A login that fails once
    ends it: the person is there to try again. `show` gets every message but the hits."""
    supervisor.bus.post(SESSION, asked)
    searched = Searched()
    peers: set[str] = set()
    late_s = time.monotonic() + asked.wait_s + SPARE_S
    while searched.state == "ended":
        message = next_message(supervisor)
        if interrupts.count:
            searched.state = "interrupted"
        elif time.monotonic() > late_s:
            searched.state, searched.refused = "refused", "the session did not answer"
        elif isinstance(message, SearchHit):
            if searched.targets.add(message):
                peers.add(message.peer)
        elif message is not None:
            show(message)
            if isinstance(message, SearchEnded) and not message.refused:
                break
            searched.state, searched.refused = _trouble(message)
    searched.peers = len(peers)
    return searched


def _trouble(message: FrontInbox) -> tuple[str, str]:
    """``(state, why)`` of a search after this message."""
    match message:
        case SearchEnded(refused=why):
            return "refused", why
        case SessionChanged(state=state, detail=detail) if state not in ("online", "connecting"):
            return "refused", _without_promise(detail) or state
        case ProcessLost(process=name, detail=detail) | ActorDied(actor=name, detail=detail):
            return "failed", f"{name} died: {detail}"
        case _:
            return "ended", ""


def _without_promise(detail: str) -> str:
    """What the session says of a login, without its word to try again: this program ends."""
    return detail.partition("; trying again")[0]


def found(term: str, searched: Searched, *, targets_max: int) -> Found:
    """What was searched for, the first `targets_max` targets of it, as it is shown."""
    best = searched.targets.best()
    return Found(
        term=term,
        state=searched.state,
        targets=tuple(_found_target(target) for target in best[:targets_max]),
        target_count=len(best),
        users=searched.peers,
        refused=searched.refused,
    )


def _found_target(target: FileMatch) -> FoundTarget:
    return FoundTarget(
        size_bytes=target.size_bytes,
        extension=target.extension,
        name=target.name,
        users=len(target.hits),
        free=target.free,
        speed_bytes_s=target.speed_bytes_s,
        shortest_queue=target.shortest_queue,
        sources=tuple(slsk_url(hit.peer, hit.path) for hit in target.ranked()),
    )
