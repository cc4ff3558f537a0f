"""Route of Metalink documents: uploaded or fetched, a job for each file that they describe, several as one group."""

import hashlib
import os
import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Body

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers, validation
from protocol.http_api.native.documents import MetalinkReader
from protocol.http_api.native.downloads import add_sources, kept_pieces
from protocol.http_api.native.order_schemas import MetalinkOrder
from protocol.http_api.native.queries import ROOT, ask_manager
from protocol.http_api.openapi import refusals
from protocol.http_api.params import IdempotencyKey
from protocol.http_api.schema_base import PAGE_MAX
from protocol.messages import CreateJob
from protocol.model.filenames import placed_folder, placed_name
from protocol.model.integrity.metalink import MetalinkFile
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import JobDetail, JobView, whole


def router(gateway: Gateway) -> APIRouter:
    """Build this route."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])
    routes.add_api_route(
        "/metalink",
        _Metalinks(gateway).order_metalink,
        methods=["POST"],
        status_code=202,
        response_model=schemas.MetalinkOrdered,
        responses=refusals(404, 409),
        summary="Fetch the files that a Metalink document describes",
        operation_id="order_metalink",
    )
    return routes


class _Metalinks:
    """Handler of this route."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway
        self._reader: Final = MetalinkReader(gateway)

    async def order_metalink(
        self, order: Annotated[MetalinkOrder, Body()], idempotency_key: IdempotencyKey = None
    ) -> schemas.MetalinkOrdered:
        """Each file becomes a job, with the digests, the piece hashes and the mirrors that the document has of it.

        Names that have folders keep them, below the folder of the order. What cannot be used is left out and noted;
        a document that breaks a rule is refused whole. Fields of the requests that hold secrets go to the address of
        the document, not to the mirrors that it names. The same key with the same order names the same jobs.
        """
        place = validation.folder(order.folder, self._gateway.settings.daemon)
        if (order.document is None) == (order.url is None):
            raise RefusedError("invalid", "document", "one of document and url is needed")
        field = "document" if order.url is None else "url"
        http = order.http.options()
        read = await self._reader.read(url=order.url, document=order.document or "", http=http, field=field)
        notes = list(read.notes)
        files = [self._reader.usable(file, notes, field="document") for file in read.files]
        digest = hashlib.sha256(order.model_dump_json().encode()).hexdigest() if idempotency_key else ""
        group = ""
        if len(files) > 1:
            group = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{idempotency_key} {digest}") if digest else uuid.uuid4())
        jobs = list[JobView]()
        for file in files:
            key = hashlib.sha256(f"{idempotency_key} {file.name}".encode()).hexdigest() if idempotency_key else ""
            jobs.append(await self._create(order, file, os.path.join(place, _folder_of(file)), group, key, digest))
        shown = [serializers.job(job) for job in jobs]
        return schemas.MetalinkOrdered(group=group, files=shown, notes=notes[:PAGE_MAX])

    async def _create(
        self, order: MetalinkOrder, file: MetalinkFile, folder: str, group: str, key: str, digest: str
    ) -> JobView:
        """Create the job of one file. When one is refused, the error says so; those before it stay."""
        spec = JobSpec(
            folder=folder.rstrip("/") or "/",
            name=placed_name(file.name.rpartition("/")[2]),
            size_bytes=file.size_bytes,
            chunk_size=order.chunk_size or self._gateway.settings.daemon.chunk_size,
            checksum=file.checksum,
            mode=order.mode,
            require=order.require or "",
            limit_bytes_s=order.limit,
            priority=order.priority,
            http=order.http.options().for_strangers(),
            existing=order.existing,
            max_time_s=(order.max_time or 0) / 1000,
            origin=validation.ORIGIN,
            private_ok=self._gateway.settings.daemon.allow_private_sources,
            folder_id=group,
            template_root=validation.template_root(order, self._gateway.settings.daemon),
            pieces=await kept_pieces(self._gateway, file.pieces),
        )
        first, *more = validation.batches(file.urls)
        made = await ask_manager(self._gateway, CreateJob(spec=spec, sources=first, key=key, digest=digest))
        job = whole(made.rows(JobDetail)).job
        try:
            await add_sources(self._gateway, job.id, more)
        except RefusedError as refused:
            if refused.kind != "conflict":  # it has ended already and needs no more
                raise
        return job


def _folder_of(file: MetalinkFile) -> str:
    """Return the folders that a file's name has, as they are written here."""
    return os.path.join("", *map(placed_folder, file.name.split("/")[:-1]))
