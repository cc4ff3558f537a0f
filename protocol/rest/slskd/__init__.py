"""slskd's API, so that tools made for it get swarm downloads unchanged. One transfer is one job.

The contract is what its clients rely on: spelled in `words` and `models`, jobs as transfers in `transfers`, searches in
`finding`. The other modules are routes.
"""

from fastapi import APIRouter

from protocol.rest.desk import Desk
from protocol.rest.slskd import application, downloads, elsewhere, names_in_paths, people, searches

__all__ = ["names_in_paths", "router"]


def router(desk: Desk) -> APIRouter:
    """All routes. Literal paths come before those with a user's name, which would match them too."""
    routes = APIRouter(tags=["slskd"])
    for room in (application, searches, people, downloads, elsewhere):
        room.add(routes, desk)
    return routes
