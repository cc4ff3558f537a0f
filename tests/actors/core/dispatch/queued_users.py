"""A board with users who wait, and the words of peers and session."""

from typing import Any

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.dispatcher import DispatchState
from protocol.messages import (
    EnqueueRefused,
    QueuePlaceChanged,
    SessionChanged,
    UploadOffered,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import add, as_peer, board


def board_of(state: DispatchState) -> ChunkTracker:
    assert state.leases is not None
    return state.leases.tracker


def of(posts: list[Post], kind: type[Any]) -> list[Any]:
    return [post.message for post in posts if isinstance(post.message, kind)]


def user(
    picture: str,
    letter: str = "b",
    rate: float = 0.0,
    *,
    rates: dict[str, float] | None = None,
    mode: str = "swarm",
    stops: int = 0,
    stops_before: int = 0,
) -> DispatchState:
    """A board, and one more user who has nothing to do yet."""
    state = board(picture, rates=rates, mode=mode)
    add(state, letter, rate)
    as_peer(state, letter, stops=stops, stops_before=stops_before)
    return state


def turn(
    state: DispatchState, source: int, ticket: int = 7, size_bytes: int = -1, *, stops_beside: int = 0
) -> UploadOffered:
    size_bytes = state.size_bytes if size_bytes < 0 else size_bytes
    return UploadOffered(job=1, source=source, ticket=ticket, size_bytes=size_bytes, stops_beside=stops_beside)


def place(source: int, number: int) -> QueuePlaceChanged:
    return QueuePlaceChanged(job=1, source=source, place=number)


def refused(source: int, fault: FaultKind) -> EnqueueRefused:
    return EnqueueRefused(job=1, source=source, fault=int(fault), detail=fault.name.lower())


def session(state: str, *, final: bool = False) -> SessionChanged:
    return SessionChanged(state=state, detail=f"session {state}", final=final)
