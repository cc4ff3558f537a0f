"""ASGI application of the HTTP API: routers, middleware, background tasks.

How to add routes: a function ``router(gateway: Gateway) -> APIRouter`` in a module, with full paths
(``/api/v0/multisource/jobs``), and one line in `ROUTERS`. Order counts: literal paths before those with parameters that
match them too. A task that runs beside requests is an ``async def NAME(gateway) -> None`` in `TASKS`.

What a handler may rely on:

- ``await gateway.ask(JOB_MANAGER, GetJob(id=id))`` gives an
  `Answer` (``.row(JobDetail)``, ``.rows(JobView)``, ``.total``). `RefusedError` and `UnavailableError` become the right
  status and body. Raise `RefusedError(kind, field, detail)` for refusals of your own.
- ``with gateway.open_request() as pending`` for everything that is answered by several messages, ``with
  gateway.listen() as listener`` for events. Whatever else holds a request open watches `gateway.closing`.
- The caller is authorized already: reading needs ReadOnly, every other method ReadWrite. A route that needs more has
  ``dependencies=[Depends(administrator)]``.
- Paths are normalized, bodies bounded, hosts and origins checked; a wrong parameter is answered with 400 and its name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Final

from fastapi import APIRouter, FastAPI

from protocol.http_api import errors, login, monitoring, openapi, page_files
from protocol.http_api.events import hook_runner
from protocol.http_api.events import routes as events
from protocol.http_api.gateway import Gateway
from protocol.http_api.middleware.authorization import Authorization
from protocol.http_api.middleware.request_guard import RequestGuard
from protocol.http_api.middleware.request_scope import PathNormalization
from protocol.http_api.native import downloads, fleet, folders, jobs, live, metalinks, soulseek, wishlist
from protocol.http_api.slskd import application, hubs, reports, searches, users
from protocol.http_api.slskd import downloads as transfers
from protocol.model.version import program_version

MakeRouter = Callable[[Gateway], APIRouter]
ROUTERS: Final[tuple[MakeRouter, ...]] = (
    page_files.router,
    monitoring.router,
    login.router,
    events.router,
    live.router,
    downloads.router,
    folders.router,
    fleet.router,
    metalinks.router,
    jobs.router,
    soulseek.router,
    wishlist.router,
    application.router,
    reports.router,
    hubs.router,
    searches.router,
    users.router,
    transfers.router,
)
TASKS: Final[tuple[Callable[[Gateway], Awaitable[None]], ...]] = (hook_runner.run_hooks, wishlist.search_wishes)


def build_app(gateway: Gateway, made: Mapping[MakeRouter, APIRouter] = MappingProxyType({})) -> FastAPI:
    """Build the application. Call it in the loop that it will run in. `made`: routers that need not be made again."""
    app = FastAPI(
        title="Shoal",
        version=program_version(),
        lifespan=_lifespan(gateway),
        openapi_url="/api/v0/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    openapi.describe(app)
    routers = [made[make] if make in made else make(gateway) for make in ROUTERS]
    for router in routers:
        app.include_router(router)
    routes = [route for router in routers for route in router.routes]
    # The middleware added last runs first.
    app.add_middleware(Authorization, gateway=gateway)
    app.add_middleware(PathNormalization, routes=routes, url_base=gateway.settings.api.url_base)
    app.add_middleware(RequestGuard, gateway=gateway)
    return app


def _lifespan(gateway: Gateway) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(task(gateway)) for task in TASKS]
        try:
            yield
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan
