"""One event as tools read it: the same object in a page, in a stream, in the body of a webhook and for a script."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel, Field

from protocol.messages import EventOccurred
from protocol.model.job_views import EventEntry

VERSION: Final = 1
"""Of these objects; a member that changes its meaning makes it 2."""


class Event(BaseModel):
    """Something that happened."""

    id: int = Field(ge=0, description="Rises by one with each event that is kept; 0 for progress, which is not kept.")
    timestamp: str = Field(description="When, UTC, ISO 8601 with milliseconds and Z.", max_length=30)
    type: str = Field(description="What, as in GET /api/v0/events/kinds.", max_length=40)
    job: str = Field(description="Id of the job it is about, empty: of none.", max_length=36)
    version: int = Field(description="Of the form of these objects.", ge=1)
    data: dict[str, Any] = Field(description="What belongs to this type of event.")


def plain(event: EventOccurred | EventEntry) -> dict[str, Any]:
    """The members of an `Event`."""
    return {
        "id": event.serial,
        "timestamp": timestamp(event.at_ms),
        "type": event.kind,
        "job": event.id,
        "version": VERSION,
        "data": msgspec.json.decode(event.data) if event.data else {},
    }


def written(event: EventOccurred | EventEntry) -> bytes:
    """The same as JSON, in one line."""
    return msgspec.json.encode(plain(event))


def timestamp(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
