"""Record events in order and without a gap, whoever was away meanwhile, and fleeting ones between them.

What is heard as it happens may have holes: a reader that did not keep up, a job manager that was replaced. A hole shows
in the serials, and what belongs there is asked for.
"""

from collections.abc import AsyncIterator
from typing import Final

from protocol.http_api.gateway import Gateway, Listener, UnavailableError
from protocol.messages import EventOccurred, GetCounts, ListEvents
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_views import Counts, EventEntry

PAGE: Final = 200
AGAIN_S: Final = 1.0
"""So long until a job manager that is away is asked again."""


class Feed:
    """`last`: the serial of the newest kept event that was given out, or that nobody wants any more."""

    def __init__(self, desk: Gateway, listener: Listener, *, last: int) -> None:
        self._desk = desk
        self._listener = listener
        self.last = last

    async def next(self, *, wait_s: float) -> AsyncIterator[EventOccurred | EventEntry]:
        """What there is after at most `wait_s`: nothing, an event, or all that was missed. Raises `UnavailableError`
        when the desk closes."""
        heard = await self._listener.next(wait_s=wait_s)
        if isinstance(heard, EventOccurred) and not heard.serial:
            yield heard
        elif isinstance(heard, EventOccurred) and heard.serial == self.last + 1:
            self.last = heard.serial
            yield heard
        elif isinstance(heard, int) or (isinstance(heard, EventOccurred) and heard.serial > self.last):
            async for event in self.missed():
                yield event

    async def missed(self) -> AsyncIterator[EventEntry]:
        """Everything that is kept and newer than `last`. Waits for a job manager that is away."""
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
                answer = await self._desk.ask(
                    JOB_MANAGER,
                    lambda number, address: ListEvents(
                        request=number, reply_to=address, after=self.last, offset=0, limit=PAGE
                    ),
                )
                return answer.rows(EventEntry)
            except UnavailableError:
                if self._desk.closing.is_set():
                    raise
                await self._desk.pause(AGAIN_S)


async def newest(desk: Gateway) -> int:
    """The serial of the newest event there is."""
    answer = await desk.ask(JOB_MANAGER, lambda number, address: GetCounts(request=number, reply_to=address))
    return answer.row(Counts).last_serial
