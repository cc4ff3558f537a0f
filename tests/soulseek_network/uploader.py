"""An uploader with bad habits and counters, built on the demo's uploader."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from actors.demo.soulseek.shares import Blocks, Shared, Shelf
from actors.demo.soulseek.upload import Sender, Upload
from actors.demo.soulseek.uploader import Place, Uploader
from actors.demo.soulseek.wire import PEER_ERRORS, messages, primitives
from tests.soulseek_network.behavior import Character
from tests.soulseek_network.counters import Count
from tests.soulseek_network.hostile import Attacker

LEAVE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What every uploader of the network may have: the file, and other bytes of the same size."""

    file_name: str
    main: Blocks
    other: Blocks


class OddSender(Sender):
    """A sender that may stall."""

    _behavior: Character

    def limits(self) -> tuple[int | None, ...]:
        return (*super().limits(), self._behavior.stall_after_bytes)


class OddUpload(Upload):
    """A transfer that may stop half-way, or open F twice."""

    _host: OddUploader

    async def _connected(self) -> list[socket.socket]:
        if self._host.behavior.silent == "connection":
            await asyncio.Event().wait()
        if not self._host.behavior.duplicate_f:
            return await super()._connected()
        connector, user = self._host.messenger.connector, self.transfer.user
        ways = (connector.direct(user, "F", self._host.sender.send_buffer_bytes), connector.indirect(user, "F"))
        made = await asyncio.gather(*ways, return_exceptions=True)
        return [way[0] for way in made if not isinstance(way, BaseException)]

    async def _send_all(self, sock: socket.socket) -> None:
        if self._host.behavior.silent == "bytes":
            await asyncio.Event().wait()
        await super()._send_all(sock)


class OddUploader(Uploader):
    """Lives in the uploaders' process, from `open` to `die`, and again from the next `open`; counts go on."""

    behavior: Character

    def __init__(self, name: str, character: Character, stock: Stock, server_port: int) -> None:
        self._stock = stock
        self.count = Count()
        super().__init__(name, character, Shelf(name, stock.file_name, stock.main), server_port)

    def reset(self) -> None:
        character = self.behavior
        blocks = self._stock.other if character.other_content else self._stock.main
        self.shelf = Shelf(self.name, self._stock.file_name, blocks)
        super().reset()
        self.sender = OddSender(character, self.die)
        self._denials_left = character.deny_count
        self._attacker = Attacker(self, character.hostile)

    def leave(self) -> None:
        """Close everything in good order and be gone."""
        self._queue.clear()
        self.messenger.close(reset=False)

    def become(self, character: Character) -> None:
        """Begin a new life with the same name and port; counts go on."""
        self.die()
        self.behavior = character
        self.reset()
        self.open()

    def offered_size(self, shared: Shared) -> int:
        return self._attacker.size_of(shared)

    async def answer_search(self, user: str, ticket: int, found: list[Shared]) -> None:
        character = self.behavior
        self.count.searches += 1
        if character.no_search_reply:
            return
        if await self._attacker.attack_searcher(user, ticket):
            speed = character.tells_speed if character.tells_speed is not None else int(character.rate_bytes_s or 0)
            results = [self._result(shared) for shared in found]
            await self.messenger.send(user, self._search_reply(ticket, results, speed))
        if character.offline:
            await asyncio.sleep(LEAVE_S)
            self.leave()

    def _result(self, shared: Shared) -> Any:
        result = super()._result(shared)
        if self.behavior.size_lie is not None and shared is self.shelf.main:
            return dataclasses.replace(result, filesize=self.behavior.size_lie)
        return result

    async def on_message(self, user: str, message: Any) -> None:
        m = messages
        match message:
            case m.PeerPlaceInQueueRequest.Request():
                self.count.places_asked += 1
                if self.behavior.answers_place:
                    await self.send_place(user, message.filename)
            case m.PeerUserInfoRequest.Request():
                slots, free = self.behavior.slots, len(self._active) < self.behavior.slots
                info = m.PeerUserInfoReply.Request("in a box", False, None, slots, self._queue.length(), free)
                await self.messenger.send(user, info)
            case m.PeerSharesRequest.Request():
                if not await self._attacker.attack_browser(user):
                    await self.messenger.send(user, m.PeerSharesReply.Request(self._directories()))
            case m.PeerDirectoryContentsRequest.Request():
                found = [each for each in self._directories() if each.name == message.directory]
                reply = m.PeerDirectoryContentsReply.Request(message.ticket, message.directory, found)
                await self.messenger.send(user, reply)
            case _:
                await super().on_message(user, message)

    def _directories(self) -> list[Any]:
        """Everything shared, as a user who browses sees it: names without their folder."""
        by_folder: dict[str, list[Any]] = {}
        for shared in self.shelf.files.values():
            folder, _, name = shared.path.rpartition("\\")
            by_folder.setdefault(folder, []).append(primitives.FileData(1, name, shared.size, "", []))
        return [primitives.DirectoryData(folder, files) for folder, files in by_folder.items()]

    async def on_request(self, user: str, path: str) -> None:
        self.count.asked += 1
        denial = self._denial() if path in self.shelf.files else None
        if denial is not None or path not in self.shelf.files:
            self.count.denied += 1
        if denial is not None:
            await self.messenger.send(user, messages.PeerTransferQueueFailed.Request(path, denial))
            return
        if self._queue.holds(user, path):
            self.count.lost += 1
        await super().on_request(user, path)
        if self.behavior.tells_place:
            await self.send_place(user, path)

    def _denial(self) -> str | None:
        if self.behavior.deny is None or self._denials_left == 0:
            return None
        if self._denials_left is not None:
            self._denials_left -= 1
        return self.behavior.deny

    def on_early_request(self, active: Upload) -> None:
        if self.behavior.drop_queue_upload or active.asked_again:
            self.count.lost += 1
            return
        super().on_early_request(active)

    def on_request_lost(self) -> None:
        self.count.lost += 1

    def _serve_next(self) -> None:
        if self.behavior.silent != "offer":
            super()._serve_next()

    def new_upload(self, place: Place) -> Upload:
        upload = OddUpload(self, place.shared, super().new_upload(place).transfer)
        self.count.transfers.append(upload.transfer)
        return upload

    async def report_failure(self, user: str, failure: Any) -> None:
        late_s = self.behavior.late_upload_failed_s
        if late_s is not None:  # it comes while others are served
            self.spawn(self._report(user, failure, late_s))
            return
        with suppress(*PEER_ERRORS):
            await self._report(user, failure, self.behavior.tick_s)

    async def _report(self, user: str, failure: Any, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.messenger.send(user, failure)
        self.count.upload_failed += 1
