"""Queries about one job shared by several routes."""

from collections.abc import Callable
from typing import Final

from protocol.http_api.gateway import Answer, Gateway, RefusedError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers
from protocol.http_api.native.chunk_map import Owned
from protocol.messages import GetJob, GetManifest, Message
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_views import JobDetail, ManifestRange, whole

NOTHING_YET: Final = ("searching", "opening")
"""Phases in which an attempt has no dispatcher yet that could list what is stored."""
ROOT: Final = "/api/v0/multisource"


def path_of(gateway: Gateway, id: str) -> str:
    """Return the public path of a job."""
    return f"{gateway.settings.api.url_base}{ROOT}/jobs/{id}"


MEMBERS: Final = {
    "name": "filename",
    "size_bytes": "fileSize",
    "chunk_size": "chunkSize",
    "limit_bytes_s": "limit",
    "urls": "sources",
    "key": "Idempotency-Key",
}
"""Members of a request by the job manager's names for them."""


async def ask_manager(gateway: Gateway, make: Callable[[int, str], Message]) -> Answer:
    """Ask the job manager; a refusal names the member as the client wrote it (``id`` for an unknown job)."""
    try:
        return await gateway.ask(JOB_MANAGER, make)
    except RefusedError as refused:
        field = MEMBERS.get(refused.field, refused.field)
        if refused.kind == "unknown" and not field:
            field = "id"
        raise RefusedError(refused.kind, field, refused.detail) from None


async def detail(gateway: Gateway, id: str) -> JobDetail:
    """Return one job with its sources."""
    answer = await ask_manager(gateway, lambda number, address: GetJob(request=number, reply_to=address, id=id.lower()))
    return whole(answer.rows(JobDetail))


async def full_detail(gateway: Gateway, id: str, *, drawn: bool) -> schemas.JobDetail:
    """Return one job as a response; `drawn`: with its chunk map."""
    row = await detail(gateway, id)
    stored = await owned_ranges(gateway, row) if drawn and row.job.size_bytes >= 0 else []
    return serializers.job_detail(row, serializers.chunks_of(row, stored) if drawn else None)


async def owned_ranges(gateway: Gateway, row: JobDetail) -> list[Owned]:
    """Return which source sent which chunks, by the numbers of sources in the job."""
    if row.job.phase in NOTHING_YET:
        return []
    answer = await ask_manager(
        gateway, lambda number, address: GetManifest(request=number, reply_to=address, id=row.job.id)
    )
    return [(row.first, row.stop, row.source) for row in answer.rows(ManifestRange)]
