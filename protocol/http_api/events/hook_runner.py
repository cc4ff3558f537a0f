"""Webhooks and scripts: each is told of every event it wants, in order, at least once, also of those that happened
while it, this process or the daemon was away.

How far each has come is kept by the job manager under its name. A hook that is new begins with what happens from then
on. One that cannot be told is tried again, later each time; after its `attempts` that event is given up with a line in
the log, and the next one is tried. Hooks do not wait for each other, downloads for none of them.
"""

import asyncio
import logging
from typing import Final

import httpx

from protocol.config.settings import Script, Webhook
from protocol.http_api.events.replay_feed import newest
from protocol.http_api.events.script import ScriptFailed, run
from protocol.http_api.events.serializers import written
from protocol.http_api.events.webhook import NotDelivered, deliver
from protocol.http_api.gateway import Answer, Gateway, RefusedError, UnavailableError
from protocol.messages import EventOccurred, GetBookmark, ListEvents, SetBookmark
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.event_kinds import FLEETING
from protocol.model.job_views import Bookmark, EventEntry

_logger = logging.getLogger(__name__)

PAGE: Final = 50
LOOK_S: Final = 5.0
"""So often it is looked whether there are other hooks now."""
AWAY_S: Final = 1.0
"""So long until a job manager that is away is asked again."""
RETRY_FIRST_S: Final = 1.0
RETRY_S_MAX: Final = 600.0

Hook = Webhook | Script


async def hooks(desk: Gateway) -> None:
    """As long as the application lives: one task for each hook of the configuration that holds now."""
    running: dict[Hook, _Serving] = {}
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
        try:
            while True:
                _adapt(desk, client, running)
                await _rouse(desk, list(running.values()))
        except UnavailableError:
            return  # the daemon is stopping
        finally:
            for one in running.values():
                one.task.cancel()
            await asyncio.gather(*(one.task for one in running.values()), return_exceptions=True)


def wants(hook: Hook, kind: str) -> bool:
    """Progress is only for those who named it; it is not kept, so nobody gets it here."""
    return kind in hook.events if hook.events else kind not in FLEETING


def retry_s(attempt: int) -> float:
    """How long to wait after this many attempts that failed."""
    return min(RETRY_FIRST_S * 2.0 ** min(attempt - 1, 30), RETRY_S_MAX)


def _adapt(desk: Gateway, client: httpx.AsyncClient, running: "dict[Hook, _Serving]") -> None:
    """Serve exactly the hooks that are configured now."""
    wanted: tuple[Hook, ...] = (*desk.settings.webhooks, *desk.settings.scripts)
    for hook in [hook for hook in running if hook not in wanted]:
        running.pop(hook).task.cancel()
    for hook in wanted:
        if hook not in running:
            running[hook] = _Serving(desk, client, hook)


async def _rouse(desk: Gateway, running: "list[_Serving]") -> None:
    """Wake the hooks at everything that is kept, until it is time to look at the configuration again."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + LOOK_S
    try:
        with desk.listen() as listener:
            while running and (left_s := due_s - loop.time()) > 0:
                heard = await listener.next(wait_s=left_s)
                if isinstance(heard, int) or (isinstance(heard, EventOccurred) and heard.serial):
                    for one in running:
                        one.news.set()
    except RefusedError:
        pass  # too many listen: then it is looked now and then
    await desk.pause(max(0.0, due_s - loop.time()))
    for one in running:
        one.news.set()  # between two listeners something may have happened


class _Serving:
    """One hook being served by its `task`; `news` wakes it."""

    def __init__(self, desk: Gateway, client: httpx.AsyncClient, hook: Hook) -> None:
        self._desk = desk
        self._client = client
        self._hook = hook
        self._name = f"{'webhook' if isinstance(hook, Webhook) else 'script'} {hook.name}"
        self._last = -1
        self.news = asyncio.Event()
        self.task = asyncio.ensure_future(self._serve())

    async def _serve(self) -> None:
        while True:
            try:
                if self._last < 0:
                    await self._begin()
                self.news.clear()
                if not await self._told_of_some():
                    await self.news.wait()
            except (UnavailableError, RefusedError):
                await self._desk.pause(AWAY_S)

    async def _begin(self) -> None:
        answer = await self._desk.ask(
            JOB_MANAGER, lambda number, to: GetBookmark(request=number, reply_to=to, name=self._name)
        )
        self._last = answer.row(Bookmark).serial
        if self._last < 0:
            await self._come_to(await newest(self._desk))

    async def _told_of_some(self) -> bool:
        """Whether there was anything new."""
        answer = await self._page()
        events = answer.rows(EventEntry)
        for event in events:
            if wants(self._hook, event.kind):
                await self._tell(event)
                await self._come_to(event.serial)
        if events and events[-1].serial != self._last:
            await self._come_to(events[-1].serial)
        return bool(events)

    async def _page(self) -> Answer:
        return await self._desk.ask(
            JOB_MANAGER,
            lambda number, to: ListEvents(request=number, reply_to=to, after=self._last, offset=0, limit=PAGE),
        )

    async def _come_to(self, serial: int) -> None:
        await self._desk.ask(
            JOB_MANAGER, lambda number, to: SetBookmark(request=number, reply_to=to, name=self._name, serial=serial)
        )
        self._last = serial

    async def _tell(self, event: EventEntry) -> None:
        """Until it has taken it, or it is given up."""
        hook, body = self._hook, written(event)
        attempts = hook.attempts if isinstance(hook, Webhook) else 1
        for attempt in range(1, attempts + 1):
            try:
                if isinstance(hook, Webhook):
                    await deliver(self._client, hook, serial=event.serial, kind=event.kind, body=body)
                else:
                    await run(hook, kind=event.kind, body=body)
            except (NotDelivered, ScriptFailed) as failed:
                if attempt == attempts or (isinstance(failed, NotDelivered) and failed.final):
                    _logger.error("%s: event %d (%s) given up: %s", self._name, event.serial, event.kind, failed)
                    return
                _logger.warning("%s: event %d, attempt %d: %s", self._name, event.serial, attempt, failed)
                await self._desk.pause(retry_s(attempt))
            else:
                return
