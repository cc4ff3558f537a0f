"""One uploader: answers to searches and requests, its queue, and which upload gets the next free slot."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.messenger import Messenger
from actors.demo.soulseek.shares import Shared, Shelf
from actors.demo.soulseek.upload import Sender, Transfer, Upload
from actors.demo.soulseek.wire import PEER_ERRORS, messages, primitives

NOT_SHARED = "File not shared."
QUEUED = "Queued"
SPEED_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """One queued request. `turn_s` is when the last other user ahead is served."""

    user: str
    shared: Shared
    turn_s: float


class Queue:
    """Places in the order in which they were taken, behind imagined others. Times are any clock's, in seconds."""

    def __init__(self, others: int, step_s: float) -> None:
        self._others = others
        self._step_s = step_s
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def clear(self) -> None:
        self._places.clear()

    def holds(self, user: str, path: str) -> bool:
        return self._find(user, path) is not None

    def take(self, user: str, shared: Shared, now_s: float) -> None:
        """Add a place at the end, behind all the others."""
        self._places.append(Place(user, shared, now_s + self._others * self._step_s))

    def put_back(self, user: str, shared: Shared, turn_s: float) -> None:
        """Add a place whose turn is known."""
        self._places.append(Place(user, shared, turn_s))

    def next(self, busy: Collection[str], now_s: float) -> Place | None:
        """Take out the first place whose turn it is and whose user is not served already."""
        for place in self._places:
            if place.turn_s <= now_s and place.user not in busy:
                self._places.remove(place)
                return place
        return None

    def next_turn_s(self, now_s: float) -> float | None:
        """When the next place that still has to wait will have waited; None when there is none."""
        return min((place.turn_s for place in self._places if place.turn_s > now_s), default=None)

    def number(self, user: str, path: str, now_s: float) -> int | None:
        """The place as reported to its user, from 1; None when there is none."""
        place = self._find(user, path)
        if place is None:
            return None
        left_s = max(0.0, place.turn_s - now_s)
        others = min(self._others, -int(-left_s // self._step_s)) if self._step_s else 0
        return others + self._places.index(place) + 1

    def length(self) -> int:
        """The length in search replies."""
        return self._others + len(self._places)

    def _find(self, user: str, path: str) -> Place | None:
        return next((place for place in self._places if (place.user, place.shared.path) == (user, path)), None)


class Uploader:
    """Owned by the uploaders' process, in its event loop. Sends its shelf's files until it dies."""

    def __init__(self, name: str, behavior: Behavior, shelf: Shelf, server_port: int) -> None:
        self.name = name
        self.behavior = behavior
        self.shelf = shelf
        self._server_port = server_port
        self._tickets = itertools.count(1)
        self._port = 0
        self.reset()

    def reset(self) -> None:
        """Forget every connection, request and total: a new life begins."""
        behavior = self.behavior
        self.sender = Sender(behavior, self.die)
        self.messenger = Messenger(
            self.name, self._server_port, self.on_message, self._on_server_message, behavior.line_s_max
        )
        self.messenger.connector.port = self._port
        self._queue = Queue(behavior.queue_before_us, behavior.queue_step_s)
        self._active: dict[str, Upload] = {}
        self._replies: dict[int, asyncio.Future[bool]] = {}

    def open(self) -> None:
        """Take the port and begin to log in; `messenger.online` is set when others can find it."""
        self.messenger.open(firewalled=self.behavior.firewalled, obfuscated=self.behavior.obfuscated)
        self._port = self.messenger.connector.port

    def die(self) -> None:
        """Reset every connection and be gone."""
        self._queue.clear()
        self.messenger.close(reset=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that talks to others and may fail by their fault, until it ends or the uploader does."""

        async def guarded() -> None:
            with suppress(*PEER_ERRORS):
                await work

        self.messenger.connector.spawn(guarded())

    def offered_size(self, shared: Shared) -> int:
        return shared.size

    def reply_to(self, ticket: int) -> asyncio.Future[bool]:
        reply = self._replies[ticket] = asyncio.get_running_loop().create_future()
        return reply

    # Searches

    async def _on_server_message(self, message: Any) -> None:
        if isinstance(message, messages.FileSearch.Response) and message.username != self.name:
            found = self.shelf.found(message.query)
            if found:
                self.spawn(self.answer_search(message.username, message.ticket, found))

    async def answer_search(self, user: str, ticket: int, found: list[Shared]) -> None:
        results = [self._result(shared) for shared in found]
        await self.messenger.send(user, self._search_reply(ticket, results, int(self.behavior.rate_bytes_s or 0)))

    def _search_reply(self, ticket: int, results: list[Any], speed_bytes_s: int) -> Any:
        behavior = self.behavior
        return messages.PeerSearchReply.Request(
            username=self.name, ticket=ticket, results=results, avg_speed=min(speed_bytes_s, SPEED_MAX),
            has_slots_free=behavior.queue_before_us == 0 and len(self._active) < behavior.slots,
            queue_size=self._queue.length(),
        )  # fmt: skip

    def _result(self, shared: Shared) -> Any:
        attributes = [primitives.Attribute(key, value) for key, value in shared.attributes]
        return primitives.FileData(1, shared.path, shared.size, "", attributes)

    def _folders(self) -> list[Any]:
        """What it shares, folder by folder."""
        folders: dict[str, list[Any]] = {}
        for shared in self.shelf.files.values():
            folder, _, name = shared.path.rpartition("\\")
            folders.setdefault(folder, []).append(primitives.FileData(1, name, shared.size, "", []))
        return [primitives.DirectoryData(name, files) for name, files in folders.items()]

    # Messages of other users

    async def on_message(self, user: str, message: Any) -> None:
        """Handle a P message of another user."""
        m = messages
        match message:
            case m.PeerTransferQueue.Request():
                await self.on_request(user, message.filename)
            case m.PeerTransferRequest.Request(direction=0):
                await self.messenger.send(user, m.PeerTransferReply.Request(message.ticket, False, reason=QUEUED))
                await self.on_request(user, message.filename)
            case m.PeerTransferReply.Request():
                reply = self._replies.get(message.ticket)
                if reply is not None and not reply.done():
                    reply.set_result(bool(message.allowed))
            case m.PeerPlaceInQueueRequest.Request():
                await self.send_place(user, message.filename)
            case m.PeerSharesRequest.Request():
                await self.messenger.send(user, m.PeerSharesReply.Request(self._folders()))
            case m.PeerDirectoryContentsRequest.Request():
                listed = [folder for folder in self._folders() if folder.name == message.directory]
                reply = m.PeerDirectoryContentsReply.Request(message.ticket, message.directory, listed)
                await self.messenger.send(user, reply)

    async def on_request(self, user: str, path: str) -> None:
        """A file is wanted: deny it or find it a place."""
        shared = self.shelf.files.get(path)
        if shared is None:
            await self.messenger.send(user, messages.PeerTransferQueueFailed.Request(path, NOT_SHARED))
            return
        active = self._active.get(user)
        if active is not None and active.shared is shared:
            self.on_early_request(active)
        elif not self._queue.holds(user, path):
            self._queue.take(user, shared, self.now_s())
            self._serve_next()

    def on_early_request(self, active: Upload) -> None:
        """The same file while it flows: obeyed only when it turns out within a tick that the flow had ended before."""
        if active.asked_again:
            return
        active.asked_again = True

        def give_up() -> None:
            if active.asked_again and not active.tearing_down:
                active.asked_again = False
                self.on_request_lost()

        if not active.tearing_down:
            asyncio.get_running_loop().call_later(max(0.1, self.behavior.tick_s), give_up)

    def on_request_lost(self) -> None:
        """A request for what flows already came to nothing."""

    async def send_place(self, user: str, path: str) -> None:
        place = self._queue.number(user, path, self.now_s())
        if place is not None:
            await self.messenger.send(user, messages.PeerPlaceInQueueReply.Request(path, place))

    # Slots

    def _serve_next(self) -> None:
        """Give every free slot to the next whose turn it is; come back when the next turn comes."""
        now_s = self.now_s()
        while len(self._active) < self.behavior.slots:
            place = self._queue.next(self._active, now_s)
            if place is None:
                break
            upload = self._active[place.user] = self.new_upload(place)
            self.spawn(self._serve(upload))
        turn_s = self._queue.next_turn_s(now_s)
        if turn_s is not None:
            asyncio.get_running_loop().call_at(turn_s, self._serve_next)

    def new_upload(self, place: Place) -> Upload:
        return Upload(self, place.shared, Transfer(place.user, place.shared.path, next(self._tickets)))

    async def _serve(self, upload: Upload) -> None:
        """One upload from its offer to its UploadFailed; then the slot is free."""
        transfer, begun_s = upload.transfer, self.now_s()
        active, replies = self._active, self._replies
        try:
            await upload.run()
            upload.tearing_down = True
            if upload.failed:
                await self.report_failure(transfer.user, messages.PeerUploadFailed.Request(upload.shared.path))
        finally:
            del active[transfer.user]
            replies.pop(transfer.ticket, None)
        if transfer.outcome == "unanswered":
            self._queue.put_back(transfer.user, upload.shared, self.now_s() + self.behavior.reoffer_s)
        elif upload.asked_again:
            self._queue.take(transfer.user, upload.shared, self.now_s())
        self._serve_next()
        if transfer.outcome == "finished":
            speed = int(transfer.bytes_sent / max(0.001, self.now_s() - begun_s))
            await self.messenger.send_to_server(messages.SendUploadSpeed.Request(min(speed, SPEED_MAX)))

    async def report_failure(self, user: str, failure: Any) -> None:
        """Send UploadFailed a tick from now."""
        with suppress(*PEER_ERRORS):
            await asyncio.sleep(self.behavior.tick_s)
            await self.messenger.send(user, failure)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()
