"""slskd routes of Soulseek users: presence, description, address and shared files."""

from collections import Counter
from typing import Final

from fastapi import APIRouter

from protocol.http_api.gateway import Answer, Gateway, RefusedError, UnavailableError
from protocol.http_api.native.queries import shared_files
from protocol.http_api.params import Username
from protocol.http_api.slskd import formatting
from protocol.http_api.slskd.schemas import (
    Browse,
    BrowseStatus,
    CompactRouter,
    Directory,
    DirectoryBody,
    DirectoryFile,
    UserEndpoint,
    UserInfo,
    UserStatus,
    errors,
)
from protocol.messages import GetUser, GetUserAddress, GetUserInfo, UserDescribed
from protocol.messages.addresses import SESSION
from protocol.messages.base import Request
from protocol.model.job_views import UserAddressView, UserInfoView

FILES_S_MAX: Final = 45.0
"""A user's list comes over a connection that has to be made first, and may be long."""
STATUS_S_MAX: Final = 10.0


async def files_of(gateway: Gateway, user: str, folder: str) -> list[Directory]:
    """Return what this user shares, folder by folder; of one folder when it is named.

    Raises `RefusedError` when the user is not there or has no such folder, and `UnavailableError`.
    """
    folders, _ = await shared_files(gateway, user, folder, field="", wait_s=FILES_S_MAX)
    return [_directory(name, [_file(*file) for file in files]) for name, files in folders.items()]


async def presence_of(gateway: Gateway, user: str) -> UserDescribed:
    """Return whether this user is there. Raises `UnavailableError`."""
    with gateway.open_request() as pending:
        pending.ask(SESSION, GetUser(peer=user))
        reply = await pending.next(wait_s=STATUS_S_MAX)
    if not isinstance(reply, UserDescribed):
        raise UnavailableError("there was no answer whether this user is there")
    return reply


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = CompactRouter(prefix="/api/v0/users/{username:path}", tags=["slskd"])

    @routes.post("/directory", summary="What lies in one folder of a user", responses=errors(404, 503))
    async def directory(username: Username, body: DirectoryBody) -> list[Directory]:
        found = await files_of(gateway, username, body.directory)
        if not found:
            raise RefusedError("unknown", "", "no such folder")
        # Who asked for a folder reads the first one; folders below it may come along.
        return sorted(found, key=lambda each: each.name != body.directory)

    browsed: Counter[str] = Counter()

    @routes.get("/browse", summary="Everything that a user shares", responses=errors(404, 503))
    async def browse(username: Username) -> Browse:
        browsed[username] += 1
        try:
            found = await files_of(gateway, username, "")
        finally:
            browsed.subtract([username])
            if not browsed[username]:
                del browsed[username]
        return Browse(directories=found, directory_count=len(found))

    @routes.get("/browse/status", summary="How far a list that is being fetched is", responses=errors(404))
    async def browsing(username: Username) -> BrowseStatus:
        if username not in browsed:
            raise RefusedError("unknown", "", "nothing is being browsed")
        return BrowseStatus(username=username)

    @routes.get("/info", summary="What a user says of itself", responses=errors(404, 409))
    async def info(username: Username) -> UserInfo:
        answer = await _asked(gateway, username, GetUserInfo(peer=username), wait_s=FILES_S_MAX)
        return UserInfo.model_validate(answer.row(UserInfoView), from_attributes=True)

    @routes.get("/endpoint", summary="Where a user listens", responses=errors(404, 409))
    async def endpoint(username: Username) -> UserEndpoint:
        answer = await _asked(gateway, username, GetUserAddress(peer=username), wait_s=STATUS_S_MAX)
        return UserEndpoint.model_validate(answer.row(UserAddressView), from_attributes=True)

    @routes.get("/status", summary="Whether a user is there", responses=errors(404, 503))
    async def status(username: Username) -> UserStatus:
        reply = await presence_of(gateway, username)
        return UserStatus(presence=reply.presence or "Offline", is_privileged=reply.privileged)

    return routes


def _file(name: str, size: int) -> DirectoryFile:
    return DirectoryFile(filename=name, size=size, extension=formatting.extension(name))


def _directory(name: str, files: list[DirectoryFile]) -> Directory:
    return Directory(name=name, file_count=len(files), files=files)


async def _asked(gateway: Gateway, user: str, question: Request, *, wait_s: float) -> Answer:
    """Ask the session about a user; one who does not answer in time is as one who is not there."""
    try:
        return await gateway.ask(SESSION, question, wait_s=wait_s)
    except UnavailableError as error:
        raise RefusedError("unknown", "username", f"{user} does not answer: {error}") from None
    except RefusedError as error:
        kind = "unknown" if error.kind == "unavailable" else error.kind
        raise RefusedError(kind, "username", error.detail) from None
