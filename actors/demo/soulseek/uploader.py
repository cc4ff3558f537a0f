"""One uploader: what it answers to searches, requests and questions, and whom it serves next."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from actors.demo.soulseek.behavior import Character
from actors.demo.soulseek.counters import Count, Sent
from actors.demo.soulseek.hostile import Offender
from actors.demo.soulseek.peer_messages import Talk
from actors.demo.soulseek.sender import Pump
from actors.demo.soulseek.shares import Blocks, Shared, Shelf
from actors.demo.soulseek.upload import Upload, failure_of
from actors.demo.soulseek.upload_queue import Place, Queue
from actors.demo.soulseek.wire import BROKEN, messages, primitives

NOT_SHARED = "File not shared."
QUEUED = "Queued"
LEAVING_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What every uploader of the box may have: the file, and other bytes of the same size."""

    file_name: str
    main: Blocks
    other: Blocks


class Uploader:
    """Lives in the box's process and event loop, from `open` to `die`, and again from the next `open`."""

    def __init__(self, name: str, character: Character, stock: Stock, server_port: int) -> None:
        self.name = name
        self.character = character
        self.count = Count()
        self._stock = stock
        self._server_port = server_port
        self._tickets = itertools.count(1)
        self._port = 0
        self._begin()

    def _begin(self) -> None:
        """Everything that a new life begins anew."""
        character = self.character
        blocks = self._stock.other if character.other_content else self._stock.main
        self.shelf = Shelf(self.name, self._stock.file_name, blocks)
        self.pump = Pump(character, self.die)
        self.talk = Talk(self.name, self._server_port, self._hear, self._hear_server, character.line_s_max)
        self.talk.door.port = self._port
        self._queue = Queue(character.queue_before_us, character.queue_step_s)
        self._active: dict[str, Upload] = {}
        self._replies: dict[int, asyncio.Future[bool]] = {}
        self._denials_left = character.deny_count
        self._offender = Offender(self, character.hostile)

    def open(self) -> None:
        """Take the port and begin to log in; `talk.online` tells when others can find it."""
        self.talk.open(firewalled=self.character.firewalled, obfuscated=self.character.obfuscated)
        self._port = self.talk.door.port

    def die(self) -> None:
        """Reset every connection and be gone."""
        self._queue.clear()
        self.talk.close(reset=True)

    def leave(self) -> None:
        """Close everything in good order and be gone."""
        self._queue.clear()
        self.talk.close(reset=False)

    def become(self, character: Character) -> None:
        """Begin a new life with the same name and port; counts go on."""
        self.die()
        self.character = character
        self._begin()
        self.open()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that talks to others and may fail by their fault, until it ends or the uploader does."""

        async def guarded() -> None:
            with suppress(*BROKEN):
                await work

        self.talk.door.spawn(guarded())

    def offered_size(self, shared: Shared) -> int:
        return self._offender.size_of(shared)

    def reply_to(self, ticket: int) -> asyncio.Future[bool]:
        reply = self._replies[ticket] = asyncio.get_running_loop().create_future()
        return reply

    # Searches

    async def _hear_server(self, message: Any) -> None:
        if isinstance(message, messages.FileSearch.Response) and message.username != self.name:
            found = self.shelf.found(message.query)
            if found:
                self.count.searches += 1
                self.spawn(self._answer_search(message.username, message.ticket, found))

    async def _answer_search(self, user: str, ticket: int, found: list[Shared]) -> None:
        if self.character.no_search_reply:
            return
        if await self._offender.molest(user, ticket):
            await self.talk.say(user, self.search_reply(ticket, [self._result(shared) for shared in found]))
        if self.character.offline:
            await asyncio.sleep(LEAVING_S)
            self.leave()

    def search_reply(self, ticket: int, results: list[Any]) -> Any:
        """A reply with these results and the truth about slots, speed and queue."""
        character = self.character
        speed = character.tells_speed if character.tells_speed is not None else int(character.rate_bytes_s or 0)
        return messages.PeerSearchReply.Request(
            username=self.name, ticket=ticket, results=results, avg_speed=min(speed, 0xFFFF_FFFF),
            has_slots_free=character.queue_before_us == 0 and len(self._active) < character.slots,
            queue_size=self._queue.length(),
        )  # fmt: skip

    def _result(self, shared: Shared) -> Any:
        lie = self.character.size_lie if shared is self.shelf.main else None
        attributes = [primitives.Attribute(key, value) for key, value in shared.attributes]
        return primitives.FileData(1, shared.path, shared.size if lie is None else lie, "", attributes)

    # Messages of other users

    async def _hear(self, user: str, message: Any) -> None:
        m = messages
        match message:
            case m.PeerTransferQueue.Request():
                await self._asked(user, message.filename)
            case m.PeerTransferRequest.Request(direction=0):
                await self.talk.say(user, m.PeerTransferReply.Request(message.ticket, False, reason=QUEUED))
                await self._asked(user, message.filename)
            case m.PeerTransferReply.Request():
                reply = self._replies.get(message.ticket)
                if reply is not None and not reply.done():
                    reply.set_result(bool(message.allowed))
            case m.PeerPlaceInQueueRequest.Request():
                self.count.places_asked += 1
                if self.character.answers_place:
                    await self._tell_place(user, message.filename)
            case m.PeerUserInfoRequest.Request():
                slots, free = self.character.slots, len(self._active) < self.character.slots
                info = m.PeerUserInfoReply.Request("in a box", False, None, slots, self._queue.length(), free)
                await self.talk.say(user, info)
            case m.PeerSharesRequest.Request():
                if not await self._offender.lie_of_shares(user):
                    await self.talk.say(user, m.PeerSharesReply.Request(self._directories()))
            case m.PeerDirectoryContentsRequest.Request():
                found = [each for each in self._directories() if each.name == message.directory]
                reply = m.PeerDirectoryContentsReply.Request(message.ticket, message.directory, found)
                await self.talk.say(user, reply)

    def _directories(self) -> list[Any]:
        """Everything shared, as a user who browses sees it: names without their folder."""
        by_folder: dict[str, list[Any]] = {}
        for shared in self.shelf.files.values():
            folder, _, name = shared.path.rpartition("\\")
            by_folder.setdefault(folder, []).append(primitives.FileData(1, name, shared.size, "", []))
        return [primitives.DirectoryData(folder, files) for folder, files in by_folder.items()]

    async def _asked(self, user: str, path: str) -> None:
        """A file is wanted: deny it, lose it, or find it a place."""
        self.count.asked += 1
        shared = self.shelf.files.get(path)
        reason = NOT_SHARED if shared is None else self._denial()
        if shared is None or reason is not None:
            self.count.denied += 1
            await self.talk.say(user, messages.PeerTransferQueueFailed.Request(path, reason))
            return
        active = self._active.get(user)
        if active is not None and active.shared is shared:
            self._asked_too_early(active)
        elif self._queue.holds(user, path):
            self.count.lost += 1
        else:
            self._queue.take(user, shared, self._now_s())
            self._serve_next()
            if self.character.tells_place:
                await self._tell_place(user, path)

    def _denial(self) -> str | None:
        if self.character.deny is None or self._denials_left == 0:
            return None
        if self._denials_left is not None:
            self._denials_left -= 1
        return self.character.deny

    def _asked_too_early(self, active: Upload) -> None:
        """The same file while it flows: heard only when it turns out within a tick that the flow had ended before."""
        if self.character.drop_queue_upload or active.asked_again:
            self.count.lost += 1
            return
        active.asked_again = True

        def look() -> None:
            if active.asked_again and not active.tearing_down:
                active.asked_again = False
                self.count.lost += 1

        if not active.tearing_down:
            asyncio.get_running_loop().call_later(max(0.1, self.character.tick_s), look)

    async def _tell_place(self, user: str, path: str) -> None:
        place = self._queue.number(user, path, self._now_s())
        if place is not None:
            await self.talk.say(user, messages.PeerPlaceInQueueReply.Request(path, place))

    # Slots

    def _serve_next(self) -> None:
        """Give every free slot to the next whose turn it is; come back when the next turn comes."""
        if self.character.silent == "offer":
            return
        now_s = self._now_s()
        while len(self._active) < self.character.slots:
            place = self._queue.next(self._active, now_s)
            if place is None:
                break
            self._start(place)
        turn_s = self._queue.next_turn_s(now_s)
        if turn_s is not None:
            asyncio.get_running_loop().call_at(turn_s, self._serve_next)

    def _start(self, place: Place) -> None:
        sent = Sent(place.user, place.shared.path, next(self._tickets))
        upload = self._active[place.user] = Upload(self, place.shared, sent)
        self.count.transfers.append(sent)
        self.spawn(self._serve(upload))

    async def _serve(self, upload: Upload) -> None:
        """One upload from its offer to its UploadFailed; then the slot is free."""
        sent, begun_s = upload.sent, self._now_s()
        active, replies = self._active, self._replies
        try:
            await upload.run()
            upload.tearing_down = True
            failure = failure_of(upload)
            if failure is not None:
                await self._tell_failure(sent.user, failure)
        finally:
            del active[sent.user]
            replies.pop(sent.ticket, None)
        if sent.outcome == "unanswered":
            self._queue.put_back(sent.user, upload.shared, self._now_s() + self.character.reoffer_s)
        elif upload.asked_again:
            self._queue.take(sent.user, upload.shared, self._now_s())
        self._serve_next()
        if sent.outcome == "finished":
            speed = int(sent.bytes_sent / max(0.001, self._now_s() - begun_s))
            await self.talk.tell_server(messages.SendUploadSpeed.Request(min(speed, 0xFFFF_FFFF)))

    async def _tell_failure(self, user: str, failure: Any) -> None:
        """Say it a tick from now; or, where the character is late, let it come while others are served."""

        async def tell(after_s: float) -> None:
            await asyncio.sleep(after_s)
            await self.talk.say(user, failure)
            self.count.upload_failed += 1

        late_s = self.character.late_upload_failed_s
        if late_s is not None:
            self.spawn(tell(late_s))
            return
        with suppress(*BROKEN):
            await tell(self.character.tick_s)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
