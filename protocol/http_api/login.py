"""Password login: sessions for people, with a rate limit on failed throttle."""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway
from protocol.http_api.middleware import authorization
from protocol.http_api.middleware.request_scope import client_address
from protocol.http_api.schema_base import AnyCase

WINDOW_S: Final = 300.0
OF_ONE_MAX: Final = 5
OF_ALL_MAX: Final = 50
ADDRESSES_MAX: Final = 10_000


class LoginThrottle:
    """Rate limiter of failed logins: `OF_ONE_MAX` an address and `OF_ALL_MAX` in all within `WINDOW_S`.

    Pure: the clock is passed in. Memory is bounded however many addresses try.
    """

    def __init__(self) -> None:
        self._all_s: deque[float] = deque()
        self._of_s: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, *, now_s: float) -> float:
        """Return the seconds until this address may try again, 0: now."""
        own = self._of_s.get(_group(address), deque())
        return max(_wait_s(own, OF_ONE_MAX, now_s), _wait_s(self._all_s, OF_ALL_MAX, now_s))

    def failed(self, address: str, *, now_s: float) -> None:
        group = _group(address)
        own = self._of_s.setdefault(group, deque(maxlen=OF_ONE_MAX))
        self._of_s.move_to_end(group)
        own.append(now_s)
        self._all_s.append(now_s)
        if len(self._all_s) > OF_ALL_MAX:
            self._all_s.popleft()
        if len(self._of_s) > ADDRESSES_MAX:
            self._of_s.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget failures of this address: its user knows the password and may mistype it again."""
        self._of_s.pop(_group(address), None)


def _wait_s(failed_s: deque[float], most: int, now_s: float) -> float:
    recent = [at_s for at_s in failed_s if at_s > now_s - WINDOW_S]
    return recent[-most] + WINDOW_S - now_s if len(recent) >= most else 0.0


def _group(address: str) -> str:
    """Return the unit of counting: an IPv4 address, or the /64 of an IPv6 address, all of which one host holds."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return address


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


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix="/api/v0/session", tags=["session"])
    throttle = LoginThrottle()

    @routes.post("", summary="Log in", response_model=SessionBegun)
    async def log_in(request: Request, credentials: Credentials) -> JSONResponse | SessionBegun:
        settings, path = gateway.settings, request.url.path
        address = client_address(request.scope, settings.api.proxies)
        wait_s = throttle.wait_s(address, now_s=time.monotonic())
        if wait_s > 0:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            return error_response(path, "full", "", "too many failed logins, wait", headers=headers)
        right = authorization.is_password(settings.api, credentials.username, credentials.password)
        if settings.api.authentication and not right:
            throttle.failed(address, now_s=time.monotonic())
            return error_response(path, "unauthorized", "", "wrong name or password")
        throttle.succeeded(address)
        token, session = authorization.begin_session(settings, credentials.username, now_s=int(time.time()))
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

    @routes.get("/enabled", summary="Whether a key or session is needed")
    async def enabled() -> bool:
        return gateway.settings.api.authentication

    return routes
