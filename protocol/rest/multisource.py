"""The native API: jobs, orders, sources and users below ``/api/v0/multisource``."""

from typing import Final

from fastapi import APIRouter

from protocol.rest import multisource_jobs, multisource_orders, multisource_users
from protocol.rest.desk import Desk

TAG: Final = "multisource"


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/api/v0/multisource", tags=[TAG])
    for part in (multisource_orders, multisource_jobs, multisource_users):
        part.add(routes, desk)
    return routes
