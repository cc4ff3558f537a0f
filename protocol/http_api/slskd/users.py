"""Soulseek users: whether they are there and what they share."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native.params import Username
from protocol.http_api.slskd import formatting, schemas
from protocol.http_api.slskd.schemas import Browse, Directory, DirectoryBody, DirectoryFile, UserStatus, answer
from protocol.messages import BrowseUser, FilesListed, GetUser, RequestRefused, UserDescribed
from protocol.messages.addresses import SESSION

FILES_S_MAX: Final = 45.0
"""A user's list comes over a connection that has to be made first, and may be long."""
STATUS_S_MAX: Final = 10.0


async def files_of(desk: Gateway, user: str, folder: str) -> list[Directory]:
    """What this user shares, folder by folder; of one folder when it is named. Raises `RefusedError` when the user is
    not there or has no such folder, and `UnavailableError`."""
    folders: dict[str, list[DirectoryFile]] = {}
    with desk.talk() as talk:
        talk.post(SESSION, BrowseUser(request=talk.number, reply_to=desk.address, peer=user, folder=folder))
        while True:
            match await talk.next(wait_s=FILES_S_MAX):
                case None:
                    raise UnavailableError(f"{user} did not answer within {FILES_S_MAX:.0f} s")
                case FilesListed(refused=refused) if refused:
                    raise RefusedError("unknown", "", refused)
                case FilesListed(folder=name, names=names, sizes=sizes, last=last):
                    if names:
                        folders.setdefault(name, []).extend(map(_file, names, sizes))
                    if last:
                        return [_directory(name, files) for name, files in folders.items()]
                case RequestRefused(kind=kind, field=field, detail=detail):
                    raise RefusedError(kind, field, detail)
                case _:
                    pass


async def presence_of(desk: Gateway, user: str) -> UserDescribed:
    """Raises `UnavailableError`."""
    with desk.talk() as talk:
        talk.post(SESSION, GetUser(request=talk.number, reply_to=desk.address, peer=user))
        told = await talk.next(wait_s=STATUS_S_MAX)
    if not isinstance(told, UserDescribed):
        raise UnavailableError("nobody said whether this user is there")
    return told


def add(routes: APIRouter, desk: Gateway) -> None:
    @routes.post(
        "/api/v0/users/{username:path}/directory",
        response_model=list[Directory],
        summary="What lies in one folder of a user",
        responses=schemas.errors(404, 503),
    )
    async def directory(username: Username, body: DirectoryBody) -> Response:
        found = await files_of(desk, username, body.directory)
        if not found:
            raise RefusedError("unknown", "", "no such folder")
        # Who asked for a folder reads the first one; folders below it may come along.
        return answer(sorted(found, key=lambda each: each.name != body.directory))

    @routes.get(
        "/api/v0/users/{username:path}/browse",
        response_model=Browse,
        summary="Everything that a user shares",
        responses=schemas.errors(404, 503),
    )
    async def browse(username: Username) -> Response:
        found = await files_of(desk, username, "")
        return answer(Browse(directories=found, directory_count=len(found)))

    @routes.get(
        "/api/v0/users/{username:path}/browse/status",
        include_in_schema=False,
    )
    async def browsing(username: Username) -> Response:
        raise RefusedError("unknown", "", "nothing is being browsed")

    @routes.get(
        "/api/v0/users/{username:path}/status",
        response_model=UserStatus,
        summary="Whether a user is there",
        responses=schemas.errors(404, 503),
    )
    async def status(username: Username) -> Response:
        told = await presence_of(desk, username)
        return answer(UserStatus(presence=told.presence or "Offline", is_privileged=told.privileged))


def _file(name: str, size: int) -> DirectoryFile:
    return DirectoryFile(filename=name, size=size, extension=formatting.extension(name))


def _directory(name: str, files: list[DirectoryFile]) -> Directory:
    return Directory(name=name, file_count=len(files), files=files)
