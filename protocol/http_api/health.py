"""Whether the process lives (`/health`) and whether the daemon can work (`/health/ready`). For anybody."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.messages import GetCounts
from protocol.messages.addresses import JOB_MANAGER

READY_S_MAX: Final = 2.0


class Alive(BaseModel):
    """The API's process lives."""

    status: Literal["alive"] = Field(default="alive", description="Always alive.")


class Readiness(BaseModel):
    """Whether the daemon can work."""

    status: Literal["ready", "unavailable"] = Field(description="Whether jobs can be ordered and asked about.")
    login: Annotated[str, Field(max_length=100)] = Field(
        description="State of the Soulseek login; none: without an account, or not told yet."
    )
    detail: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="Why it is unavailable; left out when it is ready."
    )


def router(desk: Gateway) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Whether the API's process lives")
    async def alive() -> Alive:
        return Alive()

    @routes.get(
        "/health/ready",
        summary="Whether jobs can be ordered and asked about",
        response_model_exclude_none=True,
        responses={503: {"model": Readiness, "description": "Not now; detail says why."}},
    )
    async def ready(response: Response) -> Readiness:
        login = desk.session.state if desk.session is not None else "none"
        try:
            await desk.ask(
                JOB_MANAGER, lambda number, address: GetCounts(request=number, reply_to=address), wait_s=READY_S_MAX
            )
        except (UnavailableError, RefusedError) as error:
            response.status_code = 503
            return Readiness(status="unavailable", login=login, detail=str(error))
        return Readiness(status="ready", login=login)

    return routes
