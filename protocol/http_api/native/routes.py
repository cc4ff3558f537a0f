"""The native API: jobs, orders, sources and users below ``/api/v0/multisource``."""

from typing import Final

from fastapi import APIRouter

from protocol.http_api.gateway import Gateway
from protocol.http_api.native import downloads, jobs, soulseek

TAG: Final = "multisource"


def router(desk: Gateway) -> APIRouter:
    routes = APIRouter(prefix="/api/v0/multisource", tags=[TAG])
    for part in (downloads, jobs, soulseek):
        part.add(routes, desk)
    return routes
