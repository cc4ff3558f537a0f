"""The program and its login as slskd tells them."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.slskd import formatting, schemas
from protocol.http_api.slskd.schemas import Application, Directories, Options, ServerState, User, Version, answer
from protocol.messages import LogIn, LogOut
from protocol.messages.addresses import SESSION
from protocol.model.version import SLSKD_VERSION, program_version


def server_of(desk: Gateway) -> ServerState:
    """The login as far as the desk has heard of it."""
    account, session = desk.settings.account, desk.session
    state = formatting.server_state(session.state if session is not None else "")
    return ServerState(
        address=account.server_host,
        ip_end_point=f"{account.server_host}:{account.server_port}" if account.server_host else "",
        state=state,
        username=account.username,
        is_connected=state.startswith("Connected"),
        is_connecting=state == "Connecting",
        is_logged_in=state == "Connected, LoggedIn",
        is_transitioning=state == "Connecting",
        detail=(session.detail or None) if session is not None else None,
    )


def add(routes: APIRouter, desk: Gateway) -> None:
    @routes.get(
        "/api/v0/application/version", response_model=str, summary="The version of slskd that this behaves like"
    )
    async def version() -> JSONResponse:
        return JSONResponse(SLSKD_VERSION)

    @routes.get("/api/v0/application/version/latest", response_model=Version, summary="The same, as an object")
    async def latest() -> Response:
        return answer(_version())

    @routes.get("/api/v0/application", response_model=Application, summary="The program and its login")
    async def application() -> Response:
        server = server_of(desk)
        return answer(
            Application(
                version=_version(),
                product=f"Shoal {program_version()}",
                server=server,
                user=User(username=server.username),
            )
        )

    @routes.put("/api/v0/application", status_code=403, response_model=str, summary="Restart: refused")
    @routes.delete("/api/v0/application", status_code=403, response_model=str, summary="Stop: refused")
    async def end() -> Response:
        raise RefusedError("forbidden", "", "this daemon is started and ended by whoever runs it, not over the API")

    @routes.get("/api/v0/server", response_model=ServerState, summary="The login to the Soulseek server")
    async def server() -> Response:
        return answer(server_of(desk))

    @routes.put("/api/v0/server", response_model=ServerState, summary="Be logged in", responses=schemas.errors(409))
    async def log_in() -> Response:
        _tell_session(desk, LogIn())
        return answer(server_of(desk))

    @routes.delete(
        "/api/v0/server",
        status_code=204,
        response_class=Response,
        summary="Log out and stay so until a login is asked for, or a restart; what is being sent goes on",
        responses=schemas.errors(409),
    )
    async def log_out() -> Response:
        _tell_session(desk, LogOut())
        return Response(status_code=204)

    @routes.get("/api/v0/options", response_model=Options, summary="Folders; no secrets")
    @routes.get("/api/v0/options/startup", response_model=Options, summary="The same")
    async def options() -> Response:
        downloads = desk.settings.daemon.downloads
        return answer(Options(directories=Directories(downloads=downloads, incomplete=downloads)))


def _tell_session(desk: Gateway, message: LogIn | LogOut) -> None:
    """Raises `RefusedError` without an account, and `UnavailableError`."""
    if not desk.settings.account.username:
        raise RefusedError("conflict", "", "no Soulseek account is configured")
    with desk.talk() as talk:
        talk.post(SESSION, message)


def _version() -> Version:
    return Version(full=SLSKD_VERSION, current=SLSKD_VERSION)
