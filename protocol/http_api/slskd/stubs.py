"""What clients of slskd may look at in passing, and what is empty here: uploads, shares, rooms."""

from fastapi import APIRouter
from fastapi.responses import Response

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.native.params import Username
from protocol.http_api.slskd import schemas
from protocol.http_api.slskd.schemas import Shares, UserTransfers, answer


def add(routes: APIRouter, _desk: Gateway) -> None:
    @routes.get("/api/v0/transfers/uploads", response_model=list[UserTransfers], summary="Uploads: none are listed")
    async def uploads(includeRemoved: schemas.IncludeRemoved = False) -> Response:  # noqa: N803 - as clients write it
        return answer([])

    @routes.delete(
        "/api/v0/transfers/uploads/all/completed",
        status_code=204,
        response_class=Response,
        summary="Nothing to forget",
    )
    async def forget_uploads() -> Response:
        return Response(status_code=204)

    @routes.get(
        "/api/v0/transfers/uploads/{username:lone_user}",
        response_model=UserTransfers,
        summary="Uploads to a user: none are listed",
        responses=schemas.errors(404),
    )
    async def uploads_to(username: Username) -> Response:
        raise RefusedError("unknown", "", "no such transfer")

    @routes.get("/api/v0/shares", response_model=Shares, summary="Shared folders: none are listed")
    async def shares() -> Response:
        return answer(Shares())

    @routes.get("/api/v0/rooms/joined", response_model=list[str], summary="Chat rooms: none")
    async def joined() -> Response:
        return answer([])

    @routes.get("/api/v0/conversations", response_model=list[str], summary="Private messages: none")
    async def conversations() -> Response:
        return answer([])
