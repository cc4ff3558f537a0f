"""Interface between the network and the negotiations, searches and queries: what peers send and can be sent.

Nothing of aioslsk is seen here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.model.faults import FaultKind

Connection = Any
"""A P connection to a peer. Opaque: only the network looks inside."""


class PeerAway(Exception):  # noqa: N818
    """There is no way to the peer, or a message did not get through. `detail` is one line for people."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of a search reply, unchecked. `attributes` are ``(key, value)`` pairs about the sound."""

    path: str
    size_bytes: int
    locked: bool = False
    attributes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReply:
    """One peer's answer to a search."""

    ticket: int
    peer: str
    files: Iterable[FoundFile]
    slots_free: bool
    speed_bytes_s: int
    queue_length: int


class PeerEvents(Protocol):
    """Receiver of what peers send. Called in the loop's thread; bounded, and never fails because of a peer's text."""

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, connection: Connection) -> None:
        """TransferRequest: the peer would send now. `size_bytes` -1: not said."""

    def denied(self, peer: str, path: str, reason: str) -> None: ...
    def upload_failed(self, peer: str, path: str) -> None: ...
    def place_reported(self, peer: str, path: str, place: int) -> None: ...
    def search_replied(self, reply: SearchReply) -> None: ...
    def file_connected(self, connection: Any) -> None:
        """An F connection whose ticket is not read yet; the receiver owns it."""

    def is_busy(self, peer: str) -> bool:
        """Whether its P connections are needed."""


class PeerMessages(Protocol):
    """Sender of messages to peers. Every failure is a `PeerAway`, within bounded time."""

    async def connection_to(self, peer: str) -> Connection:
        """The P connection there is, else a new one, direct or indirect."""

    async def request_file(self, connection: Connection, path: str, encoding: str) -> None:
        """QueueUpload, with the name in this encoding."""

    async def request_place(self, connection: Connection, path: str, encoding: str) -> None:
        """PlaceInQueueRequest."""

    async def listed_size(self, peer: str, path: str) -> int:
        """Size of the file in the peer's list of its folder; -1: it does not say. Never a `PeerAway`."""

    async def answer_offer(self, connection: Connection, ticket: int, *, allowed: bool) -> None:
        """TransferResponse; not allowed: ``Cancelled``."""
