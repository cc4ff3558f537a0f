"""Counters of an uploader: the numbers by which a downloader's manners are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors.demo.soulseek.upload import Transfer as Sent

__all__ = ["Count", "Sent"]


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
    def from_fields(cls, fields: dict[str, Any]) -> Count:
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
