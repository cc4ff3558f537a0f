"""Gapless event feed: recorded events in order, replayed where the live stream has a hole, and their JSON form.

The live stream may have holes: a reader that did not keep up, a job manager that was replaced. A hole shows in the
serials, and what belongs there is read from the record.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel, Field

from protocol.http_api.gateway import Gateway, Listener, UnavailableError
from protocol.messages import EventOccurred, GetCounts, ListEvents
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_records import EventEntry
from protocol.model.job_views import Counts

PAGE: Final = 200
RETRY_S: Final = 1.0
"""Until a job manager that is away is asked again."""


VERSION: Final = 1
"""Of the form of an `Event`; a member that changes its meaning makes it 2."""


class Event(BaseModel):
    """Something that happened."""

    id: int = Field(ge=0, description="Rises by one with each event that is kept; 0 for progress, which is not kept.")
    timestamp: str = Field(description="When, UTC, ISO 8601 with milliseconds and Z.", max_length=30)
    type: str = Field(description="What, as in GET /api/v0/events/kinds.", max_length=40)
    job: str = Field(description="Id of the job it is about, empty: of none.", max_length=36)
    version: int = Field(description="Of the form of these objects.", ge=1)
    data: dict[str, Any] = Field(description="What belongs to this type of event.")


def plain(event: EventOccurred | EventEntry) -> dict[str, Any]:
    """Return the members of an `Event`."""
    return {
        "id": event.serial,
        "timestamp": timestamp(event.at_ms),
        "type": event.kind,
        "job": event.id,
        "version": VERSION,
        "data": msgspec.json.decode(event.data) if event.data else {},
    }


def encoded(event: EventOccurred | EventEntry) -> bytes:
    """Return the same as JSON in one line."""
    return msgspec.json.encode(plain(event))


def timestamp(at_ms: int) -> str:
    """Return ISO 8601 in UTC with milliseconds and Z."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Feed:
    """A reader's position in the events. `last`: serial of the newest recorded event that was given out or skipped."""

    def __init__(self, gateway: Gateway, listener: Listener, *, last: int) -> None:
        self._gateway = gateway
        self._listener = listener
        self.last = last

    async def next(self, *, wait_s: float) -> AsyncIterator[EventOccurred | EventEntry]:
        """Yield what there is after at most `wait_s`: nothing, an event, or all that was missed.

        Raises `UnavailableError` when the gateway closes.
        """
        news = await self._listener.next(wait_s=wait_s)
        if isinstance(news, EventOccurred) and not news.serial:
            yield news
        elif isinstance(news, EventOccurred) and news.serial == self.last + 1:
            self.last = news.serial
            yield news
        elif isinstance(news, int) or (isinstance(news, EventOccurred) and news.serial > self.last):
            async for event in self.missed():
                yield event

    async def missed(self) -> AsyncIterator[EventEntry]:
        """Yield everything recorded that is newer than `last`. Waits for a job manager that is away."""
        while True:
            page = await self._page()
            for event in page:
                self.last = event.serial
                yield event
            if len(page) < PAGE:
                return

    async def _page(self) -> list[EventEntry]:
        while True:
            try:
                answer = await self._gateway.ask(JOB_MANAGER, ListEvents(after=self.last, offset=0, limit=PAGE))
                return answer.rows(EventEntry)
            except UnavailableError:
                if self._gateway.closing.is_set():
                    raise
                await self._gateway.pause(RETRY_S)


async def newest(gateway: Gateway) -> int:
    """Return the serial of the newest recorded event."""
    answer = await gateway.ask(JOB_MANAGER, GetCounts())
    return answer.row(Counts).last_serial
