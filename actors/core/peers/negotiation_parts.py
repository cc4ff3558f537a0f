"""Parts of a negotiation with a peer: its time limits, requested files, transfers, and the actions it asks for."""

from enum import Enum, auto
from typing import Any

from protocol.messages import ConnectionReady
from protocol.messages.addresses import Post
from protocol.model.value import Struct, field


class NegotiationTimes(Struct, frozen=True, kw_only=True):
    """Waits of a negotiation, in seconds. Measured with real peers; tests make them shorter."""

    upload_failed_s_max: float = 1.5
    """After a stop, before the file is asked for again. Uploaders send UploadFailed within 0.115."""
    finished_s: float = 0.2
    """After a body read to its end: the uploader needs a moment to see us close."""
    owed_s_max: float = 30.0
    """So late may an UploadFailed still belong to the transfer before."""
    verdict_s_max: float = 10.0
    """An uploader from which no UploadFailed has come for so long had sent everything: it counts no failed upload."""
    repeat_s: tuple[float, ...] = (4.0, 12.0, 22.0, 32.0, 42.0, 52.0, 62.0, 90.0, 130.0)
    """A QueueUpload that met silence is sent again at these times: uploaders lose one that comes too early, and ignore
    it for 45 s after an offer that was not answered, as when our process died meanwhile."""
    repeat_every_s: float = 180.0
    """And again after so long without any sign that the peer knows of us: it may have been restarted."""
    place_first_s: float = 2.0
    place_every_s: float = 30.0
    """The place in the queue is asked for after the first and then so often."""
    place_answer_s_max: float = 10.0
    """A peer that answered before and does not answer this time may have forgotten us."""
    answer_s_max: float = 10.0
    """An offer that our side does not answer is declined: a peer's slot is waiting."""
    file_s_max: float = 30.0
    """From accepting an offer to its F connection, and for a ticket on any F connection."""
    closing_s_max: float = 0.5
    """For the worker's report of the end, when our side asks again before it has come."""
    failed_s_max: float = 10.0
    """For the worker's report after the peer's UploadFailed."""
    noted_s_max: float = 2.0
    """For the ledger's answer, before an offer is accepted without it. 0: nothing keeps a ledger."""


class EntryState(Enum):
    """States of one requested file, in their usual order."""

    HELD = auto()  # not asked for yet
    REQUESTED = auto()
    OFFERED = auto()  # the peer's offer waits for our side's answer, or for the end of another transfer
    ACCEPTED = auto()  # waiting for the F connection
    TRANSFERRING = auto()  # a worker has the connection


class Entry(Struct, eq=False):
    """One file of the peer that a dispatcher wants.

    `due_s` is when the state's time is over. `proposed`: the dispatcher knows of the offer. `again`: our side has asked
    for it once more while the transfer's end is not reported yet. `encodings`: those the name was sent in.
    """

    job: int
    source: int
    path: str
    worker: str
    state: EntryState = EntryState.HELD
    due_s: float | None = None
    ticket: int = -1
    size_bytes: int = -1
    connection: Any = None
    proposed: bool = False
    again: bool = False
    place: int = -1
    encodings: tuple[str, ...] = ("utf-8",)
    repeats_s: list[float] = field(default_factory=list)
    sign_s: float = 0.0
    place_due_s: float = 0.0
    place_asked_s: float | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.job, self.source


class Transfer(Struct, eq=False):
    """One accepted offer, until it is known how the peer counts it.

    `tickets` are all accepted offers of it, the first is the one our side knows. `closed_s`: since when our side is
    done with it; `stopped`: before the end of the file. `failed`: the peer sent UploadFailed. `presumed`: the worker
    has not reported the end. `settled`: how the peer counts it was posted. `foreign`: of an earlier session, to
    which its UploadFailed may have gone. `answered`: our acceptance was sent.
    """

    job: int
    source: int
    path: str
    tickets: list[int]
    closed_s: float | None = None
    stopped: bool = False
    failed: bool = False
    presumed: bool = False
    settled: bool = False
    foreign: bool = False
    answered: bool = False


# What the network is asked to do. Sends are done in order; each that fails is reported with `send_failed`.


class SendRequest(Struct, frozen=True):
    """QueueUpload. Reported with `request_sent`."""

    path: str
    encoding: str


class SendPlaceRequest(Struct, frozen=True):
    """PlaceInQueueRequest."""

    path: str
    encoding: str


class SendAnswer(Struct, frozen=True):
    """TransferResponse, on the connection the offer came on; not `allowed`: "Cancelled"."""

    ticket: int
    connection: Any
    allowed: bool


class NoteUpload(Struct, frozen=True):
    """Record in the ledger of stops that a connection with this ticket may come. Reported with `noted`."""

    ticket: int


class ExpectConnection(Struct, frozen=True):
    """An F connection with this ticket is to be reported with `connected`."""

    ticket: int


class ForgetConnection(Struct, frozen=True):
    """Not any more; one that has come and was not handed over is closed."""

    ticket: int


class HandOver(Struct, frozen=True):
    """The connection of `ticket` goes to the worker. `ready` lacks only the token of the descriptor."""

    ticket: int
    worker: str
    ready: ConnectionReady


Action = (
    SendRequest | SendPlaceRequest | SendAnswer | NoteUpload | ExpectConnection | ForgetConnection | HandOver | Post
)
