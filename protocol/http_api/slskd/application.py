"""slskd routes of the program: version, login, shares, options; and the always empty uploads and rooms."""

import hashlib
from uuid import UUID

from fastapi import APIRouter, Response

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.params import Username
from protocol.http_api.slskd import formatting
from protocol.http_api.slskd.schemas import (
    Application,
    CompactRouter,
    Directories,
    Directory,
    IncludeRemoved,
    Options,
    SearchId,
    ServerState,
    Share,
    ShareCounts,
    Shares,
    User,
    UserTransfers,
    Version,
    errors,
)
from protocol.messages import ListShares, LogIn, LogOut, ScanShares
from protocol.messages.addresses import SESSION
from protocol.model.job_views import SharedFolderView
from protocol.model.version import SLSKD_VERSION, program_version

_VERSION = Version(full=SLSKD_VERSION, current=SLSKD_VERSION)
SHARES_S_MAX = 2.0
"""A session that does not answer in this time is as none."""


def server_state(gateway: Gateway) -> ServerState:
    """Return the login as far as it is known here."""
    account, session = gateway.settings.account, gateway.session
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


def options_of(gateway: Gateway) -> Options:
    """Return the part of the configuration that tools need."""
    downloads = gateway.settings.daemon.downloads
    return Options(directories=Directories(downloads=downloads, incomplete=downloads))


async def shared_folders(gateway: Gateway) -> list[SharedFolderView]:
    """Return what the session shares; nothing where there is none."""
    try:
        return (await gateway.ask(SESSION, ListShares(), wait_s=SHARES_S_MAX)).rows(SharedFolderView)
    except (UnavailableError, RefusedError):
        return []


async def application_state(gateway: Gateway) -> Application:
    """Return the state of the whole program."""
    server, shared = server_state(gateway), await shared_folders(gateway)
    scanning = any(each.scanning for each in shared)
    counts = ShareCounts(
        scanning=scanning,
        ready=not scanning,
        scan_progress=float(not scanning),
        directories=sum(each.folders for each in shared),
        files=sum(each.files for each in shared),
    )
    product = f"Shoal {program_version()}"
    return Application(
        version=_VERSION, product=product, server=server, user=User(username=server.username), shares=counts
    )


def _share(folder: SharedFolderView) -> Share:
    return Share(
        id=hashlib.sha256(folder.path.encode(errors="surrogateescape")).hexdigest()[:40],
        alias=folder.alias,
        local_path=folder.path,
        raw=folder.path,
        remote_path=folder.alias,
        directories=folder.folders,
        files=folder.files,
    )


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = CompactRouter(prefix="/api/v0", tags=["slskd"])
    _add_program(routes, gateway)
    _add_shares(routes, gateway)
    _add_empty(routes)
    _add_absent(routes)
    return routes


def _add_program(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/application/version", summary="The version of slskd that this behaves like")
    async def version() -> str:
        return SLSKD_VERSION

    @routes.get("/application/version/latest", summary="The same, as an object")
    async def latest() -> Version:
        return _VERSION

    @routes.get("/application", summary="The program and its login")
    async def application() -> Application:
        return await application_state(gateway)

    @routes.put("/application", status_code=403, summary="Restart: refused")
    @routes.delete("/application", status_code=403, summary="Stop: refused")
    async def end() -> str:
        raise RefusedError("forbidden", "", "this daemon is started and ended where it runs, not over the API")

    @routes.post("/application/gc", include_in_schema=False)
    async def collect_garbage() -> None:
        """Nothing: memory is given back by itself."""

    @routes.get("/server", summary="The login to the Soulseek server")
    async def server() -> ServerState:
        return server_state(gateway)

    @routes.put("/server", summary="Be logged in", responses=errors(409))
    async def log_in() -> ServerState:
        _post_to_session(gateway, LogIn())
        return server_state(gateway)

    @routes.delete(
        "/server",
        status_code=204,
        summary="Log out and stay so until a login is asked for, or a restart; what is being sent goes on",
        responses=errors(409),
    )
    async def log_out() -> None:
        _post_to_session(gateway, LogOut())

    @routes.get("/options", summary="Folders; no secrets")
    @routes.get("/options/startup", summary="The same")
    async def options() -> Options:
        return options_of(gateway)


def _add_shares(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/shares", summary="Shared folders")
    async def shares() -> Shares:
        return Shares(local=[_share(each) for each in await shared_folders(gateway)])

    @routes.put(
        "/shares",
        summary="Look again at the shared folders",
        response_class=Response,
        responses={**errors(409), 200: {"content": {"text/plain": {"schema": {"type": "string", "maxLength": 0}}}}},
    )
    async def rescan() -> Response:
        _post_to_session(gateway, ScanShares())
        return Response(media_type="text/plain")

    @routes.delete("/shares", status_code=404, summary="A scan is not ended: it takes a moment")
    async def end_scan() -> str:
        raise RefusedError("unknown", "", "no scan is under way that could be ended")

    @routes.get("/shares/contents", summary="Files of all shares: none are listed")
    async def contents() -> list[Directory]:
        return []

    @routes.get("/shares/{id}/contents", summary="Files of a share: none are listed", responses=errors(404))
    async def contents_of(id: SearchId) -> list[Directory]:
        await share(id)
        return []

    @routes.get("/shares/{id}", summary="One shared folder", responses=errors(404))
    async def share(id: SearchId) -> Share:
        for each in await shared_folders(gateway):
            if (found := _share(each)).id == id:
                return found
        raise RefusedError("unknown", "", "no such share")


def _add_empty(routes: APIRouter) -> None:
    @routes.get("/transfers/uploads", summary="Uploads: none are listed")
    async def uploads(includeRemoved: IncludeRemoved = False) -> list[UserTransfers]:  # noqa: N803 - as clients write it
        return []

    @routes.delete("/transfers/uploads/all/completed", status_code=204, summary="Nothing to forget")
    async def forget_uploads() -> None:
        return None

    @routes.get(
        "/transfers/uploads/{username:lone_user}", summary="Uploads to a user: none are listed", responses=errors(404)
    )
    async def uploads_to(username: Username) -> UserTransfers:
        raise RefusedError("unknown", "", "no such transfer")

    @routes.get("/rooms/joined", summary="Chat rooms: none")
    async def joined() -> list[str]:
        return []

    @routes.get("/rooms/available", summary="Chat rooms: none are listed")
    async def available() -> list[str]:
        return []

    @routes.get("/conversations", summary="Private messages: none")
    async def conversations() -> list[str]:
        return []


def _add_absent(routes: APIRouter) -> None:
    """Answer what this program does not do, so that clients hear why instead of nothing."""

    async def unknown(rest: str) -> str:
        raise RefusedError("unknown", "", "there are no chat rooms and no private messages here")

    async def absent(rest: str = "") -> str:
        raise RefusedError("forbidden", "", "this program does neither chat nor relay")

    async def no_upload(username: Username, id: UUID) -> str:
        raise RefusedError("unknown", "", "no such transfer")

    routes.add_api_route(
        "/transfers/uploads/{username:path}/{id:uuid}",
        no_upload,
        methods=["GET", "DELETE"],
        status_code=404,
        include_in_schema=False,
    )
    for method in ("POST", "DELETE"):
        routes.add_api_route("/publicchat", absent, methods=[method], status_code=403, include_in_schema=False)
    for path in ("/rooms/joined/{rest:path}", "/conversations/{rest:path}"):
        routes.add_api_route(path, unknown, methods=["GET", "PUT", "DELETE"], status_code=404, include_in_schema=False)
        routes.add_api_route(path, absent, methods=["POST"], status_code=403, include_in_schema=False)
    for method in ("GET", "PUT", "POST", "DELETE"):
        routes.add_api_route("/relay/{rest:path}", absent, methods=[method], status_code=403, include_in_schema=False)


def _post_to_session(gateway: Gateway, message: LogIn | LogOut | ScanShares) -> None:
    """Raise `RefusedError` without an account, and `UnavailableError`."""
    if not gateway.settings.account.username:
        raise RefusedError("conflict", "", "no Soulseek account is configured")
    with gateway.open_request() as pending:
        pending.post(SESSION, message)
