"""All that is said with one peer about its files: one request at a time, from the wish to the connection and its end.

QueueUpload, TransferRequest, TransferResponse, F connection, hand-over. A second file of the same peer waits until
the first is done: real uploaders serve one upload a user. After a stop the peer's UploadFailed is awaited before it
is asked again; one that comes later than that is still known to be about the attempt before.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final

from actors.soulseek.file_connections import FileDoor
from actors.soulseek.ports import Line, Lines, PeerAway
from actors.soulseek.queue_entry import (
    AskedAgain,
    Came,
    Denied,
    Ended,
    Failed,
    Left,
    LoggedIn,
    OfferAnswered,
    Offered,
    QueueEntry,
    Told,
)
from actors.soulseek.refusals import fault_of, shown
from actors.soulseek.retry_timing import Asking, RetryTiming
from actors.soulseek.settings import TalkTimes
from protocol.messages import ConnectionReady, EnqueueRefused, Message, QueuePlaceChanged, UploadFailed, UploadOffered
from protocol.model.faults import FaultKind

SIZE_BYTES_MAX: Final = 1 << 50
TICKETS_MAX: Final = 4
"""Offers of one turn that are accepted: a peer may make its offer anew while the connection is on its way."""


class Negotiation:
    """One peer's. Owned by the session's loop; lives while there is a place to talk about, and a little longer.

    `tell(message)` goes to the place's dispatcher; `hand(worker, message, fd)` owns the descriptor.
    """

    def __init__(
        self,
        peer: str,
        lines: Lines,
        door: FileDoor,
        times: TalkTimes,
        *,
        tell: Callable[[int, Message], None],
        hand: Callable[[str, ConnectionReady, int], None],
        tokens: "itertools.count[int]",
    ) -> None:
        self._peer = peer
        self._lines = lines
        self._door = door
        self._times = times
        self._tell = tell
        self._hand = hand
        self._tokens = tokens
        self._served: QueueEntry | None = None
        self._waiting: dict[tuple[int, int], QueueEntry] = {}  # in the order they were asked for
        self._task: asyncio.Task[None] | None = None
        self._settling = RetryTiming(times)

    @property
    def idle(self) -> bool:
        """Nothing to talk about, and nothing that a later word could be about."""
        return self._task is None and self._settling.over

    # from our side

    def ask(self, job: int, source: int, path: str, worker: str) -> None:
        served = self._served_as(job, source)
        if served is not None and served.path == path and not served.left:
            served.worker = worker
            served.put(AskedAgain())
            return
        self.leave(job, source)
        self._waiting[job, source] = QueueEntry(job, source, path, worker)
        if self._task is None:
            self._task = asyncio.create_task(self._serve_all())

    def leave(self, job: int, source: int) -> None:
        self._waiting.pop((job, source), None)
        served = self._served_as(job, source)
        if served is not None:
            served.put(Left())

    def leave_job(self, job: int) -> None:
        for key in [key for key in self._waiting if key[0] == job]:
            del self._waiting[key]
        if self._served is not None and self._served.job == job:
            self._served.put(Left())

    def answer(self, job: int, source: int, ticket: int, *, taken: bool) -> None:
        if (place := self._served_as(job, source)) is not None:
            place.put(OfferAnswered(ticket, taken))

    def ended(self, job: int, source: int, ticket: int, *, stopped: bool) -> None:
        if (place := self._served_as(job, source)) is not None:
            place.put(Ended(ticket, stopped))

    def logged_in(self) -> None:
        if self._served is not None:
            self._served.put(LoggedIn())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # from the peer

    def offered(self, path: str, offer: Offered) -> bool:
        """Whether it concerns a place; then it will be answered."""
        place = self._served
        if place is None or place.path != path or place.left:
            return False
        place.put(offer)
        return True

    def denied(self, path: str, reason: str) -> None:
        if self._served is not None and self._served.path == path:
            self._served.put(Denied(reason))

    def upload_failed(self, path: str) -> None:
        if not self._settling.explains(path) and self._served is not None and self._served.path == path:
            self._served.put(Failed())

    def place_told(self, path: str, place: int) -> None:
        if self._served is not None and self._served.path == path:
            self._served.put(Told(place))

    # serving

    def _served_as(self, job: int, source: int) -> QueueEntry | None:
        place = self._served
        return place if place is not None and (place.job, place.source) == (job, source) else None

    async def _serve_all(self) -> None:
        try:
            while self._waiting:
                place = self._served = self._waiting.pop(next(iter(self._waiting)))
                try:
                    await self._serve(place)
                    while place.again and not place.left:
                        await self._serve(place)
                finally:
                    self._served = None
                    place.close()
        finally:
            self._task = None

    async def _serve(self, place: QueueEntry) -> None:
        """One attempt. `place.again` afterwards: our side has asked for another one."""
        await self._settling.wait()
        if place.left:
            return
        place.again = False
        offer = await self._queue(place)
        if offer is not None:
            offer = await self._propose(place, offer)
        if offer is not None and await self._take(place, offer):
            await self._ride(place, offer.ticket)

    async def _queue(self, place: QueueEntry) -> Offered | None:
        """Ask, and wait for the offer, however long the queue."""
        if not await self._request(place, again=True):
            return None
        self._tell_place(place, 0)
        asking = Asking(self._times, time.monotonic())
        while True:
            try:
                event = await place.next(max(0.0, asking.due_s - time.monotonic()))
            except TimeoutError:
                if not await self._request(place, again=asking.repeats(time.monotonic())):
                    return None
                continue
            match event:
                case Offered(size_bytes=size):
                    if size <= SIZE_BYTES_MAX:
                        return event
                    await self._answer(event, allowed=False)
                    self._refuse(place, FaultKind.BAD_ANSWER, f"offers {size} bytes")
                    return None
                case Denied(reason=reason):
                    kind = fault_of(reason)
                    if kind is not None:
                        self._refuse(place, kind, f"{self._peer}: {shown(reason)}")
                        return None
                    asking.heard(time.monotonic())
                case Told(place=number):
                    asking.heard(time.monotonic())
                    self._tell_place(place, number)
                case Failed():
                    self._refuse(place, FaultKind.UPLOAD_FAILED, f"{self._peer} says that the upload failed")
                    return None
                case LoggedIn():
                    if not await self._request(place, again=True):
                        return None
                case Left():
                    return None
                case AskedAgain():
                    place.again = False  # this attempt is what was asked for
                case OfferAnswered() | Came() | Ended():
                    pass

    async def _request(self, place: QueueEntry, *, again: bool) -> bool:
        """QueueUpload, or the question for our place. False: it did not get through, and that was told."""
        try:
            line = await self._lines.line(self._peer)
            if again:
                await self._lines.queue_upload(line, place.path)
            else:
                await self._lines.ask_place(line, place.path)
        except PeerAway as away:
            if not place.left:
                self._refuse(place, away.kind, away.detail)
            return False
        return True

    async def _propose(self, place: QueueEntry, offer: Offered) -> Offered | None:
        """The offer to our side; the offer that was taken, or None."""
        until_s = time.monotonic() + self._times.answer_s_max
        self._tell_turn(place, offer)
        while True:
            try:
                event = await place.next(max(0.0, until_s - time.monotonic()))
            except TimeoutError:
                await self._answer(offer, allowed=False)
                self._fail(place, offer.ticket, FaultKind.TURN_LOST, "nobody took the turn in time")
                return None
            match event:
                case OfferAnswered(ticket=offer.ticket, taken=taken):
                    if taken:
                        return offer
                    await self._answer(offer, allowed=False)
                    return None
                case Offered():
                    if event.ticket != offer.ticket:
                        offer = event  # the peer has given up its first one
                        self._tell_turn(place, offer)
                case Failed() | Denied():
                    self._fail(place, offer.ticket, FaultKind.UPLOAD_FAILED, f"{self._peer} took its offer back")
                    return None
                case Left():
                    await self._answer(offer, allowed=False)
                    return None
                case AskedAgain():
                    place.again = False
                    self._tell_turn(place, offer)
                case _:
                    pass

    async def _take(self, place: QueueEntry, offer: Offered) -> bool:
        """Accept, and hand the connection over when it comes."""
        until_s = time.monotonic() + self._times.file_s_max
        tickets = [offer.ticket]
        try:
            if not await self._accept(place, offer):
                self._fail(place, offer.ticket, FaultKind.TURN_LOST, f"{self._peer} went away before its turn")
                return False
            while True:
                event = await place.next(max(0.0, until_s - time.monotonic()))
                match event:
                    case Came():
                        self._hand_over(place, offer.ticket)
                        return True
                    case Offered(ticket=ticket):
                        if len(tickets) < TICKETS_MAX and ticket not in tickets:
                            tickets.append(ticket)
                            await self._accept(place, event)
                    case Failed() | Denied():
                        self._fail(place, offer.ticket, FaultKind.UPLOAD_FAILED, f"{self._peer} took its offer back")
                        return False
                    case Left():
                        return False
                    case _:
                        pass
        except TimeoutError:
            self._fail(place, offer.ticket, FaultKind.TURN_LOST, f"no connection from {self._peer} in time")
            return False
        finally:
            for ticket in tickets:
                self._door.release(self._peer, ticket)

    async def _accept(self, place: QueueEntry, offer: Offered) -> bool:
        # Claimed first: the connection may come before the answer has left us.
        self._door.claim(self._peer, offer.ticket, place.came)
        return await self._answer(offer, allowed=True)

    async def _answer(self, offer: Offered, *, allowed: bool) -> bool:
        for line_of in (self._same_line, self._new_line):
            try:
                await self._lines.answer(await line_of(offer), offer.ticket, allowed=allowed)
            except PeerAway:
                if not allowed:
                    return False  # not worth a call
            else:
                return True
        return False

    async def _same_line(self, offer: Offered) -> Line:
        return offer.line

    async def _new_line(self, _offer: Offered) -> Line:
        return await self._lines.line(self._peer)

    def _hand_over(self, place: QueueEntry, ticket: int) -> None:
        handed = ConnectionReady(job=place.job, source=place.source, ticket=ticket, fd_token=next(self._tokens))
        self._hand(place.worker, handed, place.take_fd())

    async def _ride(self, place: QueueEntry, ticket: int) -> None:
        """The worker has the connection: wait for its end."""
        failed = False
        while True:
            try:
                event = await place.next(self._patience_s(failed=failed, again=place.again))
            except TimeoutError:
                event = Ended(ticket, stopped=True)
            match event:
                case Ended(ticket=at, stopped=stopped):
                    if at == ticket:
                        self._settling.begin(place.path, stopped=stopped and not failed)
                        return
                case Left():
                    self._settling.begin(place.path, stopped=not failed)
                    return
                case Failed():
                    if not failed:
                        self._fail(place, ticket, FaultKind.UPLOAD_FAILED, f"{self._peer} says that the upload failed")
                    failed = True
                case Offered():
                    await self._answer(event, allowed=False)
                case _:
                    pass

    def _patience_s(self, *, failed: bool, again: bool) -> float | None:
        """How long the worker's last word is waited for: it travels another way than the wish to begin anew."""
        if again:
            return self._times.last_word_s_max
        return self._times.failed_s_max if failed else None

    # what is told

    def _tell_place(self, place: QueueEntry, number: int) -> None:
        self._tell(place.job, QueuePlaceChanged(job=place.job, source=place.source, place=number))

    def _tell_turn(self, place: QueueEntry, offer: Offered) -> None:
        came = UploadOffered(job=place.job, source=place.source, ticket=offer.ticket, size_bytes=offer.size_bytes)
        self._tell(place.job, came)

    def _refuse(self, place: QueueEntry, kind: FaultKind, detail: str) -> None:
        self._tell(place.job, EnqueueRefused(job=place.job, source=place.source, fault=kind, detail=detail))

    def _fail(self, place: QueueEntry, ticket: int, kind: FaultKind, detail: str) -> None:
        failed = UploadFailed(job=place.job, source=place.source, ticket=ticket, fault=kind, detail=detail)
        self._tell(place.job, failed)
