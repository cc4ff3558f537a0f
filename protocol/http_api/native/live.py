"""Live views as server-sent events: one job with its sources and chunk map, and a search while replies come.

Both begin with the whole and go on with what changed, so a reader that comes back simply begins again. Nothing is sent
while nothing changes but a beat.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from protocol.config.settings import READ_WRITE
from protocol.http_api.events.sse import BEAT, BEAT_S, HEADERS, RETRY_MS
from protocol.http_api.gateway import Gateway, Listener, RefusedError, UnavailableError
from protocol.http_api.middleware.authorization import Caller, caller
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers
from protocol.http_api.native.queries import ROOT, detail, owned_ranges
from protocol.http_api.native.serializers import MapRange, chunk_map
from protocol.http_api.native.soulseek import SEARCH_GRACE_S, SearchText, SearchTimeout, Users
from protocol.http_api.openapi import refusals
from protocol.http_api.params import JobId
from protocol.messages import CancelSearch, EventOccurred, SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import SESSION
from protocol.model.file_matches import FileMatches
from protocol.model.job_records import ACTIVE
from protocol.model.job_views import JobDetail

PERIOD_S: Final = 0.2
"""Between two pictures of a job: what is stored is seen within this and the dispatcher's own reports."""
REST_S_MIN: Final = 0.05
SEARCH_PERIOD_S: Final = 0.3
MATCHES_MAX: Final = 200
AWAY_S: Final = 1.0
_STATES: Final = {"missing": 0, "leased": 1, "stored": 2}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": (
            "Server-sent events: whole, then change with what differs; ended when nothing more comes, refused with the "
            "reason."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])

    @routes.get(
        "/jobs/{id}/live",
        summary="One job as it changes",
        response_class=StreamingResponse,
        responses={**refusals(404), **_STREAM},
    )
    async def watch_job(id: JobId) -> StreamingResponse:
        """The first event is whole: a job, its sources, notes, and its chunk map as [first, count, state, source].

        A state is 0 missing, 1 leased, 2 stored; a source -1 none. Each change has only what differs; ranges replace
        those before them. The first event of an active job also has the rates of the last minutes, the oldest first,
        as [seconds ago, sources, bytes a second].
        """
        return JobStream(gateway, id.lower(), await detail(gateway, id))

    @routes.get(
        "/search/live",
        summary="Search Soulseek users and see replies as they come",
        response_class=StreamingResponse,
        responses={**refusals(409), **_STREAM},
    )
    async def watch_search(
        request: Request,
        who: Annotated[Caller, Depends(caller)],
        search_text: SearchText,
        search_timeout: SearchTimeout = 15_000,
    ) -> StreamingResponse:
        """Each event has the files found so far, most users first. Searches are rationed."""
        if not who.may(READ_WRITE):
            raise RefusedError("forbidden", "", f"a search needs the role {READ_WRITE}, yours is {who.role}")
        term = Users(gateway).checked_term(search_text)
        return StreamingResponse(
            _search(gateway, term, search_timeout / 1000), media_type="text/event-stream", headers=HEADERS
        )

    return routes


def _event(kind: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(data))


class JobStream(StreamingResponse):
    """A streaming response with one job. Subscribes before it begins and ends when the job is deleted."""

    def __init__(self, gateway: Gateway, id: str, row: JobDetail) -> None:
        self._gateway = gateway
        self._id = id
        self._row = row
        super().__init__(iter(()), media_type="text/event-stream", headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises `RefusedError` before it begins when too many listen."""
        with self._gateway.listen() as listener:
            self.body_iterator = self._blocks(listener)
            await super().__call__(scope, receive, send)

    async def _blocks(self, listener: Listener) -> AsyncIterator[bytes]:
        yield b"retry: %d\n\n" % RETRY_MS
        shown = JobPicture()
        try:
            loop = asyncio.get_running_loop()
            while True:
                begun_s = loop.time()
                try:
                    row = await detail(self._gateway, self._id, rates=not shown.job)
                    stored = await owned_ranges(self._gateway, row) if row.job.size_bytes >= 0 else []
                    kind = "change" if shown.job else "whole"
                    if change := shown.update(row, stored):
                        yield _event(kind, change)
                except RefusedError as refused:
                    if refused.kind == "unknown":
                        yield _event("ended", {"detail": refused.detail})
                        return
                except UnavailableError:
                    await self._gateway.pause(AWAY_S)  # raises when the daemon stops
                    continue
                await self._gateway.pause(max(PERIOD_S - (loop.time() - begun_s), REST_S_MIN))
                while not await self._concerned(listener):
                    yield BEAT
        except UnavailableError:
            return

    async def _concerned(self, listener: Listener) -> bool:
        """Wait for news of the job; return whether there were any."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + BEAT_S
        concerned = False
        while True:
            wait_s = 0.0 if concerned else due_s - loop.time()
            news = await listener.next(wait_s=max(wait_s, 0.0))
            if news is None:
                return concerned
            concerned = concerned or isinstance(news, int) or (isinstance(news, EventOccurred) and news.id == self._id)


class JobPicture:
    """The picture of a job that a reader has, and its differences to the next one."""

    def __init__(self) -> None:
        self.job: dict[str, Any] = {}
        self._sources: dict[int, dict[str, Any]] = {}
        self._notes: list[str] = []
        self._runs: list[MapRange] = []

    def update(self, row: JobDetail, stored: list[tuple[int, int, int]]) -> dict[str, Any]:
        """Take over this row and these owned ranges; return what differs, empty when nothing does."""
        shown = serializers.job_detail(row, None).model_dump(mode="json", by_alias=True)
        sources = {source["number"]: source for source in shown.pop("sources")}
        notes = shown.pop("notes")
        del shown["chunkMap"]
        runs = _ranges(row, stored)
        change: dict[str, Any] = {}
        if job := {name: value for name, value in shown.items() if self.job.get(name, ...) != value}:
            change["job"] = job
        if changed := [source for number, source in sources.items() if self._sources.get(number) != source]:
            change["sources"] = changed
        if notes != self._notes:
            change["notes"] = notes
        if row.rates:
            change["rates"] = [[each.ago_s, each.sources, each.rates] for each in row.rates]
        if runs != self._runs:
            known = set(self._runs)
            change["ranges"] = [
                [run.first, run.length, _STATES[run.state], run.source] for run in runs if run not in known
            ]
        self.job, self._sources, self._notes, self._runs = shown, sources, notes, runs
        return change


def _ranges(row: JobDetail, stored: list[tuple[int, int, int]]) -> list[MapRange]:
    if row.job.size_bytes < 0 or row.job.spec.chunk_size <= 0:
        return []
    active = row.job.state == ACTIVE
    leased = [(s.lease_first, s.lease_stop, s.number) for s in row.sources if active and s.lease_first >= 0]
    return chunk_map(stored, leased, -(-row.job.size_bytes // row.job.spec.chunk_size))[: schemas.MAP_RUNS_MAX]


async def _search(gateway: Gateway, term: str, wait_s: float) -> AsyncIterator[bytes]:
    matches, hits, shown = FileMatches(), 0, -1
    loop = asyncio.get_running_loop()
    due_s = loop.time() + wait_s + SEARCH_GRACE_S
    ended = False
    yield b"retry: 3600000\n\n"  # a browser that comes back by itself would search again

    def found() -> bytes:
        best = [serializers.file_match(one).model_dump(mode="json") for one in matches.best()[:MATCHES_MAX]]
        return _event("matches", {"hits": hits, "refused": matches.refused, "matches": best})

    try:
        with gateway.open_request() as pending:
            pending.post(
                SESSION, StartSearch(search=pending.number, term=term, wait_s=wait_s, reply_to=gateway.address)
            )
            try:
                show_s = loop.time() + SEARCH_PERIOD_S
                while not ended:
                    reply = await pending.next(wait_s=min(show_s, due_s) - loop.time())
                    if isinstance(reply, SearchHit):
                        matches.add(reply)
                        hits += 1
                    elif isinstance(reply, SearchEnded):
                        ended = True
                        if reply.refused:
                            yield _event("refused", {"detail": reply.refused, "retryAfterS": reply.retry_after_s})
                    if hits != shown and (ended or loop.time() >= show_s):
                        shown = hits
                        yield found()
                    if loop.time() >= show_s:
                        show_s = loop.time() + SEARCH_PERIOD_S
                    ended = ended or loop.time() >= due_s
                yield _event("ended", {"hits": hits})
            finally:
                if not ended and not gateway.closing.is_set():
                    gateway.post(SESSION, CancelSearch(search=pending.number, reply_to=gateway.address))
    except (UnavailableError, RefusedError) as error:
        yield _event("refused", {"detail": str(error), "retryAfterS": 0})
