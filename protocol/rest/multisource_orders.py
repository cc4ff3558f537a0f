"""Ordering jobs: from sources that are known, or from a search. Answered at once, or when the job has ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request, Response

from protocol.events import JOB_CANCELLED, JOB_DELETED, JOB_FAILED, JOB_SEALED
from protocol.messages import EventHappened, OrderPlaced, SourcesAdded
from protocol.post import KEEPER
from protocol.rest import models_jobs as told
from protocol.rest import orders
from protocol.rest.desk import Desk, Listener, RefusedError, UnavailableError
from protocol.rest.documented import LOCATION, refusals
from protocol.rest.idempotency import Orders
from protocol.rest.jobs_asked import detail_told, path_of
from protocol.rest.models_orders import DownloadOrder, SwarmOrder
from protocol.rest.parameters import WAIT_S, IdempotencyKey, Wait, WaitS
from protocol.snapshots import ENDED, JobSnapshot

WAITING_MAX: Final = 128
"""Listeners at once, those of event streams among them, for one more request to be held."""
_LOOK_S: Final = 1.0
_ENDS: Final = frozenset({JOB_SEALED, JOB_FAILED, JOB_CANCELLED, JOB_DELETED})


def add(routes: APIRouter, desk: Desk) -> None:
    makers = _Makers(desk)
    answers: dict[int | str, dict[str, Any]] = {
        200: {"model": told.JobDetail, "description": "The job, ended (only with wait).", "headers": LOCATION},
        202: {"model": told.JobDetail, "description": "The job, accepted.", "headers": LOCATION},
        **refusals(404, 409),
    }
    for path, handler, summary in (
        ("/download", makers.download, "Fetch one file from sources that are named"),
        ("/swarm", makers.swarm, "Search users for a file and fetch it from all who have it"),
    ):
        routes.add_api_route(
            path,
            handler,
            methods=["POST"],
            status_code=202,
            response_model=told.JobDetail,
            responses=answers,
            summary=summary,
            operation_id=handler.__name__,
        )


class _Makers:
    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._orders: Final = Orders()

    async def download(
        self,
        request: Request,
        response: Response,
        order: Annotated[DownloadOrder, Body()],
        wait: Wait = False,
        wait_s: WaitS = WAIT_S,
        idempotency_key: IdempotencyKey = None,
    ) -> told.JobDetail:
        """A job is made and answered at once; it can be read by its id for ever after, until it is deleted.

        The chunks of all sources are compared with each other only as far as they overlap: without a checksum the claim
        about the content is that its size is the same everywhere.
        """
        daemon = self._desk.settings.daemon
        urls = orders.addresses(order.sources, private_ok=daemon.allow_private_sources)
        size = -1 if order.file_size is None else order.file_size
        make = self._placing(order, orders.file_name(order.filename), size, list(orders.batches(urls)), "", 0.0)
        return await self._ordered(request, response, order, make, wait, wait_s, idempotency_key)

    async def swarm(
        self,
        request: Request,
        response: Response,
        order: Annotated[SwarmOrder, Body()],
        wait: Wait = False,
        wait_s: WaitS = WAIT_S,
        idempotency_key: IdempotencyKey = None,
    ) -> told.JobDetail:
        """Users who have a file of exactly this size are searched for, now and again while the job runs.

        The file is called what most of them call it.
        """
        term = " ".join(order.filename.split())
        if not term:
            raise RefusedError("invalid", "filename", "there is no word to search for")
        make = self._placing(order, "", order.size, [()], term, order.search_timeout / 1000)
        return await self._ordered(request, response, order, make, wait, wait_s, idempotency_key)

    def _placing(
        self,
        order: DownloadOrder | SwarmOrder,
        name: str,
        size_bytes: int,
        batches: Sequence[tuple[str, ...]],
        term: str,
        search_s: float,
    ) -> Callable[[], Awaitable[str]]:
        """What makes the job, once called; everything that can be wrong in the body is found here, before."""
        daemon = self._desk.settings.daemon
        folder, checksum = orders.folder(order.folder, daemon), orders.checksum(order)

        def placed(request: int, reply_to: str) -> OrderPlaced:
            return OrderPlaced(
                request=request,
                reply_to=reply_to,
                name=name,
                folder=folder,
                size_bytes=size_bytes,
                chunk_size=order.chunk_size,
                checksum=checksum,
                mode=order.mode,
                limit_bytes_s=order.limit,
                priority=order.priority,
                sources=batches[0],
                term=term,
                search_s=search_s,
                origin=orders.ORIGIN,
                user="",
                remote_path="",
                widen=False,
                private_ok=daemon.allow_private_sources,
            )

        async def place() -> str:
            job = (await self._desk.ask(KEEPER, placed)).row(JobSnapshot)
            await add_sources(self._desk, job.id, batches[1:])
            return job.id

        return place

    async def _ordered(
        self,
        request: Request,
        response: Response,
        order: DownloadOrder | SwarmOrder,
        place: Callable[[], Awaitable[str]],
        wait: bool,
        wait_s: int,
        key: str | None,
    ) -> told.JobDetail:
        body = f"{request.url.path} {order.model_dump_json()}".encode()
        if not wait:
            id = await self._orders.once(key, body, place)
        else:
            with self._desk.listen(WAITING_MAX) as listener:
                id = await self._orders.once(key, body, place)
                await self._ended(request, listener, id, wait_s)
        job = await detail_told(self._desk, id, drawn=True)
        response.headers["Location"] = path_of(self._desk, id)
        response.status_code = 200 if wait and job.state in ENDED else 202
        return job

    async def _ended(self, request: Request, listener: Listener, id: str, wait_s: int) -> None:
        """Return when the job has ended, the client has gone, the time is over or the daemon stops."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        look_s = 0.0
        while loop.time() < due_s and not await request.is_disconnected():
            if loop.time() >= look_s:
                # Events are missed while the keeper is away, and the job may be an old one.
                look_s = loop.time() + 10 * _LOOK_S
                if await self._has_ended(id):
                    return
            try:
                event = await listener.next(wait_s=_LOOK_S)
            except UnavailableError:
                return
            if isinstance(event, int):
                look_s = 0.0
            elif isinstance(event, EventHappened) and event.id == id and event.kind in _ENDS:
                return

    async def _has_ended(self, id: str) -> bool:
        try:
            return (await detail_told(self._desk, id, drawn=False)).state in ENDED
        except UnavailableError:
            return False


async def add_sources(desk: Desk, id: str, batches: Sequence[tuple[str, ...]]) -> None:
    for urls in batches:
        await desk.ask(
            KEEPER,
            lambda number, address, urls=urls: SourcesAdded(  # type: ignore[misc]
                request=number, reply_to=address, id=id, urls=urls
            ),
        )
