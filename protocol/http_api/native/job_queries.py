"""Questions about one job that more than one route asks."""

from collections.abc import Callable
from typing import Final

from protocol.http_api.gateway import Answer, Gateway, RefusedError
from protocol.http_api.native import job_schemas as told
from protocol.http_api.native import serializers
from protocol.http_api.native.chunk_map import Owned
from protocol.messages import GetJob, GetManifest, Message
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_views import JobDetail, ManifestRange, whole

NOTHING_YET: Final = ("searching", "opening")
"""Phases in which a run has nobody yet who could say what it has."""
ROOT: Final = "/api/v0/multisource"


def path_of(desk: Gateway, id: str) -> str:
    return f"{desk.settings.api.url_base}{ROOT}/jobs/{id}"


MEMBERS: Final = {
    "name": "filename",
    "size_bytes": "fileSize",
    "chunk_size": "chunkSize",
    "limit_bytes_s": "limit",
    "urls": "sources",
    "key": "Idempotency-Key",
}
"""What the job manager calls the members of a request."""


async def asked(desk: Gateway, make: Callable[[int, str], Message]) -> Answer:
    """Ask the job manager; whatever it refuses is called as the client called it. An unknown one is the job."""
    try:
        return await desk.ask(JOB_MANAGER, make)
    except RefusedError as refused:
        field = MEMBERS.get(refused.field, refused.field)
        if refused.kind == "unknown" and not field:
            field = "id"
        raise RefusedError(refused.kind, field, refused.detail) from None


async def detail(desk: Gateway, id: str) -> JobDetail:
    answer = await asked(desk, lambda number, address: GetJob(request=number, reply_to=address, id=id.lower()))
    return whole(answer.rows(JobDetail))


async def detail_told(desk: Gateway, id: str, *, drawn: bool) -> told.JobDetail:
    """One job as people get it; `drawn`: with its chunk map."""
    row = await detail(desk, id)
    stored = await runs(desk, row) if drawn and row.job.size_bytes >= 0 else []
    return serializers.job_detail(row, serializers.chunks_of(row, stored) if drawn else None)


async def runs(desk: Gateway, row: JobDetail) -> list[Owned]:
    """Who sent which chunks, by the numbers that sources have in the job; the job manager asks whoever knows."""
    if row.job.phase in NOTHING_YET:
        return []
    answer = await asked(desk, lambda number, address: GetManifest(request=number, reply_to=address, id=row.job.id))
    return serializers.owned(answer.rows(ManifestRange))
