"""slskd routes of transfers: enqueue, list, cancel, clear."""

import asyncio
import uuid
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.params import Username
from protocol.http_api.slskd import formatting, transfer_mapping
from protocol.http_api.slskd.schemas import (
    FILES_MAX,
    CompactRouter,
    Enqueued,
    FailedFile,
    Guid,
    IncludeRemoved,
    Remove,
    Transfer,
    UserTransfers,
    WantedFile,
    errors,
)
from protocol.http_api.slskd.transfer_mapping import ORIGIN
from protocol.messages import CancelJob, GetJob, HideEndedJobs, ListJobs
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_records import ENDED
from protocol.model.job_views import JobDetail, JobView, whole
from protocol.model.remote_paths import split_remote
from protocol.model.source_url import check_url, slsk_url

_OF_USER: Final = "/{username:lone_user}"
_ONE: Final = "/{username:path}/{id:uuid}"
STEP: Final = 500
AT_ONCE_MAX: Final = 100


class Downloads:
    """Operations of the routes, in terms of jobs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def all(self, *, user: str = "", removed: bool = False, states: tuple[str, ...] = ()) -> list[JobView]:
        """Return all jobs of this origin, the oldest first."""
        page = self._gateway.settings.api.page_max
        jobs: dict[str, JobView] = {}
        offset = 0
        while True:
            found = await self._gateway.ask(
                JOB_MANAGER,
                ListJobs(
                    states=states,
                    origin=ORIGIN,
                    user=user,
                    text="",
                    removed=removed,
                    order="newest",
                    offset=offset,
                    limit=page,
                ),
            )
            rows = found.rows(JobView)
            jobs.update((job.id, job) for job in rows)
            offset += len(rows)
            if len(rows) < page:
                return list(reversed(jobs.values()))

    async def tree(self, *, user: str = "", removed: bool = False) -> list[UserTransfers]:
        """Return all transfers as a tree, built in steps so that other requests are answered meanwhile."""
        tree = transfer_mapping.Tree()
        jobs = await self.all(user=user, removed=removed)
        for first in range(0, len(jobs), STEP):
            tree.add(jobs[first : first + STEP])
            await asyncio.sleep(0)
        return tree.users()

    async def one(self, user: str, id: uuid.UUID) -> JobView:
        """Return one job. Raises `RefusedError` when this user has no such transfer."""
        found = await self._gateway.ask(JOB_MANAGER, GetJob(id=str(id)))
        job = whole(found.rows(JobDetail)).job
        if job.spec.origin != ORIGIN or job.spec.user != user:
            raise RefusedError("unknown", "", "no such transfer")
        return job

    async def cancel(self, user: str, id: uuid.UUID, *, remove: bool) -> None:
        job = await self.one(user, id)
        if job.state in ENDED and not remove:
            return
        await self._cancel(job.id, remove=remove)

    async def forget_ended(self) -> None:
        await self._gateway.ask(JOB_MANAGER, HideEndedJobs(origin=ORIGIN))

    async def enqueue(self, user: str, files: list[WantedFile]) -> Enqueued:
        """Create a job for each file.

        Raises `RefusedError`, with nothing enqueued, when one is invalid or none was accepted.
        """
        for file in files:
            _check(user, file)
        ended = {job.spec.remote_path: job.id for job in await self.all(user=user, states=ENDED)}
        taken: dict[str, Transfer] = {}
        failed: list[FailedFile] = []
        refusals: list[RefusedError] = []
        for file, placed in zip(files, await self._order_all(user, files), strict=True):
            if isinstance(placed, RefusedError):
                refusals.append(placed)
                failed.append(FailedFile(filename=file.filename, message=placed.detail))
                continue
            taken[placed.id] = transfer_mapping.transfer(placed)
            if ended.get(placed.spec.remote_path, placed.id) != placed.id:
                # Clients look for a transfer by its name: an earlier one that failed must not be found instead.
                await self._cancel(ended.pop(placed.spec.remote_path), remove=True)
        if refusals and not taken:
            raise refusals[0]
        return Enqueued(enqueued=list(taken.values()), failed=failed)

    async def _order_all(self, user: str, files: list[WantedFile]) -> list[JobView | RefusedError]:
        """Create the jobs concurrently, in order: the job manager commits together what comes together."""
        placed: list[JobView | RefusedError] = []
        for first in range(0, len(files), AT_ONCE_MAX):
            part = files[first : first + AT_ONCE_MAX]
            placed += await asyncio.gather(*(self._order(user, file) for file in part))
        return placed

    async def _order(self, user: str, file: WantedFile) -> JobView | RefusedError:
        settings = self._gateway.settings
        ordering = self._gateway.ask(
            JOB_MANAGER,
            transfer_mapping.order(
                user,
                file.filename,
                file.size,
                downloads=settings.daemon.downloads,
                chunk_size=settings.daemon.chunk_size,
                widen=settings.slskd.widen,
            ),
        )
        try:
            return whole((await ordering).rows(JobDetail)).job
        except RefusedError as refused:
            return refused

    async def _cancel(self, id: str, *, remove: bool) -> None:
        await self._gateway.ask(JOB_MANAGER, CancelJob(id=id, removed=remove))


def _check(user: str, file: WantedFile) -> None:
    if formatting.traverses(file.filename):
        raise RefusedError("invalid", "filename", "filename: '..' is no part of a remote path")
    if not split_remote(file.filename)[1]:
        raise RefusedError("invalid", "filename", "filename: a folder, not a file")
    try:
        check_url(slsk_url(user, file.filename))
    except (ValueError, UnicodeError) as error:
        raise RefusedError("invalid", "filename", f"no possible file of this user: {error}") from None


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = CompactRouter(prefix="/api/v0/transfers/downloads", tags=["slskd"])
    downloads = Downloads(gateway)
    _add_lists(routes, downloads)
    _add_one(routes, downloads)
    _add_of_user(routes, downloads)
    return routes


def _add_lists(routes: APIRouter, downloads: Downloads) -> None:
    @routes.delete("/all/completed", status_code=204, summary="List none of the ended transfers any more")
    async def forget_ended() -> None:
        await downloads.forget_ended()

    @routes.get("", summary="All transfers, by user and remote folder")
    async def everything(includeRemoved: IncludeRemoved = False) -> list[UserTransfers]:  # noqa: N803 - as clients write it
        return await downloads.tree(removed=includeRemoved)


def _add_one(routes: APIRouter, downloads: Downloads) -> None:
    @routes.get(f"{_ONE}/position", summary="Place in a queue", responses=errors(404))
    async def position(username: Username, id: Guid) -> int:
        return max((await downloads.one(username, id)).queue_place, 0)

    @routes.get(_ONE, summary="One transfer", responses=errors(404))
    async def one(username: Username, id: Guid) -> Transfer:
        return transfer_mapping.transfer(await downloads.one(username, id))

    @routes.delete(
        _ONE, status_code=204, summary="End a transfer; with remove it is not listed any more", responses=errors(404)
    )
    async def cancel(username: Username, id: Guid, remove: Remove = False) -> None:
        await downloads.cancel(username, id, remove=remove)


def _add_of_user(routes: APIRouter, downloads: Downloads) -> None:
    @routes.post(
        _OF_USER,
        status_code=201,
        summary="Fetch files of a user, and of all others who have the same",
        responses=errors(400, 429),
    )
    async def enqueue(
        username: Username, files: Annotated[list[WantedFile], Field(min_length=1, max_length=FILES_MAX)]
    ) -> Enqueued:
        return await downloads.enqueue(username, files)

    @routes.get(_OF_USER, summary="The transfers of one user", responses=errors(400, 404))
    async def of_user(username: Username) -> UserTransfers:
        tree = await downloads.tree(user=username)
        if not tree:
            raise _no_such(username)
        return tree[0]

    @routes.delete(_OF_USER, status_code=404, summary="Nothing is ended without an id", responses=errors(400, 404))
    async def no_id(username: Username) -> str:
        raise _no_such(username)


def _no_such(path: str) -> RefusedError:
    """Neither a user with transfers, nor a user and a GUID."""
    if "/" in path:
        return RefusedError("invalid", "id", "id: not a GUID")
    return RefusedError("unknown", "", "this user has no transfers")
