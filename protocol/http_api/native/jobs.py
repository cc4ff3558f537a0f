"""Routes of jobs: list, detail, explanation, timeline, manifest; commands to a job and its sources."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Body, Path, Query, Response

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers, validation
from protocol.http_api.native.downloads import add_sources
from protocol.http_api.native.order_schemas import BulkOrder, MoreSources, Tuning
from protocol.http_api.native.queries import ROOT, ask_manager, command_all, detail, full_detail, owned_ranges
from protocol.http_api.openapi import TOTAL, add_route, refusals
from protocol.http_api.params import PAGE, Flag, JobId, Limit, Offset, Text, User
from protocol.http_api.schema_base import CHUNKS_MAX, COUNT_MAX
from protocol.messages import (
    CancelJob,
    DeleteJob,
    DropSource,
    ExplainJob,
    GetChunkDigest,
    GetTimeline,
    ListJobs,
    PauseJob,
    PreferSource,
    Request,
    ResumeJob,
    RetryJob,
    UpdateJob,
)
from protocol.messages.addresses import ASSEMBLER
from protocol.messages.job_commands import UNCHANGED
from protocol.model.integrity.metalink import MEDIA_TYPES, write_metalink
from protocol.model.job_records import EventEntry
from protocol.model.job_views import Bottleneck, ChunkDigest, JobView
from protocol.model.source_url import is_masked, is_slsk

States = Annotated[
    list[schemas.State], Query(description="Only jobs in one of these states; repeat it for more.", max_length=6)
]
Origin = Annotated[
    str, Query(description="Only those of this origin (multisource, slskd, cli); empty: all.", max_length=20)
]
Order = Annotated[
    Literal["newest", "oldest", "queue", "name", "largest", "folder"],
    Query(description="newest or oldest or largest first, by name or folder, or queue: as they will be started."),
]
FolderId = Annotated[
    str, Query(alias="folderId", description="Only files of this folder download; empty: all.", max_length=36)
]
Removed = Annotated[Flag, Query(description="Also those that were removed from lists.")]
WithMap = Annotated[Flag, Query(alias="chunkMap", description="Whether the chunk map is wanted.")]
Source = Annotated[int, Query(description="Number of the source in the job.", ge=0, le=COUNT_MAX)]
ChunkNumber = Annotated[int, Path(description="Number of the chunk.", ge=0, le=CHUNKS_MAX)]
Preferred = Annotated[Flag, Query(description="Whether it goes before others, or like others again.")]
Banned = Annotated[Flag, Query(description="Ban it: nor may a search bring it back. Otherwise it is only dropped.")]
OtherGroup = Annotated[
    Flag,
    Query(
        alias="otherGroup",
        description=(
            "Take the file of the sources that were left out because of other content, and leave out the others; also "
            "of a sealed job. Not where a digest or the user that an order names says which file is meant."
        ),
    ),
]
RunsLimit = Annotated[int, Query(description="Ranges on a page.", ge=1, le=schemas.MAP_RUNS_MAX)]


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])
    jobs = _Jobs(gateway)
    one, of_state = refusals(404), refusals(404, 409)
    paged: dict[int | str, dict[str, Any]] = {200: {"headers": TOTAL, "description": "A page of them."}}
    for method, path, handler, summary, model, responses in (
        ("GET", "/jobs", jobs.list_jobs, "Jobs, a page of them", list[schemas.Job], {**paged, **refusals()}),
        ("GET", "/jobs/{id}", jobs.get_job, "One job with its sources and chunks", schemas.JobDetail, one),
        ("PATCH", "/jobs/{id}", jobs.tune_job, "Another limit or priority, at once", schemas.Job, of_state),
        ("DELETE", "/jobs/{id}", jobs.delete_job, "Forget an ended job", schemas.Job, of_state),
        ("POST", "/jobs/{id}/pause", jobs.pause_job, "Stop a job and keep what it has", schemas.Job, of_state),
        ("POST", "/jobs/{id}/resume", jobs.resume_job, "Put a paused job back into the queue", schemas.Job, of_state),
        ("POST", "/jobs/{id}/cancel", jobs.cancel_job, "End a job", schemas.Job, of_state),
        ("POST", "/jobs/{id}/retry", jobs.retry_job, "Put a failed or cancelled job back", schemas.Job, of_state),
        ("POST", "/bulk", jobs.command_jobs, "One command to many jobs", schemas.BulkDone, refusals()),
        ("POST", "/jobs/{id}/sources", jobs.add_sources, "Give a job more sources", schemas.JobDetail, of_state),
        ("DELETE", "/jobs/{id}/sources", jobs.drop_source, "Drop or ban one source", schemas.JobDetail, of_state),
        ("POST", "/jobs/{id}/sources/restore", jobs.restore_source, "Use a dropped or banned source again",
         schemas.JobDetail, of_state),
        ("PATCH", "/jobs/{id}/sources", jobs.prefer_source, "Prefer one source", schemas.JobDetail, of_state),
        ("GET", "/jobs/{id}/why", jobs.get_why, "What holds a job back now, in words", schemas.Why, one),
        ("GET", "/jobs/{id}/timeline", jobs.get_timeline, "What happened to a job", list[schemas.Happening],
         {**paged, **one}),
        ("GET", "/jobs/{id}/chunks/{chunk}", jobs.get_chunk, "The digest of one chunk", schemas.StoredChunk, one),
        ("GET", "/jobs/{id}/manifest", jobs.get_manifest, "Who sent which bytes", schemas.Manifest, {**paged, **one}),
    ):  # fmt: skip
        add_route(routes, method, path, handler, summary=summary, model=model, responses=responses)
    routes.add_api_route(
        "/jobs/{id}/metalink",
        jobs.get_metalink,
        methods=["GET"],
        response_class=Response,
        responses={
            **of_state,
            200: {"content": {MEDIA_TYPES[0]: {"schema": {"type": "string"}}}, "description": "Metalink 4."},
        },
        summary="The file as a Metalink document",
        operation_id="get_metalink",
    )
    return routes


class _Jobs:
    """Handlers of these routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway

    async def list_jobs(
        self,
        response: Response,
        state: States = [],  # noqa: B006  (the framework copies it)
        text: Text = "",
        origin: Origin = "",
        user: User = "",
        removed: Removed = False,
        folder_id: FolderId = "",
        order: Order = "newest",
        offset: Offset = 0,
        limit: Limit = PAGE,
    ) -> list[schemas.Job]:
        """All jobs that the daemon ever had and that were not deleted."""
        answer = await ask_manager(
            self._gateway,
            ListJobs(
                states=tuple(dict.fromkeys(state)),
                origin=origin,
                user=user,
                text=text,
                removed=removed,
                order=order,
                offset=offset,
                limit=min(limit, self._gateway.settings.api.page_max),
                folder_id=folder_id.lower(),
            ),
        )
        response.headers["X-Total-Count"] = str(answer.total)
        return [serializers.job(row) for row in answer.rows(JobView)]

    async def get_job(self, id: JobId, chunk_map: WithMap = True) -> schemas.JobDetail:
        """Also after it ended, until it is deleted."""
        return await full_detail(self._gateway, id, drawn=chunk_map)

    async def tune_job(self, id: JobId, tuning: Annotated[Tuning, Body()]) -> schemas.Job:
        """What is left out stays as it is."""
        return await self._order(_update(tuning, id.lower()))

    async def delete_job(self, id: JobId) -> schemas.Job:
        """The answer is its last state. Its part file goes too; the finished file stays."""
        return await self._order(DeleteJob(id=id.lower()))

    async def command_jobs(self, order: Annotated[BulkOrder, Body()]) -> schemas.BulkDone:
        """Each is done or refused for itself."""
        ids = [id.lower() for id in dict.fromkeys(order.ids)]
        return await command_all(self._gateway, [(id, _command(order, id)) for id in ids])

    async def pause_job(self, id: JobId) -> schemas.Job:
        """It goes on from there when it is resumed."""
        return await self._order(PauseJob(id=id.lower()))

    async def resume_job(self, id: JobId) -> schemas.Job:
        """It goes on with what it has."""
        return await self._order(ResumeJob(id=id.lower()))

    async def cancel_job(self, id: JobId) -> schemas.Job:
        """What it has stays on the disk: a retry goes on from there."""
        return await self._order(CancelJob(id=id.lower(), removed=False))

    async def retry_job(self, id: JobId, other_group: OtherGroup = False) -> schemas.Job:
        """It goes on with what it has. The other group is fetched from the start, beside a file that is sealed."""
        return await self._order(RetryJob(id=id.lower(), other_group=other_group))

    async def add_sources(self, id: JobId, more: Annotated[MoreSources, Body()]) -> schemas.JobDetail:
        """A running job uses them at once."""
        private_ok = self._gateway.settings.daemon.allow_private_sources
        urls = validation.addresses(more.sources, private_ok=private_ok)
        await add_sources(self._gateway, id.lower(), list(validation.batches(urls)))
        return await full_detail(self._gateway, id, drawn=False)

    async def drop_source(self, id: JobId, source: Source, banned: Banned = False) -> schemas.JobDetail:
        """Also while the job runs: what the source was fetching goes to others."""
        return await self._order_source(DropSource(id=id.lower(), source=source, banned=banned))

    async def restore_source(self, id: JobId, source: Source) -> schemas.JobDetail:
        """It takes back that it was dropped or banned. A running job uses it at once."""
        return await self._order_source(DropSource(id=id.lower(), source=source, restored=True))

    async def prefer_source(self, id: JobId, source: Source, preferred: Preferred = True) -> schemas.JobDetail:
        """It is given work first, is asked though the gain is small, and is believed where two sources differ."""
        return await self._order_source(PreferSource(id=id.lower(), source=source, preferred=preferred))

    async def _order_source(self, command: DropSource | PreferSource) -> schemas.JobDetail:
        try:
            await self._order(command)
        except RefusedError as refused:
            kind = "unknown" if refused.field == "source" else refused.kind
            raise RefusedError(kind, refused.field, refused.detail) from None
        return await full_detail(self._gateway, command.id, drawn=False)

    async def get_why(self, id: JobId) -> schemas.Why:
        """Queue places, one proven source, a budget that is spent, a limit, the disk ..."""
        answer = await ask_manager(self._gateway, ExplainJob(id=id.lower()))
        return serializers.why(id.lower(), answer.rows(Bottleneck))

    async def get_timeline(
        self, id: JobId, response: Response, offset: Offset = 0, limit: Limit = PAGE
    ) -> list[schemas.Happening]:
        """The oldest first."""
        answer = await ask_manager(self._gateway, GetTimeline(id=id.lower(), offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return [serializers.happening(row) for row in answer.rows(EventEntry)]

    async def get_manifest(
        self, id: JobId, response: Response, offset: Offset = 0, limit: RunsLimit = schemas.MAP_RUNS_MAX
    ) -> schemas.Manifest:
        """Also after the job ended. Pages are of runs."""
        row = await detail(self._gateway, id)
        stored = sorted(await owned_ranges(self._gateway, row))
        response.headers["X-Total-Count"] = str(len(stored))
        return serializers.manifest(row, stored[offset : offset + limit])

    async def get_chunk(self, id: JobId, chunk: ChunkNumber) -> schemas.StoredChunk:
        """Of a job that has begun and not ended."""
        job = (await detail(self._gateway, id)).job
        try:
            answer = await self._gateway.ask(ASSEMBLER, GetChunkDigest(job=job.number, chunk=chunk))
        except UnavailableError:
            return schemas.StoredChunk(chunk=chunk, digest="")
        return schemas.StoredChunk(chunk=chunk, digest="".join(row.digest.hex() for row in answer.rows(ChunkDigest)))

    async def get_metalink(self, id: JobId) -> Response:
        """Name, size, the digest that was given, and the HTTP mirrors, those that sent most first.

        Soulseek users are left out: the document is for any program. So are signed addresses, which are secret. 409
        while the size is not known, or without a mirror. Piece hashes need the finished file: see the command export.
        """
        row = await detail(self._gateway, id)
        job = row.job
        senders = sorted(row.sources, key=lambda source: (-source.bytes_stored, source.number))
        banned = ("banned", "dropped")
        urls = [
            one.url for one in senders if not is_slsk(one.url) and one.standing not in banned and not is_masked(one.url)
        ]
        if job.size_bytes < 0 or not urls:
            why = "no source is a mirror" if job.size_bytes >= 0 else "its size is not known yet"
            raise RefusedError("conflict", "", f"a Metalink would be of no use: {why}")
        text = write_metalink(
            job.name, job.size_bytes, checksums=filter(None, [job.spec.checksum]), pieces=None, urls=urls
        )
        quoted = quote(f"{job.name}.meta4", safe="", errors="replace")
        named = {"Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}
        return Response(text.encode("utf-8", "replace"), media_type=MEDIA_TYPES[0], headers=named)

    async def _order(self, request: Request) -> schemas.Job:
        return serializers.job((await ask_manager(self._gateway, request)).row(JobView))


def _update(tuning: Tuning | BulkOrder, id: str) -> UpdateJob:
    limit = UNCHANGED if tuning.limit is None else tuning.limit
    priority = UNCHANGED if tuning.priority is None else tuning.priority
    return UpdateJob(id=id, limit_bytes_s=limit, priority=priority)


def _command(order: BulkOrder, id: str) -> Request:
    match order.action:
        case "pause":
            return PauseJob(id=id)
        case "resume":
            return ResumeJob(id=id)
        case "cancel":
            return CancelJob(id=id, removed=False)
        case "retry":
            return RetryJob(id=id)
        case "delete":
            return DeleteJob(id=id)
        case "update":
            return _update(order, id)
