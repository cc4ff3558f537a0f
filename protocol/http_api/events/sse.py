"""Server-sent events (WHATWG text/event-stream): the live feed with replay by ``Last-Event-ID``.

A recorded event has its serial as ``id``: a client that comes back with it as ``Last-Event-ID`` gets everything since.
Progress has none. A slow reader is waited for: it loses progress meanwhile, recorded events come later.
"""

from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from protocol.http_api.events.replay_feed import Feed, encoded, newest
from protocol.http_api.gateway import Gateway, Listener, UnavailableError
from protocol.messages import EventOccurred
from protocol.model.event_kinds import JOB_PROGRESSED
from protocol.model.job_records import EventEntry

BEAT_S: Final = 15.0
"""Silence after which a comment line is sent: proxies close idle connections."""
BEAT: Final = b": beat\n\n"
RETRY_MS: Final = 2000
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Filter:
    """A client's selection of events. Empty members: every event."""

    def __init__(self, *, job: str = "", kinds: tuple[str, ...] = (), progress: bool = True) -> None:
        self._job = job
        self._kinds = kinds
        self._progress = progress

    def __call__(self, event: EventOccurred | EventEntry) -> bool:
        return (
            (not self._job or event.id == self._job)
            and (not self._kinds or event.kind in self._kinds)
            and (self._progress or event.kind != JOB_PROGRESSED)
        )


class EventStream(StreamingResponse):
    """A streaming response. `last`: the serial that the client has seen, -1: only what comes from now on."""

    def __init__(self, gateway: Gateway, selected: Filter, *, last: int) -> None:
        self._gateway = gateway
        self._filter = selected
        self._last = last
        super().__init__(iter(()), media_type="text/event-stream", headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises `RefusedError` before it begins when too many listen."""
        with self._gateway.listen() as listener:
            last = self._last if self._last >= 0 else await newest(self._gateway)
            self.body_iterator = self._blocks(listener, last)
            await super().__call__(scope, receive, send)

    async def _blocks(self, listener: Listener, last: int) -> AsyncIterator[bytes]:
        feed = Feed(self._gateway, listener, last=last)
        yield b"retry: %d\n\n" % RETRY_MS
        try:
            if self._last >= 0:
                async for old in feed.missed():
                    if self._filter(old):
                        yield _lines(old)
            while True:
                silent = True
                async for event in feed.next(wait_s=BEAT_S):
                    silent = False
                    if self._filter(event):
                        yield _lines(event)
                if silent:
                    yield BEAT
        except UnavailableError:
            return


def _lines(event: EventOccurred | EventEntry) -> bytes:
    number = b"id: %d\n" % event.serial if event.serial else b""
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.kind.encode(), encoded(event))
