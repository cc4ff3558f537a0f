"""Every peer that is talked with about downloads: routes our side's wishes and the peers' words to the right talk."""

import itertools
import secrets
from collections.abc import Callable
from typing import Any

from actors.soulseek.file_connections import FileDoor
from actors.soulseek.input_limits import Once
from actors.soulseek.negotiation import Negotiation
from actors.soulseek.ports import Line, Lines
from actors.soulseek.queue_entry import Offered
from actors.soulseek.settings import TalkTimes
from protocol.messages import (
    AcceptUpload,
    ConnectionClosed,
    ConnectionReady,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    JobClosed,
    Message,
)

Wish = EnqueueFile | DequeueFile | AcceptUpload | DeclineUpload | ConnectionClosed | JobClosed


class Downloads:
    """Owned by the session's loop. `decline(line, ticket)` answers an offer that nobody asked for."""

    def __init__(
        self,
        lines: Lines,
        door: FileDoor,
        times: TalkTimes,
        once: Once,
        *,
        tell: Callable[[int, Message], None],
        hand: Callable[[str, ConnectionReady, int], None],
        decline: Callable[[Line, int], None],
    ) -> None:
        self._make: Callable[[str], Negotiation] = lambda peer: Negotiation(
            peer, lines, door, times, tell=tell, hand=hand, tokens=tokens
        )
        # Tokens of a session that died may still lie on a desk: begin somewhere else.
        tokens = itertools.count(secrets.randbits(60))
        self._once = once
        self._decline = decline
        self._talks: dict[str, Negotiation] = {}
        self._peers: dict[tuple[int, int], str] = {}

    def handle(self, wish: Wish) -> None:
        if isinstance(wish, EnqueueFile):
            self._ask(wish)
        elif isinstance(wish, JobClosed):
            self._forget(wish.job)
        else:
            talk = self._talks.get(self._peers.get((wish.job, wish.source), ""))
            if talk is not None:
                self._pass_on(wish, talk)
        self._prune()

    def _pass_on(self, wish: DequeueFile | AcceptUpload | DeclineUpload | ConnectionClosed, talk: Negotiation) -> None:
        match wish:
            case DequeueFile(job=job, source=source):
                talk.leave(job, source)
            case AcceptUpload(job=job, source=source, ticket=ticket):
                talk.answer(job, source, ticket, taken=True)
            case DeclineUpload(job=job, source=source, ticket=ticket):
                talk.answer(job, source, ticket, taken=False)
            case ConnectionClosed(job=job, source=source, ticket=ticket, stopped=stopped):
                talk.ended(job, source, ticket, stopped=stopped)

    def _ask(self, asked: EnqueueFile) -> None:
        key = (asked.job, asked.source)
        before = self._peers.get(key)
        if before is not None and before != asked.peer and before in self._talks:
            self._talks[before].leave(*key)
        self._peers[key] = asked.peer
        talk = self._talks.setdefault(asked.peer, self._make(asked.peer))
        talk.ask(asked.job, asked.source, asked.path, asked.worker)

    def _forget(self, job: int) -> None:
        for talk in self._talks.values():
            talk.leave_job(job)
        for key in [key for key in self._peers if key[0] == job]:
            del self._peers[key]

    def _prune(self) -> None:
        for peer in [peer for peer, talk in self._talks.items() if talk.idle]:
            del self._talks[peer]

    def logged_in(self) -> None:
        for talk in self._talks.values():
            talk.logged_in()

    def close(self) -> None:
        for talk in self._talks.values():
            talk.close()

    # what peers say

    def is_busy(self, peer: str) -> bool:
        return peer in self._talks

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, line: Any) -> None:
        talk = self._talks.get(peer)
        if talk is None or not talk.offered(path, Offered(ticket, size_bytes, line)):
            self._once.note("a file that nobody asked for was declined", repr(peer)[:60])
            self._decline(line, ticket)

    def denied(self, peer: str, path: str, reason: str) -> None:
        if peer in self._talks:
            self._talks[peer].denied(path, reason)

    def upload_failed(self, peer: str, path: str) -> None:
        if peer in self._talks:
            self._talks[peer].upload_failed(path)

    def place_told(self, peer: str, path: str, place: int) -> None:
        if peer in self._talks:
            self._talks[peer].place_told(path, place)
