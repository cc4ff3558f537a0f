"""Routes that create jobs: from given sources or from a search; answered at once, or when the job has ended."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request, Response

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers, validation
from protocol.http_api.native.documents import MetalinkReader
from protocol.http_api.native.order_schemas import DownloadOrder, SwarmOrder
from protocol.http_api.native.queries import ROOT, ask_manager, detail, full_detail, path_of
from protocol.http_api.openapi import LOCATION, refusals
from protocol.http_api.params import WAIT_S, IdempotencyKey, Wait, WaitS
from protocol.http_api.schema_base import PAGE_MAX, SOURCES_MAX
from protocol.messages import AddSources, CreateJob
from protocol.model.filenames import placed_name
from protocol.model.integrity.metalink import MetalinkFile, Pieces
from protocol.model.job_records import ENDED, QUEUED
from protocol.model.job_spec import JobSpec, PieceHashes
from protocol.model.job_views import JobDetail, whole
from protocol.model.source_url import for_connections, looks_like_metalink

WAITING_MAX: Final = 64
"""Requests that wait for the end of a job at the same time."""
LOOK_S_MIN: Final = 0.1
LOOK_S_MAX: Final = 2.0


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])
    orders = _Orders(gateway)
    answers: dict[int | str, dict[str, Any]] = {
        200: {"model": schemas.JobDetail, "description": "The job, ended (only with wait).", "headers": LOCATION},
        202: {"model": schemas.JobDetail, "description": "The job, accepted.", "headers": LOCATION},
        **refusals(404, 409),
    }
    for path, handler, summary in (
        ("/download", orders.download, "Fetch one file from sources that are named"),
        ("/swarm", orders.swarm, "Search users for a file and fetch it from all who have it"),
    ):
        routes.add_api_route(
            path,
            handler,
            methods=["POST"],
            status_code=202,
            response_model=schemas.JobDetail,
            responses=answers,
            summary=summary,
            operation_id=handler.__name__,
        )
    return routes


class _Orders:
    """Handlers of the two orders."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway
        self._metalinks: Final = MetalinkReader(gateway)
        self._waiting = 0

    async def download(
        self,
        request: Request,
        response: Response,
        order: Annotated[DownloadOrder, Body()],
        wait: Wait = False,
        wait_s: WaitS = WAIT_S,
        idempotency_key: IdempotencyKey = None,
    ) -> schemas.JobDetail:
        """A job is created and returned at once; it can be read by its id until it is deleted.

        An address that ends in .meta4 or .metalink is a document about the file: it is read first, and its mirrors,
        digests and piece hashes are used. One that describes several files is refused: see the order of Metalinks.

        The chunks of all sources are compared with each other only as far as they overlap: without a checksum the claim
        about the content is that its size is the same everywhere.
        """
        daemon = self._gateway.settings.daemon
        urls = validation.addresses(order.sources, private_ok=daemon.allow_private_sources)
        size = -1 if order.file_size is None else order.file_size
        notes = list[str]()
        described = None
        if (document := validation.document_among(urls)) >= 0:
            options = order.http.options()
            described = await self._metalinks.stands_for(urls, document, options, size_bytes=size, notes=notes)
        urls = list(for_connections(urls if described is None else described.urls, order.connections))
        if len(urls) > SOURCES_MAX:
            raise RefusedError("invalid", "connections", f"{len(urls)} connections are too many, {SOURCES_MAX} may be")
        given = validation.pieces(order)
        spec = self._spec(order).but(
            name=validation.file_name(order.filename), size_bytes=size, folder_id=(order.group or "").lower()
        )
        if described is not None:
            given = given or described.pieces
            spec = as_described(spec, described)
        spec = spec.but(pieces=await kept_pieces(self._gateway, given))
        first, *more = validation.batches(urls)
        create = _create(order, spec, first, idempotency_key)
        job = await self._ordered(request, response, create, more, wait, wait_s)
        return job.model_copy(update={"notes": [*notes, *job.notes][:PAGE_MAX]}) if notes else job

    async def swarm(
        self,
        request: Request,
        response: Response,
        order: Annotated[SwarmOrder, Body()],
        wait: Wait = False,
        wait_s: WaitS = WAIT_S,
        idempotency_key: IdempotencyKey = None,
    ) -> schemas.JobDetail:
        """Users who have a file of this size are searched for, now and again while the job runs.

        The file is called what most of them call it.
        """
        term = " ".join(order.filename.split())
        if not term:
            raise RefusedError("invalid", "filename", "there is no word to search for")
        size = -1 if order.size is None else order.size
        spec = self._spec(order).but(size_bytes=size, term=term, search_s=order.search_timeout / 1000)
        create = _create(order, spec, (), idempotency_key)
        return await self._ordered(request, response, create, [], wait, wait_s)

    def _spec(self, order: DownloadOrder | SwarmOrder) -> JobSpec:
        """Return what both kinds of orders have in common."""
        daemon = self._gateway.settings.daemon
        return JobSpec(
            folder=validation.folder(order.folder, daemon),
            chunk_size=order.chunk_size or daemon.chunk_size,
            checksum=validation.checksum(order),
            mode=order.mode,
            require=order.require or "",
            limit_bytes_s=order.limit,
            priority=order.priority,
            http=order.http.options(),
            existing=order.existing,
            max_time_s=(order.max_time or 0) / 1000,
            origin=validation.ORIGIN,
            private_ok=daemon.allow_private_sources,
            template_root=validation.template_root(order, daemon),
        )

    async def _ordered(
        self,
        request: Request,
        response: Response,
        create: CreateJob,
        more: Sequence[tuple[str, ...]],
        wait: bool,
        wait_s: int,
    ) -> schemas.JobDetail:
        """Create the job and return it; of a new one the answer of the job manager says all there is to say."""
        with self._held(wait):
            made = whole((await ask_manager(self._gateway, create)).rows(JobDetail))
            await self._add_more(made.job.id, more)
            if wait:
                await self._until_ended(request, made.job.id, wait_s)
            job = serializers.job_detail(made, serializers.chunks_of(made, []))
            if wait or more or made.job.attempts or made.job.state != QUEUED:
                with suppress(UnavailableError):  # the job is made: an error would have the client order it again
                    job = await full_detail(self._gateway, made.job.id, drawn=True)
        response.headers["Location"] = path_of(self._gateway, made.job.id)
        response.status_code = 200 if wait and job.state in ENDED else 202
        return job

    async def _add_more(self, id: str, batches: Sequence[tuple[str, ...]]) -> None:
        try:
            await add_sources(self._gateway, id, batches)
        except RefusedError as refused:
            if refused.kind != "conflict":  # it has ended already and needs no more
                raise

    @contextmanager
    def _held(self, wait: bool) -> Iterator[None]:
        """Take one of the few places for requests that wait, before anything is created."""
        if wait and self._waiting >= WAITING_MAX:
            raise RefusedError("full", "wait", f"{WAITING_MAX} requests wait for a job already; order without")
        self._waiting += wait
        try:
            yield
        finally:
            self._waiting -= wait

    async def _until_ended(self, request: Request, id: str, wait_s: int) -> None:
        """Return when the job has ended, the client has gone, the time is over or the daemon stops.

        Polls, because the process that reports an end may be away just then.
        """
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        pause_s = LOOK_S_MIN
        while loop.time() < due_s and not await request.is_disconnected():
            try:
                if (await detail(self._gateway, id)).job.state in ENDED:
                    return
            except UnavailableError:
                pass
            try:
                async with asyncio.timeout(min(pause_s, due_s - loop.time())):
                    await self._gateway.closing.wait()
                return
            except TimeoutError:
                pause_s = min(1.2 * pause_s, LOOK_S_MAX)


def as_described(spec: JobSpec, file: MetalinkFile) -> JobSpec:
    """Return the job of a file that a Metalink describes: what the order says goes before what the document says.

    Logins of the order are not for the mirrors that the document names. A name like a document's is not the file's.
    """
    named = placed_name(file.name.rpartition("/")[2]) if looks_like_metalink(spec.name) else spec.name
    return spec.but(
        name=named,
        size_bytes=file.size_bytes if spec.size_bytes < 0 else spec.size_bytes,
        checksum=spec.checksum or file.checksum,
        http=spec.http.for_strangers(),
    )


async def kept_pieces(gateway: Gateway, pieces: Pieces | None) -> PieceHashes:
    """Keep a list of piece digests where the daemon's processes find it for as long as a job needs it."""
    if pieces is None:
        return PieceHashes()
    state = gateway.settings.daemon.state
    try:
        path = await asyncio.to_thread(gateway.documents.keep_pieces, state, pieces.digests)
    except OSError as error:
        raise UnavailableError(f"the piece hashes cannot be kept: {error.strerror}") from None
    return PieceHashes(piece_algorithm=pieces.algorithm, piece_bytes=pieces.piece_bytes, piece_file=path)


async def add_sources(gateway: Gateway, id: str, batches: Sequence[tuple[str, ...]]) -> None:
    """Add these sources to a job, batch by batch."""
    for urls in batches:
        await ask_manager(gateway, AddSources(id=id, urls=urls))


def _create(order: DownloadOrder | SwarmOrder, spec: JobSpec, sources: tuple[str, ...], key: str | None) -> CreateJob:
    return CreateJob(spec=spec, sources=sources, key=key or "", digest=digest_of(order) if key else "")


def digest_of(order: DownloadOrder | SwarmOrder) -> str:
    """Return a digest that is the same for equal orders, however their JSON was written."""
    return hashlib.sha256(f"{type(order).__name__} {order.model_dump_json()}".encode()).hexdigest()
