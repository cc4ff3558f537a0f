"""Searches: begun at once, heard in the background, kept until they are forgotten.

A search that the session's budget has no room for waits for it; its state is ``InProgress`` meanwhile, because clients
read everything else as finished. The list of searches is this process's own and dies with it.
"""

import asyncio
import time
import uuid
from typing import Final

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from protocol.http_api.gateway import Gateway, PendingRequest, RefusedError, UnavailableError
from protocol.http_api.slskd import formatting, schemas, search_state
from protocol.http_api.slskd.schemas import SearchBody, answer
from protocol.http_api.slskd.search_state import Finding, Findings
from protocol.messages import CancelSearch, SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import SESSION, split_address

RUNNING_MAX: Final = 12
RETRY_AFTER_S: Final = 5
LATE_S: Final = 15.0
"""So much later than it should a search may end; longest is the wait for a login."""
BUDGET_S_MAX: Final = 600.0
"""A search may take so long altogether, most of it waiting for room in the budget."""
PAUSE_S_MIN: Final = 0.5


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Searcher:
    """Owns the searches and the task of each that runs. Lives in the desk's loop."""

    def __init__(self, desk: Gateway) -> None:
        self.findings: Final = Findings()
        self._desk = desk
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, asked: SearchBody) -> Finding:
        """Raises what the client is to be told."""
        id = _id_of(asked)
        if self.findings.get(id) is not None:
            raise RefusedError("invalid", "id", "a search with this id exists already")
        session = self._desk.session
        if session is None or session.state != "online" or split_address(SESSION)[0] in self._desk.away:
            why = session.detail if session is not None and session.detail else "no login"
            raise RefusedError("conflict", "", f"not logged in to Soulseek: {why}")
        if self.findings.running() >= RUNNING_MAX:
            raise HTTPException(429, f"{RUNNING_MAX} searches are running", headers={"Retry-After": str(RETRY_AFTER_S)})
        found = self.findings.add(asked, id=id, now_ms=now_ms())
        task = self._tasks[id] = asyncio.create_task(self._run(found))
        task.add_done_callback(lambda _: self._tasks.pop(id, None))
        return found

    def stop(self, found: Finding) -> None:
        """What was found stays readable."""
        found.end(search_state.CANCELLED, now_ms=now_ms())
        task = self._tasks.get(found.id)
        if task is not None:
            task.cancel()

    async def _run(self, found: Finding) -> None:
        try:
            async with asyncio.timeout(BUDGET_S_MAX):
                pause_s = await self._search(found)
                while pause_s > 0:
                    await asyncio.sleep(max(pause_s, PAUSE_S_MIN))
                    pause_s = await self._search(found)
        except (UnavailableError, RefusedError, TimeoutError):
            pass
        finally:
            found.end(search_state.ERRORED, now_ms=now_ms())

    async def _search(self, found: Finding) -> float:
        """Ask once and hear it to its end. Seconds until it may be asked again, 0 when it is not to be."""
        with self._desk.talk() as talk:
            asked = StartSearch(
                search=talk.number, term=found.asked.search_text, wait_s=found.wait_s, reply_to=self._desk.address
            )
            talk.post(SESSION, asked)
            try:
                return await _hear(talk, found)
            finally:
                if found.over and found.state != search_state.TIMED_OUT and not self._desk.closing.is_set():
                    self._leave(talk.number)

    def _leave(self, search: int) -> None:
        self._desk.post(SESSION, CancelSearch(search=search, reply_to=self._desk.address))


async def _hear(talk: PendingRequest, found: Finding) -> float:
    loop = asyncio.get_running_loop()
    due_s = loop.time() + found.wait_s + LATE_S
    while not found.over:
        told = await talk.next(wait_s=due_s - loop.time())
        match told:
            case SearchHit():
                found.hear(told, now_ms=now_ms())
            case SearchEnded(refused="") | None:
                found.end(search_state.TIMED_OUT, now_ms=now_ms())
            case SearchEnded(retry_after_s=retry_after_s):
                return retry_after_s
            case _:
                pass
    return 0.0


def _id_of(asked: SearchBody) -> str:
    if not asked.id:
        return str(uuid.uuid4())
    return formatting.guid(asked.id) or asked.id


def add(routes: APIRouter, desk: Gateway) -> None:
    searcher = Searcher(desk)
    findings = searcher.findings

    def known(id: str) -> Finding:
        found = findings.get(formatting.guid(id) or "")
        if found is None:
            raise RefusedError("unknown", "", "no such search")
        return found

    @routes.post(
        "/api/v0/searches",
        response_model=schemas.Search,
        summary="Search the Soulseek network",
        responses=schemas.errors(400, 409, 429),
    )
    async def begin(asked: SearchBody) -> Response:
        return answer(searcher.begin(asked).view(responses=False))

    @routes.get("/api/v0/searches", response_model=list[schemas.Search], summary="All searches that are still known")
    async def all_of_them() -> Response:
        return answer([found.view(responses=False) for found in findings.all()])

    @routes.get(
        "/api/v0/searches/{id}",
        response_model=schemas.Search,
        summary="A search and how far it is",
        responses=schemas.errors(404),
    )
    async def one(id: schemas.SearchId, includeResponses: schemas.IncludeResponses = False) -> Response:  # noqa: N803 - as clients write it
        return answer(known(id).view(responses=includeResponses))

    @routes.get(
        "/api/v0/searches/{id}/responses",
        response_model=list[schemas.SearchResponse],
        summary="What was found so far",
        responses=schemas.errors(404),
    )
    async def responses(id: schemas.SearchId) -> Response:
        return answer(list(known(id).responses()))

    @routes.put(
        "/api/v0/searches/{id}",
        response_model=schemas.Search,
        summary="Stop a search; what it found stays",
        responses=schemas.errors(404),
    )
    async def stop(id: schemas.SearchId) -> Response:
        searcher.stop(known(id))
        return answer(known(id).view(responses=False))

    @routes.delete(
        "/api/v0/searches/{id}",
        status_code=204,
        response_class=Response,
        summary="Stop and forget a search",
        responses=schemas.errors(404),
    )
    async def forget(id: schemas.SearchId) -> Response:
        found = known(id)
        searcher.stop(found)
        findings.remove(found.id)
        return Response(status_code=204)
