"""Whether the process lives (`/health`) and whether the daemon can work (`/health/ready`). For anybody."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from protocol.messages import CountsQueried
from protocol.post import KEEPER
from protocol.rest.desk import Desk, RefusedError, UnavailableError

READY_S_MAX = 2.0


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Whether the API's process lives")
    async def alive() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @routes.get("/health/ready", summary="Whether jobs can be ordered and asked about")
    async def ready() -> JSONResponse:
        why = ""
        try:
            await desk.ask(
                KEEPER, lambda number, address: CountsQueried(request=number, reply_to=address), wait_s=READY_S_MAX
            )
        except (UnavailableError, RefusedError) as error:
            why = str(error)
        login = desk.session.state if desk.session is not None else "none"
        if why:
            return JSONResponse({"status": "unavailable", "detail": why, "login": login}, status_code=503)
        return JSONResponse({"status": "ready", "login": login})

    return routes
