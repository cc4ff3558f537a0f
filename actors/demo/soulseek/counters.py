"""What an uploader has seen and done: the numbers by which a downloader's manners are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal[
    "offered",
    "refused",
    "unanswered",
    "unreachable",
    "flowing",
    "finished",
    "stopped",
    "idle",
    "refused_offset",
    "ended",
]
"""How far a transfer has come, or how it ended:

* `offered`, `flowing`: under way. `refused`: the downloader denied the offer. `unanswered`: nor did it accept it.
* `unreachable`: no connection to the downloader. `finished`: it closed after the last byte.
* `stopped`: it closed before. `idle`: it took nothing for too long. `refused_offset`, `ended`: the uploader's doing,
  because of its character or because it died.
"""


@dataclass(slots=True)
class Sent:
    """One transfer, from its offer on. `bytes_sent` are those the kernel took, from `offset` on."""

    user: str
    path: str
    ticket: int
    offset: int = 0
    bytes_sent: int = 0
    outcome: Outcome = "offered"


@dataclass(slots=True)
class Count:
    """Everything since the box began, through all lives of the uploader."""

    searches: int = 0
    """Searches that found something here, answered or not."""
    asked: int = 0
    """QueueUploads (and old-style requests) received, for whatever file."""
    denied: int = 0
    lost: int = 0
    """QueueUploads that were silently dropped: too early after a stop, or for what is queued or flows already."""
    places_asked: int = 0
    upload_failed: int = 0
    """UploadFailed messages sent."""
    transfers: list[Sent] = field(default_factory=list)

    @classmethod
    def told(cls, fields: dict[str, Any]) -> Count:
        """From what `dataclasses.asdict` made of one."""
        return cls(**{**fields, "transfers": [Sent(**sent) for sent in fields["transfers"]]})

    @property
    def bytes_sent(self) -> int:
        return sum(sent.bytes_sent for sent in self.transfers)

    @property
    def started(self) -> int:
        """Transfers whose offset was received: requests that cost the uploader a slot."""
        return sum(sent.outcome in ("flowing", "finished", "stopped", "idle", "ended") for sent in self.transfers)

    @property
    def stops(self) -> int:
        """Early closes by the downloader."""
        return sum(sent.outcome == "stopped" for sent in self.transfers)

    @property
    def finished(self) -> int:
        return sum(sent.outcome == "finished" for sent in self.transfers)

    @property
    def failed(self) -> int:
        """Uploads its user would find as cancelled or failed in the list."""
        return sum(sent.outcome in ("stopped", "idle", "refused_offset", "unreachable") for sent in self.transfers)
