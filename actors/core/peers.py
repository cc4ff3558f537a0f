"""What Soulseek peers and the session say that concerns both turns and rides, and what the session's death means."""

from typing import Final

from actors.core.riding import Riding
from actors.core.standing import Source
from actors.core.turns import Turns
from protocol.faults import FaultKind
from protocol.messages import PeerFailed, PlaceRefused, SessionChanged
from protocol.post import SESSION, split_address

SESSION_PROCESS: Final = split_address(SESSION)[0]


def peer_news(
    message: PlaceRefused | PeerFailed | SessionChanged, turns: Turns, riding: Riding | None, *, now_s: float
) -> None:
    match message:
        case PlaceRefused():
            turns.refused(message, now_s=now_s)
        case SessionChanged():
            turns.session(message, now_s=now_s)
        case PeerFailed():
            source = turns.failed(message, now_s=now_s)
            if source is not None and riding is not None:
                riding.turn_failed(source, FaultKind(message.fault), message.detail, now_s=now_s)


def session_anew(turns: Turns, riding: Riding | None, sources: dict[int, Source], *, now_s: float) -> None:
    """Places and turns were the dead session's; rides that have bytes go on without one."""
    for source in sources.values():
        if source.peer and source.busy is not None and riding is not None:
            riding.turn_failed(source, FaultKind.LOST, "the soulseek process died", now_s=now_s)
    turns.ask_again(now_s)
