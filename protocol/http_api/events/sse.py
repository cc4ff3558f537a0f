"""Events as they happen, as server-sent events (the WHATWG HTML standard's text/event-stream).

A kept event has its serial as ``id``: a client that comes back with it as ``Last-Event-ID`` gets everything since.
Progress has none. A reader that does not keep up is waited for; what it misses of progress meanwhile it never gets,
what is kept it gets later. Nobody who downloads notices.
"""

from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from protocol.http_api.events.replay_feed import Feed, newest
from protocol.http_api.events.serializers import written
from protocol.http_api.gateway import Gateway, Listener, UnavailableError
from protocol.messages import EventOccurred
from protocol.model.event_kinds import JOB_PROGRESSED
from protocol.model.job_views import EventEntry

BEAT_S: Final = 15.0
"""After so long without an event comes a line that says nothing: proxies close what is silent."""
RETRY_MS: Final = 2000


class Wanted:
    """Which events a client wants. Empty: every one."""

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
    """`last`: the serial the client has seen, -1: it wants only what comes from now on."""

    def __init__(self, desk: Gateway, wanted: Wanted, *, last: int) -> None:
        self._desk = desk
        self._wanted = wanted
        self._last = last
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(iter(()), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """RequestRefused before it begins when too many listen; the listener is given back however it ends."""
        with self._desk.listen() as listener:
            last = self._last if self._last >= 0 else await newest(self._desk)
            self.body_iterator = self._told(listener, last)
            await super().__call__(scope, receive, send)

    async def _told(self, listener: Listener, last: int) -> AsyncIterator[bytes]:
        feed = Feed(self._desk, listener, last=last)
        yield b"retry: %d\n\n" % RETRY_MS
        try:
            if self._last >= 0:
                async for old in feed.missed():
                    if self._wanted(old):
                        yield _lines(old)
            while True:
                silent = True
                async for event in feed.next(wait_s=BEAT_S):
                    silent = False
                    if self._wanted(event):
                        yield _lines(event)
                if silent:
                    yield b": beat\n\n"
        except UnavailableError:
            return


def _lines(event: EventOccurred | EventEntry) -> bytes:
    number = b"id: %d\n" % event.serial if event.serial else b""
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.kind.encode(), written(event))
