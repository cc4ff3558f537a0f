"""Negotiations with all peers: routes requests and peers' messages to `PeerNegotiation` and does its actions.

One task a peer sends its messages in order; connecting takes seconds, and what is not wanted any more when its turn
comes is not sent.
"""

import asyncio
import itertools
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from actors.core.peers.negotiation import PeerNegotiation
from actors.core.peers.negotiation_parts import (
    Action,
    ExpectConnection,
    ForgetConnection,
    HandOver,
    NegotiationTimes,
    NoteUpload,
    SendAnswer,
    SendPlaceRequest,
    SendRequest,
)
from actors.core.peers.recent_stops import RecentStops
from actors.soulseek.file_connections import FileConnections
from actors.soulseek.input_limits import TroubleLog
from actors.soulseek.ports import Connection, PeerAway, PeerMessages
from protocol.messages import (
    AcceptUpload,
    ConnectionClosed,
    ConnectionReady,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    JobClosed,
    PeerUploadNoted,
    PeerUploadOpened,
)
from protocol.messages.addresses import PEER_HISTORY, SESSION, Post

_logger = logging.getLogger(__name__)

EARLY_S: Final = 20.0
"""So long after its start a session keeps offers of files that it does not know of: they were asked for by the session
before it, and are asked for again in a moment."""
EARLY_OFFER_S_MAX: Final = 5.0
EARLY_OFFERS_MAX: Final = 64
DECLINES_MAX: Final = 64
ENCODINGS_MAX: Final = 1000

Command = EnqueueFile | DequeueFile | AcceptUpload | DeclineUpload | ConnectionClosed | JobClosed | PeerUploadNoted


class _Peer:
    """The negotiation with one peer, its connections that came, and what is to be sent."""

    def __init__(self, negotiation: PeerNegotiation) -> None:
        self.negotiation = negotiation
        self.fds: dict[int, int] = {}
        self.sends: deque[SendRequest | SendPlaceRequest | SendAnswer] = deque()
        self.sender: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.sender is not None:
            self.sender.cancel()
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


class Negotiations:
    """Owned by the session's loop. `hand(worker, message, fd)` owns the descriptor; False: the worker is not there."""

    def __init__(
        self,
        messages: PeerMessages,
        connections: FileConnections,
        times: NegotiationTimes,
        troubles: TroubleLog,
        *,
        post: Callable[[Post], None],
        hand: Callable[[str, ConnectionReady, int], bool],
    ) -> None:
        self._messages = messages
        self._connections = connections
        self._times = times
        self._troubles = troubles
        self._post = post
        self._hand = hand
        # Tokens of a session that died may still wait in a worker's process: begin somewhere else.
        self._tokens = itertools.count(secrets.randbits(60))
        self._started_s = time.monotonic()
        self._peers: dict[str, _Peer] = {}
        self._peer_of: dict[tuple[int, int], str] = {}
        self._encodings: dict[str, str] = {}
        self._stops = RecentStops()
        self._early: dict[tuple[str, str], tuple[int, int, Connection]] = {}
        self._met: set[str] = set()  # peers that were asked for something in the first `EARLY_S`
        self._declining: set[asyncio.Task[None]] = set()
        self._unsized: dict[tuple[str, str], tuple[int, Connection]] = {}  # offers of 0 bytes, the latest of each file
        self._listing: set[asyncio.Task[None]] = set()

    def handle(self, command: Command) -> None:
        now_s = time.monotonic()
        match command:
            case EnqueueFile():
                self._enqueue(command, now_s)
            case JobClosed(job=job):
                for peer in list(self._peers.values()):
                    peer.negotiation.close_job(job, now_s=now_s)
                    self._step(peer)
                for key in [key for key in self._peer_of if key[0] == job]:
                    del self._peer_of[key]
            case ConnectionClosed(job=job, source=source, ticket=ticket, stopped=stopped, path=path):
                name = command.peer or self._peer_of.get((job, source), "")
                if name:
                    peer = self._peer(name)
                    peer.negotiation.connection_closed(job, source, ticket, path=path, stopped=stopped, now_s=now_s)
                    self._step(peer)
            case PeerUploadNoted(peer=name, ticket=ticket):
                if (noted := self._peers.get(name)) is not None:
                    noted.negotiation.noted(ticket, now_s=now_s)
                    self._step(noted)
            case DequeueFile() | AcceptUpload() | DeclineUpload():
                known = self._peers.get(self._peer_of.get((command.job, command.source), ""))
                if known is not None:
                    self._pass_on(command, known, now_s)

    def _pass_on(self, command: DequeueFile | AcceptUpload | DeclineUpload, peer: _Peer, now_s: float) -> None:
        negotiation, job, source = peer.negotiation, command.job, command.source
        if isinstance(command, DequeueFile):
            negotiation.dequeue(job, source, now_s=now_s)
        else:
            accepted = isinstance(command, AcceptUpload)
            negotiation.answer_offer(job, source, command.ticket, accepted=accepted, now_s=now_s)
        self._step(peer)

    def _enqueue(self, command: EnqueueFile, now_s: float) -> None:
        key = (command.job, command.source)
        before = self._peers.get(self._peer_of.get(key, ""))
        if before is not None and before.negotiation.peer != command.peer:
            before.negotiation.dequeue(*key, now_s=now_s)
            self._step(before)
        self._peer_of[key] = command.peer
        if self._is_early(now_s):
            self._met.add(command.peer)
        peer = self._peer(command.peer)
        peer.negotiation.enqueue(*key, command.path, command.worker, now_s=now_s)
        early = self._early.pop((command.peer, command.path), None)
        if early is not None:
            self.offered(command.peer, command.path, *early)
        self._step(peer)

    def logged_in(self) -> None:
        for peer in list(self._peers.values()):
            peer.negotiation.logged_in(now_s=time.monotonic())
            self._step(peer)

    def close(self) -> None:
        for task in self._declining | self._listing:
            task.cancel()
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()

    # What peers send.

    def is_busy(self, peer: str) -> bool:
        return peer in self._peers

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, connection: Connection) -> None:
        known = self._peers.get(peer)
        if size_bytes == 0 and known is not None and known.negotiation.asks_for(path):
            self._offered_empty(peer, path, ticket, connection)
        else:
            self._take_offer(peer, path, ticket, size_bytes, connection)

    def _offered_empty(self, peer: str, path: str, ticket: int, connection: Connection) -> None:
        """Some clients offer 0 bytes of files that are not empty: the user's list of the folder says what is true."""
        asked = (peer, path) in self._unsized
        self._unsized[peer, path] = ticket, connection
        if not asked:
            task = asyncio.create_task(self._offered_as_listed(peer, path))
            self._listing.add(task)
            task.add_done_callback(self._listing.discard)

    async def _offered_as_listed(self, peer: str, path: str) -> None:
        size_bytes = await self._messages.listed_size(peer, path)
        ticket, connection = self._unsized.pop((peer, path))
        self._take_offer(peer, path, ticket, size_bytes, connection)

    def _take_offer(self, peer: str, path: str, ticket: int, size_bytes: int, connection: Connection) -> None:
        now_s = time.monotonic()
        known = self._peers.get(peer)
        if known is not None and known.negotiation.offered(path, ticket, size_bytes, connection, now_s=now_s):
            self._step(known)
        elif self._is_early(now_s) and peer not in self._met and len(self._early) < EARLY_OFFERS_MAX:
            self._early[peer, path] = (ticket, size_bytes, connection)
            asyncio.get_running_loop().call_later(EARLY_OFFER_S_MAX, self._decline_early, peer, path)
        else:
            self._troubles.note("a file that was not asked for was declined", repr(peer)[:60])
            self._decline(connection, ticket)

    def _is_early(self, now_s: float) -> bool:
        return now_s - self._started_s < EARLY_S

    def denied(self, peer: str, path: str, reason: str) -> None:
        if (known := self._peers.get(peer)) is not None:
            known.negotiation.denied(path, reason, now_s=time.monotonic())
            self._step(known)

    def upload_failed(self, peer: str, path: str) -> None:
        if (known := self._peers.get(peer)) is not None:
            known.negotiation.upload_failed(path, now_s=time.monotonic())
            self._step(known)

    def place_reported(self, peer: str, path: str, place: int) -> None:
        if (known := self._peers.get(peer)) is not None:
            known.negotiation.place_reported(path, place, now_s=time.monotonic())
            self._step(known)

    def _decline_early(self, peer: str, path: str) -> None:
        early = self._early.pop((peer, path), None)
        if early is not None:
            self._decline(early[2], early[0])

    def _decline(self, connection: Connection, ticket: int) -> None:
        """Answer an offer that is not wanted. More than a bounded number at once are ignored."""
        if len(self._declining) < DECLINES_MAX:
            task = asyncio.create_task(self._declined(connection, ticket))
            self._declining.add(task)
            task.add_done_callback(self._declining.discard)

    async def _declined(self, connection: Connection, ticket: int) -> None:
        try:
            await self._messages.answer_offer(connection, ticket, allowed=False)
        except PeerAway as away:
            _logger.debug("not declined: %s", away)

    # Actions.

    def _peer(self, name: str) -> _Peer:
        peer = self._peers.get(name)
        if peer is None:
            encoding = self._encodings.get(name, "utf-8")
            peer = self._peers[name] = _Peer(PeerNegotiation(name, self._times, encoding=encoding, stops=self._stops))
        return peer

    def _step(self, peer: _Peer) -> None:
        """Do everything that is to be done now, and come back when the next thing is due."""
        negotiation, now_s = peer.negotiation, time.monotonic()
        negotiation.tick(now_s=now_s)
        while actions := negotiation.take():
            for action in actions:
                self._do(action, peer)
        if peer.sends and peer.sender is None:
            peer.sender = asyncio.create_task(self._send_all(peer))
        if peer.timer is not None:
            peer.timer.cancel()
            peer.timer = None
        due_s = negotiation.due_s(now_s)
        if due_s is not None:
            delay_s = max(0.0, due_s - time.monotonic())
            peer.timer = asyncio.get_running_loop().call_later(delay_s, self._step, peer)
        elif negotiation.idle and peer.sender is None and self._peers.get(negotiation.peer) is peer:
            self._forget(peer)

    def _forget(self, peer: _Peer) -> None:
        name, encoding = peer.negotiation.peer, peer.negotiation.encoding
        del self._peers[name]
        if encoding != "utf-8" and len(self._encodings) < ENCODINGS_MAX:
            self._encodings[name] = encoding

    def _do(self, action: Action, peer: _Peer) -> None:
        name = peer.negotiation.peer
        match action:
            case Post():
                self._post(action)
            case SendAnswer():
                peer.sends.appendleft(action)  # a slot of the peer is waiting
            case SendRequest() | SendPlaceRequest():
                peer.sends.append(action)
            case NoteUpload(ticket=ticket):
                self._post(_opened(name, ticket, reply_to=SESSION))
            case ExpectConnection(ticket=ticket):
                self._connections.expect(name, ticket, partial(self._connected, peer, ticket))
            case ForgetConnection(ticket=ticket):
                self._connections.forget(name, ticket)
                if (fd := peer.fds.pop(ticket, -1)) >= 0:
                    os.close(fd)
            case HandOver(ticket=ticket, worker=worker, ready=ready):
                self._hand_over(peer, ticket, worker, ready)

    def _connected(self, peer: _Peer, ticket: int, fd: int) -> None:
        peer.fds[ticket] = fd
        peer.negotiation.connected(ticket, now_s=time.monotonic())
        self._step(peer)

    def _hand_over(self, peer: _Peer, ticket: int, worker: str, ready: ConnectionReady) -> None:
        handed = ConnectionReady(job=ready.job, source=ready.source, ticket=ready.ticket, fd_token=next(self._tokens))
        self._post(_opened(peer.negotiation.peer, ready.ticket))  # ours until the worker says the same
        if not self._hand(worker, handed, peer.fds.pop(ticket)):
            _logger.info("%s is not there to take its connection", worker)
            peer.negotiation.connection_closed(
                ready.job, ready.source, ready.ticket, path="", stopped=True, now_s=time.monotonic()
            )

    async def _send_all(self, peer: _Peer) -> None:
        negotiation = peer.negotiation
        try:
            while peer.sends:
                action = peer.sends.popleft()
                if not isinstance(action, SendAnswer) and not negotiation.wants(action.path):
                    continue
                try:
                    await self._send(negotiation.peer, action)
                except PeerAway as away:
                    self._not_sent(peer, action, away)
                else:
                    if isinstance(action, SendRequest):
                        negotiation.request_sent(action.path, now_s=time.monotonic())
                self._step(peer)
        finally:
            peer.sender = None
        self._step(peer)

    def _not_sent(self, peer: _Peer, action: SendRequest | SendPlaceRequest | SendAnswer, away: PeerAway) -> None:
        """What waits behind a request that found no way would find none either."""
        failed: list[SendRequest | SendPlaceRequest | SendAnswer] = [action]
        if not isinstance(action, SendAnswer):
            failed += peer.sends
            peer.sends.clear()
        for each in failed:
            peer.negotiation.send_failed(each, away.kind, away.detail, now_s=time.monotonic())

    async def _send(self, name: str, action: SendRequest | SendPlaceRequest | SendAnswer) -> None:
        messages = self._messages
        match action:
            case SendRequest(path=path, encoding=encoding):
                await messages.request_file(await messages.connection_to(name), path, encoding)
            case SendPlaceRequest(path=path, encoding=encoding):
                await messages.request_place(await messages.connection_to(name), path, encoding)
            case SendAnswer(ticket=ticket, connection=connection, allowed=allowed):
                try:
                    await messages.answer_offer(connection, ticket, allowed=allowed)
                except PeerAway:
                    if not allowed:
                        return  # not worth a call
                    await messages.answer_offer(await messages.connection_to(name), ticket, allowed=True)


def _opened(peer: str, ticket: int, *, reply_to: str = "") -> Post:
    message = PeerUploadOpened(peer=peer, ticket=ticket, pid=os.getpid(), reply_to=reply_to)
    return Post(to=PEER_HISTORY, message=message)
