"""Queries shared by several routes: one job, a user's shared files."""

import asyncio
from collections.abc import Sequence
from typing import Final

from protocol.http_api.gateway import Answer, Gateway, RefusedError, UnavailableError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers
from protocol.http_api.native.serializers import Owned
from protocol.messages import BrowseUser, FilesListed, GetJob, GetManifest, Request, RequestRefused
from protocol.messages.addresses import JOB_MANAGER, SESSION, split_address
from protocol.model.job_records import ManifestRange
from protocol.model.job_views import JobDetail, JobView, whole

AT_ONCE_MAX: Final = 100
"""Commands that the job manager has at the same time; it commits together what comes together."""
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


async def ask_manager(gateway: Gateway, request: Request) -> Answer:
    """Ask the job manager; a refusal names the member as the client wrote it (``id`` for an unknown job)."""
    try:
        return await gateway.ask(JOB_MANAGER, request)
    except RefusedError as refused:
        field = MEMBERS.get(refused.field, refused.field)
        if refused.kind == "unknown" and not field:
            field = "id"
        raise RefusedError(refused.kind, field, refused.detail) from None


async def command_all(gateway: Gateway, commands: Sequence[tuple[str, Request]]) -> schemas.BulkDone:
    """Send commands to jobs, by their ids; each is done or refused for itself."""
    done, failed = list[schemas.Job](), list[schemas.NotDone]()

    async def one(id: str, request: Request) -> None:
        try:
            done.append(serializers.job((await ask_manager(gateway, request)).row(JobView)))
        except RefusedError as refused:
            failed.append(schemas.NotDone(id=id, kind=refused.kind, detail=refused.detail))

    for first in range(0, len(commands), AT_ONCE_MAX):
        await asyncio.gather(*(one(*each) for each in commands[first : first + AT_ONCE_MAX]))
    return schemas.BulkDone(done=done, failed=failed)


async def detail(gateway: Gateway, id: str, *, rates: bool = False) -> JobDetail:
    """Return one job with its sources."""
    answer = await ask_manager(gateway, GetJob(id=id.lower(), rates=rates))
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
    answer = await ask_manager(gateway, GetManifest(id=row.job.id))
    return [(row.first, row.stop, row.source) for row in answer.rows(ManifestRange)]


def need_account(gateway: Gateway) -> None:
    """Refuse without a Soulseek account: no retry will help, unlike after a crash of the session."""
    why = gateway.away.get(split_address(SESSION)[0], "")
    if why and gateway.session is None:
        raise RefusedError("conflict", "", why)


async def shared_files(
    gateway: Gateway, user: str, folder: str, *, field: str, wait_s: float
) -> tuple[dict[str, list[tuple[str, int]]], bool]:
    """Return the ``(name, size)`` of what a user shares by folder, of one folder when named, and whether it was cut.

    Raises `RefusedError` of `field` when the user is not there or has no such folder, and `UnavailableError`.
    """
    folders: dict[str, list[tuple[str, int]]] = {}
    truncated = False
    with gateway.open_request() as pending:
        pending.ask(SESSION, BrowseUser(peer=user, folder=folder))
        while True:
            match await pending.next(wait_s=wait_s):
                case FilesListed(refused=refused) if refused:
                    raise RefusedError("unknown", field, refused)
                case FilesListed() as part:
                    folders.setdefault(part.folder, []).extend(zip(part.names, part.sizes, strict=True))
                    truncated = truncated or part.truncated
                    if part.last:
                        return {name: files for name, files in folders.items() if files}, truncated or pending.truncated
                case RequestRefused(kind=kind, field=wrong, detail=detail):
                    raise RefusedError(kind, wrong, detail)
                case _:
                    raise UnavailableError(f"{user} did not answer within {wait_s:.0f} s")
