"""Webhook and script runner: at-least-once delivery of events to each hook, in order, from its own bookmark.

The job manager stores each hook's bookmark under its name, so events that happened while the hook, this process or the
daemon was away are delivered later. A new hook begins with what happens from then on. A failed delivery is retried with
back-off; after its `attempts` that event is given up with a line in the log. Hooks do not wait for each other.
"""

import asyncio
import logging
from typing import Final

import httpx

from protocol.config.settings import Script, Webhook
from protocol.http_api.events.hook_delivery import NotDelivered, post_webhook, run_script
from protocol.http_api.events.replay_feed import encoded, newest
from protocol.http_api.gateway import Answer, Gateway, RefusedError, UnavailableError
from protocol.messages import EventOccurred, GetBookmark, ListEvents, SetBookmark
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.event_kinds import FLEETING
from protocol.model.job_records import EventEntry
from protocol.model.job_views import Bookmark

_logger = logging.getLogger(__name__)

PAGE: Final = 50
RECONFIGURE_S: Final = 5.0
"""Period of adapting to the configured hooks."""
AWAY_S: Final = 1.0
"""Until a job manager that is away is asked again."""
RETRY_FIRST_S: Final = 1.0
RETRY_S_MAX: Final = 600.0

Hook = Webhook | Script


async def run_hooks(gateway: Gateway) -> None:
    """Run one task for each configured hook, as long as the application lives."""
    running: dict[Hook, _HookTask] = {}
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
        try:
            while True:
                _adapt(gateway, client, running)
                await _wake(gateway, list(running.values()))
        except UnavailableError:
            return  # the daemon is stopping
        finally:
            for one in running.values():
                one.task.cancel()
            await asyncio.gather(*(one.task for one in running.values()), return_exceptions=True)


def wants(hook: Hook, kind: str) -> bool:
    """Return whether a hook wants this kind. Progress is not recorded, so no hook gets it."""
    return kind in hook.events if hook.events else kind not in FLEETING


def retry_s(attempt: int) -> float:
    """Return the back-off after this many failed attempts."""
    return min(RETRY_FIRST_S * 2.0 ** min(attempt - 1, 30), RETRY_S_MAX)


def _adapt(gateway: Gateway, client: httpx.AsyncClient, running: "dict[Hook, _HookTask]") -> None:
    """Start and stop tasks so that exactly the configured hooks are served."""
    wanted: tuple[Hook, ...] = (*gateway.settings.webhooks, *gateway.settings.scripts)
    for hook in [hook for hook in running if hook not in wanted]:
        running.pop(hook).task.cancel()
    for hook in wanted:
        if hook not in running:
            running[hook] = _HookTask(gateway, client, hook)


async def _wake(gateway: Gateway, running: "list[_HookTask]") -> None:
    """Wake the hooks at every recorded event, until it is time to read the configuration again."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + RECONFIGURE_S
    try:
        with gateway.listen() as listener:
            while running and (left_s := due_s - loop.time()) > 0:
                event = await listener.next(wait_s=left_s)
                if isinstance(event, int) or (isinstance(event, EventOccurred) and event.serial):
                    for one in running:
                        one.news.set()
    except RefusedError:
        pass  # too many listen: then the hooks are woken by time alone
    await gateway.pause(max(0.0, due_s - loop.time()))
    for one in running:
        one.news.set()  # between two listeners something may have happened


class _HookTask:
    """The delivery loop of one hook, in `task`; `news` wakes it."""

    def __init__(self, gateway: Gateway, client: httpx.AsyncClient, hook: Hook) -> None:
        self._gateway = gateway
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
                if not await self._deliver_page():
                    await self.news.wait()
            except (UnavailableError, RefusedError):
                await self._gateway.pause(AWAY_S)

    async def _begin(self) -> None:
        answer = await self._gateway.ask(JOB_MANAGER, GetBookmark(name=self._name))
        self._last = answer.row(Bookmark).serial
        if self._last < 0:
            await self._advance(await newest(self._gateway))

    async def _deliver_page(self) -> bool:
        """Deliver the next page of events. Returns whether there was any."""
        answer = await self._page()
        events = answer.rows(EventEntry)
        for event in events:
            if wants(self._hook, event.kind):
                await self._deliver(event)
                await self._advance(event.serial)
        if events and events[-1].serial != self._last:
            await self._advance(events[-1].serial)
        return bool(events)

    async def _page(self) -> Answer:
        return await self._gateway.ask(JOB_MANAGER, ListEvents(after=self._last, offset=0, limit=PAGE))

    async def _advance(self, serial: int) -> None:
        await self._gateway.ask(JOB_MANAGER, SetBookmark(name=self._name, serial=serial))
        self._last = serial

    async def _deliver(self, event: EventEntry) -> None:
        """Deliver one event, with retries, or give it up."""
        hook, body = self._hook, encoded(event)
        attempts = hook.attempts if isinstance(hook, Webhook) else 1
        for attempt in range(1, attempts + 1):
            try:
                if isinstance(hook, Webhook):
                    await post_webhook(self._client, hook, serial=event.serial, kind=event.kind, body=body)
                else:
                    await run_script(hook, kind=event.kind, body=body)
            except NotDelivered as failed:
                if attempt == attempts or failed.final:
                    _logger.error("%s: event %d (%s) given up: %s", self._name, event.serial, event.kind, failed)
                    return
                _logger.warning("%s: event %d, attempt %d: %s", self._name, event.serial, attempt, failed)
                await self._gateway.pause(retry_s(attempt))
            else:
                return
