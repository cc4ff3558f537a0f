"""Error responses: one JSON object below the native paths, a bare JSON string on slskd's, as its clients expect."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from protocol.http_api.gateway import RefusedError, UnavailableError
from protocol.http_api.middleware.request_scope import METHODS

NATIVE: Final = ("/api/v0/multisource", "/api/v0/events/", "/health", "/metrics")
RETRY_AFTER_S: Final = 2
STATUS_OF: Final = {
    "unknown": 404,
    "conflict": 409,
    "invalid": 400,
    "full": 429,
    "unavailable": 503,
    "unauthorized": 401,
    "forbidden": 403,
    "too large": 413,
    "head too large": 431,
    "not allowed": 405,
    "fault": 500,
}
"""The HTTP status of each kind of refusal."""


def error_response(
    path: str, kind: str, field: str, detail: str, *, status: int = 0, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer to a request for `path` that failed. `detail` is one line for people, without secrets."""
    status = status or STATUS_OF[kind]
    body: Any = detail
    if path.lower().startswith(NATIVE):
        body = {"error": {"kind": kind, "field": field, "detail": detail}}
    retry = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    return JSONResponse(body, status_code=status, headers={**retry, **(headers or {})})


def install(app: FastAPI) -> None:
    """Install a handler for each kind of exception that a route may raise."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return error_response(request.url.path, error.kind, error.field, error.detail)

    @app.exception_handler(UnavailableError)
    async def unavailable(request: Request, error: UnavailableError) -> JSONResponse:
        return error_response(request.url.path, "unavailable", "", str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
        return error_response(request.url.path, "invalid", field, f"{field or 'body'}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        kinds = {status: kind for kind, status in STATUS_OF.items()}
        kind = kinds.get(error.status_code, "invalid" if error.status_code < 500 else "fault")
        headers = {"Allow": request.scope.get(METHODS, "")} if error.status_code == 405 else error.headers
        return error_response(request.url.path, kind, "", str(error.detail), status=error.status_code, headers=headers)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        # Starlette logs the traceback; clients learn only the kind.
        return error_response(request.url.path, "fault", "", f"our fault: {type(error).__name__}")
