"""Login of people: password, API key or one-time link become a session, as a token or as the page's cookie."""

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from protocol.config.settings import ApiKey
from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway
from protocol.http_api.login_state import TOKEN_S, LoginThrottle
from protocol.http_api.middleware import authorization
from protocol.http_api.middleware.authorization import SESSION, Caller, Session, administrator, cookie_name
from protocol.http_api.middleware.request_scope import client_address, header, is_in
from protocol.http_api.openapi import refusals
from protocol.http_api.schema_base import AnyCase, MaybeMoment, Moment, RequestModel, ResponseModel, Text, moment
from protocol.model.version import program_version

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class Credentials(AnyCase):
    """Name and password, as configured."""

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


Secret = Annotated[str, Field(min_length=1, max_length=1024)]


class PageLogin(RequestModel):
    """One of three ways to log in: a key; a name with its password; the token of a one-time link."""

    key: Secret | None = Field(default=None, description="An API key.", repr=False)
    username: Secret | None = Field(default=None, description="`username` under [api].")
    password: Secret | None = Field(default=None, description="`password` under [api].", repr=False)
    token: Secret | None = Field(default=None, description="What a one-time link has behind #login=.", repr=False)


class WhoAmI(ResponseModel):
    """The caller, as the daemon sees it."""

    name: Text = Field(description="Name of the key, or of the login.")
    role: Text = Field(description="ReadOnly, ReadWrite or Administrator.")
    kind: Text = Field(description="key, session, or open where authentication is off.")
    expires_at: MaybeMoment = Field(description="When the session ends; null without one.")
    version: Text = Field(description="Version of the daemon.")


class LoginLink(ResponseModel):
    """A link that logs a browser of this machine in, once."""

    path: Text = Field(description="What belongs behind the daemon's address.")
    expires_at: Moment = Field(description="From then on it opens nothing.")


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter()
    throttle = LoginThrottle()
    _add_token_login(routes, gateway, throttle)
    _add_page_login(routes, gateway, throttle)
    return routes


def _throttled(
    gateway: Gateway, throttle: LoginThrottle, request: Request, check: Callable[[str], Session | None]
) -> JSONResponse | Session:
    """Return the session that `check(address)` begins, or the answer that refuses it."""
    path = request.url.path
    address = client_address(request.scope, gateway.settings.api.proxies)
    wait_s = throttle.wait_s(address, now_s=time.monotonic())
    if wait_s > 0:
        headers = {"Retry-After": str(math.ceil(wait_s))}
        return error_response(path, "full", "", "too many failed logins, wait", headers=headers)
    session = check(address)
    if session is None:
        throttle.failed(address, now_s=time.monotonic())
        return error_response(path, "unauthorized", "", "wrong name or password")
    throttle.succeeded(address)
    return session


def _add_token_login(routes: APIRouter, gateway: Gateway, throttle: LoginThrottle) -> None:
    @routes.post("/api/v0/session", summary="Log in", response_model=SessionBegun, tags=["session"])
    async def log_in(request: Request, credentials: Credentials) -> JSONResponse | SessionBegun:
        settings = gateway.settings

        def check(_address: str) -> Session | None:
            right = authorization.is_password(settings.api, credentials.username, credentials.password)
            if settings.api.authentication and not right:
                return None
            return authorization.new_session(settings, credentials.username, now_s=int(time.time()))

        session = _throttled(gateway, throttle, request, check)
        if isinstance(session, JSONResponse):
            return session
        return SessionBegun(
            expires=session.ends_s,
            issued=session.begun_s,
            name=session.name,
            notBefore=session.begun_s,
            token=authorization.token_of(settings, session),
            tokenType="Bearer",
        )

    @routes.get(
        "/api/v0/session",
        summary="Whether this session or key is good",
        response_class=PlainTextResponse,
        responses={200: {"description": "It is good. The body is empty: some clients take ``null`` for a failure."}},
        tags=["session"],
    )
    async def look() -> str:
        return ""

    @routes.get("/api/v0/session/enabled", summary="Whether a key or session is needed", tags=["session"])
    async def enabled() -> bool:
        return gateway.settings.api.authentication


def _add_page_login(routes: APIRouter, gateway: Gateway, throttle: LoginThrottle) -> None:
    def begun(login: PageLogin, address: str) -> Session | None:
        settings, now_s = gateway.settings, int(time.time())
        if not settings.api.authentication:
            return authorization.new_session(settings, "anybody", now_s=now_s)
        if login.token is not None:
            good = is_in(address, LOOPBACK) and gateway.login_tokens.take(login.token, now_s=time.monotonic())
            return authorization.new_session(settings, "link", now_s=now_s) if good else None
        if login.key is not None:
            key: ApiKey | None = authorization.key_of(login.key, settings.api.keys)
            if key is None or not is_in(address, key.networks):
                return None
            return authorization.new_session(settings, key.name, now_s=now_s, key=key)
        if authorization.is_password(settings.api, login.username or "", login.password or ""):
            return authorization.new_session(settings, login.username or "", now_s=now_s)
        return None

    @routes.post(
        SESSION,
        summary="Log a browser in, with a cookie",
        response_model=WhoAmI,
        responses=refusals(),
        tags=["session"],
    )
    async def log_browser_in(request: Request, response: Response, login: PageLogin) -> JSONResponse | WhoAmI:
        """Scripts of the page cannot read the cookie, other sites cannot send it."""
        session = _throttled(gateway, throttle, request, lambda address: begun(login, address))
        if isinstance(session, JSONResponse):
            return session
        settings = gateway.settings
        response.set_cookie(
            cookie_name(settings),
            authorization.token_of(settings, session),
            max_age=session.ends_s - session.begun_s,
            path=settings.api.url_base or "/",
            secure=_is_https(request, settings.api.proxies),
            httponly=True,
            samesite="strict",
        )
        return who_is(Caller(name=session.name, role=session.role, kind="session", ends_s=session.ends_s))

    @routes.get(SESSION, summary="Who is asking", response_model=WhoAmI, responses=refusals(), tags=["session"])
    async def who_am_i(caller: Annotated[Caller, Depends(authorization.caller)]) -> WhoAmI:
        return who_is(caller)

    @routes.delete(SESSION, summary="Log a browser out", status_code=204, response_class=Response, tags=["session"])
    async def log_browser_out() -> Response:
        response = Response(status_code=204)
        response.delete_cookie(cookie_name(gateway.settings), path=gateway.settings.api.url_base or "/")
        return response

    @routes.post(
        f"{SESSION}/link",
        summary="A link that logs a browser in",
        responses=refusals(),
        dependencies=[Depends(administrator)],
        tags=["session"],
    )
    async def make_login_link() -> LoginLink:
        """For a browser on the daemon's own machine, once, within some minutes."""
        token = gateway.login_tokens.make(now_s=time.monotonic())
        return LoginLink(path=f"/#login={token}", expires_at=moment(int((time.time() + TOKEN_S) * 1000)))


def who_is(caller: Caller) -> WhoAmI:
    """Return the caller as a response."""
    ends: datetime | None = moment(caller.ends_s * 1000) if caller.ends_s else None
    return WhoAmI(name=caller.name, role=caller.role, kind=caller.kind, expires_at=ends, version=program_version())


def _is_https(request: Request, proxies: tuple[str, ...]) -> bool:
    """Return whether the browser's side is encrypted, as a trusted proxy says."""
    client = request.scope.get("client")
    trusted = client is not None and is_in(client[0], proxies)
    return request.url.scheme == "https" or (trusted and header(request.scope, b"x-forwarded-proto") == "https")
