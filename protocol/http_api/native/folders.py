"""Routes of folder downloads: a Soulseek user's folder as one order, a job for each of its files."""

import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Response

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import serializers, validation
from protocol.http_api.native.order_schemas import FolderOrder
from protocol.http_api.native.queries import ROOT, ask_manager, command_all, need_account, shared_files
from protocol.http_api.openapi import TOTAL, add_route, refusals
from protocol.http_api.params import PAGE, Flag, IdempotencyKey, JobId, Limit, Offset
from protocol.messages import CancelJob, CreateJob, ExplainJob, ListFolders, ListJobs, PauseJob, ResumeJob, RetryJob
from protocol.model.job_records import ACTIVE, CANCELLED, FAILED, PAUSED, QUEUED, SEALED
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import Bottleneck, FolderView, JobDetail, JobView, whole
from protocol.model.remote_paths import FOLDER_FILES_MAX, FolderFile, folder_files, local_folder, search_term
from protocol.model.source_url import slsk_url

FILES_S: Final = 90.0
"""Time for the user's list: it comes from the user's own machine, over one more connection."""
SEARCH_S: Final = 8.0
"""How long answers to the first search for other holders of a file are awaited."""
WHY_MAX: Final = 20
STATES: Final = (ACTIVE, QUEUED, PAUSED, FAILED, CANCELLED, SEALED)
"""States of a folder download: the first of these that one of its files is in."""
_COMMANDS: Final = {"pause": PauseJob, "resume": ResumeJob, "retry": RetryJob}

WithFiles = Annotated[Flag, Query(description="Whether its files are wanted, else the sum only.")]
ACTIONS: Final = ("pause", "resume", "cancel", "retry")


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])
    folders = _Folders(gateway)
    paged: dict[int | str, dict[str, Any]] = {200: {"headers": TOTAL, "description": "A page of them."}}
    routes.add_api_route(
        "/folder",
        folders.order_folder,
        methods=["POST"],
        status_code=202,
        response_model=schemas.FolderDetail,
        responses=refusals(404, 409),
        summary="Fetch a folder of a Soulseek user",
        operation_id="order_folder",
    )
    for method, path, handler, summary, model, responses in (
        ("GET", "/folders", folders.list_folders, "Folder downloads, the newest first", list[schemas.Folder],
         {**paged, **refusals()}),
        ("GET", "/folders/{id}", folders.get_folder, "One folder download with its files", schemas.FolderDetail,
         refusals(404)),
        ("GET", "/folders/{id}/why", folders.explain_folder, "What holds its files back now, in words",
         list[schemas.Why], refusals(404)),
    ):  # fmt: skip
        add_route(routes, method, path, handler, summary=summary, model=model, responses=responses)
    for action in ACTIONS:
        routes.add_api_route(
            f"/folders/{{id}}/{action}",
            partial(folders.command_folder, action),
            methods=["POST"],
            response_model=schemas.BulkDone,
            responses=refusals(404),
            summary=f"{action.capitalize()} all its files",
            description="As the command to one job; each file does it or is refused for itself.",
            operation_id=f"{action}_folder",
        )
    return routes


class _Folders:
    """Handlers of these routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway

    async def order_folder(
        self, order: Annotated[FolderOrder, Body()], idempotency_key: IdempotencyKey = None
    ) -> schemas.FolderDetail:
        """The user is asked for the folder's files now; each becomes a job, in the order of their names.

        What the user has is what is fetched; others who have the same file make it faster. The files go into a folder
        of the same name; those of the right size that are there already count as fetched. Without a login: 409; the
        user is away or has no such folder: 404.
        """
        need_account(self._gateway)
        root = validation.folder(order.folder, self._gateway.settings.daemon)
        listed, truncated = await shared_files(
            self._gateway,
            order.username,
            "" if order.recursive else order.remote_folder,
            field="remoteFolder",
            wait_s=FILES_S,
        )
        files = folder_files(listed, order.remote_folder, recursive=order.recursive)
        if not files:
            raise RefusedError("unknown", "remoteFolder", "there is no file in this folder")
        if len(files) > FOLDER_FILES_MAX:
            detail = f"there are {len(files)} files in it, at most {FOLDER_FILES_MAX} are fetched with one order"
            raise RefusedError("invalid", "remoteFolder", detail)
        digest = hashlib.sha256(order.model_dump_json().encode()).hexdigest() if idempotency_key else ""
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{idempotency_key} {digest}") if idempotency_key else uuid.uuid4())
        place = os.path.join(root, local_folder(order.remote_folder))
        jobs = await self._create(order, place, id, files, idempotency_key, digest)
        return _detail(id, jobs, truncated=truncated)

    async def list_folders(self, response: Response, offset: Offset = 0, limit: Limit = PAGE) -> list[schemas.Folder]:
        """Those of which at least one job is known still."""
        answer = await ask_manager(self._gateway, ListFolders(offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return [schemas.Folder(**_summary(row.id, await self._jobs(row.id))) for row in answer.rows(FolderView)]

    async def get_folder(self, id: JobId, files: WithFiles = True) -> schemas.FolderDetail:
        """Its files in the order in which they were ordered."""
        found = _detail(id.lower(), await self._known(id), truncated=False)
        return found if files else found.model_copy(update={"files": []})

    async def explain_folder(self, id: JobId) -> list[schemas.Why]:
        """Of the first of its files that are not there yet."""
        waiting = [job for job in await self._known(id) if job.state != SEALED][:WHY_MAX]
        answers = [await ask_manager(self._gateway, ExplainJob(id=job.id)) for job in waiting]
        return [serializers.why(job.id, answer.rows(Bottleneck)) for job, answer in zip(waiting, answers, strict=True)]

    async def command_folder(self, action: str, id: JobId) -> schemas.BulkDone:
        """Each file does it or is refused for itself."""
        jobs = await self._known(id)
        cancel = action == "cancel"
        return await command_all(
            self._gateway,
            [(job.id, CancelJob(id=job.id, removed=False) if cancel else _COMMANDS[action](id=job.id)) for job in jobs],
        )

    async def _create(
        self, order: FolderOrder, place: str, id: str, files: Sequence[FolderFile], key: str | None, digest: str
    ) -> list[JobView]:
        """Create a job for each file. When one is refused, the error says so; those before it stay."""
        spec = JobSpec(
            folder=place,
            chunk_size=order.chunk_size or self._gateway.settings.daemon.chunk_size,
            mode=order.mode,
            limit_bytes_s=order.limit,
            priority=order.priority,
            origin=validation.ORIGIN,
            private_ok=False,
            existing="resume",
            folder_id=id,
            template_root=validation.template_root(order, self._gateway.settings.daemon),
        )
        jobs = list[JobView]()
        for file in files:
            create = CreateJob(
                spec=spec.but(
                    folder=os.path.join(place, file.place).rstrip("/"),
                    name=file.name,
                    size_bytes=file.size_bytes,
                    term=search_term(file.path) if order.widen else "",
                    search_s=SEARCH_S,
                    user=order.username,
                    remote_path=file.path,
                    widen=order.widen,
                ),
                sources=(slsk_url(order.username, file.path),),
                key=hashlib.sha256(f"{key} {file.path}".encode()).hexdigest() if key else "",
                digest=digest,
            )
            jobs.append(whole((await ask_manager(self._gateway, create)).rows(JobDetail)).job)
        return jobs

    async def _jobs(self, id: str) -> list[JobView]:
        listed = ListJobs(
            states=(), origin="", user="", text="", removed=True, order="oldest", offset=0, limit=FOLDER_FILES_MAX,
            folder_id=id,
        )  # fmt: skip
        return (await ask_manager(self._gateway, listed)).rows(JobView)

    async def _known(self, id: str) -> list[JobView]:
        jobs = await self._jobs(id.lower())
        if not jobs:
            raise RefusedError("unknown", "id", "there is no such folder download")
        return jobs


def _summary(id: str, jobs: Sequence[JobView]) -> dict[str, Any]:
    states = Counter(job.state for job in jobs)
    sizes = [job.size_bytes for job in jobs]
    stored = sum(job.size_bytes if job.state == SEALED else job.stored_bytes for job in jobs)
    size = sum(sizes) if all(each >= 0 for each in sizes) else -1
    left = [job.left_s for job in jobs if job.state in (ACTIVE, QUEUED)]
    state = next((each for each in STATES if states[each]), SEALED)
    folder = os.path.commonpath([job.spec.folder for job in jobs]) if jobs else ""
    return {
        "id": id,
        "state": state,
        "name": os.path.basename(folder),
        "folder": folder,
        "username": jobs[0].spec.user if jobs else "",
        "file_count": len(jobs),
        "states": dict(states),
        "size_bytes": size,
        "stored_bytes": stored,
        "percent": serializers.percent(state, stored, size),
        "rate_bytes_s": sum(job.rate_bytes_s for job in jobs),
        "left_s": max(left) if left and all(each >= 0 for each in left) else -1,
    }


def _detail(id: str, jobs: Sequence[JobView], *, truncated: bool) -> schemas.FolderDetail:
    files = [serializers.job(job) for job in jobs]
    return schemas.FolderDetail(**_summary(id, jobs), files=files, truncated=truncated)
