"""slskd's API, so that tools made for it get swarm downloads unchanged. One transfer is one job.

The contract is what its clients rely on: spelled in `words` and `models`, jobs as transfers in `transfers`, searches in
`finding`. The other modules are routes.
"""

from fastapi import APIRouter

from protocol.http_api.gateway import Gateway
from protocol.http_api.slskd import application, downloads, searches, stubs, users

__all__ = ["router"]


def router(desk: Gateway) -> APIRouter:
    """All routes. Literal paths come before those with a user's name, which would match them too."""
    routes = APIRouter(tags=["slskd"])
    for room in (application, searches, users, downloads, stubs):
        room.add(routes, desk)
    return routes
