"""slskd routes of Soulseek users: presence and shared files."""

from typing import Final

from fastapi import APIRouter

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native.queries import shared_files
from protocol.http_api.params import Username
from protocol.http_api.slskd import formatting
from protocol.http_api.slskd.schemas import (
    Browse,
    CompactRouter,
    Directory,
    DirectoryBody,
    DirectoryFile,
    UserStatus,
    errors,
)
from protocol.messages import GetUser, UserDescribed
from protocol.messages.addresses import SESSION

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

    @routes.get("/browse", summary="Everything that a user shares", responses=errors(404, 503))
    async def browse(username: Username) -> Browse:
        found = await files_of(gateway, username, "")
        return Browse(directories=found, directory_count=len(found))

    @routes.get("/browse/status", include_in_schema=False)
    async def browsing(username: Username) -> str:
        raise RefusedError("unknown", "", "nothing is being browsed")

    @routes.get("/status", summary="Whether a user is there", responses=errors(404, 503))
    async def status(username: Username) -> UserStatus:
        reply = await presence_of(gateway, username)
        return UserStatus(presence=reply.presence or "Offline", is_privileged=reply.privileged)

    return routes


def _file(name: str, size: int) -> DirectoryFile:
    return DirectoryFile(filename=name, size=size, extension=formatting.extension(name))


def _directory(name: str, files: list[DirectoryFile]) -> Directory:
    return Directory(name=name, file_count=len(files), files=files)
