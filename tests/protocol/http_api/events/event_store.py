"""The job manager as far as events go, played: what it keeps, and how it answers."""

import json
from collections.abc import Iterable
from typing import Any

from protocol.http_api.gateway import GatewayInbox
from protocol.messages import (
    EventOccurred,
    GetBookmark,
    GetCounts,
    ListEvents,
    RequestRefused,
    SetBookmark,
)
from protocol.model.event_kinds import FLEETING
from protocol.model.job_records import EventEntry
from protocol.model.job_views import Bookmark, Counts
from tests.protocol.http_api.serving import answered

JOB = "3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"
AT_MS = 1_790_000_000_123


class Book:
    """Give `answer` to `serving`. `away`: can answer nothing now."""

    def __init__(self) -> None:
        self.events: list[EventEntry] = []
        self.bookmarks: dict[str, int] = {}
        self.away = False

    def happened(self, kind: str, *, id: str = JOB, **data: Any) -> EventOccurred:
        """The event as those hear it who listen; kept, if it is of those."""
        shown = json.dumps(data).encode()
        serial = 0
        if kind not in FLEETING:
            serial = len(self.events) + 1
            self.events.append(EventEntry(serial=serial, at_ms=AT_MS, kind=kind, id=id, data=shown))
        return EventOccurred(serial=serial, at_ms=AT_MS, kind=kind, id=id, data=shown)

    def answer(self, _to: str, message: Any) -> Iterable[GatewayInbox]:
        if self.away:
            number = getattr(message, "request", 0)
            return [RequestRefused(request=number, kind="unavailable", field="", detail="away")]
        match message:
            case ListEvents(after=after, offset=offset, limit=limit):
                newer = [event for event in self.events if event.serial > after] if after >= 0 else self.events[::-1]
                return answered(message.request, newer[offset : offset + limit], total=len(newer))
            case GetCounts():
                return answered(message.request, [self.counts()])
            case GetBookmark(name=name):
                return answered(message.request, [Bookmark(name=name, serial=self.bookmarks.get(name, -1))])
            case SetBookmark(name=name, serial=serial):
                self.bookmarks[name] = serial
                return answered(message.request)
            case _:
                return ()

    def counts(self) -> Counts:
        fields: dict[str, Any] = dict.fromkeys(Counts.__struct_fields__, 0)
        return Counts(**{**fields, "active": 3, "rate_bytes_s": 1.5, "schedule": (), "last_serial": len(self.events)})
