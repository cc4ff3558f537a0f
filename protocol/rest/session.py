"""The login for people: name and password become a session."""

import math
import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from protocol.rest import sessions
from protocol.rest.addresses import sender
from protocol.rest.attempts import Attempts
from protocol.rest.desk import Desk
from protocol.rest.errors import error_response
from protocol.rest.spelling import AnyCase


class Credentials(AnyCase):
    """Name and password as they stand in the configuration."""

    username: str = Field(min_length=1, max_length=255, description="`username` under [api]")
    password: str = Field(min_length=1, max_length=1024, description="`password` under [api]", repr=False)


class SessionBegun(BaseModel):
    """A session. Times are seconds since 1970."""

    model_config = ConfigDict(title="Session")

    expires: int = Field(description="when it ends, seconds since 1970")
    issued: int = Field(description="when it began")
    name: str = Field(description="whose it is")
    notBefore: int = Field(description="from when on it is good")  # noqa: N815
    token: str = Field(description="goes into `Authorization: Bearer`", repr=False)
    tokenType: str = Field(description="always `Bearer`")  # noqa: N815


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/api/v0/session", tags=["session"])
    attempts = Attempts()

    @routes.post("", summary="Log in", response_model=SessionBegun)
    async def log_in(request: Request, credentials: Credentials) -> JSONResponse | SessionBegun:
        settings, path = desk.settings, request.url.path
        address = sender(request.scope, settings.api.proxies)
        wait_s = attempts.wait_s(address, now_s=time.monotonic())
        if wait_s > 0:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            return error_response(path, "full", "", "too many failed logins, wait", headers=headers)
        right = sessions.is_password(settings.api, credentials.username, credentials.password)
        if settings.api.authentication and not right:
            attempts.failed(address, now_s=time.monotonic())
            return error_response(path, "unauthorized", "", "wrong name or password")
        attempts.succeeded(address)
        token, session = sessions.begin(settings, credentials.username, now_s=int(time.time()))
        return SessionBegun(
            expires=session.ends_s,
            issued=session.begun_s,
            name=session.name,
            notBefore=session.begun_s,
            token=token,
            tokenType="Bearer",
        )

    @routes.get(
        "",
        summary="Whether this session or key is good",
        responses={200: {"description": "It is good.", "content": {"application/json": {"schema": {"type": "null"}}}}},
    )
    async def look() -> None:
        return None

    @routes.get("/enabled", summary="Whether anybody is asked for a key")
    async def enabled() -> bool:
        return desk.settings.api.authentication

    return routes
