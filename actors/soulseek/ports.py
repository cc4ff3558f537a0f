"""The seam between the network and the talk: what peers say, and what can be said to them. No word of aioslsk here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.model.faults import FaultKind

Line = Any
"""A P connection to a peer. Opaque: only whoever made it looks inside."""


class PeerAway(Exception):  # noqa: N818
    """There is no way to the peer, or what was said did not get through. `detail` is one line for people."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of a reply, unchecked. `attributes` are ``(key, value)`` pairs that say how it sounds."""

    path: str
    size_bytes: int
    locked: bool = False
    attributes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One peer's answer to a search."""

    ticket: int
    peer: str
    files: Iterable[FoundFile]
    slots_free: bool
    speed_bytes_s: int
    queue_length: int


class Ports(Protocol):
    """Hears what peers say. Called in the loop's thread; bounded, and never fails because of a peer's words."""

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, line: Line) -> None:
        """TransferRequest: the peer would send now. `size_bytes` -1: it does not say."""

    def denied(self, peer: str, path: str, reason: str) -> None: ...
    def upload_failed(self, peer: str, path: str) -> None: ...
    def place_told(self, peer: str, path: str, place: int) -> None: ...
    def replied(self, reply: Reply) -> None: ...
    def file_connection(self, connection: Any) -> None:
        """An F connection that has not yet told its ticket; the hearer owns it."""

    def is_busy(self, peer: str) -> bool:
        """Whether its P connections are needed."""


class Lines(Protocol):
    """Says things to peers. Every failure is a `PeerAway`, within bounded time."""

    async def line(self, peer: str) -> Line:
        """The P connection there is, else a new one, direct or indirect."""

    async def queue_upload(self, line: Line, path: str) -> None: ...
    async def ask_place(self, line: Line, path: str) -> None: ...
    async def answer(self, line: Line, ticket: int, *, allowed: bool) -> None:
        """TransferResponse; not allowed: ``Cancelled``."""
