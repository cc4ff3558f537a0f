"""State machine of the downloads from one Soulseek peer: queue requests, offers, connections and their ends.

Every file is asked for on its own (QueueUpload), several at a time, so they queue at the peer together. The peer offers
one when its turn has come (TransferRequest); the offer goes to the dispatcher, and when that accepts it the peer opens
an F connection, which goes to a worker. One transfer runs at a time: an offer that comes while another file of the peer
flows waits for its end.

After a stop the peer sends UploadFailed; until then, boundedly, the same file is not asked for again: some uploaders
lose a request that comes in between. An UploadFailed that comes later still belongs to the transfer that was stopped.
"""

from collections.abc import Iterator
from typing import Any, Final

from actors.core.peers.input_checks import SIZE_BYTES_MAX, printable, true_size
from actors.core.peers.negotiation_parts import (
    Action,
    Entry,
    EntryState,
    ExpectConnection,
    ForgetConnection,
    HandOver,
    NegotiationTimes,
    NoteUpload,
    SendAnswer,
    SendPlaceRequest,
    SendRequest,
    Transfer,
)
from actors.core.peers.recent_stops import RecentStops
from actors.core.peers.refusals import next_encoding, refusal_of
from protocol.messages import (
    ConnectionReady,
    EnqueueRefused,
    Message,
    PeerUploadSettled,
    QueuePlaceChanged,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import PEER_HISTORY, Post, dispatcher_address
from protocol.model.faults import FaultKind

FILES_QUEUED_MAX: Final = 50
"""Requests at one peer at the same time; Nicotine+ refuses more than 100 of one user."""
TICKETS_MAX: Final = 4
"""Offers of one file that are accepted: a peer may offer again while its connection is on the way."""
ENTRIES_MAX: Final = 2000
"""Files of one peer that are asked for, held requests included."""


class PeerNegotiation:
    """Negotiation with one peer. Owned by the session's loop; lives while there is an entry or an unsettled transfer.

    Invariant: at most one entry is ACCEPTED or TRANSFERRING, at most one entry a path is beyond HELD, and an entry that
    is ACCEPTED or TRANSFERRING has an open transfer with its ticket. Every method that takes `now_s` may add actions,
    which `take` returns.
    """

    def __init__(
        self, peer: str, times: NegotiationTimes, *, encoding: str = "utf-8", stops: RecentStops | None = None
    ) -> None:
        """`encoding`: of the peer's file names, as far as known. `stops`: of all peers, counted here too."""
        self.peer = peer
        self.encoding = encoding
        self._times = times
        self._stops = stops or RecentStops()
        self._entries: dict[tuple[int, int], Entry] = {}
        self._transfers: list[Transfer] = []
        self._actions: list[Action] = []
        self._answers_place = False

    @property
    def idle(self) -> bool:
        """Nothing is wanted, and no later message could be about anything."""
        return not self._entries and not self._transfers

    def due_s(self, now_s: float) -> float | None:
        """When `tick` has something to do next, after a `tick` at `now_s`; None: nothing waits for time."""
        return min((due_s for due_s in self._dues() if due_s > now_s), default=None)

    def take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def wants(self, path: str) -> bool:
        """Whether a request about this path that has not left yet is still to be sent."""
        return any(entry.path == path and entry.state is EntryState.REQUESTED for entry in self._entries.values())

    def asks_for(self, path: str) -> bool:
        """Whether an offer of this path is of a file that is wanted."""
        return self._entry_of(path) is not None

    # From our side.

    def enqueue(self, job: int, source: int, path: str, worker: str, *, now_s: float) -> None:
        """A dispatcher wants the file, or asks again: then whatever was before is over for it."""
        entry = self._entries.get((job, source))
        if entry is not None and entry.path != path:
            self._leave(entry, now_s)
            entry = None
        if entry is None:
            if len(self._entries) >= ENTRIES_MAX:
                self._post(job, _refused(job, source, FaultKind.BUSY, f"{ENTRIES_MAX} files of it are wanted", 60.0))
                return
            entry = self._entries[job, source] = Entry(job, source, path, worker, encodings=(self.encoding,))
        else:
            entry.worker = worker
            self._ask_again(entry, now_s)
        self._promote(now_s)
        if entry.state is EntryState.HELD and self._entries.get(entry.key) is entry:
            self._report_place(entry, 0)  # held back here, by no fault of the peer

    def _ask_again(self, entry: Entry, now_s: float) -> None:
        match entry.state:
            case EntryState.REQUESTED:
                self._report_place(entry, max(entry.place, 0))
            case EntryState.OFFERED:
                if entry.proposed:
                    self._propose(entry, now_s)
            case EntryState.ACCEPTED:
                self._close_transfer(entry, stopped=True, now_s=now_s)
                self._hold(entry)
            case EntryState.TRANSFERRING:
                entry.again = True
                entry.due_s = now_s + self._times.closing_s_max

    def dequeue(self, job: int, source: int, *, now_s: float) -> None:
        """The file is not wanted any more."""
        entry = self._entries.get((job, source))
        if entry is not None:
            self._leave(entry, now_s)
            self._promote(now_s)

    def close_job(self, job: int, *, now_s: float) -> None:
        for entry in [entry for entry in self._entries.values() if entry.job == job]:
            self._leave(entry, now_s)
        self._promote(now_s)

    def answer_offer(self, job: int, source: int, ticket: int, *, accepted: bool, now_s: float) -> None:
        """Our side's answer to an offer that was posted to it."""
        entry = self._entries.get((job, source))
        if entry is None or entry.state is not EntryState.OFFERED or entry.ticket != ticket or not entry.proposed:
            return
        if not accepted:
            self._leave(entry, now_s)
            self._promote(now_s)
            return
        entry.state, entry.due_s = EntryState.ACCEPTED, now_s + self._times.noted_s_max
        self._transfers.append(Transfer(job, source, entry.path, [ticket]))
        if self._times.noted_s_max > 0:
            self._actions.append(NoteUpload(ticket))  # first: once it is accepted the connection may come
        else:
            self.noted(ticket, now_s=now_s)

    def noted(self, ticket: int, *, now_s: float) -> None:
        """The ledger knows of the connection that is to come, or does not answer: the offer is accepted."""
        for entry in self._entries.values():
            transfer = self._transfer(entry.job, entry.source, entry.ticket)
            if entry.state is EntryState.ACCEPTED and entry.ticket == ticket and transfer is not None:
                if not transfer.answered:
                    transfer.answered, entry.due_s = True, now_s + self._times.file_s_max
                    for each in transfer.tickets:
                        self._accept(each, entry.connection)
                return

    def connection_closed(self, job: int, source: int, ticket: int, *, path: str, stopped: bool, now_s: float) -> None:
        """The worker is done with a connection, perhaps with one of an earlier session."""
        transfer = self._transfer(job, source, ticket)
        entry = self._entries.get((job, source))
        if transfer is None:
            transfer = Transfer(job, source, path, [ticket], foreign=True)
            self._transfers.append(transfer)
        elif transfer.closed_s is not None and not transfer.presumed:
            return
        transfer.presumed = False
        if stopped:
            self._stops.add(self.peer, transfer.path, job, now_s=now_s)
        if entry is not None and entry.state is EntryState.TRANSFERRING and entry.ticket == ticket:
            again = entry.again
            self._end_transfer(transfer, stopped=stopped, now_s=now_s)
            if again:
                self._hold(entry)
            else:
                del self._entries[entry.key]
        else:
            self._end_transfer(transfer, stopped=stopped, now_s=now_s)
        self._promote(now_s)

    # From the network.

    def request_sent(self, path: str, *, now_s: float) -> None:
        entry = self._entry_of(path)
        if entry is not None and entry.state is EntryState.REQUESTED and entry.place < 0:
            self._start_waiting(entry, now_s)
            self._report_place(entry, 0)

    def send_failed(self, action: Action, kind: FaultKind, detail: str, *, now_s: float) -> None:
        """A send did not get through: its entry is refused."""
        match action:
            case SendRequest(path=path) | SendPlaceRequest(path=path):
                entry = self._entry_of(path)
                if entry is not None and entry.state is EntryState.REQUESTED:
                    self._refuse(entry, kind, detail)
            case SendAnswer(ticket=ticket, allowed=True):
                for entry in list(self._entries.values()):
                    if entry.state is EntryState.ACCEPTED and entry.ticket == ticket:
                        self._close_transfer(entry, stopped=True, now_s=now_s)
                        self._fail(entry, FaultKind.TURN_LOST, f"{self.peer} went away before its turn")
        self._promote(now_s)

    def logged_in(self, *, now_s: float) -> None:
        """The login was lost and is back: peers may have forgotten us. What waits for it is not sent twice."""
        for entry in self._entries.values():
            if entry.state is EntryState.REQUESTED and entry.place >= 0:
                self._request(entry, now_s)

    def offered(self, path: str, ticket: int, size_bytes: int, connection: Any, *, now_s: float) -> bool:
        """TransferRequest. False: the file is not wanted, the offer is to be declined. `size_bytes` -1: not said."""
        entry = self._entry_of(path)
        if entry is None:
            return False
        if size_bytes > SIZE_BYTES_MAX:
            size_bytes = true_size(size_bytes)
        if size_bytes > SIZE_BYTES_MAX:
            self._actions.append(SendAnswer(ticket, connection, False))
            self._refuse(entry, FaultKind.BAD_ANSWER, f"offers {size_bytes} bytes")
            return True
        match entry.state:
            case EntryState.HELD | EntryState.REQUESTED | EntryState.OFFERED:
                if entry.state is EntryState.OFFERED and entry.ticket == ticket:
                    return True
                entry.state, entry.ticket, entry.size_bytes = EntryState.OFFERED, ticket, size_bytes
                entry.connection, entry.proposed = connection, False
                entry.due_s = now_s + self._times.answer_s_max
                self._propose_next(now_s)
            case EntryState.ACCEPTED:
                transfer = self._transfer(entry.job, entry.source, entry.ticket)
                if transfer is not None and len(transfer.tickets) < TICKETS_MAX and ticket not in transfer.tickets:
                    transfer.tickets.append(ticket)
                    entry.connection = connection
                    if transfer.answered:
                        self._accept(ticket, connection)
            case EntryState.TRANSFERRING:
                self._actions.append(SendAnswer(ticket, connection, False))
        return True

    def denied(self, path: str, reason: str, *, now_s: float) -> None:
        """UploadDenied, with its text."""
        entry = self._entry_of(path)
        if entry is None:
            return
        if entry.state in (EntryState.OFFERED, EntryState.ACCEPTED):
            self._take_back(entry, now_s)
        elif entry.state in (EntryState.HELD, EntryState.REQUESTED):
            self._denied_request(entry, reason, now_s)
        self._promote(now_s)

    def _denied_request(self, entry: Entry, reason: str, now_s: float) -> None:
        refusal = refusal_of(reason)
        if refusal is None:
            self._sign_of_life(entry, now_s)
            return
        if refusal.kind is FaultKind.NOT_SHARED:
            other = next_encoding(entry.path, entry.encodings)
            if other is not None:
                entry.encodings = (*entry.encodings, other)
                self._request(entry, now_s)
                return
        self._refuse(entry, refusal.kind, f"{self.peer}: {printable(reason)}", refusal.retry_after_s)

    def upload_failed(self, path: str, *, now_s: float) -> None:
        """UploadFailed: of the transfer that was stopped last, else of the one that flows."""
        for transfer in reversed(self._transfers):
            if transfer.path == path and transfer.closed_s is not None and transfer.stopped and not transfer.failed:
                transfer.failed = True
                self._settle(transfer)
                self._promote(now_s)
                return
        entry = self._entry_of(path)
        if entry is None:
            return
        detail = f"{self.peer} says that the upload failed"
        if entry.state is EntryState.TRANSFERRING:
            open_transfer = self._transfer(entry.job, entry.source, entry.ticket)
            if open_transfer is not None and not open_transfer.failed:
                open_transfer.failed = True
                self._settle(open_transfer)
                self._post_failed(entry, FaultKind.UPLOAD_FAILED, detail)
                entry.due_s = min(entry.due_s or now_s + self._times.failed_s_max, now_s + self._times.failed_s_max)
        elif entry.state is EntryState.REQUESTED:
            self._refuse(entry, FaultKind.UPLOAD_FAILED, detail)
        elif entry.state is not EntryState.HELD:
            self._take_back(entry, now_s)
        self._promote(now_s)

    def place_reported(self, path: str, place: int, *, now_s: float) -> None:
        """PlaceInQueueResponse."""
        entry = self._entry_of(path)
        if entry is not None and entry.state in (EntryState.HELD, EntryState.REQUESTED):
            self._answers_place = True
            self.encoding = entry.encodings[-1]  # the name was understood
            self._sign_of_life(entry, now_s)
            self._report_place(entry, place)

    def connected(self, ticket: int, *, now_s: float) -> None:
        """An expected F connection has come."""
        for entry in self._entries.values():
            transfer = self._transfer(entry.job, entry.source, entry.ticket)
            if entry.state is EntryState.ACCEPTED and transfer is not None and ticket in transfer.tickets:
                entry.state, entry.due_s, entry.connection = EntryState.TRANSFERRING, None, None
                ready = ConnectionReady(job=entry.job, source=entry.source, ticket=entry.ticket, fd_token=0)
                self._actions.append(HandOver(ticket, entry.worker, ready))
                self._actions.extend(ForgetConnection(each) for each in transfer.tickets)
                return
        self._actions.append(ForgetConnection(ticket))

    def tick(self, *, now_s: float) -> None:
        """Do what is due."""
        for transfer in list(self._transfers):
            self._expire_transfer(transfer, now_s)
        for entry in list(self._entries.values()):
            if self._entries.get(entry.key) is entry:
                self._expire_entry(entry, now_s)
        self._promote(now_s)

    # Time.

    def _dues(self) -> Iterator[float]:
        times = self._times
        for transfer in self._transfers:
            if transfer.closed_s is not None:
                yield self._settled_s(transfer)
                yield transfer.closed_s + times.verdict_s_max
                yield self._over_s(transfer)
        for entry in self._entries.values():
            if entry.due_s is not None:
                yield entry.due_s
            if entry.state is EntryState.REQUESTED and entry.place >= 0:
                yield min(entry.place_due_s, entry.sign_s + times.repeat_every_s, *entry.repeats_s[:1])

    def _expire_transfer(self, transfer: Transfer, now_s: float) -> None:
        if transfer.closed_s is None:
            return
        if now_s >= transfer.closed_s + self._times.verdict_s_max:
            self._settle(transfer)
        if now_s >= self._over_s(transfer):
            self._settle(transfer)
            self._transfers.remove(transfer)

    def _expire_entry(self, entry: Entry, now_s: float) -> None:
        if entry.state is EntryState.REQUESTED and entry.place >= 0:
            self._remind(entry, now_s)
        if entry.due_s is None or entry.due_s > now_s:
            return
        match entry.state:
            case EntryState.OFFERED:
                self._actions.append(SendAnswer(entry.ticket, entry.connection, False))
                if entry.proposed:
                    self._fail(entry, FaultKind.TURN_LOST, "the offer was not answered in time")
                else:  # another transfer of the peer goes on: the request is made again at its end
                    self._hold(entry)
            case EntryState.ACCEPTED:
                open_transfer = self._transfer(entry.job, entry.source, entry.ticket)
                if open_transfer is not None and not open_transfer.answered:
                    self.noted(entry.ticket, now_s=now_s)
                    return
                self._close_transfer(entry, stopped=True, now_s=now_s)
                self._fail(entry, FaultKind.TURN_LOST, f"no connection from {self.peer} in time")
            case EntryState.TRANSFERRING:
                again = entry.again
                self._close_transfer(entry, stopped=True, now_s=now_s)
                if again:
                    self._hold(entry)
                else:
                    del self._entries[entry.key]

    def _remind(self, entry: Entry, now_s: float) -> None:
        """Ask for the place, or repeat a request of which the peer gives no sign."""
        times = self._times
        again = entry.sign_s + times.repeat_every_s <= now_s
        if entry.repeats_s and entry.repeats_s[0] <= now_s:
            del entry.repeats_s[0]
            again = True
        if again:
            entry.sign_s = now_s
            self._actions.append(SendRequest(entry.path, entry.encodings[-1]))
        elif entry.place_due_s <= now_s:
            if entry.place_asked_s is not None:  # it has answered before, and has not this time
                entry.place_asked_s = None
                self._start_waiting(entry, now_s)
                self._actions.append(SendRequest(entry.path, entry.encodings[-1]))
                return
            awaited = self._answers_place and not entry.repeats_s
            entry.place_asked_s = now_s if awaited else None
            entry.place_due_s = now_s + (times.place_answer_s_max if awaited else times.place_every_s)
            self._actions.append(SendPlaceRequest(entry.path, entry.encodings[-1]))

    def _start_waiting(self, entry: Entry, now_s: float) -> None:
        entry.repeats_s = [now_s + repeat_s for repeat_s in self._times.repeat_s]
        entry.sign_s, entry.place_due_s, entry.place_asked_s = now_s, now_s + self._times.place_first_s, None

    def _sign_of_life(self, entry: Entry, now_s: float) -> None:
        """The peer knows of our request."""
        entry.repeats_s.clear()
        entry.sign_s = now_s
        if entry.place_asked_s is not None:
            entry.place_asked_s = None
            entry.place_due_s = now_s + self._times.place_every_s

    def _settled_s(self, transfer: Transfer) -> float:
        """When the file of this transfer may be asked for again."""
        assert transfer.closed_s is not None
        if transfer.failed:
            return transfer.closed_s
        return transfer.closed_s + (self._times.upload_failed_s_max if transfer.stopped else self._times.finished_s)

    def _over_s(self, transfer: Transfer) -> float:
        """When no later message can be about this transfer."""
        assert transfer.closed_s is not None
        waits = transfer.stopped and not transfer.failed
        return transfer.closed_s + (self._times.owed_s_max if waits else self._times.finished_s)

    # Entries.

    def _promote(self, now_s: float) -> None:
        """Ask for what was held back and may be asked for now; offer what may run now."""
        requested = sum(entry.state is EntryState.REQUESTED for entry in self._entries.values())
        for entry in self._entries.values():
            if requested >= FILES_QUEUED_MAX:
                break
            if entry.state is EntryState.HELD and self._may_request(entry, now_s):
                self._request(entry, now_s)
                requested += 1
        self._propose_next(now_s)

    def _may_request(self, entry: Entry, now_s: float) -> bool:
        other = self._entry_of(entry.path)
        if other is not None and other is not entry and other.state is not EntryState.HELD:
            return False
        return all(
            transfer.closed_s is not None and self._settled_s(transfer) <= now_s
            for transfer in self._transfers
            if transfer.path == entry.path
        )

    def _request(self, entry: Entry, now_s: float) -> None:
        entry.state, entry.due_s = EntryState.REQUESTED, None
        if entry.place >= 0:
            self._start_waiting(entry, now_s)
        self._actions.append(SendRequest(entry.path, entry.encodings[-1]))

    def _hold(self, entry: Entry) -> None:
        entry.state, entry.due_s, entry.ticket, entry.connection = EntryState.HELD, None, -1, None
        entry.proposed, entry.again, entry.place = False, False, -1

    def _propose_next(self, now_s: float) -> None:
        """Tell our side of an offer, unless another transfer of this peer is going on."""
        running = (EntryState.ACCEPTED, EntryState.TRANSFERRING)
        for entry in self._entries.values():
            if entry.state in running and not self._has_failed(entry):
                return
            if entry.state is EntryState.OFFERED and entry.proposed:
                return
        for entry in self._entries.values():
            if entry.state is EntryState.OFFERED:
                self._propose(entry, now_s)
                return

    def _has_failed(self, entry: Entry) -> bool:
        transfer = self._transfer(entry.job, entry.source, entry.ticket)
        return entry.state is EntryState.TRANSFERRING and transfer is not None and transfer.failed

    def _propose(self, entry: Entry, now_s: float) -> None:
        entry.proposed, entry.due_s = True, now_s + self._times.answer_s_max
        self.encoding = entry.encodings[-1]  # the name was understood
        offered = UploadOffered(
            job=entry.job,
            source=entry.source,
            ticket=entry.ticket,
            size_bytes=entry.size_bytes,
            stops_beside=self._stops.beside(self.peer, entry.path, entry.job, now_s=now_s),
        )
        self._post(entry.job, offered)

    def _accept(self, ticket: int, connection: Any) -> None:
        # Expected first: the connection may come before the answer has left us.
        self._actions.append(ExpectConnection(ticket))
        self._actions.append(SendAnswer(ticket, connection, True))

    def _leave(self, entry: Entry, now_s: float) -> None:
        """Drop the entry and what its state has open."""
        match entry.state:
            case EntryState.OFFERED:
                self._actions.append(SendAnswer(entry.ticket, entry.connection, False))
            case EntryState.ACCEPTED | EntryState.TRANSFERRING:
                self._close_transfer(entry, stopped=True, now_s=now_s)
        del self._entries[entry.key]

    def _refuse(self, entry: Entry, kind: FaultKind, detail: str, retry_after_s: float = 0.0) -> None:
        self._post(entry.job, _refused(entry.job, entry.source, kind, detail, retry_after_s))
        self._entries.pop(entry.key, None)

    def _take_back(self, entry: Entry, now_s: float) -> None:
        if entry.state is EntryState.ACCEPTED:
            self._close_transfer(entry, stopped=True, now_s=now_s)
        if entry.proposed:
            self._fail(entry, FaultKind.UPLOAD_FAILED, f"{self.peer} took its offer back")
        else:
            self._hold(entry)

    def _fail(self, entry: Entry, kind: FaultKind, detail: str) -> None:
        self._post_failed(entry, kind, detail)
        self._entries.pop(entry.key, None)

    def _report_place(self, entry: Entry, place: int) -> None:
        entry.place = place
        self._post(entry.job, QueuePlaceChanged(job=entry.job, source=entry.source, place=place))

    def _post_failed(self, entry: Entry, kind: FaultKind, detail: str) -> None:
        failed = UploadFailed(job=entry.job, source=entry.source, ticket=entry.ticket, fault=kind, detail=detail)
        self._post(entry.job, failed)

    def _post(self, job: int, message: Message) -> None:
        self._actions.append(Post(to=dispatcher_address(job), message=message))

    def _entry_of(self, path: str) -> Entry | None:
        """The entry a message about this path concerns: the one that was asked for, else one that is held."""
        held = None
        for entry in self._entries.values():
            if entry.path == path:
                if entry.state is not EntryState.HELD:
                    return entry
                held = held or entry
        return held

    # Transfers.

    def _transfer(self, job: int, source: int, ticket: int) -> Transfer | None:
        for transfer in reversed(self._transfers):
            if (transfer.job, transfer.source, transfer.tickets[0]) == (job, source, ticket):
                return transfer
        return None

    def _close_transfer(self, entry: Entry, *, stopped: bool, now_s: float) -> None:
        """Our side is done with the entry's transfer; a worker that has it has not said so."""
        transfer = self._transfer(entry.job, entry.source, entry.ticket)
        if transfer is None or transfer.closed_s is not None:
            return
        if entry.state is EntryState.ACCEPTED:
            self._actions.extend(ForgetConnection(ticket) for ticket in transfer.tickets)
            if not transfer.answered:
                self._actions.append(SendAnswer(entry.ticket, entry.connection, False))
        transfer.presumed = entry.state is EntryState.TRANSFERRING
        self._end_transfer(transfer, stopped=stopped, now_s=now_s)

    def _end_transfer(self, transfer: Transfer, *, stopped: bool, now_s: float) -> None:
        transfer.closed_s, transfer.stopped = now_s, stopped
        if not stopped:
            self._settle(transfer)

    def _settle(self, transfer: Transfer) -> None:
        """Post once how the peer counts the transfer, where that is known."""
        if not transfer.settled and not (transfer.foreign and transfer.stopped and not transfer.failed):
            transfer.settled = True
            settled = PeerUploadSettled(peer=self.peer, ticket=transfer.tickets[0], failed=transfer.failed)
            self._actions.append(Post(to=PEER_HISTORY, message=settled))


def _refused(job: int, source: int, kind: FaultKind, detail: str, retry_after_s: float) -> EnqueueRefused:
    return EnqueueRefused(job=job, source=source, fault=kind, detail=detail, retry_after_s=retry_after_s)
