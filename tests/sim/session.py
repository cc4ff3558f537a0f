"""A plain model of the Soulseek session and of its peers' queues: places, turns, connections.

A peer offers our file `queue_s + setup_s` after it was asked; a taken turn's connection is at the worker `hop_s` later.
After a stop the session waits for the peer's word before it asks again, as the real one does.
"""

from dataclasses import dataclass, field
from typing import Final

from protocol.messages import (
    AcceptUpload,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    EnqueueRefused,
    FileFinished,
    JobClosed,
    Message,
    QueuePlaceChanged,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import SESSION, dispatcher_address
from protocol.model.faults import FaultKind
from tests.sim.worker import Surroundings, WorkerModel

ANSWER_S_MAX: Final = 10.0
SETTLE_S: Final = 0.1
CONNECT_SHARE: Final = 0.3
"""Of a peer's set-up time, what passes until it has our request."""
NEXT_S: Final = 0.1
"""A peer that sends us another file looks so often whether it is done with that."""


@dataclass(slots=True)
class _Place:
    worker: WorkerModel
    serial: int
    ticket: int = -1
    taken: bool = False
    taken_s: float = 0.0


@dataclass(slots=True)
class SharedUsers:
    """Users that several jobs share, in the order in which the jobs begin.

    `sending`: which of the jobs' sessions has the upload slot of a peer; it is one session in the real program.
    """

    sending: "dict[int, SessionModel]" = field(default_factory=dict)
    sessions: "list[SessionModel]" = field(default_factory=list)


class SessionModel:
    """Asserts what peers are owed: never two requests for a file at one of them.

    With `users` their one upload slot is shared with the sessions of other jobs, and hang-ups are counted over all.
    """

    def __init__(
        self, world: Surroundings, workers: dict[str, WorkerModel], users: "SharedUsers | None" = None
    ) -> None:
        users = users or SharedUsers()
        self._sending, self._beside = users.sending, users.sessions
        self._beside.append(self)
        self._world = world
        self._workers = workers
        self._places: dict[int, _Place] = {}
        self._serial = 0
        self.asked = 0
        self.declined = 0

    def receive(self, message: Message) -> None:
        match message:
            case EnqueueFile():
                self._ask(message)
            case DequeueFile(source=source):
                self._places.pop(source, None)
            case AcceptUpload():
                self._take(message)
            case DeclineUpload(source=source, ticket=ticket):
                if (place := self._places.get(source)) is not None and place.ticket == ticket:
                    self.declined += 1
                    del self._places[source]
            case JobClosed():
                self._places.clear()
            case FileFinished():
                pass
            case _:
                raise AssertionError(f"no message for a session: {message}")

    def _ask(self, asked: EnqueueFile) -> None:
        worker = self._workers[asked.worker]
        assert asked.peer == worker.script.peer, "the place of another peer"
        assert worker.lease is None, "a second request at a peer that is sending"
        before = self._places.get(asked.source)
        assert before is None or before.taken, "a second request at a peer that has one"
        self.asked += 1
        self._serial += 1
        place = self._places[asked.source] = _Place(worker, self._serial)
        settle_s = max(0.0, worker.stopped_s + SETTLE_S - self._world.now_s)
        script = worker.script
        connect_s = settle_s + CONNECT_SHARE * script.setup_s
        if worker.dead:
            refused = EnqueueRefused(job=1, source=asked.source, fault=int(FaultKind.OFFLINE), detail="offline")
            self._later(connect_s, asked.source, place, refused)
            return
        self._later(connect_s, asked.source, place, QueuePlaceChanged(job=1, source=asked.source, place=0))
        self._world.at(
            self._world.now_s + settle_s + script.queue_s + script.setup_s, lambda: self._offer(asked.source, place)
        )

    def _offer(self, source: int, place: _Place) -> None:
        if self._places.get(source) is not place:
            return
        other = self._sending.get(source)
        if other is not None and other is not self and other.sends(source):
            self._world.at(self._world.now_s + NEXT_S, lambda: self._offer(source, place))
            return
        self._sending[source] = self
        place.ticket = place.serial
        size = place.worker.file_bytes + 7 if place.worker.script.wrong_size else place.worker.file_bytes
        beside = sum(each.stops(source) for each in self._beside if each is not self)
        offered = UploadOffered(job=1, source=source, ticket=place.ticket, size_bytes=size, stops_beside=beside)
        self._tell(offered)
        self._world.at(self._world.now_s + ANSWER_S_MAX, lambda: self._lapse(source, place))

    def sends(self, source: int) -> bool:
        """Whether this peer offers or sends the file."""
        place = self._places.get(source)
        if place is None or place.ticket < 0:
            return False
        begins = self._world.now_s - place.taken_s < place.worker.script.hop_s
        return not place.taken or begins or place.worker.lease is not None

    def stops(self, source: int) -> int:
        return sum(worker.stops for worker in self._workers.values() if worker.source == source)

    def _lapse(self, source: int, place: _Place) -> None:
        if self._places.get(source) is place and not place.taken:
            del self._places[source]
            fault = int(FaultKind.TURN_LOST)
            self._tell(UploadFailed(job=1, source=source, ticket=place.ticket, fault=fault, detail="no one answered"))

    def _take(self, taken: AcceptUpload) -> None:
        place = self._places.get(taken.source)
        if place is None or place.ticket != taken.ticket:
            return
        place.taken, place.taken_s = True, self._world.now_s
        worker = place.worker
        self._world.at(self._world.now_s + worker.script.hop_s, worker.connect)

    def _later(self, delay_s: float, source: int, place: _Place, message: Message) -> None:
        def tell() -> None:
            if self._places.get(source) is place:
                if isinstance(message, EnqueueRefused):
                    del self._places[source]
                self._tell(message)

        self._world.at(self._world.now_s + delay_s, tell)

    def _tell(self, message: Message) -> None:
        self._world.send(SESSION, dispatcher_address(1), message)
