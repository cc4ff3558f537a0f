"""The API as one ASGI application.

How to add routes: a module `protocol/rest/NAME.py` with a function ``router(desk: Gateway) -> APIRouter``, full paths
in the routes (``/api/v0/multisource/jobs``), and one line in `ROUTERS` below. Order counts: literal paths before those
with parameters that match them too. What goes on beside requests is an ``async def NAME(desk) -> None`` in `TASKS`,
begun with the application and cancelled with it.

What a handler may rely on:

- ``await desk.ask(JOB_MANAGER, lambda number, address: GetJob(request=number, reply_to=address, id=id))`` gives an
  `Answer` (``.row(JobDetail)``, ``.rows(JobView)``, ``.total``). `RefusedError` and `UnavailableError` need not be
  caught: they become the right status and body. Raise `RefusedError(kind, field, detail)` for refusals of your own.
- ``with desk.talk() as talk: talk.post(SESSION, StartSearch(search=talk.number, reply_to=desk.address, ...))`` and
  ``await talk.next(wait_s=...)`` for everything that is answered by several messages.
- ``with desk.listen() as listener: await listener.next(wait_s=15)`` for events. Streams end when that raises
  `UnavailableError`; whatever else holds a request open watches `desk.closing`.
- ``desk.settings`` is what holds now; read it at every request, it changes when the configuration is read again.
- Who asks was let in already (`protocol.http_api.middleware.authorization`): reading needs ReadOnly, every other
  method ReadWrite. A route
  that needs more has ``dependencies=[Depends(administrator)]``.
- Paths come in one spelling (`protocol.http_api.middleware.paths`): without base and trailing slash, literal parts in
  lower case.
- Bodies that are too large, unknown hosts and foreign origins do not get here
  (`protocol.http_api.middleware.request_guard`).
- Errors of parameters and bodies are answered with 400 and the field's name (`protocol.http_api.errors`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI

from protocol.http_api import errors, health, login, metrics, openapi, slskd
from protocol.http_api.events import hook_runner
from protocol.http_api.events import routes as events
from protocol.http_api.gateway import Gateway
from protocol.http_api.middleware.authorization import Access
from protocol.http_api.middleware.paths import Paths
from protocol.http_api.middleware.request_guard import Guard
from protocol.http_api.native import routes as multisource
from protocol.model.version import program_version

ROUTERS: Final[tuple[Callable[[Gateway], APIRouter], ...]] = (
    health.router,
    metrics.router,
    login.router,
    events.router,
    multisource.router,
    slskd.router,
)
TASKS: Final[tuple[Callable[[Gateway], Awaitable[None]], ...]] = (hook_runner.hooks,)


def build_app(desk: Gateway) -> FastAPI:
    """The application around this desk. Call it in the loop that it will run in."""
    app = FastAPI(
        title="Shoal",
        version=program_version(),
        lifespan=_lifespan(desk),
        openapi_url="/api/v0/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    openapi.describe(app)
    routers = [make(desk) for make in ROUTERS]
    for router in routers:
        app.include_router(router)
    routes = [route for router in routers for route in router.routes]
    # The last one added is the first one passed.
    app.add_middleware(Access, desk=desk)
    app.add_middleware(Paths, routes=routes, url_base=desk.settings.api.url_base)
    app.add_middleware(Guard, desk=desk)
    return app


def _lifespan(desk: Gateway) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(task(desk)) for task in TASKS]
        try:
            yield
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan
