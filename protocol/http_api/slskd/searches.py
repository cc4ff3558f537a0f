"""slskd routes of searches: started at once, received in the background, kept until they are deleted.

A search that exceeds the session's ration, or the number that run at once, waits for it; its state is ``InProgress``
meanwhile, because clients read everything else as finished. The list of searches is this process's own and dies with
it.
"""

import asyncio
import time
import uuid
from typing import Final

from fastapi import APIRouter, HTTPException

from protocol.http_api.gateway import Gateway, PendingRequest, RefusedError, UnavailableError
from protocol.http_api.slskd import formatting, search_state
from protocol.http_api.slskd.schemas import (
    CompactRouter,
    IncludeResponses,
    Search,
    SearchBody,
    SearchId,
    SearchResponse,
    errors,
)
from protocol.http_api.slskd.search_state import Searches, SearchState
from protocol.messages import CancelSearch, SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import SESSION, split_address

RUNNING_MAX: Final = 12
"""On the network at once; others wait for their turn, in order."""
UNENDED_MAX: Final = 100
"""Running and waiting."""
RETRY_AFTER_S: Final = 5
LATE_S: Final = 15.0
"""Grace after a search should have ended; longest is the wait for a login."""
BUDGET_S_MAX: Final = 900.0
"""Longest total time of a search, most of it waiting for the ration: by default 34 in 220 s."""
PAUSE_S_MIN: Final = 0.5


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


class Searcher:
    """Runner of searches: owns them and the task of each that runs."""

    def __init__(self, gateway: Gateway) -> None:
        self.searches: Final = Searches()
        self._gateway = gateway
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running = asyncio.Semaphore(RUNNING_MAX)

    def begin(self, asked: SearchBody) -> SearchState:
        """Start a search. Raises what the client gets as an error."""
        id = _id_of(asked)
        if self.searches.get(id) is not None:
            raise RefusedError("invalid", "id", "a search with this id exists already")
        session = self._gateway.session
        if session is None or session.state != "online" or split_address(SESSION)[0] in self._gateway.away:
            why = (session.detail or session.state if session is not None else "") or "no login"
            raise RefusedError("conflict", "", f"not logged in to Soulseek: {why}")
        if self.searches.running() >= UNENDED_MAX:
            raise HTTPException(429, f"{UNENDED_MAX} searches are waiting", headers={"Retry-After": str(RETRY_AFTER_S)})
        found = self.searches.add(asked, id=id, now_ms=now_ms())
        task = self._tasks[id] = asyncio.create_task(self._run(found))
        task.add_done_callback(lambda _: self._tasks.pop(id, None))
        return found

    def stop(self, found: SearchState) -> None:
        """Stop a search; what was found stays readable."""
        found.end(search_state.CANCELLED, now_ms=now_ms())
        task = self._tasks.get(found.id)
        if task is not None:
            task.cancel()

    async def _run(self, found: SearchState) -> None:
        try:
            async with asyncio.timeout(BUDGET_S_MAX), self._running:
                pause_s = await self._search(found)
                while pause_s > 0:
                    await asyncio.sleep(max(pause_s, PAUSE_S_MIN))
                    pause_s = await self._search(found)
        except (UnavailableError, RefusedError, TimeoutError):
            pass
        finally:
            found.end(search_state.ERRORED, now_ms=now_ms())

    async def _search(self, found: SearchState) -> float:
        """Search once and receive to the end. Returns the seconds until it may be repeated, 0 when it is over."""
        with self._gateway.open_request() as pending:
            asked = StartSearch(
                search=pending.number, term=found.asked.search_text, wait_s=found.wait_s, reply_to=self._gateway.address
            )
            pending.post(SESSION, asked)
            try:
                return await _receive(pending, found)
            finally:
                if found.over and found.state != search_state.TIMED_OUT and not self._gateway.closing.is_set():
                    self._leave(pending.number)

    def _leave(self, search: int) -> None:
        self._gateway.post(SESSION, CancelSearch(search=search, reply_to=self._gateway.address))


async def _receive(pending: PendingRequest, found: SearchState) -> float:
    loop = asyncio.get_running_loop()
    due_s = loop.time() + found.wait_s + LATE_S
    while not found.over:
        reply = await pending.next(wait_s=due_s - loop.time())
        match reply:
            case SearchHit():
                found.receive(reply, now_ms=now_ms())
            case SearchEnded(refused="") | None:
                found.end(search_state.TIMED_OUT, now_ms=now_ms())
            case SearchEnded(retry_after_s=retry_after_s):
                return retry_after_s
            case _:
                pass
    return 0.0


def searcher_of(gateway: Gateway) -> Searcher:
    """Return the searcher that all routes of this gateway share."""
    searcher: Searcher = gateway.shared.setdefault("searcher", Searcher(gateway))
    return searcher


def _id_of(asked: SearchBody) -> str:
    if not asked.id:
        return str(uuid.uuid4())
    return formatting.guid(asked.id) or asked.id


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = CompactRouter(prefix="/api/v0/searches", tags=["slskd"])
    searcher = searcher_of(gateway)
    searches = searcher.searches

    def known(id: str) -> SearchState:
        found = searches.get(formatting.guid(id) or "")
        if found is None:
            raise RefusedError("unknown", "", "no such search")
        return found

    @routes.post("", summary="Search the Soulseek network", responses=errors(400, 409, 429))
    async def begin(asked: SearchBody) -> Search:
        return searcher.begin(asked).view(responses=False)

    @routes.get("", summary="All searches that are still known")
    async def all_of_them() -> list[Search]:
        return [found.view(responses=False) for found in searches.all()]

    @routes.get("/{id}", summary="A search and how far it is", responses=errors(404))
    async def one(id: SearchId, includeResponses: IncludeResponses = False) -> Search:  # noqa: N803 - as clients write it
        return known(id).view(responses=includeResponses)

    @routes.get("/{id}/responses", summary="What was found so far", responses=errors(404))
    async def responses(id: SearchId) -> list[SearchResponse]:
        return known(id).responses()

    @routes.put("/{id}", summary="Stop a search; what it found stays", responses=errors(404))
    async def stop(id: SearchId) -> Search:
        searcher.stop(known(id))
        return known(id).view(responses=False)

    @routes.delete("/{id}", status_code=204, summary="Stop and forget a search", responses=errors(404))
    async def forget(id: SearchId) -> None:
        found = known(id)
        searcher.stop(found)
        searches.remove(found.id)

    return routes
